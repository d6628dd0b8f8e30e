"""Losses psi(p) of the softmax probability p of the true class, decreasing in p: focal, Poly-1 and the comp-sum family.

Their symmetric collapse is a global minimum of the unconstrained feature model, whether they are convex or not. All are
written in the log odds s = log((1 - p)/p), so that they are right down to underflow.
"""

from collections.abc import Callable
from functools import lru_cache

import jax
import jax.numpy as jnp
from jax.scipy.special import xlogy

from ufm.losses.conjugates import sums_to_zero
from ufm.losses.loss import Loss
from ufm.losses.margins import log_odds, parameter, split

softplus = jax.nn.softplus


def focal(gamma: float) -> Loss:
    """Focal loss, -(1 - p)^gamma log p; cross-entropy for gamma = 0, not convex otherwise.

    Args:
      gamma: at least 0.

    Raises:
      ValueError: for another gamma.

    Source: Lin, Goyal, Girshick, He, Dollar 2017, Focal loss for dense object detection, arXiv 1708.02002.
    """
    return _focal(parameter("gamma", gamma, "a number of at least 0", lambda x: x >= 0))


def poly1(epsilon: float) -> Loss:
    """Poly-1 loss, -log p + epsilon (1 - p); convex iff epsilon <= 1.

    Args:
      epsilon: above -1, so that the loss decreases in p.

    Raises:
      ValueError: for another epsilon.

    Source: Leng, Tan, Liu, Cubuk, Shi, Cheng, Anguelov 2022, PolyLoss, arXiv 2204.12511.
    """
    return _poly1(parameter("epsilon", epsilon, "a number above -1", lambda x: x > -1))


def comp_sum(tau: float) -> Loss:
    """Comp-sum loss, (1 - p^(tau - 1))/(tau - 1), and -log p for tau = 1; convex iff tau <= 1.

    tau = 0 is the sum-exponential loss sum_{j != t} exp(z_j - z_t), tau = 1 cross-entropy, 1 < tau < 2 generalised
    cross-entropy, tau = 2 the mean absolute error 1 - p. For tau < 1 it grows exponentially in wrong margins, and is
    +inf where that leaves the range of the dtype.

    Args:
      tau: at least 0.

    Raises:
      ValueError: for another tau.

    Source: Mao, Mohri, Zhong 2023, Cross-entropy loss functions: theoretical analysis and applications, arXiv 2304.07288.
    """
    return _comp_sum(parameter("tau", tau, "a number of at least 0", lambda x: x >= 0), "comp_sum")


def gce(q: float) -> Loss:
    """Generalised cross-entropy, (1 - p^q)/q: comp-sum with tau = 1 + q.

    Args:
      q: in (0, 1].

    Raises:
      ValueError: for another q.

    Source: Zhang, Sabuncu 2018, Generalized cross entropy loss for training deep networks with noisy labels, arXiv 1805.07836.
    """
    return _comp_sum(1 + parameter("q", q, "a number in (0, 1]", lambda x: 0 < x <= 1), "gce")


def mae() -> Loss:
    """Mean absolute error of probabilities, 1 - p, which is |softmax(z) - y|_1 / 2: comp-sum with tau = 2.

    Source: Ghosh, Kumar, Sastry 2017, Robust loss functions under label noise for deep neural networks, arXiv 1712.09482.
    """
    return _comp_sum(2.0, "mae")


@lru_cache
def _focal(gamma: float) -> Loss:
    def value(z: jax.Array, y: jax.Array) -> jax.Array:
        s = log_odds(z, y)
        return jnp.exp(-gamma * softplus(-s)) * softplus(s)

    return _p_loss(value, gamma == 0, "focal", gamma)


@lru_cache
def _poly1(epsilon: float) -> Loss:
    def value(z: jax.Array, y: jax.Array) -> jax.Array:
        s = log_odds(z, y)
        return softplus(s) + epsilon * jax.nn.sigmoid(s)

    return _p_loss(value, epsilon <= 1, "poly1", epsilon)


@lru_cache
def _comp_sum(tau: float, kind: str) -> Loss:
    def value(z: jax.Array, y: jax.Array) -> jax.Array:
        if tau == 0:
            top, own = split(z, y)
            return jnp.sum(jnp.where(top, 0, jnp.exp(jnp.where(top, 0, z - own))))
        s = log_odds(z, y)
        if tau == 1:
            return softplus(s)
        if tau == 2:
            return jax.nn.sigmoid(s)
        return jnp.expm1((1 - tau) * softplus(s)) / (1 - tau)

    given = {"comp_sum": (tau,), "gce": (tau - 1,), "mae": ()}[kind]
    conjugate = _sum_exponential_conjugate if tau == 0 else None
    return _p_loss(value, tau <= 1, kind, *given, conjugate=conjugate)


def _p_loss(value: Callable, convex: bool, kind: str, *given: float, conjugate: Callable | None = None) -> Loss:
    name = kind + "".join(f"({x:g})" for x in given)
    flags = {"shift_invariant": True, "contrastive": True, "targets": "one-hot"}
    return Loss(name, value, conjugate, convex=convex, kind=kind, parameters=given, **flags)


def _sum_exponential_conjugate(theta: jax.Array, y: jax.Array) -> jax.Array:
    """sum_{j != t} theta_j log theta_j - theta_j where these are non-negative and theta sums to zero."""
    top = jnp.arange(theta.shape[0]) == jnp.argmax(y)
    size = jnp.maximum(1, jnp.max(jnp.abs(theta)))
    inside = jnp.all(top | (theta >= -8 * jnp.finfo(theta.dtype).eps * size)) & sums_to_zero(theta)
    others = jnp.where(top, 0, jnp.maximum(theta, 0))
    return jnp.where(inside, jnp.sum(xlogy(others, jnp.where(others > 0, others, 1)) - others), jnp.inf)
