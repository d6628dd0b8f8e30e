"""Roots and least values of one scalar, enclosed to any digits, each a proof whose facts a file lists.

A root: signs at the ends, the only one between them, Newton's method, and a slope of one sign on the last interval.
A least value: the value at a point from above, and from below the same value less one unit of the last digit, above which the
expression stays on the whole interval, box by box.
"""

from collections.abc import Mapping, Sequence
from math import ceil, inf, isinf, log2
from typing import Any, NamedTuple

from ufm.proofs.exact import above, ball, below, flint, middle, precision, rational, rounded
from ufm.proofs.expressions import Expression, name, number
from ufm.proofs.facts import Above, Fact, Less, Root, Where, established, hull, known
from ufm.proofs.proof import Proof, unproved

END = 2**200
"""A root or a least value beyond this is not looked for."""


class Enclosed(NamedTuple):
    """The ends between which a root lies, those of an expression there, and the facts of which that follows."""

    root: tuple[Any, Any]
    lower: Any
    upper: Any
    facts: tuple[Fact, ...]


def bits_for(digits: int) -> int:
    """Bits of the balls for so many digits."""
    return ceil(digits * log2(10)) + 100


def root(
    of: Expression, low: Any, high: Any, *, digits: int = 12, value: Expression | None = None, where: Where = (),
    statement: str = "", claim: Mapping[str, str] | None = None,
) -> Proof:  # fmt: skip
    """The one root of an expression between two numbers, and what another expression is worth there, to so many digits.

    Args:
      of: expression in x. low, high: exact numbers, high may be infinite. digits: of the value.
      value: expression in x whose value at the root is enclosed, the root itself by default.
      where: names that both may use. statement: what the number is, in words.

    Returns:
      Proof of kind "root", or none with the reason: no root, more than one, or signs that are not decided.
    """
    value = Expression("x") if value is None else value
    with precision(bits_for(digits)):
        found = enclosed(of, low, high, digits=digits, value=value, where=where)
    what = statement or f"the value of {_written(value)} at the one root of {_written(of)} on [{low}, {high}]"
    if isinstance(found, str):
        return unproved(f"{what}: {found}")
    return established(
        "root", what, found.facts, (*where, ("lower", number(found.lower)), ("upper", number(found.upper))),
        bits=bits_for(digits), lower=found.lower, upper=found.upper, claim=claim,
    )  # fmt: skip


def enclosed(
    of: Expression, low: Any, high: Any, *, digits: int, value: Expression, where: Where = (),
    ends: tuple[str, str] = ("lower", "upper"),
) -> Enclosed | str:  # fmt: skip
    """As `root`, in balls of the bits at hand: facts about the names `ends`, still to be verified, or why there is no root."""
    balls = known(where)[0]

    def sign(at: Any) -> int:
        f = of.evaluate(balls, ball(at))
        return 1 if f > 0 else -1 if f < 0 else 0

    low, last = rational(low), rational(high) if not _infinite(high) else _turn(sign, rational(low))
    first = sign(low)
    if first == 0 or (last is not None and sign(last) == 0):
        return f"the sign at {low if first == 0 else last} is not decided"
    if last is None or sign(last) == first:
        rest = (low, inf if _infinite(high) else last)
        same = Above(of if first > 0 else -of, rest, number(0))
        none = not same.failure(balls, {})
        side = "above" if first > 0 else "below"
        return f"there is no root: the expression stays {side} 0" if none else "no change of sign is found"
    near = _newton(of, balls, low, last, first)
    if near is None:
        return "the root is not found to the bits at hand: its slope may vanish"
    facts, between = _only(of, balls, low, last, high, near, first), _around(sign, near, bits_for(digits) - 40, first)
    if facts is None or between is None:
        return "the root is not shown to be the only one between the ends"
    found = value.evaluate(balls, hull(*between))
    if not found.is_finite():
        return "the value at the root is not finite"
    least, most = outwards(found, digits)
    bounds = (Above(value, between, name(ends[0])), Above(-value, between, -name(ends[1])))
    return Enclosed(between, least, most, (*facts, Root(of, between), *bounds))


