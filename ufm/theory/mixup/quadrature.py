"""Averages over lambda ~ Beta(alpha, alpha) by Gauss-Jacobi nodes: what is exact, what is not, and the mixup it gives.

With u = 2 lambda - 1, moments E u^{2j} = prod_{i=1}^{j} (2i - 1)/(2 alpha + 2i - 1), odd ones 0, so that
m2 = E[lambda^2 + (1 - lambda)^2] = (alpha + 1)/(2 alpha + 1). R nodes are exact up to degree 2R - 1, and beyond it

    E u^{2R} - sum_r w_r u_r^{2R} = prod_{k=1}^{R} b_k > 0,   b_1 = 1/(2 alpha + 1),
                                                              b_k = k (k + 2 alpha - 2)/((2k + 2 alpha - 1)(2k + 2 alpha - 3)).

The size kappa of a trained classifier, an average of functions with layers of width 1/kappa at lambda = 0 and 1, converges
geometrically once R exceeds sqrt(kappa): 8 + 3 sqrt(kappa) nodes (`enough_nodes`) left errors of 1e-10 at kappa < 300.
"""

from math import prod
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import brentq
from scipy.special import wrightomega

from ufm.proofs import Proof, identity
from ufm.proofs.exact import rational
from ufm.proofs.expressions import name, number, total
from ufm.settings.mixup import enough_nodes, lambda_nodes
from ufm.theory import statements
from ufm.theory.mixup.joint import learned_mixup
from ufm.theory.proving import exactly

_FEW, _CLASSES = 6, 3


class BetaMixing(NamedTuple):
    """lambda ~ Beta(alpha, alpha) for three classes with self-pairs, and the ridges of a trained classifier."""

    alpha: Any
    l2_W: Any
    l2_H: Any


def predict(case: BetaMixing) -> dict[str, jax.Array]:
    """R Gauss-Jacobi nodes average over Beta(alpha, alpha) exactly up to degree 2R - 1, and fall short at degree 2R by a known
    product.

    The moments E u^{2j}, j = 0 .. R - 1, of R = 6 nodes; the excess of the one of degree 2R over its quadrature; m2.
    """
    alpha, i, k = jnp.asarray(case.alpha), jnp.arange(1.0, _FEW), jnp.arange(2.0, _FEW + 1)
    moments = jnp.concatenate([jnp.ones(1), jnp.cumprod((2 * i - 1) / (2 * alpha + 2 * i - 1))])
    excess = jnp.prod(k * (k + 2 * alpha - 2) / ((2 * k + 2 * alpha - 1) * (2 * k + 2 * alpha - 3))) / (2 * alpha + 1)
    return {"moments": moments, "excess": excess, "m2": (alpha + 1) / (2 * alpha + 1)}


def prove(case: BetaMixing, predicted: dict[str, jax.Array]) -> Proof:
    """E p^2 is the product, p the monic polynomial of degree R orthogonal to all lower ones, whose roots the nodes are."""
    alpha, R = exactly(case.alpha), _FEW
    where = [("alpha", number(alpha)), ("m0", number(1))]  # moments E u^(2j)
    where += [(f"m{j}", name(f"m{j - 1}") * (2 * j - 1) / (2 * name("alpha") + (2 * j - 1))) for j in range(1, R + 1)]

    def mean(powers: list) -> Any:
        return total([a * name(f"m{i // 2}") for i, a in powers if i % 2 == 0])

    before, p = [rational(1)], [rational(0), rational(1)]
    factors = [1 / (2 * alpha + 1)]
    for k in range(2, R + 1):
        factors.append(k * (k + 2 * alpha - 2) / ((2 * k + 2 * alpha - 1) * (2 * k + 2 * alpha - 3)))
        shifted = [rational(0), *p]
        before, p = p, [a - factors[k - 2] * (before[i] if i < len(before) else 0) for i, a in enumerate(shifted)]
    pairs = [(mean([(i + j, a) for i, a in enumerate(p)]), number(0)) for j in range(R)]
    square = mean([(i + j, a * b) for i, a in enumerate(p) for j, b in enumerate(p)])
    what = f"the excess of degree {2 * R} of {R} nodes is the product, alpha = {float(case.alpha)!r}"
    return identity(what, [*pairs, (square, number(prod(factors, start=rational(1))))], where)


