"""The simplex ETF as a branch of critical points of balanced cross-entropy on M >= 2 linear layers (Dang et al. 2023).

With L = M + 1 factors and strength s = c n^(1/L), the logits Zbar = a (I - J) cost

    h(a) = log(1 + (K-1) e^-a) + (L/2) s (K-1) a^(2/L)
    stationary:  a^((M-1)/(M+1)) / (e^a + K - 1) = s,   a the largest root, above the peak of the left side

The branch ends where s passes the peak; it meets log K, the value of zero, at `tie`; for K >= 4 it is a local minimum up to
`stable_up_to` only (see `etf_stability`). For K = 2 Jensen's inequality leaves one logit difference and rank one, so the branch or
zero is the global minimum; for K >= 3 it is in general not (see `refuted`).
"""

import math
from collections.abc import Callable
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np

from ufm.equivalent.columns import split_columns
from ufm.losses import CE
from ufm.problem import Problem
from ufm.problem.meant import exact_ridges
from ufm.problem.params import gradient_norm, objective
from ufm.proofs import Proof
from ufm.proofs.equations import simplex_branch
from ufm.search.roots import increasing_root
from ufm.theory import statements
from ufm.theory.assumptions import BALANCED, DEEP, PENALISED, PLAIN, has_classes, has_loss, is_wide
from ufm.theory.mse.cases import ridges_at
from ufm.theory.prediction import Prediction, effective_c
from ufm.theory.proving import counts_of, held
from ufm.theory.symmetric import symmetric_prediction


def strength(problem: Problem) -> jax.Array:
    """s = c n^(1/L), the one number that a balanced problem of K classes and M layers depends on."""
    return effective_c(problem) * jnp.mean(problem.counts) ** (1 / problem.factors)


def strength_at(margin: float, classes: int, depth: int) -> float:
    """The strength at which the branch has the margin a: a^((M-1)/(M+1)) / (e^a + K - 1)."""
    return margin ** ((depth - 1) / (depth + 1)) * math.exp(-margin) / (1 + (classes - 1) * math.exp(-margin))


@cache
def peak(classes: int, depth: int) -> float:
    """The margin at which the branch ends, a = p (1 + (K-1) e^-a) with p = (M-1)/(M+1)."""
    p = (depth - 1) / (depth + 1)
    return bisect(lambda a: a - p * (1 + (classes - 1) * math.exp(-a)), 0.0, p * classes)


@cache
def tie(classes: int, depth: int) -> float:
    """The strength below which the branch is lower than zero: h(a) = log K along it."""

    def advantage(a: float) -> float:
        odds = (classes - 1) * math.exp(-a)
        return math.log(classes) - math.log1p(odds) - 0.5 * (depth + 1) * a * odds / (1 + odds)

    end = peak(classes, depth)
    return strength_at(bisect(advantage, end, end + 4 * math.log(classes) + 4 * depth), classes, depth)


def stable_up_to(classes: int, depth: int) -> float:
    """c_stab, where the margin falls to K (M-1)/(M+1); at larger strengths the branch is a strict saddle (K >= 4)."""
    return strength_at(classes * (depth - 1) / (depth + 1), classes, depth)


def margin(s: jax.Array, classes: int, depth: int) -> jax.Array:
    """The largest root a of the stationarity equation; its peak where the strength s is beyond the branch."""
    p, log_s = (depth - 1) / (depth + 1), jnp.log(s)

    def equation(a: jax.Array, log_s: jax.Array) -> jax.Array:
        return log_s + a + jnp.log1p((classes - 1) * jnp.exp(-a)) - p * jnp.log(a)

    low = jnp.full_like(log_s, peak(classes, depth))
    high = low + 2 * jnp.maximum(-log_s, 0) + 2  # the left side is below -log_s + a - p log a, and p log a < 0.4 a
    return increasing_root(equation, low, high, log_s)


def branch(problem: Problem) -> tuple[jax.Array, jax.Array]:
    """The margin a of the branch and its value h(a)."""
    K, L, s = problem.classes, problem.factors, strength(problem)
    a = margin(s, K, L - 1)
    return a, jnp.log1p((K - 1) * jnp.exp(-a)) + 0.5 * L * s * (K - 1) * a ** (2 / L)


def etf_prediction(problem: Problem) -> Prediction:
    """Two balanced classes under cross-entropy on M >= 2 linear layers: antipodal features in every layer below the tie, zero above
    it, whatever the bias mode.

    For K >= 3 the lower of the branch and zero is an upper bound on the minimum.
    """
    zero, (a, h) = jnp.log(1.0 * problem.classes), branch(problem)
    alive = (strength(problem) < 2 * tie(problem.classes, problem.factors - 1)) & (h < zero)
    return symmetric_prediction(problem, jnp.where(alive, a, 0), 0.0, jnp.where(alive, h, zero).astype(problem.dtype))


def predict_branch(problem: Problem) -> dict[str, jax.Array]:
    """The simplex ETF whose margin solves a^((M-1)/(M+1)) / (e^a + K - 1) = c n^(1/(M+1)) is a critical point of balanced
    cross-entropy on M >= 2 linear layers, for every K and bias mode.
    """
    a, h = branch(problem)
    return {"gradient_norm": jnp.zeros_like(a), "margin": a, "value": h}


