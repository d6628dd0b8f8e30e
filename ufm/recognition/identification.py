"""Identify: which known geometry a minimum has, its symmetry, and which theorems say so.

A theorist with a new loss or a new imbalance runs `solve`, `certify`, `identify`, and reads the conjecture off.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ufm.base.checks import check_positive, refuse, refuse_traced
from ufm.base.describe import describe
from ufm.base.precision import full_precision
from ufm.base.programs import QUICK
from ufm.metrics import class_means, nc1_trace_ratio, nc3_alignment
from ufm.problem import Problem
from ufm.problem.params import Params, check_order, check_params, end_to_end, logits, objective
from ufm.recognition.shapes import Shape, recognise
from ufm.recognition.symmetry import Symmetry, symmetry
from ufm.theory.registry import catalogue, known_best

_ROLES = ("means", "classifier")


class Match(NamedTuple):
    """A theorem of the catalogue that applies: its id, its status, and whether the point is where it says."""

    theorem: str
    status: str
    agrees: bool


class Identification(NamedTuple):
    """What was recognised.

    means, classifier: shapes of the Gram matrices of class means and of classifier rows; None where not given.
    alignment: |W/|W| - M^T/|M||, 0 where classifier and class means are dual (NaN without params).
    nc1: within-class over between-class variability (NaN without params).
    symmetry: permutations of classes that leave everything unchanged.
    theorems: those that apply to the problem and whether they predict this point; without a problem, those whose claims speak
      of the geometry found.
    """

    means: Shape | None
    classifier: Shape | None
    alignment: float
    nc1: float
    symmetry: Symmetry
    theorems: tuple[Match, ...]

    def __str__(self) -> str:
        return describe(self).text()

    def _repr_html_(self) -> str:
        return describe(self).html()


@full_precision
def identify(problem: Any, params: Params | None = None, *, counts: Any = None, tolerance: float = 1e-3) -> Identification:
    """Which known geometry this is, with the distance to each, the symmetry among classes, and the theorems that predict it.

    Args:
      problem: the Problem that params are a point of; or, alone, a Gram matrix (K, K), taken as that of class means, or a pair
        of Gram matrices (class means, classifier).
      params: a point of the problem.
      counts: (K,) class sizes for SELI, with Gram matrices; a problem brings its own.
      tolerance: distance up to which a geometry is recognised, see `ufm.recognition.shapes`; a theorem agrees with a point whose
        value and logits are as close to what it predicts, relatively.

    Returns:
      Identification; print it.

    Raises:
      ValueError: for one of problem and params without the other, or in the other order; params of other shapes, a matrix that is
        not a Gram matrix, counts of another length.
    """
    refuse_traced("problem and params", problem, params)
    check_positive("tolerance", tolerance)
    if isinstance(problem, Problem) or isinstance(params, Problem):
        check_order(problem, params)
        assert params is not None
        check_params(problem, params)
        return _of_params(problem, params, tolerance)
    if isinstance(problem, Params):
        refuse("problem", "Params", "a Problem, with params after it, or Gram matrices")
    if params is not None:
        refuse("params", type(params).__name__, "None beside Gram matrices")
    pair = problem if isinstance(problem, tuple | list) else (problem, None)
    if len(pair) != 2:
        refuse("problem", len(pair), "a Problem, one Gram matrix, or a pair of Gram matrices (class means, classifier)")
    names = ("class means", "classifier")
    grams = [None if G is None else _checked_gram(f"Gram matrix of {name}", G) for G, name in zip(pair, names, strict=True)]
    given = [G for G in grams if G is not None]
    if not given or len({len(G) for G in given}) != 1:
        refuse("problem", [None if G is None else G.shape for G in grams], "Gram matrices of one number of classes")
    if counts is not None:
        check_positive("counts", counts)
        counts = np.asarray(counts, float)
        if counts.shape != given[0].shape[:1]:
            raise ValueError(f"counts must have shape {given[0].shape[:1]}, got {counts.shape}")
    means, classifier = (
        None if G is None else recognise(G, tolerance, counts, role) for G, role in zip(grams, _ROLES, strict=True)
    )
    shapes = {shape.name for shape in (means, classifier) if shape is not None} - {"none"}
    spoken = [t for t in catalogue().values() if any(name in t.claim for name in shapes) and t.status != "refuted"]
    matches = tuple(Match(t.id, t.status, True) for t in spoken)
    nan = float("nan")
    return Identification(means, classifier, nan, nan, symmetry(given, tolerance), matches)


def _of_params(problem: Problem, params: Params, tolerance: float) -> Identification:
    G = len(problem.groups)
    labels = np.asarray(problem.labels)
    point = _look(problem, params, labels, G)
    means, W = np.asarray(point.means), np.asarray(point.W)
    square = problem.classes == G  # else classes and kinds of columns are different things
    counts = np.asarray(problem.counts) if square else None
    last = problem.l2_W[-1] if problem.trainable else None
    grams = [_or_zero(means.T @ means, problem.l2_H, problem), _or_zero(W @ W.T, last, problem)]
    of_means, of_classifier = (recognise(G, tolerance, counts, role) for G, role in zip(grams, _ROLES, strict=True))
    z = W @ means
    if problem.loss.shift_invariant:
        z = z - z.mean(axis=0)
    matrices = [means.T @ means, W @ W.T, z] if square else [W @ W.T]
    matches = _matches(problem, point, labels, G, tolerance)
    found = symmetry(matrices, tolerance)
    return Identification(of_means, of_classifier, float(point.alignment), float(point.nc1), found, matches)


class _Point(NamedTuple):
    """What is looked at of a point: means (d, G), W (K, d), logits (K, C), alignment (NaN for other than K means), NC1, value."""

    means: jax.Array
    W: jax.Array
    logits: jax.Array
    alignment: jax.Array
    nc1: jax.Array
    value: jax.Array


@partial(jax.jit, static_argnames="kinds", compiler_options=QUICK)
def _look(problem: Problem, params: Params, labels: np.ndarray, kinds: int) -> _Point:
    features = params.H / jnp.sqrt(problem.multiplicity)[None, :]
    own = (features, labels, kinds, problem.multiplicity)
    W = end_to_end(problem, params.weights)
    square = problem.classes == kinds
    alignment = nc3_alignment(W, *own, centred=False, samples_axis=1) if square else jnp.asarray(jnp.nan)
    nc1 = nc1_trace_ratio(*own, samples_axis=1)
    means = class_means(*own, samples_axis=1)
    return _Point(means, W, logits(problem, params), alignment, nc1, objective(problem, params))


def _or_zero(gram: np.ndarray, ridge: Any, problem: Problem) -> np.ndarray:
    """Zero where all vectors are what rounding leaves of zero: shorter than 1e-5 sqrt(c/ridge), their length at logits of 1."""
    penalised = ridge is not None and np.all(np.asarray(problem.ridges) > 0)
    length = np.sqrt(float(problem.c) / float(ridge)) if penalised else 1.0
    return np.zeros_like(gram) if np.max(np.diag(gram)) <= (1e-5 * length) ** 2 else gram


def _matches(problem: Problem, point: _Point, labels: np.ndarray, kinds: int, tolerance: float) -> tuple[Match, ...]:
    """The theorems about minima that apply, and whether value and the singular values of logits are as they say."""
    value, found = float(point.value), _spectrum(problem, point.logits)
    matches = []
    known = known_best(problem)
    for theorem in catalogue().values():
        if theorem.minimiser and not theorem.failing(known):
            prediction = theorem.closed_form()(known)
            same_value = abs(float(prediction.value) - value) <= tolerance * max(abs(value), np.finfo(float).tiny)
            expected = _spectrum(problem, _look(problem, prediction.params, labels, kinds).logits)
            apart = np.linalg.norm(expected - found) / max(float(np.linalg.norm(expected)), 1e-2)
            matches.append(Match(theorem.id, theorem.status, bool(same_value and apart <= tolerance)))
    return tuple(matches)


def _spectrum(problem: Problem, z: Any) -> np.ndarray:
    """Singular values of the logits of all columns, in sample weights and without what the loss cannot see."""
    z = np.asarray(z)
    if problem.loss.shift_invariant:
        z = z - z.mean(axis=0)
    return np.linalg.svd(z * np.sqrt(np.asarray(problem.multiplicity)), compute_uv=False)


def _checked_gram(name: str, gram: Any) -> np.ndarray:
    G = np.asarray(gram, float)
    if G.ndim != 2 or G.shape[0] != G.shape[1] or G.shape[0] < 2:
        raise ValueError(f"the {name} must have shape (K, K) with K at least 2, got {G.shape}")
    size = np.max(np.abs(G))
    if not np.isfinite(size):
        raise ValueError(f"the {name} must be finite, got NaN or infinity")
    if np.max(np.abs(G - G.T)) > 1e-4 * size:
        raise ValueError(f"the {name} must be symmetric, got a largest difference of {np.max(np.abs(G - G.T)):.2g}")
    least = np.linalg.eigvalsh((G + G.T) / 2)[0]
    if least < -1e-4 * size * len(G):
        raise ValueError(f"the {name} must be positive semi-definite, got an eigenvalue of {least:.2g}")
    return (G + G.T) / 2
