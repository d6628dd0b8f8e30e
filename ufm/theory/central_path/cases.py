"""Starts of flows of the features: random frames with the singular values that a case asks for, and what is assumed of them."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ufm.losses import MSE
from ufm.motion.central_path import within_part
from ufm.problem import Problem
from ufm.search.roots import increasing_root
from ufm.theory import assumptions
from ufm.theory.kit.integrate import central_path
from ufm.theory.theorem import Assumption


class FeatureStart(NamedTuple):
    """A balanced problem whose columns are samples, features H of shape (d, N) at time 0, and the (T,) times to look at."""

    problem: Problem
    H: jax.Array
    ts: jax.Array


def features(case: FeatureStart) -> jax.Array:
    """(T, d, N) of H along H' = -grad L(H), all entries integrated, the gradient by automatic differentiation."""
    return central_path(case.problem, case.H, case.ts)


def evolved(case: FeatureStart, law: Callable) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Sizes (T, r) and means (T, d, K) where the class means keep their singular vectors, and D (d, N), the features less means.

    law: (singular value at the start, time) -> singular value, of scalars.
    """
    problem, H, ts = case
    M = problem.group_sum(H) / problem.groups[0]
    U, first, Vt = jnp.linalg.svd(M, full_matrices=False)
    sizes = jax.vmap(lambda t: jax.vmap(lambda m: law(m, t))(first))(ts)
    return sizes, jnp.einsum("dj,tj,jk->tdk", U, sizes, Vt), H - M[:, problem.labels]


def grown(omega0: jax.Array, t: jax.Array, elapsed: Callable, highest: Callable) -> jax.Array:
    """omega(t) from omega0 >= 0, elapsed(ln omega) - t being constant, with ln omega <= highest(ln omega0); a zero stays zero."""
    u0 = jnp.log(jnp.where(omega0 > 0, omega0, 1))
    u = increasing_root(lambda u, u0, t: elapsed(u) - elapsed(u0) - t, u0, highest(u0), u0, t)
    return jnp.where(omega0 > 0, jnp.exp(u), 0)


def ridged(classes: int, per_class: int, dim: int, lW: float, lH: float) -> Problem:
    """Balanced MSE with l2_W = lW/K > 0 and l2_H = lH/N >= 0."""
    problem = Problem.balanced(classes, per_class, dim, l2_W=lW / classes, l2_H=1.0)
    # a path needs no minimum at its end: l2_H = 0 is no problem to solve, but one to flow in
    return dataclasses.replace(problem, l2_H=jnp.asarray(lH / (classes * per_class), problem.dtype))


def frame(rng: np.random.Generator, dim: int, count: int) -> np.ndarray:
    """`count` orthonormal columns in R^dim."""
    return np.linalg.qr(rng.normal(size=(dim, count)))[0]


def within_rows(rng: np.random.Generator, classes: int, per_class: int, count: int) -> np.ndarray:
    """`count` orthonormal rows over the samples, each of mean zero in every class; count <= K (n - 1)."""
    raw = rng.normal(size=(classes, per_class, count))
    return np.linalg.qr((raw - raw.mean(axis=1, keepdims=True)).reshape(-1, count))[0].T


def renormalised_features(classes: int, per_class: int, omega: np.ndarray, dim: int, rng) -> tuple[Problem, np.ndarray]:
    """A free problem, and (d, N) of Sigma_W = I and mean zero whose class means have the K - 1 (or d) singular values omega."""
    noise = np.sqrt(classes * per_class) * within_rows(rng, classes, per_class, dim)
    basis = np.linalg.qr(np.concatenate([np.ones((classes, 1)), rng.normal(size=(classes, classes - 1))], axis=1))[0]
    V = basis[:, 1:] @ frame(rng, classes - 1, len(omega))  # columns orthogonal to the vector of ones
    H = np.repeat(frame(rng, dim, len(omega)) * omega @ V.T, per_class, axis=1) + noise
    return Problem.balanced(classes, per_class, dim, bias="free"), H


def renormalised_start(omega: np.ndarray, ts: np.ndarray, rng: np.random.Generator) -> FeatureStart:
    """A random renormalised start of those two singular values."""
    problem, H = renormalised_features(3, 3, omega, 4, rng)
    return FeatureStart(problem, jnp.asarray(H), jnp.asarray(ts))


def is_mse(problem: Problem, bias: str) -> bool:
    """Whether a problem is balanced one-hot squared error of one layer, with that bias."""
    needed = (assumptions.BALANCED, assumptions.ONE_LAYER, assumptions.has_loss(MSE), assumptions.has_bias(bias))
    return all(assumption.test(problem) for assumption in needed)


def _is_renormalised(case: Any) -> bool:
    X, D = np.asarray(case.H), np.asarray(within_part(case.problem, case.H))
    off = np.max(np.abs(D @ D.T / X.shape[1] - np.eye(len(X))))
    return bool(max(off, np.max(np.abs(X.mean(axis=1)))) < 1e-10)


BALANCED = Assumption("balanced one-hot MSE without bias, one layer", lambda c: is_mse(c.problem, "none"))
UNREGULARISED = Assumption("no ridges", lambda c: not np.any(c.problem.ridges))
FREE = Assumption(
    "equal one-hot classes, one layer of squared error, free bias, no ridges",
    lambda c: is_mse(c.problem, "free") and UNREGULARISED.test(c),
)
RENORMALISED = Assumption("Sigma_W = I and global mean 0", _is_renormalised)
