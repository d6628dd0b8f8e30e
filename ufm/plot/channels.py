"""Features of mixed targets in the plane of three classes: how they go from class to class as lambda does."""

from typing import Any

import numpy as np

from ufm.base.checks import refuse
from ufm.plot.arrows import arrow
from ufm.plot.canvas import COLOURS, MARKERS, PREDICTED, SEQUENTIAL, axes_for, legend_beside, number
from ufm.plot.points import longest, params_of
from ufm.problem import Problem
from ufm.problem.params import check_order, check_params, end_to_end

_ANGLES = np.pi / 2 - 2 * np.pi * np.arange(3) / 3  # class 1 on top, the others clockwise
EDGES = dict(zip(((0, 1), (0, 2), (1, 2)), MARKERS, strict=False))  # pairs of classes
_PURE = COLOURS[1]
_TRIANGLE = np.sqrt(2 / 3) * np.stack([np.cos(_ANGLES), np.sin(_ANGLES)])


def mixup_features(problem: Problem, point: Any, *, predicted: Any = None, ax: Any = None) -> Any:
    """Draw the features of targets lambda e_k + (1 - lambda) e_l of three classes, along every edge k l, in one plane.

        x_c = A U V^T h_c,    W = U S V^T,    A: class 1 up, the others clockwise at 120 degrees

    The map turns the plane of the rows of a centred W, the only one that cross-entropy sees, without stretching it; however the
    features are rotated, the figure is the same. Colours are the larger weight of the target, markers the edges.

    Args:
      problem: of three classes and targets that mix at most two of them, such as `ufm.settings.mixup.mixup_problem` makes.
      point: Params of the problem, a Solution or a Prediction.
      predicted: another point of the same problem, drawn as a dashed line along each edge.
      ax: axes to draw on; None makes a figure.

    Returns:
      The axes. Rows of W are dashed arrows as long as the longest feature of one class.

    Raises:
      ValueError: for other numbers of classes, targets that mix three, or params of other shapes.

    Source: after the figures of Fisher, Meng and Papyan (2024), arXiv 2402.06171.
    """
    check_order(problem, params_of("point", point))
    targets = np.asarray(problem.targets)
    if problem.classes != 3:
        refuse("problem.classes", problem.classes, "3, which fit into the plane")
    if np.any(np.sum(targets > 0, axis=0) > 2):
        refuse("problem.targets", "a target of three classes", "mixtures of at most two")
    features, rows = _in_plane(problem, point, "point")
    other = None if predicted is None else _in_plane(problem, predicted, "predicted")[0]
    ax = axes_for(ax)
    pure = np.max(targets, axis=0) == 1
    size = longest(features[:, pure]) if np.any(pure) else longest(features)
    for row in rows.T:
        arrow(ax, row * size / longest(rows), color="grey", linewidth=1.2, linestyle=(0, (4, 2)))
    for (first, second), marker in EDGES.items():
        along = np.flatnonzero(targets[3 - first - second] == 0)
        along = along[np.argsort(targets[first, along], kind="stable")]
        if other is not None:
            ax.plot(*other[:, along], **PREDICTED)
        mixed = along[~pure[along]]
        dots = ax.scatter(
            *features[:, mixed], c=np.max(targets[:, mixed], axis=0), marker=marker, s=30, cmap=SEQUENTIAL, vmin=0.5, vmax=1.0,
            edgecolors="black", linewidths=0.4, zorder=5,
        )  # fmt: skip
    for k in range(3):
        own = features[:, pure & (targets[k] == 1)]
        ax.scatter(*own, marker="*", s=160, color=_PURE, edgecolors="black", linewidths=0.6, zorder=6)
        ax.text(*(1.16 * size * _TRIANGLE[:, k] / longest(_TRIANGLE)), f"{k + 1}", ha="center", va="center")
    reach = 1.35 * max(size, longest(features), 0.0 if other is None else longest(other))
    ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", xlabel="feature coordinate 1", ylabel="feature coordinate 2")
    weight = r"larger weight of the target, $\max(\lambda, 1 - \lambda)$"
    ax.figure.colorbar(dots, ax=ax, label=weight, location="bottom", shrink=0.7)
    _legend(ax, longest(rows), other is not None)
    return ax


def _legend(ax: Any, unit: float, predicted: bool) -> None:
    from matplotlib.lines import Line2D

    marks: dict[str, Any] = {"linestyle": "none", "markeredgecolor": "black"}
    handles = [Line2D([], [], **marks, marker="*", markersize=12, color=_PURE, label="one class")]
    for (first, second), marker in EDGES.items():
        handles.append(Line2D([], [], **marks, marker=marker, color="white", label=f"{first + 1} with {second + 1}"))
    row = f"rows of $W$\n(unit: longest, {number(unit)})"
    handles.append(Line2D([], [], color="grey", linestyle=(0, (4, 2)), label=row))
    if predicted:
        handles.append(Line2D([], [], **PREDICTED, label="predicted"))
    legend_beside(ax, *handles)


def _in_plane(problem: Problem, point: Any, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Features and classifier rows in the plane, (2, C) and (2, 3)."""
    check_params(problem, params_of(name, point))
    W = np.asarray(end_to_end(problem, params_of(name, point).weights))
    features = np.asarray(params_of(name, point).H) / np.sqrt(np.asarray(problem.multiplicity))[None, :]
    U, _, Vt = np.linalg.svd(W - np.mean(W, axis=0, keepdims=True), full_matrices=False)
    onto = _TRIANGLE @ (U[:, :2] @ Vt[:2])
    return onto @ features, onto @ W.T
