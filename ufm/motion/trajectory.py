"""Flows: where a point goes when everything moves down a gradient, theta' = -grad f(theta), in one of four ways.

    kind="gradient"      all of theta = (W_1, ..., W_M, H, b) moves, theta' = -grad f(theta)
    kind="central-path"  H' = -grad L(H) with (W, b) = (W*(H), b*(H)) at all times, L(H) = min over (W, b) of f
    kind="renormalised"  X' = -P grad L(X), P the projection onto the tangent of {Sigma_W(X) = I, global mean 0}
    kind="rewhitened"    the limit of small steps of X <- Sigma_W^-1/2 (X - step grad L(X)), another flow on the same set

Time is that of f, whose data term is a mean over N samples: a flow down N f runs N times as fast. In the column coordinates
of `Problem` all four are the flows of the samples themselves, whatever the multiplicities. (Han, Papyan, Donoho 2022, Neural
collapse under MSE loss, arXiv 2106.02073, for the central path and its renormalisation; see `ufm.central_path`.)
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ufm.base.callbacks import without_checks
from ufm.base.checks import check_choice, check_count, check_tolerance, is_traced, refuse
from ufm.base.describe import describe
from ufm.base.precision import full_precision
from ufm.base.programs import make_room_for
from ufm.base.status import Status
from ufm.motion.central_path import check_renormalisable, least_squares_point, reduced_objective, renormalise, renormalised_velocity
from ufm.problem import Problem
from ufm.problem.params import Params, check_order, check_params, objective

KINDS = ("gradient", "central-path", "renormalised", "rewhitened")
_HIGH_ORDER_BELOW = 1e-8
_REPORTS = 50


class Trajectory(NamedTuple):
    """A flow at T times.

    ts: (T,). path: the points, every leaf with a leading axis T; on the central path W*(H) and b*(H). params: the last of them,
    from which the flow goes on. value, gradient_norm: (T,) of f and of the speed, |grad f| or its part along the flow's set.
    status: a `ufm.Status`; times that were not reached hold NaN. metrics: what `record` gave, stacked.
    """

    ts: jax.Array
    path: Params
    value: jax.Array
    gradient_norm: jax.Array
    status: jax.Array
    metrics: Any = ()

    @property
    def params(self) -> Params:
        """The point at the last time."""
        weights, H, b = self.path  # under vmap time is not the first axis
        return Params(tuple(W[..., -1, :, :] for W in weights), H[..., -1, :, :], None if b is None else b[..., -1, :])

    def __str__(self) -> str:
        return describe(self).text()

    def _repr_html_(self) -> str:
        return describe(self).html()


@full_precision
def flow(
    problem: Problem,
    params: Params,
    ts: Any,
    *,
    kind: str = "gradient",
    record: Callable[[Problem, Params], Any] | None = None,
    rtol: float | None = None,
    atol: float | None = None,
    max_steps: int = 100_000,
    progress: Callable[[int, int], None] | None = None,
) -> Trajectory:
    """The flow from `params` at time 0, by an adaptive explicit Runge-Kutta method.

    Dormand-Prince 8(7) below a relative tolerance of 1e-8, Tsitouras 5(4) above. |theta'|^2 = -df/dt along the flow, but for
    kind="rewhitened". Flows do not know the time: to continue one, start another from its last params.

    Args:
      problem: with free features; jit, vmap and grad go through its numbers. All kinds but "gradient" need one trained layer
        of squared error, the last two also classes of whole samples and no proximity term.
      params: the point at time 0. All kinds but "gradient" look at its H alone, and the last two renormalise that first.
      ts: (T,) times at least 0, increasing, T >= 1 (others are REFUSED by the status where they are traced).
      kind: one of `KINDS`, as above.
      record: (problem, params) -> pytree of metrics to keep at each time; a named function compiles once.
      rtol, atol: error allowed a step, |error| <= atol + rtol |theta|; by default 1e-10 and 1e-12 in float64, 1e-5 and
        1e-7 in float32. The set of the last two kinds is kept to these tolerances.
      max_steps: steps over the whole trajectory; between two calls of `progress` where there is one.
      progress: called as progress(times reached, times in all) about fifty times during the run (not under jit).

    Returns:
      Trajectory.

    Raises:
      ValueError: naming the argument, the value and what is allowed; a tolerance that the dtype cannot reach.

    Example:
      >>> p = Problem.balanced(classes=2, per_class=1, widths=2, l2_W=0.1, l2_H=0.1)
      >>> start = Params((0.1 * jnp.eye(2),), 0.1 * jnp.eye(2), None)
      >>> print(flow(p, start, [0.0, 3.0, 30.0]).value.round(3))
      [0.492 0.426 0.18 ]
      >>> print(flow(p, start, [0.0, 3.0, 30.0], kind="central-path").value.round(3))
      [0.477 0.194 0.18 ]
    """
    check_order(problem, params)
    check_choice("features", problem.features, ("free",))
    check_choice("kind", kind, KINDS)
    check_count("max_steps", max_steps, 1)
    check_params(problem, params)
    make_room_for(problem, params, ts)
    if kind in ("renormalised", "rewhitened"):
        check_renormalisable(problem)
    ts = _times(ts, problem.dtype)
    double = problem.dtype == jnp.float64
    rtol = (1e-10 if double else 1e-5) if rtol is None else rtol
    atol = (1e-12 if double else 1e-7) if atol is None else atol
    check_tolerance(rtol, problem.dtype)
    high_order = not is_traced(rtol) and float(rtol) < _HIGH_ORDER_BELOW
    state = _state(problem, params, kind)
    options = (rtol, atol, kind, max_steps, high_order)
    if progress is None:
        path, status = _integrate(problem, state, jnp.zeros((), ts.dtype), ts, *options)
    else:
        path, status = _in_stretches(problem, state, ts, options, progress)
    points, value, speed, metrics = _look(problem, path, kind, record)
    return Trajectory(ts, points, value, speed, status, metrics)


def _in_stretches(problem: Problem, state: Any, ts: jax.Array, options: tuple, progress: Callable) -> tuple[Any, jax.Array]:
    """The path in about `_REPORTS` stretches of equally many times, the rest unreached after one that fails."""
    stretch = max(1, ts.size // _REPORTS)
    paths, now = [], jnp.zeros((), ts.dtype)
    for done in range(0, ts.size, stretch):
        part = ts[done : done + stretch]
        path, status = _integrate(problem, state, now, part, *options)
        paths.append(path)
        state, now = jax.tree.map(lambda x: x[-1], path), part[-1]
        progress(done + part.size, ts.size)
        if int(status) != Status.COMPLETED:
            unreached = ts.size - done - part.size
            paths.append(jax.tree.map(lambda x, count=unreached: jnp.full((count, *x.shape), jnp.nan, x.dtype), state))
            break
    return jax.tree.map(lambda *parts: jnp.concatenate(parts), *paths), status


def _times(ts: Any, dtype: Any) -> jax.Array:
    times = jnp.asarray(ts, dtype)
    if times.ndim != 1 or times.shape[0] < 1:
        raise ValueError(f"ts must have shape (T,) with T >= 1, got {times.shape}")
    if not is_traced(times):
        values = np.asarray(times)
        if not (np.all(np.isfinite(values)) and values[0] >= 0 and np.all(np.diff(values) > 0)):
            refuse("ts", ts, "finite, at least 0 and increasing")
    return times


def _state(problem: Problem, params: Params, kind: str) -> Any:
    """What moves: all parameters, the features, or the renormalised features."""
    if kind == "gradient":
        return params
    return params.H if kind == "central-path" else renormalise(problem, params.H)


def _velocity(problem: Problem, kind: str, state: Any) -> Any:
    if kind in ("renormalised", "rewhitened"):
        return renormalised_velocity(problem, state, rewhitened=kind == "rewhitened")
    f = objective if kind == "gradient" else reduced_objective
    return jax.tree.map(jnp.negative, jax.grad(partial(f, problem))(state))


def _report(problem: Problem, kind: str, state: Any) -> tuple[Params, jax.Array, jax.Array]:
    """The point, f and the speed."""
    point = state if kind == "gradient" else least_squares_point(problem, state)
    speed = jnp.sqrt(sum(jnp.sum(v**2) for v in jax.tree.leaves(_velocity(problem, kind, state))))
    return point, objective(problem, point), speed


@jax.jit(static_argnums=(2, 3))
def _look(problem, path, kind, record) -> tuple[Params, jax.Array, jax.Array, Any]:
    def look(state):
        point, value, speed = _report(problem, kind, state)
        return point, value, speed, () if record is None else record(problem, point)

    return jax.lax.map(look, path)


@jax.jit(static_argnums=(6, 7, 8))
def _integrate(problem, start, now, ts, rtol, atol, kind, max_steps, high_order) -> tuple[Any, jax.Array]:
    import diffrax  # two seconds, and most of ufm does without it

    # f decreases along the flow, so that only the start can be out of range: such a flow stands still
    _, value, speed = _report(problem, kind, start)
    ordered = (ts[0] >= now) & jnp.all(ts[1:] > ts[:-1])
    finite = jnp.isfinite(value + speed) & ordered

    def kept(tree: Any, finite: jax.Array) -> Any:
        return jax.tree.map(lambda x: jnp.where(finite, x, 0), tree)

    def integrated(problem, start, now, ts, rtol, atol, finite):
        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(lambda t, state, args: kept(_velocity(problem, kind, state), finite)),
            diffrax.Dopri8() if high_order else diffrax.Tsit5(),
            t0=now,
            t1=ts[-1],
            dt0=None,
            y0=kept(start, finite),
            saveat=diffrax.SaveAt(ts=ts),
            stepsize_controller=diffrax.PIDController(rtol=rtol, atol=atol),
            max_steps=max_steps,
            throw=False,
        )
        return solution.ts, solution.ys, solution.result == diffrax.RESULTS.successful

    tolerances = (jnp.asarray(rtol, ts.dtype), jnp.asarray(atol, ts.dtype))
    times, states, successful = without_checks(integrated)(problem, start, now, ts, *tolerances, finite)
    reached = finite & jnp.isfinite(times)
    path = jax.tree.map(lambda x: jnp.where(reached.reshape(-1, *(1,) * (x.ndim - 1)), x, jnp.nan), states)
    failed = jnp.where(ordered, int(Status.NON_FINITE), int(Status.REFUSED))
    return path, jnp.where(finite, jnp.where(successful, int(Status.COMPLETED), int(Status.MAX_STEPS)), failed)
