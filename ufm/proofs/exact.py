"""Exact numbers: rationals out of floats, fractions and decimal strings, ends of balls, and how a proof writes them down.

Every float is a rational, so a problem and a point can be taken as they are. Balls (`arb` of python-flint, the extra `proof`) carry
what is not rational: a ball holds the exact result of every operation on anything inside its operands.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from functools import cache, reduce
from math import isfinite
from operator import mul
from typing import Any

import numpy as np

from ufm.base.checks import optional, refuse

_LEAST = 100_000  # bits behind the binary point beyond which nothing is written down


@cache
def flint() -> Any:
    """The module of python-flint.

    Raises:
      ValueError: where it is not installed, naming the extra that brings it.
    """
    return optional("flint", "proof")


@contextmanager
def precision(bits: int) -> Iterator[None]:
    """Balls of so many bits inside the block."""
    context = flint().ctx
    before, context.prec = context.prec, bits
    try:
        yield
    finally:
        context.prec = before


def rational(x: Any) -> Any:
    """The `fmpq` that a number is: an int, a float to its last bit, a Fraction, an fmpq, or a decimal string.

    Raises:
      ValueError: for what is no finite number.
    """
    fmpq = flint().fmpq
    if isinstance(x, fmpq):
        return x
    if isinstance(x, float) and isfinite(x):
        return fmpq(*x.as_integer_ratio())
    try:
        exact = Fraction(x) if isinstance(x, int | str | Fraction) else Fraction(float(x))
    except (TypeError, ValueError, OverflowError):
        refuse("x", x, "a finite number: an int, a float, a Fraction or a decimal string")
    return fmpq(exact.numerator, exact.denominator)


def rationals(x: Any) -> list[list[Any]]:
    """The `fmpq`s of a matrix, row by row."""
    return [[rational(entry) for entry in row] for row in np.asarray(x)]


def transposed(rows: Any) -> list[list[Any]]:
    """The columns of rows, or the rows of columns."""
    return [list(x) for x in zip(*rows, strict=True)]


def ball(x: Any) -> Any:
    """The ball of a rational, at the present precision."""
    return flint().arb(rational(x))


def below(x: Any) -> Any:
    """The rational at the lower end of a ball."""
    return _end(x.lower(), -1)


def above(x: Any) -> Any:
    """The rational at the upper end of a ball."""
    return _end(x.upper(), 1)


def middle(x: Any) -> Any:
    """The rational in the middle of a ball; a rational itself."""
    return _end(x.mid(), 0) if isinstance(x, flint().arb) else x


def raised(x: Any, power: int) -> Any:
    """x^power for a ball, a ray or a rational; python-flint has NaN for balls round 0 itself, which are multiplied out here."""
    if not isinstance(x, flint().arb) or x.mid() != 0 or power < 1:
        return x**power
    return reduce(mul, [x] * power)


def _end(x: Any, side: int) -> Any:
    """The rational that an exact ball is; what is smaller than 2^-100000 goes to that or to 0, on the side asked for."""
    fmpq, least = flint().fmpq, flint().arb(2) ** -_LEAST
    if not abs(x) < least:
        return x.fmpq()
    return side * fmpq(1, 1 << _LEAST) if x * side > 0 else fmpq(0)


def rounded(x: Any, bits: int) -> Any:
    """The dyadic rational nearest to a rational, or next to the middle of a ball, of so many bits behind the binary point."""
    fmpq, unit = flint().fmpq, 1 << bits
    if isinstance(x, flint().arb):
        return fmpq((x.mid() * unit + 0.5).mid().floor().mid().fmpz(), unit)
    return fmpq((2 * rational(x) * unit + 1).floor() // 2, unit)


def text(x: Any) -> str:
    """A rational as a proof writes it: an integer, p/q, or m*2^e where the denominator is a power of two."""
    x = rational(x)
    p, q = int(x.p), int(x.q)
    if q == 1:
        return str(p)
    power = q.bit_length() - 1
    return f"{p}*2^-{power}" if q == 1 << power else f"{p}/{q}"


def shown(x: Any) -> str:
    """A rational in a sentence: a short ratio as it is, a float as Python writes it, anything else in about ten digits."""
    exact = fraction(rational(x))
    value = float(exact)
    return str(exact) if len(str(exact)) < 9 else repr(value) if Fraction(value) == exact else f"about {value:.10g}"


def texts(rows: Any) -> list[list[str]]:
    """`text` of every entry of a matrix."""
    return [[text(x) for x in row] for row in rows]


def fraction(x: Any) -> Fraction:
    """The Fraction of an `fmpq`, for values that leave the room."""
    return Fraction(int(x.p), int(x.q))


def dyadic(x: Any, bits: int, side: int) -> Any:
    """The next dyadic rational above (side 1) or below (side -1) of `bits` bits relative to 1, or to x where that is smaller."""
    x = rational(x)
    small = max(0, int(x.q).bit_length() - abs(int(x.p)).bit_length())
    unit = flint().fmpq(1, 1 << (bits + small))
    return (x / unit).floor() * unit if side < 0 else (x / unit).ceil() * unit
