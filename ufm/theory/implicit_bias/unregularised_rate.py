"""How fast cross-entropy without ridge goes to zero on the simplex: faster than 1/t (derived).

For L = M + 1 trained factors and n samples a class, with q = 2 - 2/L and c = L n^(-1/L), as t -> infinity

    f ~ (K-1) / (c t log^q t),    |theta|^2 ~ L (K-1) (sqrt(n) log t)^(2/L)

The loss c/t and the norm log t of logistic regression belong to one trained factor. Time is that of theta' = -grad f.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ufm.motion.log_domain import log_objective
from ufm.problem.params import Params, end_to_end, logits
from ufm.theory import statements
from ufm.theory.implicit_bias.simplex_start import ASSUMES, SimplexStart, cases, draw, logit_scale, trained_part, trained_square
from ufm.theory.theorem import Check, agreement, refuting

_NODES = np.polynomial.legendre.leggauss(64)
_LATE = (1e7, 1e9)


class Rate(NamedTuple):
    """f ~ e^constant / (t log^power t) and |theta| ~ e^log_size (log t)^growth."""

    power: jax.Array
    constant: jax.Array
    growth: jax.Array
    log_size: jax.Array


def predict_rate(case: SimplexStart) -> Rate:
    """Without ridge the loss of L = M + 1 trained factors on the simplex falls like (K-1)/(c t log^q t) with q = 2 - 2/L and c = L
    n^(-1/L), and |theta| grows like (log t)^(1/L).

    q = 2 - 2/L, (K-1)/c, and the growth 1/L of the norm.
    """
    K, n, L = case.problem.classes, case.problem.counts[0], 1 + jnp.sum(case.trained)
    c = L * n ** (-1 / L)
    return Rate(2 - 2 / L, jnp.log((K - 1) / c), 1 / L, 0.5 * jnp.log(L * (K - 1)) + jnp.log(n) / (2 * L))


class Exponents(NamedTuple):
    """f ~ 1/(t log^power t) and |theta| ~ (log t)^growth, up to constants."""

    power: jax.Array
    growth: jax.Array


def predict_one_over_t(case: SimplexStart) -> Exponents:
    """Without ridge the cross-entropy of an unconstrained feature model falls like 1/t and its norm grows like log t.

    The claim: f t and |theta|/log t tend to constants, as for one trained factor.
    """
    del case
    return Exponents(jnp.zeros(()), jnp.ones(()))


def measure_exponents(case: SimplexStart, key: jax.Array) -> tuple[Exponents, Exponents]:
    """Of the factors that the case trains, and of the features alone, for which the claim is right."""
    own, alone = measure_rate(case, key), measure_rate(_features_alone(case), key)
    return Exponents(own.power, own.growth), Exponents(alone.power, alone.growth)


def _features_alone(case: SimplexStart) -> SimplexStart:
    """All weights fixed, with a product of unit size on the same simplex: features alone are trained."""
    W = end_to_end(case.problem, case.params.weights)
    eye = jnp.eye(W.shape[1], dtype=W.dtype)
    return case._replace(params=Params((eye, eye, W / jnp.linalg.norm(W, 2)), case.params.H, None), trained=0 * case.trained)


def _against_one_over_t(case: SimplexStart, predicted: Exponents, measured: tuple) -> list[Check]:
    """The exponents of several trained factors refute the claim, those of one pin it down."""
    several, one = measured
    pins = agreement(1e-4, scale=1.0)(case, predicted, one)
    refuted = refuting(agreement(0.1, scale=1.0))(case, predicted, several)
    return [*refuted, *(check._replace(name=f"{check.name} of one factor") for check in pins)]


def measure_rate(case: SimplexStart, key: jax.Array) -> Rate:
    """Two late points of the flow: t is the integral of ds/s' with s' from gradients of log f at simplex points of scale s."""
    del key
    return _late_rate(case)


@jax.jit
def _late_rate(case: SimplexStart) -> Rate:
    problem, L = case.problem, 1 + jnp.sum(case.trained)
    start = logit_scale(logits(problem, case.params))

    def at(s: jax.Array) -> tuple:
        factor = (s / start) ** (1 / L)
        *weights, H = (*case.params.weights, case.params.H)
        grown = [jnp.where(on == 1, factor, 1) * W for on, W in zip(case.trained, weights, strict=True)]
        params = Params(tuple(grown), factor * H, None)
        value, gradient = jax.value_and_grad(partial(log_objective, problem))(params)
        down = jax.tree.map(jnp.negative, trained_part(case, gradient))
        speed = jax.jvp(lambda p: logit_scale(logits(problem, p)), (params,), (down,))[1]
        return value, jnp.log(speed), 0.5 * jnp.log(trained_square(case, params))

    def late(s: jax.Array) -> tuple:
        # all but e^-40 of the time passes while the last 40 units of s are gained
        x, w = (jnp.asarray(v, s.dtype) for v in _NODES)
        value, log_speed, log_norm = jax.vmap(at)(jnp.append(s - 20 + 20 * x, s))
        log_t = jax.nn.logsumexp(jnp.log(20 * w) - (value + log_speed)[:-1])
        return log_t, value[-1] + log_t, log_norm[-1]

    log_t, product, log_norm = jax.lax.map(late, jnp.asarray(_LATE, case.ts.dtype))
    x = jnp.log(log_t)
    power = -(product[1] - product[0]) / (x[1] - x[0])
    growth = (log_norm[1] - log_norm[0]) / (x[1] - x[0])
    return Rate(power, product[1] + power * x[1], growth, log_norm[1] - growth * x[1])


_SOURCE = "derived, for the model of [ji2022]"

THEOREMS = (
    statements.other(
        "ce-simplex-rate", _SOURCE + "; exponents as in [lyu2020]",
        predict_rate, measure_rate, cases, draw, ASSUMES, evidence=agreement(1e-4, scale=1.0),
        notes="Measured between log t = 1e7 and 1e9; the relative correction is q^2 log log t / log t.",
    ),
    statements.other(
        "ce-simplex-rate-one-over-t", "the rate of logistic regression ([soudry2018]), carried over to two and more factors",
        predict_one_over_t, measure_exponents, cases, assumes=ASSUMES, status="refuted", evidence=_against_one_over_t,
        notes="What holds: both rates with one trained factor, that is with frozen features; ce-simplex-rate for more.",
    ),
)  # fmt: skip
