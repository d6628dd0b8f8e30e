"""The minimiser: L-BFGS from many starts, one compiled program, with a status for every run.

Under jit a failure is a status, never an exception and never a silent wrong number.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.flatten_util import ravel_pytree

from ufm.base.checks import MANY, check_choice, check_count, check_key, check_tolerance, is_traced
from ufm.base.describe import describe
from ufm.base.precision import full_precision
from ufm.base.programs import make_room_for
from ufm.base.status import Status
from ufm.equivalent.canonical_form import merges
from ufm.equivalent.columns import spread_columns
from ufm.equivalent.standard import random_standard_starts, standard_point
from ufm.losses import MSE, is_loss
from ufm.problem import Problem, check_memory
from ufm.problem.envelope import differentiable_value, undifferentiated
from ufm.problem.params import (
    Params,
    check_order,
    check_params,
    end_to_end,
    gradient_norm,
    objective,
    to_domain,
    value_and_residual,
)
from ufm.search.judgement import gradient_scale, judge
from ufm.search.minimum import Minimum, allowed_norm, search

_ROUNDS = 5  # of a search in fresh coordinates
_AS_ZERO = 1e-6  # of the largest feature: what a square near zero may still be
_AIM = 0.5  # of the tolerance, for the search itself: what is judged is the residual in the problem's own coordinates


class Solution(NamedTuple):
    """The best point found.

    params: in the problem's own columns and widths. value: f there. gradient_norm: |grad f| there, or of the residual of the
    optimality conditions where features are constrained (see `ufm.problem.params.gradient_norm`).
    steps: L-BFGS steps over all runs. status: a `ufm.Status`, by `gradient_norm` and the tolerance (see `ufm.search.judgement`).
    rank: numerical rank of the logit matrix without its bias. start_values: (starts,) value reached from each start. Of free
    features, a run is left near a critical point (|grad f| <= 1e-6 min(1, f)) where it is about to end above the best so far,
    by a thousand times what it may still gain, or level with it to 1e-11; only the best is brought to the tolerance.
    """

    params: Params
    value: jax.Array
    gradient_norm: jax.Array
    steps: jax.Array
    status: jax.Array
    rank: jax.Array
    start_values: jax.Array

    def __str__(self) -> str:
        return describe(self).text()

    def _repr_html_(self) -> str:
        return describe(self).html()


@full_precision
def solve(
    problem: Problem,
    start: jax.Array | Params,
    *,
    starts: int | None = None,
    columns: str = "merged",
    tolerance: float | None = None,
    max_steps: int = 10_000,
) -> Solution:
    """Minimise a problem by L-BFGS, from random starts or from given params.

    Random starts run in an exactly equivalent small problem: every width d becomes K + C (only the subspace that
    weights and columns span matters; a start inside it stays inside), and with columns="merged" equal columns become
    one (exact for the minimum of a convex loss, see `ufm.equivalent.merge_columns`; used only where it is exact). Use
    columns="raw" to keep every column free to differ. Given params keep their columns; squared-error problems and
    wide features are compressed by `compress_columns` and `narrow_features`, which L-BFGS commutes with.

    Models with M >= 2 trained layers have true local minima: several O(1) starts, small ones, and restarts from the
    best point with its weakest directions removed are tried, and the lowest value wins. That is a search, not a proof:
    see `rank` and `start_values`, and `ufm.certify`. No random start is exactly zero, which is always critical.

    Args:
      problem: the problem; jit, vmap and lax.map go through all its numbers, and first derivatives of `value` through all that
        are floating (the envelope theorem, see `ufm.problem.envelope`).
      start: a key for random starts, or Params to start from (one run).
      starts: how many random starts; by default 1 where every local minimum is global, else 8.
      columns: "merged" or "raw".
      tolerance: on |grad f| / min(1, f), with a floor where that is below rounding (see `ufm.search.judgement`), so that
        minima of value zero converge; by default 1e-10 in float64 and 1e-4 in float32.
      max_steps: L-BFGS steps a run.

    Returns:
      Solution.

    Raises:
      ValueError: naming the argument, the value and what is allowed; a tolerance that the dtype cannot reach; where derivatives
        are taken of anything but `value`, or second ones of it (NaN in forward mode).
    """
    if isinstance(start, Params) or not isinstance(problem, Problem):
        check_order(problem, start)
    else:
        check_key("start", start, ", or Params to start from")
    differentiated, problem = problem, undifferentiated(problem)
    if isinstance(start, Params):
        start = undifferentiated(start)
    check_choice("columns", columns, ("merged", "raw"))
    check_count("max_steps", max_steps, 1)
    if tolerance is None:
        tolerance = 1e-10 if problem.dtype == jnp.float64 else 1e-4
    check_tolerance(tolerance, problem.dtype)
    make_room_for(problem, start)
    given = isinstance(start, Params)
    low_rank = is_loss(problem.loss, MSE) and problem.classifier is None  # its local minima are global at every width
    wide = problem.trainable == 0 or min(problem.widths) >= problem.classes or low_rank
    benign = problem.loss.convex and problem.features == "free" and problem.trainable <= 1 and wide
    if starts is None:
        starts = 1 if benign or given else 8
    check_count("starts", starts, 1, MANY)
    if isinstance(start, Params):
        check_params(problem, start)
        own = problem
        small, points, lift = standard_point(problem, start)
    else:
        own = problem.collapsed() if columns == "merged" and merges(problem) else problem
        small, points, lift = random_standard_starts(own, start, starts)
    prunable = problem.features == "free" and problem.classifier is None and problem.trainable >= 2
    prunings = min(problem.classes - 1, 8) if prunable and not given else 0
    limits = (jnp.asarray(np.asarray(tolerance, problem.dtype)), jnp.asarray(max_steps))
    best, steps, values, rank, scale = _search(small, points, *limits, prunings)
    params = lift(best.point)
    judged = judge(own, params, best.status, limits[0], scale)
    if own is not problem:  # the residual is the same: in these coordinates equal columns are one vector of the same length
        check_memory(problem)
        params = spread_columns(problem, params)
    found = Solution(params, judged.value, judged.residual, steps, judged.status, rank, values)
    return differentiable_value(differentiated, found) if is_traced(*jax.tree.leaves(differentiated)) else found


@jax.jit(static_argnums=4)
def _search(problem: Problem, points: Params, tolerance: jax.Array, max_steps: jax.Array, prunings: int):
    """The best of the runs from stacked points, then from the best point with 1, 2, ... directions removed."""
    starts = points.H.shape[0]
    first = jax.tree.map(lambda x: x[0], points)
    infinity = jnp.asarray(jnp.inf, problem.dtype)
    nothing = Minimum(first, infinity, infinity, jnp.asarray(0), jnp.asarray(int(Status.NON_FINITE)))

    def attempt(carry, job):
        best, dropped, steps = carry
        index, fresh = job
        start = jax.tree.map(lambda x: x[index], points)
        if prunings:
            pruned = _without_weakest(problem, best.point, dropped)
            start = jax.tree.map(lambda a, b: jnp.where(fresh, a, b), start, pruned)
        run = _run(problem, start, tolerance, max_steps, best.value)
        better = (run.value < best.value) | ~jnp.isfinite(best.value)
        best = jax.tree.map(lambda a, b: jnp.where(better, a, b), run, best)
        return (best, jnp.where(better | fresh, 1, dropped + 1), steps + run.steps), run.value

    jobs = jnp.arange(starts + prunings)
    (best, _, steps), values = lax.scan(
        attempt, (nothing, jnp.asarray(1), jnp.asarray(0)), (jnp.minimum(jobs, starts - 1), jobs < starts)
    )
    rank = _rank_of(jnp.linalg.svd(end_to_end(problem, best.point.weights) @ best.point.H, compute_uv=False))
    return best, steps, values[:starts], rank, gradient_scale(problem)


def _run(problem: Problem, start: Params, tolerance: jax.Array, max_steps: jax.Array, rival: jax.Array) -> Minimum:
    """One run; non-negative features that vanished, or were zero at the start, but ought to grow are lifted, and it goes on."""
    if problem.features == "free":
        return _descend(problem, start, tolerance, max_steps, rival)
    if problem.features == "sphere":
        return _in_rounds(problem, start, tolerance, max_steps)

    def again(loop: tuple[Minimum, jax.Array, jax.Array]) -> tuple[Minimum, jax.Array, jax.Array]:
        last, stuck, rounds = loop
        H = last.point.H
        lifted = jnp.where(stuck, 1e-4 * jnp.maximum(jnp.max(H), 0.01), H)
        run = _descend(problem, last.point._replace(H=lifted), tolerance, max_steps - last.steps)
        stuck = _stuck(problem, run.point, tolerance)
        failed = jnp.any(stuck) & (run.status == int(Status.CONVERGED))
        status = jnp.where(failed, int(Status.STALLED), run.status)
        residual = gradient_norm(problem, run.point)
        return run._replace(gradient_norm=residual, steps=last.steps + run.steps, status=status), stuck, rounds + 1

    def unfinished(loop: tuple[Minimum, jax.Array, jax.Array]) -> jax.Array:
        run, stuck, rounds = loop
        return (rounds == 0) | ((rounds < _ROUNDS) & (run.status == int(Status.STALLED)) & jnp.any(stuck))

    infinity, begun = jnp.asarray(jnp.inf, problem.dtype), jnp.asarray(0)
    first = Minimum(start, infinity, infinity, begun, jnp.asarray(int(Status.STALLED)))
    run, *_ = lax.while_loop(unfinished, again, (first, _stuck(problem, start, tolerance), begun))
    return _or_zero(problem, _in_rounds(problem, run.point, tolerance, max_steps, run), tolerance)


def _in_rounds(
    problem: Problem, start: Params, tolerance: jax.Array, max_steps: jax.Array, found: Minimum | None = None
) -> Minimum:
    """Runs in fresh coordinates until the residual at the point itself is small, or no longer halves.

    On the sphere the coordinates of the last point are unit vectors again: the gradient in longer ones is too small by their
    length, and lengths only grow. Non-negative features move on the face where they are, zeros that want to be zero held: near
    zero the derivative 2 sqrt(H) g of squares is small where g is not. Every other round holds all that are as good as zero: one
    whose slope is zero too would turn with the weights, at no cost, to where it is negative.
    """
    infinity, begun = jnp.asarray(jnp.inf, problem.dtype), jnp.asarray(0)
    first = Minimum(start, infinity, infinity, begun, jnp.asarray(int(Status.STALLED))) if found is None else found

    def again(loop: tuple[Minimum, jax.Array, jax.Array]) -> tuple[Minimum, jax.Array, jax.Array]:
        best, _, rounds = loop
        as_zero = None if found is None else jnp.where(rounds % 2 == 0, _AS_ZERO, 0)
        run = _descend(problem, best.point, tolerance, max_steps - best.steps, as_zero=as_zero)
        value, residual = value_and_residual(problem, run.point)
        run = run._replace(value=value, gradient_norm=residual)
        level = run.value <= best.value + 4 * jnp.finfo(problem.dtype).eps * jnp.abs(best.value)
        better = level & ((run.gradient_norm < best.gradient_norm) | jnp.isinf(best.value)) | (rounds == 0) & (found is None)
        halved = better & (run.gradient_norm <= 0.5 * best.gradient_norm)
        kept = jax.tree.map(lambda a, b: jnp.where(better, a, b), run, best)
        return kept._replace(steps=best.steps + run.steps), halved, rounds + 1

    def unfinished(loop: tuple[Minimum, jax.Array, jax.Array]) -> jax.Array:
        best, halved, rounds = loop
        above = best.gradient_norm > tolerance * jnp.minimum(1, jnp.abs(best.value))
        untried = (rounds == 1) if found is not None else False
        return (rounds < _ROUNDS) & (halved | untried) & above & (best.steps < max_steps)

    return lax.while_loop(unfinished, again, (first, jnp.asarray(True), begun))[0]


def _or_zero(problem: Problem, run: Minimum, tolerance: jax.Array) -> Minimum:
    """The point with all factors zero where it is no higher: squared coordinates near it only slowly."""
    zero = jax.tree.map(jnp.zeros_like, run.point)._replace(b=run.point.b)
    value, residual = value_and_residual(problem, zero)
    met = residual <= allowed_norm(tolerance, value, gradient_scale(problem))
    status = jnp.where(met, int(Status.CONVERGED), int(Status.STALLED))
    lower = value <= run.value
    return jax.tree.map(lambda a, b: jnp.where(lower, a, b), Minimum(zero, value, residual, run.steps, status), run)


def _stuck(problem: Problem, params: Params, tolerance: jax.Array) -> jax.Array:
    """Entries of non-negative features at zero, up to what H = x^2 can see, of which a little more would lower f."""
    slope = jax.grad(lambda H: objective(problem, params._replace(H=H)))(params.H)
    return (params.H <= _AS_ZERO * jnp.max(params.H)) & (slope < -1e3 * tolerance)


def _descend(
    problem: Problem, start: Params, tolerance: jax.Array, max_steps: jax.Array, rival: Any = np.inf, as_zero: Any = None
) -> Minimum:
    """L-BFGS on the free coordinates of the domain, or of the face of it where the start is, up to entries `as_zero` as small."""
    chart, coordinates, metric = _chart(problem, start) if as_zero is None else _face_chart(problem, start, as_zero)
    limits = {"tolerance": _AIM * tolerance, "max_steps": max_steps, "metric": metric, "rival": rival}
    found = search(lambda x: objective(problem, chart(x)), coordinates, **limits)
    point = chart(found.point)
    return found._replace(point=point if as_zero is None else point._replace(H=jnp.maximum(point.H, 0)))


def _chart(problem: Problem, start: Params):
    """Free flat coordinates of the domain: the map to params, the start's coordinates, and d params / d coordinates.

    Free features: factors scaled so that all ridges become equal to c, which is the natural preconditioner. Non-negative
    features: H = coordinates^2. Sphere: normalised coordinates.
    """
    ridges = jnp.where(jnp.all(problem.ridges > 0), problem.ridges, 1)
    scales = jnp.sqrt(jnp.exp(jnp.mean(jnp.log(ridges))) / ridges)
    if problem.features != "free":
        scales = jnp.ones_like(scales)
    factors = Params(tuple(scales[1:]), scales[0], jnp.ones((), problem.dtype))
    per_entry = jax.tree.map(lambda s, x: jnp.full_like(x, 1) * s, factors, start)
    metric, unravel = ravel_pytree(per_entry)
    if problem.features == "nonnegative":
        start = start._replace(H=jnp.sqrt(jnp.maximum(start.H, 0)))

    def chart(x):
        p = unravel(x * metric)
        if problem.features == "nonnegative":
            return p._replace(H=p.H**2)
        return to_domain(problem, p)

    return chart, ravel_pytree(start)[0] / metric, metric


def _face_chart(problem: Problem, start: Params, as_zero: jax.Array):
    """As `_chart`, for non-negative features: those held at zero stay there, by their slope or as the size `as_zero` of the largest
    or less; the others are coordinates."""
    slope = jax.grad(lambda H: objective(problem, start._replace(H=H)))(start.H)
    held = (start.H <= slope) | (start.H <= as_zero * jnp.max(start.H))
    coordinates, unravel = ravel_pytree(start)

    def chart(x):
        p = unravel(x)
        return p._replace(H=jnp.where(held, 0, p.H))

    return chart, coordinates, 1.0


def _without_weakest(problem: Problem, params: Params, dropped: jax.Array) -> Params:
    """Params with the `dropped` weakest singular directions of the logit matrix projected out of both ends."""
    U, s, Vt = jnp.linalg.svd(end_to_end(problem, params.weights) @ params.H, full_matrices=False)
    keep = (jnp.arange(s.shape[0]) < _rank_of(s) - dropped).astype(s.dtype)
    top = (U * keep[None, :]) @ (U.T @ params.weights[-1])
    return params._replace(weights=(*params.weights[:-1], top), H=((params.H @ Vt.T) * keep[None, :]) @ Vt)


def _rank_of(singular_values: jax.Array) -> jax.Array:
    """Singular values above 1e-5 of the largest (1e-3 in float32), with an absolute floor for a vanishing matrix."""
    relative = 1e-5 if singular_values.dtype == jnp.float64 else 1e-3
    return jnp.sum(singular_values > jnp.maximum(relative * singular_values[0], relative))
