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
from jax.typing import ArrayLike

from ufm.base.checks import check_non_negative, check_shape
from ufm.metrics.inputs import floats, like, power_of_two, samples_as_columns
from ufm.metrics.samples import HIGHEST


def simplex_distance(gram: ArrayLike) -> jax.Array:
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


def orthogonal_distance(gram: ArrayLike) -> jax.Array:
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


def general_orthogonal_distance(gram: ArrayLike, norms_squared: ArrayLike) -> jax.Array:
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
    s = like("norms_squared", norms_squared, gram.dtype, (K,))
    return normalised_distance(gram, jnp.diag(s))


def nc5(means: ArrayLike, outside: ArrayLike, *, samples_axis: int | None = None) -> jax.Array:
    """NC5: mean over classes of |cos(m_k, g_out)|, zero where features from outside the classes are orthogonal to all of them.

    Elsewhere: `orthogonality_deviation` of the package neural-collapse. Means are not centred.

    Args:
      means: m_k as columns, shape (d, K).
      outside: features of samples of no class, shape (d, M), or (M, d) with samples_axis=0; g_out is their mean.
      samples_axis: 1 where outside is (d, M), 0 where it is (M, d); None is (d, M), and refused at M = d.

    Returns:
      Scalar from 0 to 1; a zero vector counts as orthogonal.

    Raises:
      ValueError: if means or outside is not finite floats of shape (d, K) and (d, M), or square outside without samples_axis.

    Source: Ben Ammar et al. (2024), NECO.
    """
    m, given = columns("means", means), columns("outside", outside)
    square = given.shape[0] == given.shape[1]
    others = samples_as_columns("outside", given, given.shape[0 if samples_axis == 0 or square else 1], samples_axis)
    check_shape("outside", others, (m.shape[0], others.shape[1]))
    return _nc5(m, others)


@jax.jit
def normalised_distance(x: ArrayLike, target: ArrayLike) -> jax.Array:
    """|x/|x| - target/|target|| in Frobenius norm, from 0 to 2; zero stays zero."""
    return root(jnp.sum((unit(x) - unit(target)) ** 2))


def unit(x: ArrayLike) -> jax.Array:
    """x / |x|, zero for zero; the first division keeps squares from under- and overflow."""
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(x)))
    scaled = jnp.divide(x, jnp.where(largest == 0, 1, largest))
    squares = jnp.sum(scaled**2)
    return scaled / jnp.sqrt(jnp.where(squares == 0, 1, squares))


def unit_columns(x: ArrayLike) -> jax.Array:
    """Each column over its norm, zero for zero."""
    return jax.vmap(unit, in_axes=1, out_axes=1)(x)


def column_norms(x: jax.Array) -> jax.Array:
    """Norm of each column, without under- or overflow of its squares."""
    scale = jax.vmap(power_of_two, in_axes=1)(x)
    return scale * root(jnp.sum((x / scale[None, :]) ** 2, axis=0))


def root(x: jax.Array) -> jax.Array:
    """Square root whose slope at zero is zero."""
    return jnp.where(x == 0, 0, jnp.sqrt(jnp.where(x == 0, 1, x)))


def columns(name: str, vectors: Any) -> jax.Array:
    """Vectors as the columns of a matrix of finite floats, or a refusal."""
    return floats(name, vectors, "(dim, vectors)")


@jax.jit
def _nc5(means: jax.Array, outside: jax.Array) -> jax.Array:
    outside = outside / power_of_two(outside)
    centre = outside[:, 0] + jnp.mean(outside - outside[:, :1], axis=1)
    return jnp.mean(jnp.abs(jnp.matmul(unit(centre), unit_columns(means), precision=HIGHEST)))


def _square(gram: Any) -> tuple[jax.Array, int]:
    wanted = "(K, K) with K at least 2"
    gram = floats("gram", gram, wanted)
    if not gram.shape[0] == gram.shape[1] >= 2:
        raise ValueError(f"gram must be floats of shape {wanted}, got {gram.dtype} {gram.shape}")
    return gram, gram.shape[0]
