"""Figures of a frame: Welch's bound, coherence, tightness. A frame is an array of shape (d, K) whose columns are K vectors."""

import math
from functools import partial

import jax
import jax.numpy as jnp

from ufm.checks import check_count

HIGHEST = jax.lax.Precision.HIGHEST


def welch_bound(vectors: int, dim: int) -> float:
    """Welch's bound: K unit vectors in d dimensions have a pair with |cosine| of at least this.

    sqrt((K - d) / (d (K - 1))) for K > d, otherwise 0. Equality holds exactly for equiangular tight frames. Real
    ones need K <= d (d + 1) / 2; beyond, 1 / sqrt(d) is sharper. Signed cosines have another: `signed_coherence`.

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
