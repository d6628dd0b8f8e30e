"""Counterexamples to global neural collapse under cross-entropy with M >= 2 linear layers and K >= 3 classes.

A point of lower value than the branch of `etf_branch` has class logits a U U^T + b 1^T with few orthonormal directions U:

    antipodal pairs   classes (1, 2), (3, 4), ...: rank K/2 in place of K - 1
    one pair          classes 1 and 2 apart, class 3 at zero: rank 1
    a line            the same with a bias in favour of class 3: rank 1 at any ridge

Low rank is cheap because the penalty of L = M + 1 factors is a Schatten quasi-norm of power 2/L < 1.
"""

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import minimize_scalar

from ufm.problem import Problem
from ufm.problem.meant import exact, exact_ridges
from ufm.problem.params import objective
from ufm.proofs import Proof
from ufm.proofs.equations import simplex_is_beaten
from ufm.proofs.objective import objective_expression
from ufm.search.solution import solve
from ufm.theory import statements
from ufm.theory.cross_entropy.etf_branch import etf_prediction
from ufm.theory.cross_entropy.families import waves
from ufm.theory.prediction import from_triples
from ufm.theory.statements.identities import Point
from ufm.theory.statements.refutations import Claim, Refutation

value_at = jax.jit(objective)


def predict_claim(case: Point) -> Claim:
    """The simplex ETF, or zero, is the global minimiser of balanced cross-entropy with M >= 2 linear layers and K >= 3 classes."""
    return Claim(etf_prediction(case.problem).value, etf_prediction(_companion()).value)


def measure_competitor(case: Point, key: jax.Array) -> Refutation:
    """The objective at the explicit point; the least over simplex logits of any size; and the lowest value found by search."""
    return Refutation(value_at(case.problem, case.params), _best_simplex_value(case.problem), solve(_companion(), key).value)


def prove(case: Point, predicted: Claim | None = None) -> Proof:
    """The point is below every simplex."""
    p = case.problem
    found, per_class = objective_expression(p, case.params), exact(p, "samples")[()] / p.classes
    return simplex_is_beaten(p.classes, per_class, exact_ridges(p), found, claim={"theorem": "ce-deep-etf-global"})


def _companion() -> Problem:
    """Three classes, two layers and a small ridge: no point below the simplex is known."""
    return Problem.balanced(3, 1, (3, 3), loss="ce", l2_W=1e-3, l2_H=1e-3)


def _best_simplex_value(problem: Problem) -> float:
    """min over a >= 0 of log(1 + (K-1) e^-a) + (L/2) c n^(1/L) (K-1) a^(2/L): a grid, refined around its lowest point."""
    K, L = problem.classes, problem.factors
    price = float(np.prod(np.asarray(problem.ridges))) ** (1 / L) * (float(problem.samples) / K) ** (1 / L)

    def value(a: np.ndarray) -> np.ndarray:
        return np.log1p((K - 1) * np.exp(-a)) + L / 2 * price * (K - 1) * a ** (2 / L)

    grid = np.linspace(0, 60, 60_001)
    best = int(np.argmin(value(grid)))
    around = (grid[max(best - 1, 0)], grid[best + 1])
    return float(min(value(grid[best]), minimize_scalar(value, bounds=around, options={"xatol": 1e-9}).fun))


def counterexamples() -> dict[str, Point]:
    """One column a class (n = 1), all ridges equal; amplitudes to five digits."""
    two_pairs, three_pairs = (np.kron(np.eye(count), waves(2, (1,))) for count in (2, 3))
    one_pair = np.array([[1.0], [-1.0], [0.0]]) / np.sqrt(2)
    return {
        "K=4 M=2 l2=0.05, two pairs": _point(4, 2, 0.05, two_pairs, 5.6432),
        "K=4 M=3 l2=0.01, two pairs": _point(4, 3, 0.01, two_pairs, 10.127),
        "K=6 M=2 l2=0.001, three pairs": _point(6, 2, 0.001, three_pairs, 14.797),
        "K=3 M=3 l2=0.1 free bias, a line": _point(3, 3, 0.1, one_pair, 8.4109, favour=2.0418),
        "K=3 M=2 l2=0.18, one pair": _point(3, 2, 0.18, one_pair, 1.9730),
    }


def _point(classes: int, depth: int, l2: float, U: np.ndarray, amplitude: float, favour: float = 0.0) -> Point:
    bias = "free" if favour else "none"
    problem = Problem.balanced(classes, 1, (classes,) * depth, loss="ce", bias=bias, l2_W=l2, l2_H=l2)
    sigma, b = jnp.full((U.shape[1],), amplitude, problem.dtype), jnp.zeros((classes,), problem.dtype).at[-1].set(favour)
    return Point(problem, from_triples(problem, jnp.asarray(U), sigma, jnp.asarray(U), b, sigma[0]).params)


THEOREMS = (
    statements.refutation(
        "ce-deep-etf-global",
        "the abstract of [dang2023], read without conditions; against it [garrod2025] (antipodal pairs); [sukenik2024]",
        predict_claim, measure_competitor, counterexamples, prove=prove,
        notes="Refuted is the global statement for every K, M and ridge; the exact hypotheses of the published theorem "
        "were not at hand. What holds: K = 2 (ce-deep-two-classes); M = 1; the simplex is critical for all K and M "
        "(ce-deep-etf-critical) and, for K >= 4, a strict saddle only above c_stab (ce-deep-etf-stability); for "
        "small ridges at K = 3 with M = 2, 3, 4 and at (K, M) = (4, 2), (5, 2), without bias, no lower point is "
        "known (ce-deep-best-known). A point with zero bias also refutes the models with a bias.",
    ),
)  # fmt: skip
