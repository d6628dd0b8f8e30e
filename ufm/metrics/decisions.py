"""NC4 and margins: which class the classifier, and which the nearest class mean, gives to each sample, and by how much.

    nc4             share of samples on which argmax_k (W h + b)_k is argmin_k |h - m_k|
    cosine_margins  cos(w_y - w, h - g) - max_{k != y} cos(w_k - w, h - g), sample by sample; w the mean row of W
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from ufm.base.checks import check_shape
from ufm.metrics.geometry import unit_columns
from ufm.metrics.inputs import checked, floats, like, power_of_two
from ufm.metrics.samples import HIGHEST, Scatter, measured, scatter


def nc4(
    classifier: ArrayLike,
    features: ArrayLike,
    labels: ArrayLike,
    classes: int,
    bias: Any = None,
    multiplicity: Any = None,
    *,
    samples_axis: int | None = None,
) -> jax.Array:
    """NC4: share of samples on which argmax_k (W h + b)_k is the class of the nearest mean, argmin_k |h - m_k|.

    Elsewhere: `clf_ncc_agreement` of the package neural-collapse leaves out the bias; others report 1 - NC4.

    Args:
      classifier: W, shape (K, d).
      features, labels, classes, multiplicity, samples_axis: as for `class_means`.
      bias: b, shape (K,); None is no bias.

    Returns:
      Scalar from 0 to 1, each sample counted with its multiplicity; ties go to the lower class.

    Raises:
      ValueError: as for `class_means`, or for a W or b of another shape.

    Source: Papyan, Han and Donoho (2020).
    """
    features, labels, multiplicity = checked(features, labels, classes, multiplicity, samples_axis)
    s = scatter(features, labels, classes, multiplicity, "classes", 1)
    W = _classifier(classifier, s)
    bias = jnp.zeros(classes, W.dtype) if bias is None else like("bias", bias, W.dtype, (classes,))
    return _nc4(W, bias, features, labels, s)


def cosine_margins(
    classifier: ArrayLike,
    features: ArrayLike,
    labels: ArrayLike,
    classes: int,
    multiplicity: Any = None,
    *,
    global_mean: str = "samples",
    samples_axis: int | None = None,
) -> jax.Array:
    """Cosine margin of each sample, cos with its own centred classifier row minus the best with another.

    K/(K-1) at the collapsed simplex; above zero where the classifier, without bias and lengths, is right. What is reported
    elsewhere is the mean, or all of them sorted.

    Args:
      classifier: W, shape (K, d); its mean row is subtracted.
      features, labels, classes, multiplicity, samples_axis: as for `class_means`.
      global_mean: "samples" or "classes".

    Returns:
      Margins from -2 to 2, shape (N,); cosines with zero vectors are 0.

    Raises:
      ValueError: as for `class_means`, for a W of another shape, or for an unknown global mean.

    Source: Zhou et al. (2022), Are all losses created equal.
    """
    features, labels, multiplicity = checked(features, labels, classes, multiplicity, samples_axis)
    s = scatter(features, labels, classes, multiplicity, global_mean, 1)
    return _margins(_classifier(classifier, s), labels, s)


def _classifier(classifier: Any, s: Scatter) -> jax.Array:
    check_shape("classifier", classifier, s.centred.T.shape)
    return floats("classifier", classifier, "(K, d)")


@jax.jit
def _nc4(W: jax.Array, b: jax.Array, features: jax.Array, labels: jax.Array, s: Scatter) -> jax.Array:
    rows, columns = power_of_two(W), power_of_two(features)  # products of huge or tiny ones stay in range, and argmax sees no scale
    logits = jnp.matmul(W / rows, features / columns, precision=HIGHEST) + (b / rows / columns)[:, None]
    # |h - m_k|^2 = |h - g|^2 - 2 (m_k - g).(h - g) + |m_k - g|^2, with g near so that little cancels.
    offsets = s.deviations + s.centred[:, labels]
    nearness = jnp.matmul(s.centred.T, offsets, precision=HIGHEST) - 0.5 * jnp.sum(s.centred**2, axis=0)[:, None]
    agrees = jnp.argmax(logits, axis=0) == jnp.argmax(nearness, axis=0)
    undefined = jnp.any(jnp.isnan(logits)) | jnp.isnan(s.unit)
    return jnp.where(undefined, jnp.nan, jnp.sum(jnp.where(agrees, s.shares, 0)) / jnp.sum(s.shares))


@jax.jit
def _margins(W: jax.Array, labels: jax.Array, s: Scatter) -> jax.Array:
    rows = unit_columns((W - jnp.mean(W, axis=0)[None, :]).T)
    found = jnp.matmul(rows.T, unit_columns(s.deviations + s.centred[:, labels]), precision=HIGHEST)
    own = jnp.arange(W.shape[0])[:, None] == labels[None, :]
    best = jnp.max(jnp.where(own, -jnp.inf, found), axis=0)
    return measured(s, jnp.sum(jnp.where(own, found, 0), axis=0) - best)