def least(
    of: Expression, low: Any, high: Any, *, digits: int = 12, where: Where = (), statement: str = "",
    claim: Mapping[str, str] | None = None,
) -> Proof:  # fmt: skip
    """The least value of an expression on an interval, whose upper end may be infinite, to so many digits.

    Returns:
      Proof of kind "root" with lower < the least value <= upper, or none with the reason.
    """
    what = statement or f"the least value of {_written(of)} on [{low}, {high}]"
    bits = bits_for(digits)
    with precision(bits):
        balls = known(where)[0]
        found = _lowest(of, balls, rational(low), high if _infinite(high) else rational(high), bits)
        if found is None:
            return unproved(f"{what}: no lowest point is found")
        at = of.evaluate(balls, ball(found))
        if not at.is_finite():
            return unproved(f"{what}: the value at x = {float(ball(found)):.6g} is not finite")
        lower, upper = outwards(at, digits)
    ends = (("lower", number(lower)), ("upper", number(upper)))
    on = (low, inf if _infinite(high) else high)
    facts = [Above(of, on, name("lower")), Above(-of, (found, found), -name("upper"))]
    return established("root", what, facts, (*where, *ends), bits=bits, lower=lower, upper=upper, claim=claim)


def closed(
    value: Expression, *, digits: int = 12, where: Where = (), facts: Sequence[Fact] = (), statement: str = "",
    claim: Mapping[str, str] | None = None,
) -> Proof:  # fmt: skip
    """What an expression without x is worth, to so many digits, with further facts that the formula rests on.

    Returns:
      Proof of kind "root" with lower < value < upper, or none with the reason.
    """
    bits = bits_for(digits)
    with precision(bits):
        found = value.evaluate(known(where)[0])
        if not found.is_finite():
            return unproved(f"{statement or _written(value)}: the value is not finite")
        lower, upper = outwards(found, digits)
    ends = (("lower", number(lower)), ("upper", number(upper)))
    bounds = [Less(name("lower"), value), Less(value, name("upper"))]
    what = statement or f"the value of {_written(value)}"
    return established("root", what, [*facts, *bounds], (*where, *ends), bits=bits, lower=lower, upper=upper, claim=claim)


def outwards(value: Any, digits: int) -> tuple[Any, Any]:
    """Dyadic rationals strictly below and above a ball, a unit of the digit after the last apart where the ball is that narrow."""
    size = max(abs(below(value)), abs(above(value)))
    scale = (int(size.q).bit_length() - int(size.p).bit_length()) if size else 0
    bits = scale + ceil((digits + 1) * log2(10)) + 2
    unit = rational(2) ** -bits if bits >= 0 else rational(2**-bits)
    return rounded(below(value), max(bits, 0)) - unit, rounded(above(value), max(bits, 0)) + unit


def _infinite(end: Any) -> bool:
    return end == "inf" or (isinstance(end, float) and isinf(end))


def _turn(sign: Any, low: Any) -> Any:
    """A point beyond `low` where the sign is another, by steps that double; None if there is none below `END`."""
    step, first = rational(1), sign(low)
    while step < END:
        if sign(low + step) == -first:
            return low + step
        step = 2 * step
    return None


def _newton(of: Expression, balls: Any, low: Any, high: Any, first: int) -> Any:
    """A dyadic within the bits at hand of a root between the ends: Newton's steps, halving where they lead out of the bracket."""
    slope, bits = of.slope(), flint().ctx.prec
    at = middle((ball(low) + ball(high)) / 2)
    for _ in range(400):
        f = of.evaluate(balls, ball(at))
        if not (f > 0 or f < 0):
            return at
        low, high = (at, high) if (f > 0) == (first > 0) else (low, at)
        step = (f / slope.evaluate(balls, ball(at))).mid()
        last, at = at, middle((ball(at) - step).mid()) if step.is_finite() else low
        if not low < at < high:
            at = middle((ball(low) + ball(high)) / 2)
            if (high - low) * 2 ** (bits - 20) <= abs(at):
                return at
        elif abs(at - last) * 2 ** (bits - 20) <= abs(at):
            return at
    return None


