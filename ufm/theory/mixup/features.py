"""What SciPy finds of mixed features under a fixed simplex classifier: one sample at a time, from random starts.

    min_h  CE(q, softmax(W h)) + |h|^2 / (2 kappa),    W W^T = I - J/K,    q = t e_1 + (1 - t) e_2

A measurement: it knows nothing of the potential of two scalars, and compiles nothing.
"""

from typing import Any, NamedTuple

import jax
import numpy as np
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax

from ufm.base.matrices import helmert


class MixedSamples(NamedTuple):
    """K = classes as a number, weights t (n,) of the first of two classes, and kappa, the classifier's size over the ridge."""

    classes: Any
    t: Any
    kappa: Any


class TwoLogits(NamedTuple):
    """Logits x and y, (n,) each, of the two mixed classes above those of the other ones (K = 2: above their mean)."""

    x: Any
    y: Any


def found_logits(samples: MixedSamples, key: jax.Array) -> TwoLogits:
    """Trust-region minimisation over all K - 1 coordinates of each feature, finished by Newton steps.

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
