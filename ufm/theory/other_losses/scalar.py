"""The lowest point of a function of one scalar on [0, infinity), with all its local minima looked at."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from ufm.problem import Problem
from ufm.search.symmetric import reduced
from ufm.theory.symmetric import price_of


def lowest(f: Callable, *parameters: Any) -> jax.Array:
    """argmin_{x >= 0} f(x, *parameters), zero included; derivatives pass through the parameters.

    Every interval of a grid of ratio 1.07 on which the slope changes sign is bisected.
    """
    slope, frozen, dtype = jax.grad(f), lax.stop_gradient(parameters), jnp.result_type(*parameters)
    slopes_at = jax.vmap(lambda x: slope(x, *frozen))
    grid = jnp.concatenate([jnp.zeros((1,), dtype), jnp.geomspace(1e-6, 1e6, 400, dtype=dtype)])
    slopes = slopes_at(grid)
    brackets = (slopes[:-1] < 0) & (slopes[1:] >= 0)

    def halve(_: int, ends: tuple) -> tuple:
        low, high = ends
        middle = 0.5 * (low + high)
        below = slopes_at(middle) < 0
        return jnp.where(below, middle, low), jnp.where(below, high, middle)

    low, high = lax.fori_loop(0, 60, halve, (grid[:-1], grid[1:]))
    candidates = jnp.concatenate([jnp.zeros((1,), dtype), jnp.where(brackets, 0.5 * (low + high), 0)])
    values = jax.vmap(lambda x: f(x, *frozen))(candidates)
    x = lax.stop_gradient(candidates[jnp.argmin(values)])

    def newton(x: jax.Array, _: None) -> tuple[jax.Array, None]:
        value, bend = jax.value_and_grad(slope)(x, *parameters)
        usable = (x > 0) & (bend > 0)
        return x - jnp.where(usable, value / jnp.where(usable, bend, 1), 0), None

    return lax.scan(newton, x, length=2)[0]


def on_simplex(problem: Problem) -> tuple[jax.Array, jax.Array]:
    """(a, F(a, 0)) at the lowest point of loss(a (e_1 - 1/K)) + c (K-1) a over a >= 0."""
    K, c = problem.classes, price_of(problem)

    def F(a: jax.Array, c: jax.Array) -> jax.Array:
        return reduced(problem.loss, K, jnp.stack([a, jnp.zeros_like(a)]), c)

    a = lowest(F, c)
    return a, F(a, c)
