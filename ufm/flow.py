"""Gradient flow: where a point goes when every parameter moves down the gradient, theta' = -grad f(theta).

In the column coordinates of `Problem` this is gradient flow on the samples themselves, whatever the multiplicities.
"""

from enum import IntEnum
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ufm.checks import check_choice, check_count, check_tolerance, is_traced, refuse
from ufm.objective import Params, check_params, objective
from ufm.problem import Problem

_HIGH_ORDER_BELOW = 1e-8


class FlowStatus(IntEnum):
    """How an integration ended; `text` says it in words."""

    COMPLETED = 0
    MAX_STEPS = 1
    NON_FINITE = 2

    @property
    def text(self) -> str:
        """The status in words, with what to do about it."""
        return _TEXTS[self]


_TEXTS = {
    FlowStatus.COMPLETED: "completed: every requested time was reached within the tolerances",
    FlowStatus.MAX_STEPS: "stopped at max_steps before the last time: allow more steps, or larger tolerances",
    FlowStatus.NON_FINITE: "value or gradient at the start are infinite or NaN: check the scale of start and targets",
}


class Trajectory(NamedTuple):
    """A solution of the gradient flow at T times.

    ts: (T,). params: every leaf with a leading axis T. value, gradient_norm: (T,) of f and |grad f|.
    status: a `FlowStatus`; times that were not reached hold NaN.
    """

    ts: jax.Array
    params: Params
    value: jax.Array
    gradient_norm: jax.Array
    status: jax.Array


def flow(
    problem: Problem,
    params: Params,
    ts: Any,
    *,
    rtol: float | None = None,
    atol: float | None = None,
    max_steps: int = 100_000,
) -> Trajectory:
    """Gradient flow theta' = -grad f from `params` at time 0, by an adaptive explicit Runge-Kutta method.

    Dormand-Prince 8(7) below a relative tolerance of 1e-8, Tsitouras 5(4) above. |theta'|^2 = -df/dt along the flow.

    Args:
      problem: with free features; jit, vmap and grad go through its numbers.
      params: the point at time 0.
      ts: (T,) times at least 0, increasing, T >= 1.
      rtol, atol: error allowed a step, |error| <= atol + rtol |theta|; by default 1e-10 and 1e-12 in float64, 1e-5 and
        1e-7 in float32.
      max_steps: steps over the whole trajectory.

    Returns:
      Trajectory.

    Raises:
      ValueError: naming the argument, the value and what is allowed; a tolerance that the dtype cannot reach.

    Example:
      >>> p = Problem.balanced(classes=2, per_class=1, widths=2, l2_W=0.1, l2_H=0.1)
      >>> start = Params((0.1 * jnp.eye(2),), 0.1 * jnp.eye(2), None)
      >>> print(flow(p, start, [0.0, 3.0, 30.0]).value.round(3))
      [0.492 0.426 0.18 ]
    """
    check_choice("features", problem.features, ("free",))
    check_count("max_steps", max_steps, 1)
    check_params(problem, params)
    ts = _times(ts, problem.dtype)
    double = problem.dtype == jnp.float64
    rtol = (1e-10 if double else 1e-5) if rtol is None else rtol
    atol = (1e-12 if double else 1e-7) if atol is None else atol
    check_tolerance(rtol, problem.dtype)
    high_order = not is_traced(rtol) and float(rtol) < _HIGH_ORDER_BELOW
    return _integrate(problem, params, ts, rtol, atol, max_steps, high_order)


def _times(ts: Any, dtype: Any) -> jax.Array:
    times = jnp.asarray(ts, dtype)
    if times.ndim != 1 or times.shape[0] < 1:
        raise ValueError(f"ts must have shape (T,) with T >= 1, got {times.shape}")
    if not is_traced(times):
        values = np.asarray(times)
        if not (np.all(np.isfinite(values)) and values[0] >= 0 and np.all(np.diff(values) > 0)):
            refuse("ts", ts, "finite, at least 0 and increasing")
    return times


@jax.jit(static_argnums=(5, 6))
def _integrate(problem, params, ts, rtol, atol, max_steps, high_order) -> Trajectory:
    import diffrax  # two seconds, and most of ufm does without it

    def velocity(t, p, args):
        del t, args
        return jax.tree.map(jnp.negative, jax.grad(lambda q: objective(problem, q))(p))

    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(velocity),
        diffrax.Dopri8() if high_order else diffrax.Tsit5(),
        t0=jnp.zeros((), ts.dtype),
        t1=ts[-1],
        dt0=None,
        y0=params,
        saveat=diffrax.SaveAt(ts=ts),
        stepsize_controller=diffrax.PIDController(rtol=rtol, atol=atol),
        max_steps=max_steps,
        throw=False,
    )

    def report(p):
        value, gradient = jax.value_and_grad(lambda q: objective(problem, q))(p)
        return value, jnp.sqrt(sum(jnp.sum(g**2) for g in jax.tree.leaves(gradient)))

    reached = jnp.isfinite(solution.ts)
    path = jax.tree.map(lambda x: jnp.where(reached.reshape(-1, *(1,) * (x.ndim - 1)), x, jnp.nan), solution.ys)
    value, gradient_norm = jax.lax.map(report, path)
    # f decreases along the flow, so that only the start can be out of range
    finite = jnp.isfinite(sum(report(params)))
    short = jnp.where(finite, int(FlowStatus.MAX_STEPS), int(FlowStatus.NON_FINITE))
    completed = finite & (solution.result == diffrax.RESULTS.successful)
    status = jnp.where(completed, int(FlowStatus.COMPLETED), short)
    return Trajectory(ts, path, value, gradient_norm, status)
