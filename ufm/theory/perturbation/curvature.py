"""A floor under the curvature of the reduced objective, and when the proximity model has one stationary point (derived).

With lW = K l2_W, lH = N l2_H and B = N beta, at every H

    N Hess L(H) >= lH - 1/lW,      equal at H = 0, K d times; the within-class directions have lH there.

So for B + lH > 1/lW the proximity model is strongly convex in H after W is minimised out: one stationary point, found from
any start. It is where alternating between the two factors stays, and that alternation is, with W = W*(H),

    D <- B [W^T W + (lH + B) I]^-1 D0,      M <- [W^T W + (lH + B) I]^-1 (B M0 + W^T).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ufm.problem import Problem
from ufm.proofs import Book, Proof, Slopes, number, slopes, unproved
from ufm.theory import statements
from ufm.theory.assumptions import proximity_features
from ufm.theory.perturbation.model import parts, proximity, random_features, strength, units
from ufm.theory.perturbation.newton import minima, random_starts
from ufm.theory.perturbation.reduced import best_classifier, direct_hessian
from ufm.theory.theorem import Assumption, Check, agreement, below, relative_error

_STARTS, _ALTERNATIONS = 6, 3000


class Landscape(NamedTuple):
    """A problem, and J features (J, d, N) at which the curvature is looked at; the first are zero."""

    problem: Problem
    H: jax.Array


def predict_curvature(case: Landscape) -> dict[str, jax.Array]:
    """N times the Hessian of the reduced objective is at least lH - 1/lW everywhere, and equal to it at zero.

    The spectrum at zero: lH - 1/lW K d times, lH the other d (N - K) times.
    """
    (lW, lH, *_), (_, d, N), K = units(case.problem), case.H.shape, case.problem.classes
    floor = lH - 1 / lW
    return {"lowest": floor, "at_zero": jnp.concatenate([jnp.full((K * d,), floor), jnp.full((d * (N - K),), lH)])}


def measure_curvature(case: Landscape, key: jax.Array) -> dict[str, np.ndarray]:
    """Least eigenvalues (J,), and all at zero, of the Schur complement of the joint Hessian, by automatic differentiation."""
    spectra = np.linalg.eigvalsh([direct_hessian(case.problem.replace(H0=H)) for H in case.H])
    return {"lowest": spectra[:, 0], "at_zero": spectra[0]}


def evidence_of_curvature(case: Landscape, predicted: dict[str, jax.Array], measured: dict[str, np.ndarray]) -> list[Check]:
    """No curvature below the floor, and the whole spectrum at zero, relative to lH + 1/lW."""
    lW, lH, *_ = units(case.problem)
    size = float(lH + 1 / lW)
    return [
        below("certificate", "below the floor", np.max(float(predicted["lowest"]) - measured["lowest"]) / size),
        Check("agreement", "spectrum at zero", relative_error(predicted["at_zero"], measured["at_zero"], size), 1e-12),
    ]


def predict_stationary(case: Problem) -> dict[str, jax.Array]:
    """For B + lH > 1/lW the proximity model has one stationary point, the fixed point of alternating between its factors.

    The alternation starts at H0. H and W, for all starts the same.
    """
    (_, lH, B, *_), H0 = units(case), proximity_features(case)
    M0, D0 = parts(case, H0)

    def alternate(_: int, H: jax.Array) -> jax.Array:
        W = best_classifier(case, H)
        G = W.T @ W + (lH + B) * jnp.eye(len(H))
        return jnp.linalg.solve(G, B * M0 + W.T)[:, case.labels] + B * jnp.linalg.solve(G, D0)

    H = jax.lax.fori_loop(0, _ALTERNATIONS, alternate, H0)
    return {"H": jnp.stack([H] * _STARTS), "W": jnp.stack([best_classifier(case, H)] * _STARTS)}


def measure_stationary(case: Problem, key: jax.Array) -> dict[str, jax.Array]:
    """Newton minimisation of the joint objective from random starts of sizes 0.1 to 30."""
    found = minima(case, random_starts(case, key, np.geomspace(0.1, 30, _STARTS)))
    return {"H": found.H, "W": found.W}


def prove_stationary(case: Problem, predicted: dict[str, jax.Array]) -> Proof:
    """(B + lH) lW > 1 for the floats at hand, and a gradient at the point served so small that, by the floor lH - 1/lW proved on
    paper, the one stationary H is within 1e-8 of it: gradients of W vanish at the least squares of H.
    """
    H, W = np.asarray(predicted["H"]), np.asarray(predicted["W"])
    if np.ptp(H, axis=0).max() or np.ptp(W, axis=0).max():
        return unproved("the points served for the starts are not one")
    book = Book("(B + lH) lW > 1, and N times the gradient at the point served is below 1e-8 (B + lH - 1/lW), in W and in H")
    lW, lH, B = (book.given(label, float(value)) for label, value in zip(("lW", "lH", "B"), units(case)[:3], strict=True))
    point = Slopes((book.given("W", W[0]),), book.given("H", H[0]), None)
    gradient = slopes(book, case, point)
    strength = book.kept("strength", B + lH - 1 / lW)
    book.less(1, (B + lH) * lW)
    square = sum((g * g).sum() for g in (*gradient.weights, gradient.H)) * int(case.samples) ** 2
    book.less(square, (strength * number(1e-8)) ** 2)
    return book.proof()


def curvature_cases() -> dict[str, Landscape]:
    """sqrt(lH lW) below, at and above one, and lH = 0; features of sizes 1e-3 to 30."""
    rng = np.random.default_rng(0)
    return {f"lW={lW} lH={lH}": _landscape(rng, lW, lH) for lW, lH in ((0.5, 0.2), (0.5, 2.0), (1.0, 2.25), (0.7, 0.0))}


def _landscape(rng: np.random.Generator, lW: float, lH: float) -> Landscape:
    sizes = (0.0, 1e-3, 0.1, 0.5, 1.0, 3.0, 30.0)
    H = np.stack([random_features(rng, size, size * rng.uniform(0, 2)) for size in sizes])
    return Landscape(proximity(lW, lH, 1.0, H[0]), jnp.asarray(H))


def stationary_cases() -> dict[str, Problem]:
    """B + lH from 5 % above 1/lW to ten times it, sqrt(lH lW) below and above one, and lH = 0."""
    rng = np.random.default_rng(1)
    grid = ((1.05, 0.5, 0.2), (1.5, 0.5, 0.2), (10.0, 0.5, 0.2), (2.0, 1.0, 1.5), (1.2, 0.7, 0.0))
    return {f"(B+lH) lW={x} lW={lW} lH={lH}": _above(rng, x, lW, lH) for x, lW, lH in grid}


def draw_stationary(rng: np.random.Generator) -> Problem:
    """Random ridges and features, at least 10 % above the threshold."""
    lW = np.exp(rng.uniform(-1, 0.5))
    return _above(rng, rng.uniform(1.1, 6), lW, rng.uniform(0, 1) / lW)


def _above(rng: np.random.Generator, ratio: float, lW: float, lH: float) -> Problem:
    return proximity(lW, lH, ratio / lW - lH, random_features(rng, *rng.uniform(0.3, 2, size=2)))


THEOREMS = (
    # other: a floor at all points, and the whole spectrum at the point where it is met
    statements.other(
        "central-path-curvature", "derived, for the model of [tirer2023]",
        predict_curvature, measure_curvature, curvature_cases, lambda rng: _landscape(rng, *np.exp(rng.uniform(-2, 1, size=2))),
        evidence=evidence_of_curvature,
    ),
    # other: one point, which searches from random ones all have to end at
    statements.other(
        "proximity-uniqueness", "derived, for the model of [tirer2023]",
        predict_stationary, measure_stationary, stationary_cases, draw_stationary,
        (Assumption("B + lH > 1/lW", lambda case: strength(case) > 1),), evidence=agreement(1e-8), prove=prove_stationary,
        notes="Below the threshold there can be several local minima: a solver started at H0 need not find the lowest.",
    ),
)  # fmt: skip
