"""Check proofs of `ufm` with integers and the standard library alone: `python -S check_proof.py FILE ...` (exit 0: all are verified).

"sandwich": lower <= inf f <= upper, at multiplicities m_c, weights w_c, intercepts a_c, om_c = w_c m_c / N, z_c = s W h_c + a_c b,
  f(W, h, b) = sum_c om_c loss_c(z_c) + lW/2 |W|^2 + lH/2 sum_c m_c |h_c|^2 [+ lb/2 |b|^2] + beta/2 sum_c |sqrt(m_c) h_c - H0_c|^2,
  loss_c(z) = sum over parts of weight (g(x; y_c) [- Ent y_c]) - log_classes log(rows),   x = (z[first : first + rows] - shift_c) / T.
upper: f at the point. lower: g(x) >= <t, x> - g*(t), so for t_c in the domain of g* and theta_c = sum of (weight/T) t_c over parts
  f >= sum_c om_c (sum over parts of weight (-g*(t_c) [- Ent y_c]) - log_classes log(rows) - <(weight/T) t_c, shift_c>) - bias - pull.
  bias: |G_b|^2/(2 lb) (ridge), where G_b = sum_c om_c a_c theta_c, which is 0 (free). pull, with G_c = s w_c sqrt(m_c) theta_c / N:
  W trained: 0 where lW lH I - G G' > 0, or h >= 0 and lW lH diag(1/m) - [max(0, <theta_c, theta_d>) w_c w_d s^2/N^2] > 0;
  W fixed: sum_c (s w_c/N)^2 m_c |p_c|^2 / (2 lH), p_c = W'theta_c, or max(0, -W'theta_c) for h >= 0. On the sphere (unit h_c and, if
  trained, rows of W; the ridges count as constants): sum_c s om_c |W'theta_c| if fixed, sqrt(norm K sum m) where norm I - G G' > 0.
"profile": f of M >= 2 layers, L = M + 1 ridges of product >= c^L. Each slope: f_j <= data + bias + c_j x, x = |W_M ... W_1 H|_*, so
  f >= min over x >= 0 of max(inf data, max_j f_j - c_j x) + L/2 c x^(2/L), on each segment the least of its ends (it is concave).
"root", "refutation", "identity": facts by intervals, bisection, forward derivatives. Any other kind, "critical point" too, is refused.
"""
import json
import re
import sys
from collections import namedtuple
from contextvars import ContextVar
from fractions import Fraction
from functools import lru_cache, reduce
from math import inf, isqrt
from operator import mul
from types import SimpleNamespace

BITS, HALF = ContextVar("BITS", default=320), Fraction(1, 2)  # ends of intervals count in units of 2^-BITS
NUMBER = re.compile(r"(-?[0-9]{1,4000})(?:/([0-9]{1,4000})|\*2\^(-?[0-9]{1,5}))?")
class Refused(ValueError):
    """The first step of a proof that fails."""
def need(holds, step):
    """Stop at a step that fails."""
    if not holds:
        raise Refused(step)
