"""Check a proof with the standard library alone: `python -S check_proof.py FILE ...` exits with 0 if all files are verified.

"sandwich": lower <= inf f <= upper, at multiplicities m_c, weights w_c, intercepts a_c, om_c = w_c m_c / N, z_c = s W h_c + a_c b,
  f(W, h, b) = sum_c om_c loss_c(z_c) + lW/2 |W|^2 + lH/2 sum_c m_c |h_c|^2 [+ lb/2 |b|^2]   (no lW where W is a fixed classifier),
  loss_c(z) = sum over parts of weight g(x; y_c) - log_classes log(rows), x = (z[first : first + rows] - shift_c) / T.
upper: f at the point. lower: as g(x) >= <t, x> - g*(t), at a dual point t_c = q_c - y_c and theta_c = sum of (weight/T) t_c,
  f >= sum_c om_c (sum of -weight g*(t_c) - log_classes log(rows) - <(weight/T) t_c, shift_c>) - bias - pull, where
  bias is |G_b|^2/(2 lb) (ridge) or G_b = 0 (free), G_b = sum_c om_c a_c theta_c, and pull, with u_c = s w_c theta_c / N, is
  sum_c m_c |p_c|^2/(2 lH), p_c = W'u_c, or max(0, -W'u_c) for h >= 0, if W is fixed, and 0 if it is trained, for every width, as
  lW lH I - sum_c m_c u_c u_c' > 0 (positive definite), or h >= 0 and lW lH diag(1/m_c) - [max(0, <u_c, u_d>)] > 0.
Fractions are exact, exp and log rounded to the safe side. The rest of the format is for check_more.py, if that is beside this file."""
import importlib
import json
import re
import sys
from contextvars import ContextVar
from fractions import Fraction
from functools import partial, reduce
from math import lcm, log2, prod

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
    bits, k = BITS.get(), max(0, n.bit_length() - BITS.get() + 16)
    if n < 0:
        return up if n <= -bits << bits else ratio(1 << 2 * bits, exp(-n, 1 - up), up)  # exp(-bits) < 2^-bits
    one = 1 << bits + 32 + k
    value = reduce(lambda r, j: one + ratio(r * (n << 32), j * one, up), range(bits // 16 + 2, 0, -1), one << up)
    return ratio(reduce(lambda x, _: ratio(x * x, one, up), range(k), value), one >> bits, up)
def log(n, up):  # of n units, rounded: 1 - 1/z <= log n - g <= z - 1 for z = n exp(-g), any g; Halley's steps find a good one
    need(n > 0, "log of a positive number")
    bits, one = BITS.get(), 1 << BITS.get()
    g = round((log2(n) - bits) * 0.6931471805599453 * 2**60) << bits >> 60
    for _ in range(1 + bits // 300):
        g += 2 * one * ((z := n * exp(-g, 0) >> bits) - one) // (z + one)
    z = ratio(n * exp(-g, up), one, up)
    return g + z - one if up else g + one - ratio(one * one, z, 1)
def log_sum_exp(xs):  # at least that
    top = max(tops := [ends(x)[1] for x in xs])
    return Fraction(log(sum(exp(n - top, 1) for n in tops), 1) + top, 1 << BITS.get())
def entropy(qs):  # at most sum of -q log q, for fractions from 0 to 1
    return Fraction(sum(-q.numerator * log(ends(q)[1], 1) // q.denominator for q in qs if 0 < q < 1), 1 << BITS.get())
def clip(x): return (x + abs(x)) / 2  # max(x, 0)
def squares(xs): return sum((x * x for x in xs), ZERO)
def dot(xs, ys): return sum((x * y for x, y in pairs(xs, ys) if y), ZERO)
def columns(rows): return [list(column) for column in pairs(*rows)]
def products(left, right):  # [[<u, v>]] of the rows u and v, by whole numbers over common denominators
    need(len({len(row) for row in (*left, *right)}) == 1, "matrices that fit")
    dens = [lcm(*(x.denominator for row in rows for x in row)) for rows in (left, right)]
    u, v = ([[x.numerator * (d // x.denominator) for x in row] for row in rows] for rows, d in pairs((left, right), dens))
    return [[Fraction(sum(map(int.__mul__, x, y)), prod(dens)) for y in v] for x in u]
def positive_definite(a):  # by pivots; what rounding down an entry, by less than a unit, changes is less than n units on the diagonal
    a = [[ends(x) for x in row] for row in a]
    a = [[x[0] for x in row[:i]] + [row[i][0] - sum(high - low for low, high in row)] for i, row in enumerate(a)]  # the lower triangle
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
                      lambda q, y: sum(a - a * a / 2 for a, b in pairs(q, y) if b != 1)),
}  # fmt: skip
def exact(x):  # what is in a file, with fractions for texts that are numbers, and with no other numbers
    if isinstance(x, list | dict):
        return [exact(y) for y in x] if isinstance(x, list) else {key: exact(y) for key, y in x.items()}
    need(x is None or isinstance(x, str | bool), "numbers as strings")
    if not isinstance(x, str) or not (match := NUMBER.fullmatch(x)):
        return x
    p, q, e = map(int, match.groups(default="0"))
    return Fraction(p << max(e, 0), (q or 1) << max(-e, 0))
class Part:  # of a loss; less: what is taken off it in every column, rounded down and up
    def __init__(self, C, atom, weight, temperature, first, Y, shift, divergence, log_classes):
        self.atom, (self.domain, self.g, self.minus_conjugate), rows, self.weight, self.T = atom, ATOMS[atom], Y["rows"], weight, temperature
        self.seen, self.shift = slice(int(first), int(first) + len(rows)), columns(shift or [[ZERO] * C] * len(rows))
        need(weight > 0 < temperature and min(first, log_classes) >= 0 == first % 1, "weight, temperature > 0, a row, log_classes >= 0")
        self.less = [[log_classes * Fraction(log(len(rows) << BITS.get(), up), 1 << BITS.get())] * C for up in (0, 1)]
        self.targets(divergence=divergence, **Y)
    def targets(self, kind, rows, divergence):
        self.y = columns(rows)
        need(kind == "rational" and divergence is False and all(map(self.domain, self.y, self.y)), f"targets of {self.atom}")
class Minimum:  # of a problem: bounds of inf f
    def __init__(self, parts, K, bias, features, m, a, w, N, scale, lW, lH, lb, classifier, beta, H0):
        self.bias, self.features, self.fixed, self.m, self.a, self.lb, self.s = bias, features, classifier, m, a, lb, scale
        self.ridges, self.K, self.om = [lH] if classifier else [lH, lW], int(K), [x * y / N for x, y in pairs(w, m)]
        self.beta, self.H0, self.sphere = beta, H0, features == "sphere"
        need(K == self.K and min(*m, N, scale, *(self.ridges * (not self.sphere))) > 0 <= min(*w, *self.ridges, beta), "numbers > 0")
        need(features in ("free", "nonnegative", "sphere") and (bias in ("none", "free") or bias == "ridge" and lb > 0), "features, a bias")
        self.share, self.parts = [scale * x / N for x in w], [self.Part(len(m), **part) for part in parts]
    Part = Part
    products = staticmethod(products)
    def upper(self, h, matrices, b):  # at least f; h by columns
        need(self.features != "nonnegative" or min(map(min, h)) >= 0, "features that are not negative")
        total = sum(r * squares(row) for r, W in zip(self.ridges[1:], matrices, strict=False) for row in W)
        total += self.ridges[0] * dot(map(squares, h), self.m) + (self.lb * squares(b) if self.bias == "ridge" else 0)
        logits = [[self.s * x + a * y for x, y in pairs(row, b)] for a, row in pairs(self.a, reduce(self.products, matrices, h))]
        return total / 2 + sum(om * (p.weight * p.g([(x - v) / p.T for x, v in pairs(z[p.seen], shift)], y) - less) for p in self.parts
                               for om, z, shift, y, less in pairs(self.om, logits, p.shift, p.y, p.less[0]))  # fmt: skip
    def lower(self, dual, square):  # at most inf f, where W is trained by |G|^2 < square
        theta, total = [[ZERO] * self.K for _ in self.m], ZERO
        for p, rows in pairs(self.parts, dual):
            for om, row, q, y, shift, less in pairs(self.om, theta, columns(rows), p.y, p.shift, p.less[1]):
                q = [u + v for u, v in pairs(q, y)] if p.atom == "squared hinge" else q  # its file has t
                need(p.domain(q, y), f"a dual point in the domain of {p.atom}")
                t = [p.weight / p.T * (u - v) for u, v in pairs(q, y)]
                total += om * (p.weight * p.minus_conjugate(q, y) - less - dot(t, shift))
                row[p.seen] = [u + v for u, v in pairs(row[p.seen], t)]
        G_b = [dot(row, map(Fraction.__mul__, self.om, self.a)) for row in columns(theta)]
        need(self.bias != "free" or not any(G_b), "the balance of a free bias")
        u = [[share * x for x in row] for share, row in pairs(self.share, theta)]
        return total - (squares(G_b) / (2 * self.lb) if self.bias == "ridge" else 0) - self.pull(u, square)
    def pull(self, u, square):  # at least what W and h gain from the u_c beyond their penalty
        if self.fixed:
            p = [[clip(-x) if self.features == "nonnegative" else x for x in row] for row in self.products(u, columns(self.fixed))]
            return dot(map(squares, p), self.m) / (2 * self.ridges[0])
        grams = [([1] * self.K, self.products(columns(u), [[m * x for m, x in pairs(self.m, row)] for row in columns(u)]))]
        if self.features == "nonnegative":
            grams.append(([1 / m for m in self.m], [[clip(x) for x in row] for row in self.products(u, u)]))
        grams = [[[d * (i == j) - x / square for j, x in enumerate(row)] for i, (d, row) in enumerate(pairs(*gram))] for gram in grams]
        need(any(map(positive_definite, grams)), "the norm of the dual point")
        return ZERO
    def sandwich(self, W, h, b, dual, norm, lower, upper):  # the statement
        need((W is None) == bool(self.fixed) and (b is None) == (self.bias == "none"), "a matrix and a bias where there are such")
        need(len(W or self.fixed) == self.K and (norm is None or norm > 0), "a matrix of K rows, a norm > 0")
        need((norm is None) == (not self.sphere or bool(self.fixed)), "a norm on the sphere if W is trained")
        need(ends(upper - self.upper(columns(h), [W or self.fixed], b or [ZERO] * self.K))[0] >= 0, "f at the point is at most upper")
        need(ends(self.lower(dual, norm or prod(self.ridges)) - lower)[0] >= 0, "lower is at most the bound of the dual point")
        return f"{between(lower, upper)}, {'d = ' if self.fixed else 'for every width, inf f <= upper from d = '}{len(h)} on; K = {self.K}, " \
            f"{len(self.m)} columns, loss {' + '.join(f'{p.weight} {p.atom}' for p in self.parts)}, bias {self.bias}, features {self.features}"
def between(lower, upper):
    places = 60 if lower == upper else max(2, len(str(int(1 / (upper - lower)))) + 1)
    n, m = (ratio(x.numerator * 10**places, x.denominator, up) for up, x in enumerate((lower, upper)))
    return " <= inf f <= ".join(f"{'-' * (x < 0)}{abs(x) // 10**places}.{abs(x) % 10**places:0{places}d}" for x in (n, m))
def prepare(proof):  # its numbers, and units that are fine enough
    proof = exact(proof)
    return BITS.set(256 + max(proof[end].denominator.bit_length() for end in ("lower", "upper"))) and proof
def unique(pairs): return need(len(dict(pairs)) == len(pairs), "no key twice") or dict(pairs)
def check(document):
    """The statement that a proof, a dict or the path of its file, proves, all of it recomputed; raises Refused at the step that fails."""
    try:
        if not isinstance(document, dict):
            with open(document, encoding="utf-8") as file:
                document = json.load(file, object_pairs_hook=unique)
        need(document["format"] == "ufm-proof/1", "a proof")
        kind, proof = document["kind"], {key: x for key, x in document.items() if key not in ("format", "kind", "statement", "made_by", "claim")}
        raw = proof.get("problem")
        sys.modules.setdefault("check_proof", sys.modules[__name__])
        if not raw:
            return importlib.import_module(f"{__package__}.check_facts" if __package__ else "check_facts").check_facts(kind, **proof)
        if kind != "sandwich" or raw["features"] == "sphere" or raw["H0"] or any(p["divergence"] or p["Y"]["kind"] != "rational" for p in raw["parts"]):
            return importlib.import_module(f"{__package__}.check_more" if __package__ else "check_more").check_more(kind, proof)
        proof = prepare(proof)
        return Minimum(**proof.pop("problem")).sandwich(**proof)
    except Refused:
        raise
    except ImportError as error:
        raise Refused("this kind is checked by check_more.py") from error
    except (ArithmeticError, AttributeError, LookupError, OSError, RecursionError, TypeError, ValueError) as error:
        raise Refused(f"a file in order: {error!r:.150}") from error
if __name__ == "__main__":
    for path in sys.argv[1:] or sys.exit(__doc__):
        try:
            print(f"{path}: verified: {check(path)}")
        except Refused as error:
            sys.exit(f"{path}: REFUSED, this fails: {error}")
