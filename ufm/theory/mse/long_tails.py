"""Imbalanced cases: thresholds inside the class sizes, published settings, and the class counts of long-tailed benchmarks."""

import numpy as np

from ufm.equivalent.columns import split_columns
from ufm.problem import Problem
from ufm.settings.long_tail import exponential_counts
from ufm.theory.mse.cases import ridges_at
from ufm.theory.mse.spectrum import beta_tie

COUNTS = (9, 5, 3, 1)
_WIDE = 12


def at_critical_size(counts: tuple, critical: float, depth: int, bias: str, widths: tuple | None = None) -> Problem:
    """An imbalanced problem whose critical size (or eigenvalue, under a free bias) is `critical`."""
    c = beta_tie(depth) * critical ** (depth / (depth + 1)) / sum(counts)
    widths = (_WIDE,) * depth if widths is None else widths
    return split_columns(Problem.imbalanced(counts, widths, bias=bias, **ridges_at(c, depth)))


def imbalanced_cases(bias: str) -> dict[str, Problem]:
    """All alive, some dead, all dead, a bottleneck; the published counts; long tails on both sides of collapse."""
    cases = {}
    for depth in (1, 2, 3):
        for critical in (0.3, 2.0, 4.0, 12.0):
            cases[f"M={depth} n_crit={critical}"] = at_critical_size(COUNTS, critical, depth, bias)
        narrow = (2, *(_WIDE,) * (depth - 1))
        cases[f"M={depth} bottleneck d=2"] = at_critical_size(COUNTS, 0.3, depth, bias, narrow)
    for depth, width in ((1, 64), (3, 64), (6, 64), (1, 2048), (3, 2048)):
        problem = Problem.imbalanced((200, 100, 50, 50), (width,) * depth, bias=bias, l2_W=5e-4, l2_H=5e-4)
        cases[f"published 200/100/50/50 d={width} M={depth}"] = problem
    if bias == "none":
        # the benchmarks' own counts: critical size below the rarest class, and between rare and frequent ones
        for classes, alive, width in ((10, 10, 64), (10, 6, 64), (100, 100, 128), (100, 50, 128)):
            counts = exponential_counts(classes, 50_000 // classes)
            critical = 0.5 * counts[-1] if alive == classes else (counts[alive - 1] * counts[alive]) ** 0.5
            problem = at_critical_size(counts, critical, 1, bias, (width,))
            cases[f"CIFAR-{classes}-LT, {alive} classes alive"] = problem
    return cases


def draw_imbalanced(rng: np.random.Generator, bias: str) -> Problem:
    """Random class sizes and ridges, four or five classes, every direction at least 15 % away from its threshold."""
    while True:
        depth = int(rng.integers(1, 4))
        counts = np.sort(rng.integers(1, 60, size=rng.choice((4, 5))))[::-1]
        if bias == "free":
            mu = np.linalg.eigvalsh(np.diag(counts) - np.outer(counts, counts) / counts.sum())[1:]
        else:
            mu = counts
        critical = float(np.exp(rng.uniform(np.log(0.05 * mu.min()), np.log(1.3 * mu.max()))))
        beta_over_tie = (critical / mu) ** (depth / (depth + 1))
        width = int(rng.choice([2, _WIDE, _WIDE]))
        if np.all((beta_over_tie < 0.85) | (beta_over_tie > 1.15)) and len(set(counts)) == len(counts):
            widths = (width, *(_WIDE,) * (depth - 1))
            return at_critical_size(tuple(int(n) for n in counts), critical, depth, bias, widths)
