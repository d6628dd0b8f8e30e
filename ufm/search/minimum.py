"""Minimise any smooth function of a pytree to rounding: L-BFGS with a line search and a status, safe to jit and vmap.

`ufm.solve` is this on a problem from many starts; use it directly for an objective that no Problem expresses.
Under jit a failure is a status, never an exception and never a silent wrong number.

A small problem costs what the bookkeeping of a step costs. So every pass of the one loop evaluates the function once, at the next
step or at another length of the last one, and the inverse Hessian is applied in compact form (`ufm.search.quasi_newton`).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.flatten_util import ravel_pytree

from ufm.base.describe import describe
from ufm.base.precision import full_precision
from ufm.base.status import Status
from ufm.search.quasi_newton import PAIRS, Memory, apply_inverse_hessian, dot, empty_memory, remember

_PATIENCE = 300  # evaluations without progress
_LENGTHS = 20  # tried of one step
_DECREASE, _CURVATURE = 1e-4, 0.9  # of the Wolfe conditions
_NEAR = 1e-6  # the gradient norm from which a run is compared with its rival
_ROUNDING = 64  # units of rounding of the scale of a gradient that count as zero
_BEYOND = 0.25  # how much further than the point a run looks for a lower value


class Minimum(NamedTuple):
    """A point where a minimisation ended, with the value, the gradient norm and the number of steps; see `Status`."""

    point: Any
    value: jax.Array
    gradient_norm: jax.Array
    steps: jax.Array
    status: jax.Array

    def __str__(self) -> str:
        return describe(self).text()

    def _repr_html_(self) -> str:
        return describe(self).html()


class _Numbers(NamedTuple):
    """Floats that the loop carries as one array, a kernel each would double the time of a small step.

    value: at the point. norm: of the gradient tried last. slope: along the direction. length: tried next, between low and high.
    curvature: s . y of the pair tried last. best_value, best_norm: at the best point. start_norm: of the gradient at the start.
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
    start_norm: jax.Array


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


@full_precision
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
      tolerance: on |grad| / min(1, |value|), with the floor of `allowed_norm` by the gradient at the start, so that minima of
        value zero converge. max_steps: L-BFGS steps.
      metric: the gradient is divided by it in norms: where the coordinates are x = p / metric, norms are those in p.
      rival: a value to get below. Where |grad| <= 1e-6 min(1, |value|) a run above it is GIVEN_UP once the decrease that it
        predicts is a thousandth of what it lacks, or 1e-11 of the rival.

    Returns:
      Minimum; NO_MINIMISER where the gradient is below that floor alone and the value still falls further out from the start.
    """
    found = search(function, start, tolerance=tolerance, max_steps=max_steps, metric=metric, rival=rival)
    further = function(jax.tree.map(lambda x, first: x + _BEYOND * (x - first), found.point, start))
    size = jnp.abs(found.value)  # a norm, whose square underflows first, may be zero there
    rounded = (found.gradient_norm > tolerance * jnp.minimum(1, size)) | (size <= jnp.finfo(found.value.dtype).eps)
    lost = (found.status == int(Status.CONVERGED)) & rounded & (further < found.value)
    return found._replace(status=jnp.where(lost, int(Status.NO_MINIMISER), found.status))


def allowed_norm(tolerance: Any, value: jax.Array, scale: Any) -> jax.Array:
    """The gradient norm that counts as zero: tolerance min(1, |value|), or 64 units of rounding of a gradient of size `scale`.

    The second is what is left of the terms of a gradient that cancel; never above the tolerance itself.
    """
    rounding = _ROUNDING * jnp.finfo(value.dtype).eps * jnp.where(jnp.isfinite(scale), scale, 0)
    return jnp.minimum(tolerance, jnp.maximum(tolerance * jnp.abs(value), rounding))


def search(
    function: Callable[[Any], jax.Array], start: Any, *, tolerance: Any, max_steps: Any, metric: Any = 1.0, rival: Any = np.inf
) -> Minimum:
    """`minimise` without its last look further out, for callers that judge the point by themselves."""
    coordinates, unravel = ravel_pytree(start)
    value_and_gradient = jax.value_and_grad(lambda x: function(unravel(x)))
    eps = float(jnp.finfo(coordinates.dtype).eps)

    def outrun(r: _Numbers) -> jax.Array:
        behind = jnp.maximum(r.best_value - rival, 1e-8 * jnp.abs(rival))
        near = r.best_norm <= _NEAR * jnp.minimum(1, jnp.abs(r.best_value))
        return (r.best_value >= rival) & near & (-r.slope <= 1e-3 * behind)

    def proceed(run: _Run) -> jax.Array:
        r, c = _Numbers(*run.numbers), _Counts(*run.counts)
        above = r.best_norm > tolerance * jnp.minimum(1, jnp.abs(r.best_value))
        unfinished = above & ~outrun(r) & jnp.isfinite(r.best_value + r.best_norm)
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
            start_norm=jnp.where(first, norm, r.start_norm),
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
    numbers = jnp.asarray((inf, 1, 0, 1, 0, inf, 0, inf, inf, 0), coordinates.dtype)  # of _Numbers
    counts = jnp.asarray((0, 0, -1, 0, 1))  # of _Counts
    run = _Run(coordinates, none, none, none, empty_memory(coordinates), coordinates, numbers, counts)
    run = lax.while_loop(proceed, advance, run)
    r, c = _Numbers(*run.numbers), _Counts(*run.counts)
    status = jnp.where(c.steps >= max_steps, int(Status.MAX_STEPS), int(Status.STALLED))
    status = jnp.where(outrun(r), int(Status.GIVEN_UP), status)
    allowed = allowed_norm(tolerance, r.best_value, jnp.minimum(1, r.start_norm))
    status = jnp.where(r.best_norm <= allowed, int(Status.CONVERGED), status)
    status = jnp.where(jnp.isfinite(r.best_value + r.best_norm), status, int(Status.NON_FINITE))
    return Minimum(unravel(run.best), r.best_value, r.best_norm, c.steps, status)