class Interval(namedtuple("Interval", "lo hi")):
    """The reals from lo to hi units (integers; -inf and inf where there is no end). Every operation rounds outwards."""
    def __add__(self, x): return Interval(self.lo + (x := enclose(x)).lo, self.hi + x.hi)
    def __neg__(self): return Interval(-self.hi, -self.lo)
    def __sub__(self, x): return self + -x
    def __rsub__(self, x): return -self + x
    def __mul__(self, x):
        ends = [a * b if a and b else 0 for b in enclose(x) for a in self]
        low, high, bits = min(ends), max(ends), BITS.get()
        return Interval(low if low == -inf else low >> bits, high if high == inf else -(-high >> bits))
    def __rtruediv__(self, x):
        need(self.lo > 0 or self.hi < 0, "division by an interval that holds 0")
        near, far = sorted(map(abs, self))
        inverse = Interval(0 if far == inf else (1 << 2 * BITS.get()) // far, -(-(1 << 2 * BITS.get()) // near))
        return (inverse if self.lo > 0 else -inverse) * x
    def __truediv__(self, x): return self * (1 / x)
    def __abs__(self): return self if self.lo >= 0 else -self if self.hi <= 0 else Interval(0, max(-self.lo, self.hi))
    def _through(self, end): return Interval(end(self.lo, 0), inf if self.hi == inf else end(self.hi, 1))  # end: increasing
    __radd__, __rmul__ = __add__, __mul__
def _ratio(p, q, up): return -(-p // q) if up else p // q  # p/q to an integer, rounded up or down, q > 0
def enclose(x):
    """The least interval around an integer or a fraction; an interval as it is."""
    return x if isinstance(x, Interval) else Interval(*(_ratio(x.numerator << BITS.get(), x.denominator, up) for up in (0, 1)))
def exp_end(n, up):
    """exp(n units) rounded up or down: the series at n units / 2^k < 2^-16, of positive terms, and k squarings; 1/exp(-n) for n < 0."""
    bits = BITS.get()
    if n <= -bits << bits or up and n > 10**5 << bits:
        return up if n < 0 else inf  # 0 < exp(-bits) < 2^-bits
    if n < 0:
        return _ratio(1 << 2 * bits, exp_end(-n, 1 - up), up)
    n = min(n, 10**5 << bits)
    k = max(0, n.bit_length() - bits + 16)
    unit, i = 1 << bits + k + 32, 1
    total = term = unit
    while term > up:  # the terms after one of at most a unit sum to less than a unit
        term, i = _ratio(term * (n << 32), i * unit, up), i + 1
        total += term
    total += up
    for _ in range(k):
        total = _ratio(total * total, unit, up)
    return _ratio(total, unit >> bits, up)
@lru_cache(64)
def artanh_end(p, q, bits, up):
    """artanh(p/q) = sum of (p/q)^i / i over odd i, 0 <= p/q <= 1/3; the terms from a power of at most a unit sum to less than two."""
    power, square, total, i = _ratio(p << bits, q, up), _ratio(p * p << bits, q * q, up), 2 * up, 1
    while power > up:
        total, power, i = total + _ratio(power, i, up), _ratio(power * square, 1 << bits, up), i + 2
    return total
def log_end(n, up):
    """log(n units) = e log 2 - 2 artanh((1 - y)/(1 + y)) where n units = y 2^e, 1/2 < y <= 1; log 2 = 2 artanh(1/3)."""
    need(n > 0, "log of an interval that reaches 0")
    fine, top = BITS.get() + 64, 1 << (n - 1).bit_length()
    e = top.bit_length() - 1 - BITS.get()
    return _ratio(2 * (e * artanh_end(1, 3, fine, up == (e > 0)) - artanh_end(top - n, top + n, fine, 1 - up)), 1 << 64, up)
def sqrt_end(n, up):
    """sqrt(n units)."""
    need(n >= 0, "sqrt of an interval that reaches below 0")
    return isqrt(n << BITS.get()) if not up or n == 0 else isqrt((n << BITS.get()) - 1) + 1
def exp(x): return enclose(x)._through(exp_end)
def sqrt(x): return enclose(x)._through(sqrt_end)
def log(x):
    """Of an interval or a fraction."""
    return x._through(log_end) if isinstance(x, Interval) else log(enclose(x.numerator)) - log(enclose(x.denominator))
def log_sum_exp(xs):
    """log sum exp."""
    top = max(x.hi for x in map(enclose, xs))
    return log(sum(exp(x - Interval(top, top)) for x in xs)) + Interval(top, top)
def clip(x): return Interval(max(x.lo, 0), max(x.hi, 0)) if isinstance(x, Interval) else max(x, Fraction(0))
def positive(x): return (x.lo if isinstance(x, Interval) else x) > 0
def square(x): return abs(x) * abs(x)
def entropy(q): return -q * log(q) if 0 < q < 1 else Fraction(0)
def dot(u, v): return sum((a * b for a, b in zip(u, v, strict=True)), Fraction(0))
def columns(rows): return [list(column) for column in zip(*rows, strict=True)]
def products(left, right):
    """[[<u, v>]] of rows u and v of intervals: twice their middles multiplied, and twice their radii, R for all of a row:
    |uv - u0 v0| <= |u0| R_v + R_u |v0| + R_u R_v."""
    def middles(row):
        row = [enclose(x) for x in row]
        middle = [x.lo + x.hi for x in row]
        return middle, max(x.hi - x.lo for x in row), sum(map(abs, middle))
    right, bits = [middles(v) for v in right], BITS.get() + 2
    return [
        [Interval(m - r >> bits, -(-(m + r) >> bits))
         for v, Rv, sv in right for m in [sum(map(mul, u, v))] for r in [su * Rv + Ru * sv + len(u) * Ru * Rv]]
        for u, Ru, su in map(middles, left)
    ]
def positive_definite(a):
    """Whether all pivots of the LDL' elimination are positive, of every symmetric matrix whose lower triangle is inside a's."""
    a = [list(row) for row in a]
    for k in range(len(a)):
        if not positive(a[k][k]):
            return False
        for i in range(k + 1, len(a)):
            factor = a[i][k] / a[k][k]
            for j in range(k + 1, i + 1):
                a[i][j] = a[i][j] - factor * a[j][k]
    return True

def number(text):
    """The fraction that "12", "-p/q" or "m*2^e" is."""
    match = NUMBER.fullmatch(text) if isinstance(text, str) else None
    need(match, f"not a number: {str(text)[:40]!r}")
    p, q, e = match.groups()
    return Fraction(int(p) << max(0, int(e or 0)), int(q or 1) << max(0, -int(e or 0)))
def fields(x, names, **defaults):
    """The entries of an object that has these names, perhaps those with defaults, and no others."""
    need(isinstance(x, dict) and {*names.split()} <= {*x} <= {*names.split(), *defaults}, f"an object with the keys {names}")
    return SimpleNamespace(**{**defaults, **x})
def table(rows, height, width):
    """The fractions of a matrix."""
    need(isinstance(rows, list) and len(rows) == height > 0, f"a matrix of {height} rows")
    need(all(isinstance(row, list) and len(row) == width > 0 for row in rows), f"a matrix of {width} columns")
    return [[number(x) for x in row] for row in rows]
def read_problem(raw, deep):
    """The numbers of a problem; p.l: the ridges, features first."""
    p = fields(raw, "parts K bias m a w N scale lb " + ("l" if deep else "lW lH"), features="free", classifier=None, beta="0", H0=None)
    p.fixed, p.C, count = p.classifier is not None, len(p.m), len(p.l) if deep else 1 + (p.lW is not None)
    p.m, p.a, p.w = table([p.m, p.a, p.w], 3, p.C)
    p.l, = table([p.l if deep else [p.lH, p.lW][:count]], 1, count)
    (p.K, p.N, p.scale, p.lb, p.beta), = table([[p.K, p.N, p.scale, p.lb or "0", p.beta]], 1, 5)
    need(p.bias in ("none", "free", "ridge") and p.features in ("free", "nonnegative", "sphere"), "a bias and features that exist")
    need(p.K.denominator == 1 and 1 <= p.K <= 10**4, "a whole number K of rows")
    need(min(*p.m, p.N, p.scale) > 0 <= min(*p.w, p.beta), "m, N, scale > 0 and w, beta >= 0")
    need((min(p.l) > 0 or p.features == "sphere" and min(p.l) >= 0) and (p.lb > 0 or p.bias != "ridge"), "ridges > 0")
    need(count > 2 and not p.fixed and p.features == "free" if deep else (count == 1) == p.fixed, "as many ridges as factors")
    need(p.H0 is None and p.beta == 0 or p.H0 is not None and not deep, "H0 where beta is not 0")
    p.K, p.om = int(p.K), [w * m / p.N for w, m in zip(p.w, p.m)]
    p.parts = [read_part(part, p.K, p.C) for part in p.parts]
    need(p.parts, "a loss")
    return p
DOMAIN = {
    "mse": lambda y: True,
    "ce": lambda y: min(y) >= 0 and sum(y) == 1,
    "logistic": lambda y: min(y) >= 0 and max(y) <= 1,
    "squared hinge": lambda y: min(y) == 0 and max(y) == sum(y) == 1,
}
def read_part(raw, K, C):
    """A part of the loss, by columns; least: inf g(.; y_c) = -g*(0), which is Ent y_c for ce and logistic."""
    part = fields(raw, "atom weight temperature first Y shift divergence log_classes")
    Y = fields(part.Y, "kind rows")
    part.rows = len(Y.rows)
    (part.weight, part.T, part.first, classes), = table([[part.weight, part.temperature, part.first, part.log_classes]], 1, 4)
    need(part.weight > 0 and part.T > 0, "weights and temperatures > 0")
    need(part.first.denominator == 1 and 0 <= part.first <= K - part.rows, "a part inside the logits")
    part.first, part.y = int(part.first), columns(table(Y.rows, part.rows, C))
    part.shift = columns(table(part.shift, part.rows, C)) if part.shift is not None else [[Fraction(0)] * part.rows] * C
    need(part.divergence is False or part.divergence is True and part.atom in ("ce", "logistic"), "divergence: true or false")
    if Y.kind == "rational":
        need(part.atom in DOMAIN and all(map(DOMAIN[part.atom], part.y)), f"targets in the domain of {part.atom}")
        part.least = [minus_conjugate(part.atom, [Fraction(0)] * part.rows if part.atom == "squared hinge" else y, y) for y in part.y]
    else:
        need((part.atom, Y.kind) in (("ce", "softmax"), ("logistic", "sigmoid")), "targets of a kind that the atom has")
        logits, total = part.y, log_sum_exp
        part.y = [[exp(a - log_sum_exp(r if part.atom == "ce" else [a, Fraction(0)])) for a in r] for r in logits]
        part.least = [g(part.atom, r, y) for r, y in zip(logits, part.y)]
    part.less = [part.divergence * part.weight * least + classes * log(Fraction(part.rows)) for least in part.least]
    return part
def g(atom, x, y):
    """The loss of logits x against targets y."""
    if atom == "mse":
        return HALF * sum(square(a - b) for a, b in zip(x, y))
    if atom == "ce":
        return log_sum_exp(x) - dot(x, y)
    if atom == "logistic":
        return sum(log_sum_exp([a, Fraction(0)]) - a * b for a, b in zip(x, y))
    return HALF * sum(square(clip(1 + a - x[y.index(1)])) for a, b in zip(x, y) if b != 1)
def minus_conjugate(atom, q, y):
    """-g*(t) at t = q - y (squared hinge: t = q), for q in the domain."""
    if atom == "mse":
        return HALF * (dot(y, y) - dot(q, q))
    if atom == "squared hinge":
        wrong = [a for a, b in zip(q, y) if b != 1]
        need(sum(q) == 0 and min(wrong, default=0) >= 0, "a dual point in the domain of squared hinge")
        return sum(wrong) - HALF * dot(wrong, wrong)
    need(DOMAIN[atom](q), f"a dual point in the domain of {atom}")
    return sum(map(entropy, q)) + (sum(entropy(1 - a) for a in q) if atom == "logistic" else 0)

def lower_bound(p, dual, allowed, norm=None):
    """The interval of the bound at a dual point, where G G' < allowed (the product of the ridges of a trained layer)."""
    theta, total = [[Fraction(0)] * p.C for _ in range(p.K)], Fraction(0)
    need(isinstance(dual, list) and len(dual) == len(p.parts), "a dual point for every part")
    for part, rows in zip(p.parts, dual):
        step = part.weight / part.T
        for c, q in enumerate(columns(table(rows, part.rows, p.C))):
            t = q if part.atom == "squared hinge" else [a - b for a, b in zip(q, part.y[c])]
            total += p.om[c] * (part.weight * minus_conjugate(part.atom, q, part.y[c]) - part.less[c] - step * dot(t, part.shift[c]))
            for k, x in enumerate(t, part.first):
                theta[k][c] += step * x
    balance = [dot(row, map(mul, p.om, p.a)) for row in theta]
    if p.bias == "free":
        need(all(isinstance(x, Fraction) and x == 0 for x in balance), "the balance of a free bias")
    if p.bias == "ridge":
        total -= sum(map(square, balance)) / (2 * p.lb)
    if p.features == "sphere":
        total += HALF * (p.l[0] * sum(p.m) + (0 if p.fixed else p.l[1] * p.K))
    return enclose(total) - pull(p, theta, allowed, norm)
def pull(p, theta, allowed, norm):
    """At most what the features and W can gain from G beyond their ridges."""
    sphere, orthant = p.features == "sphere", p.features == "nonnegative"
    if p.fixed:
        pulls = products(columns(theta), columns(p.classifier))
        sizes = [sum(square(clip(-x) if orthant else x) for x in row) for row in pulls]
        if sphere:
            return p.scale * sum(om * sqrt(size) for om, size in zip(p.om, sizes))
        return sum((p.scale * w / p.N) ** 2 * m / (2 * p.l[0]) * size for w, m, size in zip(p.w, p.m, sizes))
    allowed = norm if sphere else allowed
    scaled = [(p.scale * w / p.N) ** 2 * m / allowed for w, m in zip(p.w, p.m)]
    gram = products(theta, [list(map(mul, row, scaled)) for row in theta])
    fits = positive_definite([[(i == j) - x for j, x in enumerate(row)] for i, row in enumerate(gram)])
    if not fits and orthant:
        columns_ = [[w * x for x in column] for w, column in zip(p.w, columns(theta))]
        gram = products(columns_, [[(p.scale / p.N) ** 2 / allowed * x for x in column] for column in columns_])
        fits = positive_definite([[(i == j) / p.m[i] - clip(x) for j, x in enumerate(row)] for i, row in enumerate(gram)])
    need(fits, "the norm of the dual point")
    return sqrt(norm * p.K * sum(p.m)) if sphere else 0
def upper_bound(p, weights, h, b):
    """f at a point: weights, the first next to the features, columns h, bias b (or None)."""
    squared = lambda rows: sum(square(enclose(x)) for row in rows for x in row)  # noqa: E731
    need(p.features != "nonnegative" or min(map(min, h)) >= 0, "features that are not negative")
    if p.features == "sphere":
        h, *weights = ([[x / sqrt(dot(row, row)) for x in row] for row in rows] for rows in [h, *weights])
    penalty = p.l[0] * sum(m * squared([row]) for m, row in zip(p.m, h)) + sum(l * squared(W) for l, W in zip(p.l[1:], weights))
    if p.H0 is not None:
        penalty += p.beta * sum(squared([[sqrt(m) * x - y for x, y in zip(*rows)]]) for m, *rows in zip(p.m, h, p.H0))
    if p.bias == "ridge":
        penalty += p.lb * squared([b])
    z = reduce(products, [*weights, *([p.classifier] if p.fixed else [])], h)
    total = HALF * penalty
    for c, om in enumerate(p.om):
        logits = [p.scale * x + (p.a[c] * y if b else 0) for x, y in zip(z[c], b or z[c])]
        for part in p.parts:
            x = [(u - v) * (1 / part.T) for u, v in zip(logits[part.first : part.first + part.rows], part.shift[c])]
            total += om * (part.weight * g(part.atom, x, part.y[c]) - part.less[c])
    return total
def check_minimum(document):
    """"sandwich" and "profile"."""
    deep = document["kind"] == "profile"
    names = "W h b lower upper problem " + ("c slopes" if deep else "dual norm")
    x = fields({key: document[key] for key in document if key not in COMMON}, names)
    lower, upper = number(x.lower), number(x.upper)
    need(lower <= upper, "lower <= upper")
    BITS.set(256 + max(y.denominator.bit_length() - min(y.numerator.bit_length(), 0) for y in (lower, upper)))
    p = read_problem(x.problem, deep)
    raw = x.W if deep else [x.W] * (not p.fixed)
    if p.fixed:
        need(x.W is None, "no W beside a fixed classifier")
        p.classifier = table(p.classifier, p.K, len(p.classifier[0]))
    need(len(raw) == len(p.l) - 1, "a matrix for each ridge")
    d = len(x.h)
    sizes = [d, *(len(W) for W in raw)]
    h = columns(table(x.h, d, p.C))
    weights = [table(W, *size[::-1]) for W, size in zip(raw, zip(sizes, sizes[1:]))]
    need((sizes[-1] if raw else len(p.classifier)) == p.K and (raw or len(p.classifier[0]) == d), "shapes that fit")
    p.H0 = None if p.H0 is None else columns(table(p.H0, d, p.C))
    need((x.b is None) == (p.bias == "none"), "a bias where there is one")
    b = None if x.b is None else table([x.b], 1, p.K)[0]
    above = upper_bound(p, weights, h, b)
    need(above.hi <= upper * 2 ** BITS.get(), "f at the point is at most upper")
    if deep:
        least = profile(p, number(x.c), x.slopes)
    else:
        norm = None if x.norm is None else number(x.norm)
        need((norm is not None and norm > 0) == (p.features == "sphere" and not p.fixed), "a norm on the sphere")
        least = lower_bound(p, x.dual, None if p.fixed else p.l[0] * p.l[1], norm)
    need(least.lo >= lower * 2 ** BITS.get(), "lower is at most the bound")
    places = next(n for n in range(2, 10**5) if n > 59 and lower == upper or (upper - lower) * 10**n >= 10)
    atoms = " + ".join(part.atom for part in p.parts)
    return (
        f"{decimal(lower, places, 0)} <= inf f <= {decimal(upper, places, 1)}, the lower bound for every width, the upper one from "
        f"width {d} on (K = {p.K}, {p.C} columns, {len(weights)} trained layers, loss {atoms}, bias {p.bias}, features {p.features})"
    )
def decimal(x, places, up):
    """A decimal rounded down or up."""
    n = _ratio(x.numerator * 10**places, x.denominator, up)
    return f"{'-' * (n < 0)}{abs(n) // 10**places}.{abs(n) % 10**places:0{places}d}"
def profile(p, c, slopes):
    """The least, over x, of the largest line plus the penalty of a nuclear norm x."""
    L = len(p.l)
    need(0 < c and c**L <= reduce(mul, p.l), "c^L is at most the product of the ridges")
    floor = sum(om * (part.weight * least - less) for part in p.parts for om, least, less in zip(p.om, part.least, part.less))
    lines = [(Fraction(enclose(floor).lo, 2 ** BITS.get()), Fraction(0))]
    for raw in slopes:
        slope = fields(raw, "c dual lower")
        lines.append((number(slope.lower), number(slope.c)))
        need(lines[-1][1] > 0, "slopes > 0")
        need(lower_bound(p, slope.dual, lines[-1][1] ** 2).lo >= lines[-1][0] * 2 ** BITS.get(), "the bound of a slope")
    x, (height, slope) = Fraction(0), max(lines, key=lambda line: (line[0], -line[1]))
    values = []
    while True:
        tail = exp(log(enclose(x)) * Fraction(2, L)) if enclose(x).lo > 0 else 0
        values.append(enclose(height - slope * x + HALF * L * c * tail))
        if slope == 0:
            return min(values)
        x, slope, height = min(((height - f) / (slope - c_j), c_j, f) for f, c_j in lines if c_j < slope)
COMMON = ("format", "kind", "statement", "made_by", "claim")

BINARY = {
    "+": lambda u, v: (u[0] + v[0], u[1] + v[1]),
    "-": lambda u, v: (u[0] - v[0], u[1] - v[1]),
    "*": lambda u, v: (u[0] * v[0], u[0] * v[1] + u[1] * v[0]),
    "/": lambda u, v: (u[0] / v[0], (u[1] - u[0] / v[0] * v[1]) / v[0]),
}
UNARY = {
    "exp": lambda u, du: (exp(u), exp(u) * du),
    "log": lambda u, du: (log(u), du / u),
    "sqrt": lambda u, du: (sqrt(u), HALF * du / sqrt(u) if isinstance(du, Interval) or du else 0),
    "abs": lambda u, du: (abs(u), du if positive(u) else -du if positive(-u) else Interval(-1 << BITS.get(), 1 << BITS.get()) * du),
    "-": lambda u, du: (-u, -du),
}
def power(u, n):
    """u^n; even powers of intervals are not negative."""
    need(abs(n) <= 1000, "powers up to 1000")
    if isinstance(u, Fraction) or n < 0:
        return u**n if isinstance(u, Fraction) else 1 / power(u, -n)
    return reduce(mul, [u if n % 2 else abs(u)] * n, Fraction(1))
def evaluate(e, names):
    """(value, derivative in x): fractions until an exp, a log or a sqrt comes in, or x."""
    if isinstance(e, str):
        return names[e] if e in names else (number(e), Fraction(0))
    op, *args = e
    if op == "^":
        need(len(args) == 2 and number(args[1]).denominator == 1, "whole powers")
        (u, du), n = evaluate(args[0], names), int(number(args[1]))
        return power(u, n), n * power(u, n - 1) * du if n else Fraction(0)
    args = [evaluate(x, names) for x in args]
    need(len(args) == 2 and op in BINARY or len(args) == 1 and op in UNARY or op in ("+", "*"), f"an operation: {str(op)[:20]}")
    return reduce(BINARY[op], args) if len(args) > 1 or op not in UNARY else UNARY[op](*args[0])
def everywhere(F, a, b):
    """Prove F > 0 on [a, b], F(x) = (value, derivative) at an interval x: on each box by its value or, from an end, by the slopes."""
    boxes = [(a, b)]
    for _ in range(20000):
        if not boxes:
            return
        a, b = boxes.pop()
        left, right = enclose(a), Interval(inf, inf) if b == inf else enclose(b)
        try:
            value, slope = F(Interval(left.lo, right.hi))
            width = Interval(0, right.hi - left.lo)
            done = positive(value) or positive(F(left)[0] + slope * width) or b != inf and positive(F(right)[0] - slope * width)
        except Refused:
            done = False
        if not done:
            middle = 2 * max(a, Fraction(1)) if b == inf else (a + b) / 2
            boxes += [(a, middle), (middle, b)]
    raise Refused("not decided by 20000 boxes")
def check_fact(fact, names):
    """One fact, by its name."""
    (kind, x), = fact.items()
    def at(e, point=None):
        return evaluate(e, names if point is None else {**names, "x": (point, Fraction(1))})
    def rational(e):
        value = at(e)[0]
        need(isinstance(value, Fraction), "a rational number")
        return value
    if kind == "less":
        need(len(x) == 2 and positive(at(x[1])[0] - at(x[0])[0]), "less")
    elif kind == "equal":
        need(len(x) == 2 and rational(x[0]) == rational(x[1]), "equal")
    elif kind == "root":
        x = fields(x, "of between")
        a, b = map(rational, x.between)
        need(a < b, "a < b")
        sign = 1 if positive(at(x.of, enclose(b))[0]) else -1
        need(positive(sign * at(x.of, enclose(b))[0]) and positive(-sign * at(x.of, enclose(a))[0]), "opposite signs at the ends")
        everywhere(lambda t: (sign * at(x.of, t)[1], Interval(-inf, inf)), a, b)
    elif kind == "above":
        x = fields(x, "of on value")
        a, b = rational(x.on[0]), inf if x.on[1] == "inf" else rational(x.on[1])
        need(a <= b and len(x.on) == 2, "a <= b")
        value = at(x.value)[0]
        everywhere(lambda t: (at(x.of, t)[0] - value, at(x.of, t)[1]), a, b)
    elif kind == "positive definite":
        need(x and all(len(row) == len(x) for row in x) and x == columns(x), "a symmetric matrix")
        need(positive_definite([[at(e)[0] for e in row] for row in x]), "positive definite")
    else:
        raise Refused(f"no such fact: {kind}")
def show(e):
    """An expression in words."""
    if isinstance(e, str):
        return e
    op, *args = e
    return f"({f' {op} '.join(map(show, args))})" if len(args) > 1 else f"{op}({show(args[0])})"
def check_facts(document):
    """"root", "refutation" and "identity"."""
    x = fields({key: document[key] for key in document if key not in COMMON}, "where facts")
    size = max(map(len, re.findall(r"[0-9]+", json.dumps([x.where, x.facts]))), default=0)
    BITS.set(320 + 4 * min(size, 4000))
    names = {}
    for name, e in x.where:
        need(re.fullmatch(r"[A-Za-z_]\w*", name) and name != "x" and name not in names, f"a new name: {str(name)[:20]}")
        names[name] = evaluate(e, names)
    need(x.facts, "facts")
    for fact in x.facts:
        check_fact(fact, names)
    said = [f"{name} = {show(e)}" for name, e in x.where]
    return f"{'; '.join(f'{json.dumps(fact)}' for fact in x.facts)}" + f" where {', '.join(said)}" * bool(said)
def unique(pairs):
    """A JSON object without repeated keys."""
    need(len(dict(pairs)) == len(pairs), "a key is repeated")
    return dict(pairs)
def no_number(text):
    """Numbers are strings."""
    raise Refused(f"a number outside a string: {text[:40]}")
KINDS = {"sandwich": check_minimum, "profile": check_minimum} | dict.fromkeys(("root", "refutation", "identity"), check_facts)
def check(document):
    """The statement that a proof, a dict or the path of a file, proves.

    Raises:
      Refused: naming the first step that fails.
    """
    token = BITS.set(320)
    try:
        if not isinstance(document, dict):
            with open(document, encoding="utf-8") as file:
                hooks = dict.fromkeys(("parse_int", "parse_float", "parse_constant"), no_number)
                document = json.load(file, object_pairs_hook=unique, **hooks)
        need(document["format"] == "ufm-proof/1" and document["kind"] in KINDS, f"a kind among {', '.join(KINDS)}")
        return KINDS[document["kind"]](document)
    except Refused:
        raise
    except (ArithmeticError, AttributeError, LookupError, OSError, RecursionError, TypeError, ValueError) as error:
        raise Refused(f"malformed: {error!r}"[:200]) from error
    finally:
        BITS.reset(token)
def main(paths):
    """Check files, print what each proves; whether one fails."""
    failed = not paths
    for path in paths:
        try:
            print(f"{path}: verified: {check(path)}")
        except Refused as error:
            failed = True
            print(f"{path}: REFUSED: {error}")
    return int(failed)
if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
