"""`ufm sweep`: a sweep from a TOML file, into a folder that several processes may share."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from ufm.base.checks import refuse
from ufm.base.status import Status, ended_well
from ufm.cli.output import show
from ufm.sweeps.dataset import failures
from ufm.sweeps.loading import load
from ufm.sweeps.run import sweep
from ufm.sweeps.spec import read_spec
from ufm.sweeps.store import Store

if TYPE_CHECKING:
    import xarray

_LISTED = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("spec", nargs="?", type=Path, metavar="SPEC.toml", help="what to sweep (see ufm/sweeps/spec.py)")
    parser.add_argument("--store", type=Path, metavar="DIR", help="keep finished chunks here, and go on from those that are there")
    parser.add_argument("--status", type=Path, metavar="DIR", help="say how far the sweep of a folder is, and compute nothing")
    parser.add_argument("--process", metavar="I/N", help="the I-th (from 0) of N processes on one store begins with its own share")
    parser.add_argument("--coordinator", metavar="HOST:PORT", help="join N processes on several hosts by jax.distributed")
    parser.add_argument("--chunk", type=int, metavar="N", help="points a device takes at a time")
    parser.add_argument("--batch", type=int, metavar="N", help="points at once within a chunk")


def run(options: argparse.Namespace) -> int:
    """Sweep and summarise, or look at a store; exit code 1 where points failed, 2 where the disk is full."""
    if (options.spec is None) == (options.status is None):
        raise ValueError("ufm sweep needs a SPEC.toml to work on, or --status DIR to look at a store")
    if options.status is not None:
        show(status(options.status))
        return 0
    process = None if options.process is None else _process(options.process)
    if options.coordinator is not None:
        if process is None:
            refuse("--process", None, "I/N where there is a --coordinator")
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.distributed.initialize(options.coordinator, num_processes=process[1], process_id=process[0])
        process = None  # known to JAX now
    elif process is not None and options.store is None:
        refuse("--store", None, "a folder, which the processes share")
    spec = read_spec(options.spec)  # problems are arrays: processes must be joined before the first one
    try:
        found = sweep(*spec[:3], seeds=spec.seeds, store=options.store, chunk=options.chunk, batch=options.batch, process=process)
    except KeyboardInterrupt:
        if options.store is None:
            raise
        raise KeyboardInterrupt(f"{_stored(options.store)}: repeat the same command to go on") from None
    show(summary(found))
    return 0 if np.all(ended_well(found["status"].to_numpy())) else 1


def status(folder: Path) -> str:
    """How far the sweep of a folder is.

    Raises:
      ValueError: for a folder without a sweep.
    """
    store = Store(folder)
    codes = load(folder)["status"].to_numpy()
    there = store.finished()
    done, points = sum(store.get(i) is not None for i in there), codes.size
    waiting = int(np.sum(codes == Status.NOT_RUN))
    failed = int(np.sum(~ended_well(codes))) - waiting
    damaged = f" ({len(there) - done} more are damaged, and will be computed again)" if len(there) > done else ""
    return (
        f"{store.configuration['function']} over {', '.join(name for name, _ in store.configuration['axes'])}: "
        f"{done} of {store.chunks} chunks finished{damaged}, {store.working()} being worked on; "
        f"{points - waiting} of {points} points there, {failed} of them failed"
    )


def summary(dataset: "xarray.Dataset") -> Any:
    """Ranges of all variables, then the points that failed."""
    from rich.console import Group
    from rich.table import Table

    table = Table(title=f"{dataset.attrs['function']}: " + " x ".join(f"{n} {d}" for d, n in dataset["status"].sizes.items()))
    for heading in ("variable", "least", "median", "largest", "meaning"):
        table.add_column(heading)
    for name, variable in dataset.data_vars.items():
        values = variable.to_numpy().astype(float)
        known = values[np.isfinite(values)]
        figures = [f"{f(known):.6g}" for f in (np.min, np.median, np.max)] if known.size else ["-"] * 3
        table.add_row(str(name), *figures, variable.attrs.get("long_name", ""))
    lines = failures(dataset)
    shown = lines[:_LISTED] + ([f"... and {len(lines) - _LISTED} more"] if len(lines) > _LISTED else [])
    return Group(table, f"{len(lines)} of {dataset['status'].size} points failed", *shown)


def _stored(folder: Path) -> str:
    try:
        store = Store(folder)
    except ValueError:  # not begun yet
        return f"nothing is stored in {str(folder)!r} yet"
    return f"{len(store.finished())} of {store.chunks} chunks are stored in {str(folder)!r}"


def _process(text: str) -> tuple[int, int]:
    i, _, n = text.partition("/")
    if not (i.isdigit() and n.isdigit() and int(i) < int(n)):
        refuse("--process", text, "I/N, whole numbers with 0 <= I < N")
    return int(i), int(n)
