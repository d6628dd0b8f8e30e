"""LDR-KL, label-distributionally robust with a KL penalty: the simplex, with a margin in closed form.

    loss = T log[(1/K) sum_k exp((z_k - z_y + m 1{k != y})/T)],    c = sqrt(l2_W l2_H n)

It is convex and contrastive. With p = 1 - (K-1) c the weight of the true class,

    a = max(0, m + T log(1/c - K + 1)),    zero for c >= 1/(K - 1 + exp(-m/T))
"""

import jax.numpy as jnp

from ufm.losses import ldr_kl, value_of
from ufm.losses.margin import LdrKl
from ufm.problem import Problem
from ufm.theory.assumptions import has_loss
from ufm.theory.other_losses.measured import cases_of, certified, collapse_theorem, draw_of
from ufm.theory.prediction import Prediction
from ufm.theory.symmetric import price_of, symmetric_prediction

_LOSSES = (ldr_kl(1.0, 0.5),)


def predict(problem: Problem) -> Prediction:
    """LDR-KL: the simplex with margin m + T log(1/c - K + 1); zero iff c >= 1/(K - 1 + exp(-m/T)).

    a = max(0, m + T log(1/c - K + 1)); f* is T log[(1 + (K-1) exp((m-a)/T))/K] + c (K-1) a.
    """
    K, c = problem.classes, price_of(problem)
    m, T = value_of(problem.loss, LdrKl).margin, value_of(problem.loss, LdrKl).temperature
    threshold = 1 / (K - 1 + jnp.exp(-m / T))
    alive = c < threshold
    a = jnp.where(alive, m + T * jnp.log(1 / jnp.where(alive, c, 0.5 / K) - (K - 1)), 0)
    value = T * (jnp.logaddexp(0.0, jnp.log(K - 1.0) + (m - a) / T) - jnp.log(1.0 * K)) + c * (K - 1) * a
    return symmetric_prediction(problem, a, jnp.zeros_like(a), value)


THEOREMS = (
    collapse_theorem(
        "ldr-kl", "loss: [zhu2023]; minimum derived",
        predict, lambda: cases_of(_LOSSES, 0.003, 0.2, 0.3), draw_of(_LOSSES, 1e-3, 0.22), (has_loss(LdrKl, name="ldr_kl"),),
        missing=1, evidence=certified,
    ),
)  # fmt: skip
