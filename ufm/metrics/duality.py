"""NC3, duality: how far the rows of the classifier point along the class means, as one number or class by class.

    nc3             |W C/|W C| - (I - J/K)/sqrt(K-1)|     duality to the simplex
    nc3_alignment   |W/|W| - C^T/|C||                     all rows at once: lengths count
    nc3_distance    mean_k |w_k/|w_k| - u_k|              class by class: lengths do not
    gnc3            mean_k (1 - cos(w_k, c_k))            half the mean square of those distances
    unc3            statistics over k of cos(w_k, c_k) or w_k.c_k
    bias_relation   |W g + b|

c_k = m_k - g is a column of C, u_k = c_k/|c_k|. What differs elsewhere: the code of Yaras et al. (2022) leaves the means as
they are, that of Zhou et al. (2022) subtracts the mean row of W as well, that of Dang et al. (2023) compares W M with the
orthogonal frame where there is no bias: `orthogonal_distance(W @ class_means(...))`. The package neural-collapse takes g over
classes.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from ufm.base.checks import check_choice, check_count, check_shape, refuse
from ufm.metrics.geometry import column_norms, columns, normalised_distance, root, simplex_distance, unit, unit_columns
from ufm.metrics.inputs import floats, like, power_of_two
from ufm.metrics.samples import HIGHEST, class_means, measured, scatter
from ufm.metrics.uniformity import Statistics, statistics, with_cov

SIMILARITIES = ("cosine", "dot")


def nc3(
    classifier: ArrayLike,
    features: ArrayLike,
    labels: ArrayLike,
    classes: int,
    multiplicity: Any = None,
    *,
    global_mean: str = "samples",
    samples_axis: int | None = None,
) -> jax.Array:
    """NC3 as duality to the simplex, |W C/|W C| - (I - J/K)/sqrt(K-1)| in Frobenius norm.

    Without bias the limit is `orthogonal_distance(W @ class_means(...))` instead.
    Elsewhere: `self_duality_error` of the package neural-collapse.

    Args:
      classifier: W, shape (K, d).
      features, labels, classes, multiplicity, samples_axis: as for `class_means`.
      global_mean: "samples" or "classes".

    Returns:
      Scalar from 0 to 2; W C = 0 is at distance 1.

    Raises:
      ValueError: as for `class_means`, for a W of another shape, or for an unknown global mean.

    Source: Zhu et al. (2021).
    """
    s = scatter(features, labels, classes, multiplicity, global_mean, samples_axis)
    check_shape("classifier", classifier, s.centred.T.shape)
    return measured(s, duality_distance(floats("classifier", classifier, "(K, d)"), s.centred))


def nc3_alignment(
    classifier: ArrayLike,
    features: ArrayLike,
    labels: ArrayLike,
    classes: int,
    multiplicity: Any = None,
    *,
    centred: bool = True,
    global_mean: str = "samples",
    samples_axis: int | None = None,
) -> jax.Array:
    """NC3 as alignment of classifier and class means, |W/|W| - C^T/|C|| in Frobenius norm.

    Elsewhere: `nc3_self_duality` of nc-toolbox.

    Args:
      classifier: W, shape (K, d).
      features, labels, classes, multiplicity, samples_axis: as for `class_means`.
      centred: whether the global mean is subtracted from the class means (the limit without bias wants False).
      global_mean: "samples" or "classes"; of no effect if not centred.

    Returns:
      Scalar from 0 to 2; zero is at distance 0 of zero and 1 of all else.

    Raises:
      ValueError: as for `class_means`, for a W of another shape, or for an unknown global mean.

    Source: Papyan, Han and Donoho (2020).
    """
    s = scatter(features, labels, classes, multiplicity, global_mean, samples_axis)
    C = s.centred if centred else class_means(features, labels, classes, multiplicity, samples_axis=samples_axis)
    check_shape("classifier", classifier, C.T.shape)
    return measured(s, normalised_distance(floats("classifier", classifier, "(K, d)"), C.T))


def nc3_distance(classifier: ArrayLike, vectors: ArrayLike) -> jax.Array:
    """Mean over classes of the distance of directions, |w_k/|w_k| - x_k/|x_k||.

    Elsewhere: mean of `distance_norms` of the package neural-collapse.

    Args:
      classifier: W, shape (K, d).
      vectors: x_k as columns, shape (d, K): `centred_means(...)`, or `class_means(...)` where the limit has no bias.

    Returns:
      Scalar from 0 to 2; a zero vector has no direction and is at distance 1 of one.

    Raises:
      ValueError: for vectors or a classifier of another shape.

    Source: Wu and Papyan (2024).
    """
    return jnp.mean(_distances(*_pair(classifier, vectors)))


def gnc3(classifier: ArrayLike, vectors: ArrayLike) -> jax.Array:
    """GNC3, mean over classes of 1 - cos(w_k, x_k), as half the squared distance of directions, which does not cancel.

    Its authors scale every feature to length one first: take class means of `features / norms` to do as they do.

    Args:
      classifier: W, shape (K, d).
      vectors: x_k as columns, shape (d, K), as for `nc3_distance`.

    Returns:
      Scalar from 0 to 2; the cosine with a zero vector is 0.

    Raises:
      ValueError: for vectors or a classifier of another shape.

    Source: Jiang et al. (2024), Generalized neural collapse for a large number of classes.
    """
    return jnp.mean(_gaps(*_pair(classifier, vectors)))


def unc3(classifier: ArrayLike, vectors: ArrayLike, similarity: str = "cosine", *, ddof: int = 0) -> Statistics:
    """UNC3, uniform duality: statistics over classes of cos(w_k, x_k), or of w_k.x_k; zero variance if all are equal.

    The mean cosine is the plain form of NC3. Elsewhere: variances of `similarities` of the package neural-collapse, with
    ddof = 1; `unc3_uniform_duality` of nc-toolbox averages cos(w_j, x_k) over j < k instead, which does not see w_k and x_k.

    Args:
      classifier: W, shape (K, d).
      vectors: x_k as columns, shape (d, K), as for `nc3_distance`.
      similarity: "cosine" or "dot".
      ddof: 0 or more, of the variance; below K.

    Returns:
      Statistics; the cosine with a zero vector is 0.

    Raises:
      ValueError: for vectors or a classifier of another shape, an unknown similarity, or a ddof of K or more.

    Source: Wu and Papyan (2024).
    """
    W, X = _pair(classifier, vectors)
    check_choice("similarity", similarity, SIMILARITIES)
    check_count("ddof", ddof, 0)
    if ddof >= X.shape[1]:
        refuse("ddof", ddof, f"below the {X.shape[1]} classes")
    return _unc3(W, X, similarity, ddof)


def bias_relation(classifier: ArrayLike, centre: ArrayLike, bias: Any) -> jax.Array:
    """|W g + b|, zero where the bias undoes what the global mean adds to the logits.

    Args:
      classifier: W, shape (K, d).
      centre: g, shape (d,), as from `overall_mean`.
      bias: b, shape (K,).

    Returns:
      Scalar, in units of logits.

    Raises:
      ValueError: for a centre or bias of another shape.

    Source: Zhou et al. (2022), On the optimization landscape of neural collapse under MSE loss.
    """
    W = columns("classifier", classifier)
    centre = like("centre", centre, W.dtype, W.shape[1:])
    return _bias_relation(W, centre, like("bias", bias, W.dtype, W.shape[:1]))


def duality_distance(classifier: ArrayLike, vectors: ArrayLike) -> jax.Array:
    """`nc3` of a classifier (K, d) and centred means (d, K), in any units."""
    return simplex_distance(jnp.matmul(unit(classifier), unit(vectors), precision=HIGHEST))


def _pair(classifier: Any, vectors: Any) -> tuple[jax.Array, jax.Array]:
    X = columns("vectors", vectors)
    check_shape("classifier", classifier, X.T.shape)
    return columns("classifier", classifier), X


@jax.jit
def _bias_relation(W: jax.Array, centre: jax.Array, bias: jax.Array) -> jax.Array:
    rows, length = power_of_two(W), power_of_two(centre)
    return column_norms((rows * length * jnp.matmul(W / rows, centre / length, precision=HIGHEST) + bias)[:, None])[0]


@jax.jit
def _distances(W: jax.Array, X: jax.Array) -> jax.Array:
    return root(jnp.sum((unit_columns(W.T) - unit_columns(X)) ** 2, axis=0))


@jax.jit
def _gaps(W: jax.Array, X: jax.Array) -> jax.Array:
    """1 - cos(w_k, x_k), which as |u - v|^2 / 2 does not cancel near duality."""
    u, v = unit_columns(W.T), unit_columns(X)
    directed = jnp.any(u != 0, axis=0) & jnp.any(v != 0, axis=0)
    return jnp.where(directed, jnp.sum((u - v) ** 2, axis=0) / 2, 1)


@partial(jax.jit, static_argnums=(2, 3))
def _unc3(W: jax.Array, X: jax.Array, similarity: str, ddof: int) -> Statistics:
    if similarity == "dot":
        rows, length = power_of_two(W), power_of_two(X)
        dots = statistics(jnp.sum(W.T / rows * (X / length), axis=0), ddof)
        return Statistics(dots.mean * rows * length, dots.variance * (rows * length) ** 2, dots.cov)
    gaps = statistics(_gaps(W, X), ddof)
    return with_cov(1 - gaps.mean, gaps.variance)
