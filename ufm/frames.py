"""Frames of neural collapse: the simplex, orthogonal frames, and how far K directions are from the best packing.

A frame is an array of shape (d, K) whose columns are the K vectors, as class means are stored everywhere in ufm.
The constructions are deterministic and fill the first coordinates; any rotation of them is as good.
"""

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ufm.checks import check_count, check_non_negative, refuse

HIGHEST = jax.lax.Precision.HIGHEST


def helmert(classes: int, dtype: Any = None) -> jax.Array:
    """Helmert's orthonormal basis of the vectors of R^K that sum to zero.

    Column j = 1..K-1 is (1, ..., 1, -j, 0, ..., 0) / sqrt(j (j + 1)) with j leading ones, so that
    Q^T Q = I and Q Q^T = I - J / K.

    Args:
      classes: K, at least 2.
      dtype: of the answer; None is JAX's default float.

    Returns:
      Q, shape (K, K - 1).

    Raises:
      ValueError: if classes is not a whole number of at least 2.

    Source: Helmert (1876).
    """
    check_count("classes", classes, 2)
    i, j = np.arange(classes)[:, None], np.arange(1.0, classes)[None, :]
    return jnp.asarray(np.where(i < j, 1, np.where(i == j, -j, 0)) / np.sqrt(j * (j + 1)), dtype)


def simplex_etf(classes: int, dim: int | None = None, dtype: Any = None) -> jax.Array:
    """Simplex equiangular tight frame: K unit vectors at the largest possible common angle.

    U^T U = K/(K-1) (I - J/K): the cosine of every pair is -1/(K-1) and the columns sum to zero.

    Args:
      classes: K, at least 2.
      dim: d >= K - 1, the default; further coordinates are zero.
      dtype: of the answer; None is JAX's default float.

    Returns:
      U, shape (d, K), unit columns.

    Raises:
      ValueError: if K directions at this angle do not fit into d dimensions.

    Source: Papyan, Han and Donoho (2020).

    >>> U = simplex_etf(3)
    >>> (U.T @ U).round(6).tolist()[0]
    [1.0, -0.5, -0.5]
    """
    check_count("classes", classes, 2)
    dim = classes - 1 if dim is None else dim
    check_count("dim", dim, 1)
    if dim < classes - 1:
        refuse("dim", dim, f"at least classes - 1 = {classes - 1} for a simplex")
    U = math.sqrt(classes / (classes - 1)) * helmert(classes, dtype).T
    return jnp.pad(U, ((0, dim - classes + 1), (0, 0)))


def orthogonal_frame(classes: int, dim: int | None = None, dtype: Any = None) -> jax.Array:
    """Orthonormal vectors, the limit of class means without bias: U^T U = I.

    Args:
      classes: K, at least 1.
      dim: d >= K, the default; further coordinates are zero.
      dtype: of the answer; None is JAX's default float.

    Returns:
      U, shape (d, K), unit columns.

    Raises:
      ValueError: if d < K.

    Source: Tirer and Bruna (2022); Dang et al. (2023).
    """
    check_count("classes", classes, 1)
    return general_orthogonal_frame(jnp.ones(classes, dtype), dim)


def general_orthogonal_frame(norms: jax.Array, dim: int | None = None) -> jax.Array:
    """General orthogonal frame (GOF): orthogonal vectors of given lengths, U^T U = diag(norms^2); zero is allowed.

    Args:
      norms: shape (K,), at least zero; its dtype is the dtype of the answer (whole numbers: JAX's default float).
      dim: d >= K, the default; further coordinates are zero.

    Returns:
      U, shape (d, K).

    Raises:
      ValueError: if norms is not a vector of lengths, or d < K.

    Source: Dang et al. (2023).
    """
    check_non_negative("norms", norms)
    norms = jnp.asarray(norms)
    if norms.ndim != 1 or norms.size == 0:
        raise ValueError(f"norms must have shape (classes,), got {norms.shape}")
    norms = norms if jnp.issubdtype(norms.dtype, jnp.floating) else norms.astype(float)
    classes = norms.shape[0]
    dim = classes if dim is None else dim
    check_count("dim", dim, 1)
    if dim < classes:
        refuse("dim", dim, f"at least classes = {classes} for an orthogonal frame")
    return jnp.pad(jnp.diag(norms), ((0, dim - classes), (0, 0)))


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
