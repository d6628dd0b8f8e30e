"""Exact reductions of widths, with their inverses: only the subspaces that data, features and classifier span ever move.

As in `ufm.equivalent.columns`, each takes (problem, params), returns Reduced(problem, params, lift), and tries out an `optimizer`.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ufm.base.checks import check_positive, check_shape, is_traced, refuse
from ufm.base.precision import full_precision
from ufm.equivalent.columns import Reduced
from ufm.equivalent.equivariance import check_commutes
from ufm.problem import Problem
from ufm.problem.params import Params, check_order, check_params


def spanned_width(classes: int, columns: int) -> int:
    """K + C, the most that a layer of free width uses: the rows of the classifier and the features of the columns span no more."""
    return classes + columns


@full_precision
def narrow_features(
    problem: Problem,
    params: Params,
    *,
    velocity: Params | None = None,
    optimizer: optax.GradientTransformation | None = None,
) -> Reduced:
    """R2: feature width d as min(d, d_2 + C): only span[W_1^T, H, H0] ever matters, for any loss.

    With Q an orthonormal basis of that span, (W_1 Q, Q^T H) evolve as (W_1, H) do; the lift is W_1 = w Q^T, H = Q x.
    A start in motion adds span[V_1^T, V_H] of its velocity.

    Raises:
      ValueError: for features that are not free of sign constraints (a rotation leaves the orthant), or an optimiser that
        does not commute with rotations of the features.
    """
    check_order(problem, params)
    if problem.features == "nonnegative":
        refuse("features", problem.features, "'free' or 'sphere' to be rotated")
    parts = [_bottom(problem, params).T, params.H] + ([] if problem.H0 is None else [problem.H0])
    if velocity is not None:
        check_shape("velocity.H", velocity.H, params.H.shape)
        parts += [velocity.H, *(W.T for W in velocity.weights[:1])]
    reduced = in_feature_span(problem, params, jnp.linalg.qr(jnp.concatenate(parts, axis=1))[0])
    check_commutes(optimizer, reduced.lift, reduced.params)
    return reduced


@full_precision
def in_feature_span(problem: Problem, params: Params, Q: jax.Array) -> Reduced:
    """The problem in feature coordinates Q^T h, for orthonormal columns Q of shape (d, q) that span all that moves.

    Args:
      problem: its H0, if any, has columns in the span.
      params: its W_1^T and H have columns in the span.
      Q: (d, q).

    Returns:
      Reduced, of first width q.
    """
    changes: dict[str, Any] = {"widths": (Q.shape[1], *problem.widths[1:])}
    if problem.H0 is not None:
        changes["H0"] = Q.T @ problem.H0
    if not params.weights and problem.classifier is not None:
        changes["classifier"] = problem.classifier @ Q
    weights = tuple(W @ Q if i == 0 else W for i, W in enumerate(params.weights))

    @full_precision
    def lift(p: Params) -> Params:
        return p._replace(weights=tuple(W @ Q.T if i == 0 else W for i, W in enumerate(p.weights)), H=Q @ p.H)

    return Reduced(dataclasses.replace(problem, **changes), params._replace(weights=weights, H=Q.T @ params.H), lift)


@full_precision
def feature_span(problem: Problem, params: Params) -> jax.Array:
    """Orthonormal basis (d, min(d, d_2 + C)) of span[W_1^T, H]."""
    check_order(problem, params)
    return jnp.linalg.qr(jnp.concatenate([_bottom(problem, params).T, params.H], axis=1))[0]


@full_precision
def narrow_hidden(
    problem: Problem,
    params: Params,
    *,
    tolerance: float | None = None,
    optimizer: optax.GradientTransformation | None = None,
) -> Reduced:
    """R2b: every width at once, by the smallest chain of subspaces that features and classifier reach, for any loss.

    S_j of R^(d_j) are the least with H, H0 in S_0, W_j S_(j-1) in S_j, W_j^T S_j in S_(j-1) and W_M^T R^K in S_(M-1). Gradients
    map S_(j-1) to S_j and vanish beside them, so with orthonormal bases Q_j the w_j = Q_j^T W_j Q_(j-1) evolve on their own and

        W_j(t) = Q_j w_j(t) Q_(j-1)^T + c_j(t) (W_j(0) - Q_j w_j(0) Q_(j-1)^T),    c_j = what the ridge leaves, 1 at the start.

    Hidden layers that start as multiples of isometries collapse to width K + C (to K + d_1 if that is less), at any depth;
    low-rank ones to about their rank; generic dense ones only to d_j <= d_(j+1) + d_(j-1).

    Args:
      problem: free features.
      params: known numbers: ranks are decided on them.
      tolerance: directions of relative size below it are dropped; eps^(2/3) by default.
      optimizer: one to try out.

    Returns:
      Reduced, with lift(params, decay): decay (L,) as `ridge_decay` gives it (H first, not used, then W_1, ...), needed where a
      ridge is above zero and something of W lies beside the subspaces.

    Raises:
      ValueError: for features that are not free, traced params, a point from which some layer never moves, or an optimiser
        that does not commute or does not let the rest decay on its own (normalised steps and polar factors under a ridge).
    """
    check_order(problem, params)
    reduced, rest = in_subspaces(problem, params, invariant_subspaces(problem, params, tolerance=tolerance))
    zeros = np.zeros(problem.factors, problem.dtype)
    idle = jax.tree.map(jnp.zeros_like, params)._replace(weights=rest)
    check_commutes(optimizer, lambda p: reduced.lift(p, zeros), reduced.params, idle, problem.ridges)
    return reduced


@full_precision
def in_subspaces(problem: Problem, params: Params, bases: tuple[jax.Array, ...]) -> tuple[Reduced, tuple[jax.Array, ...]]:
    """The problem in the coordinates of given invariant subspaces, and the parts of the weights beside them.

    Args:
      problem, params: as for `narrow_hidden`.
      bases: orthonormal columns of shape (d_j, q_j), one array a width, as of `invariant_subspaces`; columns of zeros do no harm.

    Returns:
      Reduced of widths q_j, whose lift takes (params, decay), and W_j - Q_j Q_j^T W_j Q_(j-1) Q_(j-1)^T.
    """
    changes: dict[str, Any] = {"widths": tuple(Q.shape[1] for Q in bases)}
    if problem.H0 is not None:
        changes["H0"] = bases[0].T @ problem.H0
    if problem.classifier is not None:
        changes["classifier"] = problem.classifier @ bases[-1]
    tops = (*bases[1:], None)

    def outside(weights: tuple) -> list:
        return [(W if Q is None else Q @ W) @ P.T for W, P, Q in zip(weights, bases, tops, strict=False)]

    inside = tuple((W if Q is None else Q.T @ W) @ P for W, P, Q in zip(params.weights, bases, tops, strict=False))
    rest = tuple(W - V for W, V in zip(params.weights, outside(inside), strict=True))
    needed = not is_traced(problem.l2_W, rest) and any(
        l2 > 0 and _is_beside(R, W) for l2, R, W in zip(np.asarray(problem.l2_W), rest, params.weights, strict=True)
    )

    @full_precision
    def lift(p: Params, decay: Any = None) -> Params:
        if decay is None and needed:
            refuse("decay", None, f"({problem.factors},) factors, as of ridge_decay: the weights beside the subspaces shrink")
        left = jnp.ones((problem.factors,), problem.dtype) if decay is None else jnp.asarray(decay)
        check_shape("decay", left, (problem.factors,))
        weights = (W + left[1 + i] * rest[i] for i, W in enumerate(outside(p.weights)))
        return p._replace(weights=tuple(weights), H=bases[0] @ p.H)

    small = params._replace(weights=inside, H=bases[0].T @ params.H)
    return Reduced(dataclasses.replace(problem, **changes), small, lift), rest


@full_precision
def invariant_subspaces(problem: Problem, params: Params, *, tolerance: float | None = None) -> tuple[jax.Array, ...]:
    """Orthonormal bases of the S_0, ..., S_(M-1) of `narrow_hidden`, grown by sweeps up and down until no rank changes.

    Args, Raises: as for `narrow_hidden`.

    Returns:
      One (d_j, q_j) array a width, features first.
    """
    check_order(problem, params)
    if problem.features != "free":
        refuse("features", problem.features, "'free' to be rotated")
    if is_traced(problem.H0, problem.classifier, params):
        refuse("params", "traced values", "known numbers: ranks depend on them")
    check_params(problem, params)
    tolerance = float(np.finfo(problem.dtype).eps) ** (2 / 3) if tolerance is None else tolerance
    check_positive("tolerance", tolerance)
    chain = [np.asarray(W) for W in (*params.weights, problem.classifier) if W is not None]
    # one scale a matrix: columns scaled one by one would turn rounding errors into directions
    chain = [W / max(np.linalg.norm(W, 2), np.finfo(W.dtype).tiny) for W in chain]
    spaces = [np.zeros((d, 0), problem.dtype) for d in problem.widths]
    for H in (params.H, problem.H0):
        if H is not None:
            spaces[0] = _extended(spaces[0], np.asarray(H), tolerance)
    spaces[-1] = _extended(spaces[-1], chain[-1].T, tolerance)
    ranks = None
    while ranks != (ranks := [S.shape[1] for S in spaces]):
        for j in range(1, len(spaces)):
            spaces[j] = _extended(spaces[j], chain[j - 1] @ spaces[j - 1], tolerance)
        for j in reversed(range(1, len(spaces))):
            spaces[j - 1] = _extended(spaces[j - 1], chain[j - 1].T @ spaces[j], tolerance)
    if 0 in ranks:
        refuse("params", ranks, "a start that moves: features or classifier must reach every layer, with ranks above 0")
    return tuple(map(jnp.asarray, spaces))


def _bottom(problem: Problem, params: Params) -> jax.Array:
    return params.weights[0] if params.weights or problem.classifier is None else problem.classifier


def _is_beside(rest: jax.Array, W: jax.Array) -> bool:
    """Whether what is left of W beside the subspaces is more than rounding."""
    left, whole = np.max(np.abs(np.asarray(rest))), np.max(np.abs(np.asarray(W)))
    return bool(left > np.finfo(W.dtype).eps ** (2 / 3) * whole)


def _extended(basis: np.ndarray, block: np.ndarray, tolerance: float) -> np.ndarray:
    """The orthonormal basis with the directions of the block that are not in its span, by size relative to the block's."""
    size = np.linalg.norm(block, 2) if block.size else 0.0
    if size == 0:
        return basis
    beside = block / size
    for _ in range(2):
        beside = beside - basis @ (basis.T @ beside)
    U, s, _ = np.linalg.svd(beside, full_matrices=False)
    return np.concatenate([basis, U[:, s > tolerance]], axis=1)
