"""Sandwich: lower <= inf f <= upper of one trained layer or a fixed classifier, from a point and a dual point in exact numbers.

    upper = f(W, h, b) in balls
    lower = - sum_c om_c loss_c*(theta_c) - |G_b|^2/(2 l_b) - pull,     theta = sum over parts of (weight/temperature) t in its rows

where l_W l_H I - S is positive definite, S = (scale/N)^2 sum_c w_c^2 m_c theta_c theta_c' (or, for non-negative features, where
l_W l_H diag(1/m_c) - B is, B_cd = max(0, theta_c . theta_d) w_c w_d (scale/N)^2), and G_b = sum_c om_c a_c theta_c = 0 under a free
bias, exactly. pull: what features gain against a fixed classifier, or on the sphere. `lower` holds for every width.
"""

from dataclasses import dataclass
from typing import Any

from ufm.proofs.balance import balanced, with_best_bias
from ufm.proofs.definite import largest_eigenvalue, positive_definite
from ufm.proofs.exact import above, ball, below, dyadic, flint, precision, rational, transposed
from ufm.proofs.instance import Columns, Instance
from ufm.proofs.values import (
    Point,
    bias_gradient,
    combined,
    constants,
    features_logits,
    logits,
    objective,
    penalty,
    sphere_penalty,
)


@dataclass(frozen=True)
class Sandwich:
    """lower <= inf f <= upper (rationals), the point and the dual point (a matrix of columns a part), and the sphere's norm."""

    lower: Any
    upper: Any
    point: Point
    dual: list[Columns]
    norm: Any = None

    def reaches(self, digits: int) -> bool:
        """Whether the two ends agree to so many digits."""
        return (self.upper - self.lower) * rational(10) ** digits <= max(abs(self.lower), abs(self.upper))


def sandwich(instance: Instance, point: Point, digits: float) -> Sandwich:
    """Both ends at a point, with as many bits as `digits` of the value take; the bias is minimised out first.

    Args:
      instance: one trained layer, or a fixed classifier. point: any point of it, in the domain of its features.
    """
    bits = working_bits(instance, point, digits)
    with precision(bits + 64 + bits_before_the_point(instance, point)):
        if point.b is not None:
            point = Point(point.W, point.h, with_best_bias(instance, features_logits(instance, point), point.b, bits))
    with precision(bits + 64 + bits_before_the_point(instance, point)):
        z = logits(instance, point)
        upper = outward(above(objective(instance, point, z)), bits, 1)
        dual, norm, lower = lower_bound(instance, z, digits, bits)
    return Sandwich(lower, upper, point, dual, norm)


def lower_bound(instance: Instance, z: Columns, digits: float, bits: int) -> tuple[list[Columns], Any, Any]:
    """(dual point, norm, lower) from the logits of any point, in balls of the present precision."""
    dual = [
        [part.atom.repaired(part.atom.dual(part.scaled(z[c], c), y), y, bits) for c, y in enumerate(part.targets())]
        for part in instance.parts
    ]
    if instance.bias == "free":
        dual = balanced(instance, dual)
    dual, norm = scaled(instance, dual, _spare(digits))
    return dual, norm, outward(below(dual_value(instance, dual, norm)), bits, -1)


def working_bits(instance: Instance, point: Point, digits: float) -> int:
    """Bits behind the binary point of dual points: the digits asked for, and what ridges and small values add to them."""
    with precision(128 + bits_before_the_point(instance, point)):
        value = max(map(below, (objective(instance, point, logits(instance, point)), penalty(instance, point))))
        needed = [value / sum(instance.shares, rational(0))]
        if instance.trained and instance.features != "sphere":
            needed.append(instance.ridges[0] * instance.ridges[1] / max(instance.gains))
            needed[-1] = below(ball(needed[-1]).sqrt())
    least = min(needed)
    spare = max(0, int(least.q).bit_length() - int(least.p).bit_length()) if least > 0 else 0
    return _spare(digits) + 20 + spare


def bits_before_the_point(instance: Instance, point: Point) -> int:
    """Of the largest logits that there may be."""
    matrices = instance.rows(point.W), point.h, [point.b or [0]], [instance.a]
    largest = [max(abs(x) for row in matrix for x in row) for matrix in matrices]
    bound = instance.scale * len(point.h[0]) * largest[0] * largest[1] + largest[2] * largest[3]
    return max(0, int(rational(bound).ceil()).bit_length())


def _spare(digits: float) -> int:
    """Bits of a value that may be given away."""
    return int(3.33 * digits) + 8


