"""Time to the minimum: ufm a configuration of a sweep, its peers a run of one configuration, all to a relative gap of 1e-9.

The peers are told the exact minimum, and their clocks stop as soon as they are within 1e-9 of it; ufm is not told, stops by
its own tolerance, and its row shows the largest gap of any configuration of the sweep.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

import ufm
from benchmarks.peers import is_installed
from benchmarks.peers.race import Run
from benchmarks.peers.scipy_lbfgsb import lbfgsb
from benchmarks.peers.torch_batched import adam_grid
from benchmarks.peers.torch_loops import adam, lbfgs, sgd, torch_device
from benchmarks.row import Row, not_installed
from benchmarks.setting import Setting
from benchmarks.timing import timed_program

GAP = 1e-9
ONE_START, SEARCH, TORCH_LBFGS = "ufm, one start", "ufm, default search", "torch L-BFGS"
_PEERS: dict[str, tuple[str, Callable]] = {
    TORCH_LBFGS: ("torch", lbfgs),
    "torch Adam": ("torch", adam),
    "torch SGD": ("torch", sgd),
    "scipy L-BFGS-B": ("scipy", lbfgsb),
}
_AIM = 0.999 * GAP  # of the peers: rounding must not lift the gap that they reach above GAP
# on |grad f| / min(1, f): the gap is of second order in it, the certificate's of first
_TOLERANCE, _CERTIFIED_TOLERANCE = 1e-6, 1e-11


def minimum_case(setting: Setting) -> str:
    """The case of a minimum's rows."""
    return f"{setting.label}, minimum"


def minimum_rows(
    workload: str,
    setting: Setting,
    limit: float,
    *,
    configurations: int,
    grid: int | None = None,
    certified: bool = False,
    seeds: int = 3,
    patience: float = 1.0,
) -> Iterator[Row]:
    """Rows of ufm and of every peer on one setting.

    Args:
      workload: "W1". setting: the case. limit: seconds of wall-clock time of a peer's run.
      configurations: of the sweep that ufm compiles once. grid: of the one batched by hand, as many by default.
      certified: ufm proves its gap by `ufm.certify`, inside the time; the peers race to the certified bound.
      seeds: runs of a peer, as far as one limit allows; the median counts.
      patience: how many limits the L-BFGS of PyTorch has, which the claims are about.
    """
    exact = jax.jit(partial(_certified_bound if certified else _predicted, setting.problem()))
    own = float(exact(*map(jnp.asarray, (setting.l2_W, setting.l2_H))))
    case = minimum_case(setting)
    default = jax.eval_shape(partial(ufm.solve, setting.problem()), jax.random.key(0)).start_values.shape[0]
    yield ufm_row(Row(workload, case, ONE_START), setting, configurations, 1, certified)
    if default > 1:
        yield ufm_row(Row(workload, case, SEARCH), setting, configurations, default, certified)
    for method, (package, runner) in _PEERS.items():
        if not is_installed(package):
            yield not_installed(workload, case, method, package)
            continue
        allowed = limit * patience if method == TORCH_LBFGS else limit
        yield _peer_row(Row(workload, case, method), setting, runner, own, allowed, seeds)
    method = "torch Adam, batched by hand"
    if not is_installed("torch"):
        yield not_installed(workload, case, method, "torch")
        return
    values = np.array([exact(*map(jnp.asarray, ridges)) for ridges in zip(*setting.ridges(grid or configurations), strict=True)])
    yield _grid_row(Row(workload, case, method, device=torch_device()), setting, values, limit)


def _predicted(problem: ufm.Problem, l2_W: jax.Array, l2_H: jax.Array) -> jax.Array:
    return ufm.predict(problem.replace(l2_W=l2_W, l2_H=l2_H)).value


def _certified_bound(problem: ufm.Problem, l2_W: jax.Array, l2_H: jax.Array) -> jax.Array:
    problem = problem.replace(l2_W=l2_W, l2_H=l2_H)
    return _certificate(problem, ufm.solve(problem, jax.random.key(1), tolerance=_CERTIFIED_TOLERANCE)).lower_bound


