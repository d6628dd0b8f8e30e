"""Logistic modes p' = v p (q - p) in closed form, in expressions of the time x, and what solving an equation at a time is."""

from collections.abc import Callable, Iterable
from typing import Any

from ufm.proofs.book import Book
from ufm.proofs.expressions import Expression, exp, number, x

RESIDUAL = 1e-40
"""Within which a closed form solves its equation at the times looked at."""


def logistic_mode(start: Any, target: Expression, speed: Any, sign: int) -> Expression:
    """p(x) from p(0) = start, for a target of known sign: p q / (p + (q - p) e) and p |q| e / (|q| + p (1 - e)), e = exp(-v |q| x),
    or p / (1 + v p x).
    """
    decay = exp(-speed * (target if sign > 0 else -target) * x)
    if sign > 0:
        return start * target / (start + (target - start) * decay)
    return start * target * decay / (target - start * (1 - decay)) if sign else start / (1 + speed * start * x)


def solves(book: Book, mode: Expression, rate: Callable[[Expression], Expression], times: Iterable[Any]) -> None:
    """Facts: at each of the times the slope of a function of x is the rate at its value, to `RESIDUAL`."""
    slope = mode.slope()
    for time in times:
        at = number(time)
        wanted = rate(mode.at(at))
        book.near(slope.at(at) - wanted, 0.0, RESIDUAL)
