"""The convex functions that losses are made of, each with its conjugate from above and a dual point inside its domain.

An atom is g of logits x, and a loss a sum of weight g((z - shift)/T). A dual point is a matrix of floats taken as exact. Where a
conjugate is finite only on columns that sum to zero, one entry of each column (the pivot) is not what is stored but minus the sum
of the others. `below` gives (v, e) with -g*(t) >= v - e for every t within `radius` of the point, column by column: -g* is concave,
so its least value is at an end, its terms have one sign each, and probabilities are never formed as 1 - (1 - p).
"""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import xlogy

from ufm.duality.rounding import LIBRARY, ends, unit


class Below(NamedTuple):
    """(C,) numbers: -g* is at least value - allowance, wherever inside; inside: whether the domain is met for certain."""

    value: jax.Array
    allowance: jax.Array
    inside: jax.Array


def entropy_term(q: jax.Array) -> jax.Array:
    """-q log q, 0 at 0 (and below, where nothing is asked)."""
    positive = jnp.maximum(q, 0)
    return -xlogy(positive, jnp.where(positive > 0, positive, 1))


def rest_term(s: jax.Array) -> jax.Array:
    """-(1 - s) log(1 - s), 0 at 1."""
    inside = jnp.clip(s, 0, 1)
    return jnp.where(inside < 1, -(1 - inside) * jnp.log1p(-jnp.where(inside < 1, inside, 0)), 0)


def true_class(y: jax.Array) -> jax.Array:
    """(K, C): whether a row is the (first) largest target of its column."""
    return jnp.arange(y.shape[0])[:, None] == jnp.argmax(y, axis=0)[None, :]


def others(pivot: jax.Array, x: jax.Array) -> jax.Array:
    """x with 0 in place of the pivot."""
    return jnp.where(pivot, 0, x)


