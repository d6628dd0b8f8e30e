"""What entries prove their instances with: exact numbers of a problem, and proofs that predicted floats are held to.

A proof is made of the case alone. What was predicted is looked at afterwards: where that is not what was proved, nothing is.
"""

from collections.abc import Callable
from fractions import Fraction
from math import inf
from typing import Any

import numpy as np

from ufm.problem import Problem
from ufm.problem.meant import exact, exact_ridges
from ufm.problem.params import Params
from ufm.proofs import Proof, critical, least, unproved
from ufm.proofs.exact import rational
from ufm.proofs.expressions import Expression, name, number, sqrt, x

ROUNDINGS = 64 * float(np.finfo(float).eps)
"""How far, relatively, a predicted number may lie outside of what was proved."""


def counts_of(problem: Problem) -> list[Fraction]:
    """n_k of every class of one-hot columns, exactly."""
    first = np.asarray(problem.targets).argmax(axis=0)
    totals = [Fraction(0)] * problem.classes
    for k, m in zip(first, exact(problem, "multiplicity"), strict=True):
        totals[int(k)] += m
    return totals


def samples_of(problem: Problem) -> Fraction:
    """N, exactly."""
    return Fraction(exact(problem, "samples").item())


def price_square(problem: Problem) -> Fraction:
    """c^2 = n l2_W l2_H of balanced classes on one layer, n = N/K."""
    l2_H, l2_W = exact_ridges(problem)
    return l2_W * l2_H * samples_of(problem) / problem.classes


PRICE = sqrt(name("price_square"))
"""c, where `priced` gives the name."""


def priced(problem: Problem) -> list[tuple[str, Expression]]:
    """The name that `PRICE` uses."""
    return [("price_square", number(price_square(problem)))]


def least_margin(loss: Callable[[Problem], Expression], copies: Callable[[int], int] = lambda K: K - 1) -> Callable:
    """`prove` of entries whose minimum is that of one scalar, loss(x) + c copies(K) x over x >= 0, loss an expression in x."""

    def prove(problem: Problem, predicted: Any) -> Proof:
        K, times = problem.classes, copies(problem.classes)
        square = float(price_square(problem))
        what = f"the least value over margins x >= 0 of {problem.loss.name} + {times} c x, K = {K}, c^2 = {square!r}"
        return least(loss(problem) + times * PRICE * x, 0, inf, where=priced(problem), statement=what)

    return prove


def held(proof: Proof, value: Any) -> Proof:
    """The proof where a predicted number lies between its ends, up to roundings; else none."""
    if proof.outside(float(value)) <= ROUNDINGS:
        return proof
    return unproved(f"the predicted number {float(value)!r} does not lie in what was proved: {proof.statement}")


def critical_of(problem: Problem, params: Params, signs: tuple[int | None, int | None, int | None], digits: int = 15) -> Proof:
    """The critical point next to params, where the inertia of its Hessian has the predicted numbers (+, 0, -), None for any."""
    proof = critical(problem, params, digits=digits)
    if not proof.proved:
        return proof
    found = tuple(map(int, proof.document["inertia"]))
    if all(wanted is None or int(wanted) == n for wanted, n in zip(signs, found, strict=True)):
        return proof
    return unproved(f"the predicted signs {signs} are not those proved: {proof.statement}")


def exactly(x: Any) -> Any:
    """The fmpq of a float at hand."""
    return rational(float(x))
