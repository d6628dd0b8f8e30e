"""Supervised contrastive loss on the sphere: collapse to the simplex at every temperature (Graf et al. 2021).

A batch of K classes of n >= 2 samples with unit features u_i; each sample draws the n - 1 others of its class,

    L = mean_i -1/(n-1) sum_{j ~ i, j != i} log( e^{<u_i, u_j>/T} / sum_{l != i} e^{<u_i, u_l>/T} )

For K <= d + 1 its minimum is at one simplex vector a class, and equals log( n - 1 + n (K-1) e^{-K/((K-1) T)} ).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp
from scipy.optimize import minimize

from ufm.base.checks import AnyArray, check_count, check_positive, refuse
from ufm.theory import statements
from ufm.theory.theorem import agreement

_ROOM = (3, 8)  # all searches share one program: d <= 3 rows, K n <= 8 columns
_STARTS = 2


class Batch(NamedTuple):
    """K, n, d and T; all batches share their shapes."""

    classes: np.ndarray
    per_class: np.ndarray
    dim: np.ndarray
    temperature: np.ndarray


class Contrast(NamedTuple):
    """The least loss, and the (K n, K n) Gram matrix of the features there, zeros beyond the batch."""

    value: jax.Array
    gram: AnyArray


def batch(classes: int, per_class: int, dim: int, temperature: float) -> Batch:
    """A case, refused where the formula does not hold or says nothing."""
    check_count("classes", classes, 2)
    if per_class == 1:
        refuse("per_class", per_class, "at least 2: a sample that is alone in its class has no positives, its term is 0/0")
    check_count("per_class", per_class, 2)
    check_count("dim", dim, classes - 1)
    check_positive("temperature", temperature)
    return Batch(*(np.asarray(x, float) for x in (classes, per_class, dim, temperature)))


def predict(case: Batch) -> Contrast:
    """The supervised contrastive loss of a balanced batch of unit features, two or more a class and K <= d + 1, is least at the
    collapsed simplex, where it is log(n - 1 + n (K-1) exp(-K/((K-1) T))).

    log(n - 1 + n (K-1) exp(-K/((K-1) T))), at features that are equal in a class and simplex vectors between classes.
    """
    K, n, T = case.classes, case.per_class, case.temperature
    value = logsumexp(jnp.stack([jnp.zeros_like(T), -K / ((K - 1) * T)]), b=jnp.stack([n - 1, n * (K - 1)]))
    labels = jnp.arange(_ROOM[1]) // n
    present = (labels < K)[:, None] & (labels < K)[None, :]
    cosines = jnp.where(labels[:, None] == labels[None, :], 1, -1 / (K - 1))
    return Contrast(value, jnp.where(present, cosines, 0))


def loss(features: jax.Array, case: Batch) -> jax.Array:
    """L of the columns of `features`, normalised; rows beyond d must be zero, columns beyond K n do not count."""
    u = features / jnp.linalg.norm(features, axis=0, keepdims=True)
    labels = jnp.arange(_ROOM[1]) // case.per_class
    present, self_pair = labels < case.classes, jnp.eye(_ROOM[1], dtype=bool)
    z = u.T @ u / case.temperature
    log_shares = z - logsumexp(z, axis=1, where=present[None, :] & ~self_pair, keepdims=True)
    positives = (labels[:, None] == labels[None, :]) & present[:, None] & present[None, :] & ~self_pair
    samples = case.classes * case.per_class
    return -jnp.sum(jnp.where(positives, log_shares, 0)) / (samples * (case.per_class - 1))


def measure(case: Batch, key: jax.Array) -> Contrast:
    """The best of L-BFGS runs on normalised coordinates from random features."""
    rows = np.arange(_ROOM[0]) < case.dim
    starts = np.asarray(jax.random.normal(key, (_STARTS, *_ROOM))) * rows[None, :, None]

    def value_and_slope(x: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = _value_and_slope(x.reshape(_ROOM), case)
        return float(value), np.asarray(slope).ravel()

    options = {"maxiter": 2000, "maxfun": 4000, "ftol": 1e-16, "gtol": 1e-10, "maxcor": 20}
    runs = [minimize(value_and_slope, start.ravel(), jac=True, method="L-BFGS-B", options=options) for start in starts]
    best = min(runs, key=lambda run: run.fun)
    u = best.x.reshape(_ROOM)
    u = u / np.linalg.norm(u, axis=0)
    present = np.arange(_ROOM[1]) < case.classes * case.per_class
    return Contrast(best.fun, np.where(present[:, None] & present[None, :], u.T @ u, 0))


_value_and_slope = jax.jit(jax.value_and_grad(loss))


def cases() -> dict[str, Batch]:
    """Pairs and larger classes, K from 2 to d + 1, low and high temperatures."""
    grid = ((4, 2, 3, 0.5), (4, 2, 3, 0.1), (3, 2, 2, 1.0), (3, 2, 3, 3.0), (2, 4, 3, 0.5), (2, 2, 2, 1.0), (2, 3, 2, 0.2))
    return {f"K={K} n={n} d={d} T={T}": batch(K, n, d, T) for K, n, d, T in grid}


def draw(rng: np.random.Generator) -> Batch:
    """A random batch that fits, and a random temperature."""
    K, n, d = ((4, 2, 3), (3, 2, 2), (2, 4, 2), (2, 3, 3))[rng.integers(4)]
    return batch(K, n, d, float(np.exp(rng.uniform(-2, 1))))


THEOREMS = (
    statements.other(
        "supcon", "[graf2021]",
        predict, measure, cases, draw, evidence=agreement(1e-9, gram=1e-4),
        notes="One full batch. Classes of one sample have no positives and are refused.",
    ),
)  # fmt: skip
