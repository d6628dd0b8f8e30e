"""Losses psi(p) of the softmax probability p of the true class, decreasing in p: focal, Poly-1 and the comp-sum family.

Their symmetric collapse is a global minimum of the unconstrained feature model, whether they are convex or not. All are
written in the log odds s = log((1 - p)/p), so that they are right down to underflow.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax.scipy.special import xlogy

from ufm.losses.conjugates import sums_to_zero
from ufm.losses.loss import Loss, proved
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
    value = Focal(parameter("gamma", gamma, "a number of at least 0", lambda x: x >= 0))
    return _p_loss(f"focal({value.gamma:g})", value, convex=value.gamma == 0)


def poly1(epsilon: float) -> Loss:
    """Poly-1 loss, -log p + epsilon (1 - p); convex iff epsilon <= 1.

    Args:
      epsilon: above -1, so that the loss decreases in p.

    Raises:
      ValueError: for another epsilon.

    Source: Leng, Tan, Liu, Cubuk, Shi, Cheng, Anguelov 2022, PolyLoss, arXiv 2204.12511.
    """
    value = Poly1(parameter("epsilon", epsilon, "a number above -1", lambda x: x > -1))
    return _p_loss(f"poly1({value.epsilon:g})", value, convex=value.epsilon <= 1)


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
    tau = parameter("tau", tau, "a number of at least 0", lambda x: x >= 0)
    return _comp_sum(f"comp_sum({tau:g})", tau)


def gce(q: float) -> Loss:
    """Generalised cross-entropy, (1 - p^q)/q: comp-sum with tau = 1 + q.

    Args:
      q: in (0, 1].

    Raises:
      ValueError: for another q.

    Source: Zhang, Sabuncu 2018, Generalized cross entropy loss for training deep networks with noisy labels, arXiv 1805.07836.
    """
    q = parameter("q", q, "a number in (0, 1]", lambda x: 0 < x <= 1)
    return _comp_sum(f"gce({q:g})", 1 + q)


def mae() -> Loss:
    """Mean absolute error of probabilities, 1 - p, which is |softmax(z) - y|_1 / 2: comp-sum with tau = 2.

    Source: Ghosh, Kumar, Sastry 2017, Robust loss functions under label noise for deep neural networks, arXiv 1712.09482.
    """
    return _comp_sum("mae", 2.0)


@dataclass(frozen=True)
class Focal:
    """-(1 - p)^gamma log p, a function of (z, y)."""

    targets: ClassVar[str] = "one-hot"
    teacher: ClassVar[bool] = False

    gamma: float

    def __call__(self, z: jax.Array, y: jax.Array) -> jax.Array:
        """The loss of logits (K,) against a one-hot target."""
        s = log_odds(z, y)
        return jnp.exp(-self.gamma * softplus(-s)) * softplus(s)


@dataclass(frozen=True)
class Poly1:
    """-log p + epsilon (1 - p), a function of (z, y)."""

    targets: ClassVar[str] = "one-hot"
    teacher: ClassVar[bool] = False

    epsilon: float

    def __call__(self, z: jax.Array, y: jax.Array) -> jax.Array:
        """The loss of logits (K,) against a one-hot target."""
        s = log_odds(z, y)
        return softplus(s) + self.epsilon * jax.nn.sigmoid(s)


@dataclass(frozen=True)
class CompSum:
    """(1 - p^(tau - 1))/(tau - 1), a function of (z, y)."""

    targets: ClassVar[str] = "one-hot"
    teacher: ClassVar[bool] = False

    tau: float

    def __call__(self, z: jax.Array, y: jax.Array) -> jax.Array:
        """The loss of logits (K,) against a one-hot target."""
        tau = self.tau
        if tau == 0:
            top, own = split(z, y)
            return jnp.sum(jnp.where(top, 0, jnp.exp(jnp.where(top, 0, z - own))))
        s = log_odds(z, y)
        if tau == 1:
            return softplus(s)
        if tau == 2:
            return jax.nn.sigmoid(s)
        return jnp.expm1((1 - tau) * softplus(s)) / (1 - tau)


def _comp_sum(name: str, tau: float) -> Loss:
    return _p_loss(name, CompSum(tau), sum_exponential_conjugate if tau == 0 else None, convex=tau <= 1)


def _p_loss(name: str, value: Any, conjugate: Any = None, *, convex: bool) -> Loss:
    facts = {"shift_invariant": True, "contrastive": True, "symmetric": True, "targets": value.targets}
    return proved(name, value, conjugate, convex=convex, **facts)


def sum_exponential_conjugate(theta: jax.Array, y: jax.Array) -> jax.Array:
    """sum_{j != t} theta_j log theta_j - theta_j where these are non-negative and theta sums to zero."""
    top = jnp.arange(theta.shape[0]) == jnp.argmax(y)
    size = jnp.maximum(1, jnp.max(jnp.abs(theta)))
    inside = jnp.all(top | (theta >= -8 * jnp.finfo(theta.dtype).eps * size)) & sums_to_zero(theta)
    others = jnp.where(top, 0, jnp.maximum(theta, 0))
    return jnp.where(inside, jnp.sum(xlogy(others, jnp.where(others > 0, others, 1)) - others), jnp.inf)
