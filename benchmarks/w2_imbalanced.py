"""W2: the published imbalanced setting (Dang et al. 2023), time to relative gap 1e-9 and of 30,000 heavy-ball steps.

Squared error, classes of 200, 100, 50 and 50 samples, d = 64 with M = 1 and 3, d = 2048 with M = 1, every ridge 5e-4, float64.
"""

from collections.abc import Iterator

from benchmarks.minima import minimum_rows
from benchmarks.row import Row
from benchmarks.setting import Setting
from benchmarks.trajectories import trajectory_rows

_COUNTS = (200, 100, 50, 50)


def rows(quick: bool, limit: float) -> Iterator[Row]:
    """Minima and trajectories of every size; quick: a tenth of the samples, d = 16, M = 1, ridges of 1e-2."""
    if quick:
        small = Setting((20, 10, 5, 5), width=16, depth=1, l2_W=1e-2, l2_H=1e-2)
        yield from minimum_rows("W2", small, limit, configurations=4, seeds=1)
        yield from trajectory_rows("W2", small, limit, steps=300, configurations=4, repeats=1)
        return
    for width, depth, grid in ((64, 1, 32), (64, 3, 32), (2048, 1, 8)):
        setting = Setting(_COUNTS, width, depth)
        yield from minimum_rows("W2", setting, limit, configurations=32, grid=grid)
        yield from trajectory_rows("W2", setting, limit, steps=30_000, configurations=grid, repeats=1)
