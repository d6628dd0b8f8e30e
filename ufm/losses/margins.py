"""What the losses with one true class share: the log odds against it, and the check of a loss's parameters."""

import math
import numbers
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from ufm.base.checks import is_traced, refuse


def split(z: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(is it the true class, of shape (K,); the logit of the true class), the class of the largest target."""
    top = jnp.arange(z.shape[0]) == jnp.argmax(y)
    return top, jnp.sum(jnp.where(top, z, 0))


def log_odds(z: jax.Array, y: jax.Array) -> jax.Array:
    """log((1 - p)/p) = logsumexp_{j != t} (z_j - z_t) of the softmax probability p of the true class t.

    p-losses are functions of it that neither cancel nor saturate before exp(-margin) underflows:
    -log p = softplus(s), 1 - p = sigmoid(s).
    """
    top, own = split(z, y)
    return jax.nn.logsumexp(jnp.where(top, -jnp.inf, z - own))


def parameter(name: str, value: float, allowed: str, test: Callable[[float], bool]) -> float:
    """A parameter of a loss as a Python number.

    Raises:
      ValueError: for anything but a finite number that passes the test; traced ones too, since a loss is static.
    """
    if is_traced(value):
        refuse(name, "a traced number", f"{allowed}, known outside jit")
    scalar = isinstance(value, numbers.Real | np.number) and not isinstance(value, bool)
    if not scalar or not math.isfinite(value) or not test(float(value)):
        refuse(name, value, allowed)
    return float(value)
