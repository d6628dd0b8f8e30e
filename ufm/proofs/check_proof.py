"""Check a proof with the standard library alone: `python -S check_proof.py FILE ...` exits with 0 if all files are verified.

"sandwich": lower <= inf f <= upper, at multiplicities m_c, weights w_c, intercepts a_c, om_c = w_c m_c / N, z_c = s W h_c + a_c b,
  f(W, h, b) = sum_c om_c loss_c(z_c) + lW/2 |W|^2 + lH/2 sum_c m_c |h_c|^2 [+ lb/2 |b|^2 if the bias has a ridge],
  loss_c(z) = sum over parts of weight g(x; y_c) - log_classes log(rows), x = (z[first : first + rows] - shift_c) / T.
upper is at least f at the point. lower: g(x) >= <t, x> - g*(t); at t_c = q_c - y_c, theta_c = sum of (weight/T) t_c, for any width
  f >= sum_c om_c (sum of -weight g*(t_c) - log_classes log(rows) - <(weight/T) t_c, shift_c>) [- |G_b|^2/(2 lb)], where
  u_c = s w_c theta_c / N, lW lH I - sum_c m_c u_c u_c' > 0 (positive definite), G_b = sum_c om_c a_c theta_c (free bias: G_b = 0).
Fractions are exact; exp and log are rounded to the safe side. Whatever else there is, check_more.py and check_facts.py check."""
import importlib
import json
import re
import sys
from contextvars import ContextVar
from fractions import Fraction
from functools import partial, reduce
from math import lcm, log2, prod
from types import SimpleNamespace

BITS, ZERO, pairs = ContextVar("BITS", default=320), Fraction(0), partial(zip, strict=True)  # a unit is 2^-BITS
NUMBER = re.compile(r"(-?[0-9]{1,4000})(?:/([1-9][0-9]{0,3999})|\*2\^(-?[0-9]{1,4}))?")
class Refused(ValueError):
    """The first step of a proof that fails."""
def need(holds, step):  # None if it holds
    if not holds:
        raise Refused(step)
