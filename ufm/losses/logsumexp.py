"""Cross-entropy with a penalty on the squared log-partition, which language models call z-loss."""

from dataclasses import dataclass
from typing import ClassVar

import jax

from ufm.losses.basic import cross_entropy
from ufm.losses.loss import Loss, proved
from ufm.losses.margins import parameter


def ce_logsumexp(zeta: float) -> Loss:
    """Cross-entropy plus zeta (logsumexp z)^2, which keeps the logits from drifting; convex only where 2 zeta lse >= -1.

    Args:
      zeta: above 0 (1e-4 in PaLM).

    Raises:
      ValueError: for another zeta.

    Source: Chowdhery et al. 2022, PaLM: scaling language modeling with pathways, arXiv 2204.02311.
    """
    value = CrossEntropyLogsumexp(parameter("zeta", zeta, "a number above 0", lambda x: x > 0))
    return proved(f"ce_logsumexp({value.zeta:g})", value, symmetric=True, targets=value.targets)


@dataclass(frozen=True)
class CrossEntropyLogsumexp:
    """CE(z, y) + zeta (logsumexp z)^2, a function of (z, y)."""

    targets: ClassVar[str] = "distribution"
    teacher: ClassVar[bool] = False

    zeta: float

    def __call__(self, z: jax.Array, y: jax.Array) -> jax.Array:
        """The loss of logits (K,) against a distribution."""
        return cross_entropy(z, y) + self.zeta * jax.nn.logsumexp(z) ** 2
