"""The near-collapse map as a matrix: its spectrum with multiplicities, and its blocks between classes (Tirer et al. 2023).

With lW = K l2_W, lH = N l2_H, B = N beta, c = sqrt(lH lW) < 1, s = sqrt(lH/lW), class means sqrt(rho) R, N Hess L has at collapse

    s            K^2 (n - 1)        within classes, columns in span R
    lH           K (d - K)(n - 1)   within classes, columns orthogonal to it
    4 lH (1 - c) K (K + 1)/2        symmetric motions R A of the means: scale, norms and angles alike
    0            K (K - 1)/2 + K (d - K)    rotations of the frame, in its span and out of it

and F = B (N Hess L + B)^-1. For c >= 1 (collapse at zero): lH - 1/lW on the K d motions of the means, lH within classes. With
g = 4 lH (1 - c)/(B + 4 lH (1 - c)), P = R R^T, J = 11^T/n and r_k the columns of R, the blocks of F from class l to class k are

    F_kk = (I - J) (x) [I - s/(B + s) P - lH/(B + lH) (I - P)] + J (x) [I - (g/2)(P + r_k r_k^T)]
    F_kl = -(g/2) J (x) r_l r_k^T

so F_kk has singular values B/(B + s) [K (n - 1)], B/(B + lH) [(d - K)(n - 1)], 1 [d - K], 1 - g/2 [K - 1] and 1 - g [1], and F_kl
the one singular value g/2. To first order in 1/B these are Tirer et al.'s 1, 1 - s/B and 2 lH (1 - c)/B.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ufm.base.checks import AnyArray
from ufm.theory import statements
from ufm.theory.perturbation.model import Features, parts, units
from ufm.theory.perturbation.near_collapse import perturbation
from ufm.theory.perturbation.newton import reduced_hessian
from ufm.theory.theorem import Assumption, agreement


class Blocks(NamedTuple):
    """F as (K, n, d, K, n, d): class, sample, coordinate of the output, then of the input; singular values, decreasing.

    same: (n d,) of F_kk for k = 0; other: (n d,) of F_kl for k = 0, l = 1.
    """

    F: AnyArray
    same: AnyArray
    other: AnyArray


def predict_spectrum(case: Features) -> jax.Array:
    """At collapse the curvature of the reduced objective takes four values: s and lH within classes, 4 lH (1 - c) on symmetric
    motions of the means and 0 on rotations, with known multiplicities.

    The d N eigenvalues of N Hess L, increasing.
    """
    lW, lH, _, _ = units(case.problem)
    (d, N), K = case.H.shape, case.problem.classes
    c, s = jnp.sqrt(lH * lW), jnp.sqrt(lH / lW)
    soft = jnp.full((K * (K + 1) // 2,), 4 * lH * (1 - c))
    rotations = jnp.zeros((K * d - K * (K + 1) // 2,))
    seen, unseen = jnp.full((K * (N - K),), s), jnp.full(((d - K) * (N - K),), lH)
    alive = jnp.concatenate([rotations, soft, seen, unseen])
    dead = jnp.concatenate([jnp.full((K * d,), lH - 1 / lW), jnp.full((d * (N - K),), lH)])
    return jnp.sort(jnp.where(c < 1, alive, dead))


def measure_spectrum(case: Features, key: jax.Array) -> np.ndarray:
    """Eigenvalues of the Schur complement of W in the joint Hessian, taken by automatic differentiation."""
    del key  # nothing is random
    return np.linalg.eigvalsh(np.asarray(_hessian(case)))


@jax.jit
def _hessian(case: Features) -> jax.Array:
    return case.problem.samples * reduced_hessian(case.problem, case.H)


def predict_blocks(case: Features) -> Blocks:
    """Near collapse a class answers changes of its own features by a block of five singular values, and those of another class by a
    block of rank one, -(g/2) r_l r_k^T with g = 4 lH (1 - c)/(B + 4 lH (1 - c)).

    The blocks and their singular values in closed form, for c < 1 and d >= K.
    """
    lW, lH, B, _ = units(case.problem)
    (d, N), K = case.H.shape, case.problem.classes
    n = N // K
    c, s = jnp.sqrt(lH * lW), jnp.sqrt(lH / lW)
    g = 4 * lH * (1 - c) / (B + 4 * lH * (1 - c))
    R = parts(case.problem, case.H)[0] / jnp.sqrt((1 - c) / s)
    P, J, identity = R @ R.T, jnp.full((n, n), 1 / n), jnp.eye(d)
    within = identity - s / (B + s) * P - lH / (B + lH) * (identity - P)
    crossed = jnp.einsum("al,bk->kalb", R, R)  # r_l r_k^T
    same = jnp.eye(K)[:, None, :, None] * (identity - g / 2 * P)[None, :, None, :]
    means = same - g / 2 * crossed
    F = jnp.einsum("kl,ij,ab->kialjb", jnp.eye(K), jnp.eye(n) - J, within) + jnp.einsum("ij,kalb->kialjb", J, means)
    counts = (K * (n - 1), (d - K) * (n - 1), d - K, K - 1, 1)
    values: tuple[Any, ...] = (B / (B + s), B / (B + lH), 1, 1 - g / 2, 1 - g)
    singular = jnp.concatenate([jnp.full((m,), v, F.dtype) for m, v in zip(counts, values, strict=True)])
    return Blocks(F, jnp.sort(singular)[::-1], jnp.zeros(n * d).at[0].set(g / 2))


def measure_blocks(case: Features, key: jax.Array) -> Blocks:
    """B (N Hess L + B)^-1 from the automatic Hessian, and singular values of two of its blocks."""
    del key  # nothing is random
    (d, N), K = case.H.shape, case.problem.classes
    B = float(case.problem.samples * case.problem.beta)
    F = B * np.linalg.inv(np.asarray(_hessian(case)) + B * np.eye(d * N)).reshape(K, N // K, d, K, N // K, d)
    singular = [np.linalg.svd(F[0, :, :, k].reshape(N // K * d, -1), compute_uv=False) for k in (0, 1)]
    return Blocks(F, *singular)


def features_at(c: float, s: float, B: float, rng: np.random.Generator, dim: int = 5, n: int = 2) -> Features:
    """The collapsed minimiser's features at a random frame, for K = 3 classes of n samples."""
    case = perturbation(c, s, B, rng, dim, n)
    return Features(case.problem, case.params.H)


