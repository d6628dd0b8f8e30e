"""Metrics of neural collapse, NC1 to NC4: pure functions of (features, labels, classifier), safe to jit and vmap.

NC1, class means and the conventions for samples live in `variability`: features are (d, N), columns are samples, a
column may stand for several, and the global mean g is over "samples" or over "classes". Here the geometry of
the means and the classifier is compared with its limits, always by |A/|A| - B/|B||, which no scale, rotation of the
features or simultaneous permutation of the classes changes.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ufm.checks import check_non_negative, check_shape
from ufm.metrics.variability import Scatter, class_means, scatter

HIGHEST = jax.lax.Precision.HIGHEST


def simplex_distance(gram: jax.Array) -> jax.Array:
    """NC2 for the simplex, |G/|G| - (I - J/K)/sqrt(K-1)| in Frobenius norm, for G = W W^T or `mean_gram`.

    Args:
      gram: G, shape (K, K), K at least 2.

    Returns:
      Scalar from 0 to 2; G = 0 is at distance 1.

    Raises:
      ValueError: if gram is not square of size at least 2.

    Source: Papyan, Han and Donoho (2020); Zhu et al. (2021).
    """
    gram, K = _square(gram)
    return _distance(gram, np.asarray(np.eye(K) - 1 / K, gram.dtype))


def orthogonal_distance(gram: jax.Array) -> jax.Array:
    """NC2 for the orthogonal frame, the limit without bias: |G/|G| - I/sqrt(K)| in Frobenius norm.

    Args:
      gram: G, shape (K, K), K at least 2.

    Returns:
      Scalar from 0 to 2; G = 0 is at distance 1.

    Raises:
      ValueError: if gram is not square of size at least 2.

    Source: Dang et al. (2023).
    """
    gram, K = _square(gram)
    return _distance(gram, np.eye(K, dtype=gram.dtype))


def general_orthogonal_distance(gram: jax.Array, norms_squared: jax.Array) -> jax.Array:
    """NC2 for a general orthogonal frame, the limit under imbalance: |G/|G| - diag(s)/|s|| in Frobenius norm.

    Args:
      gram: G, shape (K, K), K at least 2.
      norms_squared: s, shape (K,), at least zero: the predicted squared lengths, up to a common factor.

    Returns:
      Scalar from 0 to 2; zero is at distance 0 of zero and 1 of all else.

    Raises:
      ValueError: if gram is not square of size at least 2, or norms_squared is not K numbers of at least zero.

    Source: Dang et al. (2023).
    """
    gram, K = _square(gram)
    check_non_negative("norms_squared", norms_squared)
    s = jnp.asarray(norms_squared, gram.dtype)
    check_shape("norms_squared", s, (K,))
    return _distance(gram, jnp.diag(s))


def nc3(
    classifier: jax.Array,
    features: jax.Array,
    labels: jax.Array,
    classes: int,
    multiplicity: Any = None,
    *,
    global_mean: str = "samples",
) -> jax.Array:
    """NC3 as duality to the simplex, |W C/|W C| - (I - J/K)/sqrt(K-1)| in Frobenius norm.

    Without bias the limit is `orthogonal_distance(W @ class_means(...))` instead.

    Args:
      classifier: W, shape (K, d).
      features, labels, classes, multiplicity: as for `class_means`.
      global_mean: "samples" or "classes".

    Returns:
      Scalar from 0 to 2; W C = 0 is at distance 1.

    Raises:
      ValueError: as for `class_means`, for a W of another shape, or for an unknown global mean.

    Source: Zhu et al. (2021).
    """
    C = scatter(features, labels, classes, multiplicity, global_mean).centred
    check_shape("classifier", classifier, C.T.shape)
    return simplex_distance(jnp.matmul(_unit(jnp.asarray(classifier)), C, precision=HIGHEST))


def nc3_alignment(
    classifier: jax.Array,
    features: jax.Array,
    labels: jax.Array,
    classes: int,
    multiplicity: Any = None,
    *,
    centred: bool = True,
    global_mean: str = "samples",
) -> jax.Array:
    """NC3 as alignment of classifier and class means, |W/|W| - C^T/|C|| in Frobenius norm.

    Args:
      classifier: W, shape (K, d).
      features, labels, classes, multiplicity: as for `class_means`.
      centred: whether the global mean is subtracted from the class means (the limit without bias wants False).
      global_mean: "samples" or "classes"; of no effect if not centred.

    Returns:
      Scalar from 0 to 2; zero is at distance 0 of zero and 1 of all else.

    Raises:
      ValueError: as for `class_means`, for a W of another shape, or for an unknown global mean.

    Source: Papyan, Han and Donoho (2020).
    """
    C = scatter(features, labels, classes, multiplicity, global_mean).centred
    if not centred:
        C = class_means(features, labels, classes, multiplicity)
    check_shape("classifier", classifier, C.T.shape)
    return _distance(jnp.asarray(classifier), C.T)


def nc4(
    classifier: jax.Array,
    features: jax.Array,
    labels: jax.Array,
    classes: int,
    bias: Any = None,
    multiplicity: Any = None,
) -> jax.Array:
    """NC4: share of samples on which argmax_k (W h + b)_k is the class of the nearest mean, argmin_k |h - m_k|.

    Args:
      classifier: W, shape (K, d).
      features, labels, classes, multiplicity: as for `class_means`.
      bias: b, shape (K,); None is no bias.

    Returns:
      Scalar from 0 to 1, each sample counted with its multiplicity; ties go to the lower class.

    Raises:
      ValueError: as for `class_means`, or for a W or b of another shape.

    Source: Papyan, Han and Donoho (2020).
    """
    s = scatter(features, labels, classes, multiplicity, "classes")
    check_shape("classifier", classifier, s.centred.T.shape)
    bias = jnp.zeros_like(s.weights) if bias is None else jnp.asarray(bias)
    check_shape("bias", bias, (classes,))
    return _nc4(jnp.asarray(classifier), bias, jnp.asarray(features), jnp.asarray(labels), s)


def numerical_rank(matrix: jax.Array, tolerance: float | None = None) -> jax.Array:
    """Number of singular values above `tolerance` times the largest; not the ratio of norms that shares the name.

    Args:
      matrix: any shape (a, b).
      tolerance: relative, at least zero; None is eps max(a, b) of the dtype.

    Returns:
      Whole-number scalar; 0 for the zero matrix.

    Raises:
      ValueError: if matrix is not a matrix of floats, or tolerance is negative.

    >>> numerical_rank(jnp.diag(jnp.array([1.0, 1e-3, 1e-9])), tolerance=1e-6).item()
    2
    """
    matrix = jnp.asarray(matrix)
    if matrix.ndim != 2 or matrix.size == 0 or not jnp.issubdtype(matrix.dtype, jnp.floating):
        raise ValueError(f"matrix must be floats of shape (a, b), got {matrix.dtype} {matrix.shape}")
    if tolerance is None:
        tolerance = float(jnp.finfo(matrix.dtype).eps) * max(matrix.shape)
    check_non_negative("tolerance", tolerance)
    s = jnp.linalg.svd(matrix, compute_uv=False)
    return jnp.sum(s > tolerance * s[0])


@jax.jit
def _nc4(W: jax.Array, b: jax.Array, features: jax.Array, labels: jax.Array, s: Scatter) -> jax.Array:
    logits = jnp.matmul(W, features, precision=HIGHEST) + b[:, None]
    # |h - m_k|^2 = |h - g|^2 - 2 (m_k - g).(h - g) + |m_k - g|^2, with g near so that little cancels.
    offsets = s.deviations + s.centred[:, labels]
    nearness = jnp.matmul(s.centred.T, offsets, precision=HIGHEST) - 0.5 * jnp.sum(s.centred**2, axis=0)[:, None]
    agrees = jnp.argmax(logits, axis=0) == jnp.argmax(nearness, axis=0)
    undefined = jnp.isnan(jnp.max(logits, axis=0) + jnp.max(nearness, axis=0))
    return jnp.sum(jnp.where(undefined, jnp.nan, jnp.where(agrees, s.shares, 0))) / jnp.sum(s.shares)


def _square(gram: Any) -> tuple[jax.Array, int]:
    gram = jnp.asarray(gram)
    square = gram.ndim == 2 and gram.shape[0] == gram.shape[1] >= 2
    if not square or not jnp.issubdtype(gram.dtype, jnp.floating):
        raise ValueError(f"gram must be floats of shape (K, K) with K at least 2, got {gram.dtype} {gram.shape}")
    return gram, gram.shape[0]


@jax.jit
def _distance(x: jax.Array, target: jax.Array) -> jax.Array:
    return jnp.linalg.norm(_unit(x) - _unit(target))


def _unit(x: jax.Array) -> jax.Array:
    """x / |x|, zero for zero; the first division keeps squares from under- and overflow."""
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(x)))
    x = x / jnp.where(largest > 0, largest, 1)
    squares = jnp.sum(x**2)
    return x / jnp.sqrt(jnp.where(squares > 0, squares, 1))
