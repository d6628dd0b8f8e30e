"""One-vs-rest margins and distances are dual: the largest margin of a class is its distance from the hull of the others.

    max_{|h| <= 1} min_{j != k} <w_k - w_j, h> = dist(w_k, conv{w_j : j != k}) =: delta_k

(minimax: the order of max over h and min over convex combinations does not matter). For unit vectors with largest cosine
c_k = max_{j != k} <w_k, w_j> the feature h = w_k and the nearest vector give 1 - c_k <= delta_k <= sqrt(2 - 2 c_k).
"""

from typing import Any

import jax
import numpy as np
from scipy.optimize import minimize, nnls

from ufm.frames import simplex_etf
from ufm.frames.one_vs_rest import one_vs_rest_distance
from ufm.proofs import Book, Proof, number, sqrt
from ufm.theory import statements
from ufm.theory.codes.softmax_codes import hull_distances
from ufm.theory.theorem import Check, below, relative_error

_SHAPE, _STARTS = (3, 6), 3


def predict(code: jax.Array) -> dict[str, jax.Array]:
    """The largest margin max_{|h| <= 1} min_{j != k} <w_k - w_j, h> of a class is the distance of w_k from the convex hull of the
    others; for unit vectors it lies between 1 - c_k and sqrt(2 - 2 c_k), c_k the largest cosine.

    delta_k by Wolfe's active sets, and (d, K) unit features of the largest margin, zero inside a hull.
    """
    found = one_vs_rest_distance(code)
    return {"distances": found.distances, "directions": found.directions}


def prove(code: np.ndarray, predicted: dict[str, Any]) -> Proof:
    """Weak duality on both sides of every distance served: a combination of the others, shares not negative and of sum one, is no
    further than 1e-9 above it, and the margin at the direction served, over its length, no more than 1e-9 below.
    """
    book = Book("a point of each hull is as near, and a direction has a margin as large, as the distance served, to 1e-9")
    vectors, directions = book.given("w", code), np.asarray(predicted["directions"], float)
    for k, served in enumerate(np.asarray(predicted["distances"], float)):
        others = [j for j in range(code.shape[1]) if j != k]
        D = np.delete(code, k, axis=1) - code[:, [k]]
        shares = book.given(f"share{k}", nnls(np.vstack([D, np.ones(D.shape[1])]), np.append(np.zeros(len(D)), 1.0))[0] + 1e-18)
        book.less(0, shares)
        off = book.kept(f"off{k}", vectors[:, k] - vectors[:, others] @ shares * (1 / shares.sum()))
        delta, room = book.given(f"distance{k}", served), number(1e-9)
        book.less((off * off).sum(), (delta + room) ** 2)
        h = book.given(f"h{k}", directions[:, k])
        size = sqrt((h * h).sum()) if directions[:, k].any() else number(1)
        book.less((delta - room) * size, (vectors[:, [k]] - vectors[:, others]).T @ h)
    return book.proof()


def measure(code: np.ndarray, key: jax.Array) -> dict[str, np.ndarray]:
    """The largest margin over |h| <= 1 by sequential quadratic programming from random features, class by class; the distances."""
    starts = np.asarray(jax.random.normal(key, (_STARTS, *code.shape))) / 4
    margins = [max(_largest_margin(code, k, start[:, k]) for start in starts) for k in range(code.shape[1])]
    return {"margins": np.array(margins), "distances": hull_distances(code)}


def _largest_margin(code: np.ndarray, k: int, start: np.ndarray) -> float:
    """max t with <w_k - w_j, h> >= t for all j != k and |h| <= 1, checked again at the feature found."""
    D = (code[:, [k]] - np.delete(code, k, axis=1)).T
    constraints = (
        {"type": "ineq", "fun": lambda x: D @ x[:-1] - x[-1], "jac": lambda x: np.hstack([D, -np.ones((len(D), 1))])},
        {"type": "ineq", "fun": lambda x: 1 - x[:-1] @ x[:-1], "jac": lambda x: np.append(-2 * x[:-1], 0)[None]},
    )
    slope = np.append(np.zeros(len(start)), -1.0)
    problem = {"fun": lambda x: -x[-1], "x0": np.append(start, 0.0), "jac": lambda x: slope, "constraints": constraints}
    h = minimize(**problem, method="SLSQP", options={"ftol": 1e-15, "maxiter": 300}).x[:-1]
    return float(np.min(D @ h) / max(1.0, np.linalg.norm(h)))


def evidence(code: np.ndarray, predicted: dict[str, Any], measured: dict[str, np.ndarray]) -> list[Check]:
    """Margins found, distances of another solver and margins at the predicted features all equal the distances."""
    delta, scores = np.asarray(predicted["distances"]), code.T @ np.asarray(predicted["directions"])
    at_features = np.diag(scores) - _largest_other(scores)
    checks = [
        Check("agreement", "largest margin", relative_error(delta, measured["margins"], 1.0), 1e-7),
        Check("agreement", "distance by another solver", relative_error(delta, measured["distances"], 1.0), 1e-10),
        Check("agreement", "margin at the predicted features", relative_error(delta, at_features, 1.0), 1e-10),
    ]
    if np.max(np.abs(np.linalg.norm(code, axis=0) - 1)) < 1e-12:
        cosine = _largest_other(code.T @ code)
        outside = np.maximum(1 - cosine - delta, delta - np.sqrt(np.maximum(2 - 2 * cosine, 0)))
        checks.append(below("agreement", "between the bounds of the largest cosine", outside.max(), 1e-7))
    return checks


def _largest_other(matrix: np.ndarray) -> np.ndarray:
    """The largest entry of each column off the diagonal."""
    return np.max(np.where(np.eye(len(matrix), dtype=bool), -np.inf, matrix), axis=0)


def cases() -> dict[str, np.ndarray]:
    """Random codes, the half-axes, a polygon, a vector inside the hull of others, and two that coincide."""
    rng, angles = np.random.default_rng(0), 2 * np.pi * np.arange(6) / 6
    free = rng.normal(size=_SHAPE)
    return {
        "random lengths": free,
        "half-axes": np.hstack([np.eye(3), -np.eye(3)]),
        "hexagon": np.stack([np.cos(angles), np.sin(angles), 0 * angles]),
        "two vectors inside the hull": np.hstack([simplex_etf(4, 3).vectors, 0.1 * rng.normal(size=(3, 2))]),
        "two vectors coincide": (free / np.linalg.norm(free, axis=0))[:, [0, 1, 2, 3, 4, 0]],
    }


def draw(rng: np.random.Generator) -> np.ndarray:
    """Random vectors, unit ones half of the time."""
    free = rng.normal(size=_SHAPE)
    return free / np.linalg.norm(free, axis=0) if rng.random() < 0.5 else free


THEOREMS = (
    # other: a maximum over features, held against a distance and two bounds on it
    statements.other(
        "one-vs-rest-duality", "minimax theorem; its use: [jiang2024]; bounds derived",
        predict, measure, cases, draw, evidence=evidence, prove=prove,
        notes="Over the unit sphere in place of the ball the margin of a vector inside the hull of the others is negative, "
        "and the two sides differ.",
    ),
)  # fmt: skip
