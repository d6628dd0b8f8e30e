"""Softmax with squares in place of exponentials: log-spherical and log-Taylor softmax."""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp

from ufm.losses.loss import Loss, proved
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
    value = LogSpherical(parameter("eps", eps, "a number above 0", lambda x: x > 0))
    return proved(f"log_spherical({value.eps:g})", value, symmetric=True, targets=value.targets)


def log_taylor() -> Loss:
    """Log-Taylor softmax of order two, -log[T(z_t)/sum_k T(z_k)] with T(z) = 1 + z + z^2/2; neither convex nor shift-invariant.

    Source: de Brebisson, Vincent 2016, arXiv 1511.05042.
    """
    return LOG_TAYLOR


@dataclass(frozen=True)
class LogSpherical:
    """-log[(z_t^2 + eps)/sum_k (z_k^2 + eps)], a function of (z, y)."""

    targets: ClassVar[str] = "one-hot"
    teacher: ClassVar[bool] = False

    eps: float

    def __call__(self, z: jax.Array, y: jax.Array) -> jax.Array:
        """The loss of logits (K,) against a one-hot target."""
        return _log_share(z**2 + self.eps, y)


def taylor_softmax(z: jax.Array, y: jax.Array) -> jax.Array:
    """The loss of `log_taylor`, a function of (z, y)."""
    return _log_share(0.5 + 0.5 * (1 + z) ** 2, y)


def _log_share(scores: jax.Array, y: jax.Array) -> jax.Array:
    """-log of the true class's share of positive scores, right where that share is close to one."""
    top, own = split(scores, y)
    return jnp.log1p(jnp.sum(jnp.where(top, 0, scores)) / own)


LOG_TAYLOR = proved("log_taylor", taylor_softmax, symmetric=True, targets="one-hot")
