"""Prove: the global minimum of a problem between two rationals, from any point of it."""

from math import sqrt
from typing import Any

import jax
import numpy as np
from threadpoolctl import threadpool_limits

from ufm.duality.rounding import widened
from ufm.problem import Problem
from ufm.problem.params import Params
from ufm.proofs.exact import fraction, rational, rationals, text, texts, transposed
from ufm.proofs.instance import Instance, instance_of
from ufm.proofs.obstacles import check_asked, obstacle
from ufm.proofs.one_layer import OneLayer, Solved
from ufm.proofs.profiles import profile
from ufm.proofs.proof import FORMAT, Proof, makers, unproved
from ufm.proofs.refine import LARGEST, refined, unknowns
from ufm.proofs.sandwich import Sandwich, sandwich, working_bits
from ufm.proofs.statement import sandwich_statement, shortfall
from ufm.proofs.values import Point
from ufm.search import solve

MOST_DIGITS = 1000


def prove(problem: Problem, params: Params | None = None, *, digits: int = 12) -> Proof:
    """lower <= inf f <= upper of one instance, in rational numbers and balls, as a file that anyone can check.

    One trained layer, or a fixed classifier, of mse, cross-entropy, one-vs-all logistic, squared hinge, LDR-KL and the losses of
    distillation, with any class sizes, weights, soft targets, bias mode and features: by convex duality (`ufm.proofs.sandwich`).
    Several trained layers by the bounds of one (`ufm.proofs.profiles`). The problem is that of its floats, each taken as the
    rational that it is, unless it was given fractions or decimal strings (`ufm.problem.meant`).

    Args:
      problem: the problem, of known numbers. params: any point of it; found by `ufm.solve` where none is given. A bad point gives
        a wide enclosure, and never a false one.
      digits: how many digits of the value are asked for. Where the point does not reach them it is refined by Newton's method.

    Returns:
      Proof of the kind "sandwich" or "profile"; of the kind "none", with the reason, where nothing is proved.

    Raises:
      ValueError: for numbers that are traced or not finite; where python-flint is not installed, naming the extra.

    Example:
      >>> import ufm
      >>> problem = ufm.Problem.balanced(classes=3, per_class=2, widths=3, loss="mse", l2_W=0.25, l2_H=0.25)
      >>> prove(problem).proved
      True
    """
    check_asked(problem, params, digits, MOST_DIGITS)
    if problem.trainable >= 2:
        return profile(problem, params, digits=digits)
    reason = obstacle(problem)
    if reason:
        return unproved(reason)
    wide = widened(problem)
    instance = instance_of(problem)
    found = None
    if params is None and _is_small(problem, instance):
        found = best_sandwich(instance, searched(instance), digits)
    if found is None or (params is None and not found.reaches(digits)):
        params = solve(wide, jax.random.key(0)).params if params is None else params
        other = best_sandwich(instance, point_of(instance, wide, params), digits)
        found = other if found is None else min(found, other, key=lambda x: x.upper - x.lower)
    return sandwich_proof(problem, instance, found, digits)


def _is_small(problem: Problem, instance: Instance) -> bool:
    """Whether Newton's method in NumPy, which compiles nothing, may look for the point: smooth, free and as wide as any minimum."""
    K, C = instance.K, len(instance.m)
    if any(part.atom.name == "squared hinge" for part in instance.parts):  # steps across its kinks are many
        return False
    free = problem.trainable == 1 and problem.features == "free" and problem.H0 is None
    return free and problem.widths[0] >= min(K, C) and (K + C) * min(K, C) <= LARGEST


def searched(instance: Instance) -> Point:
    """A point near the minimum of one trained layer with free features, by Newton's method in floats (`ufm.proofs.one_layer`)."""
    layer, price = OneLayer(instance), sqrt(float(fraction(instance.ridges[0] * instance.ridges[1])))
    zero = np.zeros((instance.K, len(instance.m)))
    b = np.zeros(instance.K)
    with threadpool_limits(limits=1, user_api="blas"):  # the matrices are small
        solved = layer.solve(price, Solved(price, -layer.pull(zero, b), b))
    U, S, V = np.linalg.svd(solved.Z, full_matrices=False)
    root = np.sqrt([float(fraction(m)) for m in instance.m])
    W, h = _balanced(instance, U * np.sqrt(S), V.T * np.sqrt(S) / root[:, None])
    bias = None if instance.bias == "none" else list(map(rational, solved.b))
    return Point(rationals(W), rationals(h), bias)


