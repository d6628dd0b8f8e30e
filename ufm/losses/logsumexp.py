"""Cross-entropy with a penalty on the squared log-partition, which language models call z-loss."""

from functools import lru_cache

import jax

from ufm.losses.basic import cross_entropy
from ufm.losses.loss import Loss
from ufm.losses.margins import parameter


def ce_logsumexp(zeta: float) -> Loss:
    """Cross-entropy plus zeta (logsumexp z)^2, which keeps the logits from drifting; convex only where 2 zeta lse >= -1.

    Args:
      zeta: above 0 (1e-4 in PaLM).

    Raises:
      ValueError: for another zeta.

    Source: Chowdhery et al. 2022, PaLM: scaling language modeling with pathways, arXiv 2204.02311.
    """
    return _ce_logsumexp(parameter("zeta", zeta, "a number above 0", lambda x: x > 0))


@lru_cache
def _ce_logsumexp(zeta: float) -> Loss:
    def value(z: jax.Array, y: jax.Array) -> jax.Array:
        return cross_entropy(z, y) + zeta * jax.nn.logsumexp(z) ** 2

    return Loss(f"ce_logsumexp({zeta:g})", value, targets="distribution", kind="ce_logsumexp", parameters=(zeta,))
