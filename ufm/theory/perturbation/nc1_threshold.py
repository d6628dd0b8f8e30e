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

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ufm.problem import Problem
from ufm.problem.params import Params
from ufm.proofs import Book, Proof, given_params, number, slopes
from ufm.proofs.explicit_points import crossed_point, stationary_point_raises_nc1
from ufm.theory import statements
from ufm.theory.assumptions import proximity_features
from ufm.theory.perturbation.model import around_random, exact_units, proximity, random_features, strength, units
from ufm.theory.perturbation.newton import Points, minima, random_starts, scatters, stationary_points
from ufm.theory.theorem import Assumption, Check, below

_STATIONARY = 1e-11


class Search(NamedTuple):
    """A problem, the point near which stationary points are looked for, and whether the bounds are sharp there."""

    problem: Problem
    params: Params
    sharp: jax.Array


def predict(case: Search) -> dict[str, jax.Array]:
    """For B + lH >= 1/(2 lW), NC1 is lower than at H0 at every stationary point of the proximity model: tr S_W falls by (B/(B +
    lH))^2 or more, tr S_B by no more than that.

    Upper bound of tr S_W(H)/tr S_W(H0), lower of the same of tr S_B, upper of that of NC1.
    """
    _, lH, B, *_ = units(case.problem)
    bound = (B / (B + lH)) ** 2
    return {"within": bound, "between": bound, "nc1": jnp.ones_like(bound)}


def measure(case: Search, key: jax.Array) -> dict[str, jax.Array]:
    """Stationary points by Levenberg-Marquardt, saddles too, then minima by Newton, near the given point and random ones."""
    problem = case.problem
    starts = random_starts(problem, key, (1e-4, 0.1, 0.3, 1.0, 1.0, 3.0), (1, 1, 0, 0, 0, 0), case.params)
    lists = stationary_points(problem, starts), minima(problem, starts)
    return _traces(problem, jax.tree.map(lambda *pair: jnp.concatenate(pair), *lists))


@jax.jit
def _traces(problem: Problem, found: Points) -> dict[str, jax.Array]:
    """tr S_W, tr S_B and NC1 of J points over those of H0; NaN where one is not stationary, or its class means have all met."""
    stationary = found.gradient_norm < _STATIONARY * jnp.maximum(1.0, problem.beta)  # in units of its largest term
    (within, between), (within0, between0) = scatters(problem, found.H), scatters(problem, proximity_features(problem))
    keep = jnp.where(stationary & (between > 1e-12 * between0), 1.0, jnp.nan)
    within, between = keep * within / within0, keep * between / between0
    return {"within": within, "between": between, "nc1": within / between}


def evidence_of_bounds(case: Search, predicted: dict[str, jax.Array], measured: dict[str, jax.Array]) -> list[Check]:
    """No bound is passed at any stationary point found; where they are sharp, the first point found attains both."""
    within, between, nc1 = (np.asarray(measured[name]) / float(predicted[name]) for name in ("within", "between", "nc1"))
    excess = {"tr S_W above": within - 1, "tr S_B below": 1 - between, "NC1 rises": nc1 - 1}
    checks = [below("certificate", name, np.nanmax(x), 1e-9) for name, x in excess.items()]
    attained = (("tr S_W attained", within, 1e-8), ("tr S_B attained", between, 1e-4)) if case.sharp else ()
    return checks + [Check("agreement", name, float(abs(x[0] - 1)), tolerance) for name, x, tolerance in attained]


def prove(case: Search, predicted: dict[str, jax.Array]) -> Proof:
    """2 (B + lH) lW >= 1 to 1e-12, and (B/(B + lH))^2 in exact numbers, within 1e-12 of the bounds served. Where the given point is
    stationary, gradient below 1e-12, its traces keep both bounds, to 1e-5 where they are sharp.

    That no stationary point passes them is proved on paper.
    """
    problem, labels, n = case.problem, np.asarray(case.problem.labels), case.problem.groups[0]
    book = Book("the threshold of proximity is passed, and the bounds of the traces are those served")
    lW, lH, B = (book.given(label, float(value)) for label, value in zip(("lW", "lH", "B"), units(problem)[:3], strict=True))
    book.less(1 - number(1e-12), 2 * (B + lH) * lW)
    bound = book.kept("bound", (B / (B + lH)) ** 2)
    book.near([bound, bound, number(1)], [predicted["within"], predicted["between"], predicted["nc1"]], 1e-12)
    if np.any(np.asarray(case.params.H) != np.asarray(problem.H0)):
        point = given_params(book, case.params)
        gradient = slopes(book, problem, point)
        book.less(sum((g * g).sum() for g in (*gradient.weights, gradient.H)), number(1e-24))
        (within, between), (within0, between0) = (
            _scatters(book, H, labels, n) for H in (point.H, book.given("H0", np.asarray(problem.H0)))
        )
        book.less(within, within0 * bound * (1 + number(1e-9)))
        book.less(between0 * bound * (1 - number(1e-9)), between)
        if bool(case.sharp):
            book.less(within0 * bound * (1 - number(1e-9)), within)
            book.less(between, between0 * bound * (1 + number(1e-5)))
    return book.proof()


