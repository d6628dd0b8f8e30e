"""Intervals with an end at infinity, where a ball cannot be: two ends, each a ball's end or infinite, rounded outwards."""

from dataclasses import dataclass
from math import inf
from typing import Any

from ufm.proofs.exact import flint


@dataclass(frozen=True)
class Ray:
    """All numbers between two ends, each an exact `arb` or an infinite float; empty knowledge is (-inf, inf)."""

    low: Any
    high: Any

    def __add__(self, other: "Ray") -> "Ray":
        return _outwards(_plus(self.low, other.low, -inf), _plus(self.high, other.high, inf))

    def __neg__(self) -> "Ray":
        return Ray(-self.high, -self.low)

    def __sub__(self, other: "Ray") -> "Ray":
        return self + (-other)

    def __mul__(self, other: "Ray") -> "Ray":
        return _hull([_times(a, b) for a in (self.low, self.high) for b in (other.low, other.high)])

    def __truediv__(self, other: "Ray") -> "Ray":
        if not (other.low > 0 or other.high < 0):
            return Ray(-inf, inf)
        return self * _outwards(_reciprocal(other.high), _reciprocal(other.low))

    def __pow__(self, power: int) -> "Ray":
        if power % 2 == 0 and not self.low >= 0:
            return abs(self) ** power
        return _outwards(self.low**power, self.high**power)

    def __abs__(self) -> "Ray":
        if self.low >= 0 or self.high <= 0:
            return self if self.low >= 0 else -self
        return Ray(flint().arb(0), self.high if _infinite(self.high) or not -self.low > self.high else -self.low)

    def exp(self) -> "Ray":
        """e to its power."""
        low = flint().arb(0) if _infinite(self.low) else self.low.exp()
        return _outwards(low, inf if _infinite(self.high) else self.high.exp())

    def log(self) -> "Ray":
        """The logarithm; nothing is known of one that reaches below 0."""
        if not self.low >= 0:
            return Ray(-inf, inf)
        return _outwards(self.low.log() if self.low > 0 else -inf, inf if _infinite(self.high) else self.high.log())

    def sqrt(self) -> "Ray":
        """The square root; nothing is known of one that reaches below 0."""
        if not self.low >= 0:
            return Ray(-inf, inf)
        return _outwards(self.low.sqrt(), inf if _infinite(self.high) else self.high.sqrt())

    def lower(self) -> Any:
        """The lower end."""
        return self.low

    def upper(self) -> Any:
        """The upper end."""
        return self.high


def ray_of(ball: Any) -> Ray:
    """The ends of a ball."""
    return Ray(ball.lower(), ball.upper())


def _infinite(end: Any) -> bool:
    return isinstance(end, float)


def _plus(a: Any, b: Any, infinite: float) -> Any:
    return infinite if _infinite(a) or _infinite(b) else a + b


def _times(a: Any, b: Any) -> Any:
    """A product of ends: 0 times infinity is 0, as no number of the interval is infinite."""
    if not (_infinite(a) or _infinite(b)):
        return a * b
    sign = _sign(a) * _sign(b)
    return sign * inf if sign else flint().arb(0)


def _sign(a: Any) -> int:
    return (a > 0) - (a < 0)


def _reciprocal(end: Any) -> Any:
    return flint().arb(0) if _infinite(end) else 1 / end


def _hull(ends: list[Any]) -> Ray:
    pairs = [_outwards(end, end) for end in ends]
    low, high = pairs[0].low, pairs[0].high
    for pair in pairs[1:]:
        low, high = pair.low if pair.low < low else low, pair.high if pair.high > high else high
    return Ray(low, high)


def _outwards(low: Any, high: Any) -> Ray:
    return Ray(low if _infinite(low) else low.lower(), high if _infinite(high) else high.upper())
