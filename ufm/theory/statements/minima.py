"""Theorems about the minimum of a problem: one measurement and one body of evidence for all of them.

The measurement knows nothing of the theorem: each class is split into two columns of half its samples, which start at
independent random points, so that within-class collapse is something to be found.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ufm.base.checks import refuse
from ufm.duality import Certificate, certificate_kind, certify, is_tight
from ufm.equivalent.columns import split_columns
from ufm.equivalent.standard import point_with_bias, resize, shared_form
from ufm.equivalent.widths import spanned_width
from ufm.losses import MSE, is_loss
from ufm.problem import Problem, run_starts
from ufm.problem.params import Params
from ufm.proofs import Proof, prove
from ufm.search.solution import Solution, solve
from ufm.theory.consistency import consistency_checks, size_of, uniqueness_check
from ufm.theory.invariants import Examination, examine, sees_curvature
from ufm.theory.prediction import Prediction
from ufm.theory.statements.deep import proved_deep
from ufm.theory.statements.own import Cases, Evidence, other
from ufm.theory.theorem import Assumption, Check, Theorem, below, gap_checks, relative_error

_PARTS = 2
_DEEP_STARTS = 24
_INVARIANTS = ("singular_values", "class_gram", "classifier_gram", "logits", "bias")


class Measured(NamedTuple):
    """A measured minimum: the split problem it was found in, the solution, its geometry, and its certificate where tight."""

    problem: Problem
    solution: Solution
    geometry: Examination
    certificate: Certificate | None


def measured_minimum(problem: Problem, key: jax.Array, starts: int | None = None) -> Measured:
    """Minimise from random uncollapsed starts, then examine and certify what was found.

    By default as many starts as `ufm.solve` takes, thrice as many where M >= 2 trained layers have local minima of higher value.
    """
    split = split_problem(problem)
    if starts is None and problem.trainable >= 2:
        starts = _DEEP_STARTS
    solution = solve(split, key, columns="raw", starts=starts)
    geometry = examine_point(split, solution.params)
    certificate = certify(split, solution.params) if is_certified_tightly(split) else None
    return Measured(split, solution, geometry, certificate)


def split_problem(problem: Problem) -> Problem:
    """Two columns a class, unless some classes have two already, and no width above the K + C that classes and columns can use
    (R2, exact for any loss).
    """
    split = problem if max(problem.groups) == _PARTS else split_columns(problem, _PARTS)
    if problem.classifier is not None:
        return split
    size = spanned_width(split.classes, split.columns)
    widths = tuple(min(d, size) for d in split.widths)
    return split if widths == split.widths else dataclasses.replace(split, widths=widths)


def examine_point(problem: Problem, params: Params) -> Examination:
    """The invariants of a point, in the form that problems of one K, C, M and loss share."""
    shared, point = shared_form(problem, params)
    ones = jax.tree.map(lambda x: jnp.asarray(np.ones(x.shape, x.dtype)), params)
    return examine(shared, point, point_with_bias(shared, resize(shared, ones)), problem.groups)


def split_point(problem: Problem, split: Problem, params: Params) -> Params:
    """A point of the problem as the same point of `split_problem(problem)`.

    Raises:
      ValueError: if columns of one class differ, or a coordinate beyond the width of the split problem is not zero.
    """
    labels = np.asarray(problem.labels)
    features = np.asarray(params.H) / np.sqrt(np.asarray(problem.multiplicity))
    first = features[:, run_starts(problem.groups)]
    if np.max(np.abs(features - first[:, labels])) > 1e-12 * np.max(np.abs(first)):
        refuse("params.H", "columns that differ within a class", "one feature vector for each class")
    whole = params._replace(H=first[:, np.asarray(split.labels)] * np.sqrt(np.asarray(split.multiplicity)))
    point = resize(split, whole)
    if any(np.count_nonzero(a) != np.count_nonzero(b) for a, b in zip(*map(jax.tree.leaves, (whole, point)), strict=True)):
        refuse("params", f"numbers beyond the widths {split.widths}", "zero there: K + C columns span no more")
    return point


def minimum_evidence(geometry_tolerance: float = 1e-6, alive: str = "directions") -> Callable:
    """Evidence for a predicted minimum: agreement, stationarity of the predicted point, certificate of the measured one.

    Geometry is compared through rotation invariants, and where the minimiser is not unique through singular values alone. A
    measured point whose gradient is still g is off by g/mu, mu the least stiffness of the minimum, which vanishes at thresholds:
    the tolerance is the larger of `geometry_tolerance` and 4 g/(mu s), at most 1e-4, s the largest singular value, and for the
    bias its own size. Curvature is a check wherever the Hessian is small enough to be looked at.

    Args:
      geometry_tolerance: relative to the largest entry of what is compared.
      alive: what `Prediction.alive` counts, "directions" or "classes".
    """

    def evidence(problem: Problem, predicted: Prediction, measured: Measured) -> list[Check]:
        own = measured.problem is problem
        point = predicted.params if own else split_point(problem, measured.problem, predicted.params)
        expected = examine_point(measured.problem, point)
        found = measured.geometry
        p, m = float(predicted.value), float(found.value)
        unit = max(abs(p), float(np.finfo(float).tiny))
        unique = bool(predicted.unique)
        whole, tolerance = _geometry_error(expected, found, geometry_tolerance)
        another = abs(m - p) <= 1e-9 * unit and whole > max(1e-4, 10 * tolerance)
        geometry = (whole, tolerance) if unique else _geometry_error(expected, found, geometry_tolerance, ("singular_values",))
        checks = [
            Check("agreement", "value", abs(m - p) / unit, 1e-9),
            below("agreement", "never below", (p - m) / unit, 1e-11),
            Check("agreement", "geometry", *geometry),
            Check("stationarity", "value", relative_error(p, expected.value), 1e-11),
            Check("stationarity", "gradient", float(expected.gradient_norm), 1e-11),
            *consistency_checks(problem, predicted, alive=alive),
            uniqueness_check(problem, predicted, another),
        ]
        if sees_curvature(shared_form(measured.problem, point)[1]):
            lowest = float(expected.curvature)
            checks.append(below("stationarity", "curvature", -lowest if np.isfinite(lowest) else np.nan, 1e-9))
        if predicted.rank > 0:  # with all features at zero their variability is 0/0; geometry has measured the zeros
            checks.append(Check("agreement", "NC1", float(found.nc1), 1e-9))
        if measured.certificate is not None:
            checks += gap_checks(float(measured.certificate.relative_gap), 1e-7)
        return checks

    return evidence


def proved_minimum(problem: Problem, predicted: Prediction) -> Proof:
    """The minimum between what the predicted point and its dual point prove in exact arithmetic; deep ones by `proved_deep`.

    So too squared error in widths below the rank of the convex optimum, where duality leaves a gap.
    """
    if problem.trainable >= 2:
        return proved_deep(problem, predicted.params)
    found = prove(problem, predicted.params)
    modes = proved_deep(problem, predicted.params) if found.digits < 5 and is_loss(problem.loss, MSE) else found
    return max(found, modes, key=lambda proof: proof.digits)


def is_certified_tightly(problem: Problem) -> bool:
    """Whether a certificate without a gap is asked for: where the bound is tight, and on spheres, where theorems say it is met."""
    if not problem.loss.convex:
        return False
    on_sphere = problem.features == "sphere" and certificate_kind(problem) == "duality"
    return is_tight(problem) or (on_sphere and min(problem.widths) >= problem.classes - 1)


def minimum(
    id: str,
    origin: str,
    predict: Callable[[Problem], Prediction],
    cases: Cases,
    draw: Callable | None = None,
    assumes: tuple[Assumption, ...] = (),
    *,
    measure: Callable[[Problem, jax.Array], Any] = measured_minimum,
    evidence: Evidence | None = None,
    geometry_tolerance: float = 1e-6,
    alive: str = "directions",
    **fields: Any,
) -> Theorem:
    """A Theorem about the minimum of problems, which `ufm.predict` serves unless told not to.

    Args:
      predict: problem -> Prediction.
      measure: by default a search from random uncollapsed starts, see `measured_minimum`.
      evidence: in place of `minimum_evidence`, whose arguments `geometry_tolerance` and `alive` are.
    """
    judged = evidence or minimum_evidence(geometry_tolerance, alive)
    fields = {"kind": "minimum", "minimiser": True, "prove": proved_minimum} | fields
    return other(id, origin, predict, measure, cases, draw, assumes, evidence=judged, **fields)


def _geometry_error(
    expected: Examination, found: Examination, tolerance: float, names: tuple[str, ...] = _INVARIANTS
) -> tuple[float, float]:
    """(relative error, what is allowed) of the invariant that is worst off: the larger of `tolerance` and 4 g/(mu s), at most 1e-4.

    g/mu is how far a point of gradient g is from a minimum of stiffness mu (0 where that is unknown).
    """
    distance = float(np.nan_to_num(4 * found.gradient_norm / expected.stiffness))
    compared = []
    for name in names:
        p, m = np.asarray(getattr(expected, name)), np.asarray(getattr(found, name))
        size = size_of(p)
        allowed = max(tolerance, min(distance / (size if name == "bias" else size_of(expected.singular_values)), 1e-4))
        compared.append((float(np.max(np.abs(p - m))) / size, allowed))
    return max(compared, key=lambda pair: np.inf if np.isnan(pair[0]) else pair[0] / pair[1])
