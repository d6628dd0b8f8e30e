"""Minimise any smooth function of a pytree to rounding: L-BFGS with a zoom line search and a status, safe to jit and vmap.

`ufm.solve` is this on a problem from many starts; use it directly for an objective that no Problem expresses.
Under jit a failure is a status, never an exception and never a silent wrong number.
"""

from collections.abc import Callable
from enum import IntEnum
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jax.flatten_util import ravel_pytree

_MEMORY = 12
_PATIENCE = 60


class Status(IntEnum):
    """How a minimisation ended; `text` says it in words."""

    CONVERGED = 0
    MAX_STEPS = 1
    STALLED = 2
    NON_FINITE = 3

    @property
    def text(self) -> str:
        """The status in words, with what to do about it."""
        return _TEXTS[self]


_TEXTS = {
    Status.CONVERGED: "converged: the gradient norm is below tolerance * min(1, value)",
    Status.MAX_STEPS: "stopped at max_steps before the tolerance: allow more steps or a larger tolerance",
    Status.STALLED: "stalled above the tolerance: rounding hides further progress (a larger tolerance would accept it)",
    Status.NON_FINITE: "the value or gradient became infinite or NaN: check the scale of the start and of the targets",
}


class Minimum(NamedTuple):
    """A point where a minimisation ended, with the value, the gradient norm and the number of steps; see `Status`."""

    point: Any
    value: jax.Array
    gradient_norm: jax.Array
    steps: jax.Array
    status: jax.Array


def minimise(
    function: Callable[[Any], jax.Array], start: Any, *, tolerance: Any = 1e-10, max_steps: Any = 10_000, metric: Any = 1.0
) -> Minimum:
    """The local minimum that L-BFGS reaches from a start; keeps the point of the smallest gradient among the lowest values.

    Args:
      function: pytree -> scalar, differentiable near the run.
      start: pytree of floating arrays of one dtype.
      tolerance: on |grad| / min(1, |value|). max_steps: L-BFGS steps.
      metric: the gradient is divided by it in norms: where the coordinates are x = p / metric, norms are those in p.

    Returns:
      Minimum.
    """
    coordinates, unravel = ravel_pytree(start)

    def value(x: jax.Array) -> jax.Array:
        return function(unravel(x))

    solver = optax.lbfgs(memory_size=_MEMORY, linesearch=optax.scale_by_zoom_linesearch(max_linesearch_steps=30))
    value_and_gradient = optax.value_and_grad_from_state(value)

    def proceed(loop):
        _, _, steps, _, (_, best_value, best_norm), idle = loop
        unfinished = best_norm > tolerance * jnp.minimum(1, jnp.abs(best_value))
        return unfinished & (steps < max_steps) & (idle < _PATIENCE) & jnp.isfinite(best_value + best_norm)

    def advance(loop):
        x, state, steps, lowest, (best_x, best_value, best_norm), idle = loop
        f, g = value_and_gradient(x, state=state)
        updates, state = solver.update(g, state, x, value=f, grad=g, value_fn=value)
        x = optax.apply_updates(x, updates)
        f, g = optax.tree.get(state, "value"), optax.tree.get(state, "grad")
        norm = jnp.linalg.norm(g / metric)
        finite = jnp.isfinite(f) & jnp.isfinite(norm)
        # far from the minimum the value decides, near it (where values tie) the gradient does
        eps = 4 * jnp.finfo(x.dtype).eps
        lower = f < lowest - eps * jnp.abs(lowest)
        keep = finite & (lower | ((f <= lowest + eps * jnp.abs(lowest)) & (norm < best_norm)))
        progress = lower | (keep & (norm < 0.9 * best_norm))
        best = jax.tree.map(lambda a, b: jnp.where(keep, a, b), (x, f, norm), (best_x, best_value, best_norm))
        return x, state, steps + 1, jnp.fmin(f, lowest), best, jnp.where(progress, 0, idle + 1)

    f, g = jax.value_and_grad(value)(coordinates)
    best = (coordinates, f, jnp.linalg.norm(g / metric))
    loop = (coordinates, solver.init(coordinates), jnp.asarray(0), f, best, jnp.asarray(0))
    _, _, steps, _, (x, f, norm), idle = lax.while_loop(proceed, advance, loop)
    status = jnp.where(
        norm <= tolerance * jnp.minimum(1, jnp.abs(f)),
        int(Status.CONVERGED),
        jnp.where(steps >= max_steps, int(Status.MAX_STEPS), int(Status.STALLED)),
    )
    status = jnp.where(jnp.isfinite(f + norm), status, int(Status.NON_FINITE))
    return Minimum(unravel(x), f, norm, steps, status)
