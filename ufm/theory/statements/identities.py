"""Identities: one quantity by a closed form and by its definition, by automatic differentiation, or by finite differences."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax

from ufm.problem import Problem
from ufm.problem.params import Params
from ufm.theory.statements.own import Cases, Evidence, other
from ufm.theory.theorem import Assumption, Theorem, agreement


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
      direct: case -> the pytree that `predict` gives, by the definition, automatic differentiation or finite differences.
      tolerance: of every leaf, relative to its largest predicted entry, or to `scale`. leaves: other tolerances, by name.
      evidence: in place of agreement leaf by leaf.
    """

    def measure(case: Any, key: jax.Array) -> Any:
        """The other expression."""
        return direct(case)

    measure.__doc__ = direct.__doc__ or measure.__doc__
    fields = {"kind": "identity"} | fields
    judged = evidence or agreement(tolerance, scale, **(leaves or {}))
    return other(id, origin, predict, measure, cases, draw, assumes, evidence=judged, **fields)
