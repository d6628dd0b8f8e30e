"""Value, gradient and Hessian of the objective at a point by automatic differentiation, on the flat vector (W, H)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from ufm.problem import Problem
from ufm.problem.params import Params, objective


class Derivatives(NamedTuple):
    """value: f. gradient: (P,). hessian: (P, P); W comes first, row by row, then H."""

    value: jax.Array
    gradient: jax.Array
    hessian: jax.Array


@jax.jit
def derivatives(problem: Problem, params: Params) -> Derivatives:
    """f, its gradient and its Hessian at params, as flat arrays."""
    return _at(problem, params)


@jax.jit
def derivatives_of_many(problem: Problem, params: Params) -> Derivatives:
    """`derivatives` at points stacked along a leading axis."""
    return jax.vmap(_at, in_axes=(None, 0))(problem, params)


def _at(problem: Problem, params: Params) -> Derivatives:
    flat, unravel = ravel_pytree(params)
    both = jax.value_and_grad(lambda x: objective(problem, unravel(x)))
    (value, gradient), (_, hessian) = jax.vmap(lambda e: jax.jvp(both, (flat,), (e,)))(jnp.eye(flat.size, dtype=flat.dtype))
    return Derivatives(value[0], gradient[0], hessian)
