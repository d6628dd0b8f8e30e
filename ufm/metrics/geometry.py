"""NC2, geometry: how far a Gram matrix, or class means seen from outside, are from the limit shapes of the theory.

Compared is always |A/|A| - B/|B|| in Frobenius norm, which no scale, rotation of the features or simultaneous permutation of
the classes changes. A Gram matrix is W W^T of a classifier, or `mean_gram` of class means, centred or not. What differs
elsewhere is what is subtracted first: most code takes W as it is; the code of Zhou et al. (2022, optimization landscape under
MSE) subtracts the mean row of W; the package neural-collapse (`simplex_etf_error`) centres the means, about the mean of classes,
so that the simplex and the orthogonal frame look the same to it.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ufm.checks import check_non_negative, check_shape
from ufm.metrics.samples import HIGHEST


def simplex_distance(gram: jax.Array) -> jax.Array:
    """NC2 for the simplex, |G/|G| - (I - J/K)/sqrt(K-1)| in Frobenius norm, for G = W W^T or `mean_gram`.

    Not zero for K > d + 1, where no simplex fits: then `gnc2` says how evenly the directions are spread.

    Args:
      gram: G, shape (K, K), K at least 2.

    Returns:
      Scalar from 0 to 2; G = 0 is at distance 1.

    Raises:
      ValueError: if gram is not square of size at least 2.

    Source: Papyan, Han and Donoho (2020); Zhu et al. (2021).
    """
    gram, K = _square(gram)
    return normalised_distance(gram, np.asarray(np.eye(K) - 1 / K, gram.dtype))


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
    return normalised_distance(gram, np.eye(K, dtype=gram.dtype))


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
    return normalised_distance(gram, jnp.diag(s))


def nc5(means: jax.Array, outside: jax.Array) -> jax.Array:
    """NC5: mean over classes of |cos(m_k, g_out)|, zero where features from outside the classes are orthogonal to all of them.

    Elsewhere: `orthogonality_deviation` of the package neural-collapse. Means are not centred.

    Args:
      means: m_k as columns, shape (d, K).
      outside: features of samples of no class, shape (d, M); g_out is their mean.

    Returns:
      Scalar from 0 to 1; a zero vector counts as orthogonal.

    Raises:
      ValueError: if means or outside is not floats of shape (d, K) and (d, M).

    Source: Ben Ammar et al. (2024), NECO.
    """
    means, outside = columns("means", means), columns("outside", outside)
    check_shape("outside", outside, (means.shape[0], outside.shape[1]))
    return _nc5(means, outside)


@jax.jit
def normalised_distance(x: jax.Array, target: jax.Array) -> jax.Array:
    """|x/|x| - target/|target|| in Frobenius norm, from 0 to 2; zero stays zero."""
    return jnp.linalg.norm(unit(x) - unit(target))


def unit(x: jax.Array) -> jax.Array:
    """x / |x|, zero for zero; the first division keeps squares from under- and overflow."""
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(x)))
    x = x / jnp.where(largest == 0, 1, largest)
    squares = jnp.sum(x**2)
    return x / jnp.sqrt(jnp.where(squares == 0, 1, squares))


def unit_columns(x: jax.Array) -> jax.Array:
    """Each column over its norm, zero for zero."""
    return jax.vmap(unit, in_axes=1, out_axes=1)(x)


def column_norms(x: jax.Array) -> jax.Array:
    """Norm of each column, without under- or overflow of its squares."""
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(x), axis=0))
    scale = jnp.where(largest == 0, 1, largest)
    return scale * root(jnp.sum((x / scale[None, :]) ** 2, axis=0))


def root(x: jax.Array) -> jax.Array:
    """Square root whose slope at zero is zero."""
    return jnp.where(x == 0, 0, jnp.sqrt(jnp.where(x == 0, 1, x)))


def columns(name: str, vectors: Any) -> jax.Array:
    """Vectors as the columns of a matrix of floats, or a refusal."""
    vectors = jnp.asarray(vectors)
    if vectors.ndim != 2 or 0 in vectors.shape or not jnp.issubdtype(vectors.dtype, jnp.floating):
        raise ValueError(f"{name} must be floats of shape (dim, vectors), got {vectors.dtype} {vectors.shape}")
    return vectors


@jax.jit
def _nc5(means: jax.Array, outside: jax.Array) -> jax.Array:
    centre = outside[:, 0] + jnp.mean(outside - outside[:, :1], axis=1)
    return jnp.mean(jnp.abs(jnp.matmul(unit(centre), unit_columns(means), precision=HIGHEST)))


def _square(gram: Any) -> tuple[jax.Array, int]:
    gram = jnp.asarray(gram)
    square = gram.ndim == 2 and gram.shape[0] == gram.shape[1] >= 2
    if not square or not jnp.issubdtype(gram.dtype, jnp.floating):
        raise ValueError(f"gram must be floats of shape (K, K) with K at least 2, got {gram.dtype} {gram.shape}")
    return gram, gram.shape[0]
