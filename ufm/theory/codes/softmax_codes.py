"""Softmax codes: K unit vectors in d dimensions of the largest one-vs-rest distance (Jiang et al. 2024).

On the sphere, as the temperature goes to zero, cross-entropy asks for the largest margin,

    min_{W, H} max_{k, j != k} <w_j - w_k, h_k> = -max_W delta(W),    delta(W) = min_k dist(w_k, conv{w_j : j != k}),

generalised neural collapse where K > d + 1. The largest distance is that of the simplex, of the regular polygon (d = 2), and
for d + 2 <= K <= 2 d of many codes.
"""

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import nnls

from ufm.base.checks import check_count, refuse
from ufm.frames.one_vs_rest import anneal_codes
from ufm.theory import statements
from ufm.theory.frames.packing import Lines

_ROOM = (3, 6)  # all searches run in one program: d <= 3 rows, K <= 6 columns
_STARTS = 4
_SIZES = ((2, 3), (2, 4), (2, 5), (2, 6), (3, 2), (3, 3), (3, 4), (3, 5), (3, 6))


def code(vectors: int, dim: int) -> Lines:
    """A case, refused where no largest distance is known."""
    check_count("dim", dim, 2)
    check_count("vectors", vectors, 2)
    if dim > 2 and vectors > 2 * dim:
        refuse("vectors", vectors, f"at most 2 d = {2 * dim} in d = {dim} dimensions: no largest distance is known beyond")
    return Lines(vectors, dim)


def predict(case: Lines) -> jax.Array:
    """The largest one-vs-rest distance of K unit vectors in d dimensions is K/(K-1) for K <= d + 1, 1 - cos(2 pi/K) in the plane,
    and 1 for d + 2 <= K <= 2 d.
    """
    K, d = case.vectors, case.dim
    if K <= d + 1:
        return jnp.asarray(K / (K - 1))
    return 1 - jnp.cos(2 * jnp.pi / K) if d == 2 else jnp.ones(())


def measure(case: Lines, key: jax.Array) -> np.ndarray:
    """Distances of codes annealed from random starts, then of the random starts: (2, S)."""
    K, d = case.vectors, case.dim
    starts = jax.random.normal(key, (_STARTS, 2, *_ROOM)) * (np.arange(_ROOM[0]) < d)[:, None]
    codes = np.stack([anneal_codes(starts, np.arange(_ROOM[1]) < K), starts[:, 0]])[..., :d, :K]
    codes = codes / np.linalg.norm(codes, axis=-2, keepdims=True)
    return np.array([[min(hull_distances(code)) for code in group] for group in codes])


def hull_distances(code: np.ndarray) -> np.ndarray:
    """dist(w_k, conv{w_j : j != k}) for all k: min over x >= 0 of |D x|^2 + (1^T x - 1)^2, with x scaled to sum one."""
    distances = []
    for k in range(code.shape[1]):
        D = np.delete(code, k, axis=1) - code[:, [k]]
        shares, _ = nnls(np.vstack([D, np.ones(D.shape[1])]), np.append(np.zeros(len(D)), 1.0))
        distances.append(np.linalg.norm(D @ shares) / shares.sum())
    return np.array(distances)


def cases() -> dict[str, Lines]:
    """Both sides of K = d + 1, polygons, and the whole range up to the six half-axes of space."""
    return {f"K={K} d={d}": code(K, d) for d, K in _SIZES}


THEOREMS = (
    statements.bound(
        "softmax-code-distance", "[jiang2024]", predict, measure, cases, upper=True, met=lambda case: True, near=1e-7,
        notes="For d + 2 <= K <= 2 d many codes reach the distance, so that no Gram matrix is tested. No value is known "
        "for other K; `ufm.frames.softmax_code` searches.",
    ),
)  # fmt: skip
