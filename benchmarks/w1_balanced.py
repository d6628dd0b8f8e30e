"""W1: the published balanced setting (Dang et al. 2023), time to relative gap 1e-9 and of 30,000 heavy-ball steps.

Squared error, K = 4 classes of n = 100 samples, d = 64, every ridge 5e-4, M = 1, 3, 6 linear layers without bias, float64.
"""

from collections.abc import Iterator
from dataclasses import replace

from benchmarks.claims import Claim, times_faster
from benchmarks.minima import GAP, ONE_START, SEARCH, TORCH_LBFGS, minimum_case, minimum_rows
from benchmarks.row import Row
from benchmarks.setting import Setting
from benchmarks.trajectories import TORCH_SGD, UFM, trajectory_case, trajectory_rows

BALANCED = Setting((100,) * 4, width=64, depth=1)
_STEPS = 30_000


def rows(quick: bool, limit: float) -> Iterator[Row]:
    """Minima and trajectories at every depth; quick: n = 10, d = 32, M = 1 and 3, ridges of 2e-3."""
    small = Setting((10,) * 4, width=32, depth=1, l2_W=2e-3, l2_H=2e-3)
    for depth in (1, 3) if quick else (1, 3, 6):
        setting = replace(small if quick else BALANCED, depth=depth)
        yield from minimum_rows("W1", setting, limit, configurations=4 if quick else 32, seeds=1 if quick else 3)
        yield from trajectory_rows(
            "W1", setting, limit, steps=300 if quick else _STEPS, configurations=4 if quick else 32, repeats=1 if quick else 3
        )


def _minimum(depth: int, needed: float, method: str) -> Claim:
    case = minimum_case(replace(BALANCED, depth=depth))
    text = f"W1 minimum, M = {depth}: {method} against a torch L-BFGS loop, CPU time a configuration"
    return Claim(text, needed, times_faster("W1", case, method, TORCH_LBFGS, gap=GAP))


def _trajectory(depth: int, needed: float) -> Claim:
    case = trajectory_case(replace(BALANCED, depth=depth), _STEPS)
    return Claim(f"W1 trajectory, M = {depth}: ufm against a torch SGD loop", needed, times_faster("W1", case, UFM, TORCH_SGD))


CLAIMS = (
    _minimum(1, 200, ONE_START),
    _minimum(3, 50, ONE_START),
    _minimum(3, 50, SEARCH),
    _trajectory(1, 20),
    _trajectory(3, 15),
)
