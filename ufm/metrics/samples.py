"""Samples split into class means and deviations from them, with no digit lost to a common offset: what every metric starts from.

`features` has shape (d, N), a column a sample h_i (or (N, d) with `samples_axis=0`, see `ufm.metrics.inputs`), and sets the dtype
of the answer, at least float32; `classes` = K is static. A column may stand for `multiplicity` m_i identical samples: give h_i
itself, not the scaled coordinate sqrt(m_i) h_i. NaN, infinity, a label out of range or a class without samples is refused, and
gives NaN under jit. With n_k = sum m_i over class k and N = sum m_i over all,

    m_k = (1/n_k) sum_{i in k} m_i h_i,    C = [m_1 - g, ..., m_K - g],    S_B = C C^T / K  (unweighted over classes),
    S_W = (1/N) sum_i m_i (h_i - m_{y_i}) (h_i - m_{y_i})^T,    v_k = (1/n_k) sum_{i in k} m_i |h_i - m_k|^2,

and g the mean over "samples", sum_k n_k m_k / N (Papyan, Han and Donoho 2020 and most code after them), or over "classes",
sum_k m_k / K (Wu and Papyan 2024 and their package). They differ under imbalance.
"""

import functools
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from ufm.base.checks import check_choice
from ufm.metrics.inputs import checked, power_of_two

HIGHEST = jax.lax.Precision.HIGHEST
_ONE_HOT = 512  # sums over up to so many classes are products with one-hot labels: faster than segments, and deterministic
_BLOCK = 4096  # samples added up one after the other
_ROUNDINGS = 4  # of the largest difference in a row that an entry of C is made of: two differences, a mean, and that subtracted


class Scatter(NamedTuple):
    """Samples split into class means and deviations, both divided by a power of two next to their largest entry.

    Args:
      unit: that power, a scalar; 1 if all are zero, NaN if there is nothing to measure.
      centred: C, shape (d, K); zero where rounding could have made all of it.
      deviations: h_i - m_{y_i}, shape (d, N), or any columns of the same S_W.
      shares: m_i / N, shape (N,): S_W is sum_i shares_i deviations_i deviations_i^T.
      variances: v_k, shape (K,), in squared units.
      counts: n_k, shape (K,).
      weights: of the class means in g, shape (K,), of sum one.
      rounding: largest error of an entry of each row of C from arithmetic, shape (d,), from the rows before means were subtracted.
    """

    unit: jax.Array | np.ndarray
    centred: jax.Array | np.ndarray
    deviations: jax.Array | np.ndarray
    shares: jax.Array | np.ndarray
    variances: jax.Array | np.ndarray
    counts: jax.Array | np.ndarray
    weights: jax.Array | np.ndarray
    rounding: jax.Array | np.ndarray


def class_means(
    features: ArrayLike, labels: ArrayLike, classes: int, multiplicity: Any = None, *, samples_axis: int | None = None
) -> jax.Array:
    """Class means m_k = (1/n_k) sum_{i in k} m_i h_i, without rounding where the samples of a class are identical.

    Args:
      features: shape (d, N), or (N, d) with samples_axis=0.
      labels: shape (N,), whole numbers from 0 to K - 1.
      classes: K, at least 2.
      multiplicity: shape (N,), positive; None is one sample a column.
      samples_axis: 1 where features are (d, N), 0 where they are (N, d); None is (d, N), and refused at N = d.

    Returns:
      Means, shape (d, K).

    Raises:
      ValueError: for a wrong shape or dtype, NaN, infinity, a label out of range, a class without
        samples, or square features without samples_axis.
    """
    unit, origins, offsets, *_ = _split(*checked(features, labels, classes, multiplicity, samples_axis), classes)
    return unit * (origins + offsets)


def centred_means(
    features: ArrayLike,
    labels: ArrayLike,
    classes: int,
    multiplicity: Any = None,
    *,
    global_mean: str = "samples",
    samples_axis: int | None = None,
) -> jax.Array:
    """C = [m_1 - g, ..., m_K - g], from differences of samples: exact to rounding however large a common offset is.

    Args:
      features, labels, classes, multiplicity, samples_axis: as for `class_means`.
      global_mean: "samples" or "classes".

    Returns:
      Centred class means, shape (d, K).

    Raises:
      ValueError: as for `class_means`, or for an unknown global mean.
    """
    s = scatter(features, labels, classes, multiplicity, global_mean, samples_axis)
    return jnp.multiply(s.unit, s.centred)


def overall_mean(
    features: ArrayLike,
    labels: ArrayLike,
    classes: int,
    multiplicity: Any = None,
    *,
    global_mean: str = "samples",
    samples_axis: int | None = None,
) -> jax.Array:
    """g, the mean over "samples" or over "classes".

    Args:
      features, labels, classes, multiplicity, samples_axis: as for `class_means`.
      global_mean: "samples" or "classes".

    Returns:
      Mean, shape (d,).

    Raises:
      ValueError: as for `class_means`, or for an unknown global mean.
    """
    weights = scatter(features, labels, classes, multiplicity, global_mean, samples_axis).weights
    return jnp.matmul(class_means(features, labels, classes, multiplicity, samples_axis=samples_axis), weights, precision=HIGHEST)


