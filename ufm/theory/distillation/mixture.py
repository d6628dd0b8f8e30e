"""Hard labels and a symmetric teacher on one head: the simplex ETF, its margin the root of one monotone equation.

    gamma CE(z, y) + kd T^2 KL(softmax(t/T) || softmax(z/T)),   q_t the teacher's confidence at T,   price = sqrt(n l2_W l2_H)
    gamma (1 - p(a)) + kd T (q_t - p(a/T)) = price (K-1),        p(x) = e^x/(e^x + K - 1)

with the sign of the price turned for a < 0, which only a teacher against its labels can bring about, and a = 0 between.
"""

import jax
import jax.numpy as jnp
import numpy as np

from ufm.equivalent.columns import split_columns
from ufm.losses import kd, value_of
from ufm.losses.distillation import Mixture
from ufm.problem import Problem
from ufm.settings.distillation import distilled_problem, symmetric_teacher
from ufm.theory.assumptions import ONE_LAYER, PENALISED, PLAIN, has_bias, has_loss, is_wide
from ufm.theory.distillation.descent import descent_theorem
from ufm.theory.distillation.symmetric import (
    SYMMETRIC,
    class_column,
    kinked_root,
    numbers,
    symmetric_prediction,
)
from ufm.theory.prediction import Prediction

_LOSS = kd(0.7, 0.3, 3.0)


def predict(problem: Problem) -> Prediction:
    """Hard labels and a symmetric teacher on one head: the simplex ETF, whose margin a solves gamma (1 - p(a)) + kd T (q_t -
    p(a/T)) = (K-1) sqrt(n l2_W l2_H), p(x) = e^x/(e^x + K - 1); between those of either alone.

    a with gamma (1 - p(a)) + kd T (q_t - p(a/T)) = price (K-1) sign(a), or 0; f* = total (loss(a) + price (K-1) |a|).
    """
    K, loss = problem.classes, value_of(problem.loss, Mixture)
    n = numbers(problem)
    rest, T = jnp.log(K - 1.0).astype(problem.dtype), loss.temperature
    margins = (n.own, n.t_own - n.t_other)

    def slope(a: jax.Array, own: jax.Array, taught: jax.Array) -> jax.Array:
        soft = jax.nn.sigmoid(a / T - rest) - jax.nn.sigmoid(taught / T - rest)
        return loss.gamma * (jax.nn.sigmoid(a - rest) - own) + loss.kd * T * soft

    a = kinked_root(slope, n.price * (K - 1), *margins)
    z = jnp.where(jnp.arange(K) == 0, a, 0) - a / K
    value = n.total * (loss(z, class_column(problem)) + n.price * (K - 1) * jnp.abs(a))
    return symmetric_prediction(problem, a, jnp.zeros_like(a), value)


def problem_at(a_T: float, price: float, per_class: int = 5, classes: int = 4) -> Problem:
    """Classes under 0.7 CE + 0.3 KD at T = 3, each class as two columns; price = sqrt(n l2_W l2_H)."""
    c = price / per_class**0.5
    teacher = symmetric_teacher(classes, a_T)
    return split_columns(distilled_problem(teacher, per_class, 12, _LOSS, l2_W=3 * c, l2_H=c / 3))


def threshold(a_T: float) -> float:
    """The price above which the problems of `problem_at` collapse to zero: (0.7 (1 - 1/K) + 0.9 (q_t - 1/K))/(K-1)."""
    q = 1 / (1 + 3 * np.exp(-a_T / 3))
    return (0.7 * 0.75 + 0.9 * (q - 0.25)) / 3


def cases() -> dict[str, Problem]:
    """Teachers less and more sure than the student, one against its labels; both sides of the threshold."""
    found = {f"a_T={a} price={price}": problem_at(a, price) for a, price in ((2.0, 3e-3), (12.0, 3e-3), (12.0, 0.1))}
    found["teacher against its labels"] = problem_at(-60.0, 1e-2)
    for ratio in (0.95, 1.05):
        found[f"a_T=4 at {ratio} of the threshold"] = problem_at(4.0, ratio * threshold(4.0))
    return found


def draw(rng: np.random.Generator) -> Problem:
    """A random teacher and price, four or six classes."""
    at = rng.uniform(-2, 15), np.exp(rng.uniform(-6, -2)), int(rng.integers(1, 50))
    return problem_at(*at, classes=int(rng.choice((4, 6))))


THEOREMS = (
    descent_theorem(
        "kd-mixture", "derived (group averaging); loss: [hinton2015]",
        predict, cases, draw, (has_loss(Mixture, name="kd"), SYMMETRIC, PLAIN, PENALISED, ONE_LAYER, is_wide(1), has_bias("none")),
    ),
)  # fmt: skip
