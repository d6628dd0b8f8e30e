"""NC2 and GNC2, uniformity: how equal in length and how evenly spread K vectors are, simplex or not.

All take vectors as the columns of a (d, K) array: `centred_means(...)`, or W.T of a classifier. Pairs go row by row, so that no
K x K x d array is made, and K = 10,000 fits.

    equinorm         std/mean of the lengths                       0 for equal lengths
    log_equinorm     statistics of the log lengths                 variance 0 for equal lengths
    cosines          statistics over pairs of cos(x_j, x_k)        -1/(K-1) and variance 0 for the simplex
    equiangularity   mean over pairs of |cos(x_j, x_k) + 1/(K-1)|  0 for the simplex
    gnc2             statistics over pairs of a kernel of |u_j - u_k|, u_k = x_k/|x_k|

The one-vs-rest distance of Jiang et al. (2024) is a figure of frames: `ufm.frames.one_vs_rest_distance`.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from ufm.base.checks import check_choice, check_count, check_finite, is_traced, refuse
from ufm.metrics.geometry import column_norms, columns, root, unit_columns
from ufm.metrics.inputs import power_of_two
from ufm.metrics.samples import HIGHEST

KERNELS = ("distance", "log", "riesz")


class Statistics(NamedTuple):
    """Mean, variance and coefficient of variation std/mean, whose sign is the mean's.

    The last says nothing where the mean is near zero, as logarithms' may be; it is zero without variance, else infinity, at
    mean zero.
    """

    mean: jax.Array
    variance: jax.Array
    cov: jax.Array


def equinorm(vectors: ArrayLike, *, ddof: int = 0) -> jax.Array:
    """Coefficient of variation of the lengths, std_k |x_k| / mean_k |x_k|.

    Elsewhere: the package neural-collapse takes the variance with ddof = 1; `nc2_equinormness` of nc-toolbox is a mean of signed
    differences of logarithms, in which spread cancels.

    Args:
      vectors: columns, shape (d, K).
      ddof: 0 or 1, of the variance.

    Returns:
      Scalar, at least zero; 0 if all vectors are zero.

    Raises:
      ValueError: for vectors of another shape, or a ddof other than 0 or below K.

    Source: Papyan, Han and Donoho (2020).
    """
    vectors = _vectors(vectors, ddof)
    return statistics(column_norms(vectors), ddof).cov


def log_equinorm(vectors: ArrayLike, *, ddof: int = 0) -> Statistics:
    """Statistics of the logarithms of lengths: the variance is free of scale, the mean and std/mean are not.

    Args:
      vectors: columns, shape (d, K).
      ddof: 0 or 1, of the variance.

    Returns:
      Statistics; the variance is infinite where some vectors but not all are zero, and the mean -infinity.

    Raises:
      ValueError: for vectors of another shape, or a ddof other than 0 or below K.

    Source: Wu and Papyan (2024), who report std/mean.
    """
    return _log_equinorm(_vectors(vectors, ddof), ddof)


def cosines(vectors: ArrayLike, members: Any = None) -> Statistics:
    """Statistics over pairs j < k of cos(x_j, x_k), the variance over all pairs (ddof 0).

    The standard deviation is the equiangularity of Papyan, Han and Donoho (2020). With `members` the minority classes, the mean
    is what tells minority collapse: it goes to 1 (Fang et al. 2021).

    Args:
      vectors: columns, shape (d, K); a zero vector has cosine 0 with all.
      members: truth values of shape (K,), at least two of them true: pairs are of these; None is all.

    Returns:
      Statistics.

    Raises:
      ValueError: for vectors or members of another shape, or fewer than two members.

    Source: Papyan, Han and Donoho (2020); Fang et al. (2021); Wu and Papyan (2024), as interference.
    """
    vectors = _vectors(vectors)
    return _cosines(vectors, _members(members, vectors.shape[1]))


def equiangularity(vectors: ArrayLike, *, signed: bool = False) -> jax.Array:
    """Mean over pairs of |cos(x_j, x_k) + 1/(K-1)|, zero for the simplex; signed, without the modulus.

    The signed mean, `nc2_equiangularity` of nc-toolbox, cancels: for unit vectors of sum zero it is zero whatever the angles.

    Args:
      vectors: columns, shape (d, K); a zero vector has cosine 0 with all.
      signed: whether to leave out the modulus.

    Returns:
      Scalar.

    Raises:
      ValueError: for vectors of another shape.

    Source: Papyan, Han and Donoho (2020), as maximal-angle equiangularity; Fang et al. (2021).
    """
    return _equiangularity(_vectors(vectors), signed)


def gnc2(vectors: ArrayLike, kernel: str = "log", exponent: float | None = None) -> Statistics:
    """GNC2, hyperspherical uniformity: statistics over pairs j < k of a kernel of the distance r = |u_j - u_k|.

    "distance": r. "log": log(1/r). "riesz": sign(s) r^-s. For the simplex r = sqrt(2K/(K-1)), and the variance is zero; the
    smaller the mean of the last two (the larger that of the first), the more even the directions, also for K > d + 1.

    Elsewhere: `kernel_stats` of the package neural-collapse, which returns mean and variance from a float32 buffer;
    nc-toolbox gives the mean of "log".

    Args:
      vectors: columns, shape (d, K).
      kernel: "distance", "log" or "riesz".
      exponent: s of "riesz", not zero; None is d - 2. The mean leaves float32 for s beyond 200; std/mean does not.

    Returns:
      Statistics, the variance over all pairs (ddof 0); equal directions make logarithms and positive powers infinite.

    Raises:
      ValueError: for vectors of another shape, an unknown kernel, or an exponent of zero or of another kernel.

    Source: Liu et al. (2023), Generalizing and decoupling neural collapse via hyperspherical uniformity gap; Wu and Papyan (2024).
    """
    vectors = _vectors(vectors)
    check_choice("kernel", kernel, KERNELS)
    if kernel != "riesz" and exponent is not None:
        refuse("exponent", exponent, f"None for the kernel {kernel!r}")
    s = vectors.shape[0] - 2 if exponent is None else exponent
    check_finite("exponent", s)
    if kernel == "riesz" and not is_traced(s) and s == 0:
        refuse("exponent", s, 'other than 0, whose limit is the kernel "log"')
    return _gnc2(vectors, jnp.asarray(s, vectors.dtype), kernel)


def _vectors(vectors: Any, ddof: int = 0) -> jax.Array:
    vectors = columns("vectors", vectors)
    if vectors.shape[1] < 2:
        refuse("vectors", vectors.shape[1], "at least 2 columns")
    check_count("ddof", ddof, 0)
    if ddof >= vectors.shape[1]:
        refuse("ddof", ddof, f"below the {vectors.shape[1]} vectors")
    return vectors


def _members(members: Any, K: int) -> jax.Array:
    if members is None:
        return jnp.ones(K, bool)
    if jnp.shape(members) != (K,) or jnp.asarray(members).dtype != bool:
        raise ValueError(f"members must be truth values of shape ({K},), got {jnp.asarray(members).dtype} {jnp.shape(members)}")
    if not is_traced(members) and np.sum(members) < 2:
        refuse("members", int(np.sum(members)), "at least 2 of the vectors")
    return jnp.asarray(members)


@partial(jax.jit, static_argnums=1)
def statistics(x: jax.Array, ddof: int = 0) -> Statistics:
    """Statistics of numbers, free of a common offset, whose squares neither under- nor overflow before they must."""
    unit = power_of_two(x)
    x = x / unit
    mean = x[0] + jnp.mean(x - x[0])
    found = with_cov(mean, jnp.sum((x - mean) ** 2) / (x.size - ddof))
    return Statistics(unit * found.mean, unit**2 * found.variance, found.cov)


def with_cov(mean: jax.Array, variance: jax.Array) -> Statistics:
    """Statistics with the std/mean that follows."""
    std = root(variance)
    return Statistics(mean, variance, jnp.where(mean == 0, jnp.where(std == 0, 0, jnp.inf), std / jnp.where(mean == 0, 1, mean)))


@partial(jax.jit, static_argnums=1)
def _log_equinorm(vectors: jax.Array, ddof: int) -> Statistics:
    lengths = column_norms(vectors)
    dead = lengths == 0
    some = statistics(jnp.log(jnp.where(dead, 1, lengths)), ddof)
    none = jnp.where(jnp.all(dead), 0, jnp.inf).astype(lengths.dtype)
    return jax.tree.map(lambda x, y: jnp.where(jnp.any(dead), y, x), some, Statistics(jnp.full_like(none, -jnp.inf), none, -none))


@jax.jit
def _cosines(vectors: jax.Array, members: jax.Array) -> Statistics:
    u = unit_columns(vectors)
    return with_cov(*_over_pairs(u, members, lambda own, others: jnp.matmul(own, u, precision=HIGHEST)))


@partial(jax.jit, static_argnums=1)
def _equiangularity(vectors: jax.Array, signed: bool) -> jax.Array:
    u, target = unit_columns(vectors), -1 / (vectors.shape[1] - 1)

    def deviation(own: jax.Array, others: jax.Array) -> jax.Array:
        apart = jnp.matmul(own, u, precision=HIGHEST) - target
        return apart if signed else jnp.abs(apart)

    return _over_pairs(u, jnp.ones(u.shape[1], bool), deviation)[0]


@partial(jax.jit, static_argnums=2)
def _gnc2(vectors: jax.Array, s: jax.Array, kernel: str) -> Statistics:
    u, K = unit_columns(vectors), vectors.shape[1]
    ideal = jnp.log(jnp.asarray(2 * K / (K - 1), u.dtype)) / 2

    def value(own: jax.Array, others: jax.Array) -> jax.Array:
        squares = jnp.where(others, jnp.sum((u - own[:, None]) ** 2, axis=0), 1)
        if kernel == "distance":
            return root(squares)
        apart = squares != 0
        safe = jnp.where(apart, squares, 1)
        if kernel == "log":
            return jnp.where(apart, -jnp.log(safe) / 2, jnp.inf)
        # over the value at the simplex, so that large powers stay in range there
        return jnp.where(apart, jnp.exp(-s * (jnp.log(safe) / 2 - ideal)), jnp.where(s > 0, jnp.inf, 0))

    mean, variance = _over_pairs(u, jnp.ones(K, bool), value)
    if kernel != "riesz":
        return with_cov(mean, variance)
    scale = jnp.sign(s) * jnp.exp(-s * ideal)
    return Statistics(scale * mean, scale**2 * variance, jnp.sign(s) * with_cov(mean, variance).cov)


def _over_pairs(u: jax.Array, members: jax.Array, value: Any) -> tuple[jax.Array, jax.Array]:
    """Mean and variance over pairs of members of value(u_j, mask of the others), row by row."""
    count = jnp.sum(members)

    def row(own: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        k, vector = own
        others = members & (jnp.arange(members.size) != k)
        values = jnp.where(others, value(vector, others), 0)
        mean = jnp.sum(values) / (count - 1)
        finite = jnp.where(jnp.isinf(mean), 0, mean)
        return mean, jnp.sum(jnp.where(others, (values - finite) ** 2, 0)) / (count - 1)

    means, variances = jax.lax.map(row, (jnp.arange(members.size), u.T))
    mean = jnp.sum(jnp.where(members, means, 0)) / count
    apart = jnp.where(members & jnp.isfinite(means), means - jnp.where(jnp.isinf(mean), 0, mean), 0)
    return mean, jnp.sum(jnp.where(members, variances, 0) + apart**2) / count
