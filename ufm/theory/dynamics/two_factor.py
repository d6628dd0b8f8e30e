"""Two factors from a balanced spectral start: every mode is a logistic curve (Saxe et al. 2014; with ridges derived).

W = diag(w) R^T, H = R diag(w) with R^T R = I, one column a class, and equal ridges l: W H stays diagonal, and
p_k = scale w_k^2, the k-th singular product of logits and sqrt(m), obeys

    p' = (2 scale/N) p (q - p),    q = sqrt(n_k) - N l / scale

A class of q > 0 is learned, at rate 2 scale q/N; one of q = 0 decays like 1/t; one of q < 0 dies exponentially.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ufm.motion.trajectory import flow
from ufm.problem import Problem
from ufm.problem.params import Params, logits
from ufm.theory import statements
from ufm.theory.dynamics.spectral import is_balanced_spectral, plain_mse
from ufm.theory.theorem import Assumption, agreement

_COUNTS = (50, 16, 9, 4)
_DIM = 6


class SpectralStart(NamedTuple):
    """A problem of K weighted columns, a balanced spectral start, and the (T,) times to look at."""

    problem: Problem
    params: Params
    ts: jax.Array


class Modes(NamedTuple):
    """p: (T, K) diagonal of the logits times sqrt(m). coupling: (T,) largest entry off it. value: (T,) of f."""

    p: jax.Array
    coupling: jax.Array
    value: jax.Array


def logistic(p0: jax.Array, target: jax.Array, speed: jax.Array, ts: jax.Array) -> jax.Array:
    """The solution (T, K) of p' = speed p (target - p) from p0 >= 0 at times ts, for every sign of target.

    Nothing overflows: with a = speed |target| t and g = (1 - e^-a)/a, where g = 1 at a = 0,

        p(t) = p0 / (e^-a + speed p0 t g)  for target > 0,    p0 e^-a / (1 + speed p0 t g)  otherwise.
    """
    r = (speed * target)[None, :]
    a = jnp.abs(r) * ts[:, None]
    positive = a > 0
    mean_decay = jnp.where(positive, -jnp.expm1(-a) / jnp.where(positive, a, 1), 1)
    decay = jnp.exp(-a)
    growing = r > 0
    denominator = jnp.where(growing, decay, 1) + speed * p0[None, :] * ts[:, None] * mean_decay
    return p0[None, :] * jnp.where(growing, 1, decay) / denominator


def predict(case: SpectralStart) -> Modes:
    """Gradient flow of two factors with equal ridges from a balanced spectral start: each class is a logistic mode of target
    sqrt(n_k) - N l, learned in order of size, dead at and below zero.

    Logistic p_k(t), and f(t) = sum_k (sqrt(n_k) - p_k)^2 / (2N) + l p_k / scale.
    """
    problem, ts = case.problem, case.ts
    N, scale, ridge = problem.samples, problem.scale, problem.l2_H
    size = jnp.sqrt(problem.multiplicity)
    p0 = scale * jnp.sum(case.params.H**2, axis=0)
    p = logistic(p0, size - N * ridge / scale, 2 * scale / N, ts)
    value = jnp.sum((size[None, :] - p) ** 2 / (2 * N) + ridge * p / scale, axis=1)
    return Modes(p, jnp.zeros_like(value), value)


def measure(case: SpectralStart, key: jax.Array) -> Modes:
    """Integrate the gradient flow of all entries of W and H, and read the modes off the logits."""
    del key  # the start belongs to the case
    problem = case.problem
    path = flow(problem, case.params, case.ts, rtol=1e-11, atol=1e-13)
    z = jax.vmap(lambda p: logits(problem, p))(path.path) * jnp.sqrt(problem.multiplicity)[None, None, :]
    p = jnp.diagonal(z, axis1=1, axis2=2)
    off = jnp.where(jnp.eye(problem.classes, dtype=bool)[None], 0, jnp.abs(z))
    return Modes(p, jnp.max(off, axis=(1, 2)), path.value)


def spectral_start(problem: Problem, sizes: np.ndarray, rng: np.random.Generator) -> Params:
    """W = diag(w) R^T, H = R diag(w) with w^2 = sizes and a random frame R."""
    R = np.linalg.qr(rng.normal(size=(problem.widths[0], problem.classes)))[0]
    H = jnp.asarray(R * np.sqrt(sizes), problem.dtype)
    return Params((H.T,), H, None)


def _case(cutoff: float, sizes: np.ndarray, last: float, rng: np.random.Generator, counts=_COUNTS) -> SpectralStart:
    """Ridges that leave classes of more than cutoff^2 samples alive, times up to `last` N."""
    N = sum(counts)
    problem = Problem.imbalanced(counts, _DIM, l2_W=cutoff / N, l2_H=cutoff / N).collapsed()
    return SpectralStart(problem, spectral_start(problem, sizes, rng), jnp.linspace(0, last * N, 9))


def cases() -> dict[str, SpectralStart]:
    """No ridge; one critical class between alive and dead ones; all dead; starts above the target; late times."""
    rng = np.random.default_rng(0)
    small, mixed = np.full(4, 1e-2), np.array([9.0, 0.1, 2.0, 1.0])
    return {
        "no ridge": _case(0.0, small, 3, rng),
        "two alive, one critical, one dead": _case(3.0, small, 5, rng),
        "critical and dead from O(1)": _case(3.0, mixed, 5, rng),
        "all dead": _case(8.0, mixed, 2, rng),
        "late, exponents beyond 700": _case(3.0, small, 120, rng),
    }


def draw(rng: np.random.Generator) -> SpectralStart:
    """Random class sizes, cutoff and start."""
    counts = tuple(int(n) for n in rng.integers(1, 60, size=4))
    return _case(rng.uniform(0, 8), np.exp(rng.uniform(-5, 1, size=4)), rng.uniform(1, 8), rng, counts)


THEOREMS = (
    statements.other(
        "two-factor-logistic", "[saxe2014]; ridges and class sizes derived",
        predict, measure, cases, draw,
        (
            Assumption("one-hot MSE without bias, one layer", lambda c: plain_mse(c.problem) and len(c.problem.widths) == 1),
            Assumption("one column a class", lambda c: c.problem.columns == c.problem.classes),
            Assumption("equal ridges on W and H", lambda c: bool(c.problem.l2_W[0] == c.problem.l2_H)),
            Assumption("a balanced spectral start", lambda c: is_balanced_spectral(c.params)),
        ),
        evidence=agreement(1e-8, coupling=1e-9),
    ),
)  # fmt: skip
