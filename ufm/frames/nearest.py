"""The simplex frame nearest to given class means, in one singular value decomposition (Markou et al. 2024).

Every simplex frame of unit vectors is F = sqrt(K/(K-1)) R Q^T with Helmert's basis Q and R^T R = I. On these R the quadratic
terms of |Y - F/sqrt(K)|^2 and of |R - R_0|^2 are constant, so that what is left is an orthogonal Procrustes problem: no inner
solver is needed.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp

from ufm.base.checks import check_non_negative, check_shape, refuse
from ufm.base.matrices import helmert, polar
from ufm.frames.frame import Frame


def nearest_simplex(matrix: jax.Array) -> Frame:
    """The simplex frame F of unit vectors that minimises |Y - F/sqrt(K)|_F^2, or |Y - s F|_F^2 for any s > 0: all the same.

    R = polar(Y Q), F = sqrt(K/(K-1)) R Q^T. Differentiable where Y Q has full rank K - 1, also at equal singular values;
    F is unique exactly there.

    Args:
      matrix: Y, shape (d, K), K >= 2, d >= K - 1.

    Returns:
      Frame of shape (d, K).

    Raises:
      ValueError: if matrix is no matrix, or no simplex of K vectors fits into d dimensions.

    Source: Markou, Ajanthan and Gould (2024), Guiding neural collapse: optimising towards the nearest simplex equiangular
    tight frame, NeurIPS; closed form derived.

    >>> nearest_simplex(jnp.eye(3)).gram.round(6).tolist()[0]
    [1.0, -0.5, -0.5]
    """
    matrix = _checked("matrix", matrix)
    return _frame(polar(matrix @ helmert(matrix.shape[1], matrix.dtype)))


def proximal_simplex(matrix: jax.Array, previous: Frame, proximal: Any = 1e-3) -> Frame:
    """The simplex frame F that minimises |Y - F/sqrt(K)|_F^2 + (proximal/2) |R - R_0|_F^2, held back by a previous one.

    R = polar((2/sqrt(K-1)) Y Q + proximal R_0), F = sqrt(K/(K-1)) R Q^T and the same for F_0.

    Args:
      matrix: Y, shape (d, K), K >= 2, d >= K - 1.
      previous: F_0, a simplex frame of unit vectors, of the same shape.
      proximal: at least 0; 0 gives `nearest_simplex`, infinity the previous frame.

    Returns:
      Frame of shape (d, K).

    Raises:
      ValueError: naming the argument, the value and what is allowed.

    Source: Markou, Ajanthan and Gould (2024); closed form derived.
    """
    matrix = _checked("matrix", matrix)
    check_shape("previous.vectors", previous.vectors, matrix.shape)
    check_non_negative("proximal", proximal)
    K = matrix.shape[1]
    Q = helmert(K, matrix.dtype)
    before = math.sqrt((K - 1) / K) * previous.vectors @ Q
    return _frame(polar(2 / math.sqrt(K - 1) * matrix @ Q + proximal * before))


def _frame(R: jax.Array) -> Frame:
    K = R.shape[1] + 1
    return Frame(math.sqrt(K / (K - 1)) * R @ helmert(K, R.dtype).T)


def _checked(name: str, matrix: Any) -> jax.Array:
    matrix = jnp.asarray(matrix)
    if matrix.ndim != 2 or matrix.shape[1] < 2:
        raise ValueError(f"{name} must have shape (dim, at least 2 classes), got {matrix.shape}")
    if matrix.shape[0] < matrix.shape[1] - 1:
        refuse(f"{name}.shape[0]", matrix.shape[0], f"at least classes - 1 = {matrix.shape[1] - 1} for a simplex")
    return matrix if jnp.issubdtype(matrix.dtype, jnp.floating) else matrix.astype(float)
