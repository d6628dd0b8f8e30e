"""Atoms that compare with a teacher's logits: divergences, whose conjugates are differences of entropies without cancellation."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp

from ufm.duality.atoms import Below, Separate, log_shares, others, true_class
from ufm.duality.rounding import LIBRARY, unit


@dataclass(frozen=True)
class TeacherEntropy:
    """KL(softmax(t) || softmax(x)) for a teacher's logits t, conjugate sum (q + s) log1p(s/q) + s log q, q = softmax(t)."""

    coupled: ClassVar[bool] = True

    def target(self, y: jax.Array) -> jax.Array:
        """The teacher's distribution."""
        return jnp.exp(log_shares(y)[0])

    def point(self, x: jax.Array, y: jax.Array) -> jax.Array:
        """softmax(x) - softmax(t)."""
        log_q = log_shares(y)[0]
        return self.clip(jnp.exp(log_q) * jnp.expm1(log_shares(x)[0] - log_q), y)

    def clip(self, s: jax.Array, y: jax.Array) -> jax.Array:
        """s with q + s >= 0 for certain."""
        log_q, error = log_shares(y)
        return jnp.maximum(s, -jnp.exp(log_q) * (1 - 4 * error - 8 * LIBRARY * unit(y)))

    def pivot(self, s: jax.Array, y: jax.Array) -> jax.Array:
        """The largest entry of q + s."""
        return true_class(self.target(y) + s)

    def slack(self, s: jax.Array, y: jax.Array) -> jax.Array:
        """How far each entry may move."""
        return jnp.where(self.pivot(s, y), jnp.inf, self.target(y) + s)

    def below(self, s: jax.Array, radius: jax.Array, y: jax.Array) -> Below:
        """Sum of -s log q - (q + s) log1p(s/q), every term of the size of s."""
        eps, K = unit(s), s.shape[0]
        log_q, error = log_shares(y)
        q, pivot = jnp.exp(log_q), self.pivot(s, y)
        rest = others(pivot, s)
        moved = (1 + 8 * eps) * jnp.sum(others(pivot, radius), axis=0) + (K + 2) * eps * jnp.sum(jnp.abs(rest), axis=0)
        s = jnp.where(pivot, -jnp.sum(rest, axis=0)[None, :], s)
        radius = jnp.where(pivot, moved[None, :], radius)
        relative = 2 * error + 2 * LIBRARY * eps
        inside = jnp.all(s - radius + q * (1 - relative) >= 0, axis=0)
        return _sum(lambda s: relative_entropy_term(s, q, log_q), s, radius, (jnp.abs(s) + radius) * error, relative, inside)


@dataclass(frozen=True)
class TeacherBernoulli(Separate):
    """sum_k KL(Bern(sig(t_k)) || Bern(sig(x_k))) for a teacher's logits t."""

    def target(self, y: jax.Array) -> jax.Array:
        """The teacher's probabilities."""
        return jax.nn.sigmoid(y)

    def point(self, x: jax.Array, y: jax.Array) -> jax.Array:
        """sig(x) - sig(t) = sig(x) sig(-t) (1 - exp(t - x)), without cancellation."""
        near = -jax.nn.sigmoid(x) * jax.nn.sigmoid(-y) * jnp.expm1(jnp.clip(y - x, -1, 1))
        far = jnp.where(y > 0, jax.nn.sigmoid(-y) - jax.nn.sigmoid(-x), jax.nn.sigmoid(x) - jax.nn.sigmoid(y))
        return self.clip(jnp.where(jnp.abs(y - x) < 1, near, far), y)

    def clip(self, s: jax.Array, y: jax.Array) -> jax.Array:
        """s with 0 <= sig(t) + s <= 1 for certain."""
        keep = 1 - 4 * self._error(y)
        return jnp.clip(s, -jax.nn.sigmoid(y) * keep, jax.nn.sigmoid(-y) * keep)

    def slack(self, s: jax.Array, y: jax.Array) -> jax.Array:
        """How far each entry may move."""
        return jnp.minimum(jax.nn.sigmoid(y) + s, jax.nn.sigmoid(-y) - s)

    def below(self, s: jax.Array, radius: jax.Array, y: jax.Array) -> Below:
        """Sum of -s t - (a + s) log1p(s/a) - (a' - s) log1p(-s/a') with a = sig(t), a' = sig(-t)."""
        a, b, relative = jax.nn.sigmoid(y), jax.nn.sigmoid(-y), self._error(y)
        inside = jnp.all((s - radius + a * (1 - relative) >= 0) & (b * (1 - relative) - s - radius >= 0), axis=0)

        def term(s: jax.Array) -> tuple[jax.Array, jax.Array]:
            first, size_1 = relative_entropy_term(s, a, y)
            second, size_2 = relative_entropy_term(-s, b, jnp.zeros_like(y))
            return first + second, size_1 + size_2

        return _sum(term, s, radius, 8 * unit(s) * (jnp.abs(s) + radius) * jnp.abs(y), relative, inside)

    def _error(self, y: jax.Array) -> jax.Array:
        """Relative error of sig(t) and sig(-t) for logits with a few roundings of their own."""
        return unit(y) * (8 * jnp.abs(y) + 4 * LIBRARY)


def relative_entropy_term(s: jax.Array, q: jax.Array, log_q: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(-s log q - (q + s) log1p(s/q), the sum of the sizes of its parts); entropy(q + s) - entropy(q) for one entry."""
    positive = jnp.where(q > 0, q, 1)
    ratio = jnp.where(q > 0, jnp.maximum(s / positive, -1), 0)
    log_ratio = jnp.where(ratio > -1, jnp.log1p(jnp.where(ratio > -1, ratio, 0)), 0)
    first, second = -s * log_q, -(q + s) * log_ratio
    return first + second, jnp.abs(first) + jnp.abs(second) + jnp.abs(s) + q * jnp.minimum(jnp.abs(log_ratio), 64)


def _sum(term: Callable, s: jax.Array, radius: jax.Array, error: jax.Array, relative: jax.Array, inside: jax.Array) -> Below:
    """Below from a concave function of each entry that comes with its size; `relative` is the error of what it is made from."""
    (left, left_size), (right, right_size) = term(s - radius), term(s + radius)
    size = jnp.maximum(left_size, right_size)
    allowance = jnp.sum(4 * (relative + (s.shape[0] + 4 * LIBRARY) * unit(s)) * size + error, axis=0)
    return Below(jnp.sum(jnp.minimum(left, right), axis=0), allowance, inside)
