"""Trajectories: what is seen along a flow or a descent, in closed form and along the path integrated from the case's start."""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import jax

from ufm.problem import Problem
from ufm.problem.params import Params
from ufm.theory.kit.integrate import gradient_flow
from ufm.theory.statements.identities import identity
from ufm.theory.statements.own import Cases
from ufm.theory.theorem import Assumption, Theorem


class Start(NamedTuple):
    """A problem, the point from which a path starts at time 0, and the times (T,) at which it is looked at."""

    problem: Problem
    params: Params
    ts: jax.Array


_gradient_flow = jax.jit(gradient_flow)  # one program for all entries whose problems have one shape


def flow_of(case: Any) -> Params:
    """The gradient flow of all entries of W, H and b from `case.params`, at the times `case.ts`: a leading axis T."""
    return _gradient_flow(case.problem, case.params, case.ts)


def trajectory(
    id: str,
    origin: str,
    predict: Callable[[Any], Any],
    observe: Callable[[Any, Any], Any],
    cases: Cases,
    draw: Callable | None = None,
    assumes: tuple[Assumption, ...] = (),
    *,
    path: Callable[[Any], Any] = flow_of,
    at_end: bool = False,
    **judged: Any,
) -> Theorem:
    """A Theorem about what is seen along a path.

    Args:
      predict: case -> pytree of (T, ...), or where the path ends (`at_end`) of (...).
      observe: (case, point) -> the same of one point of the path; the kit maps it over the times.
      path: case -> points with a leading axis T, from the start of the case; gradient flow of all parameters by default.
      at_end: whether the last point alone is spoken of.
      **judged: `tolerance`, `scale`, `leaves` and `evidence` as for an `identity`; paths are integrated to 1e-10.
    """

    points = path if path is flow_of else jax.jit(path)

    def seen(case: Any) -> Any:
        """What is seen along the path."""
        found = _along(observe)(case, points(case))
        return jax.tree.map(lambda x: x[-1], found) if at_end else found

    seen.__doc__ = observe.__doc__ or seen.__doc__
    return identity(id, origin, predict, seen, cases, draw, assumes, **{"kind": "trajectory"} | judged)


@cache
def _along(observe: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    return jax.jit(jax.vmap(observe, in_axes=(None, 0)))
