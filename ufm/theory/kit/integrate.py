"""Solutions of theta' = v(theta) for small systems by Gauss collocation, with steps halved until two solutions agree.

One step solves for the slopes at S Gauss nodes by Picard sweeps, k_i = v(theta + h sum_j A_ij k_j), which one batched
evaluation of v does at once: order 2 S = 12 in h, and a program that holds v once.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.flatten_util import ravel_pytree

from ufm.motion.central_path import reduced_objective
from ufm.problem import Problem
from ufm.problem.params import Params, objective

_STAGES = 6
_SWEEPS = 12
_MOST_STEPS = 2**14


def _collocation(stages: int) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Legendre coefficients A (S, S) and weights (S,) on [0, 1]."""
    nodes, weights = np.polynomial.legendre.leggauss(stages)
    lagrange = np.linalg.inv(np.polynomial.legendre.legvander(nodes, stages - 1))
    integrals = np.polynomial.legendre.legint(lagrange, lbnd=-1)
    return np.polynomial.legendre.legvander(nodes, stages) @ integrals / 2, weights / 2


def integrate(velocity: Callable, start: Any, ts: jax.Array, tolerance: float = 1e-10) -> Any:
    """theta at times ts along theta' = velocity(theta), from `start` at time 0.

    Between two times the number of steps doubles until the solution moves by less than `tolerance` of its largest
    entry; at order 12 the error of what is returned is far below that. NaN where 2^14 steps do not suffice.

    Args:
      velocity: pytree -> pytree of the same structure, without time (carry a clock as a part of theta).
      start: pytree of arrays. ts: (T,), at least 0 and not decreasing.
      tolerance: allowed change under the last doubling.

    Returns:
      The pytree with a leading axis T.
    """
    y0, unravel = ravel_pytree(start)
    slopes_at = jax.vmap(lambda y: ravel_pytree(velocity(unravel(y)))[0])
    A, weights = (jnp.asarray(x, y0.dtype) for x in _collocation(_STAGES))

    def step(h: jax.Array, y: jax.Array) -> jax.Array:
        def sweep(_: int, slopes: jax.Array) -> jax.Array:
            return slopes_at(y[None, :] + h * (A @ slopes))

        return y + h * (weights @ lax.fori_loop(0, _SWEEPS, sweep, jnp.zeros((_STAGES, y.size), y.dtype)))

    def advance(y: jax.Array, span: jax.Array) -> tuple[jax.Array, jax.Array]:
        def differ(state: tuple) -> jax.Array:
            steps, _, change = state
            return ~(change <= tolerance) & (steps <= _MOST_STEPS)

        def refine(state: tuple) -> tuple:
            steps, coarse, _ = state
            fine = lax.fori_loop(0, steps, lambda _, x: step(span / steps, x), y)
            return 2 * steps, fine, jnp.max(jnp.abs(fine - coarse)) / jnp.max(jnp.abs(fine))

        _, end, change = lax.while_loop(differ, refine, (1, jnp.full_like(y, jnp.nan), jnp.asarray(jnp.inf, y.dtype)))
        end = jnp.where(change <= tolerance, end, jnp.nan)
        return end, end

    spans = jnp.diff(ts, prepend=jnp.zeros((1,), ts.dtype))
    return jax.vmap(unravel)(lax.scan(advance, y0, spans)[1])


def downhill(problem: Problem) -> Callable:
    """The velocity -grad f of all parameters of a problem."""
    return lambda params: jax.tree.map(jnp.negative, jax.grad(lambda p: objective(problem, p))(params))


def gradient_flow(problem: Problem, params: Params, ts: jax.Array) -> Params:
    """Params with a leading axis T: gradient flow of `ufm.objective` from `params` at time 0."""
    return integrate(downhill(problem), params, ts)


def central_path(problem: Problem, H: jax.Array, ts: jax.Array) -> jax.Array:
    """(T, d, C) features along gradient flow of the objective that the best W leaves of them, from `H` at time 0."""
    return integrate(lambda x: -jax.grad(lambda y: reduced_objective(problem, y))(x), H, ts)


def arrival_times(velocity: Callable, observe: Callable, start: Any, levels: jax.Array) -> jax.Array:
    """When a positive, increasing quantity reaches given levels along theta' = velocity(theta).

    The clock is the quantity's own logarithm (Henon 1982): d theta/d log q = v q/q', dt/d log q = q/q'.

    Args:
      velocity: as in `integrate`. observe: theta -> scalar q. start: theta at time 0.
      levels: (T,) values of q, at least its first value and increasing.

    Returns:
      (T,) times.
    """

    def by_logarithm(state: tuple) -> tuple:
        theta, _ = state
        v = velocity(theta)
        q, rate = jax.jvp(observe, (theta,), (v,))
        return jax.tree.map(lambda x: x * (q / rate), v), q / rate

    first = observe(start)
    return integrate(by_logarithm, (start, jnp.zeros_like(first)), jnp.log(levels / first))[1]
