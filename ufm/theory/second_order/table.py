"""The spectrum of the Hessian at a critical point of rank r in closed form: two single values and five 2 x 2 blocks.

In units of w, the weight of a sample over N (lW, lH, c, s as in `cases`, B = beta/w of a proximity term, T = s + n/s):

    within classes   seen by the classifier   s + B                                     r K (n-1)
                     unseen                   lH + B                                    (d-r) K (n-1)
    symmetric        scale, norms, angles     [[s+B, (1-2c) sqrt n], [., n/s]]          r (r+1)/2
    antisymmetric    rotations in the span    [[s+B, sqrt n], [., n/s]]                 r (r-1)/2
    out of the span  rotations of the frame   [[lH+B, -c sqrt n], [., n lW]]            r (d-r)
    class space      rotations of the classes [[s+B, -sqrt n], [., n/s]]                r (K-r)
    dormant          dead directions          [[lH+B, -sqrt n], [., n lW]]              (d-r) (K-r)

For B = 0 the second to fourth kind of block have determinant zero, the first 4 c (1-c) n, the last (c^2 - 1) n. Learning
rates (e_W, e_H) turn a block [[p, q], [q, t]] into [[e_H p, sqrt(e_H e_W) q], [., e_W t]].
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ufm.problem import Problem
from ufm.theory.statements.spectra import Spectrum


class Numbers(NamedTuple):
    """n, the samples of a class, and w, lW, lH, c, s and B (formulas in the module docstring)."""

    n: int
    w: jax.Array
    lW: jax.Array
    lH: jax.Array
    c: jax.Array
    s: jax.Array
    B: jax.Array


def numbers(problem: Problem) -> Numbers:
    """The numbers that the closed forms are written in."""
    n, w = problem.columns // problem.classes, problem.weight[0] / problem.samples
    lW, lH = problem.l2_W[0] / (n * w), problem.l2_H / w
    return Numbers(n, w, lW, lH, jnp.sqrt(lH * lW), jnp.sqrt(lH / lW), problem.beta / w)


def block(p: jax.Array, q: jax.Array, t: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The lower and the upper eigenvalue of [[p, q], [q, t]]."""
    spread = jnp.sqrt((p - t) ** 2 / 4 + q**2)
    return (p + t) / 2 - spread, (p + t) / 2 + spread


def spectrum(problem: Problem, rank: jax.Array, rate_W: jax.Array | float = 1.0, rate_H: jax.Array | float = 1.0) -> Spectrum:
    """The 12 eigenvalues of diag(rates) times the Hessian of f at a critical point of rank r (see the module docstring).

    Args:
      problem: as `cases.PLAIN` asks, with H0 equal to H at the point where beta is not zero.
      rank: r. rate_W, rate_H: learning rates of W and H.
    """
    K, d, r = problem.classes, problem.widths[0], rank
    n, w, lW, lH, c, s, B = numbers(problem)
    p = rate_H * jnp.stack([s + B, s + B, lH + B, s + B, lH + B])
    q = jnp.sqrt(rate_H * rate_W * n) * jnp.stack([1 - 2 * c, jnp.ones_like(c), -c, -jnp.ones_like(c), -jnp.ones_like(c)])
    t = rate_W * n * jnp.stack([1 / s, 1 / s, lW, 1 / s, lW])
    values = w * jnp.concatenate([p[:1], p[2:3], *block(p, q, t)])
    blocks = [r * (r + 1) // 2, r * (r - 1) // 2, r * (d - r), r * (K - r), (d - r) * (K - r)]
    return Spectrum(values, jnp.stack([r * K * (n - 1), (d - r) * K * (n - 1), *blocks, *blocks]))
