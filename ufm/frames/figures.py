"""Figures of a frame: bounds on its cosines, coherence, tightness. A frame is a (d, K) array of K vectors as its columns."""

import math
from functools import partial

import jax
import jax.numpy as jnp

from ufm.base.checks import check_count

HIGHEST = jax.lax.Precision.HIGHEST


def welch_bound(vectors: int, dim: int) -> float:
    """Welch's bound: K unit vectors in d dimensions have a pair with |cosine| of at least this.

    sqrt((K - d) / (d (K - 1))) for K > d, otherwise 0. Equality holds exactly for equiangular tight frames. Real
    ones need K <= d (d + 1) / 2; beyond, `line_bound` is sharper. Signed cosines have another: `rankin_bound`.

    Args:
      vectors: K, at least 1.
      dim: d, at least 1.

    Returns:
      The bound, a Python float.

    Raises:
      ValueError: if K or d is not a whole number of at least 1.

    Source: Welch (1974); Strohmer and Heath (2003).

    >>> round(welch_bound(1000, 512), 4)
    0.0309
    """
    check_count("vectors", vectors, 1)
    check_count("dim", dim, 1)
    return math.sqrt((vectors - dim) / (dim * (vectors - 1))) if vectors > dim else 0.0


def line_bound(vectors: int, dim: int) -> float:
    """The best of three bounds from below on the coherence of K lines through the origin of R^d.

    Welch's up to K = d (d + 1)/2; beyond, where no equiangular tight frame exists, the larger of the orthoplex bound
    1/sqrt(d) and Levenshtein's sqrt((3 K - d^2 - 2 d) / ((d + 2) (K - d))), which takes over at K = d (d + 2)/2.

    Args:
      vectors: K, at least 1.
      dim: d, at least 1.

    Returns:
      The bound, a Python float.

    Raises:
      ValueError: if K or d is not a whole number of at least 1.

    Source: Welch (1974); Rankin (1955) as in Conway, Hardin and Sloane (1996); Levenshtein (1982).

    >>> [round(line_bound(K, 4), 4) for K in (4, 10, 11, 12, 13)]
    [0.0, 0.4082, 0.5, 0.5, 0.527]
    """
    welch = welch_bound(vectors, dim)
    if vectors <= dim * (dim + 1) // 2:
        return welch
    return max(1 / dim, (3 * vectors - dim**2 - 2 * dim) / ((dim + 2) * (vectors - dim))) ** 0.5


def rankin_bound(vectors: int, dim: int) -> float:
    """Rankin's bound: K unit vectors in d dimensions have a pair of cosine at least this, signs counted.

    -1/(K - 1) for K <= d + 1, met by the simplex alone; 0 beyond, met up to K = 2 d (not uniquely below it), by the
    orthoplex at K = 2 d; for K > 2 d the largest cosine is above 0.

    Args:
      vectors: K, at least 2.
      dim: d, at least 1.

    Returns:
      The bound, a Python float.

    Raises:
      ValueError: if K is not a whole number of at least 2, or d of at least 1.

    Source: Rankin (1955).

    >>> [rankin_bound(K, 3) for K in (2, 3, 4, 5, 6)]
    [-1.0, -0.5, -0.3333333333333333, 0.0, 0.0]
    """
    check_count("vectors", vectors, 2)
    check_count("dim", dim, 1)
    return -1 / (vectors - 1) if vectors <= dim + 1 else 0.0


def coherence(frame: jax.Array) -> jax.Array:
    """Largest |cosine| between two columns, max_{j != k} |<u_j, u_k>| / (|u_j| |u_k|); at least the Welch bound.

    Args:
      frame: shape (d, K), K >= 2. A zero column counts as orthogonal to all others.

    Returns:
      Scalar in [0, 1], up to rounding.

    Raises:
      ValueError: if frame is not a matrix of at least two columns.
    """
    return jnp.max(jnp.abs(_cosines(_matrix(frame), diagonal=0)))


def signed_coherence(frame: jax.Array) -> jax.Array:
    """Largest cosine between two columns, max_{j != k} <u_j, u_k> / (|u_j| |u_k|); at least -1/(K-1) (Rankin).

    Args:
      frame: shape (d, K), K >= 2. A zero column counts as orthogonal to all others.

    Returns:
      Scalar in [-1/(K-1), 1], up to rounding.

    Raises:
      ValueError: if frame is not a matrix of at least two columns.

    Source: Rankin (1955).
    """
    return jnp.max(_cosines(_matrix(frame), diagonal=-1))


def tightness(frame: jax.Array) -> jax.Array:
    """Distance to a tight frame: |U U^T / A - I|_F with A = |U|_F^2 / d, which is K/d for unit columns.

    Zero exactly for tight frames of all d dimensions; at least sqrt(d (d - K) / K) for K <= d, reached by
    orthogonal columns of equal length; sqrt(d) for the zero frame.

    Args:
      frame: shape (d, K), K >= 2.

    Returns:
      Scalar, at least zero.

    Raises:
      ValueError: if frame is not a matrix of at least two columns.

    Source: Benedetto and Fickus (2003).
    """
    frame = _matrix(frame)
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(frame)))
    frame = frame / jnp.where(largest > 0, largest, 1)
    A = jnp.sum(frame**2) / frame.shape[0]
    frame_operator = jnp.matmul(frame, frame.T, precision=HIGHEST)
    return jnp.linalg.norm(frame_operator / jnp.where(A > 0, A, 1) - jnp.eye(frame.shape[0], dtype=frame.dtype))


def _matrix(frame: jax.Array) -> jax.Array:
    frame = jnp.asarray(frame)
    if frame.ndim != 2 or frame.shape[1] < 2:
        raise ValueError(f"frame must have shape (dim, at least 2 vectors), got {frame.shape}")
    return frame


@partial(jax.jit, static_argnames="diagonal")
def _cosines(frame: jax.Array, diagonal: int) -> jax.Array:
    # The first division keeps squares of tiny or huge columns away from underflow and overflow.
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(frame), axis=0, keepdims=True))
    frame = frame / jnp.where(largest > 0, largest, 1)
    squares = jnp.sum(frame**2, axis=0, keepdims=True)
    frame = frame / jnp.sqrt(jnp.where(squares > 0, squares, 1))
    gram = jnp.matmul(frame.T, frame, precision=HIGHEST)
    return jnp.where(jnp.eye(gram.shape[0], dtype=bool), diagonal, gram)
