"""Class means and classifier rows as arrows, features as points, in two or three dimensions."""

from functools import cache
from typing import Any

import numpy as np

from ufm.base.checks import check_choice
from ufm.plot.canvas import axes_for, check_axes, is_solid, legend_beside, number, pyplot, series
from ufm.plot.points import Directions, View, longest, principal_directions, view_of
from ufm.problem import Problem

_ROOM = 1.25  # half the width of the axes, in units of the longest vector
ELEVATION = 25.0  # degrees
_ALIGNED = 0.95  # cosine
_NEAR = 0.04  # tips so near to each other share a label


def geometry(problem: Problem, point: Any, *, dims: int | None = None, ax: Any = None) -> Any:
    """Draw the features of every class, their class means as arrows and the classifier's rows as dashed arrows.

        h_c / |longest m|,    m_k / |longest m|,    w_k / |longest w|        W = scale W_M ... W_1

    Features and means are in units of the longest mean, rows in units of the longest row (the legend has both lengths), so that
    self-duality is arrows that coincide. Where d is larger than the axes have dimensions, they show the directions that hold
    most of the squared lengths of means and rows (see the labels), measured from the origin.

    Args:
      problem: any; its runs of equal columns are the classes.
      point: Params of the problem, a Solution or a Prediction.
      dims: 2 or 3; by default those of the axes, else 2 where d = 2 or two directions hold 99.9 %, and 3 otherwise.
      ax: axes to draw on, of projection="3d" for 3 dimensions; None makes a figure.

    Returns:
      The axes.

    Raises:
      ValueError: for params of other shapes, that are not finite, or axes of another number of dimensions.
    """
    check_choice("dims", dims, (None, 2, 3))
    view = view_of(problem, point)
    if ax is not None:
        check_axes("ax", ax)
        dims = (3 if is_solid(ax) else 2) if dims is None else dims
    directions = principal_directions(view, dims)
    units = longest(view.means), longest(view.rows.T)
    solid = directions.basis.shape[1] == 3
    new = ax is None
    ax = axes_for(ax, solid=solid, size=(8.0, 5.5) if solid else None)
    if new and solid:
        ax.view_init(elev=ELEVATION, azim=clear_azimuth(directions.basis.T @ view.means / units[0]))
    reach = max(1.0, longest(directions.basis.T @ view.features) / units[0])
    draw_view(ax, view, directions, units, _ROOM * reach)
    return ax


def draw_view(ax: Any, view: View, directions: Directions, units: tuple[float, float], limit: float) -> None:
    """Draw a point on cleared axes in given directions, units of means and of rows, and limits."""
    features, means = (directions.basis.T @ x / units[0] for x in (view.features, view.means))
    rows = directions.basis.T @ view.rows.T / units[1]
    size = 24 if view.labels.size <= 100 else 8
    for k in range(means.shape[1]):
        own = features[:, view.labels == k]
        style = series(k)
        ax.scatter(*own, s=size, alpha=0.5, linewidths=0, **style)
        arrow(ax, means[:, k], color=style["color"], linewidth=3.0, alpha=0.7)
    for k in range(rows.shape[1]):
        arrow(ax, rows[:, k], color="black", linewidth=1.2, linestyle=(0, (4, 2)), zorder=4)
        style = series(k) if rows.shape[1] == means.shape[1] else {"color": "white", "marker": "o"}
        ax.plot(*rows[:, k : k + 1], linestyle="none", markersize=7, markeredgecolor="black", zorder=5, **style)
    _name_tips(ax, _outer_tips(means, rows), limit)
    names = (ax.set_xlabel, ax.set_ylabel, ax.set_zlabel) if is_solid(ax) else (ax.set_xlabel, ax.set_ylabel)
    limits = (ax.set_xlim, ax.set_ylim, ax.set_zlim) if is_solid(ax) else (ax.set_xlim, ax.set_ylim)
    for set_name, name, set_limits in zip(names, directions.names, limits, strict=False):
        set_name(name)
        set_limits(-limit, limit)
    if is_solid(ax):
        ax.locator_params(nbins=4)  # the labels of more ticks run into those of the axes
        ax.set_box_aspect((1, 1, 1), zoom=0.88)  # layouts leave too little room for those
    else:
        ax.set_aspect("equal")
    _legend(ax, units)


