"""Sparse simplex frames: a random support of given sparsity that carries equal lengths and the simplex's angles (FedLoGe).

The published construction sets a random share of a simplex's entries to zero and then takes 1e4 steps of Adam towards equal
lengths and large angles, which ends near a simplex. Here the Gram matrix itself is fitted, over vectors U on the support
whose sum is zero,

    min |U^T U / norm^2 - K/(K-1) (I - J/K)|_F^2,

by L-BFGS; it ends at 0, in an exact simplex of exactly the sparsity asked for, where nonzero entries outnumber conditions by a
few: nonzeros - dim > K (K - 1)/2 + 5, say (the catalogue's `sparse-etf` has the counting).
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from ufm.base.checks import check_count, check_key, check_positive, is_traced, refuse
from ufm.base.precision import full_precision
from ufm.base.status import Status
from ufm.frames.classical import simplex_etf
from ufm.frames.figures import HIGHEST, coherence
from ufm.frames.frame import Frame
from ufm.frames.search import FrameSearch
from ufm.search.minimum import minimise

_TRIES = 1000
_BLOCK = 100


@full_precision
def sparse_etf(
    classes: int, dim: int, sparsity: float, key: jax.Array, *, norm: Any = 1.0, max_steps: int = 2000, dtype: Any = None
) -> FrameSearch:
    """K vectors of one length at the simplex's angles, with exactly int(sparsity d K) entries zero at random places.

    No row has a single nonzero entry, as no simplex has one: K vectors at its angles sum to zero.

    Args:
      classes: K, at least 2.
      dim: d, at least K - 1.
      sparsity: share of zeros, at least 0 and below 1; with less than two entries a class it is refused.
      key: of the support and of the start.
      norm: length of the vectors (0.1 in the published code).
      max_steps: of L-BFGS.
      dtype: of the answer; None is JAX's default float.

    Returns:
      FrameSearch of shape (d, K); REACHED where all of U^T U / norm^2 is within 1e-6 (1e-4 in float32) of the simplex's.

    Raises:
      ValueError: naming the argument, the value and what is allowed.

    Source: Xiao et al. (2024), FedLoGe: joint local and generic federated learning under long-tailed data, ICLR; exactness derived.
    """
    check_key("key", key)
    check_count("classes", classes, 2)
    check_count("dim", dim, 1)
    check_positive("norm", norm)
    check_count("max_steps", max_steps, 1)
    if dim < classes - 1:
        refuse("dim", dim, f"at least classes - 1 = {classes - 1} for a simplex")
    zeros = int(sparsity * dim * classes) if not is_traced(sparsity) and 0 <= sparsity < 1 else -1
    if zeros < 0 or dim * classes - zeros < 2 * classes:
        most = 1 - 2 / dim
        refuse("sparsity", sparsity, f"a number from 0 to 1 - 2/dim = {most:g}, two entries a class")
    dtype = jnp.result_type(float) if dtype is None else jax.dtypes.canonicalize_dtype(dtype)
    support_key, start_key = jax.random.split(key)
    support = _support(support_key, dim, classes, zeros)
    U, error, steps = _fit(jax.random.normal(start_key, (dim, classes - 1), dtype), support, max_steps)
    met = error <= max(1e-6, 1e3 * float(jnp.finfo(dtype).eps))
    status = jnp.where(met, int(Status.REACHED), int(Status.NOT_REACHED))
    status = jnp.where(jnp.isfinite(error), status, int(Status.NON_FINITE))
    return FrameSearch(Frame(norm * U), coherence(U), steps, status)


@partial(jax.jit, static_argnums=(1, 2, 3))
def _support(key: jax.Array, dim: int, classes: int, zeros: int) -> jax.Array:
    """(d, K) places of the nonzeros: the largest of random numbers, single ones in a row moved to rows with more.

    Drawn again where two classes share no row, since their cosine would be 0.
    """

    def singles(support: jax.Array) -> jax.Array:
        return jnp.sum(support, axis=1) == 1

    def unfit(loop: tuple) -> jax.Array:
        _, support, tries = loop
        counts = support.astype(float)
        return (tries < _TRIES) & (~jnp.all(jnp.matmul(counts.T, counts) > 0) | jnp.any(singles(support)))

    def draw(loop: tuple) -> tuple:
        key, _, tries = loop
        key, own = jax.random.split(key)
        scores = jax.random.uniform(own, (dim, classes))
        order = jnp.argsort(scores.ravel())
        support = jnp.ones(dim * classes, bool).at[order[:zeros]].set(False).reshape(dim, classes)

        def move(loop: tuple) -> tuple:
            support, moves = loop
            support = support.at[jnp.argmax(singles(support))].set(False)
            room = (jnp.sum(support, axis=1) >= 2)[:, None] & ~support
            place = jnp.unravel_index(jnp.argmax(jnp.where(room, scores, -1)), support.shape)
            return support.at[place].set(True), moves + 1

        def movable(loop: tuple) -> jax.Array:  # where no row has room, singles would wander for ever
            return jnp.any(singles(loop[0])) & (loop[1] < dim * classes)

        return key, lax.while_loop(movable, move, (support, jnp.asarray(0)))[0], tries + 1

    return lax.while_loop(unfit, draw, (key, jnp.zeros((dim, classes), bool), jnp.asarray(0)))[1]


@jax.jit
def _fit(start: jax.Array, support: jax.Array, max_steps: Any) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Unit vectors on the support, the largest error of their Gram matrix, and the steps taken."""
    classes, dtype = support.shape[1], start.dtype
    simplex = simplex_etf(classes, dtype=dtype).vectors
    goal = jnp.matmul(simplex.T, simplex, precision=HIGHEST)
    share = support / jnp.maximum(jnp.sum(support, axis=1, keepdims=True), 1).astype(dtype)

    def balanced(X: jax.Array) -> jax.Array:
        return jnp.where(support, X - jnp.sum(share * X, axis=1, keepdims=True), 0)

    def gram_error(X: jax.Array) -> jax.Array:
        U = balanced(X)
        return jnp.matmul(U.T, U, precision=HIGHEST) - goal

    def proceed(loop: tuple) -> jax.Array:
        _, error, before, steps = loop
        return (error > 64 * jnp.finfo(dtype).eps) & (error < 0.9 * before) & (steps < max_steps)

    # the value tends to 0 and no gradient is small against it: blocks of steps end where the error is rounding
    def advance(loop: tuple) -> tuple:
        X, error, _, steps = loop
        block = jnp.minimum(_BLOCK, max_steps - steps)
        found = minimise(lambda X: jnp.sum(gram_error(X) ** 2), X, tolerance=0.0, max_steps=block)
        return found.point, jnp.max(jnp.abs(gram_error(found.point))), error, steps + found.steps

    X = jnp.linalg.qr(start)[0] @ simplex
    X, error, _, steps = lax.while_loop(proceed, advance, (X, *(jnp.asarray(x, dtype) for x in (1e3, jnp.inf)), jnp.asarray(0)))
    return balanced(X), error, steps
