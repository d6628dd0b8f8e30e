"""The certificates as theorems, proof against search: the dual bound is tight at one-layer minima, and no bound above a minimum."""

from fractions import Fraction
from typing import Any

import jax
import numpy as np
from scipy.special import softmax, xlogy

from ufm.duality import Certificate, certify, is_tight
from ufm.equivalent.columns import split_columns
from ufm.losses import CE, MSE, is_loss, kd, poly1
from ufm.problem import Problem
from ufm.problem.params import initialize, objective
from ufm.proofs import Proof, prove, unproved
from ufm.search.solution import solve
from ufm.theory import statements
from ufm.theory.mse.cases import ridges_at
from ufm.theory.statements.identities import Point
from ufm.theory.theorem import Check, below, gap_checks, lower_bound, relative_error

_K, _WIDE = 4, 12
_LOSSES, _BIASES = ("mse", "ce", "logistic", "squared_hinge"), ("none", "free", "ridge")


def predict_certified(problem: Problem) -> float:
    """With one trained layer (or a fixed classifier), free features and a convex loss of known conjugate, any targets, weights and
    bias mode, the dual bound at a minimum equals the value if the width is at least K (K - 1 for losses blind to shifts) or the
    number of different columns (less 1 under a free bias).

    A gap of zero: strong duality of the nuclear-norm program.
    """
    return 0.0


def measure_certificate(problem: Problem, key: jax.Array) -> tuple[Certificate, jax.Array]:
    """The certificate of the best point of a search over raw columns, and the rank of its logits."""
    found = solve(problem, key, columns="raw")
    return certify(problem, found.params), found.rank


def duality_evidence(problem: Problem, predicted: float, measured: tuple[Certificate, jax.Array]) -> list[Check]:
    """A gap that is never negative; where the width allows it none, and |G|_2 = c (at most c where all logits vanish)."""
    certificate, rank = measured
    gap, excess = float(certificate.relative_gap) - float(predicted), float(certificate.spectral_ratio) - 1
    if not is_tight(problem):
        return [below("certificate", "bound above the value", -gap)]
    if not problem.trainable:
        return gap_checks(gap, 1e-7)
    return [*gap_checks(gap, 1e-7), below("certificate", "|G|/c - 1", abs(excess) if rank > 0 else excess, 1e-7)]


def predict_bound(case: Point) -> jax.Array:
    """The bounds of `ufm.certify` (dual for M = 1, chord for M >= 2), rounding counted, never exceed the minimum."""
    return certify(case.problem, case.params).lower_bound


def prove_bound(case: Point, predicted: jax.Array) -> Proof:
    """What the same params bound exactly, where the float bound is not above it."""
    if case.problem.trainable > 1:
        return unproved("several trained layers: a bound in exact arithmetic takes seconds")
    proof = prove(case.problem, case.params, digits=1)
    if proof.lower is not None and Fraction(float(predicted)) > proof.lower:
        return unproved(f"the bound {float(predicted)!r} is above what was proved: {proof.statement}")
    return proof


def measure_value(case: Point, key: jax.Array) -> tuple[float, float | None]:
    """The lowest value found, and for free features, a ridge bias, MSE and CE the bound at the same params in plain NumPy."""
    p = case.problem
    by_hand = p.bias == "ridge" and p.features == "free" and p.classifier is None and is_loss(p.loss, CE, MSE)
    return float(solve(p, key, columns="raw").value), _bound_by_hand(case) if by_hand else None


def _bound_by_hand(case: Point) -> float:
    """-sum_c p_c loss*(tau theta_c) - |tau G_b|^2/(2 l2_b), tau = min(1, c/|G|_2), or that of tau = 0 where it is higher.

    theta = softmax(z) - y with loss*(theta) = sum_k (theta_k + y_k) log(theta_k + y_k), or z - y with |theta|^2/2 + <theta, y>,
    at mean features of equal columns. For L = M + 1 factors c is the chord's: values up to f confine singular values to
    r^(L/2), r = 2 f/(L c), where the chord has the slope c L/2 r^(1 - L/2), c itself for L = 2.
    """
    problem, params = case
    runs, m, L = np.asarray(problem.labels), np.asarray(problem.multiplicity), problem.factors
    n = np.bincount(runs, m)
    Y, w = (np.asarray(x)[..., np.unique(runs, return_index=True)[1]] for x in (problem.targets, problem.weight))
    p = w * n / float(problem.samples)
    W, ridges = np.linalg.multi_dot([np.eye(problem.classes), *map(np.asarray, params.weights[::-1])]), np.asarray(problem.ridges)
    means = np.stack([np.bincount(runs, np.sqrt(m) * row) for row in np.asarray(params.H)]) / n[None, :]
    value = float(objective(problem, params))
    z, c = W @ means + np.asarray(params.b)[:, None], np.prod(ridges) ** (1 / L)
    theta, c = (softmax(z, axis=0) if is_loss(problem.loss, CE) else z) - Y, c * (L / 2 * (2 * value / (L * c)) ** (1 - L / 2))

    def bound(theta: np.ndarray) -> float:
        conjugate = xlogy(theta + Y, theta + Y) if is_loss(problem.loss, CE) else theta * (theta / 2 + Y)
        return float(-np.sum(p * np.sum(conjugate, axis=0)) - np.sum((theta @ p) ** 2) / (2 * float(problem.l2_b)))

    tau = min(1.0, c / np.linalg.norm(theta * (p / np.sqrt(n))[None, :], 2))
    return max(bound(tau * theta), bound(0 * theta))


