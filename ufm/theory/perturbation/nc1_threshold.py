"""How strong proximity must be for NC1 to fall at every stationary point (derived, after Tirer, Huang, Niles-Weed 2023).

With lW = K l2_W, lH = N l2_H, B = N beta, at a stationary point H of the proximity model,

    tr S_W(H) <= (B/(B + lH))^2 tr S_W(H0)                             for every B, equal where W does not see D
    tr S_B(H) >= (B/(B + lH))^2 tr S_B(H0)    if B + lH >= 1/(2 lW)

so that NC1 = tr S_W/tr S_B is then no larger than at H0. Below there are stationary points at which it rises: for unit vectors u
and v, v orthogonal to 1, class means m u v^T of small m > 0 and deviations D orthogonal to u are stationary for

    M0 = m0 u v^T,  m0 = -(lW m/(m^2 + lW)^2 - (lH + B) m)/B < 0,    D0 = (B + lH)/B D,

on the other side of zero: "crossed". At B + lH = 1/(2 lW) and m -> 0 they make both bounds sharp. They are not global
minimisers; that NC1 falls at global ones for every B is a conjecture.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ufm.problem import Problem
from ufm.problem.params import Params
from ufm.theory import statements
from ufm.theory.assumptions import proximity_features
from ufm.theory.perturbation.model import proximity, random_features, units
from ufm.theory.perturbation.newton import Points, minima, stationary_points
from ufm.theory.theorem import Assumption, Check, below

_STARTS = 6
_STATIONARY = 1e-11


class Search(NamedTuple):
    """A problem, the point (W, H) near which stationary points are looked for, and whether the bounds are sharp there."""

    problem: Problem
    W: jax.Array
    H: jax.Array
    sharp: jax.Array


class Traces(NamedTuple):
    """tr S_W(H)/tr S_W(H0), tr S_B(H)/tr S_B(H0) and NC1(H)/NC1(H0) at J points; scalars where predicted."""

    within: jax.Array
    between: jax.Array
    nc1: jax.Array


def predict(case: Search) -> Traces:
    """For B + lH >= 1/(2 lW), NC1 is lower than at H0 at every stationary point of the proximity model: tr S_W falls by (B/(B +
    lH))^2 or more, tr S_B by no more than that.

    Upper bound of the first, lower bound of the second, both (B/(B + lH))^2, and upper bound one of the third.
    """
    _, lH, B, _ = units(case.problem)
    bound = (B / (B + lH)) ** 2
    return Traces(bound, bound, jnp.ones_like(bound))


def measure(case: Search, key: jax.Array) -> Traces:
    """Stationary points by Levenberg-Marquardt, saddles too, then minima by Newton, near the given point and random ones."""
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    sizes = np.array([1e-4, 0.1, 0.3, 1.0, 1.0, 3.0])[:, None, None]
    near = np.array([1, 1, 0, 0, 0, 0])[:, None, None]
    W, H = (near * np.asarray(x)[None] + sizes * rng.normal(size=(_STARTS, *x.shape)) for x in (case.W, case.H))
    problem, starts = case.problem, Params((jnp.asarray(W),), jnp.asarray(H), None)
    centres = np.broadcast_to(proximity_features(problem), H.shape)
    lists = stationary_points(problem, starts), minima(problem, centres, np.full(_STARTS, float(problem.beta)), starts)
    return _traces(problem, Points(*(jnp.asarray(np.concatenate(pair)) for pair in zip(*lists, strict=True))))


def measure_lowest(case: Search, key: jax.Array) -> Traces:
    """The lowest of Newton minimisations from H0 and from random starts."""
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    problem = case.problem
    (K, N), d = problem.targets.shape, problem.widths[0]
    sizes = np.array([0.1, 0.1, 0.3, 1.0, 1.0, 3.0])[:, None, None]
    near = np.array([1, 0, 1, 1, 0, 0])[:, None, None]
    centres = np.broadcast_to(proximity_features(problem), (_STARTS, d, N))
    H = near * centres + sizes * rng.normal(size=(_STARTS, d, N))
    starts = Params((jnp.asarray(sizes * rng.normal(size=(_STARTS, K, d))),), jnp.asarray(H), None)
    found = minima(problem, centres, np.full(_STARTS, float(problem.beta)), starts)
    best = int(np.argmin(found.value))
    return _traces(problem, Points(*(jnp.asarray(np.asarray(x)[best : best + 1]) for x in found)))


def _traces(problem: Problem, found: Points) -> Traces:
    """NaN where no stationary point was reached, or where the class means of one have all met."""
    stationary = np.asarray(found.gradient_norm) < _STATIONARY * max(1.0, float(problem.beta))  # in units of its largest term
    within, between = _scatters(problem, np.asarray(found.H))
    within0, between0 = _scatters(problem, np.asarray(problem.H0)[None])
    keep = np.where(stationary & (between > 1e-12 * between0), 1.0, np.nan)
    return Traces(keep * within / within0, keep * between / between0, keep * within * between0 / (between * within0))


def _scatters(problem: Problem, H: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """tr S_W and tr S_B of features (J, d, N)."""
    by_class = H.reshape(*H.shape[:2], problem.classes, -1)
    means = by_class.mean(axis=3, keepdims=True)
    within = ((by_class - means) ** 2).mean(axis=(2, 3)).sum(axis=1)
    return within, ((means - means.mean(axis=2, keepdims=True)) ** 2).mean(axis=(2, 3)).sum(axis=1)


def evidence_of_bounds(case: Search, predicted: Traces, measured: Traces) -> list[Check]:
    """No bound is passed at any stationary point found; where they are sharp, the first point found attains both."""
    within, between, nc1 = (np.asarray(m) / float(p) for p, m in zip(predicted, measured, strict=True))
    excess = {"tr S_W above": within - 1, "tr S_B below": 1 - between, "NC1 rises": nc1 - 1}
    checks = [below("certificate", name, np.nanmax(x), 1e-9) for name, x in excess.items()]
    if case.sharp:
        checks.append(Check("agreement", "tr S_W attained", float(abs(within[0] - 1)), 1e-8))
        checks.append(Check("agreement", "tr S_B attained", float(abs(between[0] - 1)), 1e-4))
    return checks


def predict_decrease(case: Search) -> jax.Array:
    """The claim: NC1(H)/NC1(H0) is at most one; the bound is met as B grows without end."""
    return jnp.ones_like(case.problem.beta)


def measure_crossed(case: Search, key: jax.Array) -> tuple[jax.Array, jax.Array]:
    """NC1 at the stationary point next to the given one, and at one next to H0 under strong proximity."""
    strong = case._replace(problem=_strong(case.problem), H=proximity_features(case.problem))
    return measure(case, key).nc1[0], measure(strong, key).nc1[0]


def measure_lowest_decrease(case: Search, key: jax.Array) -> tuple[jax.Array, jax.Array]:
    """NC1 at the lowest minimum found, and at that of strong proximity."""
    strong = case._replace(problem=_strong(case.problem))
    return measure_lowest(case, key).nc1[0], measure_lowest(strong, key).nc1[0]


def _strong(problem: Problem) -> Problem:
    """The problem at B = 1e6 (1/lW + lH): features move by a millionth of what the central path is fast."""
    return problem.replace(beta=1e6 * (1 / problem.l2_W[0] + problem.l2_H) / problem.samples)


def evidence_of_decrease(case: Search, predicted: jax.Array, measured: tuple) -> list[Check]:
    """How far NC1 rises above its bound, and how near it comes to it under strong proximity."""
    del case
    nc1, strong = map(float, measured)
    return [
        below("agreement", "NC1 rises", nc1 - float(predicted), 1e-6),
        Check("agreement", "NC1 under strong proximity", abs(strong - float(predicted)), 1e-4),
    ]


def evidence_of_increase(case: Search, predicted: jax.Array, measured: tuple) -> list[Check]:
    """The same, of a claim that the crossed points refute."""
    rises, strong = evidence_of_decrease(case, predicted, measured)
    return [rises._replace(refutes=True), strong]


def crossed(rng: np.random.Generator, lW: float, lH: float, ratio: float, m: float, noise: float = 0.5) -> Search:
    """The crossed point of size m sqrt(lW) at B + lH = ratio/(2 lW), with random u and D."""
    p, m = ratio / (2 * lW), m * np.sqrt(lW)
    B = p - lH
    u, v = np.linalg.qr(rng.normal(size=(5, 1)))[0], np.array([[1.0], [-1.0], [0.0]]) / np.sqrt(2)
    D = random_features(rng, 0.0, noise)
    D -= u @ (u.T @ D)
    m0 = -(lW * m / (m**2 + lW) ** 2 - p * m) / B
    H0 = np.repeat(m0 * u @ v.T, 2, axis=1) + p / B * D
    H = np.repeat(m * u @ v.T, 2, axis=1) + D
    sharp = ratio == 1 and m < 2e-3
    return Search(proximity(lW, lH, B, H0), jnp.asarray(m / (m**2 + lW) * v @ u.T), jnp.asarray(H), jnp.asarray(sharp))


def anywhere(rng: np.random.Generator, lW: float, lH: float, ratio: float, means: float, noise: float) -> Search:
    """Random H0 at B + lH = ratio/(2 lW), looked at from H0 itself."""
    H0 = random_features(rng, means, noise)
    return Search(proximity(lW, lH, ratio / (2 * lW) - lH, H0), jnp.asarray(H0[:, ::2].T), jnp.asarray(H0), jnp.asarray(False))


def cases_above() -> dict[str, Search]:
    """B + lH from 1/(2 lW), where the bounds are sharp, through 1/lW, where uniqueness sets in, to 5/lW."""
    rng = np.random.default_rng(0)
    return {
        "at 1/(2 lW), crossed, sharp": crossed(rng, 0.5, 0.2, 1.0, 1e-3),
        "at 1/(2 lW), crossed": crossed(rng, 0.5, 0.2, 1.0, 0.3),
        "1.5/(2 lW), crossed": crossed(rng, 0.5, 0.2, 1.5, 0.3),
        "1.01/(2 lW)": anywhere(rng, 0.5, 0.2, 1.01, 1.0, 1.0),
        "10/(2 lW)": anywhere(rng, 0.5, 0.2, 10.0, 0.5, 1.0),
        "1.2/(2 lW), lH=0": anywhere(rng, 0.7, 0.0, 1.2, 1.0, 0.5),
    }


def cases_crossed() -> dict[str, Search]:
    """Search points for B + lH below 1/(2 lW): just below, and far below with large m."""
    rng = np.random.default_rng(0)
    grid = ((0.98, 0.02), (0.8, 0.1), (0.5, 0.3), (0.45, 0.4))
    return {f"2 lW (B+lH)={ratio} m={m}": crossed(rng, 0.5, 0.2, ratio, m) for ratio, m in grid}


def cases_below() -> dict[str, Search]:
    """Random H0 for B + lH below 1/(2 lW), much and little variability, sqrt(lH lW) up to 1.2, and a crossed H0."""
    rng = np.random.default_rng(0)
    return {
        "2 lW (B+lH)=0.9": anywhere(rng, 0.5, 0.2, 0.9, 1.0, 1.0),
        "2 lW (B+lH)=0.3": anywhere(rng, 0.5, 0.2, 0.3, 1.0, 1.0),
        "2 lW (B+lH)=0.05": anywhere(rng, 0.2, 0.05, 0.05, 1.0, 1.0),
        "much variability": anywhere(rng, 0.5, 0.2, 0.5, 0.2, 2.0),
        "little variability": anywhere(rng, 0.5, 0.2, 0.5, 1.0, 0.05),
        "crossed H0": crossed(rng, 0.5, 0.2, 0.5, 0.3),
    }


def draw_above(rng: np.random.Generator) -> Search:
    """Random ridges and H0, B + lH at 1.02/(2 lW) or more."""
    lW, means, noise = np.exp(rng.uniform(-1.5, 0.7, size=3))
    ratio = rng.uniform(1.02, 6)
    return anywhere(rng, lW, rng.uniform(0, 0.9) * ratio / (2 * lW), ratio, means, noise)


def draw_below(rng: np.random.Generator) -> Search:
    """Random ridges and H0, B + lH at 0.98/(2 lW) or less."""
    lW, means, noise = np.exp(rng.uniform(-1.5, 0.7, size=3))
    ratio = rng.uniform(0.02, 0.98)
    return anywhere(rng, lW, rng.uniform(0.05, 0.9) * ratio / (2 * lW), ratio, means, noise)


def _is_above(case: Search) -> bool:
    lW, lH, B, _ = units(case.problem)
    return bool(B + lH >= (1 - 1e-12) / (2 * lW))


_SOURCE = "[tirer2023] (some bound, which depends on H0)"

THEOREMS = (
    statements.other(
        "proximity-nc1-threshold", _SOURCE + "; the threshold derived",
        predict, measure, cases_above, draw_above, (Assumption("B + lH >= 1/(2 lW)", _is_above),), evidence=evidence_of_bounds,
    ),
    statements.other(
        "proximity-nc1-stationary", "[tirer2023], read without the condition on beta; counterexample derived",
        predict_decrease, measure_crossed, cases_crossed,
        claim="NC1 is lower than at H0 at every stationary point of the proximity model, for every beta.", status="refuted",
        evidence=evidence_of_increase,
        notes="The counterexamples are no global minimisers, and exist for B + lH < 1/(2 lW) alone "
        "(proximity-nc1-threshold).",
    ),
    statements.other(
        "proximity-nc1-global", "conjecture from numerical search; " + _SOURCE,
        predict_decrease, measure_lowest_decrease, cases_below, draw_below,
        claim="NC1 is lower than at H0 at the global minimiser of the proximity model, for every beta.", status="numerical",
        evidence=evidence_of_decrease,
        notes="Proved for B + lH >= 1/(2 lW) (proximity-nc1-threshold). The global minimum is the lowest of six descents.",
    ),
)  # fmt: skip
