"""Grids of a sweep: phase diagrams with the predicted boundary over the measured one, and heat maps of any variable."""

from typing import Any

import numpy as np

from ufm.base.checks import refuse
from ufm.plot.canvas import PREDICTED, SEQUENTIAL, axes_for, edges, legend_beside, number, spans_decades

_FAILED: dict[str, Any] = {"facecolor": "white", "edgecolor": "grey", "hatch": "xxx", "linewidth": 0.0}
_FEW = 8  # coordinates have a tick each up to so many
_PHASES = ("viridis", 0.4, 1.0)  # the part of these colours that is light enough for a black line over it
_BRACKET: dict[str, Any] = {"color": "#333333", "linewidth": 2.0, "marker": "_", "markersize": 7}


def phase_diagram(dataset: Any, *, ax: Any = None) -> Any:
    """Draw the measured phase of every cell, the predicted boundary (dashed) and the measured one (bars that bracket it).

    Args:
      dataset: xarray.Dataset with attrs["x"] and attrs["y"], the names of two dimensions; `phase` (x, y), whole numbers, NaN
        where a lane failed (attrs flag_values and flag_meanings, blank-separated, name them); `boundary` (x, crossing), the
        predicted y of each crossing; `measured_low` and `measured_high` of the same shape, between which the phase was seen to
        change. NaN is no crossing.
      ax: axes to draw on; None makes a figure.

    Returns:
      The axes; logarithmic along coordinates that are positive and span more than a decade.

    Raises:
      ValueError: for a Dataset without one of these, or a dimension too many.
    """
    names = ("phase", "boundary", "measured_low", "measured_high")
    _check_variables(dataset, names)
    for axis in ("x", "y"):
        if axis not in dataset.attrs:
            raise ValueError(f"dataset.attrs must name the dimensions 'x' and 'y', got {sorted(dataset.attrs)}")
    x, y = dataset.attrs["x"], dataset.attrs["y"]
    grid = _Grid(dataset, "phase", x, y)
    ax = axes_for(ax)
    phases = np.unique(grid.values[np.isfinite(grid.values)])
    colours = _light_colours(phases.size)
    _mesh(ax, grid, np.searchsorted(phases, grid.values), colours)
    boundary, low, high = (np.asarray(dataset[name].transpose(x, "crossing").values, float)[grid.order[0]] for name in names[1:])
    places = np.repeat(grid.x[:, None], boundary.shape[1], axis=1)
    seen = np.isfinite(low) & np.isfinite(high)
    ax.vlines(places[seen], low[seen], high[seen], color=_BRACKET["color"], linewidth=_BRACKET["linewidth"])
    for ends in (low, high):
        ax.plot(places[seen], ends[seen], linestyle="none", **_BRACKET)
    ax.plot(grid.x, boundary, **PREDICTED)
    grid.frame(ax)
    _legend_of_phases(ax, dataset["phase"], phases, colours, bool(np.any(~np.isfinite(grid.values))), bool(np.any(seen)))
    return ax


def heat_map(dataset: Any, variable: str, *, x: str | None = None, y: str | None = None, ax: Any = None) -> Any:
    """Draw a variable of a sweep over two of its dimensions; cells that failed are hatched.

    Args:
      dataset: xarray.Dataset, as `ufm.sweep` gives it.
      variable: name of a variable of two dimensions (of other dimensions one value has to be selected before).
      x, y: its dimensions along the axes; by default the first and the second.
      ax: axes to draw on; None makes a figure.

    Returns:
      The axes; coordinates and colours are logarithmic where positive and spanning more than one decade and two.

    Raises:
      ValueError: for an unknown variable or dimension, or a variable of more or fewer than two dimensions.
    """
    _check_variables(dataset, (variable,))
    array = dataset[variable].squeeze(drop=True)
    if len(array.dims) != 2:
        sizes = ", ".join(f"{name}: {size}" for name, size in array.sizes.items())
        refuse("variable", f"{variable} ({sizes})", "of two dimensions (select or average the others first)")
    for name, given in (("x", x), ("y", y)):
        if given not in (None, *array.dims):
            refuse(name, given, "one of " + ", ".join(map(repr, array.dims)))
    first, second = array.dims
    x = x or (second if y == first else first)
    y = y or (second if x == first else first)
    if x == y:
        refuse("y", y, f"another dimension than x, {x!r}")
    from matplotlib.colors import LogNorm

    grid = _Grid(array.to_dataset(name=variable), variable, x, y)
    ax = axes_for(ax)
    norm = LogNorm() if spans_decades(grid.values, 2) else None
    mesh = _mesh(ax, grid, np.ma.masked_invalid(grid.values), SEQUENTIAL, norm=norm)
    grid.frame(ax)
    ax.figure.colorbar(mesh, ax=ax, label=_label(variable, array.attrs))
    return ax


