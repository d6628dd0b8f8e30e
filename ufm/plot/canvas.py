"""What the figures share: matplotlib loaded when the first is drawn, axes, colours, markers, cells of a grid.

Colours are those of Okabe and Ito (2008), told apart by the colour-blind, and no figure relies on them alone: series have markers
of their own, and whatever is predicted is black and dashed. No style is set, and fonts are those of the caller.
"""

from typing import Any

import numpy as np

from ufm.base.checks import optional, refuse

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
PREDICTED: dict[str, Any] = {"color": "black", "linestyle": (0, (4, 2)), "linewidth": 1.3, "zorder": 4}
SEQUENTIAL = "cividis"
DIVERGING = "RdBu_r"
DECADE = 10.0  # positive numbers that span more have a logarithmic axis


def pyplot() -> Any:
    """matplotlib.pyplot.

    Raises:
      ValueError: where matplotlib is not installed.
    """
    return optional("matplotlib.pyplot", "plot")


def axes_for(ax: Any, *, solid: bool = False, size: tuple[float, float] | None = None) -> Any:
    """The given axes, or the axes of a new figure.

    Args:
      ax: Axes, or None for new ones. solid: whether three dimensions are drawn. size: of a new figure, inches.

    Raises:
      ValueError: for something else than axes, or axes of another number of dimensions.
    """
    if ax is None:
        return pyplot().figure(figsize=size, layout="compressed").add_subplot(projection="3d" if solid else None)
    check_axes("ax", ax)
    if is_solid(ax) != solid:
        refuse("ax", ax, "axes of projection='3d'" if solid else "axes of two dimensions")
    return ax


def check_axes(name: str, ax: Any) -> None:
    """Refuse what is not a matplotlib Axes."""
    if not hasattr(ax, "transData"):
        refuse(name, ax, "matplotlib axes")


def is_solid(ax: Any) -> bool:
    """Whether axes have three dimensions."""
    return ax.name == "3d"


def series(index: int) -> dict[str, str]:
    """Colour and marker of a series; after seven they come again in other pairs."""
    return {"color": COLOURS[index % len(COLOURS)], "marker": MARKERS[(index + index // len(COLOURS)) % len(MARKERS)]}


def legend_beside(ax: Any, *handles: Any) -> None:
    """A legend to the right of the axes, where it hides no data, of the given handles or of what has labels."""
    place = {"loc": "upper left", "bbox_to_anchor": (1.15 if is_solid(ax) else 1.02, 1.0), "borderaxespad": 0.0, "frameon": False}
    if handles:
        ax.legend(handles=list(handles), **place)
    elif ax.get_legend_handles_labels()[0]:
        ax.legend(**place)


def spans_decades(values: Any, decades: float = 1.0) -> bool:
    """Whether numbers are all positive and the largest is more than so many decades above the smallest."""
    x = np.asarray(values, float)
    x = x[np.isfinite(x)]
    return x.size > 1 and bool(np.all(x > 0)) and bool(np.max(x) / np.min(x) > DECADE**decades)


def edges(centres: Any, log: bool) -> np.ndarray:
    """(n + 1,) edges of the cells around n increasing centres: the midpoints, in logarithms on a logarithmic axis."""
    x = np.log(np.asarray(centres, float)) if log else np.asarray(centres, float)
    half = np.diff(x) / 2 if x.size > 1 else np.full(1, 0.5)
    found = np.concatenate([[x[0] - half[0]], x[:-1] + half[: x.size - 1], [x[-1] + half[-1]]])
    return np.exp(found) if log else found


def number(x: float, digits: int = 3) -> str:
    """A number as a label shows it: a few digits, and the minus sign that matplotlib has on its axes."""
    return f"{float(x):.{digits}g}".replace("-", "\N{MINUS SIGN}")
