"""Gaussian starts of any number of samples, drawn in pooled coordinates: N = 10^12 costs what N = 10 does.

h_i = mean_(y_i) + A g_i with g_i ~ N(0, I_d) independent (A = sigma I for one number sigma) is in law, with nu = N - K,

    x_k = sqrt(n_k) mean_k + A xi_k,    R = A L,    L L^T ~ Wishart_d(nu, I),

xi_k standard normal and L the d x min(d, nu) lower-trapezoidal factor of Bartlett 1933 (nu < d: Srivastava 2003): independent
N(0, 1) below its diagonal and chi(nu - j), j = 0, 1, ..., on it. The reduction to these coordinates is derived.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ufm.base.checks import check_count, check_key, check_shape, is_traced, refuse
from ufm.equivalent.columns import pooled_problem
from ufm.problem import Problem

_PROPOSALS = 12


def wishart_factor(key: jax.Array, degrees: Any, dim: int, columns: int | None = None) -> jax.Array:
    """L of shape (dim, columns) with L L^T ~ Wishart_dim(degrees, I): the factor of Bartlett 1933.

    Args:
      key: a random key.
      degrees: nu, up to 10^12 and beyond (draw in float64 where its fluctuations matter); may be traced if `columns` is given.
      dim: d.
      columns: min(d, nu), worked out where nu is known.

    Returns:
      (dim, columns) array of the dtype of `degrees`, lower-trapezoidal with a positive diagonal.

    Raises:
      ValueError: if dim is no count, nu is traced without `columns`, or `columns` is not min(d, nu).
    """
    check_key("key", key)
    check_count("dim", dim, 1)
    if not is_traced(degrees):
        if not np.isfinite(degrees) or degrees < 0 or degrees != np.round(degrees):
            refuse("degrees", degrees, "a whole number of at least 0")
        rank = int(min(dim, degrees))
        columns = rank if columns is None else columns
        if columns != rank:
            refuse("columns", columns, f"min(dim, degrees), {rank}")
    elif columns is None:
        refuse("columns", columns, "given where degrees is traced: it is min(dim, degrees)")
    degrees = jnp.asarray(degrees, jnp.result_type(degrees) if is_traced(degrees) else float)
    normal_key, uniform_key = jax.random.split(key)
    normal = jax.random.normal(normal_key, (dim + _PROPOSALS, columns), degrees.dtype)
    uniform = jax.random.uniform(uniform_key, (1 + _PROPOSALS, columns), degrees.dtype)
    chi = _chi(degrees - jnp.arange(columns), normal[dim:], uniform)
    return jnp.tril(normal[:dim], -1) + jnp.eye(dim, columns, dtype=degrees.dtype) * chi[None, :]


def _chi(degrees: jax.Array, normal: jax.Array, uniform: jax.Array) -> jax.Array:
    """chi(degrees) variables of shape (columns,), by rejection from normal proposals (Marsaglia and Tsang 2000).

    chi^2 = 2 a (1 + y)^3 with y = x / sqrt(9 a), a = degrees/2 - 1/3, accepted where log u < h(x); 0.95 and more of the
    proposals are, so that one in 10^16 variables finds none among its 12. One degree has U^2 times the chi^2 of 3.

    Args:
      degrees: (columns,), at least 1.
      normal: (12, columns). uniform: (13, columns), the first row for single degrees.
    """
    a = jnp.where(degrees < 2, degrees + 2, degrees) / 2 - 1 / 3
    y = normal / jnp.sqrt(9 * a)[None, :]
    inside = y > -1
    safe = jnp.where(inside, y, 0)
    # h = x^2/2 + a (1 - (1 + y)^3 + 3 log(1 + y)), where the first three orders of y cancel
    series = -(y**4) * (3 / 4 - y * (3 / 5 - y * (3 / 6 - y * (3 / 7 - y * 3 / 8))))
    direct = 4.5 * safe**2 + 3 * jnp.log1p(safe) - 3 * safe - 3 * safe**2 - safe**3
    h = a[None, :] * jnp.where(jnp.abs(y) < 0.01, series, direct)
    first = jnp.argmax(inside & (jnp.log(uniform[1:]) < h), axis=0)
    chi2 = 2 * a * (1 + jnp.take_along_axis(safe, first[None, :], axis=0)[0]) ** 3
    return jnp.sqrt(chi2) * jnp.where(degrees < 2, uniform[0], 1)


def draw_pooled(
    problem: Problem,
    key: jax.Array,
    means: Any,
    sigma: Any,
    *,
    prior: tuple[Any, Any] | None = None,
    residuals: int | None = None,
) -> tuple[Problem, jax.Array]:
    """The pooled problem and a Gaussian start of all its samples, in law that of `pool_samples` from explicit ones.

    Args:
      problem: squared error with one weight and one column a class, column k of multiplicity n_k: 10^12 samples in 4
        classes are `Problem.from_targets(jnp.eye(4), widths, multiplicity=2.5e11)`. Without a proximity term, or with one
        whose H0 `prior` replaces.
      key: a random key.
      means: (d, K) means of the classes' features, zeros for a plain random start.
      sigma: a number, or the (d, d) matrix A.
      prior: (means, sigma) of an independent Gaussian H0, for the proximity term.
      residuals: r = min(d, N - K), or min(2d, N - K) with a prior; worked out where class sizes are known.

    Returns:
      (Problem, H): H of shape (d, K + r).

    Raises:
      ValueError: for another loss or features, fractional class sizes, traced ones without `residuals`, or shapes that do
        not fit.
    """
    check_key("key", key)
    d, classes = problem.widths[0], problem.columns
    degrees = _degrees(problem)
    laws = [("means", "sigma", means, sigma)]
    if prior is not None:
        laws.append(("the means of prior", "the sigma of prior", *prior))
    for name, spread_name, mean, spread in laws:
        check_shape(name, mean, (d, classes))
        if np.ndim(spread):
            check_shape(spread_name, spread, (d, d))
    factor_key, normal_key = jax.random.split(key)
    normal = jax.random.normal(normal_key, (len(laws), d, classes), problem.dtype)
    L = wishart_factor(factor_key, degrees, d * len(laws), residuals).astype(problem.dtype)
    drawn = []
    for i, (_, _, mean, spread) in enumerate(laws):
        mean, spread = jnp.asarray(mean, problem.dtype), jnp.asarray(spread, problem.dtype)
        noise = jnp.concatenate([normal[i], L[i * d : (i + 1) * d]], axis=1)
        noise = spread @ noise if spread.ndim else spread * noise
        drawn.append(noise.at[:, :classes].add(mean * jnp.sqrt(problem.multiplicity)[None, :]))
    return pooled_problem(problem, L.shape[1], H0=drawn[1] if prior is not None else None), drawn[0]


def lift_samples(problem: Problem, key: jax.Array, H: jax.Array, labels: Any) -> jax.Array:
    """Features of m chosen samples at any time of a pooled run, drawn afterwards: exact in law, jointly over time.

    The rows that samples have in the residual basis are those of a Haar matrix independent of the start: with
    C = I - [y_i = y_j]/n_(y_i), G standard normal (m x r) and T^T T = G^T G + Wishart_r(nu - m), T upper triangular,

        q = C^(1/2) G T^-1,    h_i = x_(y_i) / sqrt(n_(y_i)) + R(t) q_i^T.

    Args:
      problem: the one given to `draw_pooled`, of one column a class.
      key: the same key chooses the same samples: at other times, or of H0 in the place of H.
      H: (d, K + r) pooled columns at some time.
      labels: (m,) classes of the samples; m is at most N - K, and at most n_k for class k.

    Returns:
      (d, m) features, not scaled.

    Raises:
      ValueError: for more samples than there are, classes that are none, or a shape of H that does not fit.
    """
    check_key("key", key)
    if is_traced(problem.multiplicity):
        refuse("multiplicity", "traced values", "known class sizes")
    degrees, classes = _degrees(problem), problem.columns
    labels = np.asarray(labels)
    if labels.ndim != 1 or labels.size == 0 or labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() >= classes:
        refuse("labels", labels, f"a list of classes from 0 to {classes - 1}")
    counts = np.asarray(problem.multiplicity, float)
    if labels.size > degrees or np.any(np.bincount(labels, minlength=classes) > counts):
        refuse("labels", labels, f"at most N - K = {degrees:g} samples, and no more of a class than it has")
    if H.ndim != 2 or H.shape[0] != problem.widths[0] or H.shape[1] <= classes:
        raise ValueError(f"H must have shape ({problem.widths[0]}, {classes} + residuals), got {H.shape}")
    m, rank = labels.size, H.shape[1] - classes
    normal_key, factor_key = jax.random.split(key)
    G = jax.random.normal(normal_key, (m, rank), float)
    Q, T = jnp.linalg.qr(jnp.concatenate([G, wishart_factor(factor_key, degrees - m, rank).T]))
    rows = Q[:m] * jnp.sign(jnp.diag(T))[None, :]
    size, vectors = np.linalg.eigh(np.eye(m) - (labels[:, None] == labels[None, :]) / counts[labels][:, None])
    rows = ((vectors * np.sqrt(np.maximum(size, 0))) @ vectors.T) @ rows
    means = H[:, :classes][:, labels] / np.sqrt(counts[labels])[None, :].astype(H.dtype)
    return means + H[:, classes:] @ rows.astype(H.dtype).T


def _degrees(problem: Problem) -> Any:
    """N - K, from whole class sizes of one column each."""
    if len(problem.groups) != problem.columns:
        refuse("groups", problem.groups, "one column a class (see Problem.collapsed)")
    if is_traced(problem.multiplicity):
        return jnp.sum(problem.multiplicity) - problem.columns
    counts = np.asarray(problem.multiplicity, float)
    if np.any(counts != np.round(counts)):
        refuse("multiplicity", problem.multiplicity, "whole class sizes")
    return float(counts.sum() - counts.size)
