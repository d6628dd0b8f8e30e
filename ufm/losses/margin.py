"""LDR-KL: the largest penalised margin violation under a Kullback-Leibler ball of label distributions, between CE and hinge.
"""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp

from ufm.losses.conjugates import Conjugate, negative_entropy, sums_to_zero
from ufm.losses.loss import Loss, proved
from ufm.losses.margins import parameter, split


def ldr_kl(margin: float = 1.0, temperature: float = 1.0) -> Loss:
    """Label-distributionally robust loss with a KL penalty, T log[(1/K) sum_k exp((z_k - z_t + m 1{k != t})/T)]; convex.

    It is max_p sum_k p_k (z_k - z_t + m 1{k != t}) - T KL(p | uniform): cross-entropy less log K for T = 1, m = 0, and the
    hinge of Crammer and Singer as T -> 0. Its infimum is -T log K.

    Args:
      margin: m, at least 0. temperature: T, above 0.

    Raises:
      ValueError: for other numbers.

    Source: Zhu, Ying, Yang 2023, Label distributionally robust losses for multi-class classification, arXiv 2112.14869.
    """
    margin = parameter("margin", margin, "a number of at least 0", lambda x: x >= 0)
    value = LdrKl(margin, parameter("temperature", temperature, "a number above 0", lambda x: x > 0))
    facts = {"convex": True, "shift_invariant": True, "contrastive": True, "symmetric": True, "targets": value.targets}
    return proved(f"ldr_kl({margin:g}, {value.temperature:g})", value, Conjugate(value), **facts)


@dataclass(frozen=True)
class LdrKl:
    """T log[(1/K) sum_k exp((z_k - z_t + m 1{k != t})/T)], a function of (z, y)."""

    targets: ClassVar[str] = "one-hot"
    teacher: ClassVar[bool] = False

    margin: float
    temperature: float

    def __call__(self, z: jax.Array, y: jax.Array) -> jax.Array:
        """The loss of logits (K,) against a one-hot target."""
        top, own = split(z, y)
        s = jax.nn.logsumexp(jnp.where(top, -jnp.inf, (z - own + self.margin) / self.temperature))
        return self.temperature * (jax.nn.softplus(s) - jnp.log(1.0 * z.shape[0]).astype(z.dtype))

    def conjugate(self, theta: jax.Array, y: jax.Array) -> jax.Array:
        """T KL(p | uniform) - m (1 - p_t) where p = y + theta is a distribution."""
        p = y + theta
        divergence = negative_entropy(p) + jnp.log(1.0 * p.shape[0]).astype(p.dtype) * jnp.sum(p)
        return jnp.where(sums_to_zero(theta), self.temperature * divergence - self.margin * jnp.sum((1 - y) * p), jnp.inf)
