"""The problem of a proof: its numbers, checked, and the convex functions g that its loss is made of."""

from .numbers import HALF, ZERO, clip, columns, dot, entropy, exp, fields, log, log_sum_exp, need, pairs, squares, table

ATOMS = {  # whether q = y + t is in the domain (q = y tells whether targets are); g(x; y); -g*(t) at q
    "mse": (
        lambda q, y: True,
        lambda x, y: HALF * squares(a - b for a, b in pairs(x, y)),
        lambda q, y: HALF * (squares(y) - squares(q)),
    ),
    "ce": (
        lambda q, y: min(q) >= 0 and sum(q) == 1,
        lambda x, y: log_sum_exp(x) - dot(x, y),
        lambda q, y: sum(map(entropy, q)),
    ),
    "logistic": (
        lambda q, y: min(q) >= 0 and max(q) <= 1,
        lambda x, y: sum(log_sum_exp([a, ZERO]) - a * b for a, b in pairs(x, y)),
        lambda q, y: sum(entropy(a) + entropy(1 - a) for a in q),
    ),
    "squared hinge": (  # y is 1 at the true class, 0 elsewhere
        lambda q, y: max(y) == 1 == sum(q) and all(a >= 0 for a, b in pairs(q, y) if b != 1),
        lambda x, y: HALF * squares(clip(1 + a - dot(x, y)) for a, b in pairs(x, y) if b != 1),
        lambda q, y: sum(a - HALF * a * a for a, b in pairs(q, y) if b != 1),
    ),
}
TARGETS = {"rational": tuple(ATOMS), "softmax": ("ce",), "sigmoid": ("logistic",)}

def read_part(raw, K, C):
    """A part of the loss, by columns. least: inf g, which is Ent y for ce and logistic; less: what is taken off every loss."""
    part = fields(raw, "atom weight temperature first Y shift divergence log_classes")
    Y, rows = fields(part.Y, "kind rows"), len(part.Y["rows"])
    need(part.atom in TARGETS.get(Y.kind, ()), "an atom, and targets of a kind that it has")
    need(part.divergence is False or part.divergence is True and part.atom in ("ce", "logistic"), "divergence: true or false")
    part.domain, part.g, part.minus_conjugate = ATOMS[part.atom]
    [[part.weight, part.T, first, classes]] = table([[part.weight, part.temperature, part.first, part.log_classes]], 1, 4)
    need(part.weight > 0 < part.T and 0 <= first == int(first) <= K - rows, "weight and temperature > 0, rows of the logits")
    part.y, part.seen = columns(table(Y.rows, rows, C)), slice(int(first), int(first) + rows)
    part.shift = [[ZERO] * rows] * C if part.shift is None else columns(table(part.shift, rows, C))
    if Y.kind == "rational":
        need(all(part.domain(y, y) for y in part.y), f"targets of {part.atom}")
        part.least = [part.minus_conjugate(y, y) for y in part.y]
    else:  # probabilities of a teacher's logits, where g is least
        teacher = part.y
        part.y = [[exp(a - log_sum_exp(r if part.atom == "ce" else [a, ZERO])) for a in r] for r in teacher]
        part.least = [part.g(r, y) for r, y in pairs(teacher, part.y)]
    part.less = [part.divergence * part.weight * least + classes * log(rows) for least in part.least]
    return part
def read_problem(raw, deep):
    """The numbers of a problem. ridges: of the features first."""
    own = {"features": "free", "classifier": None, "beta": "0", "H0": None}
    p = fields(raw, "parts K bias m a w N scale lb " + ("l" if deep else "lW lH"), **own)
    p.C, p.fixed, p.sphere, p.orthant = len(p.m), p.classifier is not None, p.features == "sphere", p.features == "nonnegative"
    ridges = p.l if deep else [p.lH] if p.lW is None else [p.lH, p.lW]
    [p.ridges], (p.m, p.a, p.w) = table([ridges], 1, len(ridges)), table([p.m, p.a, p.w], 3, p.C)
    [[K, p.N, p.s, p.lb, p.beta]] = table([[p.K, p.N, p.scale, "0" if p.lb is None else p.lb, p.beta]], 1, 5)
    need(p.bias in ("none", "free", "ridge") and p.features in ("free", "nonnegative", "sphere"), "a bias and features that exist")
    need(K == int(K) and min(*p.m, p.N, p.s) > 0 <= min(*p.w, p.beta), "m, N, scale > 0 and w, beta >= 0")
    need(min(p.ridges) + p.sphere > 0 <= min(p.ridges) and (p.lb > 0 or p.bias != "ridge"), "ridges > 0")
    need(p.H0 is not None or p.beta == 0, "H0 where there is beta")
    plain = not p.fixed and p.features == "free" and p.H0 is None
    need(len(ridges) >= 3 and plain if deep else len(ridges) == 2 - p.fixed, "a ridge for every factor")
    p.K, p.om = int(K), [w * m / p.N for w, m in pairs(p.w, p.m)]
    p.parts = [read_part(part, p.K, p.C) for part in p.parts]
    return p
