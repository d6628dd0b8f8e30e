"""How far features have moved, and the strength of the proximity term that moves its minimiser as far.

Features of two layers have no common coordinates: scale, rotation and width are taken out before they are compared.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ufm.base.checks import check_positive
from ufm.features.proximity_model import Moments, checked, curvature, minimise, moments_of

_REACH = 12
_TRIES = 60


def movement(H0: Any, H1: Any) -> float:
    """Relative distance of two sets of features of the same samples, whatever their scale, rotation and width.

    min over Q with orthonormal rows or columns of | Q H1/|H1| - H0/|H0| | = sqrt(2 - 2 |H0 H1^T|_* / (|H0| |H1|))

    Args:
      H0: (d0, N), H1: (d1, N).

    Returns:
      From 0 to sqrt(2).

    Raises:
      ValueError: if the numbers of samples differ, or features are all zero.
    """
    H0, H1 = np.asarray(H0, float), np.asarray(H1, float)
    if H0.shape[1] != H1.shape[1]:
        raise ValueError(f"H0 and H1 must be features of the same samples, got {H0.shape[1]} and {H1.shape[1]} of them")
    sizes = np.linalg.norm(H0) * np.linalg.norm(H1)
    if sizes == 0:
        raise ValueError("features that are all zero have no direction to move in")
    return _distance(float(np.linalg.norm(H0 @ H1.T, "nuc") / sizes))


def fit_beta(
    H0: Any, H1: Any, labels: Any, l2_W: float, l2_H: float, *, samples_axis: int | None = None
) -> tuple[float, bool]:
    """beta for which the minimiser next to H0 has moved, by `movement`, as far as the features H1 have.

    Only the distance is fitted: where the minimiser goes, and so its NC1, is the model's own prediction.

    Args:
      H0: (d0, N) features of a layer. H1: (d1, N) features of the next one. labels: (N,).
      l2_W, l2_H: plain ridges, above zero.
      samples_axis: 1 where H0 and H1 are as said, 0 where they are (N, d0) and (N, d1); None is 1, and refused where one is square.

    Returns:
      beta, and whether the distances are equal; if not, beta is at the end of a range around s/N (s the curvature within classes)
      of twelve powers of e either side.

    Raises:
      ValueError: naming the argument, the value and what is allowed.
    """
    check_positive("l2_W", l2_W)
    check_positive("l2_H", l2_H)
    H1 = checked(H1, labels, samples_axis)[0]
    H0, labels = checked(H0, labels, samples_axis)
    wanted = movement(H0, H1)
    ridges = jnp.asarray([l2_W, l2_H], H0.dtype)
    moments = moments_of(H0, labels, ridges[0], classes=int(labels.max()) + 1)

    def excess(log_beta: float) -> float:
        numbers = jnp.asarray([l2_W, l2_H, np.exp(log_beta)], H0.dtype)
        W, _ = minimise(moments, numbers)
        return _distance(float(_overlap(W, moments, numbers))) - wanted

    middle = float(np.log(curvature(labels, l2_W, l2_H) / H0.shape[1]))
    log_beta, matched = _decreasing_root(excess, middle, 1e-6 * wanted)
    return float(np.exp(log_beta)), matched


def _decreasing_root(f: Callable[[float], float], middle: float, tolerance: float) -> tuple[float, bool]:
    """A root of a decreasing function near `middle` by the Illinois rule, or the end of the range where there is none."""
    x, y = middle, f(middle)
    side = 1.0 if y > 0 else -1.0
    for _ in range(_REACH):
        kept, f_kept = x, y
        x = x + side
        y = f(x)
        if y * side <= 0:
            break
    else:
        return x, False
    for _ in range(_TRIES):
        new = (kept * y - x * f_kept) / (y - f_kept)
        value = f(new)
        if abs(value) <= tolerance:
            return new, True
        if value * y < 0:
            kept, f_kept = x, y
        else:
            f_kept = f_kept / 2
        x, y = new, value
    return x, True


def _distance(cosine: float) -> float:
    return float(np.sqrt(max(0.0, 2 - 2 * cosine)))


@jax.jit
def _overlap(W: jax.Array, moments: Moments, numbers: jax.Array) -> jax.Array:
    """|H0 H^T|_* / (|H0| |H|) for the best H of W, from the moments."""
    _, l2_H, beta = numbers
    N = jnp.sum(moments.counts)
    A = W.T @ W + N * (l2_H + beta) * jnp.eye(W.shape[1], dtype=W.dtype)
    B = N * beta
    cross = jnp.linalg.solve(A, W.T @ moments.S + B * moments.G)
    WS = W.T @ moments.S
    second = W.T @ (moments.counts[:, None] * W) + B * (WS + WS.T) + B**2 * moments.G
    square = jnp.trace(jnp.linalg.solve(A, jnp.linalg.solve(A, second).T))
    return jnp.sum(jnp.linalg.svd(cross, compute_uv=False)) / jnp.sqrt(jnp.trace(moments.G) * square)
