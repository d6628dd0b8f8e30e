"""The margins of a public evaluation script for non-negative features do not depend on the ridge of the features.

The script of Dang et al. 2024 computes M_k = log((K-1) (sqrt(n_k)/(N c') - 1)) with c' = (l2_W/2) ((K-1)/K)^(1/2). The minimum of
CE + l2_W/2 |W|^2 + l2_H/2 |H|^2 has c' = (l2_W l2_H (K-1)/K)^(1/2), see `nonnegative`; the two agree iff l2_H = l2_W/4.
A counterexample is a problem and a point of class margins, three decimals, whose objective is below that at the script's margins.
"""

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import minimize_scalar

from ufm.problem import Problem
from ufm.problem.params import objective
from ufm.proofs import Proof
from ufm.proofs.objective import exact_ridges, objective_expression
from ufm.proofs.refutations import margins_are_beaten
from ufm.theory import statements
from ufm.theory.cross_entropy.refuted import value_at
from ufm.theory.imbalance.nonnegative import DANG, from_margins
from ufm.theory.statements.identities import Point
from ufm.theory.statements.refutations import Claim, Refutation


def published_margins(problem: Problem) -> jax.Array:
    """(K,) M_k as the script has them."""
    K = problem.classes
    price = problem.l2_W[0] / 2 * jnp.sqrt((K - 1) / K)
    return jnp.log(jnp.maximum((K - 1) * (jnp.sqrt(problem.counts) / (problem.samples * price) - 1), 1))


def predict(case: Point) -> Claim:
    """With non-negative features the margins at the minimum of CE + l2_W/2 |W|^2 + l2_H/2 |H|^2 are those of the public evaluation
    script, log((K-1) (2 sqrt(n_k) (K/(K-1))^(1/2)/(N l2_W) - 1)), which do not depend on l2_H.
    """
    fitting = case.problem.replace(l2_H=case.problem.l2_W[0] / 4)
    return Claim(*(objective(p, from_margins(p, published_margins(p))) for p in (case.problem, fitting)))


def measure(case: Point, key: jax.Array) -> Refutation:
    """The objective at the explicit point, the script's sum in NumPy, and for l2_H = l2_W/4 the least over all margins."""
    K, n = case.problem.classes, np.asarray(case.problem.counts)
    l2_W, l2_H = float(case.problem.l2_W[0]), float(case.problem.l2_H)

    def value(M: np.ndarray, n_k: np.ndarray, l2_H: float) -> np.ndarray:
        """What a class of n_k adds to the objective at its margin M, convex in that."""
        return n_k / n.sum() * np.log1p((K - 1) * np.exp(-M)) + np.sqrt(l2_W * l2_H * n_k * (K - 1) / K) * M

    script = np.log((K - 1) * (np.sqrt(n) / (n.sum() * l2_W / 2 * np.sqrt((K - 1) / K)) - 1))
    least = (minimize_scalar(value, bounds=(0, 50), args=(n_k, l2_W / 4), options={"xatol": 1e-9}).fun for n_k in n)
    return Refutation(value_at(case.problem, case.params), value(script, n, l2_H).sum(), sum(least))


def prove(case: Point, predicted: Claim | None = None) -> Proof:
    """The point is below what the published margins cost."""
    l2_H, l2_W = exact_ridges(case.problem)
    sizes, found = list(map(float, case.problem.counts)), objective_expression(case.problem, case.params)
    return margins_are_beaten(sizes, l2_W, l2_H, found, claim={"theorem": "relu-published-margins"})


def cases() -> dict[str, Point]:
    """K = 4 classes of 20, 10, 6 and 4 samples, ridges of the features above and below l2_W/4."""
    margins = {
        (1e-3, 1e-3): (5.951, 5.602, 5.343, 5.137), (1e-3, 1e-4): (7.108, 6.760, 6.504, 6.300),
        (1e-2, 1e-4): (5.951, 5.602, 5.343, 5.137), (1e-3, 1e-2): (4.783, 4.426, 4.160, 3.947),
    }  # fmt: skip
    found = {}
    for (l2_W, l2_H), M in margins.items():
        problem = Problem.imbalanced((20, 10, 6, 4), 6, loss="ce", features="nonnegative", l2_W=l2_W, l2_H=l2_H)
        found[f"l2_W={l2_W:g} l2_H={l2_H:g}"] = Point(problem, from_margins(problem, jnp.asarray(M)))
    return found


THEOREMS = (
    statements.refutation(
        "relu-published-margins", "the script validate_NC_unbalanced.py of the code of " + DANG + "; found by comparing minima",
        predict, measure, cases, prove=prove,
        notes="Refuted is the script, not the paper, whose text was not at hand; it compares normalised margins, which "
        "hide most of the error. What holds is relu-imbalance; the two agree iff l2_H = l2_W/4.",
    ),
)  # fmt: skip