def prove_branch(problem: Problem, predicted: dict[str, jax.Array]) -> Proof:
    """The value at the largest root of the equation of the margin."""
    return held(simplex_branch(problem.classes, counts_of(problem)[0], exact_ridges(problem)), predicted["value"])


def critical_margin(problem: Problem) -> jax.Array:
    """The largest local minimum of the objective along the simplices of every size, by grids of slopes within grids.

    It evaluates `ufm.objective` alone and knows no equation for the margin. The first grid has steps of 1.5 %, finer than the
    distance to the local maximum near the end of the branch.
    """
    slope = jax.grad(lambda a: objective(problem, symmetric_prediction(problem, a, 0.0, a).params))

    def refine(_: int, bracket: jax.Array) -> jax.Array:
        grid = bracket[0] * (bracket[1] / bracket[0]) ** jnp.linspace(0, 1, 480, dtype=problem.dtype)
        slopes = jax.vmap(slope)(grid)
        last = jnp.max(jnp.where((slopes[:-1] < 0) & (slopes[1:] >= 0), jnp.arange(grid.shape[0] - 1), 0))
        return jnp.stack([grid[last], grid[last + 1]])

    return jnp.mean(jax.lax.fori_loop(0, 7, refine, jnp.array([0.05, 60.0], problem.dtype)))


@jax.jit
def found_branch(problem: Problem) -> dict[str, jax.Array]:
    """The gradient over all parameters at the critical size found by `critical_margin`."""
    a = critical_margin(problem)
    point = symmetric_prediction(problem, a, 0.0, a).params
    return {"gradient_norm": gradient_norm(problem, point), "margin": a, "value": objective(problem, point)}


def balanced_at_tie(ratio: float, classes: int, depth: int, per_class: int = 1, bias: str = "none", extra: int = 0) -> Problem:
    """A balanced problem of one column a class whose strength is ratio times the tie."""
    c, l2_b = ratio * tie(classes, depth) / per_class ** (1 / (depth + 1)), 0.2 if bias == "ridge" else 0.0
    ridges, widths = ridges_at(c, depth) | {"l2_b": l2_b}, (classes + extra,) * depth
    return Problem.balanced(classes, per_class, widths, loss="ce", bias=bias, **ridges).collapsed()


def _two_class_cases() -> dict[str, Problem]:
    some = (0.01, 0.5, 0.9, 1.1, 2.0)
    ratios = {(2, "none"): some, (2, "free"): (0.3, 1.2), (3, "none"): some, (3, "ridge"): (0.1, 0.9, 1.2)}
    chosen = [(M, bias, ratio) for (M, bias), some in ratios.items() for ratio in some]
    return {f"M={M} {bias} c/tie={r}": split_columns(balanced_at_tie(r, 2, M, 5, bias)) for M, bias, r in chosen}


def _draw_two_classes(rng: np.random.Generator) -> Problem:
    """A random two-class problem at least 8 % away from the tie."""
    ratio = rng.choice([rng.uniform(0.003, 0.92), rng.uniform(1.1, 3.0)], p=[0.8, 0.2])
    bias, depth = (("none", 2), ("none", 3), ("free", 2), ("ridge", 3))[int(rng.integers(4))]
    return split_columns(balanced_at_tie(float(ratio), 2, depth, int(rng.integers(1, 50)), bias))


def _branch_cases() -> dict[str, Problem]:
    cases = {f"K=4 M=3 c/tie={r}": balanced_at_tie(r, 4, 3) for r in (0.001, 0.1, 1.05)}
    cases["K=4 M=3 n=20 c/tie=0.5"] = balanced_at_tie(0.5, 4, 3, 20)
    return cases | {f"K=10 M=2 d=12 free bias c/tie={r}": balanced_at_tie(r, 10, 2, 7, "free", 2) for r in (0.01, 1.0)}


def _draw_branch(rng: np.random.Generator) -> Problem:
    ratio, per_class = float(np.exp(rng.uniform(-9, 0.02))), int(rng.integers(1, 100))
    small = rng.random() < 0.5
    return balanced_at_tie(ratio, 4, 3, per_class) if small else balanced_at_tie(ratio, 10, 2, per_class, "free", 2)


def bisect(increasing: Callable[[float], float], low: float, high: float) -> float:
    """The root of an increasing function of numbers."""
    for _ in range(200):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if increasing(middle) < 0 else (low, middle)
    return 0.5 * (low + high)


_SHARED = (has_loss(CE), BALANCED, PLAIN, PENALISED, DEEP)
THEOREMS = (
    statements.minimum(
        "ce-deep-two-classes", "[dang2023]; global optimality for K = 2 by Jensen's inequality, derived",
        etf_prediction, _two_class_cases, _draw_two_classes, (*_SHARED, has_classes("two classes", lambda K: K == 2), is_wide(1)),
    ),
    statements.identity(
        "ce-deep-etf-critical", "[dang2023]", predict_branch, found_branch, _branch_cases, _draw_branch, (*_SHARED, is_wide(1)),
        tolerance=1e-10, leaves={"gradient_norm": 1e-12, "margin": 1e-9}, prove=prove_branch,
        notes="Critical, not minimal: see ce-deep-etf-stability and ce-deep-etf-global. The measured point is found by "
        "searching the objective over simplices of all sizes; the gradient is over all parameters.",
    ),
)  # fmt: skip
