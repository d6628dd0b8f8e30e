"""NumPy lines that evaluate the counterexamples of the refuted entries from plain numbers, without ufm: a recipe an entry."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ufm.problem.meant import exact_ridges
from ufm.problem.params import logits
from ufm.theory.cross_entropy import refuted as deep
from ufm.theory.distillation import gradient_identity
from ufm.theory.implicit_bias import unregularised_ce
from ufm.theory.language import centred_supports
from ufm.theory.perturbation import aligned, nc1_threshold
from ufm.theory.perturbation.model import exact_units

Numbers = dict[str, Any]


class Recipe(NamedTuple):
    """numbers: the plain numbers of a case. code: NumPy lines that end with `claimed` and `found`. meaning: what these are.

    case: the label of the case to take, the first one where it is empty.
    """

    numbers: Callable[[Any], Numbers]
    code: str
    meaning: str
    case: str = ""


def _deep(case: deep.Point) -> Numbers:
    weights = {f"W{i}": np.asarray(W) for i, W in enumerate(case.params.weights, 1)}
    ridges = np.array(list(map(float, exact_ridges(case.problem))))
    return {"ridges": ridges, "H": np.asarray(case.params.H)} | weights


_DEEP = """
K, L = len(H[0]), len(ridges)
Z = W2 @ W1 @ H  # one sample a class
data = np.mean(np.log(np.sum(np.exp(Z - np.diag(Z)), axis=0)))
found = data + sum(l / 2 * np.sum(A**2) for l, A in zip(ridges, (H, W1, W2)))

def simplex(a):  # least f at simplex logits of margin a
    return np.log1p((K - 1) * np.exp(-a)) + L / 2 * np.prod(ridges) ** (1 / L) * (K - 1) * a ** (2 / L)

a = np.linspace(0, 60, 60001)
for _ in range(5):
    lowest = np.argmin(simplex(a))
    a = np.linspace(a[max(lowest - 1, 0)], a[min(lowest + 1, len(a) - 1)], 1001)
claimed = np.min(simplex(a))
"""


def _largest_root(problem: Any) -> Numbers:
    return {
        "K": problem.classes, "n": float(problem.samples) / problem.classes,
        "ridges": np.array(list(map(float, exact_ridges(problem)))),
    }  # fmt: skip


_LARGEST_ROOT = """
L, N = len(ridges), K * n
M = L - 1
beta = N * np.prod(ridges) ** (1 / L) / n ** (M / L)
low, high = (M - 1) / (2 * M), 1.0  # (1-t) t^((M-1)/(M+1)) falls from its peak to zero
for _ in range(100):
    t = (low + high) / 2
    low, high = (t, high) if (1 - t) * t ** ((M - 1) / (M + 1)) > beta else (low, t)
claimed = (1 - t) * (1 + M * t) / 2
Y, W_H = np.eye(K), np.zeros((K, K))  # all parameters zero
found = n * np.sum((W_H - Y) ** 2) / (2 * N)
"""


def _margins(case: Any) -> Numbers:
    problem = case.problem
    first = [int(np.argmax(np.asarray(problem.labels) == k)) for k in range(problem.classes)]
    return {
        "sizes": np.asarray(problem.counts, float), "l2_W": float(problem.l2_W[0]), "l2_H": float(problem.l2_H),
        "W": np.asarray(case.params.weights[0]), "h": np.asarray(case.params.H)[:, first],
    }  # fmt: skip


_MARGINS = """
K, N = len(sizes), np.sum(sizes)
Z = W @ h  # a column a class, each with its number of samples
loss = np.log(np.sum(np.exp(Z - np.diag(Z)), axis=0))
found = np.sum(sizes * loss) / N + l2_W / 2 * np.sum(W**2) + l2_H / 2 * np.sum(sizes * h**2)
M = np.log((K - 1) * (np.sqrt(sizes) / (N * l2_W / 2 * np.sqrt((K - 1) / K)) - 1))
claimed = np.sum(sizes / N * np.log1p((K - 1) * np.exp(-M)) + np.sqrt(l2_W * l2_H * sizes * (K - 1) / K) * M)
"""


def _crossed(case: nc1_threshold.Search) -> Numbers:
    lW, lH, B = map(float, exact_units(case.problem))
    W, H, H0 = (np.array([[float(x.p) / float(x.q) for x in row] for row in A]) for A in nc1_threshold.exact_crossed(case))
    return {"lW": lW, "lH": lH, "B": B, "W": W, "H": H, "H0": H0}


_CROSSED = """
K, n = len(W), len(H[0]) // len(W)
R = W @ H - np.kron(np.eye(K), np.ones(n))
gradient = max(np.max(np.abs(R @ H.T + n * lW * W)), np.max(np.abs(W.T @ R + lH * H + B * (H - H0))))
assert gradient < 1e-12  # exactly zero in exact arithmetic

def nc1(H):
    by_class = H.reshape(len(H), K, n)
    means = by_class.mean(axis=2, keepdims=True)
    return np.sum((by_class - means) ** 2) / (n * np.sum((means - means.mean(axis=1, keepdims=True)) ** 2))