def direct(case: BetaMixing) -> dict[str, Any]:
    """Sums over six nodes, and the moment beyond them by the double exponential rule."""
    alpha = float(case.alpha)
    lambdas, weights = lambda_nodes(alpha, _FEW)
    powers = [np.sum(weights * ((2 * lambdas - 1) ** 2) ** j) for j in range(_FEW + 1)]
    points, mass = _double_exponential(alpha)
    beyond = np.sum(mass * (2 * points - 1) ** (2 * _FEW)) - powers[-1]
    m2 = np.sum(weights * (lambdas**2 + (1 - lambdas) ** 2))
    return {"moments": np.array(powers[:-1]), "excess": beyond, "m2": m2}


def predict_size(case: BetaMixing) -> jax.Array:
    """60 Gauss-Jacobi nodes, the 8 + 3 sqrt(kappa) of kappa = 300, give the size kappa < 300 of mixup's trained classifier of three
    classes to 1e-10, for alpha from 0.2 to 7.
    """
    nodes = lambda_nodes(jnp.asarray(case.alpha), enough_nodes(300.0))
    return learned_mixup(_CLASSES, *nodes, case.l2_W, case.l2_H).kappa


def _double_exponential(alpha: float) -> tuple[np.ndarray, np.ndarray]:
    """Points and probabilities of Beta(alpha, alpha): equal steps s with lambda = 1/(1 + exp(-pi sinh s))."""
    s = np.linspace(-5, 5, 321)
    points = 1 / (1 + np.exp(-np.pi * np.sinh(s)))  # points[::-1] is 1 - points to full precision
    mass = points**alpha * points[::-1] ** alpha * np.cosh(s)
    return points, mass / mass.sum()


def direct_size(case: BetaMixing) -> float:
    """The root of l2_W l2_H (K - 1) kappa^2 = E(kappa) from SciPy, averages by the double exponential rule.

    Each logit is that of Wright's omega function and of a bisection in log Den.
    """
    K, product = _CLASSES, float(case.l2_W) * float(case.l2_H)
    points, mass = _double_exponential(float(case.alpha))
    t, p = np.append(1.0, points), np.append(1 / K, (1 - 1 / K) * mass)

    def excess(log_kappa: float) -> float:
        kappa = np.exp(log_kappa)

        def logit(log_den: np.ndarray, t: np.ndarray) -> np.ndarray:
            A = kappa * (t + np.exp(-log_den))
            return A - wrightomega(A + log_kappa - log_den)

        low, high = np.full(t.shape, np.log(K)), np.full(t.shape, np.log(kappa * K + K + 4))
        for _ in range(50):
            middle = (low + high) / 2
            above = np.exp(logit(middle, t)) + np.exp(logit(middle, 1 - t)) + K - 2 > np.exp(middle)
            low, high = np.where(above, middle, low), np.where(above, high, middle)
        x, y = logit(low, t), logit(low, 1 - t)
        return product * (K - 1) * kappa**2 - np.sum(p * (x**2 + y**2 - (x + y) ** 2 / K))

    return float(np.exp(brentq(excess, -6, np.log(1 / product) + 2, xtol=1e-12)))


def cases() -> dict[str, BetaMixing]:
    """alpha below, at and above 1, kappa from 1 to 270."""
    sizes = ((0.3, 1e-1), (0.3, 1e-4), (1.0, 1e-4), (5.0, 1e-2))
    return {f"alpha={a} l2_W l2_H={x}": BetaMixing(*map(np.asarray, (a, 3 * x**0.5, x**0.5 / 3))) for a, x in sizes}


def draw(rng: np.random.Generator) -> BetaMixing:
    """Random alpha in [0.2, 7] and ridges."""
    size = float(np.exp(rng.uniform(np.log(1e-4), np.log(5e-2)))) ** 0.5
    return BetaMixing(*map(np.asarray, (np.exp(rng.uniform(np.log(0.2), 2)), size, size)))


THEOREMS = (
    statements.identity(
        "mixup-beta-quadrature", "[golub1969]; the product derived",
        predict, direct, cases, draw, tolerance=1e-13, leaves={"excess": 1e-9}, prove=prove,
    ),
    statements.identity(
        "mixup-node-count", "measured here, on nodes of [golub1969]",
        predict_size, direct_size, cases, draw, status="numerical", tolerance=1e-10,
        notes="The rate, geometric once R exceeds sqrt(kappa), is derived from the width 1/kappa of the layers; the "
        "constants are calibrated.",
    ),
)  # fmt: skip
