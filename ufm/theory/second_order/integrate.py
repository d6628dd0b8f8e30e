"""Gradient flow of flat vectors by the classical Runge-Kutta method at a fixed step, recorded after every step."""

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
from jax import lax

R = TypeVar("R")  # what is kept of each step


def runge_kutta(velocity: Callable, start: jax.Array, step: jax.Array, steps: int, record: Callable[..., R]) -> R:
    """Integrate x' = velocity(x); with z = step times a rate, the error of that rate is z^4/120 relative.

    Args:
      velocity: (P,) -> (P,). start: (P,). step: scalar. steps: how many. record: (x, velocity(x)) -> what to keep.

    Returns:
      What `record` gave at times 0, step, ..., (steps - 1) step, stacked.
    """
    shares, offsets = jnp.asarray([1, 2, 2, 1]) / 6, jnp.asarray([0, 0.5, 0.5, 1])

    def advance(x: jax.Array, _: None) -> tuple[jax.Array, R]:
        def stage(carry: tuple, weights: tuple) -> tuple[tuple, jax.Array]:
            slope, moved = carry
            share, offset = weights
            slope = velocity(x + offset * step * slope)
            return (slope, moved + share * step * slope), slope

        (last, moved), slopes = lax.scan(stage, (jnp.zeros_like(x), x), (shares, offsets))
        del last
        return moved, record(x, slopes[0])

    return lax.scan(advance, start, None, length=steps)[1]
