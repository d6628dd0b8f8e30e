"""One-vs-rest margins and distances are dual: the largest margin of a class is its distance from the hull of the others.

    max_{|h| <= 1} min_{j != k} <w_k - w_j, h> = dist(w_k, conv{w_j : j != k}) =: delta_k

(minimax: the order of max over h and min over convex combinations does not matter). For unit vectors with largest cosine
c_k = max_{j != k} <w_k, w_j> the feature h = w_k and the nearest vector give 1 - c_k <= delta_k <= sqrt(2 - 2 c_k).
"""

from typing import NamedTuple

import jax
import numpy as np
from scipy.optimize import minimize

from ufm.frames import simplex_etf
from ufm.frames.one_vs_rest import one_vs_rest_distance
from ufm.theory import statements
from ufm.theory.codes.softmax_codes import hull_distances
from ufm.theory.theorem import Check, below, relative_error

_SHAPE, _STARTS = (3, 6), 3


class Dual(NamedTuple):
    """distances: (K,) from the hulls. directions: (d, K) unit features of the largest margin, zero inside a hull."""

    distances: jax.Array
    directions: jax.Array


class Primal(NamedTuple):
    """margins: (K,) the largest that a search over features finds. polar: (K,) the distances by another solver."""

    margins: np.ndarray
    polar: np.ndarray


def predict(code: jax.Array) -> Dual:
    """The largest margin max_{|h| <= 1} min_{j != k} <w_k - w_j, h> of a class is the distance of w_k from the convex hull of the
    others; for unit vectors it lies between 1 - c_k and sqrt(2 - 2 c_k), c_k the largest cosine.

    delta_k and its features by Wolfe's active sets.
    """
    found = one_vs_rest_distance(code)
    return Dual(found.distances, found.directions)


def measure(code: np.ndarray, key: jax.Array) -> Primal:
    """The largest margin over |h| <= 1 by sequential quadratic programming from random features, class by class."""
    code = np.asarray(code)
    starts = np.asarray(jax.random.normal(key, (_STARTS, *code.shape))) / 4
    margins = [max(_largest_margin(code, k, start[:, k]) for start in starts) for k in range(code.shape[1])]
    return Primal(np.array(margins), hull_distances(code))


def _largest_margin(code: np.ndarray, k: int, start: np.ndarray) -> float:
    """max t with <w_k - w_j, h> >= t for all j != k and |h| <= 1, checked again at the feature found."""
    D = (code[:, [k]] - np.delete(code, k, axis=1)).T
    constraints = (
        {"type": "ineq", "fun": lambda x: D @ x[:-1] - x[-1], "jac": lambda x: np.hstack([D, -np.ones((len(D), 1))])},
        {"type": "ineq", "fun": lambda x: 1 - x[:-1] @ x[:-1], "jac": lambda x: np.append(-2 * x[:-1], 0)[None]},
    )
    slope = np.append(np.zeros(len(start)), -1.0)
    found = minimize(
        lambda x: -x[-1], np.append(start, 0.0), jac=lambda x: slope, constraints=constraints, method="SLSQP",
        options={"ftol": 1e-15, "maxiter": 300},
    )  # fmt: skip
    h = found.x[:-1]
    return float(np.min(D @ h) / max(1.0, np.linalg.norm(h)))


def evidence(code: np.ndarray, predicted: Dual, measured: Primal) -> list[Check]:
    """Margins found, distances of another solver and margins at the predicted features all equal the distances."""
    delta, H, W = (np.asarray(x) for x in (predicted.distances, predicted.directions, code))
    differences = W.T @ H
    at_features = np.diag(differences) - np.max(np.where(np.eye(len(delta), dtype=bool), -np.inf, differences), axis=0)
    unit = W / np.maximum(np.linalg.norm(W, axis=0), np.finfo(float).tiny)
    checks = [
        Check("agreement", "largest margin", relative_error(delta, measured.margins, 1.0), 1e-7),
        Check("agreement", "distance by another solver", relative_error(delta, measured.polar, 1.0), 1e-10),
        Check("agreement", "margin at the predicted features", relative_error(delta, at_features, 1.0), 1e-10),
    ]
    if np.allclose(unit, W, atol=1e-14):
        cosine = np.max(np.where(np.eye(len(delta), dtype=bool), -1, W.T @ W), axis=0)
        outside = np.maximum(1 - cosine - delta, delta - np.sqrt(np.maximum(2 - 2 * cosine, 0)))
        checks.append(below("agreement", "between the bounds of the largest cosine", outside.max(), 1e-7))
    return checks


def cases() -> dict[str, np.ndarray]:
    """Random codes, the half-axes, a polygon, a vector inside the hull of others, and two that coincide."""
    rng = np.random.default_rng(0)
    free = rng.normal(size=_SHAPE)
    simplex = np.asarray(simplex_etf(4, 3).vectors)
    angles = 2 * np.pi * np.arange(6) / 6
    inside = np.hstack([simplex, 0.1 * rng.normal(size=(3, 2))])
    twice = free / np.linalg.norm(free, axis=0)
    return {
        "random lengths": free,
        "half-axes": np.hstack([np.eye(3), -np.eye(3)]),
        "hexagon": np.stack([np.cos(angles), np.sin(angles), 0 * angles]),
        "two vectors inside the hull": inside,
        "two vectors coincide": np.hstack([twice[:, :5], twice[:, :1]]),
    }


def draw(rng: np.random.Generator) -> np.ndarray:
    """Random vectors, unit ones half of the time."""
    free = rng.normal(size=_SHAPE)
    return free / np.linalg.norm(free, axis=0) if rng.random() < 0.5 else free


THEOREMS = (
    statements.other(
        "one-vs-rest-duality", "minimax theorem; its use: [jiang2024]; bounds derived",
        predict, measure, cases, draw, evidence=evidence,
        notes="Over the unit sphere in place of the ball the margin of a vector inside the hull of the others is negative, "
        "and the two sides differ.",
    ),
)  # fmt: skip
