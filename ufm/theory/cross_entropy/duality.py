"""The certificates as theorems: the dual bound is tight at one-layer minima, and no bound is ever above a minimum.

Here `predict` is the bound and `measure` the minimum: what is held against each other is the proof and the search.
"""

from typing import NamedTuple

import jax
import numpy as np

from ufm.duality import certify
from ufm.objective import initialize
from ufm.problem import Problem
from ufm.reduce import split_columns
from ufm.solve import solve
from ufm.theory.minimum import Measured, measured_minimum
from ufm.theory.mse.cases import ridges_at
from ufm.theory.theorem import Check, Theorem, lower_bound


class BoundedProblem(NamedTuple):
    """A problem and a seed for the random params from which its minimum is bounded."""

    problem: Problem
    seed: jax.Array


def predict_certified(problem: Problem) -> float:
    """The dual gap of a one-layer minimum is zero: strong duality of the nuclear-norm program."""
    del problem
    return 0.0


def duality_evidence(problem: Problem, predicted: float, measured: Measured) -> list[Check]:
    """The relative gap at the measured minimum, and |G|_2 <= c there."""
    del problem
    gap = float(measured.certificate.relative_gap) - predicted
    excess = max(float(measured.certificate.spectral_ratio) - 1, 0.0)
    return [Check("certificate", "gap", gap, 1e-7), Check("certificate", "|G|/c - 1", excess, 1e-7)]


def predict_bound(case: BoundedProblem) -> jax.Array:
    """The lower bound of `certify` at random params, far from any optimum."""
    params = initialize(case.problem, jax.random.key(case.seed), 0.3)
    return certify(case.problem, params).lower_bound


def measure_value(case: BoundedProblem, key: jax.Array) -> jax.Array:
    """The lowest value that a multi-start search finds."""
    return solve(case.problem, key, columns="raw").value


def _imbalanced(loss: str, bias: str, depth: int = 1, price: float = 0.02, counts: tuple = (9, 5, 3, 1)) -> Problem:
    l2_b = 0.05 if bias == "ridge" else 0.0
    ridges = ridges_at(price, depth)
    return split_columns(Problem.imbalanced(counts, (12,) * depth, loss=loss, bias=bias, l2_b=l2_b, **ridges))


def duality_cases() -> dict[str, Problem]:
    """Imbalanced classes, four losses, three bias modes: no closed form is needed."""
    losses, biases = ("mse", "ce", "logistic", "squared_hinge"), ("none", "free", "ridge")
    return {f"{loss}, {bias} bias": _imbalanced(loss, bias) for loss in losses for bias in biases}


def draw_duality(rng: np.random.Generator) -> Problem:
    """Random class sizes, loss, bias mode and ridges."""
    loss = str(rng.choice(["mse", "ce", "logistic", "squared_hinge"]))
    bias = str(rng.choice(["none", "free", "ridge"]))
    counts = tuple(int(n) for n in rng.integers(1, 40, size=4))
    return _imbalanced(loss, bias, price=float(np.exp(rng.uniform(-6, -3))), counts=counts)


def bound_cases() -> dict[str, BoundedProblem]:
    """The dual bound (CE, M = 1) and the chord bound (CE, M = 2; MSE, M = 3) from random params."""
    return {
        f"{loss} M={M} seed={seed}": BoundedProblem(_imbalanced(loss, "ridge", M), np.asarray(seed))
        for loss, M in (("mse", 3), ("ce", 1), ("ce", 2))
        for seed in (0, 1)
    }


def draw_bound(rng: np.random.Generator) -> BoundedProblem:
    """Random depth, loss, ridges and params."""
    problem = _imbalanced(str(rng.choice(["mse", "ce"])), "ridge", int(rng.integers(1, 4)), float(np.exp(rng.uniform(-6, -3))))
    return BoundedProblem(problem, np.asarray(int(rng.integers(2**31))))


THEOREMS = (
    Theorem(
        id="duality-certificate",
        status="holds",
        claim="At a one-layer minimum of any convex loss, any class sizes and any bias mode, the dual bound equals the value.",
        source="Derived; optimality conditions in Zhu et al. 2021, arXiv 2105.02375, and Zhou et al. 2022, arXiv 2203.01238",
        predict=predict_certified,
        measure=measured_minimum,
        cases=duality_cases,
        draw=draw_duality,
        evidence=duality_evidence,
    ),
    Theorem(
        id="lower-bounds",
        status="holds",
        claim="The dual bound (M = 1) and the chord bound (M >= 2, loose) from arbitrary params never exceed the minimum.",
        source="Derived",
        predict=predict_bound,
        measure=measure_value,
        cases=bound_cases,
        draw=draw_bound,
        evidence=lower_bound(1e-10, "certificate"),
    ),
)
