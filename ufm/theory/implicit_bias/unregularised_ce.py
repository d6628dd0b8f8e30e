"""Cross-entropy without ridge on the simplex: its flow solves one scalar equation (derived).

L = M + 1 trained factors, each of singular value u on the simplex (the model of Ji, Lu, Zhang, Deng, Su 2022). Logits stay
Z = s (I - J/K) with s = u^L / sqrt(n), and with q = 2 - 2/L = 2M/(M+1)

    s' = (L/n) (sqrt(n) s)^q / (e^s + K - 1),    f = log(1 + (K-1) e^-s),    |theta|^2 = L (K-1) (sqrt(n) s)^(2/L)
    M = 1:  Ei(s) - Ei(s_0) + (K-1) log(s/s_0) = 2 t / sqrt(n)

Time is that of theta' = -grad f.
"""

import jax
import jax.numpy as jnp
import numpy as np

from ufm.problem.params import logits
from ufm.search.roots import increasing_root
from ufm.theory import statements
from ufm.theory.implicit_bias.simplex_start import ASSUMES, SimplexPath, SimplexStart, cases, draw, flow, observe

_HIGHEST = 60.0
_NODES = np.polynomial.legendre.leggauss(64)


def predict_flow(case: SimplexStart) -> SimplexPath:
    """Without ridge, flow of cross-entropy from balanced simplex factors keeps the simplex, and its scale s solves one scalar
    equation: an exponential integral for M = 1, a quadrature for deeper models.
    """
    K, n, L = case.problem.classes, case.problem.counts[0], 1 + jnp.sum(case.trained)
    z = logits(case.problem, case.params)
    s0, q = z[0, 0] - z[1, 0], 2 - 2 / L
    x, w = (jnp.asarray(v, case.ts.dtype) for v in _NODES)

    def time(s: jax.Array) -> jax.Array:
        sigma = s0 + (s - s0) * (x + 1) / 2
        general = (s - s0) / 2 * jnp.sum(w * n / L * (jnp.exp(sigma) + K - 1) * (jnp.sqrt(n) * sigma) ** -q)
        two = jnp.sqrt(n) / 2 * (_expi(s) - _expi(s0) + (K - 1) * jnp.log(s / s0))
        return jnp.where(L == 2, two, general)

    s = jax.lax.map(lambda t: increasing_root(lambda s, t: time(s) - t, s0, jnp.asarray(_HIGHEST), t), case.ts)
    value = jnp.log1p((K - 1) * jnp.exp(-s))
    return SimplexPath(s, value, L * (K - 1) * (jnp.sqrt(n) * s) ** (2 / L), jnp.zeros_like(s))


def _expi(s: jax.Array) -> jax.Array:
    """Ei(s) less Euler's constant for 0 < s <= 60: log s + sum_k s^k / (k k!), of positive terms."""
    k = np.arange(1.0, 241.0)
    return jnp.log(s) + jnp.sum(jnp.exp(k * jnp.log(s) - np.cumsum(np.log(k))) / k)


THEOREMS = (
    statements.trajectory(
        "ce-simplex-flow", "derived, for the model of [ji2022]",
        predict_flow, observe, cases, draw, ASSUMES, path=flow, tolerance=1e-8,
    ),
)  # fmt: skip
