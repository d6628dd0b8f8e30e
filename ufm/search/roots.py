"""Scalar equations to machine precision inside jit: bracketing that never fails, with exact derivatives.

The bracketing itself is not differentiated; Newton steps at the root carry the derivatives of the implicit function
theorem through every parameter of the equation (second derivatives too).
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

_POLISH = 1e-9  # of the bracket: bisection has left less
_BISECTIONS = 60


def increasing_root(f: Callable, low: jax.Array, high: jax.Array, *parameters: Any) -> jax.Array:
    """The root x in [low, high] of an increasing f(x, *parameters); the nearer end where f does not change sign.

    Args:
      f: scalar function of a scalar, differentiable in all its arguments.
      low, high: the bracket, scalars.
      *parameters: what f depends on; derivatives of the root pass through them.

    Returns:
      x, scalar, to about one unit in the last place of the bracket's scale.
    """
    frozen = lax.stop_gradient(parameters)

    def halve(_: int, bracket: tuple) -> tuple:
        a, b = bracket
        middle = 0.5 * (a + b)
        below = f(middle, *frozen) < 0
        return jnp.where(below, middle, a), jnp.where(below, b, middle)

    low, high = (lax.stop_gradient(jnp.asarray(end)) for end in (low, high))
    a, b = lax.fori_loop(0, _BISECTIONS, halve, (low, high))
    x = lax.stop_gradient(0.5 * (a + b))
    ends = lax.map(lambda end: f(end, *frozen), jnp.stack([low, high]))
    inside = (ends[0] < 0) & (ends[1] > 0)

    def newton(x: jax.Array, _: None) -> tuple[jax.Array, None]:
        value, slope = jax.value_and_grad(f)(x, *parameters)
        usable = inside & (slope > 0)
        step = jnp.where(usable, value / jnp.where(usable, slope, 1), 0)
        # where f is flat the step is rounding over next to nothing: it keeps its derivatives and moves nowhere
        near = jnp.abs(step) <= _POLISH * (high - low)
        return x - jnp.where(near, step, step - lax.stop_gradient(step)), None

    return lax.scan(newton, x, length=2)[0]
