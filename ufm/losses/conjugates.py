"""What convex conjugates of losses share: entropies, and the plane on which those of shift-invariant losses are finite."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.special import xlogy


@dataclass(frozen=True)
class Conjugate:
    """The method `conjugate` of a loss function, equal for equal functions (bound methods are equal only for the same one)."""

    of: Any

    def __call__(self, theta: jax.Array, y: Any) -> jax.Array:
        """sup_z <theta, z> - of(z, y)."""
        return self.of.conjugate(theta, y)


def cross_entropy_conjugate(theta: jax.Array, y: jax.Array) -> jax.Array:
    """-entropy(y + theta) where y + theta is a distribution."""
    return jnp.where(sums_to_zero(theta), negative_entropy(y + theta), jnp.inf)


def sums_to_zero(theta: jax.Array) -> jax.Array:
    """Whether theta is orthogonal to 1 up to rounding, outside which a shift-invariant loss has an infinite conjugate."""
    size = jnp.maximum(1, jnp.sum(jnp.abs(theta)))
    return jnp.abs(jnp.sum(theta)) <= 8 * theta.shape[0] * jnp.finfo(theta.dtype).eps * size


def negative_entropy(p: jax.Array) -> jax.Array:
    """sum p log p, +inf where an entry is below zero by more than rounding."""
    inside = jnp.all(p >= -8 * jnp.finfo(p.dtype).eps)
    positive = jnp.maximum(p, 0)
    return jnp.where(inside, jnp.sum(xlogy(positive, jnp.where(positive > 0, positive, 1))), jnp.inf)
