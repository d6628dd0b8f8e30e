"""When each class is learned: logarithm of its gain over its rate for two factors, a power of the start for deeper ones.

In the logistic modes of `two_factor`, with targets q_k = sqrt(n_k) - N l/scale > 0, p_k reaches the part f of q_k at

    t_k(f) = N ln[(q_k/p0 - 1) f/(1 - f)] / (2 scale q_k)

From equal starts p0 < q/5 half-learning comes in order of class size; small starts leave the delays
(N/(2 scale)) ln(1/p0) (1/q_i - 1/q_j) between classes (Saxe et al. 2014). In the modes of `deep_modes` without ridge,
u' = (scale/N)(s - scale u^{M+1}) u^M takes from u_a to u_b the time F(u_b) - F(u_a), in the units N = scale = 1

    F(u) = u^{1-M}/((1-M) s) 2F1(1, c; 1 + c; u^{M+1}/s),    c = (1 - M)/(M + 1)    for M >= 2
    F(u) = (ln u - ln(s - u^2)/2)/s                                                 for M = 1

that is N u0^(1-M)/((M-1) s) from small u0, where M = 1 has ln(1/u0)/s.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import digamma

from ufm.problem import Problem
from ufm.proofs import Book, Proof, number, solves
from ufm.theory import statements
from ufm.theory.dynamics.deep_modes import ASSUMES, SOURCE, deep_start, singular_values
from ufm.theory.dynamics.spectral import BALANCED_SPECTRAL, Climb, climb, draw_sizes, ridged, spectral_point
from ufm.theory.dynamics.two_factor import logistic_modes, logistic_speed
from ufm.theory.theorem import Assumption, Check, agreement, below

_TERMS = 60
_PARTS = np.array([0.25, 0.5, 0.9, 0.99])
_DEEP_PARTS = np.array([0.3, 0.6, 0.99])
_WIDTHS = {2: (4, 3), 3: (4, 4, 3)}


def targets(problem: Problem) -> jax.Array:
    """q_k of two factors."""
    return jnp.sqrt(problem.multiplicity) - problem.samples * problem.l2_H / problem.scale


def predict(case: Climb) -> jax.Array:
    """From an equal, small, balanced spectral start class k is half learned at N ln(q_k/p0 - 1)/(2 q_k), q_k = sqrt(n_k) - N l:
    larger classes first.
    """
    problem, q = case.problem, targets(case.problem)[:, None]
    p0, f = problem.scale * jnp.sum(case.params.H**2, axis=0)[:, None], case.levels / q
    return (jnp.log(q / p0 - 1) + jnp.log(f / (1 - f))) * (problem.samples / (2 * problem.scale * q))


def prove(case: Climb, predicted: jax.Array) -> Proof:
    """Logistic modes in exact numbers, which rise up to their targets, pass each level within 1e-9 of the time served, and solve
    their equation there.
    """
    book = Book("logistic modes pass the levels of the case within 1e-9 of the times served")
    for k, (mode, speed, q, *_) in enumerate(logistic_modes(book, case.problem, case.params)):
        book.less(0, mode.at(number(0)))
        for time, level in zip(np.asarray(predicted[k]), np.asarray(case.levels[k]), strict=True):
            solves(book, mode, partial(logistic_speed, speed, q), [time])
            at, aim = number(float(time)), number(float(level))
            book.less(mode.at(at * (1 - number(1e-9))), aim)
            book.less(aim, mode.at(at * (1 + number(1e-9))))
            book.less(aim, q)
    return book.proof()


def evidence(case: Climb, predicted: Any, measured: Any) -> list[Check]:
    """Agreement of all times; larger classes are half learned before smaller ones."""
    order = np.argsort(-np.asarray(case.problem.multiplicity), kind="stable")
    half = np.asarray(measured)[order, list(_PARTS).index(0.5)]
    late = float(np.max(half[:-1] - half[1:])) / float(np.max(half))
    return [*agreement(1e-9)(case, predicted, measured), below("agreement", "larger classes first", late, 1e-9)]


def hypergeometric(c: float, x: jax.Array) -> jax.Array:
    """2F1(1, c; 1 + c; x) for 0 <= x < 1 and -1 < c < 0, by its series around 0 below x = 1/2 and around 1 above.

    sum_k c x^k/(c + k)    and    c sum_k (c)_k/k! [psi(k + 1) - psi(c + k) - ln(1 - x)] (1 - x)^k
    """
    orders = np.arange(_TERMS)
    factors = np.cumprod(np.r_[1.0, (c + orders[:-1]) / orders[1:]])
    low, high = jnp.minimum(x, 0.5)[..., None], jnp.maximum(x, 0.5)[..., None]
    k, rising = (y.reshape((1,) * x.ndim + (-1,)) for y in (orders, factors))
    below = jnp.sum(c / (c + k) * low**k, axis=-1)
    psi = digamma(jnp.asarray(k + 1.0)) - digamma(jnp.asarray(k + c))
    above = c * jnp.sum(rising * (psi - jnp.log1p(-high)) * (1 - high) ** k, axis=-1)
    return jnp.where(x <= 0.5, below, above)


def clock(u: jax.Array, s: jax.Array, M: int) -> jax.Array:
    """F(u) above, for 0 < u^{M+1} < s."""
    if M == 1:
        return (jnp.log(u) - jnp.log(s - u**2) / 2) / s
    return u ** (1 - M) / ((1 - M) * s) * hypergeometric((1 - M) / (M + 1), u ** (M + 1) / s)


def predict_deep(case: Climb) -> jax.Array:
    """Without ridge, M + 1 factors of singular value u need the time F(u_b) - F(u_a) from u_a to u_b, F explicit in the
    hypergeometric function; from small starts it grows as u_a^(1-M).
    """
    problem = case.problem
    M, s = len(problem.widths), (jnp.sqrt(problem.multiplicity) / problem.scale)[:, None]
    end = (case.levels / problem.scale) ** (1 / (M + 1))
    elapsed = clock(end, s, M) - clock(singular_values(case.params)[:, None], s, M)
    return elapsed * problem.samples / problem.scale**2


def _case(cutoff: float, size: float, rng: np.random.Generator, counts=(25, 9, 4), scale=1.0) -> Climb:
    problem = ridged(counts, 5, cutoff, scale)
    params = spectral_point(problem, np.full((2, 3), np.sqrt(size / scale)), rng)
    return Climb(problem, params, targets(problem)[:, None] * _PARTS[None, :])


def cases() -> dict[str, Climb]:
    """Without and with ridge, a class just above its threshold, two equal classes, a start of 1e-8."""
    rng = np.random.default_rng(0)
    return {
        "no ridge": _case(0.0, 1e-2, rng),
        "ridge": _case(1.0, 1e-2, rng),
        "smallest class just alive": _case(1.9, 1e-3, rng),
        "two equal classes": _case(0.5, 1e-2, rng, counts=(7, 4, 7)),
        "tiny start, scale 2": _case(0.3, 1e-8, rng, scale=2.0),
    }


def _deep_case(M: int, u: Any, rng: np.random.Generator, counts=(25, 9, 4), scale=1.0) -> Climb:
    problem, params, _ = deep_start(_WIDTHS[M], np.asarray(u), 0.0, rng, counts, scale)
    return Climb(problem, params, jnp.sqrt(problem.multiplicity)[:, None] * _DEEP_PARTS[None, :])


def deep_cases() -> dict[str, Climb]:
    """Two and three layers, starts down to u = 0.03."""
    rng = np.random.default_rng(0)
    return {
        "M=2": _deep_case(2, [0.3, 0.5, 0.4], rng),
        "M=2, small start": _deep_case(2, [0.03] * 3, rng),
        "M=2, scale 2": _deep_case(2, [0.3] * 3, rng, scale=2.0),
        "M=3": _deep_case(3, [0.3, 0.5, 0.4], rng),
    }


def _starts_low(case: Climb) -> bool:
    p0 = float(case.problem.scale) * np.sum(np.asarray(case.params.H) ** 2, axis=0)
    return bool(np.ptp(p0) <= 1e-12 * np.max(p0) and np.all(5 * p0 < np.asarray(targets(case.problem))))


def _starts_below(case: Climb) -> bool:
    p0 = float(case.problem.scale) * np.asarray(singular_values(case.params)) ** (len(case.problem.widths) + 1)
    return bool(np.all(p0 <= _DEEP_PARTS[0] * np.sqrt(np.asarray(case.problem.multiplicity))))


_LOW = Assumption("a spectral start, equal for all classes, below a fifth of every target", _starts_low)
_BELOW = Assumption("a start below 30% of every target", _starts_below)
_NO_RIDGE = Assumption("no ridge", lambda c: bool(np.all(np.asarray(c.problem.ridges) == 0)))
# other: times at which levels are reached, not what is seen at times
THEOREMS = (
    statements.other(
        "two-factor-learning-times", "[saxe2014]; ridges and class sizes derived", predict, climb, cases,
        lambda rng: _case(rng.uniform(0, 1.5), np.exp(rng.uniform(-9, -4)), rng, *draw_sizes(rng, least=3)),
        (*BALANCED_SPECTRAL, _LOW), evidence=evidence, prove=prove,
    ),
    statements.other(
        "deep-mode-times", SOURCE + "closed form derived", predict_deep, climb, deep_cases,
        lambda rng: _deep_case(int(rng.integers(2, 4)), rng.uniform(0.2, 0.6, size=3), rng, *draw_sizes(rng, least=3)),
        (*ASSUMES, _NO_RIDGE, _BELOW), evidence=agreement(1e-9),
    ),
)  # fmt: skip
