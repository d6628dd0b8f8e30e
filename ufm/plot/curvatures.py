"""Spectra of the Hessian, with predicted eigenvalues and how often each occurs."""

from typing import Any

import jax
import numpy as np

from ufm.base.checks import check_finite, refuse
from ufm.plot.canvas import COLOURS, PREDICTED, axes_for, number
from ufm.plot.points import params_of
from ufm.problem import Problem
from ufm.problem.params import Params, check_params
from ufm.theory.kit.hessian import derivatives

_LARGEST = 4000  # entries of (W, H): beyond it the matrix takes more memory than a figure is worth
_SAME = 1e-9  # of the largest: predicted eigenvalues that are one
_APART = 0.055  # least distance of two labels, of the height of the axes


def hessian_spectrum(problem: Problem, point: Any, *, predicted: Any = None, ax: Any = None) -> Any:
    """Draw the eigenvalues of the Hessian of f at a point, ascending, over predicted ones (dashed) with their multiplicities.

    Args:
      problem: with free features, of at most 4000 entries of weights, H and b together.
      point: Params of the problem, a Solution or a Prediction.
      predicted: (values, multiplicity), two arrays (G,), such as `ufm.theory.second_order.table.spectrum` gives at a critical
        point; equal values are drawn once, with the sum of their multiplicities.
      ax: axes to draw on; None makes a figure.

    Returns:
      The axes.

    Raises:
      ValueError: for params of other shapes, more entries, constrained features, or multiplicities of another sum.
    """
    params = params_of("point", point)
    check_params(problem, params)
    if problem.features != "free":
        refuse("features", problem.features, "'free': a constrained point has a Hessian along its domain alone")
    size = sum(x.size for x in jax.tree.leaves(params))
    if size > _LARGEST:
        refuse("point", f"{size} entries", f"of at most {_LARGEST} entries of weights, H and b")
    levels = None if predicted is None else _levels(predicted, size)
    eigenvalues = np.linalg.eigvalsh(np.asarray(derivatives(problem, Params(*params)).hessian))
    ax = axes_for(ax)
    marks = {"linestyle": "none", "marker": "o", "markersize": 4, "color": COLOURS[0], "zorder": 3}
    ax.plot(np.arange(1, size + 1), eigenvalues, label="measured", **marks)
    ax.set_xlabel("eigenvalue, ascending")
    ax.set_ylabel(r"eigenvalue of $\nabla^2 f$")
    ax.margins(x=0.02, y=0.08)
    if levels is not None:
        _draw_levels(ax, *levels)
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False)
    return ax


def _levels(predicted: Any, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Different predicted eigenvalues, ascending, and how often each occurs."""
    values, multiplicity = (np.asarray(x) for x in predicted)
    check_finite("predicted.values", values)
    if values.ndim != 1 or multiplicity.shape != values.shape:
        raise ValueError(f"predicted must be two arrays of one shape (G,), got {values.shape} and {multiplicity.shape}")
    if np.sum(multiplicity) != size:
        refuse("predicted.multiplicity", int(np.sum(multiplicity)), f"as many eigenvalues as there are entries, {size}")
    kept = multiplicity > 0
    order = np.argsort(values[kept])
    values, multiplicity = values[kept][order], multiplicity[kept][order]
    first = np.diff(values, prepend=-np.inf) > _SAME * np.max(np.abs(values))
    return values[first], np.add.reduceat(multiplicity, np.flatnonzero(first))


def _draw_levels(ax: Any, values: np.ndarray, multiplicity: np.ndarray) -> None:
    """A line for every eigenvalue, and to the right of the axes what it is, labels kept apart and tied to their lines."""
    low, high = ax.get_ylim()
    places = (values - low) / (high - low)
    shown = _spread(places, _APART)
    for i, (value, count, place, text_place) in enumerate(zip(values, multiplicity, places, shown, strict=True)):
        ax.axhline(value, label="predicted" if i == 0 else None, **(PREDICTED | {"linewidth": 1.0, "zorder": 2}))
        ax.annotate(
            f"{number(value if abs(value) > _SAME * np.max(np.abs(values)) else 0)}  ×{count}",
            xy=(1.0, place), xytext=(1.05, text_place), xycoords="axes fraction", textcoords="axes fraction", va="center",
            arrowprops={"arrowstyle": "-", "linewidth": 0.6, "color": "grey", "shrinkA": 1, "shrinkB": 0},
        )  # fmt: skip
    ax.set_ylim(low, high)


def _spread(places: np.ndarray, apart: float) -> np.ndarray:
    """Ascending places moved as little as a sweep up and one down allow, at least `apart` from each other."""
    moved = places.copy()
    for _ in range(200):
        gaps = np.diff(moved)
        close = gaps < apart
        if not np.any(close):
            break
        push = np.where(close, (apart - gaps) / 2 + 1e-6, 0)
        moved[:-1] -= push
        moved[1:] += push
    return moved
