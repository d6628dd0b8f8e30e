"""Spectral points of a one-hot problem: every factor diagonal in frames it shares with its neighbours.

W_j = O_{j+1} diag(u_j) O_j^T and H = O_1 diag(u_0), with O_{M+1} = I and O_j of orthonormal columns (d_j x K): logits are
diagonal, one mode a class.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ufm.losses import MSE, is_loss
from ufm.problem import Problem, is_one_hot
from ufm.problem.params import Params, logits
from ufm.theory.assumptions import PLAIN
from ufm.theory.kit.integrate import arrival_times, downhill
from ufm.theory.theorem import Assumption


def ridged(counts: tuple[int, ...], widths: int | tuple[int, ...], cutoff: float, scale: float = 1.0) -> Problem:
    """One column a class and equal ridges of N l/scale = cutoff: two factors keep classes of more than cutoff^2 samples alive."""
    ridge = cutoff * scale / sum(counts)
    return Problem.imbalanced(counts, widths, l2_W=ridge, l2_H=ridge, scale=scale).collapsed()


def draw_sizes(rng: np.random.Generator, least: int = 1, most: int = 40) -> tuple[tuple[int, ...], float]:
    """Random sizes of three classes, and a scale between 1/2 and 2."""
    return tuple(int(n) for n in rng.integers(least, most, size=3)), float(np.exp(rng.uniform(-0.7, 0.7)))


def any_point(problem: Problem, rng: np.random.Generator, size: float = 1.0) -> Params:
    """Normal entries of W and H of that size, and of the bias, where there is one, of size one."""
    sizes = (problem.columns, *problem.widths, problem.classes)
    H, *weights = (jnp.asarray(size * rng.normal(size=(b, a))) for a, b in zip(sizes[:-1], sizes[1:], strict=True))
    return Params(tuple(weights), H, None if problem.bias == "none" else jnp.asarray(rng.normal(size=problem.classes)))


def spectral_point(problem: Problem, singular: np.ndarray, rng: np.random.Generator) -> Params:
    """Params of the given diagonals in random frames.

    Args:
      problem: K columns of K classes, widths at least K, no bias.
      singular: (M + 1, K) diagonals u_j, those of H first; any signs.
    """
    K = problem.classes
    frames = [np.linalg.qr(rng.normal(size=(width, K)))[0] for width in problem.widths] + [np.eye(K)]
    weights = (B @ np.diag(u) @ A.T for A, B, u in zip(frames[:-1], frames[1:], singular[1:], strict=True))
    H, *rest = (jnp.asarray(A, problem.dtype) for A in (frames[0] @ np.diag(singular[0]), *weights))
    return Params(tuple(rest), H, None)


def is_spectral(params: Params) -> bool:
    """Whether W_M W_M^T, H^T H and W_M ... W_1 H are diagonal, to twelve digits of the norms that make them."""
    H, weights = np.asarray(params.H), [np.asarray(W) for W in params.weights]
    product, size = H, np.linalg.norm(H)
    for W in weights:
        product, size = W @ product, size * np.linalg.norm(W)
    pairs = [(product, size), (H.T @ H, np.sum(H**2)), (weights[-1] @ weights[-1].T, np.sum(weights[-1] ** 2))]
    return all(np.max(np.abs(G - np.diag(np.diag(G)))) <= 1e-12 * scale for G, scale in pairs)


def is_tied_spectral(params: Params) -> bool:
    """Whether two factors are a spectral point of W = H^T."""
    return np.allclose(params.weights[0], params.H.T, rtol=1e-12, atol=0) and is_spectral(params)


def mode_matrix(problem: Problem, params: Params) -> jax.Array:
    """scale W_M ... W_1 H: logits times sqrt(m), (K, C)."""
    return logits(problem, params) * jnp.sqrt(problem.multiplicity)[None, :]


class Climb(NamedTuple):
    """A problem of K weighted columns, a spectral start, and levels (K, T) that the diagonal of the mode matrix will reach."""

    problem: Problem
    params: Params
    levels: jax.Array


@jax.jit
def climb(case: Climb, key: jax.Array) -> jax.Array:
    """(K, T) times: the flow of all entries is integrated until each diagonal logit reaches its levels."""
    velocity = downhill(case.problem)

    def times(k: jax.Array) -> jax.Array:
        return arrival_times(velocity, lambda p: mode_matrix(case.problem, p)[k, k], case.params, case.levels[k])

    return lax.map(times, jnp.arange(case.problem.classes))


def plain_mse(problem: Problem) -> bool:
    """One-hot squared error without bias or proximity, trained classifier, unit column weights."""
    return is_loss(problem.loss, MSE) and PLAIN.test(problem) and problem.bias == "none" and is_one_hot(problem.design)


def one_layer_mse(problem: Problem) -> bool:
    """One trained layer of squared error with unit column weights: any targets, any bias."""
    squares = is_loss(problem.loss, MSE) and PLAIN.test(problem) and len(problem.widths) == 1
    return squares and bool(np.all(np.asarray(problem.weight) == 1))


ONE_COLUMN = Assumption(
    "one-hot MSE without bias, one layer, one column a class",
    lambda c: plain_mse(c.problem) and len(c.problem.widths) == 1 and c.problem.columns == c.problem.classes,
)
EQUAL_RIDGES = Assumption("equal ridges on all factors", lambda c: bool(np.ptp(np.asarray(c.problem.ridges)) == 0))
BALANCED_SPECTRAL = (ONE_COLUMN, EQUAL_RIDGES, Assumption("a balanced spectral start", lambda c: is_tied_spectral(c.params)))
