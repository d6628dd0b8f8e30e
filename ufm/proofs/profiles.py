"""Profile: a lower bound of several trained layers from minima of one layer at many prices of the nuclear norm.

    min f >= min over x >= 0 of  max(inf loss, max_j f1_j - c_j x) + (L/2) c x^(2/L)

where f1_j is at most the minimum of one layer with l_W l_H = c_j^2, and c at most the geometric mean of the L ridges. At a
minimiser x is the nuclear norm of W_M ... W_1 H in column coordinates: data and bias are at least f1_j - c_j x for every j, and the
penalty at least (L/2) c x^(2/L). Between crossings of the lines the right side is concave, so that finitely many points are looked
at. Tight where every Z has rank one: two classes under cross-entropy or squared hinge.
"""

import dataclasses
from collections.abc import Sequence
from math import exp, log, prod
from typing import Any, NamedTuple

import jax
import numpy as np
from threadpoolctl import threadpool_limits

from ufm.duality.rounding import widened
from ufm.problem import Problem
from ufm.problem.params import Params, end_to_end
from ufm.proofs.balance import with_best_bias
from ufm.proofs.exact import above, ball, below, dyadic, flint, fraction, precision, rational, rationals, text, texts, transposed
from ufm.proofs.floats import number
from ufm.proofs.instance import Columns, Instance, instance_of
from ufm.proofs.obstacles import check_asked, obstacle
from ufm.proofs.one_layer import OneLayer, Solved
from ufm.proofs.proof import FORMAT, Proof, decimals, makers, unproved
from ufm.proofs.sandwich import dual_value, lower_bound, outward
from ufm.proofs.statement import problem_words
from ufm.proofs.values import data, squares
from ufm.search import solve

MOST_SLOPES = 400
_MOST_DIGITS = 12  # that slopes from floats reach


class Line(NamedTuple):
    """data + bias >= lower - price x, with its dual point; solved: the float minimum it was taken at, None for the infimum."""

    price: Any
    lower: Any
    dual: list[Columns]
    solved: Solved | None


class Crossing(NamedTuple):
    """A point that the bound is looked at: x, a proved lower end there, and the lines that meet, the steeper one first."""

    x: Any
    value: Any
    left: Line
    right: Line


def profile(problem: Problem, params: Params | None = None, *, digits: int = 12) -> Proof:
    """lower <= inf f <= upper of several trained layers with free features, for every loss that `prove` knows.

    Args:
      problem: M >= 2 trained layers. params: any point of it, the better the narrower; found by `ufm.solve` where none is given.
      digits: how many digits are asked for; slopes are added until they are reached, until no slope would help, or up to twelve.

    Returns:
      Proof of kind "profile", with the reason where it is wider than asked for; of the kind "none" where nothing is proved.

    Raises:
      ValueError: for numbers that are traced, digits below 1, or where python-flint is not installed.
    """
    check_asked(problem, params, digits)
    reason = _obstacle(problem)
    if reason:
        return unproved(reason)
    wide = widened(problem)
    params = solve(wide, jax.random.key(0)).params if params is None else params
    instance = instance_of(problem)
    asked, digits = digits, min(digits, _MOST_DIGITS)
    bits = _bits(instance, digits)
    with precision(bits + 64):
        weights, h, b, upper = _point(instance, wide, params, bits)
        c = dyadic(below(ball(prod(instance.ridges, start=rational(1))).root(len(instance.ridges))), bits, -1)
        with threadpool_limits(limits=1, user_api="blas"):  # the matrices are small
            lines, lower = _bounded(instance, c, _scaled(instance, weights, h, b), upper, digits, bits)
    document = {
        "format": FORMAT, "kind": "profile", "statement": "",
        "made_by": makers(), "problem": instance.document(),
        "W": [texts(W) for W in weights], "h": texts(h), "b": None if b is None else list(map(text, b)), "c": text(c),
        "slopes": [_written(line) for line in lines], "lower": text(lower), "upper": text(upper),
    }  # fmt: skip
    return _proof(problem, instance, fraction(lower), fraction(upper), asked, document)


def profile_bound(c: Any, factors: int, lines: Sequence[Line]) -> list[Crossing]:
    """The points at which the least value of max_j (lower_j - price_j x) + (L/2) c x^(2/L) over x >= 0 is looked for, in balls.

    Args:
      c: rational. lines: of distinct prices; the flattest has the price zero.
    """
    hull: list[tuple[Any, Line]] = []
    for line in sorted(lines, key=lambda line: line.price, reverse=True):
        start = rational(0)
        while hull:
            start = (hull[-1][1].lower - line.lower) / (hull[-1][1].price - line.price)
            if start > hull[-1][0]:
                break
            hull.pop()
        hull.append((max(start, rational(0)) if hull else rational(0), line))
    crossings = [Crossing(rational(0), hull[0][1].lower, hull[0][1], hull[0][1])]
    for (_, left), (x, right) in zip(hull[:-1], hull[1:], strict=True):
        value = ball(right.lower - right.price * x) + c * factors / 2 * (2 * ball(x).log() / factors).exp()
        crossings.append(Crossing(x, below(value), left, right))
    return crossings


