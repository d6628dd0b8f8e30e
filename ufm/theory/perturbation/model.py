"""The proximity model in the numbers of Tirer et al. 2023, and the problems on which its theorems are tried.

    min over W, H of 1/(2N) |W H - Y|^2 + lW/(2K) |W|^2 + lH/(2N) |H|^2 + B/(2N) |H - H0|^2,    N = K n,

so that lW = K l2_W, lH = N l2_H and B = N beta. Where a theorem speaks of the plain model at given features, these are the H0
of its case.
"""

from fractions import Fraction
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ufm.base.checks import AnyArray
from ufm.problem import Problem
from ufm.problem.meant import exact


class Units(NamedTuple):
    """lW = K l2_W, lH = N l2_H and B = N beta, scalars; n = N/K; c = sqrt(lH lW) and s = sqrt(lH/lW)."""

    lW: jax.Array
    lH: jax.Array
    B: jax.Array
    n: jax.Array
    c: jax.Array
    s: jax.Array


class Minimum(NamedTuple):
    """W (K, d), H (d, N) and the objective there."""

    W: AnyArray
    H: AnyArray
    value: AnyArray


class Times(NamedTuple):
    """A problem with H0, and (T,) times: of the central path from H0, or tau = 1/B of the proximity model."""

    problem: Problem
    ts: jax.Array


def units(problem: Problem) -> Units:
    """The ridges and the proximity of a problem in Tirer's numbers."""
    K, N = problem.classes, problem.samples
    lW, lH = K * problem.l2_W[0], N * problem.l2_H
    return Units(lW, lH, N * problem.beta, N / K, jnp.sqrt(lH * lW), jnp.sqrt(lH / lW))


def exact_units(problem: Problem) -> tuple[Fraction, Fraction, Fraction]:
    """lW, lH and B of the numbers of a problem, exactly."""
    N, l2_W = exact(problem, "samples")[()], exact(problem, "l2_W")[0]
    return problem.classes * l2_W, N * exact(problem, "l2_H")[()], N * exact(problem, "beta")[()]


def parts(problem: Problem, H: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The class means M (d, K) of features H (d, N), and what is left within classes, D = H - M (x) 1^T."""
    M = problem.group_sum(H) / problem.counts[None, :]
    return M, H - M[:, problem.labels]


def strength(problem: Problem) -> float:
    """(B + lH) lW: above 1 the proximity model has one stationary point, and from 1/2 on NC1 falls at all that it has."""
    lW, lH, B, *_ = units(problem)
    return float((B + lH) * lW)


def is_alive(problem: Problem) -> bool:
    """Whether c < 1 and d >= K, so that the collapsed minimiser of the plain model is an orthogonal frame."""
    return bool(units(problem).c < 1) and problem.widths[0] >= problem.classes


def proximity(lW: float, lH: float, B: float, H0: np.ndarray, n: int = 2) -> Problem:
    """The proximity model around H0 (d, K n) at ridges and proximity in Tirer's numbers."""
    d, N = H0.shape
    return Problem.balanced(N // n, n, d, l2_W=lW * n / N, l2_H=lH / N, beta=B / N, H0=jnp.asarray(H0))


def random_features(rng: np.random.Generator, means: float = 1.0, noise: float = 1.0, K: int = 3, n: int = 2, d: int = 5):
    """Gaussian features (d, K n): class means of standard deviation `means`, deviations of `noise`."""
    D = rng.normal(size=(d, K, n))
    D -= D.mean(axis=2, keepdims=True)
    return (means * rng.normal(size=(d, K, 1)) + noise * D).reshape(d, K * n)


def around_random(rng: np.random.Generator, lW: float, lH: float, means=1.0, noise=1.0, B=1.0, n: int = 2, d: int = 5) -> Problem:
    """The proximity model around `random_features` of K = 3 classes."""
    return proximity(lW, lH, B, random_features(rng, means, noise, n=n, d=d), n)


def draw(rng: np.random.Generator, n: int = 2, d: int = 5) -> Problem:
    """Random ridges and features."""
    lW, lH, means, noise = np.exp(rng.uniform(-2, 1, size=4))
    return around_random(rng, lW, lH, means, noise, n=n, d=d)
