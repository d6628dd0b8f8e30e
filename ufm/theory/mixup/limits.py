"""Mixed features under very weak and very strong ridges: channels between classes, and a linear map of the targets.

    kappa -> inf:  x - y = log(t/(1 - t)),   x + y = 2 W0(kappa K sqrt(t (1 - t)) / 2) ~ 2 log kappa    up to O(log(kappa)/kappa)
    kappa -> 0:    z = kappa/(1 + kappa/K) (q - 1/K)                                                    up to O(kappa^3)

for 0 < t < 1; K = 2 has x + y = 0 throughout. Under weak ridges the softmax is the target, which fixes x - y, and length is
spent on driving the other classes down: the features of a pair run to infinity along a channel, their place across it the
log-odds of t. Under strong ridges they are those of squared error, convex combinations of the features of classes.
W0 is Lambert's function.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ufm.theory import statements
from ufm.theory.mixup.features import MixedSamples, TwoLogits, found_logits
from ufm.theory.mixup.lambert import log_lambert
from ufm.theory.theorem import Check, below

_FACTOR = 10.0  # between the two kappas at which errors are compared


class Approach(NamedTuple):
    """Logits at kappa and, `_FACTOR` times nearer the limit, at a second kappa."""

    near: TwoLogits
    nearer: TwoLogits


def predict(samples: MixedSamples) -> Approach:
    """Under mixup and a fixed simplex classifier, as the ridge vanishes the two logits differ by the log-odds of lambda while their
    sum grows like 2 log kappa; as it grows, features become linear in the targets.

    Weak ridges are those of kappa > 1.
    """
    K, t, kappa = (jnp.asarray(x) for x in samples)

    def at(kappa: jax.Array) -> TwoLogits:
        odds = jnp.log(t) - jnp.log1p(-t)
        log_W = log_lambert(jnp.log(kappa * K / 2) + 0.5 * (jnp.log(t) + jnp.log1p(-t)))
        total = jnp.where(K > 2, 2 * jnp.exp(log_W), 0)
        small = kappa / (1 + kappa / K)
        level = jnp.where(K > 2, 0, 0.5)  # K = 2: logits above their mean
        x = jnp.where(kappa > 1, (total + odds) / 2, small * (t - level))
        y = jnp.where(kappa > 1, (total - odds) / 2, small * (1 - t - level))
        return TwoLogits(x, y)

    return Approach(at(kappa), at(_nearer(kappa)))


def measure(samples: MixedSamples, key: jax.Array) -> Approach:
    """Features that SciPy finds at both kappas."""
    nearer = samples._replace(kappa=_nearer(samples.kappa))
    return Approach(found_logits(samples, key), found_logits(nearer, key))


def evidence(samples: MixedSamples, predicted: Approach, measured: Approach) -> list[Check]:
    """Errors within a multiple of their size, and falling with an order of at least 1 (less the logarithm) or 3."""
    K, kappa = float(samples.classes), float(samples.kappa)
    weak = kappa > 1
    errors = [np.max(np.abs(np.subtract(p, m))) for p, m in zip(predicted, measured, strict=True)]
    order = float(np.log(errors[0] / errors[1]) / np.log(_FACTOR))
    scale = np.log(kappa * K) / kappa if weak else kappa**3
    return [
        Check("agreement", "logits", errors[0], 30 * scale if weak else scale),
        below("agreement", "order falls short", (1 if weak else 3) - order, 0.3),
    ]


def _nearer(kappa: Any) -> Any:
    return kappa * jnp.where(kappa > 1, _FACTOR, 1 / _FACTOR)


_T = np.array([0.1, 0.5, 0.7])


def cases() -> dict[str, MixedSamples]:
    """Weak and strong ridges for two, three and ten classes."""
    return {
        f"K={K} kappa={kappa}": MixedSamples(np.asarray(float(K)), _T, np.asarray(kappa))
        for K in (2, 3, 10)
        for kappa in (1e-2, 1e4)
    }


def draw(rng: np.random.Generator) -> MixedSamples:
    """Random classes and lambdas, and a ridge near either limit."""
    kappa = np.exp(rng.uniform(*np.log([[1e-2, 3e-2], [2e4, 1e5]][rng.integers(2)])))
    return MixedSamples(np.asarray(float(rng.integers(2, 12))), rng.uniform(0.05, 0.95, size=3), np.asarray(kappa))


THEOREMS = (
    # other: a limit, held to the order in which errors of minima found by SciPy fall
    statements.other(
        "mixup-limits", "derived; the channels along decision boundaries are observed in [fisher2024]",
        predict, measure, cases, draw, evidence=evidence,
    ),
)  # fmt: skip
