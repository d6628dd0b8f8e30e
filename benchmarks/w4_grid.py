"""W4: grids over (l2_W, l2_H) times 8 random starts: certified minima a second, times of one minimum, the worst gap of any cell.

K = 4 classes of n = 100 samples, d = 64, squared error, l2_W and l2_H from 1e-4 to 1e-2. For M = 1 every minimum is certified by
convex duality; for M = 3, where that bound is loose, the gap is the excess over the closed form, which the search (8 starts of
its own for each of the starts here) does not know. Each grid is one `ufm.sweep` in a fresh process on the cores named, tracing
and compiling apart. "Lanes" holds the ways to run a grid against each other, "processes" one process on one core against two.
"""

import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import ufm
from benchmarks.claims import Claim, Finding, find
from benchmarks.grid import FROM, TO, run_grid, start_sweep
from benchmarks.minima import GAP, TORCH_LBFGS
from benchmarks.peers import is_installed
from benchmarks.peers.torch_batched import adam_grid
from benchmarks.peers.torch_loops import lbfgs
from benchmarks.row import Row, not_installed
from benchmarks.setting import Setting

_SWEEP, _SECONDS = "ufm.sweep", 60.0
_BIG, _PROCESSES = "M=1 64 x 64 x 8 starts", "M=1 64 x 64 x 8 starts, processes"
_WAYS = {
    "one at a time": ({"batch": 1}, None),
    "batches of 8, grid order": ({"batch": 8, "chunk": 8}, "grid"),
    "batches of 8, by difficulty": ({"batch": 8, "chunk": 8}, "difficulty"),
    "one batch": ({"batch": 10**6, "chunk": 10**6}, None),
}
_SPEC = """function = "certified"
seeds = {seeds}
[problem]
classes = 4
per_class = 100
widths = [64]
[axes]
l2_W = {{from = {low}, to = {high}, points = {points}}}
l2_H = {{from = {low}, to = {high}, points = {points}}}
"""


