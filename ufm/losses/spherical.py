"""Softmax with squares in place of exponentials: log-spherical and log-Taylor softmax."""

from functools import lru_cache

import jax
import jax.numpy as jnp

from ufm.losses.loss import Loss
from ufm.losses.margins import parameter, split


def log_spherical(eps: float = 1e-2) -> Loss:
    """Log-spherical softmax, -log[(z_t^2 + eps)/sum_k (z_k^2 + eps)]; neither convex nor shift-invariant.

    Args:
      eps: above 0.

    Raises:
      ValueError: for another eps.

    Source: de Brebisson, Vincent 2016, An exploration of softmax alternatives belonging to the spherical loss family,
    arXiv 1511.05042.
    """
    return _log_spherical(parameter("eps", eps, "a number above 0", lambda x: x > 0))


def log_taylor() -> Loss:
    """Log-Taylor softmax of order two, -log[T(z_t)/sum_k T(z_k)] with T(z) = 1 + z + z^2/2; neither convex nor shift-invariant.

    Source: de Brebisson, Vincent 2016, arXiv 1511.05042.
    """
    return _LOG_TAYLOR


@lru_cache
def _log_spherical(eps: float) -> Loss:
    def value(z: jax.Array, y: jax.Array) -> jax.Array:
        return _log_share(z**2 + eps, y)

    return Loss(f"log_spherical({eps:g})", value, targets="one-hot", kind="log_spherical", parameters=(eps,))


def _taylor(z: jax.Array, y: jax.Array) -> jax.Array:
    return _log_share(0.5 + 0.5 * (1 + z) ** 2, y)


def _log_share(scores: jax.Array, y: jax.Array) -> jax.Array:
    """-log of the true class's share of positive scores, right where that share is close to one."""
    top, own = split(scores, y)
    return jnp.log1p(jnp.sum(jnp.where(top, 0, scores)) / own)


_LOG_TAYLOR = Loss("log_taylor", _taylor, targets="one-hot", kind="log_taylor")
