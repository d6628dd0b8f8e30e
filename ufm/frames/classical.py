"""Frames of neural collapse in closed form: the simplex, orthogonal and general orthogonal frames.

The constructions are deterministic and fill the first coordinates; any rotation of them is as good.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp

from ufm.base.checks import check_count, check_non_negative, refuse
from ufm.base.matrices import helmert
from ufm.frames.frame import Frame


def simplex_etf(classes: int, dim: int | None = None, dtype: Any = None) -> Frame:
    """Simplex equiangular tight frame: K unit vectors at the largest possible common angle.

    U^T U = K/(K-1) (I - J/K): the cosine of every pair is -1/(K-1) and the columns sum to zero.

    Args:
      classes: K, at least 2.
      dim: d >= K - 1, the default; further coordinates are zero.
      dtype: of the answer; None is JAX's default float.

    Returns:
      Frame of the vectors U, shape (d, K), unit columns.

    Raises:
      ValueError: if K directions at this angle do not fit into d dimensions.

    Source: Papyan, Han and Donoho (2020).

    >>> simplex_etf(3)
    Frame(3 vectors in 2 dimensions: coherence 0.5, 1 of the Welch bound; tightness 0; zeros 0.167)
    >>> simplex_etf(3).gram.round(6).tolist()[0]
    [1.0, -0.5, -0.5]
    """
    check_count("classes", classes, 2)
    dim = classes - 1 if dim is None else dim
    check_count("dim", dim, 1)
    if dim < classes - 1:
        refuse("dim", dim, f"at least classes - 1 = {classes - 1} for a simplex")
    U = math.sqrt(classes / (classes - 1)) * helmert(classes, dtype).T
    return Frame(jnp.pad(U, ((0, dim - classes + 1), (0, 0))))


def orthogonal_frame(classes: int, dim: int | None = None, dtype: Any = None) -> Frame:
    """Orthonormal vectors, the limit of class means without bias: U^T U = I.

    Args:
      classes: K, at least 1.
      dim: d >= K, the default; further coordinates are zero.
      dtype: of the answer; None is JAX's default float.

    Returns:
      Frame of the vectors U, shape (d, K), unit columns.

    Raises:
      ValueError: if d < K.

    Source: Tirer and Bruna (2022); Dang et al. (2023).
    """
    check_count("classes", classes, 1)
    return general_orthogonal_frame(jnp.ones(classes, dtype), dim)


def general_orthogonal_frame(norms: jax.Array, dim: int | None = None) -> Frame:
    """General orthogonal frame (GOF): orthogonal vectors of given lengths, U^T U = diag(norms^2); zero is allowed.

    Args:
      norms: shape (K,), at least zero; its dtype is the dtype of the answer (whole numbers: JAX's default float).
      dim: d >= K, the default; further coordinates are zero.

    Returns:
      Frame of the vectors U, shape (d, K).

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
    return Frame(jnp.pad(jnp.diag(norms), ((0, dim - classes), (0, 0))))
