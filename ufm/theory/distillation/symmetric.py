"""What the entries of a symmetric teacher share: its numbers, the assumption, and the minimiser as a problem's prediction.

Where targets and teacher treat classes alike, averaging over the symmetric group gives class logits a P + e J for every convex
loss. With omega the weight of a class in the data term (1/K as a rule) and c the ridge in units of logits,

    f* = omega K  min_{a, e} [loss(a, e) + price ((K-1)|a| + |e|)],    price = c sqrt(n) / (omega K).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ufm.base.checks import is_traced
from ufm.equivalent.columns import split_columns
from ufm.losses import Loss
from ufm.losses.distillation import Binary
from ufm.problem import Problem, run_starts
from ufm.problem.params import column_weights
from ufm.settings.distillation import distilled_problem
from ufm.theory.assumptions import ONE_LAYER, PENALISED, PLAIN, has_bias, is_wide
from ufm.theory.prediction import Prediction, effective_c
from ufm.theory.symmetric import symmetric_prediction
from ufm.theory.theorem import Assumption

_SLACK = 1e-9


class Numbers(NamedTuple):
    """price and total (omega K) as above; target and teacher logit of the true class (own, t_own) and of any other."""

    price: jax.Array
    total: jax.Array
    own: jax.Array
    other: jax.Array
    t_own: jax.Array
    t_other: jax.Array


def numbers(problem: Problem) -> Numbers:
    """The numbers of a problem that meets `SYMMETRIC`."""
    total, Y = jnp.sum(column_weights(problem)), problem.targets
    teacher = Y if problem.teacher is None else problem.teacher
    return Numbers(effective_c(problem) * jnp.sqrt(problem.counts[0]) / total, total, *Y[:2, 0], *teacher[:2, 0])


def distilled(teacher: Any, price: float, per_class: int, loss: Loss) -> Problem:
    """Classes under hard labels and a teacher, each as two columns; price = sqrt(n l2_W l2_H)."""
    c = price / per_class**0.5
    return split_columns(distilled_problem(teacher, per_class, 12, loss, l2_W=3 * c, l2_H=c / 3))


def binary_slopes(binary: Binary, K: int, a: jax.Array, e: jax.Array, t_own: jax.Array, t_other: jax.Array) -> tuple:
    """Derivatives in a and e of the binary divergence at z = a P + e J, whose logits are (a (K-1) + e)/K and (e - a)/K.

    B'(z) = T (sig(z/T) - sig(t/T)), or T (sig((z-t)/T) - 1/2) for the norm.
    """
    T = binary.temperature

    def slope(z: jax.Array, t: jax.Array) -> jax.Array:
        return T * (jax.nn.sigmoid((z - t) / T) - 0.5 if binary.norm else jax.nn.sigmoid(z / T) - jax.nn.sigmoid(t / T))

    own, other = slope((a * (K - 1) + e) / K, t_own), slope((e - a) / K, t_other)
    return (own - other) * (K - 1) / K, (own + (K - 1) * other) / K


def student(problem: Problem, a: jax.Array, e: jax.Array) -> Prediction:
    """`symmetric_prediction` with f* = omega K (loss(a P + e J) + price ((K-1)|a| + |e|)), the loss on the first class."""
    K, n = problem.classes, numbers(problem)
    z = jnp.where(jnp.arange(K) == 0, a, 0) + (e - a) / K
    loss = problem.loss(z, jax.tree.map(lambda x: x[:, 0], problem.loss_targets))
    return symmetric_prediction(problem, a, e, n.total * (loss + n.price * ((K - 1) * jnp.abs(a) + jnp.abs(e))))


def _is_symmetric(problem: Problem) -> bool:
    """Whether targets and teacher are alike for all classes, which have one size and one weight, their own target above others."""
    design, K = problem.design, problem.classes
    if is_traced(design) or len(design.runs) != K:
        return False
    alike = map(np.asarray, (design.counts, problem.weight, *(() if problem.bias == "none" else (problem.intercept,))))
    good = all(np.max(np.abs(x / x[0] - 1)) <= _SLACK for x in alike)
    for matrix in (problem.targets, *(() if problem.teacher is None else (problem.teacher,))):
        M = np.asarray(matrix)[:, run_starts(design.runs)]
        distance = np.max(np.abs(M - np.where(np.eye(K) == 1, M[0, 0], M[1, 0])))
        good = good and distance <= _SLACK * np.max(np.abs(M))
    table = np.asarray(design.table)
    return bool(good and table[0, 0] > table[1, 0])


SYMMETRIC = Assumption("equal classes that targets, teacher and weights treat alike, each of its own target", _is_symmetric)


def one_head(loss: Assumption, missing: int = 1) -> tuple[Assumption, ...]:
    """What the theorems of one head under a loss assume; widths of K - missing suffice."""
    return (loss, SYMMETRIC, PLAIN, PENALISED, ONE_LAYER, is_wide(missing), has_bias("none"))
