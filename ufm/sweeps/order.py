"""The order of lanes: lanes that need many steps first, and beside their like.

A batch of searches lasts as long as its slowest lane, and the last chunks of a sweep must not be the long ones.
"""

import jax
import jax.numpy as jnp

from ufm.objective import column_weights
from ufm.problem import Problem


def difficulty(problem: Problem) -> jax.Array:
    """How many steps a search may need, in no unit: grows with t = |G(0)|_2/c and towards the threshold t = 1.

    G(0) is the scaled gradient of the data term at zero logits; for one trained layer zero is the minimum iff t <= 1 (no
    bias), near which the objective is flat, and large t make it stiff.

    Args:
      problem: any; where its ridges are zero all lanes are equal.
    """
    zero = jnp.zeros_like(problem.targets)
    slopes = jax.vmap(jax.grad(problem.loss.value), in_axes=1, out_axes=1)(zero, problem.loss_targets)
    G = problem.scale * slopes * (column_weights(problem) / jnp.sqrt(problem.multiplicity))[None, :]
    G = G if problem.classifier is None else problem.classifier.T @ G
    c = problem.c ** (problem.factors / 2) if problem.trainable else problem.l2_H
    log_t = jnp.log(jnp.linalg.norm(G)) - jnp.log(c)
    return jnp.where(jnp.isfinite(log_t), jnp.abs(log_t) + 1 / (0.05 + jnp.abs(log_t)), 0)
