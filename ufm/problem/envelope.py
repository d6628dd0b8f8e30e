"""Envelope: derivatives of a minimum in every number of its problem, and a refusal of those that a search does not have.

    d/dx min_p f(x, p) = (partial f / partial x)(x, p*)

holds at every minimiser p*, so that the value of a search has first derivatives though its loops have none. Those of p* itself, and
second ones of the value, would need the Hessian at p*, which is singular along the symmetries of the factors.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from ufm.base.checks import is_traced
from ufm.problem.params import Params, along_domain, check_order, objective
from ufm.problem.problem import Problem

_REFUSED = (
    "solve has first derivatives of its `value` alone (envelope theorem), in every number of the problem: take those of "
    "ufm.objective at its params for anything else, or differentiate ufm.predict"
)


@partial(jax.custom_jvp, nondiff_argnums=(3,))
def minimum_value(problem: Problem, params: Params, value: jax.Array, once: bool = False) -> jax.Array:
    """A minimum whose derivative along the problem's numbers is that of the objective at the minimiser, held fixed.

    Args:
      problem: the problem. params: its minimiser. value: the objective there.
      once: whether second derivatives are refused, as those of params that have none themselves.
    """
    check_order(problem, params)
    return value


@minimum_value.defjvp
def _envelope(once: bool, primals: tuple, tangents: tuple) -> tuple[jax.Array, jax.Array]:
    problem, params, value = _once(primals) if once else primals
    return value, jax.jvp(lambda q: objective(q, along_domain(q, params)), (problem,), (tangents[0],))[1]


@jax.custom_jvp
def _once(primals: tuple) -> tuple:
    return primals


@_once.defjvp
def _refuse_second(primals: tuple, tangents: tuple) -> tuple:
    raise ValueError(_REFUSED)


def undifferentiated(tree: Any) -> Any:
    """A problem or params for a search: derivatives do not enter, and numbers that are known stay known."""
    return jax.tree.map(lambda x: lax.stop_gradient(x) if is_traced(x) else x, tree)


def differentiable_value(problem: Problem, found: Any) -> Any:
    """What a search found on `undifferentiated(problem)`, with the derivatives of its `value` in the problem and of nothing else.

    Args:
      problem: as it was given, with its derivatives. found: NamedTuple with the fields `params` and `value`.

    Returns:
      The same; derivatives of other fields raise ValueError where they are used, and are NaN in forward mode.
    """
    value = minimum_value(problem, found.params, found.value, True)
    return _rest(problem, found)._replace(value=value)


@jax.custom_jvp
def _rest(problem: Problem, results: Any) -> Any:
    return results


@_rest.defjvp
def _refuse(primals: tuple, tangents: tuple) -> tuple[Any, Any]:
    results, total = primals[1], jnp.zeros(())
    for t in jax.tree.leaves(tangents[0]):
        if t.dtype != jax.dtypes.float0:
            total = total + jnp.sum(t).astype(total.dtype)
    lost = jnp.nan * _refused.bind(total)  # NaN in forward mode, where nobody knows yet what will be used
    return results, jax.tree.map(
        lambda x, t: t if t.dtype == jax.dtypes.float0 else jnp.broadcast_to(lost, x.shape).astype(x.dtype), results, tangents[1]
    )


def _transpose(cotangent: Any, x: Any) -> list:
    raise ValueError(_REFUSED)


_refused = Primitive("derivative_of_a_search")  # a scalar as it is; reverse mode ends here
_refused.def_impl(lambda x: x)
_refused.def_abstract_eval(lambda x: x)
ad.primitive_transposes[_refused] = _transpose
batching.defvectorized(_refused)
mlir.register_lowering(_refused, mlir.lower_fun(lambda x: x, multiple_results=False))
