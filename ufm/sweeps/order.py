"""The order of lanes: lanes that need many steps first, and beside their like.

A batch of searches lasts as long as its slowest lane, and the last chunks of a sweep must not be the long ones.
"""

import jax
import jax.numpy as jnp

from ufm.duality import loss_gradients, scaled_gradient
from ufm.problem import Problem


def difficulty(problem: Problem) -> jax.Array:
    """How many steps a search may need, in no unit: max(log t_1, 0) + max_i 1/(0.2 + |log t_i|), with t_i = sigma_i(G(0))/c.

    G(0) is the scaled gradient of the data term at zero logits, sigma_1 >= sigma_2 >= ... its singular values that are not 0.
    For one trained layer without bias zero is the minimum iff t_1 <= 1; directions come alive as their t_i pass 1, near which
    the objective is flat, and large t_1 make it stiff. Ranks correlate with those of measured steps by 0.92 to 0.99 (squared
    error and cross-entropy on equal and unequal classes, with free bias, depths 1 and 3, ridges from 1e-4 to 1).

    Args:
      problem: any; where its ridges are zero all lanes are equal.
    """
    G = scaled_gradient(problem, loss_gradients(problem, jnp.zeros_like(problem.targets)))
    c = problem.c ** (problem.factors / 2) if problem.trainable else problem.l2_H
    squares = jnp.linalg.eigvalsh(G @ G.T)
    log_t = jnp.log(jnp.maximum(squares, jnp.finfo(G.dtype).tiny)) / 2 - jnp.log(c)
    flat = jnp.where(squares > 1e-6 * squares[-1], 1 / (0.2 + jnp.abs(log_t)), 0)
    return jnp.where(c > 0, jnp.maximum(log_t[-1], 0) + jnp.max(flat), 0)
