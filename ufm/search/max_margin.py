"""The max-margin problem of next-token prediction: where logits go as the ridge vanishes, by Douglas-Rachford with a duality gap.

    L_mm = argmin |L|_*   such that   L_zj = L_z'j  and  L_zj - L_vj >= 1   for z, z' in S_j and v not in S_j

over V x m logits, for the supports S_j of m contexts; |.|_* is the nuclear norm. Weak duality: every M with columns of sum zero,
no entry above zero off the supports, and |M|_2 <= 1 gives

    |L|_* >= <M, L> >= sum_j sum_{z in S_j} M_zj                   for every feasible L,

and M is optimal together with L iff both are equal. The matrix P S (supports as zeros and ones, centred by P = I - 11^T/V) is
feasible with every margin 1; it is the solution if its polar factor U V^T has no entry above zero off the supports, and only if,
where rank(P S) is as large as the numbers of distinct tokens less one and of distinct contexts allow.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ufm.base.checks import check_count, check_positive, check_tolerance, is_traced, refuse
from ufm.base.precision import full_precision
from ufm.base.programs import make_room_for
from ufm.base.status import Status

_BETWEEN_CHECKS = 10


class MaxMargin(NamedTuple):
    """The solution of the max-margin problem, with the proof of how good it is.

    logits: (V, m), feasible and centred. value: |logits|_*. dual: (V, m), an M as in the module's description.
    lower_bound: what M certifies; value - lower_bound is the duality gap. steps: of Douglas-Rachford. status: a `ufm.Status`.
    """

    logits: jax.Array
    value: jax.Array
    dual: jax.Array
    lower_bound: jax.Array
    steps: jax.Array
    status: jax.Array


@full_precision
def max_margin(supports: Any, *, tolerance: float | None = None, max_steps: int = 10_000, step: float = 1.0) -> MaxMargin:
    """Solve the max-margin problem by Douglas-Rachford, with both proximal steps exact.

    X = the nearest feasible logits to Z, Y = 2X - Z with singular values lowered by `step` (never below zero), Z <- Z + Y - X.
    (X - Z)/step is in the dual cone at every step, so that each iterate bounds the minimum from both sides. Starts at P S and
    its polar factor, and ends there where that is the solution.

    Args:
      supports: (V, m) booleans, or zeros and ones, which tokens can follow each context. Floating ones set the dtype.
      tolerance: on (value - lower_bound) / max(1, lower_bound); by default 1e-10 in float64 and 1e-5 in float32.
      max_steps: at most so many steps.
      step: gamma above, in units of logits (margins are 1).

    Returns:
      MaxMargin.

    Raises:
      ValueError: for an empty support or entries other than 0 and 1; naming the argument, the value and what is allowed.

    Source:
      Program: Zhao, Behnia, Vakilian, Thrampoulidis 2024, arXiv 2408.15417; algorithm and certificate derived.
    """
    S = _known_supports(supports)
    dtype = S.dtype if jnp.issubdtype(S.dtype, jnp.floating) else jnp.result_type(float)
    if tolerance is None:
        tolerance = 1e-10 if dtype == jnp.float64 else 1e-5
    check_tolerance(tolerance, dtype)
    check_count("max_steps", max_steps, 1)
    check_positive("step", step)
    make_room_for(S)
    return _douglas_rachford(S > 0, *(jnp.asarray(np.asarray(x, dtype)) for x in (tolerance, step)), jnp.asarray(max_steps))


@full_precision
def centred_supports(supports: Any) -> jax.Array:
    """P S: zeros and ones of the supports with the mean of each column taken off, feasible with every margin 1.

    Args:
      supports: (V, m) booleans, or zeros and ones.

    Returns:
      (V, m).

    Raises:
      ValueError: for an empty support or entries other than 0 and 1.
    """
    S = _known_supports(supports)
    return _centred(S if jnp.issubdtype(S.dtype, jnp.floating) else S.astype(jnp.result_type(float)))


@full_precision
def support_excess(supports: Any) -> jax.Array:
    """The largest entry off the supports of the polar factor of P S: at most zero proves that P S is the max-margin solution.

    Args:
      supports: (V, m) booleans, or zeros and ones.

    Returns:
      Scalar; rounding is about 1e-15 in float64. -inf where every support holds all tokens.

    Raises:
      ValueError: for an empty support or entries other than 0 and 1.

    Source:
      Derived, from the optimality conditions of the max-margin problem; cf. Thrampoulidis, Kini, Vakilian, Behnia 2022 (one-hot).
    """
    centred = centred_supports(supports)
    return jnp.max(jnp.where(_known_supports(supports) > 0, -jnp.inf, _polar_factor(centred)))


@full_precision
def dual_bound(matrix: Any, supports: Any) -> tuple[jax.Array, jax.Array]:
    """The nearest matrix of the dual cone, scaled to |M|_2 <= 1, and its lower bound on the nuclear norm of feasible logits.

    Args:
      matrix: (V, m), any; near the optimum the polar factor of the logits, or minus the gradient of the loss over the price.
      supports: (V, m) booleans, or zeros and ones.

    Returns:
      (M of shape (V, m), sum_j sum_{z in S_j} M_zj). No feasible logits have a nuclear norm below it.

    Raises:
      ValueError: for shapes that differ, an empty support or entries other than 0 and 1.
    """
    S = _known_supports(supports)
    if np.shape(matrix) != S.shape:
        raise ValueError(f"matrix must have the shape {S.shape} of the supports, got {np.shape(matrix)}")
    M = jnp.asarray(matrix)
    return _bound(M + _nearest_feasible(-M, S > 0, 0), S > 0)  # Moreau: the cone is polar to the feasible directions


def check_supports(supports: Any) -> np.ndarray:
    """Supports as a NumPy array of booleans (V, m).

    Raises:
      ValueError: for another shape, V < 2, entries other than 0 and 1, or an empty column.
    """
    S = np.asarray(supports)
    if S.ndim != 2 or S.shape[0] < 2 or S.shape[1] < 1:
        raise ValueError(f"supports must have shape (V, m) with V >= 2 and m >= 1, got {S.shape}")
    if not np.all((S == 0) | (S == 1)):
        refuse("supports", S, "zeros and ones")
    if not S.any(axis=0).all():
        refuse("supports", S, "one token or more in every column")
    return S.astype(bool)


def _known_supports(supports: Any) -> jax.Array:
    if not is_traced(supports):
        check_supports(supports)
    return jnp.asarray(supports)


@jax.jit
def _douglas_rachford(supports: jax.Array, tolerance: jax.Array, step: jax.Array, max_steps: jax.Array) -> MaxMargin:
    start = _centred(supports.astype(step.dtype))

    def advance(_: int, Z: jax.Array) -> jax.Array:
        X = _nearest_feasible(Z, supports, 1)
        U, s, Vt = jnp.linalg.svd(2 * X - Z, full_matrices=False)
        return Z + (U * jnp.maximum(s - step, 0)[None, :]) @ Vt - X

    def examine(Z: jax.Array, best: MaxMargin) -> MaxMargin:
        X = _nearest_feasible(Z, supports, 1)
        M, bound = _bound((X - Z) / step, supports)
        L = _centred(X)
        value = jnp.sum(jnp.linalg.svd(L, compute_uv=False))
        lower, higher = value < best.value, bound > best.lower_bound
        best = best._replace(logits=jnp.where(lower, L, best.logits), value=jnp.where(lower, value, best.value))
        return best._replace(dual=jnp.where(higher, M, best.dual), lower_bound=jnp.where(higher, bound, best.lower_bound))

    def unfinished(best: MaxMargin) -> jax.Array:
        return best.value - best.lower_bound > tolerance * jnp.maximum(1, best.lower_bound)

    def proceed(loop):
        Z, steps, best = loop
        return unfinished(best) & (steps <= max_steps) & jnp.all(jnp.isfinite(Z))

    def round_of(loop):
        Z, steps, best = loop
        best = examine(Z, best._replace(steps=steps))
        return lax.fori_loop(0, _BETWEEN_CHECKS, advance, Z), steps + _BETWEEN_CHECKS, best

    zero = jnp.asarray(0)
    nothing = MaxMargin(start, jnp.full_like(step, jnp.inf), jnp.zeros_like(start), jnp.zeros_like(step), zero, zero)
    Z, _, best = lax.while_loop(proceed, round_of, (start - step * _polar_factor(start), zero, nothing))
    status = jnp.where(unfinished(best), int(Status.MAX_STEPS), int(Status.CONVERGED))
    return best._replace(status=jnp.where(jnp.all(jnp.isfinite(Z)), status, int(Status.NON_FINITE)))


def _nearest_feasible(Z: jax.Array, supports: jax.Array, margin: int) -> jax.Array:
    """The nearest X with X = s_j on the support of column j and at most s_j - margin off it.

    With b the entries off the support plus the margin, in falling order, and t_i the mean of the support and the first i of them,
    s_j = max_i t_i: the distance pays for every b above s, so that none of the t_i is beyond its minimum, which is one of them.
    """
    count = jnp.sum(supports, axis=0)
    b = -jnp.sort(jnp.where(supports, jnp.inf, -Z - margin), axis=0)
    total = jnp.sum(jnp.where(supports, Z, 0), axis=0)[None, :] + jnp.cumsum(b, axis=0)
    means = total / (count[None, :] + jnp.arange(1, Z.shape[0] + 1)[:, None])
    s = jnp.maximum(jnp.max(means, axis=0), jnp.sum(jnp.where(supports, Z, 0), axis=0) / count)[None, :]
    return jnp.where(supports, s, jnp.minimum(Z, s - margin))


def _bound(M: jax.Array, supports: jax.Array) -> tuple[jax.Array, jax.Array]:
    """M of the dual cone scaled to |M|_2 <= 1, and its bound less what rounding may have added."""
    M = M / jnp.maximum(1, jnp.linalg.svd(M, compute_uv=False)[0])
    terms = jnp.where(supports, M, 0)
    return M, jnp.sum(terms) - 8 * jnp.finfo(M.dtype).eps * jnp.sum(jnp.abs(terms))


def _polar_factor(A: jax.Array) -> jax.Array:
    """U V^T of the thin singular value decomposition, over the singular values that are not rounding."""
    U, s, Vt = jnp.linalg.svd(A, full_matrices=False)
    present = s > 4 * max(A.shape) * jnp.finfo(A.dtype).eps * jnp.maximum(s[0], 1)
    return (U * present[None, :]) @ Vt


def _centred(A: jax.Array) -> jax.Array:
    return A - jnp.mean(A, axis=0, keepdims=True)
