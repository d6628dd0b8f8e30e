"""What the entries of a symmetric teacher share: its numbers, the assumption, scalar minimisation and the minimiser's form.

Where targets and teacher treat the classes alike, averaging over the symmetric group gives class logits a P + e J for every
convex loss. With omega the weight of a class in the data term (1/K as a rule) and c the ridge in units of logits,

    f* = omega K  min_{a, e} [loss(a, e) + price ((K-1)|a| + |e|)],    price = c sqrt(n) / (omega K).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ufm.base.checks import is_traced
from ufm.base.matrices import helmert
from ufm.losses.distillation import Binary
from ufm.problem import Problem, run_starts
from ufm.problem.params import column_weights
from ufm.search.roots import increasing_root
from ufm.theory.prediction import Prediction, effective_c, from_triples
from ufm.theory.theorem import Assumption

_REACH = 1e5
_DEAD = 1e-11  # a bracket without a root closes on its end to _REACH / 2^60
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
    total = jnp.sum(column_weights(problem))
    price = effective_c(problem) * jnp.sqrt(problem.counts[0]) / total
    teacher = problem.targets if problem.teacher is None else problem.teacher
    Y, t = problem.targets, teacher
    return Numbers(price, total, Y[0, 0], Y[1, 0], t[0, 0], t[1, 0])


def class_column(problem: Problem) -> Any:
    """What the loss compares the logits of the first class with."""
    return jax.tree.map(lambda x: x[:, 0], problem.loss_targets)


def kinked_root(slope: Callable, price: jax.Array, *parameters: Any) -> jax.Array:
    """argmin_x F(x) + price |x| for a convex F of the given slope(x, *parameters): the root on either side of zero, or zero."""

    def sided(x: jax.Array, side: jax.Array, price: jax.Array, *rest: Any) -> jax.Array:
        return slope(x, *rest) + side * price

    sides = jnp.array([1.0, -1.0], price.dtype)
    ends = (jnp.minimum(sides * _REACH, 0), jnp.maximum(sides * _REACH, 0))
    x = jnp.sum(lax.map(lambda at: increasing_root(sided, at[0], at[1], at[2], price, *parameters), (*ends, sides)))
    return jnp.where(jnp.abs(x) > _DEAD, x, 0)


def binary_slopes(binary: Binary, K: int, a: jax.Array, e: jax.Array, t_own: jax.Array, t_other: jax.Array) -> tuple:
    """Derivatives in a and e of the binary divergence at z = a P + e J, whose logits are (a (K-1) + e)/K and (e - a)/K.

    B'(z) = T (sig(z/T) - sig(t/T)), or T (sig((z-t)/T) - 1/2) for the norm.
    """
    T = binary.temperature

    def slope(z: jax.Array, t: jax.Array) -> jax.Array:
        return T * (jax.nn.sigmoid((z - t) / T) - 0.5 if binary.norm else jax.nn.sigmoid(z / T) - jax.nn.sigmoid(t / T))

    own, other = slope((a * (K - 1) + e) / K, t_own), slope((e - a) / K, t_other)
    return (own - other) * (K - 1) / K, (own + (K - 1) * other) / K


def symmetric_prediction(problem: Problem, a: jax.Array, e: jax.Array, value: jax.Array) -> Prediction:
    """Class logits a P + e J, factored at least penalty; of rank K - 1 at most where the loss does not see e."""
    K, dtype = problem.classes, problem.dtype
    mean = jnp.full((K, 1), K**-0.5, dtype)
    basis = helmert(K, dtype=dtype)
    U = jnp.concatenate([basis, mean], axis=1)
    V = jnp.concatenate([jnp.where(a < 0, -basis, basis), jnp.where(e < 0, -mean, mean)], axis=1)
    sigma = jnp.sqrt(problem.counts[0]) * jnp.abs(jnp.append(jnp.full((K - 1,), 1, dtype) * a, e))
    rank = K - 1 if problem.loss.shift_invariant else K
    return from_triples(problem, U[:, :rank], sigma[:rank], V[:, :rank], jnp.zeros((K,), dtype), value)


def _is_symmetric(problem: Problem) -> bool:
    """Whether targets and teacher are alike for all classes, which have one size and one weight, their own target above others."""
    design, K = problem.design, problem.classes
    if is_traced(design) or len(design.runs) != K:
        return False
    alike = map(np.asarray, (design.counts, problem.weight, *(() if problem.bias == "none" else (problem.intercept,))))
    good = all(np.max(np.abs(x / x[0] - 1)) <= _SLACK for x in alike)
    starts, eye = run_starts(design.runs), np.eye(K, dtype=bool)
    matrices: tuple[Any, ...] = (problem.targets, problem.teacher)
    for matrix in matrices:
        if matrix is not None:
            M = np.asarray(matrix)[:, starts]
            distance = np.max(np.abs(M - np.where(eye, M[0, 0], M[1, 0])))
            good = good and distance <= _SLACK * np.max(np.abs(M))
    table = np.asarray(design.table)
    return bool(good and table[0, 0] > table[1, 0])


SYMMETRIC = Assumption("equal classes that targets, teacher and weights treat alike, each of its own target", _is_symmetric)
