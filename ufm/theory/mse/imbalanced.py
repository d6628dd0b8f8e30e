"""Imbalanced squared error on M linear layers: general orthogonal frame and minority collapse (Dang et al. 2023).

Without a bias each class is its own singular direction, mu_k = n_k: class k is alive iff n_k is among the R = min(K, widths)
largest and above n_crit = N (N prod l2)^(1/M) M^2 / (M-1)^((M-1)/M). A free bias mixes classes: mu_j are the eigenvalues of
diag(n) - n n^T / N, and b = n/N always.
"""

import jax
import jax.numpy as jnp

from ufm.losses import MSE
from ufm.problem import Problem
from ufm.theory import statements
from ufm.theory.assumptions import ONE_HOT, PENALISED, PLAIN, as_class_sizes, has_bias, has_loss
from ufm.theory.mse.cases import draw_imbalanced, imbalanced_cases
from ufm.theory.mse.spectrum import minimise_directions
from ufm.theory.prediction import Prediction, effective_c, from_triples


def critical_size(problem: Problem) -> jax.Array:
    """n_crit: classes of at most this size collapse to zero (M = 1: N^2 l2_W l2_H), scalar."""
    M, N = len(problem.widths), problem.samples
    jump = M**2 / (M - 1) ** ((M - 1) / M) if M > 1 else 1.0
    return N * (N * effective_c(problem) ** (M + 1)) ** (1 / M) * jump


def predict_without_bias(problem: Problem) -> Prediction:
    """Imbalanced MSE without bias on M linear layers: class means form a general orthogonal frame; classes no larger than n_crit,
    or beyond the width, vanish (continuously for M = 1, by a jump for M >= 2).

    Zbar = diag(t_k), f* = sum_alive n_k/(2N) (1-t_k)(1+M t_k) + sum_dead n_k/(2N), beta_k = N c / n_k^(M/(M+1)).
    """
    n = problem.counts
    order = jnp.argsort(-n, stable=True)
    rank, sigma, value, alive = minimise_directions(problem, n[order])
    U = jax.nn.one_hot(order[:rank], problem.classes, dtype=problem.dtype).T
    kept = jnp.zeros(n.shape, bool).at[order[:rank]].set(alive[:rank])
    unique = _no_tie_at_the_cut(n[order], rank, alive)
    return from_triples(problem, U, sigma, U, jnp.zeros_like(n), value, alive=kept, unique=unique)


def predict_free_bias(problem: Problem) -> Prediction:
    """Imbalanced MSE with an unpenalised bias on M linear layers: b = n/N, and thresholds act on the eigenvalues of diag(n) - n
    n^T/N, whose directions mix classes.

    Directions (mu_j, u_j) = eigenpairs of diag(n) - n n^T/N, v_j = (diag(n)^(1/2) (I - q q^T))^T u_j / sqrt(mu_j), b = n/N.
    """
    K, n, N = problem.classes, problem.counts, problem.samples
    mu, U = (x[..., ::-1][..., : K - 1] for x in jnp.linalg.eigh(jnp.diag(n) - n[:, None] * n[None, :] / N))
    rank, sigma, value, alive = minimise_directions(problem, mu)
    q = jnp.sqrt(n / N)
    T = jnp.diag(jnp.sqrt(n)) @ (jnp.eye(K, dtype=n.dtype) - q[:, None] * q[None, :])
    V = T.T @ U[:, :rank] / jnp.sqrt(mu[:rank])[None, :]
    return from_triples(problem, U[:, :rank], sigma, V, n / N, value, unique=_no_tie_at_the_cut(mu, rank, alive))


def _no_tie_at_the_cut(mu: jax.Array, rank: int, alive: jax.Array) -> jax.Array:
    """Whether the directions kept are strictly the largest, or the first one left out is dead anyway (mu descending)."""
    if rank >= mu.shape[0]:
        return jnp.asarray(True)
    return (mu[rank - 1] > mu[rank] * (1 + 1e-9)) | ~alive[rank]


_SHARED = (has_loss(MSE), ONE_HOT, PLAIN, PENALISED)

THEOREMS = (
    statements.minimum(
        "mse-imbalanced-deep", "[dang2023]",
        predict_without_bias, lambda: imbalanced_cases("none"), lambda rng: draw_imbalanced(rng, "none"),
        (*_SHARED, has_bias("none")), alive="classes", general=True, view=as_class_sizes,
    ),
    statements.minimum(
        "mse-imbalanced-freebias-deep", "derived; cf. [liu2024] and [dang2023]",
        predict_free_bias, lambda: imbalanced_cases("free"), lambda rng: draw_imbalanced(rng, "free"), (*_SHARED, has_bias("free")),
        general=True, view=as_class_sizes,
    ),
)  # fmt: skip