def _scatters(book: Book, H: np.ndarray, labels: np.ndarray, n: int) -> tuple:
    """N tr S_W and N tr S_B."""
    K = labels.max() + 1
    M = book.kept("M", H @ np.eye(K, dtype=int)[labels] * (number(1) / n))
    D, C = book.kept("D", H - M[:, labels]), book.kept("C", M - M.sum(axis=1)[:, None] * (number(1) / int(K)))
    return book.kept("within", (D * D).sum()), book.kept("between", (C * C).sum() * n)


def predict_decrease(case: Search) -> jax.Array:
    """The claim: NC1(H)/NC1(H0) is at most one; the bound is met as B grows without end."""
    return jnp.ones_like(case.problem.beta)


def measure_crossed(case: Search, key: jax.Array) -> tuple[jax.Array, jax.Array]:
    """NC1 at the stationary point next to the given one, and at one next to H0 under strong proximity."""
    return measure(case, key)["nc1"][0], measure(_strong(case), key)["nc1"][0]


def measure_lowest(case: Search, key: jax.Array) -> tuple[jax.Array, ...]:
    """NC1 at the lowest of Newton minima from random starts and such near H0, over that of H0, and so under strong proximity."""

    def at_lowest(problem: Problem) -> jax.Array:
        found = minima(problem, random_starts(problem, key, (0.1, 0.1, 0.3, 1.0, 1.0, 3.0), near=(1, 0, 1, 1, 0, 0)))
        return _traces(problem, found)["nc1"][jnp.argmin(found.value)]

    return at_lowest(case.problem), at_lowest(_strong(case).problem)


def _strong(case: Search) -> Search:
    """H0 at B = 1e6 (1/lW + lH): features move by a millionth of what the central path is fast."""
    problem = case.problem
    strong = problem.replace(beta=1e6 * (1 / problem.l2_W[0] + problem.l2_H) / problem.samples)
    return case._replace(problem=strong, params=case.params._replace(H=proximity_features(problem)))


def evidence_of_decrease(case: Search, predicted: jax.Array, measured: tuple, refutes: bool = False) -> list[Check]:
    """How far NC1 rises above its bound, which `refutes` the claim or not, and how near it comes to it under strong proximity."""
    nc1, strong = map(float, measured)
    return [
        below("agreement", "NC1 rises", nc1 - float(predicted), 1e-6)._replace(refutes=refutes),
        Check("agreement", "NC1 under strong proximity", abs(strong - float(predicted)), 1e-4),
    ]


def crossed(rng: np.random.Generator, lW: float, lH: float, ratio: float, m: float, noise: float = 0.5) -> Search:
    """The crossed point of size m sqrt(lW) at B + lH = ratio/(2 lW), with random u and D."""
    p, m = ratio / (2 * lW), m * np.sqrt(lW)
    B, sharp = p - lH, ratio == 1 and m < 2e-3
    u, v = np.linalg.qr(rng.normal(size=(5, 1)))[0], np.array([[1.0], [-1.0], [0.0]]) / np.sqrt(2)
    D = random_features(rng, 0.0, noise)
    D -= u @ (u.T @ D)
    m0 = -(lW * m / (m**2 + lW) ** 2 - p * m) / B
    H0, H = (np.repeat(size * u @ v.T, 2, axis=1) + noise for size, noise in ((m0, p / B * D), (m, D)))
    params = Params((jnp.asarray(m / (m**2 + lW) * v @ u.T),), jnp.asarray(H), None)
    return Search(proximity(lW, lH, B, H0), params, jnp.asarray(sharp))


