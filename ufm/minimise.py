"""Minimise any smooth function of a pytree to rounding: L-BFGS with a line search and a status, safe to jit and vmap.

`ufm.solve` is this on a problem from many starts; use it directly for an objective that no Problem expresses.
Under jit a failure is a status, never an exception and never a silent wrong number.

A small problem costs what the bookkeeping of a step costs. So every pass of the one loop evaluates the function once, at the next
step or at another length of the last one, and the inverse Hessian is applied in compact form (`ufm.quasi_newton`).
"""

from collections.abc import Callable
from enum import IntEnum
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.flatten_util import ravel_pytree

from ufm.card import card_of
from ufm.quasi_newton import PAIRS, Memory, apply_inverse_hessian, dot, empty_memory, remember

_PATIENCE = 300  # evaluations without progress
_LENGTHS = 20  # tried of one step
_DECREASE, _CURVATURE = 1e-4, 0.9  # of the Wolfe conditions
_NEAR = 1e-6  # the gradient norm from which a run is compared with its rival


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

    def __str__(self) -> str:
        return card_of(self).text()

    def _repr_html_(self) -> str:
        return card_of(self).html()


class _Numbers(NamedTuple):
    """Floats that the loop carries as one array, a kernel each would double the time of a small step.

    value: at the point. norm: of the gradient tried last. slope: along the direction. length: tried next, between low and high.
    curvature: s . y of the pair tried last. best_value, best_norm: at the best point.
    """

    value: jax.Array
    norm: jax.Array
    slope: jax.Array
    length: jax.Array
    low: jax.Array
    high: jax.Array
    curvature: jax.Array
    best_value: jax.Array
    best_norm: jax.Array


class _Counts(NamedTuple):
    """Integers likewise.

    steps: taken. place: of the pair tried last. lengths: of the present step tried so far, -1 before the start is evaluated.
    idle: evaluations without progress. fresh: whether the memory is to begin anew.
    """

    steps: jax.Array
    place: jax.Array
    lengths: jax.Array
    idle: jax.Array
    fresh: jax.Array


class _Run(NamedTuple):
    """What the loop carries: the last point accepted, its gradient, the direction from there, the last change of gradient tried."""

    point: jax.Array
    gradient: jax.Array
    direction: jax.Array
    change: jax.Array
    memory: Memory
    best: jax.Array
    numbers: jax.Array
    counts: jax.Array


