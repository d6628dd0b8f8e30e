"""Cross-entropy and a binary divergence from a symmetric teacher on one head: two scalars, the margin and the mean logit.

    z = a P + e J has z_t = (a (K-1) + e)/K on the true class and z_o = (e - a)/K elsewhere; with price = sqrt(n l2_W l2_H)

    f* = min_{a, e} gamma log(1 + (K-1) e^-a) + kd [B(z_t) + (K-1) B(z_o)] + price ((K-1)|a| + |e|),

B sees shifts of the logits, so that e follows the mean logit of the teacher as far as the price lets it; cross-entropy and
teacher have to share one margin.
"""

import jax
import jax.numpy as jnp
import numpy as np

from ufm.losses import ce_binary_kl, value_of
from ufm.losses.distillation import SingleHead
from ufm.problem import Problem
from ufm.settings.distillation import symmetric_teacher
from ufm.theory.assumptions import has_loss
from ufm.theory.distillation.descent import descent_theorem
from ufm.theory.distillation.symmetric import binary_slopes, distilled, numbers, one_head, student
from ufm.theory.prediction import Prediction
from ufm.theory.symmetric import kinked_root


def predict(problem: Problem) -> Prediction:
    """Cross-entropy with a binary divergence (plain or normalised) from a symmetric teacher on one head: class logits a P + e J,
    where margin a and mean logit e solve two coupled scalar equations; the teacher drags the margin to its own.

    Nested roots of both slopes: e for every a, then a.
    """
    K, loss, n = problem.classes, value_of(problem.loss, SingleHead), numbers(problem)
    rest, teacher = jnp.log(K - 1.0).astype(problem.dtype), (n.t_own, n.t_other)

    def slope_in_e(e: jax.Array, a: jax.Array, *teacher: jax.Array) -> jax.Array:
        return loss.kd * binary_slopes(loss.binary, K, a, e, *teacher)[1]

    def slope_in_a(a: jax.Array, price: jax.Array, own: jax.Array, *teacher: jax.Array) -> jax.Array:
        e = kinked_root(slope_in_e, price, a, *teacher)
        return loss.gamma * (jax.nn.sigmoid(a - rest) - own) + loss.kd * binary_slopes(loss.binary, K, a, e, *teacher)[0]

    a = kinked_root(slope_in_a, n.price * (K - 1), n.price, n.own, *teacher)
    return student(problem, a, kinked_root(slope_in_e, n.price, a, *teacher))


def problem_at(a_T: float, b_T: float, price: float, per_class: int = 2, classes: int = 4) -> Problem:
    """Classes under CE + binary KL/2 at T = 2."""
    return distilled(symmetric_teacher(classes, a_T, b_T), price, per_class, ce_binary_kl(1.0, 0.5, 2.0, norm=False))


def cases() -> dict[str, Problem]:
    """Teachers less and more sure than the student, with mean logits above, below and at zero; e alive and dead; all dead."""
    at = {
        "a_T=6 b_T=3": (6.0, 3.0, 3e-3), "a_T=1 b_T=-8": (1.0, -8.0, 3e-3), "a_T=12 b_T=0": (12.0, 0.0, 3e-3),
        "a_T=6 b_T=3, e dead": (6.0, 3.0, 0.3), "a_T=4 b_T=3, strong ridge": (4.0, 3.0, 0.1), "all dead": (6.0, 3.0, 1.0),
    }  # fmt: skip
    return {label: problem_at(*case) for label, case in at.items()}


def draw(rng: np.random.Generator) -> Problem:
    """A random teacher and price, four or six classes."""
    price = np.exp(rng.uniform(-6, -2))
    return problem_at(rng.uniform(0, 12), rng.uniform(-8, 8), price, int(rng.integers(1, 50)), int(rng.choice((4, 6))))


THEOREMS = (
    descent_theorem(
        "kd-binary-single-head", "derived (group averaging); losses: [yang2024]", predict, cases, draw,
        one_head(has_loss(SingleHead, name="ce_binary_kl"), missing=0),
    ),
)  # fmt: skip
