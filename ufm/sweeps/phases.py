"""Phase diagrams: the phase that optimisation finds in every cell, and the boundary that a closed form draws through them."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ufm.base.checks import optional, refuse
from ufm.base.status import ended_well
from ufm.problem import Problem
from ufm.sweeps.axes import read_axes, with_numbers
from ufm.sweeps.dataset import attrs_of
from ufm.sweeps.functions import describe, measured_rank, predicted_rank
from ufm.sweeps.run import sweep

if TYPE_CHECKING:
    import xarray

_HALVINGS = 60


def phase_diagram(
    problem: Problem,
    x: tuple[str, Sequence[float]],
    y: tuple[str, Sequence[float]],
    *,
    measured: Callable = measured_rank,
    predicted: Callable = predicted_rank,
    seed: int = 0,
    store: Any = None,
    progress: bool | None = None,
) -> "xarray.Dataset":
    """Measured phases over two axes, and where closed forms say that one phase ends and the next begins.

    The phase is any whole number, by default the rank of the logit matrix: K or K - 1 where nothing has collapsed, 0 where
    everything has. Along y, between two cells whose predicted phases differ, the predicted boundary is found by bisection of the
    closed form; the measured one lies in the interval between two cells whose measured phases differ.

    Args:
      problem: where the diagram is.
      x, y: (axis, values) of numbers of the problem, as for `ufm.sweep`; y ascending.
      measured: (problem, key) -> {"phase": whole number, "status": ...}. predicted: problem -> {"phase": whole number}.
      seed: of the random starts. store, progress: as for `ufm.sweep`.

    Returns:
      Dataset over (x, y) of `phase` (NaN where the search failed), `predicted_phase`, `status`; over (x, crossing), from the
      least y up and NaN where there are fewer: `boundary`, `measured_low` and `measured_high`, and over x `crossings_agree`:
      whether as many boundaries were measured as predicted, each in the interval where it was found. Its attributes name the
      functions behind both (`function`, `predicted`) and the sources of the theorems (`references`).

    Raises:
      ValueError: for a y that does not ascend, and what `ufm.sweep` and the closed form refuse.
    """
    xarray = optional("xarray", "sweep")

    (x_name, xs), (y_name, ys) = _numbers_of(problem, "x", x), _numbers_of(problem, "y", y)
    if ys.size < 2 or not np.all(np.diff(ys) > 0):
        refuse("y", y[1], "at least two ascending values")
    if x_name == y_name:
        refuse("y", y_name, "another axis than x")
    axes = {x_name: xs, y_name: ys}
    closed = _with_phase("predicted", sweep(predicted, problem, axes, progress=False))
    found = _with_phase("measured", sweep(measured, problem, axes, seeds=[seed], store=store, progress=progress))
    found = found.isel(seed=0, drop=True)
    phase = found["phase"].astype(float).where(ended_well(found["status"]))
    low, high = _changes(phase.to_numpy(), ys)
    start, stop = _changes(closed["phase"].to_numpy().astype(float), ys)
    boundary = _bisect(predicted, problem, (x_name, xs), y_name, start, stop)
    width = max(low.shape[1], boundary.shape[1], 1)
    low, high, boundary = (np.pad(a, ((0, 0), (0, width - a.shape[1])), constant_values=np.nan) for a in (low, high, boundary))
    both_absent = np.isnan(low) & np.isnan(boundary)
    crossing = (x_name, "crossing")
    variables = {
        "phase": phase.assign_attrs(found["phase"].attrs | {"long_name": "measured phase"}),
        "predicted_phase": closed["phase"].assign_attrs(long_name="phase in closed form"),
        "status": found["status"],
        "boundary": (crossing, boundary, attrs_of(y_name) | {"long_name": f"{y_name} where the predicted phase changes"}),
        "measured_low": (crossing, low, attrs_of(y_name) | {"long_name": f"last {y_name} below a change of the measured phase"}),
        "measured_high": (crossing, high, attrs_of(y_name) | {"long_name": f"first {y_name} above it"}),
        "crossings_agree": (
            x_name,
            np.all(both_absent | ((low <= boundary) & (boundary <= high)), axis=1),
            {"units": "1", "long_name": "whether every predicted boundary was measured, and no other"},
        ),
    }
    sources = [text for dataset in (closed, found) for text in dataset.attrs["references"].splitlines()]
    named = {"predicted": describe(predicted), "references": "\n".join(dict.fromkeys(sources)), "x": x_name, "y": y_name}
    return xarray.Dataset(variables, found.coords, found.attrs | named)


def _numbers_of(problem: Problem, argument: str, given: Any) -> tuple[str, np.ndarray]:
    """Name and values of one axis of numbers."""
    if not isinstance(given, tuple | list) or len(given) != 2:
        refuse(argument, given, "(axis, values)")
    (axis,) = read_axes(problem, {given[0]: given[1]})
    if axis.choice or axis.values.ndim != 1:
        refuse(argument, axis.name, "an axis of plain numbers of the problem")
    return axis.name, axis.values


def _with_phase(argument: str, dataset: "xarray.Dataset") -> "xarray.Dataset":
    if "phase" not in dataset:
        names = [str(name) for name in dataset if name != "status"]
        raise ValueError(f'{argument} must return {{"phase": a whole number, ...}}, got {", ".join(names)}')
    return dataset


def _changes(phase: np.ndarray, ys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(below, above): the two y between which the phase changes, change after change, for every x; cells of NaN are skipped."""
    rows = []
    for row in phase:
        known = np.flatnonzero(np.isfinite(row))
        steps = [(ys[i], ys[j]) for i, j in zip(known[:-1], known[1:], strict=True) if row[i] != row[j]]
        rows.append(steps)
    width = max(map(len, rows), default=0)
    padded = [steps + [(np.nan, np.nan)] * (width - len(steps)) for steps in rows]
    both = np.asarray(padded, float).reshape(len(rows), width, 2)
    return both[..., 0], both[..., 1]


def _bisect(
    predicted: Callable, problem: Problem, x: tuple[str, np.ndarray], y_name: str, start: np.ndarray, stop: np.ndarray
) -> np.ndarray:
    """y of the change of the predicted phase inside each interval, geometric where the interval is positive."""
    rows, columns = np.nonzero(np.isfinite(start))
    boundary = np.full(start.shape, np.nan)
    if rows.size:
        run = jax.jit(jax.vmap(partial(_one_boundary, predicted, problem, x[0], y_name)))
        boundary[rows, columns] = np.asarray(run(x[1][rows], start[rows, columns], stop[rows, columns]))
    return boundary


def _one_boundary(
    predicted: Callable, problem: Problem, x_name: str, y_name: str, x: jax.Array, low: jax.Array, high: jax.Array
) -> jax.Array:
    def phase(y: jax.Array) -> jax.Array:
        return predicted(with_numbers(problem, {x_name: x, y_name: y}))["phase"]

    below = phase(low)

    def halve(_: int, bracket: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        a, b = bracket
        middle = jnp.where(a > 0, jnp.sqrt(jnp.maximum(a, 0)) * jnp.sqrt(jnp.maximum(b, 0)), 0.5 * (a + b))
        same = phase(middle) == below
        return jnp.where(same, middle, a), jnp.where(same, b, middle)

    a, b = lax.fori_loop(0, _HALVINGS, halve, (low, high))
    return 0.5 * (a + b)
