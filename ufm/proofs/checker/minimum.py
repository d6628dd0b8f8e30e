"""Bounds of a global minimum: what proofs of the kinds "sandwich" and "profile" say.

"sandwich": lower <= inf f <= upper. At multiplicities m_c, weights w_c, intercepts a_c, om_c = w_c m_c / N, z_c = s W h_c + a_c b:
  f(W, h, b) = sum_c om_c loss_c(z_c) + lW/2 |W|^2 + lH/2 sum_c m_c |h_c|^2 [+ lb/2 |b|^2] + beta/2 sum_c |sqrt(m_c) h_c - H0_c|^2,
  loss_c(z) = sum over parts of weight (g(x; y_c) [- Ent y_c]) - log_classes log(rows), x = (z[first : first + rows] - shift_c) / T.
upper: f at the point. lower: as g(x) >= <t, x> - g*(t), for t_c in the domain of g* and theta_c = sum over parts of (weight/T) t_c
  f >= sum_c om_c sum over parts of (weight (-g*(t_c) [- Ent y_c]) - log_classes log(rows) - weight/T <t_c, shift_c>) - bias - pull.
  bias: G_b = sum_c om_c a_c theta_c is 0 (free), or costs |G_b|^2/(2 lb) (ridge). pull, G_c = s w_c sqrt(m_c) theta_c / N:
  W trained: 0 if lW lH I - G G' > 0, or if h >= 0 and lW lH diag(1/m) - [max(0, <theta_c, theta_d>) w_c w_d s^2/N^2] > 0;
  W fixed: sum_c (s w_c/N)^2 m_c |p_c|^2 / (2 lH) for p_c = W'theta_c, max(0, -W'theta_c) if h >= 0. Sphere (h_c and trained rows of
  W are divided by their norms, ridges are constants): sum_c s om_c |W'theta_c|, or sqrt(norm K sum m) if norm I - G G' > 0.
  No width enters the lower bound. The proximity is dropped in it.
"profile": f of M >= 2 layers, L = M + 1 ridges of product >= c^L. Slope j proves f_j <= data + bias + c_j x, x = |W_M .. W_1 H|_*:
  f >= min over x >= 0 of max(inf data, max_j f_j - c_j x) + L/2 c x^(2/L), which is concave between two crossings of the lines.
"""

from fractions import Fraction
from functools import reduce
from math import inf, prod

from .numbers import (
    BITS,
    HALF,
    ZERO,
    Interval,
    clip,
    columns,
    dot,
    enclose,
    exp,
    fields,
    log,
    need,
    number,
    pairs,
    positive_definite,
    products,
    ratio,
    sqrt,
    squares,
    table,
)
from .problem import read_problem


def lower_bound(p, dual, square):
    """The bound at a dual point, where |G|^2 < square if W is trained."""
    theta, total = [[ZERO] * p.C for _ in range(p.K)], ZERO
    for part, rows in pairs(p.parts, dual):
        for c, (q, y) in enumerate(pairs(columns(table(rows, len(part.y[0]), p.C)), part.y)):
            q = [a + b for a, b in pairs(q, y)] if part.atom == "squared hinge" else q  # its file has t
            need(part.domain(q, y), f"a dual point in the domain of {part.atom}")
            t = [part.weight / part.T * (a - b) for a, b in pairs(q, y)]
            total += p.om[c] * (part.weight * part.minus_conjugate(q, y) - part.less[c] - dot(t, part.shift[c]))
            for k, x in enumerate(t, part.seen.start):
                theta[k][c] += x
    G_b = [dot(row, map(Fraction.__mul__, p.om, p.a)) for row in theta]
    need(p.bias != "free" or all(isinstance(x, Fraction) and x == 0 for x in G_b), "the balance of a free bias")
    if p.sphere:
        total += HALF * (p.ridges[0] * sum(p.m) + sum(p.ridges[1:]) * p.K)
    return enclose(total) - (squares(G_b) * (1 / (2 * p.lb)) if p.bias == "ridge" else ZERO) - pull(p, theta, square)
def pull(p, theta, square):
    """At most what W and h gain from G beyond their penalty."""
    share, by_column = [p.s * w / p.N for w in p.w], columns(theta)
    if p.fixed:
        sizes = [squares(clip(-x) if p.orthant else x for x in row) for row in products(by_column, columns(p.fixed))]
        return sum(m * a * sqrt(x) if p.sphere else m * a * a / (2 * p.ridges[0]) * x for m, a, x in pairs(p.m, share, sizes))
    gram = products(theta, [[a * a * m / square * x for a, m, x in pairs(share, p.m, row)] for row in theta])
    fits = positive_definite([[(i == j) - x for j, x in enumerate(row)] for i, row in enumerate(gram)])
    if p.orthant and not fits:
        gram = products(by_column, [[x * (1 / square) for x in column] for column in by_column])
        gram = [[clip(x) * (a * b) for x, b in pairs(row, share)] for row, a in pairs(gram, share)]
        fits = positive_definite([[(i == j) / p.m[i] - x for j, x in enumerate(row)] for i, row in enumerate(gram)])
    need(fits, "the norm of the dual point")
    return sqrt(square * p.K * sum(p.m)) if p.sphere else ZERO
