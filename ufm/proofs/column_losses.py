"""The losses of one column in balls: value, gradient and Hessian in the logits, on a box of them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ufm.proofs.exact import flint


class Kink(Exception):
    """A box on which a squared hinge is not smooth: 1 + z_k - z_true may be zero."""


@dataclass(frozen=True)
class Column:
    """The loss of one column: a ball, K balls and K x K balls."""

    value: Any
    gradient: list[Any]
    hessian: list[list[Any]]


def _diagonal(entries: list[Any]) -> list[list[Any]]:
    zero = flint().arb(0)
    return [[x if k == j else zero for j in range(len(entries))] for k, x in enumerate(entries)]


def _squared_error(z: list[Any], y: tuple[Any, ...]) -> Column:
    g = [x - t for x, t in zip(z, y, strict=True)]
    return Column(sum(x * x for x in g) / 2, g, _diagonal([flint().arb(1)] * len(z)))


def _cross_entropy(z: list[Any], y: tuple[Any, ...]) -> Column:
    """log sum exp u - <y, u> with u = z - z_true: the target of the true class never enters."""
    top = y.index(max(y))
    u = [x - z[top] for x in z]
    odds = [x.exp() for x in u]
    total = sum(odds[:top] + odds[top + 1 :], flint().arb(1))
    p = [x / total for x in odds]
    value = total.log() - sum(t * x for k, (t, x) in enumerate(zip(y, u, strict=True)) if k != top)
    g = [x - t for x, t in zip(p, y, strict=True)]
    g[top] = -sum(g[:top] + g[top + 1 :])
    hessian = [[-x * other for other in p] for x in p]
    for k, x in enumerate(p):
        hessian[k][k] = x * sum((other for j, other in enumerate(p) if j != k), flint().arb(0))
    return Column(value, g, hessian)


def _logistic(z: list[Any], y: tuple[Any, ...]) -> Column:
    """sum_k log(1 + exp(z_k)) - y_k z_k."""
    p = [1 / (1 + (-x).exp()) for x in z]
    value = sum((1 + x.exp()).log() - t * x for x, t in zip(z, y, strict=True))
    return Column(value, [x - t for x, t in zip(p, y, strict=True)], _diagonal([x * (1 - x) for x in p]))


def _squared_hinge(z: list[Any], y: tuple[Any, ...]) -> Column:
    """sum over the wrong classes of max(0, v_k)^2/2, v_k = 1 + z_k - z_true, where no v_k may be zero."""
    arb, K, top = flint().arb, len(z), y.index(max(y))
    v = [1 + x - z[top] for x in z]
    wrong = [k for k in range(K) if k != top]
    if not all(v[k] > 0 or v[k] < 0 for k in wrong):
        raise Kink
    active = [k for k in wrong if v[k] > 0]
    g, hessian = [arb(0)] * K, [[arb(0)] * K for _ in range(K)]
    for k in active:
        g[k], hessian[k][k] = v[k], arb(1)
        hessian[k][top] = hessian[top][k] = arb(-1)
    g[top], hessian[top][top] = -sum((v[k] for k in active), arb(0)), arb(len(active))
    return Column(sum((v[k] * v[k] for k in active), arb(0)) / 2, g, hessian)


LOSSES: dict[str, Callable[[list[Any], tuple[Any, ...]], Column]] = {
    "mse": _squared_error, "ce": _cross_entropy, "logistic": _logistic, "squared hinge": _squared_hinge,
}  # fmt: skip
