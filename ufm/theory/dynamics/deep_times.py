"""How long M + 1 factors take to learn a mode without ridge: exact through 2F1, and N u0^(1-M)/((M-1) s) from small u0.

u' = (scale/N)(s - scale u^{M+1}) u^M takes from u_a to u_b the time F(u_b) - F(u_a), in the units N = scale = 1

    F(u) = u^{1-M}/((1-M) s) 2F1(1, c; 1 + c; u^{M+1}/s),    c = (1 - M)/(M + 1)    for M >= 2
    F(u) = (ln u - ln(s - u^2)/2)/s                                                 for M = 1

Depth turns the logarithm of the start into a power of it: ln(1/u0)/s for M = 1 (Saxe et al. 2014).
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.special import digamma

from ufm.theory import statements
from ufm.theory.dynamics.deep_modes import ASSUMES, SOURCE, DeepStart, deep_start, singular_values
from ufm.theory.dynamics.spectral import mode_matrix
from ufm.theory.kit.integrate import arrival_times, downhill
from ufm.theory.theorem import Assumption, agreement

_TERMS = 60
_PARTS = np.array([0.3, 0.6, 0.99])


def hypergeometric(c: float, x: jax.Array) -> jax.Array:
    """2F1(1, c; 1 + c; x) for 0 <= x < 1 and -1 < c < 0, by its series around 0 below x = 1/2 and around 1 above.

    sum_k c x^k/(c + k)    and    c sum_k (c)_k/k! [psi(k + 1) - psi(c + k) - ln(1 - x)] (1 - x)^k
    """
    k = np.arange(_TERMS)
    rising = np.cumprod(np.r_[1.0, (c + k[:-1]) / k[1:]])
    low, high = jnp.minimum(x, 0.5)[..., None], jnp.maximum(x, 0.5)[..., None]
    order = k.reshape((1,) * x.ndim + (-1,))
    below = jnp.sum(c / (c + order) * low**order, axis=-1)
    psi = digamma(jnp.asarray(order + 1.0)) - digamma(jnp.asarray(order + c))
    above = c * jnp.sum(rising.reshape(order.shape) * (psi - jnp.log1p(-high)) * (1 - high) ** order, axis=-1)
    return jnp.where(x <= 0.5, below, above)


def clock(u: jax.Array, s: jax.Array, M: int) -> jax.Array:
    """F(u) above, for 0 < u^{M+1} < s."""
    if M == 1:
        return (jnp.log(u) - jnp.log(s - u**2) / 2) / s
    return u ** (1 - M) / ((1 - M) * s) * hypergeometric((1 - M) / (M + 1), u ** (M + 1) / s)


def predict(case: DeepStart) -> jax.Array:
    """Without ridge, M + 1 factors of singular value u need the time F(u_b) - F(u_a) from u_a to u_b, F explicit in the
    hypergeometric function; from small starts it grows as u_a^(1-M).

    (K, 3) times to 30%, 60% and 99% of the targets.
    """
    problem = case.problem
    M, s = len(problem.widths), (jnp.sqrt(problem.multiplicity) / problem.scale)[:, None]
    end = (jnp.asarray(_PARTS)[None, :] * s) ** (1 / (M + 1))
    elapsed = clock(end, s, M) - clock(singular_values(case.params)[:, None], s, M)
    return elapsed * problem.samples / problem.scale**2


@jax.jit
def measure(case: DeepStart, key: jax.Array) -> jax.Array:
    """Integrate the flow of all entries until each diagonal logit reaches the levels."""
    del key  # the start belongs to the case
    problem = case.problem

    def times(k: jax.Array) -> jax.Array:
        levels = jnp.asarray(_PARTS) * jnp.sqrt(problem.multiplicity[k])
        return arrival_times(downhill(problem), lambda p: mode_matrix(problem, p)[k, k], case.params, levels)

    return lax.map(times, jnp.arange(problem.classes))


_WIDTHS = {2: (4, 3), 3: (4, 4, 3)}


def cases() -> dict[str, DeepStart]:
    """Two and three layers, starts down to u = 0.03."""
    rng = np.random.default_rng(0)
    return {
        "M=2": deep_start(_WIDTHS[2], np.array([0.3, 0.5, 0.4]), 0.0, rng),
        "M=2, small start": deep_start(_WIDTHS[2], np.full(3, 0.03), 0.0, rng),
        "M=2, scale 2": deep_start(_WIDTHS[2], np.full(3, 0.3), 0.0, rng, scale=2.0),
        "M=3": deep_start(_WIDTHS[3], np.array([0.3, 0.5, 0.4]), 0.0, rng),
    }


def draw(rng: np.random.Generator) -> DeepStart:
    """Random depth, class sizes, starts and scale."""
    counts = tuple(int(n) for n in rng.integers(3, 40, size=3))
    u, scale = rng.uniform(0.2, 0.6, size=3), np.exp(rng.uniform(-0.5, 0.5))
    return deep_start(_WIDTHS[int(rng.integers(2, 4))], u, 0.0, rng, counts, scale)


def _starts_below(case: DeepStart) -> bool:
    p0 = float(case.problem.scale) * np.asarray(singular_values(case.params)) ** (len(case.problem.widths) + 1)
    return bool(np.all(p0 <= _PARTS[0] * np.sqrt(np.asarray(case.problem.multiplicity))))


THEOREMS = (
    statements.other(
        "deep-mode-times", SOURCE + "closed form derived",
        predict, measure, cases, draw,
        (
            *ASSUMES, Assumption("no ridge", lambda c: bool(np.all(np.asarray(c.problem.ridges) == 0))),
            Assumption("a start below 30% of every target", _starts_below),
        ),
        evidence=agreement(1e-9),
    ),
)  # fmt: skip
