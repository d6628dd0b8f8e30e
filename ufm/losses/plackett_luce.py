"""Plackett-Luce distillation: the student learns the teacher's order of the classes, the true class first.

    PLD(z, (y, t)) = sum_k q_{pi_k} (logsumexp(z_{pi_k}, ..., z_{pi_K}) - z_{pi_k}),    q = softmax(t/temperature)

along pi: the true class, then the others by decreasing teacher logit. Classes of equal teacher logits have no order; in
the mean over their orders the classes left over at some stage are L + A, with L the classes below the tied ones G and A
any of the subsets of G of one size, all alike:

    sum over G, s = 1 .. |G| of   q_G  mean over |A| = s of   logsumexp(z_L, z_A) - mean(z_A)
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ufm.base.checks import check_choice, check_positive, is_traced, refuse
from ufm.losses.basic import cross_entropy
from ufm.losses.loss import Loss, proved

_MOST_CLASSES = 10


def pld(temperature: float = 1.0, ties: str = "average") -> Loss:
    """Plackett-Luce distillation (formula in the module docstring): convex, shift-invariant, no value below 0.

    Args:
      temperature: of q. ties: classes of equal teacher logits in the "average" over their orders (K of at most 10) or in
        that of their "index", which breaks the symmetry between them.

    Returns:
      Loss of y = (target, teacher), without a known conjugate.

    Raises:
      ValueError: naming the argument, the value and what is allowed; for K > 10 with ties="average" when it is evaluated.

    Source: Bassam, Zhu and Bian (2025), arXiv 2506.12542; the average over ties is ours.
    """
    check_choice("ties", ties, ("average", "index"))
    if is_traced(temperature):
        refuse("temperature", "traced", "a known number: it is part of the compiled program")
    check_positive("temperature", temperature)
    value = PlackettLuce(float(temperature), ties)
    facts: dict[str, Any] = {"convex": True, "shift_invariant": True, "symmetric": ties == "average"}
    return proved("pld", value, **facts, targets=value.targets, teacher=value.teacher)


@dataclass(frozen=True)
class PlackettLuce:
    """The loss of `pld`, a function of (z, (y, t))."""

    targets: ClassVar[str] = "one-hot"
    teacher: ClassVar[bool] = True

    temperature: float
    ties: str

    def __call__(self, z: jax.Array, y: Any) -> jax.Array:
        """The loss of logits (K,) against (target, teacher)."""
        target, teacher = y
        q = jax.nn.softmax(teacher / self.temperature)
        first = jnp.arange(z.shape[0]) == jnp.argmax(target)
        if self.ties == "average":
            return jnp.sum(jnp.where(first, q, 0)) * cross_entropy(z, target) + _mean_over_orders(z, teacher, q, first)
        order = jnp.argsort(jnp.where(first, -jnp.inf, -teacher), stable=True)
        return jnp.sum(q[order] * (lax.cumlogsumexp(z[order], reverse=True) - z[order]))


def _mean_over_orders(z: jax.Array, teacher: jax.Array, q: jax.Array, first: jax.Array) -> jax.Array:
    """The terms of all classes but the first: every subset of classes with the share of orders in which it is left over."""
    K = z.shape[0]
    if K > _MOST_CLASSES:
        refuse("classes", K, f'at most {_MOST_CLASSES} where ties are averaged (ties="index" has no limit)')
    subsets = np.array([[bool(code >> k & 1) for k in range(K)] for code in range(1, 2**K)])
    ways = np.array([[math.comb(m, s) if s <= m else 1 for s in range(K + 1)] for m in range(K + 1)], dtype=float)
    level = jnp.max(jnp.where(subsets, teacher[None, :], -jnp.inf), axis=1, keepdims=True)
    below = (teacher[None, :] < level) & ~first[None, :]
    tied = (teacher[None, :] == level) & ~first[None, :]
    left = subsets & tied
    possible = ~jnp.any(subsets & first[None, :], axis=1) & jnp.all(~below | subsets, axis=1)
    sizes = jnp.sum(left, axis=1)
    share = jnp.where(possible, 1 / jnp.asarray(ways, z.dtype)[jnp.sum(tied, axis=1), sizes], 0)
    top = jnp.max(jnp.where(subsets, q[None, :], 0), axis=1)
    total = jax.nn.logsumexp(jnp.where(subsets, z[None, :], -jnp.inf), axis=1)
    mean = jnp.sum(jnp.where(left, z[None, :], 0), axis=1) / jnp.maximum(sizes, 1)
    return jnp.sum(jnp.where(possible, share * top * (total - mean), 0))
