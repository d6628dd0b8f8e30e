"""Quantities in time along a flow or a descent, with what is predicted of them: closed forms, rates, the minimum."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ufm.base.checks import check_finite, check_positive, refuse
from ufm.motion.trajectory import Trajectory
from ufm.plot.canvas import PREDICTED, axes_for, legend_beside, series
from ufm.problem import Problem
from ufm.problem.params import Params, check_point, end_to_end

_NAMED = 8  # so many singular values have a line each in the legend
_LATE = 0.1  # times are log-spaced where most of them lie in this first part
_MARKS = 8


def logit_singular_values(problem: Problem, params: Params) -> jax.Array:
    """(min(K, C),) singular values of scale W_M ... W_1 H, descending: for `record` of `ufm.flow` and `ufm.descend`.

    Args:
      problem: any. params: a point of it.
    """
    check_point(problem, params)
    return jnp.linalg.svd(end_to_end(problem, params.weights) @ params.H, compute_uv=False)


def singular_values(problem: Problem, path: Any, *, closed_form: Any = None, ax: Any = None) -> Any:
    """Draw the singular values of the scaled logits scale W_M ... W_1 H in time, over a closed form (dashed).

    They are the singular values of the class logits, each column times the square root of its multiplicity: sqrt(n_k) for
    targets met exactly, one for each mode of a deep linear network.

    Args:
      problem: of the path.
      path: a Trajectory; or a Descent or LogDescent recorded with `logit_singular_values`.
      closed_form: (T, R) at the times of the path, or (R,) levels that do not move; R at most min(K, C), in any order.
      ax: axes to draw on; None makes a figure.

    Returns:
      The axes; time is logarithmic where the times of the path are.

    Raises:
      ValueError: for a path without singular values, or a closed form of another shape.
    """
    times, label = _clock(path)
    if isinstance(path, Trajectory):
        found = np.linalg.svd(np.asarray(end_to_end(problem, path.path.weights)) @ np.asarray(path.path.H), compute_uv=False)
    else:
        found = np.asarray(path.metrics) if hasattr(path.metrics, "shape") else np.zeros(0)
        if found.ndim != 2 or found.shape[0] != times.size:
            raise ValueError("path must be a Trajectory, or have been recorded with record=ufm.plot.logit_singular_values")
    ax = axes_for(ax)
    many = found.shape[1] > _NAMED
    for i, course in enumerate(found.T):
        _course(ax, times, course, i, None if many else rf"$\sigma_{{{i + 1}}}$")
    if closed_form is not None:
        levels = np.atleast_1d(np.asarray(closed_form, float))
        if levels.shape[-1] > found.shape[1] or levels.shape not in (levels.shape[-1:], (times.size, levels.shape[-1])):
            raise ValueError(f"closed_form must have shape ({times.size}, R) or (R,), R <= {found.shape[1]}, got {levels.shape}")
        ax.plot(times, np.broadcast_to(-np.sort(-levels, axis=-1), (times.size, levels.shape[-1])), **PREDICTED)
        _name_predicted(ax, "closed form")
    _axis_of_time(ax, times, label)
    ax.set_ylabel(r"singular value of $W_M \cdots W_1 H$ (logit · √samples)")
    ax.set_ylim(bottom=min(0.0, ax.get_ylim()[0]))
    legend_beside(ax)
    return ax


def metrics_in_time(path: Any, *, metrics: Any = None, rates: Any = None, ax: Any = None) -> Any:
    """Draw metrics in time on a logarithmic axis, with predicted exponential rates as dashed slopes.

        metric(t) ~ exp(-rate t)      through the time at which the metric has fallen half way, in logarithms

    Args:
      path: a Trajectory, Descent or LogDescent.
      metrics: {name: (T,) values}, by default what `record` gave: a dictionary or NamedTuple of scalars, or one scalar.
      rates: {name: rate}, above 0, per unit of the path's time; of the metric itself (a squared length has twice the rate of
        the length).
      ax: axes to draw on; None makes a figure.

    Returns:
      The axes. Values that are not above 0 are left out.

    Raises:
      ValueError: for metrics of other shapes, or a rate of something that is not drawn.
    """
    times, label = _clock(path)
    courses, rates = _named(path.metrics if metrics is None else metrics, times), dict(rates or {})
    for name, rate in rates.items():
        check_positive(f"rates[{name!r}]", rate)
        if name not in courses:
            refuse("rates", name, "rates of " + ", ".join(map(repr, courses)))
    ax = axes_for(ax)
    for i, (name, values) in enumerate(courses.items()):
        _course(ax, times, np.where(values > 0, values, np.nan), i, name)
    for name, rate in rates.items():
        _slope(ax, times, courses[name], float(rate))
    _finish_decay(ax, times, label, "metric")
    return ax


def objective_gap(path: Any, minimum: Any, *, rate: float | None = None, ax: Any = None) -> Any:
    """Draw f - f* in time on a logarithmic axis, with a predicted exponential rate as a dashed slope.

    Args:
      path: a Trajectory or Descent.
      minimum: f*, or what has it as `value`: a Prediction, a Solution.
      rate: of f - f*, above 0, per unit of the path's time: twice the smallest eigenvalue of the Hessian that is met.
      ax: axes to draw on; None makes a figure.

    Returns:
      The axes. Gaps below the rounding of f, 8 eps |f*|, are left out.

    Raises:
      ValueError: for a path that falls below the minimum by more than rounding, or one without values.
    """
    times, label = _clock(path)
    if not hasattr(path, "value"):
        refuse("path", type(path).__name__, "a Trajectory or a Descent, which have values of f")
    lowest = getattr(minimum, "value", minimum)
    check_finite("minimum", lowest)
    if rate is not None:
        check_positive("rate", rate)
    value, lowest = np.asarray(path.value), float(lowest)
    gap, rounding = value - lowest, float(np.finfo(value.dtype).eps) * max(abs(lowest), np.finfo(value.dtype).tiny)
    if np.nanmin(gap) < -1e6 * rounding:
        refuse("minimum", lowest, f"no larger than f along the path, which reaches {np.nanmin(value):.17g}")
    gap = np.where(gap > 8 * rounding, gap, np.nan)
    ax = axes_for(ax)
    _course(ax, times, gap, 0, "$f - f^*$")
    if rate is not None:
        _slope(ax, times, gap, float(rate))
    _finish_decay(ax, times, label, "objective above its minimum, $f - f^*$")
    return ax


def _clock(path: Any) -> tuple[np.ndarray, str]:
    """Times or steps of a path, and the label of their axis."""
    if hasattr(path, "log_time"):
        return np.asarray(path.log_time, float) / np.log(10), r"$\log_{10} t$"
    if hasattr(path, "ts"):
        return np.asarray(path.ts, float), "time $t$ of gradient flow"
    if hasattr(path, "recorded"):
        return np.asarray(path.recorded, float), "steps"
    return refuse("path", type(path).__name__, "a Trajectory, a Descent or a LogDescent")


def _named(metrics: Any, times: np.ndarray) -> dict[str, np.ndarray]:
    given = metrics._asdict() if hasattr(metrics, "_asdict") else metrics
    given = given if isinstance(given, Mapping) else {"metric": given}
    courses = {name: np.asarray(x, float) for name, x in given.items() if not isinstance(x, tuple)}
    if not courses:
        raise ValueError("metrics must hold something to draw: give ufm.flow or ufm.descend a `record`")
    for name, x in courses.items():
        if x.shape != times.shape:
            raise ValueError(f"metrics[{name!r}] must have shape {times.shape}, got {x.shape}")
    return courses


def _course(ax: Any, times: np.ndarray, values: np.ndarray, index: int, name: str | None) -> None:
    """A measured line: wide, with a marker now and then at places of its own."""
    every = max(1, times.size // _MARKS)
    ax.plot(times, values, linewidth=2.5, markevery=(index * every // 7 % every, every), label=name, **series(index))


def _slope(ax: Any, times: np.ndarray, values: np.ndarray, rate: float) -> None:
    """exp(-rate t) through the first time at which the values are half way down in logarithms, over the values' range."""
    seen = np.isfinite(times) & np.isfinite(values) & (values > 0)
    if not np.any(seen):
        return
    t, logs = times[seen], np.log(values[seen])
    middle = np.argmax(logs <= (logs[0] + np.min(logs)) / 2)
    line = logs[middle] - rate * (times - t[middle])
    inside = np.isfinite(times) & (line >= np.min(logs)) & (line <= np.max(logs))
    ax.plot(times[inside], np.exp(line[inside]), **PREDICTED)
    _name_predicted(ax, "predicted rate")


def _name_predicted(ax: Any, name: str) -> None:
    """One entry of the legend for all dashed lines."""
    if name not in ax.get_legend_handles_labels()[1]:
        ax.lines[-1].set_label(name)


def _axis_of_time(ax: Any, times: np.ndarray, label: str) -> None:
    ax.set_xlabel(label)
    positive = times[np.isfinite(times) & (times > 0)]
    if label != r"$\log_{10} t$" and positive.size > 2 and np.median(positive) < _LATE * positive[-1]:
        ax.set_xscale("log")


def _finish_decay(ax: Any, times: np.ndarray, label: str, quantity: str) -> None:
    ax.set_yscale("log")
    _axis_of_time(ax, times, label)
    ax.set_ylabel(quantity)
    legend_beside(ax)
