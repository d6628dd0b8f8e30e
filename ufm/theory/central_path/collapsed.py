"""The central path from class means that no noise overlaps: every singular value of the means obeys a scalar equation.

With lW = K l2_W, lH = N l2_H, time tau = t/N, and H(0) = U diag(m_j) V^T (x) 1^T + D where D U = 0 in columns: U and V stay,
D decays as e^(-lH tau), and q = m^2 obeys q' = 2 q (lW/(q + lW)^2 - lH). With e = sqrt(lW/lH) and rho = e - lW, in [.]_q0^q,

    2 lH tau = lW^2/(e^2 - lW^2) ln q - e/(2 (e - lW)) ln|rho - q| - e/(2 (e + lW)) ln(e + lW + q)      c = sqrt(lH lW) != 1
    2 lH tau = e/(2 q) - 3/4 ln q - 1/4 ln(q + 2 e)                                                     c = 1
         tau = lW/2 ln q + q + q^2/(4 lW)                                                               lH = 0

so that m approaches sqrt(rho) at rate 4 lH (1 - c) for c < 1, dies for c >= 1 (like 1/sqrt(tau) at c = 1) and grows like
(4 lW tau)^(1/4) without a ridge on H. A zero m_j stays zero: means of rank r end in a saddle of rank r.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ufm.metrics.variability import nc1_trace_ratio
from ufm.theory import statements
from ufm.theory.central_path.cases import BALANCED, FeatureStart, evolved, features, frame, ridged
from ufm.theory.theorem import Assumption

_CRITICAL, _HALVINGS = 1e-12, 64  # |e - lW| / lW below which c counts as 1; of the bracket of ln q


class Path(NamedTuple):
    """means: (T, d, K) of the classes. within: (T, d, N) features less means. ratio: (T,) Tr Sigma_W / Tr Sigma_B."""

    means: jax.Array
    within: jax.Array
    ratio: jax.Array


def clock(u: jax.Array, lW: jax.Array, lH: jax.Array) -> jax.Array:
    """The time tau, up to a constant, at which q = e^u: the right-hand sides above over 2 lH."""
    q = jnp.exp(u)
    ridge = jnp.where(lH > 0, lH, 1)
    e = jnp.sqrt(lW / ridge)
    critical = jnp.abs(e - lW) <= _CRITICAL * lW
    rho = jnp.where(critical, 1, e - lW)
    generic = lW**2 / (rho * (e + lW)) * u - e / (2 * rho) * jnp.log(jnp.abs(rho - q)) - e / (2 * (e + lW)) * jnp.log(e + lW + q)
    tied = e / (2 * q) - 0.75 * u - 0.25 * jnp.log(q + 2 * e)
    free = lW / 2 * u + q + q**2 / (4 * lW)
    return jnp.where(lH > 0, jnp.where(critical, tied, generic) / (2 * ridge), free)


def squared_size(q0: jax.Array, lW: jax.Array, lH: jax.Array, tau: jax.Array) -> jax.Array:
    """q(tau) from q0 >= 0, by halving a bracket of ln q: q' / q lies between -2 lH and 2/lW, and q never crosses rho."""
    ridge = jnp.where(lH > 0, lH, 1)
    rho = jnp.where(lH > 0, jnp.sqrt(lW / ridge) - lW, jnp.inf)
    rest = jnp.where(rho > 0, jnp.log(jnp.where(rho > 0, rho, 1)), -jnp.inf)
    u0 = jnp.log(jnp.where(q0 > 0, q0, 1))
    grows = u0 < rest
    low = jnp.where(grows, u0, jnp.maximum(u0 - 2 * lH * tau, rest))
    high = jnp.where(grows, jnp.minimum(u0 + 2 * tau / lW, rest), u0)

    def halve(_: int, bracket: tuple) -> tuple:
        a, b = bracket
        middle = 0.5 * (a + b)
        up = (clock(middle, lW, lH) - clock(u0, lW, lH) < tau) == grows
        return jnp.where(up, middle, a), jnp.where(up, b, middle)

    a, b = lax.fori_loop(0, _HALVINGS, halve, (low, high))
    return jnp.where(q0 > 0, jnp.exp(0.5 * (a + b)), 0)


