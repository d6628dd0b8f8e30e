"""Values: f of an exact point in balls, the gradients of its losses, and the matrix theta of a dual point.

A matrix of columns is a list of them. Rationals stay rationals as long as they can, so that zeros are exact.
"""

from dataclasses import dataclass
from typing import Any

from ufm.proofs.exact import ball, flint, raised, rational, transposed
from ufm.proofs.instance import Columns, Instance


@dataclass(frozen=True)
class Point:
    """Rationals: W (K rows of d, None under a fixed classifier), h (C columns of d features a sample), b (K, or None)."""

    W: list | None
    h: Columns
    b: list | None


def features_logits(instance: Instance, point: Point) -> Columns:
    """scale W h_c in balls, column by column."""
    arb_mat = flint().arb_mat
    rows, h = arb_mat(instance.rows(point.W)), arb_mat(transposed(point.h))
    if instance.features == "sphere":
        h = arb_mat(transposed([unit(column) for column in transposed(h.tolist())]))
        rows = rows if point.W is None else arb_mat([unit(row) for row in rows.tolist()])
    return transposed((rows * h * ball(instance.scale)).tolist())


def unit(x: list) -> list:
    """x/|x| in balls."""
    norm = sum((a * a for a in x), ball(0)).sqrt()
    return [a / norm for a in x]


def logits(instance: Instance, point: Point) -> Columns:
    """scale W h_c + a_c b in balls, column by column."""
    z = features_logits(instance, point)
    if point.b is None:
        return z
    return [[x + a * b for x, b in zip(column, point.b, strict=True)] for column, a in zip(z, instance.a, strict=True)]


def objective(instance: Instance, point: Point, z: Columns) -> Any:
    """f at a point of logits z, in a ball."""
    return data(instance, z) + penalty(instance, point)


def data(instance: Instance, z: Columns) -> Any:
    """sum_c om_c loss_c(z_c) in a ball."""
    total = ball(0)
    for part in instance.parts:
        for c, (share, y) in enumerate(zip(instance.shares, part.targets(), strict=True)):
            loss = part.atom.value(part.scaled(z[c], c), y)
            total += share * part.weight * (loss - part.atom.entropy(y) if part.divergence else loss)
    return total - constants(instance)


def constants(instance: Instance) -> Any:
    """sum_c om_c sum_p log_classes_p log rows_p."""
    every = sum((part.log_classes * ball(len(part.Y[0])).log() for part in instance.parts if part.log_classes), ball(0))
    return every * sum(instance.shares, rational(0))


def penalty(instance: Instance, point: Point) -> Any:
    """The ridges, and proximity where there is any."""
    total = rational(0)
    if instance.features == "sphere":
        total += sphere_penalty(instance)
    else:
        total += instance.ridges[0] * sum((m * squares([h]) for m, h in zip(instance.m, point.h, strict=True)), total)
        if point.W is not None:
            total += instance.ridges[1] * squares(point.W)
        total /= 2
    if point.b is not None:
        total += instance.lb * squares([point.b]) / 2
    result = ball(total)
    if instance.H0 is not None:
        for m, h, centre in zip(instance.m, point.h, instance.H0, strict=True):
            root = ball(m).sqrt()
            result += ball(instance.beta) * sum((raised(root * a - x, 2) for a, x in zip(h, centre, strict=True)), ball(0)) / 2
    return result


def sphere_penalty(instance: Instance) -> Any:
    """What the ridges charge for every point of the sphere."""
    rows = instance.ridges[1] * instance.K if instance.trained else 0
    return (instance.ridges[0] * sum(instance.m, rational(0)) + rows) / 2


def squares(rows: list) -> Any:
    """The sum of the squares of rationals."""
    return sum((x * x for row in rows for x in row), rational(0))


def combined(instance: Instance, dual: list[Columns]) -> Columns:
    """theta, column by column: rationals, or balls where targets are a teacher's."""
    theta = [[rational(0)] * instance.K for _ in instance.m]
    for part, q in zip(instance.parts, dual, strict=True):
        factor = part.weight / part.temperature
        for column, x, y in zip(theta, q, part.targets(), strict=True):
            for k, t in enumerate(part.atom.moved(x, y), start=part.first):
                column[k] = column[k] + (t if factor == 1 else factor * t)
    return theta


def gradients(instance: Instance, z: Columns) -> Columns:
    """The gradients of the losses in the logits, in balls."""
    every = [part.targets() for part in instance.parts]
    dual = []
    for part, Y in zip(instance.parts, every, strict=True):
        dual.append([part.atom.dual(part.scaled(z[c], c), y) for c, y in enumerate(Y)])
    return combined(instance, dual)


def bias_gradient(instance: Instance, theta: Columns) -> list:
    """G_b = sum_c om_c a_c theta_c."""
    factors = [share * a for share, a in zip(instance.shares, instance.a, strict=True)]
    return [sum((f * t for f, t in zip(factors, row, strict=True)), rational(0)) for row in transposed(theta)]
