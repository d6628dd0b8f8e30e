"""Bounds of minima that `check_proof.py` hands over: other features and targets, a fixed classifier, a proximity, several layers.

In "sandwich", weight Ent y_c may come off loss_c (divergence), y_c may be softmax or sigmoid of a teacher's logits, f may have a
proximity beta/2 sum_c |sqrt(m_c) h_c - H0_c|^2, which the lower bound drops. With u_c = s w_c theta_c / N the lower bound is less
  sum_c m_c |p_c|^2/(2 lH), p_c = W'u_c, or max(0, -W'u_c) for h >= 0, where W is fixed (f then has no term of lW);
  nothing where W is trained, h >= 0 and lW lH diag(1/m_c) - [max(0, <u_c, u_d>)] > 0, or the condition of free features holds;
  sum_c m_c |W'u_c|, or sqrt(norm K sum m) for norm I - sum_c m_c u_c u_c' > 0, on the sphere: there h_c and the rows of a trained W
  are divided by their norms, and ridges are constants.
"profile": f of M >= 2 layers, L = M + 1 ridges l of product >= c^L. Slope j: the bound at lW lH = c_j^2 is at least lower_j, so
  f >= min over x = |W_M ... W_1 H|_* >= 0 of max(inf data, max_j lower_j - c_j x) + L/2 c x^(2/L), concave between crossings.
"""
from collections import namedtuple
from fractions import Fraction
from math import inf, isqrt, prod

if __package__:
    from . import check_proof as base
    from .check_proof import BITS, ZERO, Minimum, clip, columns, dot, ends, need, pairs, products, squares
else:
    import check_proof as base  # type: ignore[no-redef]
    from check_proof import BITS, ZERO, Minimum, clip, columns, dot, ends, need, pairs, products, squares  # type: ignore[no-redef]

