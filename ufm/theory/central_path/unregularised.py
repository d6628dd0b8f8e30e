"""The central path without ridges: features of equal spread rotate into the classes along logistic curves.

Without ridges every H -> A H leaves L alone, so that H H^T is conserved. For H H^T = kappa I, p_j = n m_j^2 / kappa, with m_j the
singular values of the class means U diag(m) V^T, are the squared cosines between the row space of H and that of the class
indicators. In time tau = t/N, with z_j = e^(2 n tau/kappa) and M, D the means and the part within classes,

    p_j(t) = p_j z / (1 - p_j + p_j z)         Tr Sigma_W = kappa (d - sum_j p_j) / N
    U^T M(t) = sqrt(z/(1 - p + p z)) U^T M     U^T D(t) = sqrt(1/(1 - p + p z)) U^T D

The rank of H is conserved too: for d > K, d - K directions see no class and Sigma_W tends to kappa (d - K)/N in trace: no
collapse. This is Oja's (1982) flow of a principal subspace.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ufm.problem import Problem
from ufm.theory import statements
from ufm.theory.central_path.cases import BALANCED, UNREGULARISED, FeatureStart, features, frame, within_rows
from ufm.theory.theorem import Assumption

_CLASSES, _PER_CLASS = 3, 3


class Rotation(NamedTuple):
    """p: (T, min(d, K)) descending. H: (T, d, N). within: (T,) Tr Sigma_W. gram: (T, d, d) H H^T."""

    p: jax.Array
    H: jax.Array
    within: jax.Array
    gram: jax.Array


def predict(case: FeatureStart) -> Rotation:
    """The central path without ridges conserves H H^T; where that is a multiple of I, the squared cosines between features and
    class indicators are logistic, and for d > K within-class variance never vanishes.
    """
    problem, H, ts = case
    n, N, d = problem.groups[0], problem.samples, H.shape[0]
    kappa = jnp.sum(H**2) / d
    M = problem.group_sum(H) / n
    U, m, _ = jnp.linalg.svd(M, full_matrices=True)
    p0 = jnp.zeros(d, H.dtype).at[: m.size].set(n * m**2 / kappa)[None, :]
    inverse = jnp.exp(-2 * n / kappa * ts / N)[:, None]  # 1/z: nothing overflows
    share = 1 / ((1 - p0) * inverse + p0)
    reached = jnp.where(p0 > 0, share, 0)  # a direction that sees no class has no mean to grow
    means = jnp.einsum("dj,tj,jk->tdk", U, jnp.sqrt(reached), U.T @ M)
    D = jnp.einsum("dj,tj,jk->tdk", U, jnp.sqrt(share * inverse), U.T @ (H - M[:, problem.labels]))
    p, gram = p0 * reached, jnp.broadcast_to(kappa * jnp.eye(d), (ts.size, d, d))
    return Rotation(p[:, : m.size], means[:, :, problem.labels] + D, kappa * (d - jnp.sum(p, axis=1)) / N, gram)


def observe(case: FeatureStart, H: jax.Array) -> Rotation:
    """Squared cosines by singular values of the class means, H, Tr Sigma_W, and H H^T."""
    problem, (d, N) = case.problem, H.shape
    means = problem.group_sum(H) / problem.groups[0]
    p = problem.groups[0] * jnp.linalg.svd(means, compute_uv=False) ** 2 * d / jnp.sum(H**2)
    return Rotation(p, H, jnp.sum((H - means[:, problem.labels]) ** 2) / N, H @ H.T)


def rotation_start(p: np.ndarray, dim: int, kappa: float, last: float, rng: np.random.Generator) -> FeatureStart:
    """Features of H H^T = kappa I with squared cosines p, min(d, K) of them, and times up to 2 n tau = `last` kappa."""
    K, n, seen = _CLASSES, _PER_CLASS, len(p)
    indicators = np.repeat(frame(rng, K, K), n, axis=1)[:seen] / np.sqrt(n)
    Q = within_rows(rng, K, n, dim)
    Q[:seen] = np.sqrt(p)[:, None] * indicators + np.sqrt(1 - p)[:, None] * Q[:seen]
    H = np.sqrt(kappa) * frame(rng, dim, dim) @ Q
    return FeatureStart(Problem.balanced(K, n, dim), jnp.asarray(H), jnp.linspace(0, last * kappa / (2 * n) * K * n, 7))


def cases() -> dict[str, FeatureStart]:
    """d = K and d > K, squared cosines up to 1 and down to 0, wide and narrow spreads."""
    rng = np.random.default_rng(0)
    mixed = np.array([0.6, 0.1, 0.01])
    return {
        "d=K": rotation_start(mixed, 3, 1.0, 12.0, rng),
        "d=K a direction learned, one that sees no class": rotation_start(np.array([1.0, 0.3, 0.0]), 3, 1.0, 8.0, rng),
        "d=K wide": rotation_start(mixed, 3, 30.0, 12.0, rng),
        "d=K+2": rotation_start(mixed, 5, 0.2, 12.0, rng),
    }


def draw(rng: np.random.Generator) -> FeatureStart:
    """Random squared cosines and spread at d = K or d = K + 2."""
    dim = _CLASSES + 2 * int(rng.integers(2))
    return rotation_start(np.sort(rng.uniform(0.01, 0.99, size=_CLASSES))[::-1], dim, np.exp(rng.uniform(-1, 3)), 8.0, rng)


def _is_isotropic(case: FeatureStart) -> bool:
    gram = np.asarray(case.H @ case.H.T)
    spread = np.trace(gram) / len(gram)
    return bool(np.max(np.abs(gram - spread * np.eye(len(gram)))) < 1e-12 * spread)


THEOREMS = (
    statements.trajectory(
        "unregularised-central-path", "derived; central path of [han2022]; flow of [oja1982]",
        predict, observe, cases, draw,
        (BALANCED, UNREGULARISED, Assumption("H H^T a multiple of I", _is_isotropic)), path=features,
    ),
)  # fmt: skip
