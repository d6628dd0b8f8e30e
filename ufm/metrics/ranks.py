"""Ranks: how many directions a matrix, or the features of each class, occupy; one at collapse.

    numerical_rank   number of singular values above a share of the largest
    nuclear_rank     (|A|_* / |A|)^2, the square of nuclear over Frobenius norm
    stable_rank      |A|^2 / s_max^2
    effective_rank   exp of the entropy of the singular values as shares of their sum
    class_ranks      nuclear_rank of the features of each class

All but the first are free of a threshold and at most the rank; all are 0 for the zero matrix.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from ufm.base.checks import check_non_negative, is_traced
from ufm.metrics.inputs import checked, floats, power_of_two


def numerical_rank(matrix: ArrayLike, tolerance: float | None = None) -> jax.Array:
    """Number of singular values above `tolerance` times the largest; not the ratio of norms that shares the name.

    Args:
      matrix: any shape (a, b).
      tolerance: relative, at least zero; None is eps max(a, b) of the dtype.

    Returns:
      Scalar, a whole number in the dtype of the matrix (NaN under jit where the matrix is not finite); 0 for the zero matrix.

    Raises:
      ValueError: if matrix is not a matrix of floats, or tolerance is negative.

    >>> numerical_rank(jnp.diag(jnp.array([1.0, 1e-3, 1e-9])), tolerance=1e-6).item()
    2.0
    """
    matrix = _matrix(matrix)
    if tolerance is None:
        tolerance = float(jnp.finfo(matrix.dtype).eps) * max(matrix.shape)
    check_non_negative("tolerance", tolerance)
    s = _singular_values(jax.lax.stop_gradient(matrix))
    return jnp.where(jnp.isnan(s[0]), jnp.nan, jnp.sum(s > tolerance * s[0], dtype=s.dtype))


def nuclear_rank(matrix: ArrayLike) -> jax.Array:
    """Ratio of norms (|A|_* / |A|_F)^2, from 1 to the rank; its square root is what some code calls numerical rank as well.

    Args:
      matrix: any shape (a, b).

    Returns:
      Scalar; 0 for the zero matrix.

    Raises:
      ValueError: if matrix is not a matrix of floats.

    Source: Zhou et al. (2022), whose code of the MSE study leaves out the square; Markou, Ajanthan and Gould (2024), with it.
    """
    return _nuclear(_singular_values(_matrix(matrix)))


def stable_rank(matrix: ArrayLike) -> jax.Array:
    """Stable rank |A|_F^2 / s_max^2, from 1 to the rank.

    Args:
      matrix: any shape (a, b).

    Returns:
      Scalar; 0 for the zero matrix.

    Raises:
      ValueError: if matrix is not a matrix of floats.

    Source: Rudelson and Vershynin (2007).
    """
    return jnp.sum(_relative(_singular_values(_matrix(matrix))) ** 2)


def effective_rank(matrix: ArrayLike) -> jax.Array:
    """Effective rank exp(-sum_i p_i log p_i), p_i = s_i / sum_j s_j, from 1 to the rank.

    Args:
      matrix: any shape (a, b).

    Returns:
      Scalar; 0 for the zero matrix.

    Raises:
      ValueError: if matrix is not a matrix of floats.

    Source: Roy and Vetterli (2007).
    """
    s = _relative(_singular_values(_matrix(matrix)))
    total = jnp.sum(s)
    shares = s / jnp.where(total == 0, 1, total)
    # p log p has no slope at 0: zero is what keeps the rank
    entropy = -jnp.sum(jnp.where(shares == 0, 0, shares * jnp.log(jnp.where(shares == 0, 1, shares))))
    return jnp.where(total == 0, 0, jnp.exp(entropy))


def class_ranks(
    features: ArrayLike, labels: ArrayLike, classes: int, multiplicity: Any = None, *, samples_axis: int | None = None
) -> jax.Array:
    """`nuclear_rank` of the features of each class, not centred: 1 for a class that has collapsed to a point off zero.

    Args:
      features, labels, classes, multiplicity, samples_axis: as for `class_means`. With traced labels each class takes room for all
        samples.

    Returns:
      Ranks, shape (K,): peers report their mean, or the mean of their square roots.

    Raises:
      ValueError: as for `class_means`.

    Source: as for `nuclear_rank`.
    """
    features, labels, multiplicity = checked(features, labels, classes, multiplicity, samples_axis)
    multiplicity = jnp.ones_like(features[0]) if multiplicity is None else multiplicity
    room = labels.size if is_traced(labels) else int(np.max(np.bincount(np.asarray(labels))))
    return _class_ranks(features, labels, multiplicity, classes, room)


@partial(jax.jit, static_argnums=(3, 4))
def _class_ranks(features: jax.Array, labels: jax.Array, multiplicity: jax.Array, classes: int, room: int) -> jax.Array:
    order = jnp.argsort(labels)
    starts = jnp.searchsorted(labels[order], jnp.arange(classes))
    valid = jnp.all(labels >= 0) & jnp.all(jnp.isfinite(features)) & jnp.all(multiplicity > 0)
    features, multiplicity = features / power_of_two(features), multiplicity / power_of_two(multiplicity)

    def rank(k: jax.Array) -> jax.Array:
        slots = order[jnp.clip(starts[k] + jnp.arange(room), 0, labels.size - 1)]
        mine = (labels[slots] == k) & (starts[k] + jnp.arange(room) < labels.size)
        roots = jnp.where(mine, jnp.sqrt(multiplicity[slots]), 0)
        found = _nuclear(_singular_values(features[:, slots] * roots[None, :]))
        return jnp.where(valid & jnp.any(mine), found, jnp.nan)

    return jax.lax.map(rank, jnp.arange(classes))


def _singular_values(matrix: jax.Array) -> jax.Array:
    """Singular values over a power of two next to the largest entry: no rank here sees the scale. All NaN where an entry is."""
    s = jnp.linalg.svd(matrix / power_of_two(matrix), compute_uv=False)
    return jnp.where(jnp.all(jnp.isfinite(matrix)), s, jnp.nan)


def _nuclear(s: jax.Array) -> jax.Array:
    s = _relative(s)
    squares = jnp.sum(s**2)
    return jnp.sum(s) ** 2 / jnp.where(squares == 0, 1, squares)


def _relative(s: jax.Array) -> jax.Array:
    return s / jnp.where(s[0] == 0, 1, s[0])


def _matrix(matrix: Any) -> jax.Array:
    return floats("matrix", matrix, "(a, b)")
