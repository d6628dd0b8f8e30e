"""Equiangular lines that meet Welch's bound: real equiangular tight frames by (K, d), from constructions and complements."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from ufm.base.checks import check_count, refuse
from ufm.frames.classical import orthogonal_frame, simplex_etf
from ufm.frames.frame import Frame
from ufm.frames.line_systems import CONSTRUCTIONS

_KNOWN = (
    "vectors <= dim + 1 (orthonormal vectors, the simplex); vectors = 2 dim with 2 dim - 1 a prime of 4 k + 1 (6 in 3, 14 in 7, "
    "18 in 9, ...); 10 in 5, 16 in 6, 28 in 7, 36 in 15, 64 in 28, 120 in 35, 136 in 51, 144 in 66, 176 in 22, 256 in 120, "
    "276 in 23, and further members of their series; and the complement, vectors - dim in the place of dim, of each"
)


def equiangular_lines(vectors: int, dim: int, dtype: Any = None) -> Frame:
    """K unit vectors in d dimensions whose |cosines| all equal Welch's bound, where a construction is known here.

    |<u_j, u_k>| = sqrt((K - d)/(d (K - 1))) for all pairs and U U^T = (K/d) I. The Naimark complement of a frame of
    projection (d/K) U^T U is the frame of K vectors in K - d dimensions of projection I - (d/K) U^T U.

    Args:
      vectors: K, at least 2.
      dim: d, at least 1.
      dtype: of the answer; None is JAX's default float.

    Returns:
      Frame of shape (d, K), unit columns; the first d lines that are independent give the coordinates.

    Raises:
      ValueError: for a pair (K, d) without a construction, with the list of those that have one. Use `grassmannian` there.

    Source: Sustik, Tropp, Dhillon and Heath (2007), On the existence of equiangular tight frames; see `line_systems`.

    >>> equiangular_lines(28, 7)
    Frame(28 vectors in 7 dimensions: coherence 0.333333, 1 of the Welch bound; tightness 0; zeros 0.158)
    """
    check_count("vectors", vectors, 2)
    check_count("dim", dim, 1)
    if vectors <= dim:
        return orthogonal_frame(vectors, dim, dtype)
    if vectors == dim + 1:
        return simplex_etf(vectors, dtype=dtype)
    for construct in CONSTRUCTIONS:
        for complement in (False, True):
            rank = vectors - dim if complement else dim
            gram = construct(vectors, rank)
            if gram is not None:
                gram = (vectors * np.eye(vectors) - rank * gram) / dim if complement else gram
                return Frame(jnp.asarray(_coordinates(gram, dim), dtype))
    refuse("(vectors, dim)", (vectors, dim), f"a real equiangular tight frame that is known here: {_KNOWN}")


def _coordinates(gram: np.ndarray, rank: int) -> np.ndarray:
    """(rank, K) vectors of a Gram matrix of that rank: its Cholesky factor with pivots, no arbitrary rotation."""
    rest, rows = gram.astype(float), []
    for _ in range(rank):
        pivot = np.argmax(np.round(np.diag(rest), 9))  # rounded: ties go to the first on every machine
        rows.append(rest[pivot] / np.sqrt(rest[pivot, pivot]))
        rest = rest - np.outer(rows[-1], rows[-1])
    return np.where(np.abs(rows) < 1e-12, 0, rows)
