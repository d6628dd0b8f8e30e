"""Proof files made by hand, in NumPy and fractions, with nothing of ufm: a float minimum, and its dual point repaired exactly."""

from fractions import Fraction

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logsumexp, softmax, xlogy

HALF = Fraction(1, 2)


def text(x):
    """A number as files write it."""
    if isinstance(x, np.ndarray | list | tuple):
        return [text(y) for y in x]
    x = Fraction(x)
    power = x.denominator.bit_length() - 1
    if x.denominator == 1:
        return str(x)
    return f"{x.numerator}*2^-{power}" if x.denominator == 1 << power else f"{x.numerator}/{x.denominator}"


def part(Y, atom="ce", *, kind="rational", weight=1, temperature=1, first=0, shift=None, divergence=False, log_classes=0):
    """A part of a loss as a file has it; Y: rows x C numbers."""
    rows = [[Fraction(x) for x in row] for row in Y]
    return {
        "atom": atom, "weight": text(weight), "temperature": text(temperature), "first": str(first),
        "Y": {"kind": kind, "rows": text(rows)}, "shift": None if shift is None else text(shift), "divergence": divergence,
        "log_classes": text(log_classes),
    }  # fmt: skip


def problem(K, parts, m, **choices):
    """The problem of a file with ordinary values where none are given."""
    C = len(m)
    given = {
        "parts": parts, "K": str(K), "bias": "none", "features": "free", "m": text(m), "a": ["1"] * C, "w": ["1"] * C,
        "N": text(sum(m)), "scale": "1", "lW": text(0.005), "lH": text(0.001), "lb": text(0.002), "classifier": None, "beta": "0",
        "H0": None,
    }  # fmt: skip
    return given | choices


def exact(x):
    """Fractions of a text, or of lists of them."""
    if isinstance(x, list):
        return [exact(y) for y in x]
    if "*2^" in x:
        mantissa, exponent = x.split("*2^")
        return Fraction(int(mantissa)) * Fraction(2) ** int(exponent)
    return Fraction(x)


def numbers(x):
    """Floats of texts."""
    return np.array(exact(x), dtype=float)


def targets(p):
    """(rows, C) floats of a part."""
    rows = numbers(p["Y"]["rows"])
    return {"rational": lambda r: r, "softmax": lambda r: softmax(r, axis=0), "sigmoid": expit}[p["Y"]["kind"]](rows)


def scaled(p, z):
    """(z - shift)/T of the rows of a part."""
    first, y = int(p["first"]), targets(p)
    shift = 0.0 if p["shift"] is None else numbers(p["shift"])
    return (z[first : first + len(y)] - shift) / float(exact(p["temperature"]))


def atom(name, x, y):
    """(value by column, gradient)."""
    if name == "mse":
        return 0.5 * np.sum((x - y) ** 2, axis=0), x - y
    if name == "ce":
        return logsumexp(x, axis=0) - np.sum(y * x, axis=0), softmax(x, axis=0) - y
    if name == "logistic":
        return np.sum(np.logaddexp(0, x) - y * x, axis=0), expit(x) - y
    own = np.argmax(y, axis=0)[None, :]
    u = np.maximum(1 + x - np.take_along_axis(x, own, 0), 0)
    np.put_along_axis(u, own, 0, 0)
    gradient = u.copy()
    np.put_along_axis(gradient, own, -np.sum(u, axis=0)[None, :], 0)
    return 0.5 * np.sum(u**2, axis=0), gradient


def offset(p):
    """What is taken off the loss of every column."""
    y, weight = targets(p), float(exact(p["weight"]))
    ent = -np.sum(xlogy(y, y), axis=0) - (np.sum(xlogy(1 - y, 1 - y), axis=0) if p["atom"] == "logistic" else 0)
    return float(exact(p["log_classes"])) * np.log(len(y)) + (weight * ent if p["divergence"] else 0)