def log_shares(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(log softmax of every column, right to its last digits also where one share is nearly 1; its absolute error)."""
    top = true_class(x)
    u = others(top, x - jnp.max(x, axis=0)[None, :])
    rest = jnp.sum(others(top, jnp.exp(u)), axis=0)
    size = jnp.abs(x) + jnp.max(jnp.abs(x), axis=0)[None, :]
    error = unit(x) * (4 * size + 8 * LIBRARY + x.shape[0])
    total = jnp.log1p(rest)[None, :]
    return u - total, jnp.where(top, (x.shape[0] + 4 * LIBRARY) * unit(x) * total + error * jnp.minimum(total, 1), error)


class Separate:
    """What atoms share whose conjugate is a sum over entries: none of them is implied by the others."""

    coupled: ClassVar[bool] = False

    def pivot(self, t: jax.Array, y: jax.Array) -> jax.Array:
        """None of the entries."""
        del y
        return jnp.zeros(t.shape, bool)


class WrongClasses:
    """What atoms share that see x_k - x_true alone: columns sum to zero, with t_k >= 0 off the true class, which is the pivot."""

    coupled: ClassVar[bool] = True

    def target(self, y: jax.Array) -> jax.Array:
        """One-hot at the true class."""
        return true_class(y).astype(y.dtype)

    def clip(self, t: jax.Array, y: jax.Array) -> jax.Array:
        """t >= 0 off the true class."""
        return jnp.where(true_class(y), t, jnp.maximum(t, 0))

    def pivot(self, t: jax.Array, y: jax.Array) -> jax.Array:
        """The true class."""
        del t
        return true_class(y)

    def slack(self, t: jax.Array, y: jax.Array) -> jax.Array:
        """How far each entry may move."""
        return jnp.where(true_class(y), jnp.inf, t)


@dataclass(frozen=True)
class Entropy:
    """logsumexp(x) - <y, x>, whose conjugate is -entropy(y + t) on distributions; y_true stands for 1 minus the other targets."""

    coupled: ClassVar[bool] = True

    def target(self, y: jax.Array) -> jax.Array:
        """The distribution whose mean over the columns makes a balanced dual point."""
        return y

    def point(self, x: jax.Array, y: jax.Array) -> jax.Array:
        """p - y, from the logits and not from 1 - p where the target is one-hot."""
        p = jnp.exp(log_shares(x)[0])
        return self.clip(jnp.where(true_class(y), -jnp.sum(others(true_class(y), p - y), axis=0)[None, :], p - y), y)

    def clip(self, t: jax.Array, y: jax.Array) -> jax.Array:
        """t with y + t >= 0 for certain."""
        return jnp.maximum(t, -(y - 2 * self._blur(y)))

    def pivot(self, t: jax.Array, y: jax.Array) -> jax.Array:
        """The largest entry of y + t."""
        return true_class(y + t)

    def slack(self, t: jax.Array, y: jax.Array) -> jax.Array:
        """How far each entry may move."""
        return jnp.where(self.pivot(t, y), jnp.inf, y + t)

    def below(self, t: jax.Array, radius: jax.Array, y: jax.Array) -> Below:
        """Entropy of y + t: each off-pivot entry is at most 1/2 or so, and the pivot enters through the sum of the others."""
        eps, K = unit(t), t.shape[0]
        pivot, q = self.pivot(t, y), y + t
        r = others(pivot, radius + 2 * eps * jnp.abs(q) + self._blur(y))
        q = others(pivot, q)
        s = jnp.sum(q, axis=0)
        s_radius = (1 + 8 * eps) * jnp.sum(r, axis=0) + (K + 2) * eps * jnp.sum(jnp.abs(q), axis=0)
        inside = jnp.all(q - r >= 0, axis=0) & (s + s_radius <= 1)
        value = jnp.sum(ends(entropy_term, q, r), axis=0) + ends(rest_term, s, s_radius)
        return Below(value, (K + LIBRARY + 4) * eps * jnp.abs(value), inside)

    def _blur(self, y: jax.Array) -> jax.Array:
        """What the stored target of the true class may differ by from 1 minus the others."""
        top = true_class(y)
        rest = jnp.sum(jnp.abs(others(top, y)), axis=0)[None, :]
        stored = jnp.abs(jnp.sum(jnp.where(top, y - 1, y), axis=0))[None, :]
        return jnp.where(top, stored + 4 * y.shape[0] * unit(y) * rest, 0)


@dataclass(frozen=True)
class Bernoulli(Separate):
    """sum_k softplus(x_k) - y_k x_k, whose conjugate is minus the sum of the entropies of Bern(y + t)."""

    def target(self, y: jax.Array) -> jax.Array:
        """The probabilities whose mean over the columns makes a balanced dual point."""
        return y

    def point(self, x: jax.Array, y: jax.Array) -> jax.Array:
        """sigmoid(x) - y, as -sigmoid(-x) where y is nearer to 1."""
        return self.clip(jnp.where(y > 0.5, (1 - y) - jax.nn.sigmoid(-x), jax.nn.sigmoid(x) - y), y)

    def clip(self, t: jax.Array, y: jax.Array) -> jax.Array:
        """t with 0 <= y + t <= 1 for certain."""
        return jnp.clip(t, -y, (1 - y) * (1 - 8 * unit(y)))

    def slack(self, t: jax.Array, y: jax.Array) -> jax.Array:
        """How far each entry may move."""
        return jnp.minimum(y + t, (1 - y) - t)

    def below(self, t: jax.Array, radius: jax.Array, y: jax.Array) -> Below:
        """Entropies of the smaller of y + t and 1 - y - t, which has few rounding errors of its own."""
        eps, K = unit(t), t.shape[0]
        low, high = y + t, (1 - y) - t
        blurred = jnp.where((y == 0) | (y >= 0.5) & (y <= 1), 0, 2 * eps * (1 + jnp.abs(y)))
        p = jnp.minimum(low, high)
        r = radius + 4 * eps * jnp.abs(p) + jnp.where(low <= high, 0, blurred)
        whole = radius + 4 * eps * jnp.abs(high) + blurred
        inside = jnp.all((low * (1 - 2 * eps) - radius >= 0) & ((high - whole >= 0) | (t + radius <= 0) & (y <= 1)), axis=0)
        value = jnp.sum(ends(lambda p: entropy_term(p) + rest_term(p), p, r), axis=0)
        return Below(value, (K + LIBRARY + 4) * eps * jnp.abs(value), inside)


@dataclass(frozen=True)
class Quadratic(Separate):
    """|x - y|^2 / 2, with the conjugate <t, y> + |t|^2 / 2 everywhere."""

    def target(self, y: jax.Array) -> jax.Array:
        """The targets."""
        return y

    def point(self, x: jax.Array, y: jax.Array) -> jax.Array:
        """x - y."""
        return x - y

    def clip(self, t: jax.Array, y: jax.Array) -> jax.Array:
        """t: the conjugate is finite everywhere."""
        del y
        return t

    def slack(self, t: jax.Array, y: jax.Array) -> jax.Array:
        """As far as the sizes at hand: any move is allowed, a small one is cheap."""
        return 1 + jnp.abs(t) + jnp.abs(y)

    def below(self, t: jax.Array, radius: jax.Array, y: jax.Array) -> Below:
        """-<t, y> - |t|^2/2."""
        value = jnp.sum(ends(lambda t: -t * y - 0.5 * t**2, t, radius), axis=0)
        size = jnp.sum((jnp.abs(t) + radius) * (jnp.abs(y) + jnp.abs(t) + radius), axis=0)
        return Below(value, (t.shape[0] + 8) * unit(t) * size, jnp.isfinite(value))


@dataclass(frozen=True)
class Hinge(WrongClasses):
    """sum_{k != true} max(0, 1 + x_k - x_true)^2 / 2, with the conjugate sum t_k^2/2 - t_k where t_k >= 0 off the true class."""

    def point(self, x: jax.Array, y: jax.Array) -> jax.Array:
        """The violations, and minus their sum."""
        own = jnp.sum(jnp.where(true_class(y), x, 0), axis=0)[None, :]
        return implied(true_class(y), jnp.maximum(1 + x - own, 0))

    def below(self, t: jax.Array, radius: jax.Array, y: jax.Array) -> Below:
        """sum t_k - t_k^2/2 over the wrong classes."""
        t, radius = others(true_class(y), t), others(true_class(y), radius)
        value = jnp.sum(ends(lambda t: t - 0.5 * t**2, t, radius), axis=0)
        size = jnp.sum((t + radius) * (1 + t + radius), axis=0)
        return Below(value, (t.shape[0] + 8) * unit(t) * jnp.abs(size), jnp.all(t - radius >= 0, axis=0))


def implied(pivot: jax.Array, t: jax.Array) -> jax.Array:
    """t with minus the sum of the other entries at the pivot."""
    return jnp.where(pivot, -jnp.sum(others(pivot, t), axis=0)[None, :], t)
