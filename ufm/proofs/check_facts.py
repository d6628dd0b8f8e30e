"""The facts that `check_proof.py` hands over: proofs of the kinds "root", "refutation" and "identity".

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

if __package__:
    from .check_more import Interval, enclose, exp, log, sqrt
    from .check_proof import BITS, ZERO, Refused, columns, exact, need, positive_definite
else:
    from check_more import Interval, enclose, exp, log, sqrt  # type: ignore[no-redef]
    from check_proof import BITS, ZERO, Refused, columns, exact, need, positive_definite  # type: ignore[no-redef]

def positive(x): return (x.lo if isinstance(x, Interval) else x) > 0
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
    "sqrt": lambda u, du: (sqrt(u), du / sqrt(u) / 2 if du else ZERO),
    "abs": lambda u, du: (abs(u), du if positive(u) else -du if positive(-u) else Interval(-1 << BITS.get(), 1 << BITS.get()) * du),
}
def size(u):  # in bits
    return sum(n.bit_length() for n in (u if isinstance(u, Interval) else (u.numerator, u.denominator)) if isinstance(n, int))
def power(u, n):  # u^n; even powers are of |u|
    need(size(u) * abs(n) < 2 * 10**6, "a power of less than two million bits")
    if isinstance(u, Fraction):
        return u**n
    return 1 / power(u, -n) if n < 0 else prod([u if n % 2 else abs(u)] * n, start=Fraction(1))
def evaluate(e, names):  # value and derivative in x
    if not isinstance(e, list):
        return (e, ZERO) if isinstance(e, Fraction) else names[e]
    op, *args = e
    if op == "^":
        [u, du], n = evaluate(args[0], names), int(args[1])
        need(len(args) == 2 and n == args[1] and abs(n) <= 1000, "a whole power up to 1000")
        return power(u, n), n * power(u, n - 1) * du if n and du else ZERO
    args = [evaluate(x, names) for x in args]
    if len(args) == 1 and op in UNARY:
        return UNARY[op](*args[0])
    need(len(args) == 2 and op in BINARY or args and op in ("+", "*"), f"an operation, not {op!r:.20} of {len(args)}")
    value, slope = reduce(lambda u, v: BINARY[op](*u, *v), args)
    need(size(value) + size(slope) < 2 * 10**6, "numbers of less than two million bits")
    return value, slope
def everywhere(F, a, b):  # F > 0 on [a, b], F(x) = (value, derivative), box by box: by its value, or from an end by its slopes
    boxes, tries = [(a, b)], 0
    while boxes:
        (a, b), tries, start = boxes.pop(), tries + 1, ZERO
        left, right = enclose(a), Interval(inf, inf) if b == inf else enclose(b)
        width = Interval(0, right.hi - left.lo)
        try:
            start = F(left)[0]
            value, slope = F(Interval(left.lo, right.hi))
            done = positive(value) or positive(start + slope * width) or b != inf and positive(F(right)[0] - slope * width)
        except Refused:  # F may be undefined on a wide box alone
            done = False
        if not done:
            need(not positive(-start) and width.hi > 4 and tries < 20000, "a function above a number everywhere")
            middle = 2 * max(a, Fraction(1)) if b == inf else (a + b) / 2
            boxes += [(a, middle), (middle, b)]
class Facts:  # of numbers with names
    def __init__(self, names): self.names = names
    def value(self, e): return evaluate(e, self.names)[0]
    def at(self, e, x): return evaluate(e, self.names | {"x": (x, Fraction(1))})
    def less(self, a, b): need(positive(self.value(b) - self.value(a)), "less: the first is below the second")
    def equal(self, a, b):
        need(isinstance(self.value(a), Fraction) and self.value(a) == self.value(b), "equal: one rational number")
    def definite(self, *rows):
        need(rows and [*rows] == columns(rows), "a symmetric matrix")
        need(positive_definite([[self.value(x) for x in row] for row in rows]), "a positive definite matrix")
    def root(self, of, between):
        need(isinstance(between, list), "two ends")
        a, b = map(self.value, between)
        need(isinstance(a, Fraction) and isinstance(b, Fraction) and a < b, "a rational interval")
        first, last = (self.at(of, enclose(end))[0] for end in (a, b))
        sign = 1 if positive(last) else -1
        need(positive(sign * last) and positive(-sign * first), "opposite signs at the ends")
        everywhere(lambda x: (sign * self.at(of, x)[1], Interval(-inf, inf)), a, b)
    def above(self, of, on, value):
        need(isinstance(on, list), "two ends")
        a, b = (inf if end == "inf" else self.value(end) for end in on)
        need(isinstance(a, Fraction) and (b == inf or isinstance(b, Fraction)) and a <= b, "a rational interval")
        value = self.value(value)
        everywhere(lambda x: (self.at(of, x)[0] - value, self.at(of, x)[1]), a, b)
KINDS = ("root", "refutation", "identity")
def verify(kind, where=(), facts=(), **rest):  # the statement
    need(kind in KINDS, f"one of the kinds sandwich, profile, {', '.join(KINDS)}, not {kind!r:.20}")
    need(facts and isinstance(facts, list) and not rest, "facts, and names in where")
    text, names = json.dumps([where, facts]), {}  # type: ignore[var-annotated]
    size = max((exact(x).denominator.bit_length() for x in re.findall(r'"(-?[0-9][^"]*)"', text)), default=0)
    BITS.set(min(320 + 2 * size, 900) if '"inf"' in text else 320 + 2 * size)  # integers beyond 2^1023 do not go with inf
    for name, e in where:
        need(re.fullmatch("[A-Za-z_][A-Za-z_0-9]*", name) and name not in (*names, "x", "inf"), f"a new name, not {name!r:.20}")
        names[name] = evaluate(exact(e), names)
    for fact in facts:
        [(name, claim)], x = exact(fact).items(), Facts(names)
        if name in ("root", "above"):
            (x.root if name == "root" else x.above)(**claim)
        else:
            need(isinstance(claim, list) and name in ("less", "equal", "positive definite"), f"a fact, not {name!r:.20}")
            (x.less if name == "less" else x.equal if name == "equal" else x.definite)(*claim)
    return json.dumps(facts) + f" where {', '.join(f'{name} = {json.dumps(e)}' for name, e in where)}" * bool(where)
