"""One-vs-rest distance of a code, and codes of K > d + 1 unit vectors for which it is as large as possible: softmax codes.

    delta_k = dist(w_k, conv{w_j : j != k}) = max_{|h| <= 1} min_{j != k} <w_k - w_j, h>,     delta = min_k delta_k

The distance is the least norm of a polytope, found exactly by Wolfe's active sets of at most d + 1 vertices: a finite
search with a bound from the dual side, the maximum above, for every class.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.scipy.linalg import solve_triangular

from ufm.base.checks import check_count, check_key
from ufm.base.precision import full_precision
from ufm.base.status import Status
from ufm.frames.figures import HIGHEST
from ufm.frames.frame import Frame
from ufm.search.minimum import minimise

_DONE, _EXACT = 32, 1024  # gaps in units of rounding at which a search ends, and up to which its distance is called exact
_TEMPERATURES = (0.5, 0.1, 0.02, 0.004, 1e-3, 2e-4, 5e-5, 1e-5, 2e-6)
_STEPS = 400


class OneVsRest(NamedTuple):
    """Distances of the vectors of a code from the convex hull of all others.

    distance: the least of `distances` (K,). directions: (d, K) unit vectors from the nearest points of the hulls to the
    vectors, the features that a softmax classifier asks for; zero, like the distance, where a vector lies in the hull up to
    rounding. gap: (K,) at most so much is a distance too large. status: (K,) of `ufm.Status`, CONVERGED where the gap is rounding
    and else STALLED: nearly dependent vectors need a longer dtype.
    """

    distance: jax.Array
    distances: jax.Array
    directions: jax.Array
    gap: jax.Array
    status: jax.Array


@full_precision
def one_vs_rest_distance(code: Any) -> OneVsRest:
    """Distance of every vector of a code from the convex hull of the others, exact up to rounding.

    Distances are differentiable, directions are not; O(K d + d^3) for each of some 2 d steps of each class.

    Args:
      code: a `Frame` or an array of shape (d, K), K >= 2; rows of a classifier are the columns of its transpose.

    Returns:
      OneVsRest.

    Raises:
      ValueError: if code is not a matrix of at least two columns.

    Source: Jiang, Zhou, Wang, Qu, Mixon, You, Zhu (2024) for its part in neural collapse; Wolfe (1976) for the search.

    >>> one_vs_rest_distance(jnp.array([[1.0, 0.0, -2.0, 0.0], [0.0, 1.0, 0.0, -1.0]])).distances.round(4).tolist()
    [1.0, 1.0, 2.0, 1.0]
    """
    code = jnp.asarray(code.vectors if isinstance(code, Frame) else code)
    if code.ndim != 2 or code.shape[1] < 2:
        raise ValueError(f"code must have shape (dim, at least 2 vectors), got {code.shape}")
    wide = jnp.promote_types(code.dtype, jnp.float32) if jnp.issubdtype(code.dtype, jnp.floating) else jnp.result_type(float)
    return _one_vs_rest(code.astype(wide))


@full_precision
def softmax_code(vectors: int, dim: int, key: jax.Array, starts: int = 8) -> Frame:
    """A softmax code, found from random starts: K unit vectors in d dimensions whose one-vs-rest distance is as large as possible.

    Classifier rows W and features H on the sphere descend on T log sum_{k, j != k} exp(<w_j - w_k, h_k>/T) while T falls
    from 0.5 to 2e-6; of all starts the code of the largest distance is kept. A search, not a proof, and good to about five
    digits in float64; for K <= d + 1 the answer is `simplex_etf`. The code need not be unique (for d + 2 <= K <= 2 d it is not).

    Args:
      vectors: K, at least 2. dim: d, at least 2. key: of the random starts. starts: how many, at least 1.

    Returns:
      Frame of the vectors, shape (d, K), unit columns, in JAX's default float.

    Raises:
      ValueError: if one of the numbers is not a whole number in its range.

    Source: Jiang, Zhou, Wang, Qu, Mixon, You, Zhu (2024), Generalized neural collapse for a large number of classes.
    """
    check_key("key", key)
    check_count("vectors", vectors, 2)
    check_count("dim", dim, 2)
    check_count("starts", starts, 1)
    codes = anneal_codes(jax.random.normal(key, (starts, 2, dim, vectors)), jnp.ones(vectors, bool))
    distances = lax.map(lambda code: _one_vs_rest(code).distance, codes)
    return Frame(codes[jnp.argmax(distances)])


@full_precision
@jax.jit
def anneal_codes(starts: jax.Array, present: jax.Array) -> jax.Array:
    """Unit codes at the end of the annealing of `softmax_code`, one for each start.

    Args:
      starts: (S, 2, d, K), codes and features to start from, of any lengths; rows that are zero stay zero.
      present: (K,) which of the columns belong to the code; the others come back as they went in, normalised.

    Returns:
      (S, d, K).
    """
    pairs = present[:, None] & present[None, :] & ~jnp.eye(present.shape[0], dtype=bool)

    def unit(pair: jax.Array) -> jax.Array:
        return pair / jnp.linalg.norm(pair, axis=1, keepdims=True)

    def anneal(start: jax.Array) -> jax.Array:
        def cool(pair: jax.Array, temperature: jax.Array) -> tuple[jax.Array, None]:
            def smooth_maximum(pair: jax.Array) -> jax.Array:
                W, H = unit(pair)
                z = H.T @ W
                violations = (z - jnp.diag(z)[:, None]) / temperature
                return temperature * jax.nn.logsumexp(violations, where=pairs)

            return unit(minimise(smooth_maximum, pair, tolerance=1e-7, max_steps=_STEPS).point), None

        return lax.scan(cool, unit(start), jnp.asarray(_TEMPERATURES, starts.dtype))[0][0]

    return lax.map(anneal, starts)


@jax.jit
def _one_vs_rest(code: jax.Array) -> OneVsRest:
    classes = jnp.arange(code.shape[1])

    def one(k: jax.Array) -> tuple:
        points = code - code[:, k][:, None]
        length = lax.stop_gradient(jnp.max(jnp.abs(points)))
        length = jnp.where(length > 0, length, 1)
        points = points / length  # squares of tiny or huge vectors stay away from underflow and overflow
        shares, tangent, gap, status = _nearest_point(lax.stop_gradient(points), classes != k)
        square = jnp.sum(jnp.matmul(points, shares, precision=HIGHEST) ** 2)  # derivatives pass here, shares are optimal
        inside = square <= (_DONE * jnp.finfo(code.dtype).eps) ** 2
        distance = jnp.where(inside, 0, jnp.sqrt(jnp.where(inside, 1, square)))
        return length * distance, jnp.where(inside, 0, -tangent), length * gap, status

    distances, directions, gap, status = lax.map(one, classes)
    return OneVsRest(jnp.min(distances), distances, directions.T, gap, status)


def _nearest_point(X: jax.Array, others: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """Shares (K,) of the convex combination of `others` of least norm, its direction, the gap of its norm, a `ufm.Status`.

    A corral is a set of affinely independent vertices. One step goes towards the point of least norm of its affine hull:
    where that lies in the corral's hull, the vertex furthest below its tangent plane joins; where it does not, the vertex
    whose share comes to zero first is dropped. The norm falls with every change of corral, so that none comes back.
    """
    dim, size = X.shape
    slots = jnp.arange(min(dim + 1, size - 1))
    eps = jnp.finfo(X.dtype).eps
    squares = jnp.where(others, jnp.sum(X**2, axis=0), jnp.inf)

    def proceed(state: tuple) -> jax.Array:
        _, _, _, _, steps, done = state
        return ~done & (steps < 10 * slots.shape[0] + 50)

    def advance(state: tuple) -> tuple:
        corral, used, shares, best, steps, _ = state
        S = jnp.where(used[None, :], X[:, corral], 0)
        # the point of the affine hull nearest to 0: shares in proportion to argmin_u |S u|^2 + (1^T u - 1)^2
        Q, R = jnp.linalg.qr(jnp.concatenate([used.astype(X.dtype)[None], S, jnp.diag(~used).astype(X.dtype)]))
        target = solve_triangular(R, Q[0])
        target = target / jnp.sum(target)
        # its direction from the residual, made orthogonal to the hull to rounding however near to 0 the point is
        residual = jnp.matmul(Q, Q[0], precision=HIGHEST).at[0].add(-1)
        residual = residual - jnp.matmul(Q, residual @ Q, precision=HIGHEST)
        tangent = residual[1 : dim + 1]
        tangent = tangent / jnp.maximum(jnp.linalg.norm(tangent), jnp.finfo(X.dtype).tiny)
        inside = jnp.all(target >= 0)
        # towards the target until the first share is zero
        ratio = jnp.where(target < 0, shares / jnp.where(target < 0, shares - target, 1), jnp.inf)
        first = jnp.argmin(ratio)
        moved = shares + jnp.min(ratio) * (target - shares)
        shares = jnp.where(inside, target, jnp.where(slots == first, 0, jnp.maximum(moved, 0)))
        used = used & (inside | (slots != first))
        norm = jnp.linalg.norm(jnp.matmul(S, shares, precision=HIGHEST))
        heights = jnp.where(others, jnp.matmul(tangent, X, precision=HIGHEST), jnp.inf)
        gap = jnp.maximum(norm - jnp.maximum(jnp.min(heights), 0), 0)
        better = inside & (gap < best[2])
        full = jnp.zeros(size, X.dtype).at[corral].add(shares)
        best = jax.tree.map(lambda new, old: jnp.where(better, new, old), (full, tangent, gap), best)
        join, free = jnp.argmin(heights), jnp.argmin(used)
        known = jnp.any(used & (corral == join)) | jnp.all(used)
        done = (inside & ((gap <= _DONE * eps) | known)) | ~jnp.isfinite(norm)
        grow = inside & ~done
        corral = jnp.where(grow & (slots == free), join, corral)
        used = used | (grow & (slots == free))
        return corral, used, shares, best, steps + 1, done

    corral = jnp.full(slots.shape, jnp.argmin(squares))
    start = (slots == 0).astype(X.dtype)
    nothing = (jnp.zeros(size, X.dtype).at[corral[0]].set(1), jnp.zeros(dim, X.dtype), jnp.asarray(jnp.inf, X.dtype))
    state = (corral, slots == 0, start, nothing, jnp.asarray(0), jnp.asarray(False))
    _, _, _, (shares, tangent, gap), _, _ = lax.while_loop(proceed, advance, state)
    exact = jnp.where(gap <= _EXACT * eps, int(Status.CONVERGED), int(Status.STALLED))
    finite = jnp.all(jnp.isfinite(X))
    return shares, tangent, gap, jnp.where(finite, exact, int(Status.NON_FINITE))
