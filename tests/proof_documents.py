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


class Part:
    """A part of a loss in floats. less: what is taken off the loss of every column."""

    def __init__(self, raw):
        rows = numbers(raw["Y"]["rows"])
        kinds = {"rational": lambda r: r, "softmax": lambda r: softmax(r, axis=0), "sigmoid": expit}
        self.raw, self.y, self.atom = raw, kinds[raw["Y"]["kind"]](rows), raw["atom"]
        self.weight, self.T, classes = (float(exact(raw[name])) for name in ("weight", "temperature", "log_classes"))
        self.seen = slice(int(raw["first"]), int(raw["first"]) + len(rows))
        self.shift = np.zeros(rows.shape) if raw["shift"] is None else numbers(raw["shift"])
        y, two = self.y, self.atom == "logistic"
        entropy = -np.sum(xlogy(y, y), axis=0) - (np.sum(xlogy(1 - y, 1 - y), axis=0) if two else 0) if raw["divergence"] else 0
        self.less = classes * np.log(len(rows)) + self.weight * entropy

    def scaled(self, z):
        """(z - shift)/T of the rows that the part sees."""
        return (z[self.seen] - self.shift) / self.T

    def minus_conjugate(self, q):
        """-g*(t) by columns, at what the file has for t."""
        y = self.y
        if self.atom == "mse":
            return 0.5 * np.sum(y**2 - q**2, axis=0)
        if self.atom == "squared hinge":
            wrong = np.where(y == np.max(y, axis=0)[None, :], 0, q)
            return np.sum(wrong - 0.5 * wrong**2, axis=0)
        return -np.sum(xlogy(q, q), axis=0) - (np.sum(xlogy(1 - q, 1 - q), axis=0) if self.atom == "logistic" else 0)


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
        self.parts = [Part(part) for part in raw["parts"]]
        self.sphere, self.orthant = raw["features"] == "sphere", raw["features"] == "nonnegative"
        self.H0, self.beta = None if raw["H0"] is None else numbers(raw["H0"]), float(exact(raw["beta"]))
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
        total = sum(self.om @ (p.weight * atom(p.atom, p.scaled(z), p.y)[0] - p.less) for p in self.parts)
        if self.sphere:
            h, weights = h / np.linalg.norm(h, axis=0), [W / np.linalg.norm(W, axis=1)[:, None] for W in weights]
        total += 0.5 * self.ridges[0] * np.sum(self.m * h**2)
        total += 0.5 * sum(ridge * np.sum(W**2) for ridge, W in zip(self.ridges[1:], weights, strict=True))
        if self.raw["bias"] == "ridge":
            total += 0.5 * self.lb * np.sum(b**2)
        if self.H0 is not None:
            total += 0.5 * self.beta * np.sum((np.sqrt(self.m) * h - self.H0) ** 2)
        return total

    def minimum(self, seed=0):
        """A point near a minimum, from a random start."""
        rng = np.random.default_rng(seed)
        size = sum(int(np.prod(shape)) for shape in self.shapes)
        return minimize(self, rng.normal(size=size), method="BFGS", options={"gtol": 1e-7, "maxiter": 500}).x


    def dual(self, z, shrink):
        """Dual points as files have them, in fractions: gradients at z, repaired exactly, balanced for a free bias, shrunk."""
        m, a, w, N = (exact(self.raw[name]) for name in ("m", "a", "w", "N"))
        om, stored = [x * y / N for x, y in zip(w, m, strict=True)], []
        for p in self.parts:
            x, hinge = p.scaled(z), p.atom == "squared hinge"
            t = [[Fraction(float(v)) for v in row] for row in atom(p.atom, x, p.y)[1]]
            for c in range(self.C if p.atom in ("ce", "squared hinge") else 0):
                t[int(np.argmax((p.y if hinge else x)[:, c]))][c] -= sum(row[c] for row in t)
            if self.raw["bias"] == "free":
                c = max(range(self.C), key=om.__getitem__)
                for row in t:
                    row[c] -= sum(om[e] * a[e] * row[e] for e in range(self.C)) / (om[c] * a[c])
            rational = p.raw["Y"]["kind"] == "rational"
            y = exact(p.raw["Y"]["rows"]) if rational else [[Fraction(float(v)) for v in row] for row in p.y]
            shrunk = [[Fraction(shrink) * u for u in row] for row in t]
            q = shrunk if hinge else [[u + v for u, v in zip(*rows, strict=True)] for rows in zip(shrunk, y, strict=True)]
            for c in range(self.C if p.atom == "ce" and not rational else 0):
                q[int(np.argmax([row[c] for row in q]))][c] += 1 - sum(row[c] for row in q)
            stored.append(q)
        return stored

    def theta(self, stored):
        """(K, C) floats of a dual point."""
        theta = np.zeros((self.K, self.C))
        for p, q in zip(self.parts, stored, strict=True):
            theta[p.seen] += p.weight / p.T * (np.array(q, dtype=float) - (0 if p.atom == "squared hinge" else p.y))
        return theta

    def gram(self, stored):
        """G'G of the G in the norm's condition; max(G'G, 0) where features are not negative."""
        G = self.theta(stored) * (self.s * self.w * np.sqrt(self.m) / self.N)
        return np.maximum(G.T @ G, 0) if self.orthant else G.T @ G

    def fitting(self, z, square):
        """A dual point whose norm is below."""
        top = np.linalg.eigvalsh(self.gram(self.dual(z, 1)))[-1]
        return self.dual(z, Fraction(min(1.0, float(np.sqrt(square / top)) * (1 - 1e-7))))

    def below(self, stored, norm=None):
        """The lower bound in floats."""
        theta, total = self.theta(stored), 0.0
        for p, q in zip(self.parts, stored, strict=True):
            q = np.array(q, dtype=float)
            t = q - (0 if p.atom == "squared hinge" else p.y)
            total += self.om @ (p.weight * p.minus_conjugate(q) - p.less - p.weight / p.T * np.sum(t * p.shift, axis=0))
        if self.raw["bias"] == "ridge":
            total -= np.sum((theta @ (self.om * self.a)) ** 2) / (2 * self.lb)
        if self.sphere:
            total += 0.5 * (self.ridges[0] * np.sum(self.m) + (self.K * self.ridges[1] if self.fixed is None else 0))
        if self.fixed is not None:
            pulls = self.fixed.T @ (theta * self.s * self.om)
            pulls = np.maximum(-pulls, 0) if self.orthant else pulls
            if self.sphere:
                return total - np.sum(np.linalg.norm(pulls, axis=0))
            return total - np.sum(pulls**2 / self.m) / (2 * self.ridges[0])
        return total - (np.sqrt(norm * self.K * np.sum(self.m)) if self.sphere else 0.0)


