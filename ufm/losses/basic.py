"""The four losses that most of the theory is about, with their convex conjugates: squared error, cross-entropy in margin form,
one-vs-all logistic and squared hinge.
"""

import jax
import jax.numpy as jnp

from ufm.losses.conjugates import cross_entropy_conjugate, negative_entropy, sums_to_zero
from ufm.losses.loss import proved


def squared_error(z: jax.Array, y: jax.Array) -> jax.Array:
    """|z - y|^2 / 2, the loss called MSE throughout the field."""
    return 0.5 * jnp.sum((z - y) ** 2)


def cross_entropy(z: jax.Array, y: jax.Array) -> jax.Array:
    """-sum_k y_k log softmax(z)_k for sum(y) = 1, in the margin form that is exact down to underflow.

    With t the class of the largest target and u = z - z_t,

        loss = softplus(logsumexp_{j != t} u_j) - sum_{j != t} y_j u_j,

    whose gradient sums to zero exactly and does not vanish once exp(-margin) drops below the machine epsilon,
    as the gradient of log_softmax does (Prieto et al. 2025).
    """
    top = jnp.arange(z.shape[0]) == jnp.argmax(y)
    u = z - jnp.sum(jnp.where(top, z, 0))
    others = jax.nn.logsumexp(jnp.where(top, -jnp.inf, u))
    return jnp.logaddexp(others, jnp.zeros_like(others)) - jnp.sum(jnp.where(top, 0, y * u))


def one_vs_all_logistic(z: jax.Array, y: jax.Array) -> jax.Array:
    """sum_k y_k softplus(-z_k) + (1 - y_k) softplus(z_k): K independent binary cross-entropies."""
    return jnp.sum(y * jax.nn.softplus(-z) + (1 - y) * jax.nn.softplus(z))


def squared_hinge(z: jax.Array, y: jax.Array) -> jax.Array:
    """sum_{j != t} max(0, 1 + z_j - z_t)^2 / 2 with t the true class: the squared Weston-Watkins hinge."""
    top = jnp.arange(z.shape[0]) == jnp.argmax(y)
    violation = jax.nn.relu(1 + z - jnp.sum(jnp.where(top, z, 0)))
    return 0.5 * jnp.sum(jnp.where(top, 0, violation**2))


def _squared_error_conjugate(theta: jax.Array, y: jax.Array) -> jax.Array:
    return jnp.sum(theta * y) + 0.5 * jnp.sum(theta**2)


def one_vs_all_logistic_conjugate(theta: jax.Array, y: jax.Array) -> jax.Array:
    """Of `one_vs_all_logistic`: -sum of the entropies of Bern(y + theta)."""
    p = y + theta
    return negative_entropy(p) + negative_entropy(1 - p)


def _squared_hinge_conjugate(theta: jax.Array, y: jax.Array) -> jax.Array:
    top = jnp.arange(theta.shape[0]) == jnp.argmax(y)
    inside = jnp.all(top | (theta >= 0)) & sums_to_zero(theta)
    return jnp.where(inside, jnp.sum(jnp.where(top, 0, 0.5 * theta**2 - theta)), jnp.inf)


MSE = proved("mse", squared_error, _squared_error_conjugate, convex=True, symmetric=True)
CE = proved(
    "ce", cross_entropy, cross_entropy_conjugate, convex=True, shift_invariant=True, contrastive=True, symmetric=True,
    targets="distribution",
)  # fmt: skip
LOGISTIC = proved(
    "logistic", one_vs_all_logistic, one_vs_all_logistic_conjugate, convex=True, symmetric=True, targets="unit"
)
SQUARED_HINGE = proved(
    "squared_hinge", squared_hinge, _squared_hinge_conjugate, convex=True, shift_invariant=True, contrastive=True, symmetric=True,
    targets="one-hot",
)  # fmt: skip
BASIC = {loss.name: loss for loss in (MSE, CE, LOGISTIC, SQUARED_HINGE)}
