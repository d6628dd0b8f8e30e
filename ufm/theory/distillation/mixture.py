"""Hard labels and a symmetric teacher on one head: the simplex ETF, its margin the root of one monotone equation.

    gamma CE(z, y) + kd T^2 KL(softmax(t/T) || softmax(z/T)),   q_t the teacher's confidence at T,   price = sqrt(n l2_W l2_H)
    gamma (1 - p(a)) + kd T (q_t - p(a/T)) = price (K-1),        p(x) = e^x/(e^x + K - 1)

with the sign of the price turned for a < 0, which only a teacher against its labels can bring about, and a = 0 between.
"""

import jax
import jax.numpy as jnp
import numpy as np

from ufm.losses import kd, value_of
from ufm.losses.distillation import Mixture
from ufm.problem import Problem
from ufm.settings.distillation import symmetric_teacher
from ufm.theory.assumptions import has_loss
from ufm.theory.distillation.descent import descent_theorem
from ufm.theory.distillation.symmetric import distilled, numbers, one_head, student
from ufm.theory.prediction import Prediction
from ufm.theory.symmetric import kinked_root


def predict(problem: Problem) -> Prediction:
    """Hard labels and a symmetric teacher on one head: the simplex ETF, whose margin a solves gamma (1 - p(a)) + kd T (q_t -
    p(a/T)) = (K-1) sqrt(n l2_W l2_H), p(x) = e^x/(e^x + K - 1); between those of either alone.
    """
    K, loss, n = problem.classes, value_of(problem.loss, Mixture), numbers(problem)
    rest, T = jnp.log(K - 1.0).astype(problem.dtype), loss.temperature

    def slope(a: jax.Array, own: jax.Array, taught: jax.Array) -> jax.Array:
        soft = jax.nn.sigmoid(a / T - rest) - jax.nn.sigmoid(taught / T - rest)
        return loss.gamma * (jax.nn.sigmoid(a - rest) - own) + loss.kd * T * soft

    a = kinked_root(slope, n.price * (K - 1), n.own, n.t_own - n.t_other)
    return student(problem, a, jnp.zeros_like(a))


def problem_at(a_T: float, price: float, per_class: int = 5, classes: int = 4) -> Problem:
    """Classes under 0.7 CE + 0.3 KD at T = 3."""
    return distilled(symmetric_teacher(classes, a_T), price, per_class, kd(0.7, 0.3, 3.0))


def threshold(a_T: float) -> float:
    """The price above which the problems of `problem_at` collapse to zero: (0.7 (1 - 1/K) + 0.9 (q_t - 1/K))/(K-1)."""
    q = 1 / (1 + 3 * np.exp(-a_T / 3))
    return (0.7 * 0.75 + 0.9 * (q - 0.25)) / 3


def cases() -> dict[str, Problem]:
    """Teachers less and more sure than the student, one against its labels; both sides of the threshold."""
    taught = {f"a_T={a} price={price}": problem_at(a, price) for a, price in ((2.0, 3e-3), (12.0, 3e-3), (12.0, 0.1))}
    near = {f"a_T=4 at {ratio} of the threshold": problem_at(4.0, ratio * threshold(4.0)) for ratio in (0.95, 1.05)}
    return taught | {"teacher against its labels": problem_at(-60.0, 1e-2)} | near


def draw(rng: np.random.Generator) -> Problem:
    """A random teacher and price, four or six classes."""
    return problem_at(rng.uniform(-2, 15), np.exp(rng.uniform(-6, -2)), int(rng.integers(1, 50)), int(rng.choice((4, 6))))


THEOREMS = (
    descent_theorem(
        "kd-mixture", "derived (group averaging); loss: [hinton2015]", predict, cases, draw, one_head(has_loss(Mixture, name="kd")),
    ),
)  # fmt: skip
