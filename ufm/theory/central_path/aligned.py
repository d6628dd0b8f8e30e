"""The central path from noise aligned with the class means: two scalars a mode.

With lW = K l2_W, lH = N l2_H, time tau = t/N, and

    H(0) = U diag(m_j) V^T (x) 1^T + sqrt(n) U diag(sigma_j) Z + D,    Z Z^T = I rows within classes, U^T D = 0, D Z^T = 0

the path keeps U, V and Z, D decays as e^(-lH tau), and g = m^2, b = sigma^2 obey, with x = g + b + lW,

    g' = 2 g (b + lW)/x^2 - 2 lH g      b' = -2 b g/x^2 - 2 lH b      (g + b + lW ln b)' = -2 lH x

Noise in the span of the means is pushed out by them, and without a ridge on H the last sum is conserved.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ufm.theory import statements
from ufm.theory.central_path.cases import BALANCED, FeatureStart, features, frame, ridged, within_rows
from ufm.theory.kit.integrate import integrate
from ufm.theory.theorem import Assumption

_CLASSES, _PER_CLASS, _DIM = 3, 4, 5


class AlignedStart(NamedTuple):
    """A start and its parts: U (d, K), V (K, K), Z (K, N), sizes m and sigma (K,) of the modes, and D (d, N)."""

    start: FeatureStart
    U: jax.Array
    V: jax.Array
    Z: jax.Array
    m: jax.Array
    sigma: jax.Array
    D: jax.Array


def predict(case: AlignedStart) -> dict[str, jax.Array]:
    """The central path from noise aligned with the class means keeps all singular vectors, and each mode is two scalars; without a
    ridge on H the sum g + b + lW ln b of a mode is conserved.

    g and b, (T, K) squared sizes of means and noise; charge, (T, K) of g + b + lW ln b, by the integral of 2 lH x that it loses;
    rest, (T, d, N) of all else.
    """
    problem, N = case.start.problem, case.start.problem.samples
    lW, lH, tau = problem.classes * problem.l2_W[0], N * problem.l2_H, case.start.ts / N

    def velocity(y: jax.Array) -> jax.Array:
        g, b, _ = y
        x = g + b + lW
        return jnp.stack([2 * g * (b + lW) / x**2 - 2 * lH * g, -2 * b * g / x**2 - 2 * lH * b, 2 * lH * x])

    g, b, lost = jnp.moveaxis(integrate(velocity, jnp.stack([case.m**2, case.sigma**2, 0 * case.m]), tau), 1, 0)
    charge = g[:1] + b[:1] + lW * jnp.log(b[:1]) - lost
    return {"g": g, "b": b, "rest": jnp.exp(-lH * tau)[:, None, None] * case.D[None], "charge": charge}


def observe(case: AlignedStart, H: jax.Array) -> dict[str, jax.Array]:
    """The modes of features, by the frames of the start."""
    problem = case.start.problem
    n, lW = problem.groups[0], problem.classes * problem.l2_W[0]
    m = jnp.einsum("dj,dk,kj->j", case.U, problem.group_sum(H) / n, case.V)
    sigma = jnp.einsum("dj,di,ji->j", case.U, H, case.Z) / jnp.sqrt(n)
    rest = H - ((case.U * m[None, :]) @ case.V.T)[:, problem.labels] - jnp.sqrt(n) * (case.U * sigma[None, :]) @ case.Z
    return {"g": m**2, "b": sigma**2, "rest": rest, "charge": m**2 + sigma**2 + lW * jnp.log(sigma**2)}


def aligned_start(lW, lH, means, noise, last: float, rng: np.random.Generator, rest: float = 0.3) -> AlignedStart:
    """Modes of sizes `means` and `noise`, `rest` times a random D, times up to tau = `last`."""
    K, n, d = _CLASSES, _PER_CLASS, _DIM
    R, V, rows = frame(rng, d, d), frame(rng, K, K), within_rows(rng, K, n, 2 * K)
    U, Z, D = R[:, :K], rows[:K], rest * R[:, K:] @ rng.normal(size=(d - K, K)) @ rows[K:]
    H = np.repeat(U * means @ V.T, n, axis=1) + np.sqrt(n) * (U * noise) @ Z + D
    start = FeatureStart(ridged(K, n, d, lW, lH), jnp.asarray(H), jnp.linspace(0, last * K * n, 7))
    return AlignedStart(start, *(jnp.asarray(x) for x in (U, V, Z, means, noise, D)))


def cases() -> dict[str, AlignedStart]:
    """Either side of c = 1, no ridge on H, noise above and below the means, a mode without mean, no D."""
    rng = np.random.default_rng(0)
    means, noise = np.array([1.1, 0.4, 0.1]), np.array([0.3, 0.6, 0.5])
    return {
        "c=0.3": aligned_start(0.6, 0.15, means, noise, 8.0, rng),
        "c=0.3 little noise": aligned_start(0.6, 0.15, means, 0.01 * noise, 8.0, rng, rest=0.01),
        "c=0.3 a mode of noise alone": aligned_start(0.6, 0.15, means * np.array([1, 1, 0]), noise, 5.0, rng),
        "c=1.3": aligned_start(1.3, 1.3, means, noise, 8.0, rng),
        "no ridge on H": aligned_start(0.6, 0.0, means, noise, 15.0, rng),
    }


def draw(rng: np.random.Generator) -> AlignedStart:
    """Random ridges on either side of c = 1, random sizes."""
    c, lW = rng.uniform(0.1, 1.5), np.exp(rng.uniform(-1.2, 0.3))
    sizes = np.exp(rng.uniform(-2.5, 0.5, size=(2, _CLASSES)))
    return aligned_start(lW, c**2 / lW, sizes[0], sizes[1], 8 * lW, rng, rng.uniform(0, 1))


def _is_aligned(case: AlignedStart) -> bool:
    (problem, H, _), U, V, Z, m, sigma, D = jax.tree.map(np.asarray, case)
    built = (U * m @ V.T)[:, case.start.problem.labels] + np.sqrt(problem.groups[0]) * (U * sigma) @ Z + D
    frames = [X.T @ X - np.eye(len(m)) for X in (U, V, Z.T)]
    sums = [case.start.problem.group_sum(x) for x in (Z, D)]
    return all(np.max(np.abs(x)) < 1e-13 * (1 + np.sum(H**2)) for x in (*frames, *sums, U.T @ D, D @ Z.T, H - built))


_BALANCED = Assumption(BALANCED.text, lambda c: BALANCED.test(c.start))
_ALIGNED = Assumption("noise aligned with the means, or orthogonal to their modes", _is_aligned)
THEOREMS = (
    statements.trajectory(
        "aligned-central-path", "derived; central path of [han2022]",
        predict, observe, cases, draw, (_BALANCED, _ALIGNED), path=lambda case: features(case.start),
    ),
)  # fmt: skip
