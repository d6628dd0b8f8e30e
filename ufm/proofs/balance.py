"""Balance: the bias minimised out, and dual points whose bias gradient G_b is exactly zero.

A residual r = sum_c om_c a_c theta_c of a nearly best bias is moved into the one column with most room; where that leaves the domain,
the dual point is first mixed with one that is balanced and inside, by the least power of two that makes room.
"""

from typing import Any

import numpy as np

from ufm.proofs.exact import ball, middle, rational, rounded
from ufm.proofs.floats import array, floats_of, number
from ufm.proofs.instance import Columns, Instance, Part
from ufm.proofs.values import bias_gradient, combined, gradients

_STEPS = 60  # of Newton in floats; of the chord in balls a quarter


def with_best_bias(instance: Instance, u: Columns, b: list, bits: int) -> list:
    """The bias that minimises f at logits u without bias, to about `bits` bits: Newton in floats, then its last Hessian in balls."""
    with np.errstate(all="ignore"):  # where floats overflow the bias stays as it is
        now, inverse = _in_floats(instance, u, b)
    exact = [rational(float(v)) if np.isfinite(v) else old for v, old in zip(now, b, strict=True)]
    return _polished(instance, u, exact, inverse, bits)


def _in_floats(instance: Instance, u: Columns, b: list) -> tuple[np.ndarray, np.ndarray]:
    """(bias, inverse of its Hessian) by damped Newton."""
    floats, x = floats_of(instance), array(u)
    lb, now = number(instance.lb), np.array(list(map(number, b)))
    inverse = np.zeros((instance.K, instance.K))
    for _ in range(_STEPS):
        z = x + now[:, None] * floats.a[None, :]
        residual = floats.slopes(z) @ (floats.shares * floats.a) + lb * now
        curvature = np.einsum("c,ckl->kl", floats.shares * floats.a**2, floats.curvatures(z)) + lb * np.eye(instance.K)
        if not (np.all(np.isfinite(curvature)) and np.all(np.isfinite(residual))):
            break
        inverse = pseudo_inverse(curvature, 1e-13)
        step = inverse @ residual
        largest = np.max(np.abs(step), initial=0.0)
        now = now - step * min(1.0, 2.0 / max(largest, 1e-300))
        if largest <= 1e-13 * (1 + np.max(np.abs(now))):
            break
    return now, inverse


def _polished(instance: Instance, u: Columns, b: list, inverse: np.ndarray, bits: int) -> list:
    """The chord with a float inverse and residuals in balls, as long as they shrink."""
    least, best = None, b
    for _ in range(_STEPS // 4):
        z = [[x + a * ball(v) for x, v in zip(column, b, strict=True)] for column, a in zip(u, instance.a, strict=True)]
        theta = gradients(instance, z)
        residual = [r + instance.lb * v for r, v in zip(bias_gradient(instance, theta), b, strict=True)]
        size = max(abs(middle(r)) for r in residual)
        if least is not None and 2 * size > least:
            break
        least, best = size, b
        if size <= _total(instance, theta) / 2**bits:
            break
        unit = size  # residuals may be smaller than floats
        step = inverse @ np.array([number(middle(r) / unit) for r in residual])
        b = [rounded(v - rational(float(s)) * unit, bits + 32) for v, s in zip(b, step, strict=True)]
    return best


def _total(instance: Instance, theta: Columns) -> Any:
    """sum_c om_c |a_c| |theta_c|_inf, what a residual is small against."""
    sizes = [max(abs(middle(t)) for t in column) for column in theta]
    return sum((s * abs(a) * t for s, a, t in zip(instance.shares, instance.a, sizes, strict=True)), rational(0))


def pseudo_inverse(H: np.ndarray, share: float) -> np.ndarray:
    """Of a symmetric matrix, its diagonal scaled to one; eigenvalues below a share of the largest count as zero."""
    d = np.sqrt(np.abs(np.diag(H)))
    d = np.where(d > 0, d, 1)
    values, V = np.linalg.eigh(H / d[:, None] / d[None, :])
    kept = np.abs(values) > share * np.max(np.abs(values), initial=0.0)
    return (V * np.where(kept, 1 / np.where(kept, values, 1), 0)[None, :]) @ V.T / d[:, None] / d[None, :]


def balanced(instance: Instance, dual: list[Columns]) -> list[Columns]:
    """The dual point moved and mixed until G_b = 0 exactly; every target has to be rational."""
    residual, moved = bias_gradient(instance, combined(instance, dual)), list(dual)
    for rows in dict.fromkeys((part.first, len(part.Y[0])) for part in instance.parts):
        there = [i for i, part in enumerate(instance.parts) if (part.first, len(part.Y[0])) == rows]
        chosen = min(there, key=lambda i: instance.parts[i].atom.coupled)  # one that need not sum to zero, where there is one
        _move(instance, moved, there, chosen, residual[instance.parts[chosen].rows])
    return moved


def _move(instance: Instance, dual: list[Columns], there: list[int], chosen: int, residual: list) -> None:
    """Take a residual out of the rows of the parts `there`, which are mixed alike, through one column of the part `chosen`."""
    if not any(residual):
        return
    part, q = instance.parts[chosen], dual[chosen]
    rates = [part.weight / part.temperature * share * a for share, a in zip(instance.shares, instance.a, strict=True)]
    usable = [c for c, rate in enumerate(rates) if rate > 0]
    inner = {i: interior(instance, instance.parts[i]) for i in there}
    rooms = {c: min(part.atom.room(q[c], part.Y[c])) for c in usable}
    c = max(usable, key=lambda c: (rates[c] * rooms[c], rates[c] * min(part.atom.room(inner[chosen][c], part.Y[c]))))
    shift = [-r / rates[c] for r in residual]
    at = [x + s for x, s in zip(q[c], shift, strict=True)]
    if min(part.atom.room(at, part.Y[c])) >= 0:
        dual[chosen] = [*q[:c], at, *q[c + 1 :]]
        return
    room = part.atom.room(inner[chosen][c], part.Y[c])
    share = max((abs(s) / r if r > 0 else rational(2) for s, r in zip(shift, room, strict=True) if s), default=rational(0))
    e = rational(2) ** (int(share.p).bit_length() - int(share.q).bit_length() + 1)
    if e >= 1:
        for i in there:
            dual[i] = inner[i]
        return
    for i in there:
        dual[i] = [[(1 - e) * x + e * y for x, y in zip(*pair, strict=True)] for pair in zip(dual[i], inner[i], strict=True)]
    dual[chosen][c] = [x + (1 - e) * s for x, s in zip(dual[chosen][c], shift, strict=True)]


def interior(instance: Instance, part: Part) -> Columns:
    """A balanced dual point of a part with room: the mean target for all columns that feel the bias, or for the hinge even shares."""
    rates = [share * a for share, a in zip(instance.shares, instance.a, strict=True)]
    if part.atom.name == "squared hinge":
        true = [y.index(max(y)) for y in part.Y]
        felt = [sum(t == k for t, rate in zip(true, rates, strict=True) if rate) for k in range(len(part.Y[0]))]
        columns = []
        for t, rate in zip(true, rates, strict=True):
            each = 1 / (rate * felt[t]) if rate else rational(0)
            columns.append([-each * (len(felt) - 1) if k == t else each for k in range(len(felt))])
        return columns
    total = sum(rates, rational(0))
    mean = [sum((rate * y[k] for rate, y in zip(rates, part.Y, strict=True)), rational(0)) / total for k in range(len(part.Y[0]))]
    return [mean if rate else y for rate, y in zip(rates, part.Y, strict=True)]
