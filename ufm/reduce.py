"""Exact reductions of samples and widths, with their inverses.

Each reduction takes (problem, params) and returns Reduced(problem, params, lift): gradient flow, gradient descent,
momentum and L-BFGS from `params` run identically in both problems, and `lift` maps points of the small one back.
Updates that look at single entries (Adam, sign methods) break `compress_columns`, `pool_samples` and `narrow_features`.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from ufm.checks import array_module, check_count, is_traced, refuse
from ufm.objective import Params
from ufm.problem import Problem


class Reduced(NamedTuple):
    """A smaller problem, the image of the given point in it, and the map from its points back."""

    problem: Problem
    params: Params
    lift: Callable[[Params], Params]


def merge_columns(problem: Problem, params: Params) -> Reduced:
    """One column for each run of equal columns: exact from equal columns, and always exact for the minimum.

    For fixed weights the objective is strictly convex in every free feature when the loss is convex and l2_H > 0, with
    the same function for columns of equal targets: at each critical point those features are equal (NC1).
    Flows from unequal columns differ; `params` is mapped to the mean features.

    Raises:
      ValueError: under a proximity term, whose centres H0 tell equal columns apart.
    """
    if problem.H0 is not None:
        refuse("H0", "an array", "None: a proximity term tells equal columns apart")
    share = jnp.sqrt(problem.multiplicity / problem.counts[problem.labels])[None, :]

    def lift(p: Params) -> Params:
        return p._replace(H=p.H[:, problem.labels] * share)

    return Reduced(problem.collapsed(), params._replace(H=problem.group_sum(params.H * share)), lift)


def split_columns(problem: Problem, parts: int = 2) -> Problem:
    """Every run of equal columns as `parts` columns of equal shares: within-class variability with few columns.

    The objective of the split problem at columns that stand for equal samples is the objective of the samples, for any
    loss; a share may be a fraction of a sample.

    Raises:
      ValueError: if parts is not a whole number of at least 1.
    """
    check_count("parts", parts, 1)
    merged = problem.collapsed()
    xp = array_module(merged.targets, merged.intercept, merged.weight, merged.multiplicity)
    names = ("targets", "intercept", "weight")
    repeat = {name: jnp.asarray(xp.repeat(xp.asarray(getattr(merged, name)), parts, axis=-1)) for name in names}
    return dataclasses.replace(
        merged,
        multiplicity=jnp.asarray(xp.repeat(xp.asarray(merged.multiplicity) / parts, parts)),
        H0=None if merged.H0 is None else jnp.repeat(merged.H0, parts, axis=-1) / jnp.sqrt(parts * 1.0),
        groups=(parts,) * len(merged.groups),
        **repeat,
    )


def pool_samples(problem: Problem, params: Params) -> Reduced:
    """R1: N samples of an MSE problem as K scaled class means and r pooled within-class residual columns.

    x_k = sqrt(n_k) mean_k keeps target and intercept; the residuals H - X S, of target 0 and intercept 0, are rotated
    jointly with those of H0 into r = min(d, N - K) columns (min(2d, N - K) under a proximity term). Exact from any
    start because the squared Frobenius norm does not see orthogonal mixing of a class's samples.

    Raises:
      ValueError: for another loss, or unequal column weights.
    """
    _require_squared_error(problem)
    merged = problem.collapsed()
    share = jnp.sqrt(problem.multiplicity / problem.counts[problem.labels])[None, :]

    def split(H):
        means = problem.group_sum(H * share)
        return means, H - means[:, problem.labels] * share

    means, residuals = split(params.H)
    means0, residuals0 = (None, None) if problem.H0 is None else split(problem.H0)
    stacked = residuals if residuals0 is None else jnp.concatenate([residuals, residuals0])
    rank = min(stacked.shape[0], problem.columns - len(problem.groups))
    Q = jnp.linalg.svd(stacked, full_matrices=False)[2][:rank].T

    def append(x, value):
        return jnp.concatenate([x, jnp.full((*x.shape[:-1], rank), value, x.dtype)], axis=-1)

    pooled = dataclasses.replace(
        merged,
        targets=append(merged.targets, 0),
        multiplicity=append(merged.multiplicity, 1),
        intercept=append(merged.intercept, 0),
        weight=append(merged.weight, merged.weight[0]),
        H0=None if means0 is None else jnp.concatenate([means0, residuals0 @ Q], axis=1),
        groups=(1,) * len(problem.groups) + ((rank,) if rank else ()),
        design="general",
    )

    def lift(p: Params) -> Params:
        X, R = p.H[:, : len(problem.groups)], p.H[:, len(problem.groups) :]
        return p._replace(H=X[:, problem.labels] * share + R @ Q.T)

    return Reduced(pooled, params._replace(H=jnp.concatenate([means, residuals @ Q], axis=1)), lift)


def compress_columns(problem: Problem, params: Params) -> Reduced:
    """R1b: any MSE problem of C columns as min(C, d + K + 1) columns of unit multiplicity and real intercepts.

    T is an orthonormal basis of the rows of [H; Y sqrt(m); a sqrt(m); H0]; H T, Y sqrt(m) T and a sqrt(m) T evolve as
    the original does, for arbitrary targets.

    Raises:
      ValueError: for another loss, or unequal column weights.
    """
    _require_squared_error(problem)
    root = jnp.sqrt(problem.multiplicity)
    rows = [params.H, problem.targets * root[None, :]]
    if problem.bias != "none":
        rows.append((problem.intercept * root)[None, :])
    if problem.H0 is not None:
        rows.append(problem.H0)
    T = jnp.linalg.qr(jnp.concatenate(rows).T)[0]
    size = T.shape[1]
    reduced = dataclasses.replace(
        problem,
        targets=(problem.targets * root[None, :]) @ T,
        multiplicity=jnp.ones((size,), problem.dtype),
        intercept=(problem.intercept * root) @ T,
        weight=jnp.full((size,), problem.weight[0]),
        H0=None if problem.H0 is None else problem.H0 @ T,
        groups=(1,) * size,
        design="general",
    )
    return Reduced(reduced, params._replace(H=params.H @ T), lambda p: p._replace(H=p.H @ T.T))


def narrow_features(problem: Problem, params: Params) -> Reduced:
    """R2: feature width d as min(d, d_2 + C): only span[W_1^T, H, H0] ever matters, for any loss.

    With Q an orthonormal basis of that span, (W_1 Q, Q^T H) evolve as (W_1, H) do; the lift is W_1 = w Q^T, H = Q x.

    Raises:
      ValueError: for features that are not free of sign constraints (a rotation leaves the orthant).
    """
    if problem.features == "nonnegative":
        refuse("features", problem.features, "'free' or 'sphere' to be rotated")
    bottom = params.weights[0] if params.weights else problem.classifier
    parts = [bottom.T, params.H] + ([] if problem.H0 is None else [problem.H0])
    Q = jnp.linalg.qr(jnp.concatenate(parts, axis=1))[0]
    changes = {"widths": (Q.shape[1], *problem.widths[1:])}
    if problem.H0 is not None:
        changes["H0"] = Q.T @ problem.H0
    if not params.weights:
        changes["classifier"] = problem.classifier @ Q
    weights = tuple(W @ Q if i == 0 else W for i, W in enumerate(params.weights))

    def lift(p: Params) -> Params:
        return p._replace(weights=tuple(W @ Q.T if i == 0 else W for i, W in enumerate(p.weights)), H=Q @ p.H)

    return Reduced(dataclasses.replace(problem, **changes), params._replace(weights=weights, H=Q.T @ params.H), lift)


def _require_squared_error(problem: Problem) -> None:
    if problem.loss.name != "mse":
        refuse("loss", problem.loss.name, "'mse': only the squared error mixes samples orthogonally")
    if problem.features != "free":
        refuse("features", problem.features, "'free' for samples to be mixed")
    if not is_traced(problem.weight) and np.ptp(np.asarray(problem.weight)) > 0:
        refuse("weight", problem.weight, "equal for all columns")