class Interval(namedtuple("Interval", "lo hi")):  # of units; -inf, inf where there is no end; every operation rounds outwards
    def __add__(self, x): return Interval(self.lo + (x := enclose(x)).lo, self.hi + x.hi)
    def __neg__(self): return Interval(-self.hi, -self.lo)
    def __sub__(self, x): return self + -x
    def __rsub__(self, x): return -self + x
    def __mul__(self, x):
        low, *_, high = sorted(a * b if a and b else 0 for b in enclose(x) for a in self)
        return Interval(low if low == -inf else low >> BITS.get(), high if high == inf else -(-high >> BITS.get()))
    def __rtruediv__(self, x):
        need(self.lo > 0 or self.hi < 0, "division by an interval that holds 0")
        (near, far), square = sorted(map(abs, self)), 1 << 2 * BITS.get()
        return x * Interval(0 if far == inf else square // far, -(-square // near)) * (1 if self.lo > 0 else -1)
    def __truediv__(self, x): return self * (Fraction(1) / x)
    def __abs__(self): return self if self.lo >= 0 else -self if self.hi <= 0 else Interval(0, max(-self.lo, self.hi))
    __radd__, __rmul__ = __add__, __mul__
    numerator, denominator = property(lambda self: self), 1  # as of a fraction, in products of matrices
def enclose(x): return Interval(*ends(x))
def exp_end(n, up):  # of n units, rounded
    need(n < 10**5 << BITS.get(), "exp of less than 10^5")
    return base.exp(n, up)
def log_end(n, up):
    need(n > 0, "log of a positive number")  # log n = k log 2 - log(2^k / n)
    one, k = 1 << BITS.get(), max(0, n.bit_length() - BITS.get())
    return base.log(n) if up else -k * base.log(one >> 1) - base.log(base.ratio(one * one << k, n, 1))
def sqrt_end(n, up):
    need(n >= 0, "sqrt of an interval that reaches below 0")
    return isqrt((n << BITS.get()) - 1) + 1 if up and n else isqrt(n << BITS.get())
def image(end, x):  # of an interval under an increasing function without limit
    return Interval(end(enclose(x).lo, 0), inf if enclose(x).hi == inf else end(enclose(x).hi, 1))
def exp(x): return image(exp_end, x)
def log(x): return image(log_end, x)
def sqrt(x): return image(sqrt_end, x)
def norm(xs): return sqrt(squares(map(abs, xs)))

class Wide(Minimum):
    def __init__(self, **raw):
        super().__init__(**raw)
        self.features, self.fixed, self.beta, self.H0 = self.rest
        self.ridges = self.ridges if self.fixed is None else self.ridges[:1]
        need(self.features in ("free", "nonnegative", "sphere") and min(self.ridges) >= 0, "features that exist, ridges >= 0")
        need(self.features == "sphere" or min(self.ridges) > 0, "ridges > 0")
        need(self.beta >= 0 and (self.H0 is not None or self.beta == 0), "a proximity to a centre")
    def part(self, Y, divergence, **raw):  # type: ignore[override]
        kind, rows, C = Y["kind"], Y["rows"], len(self.m)
        stand_in = {**Y, "kind": "rational", "rows": [[1] * C] + [[0] * C] * (len(rows) - 1)}
        p = super().part(Y=Y if kind == "rational" else stand_in, divergence=False, **raw)
        need(kind == "rational" or (kind, p.atom) in (("softmax", "ce"), ("sigmoid", "logistic")), "targets that the atom has")
        if kind == "softmax":
            p.y = [[exp(a - max(r)) / sum(exp(b - max(r)) for b in r) for a in r] for r in columns(rows)]
        elif kind == "sigmoid":
            p.y = [[1 / (1 + exp(-a)) for a in r] for r in columns(rows)]
        need(divergence is False or divergence is True and p.atom in ("ce", "logistic"), "divergence: true or false")
        sides = {"ce": p.y, "logistic": [[*y, *(1 - a for a in y)] for y in p.y]}.get(p.atom, [[ZERO]] * C)
        entropies = [enclose(-sum((a * log(a) for a in y if a not in (0, 1)), ZERO)) for y in sides]
        entropies = [[Fraction(n, 1 << BITS.get()) for n in e] for e in entropies]
        p.least = [low for low, _ in entropies]  # inf g is Ent y, and 0 for squares
        if divergence:
            p.less = [[x + p.weight * e for x, e in pairs(*both)] for both in pairs(p.less, entropies)]
        return p
    def unit(self, h, matrices):  # on the sphere
        if self.features != "sphere":
            return h, matrices
        h, *trained = ([[x / norm(row) for x in row] for row in rows] for rows in (h, *matrices[: len(self.ridges) - 1]))
        return h, trained + matrices[len(trained) :]
    def penalty(self, h, matrices):
        need(self.features != "nonnegative" or min(map(min, h)) >= 0, "features that are not negative")
        centres = pairs(self.m, h, columns(self.H0)) if self.H0 is not None else []
        near = sum((squares(sqrt(m) * x - y for x, y in pairs(row, centre)) for m, row, centre in centres), ZERO)
        return super().penalty(h, matrices[: len(self.ridges) - 1]) + near * (self.beta / 2)
    def pull(self, u, square):
        constant = (self.ridges[0] * sum(self.m) + sum(self.ridges[1:]) * self.K) / 2  # of the sphere
        if self.fixed is not None:
            p = products(u, columns(self.fixed))
            if self.features == "sphere":
                return dot(map(norm, p), self.m) - constant
            p = [[clip(-x) for x in row] for row in p] if self.features == "nonnegative" else p
            return dot(map(squares, p), self.m) / (2 * self.ridges[0])
        if self.features == "nonnegative":
            gram = [[clip(x) / -square for x in row] for row in products(u, u)]
            gram = [[x + (i == j) / self.m[i] for j, x in enumerate(row)] for i, row in enumerate(gram)]
            return ZERO if base.positive_definite(gram) else super().pull(u, square)
        super().pull(u, square)
        return sqrt(square * self.K * sum(self.m)) - constant if self.features == "sphere" else ZERO
    def sandwich(self, W, h, b, dual, norm, lower, upper):
        need((W is None) == (self.fixed is not None), "W unless it is fixed")
        need((norm is None) == (self.features != "sphere" or W is None) and (norm is None or norm > 0), "a norm > 0 on the sphere")
        need(len(W or self.fixed) == self.K, "W of K rows")
        h, matrices = self.unit(columns(h), [W or self.fixed])
        width = f"width {len(h[0])}" + ", lower any" * (W is not None)
        return self.statement(lower, upper, self.bounds(h, matrices, b, dual, norm or prod(self.ridges)), width)
    def profile(self, W, h, b, c, slopes, lower, upper):
        L, x, least = len(self.ridges), ZERO, inf
        need(len(W) == L - 1 > 1 and len(W[-1]) == self.K, "a matrix for every ridge")
        need(0 < c and c**L <= prod(self.ridges), "c^L is at most the product of the ridges")
        need(min(self.ridges) > 0 and self.features == "free" and self.fixed is None is self.H0, "free features, trained layers")
        data = sum(om * (p.weight * e - high) for p in self.parts for om, e, (_, high) in pairs(self.om, p.least, p.less))
        value, lines = inf, [(data, ZERO)]
        for slope in slopes:
            need({*slope} == {"c", "dual", "lower"} and slope["c"] > 0, "a slope c > 0")
            value, bound = self.bounds(columns(h), W, b, slope["dual"], slope["c"] ** 2)
            need(ends(bound - slope["lower"])[0] >= 0, "the bound of a slope")
            lines.append((slope["lower"], slope["c"]))
        height, slope = max(lines, key=lambda line: (line[0], -line[1]))
        while True:
            penalty = exp(log(x) * Fraction(2, L)) if ends(x)[0] else ZERO  # x^(2/L) >= 0 where x is less than a unit
            least = min(least, enclose(height - slope * x + L * c / 2 * penalty).lo)
            if not slope:
                return self.statement(lower, upper, (value, Interval(least, inf)), f"layers {L - 1}, width {len(h)}, lower any")
            x, slope, height = min(((height - other) / (slope - flat), flat, other) for other, flat in lines if flat < slope)
def verify(kind, problem, **proof):  # the statement
    if kind == "sandwich":
        return Wide(**problem).sandwich(**proof)
    need(kind == "profile" and "lW" not in problem and "lH" not in problem, "a sandwich or a profile")
    ridges = problem["l"]
    rest = {"features": "free", "classifier": None, "beta": ZERO, "H0": None, "lW": ridges[0], "lH": ridges[0]}
    several = Wide(**rest | {key: x for key, x in problem.items() if key != "l"})
    several.ridges = ridges
    return several.profile(**proof)
