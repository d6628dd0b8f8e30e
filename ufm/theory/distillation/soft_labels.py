"""A symmetric teacher without hard labels: the simplex ETF, with an explicit logarithm for its margin.

    T^2 CE(q, softmax(z/T)),  q_t on the true class and q_o = (1 - q_t)/(K-1) elsewhere,  c = sqrt(n l2_W l2_H):
    p_t = q_t - c (K-1)/T,    margin a = T log((K-1) p_t/(1 - p_t))  where p_t > 1/K, else 0.

The ridge moves the prediction towards uniform by c/T a class; label smoothing and one-hot targets are the teachers of T = 1.
"""

import numpy as np

from ufm.equivalent.columns import split_columns
from ufm.losses import CE
from ufm.problem import Problem
from ufm.settings.distillation import confident_teacher, soft_label_problem
from ufm.theory import statements
from ufm.theory.assumptions import has_loss
from ufm.theory.cross_entropy.one_layer import soft_simplex
from ufm.theory.distillation.symmetric import numbers, one_head
from ufm.theory.prediction import Prediction


def predict(problem: Problem) -> Prediction:
    """Distillation at temperature T from a teacher of confidence q_t alike on all classes: the simplex ETF with margin T log((K-1)
    p/(1-p)), p = q_t - c (K-1)/T, c = sqrt(n l2_W l2_H); zero iff p <= 1/K.

    f* is the entropy of the prediction times the sum of all weights.
    """
    n = numbers(problem)
    return soft_simplex(problem, n.other + n.price, n.total)


def problem_at(confidence: float, T: float, ratio: float, per_class: int = 5, width: int = 12, classes: int = 4) -> Problem:
    """Classes at `ratio` of the ridge c = T (q_t - 1/K)/(K-1) above which everything is zero, in two columns each."""
    c = ratio * T * (confidence - 1 / classes) / (classes - 1) / per_class**0.5
    teacher = confident_teacher(classes, confidence, T)
    return split_columns(soft_label_problem(teacher, per_class, width, T, l2_W=2 * c, l2_H=c / 2))


def cases() -> dict[str, Problem]:
    """Both sides of the threshold at three temperatures, and the least width."""
    at = {f"q={q} T={T} ratio={r}": (q, T, r) for q, T in ((0.7, 2.0), (0.99, 1.0), (0.4, 8.0)) for r in (0.01, 0.9, 1.1)}
    return {label: problem_at(*case) for label, case in at.items()} | {"d=K-1": problem_at(0.7, 2.0, 0.3, width=3)}


def draw(rng: np.random.Generator) -> Problem:
    """Random confidence, temperature and ridge, 5 % away from the threshold, four or six classes."""
    ratio = float(rng.choice([np.exp(rng.uniform(-6, np.log(0.95))), rng.uniform(1.05, 2)]))
    at = rng.uniform(0.4, 0.99), np.exp(rng.uniform(-0.5, 2)), ratio, int(rng.integers(1, 50))
    return problem_at(*at, classes=int(rng.choice((4, 6))))


THEOREMS = (
    statements.minimum(
        "kd-symmetric", "derived (group averaging); setting: [hinton2015]",
        predict, cases, draw, one_head(has_loss(CE)), general=True,
        notes="Problems are built by ufm.settings.distillation.soft_label_problem, whose logits are z/T.",
    ),
)  # fmt: skip
