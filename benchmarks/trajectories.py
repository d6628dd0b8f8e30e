"""Time of a trajectory: the published heavy ball, 30,000 steps at rate 0.1 and momentum 0.9, from one start for all.

ufm runs it on the exact reductions of samples and widths, which momentum commutes with, and lifts the last point back. Its
value after a common stretch is held against PyTorch's from the same start: the trajectories are the same one.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

import ufm
from benchmarks.peers import is_installed
from benchmarks.peers.race import Run
from benchmarks.peers.torch_batched import sgd_grid_steps
from benchmarks.peers.torch_loops import LEARNING_RATE, MOMENTUM, sgd_steps, torch_device
from benchmarks.row import Row, not_installed
from benchmarks.setting import Setting
from benchmarks.timing import timed_program

UFM, TORCH_SGD = "ufm", "torch SGD"
_FUSED, _BATCHED = "torch SGD, fused, weight_decay", "torch SGD, batched by hand"
_COMMON = 100  # steps, of which all in a trajectory are a multiple
_AGREEMENT = 1e-9
_SHARE = 4  # a stretch takes at most this part of the limit


def trajectory_case(setting: Setting, steps: int) -> str:
    """The case of a trajectory's rows."""
    return f"{setting.label}, {steps:,} steps"


def trajectory_rows(
    workload: str, setting: Setting, limit: float, *, steps: int, configurations: int, repeats: int = 3
) -> Iterator[Row]:
    """Rows of ufm and of PyTorch one by one, in its fastest form, and batched by hand; all times are of `steps` steps.

    Raises:
      ArithmeticError: if the values of ufm and PyTorch after the common stretch differ by more than 1e-9 of the value.
    """
    case = trajectory_case(setting, steps)
    exact = float(jax.jit(lambda: ufm.predict(setting.problem()).value)())
    ours = timed_program(partial(trajectory, setting, steps=steps, every=_COMMON), starting_point(setting), repeats=repeats)
    _, values = ours.result
    gap = (float(values[-1]) - exact) / exact
    times = {"wall_s": ours.wall_s, "cpu_s": ours.cpu_s, "compile_s": ours.compile_s}
    row = Row(workload, case, UFM, **times, gap=gap, device=jax.default_backend(), note="reduced exactly, lifted back")
    if not is_installed("torch"):
        yield row
        yield from (not_installed(workload, case, method, "torch") for method in (TORCH_SGD, _FUSED, _BATCHED))
        return
    value, other = float(values[1]), sgd_steps(setting, 0, _COMMON, limit).value
    if not abs(value - other) <= _AGREEMENT * other:
        raise ArithmeticError(f"{case}: after {_COMMON} steps ufm is at {value!r}, PyTorch at {other!r}")
    yield replace(row, note=f"{row.note}; value after {_COMMON} steps within {abs(value - other) / other:.0e} of PyTorch's")
    stretch, row = limit / _SHARE, Row(workload, case, TORCH_SGD, device=torch_device())
    yield _peer_row(row, sgd_steps(setting, 0, steps, stretch), steps, exact)
    yield _peer_row(replace(row, method=_FUSED), sgd_steps(setting, 0, steps, stretch, fused=True), steps, exact)
    run = sgd_grid_steps(setting, 0, steps, stretch, configurations)
    yield _peer_row(replace(row, method=_BATCHED, note=f"each of {configurations} configurations"), run, steps, None)


def _peer_row(row: Row, run: Run, steps: int, exact: float | None) -> Row:
    """The time of one configuration, scaled from the steps that the stretch allowed, and the gap where it was all of them."""
    scale = steps / (run.steps * np.size(run.value))
    whole = run.steps == steps
    notes = [row.note, "" if whole else f"scaled from {run.steps:,} steps"]
    return replace(
        row,
        wall_s=scale * run.wall_s,
        cpu_s=scale * run.cpu_s,
        gap=(run.value - exact) / exact if whole and exact is not None else None,
        note=", ".join(filter(None, notes)),
    )


def starting_point(setting: Setting) -> ufm.Params:
    """The start that the peers have, as ufm's params."""
    start = setting.start(0)
    return ufm.Params(tuple(map(jnp.asarray, start["weights"])), jnp.asarray(start["H"].T), None)


def trajectory(setting: Setting, start: ufm.Params, *, steps: int, every: int) -> tuple[ufm.Params, jax.Array]:
    """The last point in the problem's own samples and widths, and the values at the start and every so many steps."""
    problem, point, lifts = setting.problem(), start, []
    if setting.width + len(setting.counts) < setting.samples:
        problem, point, lift = ufm.equivalent.pool_samples(problem, point)
        lifts.append(lift)
    above = setting.width if setting.depth > 1 else len(setting.counts)
    if above + problem.columns < setting.width:
        problem, point, lift = ufm.equivalent.narrow_features(problem, point)
        lifts.append(lift)
    run = ufm.descend(problem, point, steps, optax.sgd(LEARNING_RATE, momentum=MOMENTUM), every=every)
    last = run.params
    for lift in reversed(lifts):
        last = lift(last)
    return last, run.value