def upper_bound(p, h, matrices, b):
    """f at a point; h by columns."""
    need(not p.orthant or min(map(min, h)) >= 0, "features that are not negative")
    trained, fixed = matrices[: len(p.ridges) - 1], matrices[len(p.ridges) - 1 :]
    if p.sphere:
        h, *trained = ([[x / sqrt(squares(row)) for x in row] for row in rows] for rows in (h, *trained))
    penalties = [(ridge, row) for ridge, W in pairs(p.ridges[1:], trained) for row in W]
    penalties += [(p.ridges[0] * m, x) for m, x in pairs(p.m, h)] + [(p.lb, b)] * (p.bias == "ridge")
    penalties += [(p.beta, [sqrt(m) * u - v for u, v in pairs(x, x0)]) for m, x, x0 in (pairs(p.m, h, p.H0) if p.H0 else ())]
    total = HALF * sum(ridge * squares(map(enclose, x)) for ridge, x in penalties)
    for c, row in enumerate(reduce(products, trained + fixed, h)):
        z = [p.s * x + p.a[c] * y for x, y in pairs(row, b or [ZERO] * p.K)]
        for part in p.parts:
            x = [(u - v) * (1 / part.T) for u, v in pairs(z[part.seen], part.shift[c])]
            total += p.om[c] * (part.weight * part.g(x, part.y[c]) - part.less[c])
    return total
def profile_bound(p, c, slopes):
    """The least of the largest line plus the penalty, walking from crossing to crossing; the line of slope 0 is the last."""
    L, data = len(p.ridges), sum(om * (part.weight * e - d) for part in p.parts for om, e, d in pairs(p.om, part.least, part.less))
    need(0 < c and c**L <= prod(p.ridges), "c^L is at most the product of the ridges")
    lines, x, least = [(Fraction(enclose(data).lo, 1 << BITS.get()), ZERO)], ZERO, inf
    for slope in (fields(raw, "c dual lower") for raw in slopes):
        height, c_j = number(slope.lower), number(slope.c)
        need(c_j > 0 and above(lower_bound(p, slope.dual, c_j * c_j), height), "the bound of a slope c > 0")
        lines.append((height, c_j))
    height, c_j = max(lines, key=lambda line: (line[0], -line[1]))
    while True:
        penalty = exp(log(x) * Fraction(2, L)) if enclose(x).lo else ZERO  # x^(2/L) >= 0 where x is less than a unit
        least = min(least, enclose(height - c_j * x + HALF * L * c * penalty).lo)
        if not c_j:
            return Interval(least, inf)
        x, c_j, height = min(((height - other) / (c_j - c_i), c_i, other) for other, c_i in lines if c_i < c_j)

def above(x, number):
    """Whether an interval is nowhere below a fraction."""
    return x.lo >= number * 2 ** BITS.get()
def decimal(x, places, up):
    """A fraction as a decimal, rounded up or down."""
    n = ratio(x.numerator * 10**places, x.denominator, up)
    return f"{'-' * (n < 0)}{abs(n) // 10**places}.{abs(n) % 10**places:0{places}d}"
def check_minimum(kind, rest):
    """The statement that a proof by bounds proves."""
    deep = kind == "profile"
    x = fields(rest, "problem W h b lower upper " + ("c slopes" if deep else "dual norm"))
    lower, upper, d = number(x.lower), number(x.upper), len(x.h)
    BITS.set(256 + max(lower.denominator, upper.denominator).bit_length())
    p = read_problem(x.problem, deep)
    need((x.W is None) == p.fixed and (x.b is None) == (p.bias == "none"), "a matrix and a bias where there are such")
    matrices, rows = [], d
    for W in [*(x.W if deep else [] if p.fixed else [x.W]), *([p.classifier] if p.fixed else [])]:
        matrices.append(table(W, len(W), rows))
        rows = len(W)
    need(rows == p.K and len(matrices) == len(p.ridges) - 1 + p.fixed, "a matrix for every ridge, of fitting shapes")
    p.fixed, p.H0 = matrices[-1] if p.fixed else None, None if p.H0 is None else columns(table(p.H0, d, p.C))
    value = upper_bound(p, columns(table(x.h, d, p.C)), matrices, None if x.b is None else table([x.b], 1, p.K)[0])
    need(above(-value, -upper), "f at the point is at most upper")
    if deep:
        bound = profile_bound(p, number(x.c), x.slopes)
    else:
        need((x.norm is not None) == (p.sphere and not p.fixed), "a norm on the sphere where W is trained")
        square = prod(p.ridges) if x.norm is None else number(x.norm)
        need(square > 0 or p.fixed, "a norm > 0")
        bound = lower_bound(p, x.dual, square)
    need(above(bound, lower), "lower is at most the bound of the dual point")
    places = next(n for n in range(2, 10**5) if n > 59 and lower == upper or (upper - lower) * 10**n >= 10)
    width = f"d = {d}" if p.fixed else f"for every width, inf f <= upper from d = {d} on"
    loss = " + ".join(f"{part.weight} {part.atom}" for part in p.parts)
    words = f"K = {p.K}, {p.C} columns, trained layers: {len(p.ridges) - 1}, loss {loss}, bias {p.bias}, features {p.features}"
    return f"{kind}: {decimal(lower, places, 0)} <= inf f <= {decimal(upper, places, 1)}, {width}; {words}"
