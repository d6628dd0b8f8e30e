"""Spectral points of a one-hot problem: every factor diagonal in frames it shares with its neighbours.

W_j = O_{j+1} diag(u_j) O_j^T and H = O_1 diag(u_0), with O_{M+1} = I and O_j of orthonormal columns (d_j x K): logits are
diagonal, one mode a class.
"""

import jax
import jax.numpy as jnp
import numpy as np

from ufm.losses import MSE, is_loss
from ufm.problem import Problem, is_one_hot
from ufm.problem.params import Params, logits


def spectral_point(problem: Problem, singular: np.ndarray, rng: np.random.Generator) -> Params:
    """Params of the given diagonals in random frames.

    Args:
      problem: K columns of K classes, widths at least K, no bias.
      singular: (M + 1, K) diagonals u_j, those of H first; any signs.
    """
    K = problem.classes
    frames = [np.linalg.qr(rng.normal(size=(width, K)))[0] for width in problem.widths] + [np.eye(K)]
    weights = (B @ np.diag(u) @ A.T for A, B, u in zip(frames[:-1], frames[1:], singular[1:], strict=True))
    H = frames[0] @ np.diag(singular[0])
    return Params(tuple(jnp.asarray(W, problem.dtype) for W in weights), jnp.asarray(H, problem.dtype), None)


def is_spectral(params: Params) -> bool:
    """Whether W_M W_M^T, H^T H and W_M ... W_1 H are diagonal, to twelve digits of the norms that make them."""
    H, weights = np.asarray(params.H), [np.asarray(W) for W in params.weights]
    product, size = H, np.linalg.norm(H)
    for W in weights:
        product, size = W @ product, size * np.linalg.norm(W)
    pairs = [(product, size), (H.T @ H, np.sum(H**2)), (weights[-1] @ weights[-1].T, np.sum(weights[-1] ** 2))]
    return all(np.max(np.abs(G - np.diag(np.diag(G)))) <= 1e-12 * scale for G, scale in pairs)


def is_balanced_spectral(params: Params) -> bool:
    """Whether two factors are a spectral point of W = H^T."""
    return np.allclose(params.weights[0], params.H.T, rtol=1e-12, atol=0) and is_spectral(params)


def mode_matrix(problem: Problem, params: Params) -> jax.Array:
    """scale W_M ... W_1 H: logits times sqrt(m), (K, C)."""
    return logits(problem, params) * jnp.sqrt(problem.multiplicity)[None, :]


def plain_mse(problem: Problem) -> bool:
    """One-hot squared error without bias or proximity, trained classifier, unit column weights."""
    plain = is_loss(problem.loss, MSE) and problem.bias == "none" and problem.features == "free"
    return plain and is_one_hot(problem.design) and problem.classifier is None and problem.H0 is None


def one_layer_mse(problem: Problem) -> bool:
    """One trained layer of squared error with unit column weights: any targets, any bias."""
    plain = is_loss(problem.loss, MSE) and len(problem.widths) == 1 and problem.features == "free"
    return plain and problem.classifier is None and problem.H0 is None and bool(np.all(np.asarray(problem.weight) == 1))
