"""Contrastive losses, convex or not: their symmetric collapse is a global minimiser (Zhou et al. 2022).

If loss(z; y) >= phi(t) with t = z_y - mean(z), with equality where the other logits are equal, then for every Z of N = nK columns
|Z|_* >= sum_i |t_i|/sqrt(n) (Z against the matrix P Y S, S signs, of spectral norm sqrt(n)), so that

    f >= min_t phi(t) + c K |t| = min_{a >= 0} loss(a (e_1 - 1/K)) + c (K-1) a,    c = sqrt(l2_W l2_H n)

attained by the simplex a (I - J). Every decreasing function of the softmax probability of the true class is contrastive. The
scalar problem may have several minima; zero is always a candidate. LDR-KL, label-distributionally robust with a KL penalty,

    loss = T log[(1/K) sum_k exp((z_k - z_y + m 1{k != y})/T)],

is convex too: 1 - (K-1) c is the weight of its true class, which gives the margin.
"""

from collections.abc import Callable
from dataclasses import astuple
from fractions import Fraction
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ufm.losses import focal, is_loss, ldr_kl, poly1, value_of, z_loss
from ufm.losses.margin import LdrKl
from ufm.losses.normalised import ZLoss
from ufm.losses.probability import Focal, Poly1
from ufm.problem import Problem
from ufm.proofs import Less, Proof, closed, unproved
from ufm.proofs.expressions import Expression, exp, log, number, power, sqrt, x
from ufm.search.symmetric import reduced
from ufm.theory import statements
from ufm.theory.assumptions import has_loss
from ufm.theory.other_losses.measured import certified, collapse_theorem, descend, problem_at, random_factors, value_and_gradient
from ufm.theory.prediction import Prediction
from ufm.theory.proving import exactly, held, least_margin
from ufm.theory.symmetric import price_of, symmetric_prediction
from ufm.theory.theorem import Assumption, Check, below


def lowest(f: Callable, *parameters: Any) -> jax.Array:
    """argmin_{x >= 0} f(x, *parameters), zero included; derivatives pass through the parameters.

    Every interval of a grid of ratio 1.07 on which the slope changes sign is bisected.
    """
    slope, frozen, dtype = jax.grad(f), lax.stop_gradient(parameters), jnp.result_type(*parameters)
    slopes_at = jax.vmap(lambda x: slope(x, *frozen))
    grid = jnp.concatenate([jnp.zeros((1,), dtype), jnp.geomspace(1e-6, 1e6, 400, dtype=dtype)])
    slopes = slopes_at(grid)
    brackets = (slopes[:-1] < 0) & (slopes[1:] >= 0)

    def halve(_: int, ends: tuple) -> tuple:
        low, high = ends
        middle = 0.5 * (low + high)
        below = slopes_at(middle) < 0
        return jnp.where(below, middle, low), jnp.where(below, high, middle)

    low, high = lax.fori_loop(0, 60, halve, (grid[:-1], grid[1:]))
    candidates = jnp.concatenate([jnp.zeros((1,), dtype), jnp.where(brackets, 0.5 * (low + high), 0)])
    values = jax.vmap(lambda x: f(x, *frozen))(candidates)
    x = lax.stop_gradient(candidates[jnp.argmin(values)])

    def newton(x: jax.Array, _: None) -> tuple[jax.Array, None]:
        value, bend = jax.value_and_grad(slope)(x, *parameters)
        usable = (x > 0) & (bend > 0)
        return x - jnp.where(usable, value / jnp.where(usable, bend, 1), 0), None

    return lax.scan(newton, x, length=2)[0]


def on_simplex(problem: Problem) -> tuple[jax.Array, jax.Array]:
    """(a, F(a, 0)) at the lowest point of loss(a (e_1 - 1/K)) + c (K-1) a over a >= 0."""
    K, c = problem.classes, price_of(problem)

    def F(a: jax.Array, c: jax.Array) -> jax.Array:
        return reduced(problem.loss, K, jnp.stack([a, jnp.zeros_like(a)]), c)

    a = lowest(F, c)
    return a, F(a, c)


