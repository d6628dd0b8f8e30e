"""The Dataset of a sweep: labelled dimensions, units, meanings, sources, and how every lane ended."""

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from ufm.base.checks import optional
from ufm.base.status import Status, ended_well
from ufm.sweeps.functions import MEANINGS
from ufm.sweeps.layout import Layout

if TYPE_CHECKING:
    import xarray

_INNER = {
    "logits": ("logit", "class"), "singular_values": ("factor", "direction"), "start_values": ("start",), "l2_W": ("layer",),
    "targets": ("logit", "column"), "multiplicity": ("column",), "intercept": ("column",), "weight": ("column",),
}  # fmt: skip


def dataset_of(
    layout: Layout, results: list[dict[str, np.ndarray] | None], order: np.ndarray, attrs: dict[str, Any], keep_failed: bool
) -> "xarray.Dataset":
    """The grid from the results of its chunks.

    Args:
      layout: of the sweep. results: of every chunk, None where it is missing. order: of the lanes, program after program.
      attrs: of the Dataset. keep_failed: leave the numbers of failed lanes as they are, in place of NaN.

    Returns:
      Dataset, which `to_netcdf` and `to_zarr` can save, with a `status` for every point, a `ufm.Status`: REFUSED where the problem
      was refused, NOT_RUN where a chunk is missing. Where points hold NaN, whole numbers and truth values become floating.
    """
    xarray = optional("xarray", "sweep")

    lanes = _lanes(layout, results, order)
    program_of, lane_of = layout.lane_of_points()
    dims = tuple(axis.name for axis in layout.axes) + (("seed",) if layout.seeds else ())
    status = np.full(program_of.size, int(Status.REFUSED))
    shapes = _shapes(layout)
    flat = {name: np.zeros((program_of.size, *shape), _dtype(layout, name)) for name, shape in shapes.items()}
    there = {name: np.zeros(values.shape, bool) for name, values in flat.items()}
    for p, found in enumerate(lanes):
        points = np.flatnonzero(program_of == p)
        status[points] = _status(found)[lane_of[points]]
        for name in flat.keys() & found.keys():
            inside: tuple[Any, ...] = (points, *(slice(size) for size in found[name].shape[1:]))
            flat[name][inside], there[name][inside] = found[name][lane_of[points]], True
    lost = np.isin(status, (Status.REFUSED, Status.NOT_RUN)) | (~ended_well(status) & (not keep_failed))
    variables = {"status": (dims, status.reshape(layout.shape), _status_attrs())}
    sizes = dict.fromkeys(dims, 0)
    for name, values in flat.items():
        if name.split(".")[-1] != "status":
            there[name][lost] = False
        if not there[name].all():
            values = np.where(there[name], values, np.asarray(np.nan, np.result_type(values.dtype, np.float32)))
        values = values.reshape(*layout.shape, *values.shape[1:])
        variables[name] = ((*dims, *_inner_dims(name, shapes[name], sizes)), values, attrs_of(name))
    coords: dict[str, Any] = {a.name: ((a.name,), a.labels, attrs_of(a.name)) for a in layout.axes}
    if layout.seeds:
        coords["seed"] = (("seed",), np.asarray(layout.seeds), {"units": "1", "long_name": "seed: jax.random.key(seed)"})
    for a in layout.numbers:
        if a.values.ndim > 1:
            coords[f"{a.name}_values"] = ((a.name, *_inner_dims(a.name, a.values.shape[1:], sizes)), a.values, attrs_of(a.name))
    refused = [f"{_choice(layout, i)}: {text}" for i, text in enumerate(layout.refusals) if text]
    dataset = xarray.Dataset(variables, coords, saveable(attrs | ({"refused": refused} if refused else {})))
    return dataset.rename(_without_slashes([str(name) for name in (*dataset.variables, *dataset.dims)]))


def saveable(attrs: dict[str, Any]) -> dict[str, Any]:
    """Attributes that every engine of netCDF and zarr can write and give back: numbers, arrays of numbers, and text.

    A list of texts becomes one text, a line each; truth values, None and containers become JSON.

    Args:
      attrs: by name.
    """
    return {name: _plain_attribute(value) for name, value in attrs.items()}


def _plain_attribute(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, str) or isinstance(value, int | float) and not isinstance(value, bool):
        return value
    if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return "\n".join(value)
    numbers = isinstance(value, list | tuple) and all(isinstance(x, int | float) and not isinstance(x, bool) for x in value)
    return list(value) if numbers else json.dumps(value, default=str)


def _without_slashes(names: list[str]) -> dict[str, str]:
    """New names for those with a slash, which netCDF and zarr take for a folder."""
    taken, renamed = set(names), {}
    for name in dict.fromkeys(name for name in names if "/" in name):
        new = name.replace("/", "_")
        while new in taken:
            new += "_"
        taken.add(new)
        renamed[name] = new
    return renamed


