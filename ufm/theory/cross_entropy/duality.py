"""The certificates as theorems: the dual bound is tight at one-layer minima, and no bound is ever above a minimum.

Here `predict` is the bound and `measure` the minimum: what is held against each other is the proof and the search.
"""

from typing import NamedTuple

import jax
import numpy as np

from ufm.duality import Certificate, certify, is_tight
from ufm.equivalent.columns import split_columns
from ufm.losses import kd, poly1
from ufm.objective import initialize
from ufm.problem import Problem
from ufm.solve import solve
from ufm.theory.mse.cases import ridges_at
from ufm.theory.theorem import Check, Theorem, lower_bound

_K = 4
_WIDE = 12
_LOSSES, _BIASES = ("mse", "ce", "logistic", "squared_hinge"), ("none", "free", "ridge")


class BoundedProblem(NamedTuple):
    """A problem and a seed for the random params from which its minimum is bounded."""

    problem: Problem
    seed: jax.Array


def predict_certified(problem: Problem) -> float:
    """The dual gap of a one-layer minimum is zero: strong duality of the nuclear-norm program."""
    del problem
    return 0.0


def measure_certificate(problem: Problem, key: jax.Array) -> Certificate:
    """The certificate of the best point of a multi-start search over raw columns."""
    return certify(problem, solve(problem, key, columns="raw").params)


def duality_evidence(problem: Problem, predicted: float, measured: Certificate) -> list[Check]:
    """A gap that is never negative, and where the width allows it none, with |G|_2 <= c."""
    gap = float(measured.relative_gap) - predicted
    checks = [Check("certificate", "bound above the value", max(-gap, 0.0) if np.isfinite(gap) else np.nan, 0.0)]
    if not is_tight(problem):
        return checks
    excess = max(float(measured.spectral_ratio) - 1, 0.0) if problem.trainable else 0.0
    return [*checks, Check("certificate", "gap", abs(gap), 1e-7), Check("certificate", "|G|/c - 1", excess, 1e-7)]


def predict_bound(case: BoundedProblem) -> jax.Array:
    """The lower bound of `certify` at random params, far from any optimum."""
    params = initialize(case.problem, jax.random.key(case.seed), 0.3)
    return certify(case.problem, params).lower_bound


def measure_value(case: BoundedProblem, key: jax.Array) -> jax.Array:
    """The lowest value that a multi-start search finds."""
    return solve(case.problem, key, columns="raw").value


def bound_evidence(case: BoundedProblem, predicted: jax.Array, measured: jax.Array) -> list[Check]:
    """The bound is a number, and at most the minimum; no tolerance, since rounding is in the bound."""
    unbounded = 0.0 if np.isfinite(np.asarray(predicted)) else 1.0
    return [*lower_bound(0.0, "certificate")(case, predicted, measured), Check("certificate", "no bound", unbounded, 0.0)]


def _imbalanced(loss: object, bias: str, depth: int = 1, price: float = 0.02, counts: tuple = (9, 5, 3, 1), **choices) -> Problem:
    l2_b = 0.05 if bias == "ridge" else 0.0
    ridges = ridges_at(price, depth)
    widths = choices.pop("widths", (_WIDE,) * depth)
    return split_columns(Problem.imbalanced(counts, widths, loss=loss, bias=bias, l2_b=l2_b, **ridges, **choices))


def _soft(loss: object, bias: str, price: float = 0.02, rng: np.random.Generator | None = None, **choices) -> Problem:
    """Six weighted columns of smoothed targets, or of a teacher's logits beside hard ones."""
    rng = np.random.default_rng(0) if rng is None else rng
    labels = rng.integers(_K, size=6)
    targets = np.eye(_K)[:, labels]
    teacher = getattr(loss, "teacher", False)
    if teacher:
        choices["teacher"] = 2 * targets + rng.standard_normal((_K, 6))
    elif loss in ("mse", "ce", "logistic"):
        targets = 0.9 * targets + 0.1 * rng.dirichlet(np.ones(_K), size=6).T
    widths = choices.pop("widths", _WIDE)
    ridges = ridges_at(price, 1)
    if choices.pop("fixed", False):
        choices["classifier"], ridges["l2_W"] = rng.standard_normal((_K, widths)), ()
    l2_b = 0.05 if bias == "ridge" else 0.0
    numbers = {"multiplicity": rng.uniform(0.5, 5, 6), "weight": rng.uniform(0.3, 3, 6), "samples": 12.0}
    return Problem.from_targets(targets, widths, loss=loss, bias=bias, l2_b=l2_b, **numbers, **ridges, **choices)