def predict(case: FeatureStart) -> Path:
    """The central path from class means that no within-class noise overlaps: singular vectors stay, each singular value obeys one
    implicit equation with rest at sqrt(rho), and noise decays as e^(-l2_H t).
    """
    K, N = case.problem.classes, case.problem.samples
    lW, lH = K * case.problem.l2_W[0], N * case.problem.l2_H
    _, means, D = evolved(case, lambda m, t: jnp.sqrt(squared_size(m**2, lW, lH, t / N)))
    decay = jnp.exp(-lH * case.ts / N)
    between = jnp.sum(jnp.var(means, axis=2), axis=1)
    return Path(means, decay[:, None, None] * D[None], decay**2 * jnp.sum(D**2) / N / between)


def observe(case: FeatureStart, H: jax.Array) -> Path:
    """Class means, what is left of the samples, and the metric of the samples."""
    problem = case.problem
    means = problem.group_sum(H) / problem.groups[0]
    return Path(means, H - means[:, problem.labels], nc1_trace_ratio(H, problem.labels, problem.classes, samples_axis=1))


def start(lW: float, lH: float, sizes: np.ndarray, noise: float, last: float, rng: np.random.Generator) -> FeatureStart:
    """Class means of singular values `sizes`, noise of that size orthogonal to them, times up to tau = `last`."""
    K, n, d = 3, 2, 5
    R, V, raw = frame(rng, d, d), frame(rng, K, K), rng.normal(size=(d - K, K, n))
    D = noise * R[:, K:] @ (raw - raw.mean(axis=2, keepdims=True)).reshape(d - K, K * n)
    H = np.repeat(R[:, :K] * sizes @ V.T, n, axis=1) + D
    return FeatureStart(ridged(K, n, d, lW, lH), jnp.asarray(H), jnp.linspace(0, last * K * n, 7))


def cases() -> dict[str, FeatureStart]:
    """Either side of c = 1 and on it, no ridge on H, lost rank, no noise, a start at the minimum and above it."""
    rng = np.random.default_rng(0)
    mixed = np.array([1.1, 0.4, 0.05])
    rest = np.sqrt((1 - 0.3) / 0.5)  # c = 0.3, s = 0.5: lW = 0.6, lH = 0.15
    return {
        "c=0.3": start(0.6, 0.15, mixed, 0.4, 12.0, rng),
        "c=0.3 above the minimum": start(0.6, 0.15, np.array([2.0, 1.5, 0.3]), 0.4, 12.0, rng),
        "c=0.3 at the minimum": start(0.6, 0.15, np.full(3, rest), 0.4, 12.0, rng),
        "c=0.3 rank 2": start(0.6, 0.15, np.array([1.1, 0.4, 0.0]), 0.4, 6.0, rng),
        "c=0.3 without noise": start(0.6, 0.15, mixed, 0.0, 12.0, rng),
        "c=0.95": start(0.95, 0.95, mixed, 0.4, 12.0, rng),
        "c=1": start(0.5, 2.0, mixed, 0.4, 12.0, rng),
        "c=1.3": start(1.3, 1.3, mixed, 0.4, 12.0, rng),
        "no ridge on H": start(0.6, 0.0, mixed, 0.4, 30.0, rng),
    }


def draw(rng: np.random.Generator) -> FeatureStart:
    """Random ridges at least 10 % away from c = 1, random sizes."""
    c = float(rng.choice([rng.uniform(0.1, 0.9), rng.uniform(1.1, 1.6)], p=[0.7, 0.3]))
    lW = np.exp(rng.uniform(-1.2, 0.3))
    return start(lW, c**2 / lW, np.exp(rng.uniform(-3, 0.5, size=3)), rng.uniform(0, 1), 12 * lW, rng)


def _noise_is_orthogonal(case: FeatureStart) -> bool:
    M = case.problem.group_sum(case.H) / case.problem.groups[0]
    return bool(jnp.max(jnp.abs(M.T @ (case.H - M[:, case.problem.labels]))) < 1e-13 * (1 + jnp.sum(case.H**2)))


THEOREMS = (
    statements.trajectory(
        "collapsed-central-path", "derived; central path of [han2022]",
        predict, observe, cases, draw,
        (BALANCED, Assumption("noise orthogonal to all class means", _noise_is_orthogonal)), path=features,
    ),
)  # fmt: skip