def attrs_of(name: str) -> dict[str, str]:
    """Units and meaning of a variable or axis, as far as they are known by its name."""
    axes = {
        "l2_W": "ridge of the weights", "l2_H": "ridge of the features", "l2_b": "ridge of the bias", "K": "classes",
        "n": "samples a class", "d": "width", "M": "depth: weight matrices", "loss": "loss", "bias": "bias",
        "counts ratio": "largest over smallest class",
    }  # fmt: skip
    units, meaning = MEANINGS.get(name.split(".")[-1], ("1", axes.get(name, name)))
    return {"units": units, "long_name": meaning}


def failures(dataset: "xarray.Dataset") -> list[str]:
    """One line for every point that failed: where it is, and how it ended.

    Args:
      dataset: of a sweep.
    """
    status = dataset["status"]
    lines = []
    for index in np.argwhere(~ended_well(status.to_numpy())):
        where = ", ".join(f"{d}={_plain(dataset[d].to_numpy()[i])}" for d, i in zip(status.dims, index, strict=True))
        code = int(status.to_numpy()[tuple(index)])
        text = Status(code).text if code in tuple(Status) else f"status {code}"
        lines.append(f"{where}: {text.partition(':')[0] if code in (Status.REFUSED, Status.NOT_RUN) else text}")
    return lines


def _lanes(layout: Layout, results: list[dict[str, np.ndarray] | None], order: np.ndarray) -> list[dict[str, np.ndarray]]:
    """Results of all lanes of each program, in the order of the lanes; status NOT_RUN where a chunk is missing."""
    found, offset = [], np.cumsum((0, *layout.parts))
    for p, (outputs, size) in enumerate(zip(layout.outputs, layout.parts, strict=True)):
        arrays = {o.name: np.zeros((size, *o.shape), o.dtype) for o in outputs}
        arrays["_ran"] = np.zeros(size, bool)
        for (q, start, stop), chunk in zip(layout.chunks, results, strict=True):
            if q != p or chunk is None:
                continue
            lanes = order[offset[p] + start : offset[p] + stop]
            arrays["_ran"][lanes] = True
            for name, values in chunk.items():
                arrays[name][lanes] = values
        found.append(arrays)
    return found


def _status(found: dict[str, np.ndarray]) -> np.ndarray:
    """Status of every lane: the first bad one of those that the function gives, else non-finite where a number is NaN."""
    own = [x.astype(int) for name, x in found.items() if name.split(".")[-1] == "status"]
    status = own[0] if own else np.zeros(found["_ran"].size, int)
    for x in own[1:]:
        status = np.where(ended_well(status), x, status)
    for x in found.values():
        if x.dtype.kind in "fc" and not own:
            status[np.isnan(x).reshape(len(x), -1).any(axis=1)] = int(Status.NON_FINITE)
    return np.where(found["_ran"], status, int(Status.NOT_RUN))


def _shapes(layout: Layout) -> dict[str, tuple[int, ...]]:
    """Largest shape of every output over the programs."""
    shapes: dict[str, tuple[int, ...]] = {}
    for o in (o for outputs in layout.outputs for o in outputs if o.name != "status"):
        shapes[o.name] = tuple(map(max, shapes.get(o.name, o.shape), o.shape))
    return shapes


def _dtype(layout: Layout, name: str) -> Any:
    return np.result_type(*(o.dtype for outputs in layout.outputs for o in outputs if o.name == name))


def _inner_dims(name: str, shape: tuple[int, ...], sizes: dict[str, int]) -> tuple[str, ...]:
    """Names of the axes that one result has: those of the domain where `sizes` leaves them free, else name_0, name_1, ..."""
    dims = _INNER.get(name.split(".")[-1], ())
    if len(dims) != len(shape) or any(sizes.get(d, n) != n for d, n in zip(dims, shape, strict=True)):
        return tuple(f"{name}_{j}" for j in range(len(shape)))
    sizes.update(zip(dims, shape, strict=True))
    return dims


def _status_attrs() -> dict[str, Any]:
    return attrs_of("status") | {"flag_values": [int(s) for s in Status], "flag_meanings": " ".join(s.name.lower() for s in Status)}


def _choice(layout: Layout, index: int) -> str:
    choices = [axis for axis in layout.axes if axis.choice]
    where = np.unravel_index(index, [len(axis) for axis in choices]) if choices else ()
    return ", ".join(f"{axis.name}={axis.labels[i]}" for axis, i in zip(choices, where, strict=True)) or "all"


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, np.floating) else str(value)
