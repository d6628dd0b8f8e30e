"""Exact reductions of columns (samples), with their inverses; `ufm.equivalent.widths` has those of widths.

Each reduction takes (problem, params) and returns Reduced(problem, params, lift): gradient flow, gradient descent,
momentum, L-BFGS and polar-factor steps from `params` run identically in both problems, and `lift` maps points of the
small one back. Updates that look at single entries (Adam, sign methods) break all of them: name the `optimizer` and it is
tried out (`ufm.equivalent.equivariance`). A start with a velocity names it too; `project` gives its coordinates.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ufm.base.checks import array_module, check_count, check_shape, is_traced, known, refuse
from ufm.base.precision import full_precision
from ufm.equivalent.equivariance import check_commutes
from ufm.losses import MSE, check_loss
from ufm.problem import Classes, GeneralColumns, Problem, constant, general, run_starts
from ufm.problem.params import Params, check_order


class Reduced(NamedTuple):
    """A smaller problem, the image of the given point in it, and the map from its points back."""

    problem: Problem
    params: Params
    lift: Callable[..., Params]


@full_precision
def project(reduced: Reduced, point: Params) -> Params:
    """Coordinates in the reduced problem of a point, gradient or velocity of the full one: the adjoint of the lift.

    Args:
      reduced: what a reduction returned.
      point: of the full shapes, in the span that the reduction keeps (a velocity that was named to it is).

    Returns:
      Params of the reduced shapes.
    """
    return jax.vjp(reduced.lift, reduced.params)[1](point)[0]


@full_precision
def merge_columns(
    problem: Problem, params: Params, *, exact: bool = False, optimizer: optax.GradientTransformation | None = None
) -> Reduced:
    """One column for each run of equal columns: exact from equal columns, and always exact for the minimum.

    For fixed weights the objective is strictly convex in every free feature when the loss is convex and l2_H > 0, with
    the same function for columns of equal targets: at each critical point those features are equal (NC1).
    Flows from unequal columns differ (for cross-entropy no reduction of them is known); `params` is mapped to the mean
    features, unless `exact` asks for the same dynamics.

    Args:
      problem: any loss; finer `groups` keep parts of a class apart.
      params: its columns stand for h_c sqrt(m_c).
      exact: refuse starts, and centres H0, whose columns differ within a run.
      optimizer: one to try out.

    Raises:
      ValueError: under a proximity term whose centres tell equal columns apart; for unequal columns where `exact`; for an
        optimiser that does not commute.
    """
    check_order(problem, params)
    if problem.H0 is not None and not exact:
        refuse("H0", "an array", "None: a proximity term tells equal columns apart")
    if exact:
        _require_equal_columns(problem, "params.H", params.H)
        if problem.H0 is not None:
            _require_equal_columns(problem, "H0", problem.H0)

    @full_precision
    def lift(p: Params) -> Params:
        return spread_columns(problem, p)

    merged = params._replace(H=problem.run_means(params.H))
    check_commutes(optimizer, lift, merged)
    return Reduced(problem.collapsed(), merged, lift)


def spread_columns(problem: Problem, params: Params) -> Params:
    """A point of `problem.collapsed()` as one of the problem, with equal features in each run of equal columns."""
    check_order(problem, params)
    return params._replace(H=params.H[:, problem.labels] * problem.root_shares[None, :])


def split_columns(problem: Problem, parts: int = 2) -> Problem:
    """Every run of equal columns as `parts` columns of equal shares: within-class variability with few columns.

    The objective of the split problem at columns that stand for equal samples is the objective of the samples, for any
    loss; a share may be a fraction of a sample.

    Raises:
      ValueError: if parts is not a whole number of at least 1.
    """
    check_count("parts", parts, 1)
    H0 = problem.collapsed().H0
    H0 = None if H0 is None else jnp.repeat(H0, parts, axis=-1) / jnp.sqrt(parts * 1.0)
    return dataclasses.replace(problem, design=problem.design.split(parts), H0=H0)


@full_precision
def pool_samples(
    problem: Problem,
    params: Params,
    *,
    velocity: Params | None = None,
    optimizer: optax.GradientTransformation | None = None,
) -> Reduced:
    """R1: N samples of an MSE problem as K scaled class means and r pooled within-class residual columns.

    x_k = sqrt(n_k) mean_k keeps target and intercept; the residuals H - X S, of target 0 and intercept 0, are rotated
    jointly with those of H0 and of the velocity into r = min(d, N - K) columns (d is 2d with one of H0 and a velocity, 3d
    with both). Exact from any start because the squared Frobenius norm does not see orthogonal mixing of a class's samples,
    nor of residuals of several classes of one weight: classes of other weights have residual columns of their own (all
    classes, where weights are traced and not known to be one).

    Args:
      problem: squared error, free features.
      params: any start.
      velocity: that of a start in motion; only its H matters.
      optimizer: one to try out.

    Raises:
      ValueError: for another loss or features, or an optimiser that does not commute.
    """
    check_order(problem, params)
    _require_squared_error(problem)
    share, labels, runs = problem.root_shares[None, :], problem.labels, len(problem.groups)

    def split(H: jax.Array) -> tuple[jax.Array, jax.Array]:
        means = problem.run_means(H)
        return means, H - means[:, labels] * share

    parts = [split(H) for H in _starts(problem, params, velocity)]
    stacked = known(jnp.concatenate([residuals for _, residuals in parts]))
    xp, bases, firsts = array_module(stacked), [], []
    for pool in _pools(problem):
        columns = np.flatnonzero(np.isin(labels, pool))
        rank = min(stacked.shape[0], columns.size - len(pool))
        basis = xp.linalg.svd(stacked[:, columns], full_matrices=False)[2][:rank].T
        place = np.full(problem.columns, columns.size)
        place[columns] = np.arange(columns.size)
        bases.append(xp.concatenate([basis, xp.zeros((1, rank), stacked.dtype)])[place])
        firsts.append(columns[0])
    Q = jnp.asarray(xp.concatenate(bases, axis=1))

    @full_precision
    def image(means: jax.Array, residuals: jax.Array) -> jax.Array:
        return jnp.concatenate([means, residuals @ Q], axis=1)

    @full_precision
    def lift(p: Params) -> Params:
        return p._replace(H=p.H[:, :runs][:, labels] * share + p.H[:, runs:] @ Q.T)

    merged = dataclasses.replace(problem, H0=None).collapsed()
    H0 = None if problem.H0 is None else image(*parts[1])
    pooled = _append_residuals(merged, [basis.shape[1] for basis in bases], known(problem.weight)[np.array(firsts)], H0)
    small = params._replace(H=image(*parts[0]))
    check_commutes(optimizer, lift, small)
    return Reduced(pooled, small, lift)


def pooled_problem(problem: Problem, residuals: int, *, H0: jax.Array | None = None) -> Problem:
    """The pooled form of a problem of one column a class, which never held its N samples as columns.

    Args:
      problem: squared error with one weight; column k stands for the n_k = multiplicity[k] samples of class k, as in
        `Problem.from_targets(jnp.eye(K), widths, multiplicity=counts)`.
      residuals: how many residual columns to append: min(d, N - K) for any start of N samples, d for their limit.
      H0: (d, K + residuals) centre in pooled coordinates, where the proximity term is on.

    Returns:
      Problem of K + residuals columns.

    Raises:
      ValueError: for another loss or features, unequal weights, a bad count or shape, or an H0 that the problem lacks.
    """
    _require_squared_error(problem)
    _require_equal_weights(problem)
    check_count("residuals", residuals, 0)
    if H0 is not None:
        check_shape("H0", H0, (problem.widths[0], problem.columns + residuals))
    elif problem.H0 is not None:
        refuse("H0", H0, "given in pooled coordinates where the problem has a proximity term")
    return _append_residuals(problem, [residuals], known(problem.weight)[:1], H0)


@full_precision
def compress_columns(
    problem: Problem,
    params: Params,
    *,
    velocity: Params | None = None,
    optimizer: optax.GradientTransformation | None = None,
) -> Reduced:
    """R1b: any MSE problem of C columns as min(C, d + K + 1) columns of unit multiplicity and real intercepts.

    T is an orthonormal basis of the rows of [H; Y sqrt(m); a sqrt(m); H0; V]; H T, Y sqrt(m) T and a sqrt(m) T evolve as
    the original does, for arbitrary targets. H0 and a velocity V add d columns each.

    Raises:
      ValueError: for another loss or features, unequal column weights, or an optimiser that does not commute.
    """
    check_order(problem, params)
    _require_squared_error(problem)
    _require_equal_weights(problem)
    root = jnp.sqrt(problem.multiplicity)
    rows = [*_starts(problem, params, velocity), problem.targets * root[None, :]]
    if problem.bias != "none":
        rows.append((problem.intercept * root)[None, :])
    T = jnp.linalg.qr(jnp.concatenate(rows).T)[0]
    size = T.shape[1]
    design = GeneralColumns(
        table=(problem.targets * root[None, :]) @ T,
        multiplicity=jnp.ones((size,), problem.dtype),
        run_intercept=(problem.intercept * root) @ T,
        run_weight=jnp.full((size,), problem.weight[0]),
        samples=problem.samples,
        run_teacher=None,
        runs=(1,) * size,
    )
    reduced = dataclasses.replace(problem, design=design, H0=None if problem.H0 is None else problem.H0 @ T)

    @full_precision
    def lift(p: Params) -> Params:
        return p._replace(H=p.H @ T.T)

    small = params._replace(H=params.H @ T)
    check_commutes(optimizer, lift, small)
    return Reduced(reduced, small, lift)


def _append_residuals(merged: Problem, sizes: list[int], weights: Any, H0: jax.Array | None) -> Problem:
    """One column a class, then runs of columns of target 0, intercept 0 and multiplicity 1, each of one weight."""
    own, pools = general(merged.design), np.flatnonzero(sizes)

    def append(x: jax.Array, value: Any, size: int) -> jax.Array:
        xp = array_module(x, value)
        return constant(xp.concatenate([xp.asarray(x), xp.broadcast_to(value, (*x.shape[:-1], size))], axis=-1), x.dtype)

    design = GeneralColumns(
        table=append(own.table, 0, len(pools)),
        multiplicity=append(own.multiplicity, 1, sum(sizes)),
        run_intercept=append(own.run_intercept, 0, len(pools)),
        run_weight=append(own.run_weight, weights[pools], len(pools)),
        samples=own.samples,
        run_teacher=None,
        runs=(*own.runs, *(int(sizes[pool]) for pool in pools)),
    )
    return dataclasses.replace(merged, design=design, H0=H0)


def _starts(problem: Problem, params: Params, velocity: Params | None) -> list[jax.Array]:
    """H, then H0 and the velocity's H where there are such."""
    if velocity is not None:
        check_shape("velocity.H", velocity.H, params.H.shape)
    return [params.H] + ([] if problem.H0 is None else [problem.H0]) + ([] if velocity is None else [velocity.H])


