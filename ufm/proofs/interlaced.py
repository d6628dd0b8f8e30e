"""Eigenvalues between poles: those of a diagonal matrix on the complement of one direction, each enclosed as a root.

With poles p_k and weights w_k > 0 the roots of sum_k w_k / (p_k - x), times all p_k - x, lie one between every two poles that are
neighbours. They are

    w_k = 1        the eigenvalues other than 0 of (I - J/K) diag(p) (I - J/K)
    w_k = p_k      those of diag(p) - p p' / sum(p)

together with every pole as often, less once, as it is there.
"""

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

from ufm.proofs.exact import precision, rational
from ufm.proofs.expressions import ONE, number, sqrt, total, x
from ufm.proofs.facts import Fact, Less, established
from ufm.proofs.proof import Proof, unproved
from ufm.proofs.scalars import bits_for, closed, enclosed


class Interlaced(NamedTuple):
    """(K - 1) intervals with one eigenvalue each, descending, and the facts of which that follows."""

    ends: tuple[tuple[Any, Any], ...]
    facts: tuple[Fact, ...]


def interlaced(poles: Sequence[Any], weights: Sequence[Any], digits: int = 18) -> Interlaced | str:
    """The eigenvalues to so many digits, or why they are not enclosed. poles, weights: K exact numbers above 0."""
    together: dict[Any, list[Any]] = {}
    for p, w in zip(map(rational, poles), map(rational, weights), strict=True):
        together.setdefault(p, []).append(w)
    distinct = sorted(together)
    others = {p: prod((q - x for q in distinct if q != p), start=ONE) for p in distinct}
    secular = total([number(sum(together[p], rational(0))) * others[p] for p in distinct])
    ends = [(p, p) for p in distinct for _ in together[p][1:]]
    facts: list[Fact] = []
    with precision(bits_for(digits)):
        for low, high in zip(distinct, distinct[1:], strict=False):
            found = enclosed(secular, low, high, digits=digits, value=x)
            if isinstance(found, str):
                return f"between {low} and {high}: {found}"
            ends.append(found.root)
            facts += found.facts[:-2]  # the last two are of names of a value
    return Interlaced(tuple(sorted(ends, reverse=True)), tuple(facts))


def root_trace(poles: Sequence[Any], *, digits: int = 12) -> Proof:
    """trace of ((I - J/K) diag(p) (I - J/K))^(1/2), the sum of the square roots of its eigenvalues."""
    found = interlaced(poles, [1] * len(poles), digits + 4)
    what = f"trace (P diag({', '.join(map(str, poles))}) P)^(1/2), P = I - J/{len(poles)}"
    if isinstance(found, str):
        return unproved(f"{what}: {found}")
    low, high = (total([sqrt(number(end[side])) for end in found.ends]) for side in (0, 1))
    below, above = closed(low, digits=digits), closed(high, digits=digits)
    where = [("low", low), ("high", high)]
    facts = [*found.facts, Less(number(below.lower), low), Less(high, number(above.upper))]
    return established("root", what, facts, where, bits=bits_for(digits + 4), lower=below.lower, upper=above.upper)