def exact_crossed(case: Search) -> tuple[list, list, list]:
    """W, H and H0 of a crossed point in the frame whose first axis is u, exactly stationary at the numbers of the case."""
    K = case.problem.classes
    H = np.asarray(case.params.H)
    by_class = H.reshape(H.shape[0], K, -1)
    mean = by_class[:, 0].mean(axis=1)
    size = np.linalg.norm(mean)
    frame = np.linalg.qr(np.column_stack([mean / size, np.eye(len(mean))]))[0]
    half = frame.T @ (by_class[:, :, 0] - by_class[:, :, 1]) / 2  # two samples a class
    half[0] = 0
    D = np.stack([half, -half], axis=2).reshape(H.shape)
    return crossed_point(*exact_units(case.problem), float(size), D, K)


def prove_crossed(case: Search, predicted: jax.Array | None = None) -> Proof:
    """NC1 rises at an exactly stationary point."""
    claim = {"theorem": "proximity-nc1-stationary"}
    return stationary_point_raises_nc1(*exact_units(case.problem), *exact_crossed(case), claim=claim)


def anywhere(rng: np.random.Generator, lW: float, lH: float, ratio: float, means: float, noise: float) -> Search:
    """Random H0 at B + lH = ratio/(2 lW), looked at from H0 itself."""
    problem = around_random(rng, lW, lH, means, noise, ratio / (2 * lW) - lH)
    H0 = proximity_features(problem)
    return Search(problem, Params((H0[:, ::2].T,), H0, None), jnp.asarray(False))


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
    grid = ((0.5, 0.2, 0.9), (0.5, 0.2, 0.3), (0.2, 0.05, 0.05))
    even = {f"2 lW (B+lH)={ratio}": anywhere(rng, lW, lH, ratio, 1.0, 1.0) for lW, lH, ratio in grid}
    spreads = {"much variability": (0.2, 2.0), "little variability": (1.0, 0.05)}
    uneven = {label: anywhere(rng, 0.5, 0.2, 0.5, *spread) for label, spread in spreads.items()}
    return even | uneven | {"crossed H0": crossed(rng, 0.5, 0.2, 0.5, 0.3)}


def draw(rng: np.random.Generator, low: float, high: float, least: float) -> Search:
    """Random ridges and H0, 2 lW (B + lH) between `low` and `high`, of which lH has a share of `least` to 0.9."""
    ratio = rng.uniform(low, high)
    lW, means, noise = np.exp(rng.uniform(-1.5, 0.7, size=3))
    return anywhere(rng, lW, rng.uniform(least, 0.9) * ratio / (2 * lW), ratio, means, noise)


_IS_ABOVE = Assumption("B + lH >= 1/(2 lW)", lambda case: strength(case.problem) >= 0.5 * (1 - 1e-12))


_SOURCE = "[tirer2023] (some bound, which depends on H0)"

THEOREMS = (
    # other: bounds on two traces and their ratio at all stationary points, two of them met
    statements.other(
        "proximity-nc1-threshold", _SOURCE + "; the threshold derived",
        predict, measure, cases_above, lambda rng: draw(rng, 1.02, 6, 0.0), (_IS_ABOVE,), evidence=evidence_of_bounds,
        prove=prove,
    ),
    # other: a refuted bound, which strong proximity pins
    statements.other(
        "proximity-nc1-stationary", "[tirer2023], read without the condition on beta; counterexample derived",
        predict_decrease, measure_crossed, cases_crossed, evidence=partial(evidence_of_decrease, refutes=True),
        status="refuted", prove=prove_crossed,
        claim="NC1 is lower than at H0 at every stationary point of the proximity model, for every beta.",
        notes="The counterexamples are no global minimisers, and exist for B + lH < 1/(2 lW) alone (proximity-nc1-threshold).",
    ),
    # other: a bound at one point, the lowest found, and met in a limit
    statements.other(
        "proximity-nc1-global", "conjecture from numerical search; " + _SOURCE,
        predict_decrease, measure_lowest, cases_below, lambda rng: draw(rng, 0.02, 0.98, 0.05),
        evidence=evidence_of_decrease, status="numerical",
        claim="NC1 is lower than at H0 at the global minimiser of the proximity model, for every beta.",
        notes="Proved for B + lH >= 1/(2 lW) (proximity-nc1-threshold). The global minimum is the lowest of six descents.",
    ),
)  # fmt: skip
