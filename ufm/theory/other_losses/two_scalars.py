"""Losses that see shifts, whose simplex gains a mean: BCE, cross-entropy with a penalty on logsumexp, and StableMax.

In the logits x of the true class and y of each other one, with a = x - y > 0 > b = x + (K-1) y, stationarity decouples,

    d loss/dx = -c (K-2),    d loss/dy = 2 c (of one y),    c = sqrt(l2_W l2_H n)

    BCE                 sigmoid(-x) = c (K-2),  sigmoid(y) = 2c
    CE + zeta lse^2     lse = c K/(2 zeta),  softmax(x) = (1 - c(K-2))/(1 + cK),  softmax(y) = 2c/(1 + cK)
    StableMax           1 + x = 2 (K-1)/(K-2) (1 - y),  2 (K-1)/(K-2) B^3 + (K-1) B = 1/(2c),  B = 1 - y

Where b would not be below zero the simplex (b = 0) is the minimum, and where a would not be above zero the mean (a = 0) or zero.
"""

from fractions import Fraction

import jax.numpy as jnp
from jax.scipy.special import logit

from ufm.losses import LOGISTIC, ce_logsumexp, stablemax, value_of
from ufm.losses.logsumexp import CrossEntropyLogsumexp
from ufm.problem import Problem
from ufm.proofs import Less, Proof, closed, order, root
from ufm.proofs.expressions import exp, log, number, x
from ufm.search.symmetric import reduced
from ufm.theory.assumptions import has_loss
from ufm.theory.other_losses.contrastive import on_simplex
from ufm.theory.other_losses.measured import certified, collapse_theorem
from ufm.theory.prediction import Prediction
from ufm.theory.proving import PRICE, exactly, least_margin, price_square, priced
from ufm.theory.symmetric import price_of, symmetric_prediction


def predict_bce(problem: Problem) -> Prediction:
    """One-vs-all logistic loss: for K >= 3 and small c the simplex with a negative mean, sigmoid(-z) = c (K-2) on the true class,
    sigmoid(z) = 2c elsewhere (an orthogonal frame at K = 4); for K >= 5 the mean outlives the simplex.

    Both for c < 1/K; the mean b = K logit((1 + cK)/K) alone up to c = 1/2 - 1/K.
    """
    K, c = problem.classes, price_of(problem)
    inside = c < 1 / K
    safe = jnp.where(inside, c, 0.5 / K)
    x, y = -logit(safe * max(K - 2, 1e-3)), logit(2 * safe)
    mean = K * logit(jnp.minimum((1 + c * K) / K, 0.5))
    return _best(problem, (x - y, x + (K - 1) * y, inside & (K > 2)), (mean, mean < 0))


def predict_logsumexp(problem: Problem) -> Prediction:
    """CE + zeta logsumexp^2: for small c a simplex with negative mean, logsumexp = cK/(2 zeta) and wrong probabilities 2c/(1 + cK);
    the simplex where that would have a mean above zero.

    Both for c < 1/K; the mean alone where c >= 1/K and 2 zeta log(K)/K > c.
    """
    K, c = problem.classes, price_of(problem)
    zeta = value_of(problem.loss, CrossEntropyLogsumexp).zeta
    inside, lse = c < 1 / K, c * K / (2 * zeta)
    safe = jnp.where(inside, c, 0.5 / K)
    x, y = lse + jnp.log((1 - safe * (K - 2)) / (1 + safe * K)), lse + jnp.log(2 * safe / (1 + safe * K))
    mean = K * (lse - jnp.log(1.0 * K))
    return _best(problem, (x - y, x + (K - 1) * y, inside), (mean, mean < 0))


def predict_stablemax(problem: Problem) -> Prediction:
    """StableMax CE: the simplex iff K <= 4 or its margin is at most K^2/((K-1)(K-4)); beyond, a simplex with negative mean from the
    root of a cubic.

    B = 2 sqrt(p/3) sinh(asinh((3q/2p) sqrt(3/p))/3), p = (K-2)/2, q = (K-2)/(4c(K-1)), where that has b < 0; else simplex.
    """
    K, c = problem.classes, price_of(problem)
    p, q = max(K - 2, 1) / 2, max(K - 2, 1) / (4 * c * (K - 1))
    B = 2 * jnp.sqrt(p / 3) * jnp.sinh(jnp.arcsinh(1.5 * q / p * jnp.sqrt(3 / p)) / 3)
    x, y = (K - 1) / p * B - 1, 1 - B
    return _best(problem, (x - y, x + (K - 1) * y, (B > 1) & (K > 4)), (jnp.zeros_like(c), jnp.asarray(False)))


