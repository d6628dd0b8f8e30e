"""Cross-entropy without ridge on the simplex: its flow solves one scalar equation, and its loss falls faster than 1/t (derived).

L = M + 1 trained factors, each of singular value u on the simplex (the model of Ji, Lu, Zhang, Deng, Su 2022). Logits stay
Z = s (I - J/K) with s = u^L / sqrt(n), and with q = 2 - 2/L = 2M/(M+1) and c = L n^(-1/L)

    s' = (L/n) (sqrt(n) s)^q / (e^s + K - 1),    f = log(1 + (K-1) e^-s),    |theta|^2 = L (K-1) (sqrt(n) s)^(2/L)
    M = 1:   Ei(s) - Ei(s_0) + (K-1) log(s/s_0) = 2 t / sqrt(n)
    t -> infinity:   f ~ (K-1) / (c t log^q t),    |theta|^2 ~ L (K-1) (sqrt(n) log t)^(2/L)

The loss c/t and the norm log t of logistic regression belong to one trained factor. Time is that of theta' = -grad f.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from ufm.motion.log_domain import log_objective
from ufm.problem.params import Params, end_to_end, logits
from ufm.search.roots import increasing_root
from ufm.theory import statements
from ufm.theory.implicit_bias import simplex_start
from ufm.theory.implicit_bias.simplex_start import ASSUMES, SimplexPath, SimplexStart, cases, draw, logit_scale, trained_part
from ufm.theory.theorem import Check, agreement, refuting

_HIGHEST = 60.0
_LATE = (1e7, 1e9)
_NODES = np.polynomial.legendre.leggauss(64)


def predict_flow(case: SimplexStart) -> SimplexPath:
    """Without ridge, flow of cross-entropy from balanced simplex factors keeps the simplex, and its scale s solves one scalar
    equation: an exponential integral for M = 1, a quadrature for deeper models.
    """
    K, n, L = case.problem.classes, case.problem.counts[0], 1 + jnp.sum(case.trained)
    z, q = logits(case.problem, case.params), 2 - 2 / L
    s0, (x, w) = z[0, 0] - z[1, 0], (jnp.asarray(v, case.ts.dtype) for v in _NODES)

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


def predict_rate(case: SimplexStart) -> dict[str, jax.Array]:
    """Without ridge the loss of L = M + 1 trained factors on the simplex falls like (K-1)/(c t log^q t) with q = 2 - 2/L and c = L
    n^(-1/L), and |theta| grows like (log t)^(1/L).

    f ~ e^constant / (t log^power t) and |theta| ~ e^log_size (log t)^growth.
    """
    K, n, L = case.problem.classes, case.problem.counts[0], 1 + jnp.sum(case.trained)
    constant, log_size = jnp.log((K - 1) * n ** (1 / L) / L), 0.5 * jnp.log(L * (K - 1)) + jnp.log(n) / (2 * L)
    return {"power": 2 - 2 / L, "constant": constant, "growth": 1 / L, "log_size": log_size}


def predict_one_over_t(case: SimplexStart) -> dict[str, jax.Array]:
    """Without ridge the cross-entropy of an unconstrained feature model falls like 1/t and its norm grows like log t.

    Exponents of log t beside 1/t, and in the norm.
    """
    del case
    return {"power": jnp.zeros(()), "growth": jnp.ones(())}


def measure_exponents(case: SimplexStart, key: jax.Array) -> list[dict[str, jax.Array]]:
    """Of the factors that the case trains, and of features alone on the same simplex, for which the claim is right."""
    W = end_to_end(case.problem, case.params.weights)
    fixed = (*[jnp.eye(W.shape[1], dtype=W.dtype)] * 2, W / jnp.linalg.norm(W, 2))
    alone = case._replace(params=case.params._replace(weights=fixed), trained=0 * case.trained)
    return [{name: rate[name] for name in ("power", "growth")} for rate in (measure_rate(x, key) for x in (case, alone))]


def _against_one_over_t(case: SimplexStart, predicted: dict, measured: list[dict]) -> list[Check]:
    """The exponents of several trained factors refute the claim, those of one pin it down."""
    several, one = measured
    pins = agreement(1e-4, scale=1.0)(case, predicted, one)
    return [
        *refuting(agreement(0.1, scale=1.0))(case, predicted, several),
        *(check._replace(name=f"{check.name} of one factor") for check in pins),
    ]


@jax.jit
def measure_rate(case: SimplexStart, key: jax.Array) -> dict[str, jax.Array]:
    """Two late points of the flow: t is the integral of ds/s' with s' from gradients of log f at simplex points of scale s."""
    del key
    problem, L = case.problem, 1 + jnp.sum(case.trained)
    start = logit_scale(logits(problem, case.params))

    def at(s: jax.Array) -> tuple:
        factor = (s / start) ** (1 / L)
        grown = tuple(jnp.where(on == 1, factor, 1) * W for on, W in zip(case.trained, case.params.weights, strict=True))
        params = Params(grown, factor * case.params.H, None)
        value, gradient = jax.value_and_grad(partial(log_objective, problem))(params)
        down = jax.tree.map(jnp.negative, trained_part(case, gradient))
        speed = jax.jvp(lambda p: logit_scale(logits(problem, p)), (params,), (down,))[1]
        return value, jnp.log(speed), 0.5 * jnp.log(simplex_start.trained_square(case, params))

    def late(s: jax.Array) -> tuple:
        # all but e^-40 of the time passes while the last 40 units of s are gained
        x, w = (jnp.asarray(v, s.dtype) for v in _NODES)
        value, log_speed, log_norm = jax.vmap(at)(jnp.append(s - 20 + 20 * x, s))
        log_t = jax.nn.logsumexp(jnp.log(20 * w) - (value + log_speed)[:-1])
        return jnp.log(log_t), value[-1] + log_t, log_norm[-1]

    x, product, log_norm = jax.lax.map(late, jnp.asarray(_LATE, case.ts.dtype))
    power, growth = -jnp.diff(product)[0] / jnp.diff(x)[0], jnp.diff(log_norm)[0] / jnp.diff(x)[0]
    constant, log_size = product[1] + power * x[1], log_norm[1] - growth * x[1]
    return {"power": power, "constant": constant, "growth": growth, "log_size": log_size}


_SOURCE = "derived, for the model of [ji2022]"

THEOREMS = (
    statements.trajectory(
        "ce-simplex-flow", _SOURCE,
        predict_flow, simplex_start.observe, cases, draw, ASSUMES, path=simplex_start.flow, tolerance=1e-8,
    ),
    # other: exponents between two late points, which no one point of a path shows
    statements.other(
        "ce-simplex-rate", _SOURCE + "; exponents as in [lyu2020]",
        predict_rate, measure_rate, cases, draw, ASSUMES, evidence=agreement(1e-4, scale=1.0),
        notes="Measured between log t = 1e7 and 1e9; the relative correction is q^2 log log t / log t.",
    ),
    # other: the same exponents refute a claim, and pin it with one factor
    statements.other(
        "ce-simplex-rate-one-over-t", "the rate of logistic regression ([soudry2018]), carried over to two and more factors",
        predict_one_over_t, measure_exponents, cases, assumes=ASSUMES, status="refuted", evidence=_against_one_over_t,
        notes="What holds: both rates with one trained factor, that is with frozen features; ce-simplex-rate for more.",
    ),
)  # fmt: skip
