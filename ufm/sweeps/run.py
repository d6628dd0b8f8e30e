"""`ufm.sweep`: a function of a problem on a grid of problems, in chunks, on all cores or devices, stored and resumed."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from ufm.base.checks import check_count, optional, refuse
from ufm.base.environment import describe_environment
from ufm.base.precision import full_precision
from ufm.base.status import Status
from ufm.problem import Problem
from ufm.sweeps.axes import read_axes
from ufm.sweeps.dataset import dataset_of
from ufm.sweeps.functions import describe, named
from ufm.sweeps.layout import Layout, lay_out
from ufm.sweeps.order import difficulty
from ufm.sweeps.program import Program, takes_key
from ufm.sweeps.sources import sources_of
from ufm.sweeps.store import Memory, Store
from ufm.sweeps.work import exchange, work

if TYPE_CHECKING:
    import xarray


@full_precision
def sweep(
    fn: str | Callable,
    problem: Problem | Callable[..., Problem],
    axes: Mapping[str, Any],
    *,
    seeds: int | Sequence[int] | None = None,
    store: str | Path | None = None,
    chunk: int | None = None,
    batch: int | None = None,
    order: Callable[[Problem], jax.Array] | None = None,
    process: tuple[int, int] | None = None,
    keep_failed: bool = False,
    progress: bool | None = None,
) -> "xarray.Dataset":
    """A function of a problem at every point of a grid.

    Numbers of the problem are swept inside compiled programs, choices make a program each where they change sizes (see
    `ufm.sweeps.axes`). On a CPU searches run one by one on every core, elsewhere in batches of like difficulty; several local
    devices share the chunks by `shard_map`, several processes by their store, or by turns under `jax.distributed`.

    Args:
      fn: a name of `ufm.sweeps.FUNCTIONS`, or a function of a problem, or of a problem and a random key, that JAX can trace. It
        returns numbers in any containers; a result called status is taken as a `ufm.Status`.
      problem: where the grid is, or a function that builds a problem from its choices.
      axes: name -> values, as {"l2_H": [1e-3, 1e-2], "loss": ["mse", "ce"]}.
      seeds: how many, or which; the last dimension, where fn takes a key: lane by lane jax.random.key(seed). One by default.
      store: a folder to keep finished chunks in. The same call goes on where another was killed, with the same bits.
      chunk: lanes a device takes at a time. batch: lanes at once within a chunk. Chosen by default.
      order: problem -> scalar; chunks with large values come first. By default a prediction of difficulty where searches run in
        batches, else the order of the grid.
      process: (i, n): begin with chunks i, i + n, ... of a store that n processes share.
      keep_failed: keep floating numbers of failed points, which are NaN otherwise.
      progress: show a bar; by default on terminals.

    Returns:
      Dataset: one dimension an axis, then "seed"; a variable a result, and `status` for every point: a `ufm.Status`,
      0 too where the function gives none and every number is finite. Its attributes name versions, sources and the configuration.

    Raises:
      ValueError: naming the argument; for a store of another configuration or version.
      OSError: where the disk is full; the store stays whole.

    Example:
      >>> p = Problem.balanced(classes=4, per_class=100, widths=64, l2_W=5e-4, l2_H=5e-4)
      >>> grid = sweep("closed_form", p, {"l2_H": [5e-4, 1e-2], "K": [3, 4]})
      >>> print(grid.value.dims, grid.value.values.astype(float).round(4).tolist())
      ('l2_H', 'K') [[0.0149, 0.0198], [0.0648, 0.0854]]
    """
    for module in ("xarray", "tqdm"):  # before any work
        optional(module, "sweep")
    fn = named(fn)
    if order is not None and not callable(order):
        refuse("order", order, "a function of a problem that gives one number")
    read, chosen = read_axes(problem, axes), _seeds(fn, seeds)
    for name, value in (("chunk", chunk), ("batch", batch)):
        if value is not None:
            check_count(name, value, 1)
    devices = jax.local_devices()
    layout, programs = lay_out(fn, problem, read, chosen, devices, chunk=chunk, batch=batch)
    permutation = _permutation(layout, programs, order)
    configuration = _configuration(fn, problem, layout, programs, permutation, fingerprints=store is not None)
    share = (jax.process_index(), jax.process_count()) if process is None else _check_process(process, store)
    kept = Memory(len(layout.chunks)) if store is None else Store.create(Path(store), configuration, permutation)
    if isinstance(kept, Store):
        permutation = kept.order
    try:
        results = work(layout, programs, permutation, kept, share, progress)
    finally:
        kept.close()
    if store is None and share[1] > 1:
        results = exchange(layout, results, share)
    return dataset_of(layout, results, permutation, attributes(configuration), keep_failed)


def attributes(configuration: dict[str, Any]) -> dict[str, Any]:
    """What a Dataset says of where it comes from: the function, the problem, versions and sources."""
    names = ("function", "problem", "references")
    return {name: configuration[name] for name in names} | {f"version {k}": v for k, v in configuration["versions"].items()}


def _configuration(
    fn: Callable, problem: Any, layout: Layout, programs: list[Program], order: np.ndarray, fingerprints: bool
) -> dict[str, Any]:
    """Everything that the results depend on, as plain values; programs by the hash of what is computed."""
    environment = describe_environment()
    return {
        "function": describe(fn),
        "problem": repr(problem) if isinstance(problem, Problem) else describe(problem),
        **layout.to_json(),
        "chunks": len(layout.chunks),
        "batch": [program.batch for program in programs],
        "programs": [program.fingerprint for program in programs] if fingerprints else [],
        "ordered": bool(np.any(np.diff(order.astype(np.int64)) < 0)),
        "references": sources_of(fn, programs),
        "device": f"{programs[0].devices[0].platform}, {'one' if len(programs[0].devices) == 1 else 'several'}",
        "statuses": {status.name: int(status) for status in Status},
        "versions": {name: environment[name] for name in ("ufm", "jax", "jaxlib", "dtype", "XLA_FLAGS")},
    }


def _seeds(fn: Callable, seeds: int | Sequence[int] | None) -> tuple[int, ...]:
    random = takes_key(fn)
    if seeds is None:
        return (0,) if random else ()
    if not random:
        refuse("seeds", seeds, "None for a function that takes no random key")
    if isinstance(seeds, int | np.integer):
        check_count("seeds", seeds, 1)
        return tuple(range(seeds))
    if isinstance(seeds, str) or not hasattr(seeds, "__len__") or not len(seeds):
        refuse("seeds", seeds, "how many seeds, or a sequence of at least one")
    for seed in seeds:
        check_count("seeds", seed, 0)
        if seed >= 2**31:
            refuse("seeds", seed, "below 2^31")
    return tuple(int(seed) for seed in seeds)


def _check_process(process: tuple[int, int], store: Any) -> tuple[int, int]:
    if not isinstance(process, tuple | list) or len(process) != 2:
        refuse("process", process, "(i, n), whole numbers with i below n")
    i, n = process
    check_count("the number of processes", n, 1)
    check_count("the index of the process", i, 0)
    if i >= n:
        refuse("process", process, "(i, n) with i below n")
    if store is None and n > 1:
        refuse("store", store, "a folder, which the processes share")
    return i, n


def _permutation(layout: Layout, programs: list[Program], order: Callable | None) -> np.ndarray:
    """The order in which lanes are computed, program after program: hard ones first where that matters."""
    parts = []
    for p, program in enumerate(programs):
        lanes = np.arange(layout.parts[p], dtype=np.uint32)
        if order is not None or (program.searches and program.batch > 1):
            by = Program(order or difficulty, program.problems, program.axes, lanes.size, program.devices)
            if [o.shape for o in by.outputs] != [()]:
                refuse("order", order, "a function of a problem that gives one number")
            score = _all(by, layout, p, lanes.size)
            lanes = lanes[np.argsort(-score, kind="stable")]
        parts.append(lanes)
    return np.concatenate(parts)


def _all(program: Program, layout: Layout, index: int, lanes: int) -> np.ndarray:
    """One number of all lanes, without a store."""
    size = program.chunk * len(program.devices)
    values = []
    for start in range(0, lanes, size):
        stops = range(start, min(start + size, lanes), program.chunk)
        pieces = [np.arange(s, min(s + program.chunk, lanes)) for s in stops]
        done = program.run([program.lanes(**layout.arguments(index, piece)) for piece in pieces])
        values += [next(iter(found.values())) for found in done]
    return np.concatenate(values)