def clear_azimuth(tips: np.ndarray) -> float:
    """The azimuth, degrees, from which arrows to the tips (3, n) are seen farthest apart and least from their ends."""
    points = np.concatenate([np.zeros((3, 1)), tips], axis=1)
    apart = points[:, :, None] - points[:, None, :]
    apart = apart[:, np.linalg.norm(apart, axis=0) > _NEAR]
    elevation, azimuths = np.radians(ELEVATION), np.arange(-80, -9, 5)  # where all axes are named beside the box

    def least(azimuth: float) -> float:
        a = np.radians(azimuth)
        right = np.array([-np.sin(a), np.cos(a), 0])
        up = np.array([-np.sin(elevation) * np.cos(a), -np.sin(elevation) * np.sin(a), np.cos(elevation)])
        return float(np.min(np.hypot(right @ apart, up @ apart), initial=np.inf))

    return float(azimuths[np.argmax([round(least(float(azimuth)), 6) for azimuth in azimuths])])


def arrow(ax: Any, tip: np.ndarray, **style: Any) -> None:
    """An arrow from the origin to a tip in two or three dimensions; nothing where the tip is the origin."""
    if np.linalg.norm(tip) < 1e-6:
        return
    head = {"arrowstyle": "-|>", "mutation_scale": 14, "shrinkA": 0, "shrinkB": 0} | style
    if is_solid(ax):
        ax.add_artist(_solid_arrow()(tuple(tip), **head))
    else:
        ax.annotate("", xy=tuple(tip), xytext=(0, 0), arrowprops=head, zorder=head.get("zorder", 2))


@cache
def _solid_arrow() -> type:
    """An arrow that three-dimensional axes project: the class needs matplotlib, which is loaded late."""
    pyplot()
    from matplotlib.patches import FancyArrowPatch
    from mpl_toolkits.mplot3d.proj3d import proj_transform

    class SolidArrow(FancyArrowPatch):
        """An arrow from the origin to `tip`, three coordinates."""

        def __init__(self, tip: tuple[float, float, float], **style: Any):
            super().__init__((0, 0), (0, 0), **style)
            self.tip = tip

        def do_3d_projection(self, renderer: Any = None) -> float:
            """Place the arrow on the plane of the figure; its depth."""
            axes: Any = self.axes
            x, y, z = proj_transform(*zip((0, 0, 0), self.tip, strict=True), axes.M)
            self.set_positions((x[0], y[0]), (x[1], y[1]))
            return min(z)

    return SolidArrow


def _outer_tips(means: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The tips of the means, or of the rows where these lie along them and reach further."""
    if means.shape != rows.shape:
        return means
    sizes = [np.linalg.norm(x, axis=0) for x in (means, rows)]
    aligned = np.sum(means * rows, axis=0) > _ALIGNED * sizes[0] * sizes[1]
    return np.where((aligned & (sizes[1] > sizes[0]))[None, :], rows, means)


def _name_tips(ax: Any, tips: np.ndarray, limit: float) -> None:
    """Class numbers from 1 beyond the tips, once for all that are at one place."""
    named: list[tuple[np.ndarray, list[int]]] = []
    for k, tip in enumerate(tips.T):
        near = [group for place, group in named if np.linalg.norm(place - tip) < _NEAR * limit]
        if near:
            near[0].append(k + 1)
        else:
            named.append((tip, [k + 1]))
    for tip, group in named:
        length = np.linalg.norm(tip)
        away = tip / length if length > _NEAR * limit else np.eye(tip.size)[1] * -1
        ax.text(*(tip + (0.16 if is_solid(ax) else 0.11) * limit * away), ", ".join(map(str, group)), ha="center", va="center")


def _legend(ax: Any, units: tuple[float, float]) -> None:
    from matplotlib.lines import Line2D

    legend_beside(
        ax,
        Line2D([], [], linestyle="none", marker="o", color="grey", alpha=0.5, label="feature $h$"),
        Line2D([], [], color="grey", linewidth=3, label=f"class mean $m_k$\n(unit: longest, {number(units[0])})"),
        Line2D(
            [], [], color="black", linewidth=1.2, linestyle=(0, (4, 2)), marker="o", markerfacecolor="white",
            label=f"classifier row $w_k$\n(unit: longest, {number(units[1])})",
        ),
    )  # fmt: skip
