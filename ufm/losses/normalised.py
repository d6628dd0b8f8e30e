"""Z-loss: a logistic loss of the z-score of the true logit among the logits of its column."""

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from ufm.losses.loss import Loss, proved
from ufm.losses.margins import parameter, split


def z_loss(slope: float = 1.0, offset: float = 0.0, eps: float = 1e-2) -> Loss:
    """Z-loss, softplus(A (B - (z_t - mean z)/sqrt(var z + eps)))/A with the population variance; not convex.

    With eps = 0 it does not change with the scale of the logits: a ridge then drives them to zero without end and the
    unconstrained feature model has no minimiser. (At z = 0, where that z-score is 0/0, it is taken as 0.) This is not
    what language models call a z-loss, for which see `ce_logsumexp`.

    Args:
      slope: A, above 0. offset: B. eps: at least 0.

    Raises:
      ValueError: for other numbers.

    Source: de Brebisson, Vincent 2016, The Z-loss: a shift and scale invariant classification loss, arXiv 1604.08859.
    """
    slope = parameter("slope", slope, "a number above 0", lambda x: x > 0)
    offset = parameter("offset", offset, "a finite number", lambda x: True)
    value = ZLoss(slope, offset, parameter("eps", eps, "a number of at least 0", lambda x: x >= 0))
    facts: dict[str, Any] = {"shift_invariant": True, "contrastive": value.eps > 0, "symmetric": True, "targets": value.targets}
    return proved(f"z_loss({slope:g}, {offset:g}, {value.eps:g})", value, **facts)


@dataclass(frozen=True)
class ZLoss:
    """softplus(A (B - (z_t - mean z)/sqrt(var z + eps)))/A, a function of (z, y)."""

    targets: ClassVar[str] = "one-hot"
    teacher: ClassVar[bool] = False

    slope: float
    offset: float
    eps: float

    def __call__(self, z: jax.Array, y: jax.Array) -> jax.Array:
        """The loss of logits (K,) against a one-hot target."""
        centred = z - jnp.mean(z)
        variance = jnp.mean(centred**2) + self.eps
        own = split(centred, y)[1]
        score = jnp.where(variance > 0, own / jnp.sqrt(jnp.where(variance > 0, variance, 1)), 0)
        return jax.nn.softplus(self.slope * (self.offset - score)) / self.slope