def _pools(problem: Problem) -> list[np.ndarray]:
    """Indices of runs whose residuals may be mixed: those of one weight; each alone where weights are not known."""
    runs = np.arange(len(problem.groups))
    if isinstance(problem.design, Classes):
        return [runs]
    run_weight = general(problem.design).run_weight
    if is_traced(run_weight):
        return list(runs[:, None])
    weights = np.asarray(run_weight)
    return [runs[weights == weight] for weight in np.unique(weights)]


def _require_equal_columns(problem: Problem, name: str, H: jax.Array) -> None:
    if is_traced(H, problem.multiplicity):
        return
    features = np.asarray(H) / np.sqrt(np.asarray(problem.multiplicity))[None, :]
    first = features[:, run_starts(problem.groups)[problem.labels]]
    spread, size = np.max(np.abs(features - first)), np.max(np.abs(features))
    if spread > 64 * np.finfo(features.dtype).eps * size:
        refuse(name, H, f"equal for the samples of a run to be merged exactly (they differ by {spread:.1e})")


def _require_squared_error(problem: Problem) -> None:
    check_loss(problem.loss, MSE, ": only the squared error mixes samples orthogonally")
    if problem.features != "free":
        refuse("features", problem.features, "'free' for samples to be mixed")


def _require_equal_weights(problem: Problem) -> None:
    if not is_traced(problem.weight) and np.ptp(np.asarray(problem.weight)) > 0:
        refuse("weight", problem.weight, "equal for all columns")
