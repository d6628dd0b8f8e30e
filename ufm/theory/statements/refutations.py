"""Refutations: a minimum that is claimed, a point below it, and where the claim is right."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from ufm.theory.statements.own import Cases, other
from ufm.theory.theorem import Assumption, Check, Theorem, lower_bound, refuting, relative_error


class Claim(NamedTuple):
    """What a claim says is the minimum: in a case that refutes it, and (`where_it_holds`) where it is right."""

    value: Any
    where_it_holds: Any


class Refutation(NamedTuple):
    """What is measured against a `Claim`.

    lower: the value of a point below the claimed minimum. claimed: what the formula gives in the case, found without it.
    where_it_holds: the minimum where the claim is right.
    """

    lower: Any
    claimed: Any
    where_it_holds: Any


def refutation(
    id: str,
    origin: str,
    predict: Callable[[Any], Claim],
    measure: Callable[[Any, jax.Array], Refutation],
    cases: Cases,
    assumes: tuple[Assumption, ...] = (),
    *,
    tolerance: float = 1e-9,
    claimed: float = 1e-9,
    where_it_holds: float = 1e-9,
    **fields: Any,
) -> Theorem:
    """A Theorem that is refuted: a minimum that is claimed, pinned to the published formula and to where it is right.

    Args:
      tolerance: relative, beyond which the lower point refutes the claim.
      claimed, where_it_holds: relative tolerances of the pins.
    """

    def evidence(case: Any, predicted: Claim, measured: Refutation) -> list[Check]:
        holds = relative_error(measured.where_it_holds, predicted.where_it_holds)
        return [
            *refuting(lower_bound(tolerance))(case, predicted.value, measured.lower),
            Check("agreement", "the claim", relative_error(measured.claimed, predicted.value), claimed),
            Check("agreement", "where it holds", holds, where_it_holds),
        ]

    fields = {"status": "refuted", "kind": "refutation"} | fields
    return other(id, origin, predict, measure, cases, None, assumes, evidence=evidence, **fields)