def bound_evidence(case: Point, predicted: jax.Array, measured: tuple[float, float | None]) -> list[Check]:
    """Never above the lowest value, with no tolerance, since rounding is in the bound; and the number that is got by hand."""
    value, bound = measured
    checks = lower_bound(0.0, "certificate")(case, predicted, value)
    return checks + ([] if bound is None else [Check("agreement", "bound by hand", relative_error(bound, predicted, value), 1e-9)])


def _imbalanced(loss: object, bias: str, depth: int = 1, price: float = 0.02, counts: tuple = (9, 5, 3, 1), **choices) -> Problem:
    choices = {"widths": (_WIDE,) * depth, "l2_b": 0.05 if bias == "ridge" else 0.0} | ridges_at(price, depth) | choices
    return split_columns(Problem.imbalanced(counts, loss=loss, bias=bias, **choices))


def _soft(loss: object, bias: str, price=0.02, rng: np.random.Generator | None = None, width=_WIDE, fixed=False) -> Problem:
    """Six weighted columns of smoothed targets, or of a teacher's logits beside hard ones."""
    rng = rng or np.random.default_rng(0)
    targets = np.eye(_K)[:, rng.integers(_K, size=6)]
    choices: dict[str, Any] = ridges_at(price, 1) | {"l2_b": 0.05 if bias == "ridge" else 0.0}
    if getattr(loss, "teacher", False):
        choices["teacher"] = 2 * targets + rng.standard_normal((_K, 6))
    elif loss in ("mse", "ce", "logistic"):
        targets = 0.9 * targets + 0.1 * rng.dirichlet(np.ones(_K), size=6).T
    if fixed:
        choices["classifier"], choices["l2_W"] = rng.standard_normal((_K, width)), ()
    choices |= {"multiplicity": rng.uniform(0.5, 5, 6), "weight": rng.uniform(0.3, 3, 6), "samples": 12.0}
    return Problem.from_targets(targets, width, loss=loss, bias=bias, **choices)


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
    taught = kind == 3
    return _soft(kd(0.5, 0.5, 2.0) if taught else loss, bias, price, rng, width, fixed=not taught and bool(rng.integers(2)))


def _from_random_params(problem: Problem, seed: int) -> Point:
    """Random params far from any optimum, from which the minimum is bounded."""
    return Point(problem, initialize(problem, jax.random.key(seed), 0.3))


def bound_cases() -> dict[str, Point]:
    """The dual bound (CE, M = 1) and the chord bound (CE, M = 2; MSE, M = 3) from random params; constrained features."""
    deep = {f"{loss} M={M}": _imbalanced(loss, "ridge", M) for loss, M in (("mse", 3), ("ce", 1), ("ce", 2))}
    others = {
        "ce, free bias, width 2": _imbalanced("ce", "free", widths=2),
        "mse, non-negative": _imbalanced("mse", "none", features="nonnegative"),
        "ce on the sphere": _imbalanced("ce", "none", features="sphere", scale=4.0),
        "kd, free bias": _soft(kd(0.5, 0.5, 2.0), "free"),
    }
    cases = {f"{name} seed={seed}": _from_random_params(p, seed) for name, p in deep.items() for seed in (0, 1)}
    return cases | {name: _from_random_params(p, 0) for name, p in others.items()}


def draw_bound(rng: np.random.Generator) -> Point:
    """Random depth, loss, bias mode, width, ridges and params; soft labels, teachers, fixed classifiers."""
    seed, depth = int(rng.integers(2**31)), int(rng.integers(1, 4))
    if depth == 1:
        return _from_random_params(draw_duality(rng), seed)
    price, bias = float(np.exp(rng.uniform(-6, -3))), str(rng.choice(_BIASES))
    widths = (int(rng.choice([2, _WIDE])), *(_WIDE,) * (depth - 1))
    return _from_random_params(_imbalanced(str(rng.choice(_LOSSES[:3])), bias, depth, price, widths=widths), seed)


THEOREMS = (
    # other: what is measured is a certificate, the gap and the dual norm of a point
    statements.other(
        "duality-certificate", "derived; optimality conditions in [zhu2021] and [zhou2022landscape]",
        predict_certified, measure_certificate, duality_cases, draw_duality, evidence=duality_evidence,
        notes="Below that width the bound remains one, and may be loose; losses of several parts have a dual point a part.",
    ),
    # other: a bound that depends on random params, held against its formula by hand as well
    statements.other(
        "lower-bounds", "derived", predict_bound, measure_value, bound_cases, draw_bound, evidence=bound_evidence,
        prove=prove_bound,
    ),
)  # fmt: skip