def _only(of: Expression, balls: Any, low: Any, last: Any, high: Any, near: Any, first: int) -> list[Fact] | None:
    """Facts of which it follows that the root at `near` is the only one between `low` and `high`."""
    facts: list[Fact] = []
    tail = Above(-of if first > 0 else of, (last, inf), number(0))
    if _infinite(high):
        facts.append(tail)
    whole = Root(of, (low, last))
    if not whole.failure(balls, {}):
        return [whole, *facts]
    width = min(near - low, last - near)
    for _ in range(100):
        width = width / 2
        core = Root(of, (rounded(near - width, 300), rounded(near + width, 300)))
        if not core.failure(balls, {}):
            start, end = core.between
            before = Above(of if first > 0 else -of, (low, start), number(0))
            after = Above(-of if first > 0 else of, (end, last), number(0))
            return [before, core, after, *facts]
    return None


def _around(sign: Any, near: Any, bits: int, first: int) -> tuple[Any, Any] | None:
    """The narrowest interval round `near` of relative width 2^-bits, or a little more, with opposite signs at its ends."""
    unit = abs(near) / 2**bits if near else rational(1) / 2**bits
    places = bits + 30 + max(0, int(unit.q).bit_length() - int(unit.p).bit_length() - bits)
    for _ in range(40):
        ends = rounded(near - unit, places), rounded(near + unit, places)
        if sign(ends[0]) == first and sign(ends[1]) == -first:
            return ends
        unit = 2 * unit
    return None


def _lowest(of: Expression, balls: Any, low: Any, high: Any, bits: int) -> Any:
    """A dyadic near the lowest point: the best of a grid, then halving by the sign of the slope."""

    def tilt(at: Any) -> int:
        f = slope.evaluate(balls, ball(at))
        return 1 if f > 0 else -1 if f < 0 else 0

    slope = of.slope()
    last = _valley_end(of, slope, balls, low) if _infinite(high) else high
    if last is None:
        return None
    spans = {rational(i) / 128 for i in range(129)} | {rounded(2.0 ** (-i / 4), 60) for i in range(128)}
    grid = [low + (last - low) * span for span in sorted(spans)]
    values = [of.evaluate(balls, ball(at)).mid() for at in grid]
    finite = [i for i, v in enumerate(values) if v.is_finite()]
    if not finite:
        return None
    best = finite[0]
    for i in finite:
        best = i if values[i] < values[best] else best
    start, end = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    if tilt(start) > 0 or tilt(end) < 0:
        return start if tilt(start) > 0 else end
    for _ in range(bits):
        half = (start + end) / 2
        turn = tilt(half)
        if turn == 0:
            return half
        start, end = (start, half) if turn > 0 else (half, end)
    return (start + end) / 2


def _valley_end(of: Expression, slope: Expression, balls: Any, low: Any) -> Any:
    """A point beyond which the expression is above a value that it takes before; None if there is none below `END`."""
    step, lowest = rational(1), of.evaluate(balls, ball(low))
    while step < END:
        at = of.evaluate(balls, ball(low + step))
        lowest = at if at < lowest or not lowest.is_finite() else lowest
        if Above(of, (low, inf), number(0)).holds(low + 2 * step, inf, slope, lowest, balls):
            return low + 2 * step
        step = 2 * step
    return None


def _written(of: Expression) -> str:
    """For people: the tree in infix form."""
    if of.operation in ("number", "name", "x"):
        return str(of.tree())
    if of.operation == "^":
        return f"{_written(of.parts[0])}^{of.parts[1]}"
    if of.operation in ("+", "-", "*", "/"):
        inner = [_written(part) for part in of.parts]
        return f"-{inner[0]}" if len(inner) == 1 else "(" + f" {of.operation} ".join(inner) + ")"
    return f"{of.operation}({_written(of.parts[0])})"