class Floats:
    """The objective of a problem in floats."""

    def __init__(self, raw, width):
        self.raw, self.K, self.C, self.d = raw, int(raw["K"]), len(raw["m"]), width
        self.m, self.a, self.w = (numbers(raw[name]) for name in "maw")
        self.N, self.s, self.lb = (float(exact(raw[name])) for name in ("N", "scale", "lb"))
        self.om = self.w * self.m / self.N
        self.fixed = None if raw["classifier"] is None else numbers(raw["classifier"])
        names = ["lH"] + ([] if self.fixed is not None else ["lW"])
        self.ridges = numbers(raw["l"]) if "l" in raw else np.array([float(exact(raw[name])) for name in names])
        self.sphere, self.orthant = raw["features"] == "sphere", raw["features"] == "nonnegative"
        layers = len(self.ridges) - 1
        self.shapes = [(width, self.C)] + [(width, width)] * (layers - 1) + [(self.K, width)] * (layers > 0)
        self.shapes += [(self.K, 1)] * (raw["bias"] != "none")

    def unpack(self, x):
        """(h, weights, b) at the domain."""
        blocks = np.split(x, np.cumsum([np.prod(shape) for shape in self.shapes])[:-1])
        h, *rest = (block.reshape(shape) for block, shape in zip(blocks, self.shapes, strict=True))
        b = rest.pop() if self.raw["bias"] != "none" else None
        h = np.abs(h) if self.orthant else h
        return h, rest, b

    def logits(self, h, weights, b):
        if self.sphere:
            h, weights = h / np.linalg.norm(h, axis=0), [W / np.linalg.norm(W, axis=1)[:, None] for W in weights]
        z = h
        for W in [*weights, *([] if self.fixed is None else [self.fixed])]:
            z = W @ z
        return self.s * z + (0 if b is None else b * self.a)

    def __call__(self, x):
        h, weights, b = self.unpack(x)
        z = self.logits(h, weights, b)
        total = sum(
            self.om @ (float(exact(p["weight"])) * atom(p["atom"], scaled(p, z), targets(p))[0] - offset(p)) for p in self.raw["parts"]
        )
        if self.sphere:
            h, weights = h / np.linalg.norm(h, axis=0), [W / np.linalg.norm(W, axis=1)[:, None] for W in weights]
        total += 0.5 * self.ridges[0] * np.sum(self.m * h**2)
        total += 0.5 * sum(ridge * np.sum(W**2) for ridge, W in zip(self.ridges[1:], weights, strict=True))
        if self.raw["bias"] == "ridge":
            total += 0.5 * self.lb * np.sum(b**2)
        if self.raw.get("H0") is not None:
            total += 0.5 * float(exact(self.raw["beta"])) * np.sum((np.sqrt(self.m) * h - numbers(self.raw["H0"])) ** 2)
        return total

    def minimum(self, seed=0):
        """A point near a minimum, from a random start."""
        rng = np.random.default_rng(seed)
        size = sum(int(np.prod(shape)) for shape in self.shapes)
        return minimize(self, rng.normal(size=size), method="BFGS", options={"gtol": 1e-9, "maxiter": 2000}).x


def dual(raw, z, shrink):
    """Exact dual points t (as fractions) of every part near the gradients, balanced where the bias is free, times `shrink`.

    Returns what the file stores: y + t (t for the squared hinge), with rows and columns as the parts have.
    """
    C, om = len(raw["m"]), [w * m / exact(raw["N"]) for w, m in zip(exact(raw["w"]), exact(raw["m"]), strict=True)]
    stored = []
    for p in raw["parts"]:
        y, x = targets(p), scaled(p, z)
        exact_y = exact(p["Y"]["rows"]) if p["Y"]["kind"] == "rational" else [[Fraction(v) for v in row] for row in y]
        t = [[Fraction(float(v)) for v in row] for row in atom(p["atom"], x, y)[1]]
        for c in range(C):
            if p["atom"] in ("ce", "squared hinge"):
                own = int(np.argmax(y[:, c] if p["atom"] == "squared hinge" else softmax(x, axis=0)[:, c]))
                t[own][c] -= sum(row[c] for row in t)
        if raw["bias"] == "free":
            c, a = max(range(C), key=lambda c: om[c]), exact(raw["a"])
            for row in t:
                row[c] -= sum(om[e] * a[e] * row[e] for e in range(C)) / (om[c] * a[c])
        t = [[Fraction(shrink) * v for v in row] for row in t]
        plus = 0 if p["atom"] == "squared hinge" else 1
        q = [[v + plus * u for v, u in zip(*rows, strict=True)] for rows in zip(t, exact_y, strict=True)]
        if p["atom"] == "ce" and p["Y"]["kind"] == "softmax":
            for c in range(C):
                q[int(np.argmax([row[c] for row in q]))][c] += 1 - sum(row[c] for row in q)
        stored.append(q)
    return stored


def theta_of(raw, stored):
    """(K, C) floats of the whole dual point."""
    theta = np.zeros((int(raw["K"]), len(raw["m"])))
    for p, q in zip(raw["parts"], stored, strict=True):
        t = np.array(q, dtype=float) - (0 if p["atom"] == "squared hinge" else targets(p))
        first = int(p["first"])
        theta[first : first + len(t)] += float(exact(p["weight"]) / exact(p["temperature"])) * t
    return theta


