"""The objective at an explicit point, as expressions: every number of the point has a name, so that a file holds all of them.

Matrices are lists of rows of expressions. f is that of `ufm.problem`, for squared error, and cross-entropy of one-hot targets.
"""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from ufm.base.checks import check_choice, refuse
from ufm.problem import Problem
from ufm.problem.meant import exact
from ufm.problem.params import Params, check_order, check_point
from ufm.proofs.exact import rational, transposed
from ufm.proofs.expressions import ONE, ZERO, Expression, exp, log, name, number, sqrt, total

Rows = Sequence[Sequence[Expression]]
Names = list[tuple[str, Expression]]


def named(label: str, matrix: Any) -> tuple[Names, Rows]:
    """A name, such as W_1_2, for every exact number of a matrix that is not zero, and the rows of names and zeros."""
    rows = [[rational(entry) for entry in row] for row in matrix]
    where = [(f"{label}_{i}_{j}", number(e)) for i, row in enumerate(rows, 1) for j, e in enumerate(row, 1) if e != 0]
    return where, [[name(f"{label}_{i}_{j}") if e != 0 else ZERO for j, e in enumerate(row, 1)] for i, row in enumerate(rows, 1)]


def product(A: Rows, B: Rows) -> Rows:
    """A B."""
    return [[total([a * b for a, b in zip(row, column, strict=True)]) for column in transposed(B)] for row in A]


def combination(A: Rows, B: Rows, share: Any) -> Rows:
    """A + share B."""
    return [[a + share * b for a, b in zip(*pair, strict=True)] for pair in zip(A, B, strict=True)]


def inner(A: Rows, B: Rows) -> Expression:
    """<A, B>, the sum of the products of entries."""
    return total([a**2 if a is b else a * b for pair in zip(A, B, strict=True) for a, b in zip(*pair, strict=True)])


def labelled(label: str, A: Rows) -> tuple[Names, Rows]:
    """A name for every entry that is an expression, and the rows of names, numbers as they are."""
    entries = [[(f"{label}_{i}_{j}", e) for j, e in enumerate(row, 1)] for i, row in enumerate(A, 1)]
    where = [(key, e) for row in entries for key, e in row if e.operation != "number"]
    return where, [[e if e.operation == "number" else name(key) for key, e in row] for row in entries]


def objective_expression(problem: Problem, params: Params) -> Names:
    """Names of the numbers of a point, of its logits, and last of all "found", which is f there.

    Args:
      problem: known numbers, taken exactly; loss "mse", or "ce" with one-hot targets. params: a point of it, to the last bit.

    Raises:
      ValueError: for another loss, or soft targets of cross-entropy.
    """
    check_order(problem, params)
    check_choice("the loss of the problem", problem.loss.name, ("mse", "ce"))
    check_point(problem, params)
    Y, of = exact(problem, "targets"), {n: exact(problem, n)[()] for n in ("samples", "scale", "l2_H", "l2_b", "beta")}
    m, w, a = (exact(problem, n) for n in ("multiplicity", "weight", "intercept"))
    if problem.loss.name == "ce" and not all(sorted(y) == [0] * (len(y) - 1) + [1] for y in Y.T.tolist()):
        refuse("targets", "soft targets", "one-hot for the expression of cross-entropy")
    where, H = named("H", np.asarray(params.H))
    penalties: list[Expression] = [of["l2_H"] / 2 * inner(H, H)]
    roots = [ONE if x == 1 else sqrt(number(x)) for x in m]
    Z: Rows = [[h / root for h, root in zip(row, roots, strict=True)] for row in H]
    for i, (W, l2) in enumerate(zip(params.weights, exact(problem, "l2_W"), strict=True), 1):
        more, rows = named(f"W{i}", np.asarray(W))
        penalties.append(l2 / 2 * inner(rows, rows))
        inside, Z = labelled(f"Z{i}", product(rows, Z))
        where += [*more, *inside]
    if problem.classifier is not None:
        Z = product([[number(e) for e in row] for row in exact(problem, "classifier")], Z)
    if params.b is not None:
        more, [b] = named("b", [np.asarray(params.b)])
        where += more
        penalties.append(of["l2_b"] / 2 * inner([b], [b]))
        Z = [[of["scale"] * z + x * bias for z, x in zip(row, a, strict=True)] for row, bias in zip(Z, b, strict=True)]
    else:
        Z = [[of["scale"] * z for z in row] for row in Z]
    if problem.H0 is not None:
        more, H0 = named("H0", exact(problem, "H0"))
        where += more
        apart = combination(H, H0, -1)
        penalties.append(of["beta"] / 2 * inner(apart, apart))
    of_logits, names = labelled("z", Z)
    columns = _merged(transposed(names), transposed(Z), Y.T.tolist(), w * m / of["samples"])
    losses = [share * _loss(problem.loss.name, z, y) for z, y, share in columns]
    return [*where, *of_logits, ("found", total([*losses, *penalties]))]


def _merged(names: Rows, Z: Rows, targets: list, shares: Any) -> list[tuple[Any, list, Fraction]]:
    """Columns of the loss, those of equal expressions and targets as one."""
    found: dict[str, tuple[Any, list, Fraction]] = {}
    for label, z, y, share in zip(names, Z, targets, shares, strict=True):
        key = str(([e.tree() for e in z], y))
        first = found.get(key, (label, y, Fraction(0)))
        found[key] = (*first[:2], first[2] + share)
    return list(found.values())


def _loss(kind: str, z: Sequence[Expression], y: list) -> Expression:
    if kind == "mse":
        return total([(a - t) ** 2 for a, t in zip(z, y, strict=True)]) / 2
    true = y.index(1)
    return log(1 + total([exp(a - z[true]) for k, a in enumerate(z) if k != true]))
