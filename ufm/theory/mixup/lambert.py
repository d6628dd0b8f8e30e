"""Mixed features by Lambert's function: exactly, and under very weak and very strong ridges.

Given Den = e^x + e^y + K - 2 each of the two logits is explicit. With A_t = kappa (t + 1/Den) (without 1/Den for K = 2, where
y = -x), the equation x = kappa (t - (e^x - 1)/Den) has the root

    x = A_t - W0((kappa/Den) e^{A_t}) = log W0((kappa/Den) e^{A_t}) - log(kappa/Den),    y the same with 1 - t,

and one increasing equation for log Den on [log K, log(kappa K + K + 4)] is left, x + y = kappa K/Den (K = 2: x + y = 0),
whose root is well conditioned at every kappa. Lambert's function W0 is taken in log space, v = log W0(e^L) from e^v + v = L.

    kappa -> inf:  x - y = log(t/(1 - t)),   x + y = 2 W0(kappa K sqrt(t (1 - t)) / 2) ~ 2 log kappa    up to O(log(kappa)/kappa)
    kappa -> 0:    z = kappa/(1 + kappa/K) (q - 1/K)                                                    up to O(kappa^3)

for 0 < t < 1; K = 2 has x + y = 0 throughout. Under weak ridges the softmax is the target, which fixes x - y, and length is
spent on driving the other classes down: the features of a pair run to infinity along a channel, their place across it the
log-odds of t. Under strong ridges they are those of squared error, convex combinations of the features of classes.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax

from ufm.base.matrices import helmert
from ufm.search.roots import increasing_root
from ufm.theory import statements
from ufm.theory.theorem import Check, agreement, below

_FACTOR = 10.0  # between the two kappas at which errors are compared


class MixedSamples(NamedTuple):
    """K = classes as a number, weights t (n,) of the first of two classes, and kappa, the classifier's size over the ridge."""

    classes: Any
    t: Any
    kappa: Any


class TwoLogits(NamedTuple):
    """Logits x and y, (n,) each, of the two mixed classes above those of the other ones (K = 2: above their mean)."""

    x: Any
    y: Any


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


def found_logits(samples: MixedSamples, key: jax.Array) -> TwoLogits:
    """One feature at a time from a random start, CE(q, softmax(W h)) + |h|^2/(2 kappa) with q = t e_1 + (1 - t) e_2 is minimised by
    trust regions over all K - 1 coordinates, and by Newton steps: it knows no potential of two scalars, and compiles nothing.

    The other K - 2 classes must have one logit: unequal ones give NaN.
    """
    K, kappa = int(samples.classes), float(samples.kappa)
    W = np.asarray(helmert(K), float)
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    found = [_found(W, float(t), kappa, rng.normal(size=K - 1)) for t in np.asarray(samples.t)]
    return TwoLogits(*np.array(found).T)


def _found(W: np.ndarray, t: float, kappa: float, start: np.ndarray) -> tuple[float, float]:
    q = np.pad([t, 1 - t], (0, W.shape[0] - 2))

    def value(h: np.ndarray) -> float:
        return logsumexp(W @ h) - q @ W @ h + h @ h / (2 * kappa)

    def gradient(h: np.ndarray) -> np.ndarray:
        return W.T @ (softmax(W @ h) - q) + h / kappa

    def hessian(h: np.ndarray) -> np.ndarray:
        p = softmax(W @ h)
        return W.T @ (np.diag(p) - np.outer(p, p)) @ W + np.eye(h.size) / kappa

    h = minimize(value, start, jac=gradient, hess=hessian, method="trust-exact", options={"gtol": 1e-9}).x
    for _ in range(3):
        h = h - np.linalg.solve(hessian(h), gradient(h))
    z = W @ h
    others = z[2:] if z.size > 2 else np.mean(z, keepdims=True)
    level = np.mean(others) if np.ptp(others) <= 1e-7 * max(1, np.abs(z).max()) else np.nan
    return z[0] - level, z[1] - level


def _samples(K: Any, t: Any, kappa: Any) -> MixedSamples:
    return MixedSamples(np.asarray(float(K)), np.asarray(t), np.asarray(kappa))


