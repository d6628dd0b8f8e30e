"""NC1, the variability within classes in units of the distance between them: `nc1`, its traces, `vci` and `cdnv`.

Notation and conventions (m_k, g, C, S_W, S_B, v_k) are those of `ufm.metrics.samples`. None of these can be negative, and none
loses digits to a common offset of the features. All are zero without variability within classes.

    nc1               tr(S_W S_B^+) / K                   blind outside the span of the class means, free of linear maps
    nc1_trace_ratio   tr S_W / tr S_B                     every direction counts
    nc1_weak          tr S_W / (tr S_W + tr S_B)          the same from 0 to 1
    vci               1 - tr((S_W + S_B)^+ S_B) / min(d, K - 1)
    cdnv              mean over pairs of (v_j + v_k) / (2 |m_j - m_k|^(2 r))
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from ufm.base.checks import check_count, check_positive, is_traced
from ufm.metrics.samples import HIGHEST, Scatter, class_means, mean_gram, measured, scatter
from ufm.metrics.spans import pseudo_inverse, unexplained

__all__ = ["cdnv", "class_means", "mean_gram", "nc1", "nc1_trace_ratio", "nc1_weak", "vci"]


def nc1(
    features: ArrayLike,
    labels: ArrayLike,
    classes: int,
    multiplicity: Any = None,
    *,
    global_mean: str = "samples",
    samples_axis: int | None = None,
) -> jax.Array:
    """NC1 = tr(S_W S_B^+) / K = (1/N) sum_i m_i |C^+ (h_i - m_{y_i})|^2, variability in units of the class means.

    The factors K cancel, S_B^+ = K (C C^T)^+. The second form is computed: it cannot be negative and needs only the
    square root of S_B's condition number. C^+ lives in the K - 1 coordinates that C can occupy, less singular values up
    to eps max(d, K) s_max or to what the rounding of the class means can have made. Variability outside the span of C is
    not seen; `nc1_trace_ratio` sees it.

    Elsewhere: `covariance_ratio(metric="pinv")` and, with rank K - 1 and only for d > K - 1, "svd" of the package
    neural-collapse; `nc1_strong` of nc-toolbox. There S_B itself is inverted: in float32 a cut-off below its rounding has
    given 6.5e8 for 1.6e-3, and negative numbers.

    Args:
      features, labels, classes, multiplicity, samples_axis: as for `class_means`.
      global_mean: "samples" or "classes".

    Returns:
      Scalar, at least zero. If all class means are equal: zero without variability within classes, else infinity.

    Raises:
      ValueError: as for `class_means`, or for an unknown global mean.

    Source: Papyan, Han and Donoho (2020); Zhu et al. (2021).

    >>> nc1(jnp.array([[0.9, 1.1, -0.9, -1.1]]), jnp.array([0, 0, 1, 1]), classes=2).round(6).item()
    0.005
    """
    return scatter_nc1(scatter(features, labels, classes, multiplicity, global_mean, samples_axis))


def nc1_trace_ratio(
    features: ArrayLike,
    labels: ArrayLike,
    classes: int,
    multiplicity: Any = None,
    *,
    global_mean: str = "samples",
    samples_axis: int | None = None,
) -> jax.Array:
    """Within-class over between-class variance, tr S_W / tr S_B, in which every direction counts.

    Elsewhere: `covariance_ratio(metric="quotient")` of the package neural-collapse.

    Args:
      features, labels, classes, multiplicity, samples_axis: as for `class_means`.
      global_mean: "samples" or "classes".

    Returns:
      Scalar, at least zero. If all class means are equal: zero without variability within classes, else infinity.

    Raises:
      ValueError: as for `class_means`, or for an unknown global mean.

    Source: Tirer, Huang and Niles-Weed (2023).
    """
    return ratio(*scatter_traces(scatter(features, labels, classes, multiplicity, global_mean, samples_axis)))


def nc1_weak(
    features: ArrayLike,
    labels: ArrayLike,
    classes: int,
    multiplicity: Any = None,
    *,
    global_mean: str = "samples",
    samples_axis: int | None = None,
) -> jax.Array:
    """Share of the variance that lies within classes, tr S_W / (tr S_W + tr S_B): the trace ratio x as x / (1 + x).

    Elsewhere: second value of `nc1_weak` of nc-toolbox, the first being one minus it.

    Args:
      features, labels, classes, multiplicity, samples_axis: as for `class_means`.
      global_mean: "samples" or "classes".

    Returns:
      Scalar from 0 to 1; 0 where all samples are equal.

    Raises:
      ValueError: as for `class_means`, or for an unknown global mean.

    Source: Rangamani, Lindegaard, Galanti and Poggio (2023).
    """
    within, between = scatter_traces(scatter(features, labels, classes, multiplicity, global_mean, samples_axis))
    return ratio(within, within + between)


def vci(
    features: ArrayLike,
    labels: ArrayLike,
    classes: int,
    multiplicity: Any = None,
    *,
    global_mean: str = "samples",
    samples_axis: int | None = None,
) -> jax.Array:
    """Variability collapse index, 1 - tr((S_W + S_B)^+ S_B) / min(d, K - 1), without the cancellation of that form.

    In coordinates along and across the span of C let W_s be the Schur complement of S_W (what is left of the variability
    along the span after regression on the variability across it), and mu the eigenvalues of S_B^-1 W_s on the span. Then
    1 - tr(...)/p is the mean of mu/(1 + mu) over the p = min(d, K - 1) directions, with 1 where C has no extent. Where S_W
    has no variability along the span that is free of the variability across it (N - K < d), it is zero up to rounding. Dead and
    constant features change nothing but p. Slopes are those at constant rank.

    Args:
      features, labels, classes, multiplicity, samples_axis: as for `class_means`.
      global_mean: "samples" or "classes".

    Returns:
      Scalar from 0 to 1; 1 if all class means are equal.

    Raises:
      ValueError: as for `class_means`, or for an unknown global mean.

    Source: Xu and Liu (2023), Quantifying the variability collapse of neural networks.
    """
    return scatter_vci(scatter(features, labels, classes, multiplicity, global_mean, samples_axis))


def cdnv(
    features: ArrayLike,
    labels: ArrayLike,
    classes: int,
    multiplicity: Any = None,
    *,
    exponent: ArrayLike = 1.0,
    ddof: int = 0,
    samples_axis: int | None = None,
) -> jax.Array:
    """Class-distance normalised variance: mean over pairs j < k of (v_j + v_k) / (2 |m_j - m_k|^(2 r)).

    v_k = (1/(n_k - ddof)) sum_{i in k} m_i |h_i - m_k|^2. For r other than 1 the answer has units: scaling the features
    by a multiplies it by a^(2 - 2 r).

    Elsewhere: `variability_cdnv` (exponent `dist_exp`) of the package neural-collapse, whose study of language models takes
    r = 2; `nc1_cdnv` of nc-toolbox has ddof = 1.

    Args:
      features, labels, classes, multiplicity, samples_axis: as for `class_means`.
      exponent: r, positive.
      ddof: 0 or more; below every class size.

    Returns:
      Scalar, at least zero. A pair of equal means counts zero without variability in both classes, else infinity.

    Raises:
      ValueError: as for `class_means`, for an exponent that is not positive, or a ddof that leaves a class nothing.

    Source: Galanti, Gyorgy and Hutter (2022); Wu and Papyan (2024).
    """
    check_positive("exponent", exponent)
    check_count("ddof", ddof, 0)
    s = scatter(features, labels, classes, multiplicity, "classes", samples_axis)
    if not is_traced(s.counts) and float(jnp.min(s.counts)) <= ddof:
        raise ValueError(f"ddof must be below every class size, got {ddof} for a class of {float(jnp.min(s.counts)):g}")
    return scatter_cdnv(s, exponent, ddof)


@jax.jit
def scatter_nc1(s: Scatter) -> jax.Array:
    """`nc1` of a Scatter."""
    inverse = pseudo_inverse(*_coordinates(s))
    scaled = jnp.matmul(inverse, s.deviations, precision=HIGHEST)
    equal_means = jnp.where(jnp.any(s.deviations != 0), jnp.inf, jnp.zeros_like(s.unit))
    return measured(s, jnp.where(jnp.any(inverse != 0), jnp.sum(s.shares[None, :] * scaled**2), equal_means))


@jax.jit
def scatter_rank(s: Scatter) -> jax.Array:
    """Number of directions that the centred class means of a Scatter occupy, beyond what rounding can have made."""
    coordinates, floor = _coordinates(s)
    lengths = jnp.linalg.svd(jax.lax.stop_gradient(coordinates), compute_uv=False)
    return measured(s, jnp.sum(lengths > floor, dtype=lengths.dtype))


@jax.jit
def scatter_traces(s: Scatter) -> tuple[jax.Array, jax.Array]:
    """Traces of S_W and S_B, in squared units."""
    within, between = jnp.sum(s.shares[None, :] * s.deviations**2), jnp.sum(s.centred**2) / s.centred.shape[1]
    return measured(s, within), measured(s, between)


@jax.jit
def scatter_vci(s: Scatter) -> jax.Array:
    """`vci` of a Scatter."""
    dim, classes = s.centred.shape
    coordinates, floor = _coordinates(s)
    per_class = jnp.sqrt(jnp.asarray(classes, floor.dtype))
    root = (s.deviations * jnp.sqrt(s.shares)[None, :]).T
    return measured(s, unexplained(coordinates / per_class, root, floor / per_class) / min(dim, classes - 1))


@partial(jax.jit, static_argnums=2)
def scatter_cdnv(s: Scatter, exponent: Any = 1.0, ddof: int = 0) -> jax.Array:
    """`cdnv` of a Scatter."""
    K = s.counts.size
    v = s.variances if ddof == 0 else s.variances * s.counts / (s.counts - ddof)

    def row(own: tuple[jax.Array, ...]) -> jax.Array:
        # Differences before squares: close means dominate the answer and would cancel in |m_j|^2 + |m_k|^2 - 2 m_j.m_k.
        k, mean, variance = own
        others = jnp.arange(K) != k
        apart = s.centred - mean[:, None]
        squares = jnp.where(others, jnp.sum(jnp.where(jnp.abs(apart) <= s.rounding[:, None], 0, apart) ** 2, axis=0), 1)
        # 0^r has no slope for r below 1
        powers = jnp.where(squares == 0, 0, jnp.where(squares == 0, 1, squares) ** exponent)
        return jnp.sum(jnp.where(others, ratio(variance + v, 2 * powers), 0))

    total = jnp.sum(jax.lax.map(row, (jnp.arange(K), s.centred.T, v)))
    return measured(s, total / (K * (K - 1)) * s.unit ** (2 - 2 * exponent))


@jax.jit
def ratio(a: jax.Array, b: jax.Array) -> jax.Array:
    """a / b of non-negative numbers, with 0/0 = 0."""
    return jnp.where(b == 0, jnp.where(a == 0, 0, jnp.inf), a / jnp.where(b == 0, 1, b))


def _coordinates(s: Scatter) -> tuple[jax.Array, jax.Array]:
    """C in the K - 1 coordinates it can occupy, and singular values up to which it is rounding.

    C a = 0 for the weights a of g, which a reflection takes to the first axis. The floor is relative to C and, since C is a
    difference of class means, to the rows before that difference was taken.
    """
    a = s.weights / jnp.linalg.norm(s.weights)
    found = s.centred[:, 1:] - s.centred[:, :1] * (a[1:] / (1 + a[0]))[None, :]
    still = jax.lax.stop_gradient(found)
    relative = float(jnp.finfo(found.dtype).eps) * max(s.centred.shape) * jnp.linalg.norm(still, 2)
    noise = jnp.sqrt(jnp.sum(s.rounding**2)) + jnp.sqrt(jnp.asarray(found.shape[1], found.dtype)) * jnp.max(s.rounding)
    return found, jnp.maximum(relative, noise)
