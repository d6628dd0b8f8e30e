"""Precision: float32 means float32 on every device.

Left alone, a GPU multiplies float32 matrices in TF32 and a TPU in bfloat16, 1e-3 to 1e-2 off. Every public function that multiplies
matrices asks for the full precision of its dtype by one decorator, whatever it calls; tests/test_precision.py lowers them for such
devices and reads what each product asks for.
"""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import jax

P = ParamSpec("P")
R = TypeVar("R")


def full_precision(function: Callable[P, R]) -> Callable[P, R]:
    """The function, with every matrix product inside (its derivatives' too) in the full precision of its dtype.

    Args:
      function: that JAX can trace, or that calls such functions.
    """

    @wraps(function)
    def precise(*args: P.args, **kwargs: P.kwargs) -> R:
        with jax.default_matmul_precision("highest"):
            return function(*args, **kwargs)

    return precise