def _certificate(problem: ufm.Problem, solution: ufm.Solution) -> ufm.Certificate:
    """Of the class means: the minimum is the same, and so is the value where columns of a class are equal."""
    merged = ufm.equivalent.merge_columns(problem, solution.params)
    return ufm.certify(merged.problem, merged.params)


def ufm_row(row: Row, setting: Setting, configurations: int, starts: int, certified: bool) -> Row:
    """The row with the time of one configuration of a sweep that is one program, and the largest gap of any."""
    problem = setting.problem()
    tolerance = _CERTIFIED_TOLERANCE if certified else _TOLERANCE

    def one(job: tuple) -> tuple[jax.Array, jax.Array, jax.Array]:
        l2_W, l2_H, key = job
        own = problem.replace(l2_W=l2_W, l2_H=l2_H)
        solution = ufm.solve(own, key, starts=starts, tolerance=tolerance)
        bound = _certificate(own, solution).lower_bound if certified else jnp.zeros((), own.dtype)
        return solution.value, bound, solution.steps

    ridges = tuple(map(jnp.asarray, setting.ridges(configurations)))
    jobs = (*ridges, jax.random.split(jax.random.key(0), configurations))
    # a CPU core is quickest one by one, an accelerator with all at once
    batch = None if jax.default_backend() == "cpu" else configurations
    timed = timed_program(lambda jobs: lax.map(one, jobs, batch_size=batch), jobs)
    values, exact, steps = map(np.asarray, timed.result)
    if not certified:
        exact = np.asarray(jax.jit(jax.vmap(partial(_predicted, problem)))(*ridges))
    gaps = (values - exact) / exact
    above = int(np.sum(~(gaps <= GAP)))
    several = f" from {starts} starts" if starts > 1 else ""
    note = f"each of {configurations} configurations, {np.mean(steps):.0f} steps{several}" + (", certified" if certified else "")
    return replace(
        row,
        wall_s=timed.wall_s / configurations,
        cpu_s=timed.cpu_s / configurations,
        compile_s=timed.compile_s,
        gap=float(np.max(gaps)),
        device=jax.default_backend(),
        note=note + (f"; {above} of them above {GAP:g}" if above else ""),
    )


def _peer_row(row: Row, setting: Setting, runner: Callable, exact: float, limit: float, seeds: int) -> Row:
    """The median over seeds, fewer where they take long."""
    runs: list[Run] = []
    while len(runs) < seeds and sum(run.wall_s for run in runs) < limit and not any(run.limited for run in runs):
        runs.append(runner(setting, len(runs), exact * (1 + _AIM), limit))
    run = sorted(runs, key=lambda run: (run.limited, run.cpu_s))[len(runs) // 2]
    gap = (run.value - exact) / exact
    note = (f"median of {len(runs)} seeds, " if len(runs) > 1 else "") + f"{run.evaluations} evaluations" + _ending(run, gap)
    device = torch_device() if row.method.startswith("torch") else "cpu"
    return replace(row, wall_s=run.wall_s, cpu_s=run.cpu_s, gap=gap, device=device, note=note, limited=run.limited)


def _grid_row(row: Row, setting: Setting, exact: np.ndarray, limit: float) -> Row:
    """The grid's time shared by its configurations."""
    run = adam_grid(setting, 0, exact * (1 + _AIM), limit)
    gap = float(np.max((run.value - exact) / exact))
    note = f"each of {len(exact)} configurations, {run.evaluations} evaluations" + _ending(run, gap)
    share = {"wall_s": run.wall_s / len(exact), "cpu_s": run.cpu_s / len(exact)}
    return replace(row, **share, gap=gap, note=note, limited=run.limited)


def _ending(run: Run, gap: float) -> str:
    """What a note must say of a run that did not arrive."""
    if run.limited:
        return f"; stopped after {run.wall_s:.0f} s"
    return "" if gap <= GAP else f"; gave up after {run.wall_s:.2g} s"
