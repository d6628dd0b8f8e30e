"""Directions of negative curvature at critical points that are not global, and the dual directions behind them."""

import jax
import jax.numpy as jnp

from ufm.base.checks import refuse
from ufm.duality.columns import loss_gradients
from ufm.problem import Problem
from ufm.problem.params import Params, check_point, column_weights, logits


def escape_direction(problem: Problem, params: Params) -> tuple[Params, jax.Array]:
    """A unit direction of negative curvature at a critical point of one trained layer that is not a global minimum.

    With (u, v) the top singular pair of the logit gradient G, and x a unit vector with W x = 0 and x^T H = 0 (there is
    one as soon as d > K, or d = K and the point is not certified; the least singular vector stands in otherwise),

        dW = (l2_H/l2_W)^(1/4) u x^T,   dH = -(l2_W/l2_H)^(1/4) x v^T

    have curvature -2 (|G|_2 - c) / (sqrt(l2_H/l2_W) + sqrt(l2_W/l2_H)) after normalisation (Zhou et al. 2022, for MSE; it
    holds for every convex loss).

    Args:
      problem: one trained layer, free features.
      params: a critical point.

    Returns:
      (direction as Params of norm 1, its predicted curvature: negative at uncertified critical points).

    Raises:
      ValueError: for other depths or constrained features.
    """
    check_point(problem, params)
    if problem.trainable != 1 or len(problem.widths) != 1 or problem.features != "free":
        refuse("problem", problem, "one trained layer with free features to give an escape direction")
    if problem.H0 is not None:
        refuse("H0", "an array", "None: no escape direction is known under a proximity term")
    z = logits(problem, params)
    theta = loss_gradients(problem, z)
    G = scaled_gradient(problem, theta)
    U, s, Vt = jnp.linalg.svd(G, full_matrices=False)
    stacked = jnp.concatenate([params.weights[0], params.H.T])
    x = jnp.linalg.svd(stacked, full_matrices=True)[2][-1]
    ratio = jnp.sqrt(problem.l2_H / problem.l2_W[0])
    dW = jnp.sqrt(ratio) * U[:, :1] * x[None, :]
    dH = -x[:, None] * Vt[:1] / jnp.sqrt(ratio)
    norm = jnp.sqrt(ratio + 1 / ratio)
    b = None if params.b is None else jnp.zeros_like(params.b)
    return Params((dW / norm,), dH / norm, b), -2 * (s[0] - problem.c) / (ratio + 1 / ratio)


def scaled_gradient(problem: Problem, theta: jax.Array) -> jax.Array:
    """Gradient of the data term in the scaled features' image, scale * A^T theta_c w_c sqrt(m_c) / N, A a fixed classifier."""
    G = problem.scale * theta * (column_weights(problem) / jnp.sqrt(problem.multiplicity))[None, :]
    return G if problem.classifier is None else problem.classifier.T @ G