claimed, found = nc1(H0), nc1(H)
"""


def _aligned(case: aligned.Aligned) -> Numbers:
    lW, lH, B = map(float, exact_units(case.problem))
    axes = aligned.on_axes(case)
    return {
        "lW": lW, "lH": lH, "B": B, "m0": np.asarray(case.m0), "sigma0": np.asarray(case.sigma0), "D_perp2": float(axes.unseen),
        "W": np.asarray(axes.W), "H": np.asarray(axes.H), "H0": np.array(axes.H0, float),
    }  # fmt: skip


_ALIGNED = """
K, N = len(W), len(H[0])
n, p = N // K, B + lH
R = W @ H - np.kron(np.eye(K), np.ones(n))
found = (np.sum(R**2) + n * lW * np.sum(W**2) + lH * np.sum(H**2) + B * np.sum((H - H0) ** 2)) / (2 * N)

def mode(w, m, s):  # 2 N/n of what a mode of singular value w costs with its best features
    return lW * w**2 + 1 + B * (m**2 + s**2) - ((w + B * m) ** 2 + (B * s) ** 2) / (w**2 + p)

total = B * lH / p * D_perp2
for m, s in zip(m0, sigma0):
    w = np.linspace(-20, 20, 100001)
    for _ in range(5):
        lowest = np.argmin(mode(w, m, s))
        w = np.linspace(w[max(lowest - 1, 0)], w[min(lowest + 1, len(w) - 1)], 1001)
    total += n * np.min(mode(w, m, s))
claimed = total / (2 * N)
"""


def _supports(case: centred_supports.Lowered) -> Numbers:
    return {"S": np.asarray(case.supports), "lowered": centred_supports.lowered_supports(case)}


_SUPPORTS = """
claimed = np.linalg.norm(S - S.mean(axis=0), "nuc")
found = np.linalg.norm(lowered - lowered.mean(axis=0), "nuc")
for column, logits in zip(S.T, lowered.T):  # feasible: equal on the support, by one or more above all others
    assert np.ptp(logits[column == 1]) == 0
    assert all(logits[column == 1].min() - logits[column == 0] >= 1)
"""


def _distilled(case: gradient_identity.Collapsed) -> Numbers:
    K, N = case.Y.shape
    numbers = {"n": N // K, "a": float(case.a), "b": float(case.b), "temperature": float(case.temperature)}
    return numbers | {"teacher": np.asarray(case.teacher)[:, :: N // K]}


_DISTILLED = """
K = len(teacher)
Y, P = np.repeat(np.eye(K), n, axis=1), np.eye(K) - 1 / K
W, H = a * P, b * P @ Y
Z = W @ H

def sigmoid(z):
    return 1 / (1 + np.exp(-z))

odds = np.exp(Z)
ce = (odds / np.sum(odds, axis=0) - Y) / (K * n)  # gradients of both mean losses in the logits
binary = temperature * (sigmoid(Z / temperature) - sigmoid(teacher @ Y / temperature)) / (K * n)
classifier = np.sum((ce @ H.T) * (binary @ H.T))
found = np.sum((W.T @ ce) * (W.T @ binary))
assert classifier < 0
claimed = 0.0
"""


def _rate(case: unregularised_ce.SimplexStart) -> Numbers:
    first, second = unregularised_ce.SCALES
    return {
        "K": case.problem.classes, "n": int(case.problem.counts[0]), "L": 1 + int(np.sum(case.trained)),
        "s0": float(unregularised_ce.logit_scale(logits(case.problem, case.params))), "s1": float(first), "s2": float(second),
    }  # fmt: skip


_RATE = """
q = 2 - 2 / L
nodes, weights = np.polynomial.legendre.leggauss(200)

def time_times_loss(s):
    v = s0 + (s - s0) * (nodes + 1) / 2
    t = n ** (1 - q / 2) / L * (s - s0) / 2 * np.sum(weights * (np.exp(v) + K - 1) * v**-q)
    return t * np.log1p((K - 1) * np.exp(-s))

claimed, found = time_times_loss(s1), time_times_loss(s2)
"""


def _rounded(case: Any) -> Numbers:
    return {"margins": np.diag(np.asarray(case.H, float))}


_ROUNDED = """
z = np.diag(margins).astype(np.float32)  # a column a class
e = np.exp(z - z.max(axis=0))
G = (e / e.sum(axis=0) - np.eye(len(z), dtype=np.float32)).astype(float)
claimed = 0.0
found = np.min(np.abs(G.sum(axis=0)) / np.abs(G).sum(axis=0))
"""


RECIPES = {
    "ce-deep-etf-global": Recipe(_deep, _DEEP, "the least value of all simplices; found: the value of the point"),
    "mse-largest-root": Recipe(_largest_root, _LARGEST_ROOT, "the value at the largest root; found: the value at zero"),
    "relu-published-margins": Recipe(_margins, _MARGINS, "the value at the published margins; found: the value of the point"),
    "proximity-nc1-stationary": Recipe(_crossed, _CROSSED, "NC1 at H0; found: NC1 at the stationary point"),
    "proximity-aligned-weak": Recipe(_aligned, _ALIGNED, "the value of the best aligned point; found: the value of the point"),
    "ntp-mm-centred": Recipe(_supports, _SUPPORTS, "the nuclear norm of the centred supports; found: that of feasible logits"),
    "dhkd-backbone": Recipe(_distilled, _DISTILLED, "what the product of gradients in H is not below; found: that product"),
    "ce-simplex-rate-one-over-t": Recipe(_rate, _RATE, "t times the loss at a time; found: the same much later"),
    "naive-ce-zero-sum": Recipe(
        _rounded, _ROUNDED, "the sum of a column of the gradient over that of its sizes; found: what floats give", "float32"
    ),
}
