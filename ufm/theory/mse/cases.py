"""Default and random cases of the squared-error theorems: both sides of every threshold, few distinct shapes.

Of equal classes, and of unequal ones with thresholds inside the class sizes, among them those of long-tailed benchmarks.
"""

import numpy as np

from ufm.equivalent.columns import split_columns
from ufm.problem import Problem
from ufm.settings.long_tail import exponential_counts
from ufm.theory.mse.spectrum import beta_tie

_WIDE = 12  # K + C for K = 4 classes of two columns: more width changes nothing
_COUNTS = (9, 5, 3, 1)
_TILT = (1.0, 2.0, 0.5, 1.5, 0.7, 1.2, 0.9)


def ridges_at(c: float, depth: int) -> dict:
    """Unequal ridges of H and W_1..W_M with geometric mean c."""
    tilt = np.array(_TILT[: depth + 1])
    ridges = c * tilt / np.exp(np.mean(np.log(tilt)))
    return {"l2_H": float(ridges[0]), "l2_W": ridges[1:]}


def balanced_at(ratio: float, depth: int, bias: str, *, widths=None, classes=4, per_class=5, l2_b=0.3) -> Problem:
    """A balanced problem with beta = ratio * beta_tie, each class as two columns of half its samples."""
    c = ratio * beta_tie(depth) * per_class ** (depth / (depth + 1)) / (classes * per_class)
    ridges = ridges_at(c, depth) | {"l2_b": l2_b if bias == "ridge" else 0.0}
    return split_columns(Problem.balanced(classes, per_class, widths or _widths(depth), bias=bias, **ridges))


def _widths(depth: int, first: int = _WIDE) -> tuple[int, ...]:
    return (first, *(_WIDE,) * (depth - 1))


def balanced_cases(bias: str, depths: tuple[int, ...] = (1, 2, 3)) -> dict[str, Problem]:
    """Below and above the tie, a bottleneck, and the published setting (K=4, n=100, d=64, l2 5e-4; M = 1, 3, 6)."""
    cases = {f"M={m} beta/tie={ratio}": balanced_at(ratio, m, bias) for m in depths for ratio in (0.02, 0.5, 0.9, 1.1, 2.0)}
    cases |= {f"M={m} bottleneck d=2": balanced_at(0.3, m, bias, widths=_widths(m, 2)) for m in depths}
    if bias != "ridge":
        published = {m: Problem.balanced(4, 100, (64,) * m, bias=bias, l2_W=5e-4, l2_H=5e-4) for m in (1, 3, 6)}
        return cases | {f"published M={m}": problem for m, problem in published.items()}
    # s/(1-s) = 1 where s = 1/2: the mean direction is empty below, partly filled above
    sides = ((m, l2_b) for m in depths for l2_b in (0.05, 2.0))
    return cases | {f"M={m} beta/tie=0.5 l2_b={l2_b}": balanced_at(0.5, m, bias, l2_b=l2_b) for m, l2_b in sides}


def draw_balanced(rng: np.random.Generator, bias: str, depths: tuple[int, ...] = (1, 2, 3)) -> Problem:
    """A random balanced problem of four or six classes at least 10 % away from the tie."""
    depth = int(rng.choice(depths))
    ratio = float(rng.choice([rng.uniform(0.01, 0.85), rng.uniform(1.15, 3.0)], p=[0.8, 0.2]))
    width = int(rng.choice([2, 3, _WIDE, _WIDE]))
    sizes = {"classes": int(rng.choice((4, 6))), "per_class": int(rng.integers(1, 40))}
    problem = balanced_at(ratio, depth, bias, **sizes, widths=_widths(depth, width), l2_b=0.1)
    spread = np.exp(rng.normal(size=depth + 1) * 0.5)
    spread /= np.exp(np.mean(np.log(spread)))
    changes = {"l2_H": problem.l2_H * spread[0], "l2_W": problem.l2_W * spread[1:]}
    if bias == "ridge":
        changes["l2_b"] = float(np.exp(rng.uniform(-3, 2)))
    return problem.replace(**changes)


def at_critical_size(counts: tuple, critical: float, depth: int, bias: str, widths: tuple | None = None) -> Problem:
    """An imbalanced problem whose critical size (or eigenvalue, under a free bias) is `critical`."""
    c = beta_tie(depth) * critical ** (depth / (depth + 1)) / sum(counts)
    return split_columns(Problem.imbalanced(counts, widths or _widths(depth), bias=bias, **ridges_at(c, depth)))


def imbalanced_cases(bias: str) -> dict[str, Problem]:
    """All alive, some dead, all dead, a bottleneck; the published counts; long tails on both sides of collapse."""
    sizes = ((m, critical) for m in (1, 2, 3) for critical in (0.3, 2.0, 4.0, 12.0))
    cases = {f"M={m} n_crit={critical}": at_critical_size(_COUNTS, critical, m, bias) for m, critical in sizes}
    cases |= {f"M={m} bottleneck d=2": at_critical_size(_COUNTS, 0.3, m, bias, _widths(m, 2)) for m in (1, 2, 3)}
    for depth, width in ((1, 64), (3, 64), (6, 64), (1, 2048), (3, 2048)):
        problem = Problem.imbalanced((200, 100, 50, 50), (width,) * depth, bias=bias, l2_W=5e-4, l2_H=5e-4)
        cases[f"published 200/100/50/50 d={width} M={depth}"] = problem
    if bias == "none":
        # the benchmarks' own counts: critical size below the rarest class, and between rare and frequent ones
        for classes, alive, width in ((10, 10, 64), (10, 6, 64), (100, 100, 128), (100, 50, 128)):
            counts = exponential_counts(classes, 50_000 // classes)
            critical = 0.5 * counts[-1] if alive == classes else (counts[alive - 1] * counts[alive]) ** 0.5
            cases[f"CIFAR-{classes}-LT, {alive} classes alive"] = at_critical_size(counts, critical, 1, bias, (width,))
    return cases


def draw_imbalanced(rng: np.random.Generator, bias: str) -> Problem:
    """Random class sizes and ridges, four or five classes, every direction at least 15 % away from its threshold."""
    while True:
        depth = int(rng.integers(1, 4))
        counts = np.sort(rng.integers(1, 60, size=rng.choice((4, 5))))[::-1]
        centred = np.diag(counts) - np.outer(counts, counts) / counts.sum()
        mu = np.linalg.eigvalsh(centred)[1:] if bias == "free" else counts
        critical = float(np.exp(rng.uniform(np.log(0.05 * mu.min()), np.log(1.3 * mu.max()))))
        beta_over_tie = (critical / mu) ** (depth / (depth + 1))
        width = int(rng.choice([2, _WIDE, _WIDE]))
        if np.all((beta_over_tie < 0.85) | (beta_over_tie > 1.15)) and len(set(counts)) == len(counts):
            return at_critical_size(tuple(int(n) for n in counts), critical, depth, bias, _widths(depth, width))
