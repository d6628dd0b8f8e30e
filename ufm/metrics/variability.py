"""Class means and the variability around them: NC1, its trace ratio, CDNV.

`features` has shape (d, N), a column a sample h_i, and sets the dtype of the answer; `classes` = K is static. A column
may stand for `multiplicity` m_i identical samples: give h_i itself, not the scaled coordinate sqrt(m_i) h_i. Under jit
a label out of range or a class without samples gives NaN. With n_k = sum m_i over class k and N = sum m_i over all,

    m_k = (1/n_k) sum_{i in k} m_i h_i,    C = [m_1 - g, ..., m_K - g],    S_B = C C^T / K  (unweighted over classes),
    S_W = (1/N) sum_i m_i (h_i - m_{y_i}) (h_i - m_{y_i})^T,

and g the mean over "samples", sum_k n_k m_k / N, or over "classes", sum_k m_k / K. They differ under imbalance.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ufm.checks import check_choice, check_count, check_positive, check_shape, is_traced, refuse

HIGHEST = jax.lax.Precision.HIGHEST


class Scatter(NamedTuple):
    """Samples split into class means and residuals, both divided by their largest entry.

    Args:
      unit: that entry, a scalar; 1 if all are zero.
      centred: C, shape (d, K).
      deviations: h_i - m_{y_i}, shape (d, N).
      shares: m_i / N, shape (N,), of sum one.
      members: one-hot labels, shape (N, K).
      weights: of the class means in g, shape (K,), of sum one.
    """

    unit: jax.Array
    centred: jax.Array
    deviations: jax.Array
    shares: jax.Array
    members: jax.Array
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
    return _moments(*_checked(features, labels, classes, multiplicity), classes)[0]


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


def nc1(
    features: jax.Array, labels: jax.Array, classes: int, multiplicity: Any = None, *, global_mean: str = "samples"
) -> jax.Array:
    """NC1 = tr(S_W S_B^+) / K = (1/N) sum_i m_i |C^+ (h_i - m_{y_i})|^2, variability in units of the class means.

    The factors K cancel, S_B^+ = K (C C^T)^+. The second form is computed: it cannot be negative and needs only the
    square root of S_B's condition number. C^+ lives in the K - 1 coordinates that C can occupy, less singular values
    up to eps max(d, K) s_max. Variability outside the span of C is not seen; `nc1_trace_ratio` sees it.

    Args:
      features, labels, classes, multiplicity: as for `class_means`.
      global_mean: "samples" or "classes".

    Returns:
      Scalar, at least zero. If all class means are equal: zero without variability within classes, else infinity.

    Raises:
      ValueError: as for `class_means`, or for an unknown global mean.

    Source: Papyan, Han and Donoho (2020); Zhu et al. (2021).

    >>> nc1(jnp.array([[0.9, 1.1, -0.9, -1.1]]), jnp.array([0, 0, 1, 1]), classes=2).round(6).item()
    0.005
    """
    return _nc1(scatter(features, labels, classes, multiplicity, global_mean))


def nc1_trace_ratio(
    features: jax.Array, labels: jax.Array, classes: int, multiplicity: Any = None, *, global_mean: str = "samples"
) -> jax.Array:
    """Within-class over between-class variance, tr S_W / tr S_B, in which every direction counts.

    Args:
      features, labels, classes, multiplicity: as for `class_means`.
      global_mean: "samples" or "classes".

    Returns:
      Scalar, at least zero. If all class means are equal: zero without variability within classes, else infinity.

    Raises:
      ValueError: as for `class_means`, or for an unknown global mean.

    Source: Tirer, Huang and Niles-Weed (2023).
    """
    s = scatter(features, labels, classes, multiplicity, global_mean)
    return _ratio(jnp.sum(s.shares[None, :] * s.deviations**2), jnp.sum(s.centred**2) / classes)


def cdnv(features: jax.Array, labels: jax.Array, classes: int, multiplicity: Any = None) -> jax.Array:
    """Class-distance normalised variance: mean over pairs j < k of (v_j + v_k) / (2 |m_j - m_k|^2).

    v_k = (1/n_k) sum_{i in k} m_i |h_i - m_k|^2, with n_k below and not n_k - 1.

    Args:
      features, labels, classes, multiplicity: as for `class_means`.

    Returns:
      Scalar, at least zero. A pair of equal means counts zero without variability in both classes, else infinity.

    Raises:
      ValueError: as for `class_means`.

    Source: Galanti, Gyorgy and Hutter (2022).
    """
    return _cdnv(scatter(features, labels, classes, multiplicity, "classes"))


def scatter(features: jax.Array, labels: jax.Array, classes: int, multiplicity: Any, global_mean: str) -> Scatter:
    """Centred class means and residuals of the samples, in a unit that keeps their squares from under- and overflow.

    Args:
      features, labels, classes, multiplicity: as for `class_means`.
      global_mean: "samples" or "classes".

    Returns:
      Scatter.

    Raises:
      ValueError: as for `class_means`, or for an unknown global mean.
    """
    check_choice("global_mean", global_mean, ("samples", "classes"))
    return _scatter(*_checked(features, labels, classes, multiplicity), classes, global_mean)


def _checked(features: Any, labels: Any, classes: int, multiplicity: Any) -> tuple[jax.Array, jax.Array, jax.Array]:
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
def _moments(features: jax.Array, labels: jax.Array, multiplicity: jax.Array, classes: int) -> tuple[jax.Array, ...]:
    """Class means, shares of the samples, one-hot labels; all NaN where a label is out of range."""
    # NaN for all samples: XLA turns the product of one NaN with a one-hot zero into zero.
    shares = jnp.where(jnp.all((labels >= 0) & (labels < classes)), multiplicity / jnp.sum(multiplicity), jnp.nan)
    members = jax.nn.one_hot(labels, classes, dtype=features.dtype)
    parts = shares[:, None] * members
    total = jnp.sum(parts, axis=0)[None, :]
    # The second pass removes the rounding of the first. Products are faster than segment sums, and deterministic.
    first = jnp.matmul(features, parts, precision=HIGHEST) / total
    return first + jnp.matmul(features - first[:, labels], parts, precision=HIGHEST) / total, shares, members


@partial(jax.jit, static_argnums=(3, 4))
def _scatter(features: jax.Array, labels: jax.Array, multiplicity: jax.Array, classes: int, mean: str) -> Scatter:
    means, shares, members = _moments(features, labels, multiplicity, classes)
    of_samples = jnp.matmul(shares, members, precision=HIGHEST)
    weights = of_samples if mean == "samples" else jnp.full_like(of_samples, 1 / classes)
    # Relative to the first mean: equal means give exactly zero, and a large common offset costs no digits.
    centred = means - means[:, :1]
    centred = centred - jnp.matmul(centred, weights, precision=HIGHEST)[:, None]
    deviations = features - means[:, labels]
    unit = jnp.maximum(jnp.max(jnp.abs(centred)), jnp.max(jnp.abs(deviations)))
    unit = jax.lax.stop_gradient(jnp.where(unit == 0, 1, unit))
    return Scatter(unit, centred / unit, deviations / unit, shares, members, weights)


@jax.jit
def _nc1(s: Scatter) -> jax.Array:
    # C a = 0 for the weights a of g: a Householder reflection that takes a to the first axis leaves K - 1 columns.
    a = s.weights / jnp.linalg.norm(s.weights)
    coordinates = s.centred[:, 1:] - s.centred[:, :1] * (a[1:] / (1 + a[0]))[None, :]
    rtol = float(jnp.finfo(coordinates.dtype).eps) * max(s.centred.shape)
    scaled = jnp.matmul(jnp.linalg.pinv(coordinates, rtol=rtol), s.deviations, precision=HIGHEST)
    equal_means = jnp.where(jnp.any(s.deviations != 0), jnp.inf, jnp.zeros_like(a[0]))
    return jnp.where(jnp.any(s.centred != 0), jnp.sum(s.shares[None, :] * scaled**2), equal_means)


@jax.jit
def _cdnv(s: Scatter) -> jax.Array:
    within = jnp.matmul(s.shares * jnp.sum(s.deviations**2, axis=0), s.members, precision=HIGHEST)
    v = within / jnp.matmul(s.shares, s.members, precision=HIGHEST)
    # Differences before squares: close means dominate the answer and would cancel in |m_j|^2 + |m_k|^2 - 2 m_j.m_k.
    squares = jax.lax.map(lambda m: jnp.sum((s.centred - m[:, None]) ** 2, axis=0), s.centred.T)
    pairs = _ratio(v[:, None] + v[None, :], 2 * squares)
    return jnp.sum(jnp.where(jnp.eye(v.size, dtype=bool), 0, pairs)) / (v.size * (v.size - 1))


@jax.jit
def _ratio(a: jax.Array, b: jax.Array) -> jax.Array:
    # Of non-negative numbers, with 0/0 = 0.
    return jnp.where(b == 0, jnp.where(a == 0, 0, jnp.inf), a / jnp.where(b == 0, 1, b))
