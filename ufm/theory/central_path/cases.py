"""Starts of flows of the features: random frames with the singular values that a case asks for."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ufm.losses import MSE, is_loss
from ufm.motion.central_path import within_part
from ufm.problem import Problem, is_balanced


class FeatureStart(NamedTuple):
    """A balanced problem whose columns are samples, features H of shape (d, N) at time 0, and the (T,) times to look at."""

    problem: Problem
    H: jax.Array
    ts: jax.Array


def ridged(classes: int, per_class: int, dim: int, lW: float, lH: float) -> Problem:
    """Balanced MSE with l2_W = lW/K > 0 and l2_H = lH/N >= 0."""
    problem = Problem.balanced(classes, per_class, dim, l2_W=lW / classes, l2_H=1.0)
    # a path needs no minimum at its end: l2_H = 0 is no problem to solve, but one to flow in
    return dataclasses.replace(problem, l2_H=jnp.asarray(lH / (classes * per_class), problem.dtype))


def is_balanced_mse(problem: Problem) -> bool:
    """Whether a problem is balanced one-hot squared error of one layer, without a bias."""
    return is_loss(problem.loss, MSE) and problem.bias == "none" and is_balanced(problem.design) and len(problem.widths) == 1


def frame(rng: np.random.Generator, dim: int, count: int) -> np.ndarray:
    """`count` orthonormal columns in R^dim."""
    return np.linalg.qr(rng.normal(size=(dim, count)))[0]


def within_rows(rng: np.random.Generator, classes: int, per_class: int, count: int) -> np.ndarray:
    """`count` orthonormal rows over the samples, each of mean zero in every class; count <= K (n - 1)."""
    raw = rng.normal(size=(classes, per_class, count))
    centred = (raw - raw.mean(axis=1, keepdims=True)).reshape(classes * per_class, count)
    return np.linalg.qr(centred)[0].T


def renormalised_start(classes: int, per_class: int, omega: np.ndarray, dim: int, rng: np.random.Generator) -> np.ndarray:
    """Features (d, N) of Sigma_W = I and global mean zero whose class means have the K - 1 (or d) singular values omega."""
    samples = classes * per_class
    noise = np.sqrt(samples) * within_rows(rng, classes, per_class, dim)
    # columns orthogonal to the vector of ones
    basis = np.linalg.qr(np.concatenate([np.ones((classes, 1)), rng.normal(size=(classes, classes - 1))], axis=1))[0][:, 1:]
    V = basis @ frame(rng, classes - 1, len(omega))
    means = frame(rng, dim, len(omega)) * omega @ V.T
    return np.repeat(means, per_class, axis=1) + noise


def is_free_mse(problem: Problem) -> bool:
    """Whether a problem is balanced one-hot squared error of one layer, with a free bias and no ridges."""
    no_ridges = float(problem.l2_H) == 0 and bool(np.all(np.asarray(problem.l2_W) == 0))
    return is_loss(problem.loss, MSE) and problem.bias == "free" and is_balanced(problem.design) and no_ridges


def is_renormalised(problem: Problem, H: jax.Array) -> bool:
    """Whether features have Sigma_W = I and global mean zero, to 1e-10."""
    X, D = np.asarray(H), np.asarray(within_part(problem, H))
    off = np.max(np.abs(D @ D.T / X.shape[1] - np.eye(len(X))))
    return bool(max(off, np.max(np.abs(X.mean(axis=1)))) < 1e-10)
