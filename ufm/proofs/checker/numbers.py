"""Fractions, intervals whose ends are integers, and matrices of them.

An interval is a pair of integers lo <= hi in units of 2^-BITS that holds a real number; every operation rounds outwards. exp is a
Taylor series and squarings, log comes from exp and a short series, sqrt is the integer root. Numbers of a file are strings, "12",
"-p/q" or "m*2^e", of at most 4000 digits and exponents of at most 4 digits.
"""

import re
from collections import namedtuple
from contextvars import ContextVar
from fractions import Fraction
from functools import partial
from math import floor, inf, isqrt, log2
from types import SimpleNamespace
from typing import Any

BITS = ContextVar("BITS", default=320)
HALF, ZERO = Fraction(1, 2), Fraction(0)
pairs = partial(zip, strict=True)
NUMBER = re.compile(r"(-?[0-9]{1,4000})(?:/([1-9][0-9]{0,3999})|\*2\^(-?[0-9]{1,4}))?")
class Refused(ValueError):
    """The first step of a proof that fails."""
def need(holds, step):
    """Stop at a step that fails."""
    if not holds:
        raise Refused(step)

class Interval(namedtuple("Interval", "lo hi")):
    """The reals from lo to hi units: integers, or -inf and inf where there is no end."""
    def __add__(self, x): return Interval(self.lo + (x := enclose(x)).lo, self.hi + x.hi)
    def __neg__(self): return Interval(-self.hi, -self.lo)
    def __sub__(self, x): return self + -x
    def __rsub__(self, x): return -self + x
    def __mul__(self, x):
        ends, bits = [a * b if a and b else 0 for b in enclose(x) for a in self], BITS.get()
        low, high = min(ends), max(ends)
        return Interval(low if low == -inf else low >> bits, high if high == inf else -(-high >> bits))
    def __rtruediv__(self, x):
        need(self.lo > 0 or self.hi < 0, "division by an interval that holds 0")
        (near, far), square = sorted(map(abs, self)), 1 << 2 * BITS.get()
        return x * Interval(0 if far == inf else square // far, -(-square // near)) * (1 if self.lo > 0 else -1)
    def __truediv__(self, x): return self * (1 / x)
    def __abs__(self): return self if self.lo >= 0 else -self if self.hi <= 0 else Interval(0, max(-self.lo, self.hi))
    __radd__, __rmul__ = __add__, __mul__
def ratio(p, q, up):
    """p/q, q > 0, rounded up or down to an integer."""
    return -(-p // q) if up else p // q
def enclose(x):
    """The least interval around an integer or a fraction; an interval as it is."""
    if isinstance(x, Interval):
        return x
    lo, rest = divmod(x.numerator << BITS.get(), x.denominator)
    return Interval(lo, lo + (rest > 0))
def exp_end(n, up):
    """exp(n units): k squarings of 1 + t/1 (1 + t/2 (1 + ... t/j rest)), t = n units / 2^k < 2^-16, 1 <= rest <= 2."""
    bits = BITS.get()
    if n < 0:
        return up if n <= -bits << bits else ratio(1 << 2 * bits, exp_end(-n, 1 - up), up)  # exp(-bits) < 2^-bits
    need(n <= 10**5 << bits, "exp of at most 10^5")
    k = max(0, n.bit_length() - bits + 16)
    scale, t, sign = bits + k + 32, n << 32, -1 if up else 1  # t, now in units of 2^-scale; sign: -(-x >> scale) rounds up
    value = 1 << scale + up
    for i in range(bits // 16 + 2, 0, -1):
        value = (1 << scale) + sign * ((sign * value * t >> scale) // i)
    for _ in range(k):
        value = sign * (sign * value * value >> scale)
    return sign * (sign * value >> scale - bits)
def log_end(n, up):
    """log(n units) = g + 2 artanh((z - 1)/(z + 1)) with z = n units exp(-g), for any g that makes z >= 1: a float, a little less.

    artanh(u) = u + u^3/3 + u^5/5 + ...; from a power u^i of at most one unit on, the rest is less than two units (0 <= u <= 1/3).
    """
    need(n > 0, "log of an interval that reaches 0")
    bits, one = BITS.get(), 1 << BITS.get()
    g = floor(((log2(n) - bits) * 0.6931471805599453 - 2**-20) * 2**60) << bits >> 60
    z = ratio(n * one, exp_end(g, 1 - up), up) if g > 0 else ratio(n * exp_end(-g, up), one, up)
    need(one <= z <= 2 * one, "a logarithm near its floating-point value")
    power, square = (ratio((z - one) ** j << bits, (z + one) ** j, up) for j in (1, 2))
    total, i = 2 * up, 1
    while power > up:
        total, power, i = total + ratio(power, i, up), ratio(power * square, one, up), i + 2
    return g + 2 * total
def sqrt_end(n, up):
    """sqrt(n units)."""
    need(n >= 0, "sqrt of an interval that reaches below 0")
    return isqrt((n << BITS.get()) - 1) + 1 if up and n else isqrt(n << BITS.get())
def image(end, x):
    """The image of x under an increasing function without limit; end(n, up): its value at n units, rounded up (1) or down (0)."""
    x = enclose(x)
    return Interval(end(x.lo, 0), inf if x.hi == inf else end(x.hi, 1))
exp, log, sqrt = (partial(image, end) for end in (exp_end, log_end, sqrt_end))
def positive(x):
    """Whether all of it is above 0."""
    return (x.lo if isinstance(x, Interval) else x) > 0
def clip(x):
    """max(x, 0)."""
    return Interval(max(x.lo, 0), max(x.hi, 0)) if isinstance(x, Interval) else max(x, ZERO)
def squares(xs):
    """sum x^2."""
    return sum((abs(x) * abs(x) for x in xs), ZERO)
def dot(u, v):
    """sum u_i v_i; what is exactly 0 in v is left out."""
    return sum((a * b for a, b in pairs(u, v) if b), ZERO)
def log_sum_exp(xs):
    """log sum exp x_i."""
    top = Interval(*[max(enclose(x).hi for x in xs)] * 2)
    return log(sum(exp(x - top) for x in xs)) + top
def entropy(q):
    """-q log q of a fraction 0 <= q <= 1, exactly 0 at both ends; below one unit it is less than BITS units."""
    return -q * log(q) if enclose(q).lo and q < 1 else Interval(0, BITS.get() * (0 < q < 1))
def columns(rows):
    """The transpose."""
    return [list(column) for column in pairs(*rows)]
def products(left, right):
    """[[<u, v>]] of rows u, v of n entries with middles a, b, radii <= r, s: |<u, v> - <a, b>| <= n (|a| s + r |b| + r s)."""
    (left, a, r), (right, b, s), bits = _doubled(left), _doubled(right), BITS.get() + 2
    error = len(left[0]) * (a * s + r * b + r * s)
    middles = [[sum(map(int.__mul__, u, v)) for v in right] for u in left]
    return [[Interval(x - error >> bits, -(-x - error >> bits)) for x in row] for row in middles]
def _doubled(rows):  # twice the middles, the largest of their sizes, twice the largest radius
    rows = [[enclose(x) for x in row] for row in rows]
    middles = [[x.lo + x.hi for x in row] for row in rows]
    return middles, max(abs(x) for row in middles for x in row), max(x.hi - x.lo for row in rows for x in row)
def positive_definite(a):
    """Whether LDL' finds positive pivots alone, for all symmetric matrices whose lower triangle lies in that of a."""
    a = [row[: i + 1] for i, row in enumerate(a)]
    while a:
        (pivot,), *rest = a
        if not positive(pivot):
            return False
        below = [row[0] for row in rest]
        factors = [x / pivot for x in below]
        a = [[x - factor * y for x, y in zip(row[1:], below, strict=False)] for row, factor in pairs(rest, factors)]
    return True

def number(text):
    """The fraction that a string of a file is."""
    match: Any = NUMBER.fullmatch(text) if isinstance(text, str) else None
    need(match, f"a number as a string, not {text!r:.40}")
    p, q, e = map(int, match.groups(default="0"))
    return Fraction(p << max(e, 0), (q or 1) << max(-e, 0))
def table(rows, height, width):
    """The fractions of a matrix."""
    need(isinstance(rows, list) and len(rows) == height > 0 < width, f"a matrix of {height} rows")
    need(all(isinstance(row, list) and len(row) == width for row in rows), f"a matrix of {width} columns")
    return [[number(x) for x in row] for row in rows]
def fields(x, names, **defaults):
    """The entries of an object that has these names, perhaps those with a default, and no others."""
    need(isinstance(x, dict) and {*names.split()} <= {*x} <= {*names.split(), *defaults}, f"an object with the keys {names}")
    return SimpleNamespace(**{**defaults, **x})