def floats_below(F, stored, norm=None):
    """The lower bound in floats."""
    raw, theta, total = F.raw, theta_of(F.raw, stored), 0.0
    for p, q in zip(raw["parts"], stored, strict=True):
        q, y, weight = np.array(q, dtype=float), targets(p), float(exact(p["weight"]))
        t = q - (0 if p["atom"] == "squared hinge" else y)
        wrong = np.where(y == np.max(y, axis=0)[None, :], 0, t)
        minus = {
            "mse": lambda: 0.5 * np.sum(y**2 - q**2, axis=0),
            "ce": lambda: -np.sum(xlogy(q, q), axis=0),
            "logistic": lambda: -np.sum(xlogy(q, q) + xlogy(1 - q, 1 - q), axis=0),
            "squared hinge": lambda: np.sum(wrong - 0.5 * wrong**2, axis=0),
        }[p["atom"]]()
        shift = 0.0 if p["shift"] is None else numbers(p["shift"])
        total += F.om @ (weight * minus - offset(p) - weight / float(exact(p["temperature"])) * np.sum(t * shift, axis=0))
    if raw["bias"] == "ridge":
        total -= np.sum((theta @ (F.om * F.a)) ** 2) / (2 * F.lb)
    G = theta * (F.s * F.w * np.sqrt(F.m) / F.N)
    if F.sphere:
        total += 0.5 * (F.ridges[0] * np.sum(F.m) + (F.K * F.ridges[1] if F.fixed is None else 0))
    if F.fixed is not None:
        pulls = F.fixed.T @ (theta * F.s * F.om)
        pulls = np.maximum(-pulls, 0) if F.orthant else pulls
        total -= np.sum(np.linalg.norm(pulls, axis=0)) if F.sphere else np.sum(pulls**2 / F.m) / (2 * F.ridges[0])
    elif F.sphere:
        total -= np.sqrt(norm * F.K * np.sum(F.m))
    return total, np.linalg.norm(G, 2), np.linalg.norm(np.sqrt(np.maximum(G.T @ G, 0)), 2) if False else G


def document(kind, **entries):
    """A file."""
    return {"format": "ufm-proof/1", "kind": kind, "statement": "trust me", "made_by": {"hand": "1"}, **entries}


def shrunk(F, z, budget):
    """(what the file stores, its theta's G) with |G|_2^2 (for h >= 0 of max(G'G, 0)) below the budget."""
    for shrink in (Fraction(1), None):
        if shrink is None:
            spectrum = G.T @ G if not F.orthant else np.maximum(G.T @ G, 0)
            top = np.linalg.eigvalsh(spectrum)[-1]
            shrink = Fraction(min(1.0, float(np.sqrt(budget / top))) * (1 - 1e-9))
        stored = dual(F.raw, z, shrink)
        G = theta_of(F.raw, stored) * (F.s * F.w * np.sqrt(F.m) / F.N)
    return stored


def sandwich(raw, width, seed=0, slack=1e-9):
    """A valid file for a problem, its ends `slack` outside of what floats say."""
    F = Floats(raw, width)
    x = F.minimum(seed)
    h, weights, b = F.unpack(x)
    z, norm = F.logits(h, weights, b), None
    if F.fixed is not None:
        stored = dual(raw, z, Fraction(1))
    elif F.sphere:
        stored = dual(raw, z, Fraction(1))
        G = theta_of(raw, stored) * (F.s * F.w * np.sqrt(F.m) / F.N)
        norm = np.linalg.norm(G, 2) ** 2 * (1 + 1e-9)
    else:
        stored = shrunk(F, z, F.ridges[0] * F.ridges[1])
    lower, upper = floats_below(F, stored, norm)[0], F(x)
    assert lower <= upper + slack, (lower, upper)
    room = slack * max(1.0, abs(upper))
    return document(
        "sandwich", problem=raw, W=None if F.fixed is not None else text(weights[0]), h=text(h), b=None if b is None else text(b[:, 0]),
        dual=[text(q) for q in stored], norm=None if norm is None else text(norm), lower=text(lower - room), upper=text(upper + room),
    )  # fmt: skip


def profile(raw, width, slopes, seed=0, slack=1e-9):
    """A valid file of several layers, from one-layer bounds at the slopes' numbers c_j."""
    F = Floats(raw, width)
    x = min((F.minimum(seed + i) for i in range(3)), key=F)
    h, weights, b = F.unpack(x)
    L = len(F.ridges)
    c = Fraction(float(np.prod(F.ridges) ** (1 / L) * (1 - 1e-12)))
    lines, files = [(0.0, 0.0)], []
    for slope in slopes:
        one = {key: value for key, value in raw.items() if key != "l"} | {"lW": text(slope), "lH": text(slope)}
        small = Floats(one, width)
        z = small.logits(*small.unpack(small.minimum(seed)))
        stored = shrunk(small, z, slope**2)
        bound = floats_below(small, stored)[0] - slack
        lines.append((bound, slope))
        files.append({"c": text(slope), "dual": [text(q) for q in stored], "lower": text(bound)})
    xs = np.concatenate([[0.0], np.geomspace(1e-6, 1e6, 200001)])
    tops = np.max([height - slope * xs for height, slope in lines], axis=0)
    lower = float(np.min(tops + 0.5 * L * float(c) * xs ** (2 / L)))
    return document(
        "profile", problem=raw, W=[text(W) for W in weights], h=text(h), b=None if b is None else text(b[:, 0]), c=text(c),
        slopes=files, lower=text(lower * (1 - 1e-3) - slack), upper=text(F(x) + slack),
    )  # fmt: skip