def rows(quick: bool, limit: float) -> Iterator[Row]:
    """Grids of M = 1 and 3, the ways to run lanes, peers on a grid of 8 x 8, and processes."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    for depth, points, seeds in ((1, 4, 1),) if quick else ((1, 8, 8), (1, 64, 8), (3, 8, 8), (3, 64, 1)):
        case = f"M={depth} {points} x {points} x {seeds} starts"
        yield _grid(Row("W4", case, _SWEEP), depth, points, seeds, cores)
    side = 4 if quick else 32
    for method, (options, order) in _WAYS.items() if not quick else ():
        yield _grid(Row("W4", f"M=1 {side} x {side} lanes", method), 1, side, 1, cores, options, order)
        if len(cores) > 1:
            yield _grid(Row("W4", f"M=1 {side} x {side} lanes", method), 1, side, 1, cores[:1], options, order)
    yield from _peers(1 if quick else 8, limit)
    if len(cores) > 1:
        yield from _processes(16 if quick else 64, 1 if quick else 8, cores[:2])


def _grid(
    row: Row, depth: int, points: int, seeds: int, cores: list[int], options: dict | None = None, order: str | None = None
) -> Row:
    job = {"depth": depth, "points": points, "seeds": seeds, "options": options or {}, "order": order}
    found = run_grid(job, cores)
    seconds, lanes = found["wall"], found["lanes"]
    return replace(
        row,
        wall_s=seconds / lanes,
        cpu_s=found["cpu"] / lanes,
        compile_s=found["compile"],
        gap=found["gap"],
        figure=lanes / seconds,
        unit="minima/s",
        threads=len(cores) or os.cpu_count(),
        device=found["device"],
        note=f"{found['compile'] + seconds:.3g} s in all, {found['failed']} of {lanes} failed",
    )


def _peers(points: int, limit: float) -> Iterator[Row]:
    """A loop over a few cells, the mean of which stands for one, and the grid batched by hand."""
    case, depths = f"{points} x {points} grid", (1, 3)
    for depth in depths:
        setting = Setting((100,) * 4, width=64, depth=depth)
        for method in (TORCH_LBFGS, "torch Adam, batched by hand"):
            row = Row("W4", f"M={depth} {case}", method)
            if not is_installed("torch"):
                yield not_installed("W4", row.case, method, "torch")
            elif method == TORCH_LBFGS:
                yield _loop(row, setting, points, limit)
            else:
                yield _batch(row, setting, points, limit)


def _ridges(points: int) -> list[tuple[float, float]]:
    side = [FROM * (TO / FROM) ** (i / max(1, points - 1)) for i in range(points)]
    return [(a, b) for a in side for b in side]


def _exact(setting: Setting, ridges: Sequence[tuple[float, float]]) -> list[float]:
    problem = setting.problem()
    grid = ufm.sweep("closed_form", problem, {name: sorted({r[i] for r in ridges}) for i, name in enumerate(("l2_W", "l2_H"))})
    return [float(grid["value"].sel(l2_W=a, l2_H=b)) for a, b in ridges]


def _loop(row: Row, setting: Setting, points: int, limit: float) -> Row:
    ridges = _ridges(points)
    exact, runs, gaps = _exact(setting, ridges), [], []
    for (l2_W, l2_H), value in zip(ridges, exact, strict=True):
        if sum(run.wall_s for run in runs) > limit:
            break
        runs.append(lbfgs(replace(setting, l2_W=l2_W, l2_H=l2_H), 0, value * (1 + 0.999 * GAP), limit))
        gaps.append((runs[-1].value - value) / value)
    count, slow = len(runs), sum(run.limited for run in runs)
    shares = {"wall_s": sum(run.wall_s for run in runs) / count, "cpu_s": sum(run.cpu_s for run in runs) / count}
    note = f"mean of {count} of the {len(ridges)} cells" + (f", {slow} of them stopped at the limit" if slow else "")
    return replace(row, **shares, gap=max(gaps), figure=1 / shares["wall_s"], unit="minima/s", note=note, limited=slow > 0)


def _batch(row: Row, setting: Setting, points: int, limit: float) -> Row:
    """The grid around the setting that the hand-written batch knows, as many cells."""
    import numpy as np

    cells = points * points
    l2_W, l2_H = setting.ridges(cells)
    grid = ufm.sweep(_at, lambda i: setting.problem().replace(l2_W=l2_W[i], l2_H=l2_H[i]), {"i": range(cells)})
    exact = grid["value"].to_numpy()
    run = adam_grid(setting, 0, exact * (1 + 0.999 * GAP), limit)
    note = f"{cells} cells within a factor 2 of 5e-4 at once" + (f"; stopped after {run.wall_s:.0f} s" if run.limited else "")
    shares = {"wall_s": run.wall_s / cells, "cpu_s": run.cpu_s / cells, "figure": cells / run.wall_s, "unit": "minima/s"}
    return replace(row, **shares, gap=float(np.max((run.value - exact) / exact)), note=note, limited=run.limited)


def _at(problem: ufm.Problem) -> dict:
    return {"value": ufm.predict(problem).value}


def _processes(points: int, seeds: int, cores: Sequence[int]) -> Iterator[Row]:
    """One store, filled by one process on one core, then by two on two; seconds from its first chunk to its last."""
    case = f"M=1 {points} x {points} x {seeds} starts, processes"
    for count in (1, 2):
        with tempfile.TemporaryDirectory() as folder:
            spec = Path(folder) / "spec.toml"
            spec.write_text(_SPEC.format(seeds=seeds, low=FROM, high=TO, points=points))
            store = str(Path(folder) / "store")
            started = [
                start_sweep([core], str(spec), "--store", store, "--process", f"{i}/{count}")
                for i, core in enumerate(cores[:count])
            ]
            codes = [process.wait() for process in started]
            times = sorted(p.stat().st_mtime for p in (Path(store) / "chunks").iterdir())
            lanes = points * points * seeds
            seconds = (times[-1] - times[0]) * len(times) / (len(times) - 1)
            gap = float(ufm.sweeps.load(store)["relative_gap"].max())
        note = "failed" if any(codes) else "start-up and compilation apart"
        rate = {"wall_s": seconds / lanes, "figure": lanes / seconds, "unit": "minima/s", "threads": count}
        yield Row("W4", case, f"{count} process{'es' if count > 1 else ''} of one core", gap=gap, note=note, **rate)


def _in_time(rows: Sequence[Row]) -> Finding | None:
    row = find(rows, "W4", _BIG, _SWEEP)
    if row is None:
        return None
    return Finding(row.wall_s * 64 * 64 * 8 + row.compile_s, fault="" if row.gap <= GAP else f"a gap of {row.gap:.1e}")


def _twice(rows: Sequence[Row]) -> Finding | None:
    one, two = (find(rows, "W4", _PROCESSES, name) for name in ("1 process of one core", "2 processes of one core"))
    return None if one is None or two is None else Finding(two.figure / one.figure)


CLAIMS = (
    Claim("W4: 64 x 64 x 8 starts of M = 1 certified to 1e-9, all of it with compilation", _SECONDS, _in_time, False, " s"),
    Claim("W4: two processes on one store against one, minima a second", 1.7, _twice),
)
