"""A hundred classes of a hundred sizes: minima of cross-entropy found from a random start met their dual bound every time.

No closed form is known for classes of all different sizes; those here are the class sizes of CIFAR-100-LT.
"""

import dataclasses
from typing import Any

import jax
import numpy as np

from ufm.duality import Certificate, certify
from ufm.problem import Problem, general
from ufm.search.solution import solve
from ufm.settings.long_tail import exponential_counts
from ufm.theory import statements
from ufm.theory.cross_entropy.duality import duality_evidence

_CLASSES = 100


def predict(problem: Problem) -> float:
    """Cross-entropy with a hundred classes of long-tailed sizes, hard or smoothed labels: a random start of L-BFGS reached the
    global minimum every time, by a dual bound that meets its value.
    """
    return 0.0


def measure(problem: Problem, key: jax.Array) -> tuple[Certificate, jax.Array]:
    """The certificate of the point reached from one random start, and the rank of its logits."""
    found = solve(problem, key)
    return certify(problem, found.params), found.rank


def cases() -> dict[str, Problem]:
    """No class near collapse, the rarer half below its threshold, smoothed labels with a penalised bias."""
    hard = {"all classes apart": _problem(0.05), "half of the tail below n = N^2 l2_W l2_H": _problem(50.0)}
    return hard | {"label smoothing 0.1, penalised bias": _problem(1.0, smoothing=0.1, bias="ridge", l2_b=1e-3)}


def draw(rng: np.random.Generator) -> Problem:
    """A random imbalance ratio and critical size."""
    return _problem(float(np.exp(rng.uniform(-3, 4))), float(np.exp(rng.uniform(0, np.log(200)))))


def _problem(critical: float, ratio: float = 100.0, smoothing: float = 0.0, **choices: Any) -> Problem:
    """One column a class, d = K, with N^2 l2_W l2_H = critical."""
    n = np.array(exponential_counts(_CLASSES, 500, ratio), float)
    l2 = critical**0.5 / n.sum()
    targets = (1 - smoothing) * np.eye(_CLASSES) + smoothing / _CLASSES
    problem = Problem.from_targets(targets, _CLASSES, loss="ce", multiplicity=n, l2_W=l2, l2_H=l2, **choices)
    return dataclasses.replace(problem, design=general(problem.design))  # one program for all


THEOREMS = (
    # other: what is measured is a certificate
    statements.other(
        "long-tail-certificate", "measured here; class sizes of [cao2019]; strong duality derived",
        predict, measure, cases, draw, status="numerical", evidence=duality_evidence,
    ),
)  # fmt: skip
