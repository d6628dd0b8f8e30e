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

from ufm.base.checks import AnyArray
from ufm.problem import Problem
from ufm.problem.params import Params
from ufm.theory import statements
from ufm.theory.assumptions import proximity_features
from ufm.theory.perturbation.model import parts, proximity, random_features, units
from ufm.theory.perturbation.newton import minima, reduced_hessian
from ufm.theory.perturbation.reduced import best_classifier
from ufm.theory.theorem import Assumption, Check, agreement, below, relative_error

_STARTS = 6
_ALTERNATIONS = 3000


class Landscape(NamedTuple):
    """A problem, and J features (J, d, N) at which the curvature is looked at; the first are zero."""

    problem: Problem
    H: jax.Array


class Curvature(NamedTuple):
    """lowest: (J,) smallest eigenvalue of N Hess L. at_zero: (d N,) all of them at H = 0, increasing."""

    lowest: AnyArray
    at_zero: AnyArray


class Stationary(NamedTuple):
    """H of shape (J, d, N) and W of shape (J, K, d) from J starts."""

    H: jax.Array
    W: jax.Array


def predict_curvature(case: Landscape) -> Curvature:
    """N times the Hessian of the reduced objective is at least lH - 1/lW everywhere, and equal to it at zero.

    lH - 1/lW everywhere, and the spectrum at zero: lH - 1/lW K d times, lH the other d (N - K) times.
    """
    lW, lH, _, _ = units(case.problem)
    J, d, N = case.H.shape
    K = case.problem.classes
    floor = lH - 1 / lW
    return Curvature(jnp.full((J,), floor), jnp.concatenate([jnp.full((K * d,), floor), jnp.full((d * (N - K),), lH)]))


def measure_curvature(case: Landscape, key: jax.Array) -> Curvature:
    """Eigenvalues of the Schur complement of the joint Hessian, taken by automatic differentiation."""
    del key  # the features belong to the case
    spectra = np.linalg.eigvalsh(np.asarray(_hessians(case)))
    return Curvature(spectra[:, 0], spectra[0])


@jax.jit
def _hessians(case: Landscape) -> jax.Array:
    return case.problem.samples * jax.lax.map(lambda H: reduced_hessian(case.problem, H), case.H)


def evidence_of_curvature(case: Landscape, predicted: Curvature, measured: Curvature) -> list[Check]:
    """No curvature below the floor, and the whole spectrum at zero, relative to lH + 1/lW."""
    size = float(units(case.problem).lH + 1 / units(case.problem).lW)
    fallen = np.max(np.asarray(predicted.lowest) - np.asarray(measured.lowest)) / size
    return [
        below("certificate", "below the floor", fallen),
        Check("agreement", "spectrum at zero", relative_error(predicted.at_zero, measured.at_zero, size), 1e-12),
    ]


def predict_stationary(case: Problem) -> Stationary:
    """For B + lH > 1/lW the proximity model has one stationary point, the fixed point of alternating between its factors.

    The fixed point of the alternation from H0, for all starts the same.
    """
    _, lH, B, _ = units(case)
    M0, D0 = parts(case, proximity_features(case))
    identity = jnp.eye(case.widths[0])

    def alternate(_: int, H: jax.Array) -> jax.Array:
        W = best_classifier(case, H)
        G = W.T @ W + (lH + B) * identity
        return jnp.linalg.solve(G, B * M0 + W.T)[:, case.labels] + B * jnp.linalg.solve(G, D0)

    H = jax.lax.fori_loop(0, _ALTERNATIONS, alternate, proximity_features(case))
    W = best_classifier(case, H)
    return Stationary(jnp.broadcast_to(H, (_STARTS, *H.shape)), jnp.broadcast_to(W, (_STARTS, *W.shape)))


def measure_stationary(case: Problem, key: jax.Array) -> Stationary:
    """Newton minimisation of the joint objective from random starts of sizes 0.1 to 30."""
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    sizes = np.geomspace(0.1, 30, _STARTS)[:, None, None]
    (K, N), d = case.targets.shape, case.widths[0]
    W, H = sizes * rng.normal(size=(_STARTS, K, d)), sizes * rng.normal(size=(_STARTS, d, N))
    starts = Params((jnp.asarray(W),), jnp.asarray(H), None)
    centres = np.broadcast_to(proximity_features(case), (_STARTS, d, N))
    found = minima(case, centres, np.full(_STARTS, float(case.beta)), starts)
    return Stationary(found.H, found.W)


def curvature_cases() -> dict[str, Landscape]:
    """sqrt(lH lW) below, at and above one, and lH = 0; features of sizes 1e-3 to 30."""
    rng = np.random.default_rng(0)
    return {f"lW={lW} lH={lH}": _landscape(rng, lW, lH) for lW, lH in ((0.5, 0.2), (0.5, 2.0), (1.0, 2.25), (0.7, 0.0))}


def draw_curvature(rng: np.random.Generator) -> Landscape:
    """Random ridges."""
    return _landscape(rng, *np.exp(rng.uniform(-2, 1, size=2)))


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


def is_convex(problem: Problem) -> bool:
    """Whether B + lH > 1/lW, so that the proximity model has one stationary point."""
    lW, lH, B, _ = units(problem)
    return bool(B + lH > 1 / lW)


THEOREMS = (
    statements.other(
        "central-path-curvature", "derived, for the model of [tirer2023]",
        predict_curvature, measure_curvature, curvature_cases, draw_curvature, evidence=evidence_of_curvature,
    ),
    statements.other(
        "proximity-uniqueness", "derived, for the model of [tirer2023]",
        predict_stationary, measure_stationary, stationary_cases, draw_stationary, (Assumption("B + lH > 1/lW", is_convex),),
        evidence=agreement(1e-8),
        notes="Below the threshold there can be several local minima: a solver started at H0 need not find the lowest.",
    ),
)  # fmt: skip