def predict(problem: Problem) -> Prediction:
    """Focal, Poly-1, comp-sum and every other contrastive loss, convex or not: the simplex is a global minimiser, with the margin
    that minimises a function of one scalar.
    """
    a, value = on_simplex(problem)
    return symmetric_prediction(problem, a, jnp.zeros_like(a), value)


def prove_on_simplex(problem: Problem, predicted: Prediction) -> Proof:
    """The least value along simplices of focal and Poly-1, x the margin."""
    loss, odds = problem.loss.value, (problem.classes - 1) * exp(-x)
    cost, wrong = log(1 + odds), odds / (1 + odds)
    if isinstance(loss, Focal):
        gamma = exactly(loss.gamma)
        share = wrong ** int(gamma.p) if gamma.q == 1 else power(wrong, gamma)
        return least_margin(lambda p: share * cost)(problem, predicted)
    if isinstance(loss, Poly1):
        return least_margin(lambda p: cost + exactly(loss.epsilon) * wrong)(problem, predicted)
    return unproved(f"the loss {problem.loss.name} is not written down as an expression of its margin")


def _z_score_at_margin(problem: Problem) -> Expression:
    K, loss = problem.classes, value_of(problem.loss, ZLoss)
    slope, offset, eps = map(exactly, (loss.slope, loss.offset, loss.eps))
    score = x * Fraction(K - 1, K) / sqrt(x**2 * Fraction(K - 1, K**2) + eps)
    return log(1 + exp(slope * (offset - score))) / slope


def predict_z_score(problem: Problem) -> Prediction:
    """The Z-loss with eps > 0 is contrastive: the simplex is a global minimiser, with a margin that minimises a function of one
    scalar.

    The z-score of the true logit is a (1 - 1/K)/sqrt(a^2 (K-1)/K^2 + eps).
    """
    K, c = problem.classes, price_of(problem)
    slope, offset, eps = astuple(value_of(problem.loss, ZLoss))

    def F(a: jax.Array, c: jax.Array) -> jax.Array:
        score = a * (1 - 1 / K) / jnp.sqrt(a**2 * (K - 1) / K**2 + eps)
        return jax.nn.softplus(slope * (offset - score)) / slope + c * (K - 1) * a

    a = lowest(F, c)
    return symmetric_prediction(problem, a, jnp.zeros_like(a), F(a, c))


def predict_ldr_kl(problem: Problem) -> Prediction:
    """LDR-KL: the simplex with margin m + T log(1/c - K + 1); zero iff c >= 1/(K - 1 + exp(-m/T)).

    f* = T log[(1 + (K-1) exp((m-a)/T))/K] + c (K-1) a.
    """
    K, c = problem.classes, price_of(problem)
    m, T = value_of(problem.loss, LdrKl).margin, value_of(problem.loss, LdrKl).temperature
    alive = c < 1 / (K - 1 + jnp.exp(-m / T))
    a = jnp.where(alive, m + T * jnp.log(1 / jnp.where(alive, c, 0.5 / K) - (K - 1)), 0)
    value = T * (jnp.logaddexp(0.0, jnp.log(K - 1.0) + (m - a) / T) - jnp.log(1.0 * K)) + c * (K - 1) * a
    return symmetric_prediction(problem, a, jnp.zeros_like(a), value)


def predict_infimum(problem: Problem) -> jax.Array:
    """The Z-loss with eps = 0 does not see the scale of the logits: with ridges the model has no minimiser, and its infimum
    softplus(A(B - sqrt(K-1)))/A is approached as all weights and features go to zero.

    sqrt(K-1) is the largest z-score that a column can have.
    """
    slope, offset, _ = astuple(value_of(problem.loss, ZLoss))
    return jax.nn.softplus(slope * (offset - jnp.sqrt(problem.classes - 1.0))) / slope


