"""What `check_proof.py` hands over: teachers' targets, features on the sphere, a proximity, and several layers.

In "sandwich", loss_c may take off weight Ent y_c (divergence), y_c may be softmax or sigmoid of a teacher's logits, and f may have a
proximity beta/2 sum_c |sqrt(m_c) h_c - H0_c|^2, which the lower bound drops. On the sphere h_c and the rows of a trained W are divided
by their norms, ridges are constants, and pull is sum_c m_c |W'u_c|, or sqrt(norm K sum m) for norm I - sum_c m_c u_c u_c' > 0.
"profile": f of M >= 2 layers, L = M + 1 ridges l of product >= c^L. Slope j: the bound at lW lH = c_j^2 is at least lower_j, so
  f >= min over x = |W_M ... W_1 H|_* >= 0 of max(inf data, max_j lower_j - c_j x) + L/2 c x^(2/L), concave between crossings of lines.
"""
from collections import namedtuple
from fractions import Fraction
from math import inf, isqrt, prod

if __package__:
    from .check_proof import BITS, ZERO, Minimum, Part, between, columns, dot, ends, exact, need, pairs, prepare, squares
    from .check_proof import exp as exp_end
    from .check_proof import log as log_end
else:
    from check_proof import BITS, ZERO, Minimum, Part, between, columns, dot, ends, exact, need, pairs, prepare, squares
    from check_proof import exp as exp_end
    from check_proof import log as log_end

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
def enclose(x): return Interval(*ends(x))
def image(end):  # of an interval under an increasing function without limit, by end(n, up)
    return lambda x: Interval(end(enclose(x).lo, 0), inf if enclose(x).hi == inf else end(enclose(x).hi, 1))
def sqrt_end(n, up):
    need(n >= 0, "sqrt of an interval that reaches below 0")
    return isqrt((n << BITS.get()) - 1) + 1 if up and n else isqrt(n << BITS.get())
exp = image(lambda n, up: need(n < 10**5 << BITS.get(), "exp of less than 10^5") or exp_end(n, up))
log, sqrt = image(log_end), image(sqrt_end)

class Taught(Part):
    def targets(self, kind, rows, divergence):
        self.y = columns(rows)
        if kind == "softmax" and self.atom == "ce":
            self.y = [[exp(a - max(r)) / sum(exp(b - max(r)) for b in r) for a in r] for r in self.y]
        elif kind == "sigmoid" and self.atom == "logistic":
            self.y = [[1 / (1 + exp(-a)) for a in r] for r in self.y]
        else:
            super().targets(kind, rows, False)
        need(divergence is False or divergence is True and self.atom in ("ce", "logistic"), "divergence: true or false")
        alone = self.atom == "ce"
        entropies = [-sum(a * log(a) for b in y for a in ([b] if alone else [b, 1 - b]) if a not in (0, 1)) + enclose(ZERO) for y in self.y]
        entropies = [[Fraction(e[up], 1 << BITS.get()) for e in entropies] for up in (0, 1)]
        self.least = entropies[0] if self.atom in ("ce", "logistic") else [ZERO] * len(self.y)
        if divergence:
            self.less = [[x + self.weight * e for x, e in pairs(*both)] for both in pairs(self.less, entropies)]
class Wide(Minimum):
    Part = Taught
    products = staticmethod(lambda left, right: [[dot(u, v) for v in right] for u in left])
    def upper(self, h, matrices, b):
        if self.sphere:
            h, *trained = ([[x / sqrt(squares(row)) for x in row] for row in rows] for rows in (h, *matrices))
            matrices = matrices if self.fixed else trained
        near = [sqrt(m) * x - y for m, row, centre in pairs(self.m, h, columns(self.H0)) for x, y in pairs(row, centre)] if self.H0 else []
        return super().upper(h, matrices, b) + self.beta / 2 * squares(near)
    def pull(self, u, square):
        if not self.sphere:
            return super().pull(u, square)
        constant = (self.ridges[0] * sum(self.m) + sum(self.ridges[1:]) * self.K) / 2
        if self.fixed:
            rows = self.products(u, columns(self.fixed))
            return sum(m * sqrt(squares(map(abs, x))) for m, x in pairs(self.m, rows)) - constant
        return super().pull(u, square) + sqrt(square * self.K * sum(self.m)) - constant
    def profile(self, W, h, b, c, slopes, lower, upper):
        need(len(W) == len(self.ridges) - 1 > 1 and len(W[-1]) == self.K and (b is None) == (self.bias == "none"), "a matrix for every ridge")
        need(ends(upper - self.upper(columns(h), W, b or [ZERO] * self.K))[0] >= 0, "f at the point is at most upper")
        L, x, least = len(self.ridges), ZERO, inf
        need(0 < c and c**L <= prod(self.ridges), "c^L is at most the product of the ridges")
        lines = [(sum(om * (p.weight * e - d) for p in self.parts for om, e, d in pairs(self.om, p.least, p.less[1])), ZERO)]
        for slope in slopes:
            need(len(slope) == 3 and slope["c"] > 0, "a slope c > 0")
            need(ends(self.lower(slope["dual"], slope["c"] ** 2) - slope["lower"])[0] >= 0, "the bound of a slope")
            lines.append((slope["lower"], slope["c"]))
        height, slope = max(lines, key=lambda line: (line[0], -line[1]))
        while True:
            penalty = exp(log(x) * Fraction(2, L)) if ends(x)[0] else ZERO  # x^(2/L) >= 0 where x is less than a unit
            least = min(least, enclose(height - slope * x + L * c / 2 * penalty).lo)
            if not slope:
                break
            x, slope, height = min(((height - other) / (slope - flat), flat, other) for other, flat in lines if flat < slope)
        need(least >= enclose(lower).hi, "lower is at most the bound of the slopes")
        return f"{between(lower, upper)}, for every width; M = {L - 1} layers"
def check_more(kind, proof):  # the statement
    proof = prepare(proof)
    raw = proof.pop("problem")
    if kind == "sandwich":
        return Wide(**raw).sandwich(**proof)
    need(kind == "profile" and raw.get("features", "free") == "free" and not raw.get("classifier") and not raw.get("H0"), f"no {kind} of that")
    ridges = raw.pop("l")
    raw = {"features": "free", "classifier": None, "beta": ZERO, "H0": None} | raw | {"lW": ridges[0], "lH": ridges[0]}
    problem = Wide(**raw)
    problem.ridges = ridges
    return problem.profile(**proof)
