"""Callbacks: programs without the error checks that call back into Python, so that they lower for a device that is not here.

diffrax checks the times it is given by such calls, which the caller has checked before (or answers for by a status).
"""

from collections.abc import Callable
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr, jaxpr_as_fun

_CHECK = "branched_error_if_impl"  # of equinox: (values, whether they are wrong) -> values


def without_checks(function: Callable) -> Callable:
    """The function with the same results, and no equinox check among its operations.

    Args:
      function: of pytrees of arrays, that JAX can trace.
    """

    def unchecked(*args: Any) -> Any:
        closed, shapes = jax.make_jaxpr(function, return_shape=True)(*args)
        results = jaxpr_as_fun(ClosedJaxpr(_unchecked(closed.jaxpr), closed.consts))(*jax.tree.leaves(args))
        return jax.tree.unflatten(jax.tree.structure(shapes), results)

    return unchecked


def _unchecked(jaxpr: Jaxpr) -> Jaxpr:
    """Every check inside, also of the functions called, as the values it passes on."""
    equations = []
    for equation in jaxpr.eqns:
        if equation.primitive.name == "jit":
            inner = equation.params["jaxpr"]
            body = _passed_on(inner.jaxpr) if equation.params["name"] == _CHECK else _unchecked(inner.jaxpr)
            equation = equation.replace(params=equation.params | {"jaxpr": ClosedJaxpr(body, inner.consts)})
        equations.append(equation)
    return jaxpr.replace(eqns=equations)


def _passed_on(check: Jaxpr) -> Jaxpr:
    """A check whose results are its values: its last step is a call of (values, whether they are wrong)."""
    *_, last = check.eqns
    same = dict(zip(map(id, last.outvars), last.invars, strict=False))
    return check.replace(eqns=[], outvars=[same.get(id(v), v) for v in check.outvars])
