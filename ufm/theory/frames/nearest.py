"""The nearest simplex frame is an orthogonal Procrustes problem (setting of Markou et al. 2024; closed form derived).

Over simplex frames F = sqrt(K/(K-1)) R Q^T of unit vectors, with A = (2/sqrt(K-1)) Y Q + delta R_0,

    min |Y - F/sqrt(K)|^2 + (delta/2) |R - R_0|^2 = |Y|^2 + 1 + delta (K-1) - |A|_*,     at R = polar(A).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import minimize

from ufm.frames import Frame, helmert, proximal_simplex, simplex_etf
from ufm.theory import statements
from ufm.theory.theorem import Check, below, relative_error

_STARTS = 4
_SHAPE = _DIM, _CLASSES = 5, 4


class Means(NamedTuple):
    """Y and the previous simplex frame, shapes (d, K), and the proximal weight."""

    matrix: jax.Array
    previous: jax.Array
    proximal: jax.Array


def predict(case: Means) -> dict[str, Any]:
    """The simplex frame nearest to given class means, also when held back by a previous one, is the polar factor of one matrix: no
    inner solver is needed.

    The least value, and the frame there.
    """
    K, delta = case.matrix.shape[1], case.proximal
    value = jnp.sum(case.matrix**2) + 1 + delta * (K - 1) - jnp.sum(jnp.linalg.svd(_matrix(case), compute_uv=False))
    return {"value": value, "frame": proximal_simplex(case.matrix, Frame(case.previous), delta).vectors}


def _matrix(case: Means) -> jax.Array:
    K = case.matrix.shape[1]
    return (2 / jnp.sqrt(K - 1.0) * case.matrix + case.proximal * jnp.sqrt(1 - 1 / K) * case.previous) @ helmert(K)


def measure(case: Means, key: jax.Array) -> dict[str, Any]:
    """The best of BFGS runs over rotated simplexes from random starts, derivatives by differences."""
    Y, F0, proximal = (np.asarray(x) for x in case)
    d, K = Y.shape
    # K unit vectors at equal angles, not from Helmert's basis: the last is minus the sum of the others
    corner = np.linalg.cholesky((K * np.eye(K - 1) - 1) / (K - 1)).T @ np.concatenate([np.eye(K - 1), -np.ones((K - 1, 1))], axis=1)

    def frame(x: np.ndarray) -> np.ndarray:
        R, triangle = np.linalg.qr(x.reshape(d, K - 1))
        return R * np.sign(np.diag(triangle)) @ corner

    def value(x: np.ndarray) -> float:
        F = frame(x)
        # |R - R_0|^2 = (K - 1)/K |F - F_0|^2
        return np.sum((Y - F / np.sqrt(K)) ** 2) + proximal / 2 * (K - 1) / K * np.sum((F - F0) ** 2)

    starts = np.random.default_rng(np.asarray(jax.random.key_data(key))).standard_normal((_STARTS, d * (K - 1)))
    best = min((minimize(value, start, method="BFGS", options={"gtol": 1e-7}) for start in starts), key=lambda run: run.fun)
    return {"value": best.fun, "frame": frame(best.x)}


def evidence(case: Means, predicted: dict[str, Any], measured: dict[str, Any]) -> list[Check]:
    """Values agree and none is lower; the frames agree where A has full rank, so that the minimiser is unique.

    At a frame F the value is above the least one by at least s (K-1)/K |F - F*|^2/2, with s the least singular value of A.
    """
    p, excess = float(predicted["value"]), float(measured["value"] - predicted["value"])
    checks = [Check("agreement", "value", abs(excess / p), 1e-9), below("agreement", "never below", -excess / abs(p))]
    s = np.linalg.svd(np.asarray(_matrix(case)), compute_uv=False)
    if s[-1] > 1e-9 * s[0]:
        K, F = case.matrix.shape[1], predicted["frame"]
        allowed = float(np.sqrt(2 * K / (K - 1) * 1e-9 * abs(p) / s[-1]) / np.linalg.norm(F))
        checks.append(Check("agreement", "frame", relative_error(F, measured["frame"]), allowed))
    return checks


def cases() -> dict[str, Means]:
    """With and without a proximal weight, near collapse, and means of too low a rank for a unique answer."""
    rng = np.random.default_rng(0)
    near = np.asarray(simplex_etf(_CLASSES, _DIM).vectors) + 0.1 * rng.standard_normal(_SHAPE)
    flat = rng.standard_normal((_DIM, 1)) * rng.standard_normal((1, _CLASSES))
    return {
        "random": _means(rng.standard_normal(_SHAPE), rng, 0.0),
        "random, held back": _means(rng.standard_normal(_SHAPE), rng, 1.0),
        "near a simplex": _means(near, rng, 1e-3),
        "rank one": _means(flat, rng, 0.0),
    }


def _means(matrix: np.ndarray, rng: np.random.Generator, proximal: float) -> Means:
    return Means(jnp.asarray(matrix), jnp.asarray(turned_simplex(_CLASSES, _DIM, rng)), jnp.asarray(proximal))


def turned_simplex(classes: int, dim: int, rng: np.random.Generator) -> np.ndarray:
    """(d, K) unit vectors of a simplex in random position."""
    return np.linalg.qr(rng.standard_normal((dim, dim)))[0] @ np.asarray(simplex_etf(classes, dim).vectors)


THEOREMS = (
    # other: a minimum over rotations, not of a Problem
    statements.other(
        "nearest-simplex", "problem: [markou2024]; closed form: [schonemann1966], applied here", predict, measure, cases,
        lambda rng: _means(rng.standard_normal(_SHAPE), rng, np.exp(rng.uniform(-3, 2))), evidence=evidence,
    ),
)  # fmt: skip