def _bounded(instance: Instance, c: Any, start: Solved, upper: Any, digits: int, bits: int) -> tuple[list[Line], Any]:
    """The lines that meet in the bound, and the bound: slopes are added where it is least until it is near enough to `upper`."""
    factors, layer = len(instance.ridges), OneLayer(instance)
    rate = number(c)

    def line_of(solved: Solved) -> Line:
        q, z = rational(solved.price), layer.logits(solved.Z, solved.b)
        dual, _, lower = lower_bound(dataclasses.replace(instance, ridges=[q, q]), _columns(z), digits + 2, bits)
        return Line(q, lower, dual, solved)

    zeros = [[part.atom.at([rational(0)] * len(y), y) for y in part.targets()] for part in instance.parts]
    infimum = Line(rational(0), outward(below(dual_value(instance, zeros, None)), bits, -1), zeros, None)
    empty = Solved(0.0, 0 * start.Z, _best_bias(instance, start.b, bits))
    dead = max(layer.slope_at_zero(empty.b), 1e-300) * (1 + 1e-9)
    lines = [infimum, line_of(dataclasses.replace(empty, price=dead))]  # from that price on zero is the minimum
    if start.norm > 0:
        lines.append(line_of(layer.solve(min(rate * start.norm ** (2 / factors - 1), 0.999 * dead), start)))
    goal = upper - abs(upper) / rational(10) ** digits
    for _ in range(MOST_SLOPES):
        crossings = profile_bound(c, factors, lines)
        lowest = min(crossings, key=lambda crossing: crossing.value)
        reachable = min(_reached(line, rate, factors) for line in lines if line.solved is not None)
        if lowest.value >= goal or lowest.x == 0 or number(lowest.value) >= reachable - abs(reachable) * 10.0**-digits:
            break
        price = _between(lowest, rate, factors)
        if price is None or any(line.price == rational(price) for line in lines):
            break
        lines.append(line_of(layer.solve(price, _nearest(lines, price, start))))
    crossings = profile_bound(c, factors, lines)
    kept = {id(line): line for crossing in crossings for line in (crossing.left, crossing.right)}
    return [line for line in kept.values() if line is not infimum], outward(min(x.value for x in crossings), bits, -1)


def _nearest(lines: Sequence[Line], price: float, start: Solved) -> Solved:
    """The minimum other than zero at the nearest price."""
    alive = [line.solved for line in lines if line.solved and line.solved.norm]
    return min(alive, key=lambda solved: abs(log(solved.price / price)), default=start)


def _reached(line: Line, rate: float, factors: int) -> float:
    """What no slope lifts the bound above: its value at the nuclear norm where a line touches."""
    assert line.solved is not None
    x = line.solved.norm
    return number(line.lower) + line.solved.price * -x + factors / 2 * rate * x ** (2 / factors)


def _between(crossing: Crossing, rate: float, factors: int) -> float | None:
    """A price between those of two lines that meet: of the one that would touch there, as far as the two tell."""
    x, high = number(crossing.x), number(crossing.left.price)
    left, right = crossing.left.solved, crossing.right.solved
    assert left is not None
    if right is None:
        tangent = rate * x ** (2 / factors - 1)
        return tangent if 0.01 * high < tangent < 0.7 * high else 0.3 * high
    low = number(crossing.right.price)
    if high - low <= 1e-13 * high:
        return None
    share = (x - left.norm) / (right.norm - left.norm) if right.norm > left.norm else 0.5
    share = min(max(share, 0.05), 0.95)
    return exp(log(high) + share * (log(low) - log(high)))


