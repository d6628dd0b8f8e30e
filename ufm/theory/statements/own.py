"""Statements of no common kind: what all kinds are built of, and entries that bring a measurement of their own."""

from collections.abc import Callable
from typing import Any

import jax

from ufm.theory.theorem import Assumption, Check, Theorem

Cases = Callable[[], dict[str, Any]]
Evidence = Callable[[Any, Any, Any], list[Check]]


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
    """A Theorem whose measurement and evidence are its own."""
    fields = {"status": "holds", "claim": ""} | fields
    return Theorem(
        id=id, origin=origin, predict=predict, measure=measure, cases=cases, draw=draw, assumes=assumes, evidence=evidence, **fields
    )