def cases() -> dict[str, MixedSamples]:
    """Two, three and ten classes, weak to strong ridges, t at both ends and 1/2."""
    sizes = ((2, 0.1), (2, 10.0), (3, 10.0), (3, 1e4), (10, 100.0))
    return {f"K={K} kappa={kappa}": _samples(K, (0.0, 0.1, 0.5, 0.7, 1.0), kappa) for K, kappa in sizes}


def draw(rng: np.random.Generator) -> MixedSamples:
    """Random K up to 8, kappa and weights."""
    return _samples(rng.integers(2, 9), rng.uniform(size=5), np.exp(rng.uniform(-3, 8)))


class Approach(NamedTuple):
    """Logits at kappa and, `_FACTOR` times nearer the limit, at a second kappa."""

    near: TwoLogits
    nearer: TwoLogits


def predict_limits(samples: MixedSamples) -> Approach:
    """Under mixup and a fixed simplex classifier, as the ridge vanishes the two logits differ by the log-odds of lambda while their
    sum grows like 2 log kappa; as it grows, features become linear in the targets.

    Weak ridges are those of kappa > 1.
    """
    K, t, kappa = (jnp.asarray(x) for x in samples)

    def at(kappa: jax.Array) -> TwoLogits:
        odds = jnp.log(t) - jnp.log1p(-t)
        log_W = log_lambert(jnp.log(kappa * K / 2) + 0.5 * (jnp.log(t) + jnp.log1p(-t)))
        total, small = jnp.where(K > 2, 2 * jnp.exp(log_W), 0), kappa / (1 + kappa / K)
        level = jnp.where(K > 2, 0, 0.5)  # K = 2: logits above their mean
        x = jnp.where(kappa > 1, (total + odds) / 2, small * (t - level))
        return TwoLogits(x, jnp.where(kappa > 1, (total - odds) / 2, small * (1 - t - level)))

    return Approach(at(kappa), at(_nearer(kappa)))


def measure_limits(samples: MixedSamples, key: jax.Array) -> Approach:
    """Features that SciPy finds at both kappas."""
    return Approach(found_logits(samples, key), found_logits(samples._replace(kappa=_nearer(samples.kappa)), key))


def _nearer(kappa: Any) -> Any:
    return kappa * jnp.where(kappa > 1, _FACTOR, 1 / _FACTOR)


def limits_evidence(samples: MixedSamples, predicted: Approach, measured: Approach) -> list[Check]:
    """Errors within a multiple of their size, and falling with an order of at least 1 (less the logarithm) or 3."""
    K, kappa = float(samples.classes), float(samples.kappa)
    scale, least = (30 * np.log(kappa * K) / kappa, 1) if kappa > 1 else (kappa**3, 3)
    errors = [np.max(np.abs(np.subtract(p, m))) for p, m in zip(predicted, measured, strict=True)]
    order = float(np.log(errors[0] / errors[1]) / np.log(_FACTOR))
    return [Check("agreement", "logits", errors[0], scale), below("agreement", "order falls short", least - order, 0.3)]


def limits_cases() -> dict[str, MixedSamples]:
    """Weak and strong ridges for two, three and ten classes."""
    return {f"K={K} kappa={kappa}": _samples(K, (0.1, 0.5, 0.7), kappa) for K in (2, 3, 10) for kappa in (1e-2, 1e4)}


def draw_limits(rng: np.random.Generator) -> MixedSamples:
    """Random classes and lambdas, and a ridge near either limit."""
    kappa = np.exp(rng.uniform(*np.log([[1e-2, 3e-2], [2e4, 1e5]][rng.integers(2)])))
    return _samples(rng.integers(2, 12), rng.uniform(0.05, 0.95, size=3), kappa)


THEOREMS = (
    # other: SciPy minimises over the features of one sample at a time, which is no `Problem`
    statements.other(
        "mixup-fixed-simplex-lambert", "derived; setting: [fisher2024]",
        predict, found_logits, cases, draw, evidence=agreement(1e-9),
    ),
    # other: a limit, held to the order in which errors of minima found by SciPy fall
    statements.other(
        "mixup-limits", "derived; the channels along decision boundaries are observed in [fisher2024]",
        predict_limits, measure_limits, limits_cases, draw_limits, evidence=limits_evidence,
    ),
)  # fmt: skip
