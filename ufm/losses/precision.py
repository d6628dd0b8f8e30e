"""How far float32 can be trusted: the margin up to which a loss and its gradient are right."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ufm.losses.declarations import QUICK
from ufm.losses.loss import Loss

LARGEST_MARGIN = 1e4
_MARGINS = np.geomspace(1, LARGEST_MARGIN, 300)
_ROUNDING = 1e-6


def float32_margin(loss: Loss, classes: int, target: Callable[[Any], Any] | None = None) -> float:
    """The largest margin a, up to 1e4, with float32 right at logits a (e_1 - 1/K) up to it, next to float64 at the same logits.

    Right is a gradient within 1 % of its largest entry, and a value within 1 %, or 1e-6 where it passes through zero.
    Needs x64 (`jax.enable_x64`).

    Args:
      loss: of K logits. classes: K. target: dtype -> target, one-hot by default.

    Returns:
      A margin of a grid of ratio 1.03; 0 where 1 is too large.
    """
    own = np.arange(classes) == 0
    logits = (_MARGINS[:, None] * (own - 1 / classes)[None, :]).astype(np.float32)

    @partial(jax.jit, compiler_options=QUICK)
    def both(z: jax.Array) -> list:
        def derivatives(dtype: Any) -> tuple[jax.Array, jax.Array]:
            y = jnp.asarray(own, dtype) if target is None else target(dtype)
            return jax.vmap(jax.value_and_grad(lambda z: loss.value(z, y)))(z.astype(dtype))

        return [derivatives(dtype) for dtype in (jnp.float32, jnp.float64)]

    (value, slope), (exact, exact_slope) = jax.tree.map(lambda x: np.asarray(x, float), both(logits))
    right = np.abs(value - exact) <= np.maximum(0.01 * np.abs(exact), np.where(_crosses(exact), _ROUNDING, 0))
    right &= np.max(np.abs(slope - exact_slope), axis=1) <= 0.01 * np.max(np.abs(exact_slope), axis=1)
    wrong = np.flatnonzero(~right)
    if wrong.size == 0:
        return LARGEST_MARGIN
    return float(_MARGINS[wrong[0] - 1]) if wrong[0] else 0.0


def _crosses(values: np.ndarray) -> np.ndarray:
    """Whether the values change sign anywhere."""
    return np.full(values.shape, np.min(values) < 0 <= np.max(values))
