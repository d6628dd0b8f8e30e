"""W6: seconds and bytes of one certified minimum against n, d and K, and of grids of them; exponents are slopes on log-log axes.

A minimum is `solve` and `certify` as one compiled program, one random start, M = 1, no bias, one column a class: n samples are a
multiplicity. The ridges hold sqrt(n) c at 0.1/K, so that all n pose one problem. Bytes are arguments, results and temporaries
of the program as XLA plans them; they grow with the d x K numbers of the result itself.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.monitoring
import jax.numpy as jnp
import numpy as np

import ufm
from benchmarks.claims import Claim, Finding
from benchmarks.row import Row
from benchmarks.timing import Timed, timed
from ufm.sweeps import sweep

_COST = {"n": 0, "d": 1, "K": 3}  # the power of the time that is expected, to keep a run below the limit
_RUNS, _SECONDS = 25, 4.0  # of one size at most
_RECTANGLE = {"l2_W": (3e-3, 3e-2), "l2_H": (3e-5, 3e-4)}


class Size(NamedTuple):
    """One size on an axis: its problem, and how the table calls it."""

    axis: str
    size: float
    case: str
    problem: ufm.Problem


class Program(NamedTuple):
    """A compiled program, the seconds that it took to compile, and the bytes that it holds at once."""

    run: Callable
    compile_s: float
    held: float


def rows(quick: bool, limit: float) -> Iterator[Row]:
    """A row a size, then a row an exponent; sizes expected to take more than the limit are not run."""
    for loss in ("mse", "ce"):
        programs: dict[Any, Program] = {}
        for sizes in _axes(loss, quick):
            measured = list(_measured(sizes, programs, limit))
            yield from measured
            yield from _exponents(loss, sizes, measured)
    yield from _grids((100, 1000) if quick else (10, 100, 1000, 10_000, 100_000), limit)


def certified_minimum(problem: ufm.Problem, key: jax.Array) -> tuple[ufm.Solution, ufm.Certificate]:
    """A minimum with its lower bound."""
    solution = ufm.solve(problem, key)
    return solution, ufm.certify(problem, solution.params)


def problem_of(loss: str, classes: int, samples: float, width: int) -> ufm.Problem:
    """K classes of n samples, one column a class, at sqrt(n) c = 0.1/K."""
    c = 0.1 / classes
    return ufm.Problem.from_targets(jnp.eye(classes), width, loss=loss, multiplicity=samples, l2_W=c, l2_H=c / samples)


def exponent(sizes: Sequence[float], amounts: Sequence[float]) -> float:
    """The slope of log amount on log size by least squares."""
    return float(np.polyfit(np.log(np.asarray(sizes, float)), np.log(np.asarray(amounts, float)), 1)[0])


def _axes(loss: str, quick: bool) -> Iterator[list[Size]]:
    """Sizes along n, along d > 2K (samples have rank K), and along K at d = 2K, the most that a search keeps."""
    small = 64 if quick else 512
    samples = (1e2, 1e7, 1e12) if quick else [10.0**i for i in range(2, 13)]
    yield [Size("n", n, f"{loss} K=10 d={small} n={n:.0e}", problem_of(loss, 10, n, small)) for n in samples]
    if quick and loss == "mse":
        return
    for classes, widths in ((10, (64, 4096)),) if quick else ((10, 2 ** np.arange(6, 13)), (100, 2 ** np.arange(8, 13))):
        yield [Size("d", d, f"{loss} K={classes} n=100 d={d}", problem_of(loss, classes, 100.0, int(d))) for d in widths]
    classes = (4, 32) if quick else (4, 10, 32, 100, 320, 1000)
    yield [Size("K", K, f"{loss} K={K} d={2 * K} n=100", problem_of(loss, K, 100.0, 2 * K)) for K in classes]


def _compile(problem: ufm.Problem) -> Program:
    start = time.perf_counter()
    compiled = jax.jit(certified_minimum).lower(problem, jax.random.key(0)).compile()
    compile_s = time.perf_counter() - start
    plan = compiled.memory_analysis()
    held = plan.argument_size_in_bytes + plan.output_size_in_bytes + plan.temp_size_in_bytes - plan.alias_size_in_bytes
    return Program(compiled, compile_s, float(held))


def _measured(sizes: list[Size], programs: dict[Any, Program], limit: float) -> Iterator[Row]:
    """A row a size. Rounds go through all sizes, so that what else the machine does falls on all alike."""
    runs: dict[int, list[Timed]] = {}
    expected = 0.0
    for i, size in enumerate(sizes):
        expected *= (size.size / sizes[i - 1].size) ** _COST[size.axis]
        if expected > limit:
            continue
        shape = (size.problem.classes, size.problem.widths)
        programs[shape] = programs.get(shape) or _compile(size.problem)
        runs[i] = [timed(lambda i=i, shape=shape: programs[shape].run(sizes[i].problem, jax.random.key(0)))]
        expected = runs[i][0].wall_s
    rounds = {i: min(_RUNS, int(_SECONDS / first[0].wall_s)) for i, first in runs.items()}
    for key in range(max(rounds.values())):
        for i in (i for i in runs if key < rounds[i]):
            problem = sizes[i].problem
            run = programs[problem.classes, problem.widths].run
            runs[i].append(timed(lambda run=run, problem=problem, key=key: run(problem, jax.random.key(key))))
    for i, size in enumerate(sizes):
        if i not in runs:
            yield Row("W6", size.case, "ufm", note=f"not run: above the limit of {limit:g} s, if time grows as {size.axis}^3")
            continue
        program = programs[size.problem.classes, size.problem.widths]
        taken = runs[i][1:] or runs[i]  # the first run pays for cold caches
        solution, certificate = taken[0].result
        best = float(ufm.predict(size.problem).value)
        yield Row(
            "W6", size.case, "ufm", wall_s=_median(taken, "wall_s"), cpu_s=_median(taken, "cpu_s"), compile_s=program.compile_s,
            gap=(float(solution.value) - best) / best, figure=program.held, unit="bytes", device=jax.default_backend(),
            note=f"certified gap {float(certificate.relative_gap):.0e}, {len(taken)} runs of {int(solution.steps)} steps",
        )  # fmt: skip


def _median(runs: list[Timed], name: str) -> float:
    return float(np.median([getattr(run, name) for run in runs]))


def _exponents(loss: str, sizes: list[Size], measured: list[Row]) -> Iterator[Row]:
    axis = sizes[0].axis
    kept = [(size.size, row) for size, row in zip(sizes, measured, strict=True) if row.wall_s is not None]
    if len(kept) < 2:
        return
    ends = f"{kept[0][0]:g} to {kept[-1][0]:g}" + (f", K={sizes[0].problem.classes}" if axis != "K" else "")
    clock = "cpu_s" if jax.default_backend() == "cpu" else "wall_s"  # other work on a CPU's cores does not count
    for what, field in (("time", clock), ("memory", "figure")):
        slope = exponent([size for size, _ in kept], [getattr(row, field) for _, row in kept])
        yield Row("W6", f"{loss} {what} in {axis}, {ends}", "ufm", figure=slope, unit="exponent", device=jax.default_backend())


def _grids(grids: tuple[int, ...], limit: float) -> Iterator[Row]:
    """Certified minima of ce, K = 4, on ever finer grids of (l2_W, l2_H) over one rectangle, by `ufm.sweep`."""
    problem = problem_of("ce", 4, 100.0, 64)
    measured: list[tuple[int, float]] = []
    for cells in grids:
        case = f"ce K=4 d=64 n=100, grid of {cells:,} cells"
        if measured and measured[-1][1] * cells / measured[-1][0] > limit:
            yield Row("W6", case, "ufm sweep", note=f"not run: above the limit of {limit:g} s, if time grows as the cells")
            continue
        across = next(a for a in range(int(cells**0.5), 0, -1) if cells % a == 0)
        points = (across, cells // across)
        axes = {name: np.geomspace(*ends, n) for (name, ends), n in zip(_RECTANGLE.items(), points, strict=True)}
        with _compilations() as seconds:
            took = timed(lambda axes=axes: sweep("certified", problem, axes, progress=False))
        wall_s = took.wall_s - sum(seconds)
        measured.append((cells, wall_s))
        yield Row(
            "W6", case, "ufm sweep", wall_s=wall_s, compile_s=sum(seconds), figure=cells / wall_s, unit="minima/s",
            device=jax.default_backend(), note=f"largest certified gap {float(took.result.relative_gap.max()):.0e}",
        )  # fmt: skip
    kept = [(cells, wall_s) for cells, wall_s in measured if cells >= 1000] if len(measured) > 3 else measured
    if len(kept) < 2:
        return
    slope = exponent(*zip(*kept, strict=True))
    ends = f"{kept[0][0]:,} to {kept[-1][0]:,}"
    yield Row("W6", f"ce time in cells, {ends}", "ufm sweep", figure=slope, unit="exponent", device=jax.default_backend())


@contextlib.contextmanager
def _compilations() -> Iterator[list[float]]:
    """The seconds of every compilation inside the block, which a sweep does on its own."""
    seconds: list[float] = []

    def listen(event: str, duration: float, **_: Any) -> None:
        if event in ("/jax/core/compile/jaxpr_to_mlir_module_duration", "/jax/core/compile/backend_compile_duration"):
            seconds.append(duration)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield seconds
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


def _largest(axis: str) -> Callable[[Sequence[Row]], Finding | None]:
    """The largest exponent of time along an axis, over losses and sizes."""

    def measure(table: Sequence[Row]) -> Finding | None:
        slopes = [row.figure for row in table if row.workload == "W6" and f" time in {axis}, " in row.case]
        return Finding(max(slopes)) if slopes else None

    return measure


CLAIMS = (
    Claim("W6: exponent in n of the time of a certified minimum, the larger of mse and ce", 0.05, _largest("n"), False, ""),
    Claim("W6: exponent in d > 2K of the same, the largest of mse and ce at K = 10 and 100", 0.1, _largest("d"), False, ""),
)
