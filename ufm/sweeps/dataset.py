"""The Dataset of a sweep: labelled dimensions, units, meanings, sources, and how every lane ended."""

from typing import TYPE_CHECKING, Any

import numpy as np

from ufm.solve import Status
from ufm.sweeps.functions import MEANINGS
from ufm.sweeps.layout import Layout

if TYPE_CHECKING:
    import xarray

REFUSED, NOT_RUN = 4, 5
STATUSES = {int(s): s.name.lower() for s in Status} | {REFUSED: "refused", NOT_RUN: "not_run"}


def dataset_of(
    layout: Layout, results: list[dict[str, np.ndarray] | None], order: np.ndarray, attrs: dict[str, Any], keep_failed: bool
) -> "xarray.Dataset":
    """The grid from the results of its chunks.

    Args:
      layout: of the sweep. results: of every chunk, None where it is missing. order: of the lanes, program after program.
      attrs: of the Dataset. keep_failed: leave the floating numbers of failed lanes as they are, in place of NaN.

    Returns:
      Dataset with a `status` for every point: a `ufm.Status`, 4 where the problem was refused, 5 where it was not run.
    """
    import xarray

    lanes = _lanes(layout, results, order)
    program_of, lane_of = layout.lane_of_points()
    dims = tuple(axis.name for axis in layout.axes) + (("seed",) if layout.seeds else ())
    status = np.full(program_of.size, REFUSED)
    shapes = _shapes(layout)
    flat = {name: _blank((program_of.size, *shape), _dtype(layout, name)) for name, shape in shapes.items()}
    for p, found in enumerate(lanes):
        points = np.flatnonzero(program_of == p)
        status[points] = _status(found)[lane_of[points]]
        for name, values in found.items():
            if name in flat:
                inside = tuple(slice(size) for size in values.shape[1:])
                flat[name][(points, *inside)] = values[lane_of[points]]
    if not keep_failed:
        for values in flat.values():
            if values.dtype.kind in "fc":
                values[status != 0] = np.nan
    variables = {"status": (dims, status.reshape(layout.shape), _status_attrs())}
    for name, values in flat.items():
        inner = tuple(f"{name}_{j}" for j in range(values.ndim - 1))
        variables[name] = ((*dims, *inner), values.reshape(*layout.shape, *values.shape[1:]), attrs_of(name))
    coords: dict[str, Any] = {a.name: ((a.name,), a.labels, attrs_of(a.name)) for a in layout.axes}
    if layout.seeds:
        coords["seed"] = (("seed",), np.asarray(layout.seeds), {"units": "1", "long_name": "seed: jax.random.key(seed)"})
    for a in layout.numbers:
        if a.values.ndim > 1:
            coords[f"{a.name} values"] = ((a.name, *(f"{a.name}_{j}" for j in range(a.values.ndim - 1))), a.values)
    refused = [f"{_choice(layout, i)}: {text}" for i, text in enumerate(layout.refusals) if text]
    return xarray.Dataset(variables, coords, attrs | ({"refused": refused} if refused else {}))


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
    for index in np.argwhere(status.to_numpy() != 0):
        where = ", ".join(f"{d}={_plain(dataset[d].to_numpy()[i])}" for d, i in zip(status.dims, index, strict=True))
        code = int(status.to_numpy()[tuple(index)])
        lines.append(f"{where}: {Status(code).text if code in set(map(int, Status)) else STATUSES[code].replace('_', ' ')}")
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
    """Status of every lane: what the function says of itself, non-finite where a number is NaN."""
    own = [x for name, x in found.items() if name.split(".")[-1] == "status" and x.ndim == 1]
    status = own[0].astype(int).copy() if own else np.zeros(found["_ran"].size, int)
    for x in found.values():
        if x.dtype.kind in "fc" and not own:
            status[np.isnan(x).reshape(len(x), -1).any(axis=1)] = int(Status.NON_FINITE)
    status[~found["_ran"]] = NOT_RUN
    return status


def _shapes(layout: Layout) -> dict[str, tuple[int, ...]]:
    """Largest shape of every output over the programs."""
    shapes: dict[str, tuple[int, ...]] = {}
    for outputs in layout.outputs:
        for o in outputs:
            if o.name != "status":
                there = shapes.get(o.name, (0,) * len(o.shape))
                if len(there) != len(o.shape):
                    raise ValueError(f"fn must give {o.name!r} as many axes for all problems, got {there} and {o.shape}")
                shapes[o.name] = tuple(map(max, there, o.shape))
    return shapes


def _dtype(layout: Layout, name: str) -> Any:
    """The dtype of an output; floating where some programs lack it or give smaller arrays, so that NaN can fill it."""
    given = [o for outputs in layout.outputs for o in outputs if o.name == name]
    ragged = len(given) < len(layout.outputs) or any(o.shape != given[0].shape for o in given) or -1 in layout.program_of
    dtype = np.result_type(*(o.dtype for o in given))
    return np.result_type(dtype, np.float32) if ragged and dtype.kind not in "fc" else dtype


def _blank(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    return np.full(shape, np.nan, dtype) if np.dtype(dtype).kind in "fc" else np.zeros(shape, dtype)


def _status_attrs() -> dict[str, Any]:
    return attrs_of("status") | {"flag_values": list(STATUSES), "flag_meanings": " ".join(STATUSES.values())}


def _choice(layout: Layout, index: int) -> str:
    choices = [axis for axis in layout.axes if axis.choice]
    where = np.unravel_index(index, [len(axis) for axis in choices]) if choices else ()
    return ", ".join(f"{axis.name}={axis.labels[i]}" for axis, i in zip(choices, where, strict=True)) or "all"


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, np.floating) else str(value)
