"""Gram matrices side by side: predicted, measured, and their difference."""

from typing import Any

import numpy as np

from ufm.base.checks import check_choice, refuse
from ufm.plot.canvas import DIVERGING, check_axes, number, pyplot
from ufm.plot.points import view_of
from ufm.problem import Problem

_WRITTEN = 6  # matrices up to this size have their numbers in the cells


def gram_matrices(problem: Problem | None, predicted: Any, measured: Any, *, of: str = "means", axes: Any = None) -> Any:
    """Draw two Gram matrices and their difference on one scale of colours, class by class.

        G = M^T M (class means),    W W^T (classifier, W = scale W_M ... W_1)

    Rotations of the features change neither, so that two minimisers can be compared entry by entry.

    Args:
      problem: of the points; None where both are matrices.
      predicted, measured: each a point of the problem (Params, Solution, Prediction) or a (K, K) Gram matrix.
      of: "means" or "classifier"; of no effect on matrices.
      axes: three axes to draw on; None makes a figure.

    Returns:
      The three axes, an array: predicted, measured, measured - predicted. The title of the last has its largest entry.

    Raises:
      ValueError: for points without a problem, matrices of different shapes, or another number of axes.
    """
    check_choice("of", of, ("means", "classifier"))
    grams = [_gram(problem, name, x, of) for name, x in (("predicted", predicted), ("measured", measured))]
    if grams[0].shape != grams[1].shape:
        raise ValueError(f"predicted and measured must have one shape, got {grams[0].shape} and {grams[1].shape}")
    if axes is None:
        figure = pyplot().figure(figsize=(10, 3.4), layout="compressed")
        axes = figure.subplots(1, 3, sharex=True, sharey=True)
    axes = np.asarray(axes, dtype=object).ravel()
    if axes.size != 3:
        refuse("axes", axes.size, "three axes")
    for ax in axes:
        check_axes("axes", ax)
    difference = grams[1] - grams[0]
    top = max(float(np.max(np.abs(G))) for G in grams) or 1.0
    titles = ("predicted", "measured", f"measured − predicted\n(largest {number(np.max(np.abs(difference)))})")
    for ax, G, title in zip(axes, (*grams, difference), titles, strict=True):
        image = _draw(ax, G, title, top)
    symbol = r"$\langle m_j, m_k \rangle$" if of == "means" else r"$\langle w_j, w_k \rangle$"
    axes[0].set_ylabel("class $j$")
    axes[2].figure.colorbar(image, ax=list(axes), label=symbol, shrink=0.9)
    return axes


def _gram(problem: Problem | None, name: str, x: Any, of: str) -> np.ndarray:
    """The Gram matrix of a point, or the given one."""
    if hasattr(x, "H") or hasattr(x, "params"):
        if problem is None:
            raise ValueError(f"problem must be given where {name} is a point")
        view = view_of(problem, x, name)
        vectors = view.means if of == "means" else view.rows.T
        return vectors.T @ vectors
    try:
        G = np.asarray(x, dtype=float)
    except (TypeError, ValueError):
        refuse(name, x, "a point (Params, Solution, Prediction) or a Gram matrix")
    if G.ndim != 2 or G.shape[0] != G.shape[1]:
        raise ValueError(f"{name} must be a point or a square matrix, got shape {G.shape}")
    return G


def _draw(ax: Any, G: np.ndarray, title: str, top: float) -> Any:
    K = G.shape[0]
    places = np.arange(1, K + 1)
    image = ax.imshow(G, cmap=DIVERGING, vmin=-top, vmax=top, extent=(0.5, K + 0.5, K + 0.5, 0.5))
    if K <= _WRITTEN:
        for (j, k), value in np.ndenumerate(G):
            shown = "0" if abs(value) < 5e-4 * top else number(value, 2)
            ax.text(k + 1, j + 1, shown, ha="center", va="center", color="white" if abs(value) > 0.6 * top else "black")
    every = -(-K // 10)
    ax.set_xticks(places[::every])
    ax.set_yticks(places[::every])
    ax.set_xlabel("class $k$")
    ax.set_title(title)
    return image
