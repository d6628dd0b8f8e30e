"""How the gradients of two losses agree, in the classifier W and in the features H, and the surgery that aligns them.

    -dL/dw_c = sum_{i in c} r_ci h_i (pull) + sum_{i not in c} r_ci h_i (push),          r = -dL/dZ
    -dL/dh_i = r_{y_i i} w_{y_i}     (pull) + sum_{k != y_i} r_ki w_k   (push)

For cross-entropy r is above 0 at the true class and below it elsewhere, always; for a divergence from a
teacher its sign is that of t - z, so that its pull pushes where the student is more certain than the teacher.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ufm.checks import check_shape, is_traced, refuse


class Conflict(NamedTuple):
    """Cosines between two gradients in W and in H (0 where one is zero), and the shares of rows and columns that conflict.

    A row of W or column of H conflicts where its two gradients have a negative inner product. All are scalars.
    """

    cosine_W: jax.Array
    cosine_H: jax.Array
    rows: jax.Array
    columns: jax.Array


class PullPush(NamedTuple):
    """Parts of -dL/dW (K, d) and of -dL/dH (d, N): pull from the true classes, push from the others."""

    pull_W: jax.Array
    push_W: jax.Array
    pull_H: jax.Array
    push_H: jax.Array


def gradient_conflict(first: tuple[jax.Array, jax.Array], second: tuple[jax.Array, jax.Array]) -> Conflict:
    """Cosines and conflict rates between the gradients (dL/dW, dL/dH) of two losses.

    Args:
      first, second: pairs of shapes (K, d) and (d, N).

    Returns:
      Conflict.

    Raises:
      ValueError: if the shapes of the pairs differ.

    Source: Yang et al. (2024), arXiv 2411.08937, whose question this measures.
    """
    for name, a, b in zip(("the gradient in W", "the gradient in H"), first, second, strict=True):
        check_shape(name, b, jnp.shape(a))
    products = [a * b for a, b in zip(first, second, strict=True)]
    return Conflict(
        *(_cosine(a, b) for a, b in zip(first, second, strict=True)),
        rows=jnp.mean(jnp.sum(products[0], axis=1) < 0, dtype=products[0].dtype),
        columns=jnp.mean(jnp.sum(products[1], axis=0) < 0, dtype=products[1].dtype),
    )


def align_gradients(g_ce: Any, g_kd: Any) -> Any:
    """g_ce + g_kd, where a g_kd that opposes g_ce first loses its component along it; g_ce is never changed.

    g_kd <- g_kd - min(0, <g_kd, g_ce>)/|g_ce|^2 g_ce, with one inner product over all leaves.

    Args:
      g_ce, g_kd: pytrees of one structure and shape.

    Returns:
      The aligned sum, of the same structure; its inner product with g_ce is at least |g_ce|^2.

    Raises:
      ValueError: if structures or shapes differ.

    Source: gradient alignment in the code of Yang et al. (2024), arXiv 2411.08937, after Yu et al. (2020), arXiv 2001.06782.
    """
    leaves, structure = jax.tree.flatten(g_ce)
    others, other_structure = jax.tree.flatten(g_kd)
    if structure != other_structure:
        raise ValueError(f"g_kd must have the structure of g_ce, {structure}, got {other_structure}")
    for i, (a, b) in enumerate(zip(leaves, others, strict=True)):
        check_shape(f"leaf {i} of g_kd", b, jnp.shape(a))
    square, product = sum(map(_dot, leaves, leaves)), sum(map(_dot, leaves, others))
    kept = 1 - jnp.where(square > 0, jnp.minimum(product, 0) / jnp.where(square > 0, square, 1), 0)
    return jax.tree.map(lambda a, b: kept.astype(jnp.result_type(a)) * a + b, g_ce, g_kd)


def pull_push(W: jax.Array, H: jax.Array, residuals: jax.Array, labels: Any) -> PullPush:
    """The negative gradients in W and H split into pull (true class) and push (all others).

    Args:
      W: (K, d) classifier. H: (d, N) features, Z = W H. residuals: (K, N), r = -dL/dZ. labels: (N,) integers.

    Returns:
      PullPush; pull_W + push_W = -dL/dW and pull_H + push_H = -dL/dH.

    Raises:
      ValueError: for shapes that do not fit, or labels outside 0 .. K-1.

    Source: decomposition as in Yang et al. (2024), arXiv 2411.08937.
    """
    K, d = jnp.shape(W)
    check_shape("H", H, (d, jnp.shape(residuals)[1]))
    check_shape("residuals", residuals, (K, jnp.shape(H)[1]))
    check_shape("labels", labels, (jnp.shape(H)[1],))
    if not is_traced(labels) and not np.all((np.asarray(labels) >= 0) & (np.asarray(labels) < K)):
        refuse("labels", labels, f"classes from 0 to {K - 1}")
    own = jnp.arange(K)[:, None] == jnp.asarray(labels)[None, :]
    pull, push = jnp.where(own, residuals, 0), jnp.where(own, 0, residuals)
    return PullPush(pull @ H.T, push @ H.T, W.T @ pull, W.T @ push)


def _dot(a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.sum(a * b)


def _cosine(a: jax.Array, b: jax.Array) -> jax.Array:
    """<a, b>/(|a||b|) of units, so that neither tiny nor huge gradients leave the range of floats."""
    a, b = (x / jnp.where(jnp.max(jnp.abs(x)) > 0, jnp.max(jnp.abs(x)), 1) for x in (a, b))
    size = jnp.sqrt(_dot(a, a) * _dot(b, b))
    return _dot(a, b) / jnp.where(size > 0, size, 1)
