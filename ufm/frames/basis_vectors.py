"""Equiangular basis vectors: any number of unit vectors whose |cosines| stay below a threshold (Shen et al. 2023).

The published objective is sum_{j != k} relu(|<u_j, u_k>| - threshold), by up to 1e5 steps of gradient descent. Its zeros
are those of the sum of squares f = sum relu(.)^2, whose least value 0 is known beforehand: so every step can have Polyak's
length, here 3 f / |grad f|^2 (2 is Newton's for a squared distance), and a dozen do.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from ufm.base.checks import check_count, check_key, check_positive, is_traced, refuse
from ufm.base.status import Status
from ufm.frames.classical import orthogonal_frame
from ufm.frames.figures import HIGHEST, coherence, line_bound, welch_bound
from ufm.frames.frame import Frame
from ufm.frames.search import FrameSearch

_RELAXATION = 3.0
_CELLS = 2**22  # cosines held at once


def equiangular_basis(
    vectors: int,
    dim: int,
    threshold: float,
    key: jax.Array,
    *,
    tolerance: float = 1e-4,
    max_steps: int = 10_000,
    dtype: Any = None,
) -> FrameSearch:
    """K unit vectors in d dimensions with |<u_j, u_k>| <= threshold + tolerance for all pairs.

    Cosines are held a block of rows at a time, so that memory is K d and not K^2. Thresholds within a few per cent
    of the bound are `grassmannian`'s work.

    Args:
      vectors: K, at least 2; for K <= d the answer is the orthonormal frame.
      dim: d, at least 1.
      threshold: at least `line_bound(vectors, dim)`, below which no vectors exist, and below 1.
      key: of the random start.
      tolerance: the published stopping rule allows 1e-4 above the threshold.
      max_steps: after which the best frame seen is returned as NOT_REACHED.
      dtype: of the answer; None is JAX's default float.

    Returns:
      FrameSearch with the coherence achieved.

    Raises:
      ValueError: naming the argument, the value and what is allowed; for a threshold below the bound, the bound.

    Source: Shen, Sun and Wei (2023), Equiangular basis vectors, CVPR; step length: Polyak (1969).
    """
    check_key("key", key)
    bound = line_bound(vectors, dim)
    check_count("vectors", vectors, 2)
    check_positive("tolerance", tolerance)
    check_count("max_steps", max_steps, 1)
    if not is_traced(threshold) and not bound <= threshold < 1:
        name = "Welch" if bound == welch_bound(vectors, dim) else "orthoplex" if bound == (1 / dim) ** 0.5 else "Levenshtein"
        least = f"{math.ceil(1e4 * bound) / 1e4:g}"
        refuse("threshold", threshold, f"below 1 and at least {least}, the {name} bound of {vectors} vectors in {dim} dimensions")
    dtype = jnp.result_type(float) if dtype is None else jax.dtypes.canonicalize_dtype(dtype)
    if vectors <= dim:
        frame = orthogonal_frame(vectors, dim, dtype)
        return FrameSearch(frame, coherence(frame.vectors), jnp.asarray(0), jnp.asarray(int(Status.REACHED)))
    start = jax.random.normal(key, (dim, vectors), dtype)
    U, largest, steps = _descend(start, jnp.asarray(threshold, dtype), jnp.asarray(tolerance, dtype), max_steps)
    status = jnp.where(largest <= threshold + tolerance, int(Status.REACHED), int(Status.NOT_REACHED))
    status = jnp.where(jnp.isfinite(largest), status, int(Status.NON_FINITE))
    return FrameSearch(Frame(U), largest, steps, status)


@jax.jit
def _descend(start: jax.Array, threshold: jax.Array, tolerance: jax.Array, max_steps: Any) -> tuple:
    """Polyak's steps from a start; the best frame met, its coherence, and the number of steps."""

    def unit(U: jax.Array) -> jax.Array:
        return U / jnp.linalg.norm(U, axis=0, keepdims=True)

    def proceed(loop: tuple) -> jax.Array:
        *_, lowest, steps = loop
        return (lowest > threshold + tolerance) & (steps < max_steps)

    def advance(loop: tuple) -> tuple:
        U, (f, gradient, _), best, lowest, steps = loop
        gradient = gradient - jnp.sum(gradient * U, axis=0, keepdims=True) * U
        slope = jnp.sum(gradient**2)
        U = unit(U - jnp.where(slope > 0, _RELAXATION * f / jnp.where(slope > 0, slope, 1), 0) * gradient)
        excess = _excess(U, threshold)
        return U, excess, jnp.where(excess[2] < lowest, U, best), jnp.fmin(excess[2], lowest), steps + 1

    U = unit(start)
    excess = _excess(U, threshold)
    *_, best, lowest, steps = lax.while_loop(proceed, advance, (U, excess, U, excess[2], jnp.asarray(0)))
    return best, lowest, steps


def _excess(U: jax.Array, threshold: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """f = sum_{j != k} relu(|<u_j, u_k>| - threshold)^2, its gradient, and the largest |<u_j, u_k>|, block by block."""
    dim, vectors = U.shape
    block = min(vectors, max(1, _CELLS // vectors))
    blocks = -(-vectors // block)
    # columns that fill the last block are zero: their cosines are 0 and exceed nothing
    columns = jnp.pad(U, ((0, 0), (0, blocks * block - vectors))).reshape(dim, blocks, block)

    def of_block(i: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        cosines = jnp.matmul(columns[:, i].T, U, precision=HIGHEST)
        own = (i * block + jnp.arange(block))[:, None] == jnp.arange(vectors)[None, :]
        sizes = jnp.where(own, 0, jnp.abs(cosines))
        above = jax.nn.relu(sizes - threshold)
        return jnp.sum(above**2), 4 * jnp.matmul(U, (jnp.sign(cosines) * above).T, precision=HIGHEST), jnp.max(sizes)

    f, gradients, largest = lax.map(of_block, jnp.arange(blocks))
    gradient = jnp.moveaxis(gradients, 0, 1).reshape(dim, blocks * block)[:, :vectors]
    return jnp.sum(f), gradient, jnp.max(largest)