def minimise(
    function: Callable[[Any], jax.Array],
    start: Any,
    *,
    tolerance: Any = 1e-10,
    max_steps: Any = 10_000,
    metric: Any = 1.0,
    rival: Any = np.inf,
) -> Minimum:
    """The local minimum that L-BFGS reaches from a start; keeps the point of the smallest gradient among the lowest values.

    Args:
      function: pytree -> scalar, differentiable near the run.
      start: pytree of floating arrays of one dtype.
      tolerance: on |grad| / min(1, |value|). max_steps: L-BFGS steps.
      metric: the gradient is divided by it in norms: where the coordinates are x = p / metric, norms are those in p.
      rival: a value to get below. Where |grad| <= 1e-6 min(1, |value|) a run above it is given up (as STALLED) once the decrease
        that it predicts is a thousandth of what it lacks, or 1e-11 of the rival.

    Returns:
      Minimum.
    """
    coordinates, unravel = ravel_pytree(start)
    value_and_gradient = jax.value_and_grad(lambda x: function(unravel(x)))
    eps = float(jnp.finfo(coordinates.dtype).eps)

    def proceed(run: _Run) -> jax.Array:
        r, c = _Numbers(*run.numbers), _Counts(*run.counts)
        unit = jnp.minimum(1, jnp.abs(r.best_value))
        behind = jnp.maximum(r.best_value - rival, 1e-8 * jnp.abs(rival))
        outrun = (r.best_value >= rival) & (r.best_norm <= _NEAR * unit) & (-r.slope <= 1e-3 * behind)
        unfinished = (r.best_norm > tolerance * unit) & ~outrun & jnp.isfinite(r.best_value + r.best_norm)
        return (c.lengths < 0) | (unfinished & (c.steps < max_steps) & (c.idle < _PATIENCE))

    def advance(run: _Run) -> _Run:
        r, c = _Numbers(*run.numbers), _Counts(*run.counts)
        first, turned = c.lengths < 0, c.lengths <= 0
        memory = remember(run.memory, c.place, run.gradient, run.change, r.curvature)
        scale = jnp.where(c.fresh, jnp.minimum(1, 1 / r.norm), memory.scale)
        memory = memory._replace(inverse=jnp.where(c.fresh, 0, memory.inverse), scale=scale)
        direction = jnp.where(turned, -apply_inverse_hessian(memory, run.gradient), run.direction)
        slope, step = dot(direction, run.gradient), r.length * direction
        trial = run.point + step
        value, gradient = value_and_gradient(trial)
        norm = jnp.sqrt(dot(gradient / metric, gradient / metric))
        finite = jnp.isfinite(value) & jnp.isfinite(norm)

        # Wolfe conditions by bisection; where values tie, slopes tell whether the value falls (Hager and Zhang 2005)
        rise, ahead = value - r.value, dot(direction, gradient)
        level = (rise <= eps**0.6 * jnp.abs(r.value)) & (ahead <= (2 * _DECREASE - 1) * slope)
        far = ~(((rise <= _DECREASE * r.length * slope) | level) & finite & (slope < 0))
        near = ~far & (ahead < _CURVATURE * slope)
        accepted = ~(far | near)
        failed = ~accepted & ~first & ((c.lengths >= _LENGTHS - 1) | ~(slope < 0))
        moved, turn = accepted | first, accepted | first | failed
        low, high = jnp.where(near, r.length, r.low), jnp.where(far, r.length, r.high)
        lowest = 0.5 * r.length**2 * slope / (r.length * slope - rise)  # of the parabola through both values and the slope
        share = (lowest - low) / (high - low)
        share = jnp.where(jnp.isfinite(share), jnp.clip(share, 0.1, 0.9), 0.3)
        length = jnp.where(jnp.isinf(high), 4 * low, low + share * (high - low))

        # the next place is written before the step is accepted: until then only the direction, which stays, would read it
        change = jnp.where(finite, gradient - run.gradient, 0)
        place = jnp.where(turned, (c.place + 1) % PAIRS, c.place)
        pairs = lax.dynamic_update_slice(memory.pairs, step[None, :], (place, 0))
        pairs = lax.dynamic_update_slice(pairs, change[None, :], (PAIRS + place, 0))

        # far from the minimum the value decides, near it (where values tie) the gradient does
        tie = 4 * eps * jnp.abs(r.best_value)
        lower = value < r.best_value - tie
        keep = first | (finite & (lower | ((value <= r.best_value + tie) & (norm < r.best_norm))))
        progress = lower | (keep & (norm < 0.9 * r.best_norm))
        numbers = _Numbers(
            value=jnp.where(moved, value, r.value),
            norm=norm,
            slope=slope,
            length=jnp.where(turn, 1, length),
            low=jnp.where(turn, 0, low),
            high=jnp.where(turn, jnp.inf, high),
            curvature=jnp.where(accepted, r.length * (ahead - slope), 1),
            best_value=jnp.where(keep, value, r.best_value),
            best_norm=jnp.where(keep, norm, r.best_norm),
        )
        counts = _Counts(
            steps=c.steps + accepted,
            place=place,
            lengths=jnp.where(turn, 0, c.lengths + 1),
            idle=jnp.where(progress, 0, c.idle + 1),
            fresh=(first | failed).astype(int),
        )
        return _Run(
            point=jnp.where(moved, trial, run.point),
            gradient=jnp.where(moved, gradient, run.gradient),
            direction=direction,
            change=change,
            memory=memory._replace(pairs=pairs),
            best=jnp.where(keep, trial, run.best),
            numbers=jnp.stack(numbers),
            counts=jnp.stack(counts),
        )

    none, inf = jnp.zeros_like(coordinates), np.inf
    numbers = jnp.asarray(_Numbers(inf, 1, 0, 1, 0, inf, 0, inf, inf), coordinates.dtype)
    counts = jnp.asarray(_Counts(steps=0, place=0, lengths=-1, idle=0, fresh=1))
    run = _Run(coordinates, none, none, none, empty_memory(coordinates), coordinates, numbers, counts)
    run = lax.while_loop(proceed, advance, run)
    r, c = _Numbers(*run.numbers), _Counts(*run.counts)
    status = jnp.where(c.steps >= max_steps, int(Status.MAX_STEPS), int(Status.STALLED))
    status = jnp.where(r.best_norm <= tolerance * jnp.minimum(1, jnp.abs(r.best_value)), int(Status.CONVERGED), status)
    status = jnp.where(jnp.isfinite(r.best_value + r.best_norm), status, int(Status.NON_FINITE))
    return Minimum(unravel(run.best), r.best_value, r.best_norm, c.steps, status)
