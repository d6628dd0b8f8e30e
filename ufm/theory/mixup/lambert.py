"""Mixed features by Lambert's function: given Den = e^x + e^y + K - 2, each of the two logits is explicit.

With A_t = kappa (t + 1/Den) (without 1/Den for K = 2, where y = -x), the equation x = kappa (t - (e^x - 1)/Den) has the root

    x = A_t - W0((kappa/Den) e^{A_t}) = log W0((kappa/Den) e^{A_t}) - log(kappa/Den),    y the same with 1 - t,

and one increasing equation for log Den on [log K, log(kappa K + K + 4)] is left, x + y = kappa K/Den (K = 2: x + y = 0),
whose root is well conditioned at every kappa. Lambert's function is taken in log space, v = log W0(e^L) from e^v + v = L.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ufm.search.roots import increasing_root
from ufm.theory import statements
from ufm.theory.mixup.features import MixedSamples, TwoLogits, found_logits
from ufm.theory.theorem import agreement


def predict(samples: MixedSamples) -> TwoLogits:
    """Under mixup and a fixed simplex classifier each logit is Lambert's function of the softmax's denominator, which solves one
    scalar equation; the minimum over features has no other form.
    """
    K, kappa = jnp.asarray(samples.classes), jnp.asarray(samples.kappa)

    def logit(log_den: jax.Array, t: jax.Array, K: jax.Array, kappa: jax.Array) -> jax.Array:
        A = kappa * (t + jnp.where(K > 2, jnp.exp(-log_den), 0))
        shift = jnp.log(kappa) - log_den
        v = log_lambert(A + shift)
        return jnp.where(A + shift > 1, v - shift, A - jnp.exp(v))  # the form without cancellation

    def excess(log_den: jax.Array, t: jax.Array, K: jax.Array, kappa: jax.Array) -> jax.Array:
        total = logit(log_den, t, K, kappa) + logit(log_den, 1 - t, K, kappa)
        return total - jnp.where(K > 2, kappa * K * jnp.exp(-log_den), 0)

    def one(t: jax.Array) -> tuple[jax.Array, jax.Array]:
        log_den = increasing_root(excess, jnp.log(K), jnp.log(kappa * K + K + 4), t, K, kappa)
        return logit(log_den, t, K, kappa), logit(log_den, 1 - t, K, kappa)

    return TwoLogits(*lax.map(one, jnp.asarray(samples.t)))


def log_lambert(L: jax.Array) -> jax.Array:
    """v = log W0(e^L), the root of e^v + v = L, by Newton steps that fall to it from above."""

    def newton(_: int, v: jax.Array) -> jax.Array:
        return v - (jnp.exp(v) + v - L) / (jnp.exp(v) + 1)

    return lax.fori_loop(0, 8, newton, jnp.where(L > 1, jnp.log(jnp.maximum(L, 1)), L))


_T = np.array([0.0, 0.1, 0.5, 0.7, 1.0])


def cases() -> dict[str, MixedSamples]:
    """Two, three and ten classes, weak to strong ridges, t at both ends and 1/2."""
    return {
        f"K={K} kappa={kappa}": MixedSamples(np.asarray(float(K)), _T, np.asarray(kappa))
        for K, kappa in ((2, 0.1), (2, 10.0), (3, 10.0), (3, 1e4), (10, 100.0))
    }


def draw(rng: np.random.Generator) -> MixedSamples:
    """Random K up to 8, kappa and weights."""
    return MixedSamples(np.asarray(float(rng.integers(2, 9))), rng.uniform(size=_T.size), np.asarray(np.exp(rng.uniform(-3, 8))))


THEOREMS = (
    # other: SciPy minimises over the features of one sample at a time, which is no `Problem`
    statements.other(
        "mixup-fixed-simplex-lambert", "derived; setting: [fisher2024]",
        predict, found_logits, cases, draw, evidence=agreement(1e-9),
    ),
)  # fmt: skip
