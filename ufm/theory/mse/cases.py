"""Default and random cases of the squared-error theorems: both sides of every threshold, few distinct shapes."""

import numpy as np

from ufm.equivalent.columns import split_columns
from ufm.problem import Problem
from ufm.theory.mse.spectrum import beta_tie

_WIDE = 12  # K + C for K = 4 classes of two columns: more width changes nothing
_TILT = (1.0, 2.0, 0.5, 1.5, 0.7, 1.2, 0.9)


def ridges_at(c: float, depth: int) -> dict:
    """Unequal ridges of H and W_1..W_M with geometric mean c."""
    tilt = np.array(_TILT[: depth + 1])
    ridges = c * tilt / np.exp(np.mean(np.log(tilt)))
    return {"l2_H": float(ridges[0]), "l2_W": ridges[1:]}


def balanced_at(ratio: float, depth: int, bias: str, *, widths=None, classes=4, per_class=5, l2_b=0.3) -> Problem:
    """A balanced problem with beta = ratio * beta_tie, each class as two columns of half its samples."""
    c = ratio * beta_tie(depth) * per_class ** (depth / (depth + 1)) / (classes * per_class)
    problem = Problem.balanced(
        classes,
        per_class,
        (_WIDE,) * depth if widths is None else widths,
        bias=bias,
        l2_b=l2_b if bias == "ridge" else 0.0,
        **ridges_at(c, depth),
    )
    return split_columns(problem)


def balanced_cases(bias: str, depths: tuple[int, ...] = (1, 2, 3)) -> dict[str, Problem]:
    """Below and above the tie, a bottleneck, and the published setting (K=4, n=100, d=64, l2 5e-4; M = 1, 3, 6)."""
    cases = {}
    for depth in depths:
        for ratio in (0.02, 0.5, 0.9, 1.1, 2.0):
            cases[f"M={depth} beta/tie={ratio}"] = balanced_at(ratio, depth, bias)
        narrow = (2, *(_WIDE,) * (depth - 1))
        cases[f"M={depth} bottleneck d=2"] = balanced_at(0.3, depth, bias, widths=narrow)
    if bias == "ridge":
        for l2_b in (0.05, 2.0):  # s/(1-s) = 1 where s = 1/2: the mean direction is empty below, partly filled above
            cases |= {f"M={m} beta/tie=0.5 l2_b={l2_b}": balanced_at(0.5, m, bias, l2_b=l2_b) for m in depths}
        return cases
    for depth in (1, 3, 6):
        cases[f"published M={depth}"] = Problem.balanced(4, 100, (64,) * depth, bias=bias, l2_W=5e-4, l2_H=5e-4)
    return cases


def draw_balanced(rng: np.random.Generator, bias: str, depths: tuple[int, ...] = (1, 2, 3)) -> Problem:
    """A random balanced problem of four or six classes at least 10 % away from the tie."""
    depth = int(rng.choice(depths))
    ratio = float(rng.choice([rng.uniform(0.01, 0.85), rng.uniform(1.15, 3.0)], p=[0.8, 0.2]))
    width = int(rng.choice([2, 3, _WIDE, _WIDE]))
    sizes = {"classes": int(rng.choice((4, 6))), "per_class": int(rng.integers(1, 40))}
    problem = balanced_at(ratio, depth, bias, **sizes, widths=(width, *(_WIDE,) * (depth - 1)), l2_b=0.1)
    spread = np.exp(rng.normal(size=depth + 1) * 0.5)
    spread /= np.exp(np.mean(np.log(spread)))
    changes = {"l2_H": problem.l2_H * spread[0], "l2_W": problem.l2_W * spread[1:]}
    if bias == "ridge":
        changes["l2_b"] = float(np.exp(rng.uniform(-3, 2)))
    return problem.replace(**changes)
