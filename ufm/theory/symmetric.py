"""The symmetric reduction of any loss: balanced one-hot classes on one layer, restricted to collapse that treats them alike.

With class logits Z = a (I - J) + b J, J = 11^T/K, and c = sqrt(l2_W l2_H n) the objective is a function of two scalars,

    F(a, b) = loss(a (e_1 - 1/K) + (b/K) 1; e_1) + c [(K-1)|a| + |b|]

For a loss that is convex, or contrastive (`ufm.Loss`), its minimum is that of the whole model (averaging over classes; Zhou et
al. 2022); for others it is an upper bound. In the logits x of the true class and y of each other one, a = x - y and
b = x + (K-1) y, so that a > 0 > b asks for slopes d loss/dx = -c (K-2), d loss/dy = 2c of one logit, and a, b > 0 for -cK and 0.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from ufm.base.matrices import helmert
from ufm.problem import Problem
from ufm.search.roots import increasing_root
from ufm.theory.prediction import Prediction, effective_c, from_triples


def price_of(problem: Problem) -> jax.Array:
    """c = sqrt(l2_W l2_H n) of a balanced problem, in units of logits."""
    return effective_c(problem) * jnp.sqrt(problem.samples / problem.classes)


def symmetric_prediction(problem: Problem, a: Any, b: Any, value: jax.Array, unique: Any = True, bias: Any = 0.0) -> Prediction:
    """The Prediction whose class logits are a (I - J) + b J besides equal biases, minimally factored.

    The mean is a direction of its own where widths have room for it, the loss sees it, and no free bias takes it.
    """
    K, dtype = problem.classes, problem.dtype
    mean = min(problem.widths) >= K and not problem.loss.shift_invariant and problem.bias != "free"
    basis, values = helmert(K, dtype=dtype), jnp.broadcast_to(a, (K - 1,)).astype(dtype)
    U = jnp.concatenate([basis, jnp.full((K, 1), K**-0.5, dtype)], axis=1) if mean else basis
    values = jnp.append(values, b) if mean else values
    V = jnp.where((values < 0)[None, :], -U, U)
    b = jnp.broadcast_to(bias, (K,)).astype(dtype)
    return from_triples(problem, U, jnp.sqrt(problem.counts[0]) * jnp.abs(values), V, b, value, unique=unique)


def kinked_root(slope: Callable, price: jax.Array, *parameters: Any, reach: Any = 1e5) -> jax.Array:
    """argmin_x F(x) + price |x| for a convex F of the given slope(x, *parameters): the root on either side of zero, or zero.

    A bracket without a root closes on its end to reach/2^60.
    """

    def sided(x: jax.Array, side: jax.Array, price: jax.Array, *rest: Any) -> jax.Array:
        return slope(x, *rest) + side * price

    sides = jnp.array([1.0, -1.0], price.dtype)
    ends = (jnp.minimum(sides * reach, 0), jnp.maximum(sides * reach, 0))
    x = jnp.sum(lax.map(lambda at: increasing_root(sided, at[0], at[1], at[2], price, *parameters), (*ends, sides)))
    return jnp.where(jnp.abs(x) > 1e-16 * reach, x, 0)
