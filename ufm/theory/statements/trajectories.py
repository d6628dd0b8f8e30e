"""Trajectories: what is seen along a flow or a descent, in closed form and along the path integrated from the case's start."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, NamedTuple

import jax

from ufm.problem import Problem
from ufm.problem.params import Params
from ufm.theory.kit.integrate import gradient_flow
from ufm.theory.statements.identities import Cases, Evidence, other
from ufm.theory.theorem import Assumption, Theorem, agreement


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
    tolerance: float = 1e-9,
    scale: float | None = None,
    leaves: Mapping[str, float] | None = None,
    evidence: Evidence | None = None,
    **fields: Any,
) -> Theorem:
    """A Theorem about what is seen along a path.

    Args:
      id, origin, cases, draw, assumes: of the Theorem.
      predict: case -> pytree of (T, ...), or where the path ends (`at_end`) of (...); its docstring's first paragraph is the claim.
      observe: (case, point) -> the same of one point of the path; the kit maps it over the times.
      path: case -> points with a leading axis T, from the start of the case; gradient flow of all parameters by default.
      at_end: whether the last point alone is spoken of.
      tolerance: of every leaf, relative to its largest predicted entry along the path, or to `scale`. Paths are integrated to
        1e-10 (see `kit.integrate`). leaves: other tolerances, by name.
      evidence: in place of agreement leaf by leaf.
      **fields: others of `Theorem`.
    """

    def measure(case: Any, key: jax.Array) -> Any:
        """What is seen along the path."""
        points = _path(path)(case)
        if at_end:
            return _seen(observe)(case, jax.tree.map(lambda x: x[-1], points))
        return _seen(_along(observe))(case, points)

    measure.__doc__ = observe.__doc__ or measure.__doc__
    judged = evidence or agreement(tolerance, scale, **(leaves or {}))
    return other(id, origin, predict, measure, cases, draw, assumes, evidence=judged, **{"kind": "trajectory"} | fields)


@cache
def _path(path: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return path if path is flow_of else jax.jit(path)


@cache
def _seen(observe: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    return jax.jit(observe)


@cache
def _along(observe: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    return jax.vmap(observe, in_axes=(None, 0))