def best_sandwich(instance: Instance, point: Point, digits: int) -> Sandwich:
    """The enclosure of a point, or of the point refined where it does not reach the digits asked for and that is narrower."""
    found = sandwich(instance, point, digits)
    if found.reaches(digits):
        return found
    if instance.features == "sphere" or instance.H0 is not None or unknowns(instance, point) > LARGEST:
        return found
    refined_point = refined(instance, found.point, working_bits(instance, found.point, digits))
    return min(found, sandwich(instance, refined_point, digits), key=lambda x: x.upper - x.lower)


def point_of(instance: Instance, problem: Problem, params: Params) -> Point:
    """Params as exact numbers: features a sample, the means of merged columns, W h in its balanced factors where both are free."""
    with np.errstate(all="ignore"):  # what overflows is not balanced
        return _point(instance, problem, params)


def _point(instance: Instance, problem: Problem, params: Params) -> Point:
    H, root = np.asarray(params.H, float), np.sqrt(np.asarray(problem.multiplicity, float))
    labels, columns = np.asarray(instance.labels), len(instance.m)
    sums = np.zeros((columns, H.shape[0]))
    np.add.at(sums, labels, (H * root[None, :]).T)
    h = sums / np.bincount(labels, root**2, columns)[:, None]
    W = np.asarray(params.weights[0], float) if params.weights else None
    if instance.features == "nonnegative":
        h = np.maximum(h, 0)
    if instance.features == "sphere":
        h = _directed(h)
        W = None if W is None else _directed(W)
    if W is not None and instance.features == "free" and instance.H0 is None:
        W, h = _balanced(instance, W, h)
    b = None if params.b is None else list(map(rational, np.asarray(params.b)))
    return Point(None if W is None else rationals(W), rationals(h), b)


def _directed(rows: np.ndarray) -> np.ndarray:
    """Rows without a direction get one."""
    rows = rows.copy()
    rows[~rows.any(axis=1), 0] = 1
    return rows


def _balanced(instance: Instance, W: np.ndarray, h: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The factors of W h of least penalty, in no more than min(K, C) features: other widths are these padded with zeros."""
    l_H, l_W = (float(fraction(x)) for x in instance.ridges)
    root = np.sqrt([float(fraction(m)) for m in instance.m])
    Z = W @ (h * root[:, None]).T
    if not np.all(np.isfinite(Z)):
        return W, h
    U, S, V = np.linalg.svd(Z, full_matrices=False)
    width = min(W.shape[1], len(S))
    ratio = (l_H / l_W) ** 0.25
    roots = np.sqrt(S[:width])
    factors = U[:, :width] * roots * ratio, V[:width].T * roots / ratio / root[:, None]
    return factors if all(np.all(np.isfinite(x)) for x in factors) else (W, h)


def sandwich_proof(problem: Problem, instance: Instance, found: Sandwich, digits: int) -> Proof:
    """The value and the file of an enclosure."""
    lower, upper = fraction(found.lower), fraction(found.upper)
    statement = sandwich_statement(problem, instance, found)
    point = found.point
    document: dict[str, Any] = {
        "format": FORMAT, "kind": "sandwich", "statement": statement,
        "made_by": makers(),
        "problem": instance.document(),
        "W": None if point.W is None else texts(point.W), "h": texts(transposed(point.h)),
        "b": None if point.b is None else list(map(text, point.b)),
        "dual": [texts(transposed(q)) for q in found.dual],
        "norm": None if found.norm is None else text(found.norm), "lower": text(found.lower), "upper": text(found.upper),
    }  # fmt: skip
    return Proof("sandwich", statement, lower, upper, shortfall(instance, found, digits), document)

