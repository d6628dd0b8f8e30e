"""Balanced squared error on M linear layers: orthogonal frame, simplex, and between (Dang et al. 2023; Zhou et al. 2022).

All directions share t (see `spectrum`), with mu = n. Without a bias Zbar = t P for a projector P of rank min(K, d's); a free
bias takes the mean direction away and leaves the simplex; a ridge on the bias fills it partly (t0 <= t).
"""

import jax
import jax.numpy as jnp

from ufm.base.matrices import helmert
from ufm.losses import MSE
from ufm.problem import Problem
from ufm.theory import statements
from ufm.theory.assumptions import BALANCED, DEEP, ONE_LAYER, PENALISED, PLAIN, has_bias, has_loss
from ufm.theory.mse.cases import balanced_cases, draw_balanced
from ufm.theory.mse.spectrum import minimise_directions
from ufm.theory.prediction import Prediction, from_triples


def predict_without_bias(problem: Problem) -> Prediction:
    """Balanced MSE without bias on M linear layers: logits are t times a projector of rank min(K, widths); with all widths at least
    K every layer is an orthogonal frame; below the tie everything collapses to zero.

    f* = (R/2K)(1-t)(1+Mt) + (K-R)/(2K), Zbar = t P_R, beta = N c / n^(M/(M+1)), R = min(K, d_1, ..., d_M).
    """
    return _spread(problem, jnp.eye(problem.classes, dtype=problem.dtype))


def predict_free_bias(problem: Problem) -> Prediction:
    """Balanced MSE with an unpenalised bias on M linear layers: b = 1/K and the simplex ETF in every layer.

    The same t on the K - 1 directions orthogonal to 1: Zbar = t (I - J) where all widths allow.
    """
    return _spread(problem, helmert(problem.classes, dtype=problem.dtype))


def predict_ridge_bias(problem: Problem) -> Prediction:
    """Zbar = t (I - J) + t0 J and b = (1-t0)/(K(1+l2_b)), t0 from the mean direction of weight l2_b/(1+l2_b)."""
    K, dtype = problem.classes, problem.dtype
    basis = jnp.concatenate([helmert(K, dtype=dtype), jnp.full((K, 1), 1 / jnp.sqrt(1.0 * K), dtype)], axis=1)
    return _spread(problem, basis, jnp.ones((K,), dtype).at[-1].set(problem.l2_b / (1 + problem.l2_b)))


def _spread(problem: Problem, basis: jax.Array, gamma: jax.Array | None = None) -> Prediction:
    """Minimise each direction of an orthonormal basis with mu = n; the first R of them fit through the widths."""
    (K, size), n = basis.shape, jnp.mean(problem.counts)
    rank, sigma, value, alive = minimise_directions(problem, jnp.full((size,), 1, problem.dtype) * n, gamma)
    b = jnp.full((K,), 0 if problem.bias == "none" else 1 / K, problem.dtype)
    if problem.bias == "ridge":
        b = b * (1 - (sigma[-1] / jnp.sqrt(n) if rank == K else 0)) / (1 + problem.l2_b)
    unique = (rank >= (size if gamma is None else size - 1)) | ~jnp.any(alive)
    return from_triples(problem, basis[:, :rank], sigma, basis[:, :rank], b, value, unique=unique)


_SHARED = (has_loss(MSE), BALANCED, PLAIN, PENALISED)

THEOREMS = (
    statements.minimum(
        "mse-balanced-deep", "[dang2023]",
        predict_without_bias, lambda: balanced_cases("none"), lambda rng: draw_balanced(rng, "none"), (*_SHARED, has_bias("none")),
    ),
    statements.minimum(
        "mse-balanced-deep-freebias", "[dang2023]",
        predict_free_bias, lambda: balanced_cases("free"), lambda rng: draw_balanced(rng, "free"), (*_SHARED, has_bias("free")),
    ),
    statements.minimum(
        "mse-balanced-ridgebias", "[zhou2022landscape]; threshold derived",
        predict_ridge_bias, lambda: balanced_cases("ridge", depths=(1,)), lambda rng: draw_balanced(rng, "ridge", depths=(1,)),
        (*_SHARED, has_bias("ridge"), ONE_LAYER),
        claim="Balanced MSE, one layer, ridge on the bias: t (I - J) + t0 J, between simplex (small l2_b) and orthogonal "
        "frame (l2_b to infinity); t0 > 0 only above an explicit l2_b.",
    ),
    statements.minimum(
        "mse-balanced-ridgebias-deep", "[zhou2022landscape]; deep case derived",
        predict_ridge_bias, lambda: balanced_cases("ridge", depths=(2, 3)), lambda rng: draw_balanced(rng, "ridge", depths=(2, 3)),
        (*_SHARED, has_bias("ridge"), DEEP),
        claim="The same aligned form minimises balanced MSE with a ridge on the bias for M >= 2 layers.", status="numerical",
    ),
)  # fmt: skip
