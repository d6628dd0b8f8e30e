"""Plackett-Luce distillation from a symmetric teacher: the simplex ETF, where classes that the teacher ties are averaged.

    price = sqrt(n l2_W l2_H), q the teacher's confidence in the true class, (1 - q)/(K-1) in any other:
    e^a = q/price - (K-1)  where q > K price, else a = 0;   f* = q log(1 + (K-1) e^-a) + (1-q)/(K-1) log((K-1)!) + price (K-1) a

Only the first choice sees the margin, as cross-entropy of weight q; the later ones are between classes that are alike, and
cost log((K-1)!) at any margin. With ties broken by the index of the class the symmetric point is not stationary.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np

from ufm.losses import is_loss, pld, value_of
from ufm.losses.plackett_luce import PlackettLuce
from ufm.problem import Problem
from ufm.problem.meant import exact
from ufm.proofs import Less, Proof, closed, order, unproved
from ufm.proofs.expressions import exp, log, number
from ufm.settings.distillation import confident_teacher
from ufm.theory.assumptions import has_loss
from ufm.theory.distillation.descent import descent_theorem
from ufm.theory.distillation.symmetric import distilled, numbers, one_head
from ufm.theory.prediction import Prediction
from ufm.theory.proving import PRICE, exactly, priced
from ufm.theory.symmetric import symmetric_prediction
from ufm.theory.theorem import Assumption


def predict(problem: Problem) -> Prediction:
    """Plackett-Luce distillation from a symmetric teacher of confidence q, averaged over tied classes: the simplex ETF with e^a =
    q/c - (K-1), c = sqrt(n l2_W l2_H), and zero iff q <= K c.
    """
    K, n = problem.classes, numbers(problem)
    rest = jnp.log(K - 1.0).astype(problem.dtype)
    gap = (n.t_own - n.t_other) / value_of(problem.loss, PlackettLuce).temperature
    q, q_other = jax.nn.sigmoid(gap - rest), jax.nn.sigmoid(rest - gap) / (K - 1)
    a = jnp.log(jnp.where(q > K * n.price, q / n.price, K) - (K - 1))
    loss = q * jax.nn.softplus(rest - a) + q_other * math.lgamma(K)
    return symmetric_prediction(problem, a, 0.0, n.total * (loss + n.price * (K - 1) * a))


def prove(problem: Problem, predicted: Prediction) -> Proof:
    """The value where the teacher's confidence q is above K c, and where it is below."""
    K, c, teacher = problem.classes, PRICE, exact(problem, "teacher")
    gap = number(teacher[0, 0] - teacher[1, 0]) / exactly(value_of(problem.loss, PlackettLuce).temperature)
    q = 1 / (1 + (K - 1) * exp(-gap))
    alive = order(K * c, q, priced(problem))
    if not isinstance(alive, Less):
        return unproved("whether the margin is above 0 is not decided")
    a = log(q / c - (K - 1)) if alive.b is q else number(0)
    loss = q * log(1 + (K - 1) * exp(-a)) + (1 - q) / (K - 1) * log(number(math.factorial(K - 1)))
    what = f"the minimum of {problem.loss.name}, K = {K}, from a symmetric teacher"
    return closed(loss + (K - 1) * c * a, where=priced(problem), facts=[alive], statement=what)


def problem_at(confidence: float, ratio: float, per_class: int = 5, classes: int = 4) -> Problem:
    """Classes at T = 2 and at `ratio` of the price q/K above which everything is zero."""
    return distilled(confident_teacher(classes, confidence, 2.0), ratio * confidence / classes, per_class, pld(2.0))


def cases() -> dict[str, Problem]:
    """Teachers that are certain, and not (q = 1/K has all classes tied), on both sides of the threshold."""
    at = ((0.9, 0.01), (0.9, 0.5), (0.6, 0.95), (0.6, 1.05), (0.25, 0.1), (0.1, 0.1))
    return {f"q={q} price at {ratio} of q/K": problem_at(q, ratio) for q, ratio in at}


def draw(rng: np.random.Generator) -> Problem:
    """Random confidence and price, 5 % below the threshold and lower, four or six classes."""
    at = rng.uniform(0.2, 0.95), np.exp(rng.uniform(-5, np.log(0.95))), int(rng.integers(1, 50))
    return problem_at(*at, classes=int(rng.choice((4, 6))))


_AVERAGED = Assumption(
    "ties averaged over their orders", lambda p: is_loss(p.loss, PlackettLuce) and value_of(p.loss, PlackettLuce).ties == "average"
)
THEOREMS = (
    descent_theorem(
        "pld", "loss: [bassam2025]; closed form and averaging of ties derived", predict, cases, draw,
        (*one_head(has_loss(PlackettLuce, name="pld")), _AVERAGED), prove=prove,
    ),
)  # fmt: skip