def ratio(p, q, up): return -(-p // q) if up else p // q  # the whole number next to p/q, q > 0, above or below
def ends(x):  # the whole numbers of units around a fraction; a pair of them as it is
    return x if isinstance(x, tuple) else tuple(ratio(x.numerator << BITS.get(), x.denominator, up) for up in (0, 1))
def exp(n, up):  # of n units, rounded: 1 + t/1 (1 + t/2 (1 + ... t/j r)), 1 <= r <= 2, t = n units / 2^k < 2^-16, squared k times
    if n < 0:  # exp(-bits) < 2^-bits
        return up if n <= -BITS.get() << BITS.get() else ratio(1 << 2 * BITS.get(), exp(-n, 1 - up), up)
    one = 1 << BITS.get() + 32 + (k := max(0, n.bit_length() - BITS.get() + 16))
    value = reduce(lambda r, j: one + ratio(r * (n << 32), j * one, up), range(BITS.get() // 16 + 2, 0, -1), one << up)
    return ratio(reduce(lambda x, _: ratio(x * x, one, up), range(k), value), one >> BITS.get(), up)
def log(n):  # of n units, at least: log n - g <= z - 1 for z = n exp(-g), any g; a float and Halley steps find a good one
    one, g = 1 << BITS.get(), round((log2(n) - BITS.get()) * 0.6931471805599453 * 2**60) << BITS.get() >> 60
    for _ in range(BITS.get().bit_length() - 7):
        g += 2 * one * ((z := n * exp(-g, 0) // one) - one) // (z + one)
    return g + ratio(n * exp(-g, 1), one, 1) - one
def log_sum_exp(xs):  # at least that
    top = max(tops := [ends(x)[1] for x in xs])
    return Fraction(log(sum(exp(n - top, 1) for n in tops)) + top, 1 << BITS.get())
def entropy(qs):  # at most sum of -q log q, for fractions from 0 to 1
    return Fraction(sum(-q.numerator * log(ends(q)[1]) // q.denominator for q in qs if 0 < q < 1), 1 << BITS.get())
def clip(x): return (x + abs(x)) / 2  # max(x, 0)
def squares(xs): return sum((x * x for x in xs), ZERO)
def dot(xs, ys): return sum((x * y for x, y in pairs(xs, ys) if y), ZERO)
def columns(rows): return [list(column) for column in pairs(*rows)]
def products(left, right):  # [[<u, v>]] of rows u and v, by whole numbers over common denominators
    dens = [lcm(*(x.denominator for row in rows for x in row)) for rows in (left, right)]
    u, v = ([[x.numerator * (d // x.denominator) for x in row] for row in rows] for rows, d in pairs((left, right), dens))
    return [[sum(a * b for a, b in pairs(x, y)) / Fraction(prod(dens)) for y in v] for x in u]
def positive_definite(a):  # by pivots; an entry rounded by less than a unit costs less than n units of the diagonal do
    width = [sum(ends(x)[1] - ends(x)[0] for x in row) for row in a]
    a = [[ends(x)[0] - width[i] * (i == j) for j, x in enumerate(row[: i + 1])] for i, row in enumerate(a)]
    while a and a[0][0] > 0:
        (pivot,), *a = a
        a = [[x - row[0] * a[j][0] // pivot - len(a) * (i == j) for j, x in enumerate(row[1:])] for i, row in enumerate(a)]
    return not a
ATOMS: dict = {  # is q = y + t in the domain (y: are targets); at least g(x; y); at most -g*(t) at q
    "mse": (lambda q, y: True, lambda x, y: squares(a - b for a, b in pairs(x, y)) / 2, lambda q, y: (squares(y) - squares(q)) / 2),
    "ce": (lambda q, y: min(q) >= 0 and sum(q) == 1, lambda x, y: log_sum_exp(x) - dot(x, y), lambda q, y: entropy(q)),
    "logistic": (lambda q, y: min(q) >= 0 and max(q) <= 1, lambda x, y: sum(log_sum_exp([a, ZERO]) for a in x) - dot(x, y),
                 lambda q, y: entropy([*q, *(1 - a for a in q)])),
    "squared hinge": (lambda q, y: max(y) == 1 == sum(q) and all(a >= 0 for a, b in pairs(q, y) if b != 1),
                      lambda x, y: squares(clip(1 + a - dot(x, y)) for a, b in pairs(x, y) if b != 1) / 2,
                      lambda q, y: sum(a - a * a / 2 for a, b in pairs(q, y) if b != 1))}
def exact(x):  # what is in a file, with fractions for texts that are numbers, and with no other numbers
    if isinstance(x, list | dict):
        return [exact(y) for y in x] if isinstance(x, list) else {k: y if k == "divergence" else exact(y) for k, y in x.items()}
    if not isinstance(x, str) or not (match := NUMBER.fullmatch(x)):
        return need(x is None or isinstance(x, str), "numbers as strings") or x
    p, q, e = map(int, match.groups(default="0"))
    return Fraction(p << max(e, 0), (q or 1) << max(-e, 0))
class Minimum:  # bounds of f; its methods are what check_more.py changes
    def __init__(self, parts, K, bias, features, m, a, w, N, scale, lW, lH, lb, classifier, beta, H0):
        self.K, self.m, self.a, self.s, self.bias, self.lb, self.ridges = int(K), m, a, scale, bias, lb, [lH, lW]
        need(K == self.K and min(*m, N, scale) > 0 <= min(w), "a whole K, m, N, scale > 0, w >= 0")
        need(bias in ("none", "free") or bias == "ridge" and lb > 0, "a bias")
        self.om, self.share = [x * y / N for x, y in pairs(w, m)], [scale * x / N for x in w]
        self.parts, self.rest = [self.part(**part) for part in parts], (features, classifier, beta, H0)
    def part(self, atom, weight, temperature, first, Y, shift, divergence, log_classes):  # of the loss
        n, one, y, C = len(Y["rows"]), 1 << BITS.get(), columns(Y["rows"]), len(self.m)
        need(weight > 0 < temperature and min(first, log_classes) >= 0 == first % 1 and divergence is False, "a part in order")
        need(all(map(ATOMS[atom][0], y, y)) and Y == {"kind": "rational", "rows": Y["rows"]}, f"targets of {atom}")
        less = [(log_classes * Fraction(-log(ratio(one, n, 1)), one), log_classes * Fraction(log(n * one), one))] * C
        shift, seen = columns([[ZERO] * C] * n if shift is None else shift), slice(int(first), int(first) + n)
        return SimpleNamespace(atom=atom, weight=weight, T=temperature, seen=seen, y=y, shift=shift, less=less)
    def penalty(self, h, matrices):
        return (self.ridges[0] * dot(map(squares, h), self.m) + dot(self.ridges[1:], [squares(sum(W, [])) for W in matrices])) / 2
    def pull(self, u, square):  # at least what W and h gain from the u_c beyond their penalty
        gram = products(columns(u), [[-m / square * x for m, x in pairs(self.m, row)] for row in columns(u)])
        gram = [[x + (i == j) for j, x in enumerate(row)] for i, row in enumerate(gram)]
        return need(positive_definite(gram), "the norm of the dual point") or ZERO
    def bounds(self, h, matrices, b, dual, square):  # at least f, h by columns; at most inf f, if sum_c m_c u_c u_c' < square
        upper, lower, theta = self.penalty(h, matrices), ZERO, [[ZERO] * self.K for _ in self.m]
        b = need((b is None) == (self.bias == "none"), "a bias where there is one") or b or [ZERO] * self.K * (b is None)
        logits = [[self.s * x + a * y for x, y in pairs(row, b)] for a, row in pairs(self.a, reduce(products, matrices, h))]
        for p, rows in pairs(self.parts, dual):
            domain, g, minus_conjugate = ATOMS[p.atom]
            for om, z, row, q, y, shift, (low, high) in pairs(self.om, logits, theta, columns(rows), p.y, p.shift, p.less):
                upper += om * (p.weight * g([(x - v) / p.T for x, v in pairs(z[p.seen], shift)], y) - low)
                q = [u + v for u, v in pairs(q, y)] if p.atom == "squared hinge" else q  # its file has t
                need(domain(q, y), f"a dual point in the domain of {p.atom}")
                t = [p.weight / p.T * (u - v) for u, v in pairs(q, y)]
                lower += om * (p.weight * minus_conjugate(q, y) - high - dot(t, shift))
                row[p.seen] = [u + v for u, v in pairs(row[p.seen], t)]
        G_b = [dot(row, [om * a for om, a in pairs(self.om, self.a)]) for row in columns(theta)]
        need(self.bias != "free" or not any(G_b), "the balance of a free bias")
        more, cost = (self.lb / 2 * squares(b), squares(G_b) / (2 * self.lb)) if self.bias == "ridge" else (ZERO, ZERO)
        return upper + more, lower - cost - self.pull([[x * y for y in row] for x, row in pairs(self.share, theta)], square)
    def sandwich(self, W, h, b, dual, norm, lower, upper):
        need(min(self.ridges) > 0 and norm is None and len(W) == self.K, "ridges > 0, W of K rows")
        return self.statement(lower, upper, self.bounds(columns(h), [W], b, dual, prod(self.ridges)), f"width {len(h)}, lower any")
    def statement(self, lower, upper, found, width):
        need(ends(upper - found[0])[0] >= 0, "f at the point is at most upper")
        need(ends(found[1] - lower)[0] >= 0, "lower is at most the bound of the dual point")
        places = 60 if lower == upper else len(str(int(1 / (upper - lower)))) + 1
        n, m = (ratio(x.numerator * 10**places, x.denominator, up) for up, x in enumerate((lower, upper)))
        n, m = (f"{'-' * (x < 0)}{abs(x) // 10**places}.{abs(x) % 10**places:0{places}d}" for x in (n, m))
        loss = " + ".join(f"{p.weight} {p.atom}" for p in self.parts)
        return f"{n} <= inf f <= {m}, {width}, K = {self.K}, {len(self.m)} columns, {loss}, bias {self.bias}, {self.rest[0]} h"
def check(document):
    """The statement that a proof (a dict or the path of a file) proves, recomputed; raises Refused, a ValueError, at a failure."""
    try:
        if not isinstance(document, dict):
            with open(document, encoding="utf-8") as file:
                document = json.load(file, object_pairs_hook=lambda p: need(len(dict(p)) == len(p), "no key twice") or dict(p))
        kind, name = need(document["format"] == "ufm-proof/1", "a proof") or document["kind"], "check_facts"
        proof = {key: x for key, x in document.items() if key not in ("format", "kind", "statement", "made_by", "claim")}
        if kind in ("sandwich", "profile"):
            p, proof = exact(proof.pop("problem")), exact(proof)
            BITS.set(256 + max(proof[end].denominator.bit_length() for end in ("lower", "upper")))
            plain = all(part["Y"]["kind"] == "rational" and not part["divergence"] for part in p["parts"])
            if kind == "sandwich" and plain and p["features"] == "free" and p["classifier"] is p["H0"] is None and p["beta"] == 0:
                return f"{kind}: {Minimum(**p).sandwich(**proof)}"
            name, proof["problem"] = "check_more", p
        sys.modules.setdefault("check_proof", sys.modules[__name__])
        beside = importlib.import_module(f"{__package__}.{name}" if __package__ else name)
        return f"{kind}: {beside.verify(kind, **proof)}"
    except (ArithmeticError, AttributeError, ImportError, LookupError, OSError, RecursionError, TypeError, ValueError) as error:
        step = f"this kind is checked by {name}.py" if isinstance(error, ImportError) else f"a file in order: {error!r:.150}"
        raise (error if isinstance(error, Refused) else Refused(step)) from None
if __name__ == "__main__":
    for path in sys.argv[1:] or sys.exit(__doc__):
        try:
            print(f"{path}: verified: {check(path)}")
        except Refused as error:
            sys.exit(f"{path}: REFUSED, this fails: {error}")
