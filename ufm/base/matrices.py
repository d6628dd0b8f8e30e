"""Matrices: Helmert's basis, powers of positive definite matrices and polar factors.

Derivatives are those that repeated singular values do not upset. Taken through an eigendecomposition they divide by differences of
eigenvalues, which vanish exactly at the symmetric points that frames are about; these ones divide by sums, or by divided
differences with their limit.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ufm.base.checks import check_count


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


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def symmetric_power(A: jax.Array, exponent: float) -> jax.Array:
    """A^p of a symmetric positive definite matrix.

    The derivative is Q (F o (Q^T dA Q)) Q^T with A = Q diag(s) Q^T and F_ij = (s_i^p - s_j^p)/(s_i - s_j), or p s_i^(p-1).

    Args:
      A: shape (n, n).
      exponent: p, a Python number.

    Returns:
      A^p, shape (n, n).

    Source: Daleckii and Krein (1965).
    """
    s, Q = jnp.linalg.eigh(A)
    return (Q * s[None, :] ** exponent) @ Q.T


@symmetric_power.defjvp
def _symmetric_power_jvp(exponent, primals, tangents):
    (A,), (dA,) = primals, tangents
    s, Q = jnp.linalg.eigh(A)
    x = jnp.log(s)[:, None] - jnp.log(s)[None, :]
    equal = x == 0
    slope = jnp.where(equal, exponent, jnp.expm1(exponent * x) / jnp.expm1(jnp.where(equal, 1, x)))
    F = slope * s[None, :] ** (exponent - 1)
    return (Q * s[None, :] ** exponent) @ Q.T, Q @ (F * (Q.T @ dA @ Q)) @ Q.T


@jax.custom_jvp
def polar(A: jax.Array) -> jax.Array:
    """The polar factor R of A = R S, nearest to A among matrices with orthonormal columns (orthogonal Procrustes).

    With A = U diag(s) V^T it is R = U V^T, unique where A has full column rank. The derivative is
    dR = R V (V^T (R^T dA - dA^T R) V / (s_i + s_j)) V^T + (I - R R^T) dA S^(-1).

    Args:
      A: shape (m, n), m >= n.

    Returns:
      R, shape (m, n), R^T R = I.

    Source: Schönemann (1966), A generalized solution of the orthogonal Procrustes problem.
    """
    U, _, V = jnp.linalg.svd(A, full_matrices=False)
    return U @ V


@polar.defjvp
def _polar_jvp(primals, tangents):
    (A,), (dA,) = primals, tangents
    U, s, Vt = jnp.linalg.svd(A, full_matrices=False)
    R, V = U @ Vt, Vt.T
    turn = Vt @ (R.T @ dA - dA.T @ R) @ V / (s[:, None] + s[None, :])
    across = (dA - R @ (R.T @ dA)) @ (V / s[None, :])
    return R, (U @ turn + across) @ Vt