def duality_cases() -> dict[str, Problem]:
    """Four losses, three bias modes; the least width that is enough, one below it, soft labels, a fixed classifier, a teacher."""
    cases = {f"{loss}, {bias} bias": _imbalanced(loss, bias) for loss in _LOSSES for bias in _BIASES}
    return cases | {
        "ce, free bias, width K - 1": _imbalanced("ce", "free", widths=_K - 1),
        "mse, no bias, width 2": _imbalanced("mse", "none", widths=2),
        "ce, weighted soft labels, free bias": _soft("ce", "free"),
        "logistic, fixed classifier, ridge bias": _soft("logistic", "ridge", fixed=True),
        "kd at T = 2, free bias": _soft(kd(0.5, 0.5, 2.0), "free"),
        "poly1, ridge bias": _imbalanced(poly1(0.5), "ridge"),
    }


def draw_duality(rng: np.random.Generator) -> Problem:
    """Random class sizes, loss, bias mode, width and ridges; two of five draws have weighted soft labels or a teacher."""
    loss, bias = str(rng.choice(_LOSSES)), str(rng.choice(_BIASES))
    price, width = float(np.exp(rng.uniform(-6, -3))), int(rng.choice([_K - 2, _K - 1, _K, _WIDE]))
    kind = rng.integers(5)
    if kind < 3:
        return _imbalanced(loss, bias, price=price, counts=tuple(int(n) for n in rng.integers(1, 40, size=_K)), widths=width)
    if kind == 3:
        return _soft(kd(0.5, 0.5, 2.0), bias, price, rng, widths=width)
    return _soft(loss, bias, price, rng, widths=width, fixed=bool(rng.integers(2)))


def bound_cases() -> dict[str, BoundedProblem]:
    """The dual bound (CE, M = 1) and the chord bound (CE, M = 2; MSE, M = 3) from random params; constrained features."""
    seeds = {0: np.asarray(0), 1: np.asarray(1)}
    deep = {f"{loss} M={M}": _imbalanced(loss, "ridge", M) for loss, M in (("mse", 3), ("ce", 1), ("ce", 2))}
    others = {
        "ce, free bias, width 2": _imbalanced("ce", "free", widths=2),
        "mse, non-negative": _imbalanced("mse", "none", features="nonnegative"),
        "ce on the sphere": _imbalanced("ce", "none", features="sphere", scale=4.0),
        "kd, free bias": _soft(kd(0.5, 0.5, 2.0), "free"),
    }
    cases = {f"{name} seed={seed}": BoundedProblem(p, at) for name, p in deep.items() for seed, at in seeds.items()}
    return cases | {name: BoundedProblem(p, seeds[0]) for name, p in others.items()}


def draw_bound(rng: np.random.Generator) -> BoundedProblem:
    """Random depth, loss, bias mode, width, ridges and params; soft labels, teachers, fixed classifiers."""
    seed = np.asarray(int(rng.integers(2**31)))
    depth = int(rng.integers(1, 4))
    if depth == 1:
        return BoundedProblem(draw_duality(rng), seed)
    price, bias = float(np.exp(rng.uniform(-6, -3))), str(rng.choice(_BIASES))
    widths = (int(rng.choice([2, _WIDE])), *(_WIDE,) * (depth - 1))
    return BoundedProblem(_imbalanced(str(rng.choice(_LOSSES[:3])), bias, depth, price, widths=widths), seed)


THEOREMS = (
    Theorem(
        id="duality-certificate",
        status="holds",
        claim="With one trained layer (or a fixed classifier), free features and a convex loss of known conjugate, any targets, "
        "weights and bias mode, the dual bound at a minimum equals the value if the width is at least K (K - 1 for losses blind to "
        "shifts) or the number of different columns (less 1 under a free bias).",
        notes="Below that width the bound remains one, and may be loose; losses of several parts have a dual point a part.",
        origin="derived; optimality conditions in [zhu2021] and [zhou2022landscape]",
        predict=predict_certified,
        measure=measure_certificate,
        cases=duality_cases,
        draw=draw_duality,
        evidence=duality_evidence,
    ),
    Theorem(
        id="lower-bounds",
        status="holds",
        claim="The bounds of `ufm.certify` (dual for M = 1, chord for M >= 2), rounding counted, never exceed the minimum.",
        origin="derived",
        predict=predict_bound,
        measure=measure_value,
        cases=bound_cases,
        draw=draw_bound,
        evidence=bound_evidence,
    ),
)