def prove_infimum(problem: Problem, predicted: jax.Array) -> Proof:
    """The number, which is below what zero is worth."""
    loss = value_of(problem.loss, ZLoss)
    slope, offset = exactly(loss.slope), exactly(loss.offset)
    infimum = log(1 + exp(slope * (offset - sqrt(number(problem.classes - 1))))) / slope
    at_zero = log(1 + exp(number(slope * offset))) / slope
    what = f"the infimum of {problem.loss.name}, K = {problem.classes}, which is below the value at zero"
    return held(closed(infimum, facts=[Less(infimum, at_zero)], statement=what), predicted)


def measure_infimum(problem: Problem, key: jax.Array) -> np.ndarray:
    """Descend almost without ridges, then halve the point twenty times, along which only the ridges change: all values."""
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    almost_free = problem.replace(l2_W=1e-9, l2_H=1e-9)
    runs = (descend(almost_free, *random_factors(problem, rng, scale)) for scale in (1.0, 2.0))
    _, W, H = min(runs, key=lambda run: run[0])
    return np.array([value_and_gradient(problem, W / 2**k, H / 2**k)[0] for k in range(21)])


def infimum_evidence(problem: Problem, predicted: jax.Array, measured: np.ndarray) -> list[Check]:
    """Values fall at every halving, stay above the infimum, and come within 1e-6 of it; zero itself is higher."""
    p, d = float(predicted), problem.widths[0]
    at_zero = value_and_gradient(problem, np.zeros((problem.classes, d)), np.zeros((d, problem.columns)))[0]
    return [
        Check("agreement", "infimum", abs(measured[-1] - p) / p, 1e-6),
        below("agreement", "never below", (p - measured.min()) / p),
        Check("agreement", "rises on the way down", float(np.sum(np.diff(measured) >= 0)), 0),
        below("agreement", "zero is lower", float(measured[-1]) - at_zero, 0.0),
    ]


def infimum_cases() -> dict[str, Problem]:
    """Weak and strong ridges."""
    return {f"c={c}": problem_at(z_loss(1.0, 0.0, 0.0), c) for c in (0.001, 0.1)}


_CONTRASTIVE = Assumption(
    "a contrastive loss, alike for all classes, that does not see shifts",
    lambda p: p.loss.contrastive and p.loss.symmetric and p.loss.shift_invariant,
)
THEOREMS = (
    collapse_theorem(
        "p-loss-1d", "[zhou2022losses]; with ridges derived",
        predict, (focal(2.0), poly1(3.0)), (0.003, 0.1, 0.9), (1e-3, 0.15), (_CONTRASTIVE,), general=True, prove=prove_on_simplex,
        notes="Other global minimisers may exist where the scalar problem has several; with one, the geometry is unique.",
    ),
    collapse_theorem(
        "z-score-loss", "loss: [debrebisson2016z]; minimum derived",
        predict_z_score, (z_loss(2.0, 0.5, 0.05),), (0.003, 0.1, 1.0), (1e-3, 0.3),
        (has_loss(ZLoss, name="z_loss"), Assumption("eps above 0", lambda p: is_loss(p.loss, ZLoss) and p.loss.value.eps > 0)),
        classes=(5,), prove=least_margin(_z_score_at_margin),
    ),
    collapse_theorem(
        "ldr-kl", "loss: [zhu2023]; minimum derived",
        predict_ldr_kl, (ldr_kl(1.0, 0.5),), (0.003, 0.2, 0.3), (1e-3, 0.22), (has_loss(LdrKl, name="ldr_kl"),), evidence=certified,
    ),
    # other: an infimum that is not attained, seen from above along a path that falls at every step
    statements.other(
        "z-score-no-minimiser", "loss: [debrebisson2016z]; infimum derived",
        predict_infimum, measure_infimum, infimum_cases, evidence=infimum_evidence, prove=prove_infimum,
    ),
)  # fmt: skip