def _point(instance: Instance, problem: Problem, params: Params, bits: int) -> tuple[list[Any], Any, Any, Any]:
    """(weights, h as rows, b, upper): the logits of params in their balanced factors, which cost least, and f there from above."""
    product = np.asarray(end_to_end(problem, params.weights) / problem.scale, float)
    root = np.sqrt(np.asarray(problem.multiplicity, float))
    labels, totals = np.asarray(instance.labels), np.sqrt([number(m) for m in instance.m])
    sums = np.zeros((len(totals), instance.K))
    np.add.at(sums, labels, (product @ np.asarray(params.H, float) * root).T)
    U, s, Vt = np.linalg.svd((sums / totals[:, None]).T, full_matrices=False)
    r = max(1, int(np.sum(s > 1e-9 * s[0])))
    ridges, factors = np.array([number(x) for x in instance.ridges]), len(instance.ridges)
    c = np.exp(np.mean(np.log(ridges)))
    sizes = [np.sqrt(c / ridge) * s[:r] ** (1 / factors) for ridge in ridges]
    h = rationals(sizes[0][:, None] * Vt[:r] / totals)
    weights = [rationals(np.diag(size)) for size in sizes[1:-1]] + [rationals(U[:, :r] * sizes[-1])]
    u = _columns_of(_product_matrix([*reversed(weights), h]) * ball(instance.scale))
    b = None if params.b is None else with_best_bias(instance, u, list(map(rational, np.asarray(params.b))), bits)
    z = u if b is None else [[x + a * y for x, y in zip(column, b, strict=True)] for column, a in zip(u, instance.a, strict=True)]
    penalty = instance.ridges[0] * sum((m * squares([x]) for m, x in zip(instance.m, transposed(h), strict=True)), rational(0))
    penalty += sum((ridge * squares(W) for ridge, W in zip(instance.ridges[1:], weights, strict=True)), rational(0))
    penalty += rational(0) if b is None else instance.lb * squares([b])
    return weights, h, b, outward(above(data(instance, z) + ball(penalty) / 2), bits, 1)


def _scaled(instance: Instance, weights: list[Any], h: Any, b: Any) -> Solved:
    """The point as Z in column coordinates, in floats."""
    Z = np.array([[number(x) for x in row] for row in _product_matrix([*reversed(weights), h]).tolist()])
    return Solved(0.0, Z * np.sqrt([number(m) for m in instance.m]), np.array([number(x) for x in b or [0] * instance.K]))


def _best_bias(instance: Instance, b: np.ndarray, bits: int) -> np.ndarray:
    """The bias that is best where all else is zero."""
    if instance.bias == "none":
        return 0 * b
    u = [[ball(0)] * instance.K for _ in instance.m]
    return np.array([number(x) for x in with_best_bias(instance, u, list(map(rational, b)), bits)])


def _bits(instance: Instance, digits: int) -> int:
    """Bits behind the binary point: the digits asked for, and room for small ridges."""
    least = min(number(min(instance.ridges)), 1.0) / max(1.0, number(max(instance.gains)) ** 0.5)
    return int(3.33 * digits) + 48 + max(0, int(-np.log2(max(least, 1e-300))))


def _obstacle(problem: Problem) -> str:
    """Why nothing is proved; empty where the profile applies."""
    if problem.trainable < 2:
        return "one trained layer or none: convex duality bounds it without a profile"
    if problem.classifier is not None or problem.features != "free" or problem.H0 is not None:
        return "the profile is of trained layers with free features and no proximity term alone"
    if not np.all(np.asarray(problem.ridges) > 0):
        return "a ridge is zero, so that nothing pays for a dual point"
    return obstacle(dataclasses.replace(problem, widths=problem.widths[:1], l2_W=problem.l2_W[:1]))


def _proof(problem: Problem, instance: Instance, lower: Any, upper: Any, digits: int, document: dict[str, Any]) -> Proof:
    """The value, with what it says."""
    gap = (upper - lower) / max(abs(lower), abs(upper)) if upper else upper - lower
    ends, width = decimals(lower, upper), len(document["h"])
    quality = f"a relative gap of {float(gap):.2g}" if upper else "a gap of 0"
    statement = (
        f"{ends[0]} <= min f <= {ends[1]} for all widths of at least {width}, {quality}, "
        f"f the objective of {problem_words(problem, instance)}"
    )
    reached = gap * 10 ** min(digits, _MOST_DIGITS) <= 1
    why = f"slopes are floats, and reach {_MOST_DIGITS}" if reached else "the profile sees the nuclear norm of the logits alone"
    short = "" if gap * 10**digits <= 1 else f"fewer than {digits} digits: {why}"
    return Proof("profile", statement, lower, upper, short, document | {"statement": statement})


def _written(line: Line) -> dict[str, Any]:
    return {"c": text(line.price), "dual": [texts(transposed(q)) for q in line.dual], "lower": text(line.lower)}


def _product_matrix(rows: Sequence[Any]) -> Any:
    """The product of matrices of rationals, in balls."""
    arb_mat = flint().arb_mat
    total = arb_mat(rows[0])
    for factor in rows[1:]:
        total = total * arb_mat(factor)
    return total


def _columns_of(matrix: Any) -> Columns:
    return transposed(matrix.tolist())


def _columns(z: np.ndarray) -> Columns:
    return [[ball(float(x)) for x in column] for column in z.T]