def _best(problem: Problem, both: tuple, mean: tuple) -> Prediction:
    """The point with b < 0 where it exists, else the best simplex, or the mean where that is lower."""
    K, c = problem.classes, price_of(problem)
    a, value = on_simplex(problem)
    alive = both[2] & (both[1] < 0)
    alone = ~alive & (a == 0) & mean[1]
    a, b = jnp.where(alive, both[0], a), jnp.where(alive, both[1], jnp.where(alone, mean[0], 0))
    value = jnp.where(alive | alone, reduced(problem.loss, K, jnp.stack([a, b]), c), value)
    return symmetric_prediction(problem, a, b, value)


def prove_logsumexp(problem: Problem, predicted: Prediction) -> Proof:
    """The value at the two logits where their mean is below zero, else the least along simplices."""
    K, c, zeta = problem.classes, PRICE, exactly(value_of(problem.loss, CrossEntropyLogsumexp).zeta)
    lse = c * K / (2 * zeta)
    own = (1 - (K - 2) * c) / (1 + K * c)
    x_own, other = lse + log(own), lse + log(2 * c / (1 + K * c))
    mean, inside = x_own + (K - 1) * other, price_square(problem) * K**2 < 1
    below = order(mean, number(0), priced(problem)) if inside else None
    if isinstance(below, Less) and below.b.operation == "number":
        value = -log(own) + zeta * lse**2 + c * ((K - 1) * (x_own - other) - mean)
        return closed(value, where=priced(problem), facts=[below], statement=f"the minimum of {problem.loss.name}, K = {K}")
    cost = log(1 + (K - 1) * exp(-x))
    return least_margin(lambda p: cost + zeta * (x * Fraction(K - 1, K) + cost) ** 2)(problem, predicted)


def prove_stablemax(problem: Problem, predicted: Prediction) -> Proof:
    """The value at the root B of the cubic where the mean is below zero there, else the least along simplices."""
    K, c = problem.classes, PRICE
    if K > 4:
        own = Fraction(2 * (K - 1), K - 2) * x
        mean = own - 1 + (K - 1) * (1 - x)
        value = log(1 + (K - 1) / (x * own)) + c * ((K - 1) * (own - 2 + x) - mean)
        cubic = own * x**2 + (K - 1) * x - 1 / (2 * c)
        low, found = (root(cubic, 1, 2**40, value=of, where=priced(problem)) for of in (mean, value))
        if low.upper is not None and low.upper < 0:
            return found
    own, other = 1 + x * Fraction(K - 1, K), 1 + x / K
    return least_margin(lambda p: log(1 + (K - 1) / (own * other)))(problem, predicted)


THEOREMS = (
    collapse_theorem(
        "bce", "convexity and averaging over classes; closed form derived",
        predict_bce, (LOGISTIC,), (0.003, 0.15, 0.25, 0.4), (1e-3, 0.19), (has_loss(LOGISTIC),), missing=0, evidence=certified,
    ),
    collapse_theorem(
        "ce-logsumexp", "loss: [chowdhery2022]; minimum derived",
        predict_logsumexp, (ce_logsumexp(0.1),), (0.003, 0.1, 0.3), (1e-3, 0.15),
        (has_loss(CrossEntropyLogsumexp, name="ce_logsumexp"),), missing=0, prove=prove_logsumexp,
        notes="Not convex. Proof: with h(l) = l + zeta l^2 for l >= -1/(2 zeta) and constant below, h(lse) - z_y is convex and no "
        "higher; at its symmetric minimum lse > -1/(2 zeta), as otherwise b < 0 and the slope in b, -1/K - c, is not zero.",
    ),
    collapse_theorem(
        "stablemax", "loss: [prieto2025]; minimum derived",
        predict_stablemax, (stablemax(),), (0.003, 0.05, 0.3), (1e-3, 0.15), (has_loss(stablemax()),),
        missing=0, status="numerical", prove=prove_stablemax,
        notes="The symmetric minimum is closed; that no asymmetric point is lower is what random starts confirm.",
    ),
)  # fmt: skip