def document(kind, **entries):
    """A file."""
    return {"format": "ufm-proof/1", "kind": kind, "statement": "not read", "made_by": {"hand": "1"}, **entries}


def sandwich(raw, width, seed=0, slack=1e-9):
    """A valid file for a problem, its ends `slack` outside of what floats say."""
    F = Floats(raw, width)
    x = F.minimum(seed)
    h, weights, b = F.unpack(x)
    z, norm = F.logits(h, weights, b), None
    if F.fixed is None and not F.sphere:
        stored = F.fitting(z, F.ridges[0] * F.ridges[1])
    else:
        stored = F.dual(z, 1)
        norm = np.linalg.eigvalsh(F.gram(stored))[-1] * (1 + 1e-9) if F.fixed is None else None
    lower, upper = F.below(stored, norm), F(x)
    return document(
        "sandwich", problem=raw, W=text(weights[0]) if weights else None, h=text(h), b=None if b is None else text(b[:, 0]),
        dual=[text(q) for q in stored], norm=None if norm is None else text(norm),
        lower=text(lower - slack), upper=text(upper + slack),
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
        single = Floats(one, width)
        stored = single.fitting(single.logits(*single.unpack(single.minimum(seed))), slope**2)
        lines.append((single.below(stored) - slack, slope))
        files.append({"c": text(slope), "dual": [text(q) for q in stored], "lower": text(lines[-1][0])})
    xs = np.concatenate([[0.0], np.geomspace(1e-6, 1e6, 200001)])
    tops = np.max([height - slope * xs for height, slope in lines], axis=0)
    lower = np.min(tops + 0.5 * L * float(c) * xs ** (2 / L)) * (1 - 1e-4)
    return document(
        "profile", problem=raw, W=[text(W) for W in weights], h=text(h), b=None if b is None else text(b[:, 0]), c=text(c),
        slopes=files, lower=text(lower), upper=text(F(x) + slack),
    )  # fmt: skip


def facts(kind, where, *claims):
    """A file of facts."""
    return document(kind, where=[[name, e] for name, e in where.items()], facts=list(claims))
