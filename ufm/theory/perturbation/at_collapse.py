"""Collapsed features are reproduced at every strength of proximity, and weak proximity picks the nearest collapsed point.

With lW = K l2_W, lH = N l2_H, B = N beta, c = sqrt(lH lW), s = sqrt(lH/lW) and rho = (1 - c)/s (Tirer, Huang, Niles-Weed 2023):

    H0 = sqrt(rho) R (x) 1^T, R^T R = I:   the minimiser is W = s sqrt(rho) R^T, H = H0, of value c - c^2/2, for every B > 0
    c >= 1, H0 = 0:                        zero, of value 1/2
    B -> 0, c < 1, M0 of full column rank: H -> sqrt(rho) U V^T (x) 1^T from the thin SVD M0 = U diag V^T, error O(B)   (derived)

The limit is the minimiser of the plain model that is nearest to H0 (orthogonal Procrustes); M0 of lower rank leaves it open.
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
from ufm.theory.perturbation.near_collapse import perturbation
from ufm.theory.perturbation.newton import minima
from ufm.theory.theorem import Assumption, agreement

_STARTS = 6
_STRENGTHS = 6


class Minimum(NamedTuple):
    """W (K, d), H (d, N) and the objective there."""

    W: AnyArray
    H: AnyArray
    value: AnyArray


def predict_reproduced(case: Problem) -> Minimum:
    """Features that are a collapsed minimiser of the plain model are reproduced by the proximity model at every beta > 0.

    H0 itself, the classifier that shares its frame, and the value of the plain model.
    """
    lW, lH, _, _ = units(case)
    c = jnp.minimum(jnp.sqrt(lH * lW), 1)
    M0, _ = parts(case, proximity_features(case))
    return Minimum(jnp.sqrt(lH / lW) * M0.T, proximity_features(case), c - c**2 / 2)


def measure_reproduced(case: Problem, key: jax.Array) -> Minimum:
    """The lowest of Newton minimisations from random starts of sizes 0.1 to 3."""
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    (K, N), d = case.targets.shape, case.widths[0]
    sizes = np.geomspace(0.1, 3, _STARTS)[:, None, None]
    H = np.broadcast_to(proximity_features(case), (_STARTS, d, N))
    W, near = sizes * rng.normal(size=(_STARTS, K, d)), H + sizes * rng.normal(size=(_STARTS, d, N))
    starts = Params((jnp.asarray(W),), jnp.asarray(near), None)
    found = minima(case, H, np.full(_STARTS, float(case.beta)), starts)
    best = int(np.argmin(found.value))
    return Minimum(*(np.asarray(x)[best] for x in (found.W, found.H, found.value)))


def predict_limit(case: Problem) -> Minimum:
    """As beta -> 0 the features go to the collapsed minimiser nearest to H0: class means sqrt(rho) times the polar factor of those
    of H0.

    The nearest collapsed minimiser of the plain model.
    """
    lW, lH, _, _ = units(case)
    c, s = jnp.sqrt(lH * lW), jnp.sqrt(lH / lW)
    M0, _ = parts(case, proximity_features(case))
    U, _, Vt = jnp.linalg.svd(M0, full_matrices=False)
    M = jnp.sqrt((1 - c) / s) * U @ Vt
    return Minimum(s * M.T, M[:, case.labels], c - c**2 / 2)


def measure_limit(case: Problem, key: jax.Array) -> Minimum:
    """Newton minimisation from H0 at B, B/2, ..., B/32, extrapolated to B = 0 by a polynomial."""
    del key  # the minimum on the side of H0 is asked for
    betas = float(case.beta) * 0.5 ** np.arange(_STRENGTHS)
    own = proximity_features(case)
    H0 = np.broadcast_to(own, (_STRENGTHS, *own.shape))
    W = np.swapaxes(H0[:, :, :: case.groups[0]], 1, 2)
    found = minima(case, H0, betas, Params((jnp.asarray(W),), jnp.asarray(H0), None))
    weights = np.array([np.prod([b / (b - a) for b in betas if b != a]) for a in betas])
    return Minimum(*(np.tensordot(weights, np.asarray(x), 1) for x in (found.W, found.H, found.value)))


def reproduced_cases() -> dict[str, Problem]:
    """Weak and strong proximity on either side of c = 1, and at it."""
    rng = np.random.default_rng(0)
    grid = [(c, B) for c in (0.3, 0.9) for B in (0.05, 1.0, 20.0)] + [(1.0, 1.0), (1.5, 0.5), (1.5, 20.0)]
    return {f"c={c} B={B}": perturbation(c, 0.7, B, rng).problem for c, B in grid}


def draw_reproduced(rng: np.random.Generator) -> Problem:
    """Random ridges and proximity."""
    return perturbation(rng.uniform(0.1, 0.9), np.exp(rng.uniform(-1, 1)), np.exp(rng.uniform(-3, 3)), rng).problem


def limit_cases() -> dict[str, Problem]:
    """Means near and far from a frame, with and without variability within classes, c small and close to one."""
    rng = np.random.default_rng(0)
    return {
        "c=0.3": _weak(rng, 0.3, 0.7, 1.0),
        "c=0.9": _weak(rng, 0.9, 0.7, 1.0),
        "collapsed classes": _weak(rng, 0.3, 0.7, 0.0),
        "s=2": _weak(rng, 0.5, 2.0, 0.5),
    }


def draw_limit(rng: np.random.Generator) -> Problem:
    """Random ridges and features."""
    return _weak(rng, rng.uniform(0.2, 0.85), np.exp(rng.uniform(-0.7, 0.7)), rng.uniform(0, 1))


def _weak(rng: np.random.Generator, c: float, s: float, noise: float) -> Problem:
    """Singular values of M0 between 0.6 and 1.6, and B a hundredth of the curvature 4 lH (1 - c)."""
    U, V = (np.linalg.qr(rng.normal(size=shape))[0] for shape in ((5, 3), (3, 3)))
    M0 = U * rng.uniform(0.6, 1.6, size=3) @ V.T
    H0 = np.repeat(M0, 2, axis=1) + random_features(rng, 0.0, noise)
    return proximity(c / s, c * s, 0.01 * 4 * c * s * (1 - c), H0)


def _is_collapsed(problem: Problem) -> bool:
    lW, lH, _, _ = (float(x) for x in units(problem))
    rho = max(1 - np.sqrt(lH * lW), 0) / np.sqrt(lH / lW)
    M, D = (np.asarray(x) for x in parts(problem, proximity_features(problem)))
    return np.allclose(D, 0, atol=1e-12) and np.allclose(M.T @ M, rho * np.eye(problem.classes), atol=1e-12)


def _has_nearest_frame(problem: Problem) -> bool:
    lW, lH, _, _ = units(problem)
    rank = np.linalg.matrix_rank(np.asarray(parts(problem, proximity_features(problem))[0]))
    return bool(lW * lH < 1) and rank == problem.classes


_SOURCE = "[tirer2023]"

THEOREMS = (
    statements.other(
        "proximity-at-collapse", _SOURCE,
        predict_reproduced, measure_reproduced, reproduced_cases, draw_reproduced,
        (Assumption("H0 the features of a minimiser of the plain model", _is_collapsed),), evidence=agreement(1e-8, scale=1.0),
    ),
    statements.other(
        "proximity-small-beta", "derived, for the model of " + _SOURCE,
        predict_limit, measure_limit, limit_cases, draw_limit,
        (Assumption("c < 1 and class means of H0 of full column rank", _has_nearest_frame),), evidence=agreement(1e-8),
    ),
)  # fmt: skip
