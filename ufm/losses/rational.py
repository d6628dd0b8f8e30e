"""StableMax: softmax whose exponential is replaced by a function of linear growth, so that float32 never saturates."""

import jax
import jax.numpy as jnp

from ufm.losses.basic import cross_entropy
from ufm.losses.loss import Loss, proved


def stablemax() -> Loss:
    """StableMax cross-entropy, -sum_k y_k log[s(z_k)/sum_j s(z_j)], s(x) = x + 1 for x >= 0 and 1/(1 - x) below.

    It is cross-entropy at g(z) with g(x) = sign(x) log(1 + |x|); neither convex nor shift-invariant.

    Source: Prieto, Barsbey, Mediano, Birdal 2025, Grokking at the edge of numerical stability, arXiv 2501.04697.
    """
    return STABLEMAX


def signed_log(x: jax.Array) -> jax.Array:
    """sign(x) log(1 + |x|), of slope 1 at zero."""
    above = x >= 0
    return jnp.where(above, jnp.log1p(jnp.where(above, x, 0)), -jnp.log1p(jnp.where(above, 0, -x)))


def stablemax_cross_entropy(z: jax.Array, y: jax.Array) -> jax.Array:
    """The loss of `stablemax`, a function of (z, y)."""
    return cross_entropy(signed_log(z), y)


STABLEMAX = proved("stablemax", stablemax_cross_entropy, symmetric=True, targets="distribution")
