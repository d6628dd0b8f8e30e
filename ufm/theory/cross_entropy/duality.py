"""The certificates as theorems: the dual bound is tight at one-layer minima, and no bound is ever above a minimum.

Here `predict` is the bound and `measure` the minimum: what is held against each other is the proof and the search.
"""

from typing import NamedTuple

import jax
import numpy as np

from ufm.certify import certify
from ufm.objective import initialize
from ufm.problem import Problem
from ufm.reduce import split_columns
from ufm.solve import solve
from ufm.theory.minimum import Measured, measured_minimum
from ufm.theory.mse.cases import ridges_at
from ufm.theory.theorem import Check, Theorem, below, gap_checks, lower_bound, relative_error


class BoundedProblem(NamedTuple):
    """A problem and a seed for the random params from which its minimum is bounded."""

    problem: Problem
    seed: jax.Array


def predict_certified(problem: Problem) -> float:
    """The dual gap of a one-layer minimum is zero: strong duality of the nuclear-norm program."""
    del problem
    return 0.0


def duality_evidence(problem: Problem, predicted: float, measured: Measured) -> list[Check]:
    """The relative gap at the measured minimum, and |G|_2 = c there, or below c where all logits but the bias vanish."""
    del problem
    gap = float(measured.certificate.relative_gap) - float(predicted)
    excess = float(measured.certificate.spectral_ratio) - 1
    met = Check("certificate", "|G|/c - 1", abs(excess), 1e-7)
    vanished = below("certificate", "|G|/c - 1", excess, 1e-7)
    return [*gap_checks(gap, 1e-7), met if measured.solution.rank > 0 else vanished]


def predict_bound(case: BoundedProblem) -> jax.Array:
    """The lower bound of `certify` at random params, far from any optimum."""
    params = initialize(case.problem, jax.random.key(case.seed), 0.3)
    return certify(case.problem, params).lower_bound


class Bounds(NamedTuple):
    """value: the lowest that was found. bound: the formula of the lower bound once more, without `ufm.certify`."""

    value: float
    bound: float


def measure_value(case: BoundedProblem, key: jax.Array) -> Bounds:
    """The lowest value that a multi-start search finds, and the bound of the same params in plain NumPy."""
    return Bounds(float(solve(case.problem, key, columns="raw").value), _bound_by_hand(case))


def _bound_by_hand(case: BoundedProblem) -> float:
    """-sum_c p_c loss*(tau theta_c) - |tau G_b|^2/(2 l2_b), tau = min(1, c/|G|_2); the chord's c for L = M + 1 > 2 factors.

    theta = softmax(z) - y with loss*(theta) = sum_k (theta_k + y_k) log(theta_k + y_k), or z - y with |theta|^2/2 + <theta, y>.
    Values up to f confine singular values to r^(L/2), r = 2 f/(L c), where the chord has the slope c L/2 r^(1 - L/2).
    """
    problem = case.problem
    params = initialize(problem, jax.random.key(case.seed), 0.3)
    m, Y, L = np.asarray(problem.multiplicity), np.asarray(problem.targets), problem.factors
    p = m / np.sum(m)
    W, ridges = np.linalg.multi_dot([np.eye(problem.classes), *map(np.asarray, params.weights[::-1])]), np.asarray(problem.ridges)
    z = W @ np.asarray(params.H) / np.sqrt(m)[None, :] + np.asarray(params.b)[:, None]
    factors = (params.H, *params.weights)
    c = np.prod(ridges) ** (1 / L)
    penalty = sum(l2 * np.sum(np.asarray(A) ** 2) / 2 for l2, A in zip(ridges, factors, strict=True))
    penalty += float(problem.l2_b) / 2 * np.sum(np.asarray(params.b) ** 2)
    if problem.loss.name == "ce":
        logs = z - z.max(axis=0) - np.log(np.sum(np.exp(z - z.max(axis=0)), axis=0))[None, :]
        theta, value = np.exp(logs) - Y, -np.sum(p * np.sum(Y * logs, axis=0)) + penalty
    else:
        theta, value = z - Y, np.sum(p * np.sum((z - Y) ** 2, axis=0)) / 2 + penalty
    if L > 2:
        c = 0.5 * L * c * (2 * value / (L * c)) ** (1 - L / 2)
    tau = min(1.0, c / np.linalg.norm(theta * (p / np.sqrt(m))[None, :], 2))
    shifted = tau * theta + Y
    conjugate = shifted * np.log(np.maximum(shifted, 1e-300)) if problem.loss.name == "ce" else tau * theta * (tau * theta / 2 + Y)
    return float(-np.sum(p * np.sum(conjugate, axis=0)) - np.sum((tau * theta @ p) ** 2) / (2 * float(problem.l2_b)))


def bound_evidence(case: BoundedProblem, predicted: jax.Array, measured: Bounds) -> list[Check]:
    """Never above the lowest value, and the number that its formula gives by hand."""
    return [
        *lower_bound(1e-10, "certificate")(case, predicted, measured.value),
        Check("agreement", "bound by hand", relative_error(measured.bound, predicted), 1e-9),
    ]


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
        evidence=bound_evidence,
    ),
)