def spectrum_cases() -> dict[str, Features]:
    """Below, at and above c = 1, c = 1/2 (where 4 lH (1 - c) = s) and c = 3/4 (where it is lH)."""
    rng = np.random.default_rng(0)
    return {f"c={c}": features_at(c, 0.7, 1.0, rng) for c in (0.05, 0.5, 0.75, 0.95, 1.0, 1.5)}


def blocks_cases() -> dict[str, Features]:
    """Weak to strong proximity, small c and c close to one."""
    rng = np.random.default_rng(0)
    return {f"c={c} B={B}": features_at(c, 0.7, B, rng) for c in (0.3, 0.9) for B in (0.1, 1.0, 30.0)}


def draw(rng: np.random.Generator) -> Features:
    """Random ridges, proximity and frame."""
    return features_at(rng.uniform(0.1, 0.9), np.exp(rng.uniform(-1, 1)), np.exp(rng.uniform(-2, 4)), rng)


def _is_alive(case: Features) -> bool:
    lW, lH, _, _ = units(case.problem)
    return bool(lW * lH < 1) and case.H.shape[0] >= case.problem.classes


_SOURCE = "[tirer2023] (operator, first order in 1/beta); closed form for every beta derived"

THEOREMS = (
    statements.other(
        "near-collapse-spectrum", _SOURCE,
        predict_spectrum, measure_spectrum, spectrum_cases, draw, evidence=agreement(1e-10),
    ),
    statements.other(
        "near-collapse-blocks", _SOURCE,
        predict_blocks, measure_blocks, blocks_cases, draw, (Assumption("c < 1 and d >= K", _is_alive),), evidence=agreement(1e-10),
    ),
)  # fmt: skip
