"""How the gradients of two losses agree, in the classifier W and in the features H, and the surgery that aligns them.

    -dL/dw_c = sum_{i in c} r_ci h_i (pull) + sum_{i not in c} r_ci h_i (push),          r = -dL/dZ
    -dL/dh_i = r_{y_i i} w_{y_i}     (pull) + sum_{k != y_i} r_ki w_k   (push)

For cross-entropy r is above 0 at the true class and below it elsewhere, always; for a divergence from a
teacher its sign is that of t - z, so that its pull pushes where the student is more certain than the teacher.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from ufm.base.checks import check_shape
from ufm.metrics.geometry import unit
from ufm.metrics.inputs import class_labels, floats, power_of_two, samples_as_columns
from ufm.metrics.samples import HIGHEST


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


def gradient_conflict(
    first: tuple[ArrayLike, ArrayLike], second: tuple[ArrayLike, ArrayLike], *, samples_axis: int | None = None
) -> Conflict:
    """Cosines and conflict rates between the gradients (dL/dW, dL/dH) of two losses.

    Args:
      first, second: pairs of shapes (K, d) and (d, N), or (N, d) with samples_axis=0.
      samples_axis: 1 where gradients in H are (d, N), 0 where they are (N, d); None is (d, N), and refused at N = d.

    Returns:
      Conflict, in at least float32.

    Raises:
      ValueError: if the shapes of the pairs differ or do not fit one another, for what is not finite, and for square gradients in
        H without samples_axis.

    Source: Yang et al. (2024), arXiv 2411.08937, whose question this measures.
    """
    names = ("the gradient in W", "the gradient in H")
    for name, a, b in zip(names, first, second, strict=True):
        check_shape(name, b, jnp.shape(a))
    d = jnp.shape(first[0])[-1]
    pairs = []
    for pair in (first, second):
        W, H = (floats(name, x, shape) for name, x, shape in zip(names, pair, ("(K, d)", "(d, N)"), strict=True))
        samples = [n for n, other in ((H.shape[1], H.shape[0]), H.shape) if other == d] or [H.shape[1]]
        H = samples_as_columns(names[1], H, H.shape[0] if samples_axis == 0 else samples[0], samples_axis)
        check_shape(names[1], H, (d, H.shape[1]))
        pairs.append((W, H))
    (first_W, first_H), (second_W, second_H) = pairs
    rows, columns = _opposed(first_W, second_W, 1), _opposed(first_H, second_H, 0)
    return Conflict(_cosine(first_W, second_W), _cosine(first_H, second_H), rows, columns)


def align_gradients(g_ce: Any, g_kd: Any) -> Any:
    """g_ce + g_kd, where a g_kd that opposes g_ce first loses its component along it; g_ce is never changed.

    g_kd <- g_kd - min(0, <g_kd, g_ce>)/|g_ce|^2 g_ce, with one inner product over all leaves.

    Args:
      g_ce, g_kd: pytrees of one structure and shape.

    Returns:
      The aligned sum, of the same structure and dtypes, with inner products in at least float32; its inner product with g_ce is at
      least |g_ce|^2.

    Raises:
      ValueError: if structures or shapes differ, or a leaf is not finite (under jit that makes all leaves NaN).

    Source: gradient alignment in the code of Yang et al. (2024), arXiv 2411.08937, after Yu et al. (2020), arXiv 2001.06782.
    """
    structure: Any
    other_structure: Any
    leaves, structure = jax.tree.flatten(g_ce)
    others, other_structure = jax.tree.flatten(g_kd)
    if structure != other_structure:
        raise ValueError(f"g_kd must have the structure of g_ce, {structure}, got {other_structure}")
    for i, (a, b) in enumerate(zip(leaves, others, strict=True)):
        check_shape(f"leaf {i} of g_kd", b, jnp.shape(a))
    wide, wide_others = (
        [floats(f"leaf {i} of {name}", x, "any", np.ndim(x)) for i, x in enumerate(xs)]
        for name, xs in (("g_ce", leaves), ("g_kd", others))
    )
    if not wide:
        return g_ce
    unit, other_unit = (power_of_two(jnp.stack([jnp.max(jnp.abs(x)).astype(float) for x in xs])) for xs in (wide, wide_others))
    square = sum(_dot(a / unit, a / unit) for a in wide)
    product = sum(_dot(a / unit, b / other_unit) for a, b in zip(wide, wide_others, strict=True))
    # all of the answer is NaN where one number is
    poison = 0 * (square + product)
    kept = 1 - jnp.minimum(product, 0) / jnp.where(square == 0, 1, square) * (other_unit / unit) + poison
    sums = [(kept * a + b).astype(jnp.result_type(x, y)) for a, b, x, y in zip(wide, wide_others, leaves, others, strict=True)]
    return jax.tree.unflatten(structure, sums)


def pull_push(
    W: ArrayLike, H: ArrayLike, residuals: ArrayLike, labels: Any, *, samples_axis: int | None = None
) -> PullPush:
    """The negative gradients in W and H split into pull (true class) and push (all others).

    Args:
      W: (K, d) classifier. H: (d, N) features, Z = W H. residuals: (K, N), r = -dL/dZ. labels: (N,) integers.
      samples_axis: 1 where H and residuals are as said, 0 where they are (N, d) and (N, K); None is 1, and refused where H or
        residuals are square.

    Returns:
      PullPush, samples as columns, in at least float32; pull_W + push_W = -dL/dW and pull_H + push_H = -dL/dH.

    Raises:
      ValueError: for shapes that do not fit, numbers that are not finite, labels outside 0 .. K-1 (under jit these give NaN), and
        square H or residuals without samples_axis.

    Source: decomposition as in Yang et al. (2024), arXiv 2411.08937.
    """
    W, H = floats("W", W, "(K, d)"), floats("H", H, "(d, N)")
    residuals = floats("residuals", residuals, "(K, N)")
    (K, d), samples = W.shape, np.size(labels)
    if np.shape(labels) not in [(n,) for n in H.shape]:
        samples = H.shape[0 if samples_axis == 0 else 1]
    labels = class_labels(labels, samples, K, every=False)
    H = samples_as_columns("H", H, samples, samples_axis)
    residuals = samples_as_columns("residuals", residuals, samples, samples_axis)
    check_shape("H", H, (d, samples))
    check_shape("residuals", residuals, (K, samples))
    return _pull_push(W, H, jnp.where(jnp.all(labels >= 0), residuals, jnp.nan), labels)


@jax.jit
def _pull_push(W: jax.Array, H: jax.Array, residuals: jax.Array, labels: jax.Array) -> PullPush:
    own = jnp.arange(W.shape[0])[:, None] == labels[None, :]
    pull, push = jnp.where(own, residuals, 0), jnp.where(own, 0, residuals)
    of_W = (jnp.matmul(part, H.T, precision=HIGHEST) for part in (pull, push))
    return PullPush(*of_W, *(jnp.matmul(W.T, part, precision=HIGHEST) for part in (pull, push)))


def _dot(a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.sum(a * b)


@jax.jit
def _cosine(a: jax.Array, b: jax.Array) -> jax.Array:
    """<a, b>/(|a||b|), zero where one of them is."""
    return _dot(unit(a), unit(b))


@partial(jax.jit, static_argnums=2)
def _opposed(a: jax.Array, b: jax.Array, axis: int) -> jax.Array:
    """Share of rows or columns whose inner product, summed over an axis, is negative."""
    products = jnp.sum(a / power_of_two(a) * (b / power_of_two(b)), axis=axis)
    return jnp.where(jnp.any(jnp.isnan(products)), jnp.nan, jnp.mean(products < 0, dtype=products.dtype))
