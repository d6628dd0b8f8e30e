"""Losses phi(s) of the log odds s = logsumexp_{k != true} (x_k - x_true) of the wrong classes: comp-sum and Poly-1.

With l the sum of t_k over the wrong classes, -conjugate(t) = sum_k t_k log(l/t_k) + inf_s [phi(s) - l s], t_k >= 0: the first part
is the entropy that the log odds leave to the wrong classes. The infimum has no closed form: by convexity it is at least
phi(s0) - l s0 - |phi'(s0) - l| w once phi' is seen to be below l at s0 - w and above it at s0 + w.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import lax
from jax.nn import sigmoid, softplus

from ufm.duality.atoms import Below, WrongClasses, implied, others, true_class
from ufm.duality.rounding import LIBRARY, unit

_WINDOW = 0.125
_STEPS = 50


@dataclass(frozen=True)
class Odds(WrongClasses):
    """phi(s) = (exp((1 - tau) softplus(s)) - 1)/(1 - tau) + epsilon sigmoid(s), tau <= 1 and |epsilon| <= 1."""

    tau: float
    epsilon: float = 0.0

    def value(self, s: jax.Array) -> jax.Array:
        """phi(s)."""
        power = 1 - self.tau
        comp = jnp.expm1(power * softplus(s)) / power if power else softplus(s)
        return comp + self.epsilon * sigmoid(s)

    def log_slope(self, s: jax.Array) -> jax.Array:
        """log phi'(s), an increasing function."""
        return s - self.tau * softplus(s) + jnp.log1p(self.epsilon * sigmoid(-s)) * (1.0 if self.epsilon else 0.0)

    def point(self, x: jax.Array, y: jax.Array) -> jax.Array:
        """The gradient, with log odds so large that phi' no longer grows cut off."""
        top = true_class(y)
        own = jnp.sum(jnp.where(top, x, 0), axis=0)[None, :]
        s = jax.nn.logsumexp(jnp.where(top, -jnp.inf, x - own), axis=0)
        slope = jnp.exp(self.log_slope(jnp.minimum(s, 12.0 if unit(x) < 1e-10 else 2.5)))
        shares = jnp.where(top, 0, jnp.exp(x - own - s[None, :]))
        return implied(top, slope[None, :] * shares)

    def below(self, t: jax.Array, radius: jax.Array, y: jax.Array) -> Below:
        """The entropy of the wrong classes, and the infimum over the log odds by a bracket."""
        eps, top = unit(t), true_class(y)
        t, radius = others(top, t), others(top, radius)
        total = jnp.sum(t, axis=0)
        moved = jnp.sum(radius, axis=0) * (1 + 8 * eps) + (t.shape[0] + 2) * eps * total
        none = total == 0
        rate = jnp.where(none, 1, total)
        log_low = jnp.log(jnp.maximum(rate - moved, 0.5 * rate))

        def share(t: jax.Array) -> jax.Array:
            return jnp.where(t > 0, t * (log_low[None, :] - jnp.log(jnp.where(t > 0, t, 1))), 0)

        entropy = jnp.sum(jnp.minimum(share(t - radius), share(t + radius)), axis=0)
        logs = jnp.abs(log_low)[None, :] + jnp.abs(jnp.log(jnp.where(t + radius > 0, t + radius, 1)))
        s = self._log_odds(rate)
        relative = 16 * LIBRARY * eps * (1 + jnp.abs(s)) * (1 + max(1 - self.tau, 0) * jnp.abs(s))
        slope = jnp.exp(self.log_slope(s))
        miss = jnp.abs(slope - rate) + relative * slope + moved
        low, high = (jnp.exp(self.log_slope(s + w)) for w in (-_WINDOW, _WINDOW))
        value = self.value(s)
        allowance = (relative + 4 * eps) * (jnp.abs(value) + rate * jnp.abs(s)) + miss * _WINDOW + moved * jnp.abs(s)
        allowance += (t.shape[0] + 4 * LIBRARY) * eps * jnp.sum((t + radius) * (1 + logs), axis=0)
        inside = jnp.all(t - radius >= 0, axis=0) & (moved <= 0.25 * rate)
        inside &= (low * (1 + 2 * relative) <= rate - moved) & (high * (1 - 2 * relative) >= rate + moved)
        nothing = none & (moved == 0)
        below = Below(entropy + value - rate * s, allowance, inside)
        return Below(*(jnp.where(nothing, x, y) for x, y in zip((0.0, 0.0, True), below, strict=True)))

    def _log_odds(self, rate: jax.Array) -> jax.Array:
        """s with phi'(s) = rate, by Newton steps in the logarithm, where phi' is concave: they come from the left."""
        log_rate = jnp.log(rate)
        log_slope, slope_of = self.log_slope, jax.grad(lambda s: jnp.sum(self.log_slope(s)))
        return lax.fori_loop(0, _STEPS, lambda _, s: s - (log_slope(s) - log_rate) / slope_of(s), log_rate - 0.75)
