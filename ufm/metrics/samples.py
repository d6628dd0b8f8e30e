"""Samples split into class means and deviations from them, with no digit lost to a common offset: what every metric starts from.

`features` has shape (d, N), a column a sample h_i, and sets the dtype of the answer; `classes` = K is static. A column
may stand for `multiplicity` m_i identical samples: give h_i itself, not the scaled coordinate sqrt(m_i) h_i. Under jit
a label out of range or a class without samples gives NaN. With n_k = sum m_i over class k and N = sum m_i over all,

    m_k = (1/n_k) sum_{i in k} m_i h_i,    C = [m_1 - g, ..., m_K - g],    S_B = C C^T / K  (unweighted over classes),
    S_W = (1/N) sum_i m_i (h_i - m_{y_i}) (h_i - m_{y_i})^T,    v_k = (1/n_k) sum_{i in k} m_i |h_i - m_k|^2,

and g the mean over "samples", sum_k n_k m_k / N (Papyan, Han and Donoho 2020 and most code after them), or over "classes",
sum_k m_k / K (Wu and Papyan 2024 and their package). They differ under imbalance.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ufm.checks import check_choice, check_count, check_positive, check_shape, is_traced, refuse

HIGHEST = jax.lax.Precision.HIGHEST
_ONE_HOT = 512  # sums over up to so many classes are products with one-hot labels: faster than segments, and deterministic


class Scatter(NamedTuple):
    """Samples split into class means and deviations, both divided by their largest entry.

    Args:
      unit: that entry, a scalar; 1 if all are zero.
      centred: C, shape (d, K).
      deviations: h_i - m_{y_i}, shape (d, N), or any columns of the same S_W.
      shares: m_i / N, shape (N,): S_W is sum_i shares_i deviations_i deviations_i^T.
      variances: v_k, shape (K,), in squared units.
      counts: n_k, shape (K,).
      weights: of the class means in g, shape (K,), of sum one.
    """

    unit: jax.Array
    centred: jax.Array
    deviations: jax.Array
    shares: jax.Array
    variances: jax.Array
    counts: jax.Array
    weights: jax.Array


def class_means(features: jax.Array, labels: jax.Array, classes: int, multiplicity: Any = None) -> jax.Array:
    """Class means m_k = (1/n_k) sum_{i in k} m_i h_i, without rounding where the samples of a class are identical.

    Args:
      features: shape (d, N).
      labels: shape (N,), whole numbers from 0 to K - 1.
      classes: K, at least 2.
      multiplicity: shape (N,), positive; None is one sample a column.

    Returns:
      Means, shape (d, K).

    Raises:
      ValueError: for a wrong shape or dtype, a label out of range or a class without samples.
    """
    origins, offsets, *_ = _split(*checked(features, labels, classes, multiplicity), classes)
    return origins + offsets


def centred_means(
    features: jax.Array, labels: jax.Array, classes: int, multiplicity: Any = None, *, global_mean: str = "samples"
) -> jax.Array:
    """C = [m_1 - g, ..., m_K - g], from differences of samples: exact to rounding however large a common offset is.

    Args:
      features, labels, classes, multiplicity: as for `class_means`.
      global_mean: "samples" or "classes".

    Returns:
      Centred class means, shape (d, K).

    Raises:
      ValueError: as for `class_means`, or for an unknown global mean.
    """
    s = scatter(features, labels, classes, multiplicity, global_mean)
    return s.unit * s.centred


def overall_mean(
    features: jax.Array, labels: jax.Array, classes: int, multiplicity: Any = None, *, global_mean: str = "samples"
) -> jax.Array:
    """g, the mean over "samples" or over "classes".

    Args:
      features, labels, classes, multiplicity: as for `class_means`.
      global_mean: "samples" or "classes".

    Returns:
      Mean, shape (d,).

    Raises:
      ValueError: as for `class_means`, or for an unknown global mean.
    """
    weights = scatter(features, labels, classes, multiplicity, global_mean).weights
    return jnp.matmul(class_means(features, labels, classes, multiplicity), weights, precision=HIGHEST)


def mean_gram(
    features: jax.Array,
    labels: jax.Array,
    classes: int,
    multiplicity: Any = None,
    *,
    centred: bool = True,
    global_mean: str = "samples",
) -> jax.Array:
    """Gram matrix of the class means, C^T C, or <m_j, m_k> if not centred: NC2 is its distance to a target.

    Centring turns an orthogonal frame into a simplex: only uncentred means tell the limits with and without bias apart.

    Args:
      features, labels, classes, multiplicity: as for `class_means`.
      centred: whether the global mean is subtracted.
      global_mean: "samples" or "classes"; of no effect if not centred.

    Returns:
      Gram matrix, shape (K, K).

    Raises:
      ValueError: as for `class_means`, or for an unknown global mean.
    """
    s = scatter(features, labels, classes, multiplicity, global_mean)
    means = s.unit * s.centred if centred else class_means(features, labels, classes, multiplicity)
    return jnp.matmul(means.T, means, precision=HIGHEST)


def scatter(features: jax.Array, labels: jax.Array, classes: int, multiplicity: Any, global_mean: str) -> Scatter:
    """Centred class means and deviations of the samples, in a unit that keeps their squares from under- and overflow.

    Args:
      features, labels, classes, multiplicity: as for `class_means`.
      global_mean: "samples" or "classes".

    Returns:
      Scatter.

    Raises:
      ValueError: as for `class_means`, or for an unknown global mean.
    """
    check_choice("global_mean", global_mean, ("samples", "classes"))
    return _scatter(*checked(features, labels, classes, multiplicity), classes, global_mean)


def checked(features: Any, labels: Any, classes: int, multiplicity: Any) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Features, labels and multiplicities as arrays that fit together, or a refusal."""
    features = jnp.asarray(features)
    if features.ndim != 2 or 0 in features.shape or not jnp.issubdtype(features.dtype, jnp.floating):
        raise ValueError(f"features must be floats of shape (dim, samples), got {features.dtype} {features.shape}")
    check_count("classes", classes, 2)
    given, labels = labels, jnp.asarray(labels)
    check_shape("labels", labels, features.shape[1:])
    if not jnp.issubdtype(labels.dtype, jnp.integer):
        raise ValueError(f"labels must be whole numbers, got {labels.dtype}")
    if not is_traced(given):
        present, allowed = set(np.unique(given).tolist()), set(range(classes))
        if present - allowed:
            refuse("labels", min(present - allowed), f"from 0 to classes - 1 = {classes - 1}")
        if allowed - present:
            raise ValueError(f"labels must contain every class, got no sample of class {min(allowed - present)}")
    if multiplicity is None:
        return features, labels, jnp.ones_like(features[0])
    check_positive("multiplicity", multiplicity)
    multiplicity = jnp.asarray(multiplicity, features.dtype)
    check_shape("multiplicity", multiplicity, features.shape[1:])
    return features, labels, multiplicity


