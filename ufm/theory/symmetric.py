"""The symmetric reduction of any loss: balanced one-hot classes on one layer, restricted to collapse that treats them alike.

With class logits Z = a (I - J) + b J, J = 11^T/K, and c = sqrt(l2_W l2_H n) the objective is a function of two scalars,

    F(a, b) = loss(a (e_1 - 1/K) + (b/K) 1; e_1) + c [(K-1)|a| + |b|]

For a loss that is convex, or contrastive (`ufm.Loss`), its minimum is that of the whole model (averaging over classes; Zhou et
al. 2022); for others it is an upper bound. In the logits x of the true class and y of each other one, a = x - y and
b = x + (K-1) y, so that a > 0 > b asks for slopes d loss/dx = -c (K-2), d loss/dy = 2c of one logit, and a, b > 0 for -cK and 0.
"""

from typing import Any

import jax
import jax.numpy as jnp

from ufm.base.matrices import helmert
from ufm.problem import Problem
from ufm.theory.prediction import Prediction, effective_c, from_triples


def price_of(problem: Problem) -> jax.Array:
    """c = sqrt(l2_W l2_H n) of a balanced problem, in units of logits."""
    return effective_c(problem) * jnp.sqrt(problem.samples / problem.classes)


def symmetric_prediction(problem: Problem, a: Any, b: Any, value: jax.Array, unique: Any = True) -> Prediction:
    """The Prediction whose class logits are a (I - J) + b J, minimally factored."""
    K, dtype = problem.classes, problem.dtype
    basis = helmert(K, dtype=dtype)
    mean = jnp.full((K, 1), K**-0.5, dtype)
    wide = min(problem.widths) >= K
    U = jnp.concatenate([basis, mean], axis=1) if wide else basis
    signs = jnp.concatenate([jnp.broadcast_to(jnp.where(a < 0, -1.0, 1.0), (K - 1,)), jnp.where(b < 0, -1.0, 1.0)[None]])
    sigma = jnp.concatenate([jnp.broadcast_to(jnp.abs(a), (K - 1,)), jnp.abs(b)[None]]).astype(dtype)
    rank = U.shape[1]
    root = jnp.sqrt(problem.samples / K)
    V = U * signs[None, :rank].astype(dtype)
    return from_triples(problem, U, root * sigma[:rank], V, jnp.zeros((K,), dtype), value, unique=unique)