def mean_gram(
    features: ArrayLike,
    labels: ArrayLike,
    classes: int,
    multiplicity: Any = None,
    *,
    centred: bool = True,
    global_mean: str = "samples",
    samples_axis: int | None = None,
) -> jax.Array:
    """Gram matrix of the class means, C^T C, or <m_j, m_k> if not centred: NC2 is its distance to a target.

    Centring turns an orthogonal frame into a simplex: only uncentred means tell the limits with and without bias apart.

    Args:
      features, labels, classes, multiplicity, samples_axis: as for `class_means`.
      centred: whether the global mean is subtracted.
      global_mean: "samples" or "classes"; of no effect if not centred.

    Returns:
      Gram matrix, shape (K, K).

    Raises:
      ValueError: as for `class_means`, or for an unknown global mean.
    """
    s = scatter(features, labels, classes, multiplicity, global_mean, samples_axis)
    means = s.unit * s.centred if centred else class_means(features, labels, classes, multiplicity, samples_axis=samples_axis)
    return jnp.matmul(means.T, means, precision=HIGHEST)


def scatter(
    features: ArrayLike, labels: ArrayLike, classes: int, multiplicity: Any, global_mean: str, samples_axis: int | None
) -> Scatter:
    """Centred class means and deviations of the samples, in a unit that keeps their squares from under- and overflow.

    Args:
      features, labels, classes, multiplicity, samples_axis: as for `class_means`.
      global_mean: "samples" or "classes".

    Returns:
      Scatter.

    Raises:
      ValueError: as for `class_means`, or for an unknown global mean.
    """
    check_choice("global_mean", global_mean, ("samples", "classes"))
    return _scatter(*checked(features, labels, classes, multiplicity, samples_axis), classes, global_mean)


def measured(s: Scatter, value: jax.Array) -> jax.Array:
    """A value measured from a Scatter, NaN where there is nothing to measure."""
    return jnp.where(jnp.isnan(s.unit), jnp.nan, value)


@partial(jax.jit, static_argnums=3)
def _split(features: jax.Array, labels: jax.Array, multiplicity: jax.Array | None, classes: int) -> tuple[jax.Array, ...]:
    """Unit, and in it: a sample of each class, the mean's offset from it, samples from that sample and from the mean, m_i, n_k."""
    unit = power_of_two(features)
    features = features / unit
    # NaN for all samples: XLA turns the product of one NaN with a one-hot zero into zero.
    valid = jnp.all(labels >= 0) & jnp.all(jnp.isfinite(features))
    if multiplicity is None:  # counted in whole numbers, since floats stop at 2^24
        multiplicity = jnp.ones_like(features[0])
        counts = jax.ops.segment_sum(jnp.ones_like(labels), labels, classes).astype(features.dtype)
    else:
        valid = valid & jnp.all(jnp.isfinite(multiplicity) & (multiplicity > 0))
        counts = segment_sums(multiplicity, labels, classes)
    multiplicity, counts = jnp.where(valid, multiplicity, jnp.nan), jnp.where(valid & (counts > 0), counts, jnp.nan)
    # A difference of two floats is rounded once, relative to itself: from a sample as the origin, no offset costs a digit.
    first = jax.ops.segment_min(jnp.arange(labels.size), labels, classes)
    origins = features[:, jnp.clip(first, 0, labels.size - 1)]
    apart = features - origins[:, labels]
    offsets = _class_sums(apart, multiplicity, labels, classes) / counts[None, :]
    # A second pass removes the rounding of the first, so that equal means come out equal.
    offsets = offsets + _class_sums(apart - offsets[:, labels], multiplicity, labels, classes) / counts[None, :]
    return unit, origins, offsets, apart, apart - offsets[:, labels], multiplicity, counts


def segment_sums(x: jax.Array, labels: jax.Array, classes: int) -> jax.Array:
    """Sum of the numbers x (N,) of each class, (K,), in blocks and then over them, so that long sums keep their digits."""
    blocks = max(1, min(-(-x.size // _BLOCK), x.size // classes))
    block = jnp.arange(x.size) // -(-x.size // blocks)
    parts = jax.ops.segment_sum(x, jnp.where(labels >= 0, block * classes + labels, -1), blocks * classes)
    return jnp.sum(parts.reshape(blocks, classes), axis=0)


def _class_sums(x: jax.Array, multiplicity: jax.Array, labels: jax.Array, classes: int) -> jax.Array:
    if classes <= _ONE_HOT:
        members = multiplicity[:, None] * jax.nn.one_hot(labels, classes, dtype=x.dtype)
        return jnp.matmul(x, members, precision=HIGHEST)
    return jax.ops.segment_sum((x * multiplicity[None, :]).T, labels, classes).T


@partial(jax.jit, static_argnums=(3, 4))
def _scatter(features: jax.Array, labels: jax.Array, multiplicity: jax.Array | None, classes: int, mean: str) -> Scatter:
    scale, origins, offsets, apart, deviations, multiplicity, counts = _split(features, labels, multiplicity, classes)
    total = jnp.sum(counts)
    shares = multiplicity / total
    weights = counts / total if mean == "samples" else jnp.full_like(counts, 1 / classes)
    between, own = origins - origins[:, :1], offsets - offsets[:, :1]
    centred = between + own
    centred = centred - jnp.matmul(centred, weights, precision=HIGHEST)[:, None]
    spans = (jnp.max(jnp.abs(x), axis=1) for x in (between, own, apart))
    rounding = _ROUNDINGS * jnp.finfo(features.dtype).eps * jax.lax.stop_gradient(functools.reduce(jnp.maximum, spans))
    # Equal means come out equal; the slope is that of the means as they are.
    centred = centred - jax.lax.stop_gradient(jnp.where(jnp.abs(centred) <= rounding[:, None], centred, 0))
    unit = power_of_two(jnp.stack([jnp.max(jnp.abs(centred)), jnp.max(jnp.abs(deviations))]))
    centred, deviations = centred / unit, deviations / unit
    squares = segment_sums(multiplicity * jnp.sum(deviations**2, axis=0), labels, classes)
    unit = jnp.where(jnp.isfinite(total), unit, jnp.nan)
    return Scatter(scale * unit, centred, deviations, shares, squares / counts, counts, weights, rounding / unit)