@partial(jax.jit, static_argnums=3)
def _split(features: jax.Array, labels: jax.Array, multiplicity: jax.Array, classes: int) -> tuple[jax.Array, ...]:
    """A sample of each class, the mean's offset from it, deviations from the mean, multiplicities and their sums."""
    # NaN for all samples: XLA turns the product of one NaN with a one-hot zero into zero.
    valid = jnp.all((labels >= 0) & (labels < classes))
    multiplicity = jnp.where(valid, multiplicity, jnp.nan)
    counts = jax.ops.segment_sum(multiplicity, labels, classes)
    # A difference of two floats is rounded once, relative to itself: from a sample as the origin, no offset costs a digit.
    first = jax.ops.segment_min(jnp.arange(labels.size), labels, classes)
    origins = features[:, jnp.clip(first, 0, labels.size - 1)]
    apart = features - origins[:, labels]
    offsets = _class_sums(apart, multiplicity, labels, classes) / counts[None, :]
    # A second pass removes the rounding of the first, so that equal means come out equal.
    offsets = offsets + _class_sums(apart - offsets[:, labels], multiplicity, labels, classes) / counts[None, :]
    return origins, offsets, apart - offsets[:, labels], multiplicity, counts


def _class_sums(x: jax.Array, multiplicity: jax.Array, labels: jax.Array, classes: int) -> jax.Array:
    if classes <= _ONE_HOT:
        members = multiplicity[:, None] * jax.nn.one_hot(labels, classes, dtype=x.dtype)
        return jnp.matmul(x, members, precision=HIGHEST)
    return jax.ops.segment_sum((x * multiplicity[None, :]).T, labels, classes).T


@partial(jax.jit, static_argnums=(3, 4))
def _scatter(features: jax.Array, labels: jax.Array, multiplicity: jax.Array, classes: int, mean: str) -> Scatter:
    origins, offsets, deviations, multiplicity, counts = _split(features, labels, multiplicity, classes)
    shares = multiplicity / jnp.sum(multiplicity)
    weights = counts / jnp.sum(counts) if mean == "samples" else jnp.full_like(counts, 1 / classes)
    centred = (origins - origins[:, :1]) + (offsets - offsets[:, :1])
    centred = centred - jnp.matmul(centred, weights, precision=HIGHEST)[:, None]
    unit = jnp.maximum(jnp.max(jnp.abs(centred)), jnp.max(jnp.abs(deviations)))
    unit = jax.lax.stop_gradient(jnp.where(unit == 0, 1, unit))
    centred, deviations = centred / unit, deviations / unit
    squares = jax.ops.segment_sum(multiplicity * jnp.sum(deviations**2, axis=0), labels, classes)
    return Scatter(unit, centred, deviations, shares, squares / counts, counts, weights)
