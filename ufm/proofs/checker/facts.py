"""Facts of explicit numbers: what proofs of the kinds "root", "refutation" and "identity" say.

    {"less": [A, B]}                                    A < B
    {"equal": [A, B]}                                   A = B, both rational, exactly
    {"root": {"of": F, "between": [a, b]}}              F has opposite signs at a and b and F' one sign between: just one root there
    {"above": {"of": F, "on": [a, b], "value": v}}      F(x) > v for all x in [a, b]; b may be "inf"
    {"positive definite": rows}                         of expressions, symmetric as written

An expression is a number, "x" (of F), a name from "where", or [op, ...] with ops +, * (any number), -, /, ^ (a whole power), exp,
log, sqrt, abs. Its value is a fraction until an x, exp, log or sqrt comes in, an interval from there on.
"""

import json
import re
from fractions import Fraction
from functools import reduce
from math import inf, prod

from .numbers import (
    BITS,
    HALF,
    ZERO,
    Interval,
    Refused,
    columns,
    enclose,
    exp,
    fields,
    log,
    need,
    number,
    positive,
    positive_definite,
    sqrt,
)  # fmt: skip

BINARY = {  # value and derivative of both sides -> of the whole
    "+": lambda u, du, v, dv: (u + v, du + dv),
    "-": lambda u, du, v, dv: (u - v, du - dv),
    "*": lambda u, du, v, dv: (u * v, u * dv + du * v),
    "/": lambda u, du, v, dv: (u / v, (du - u / v * dv) / v),
}
UNARY = {  # abs has all slopes between both sides' at 0; no derivative is asked for where there is no x
    "-": lambda u, du: (-u, -du),
    "exp": lambda u, du: (exp(u), exp(u) * du),
    "log": lambda u, du: (log(u), du / u if du else ZERO),
    "sqrt": lambda u, du: (sqrt(u), HALF * du / sqrt(u) if du else ZERO),
    "abs": lambda u, du: (abs(u), du if positive(u) else -du if positive(-u) else Interval(-1 << BITS.get(), 1 << BITS.get()) * du),
}

def power(u, n):
    """u^n; even powers are of |u|."""
    if isinstance(u, Fraction):
        need((u.numerator.bit_length() + u.denominator.bit_length()) * abs(n) < 10**6, "a power of less than a million bits")
        return u**n
    return 1 / power(u, -n) if n < 0 else prod([u if n % 2 else abs(u)] * n, start=Fraction(1))
def evaluate(e, names):
    """(value, derivative in x)."""
    if isinstance(e, str):
        return names[e] if e in names else (number(e), ZERO)
    op, *args = e
    if op == "^":
        need(len(args) == 2 and number(args[1]).denominator == 1 and abs(number(args[1])) <= 1000, "a whole power up to 1000")
        (u, du), n = evaluate(args[0], names), int(number(args[1]))
        return power(u, n), n * power(u, n - 1) * du if n and du else ZERO
    args = [evaluate(x, names) for x in args]
    if len(args) == 1 and op in UNARY:
        return UNARY[op](*args[0])
    need(len(args) == 2 and op in BINARY or args and op in ("+", "*"), f"an operation, not {op!r:.20} of {len(args)}")
    return reduce(lambda u, v: BINARY[op](*u, *v), args)
def everywhere(F, a, b):
    """Prove F > 0 on [a, b], F(x) = (value, derivative), box by box: by its value, or from an end of the box by its slopes."""
    boxes, tries = [(a, b)], 0
    while boxes:
        (a, b), tries = boxes.pop(), tries + 1
        left, right = enclose(a), Interval(inf, inf) if b == inf else enclose(b)
        try:
            (value, slope), start, width = F(Interval(left.lo, right.hi)), F(left)[0], Interval(0, right.hi - left.lo)
            done = positive(value) or positive(start + slope * width) or b != inf and positive(F(right)[0] - slope * width)
        except Refused:  # F may be undefined on a wide box alone
            done, start = False, ZERO
        if not done:
            need(not positive(-start) and right.hi - left.lo > 4 and tries < 20000, "a function above a number everywhere")
            middle = 2 * max(a, Fraction(1)) if b == inf else (a + b) / 2
            boxes += [(a, middle), (middle, b)]
def check_fact(kind, x, names):
    """One fact."""
    def value(e): return evaluate(e, names)[0]
    def at(e, t): return evaluate(e, {**names, "x": (t, Fraction(1))})
    if kind == "less":
        need(len(x) == 2 and positive(value(x[1]) - value(x[0])), "less: the first is below the second")
    elif kind == "equal":
        need(len(x) == 2 and isinstance(value(x[0]), Fraction) and value(x[0]) == value(x[1]), "equal: one rational number")
    elif kind == "positive definite":
        need(x and x == columns(x) and positive_definite([list(map(value, row)) for row in x]), "a positive definite matrix")
    elif kind == "root":
        x = fields(x, "of between")
        a, b = map(value, x.between)
        need(isinstance(a, Fraction) and isinstance(b, Fraction) and a < b, "a rational interval")
        sign = 1 if positive(at(x.of, enclose(b))[0]) else -1
        need(positive(sign * at(x.of, enclose(b))[0]) and positive(-sign * at(x.of, enclose(a))[0]), "opposite signs at the ends")
        everywhere(lambda t: (sign * at(x.of, t)[1], Interval(-inf, inf)), a, b)
    else:
        need(kind == "above", f"a fact, not {kind!r:.20}")
        x = fields(x, "of on value")
        a, b = (inf if end == "inf" else value(end) for end in x.on)
        need(isinstance(a, Fraction) and (b == inf or isinstance(b, Fraction)) and a <= b, "a rational interval")
        v = value(x.value)
        everywhere(lambda t: (at(x.of, t)[0] - v, at(x.of, t)[1]), a, b)
def check_facts(kind, rest):
    """The statement that a proof by facts proves."""
    x = fields(rest, "where facts")
    names: dict = {}
    text = json.dumps([x.where, x.facts])
    size = max((number(digits).denominator.bit_length() for digits in re.findall(r'"(-?[0-9][^"]*)"', text)), default=0)
    BITS.set(min(320 + 2 * size, 900) if '"inf"' in text else 320 + 2 * size)  # integers beyond 2^1023 do not go with inf
    for name, e in x.where:
        need(re.fullmatch("[A-Za-z_][A-Za-z_0-9]*", name) and name not in (*names, "x", "inf"), f"a new name, not {name!r:.20}")
        names[name] = evaluate(e, names)
    need(isinstance(x.facts, list) and x.facts, "facts")
    for fact in x.facts:
        [(name, claim)] = fact.items()
        check_fact(name, claim, names)
    where = ", ".join(f"{name} = {json.dumps(e)}" for name, e in x.where)
    return f"{kind}: {json.dumps(x.facts)}" + f" where {where}" * bool(where)