class _Grid:
    """A variable on increasing coordinates, which are 0, 1, ... where they are not numbers.

    values: (X, Y). x, y: coordinates. order: what sorts them. log: whether each axis is logarithmic.
    """

    def __init__(self, dataset: Any, variable: str, x: str, y: str):
        array = dataset[variable]
        if set(array.dims) != {x, y}:
            refuse(variable, array.dims, f"of the dimensions {x!r} and {y!r}")
        given = [np.asarray(array[name].values) for name in (x, y)]
        self.texts = [None if np.issubdtype(c.dtype, np.number) else [str(text) for text in c] for c in given]
        coordinates = [np.arange(c.size) if t else c.astype(float) for c, t in zip(given, self.texts, strict=True)]
        self.order = [np.argsort(c, kind="stable") for c in coordinates]
        self.x, self.y = (c[order] for c, order in zip(coordinates, self.order, strict=True))
        self.values = np.asarray(array.transpose(x, y).values, float)[np.ix_(*self.order)]
        self.log = [spans_decades(c) and t is None for c, t in zip((self.x, self.y), self.texts, strict=True)]
        self.labels = [_label(name, array[name].attrs) for name in (x, y)]

    def frame(self, ax: Any) -> None:
        """Scales, limits, ticks and labels of the axes."""
        for i, axis in enumerate("xy"):
            sides = edges((self.x, self.y)[i], self.log[i])
            options = {"label": self.labels[i], "scale": "log" if self.log[i] else "linear", "lim": (sides[0], sides[-1])}
            ax.set(**{axis + name: option for name, option in options.items()})
            places = (self.x, self.y)[i]
            if self.texts[i]:
                ax.set(**{f"{axis}ticks": places, f"{axis}ticklabels": self.texts[i]})
            elif places.size <= _FEW and not self.log[i]:
                ax.set(**{f"{axis}ticks": places})


def _check_variables(dataset: Any, names: tuple[str, ...]) -> None:
    if not hasattr(dataset, "data_vars"):
        refuse("dataset", type(dataset).__name__, "an xarray.Dataset")
    for name in names:
        if name not in dataset.data_vars:
            refuse("dataset", sorted(map(str, dataset.data_vars)), f"a Dataset with the variable {name!r}")


def _label(name: str, attrs: Any) -> str:
    """The long name with its unit."""
    unit = attrs.get("units", "")
    return attrs.get("long_name", name) + (f" [{unit}]" if unit not in ("", "1") else "")


def _mesh(ax: Any, grid: _Grid, values: np.ndarray, colours: Any, **options: Any) -> Any:
    """Cells of the grid, those that are not finite hatched."""
    from matplotlib.patches import Rectangle

    x, y = (edges(c, log) for c, log in zip((grid.x, grid.y), grid.log, strict=True))
    mesh = ax.pcolormesh(x, y, np.ma.masked_where(~np.isfinite(grid.values), values).T, cmap=colours, **options)
    mesh.set_edgecolor("face")  # no white seams between cells in print
    for i, j in zip(*np.nonzero(~np.isfinite(grid.values)), strict=True):
        ax.add_patch(Rectangle((x[i], y[j]), x[i + 1] - x[i], y[j + 1] - y[j], **_FAILED))
    return mesh


def _light_colours(count: int) -> Any:
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    return ListedColormap(colormaps[_PHASES[0]](np.linspace(*_PHASES[1:], max(count, 1))))


def _legend_of_phases(ax: Any, phase: Any, phases: np.ndarray, colours: Any, failed: bool, measured: bool) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    values, meanings = phase.attrs.get("flag_values", ()), str(phase.attrs.get("flag_meanings", "")).split()
    names = dict(zip(np.atleast_1d(values).tolist(), (m.replace("_", " ") for m in meanings), strict=False))
    title = phase.attrs.get("long_name", "phase")
    handles: list[Any] = [Patch(color=colours(i), label=names.get(p, f"{title} = {number(p)}")) for i, p in enumerate(phases)]
    if failed:
        handles.append(Patch(**_FAILED, label="failed"))
    handles.append(Line2D([], [], **PREDICTED, label="predicted boundary"))
    if measured:
        handles.append(Line2D([], [], **_BRACKET, label="measured between"))
    legend_beside(ax, *handles)
