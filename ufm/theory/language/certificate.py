"""Next-token prediction is certified: its minimum equals the dual bound where d holds the rank, and is above it elsewhere.

    f* = min_Z sum_j pi_j CE(p_j, softmax(z_j)) + tau |Z|_*       where rank(Z*) <= d, sure for d >= V - 1
    f* > the same minimum                                         where every Z* has a rank above d

The bound of `ufm.certify` is that of the convex problem, so it holds for V > d too; it is computed from a minimum for wide
features, and held against the lowest value that a search with d features finds.
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import numpy as np

from ufm.duality import Certificate, certify
from ufm.equivalent.columns import split_columns
from ufm.problem import Problem
from ufm.search.solution import Solution, solve
from ufm.settings.language import next_token_problem, random_contexts, zipf_priors
from ufm.theory import statements
from ufm.theory.theorem import Check, below, gap_checks

_WIDE = 12
_CLEAR = 0.1  # of the largest singular value: a smaller one beyond d costs next to nothing


class Searched(NamedTuple):
    """What a search at the problem's own width found, and the wide minimum with its certificate."""

    own: Solution
    wide: Solution
    certificate: Certificate


def predict(problem: Problem) -> float:
    """The dual bound of next-token prediction with soft labels is its minimum where d holds the rank of the convex one (d >= V - 1
    always does), and a strict lower bound elsewhere, V > d included.

    The relative gap where d holds the rank.
    """
    return 0.0


def measure(problem: Problem, key: jax.Array) -> Searched:
    """Minimise at width d and at full width from random starts, and certify the latter."""
    wide = dataclasses.replace(problem, widths=(_WIDE,))
    solution = solve(wide, key, columns="raw")
    own = solution if problem.widths == wide.widths else solve(problem, key, columns="raw", starts=8)
    return Searched(own, solution, certify(wide, solution.params))


def evidence(problem: Problem, predicted: float, measured: Searched) -> list[Check]:
    """The wide minimum is certified; at width d it is met where the rank allows, and never undercut."""
    d, gap = problem.widths[0], 1 - float(measured.certificate.lower_bound) / float(measured.own.value)
    checks = [*gap_checks(measured.certificate.relative_gap, 1e-7), below("certificate", "bound above the minimum", -gap)]
    (W,), H, _ = measured.wide.params
    s = np.append(np.linalg.svd(np.asarray(W) @ np.asarray(H), compute_uv=False), np.zeros(_WIDE))
    if measured.wide.rank <= d:
        checks.append(Check("agreement", "minimum at width d", abs(gap - float(predicted)), 1e-7))
    elif s[d] > _CLEAR * s[0]:
        checks.append(below("agreement", "a rank above d costs", 1e-6 - gap, 0.0))
    return checks


def random_problem(seed: int, ridge: float, dim: int = _WIDE, *, tilt: float = 2.0, bias: str = "none", **contexts: Any) -> Problem:
    """Four tokens and four contexts, each as two columns, under ridges of geometric mean `ridge`."""
    tokens = random_contexts(jax.random.key(seed), zipf_priors(4), 4, exponent=0.5, **contexts)
    l2_b = 0.05 if bias == "ridge" else 0.0
    return split_columns(next_token_problem(tokens, dim, l2_W=ridge * tilt, l2_H=ridge / tilt, bias=bias, l2_b=l2_b))


def cases() -> dict[str, Problem]:
    """Wide features in all bias modes; fewer features than tokens: d = V - 1, and d = 2 with a rank above and within it."""
    biases = ("none", "free", "ridge")
    wide = {f"{bias} bias, ridge {ridge:g}": random_problem(1, ridge, bias=bias) for bias in biases for ridge in (0.02, 2e-3)}
    narrow = {f"d={d} ridge {ridge:g}": random_problem(2, ridge, d) for d, ridge in ((3, 5e-3), (2, 5e-3), (2, 0.2))}
    return wide | {"supports of all tokens": random_problem(3, 1e-2, sizes=(4,)), "zero": random_problem(3, 2.0)} | narrow


def draw(rng: np.random.Generator) -> Problem:
    """Random contexts, ridges and widths."""
    ridge = float(np.exp(rng.uniform(np.log(1e-3), np.log(0.3))))
    return random_problem(int(rng.integers(2**31)), ridge, int(rng.choice([2, 3, _WIDE])))


THEOREMS = (
    # other: whether the bound is met depends on the rank that a search finds
    statements.other("ntp-certificate", "setting: [zhao2024]; derived", predict, measure, cases, draw, evidence=evidence),
)
