"""What the parts of a Prediction say of one another: each is held against the factors, which everything else of it follows from.

Logits, singular values, rank and live classes or directions are functions of `params`. Uniqueness is not: it is held against
minimisers that are known, which are the measured one, the images of the predicted one under exchanges of two classes and under
a change of sign of one class's features, and zero, as far as their value is that of the prediction.
"""

from itertools import combinations
from typing import Any

import jax
import numpy as np

from ufm.equivalent.standard import shared_form
from ufm.problem import Problem, run_starts
from ufm.problem.params import Params, logits, objective
from ufm.theory.prediction import Prediction
from ufm.theory.theorem import Check, relative_error

_NOT_ZERO = 1e-11
_SAME_VALUE = 1e-10
_APART = 1e-4


def consistency_checks(problem: Problem, prediction: Prediction, *, alive: str = "directions") -> list[Check]:
    """Logits, singular values, rank and `alive` of a prediction against those of its own factors.

    Args:
      problem: K rows, G classes (runs of equal columns).
      prediction: of its minimum.
      alive: what `prediction.alive` counts, "directions" (columns of `singular_values`) or "classes" (their features).
    """
    first = run_starts(problem.groups)
    z = np.asarray(logits(problem, prediction.params))
    without_bias = np.asarray(logits(problem, prediction.params._replace(b=None)))
    size = np.asarray(problem.multiplicity) ** 0.5
    factors = [np.asarray(A) for A in (prediction.params.H, *prediction.params.weights)]
    values = [_singular_values(A) for A in factors]
    served = np.asarray(prediction.singular_values)
    length = max(served.shape[1], *map(len, values))
    expected = np.stack([np.pad(s, (0, length - len(s))) for s in values])
    found = np.pad(-np.sort(-served, axis=1), ((0, 0), (0, length - served.shape[1])))
    rank = np.sum(_is_not_zero(_singular_values(without_bias * size[None, :])))
    alike = served.min(axis=0) if alive == "directions" else np.linalg.norm(factors[0], axis=0)[first]
    return [
        Check("agreement", "logits of the factors", relative_error(z[:, first], prediction.logits, size_of(z)), 1e-10),
        Check("agreement", "singular values of the factors", relative_error(expected, found, size_of(expected)), 1e-10),
        Check("agreement", "rank of the factors", abs(float(prediction.rank) - float(rank)), 0.0),
        Check("agreement", "alive", _disagreements(_is_not_zero(alike), np.asarray(prediction.alive)), 0.0),
    ]


def uniqueness_check(problem: Problem, prediction: Prediction, measured_differs: bool) -> Check:
    """Whether another minimiser is known exactly where the prediction says that there is one.

    Args:
      measured_differs: whether the measured minimum has the predicted value and another geometry.
    """
    return Check("agreement", "unique", float(prediction.unique == (measured_differs or _has_another(problem, prediction))), 0.0)


def _has_another(problem: Problem, prediction: Prediction) -> bool:
    """Whether an image of the predicted point has its value and other logits."""
    p, value = jax.tree.map(np.asarray, prediction.params), float(prediction.value)  # in NumPy, which compiles nothing
    z, without_bias = (np.asarray(logits(problem, point)) for point in (p, p._replace(b=None)))
    labels, counts, size, images = np.asarray(problem.labels), np.asarray(problem.counts), size_of(z), []  # logits, and the point
    if problem.features == "free":
        images.append((z - without_bias, jax.tree.map(np.zeros_like, p)._replace(b=p.b)))
        for k in range(len(problem.groups)):
            sign = np.where(labels == k, -1.0, 1.0)[None, :]
            images.append((z - without_bias + sign * without_bias, p._replace(H=p.H * sign)))
    if len(problem.groups) == problem.classes and problem.trainable > 0:
        for k, j in combinations(range(problem.classes), 2):
            # classes of other sizes change the value when they change places, unless both are dead
            if problem.groups[k] == problem.groups[j] and abs(counts[k] / counts[j] - 1) < _SAME_VALUE:
                rows, columns = np.arange(problem.classes), np.arange(problem.columns)
                columns[labels == k], columns[labels == j] = np.flatnonzero(labels == j), np.flatnonzero(labels == k)
                rows[[k, j]] = j, k
                top = (*p.weights[:-1], p.weights[-1][rows])
                images.append((z[rows][:, columns], Params(top, p.H[:, columns], None if p.b is None else p.b[rows])))
    different = (point for there, point in images if np.max(np.abs(there - z)) > _APART * size)
    return any(abs(float(_value(*shared_form(problem, point))) - value) <= _SAME_VALUE * abs(value) for point in different)


_value = jax.jit(objective)


def _singular_values(A: np.ndarray) -> np.ndarray:
    return np.linalg.svd(A, compute_uv=False) if np.isfinite(A).all() else np.full(min(A.shape), np.nan)


def _is_not_zero(x: np.ndarray) -> np.ndarray:
    return x > _NOT_ZERO * max(float(np.max(x)), _NOT_ZERO)


def size_of(x: Any) -> float:
    """The largest entry, relative to which arrays are compared: 1e-2 where it is below that."""
    return max(float(np.max(np.abs(x))), 1e-2)


def _disagreements(expected: np.ndarray, found: np.ndarray) -> float:
    return float(np.sum(expected != found)) if expected.shape == found.shape else float("inf")
