"""Identities: one quantity by a closed form and by its definition, by automatic differentiation, or by finite differences."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax

from ufm.problem import Problem
from ufm.problem.params import Params
from ufm.theory.theorem import Assumption, Check, Theorem, agreement

Cases = Callable[[], dict[str, Any]]
Evidence = Callable[[Any, Any, Any], list[Check]]


class Point(NamedTuple):
    """A problem and a point of it, at which something is looked at."""

    problem: Problem
    params: Params


def identity(
    id: str,
    origin: str,
    predict: Callable[[Any], Any],
    direct: Callable[[Any], Any],
    cases: Cases,
    draw: Callable | None = None,
    assumes: tuple[Assumption, ...] = (),
    *,
    tolerance: float = 1e-9,
    scale: float | None = None,
    leaves: Mapping[str, float] | None = None,
    evidence: Evidence | None = None,
    **fields: Any,
) -> Theorem:
    """A Theorem that two expressions are equal at every case: no number in it is random.

    Args:
      id, origin, predict, cases, draw, assumes: of the Theorem; its claim is the first paragraph of the docstring of `predict`.
      direct: case -> the pytree that `predict` gives, by the definition, automatic differentiation or finite differences.
      tolerance: of every leaf, relative to its largest predicted entry, or to `scale`. leaves: other tolerances, by name.
      evidence: in place of agreement leaf by leaf.
      **fields: others of `Theorem`.
    """

    def measure(case: Any, key: jax.Array) -> Any:
        """The other expression."""
        return direct(case)

    measure.__doc__ = direct.__doc__ or measure.__doc__
    judged = evidence or agreement(tolerance, scale, **(leaves or {}))
    return other(id, origin, predict, measure, cases, draw, assumes, evidence=judged, **{"kind": "identity"} | fields)


def other(
    id: str,
    origin: str,
    predict: Callable[[Any], Any],
    measure: Callable[[Any, jax.Array], Any],
    cases: Cases,
    draw: Callable | None = None,
    assumes: tuple[Assumption, ...] = (),
    *,
    evidence: Evidence,
    **fields: Any,
) -> Theorem:
    """A Theorem of no common kind: all its own. It holds unless another status is given."""
    fields = {"status": "holds"} | fields
    return Theorem(
        id=id, origin=origin, predict=predict, measure=measure, cases=cases, draw=draw, assumes=assumes, evidence=evidence, **fields
    )
