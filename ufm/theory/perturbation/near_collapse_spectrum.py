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

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from ufm.base.checks import AnyArray
from ufm.problem import Problem
from ufm.theory import statements
from ufm.theory.assumptions import proximity_features
from ufm.theory.perturbation.model import is_alive, parts, units
from ufm.theory.perturbation.near_collapse import draw, perturbation
from ufm.theory.perturbation.reduced import direct_hessian
from ufm.theory.statements.spectra import Spectrum
from ufm.theory.theorem import Assumption


class Blocks(NamedTuple):
    """F as (K, n, d, K, n, d): class, sample, coordinate of the output, then of the input; singular values, decreasing.

    same: (n d,) of F_kk for k = 0; other: (n d,) of F_kl for k = 0, l = 1.
    """

    F: AnyArray
    same: AnyArray
    other: AnyArray


def predict_spectrum(case: Problem) -> Spectrum:
    """At collapse the curvature of the reduced objective takes four values: s and lH within classes, 4 lH (1 - c) on symmetric
    motions of the means and 0 on rotations, with known multiplicities.
    """
    lW, lH, _, _, c, s = units(case)
    (d, N), K = proximity_features(case).shape, case.classes
    symmetric = K * (K + 1) // 2
    alive, dead = (s, lH, 4 * lH * (1 - c), 0 * lH), (lH, lH, lH - 1 / lW, lH - 1 / lW)
    counts = (K * (N - K), (d - K) * (N - K), symmetric, K * d - symmetric)
    return Spectrum(jnp.where(c < 1, jnp.stack(alive), jnp.stack(dead)), jnp.asarray(counts))


def predict_blocks(case: Problem) -> Blocks:
    """Near collapse a class answers changes of its own features by a block of five singular values, and those of another class by a
    block of rank one, -(g/2) r_l r_k^T with g = 4 lH (1 - c)/(B + 4 lH (1 - c)).
    """
    _, lH, B, _, c, s = units(case)
    H, K, soft = proximity_features(case), case.classes, 4 * lH * (1 - c)
    d, n, g = H.shape[0], H.shape[1] // K, soft / (B + soft)
    R = parts(case, H)[0] / jnp.sqrt((1 - c) / s)
    P, J, identity = R @ R.T, jnp.full((n, n), 1 / n), jnp.eye(d)
    within = identity - s / (B + s) * P - lH / (B + lH) * (identity - P)
    crossed = jnp.einsum("al,bk->kalb", R, R)  # r_l r_k^T
    means = jnp.einsum("kl,ab->kalb", jnp.eye(K), identity - g / 2 * P) - g / 2 * crossed
    F = jnp.einsum("kl,ij,ab->kialjb", jnp.eye(K), jnp.eye(n) - J, within) + jnp.einsum("ij,kalb->kialjb", J, means)
    counts = np.array([K * (n - 1), (d - K) * (n - 1), d - K, K - 1, 1])
    values = jnp.stack([B / (B + s), B / (B + lH), jnp.ones_like(g), 1 - g / 2, 1 - g])
    singular = jnp.repeat(values, counts, total_repeat_length=n * d)
    return Blocks(F, jnp.sort(singular)[::-1], jnp.zeros(n * d).at[0].set(g / 2))


def direct_blocks(case: Problem) -> Blocks:
    """B (N Hess L + B)^-1 from the automatic Hessian, and singular values of two of its blocks."""
    A, B, K, d = np.asarray(direct_hessian(case)), float(case.samples * case.beta), case.classes, case.widths[0]
    F = B * np.linalg.inv(A + B * np.eye(len(A))).reshape(K, -1, d, K, len(A) // (K * d), d)
    return Blocks(F, *(np.linalg.svd(F[0, :, :, k].reshape(len(A) // K, -1), compute_uv=False) for k in (0, 1)))


def spectrum_cases() -> dict[str, Problem]:
    """Below, at and above c = 1, c = 1/2 (where 4 lH (1 - c) = s) and c = 3/4 (where it is lH)."""
    rng = np.random.default_rng(0)
    return {f"c={c}": perturbation(c, 0.7, 1.0, rng).problem for c in (0.05, 0.5, 0.75, 0.95, 1.0, 1.5)}


def blocks_cases() -> dict[str, Problem]:
    """Weak to strong proximity, small c and c close to one."""
    rng = np.random.default_rng(0)
    return {f"c={c} B={B}": perturbation(c, 0.7, B, rng).problem for c in (0.3, 0.9) for B in (0.1, 1.0, 30.0)}


_SOURCE = "[tirer2023] (operator, first order in 1/beta); closed form for every beta derived"

THEOREMS = (
    statements.spectrum(
        "near-collapse-spectrum", _SOURCE, predict_spectrum, spectrum_cases, lambda rng: draw(rng).problem, matrix=direct_hessian
    ),
    statements.identity(
        "near-collapse-blocks", _SOURCE,
        predict_blocks, direct_blocks, blocks_cases, lambda rng: draw(rng).problem,
        (Assumption("c < 1 and d >= K", is_alive),), tolerance=1e-10,
    ),
)  # fmt: skip