def scaled(instance: Instance, dual: list[Columns], spare: int) -> tuple[list[Columns], Any]:
    """(tau times the dual point, norm): tau at most 1 such that the ridges pay for it; on the sphere a proved norm^2."""
    theta = combined(instance, dual)
    if not instance.trained:
        return dual, None
    forms = [gram(instance, theta)]
    if instance.features == "nonnegative":
        forms.append(overlaps(instance, theta))
    guesses = [largest_eigenvalue(S, spare) for S in forms]
    lam, S = min(zip(guesses, forms, strict=True), key=lambda pair: pair[0])
    while spare > 0:
        room = lam * (1 + rational(2) ** -spare)
        if instance.features == "sphere":
            norm = dyadic(room, spare + 8, 1)
            if positive_definite(identity_minus(norm, S)):
                return dual, norm
        else:
            budget = instance.ridges[0] * instance.ridges[1]
            tau = rational(1) if room < budget else dyadic(below(ball(budget / room).sqrt()), spare + 8, -1)
            if positive_definite(identity_minus(budget / tau**2, S)):
                return [shrunk(instance, i, tau, part) for i, part in enumerate(dual)], None
        spare -= 1 + spare // 8  # the guess was too low
    nothing = [shrunk(instance, i, rational(0), part) for i, part in enumerate(dual)]
    return nothing, rational(2) ** -256 if instance.features == "sphere" else None


def shrunk(instance: Instance, i: int, tau: Any, q: Columns) -> Columns:
    """The dual point of tau t of a part."""
    if tau == 1:
        return q
    part = instance.parts[i]
    if part.kind == "rational":
        return [part.atom.at([tau * t for t in part.atom.moved(x, y)], y) for x, y in zip(q, part.Y, strict=True)]
    mixed = [part.atom.at([tau * (a - b) for a, b in zip(x, y, strict=True)], y) for x, y in zip(q, part.targets(), strict=True)]
    return [part.atom.repaired(x, y, flint().ctx.prec) for x, y in zip(mixed, part.Y, strict=True)]


def gram(instance: Instance, theta: Columns) -> Any:
    """S in balls."""
    arb_mat = flint().arb_mat
    weighted = arb_mat([[gain * t for t in column] for gain, column in zip(instance.gains, theta, strict=True)])
    return arb_mat(transposed(theta)) * weighted


def overlaps(instance: Instance, theta: Columns) -> Any:
    """B_cd sqrt(m_c m_d) in balls: what non-negative features can gain."""
    arb_mat = flint().arb_mat
    roots = [ball(gain).sqrt() for gain in instance.gains]
    T = arb_mat([[root * t for t in column] for root, column in zip(roots, theta, strict=True)])
    return arb_mat([[x.max(0) for x in row] for row in (T * T.transpose()).tolist()])


def identity_minus(t: Any, S: Any) -> list:
    """t I - S."""
    rows = (-S).tolist()
    for k, row in enumerate(rows):
        row[k] += t
    return rows


def dual_value(instance: Instance, dual: list[Columns], norm: Any) -> Any:
    """The lower bound of a dual point that the ridges pay for, in a ball."""
    theta, total = combined(instance, dual), ball(0)
    for part, q in zip(instance.parts, dual, strict=True):
        for c, (share, x, y) in enumerate(zip(instance.shares, q, part.targets(), strict=True)):
            gained = part.atom.minus_conjugate(x, y)
            gained = part.weight * (gained - part.atom.entropy(y) if part.divergence else gained)
            if part.shift is not None:
                shifted = sum((a * b for a, b in zip(part.atom.moved(x, y), part.shift[c], strict=True)), rational(0))
                gained -= part.weight / part.temperature * shifted
            total += share * gained
    total -= constants(instance)
    if instance.bias == "ridge":
        total -= sum((x * x for x in bias_gradient(instance, theta)), ball(0)) / (2 * instance.lb)
    return total + pulled(instance, theta, norm)


def pulled(instance: Instance, theta: Columns, norm: Any) -> Any:
    """Minus what features gain: against a fixed classifier, or on the sphere, whose ridges are constant."""
    if instance.trained:
        if instance.features != "sphere":
            return ball(0)
        return ball(sphere_penalty(instance)) - (ball(norm) * instance.K * sum(instance.m, rational(0))).sqrt()
    total, columns = ball(0), transposed(instance.rows(None))
    for gain, m, column in zip(instance.gains, instance.m, theta, strict=True):
        pull = [-sum((a * t for a, t in zip(row, column, strict=True)), rational(0)) for row in columns]
        if instance.features == "nonnegative":
            pull = [ball(x).max(0) if not isinstance(x, flint().arb) else x.max(0) for x in pull]
        square = sum((x * x for x in pull), ball(0))
        if instance.features == "sphere":
            total -= (gain * m * square).sqrt()
        else:
            total -= gain * square / (2 * instance.ridges[0])
    return total + (sphere_penalty(instance) if instance.features == "sphere" else 0)


def outward(x: Any, bits: int, side: int) -> Any:
    """x moved outwards (side 1 upwards, -1 downwards) to so many bits: room for a reader whose balls are not ours."""
    return dyadic(x + side * abs(x) / 2**bits, bits, side)
