"""What is drawn of a point: features, class means and classifier rows, and the directions that they are projected onto."""

from typing import Any, NamedTuple

import jax
import numpy as np

from ufm.base.checks import refuse, refuse_traced
from ufm.problem import Problem
from ufm.problem.params import Params, check_params, end_to_end

_TIED = 1e-3  # of the largest singular value
_ALL = 0.999  # of the squared lengths: two directions that hold so much are a plane


class View(NamedTuple):
    """A point as vectors of feature space.

    features: (d, C), without the root of the multiplicity. means: (d, G) of the runs of equal columns. rows: (K, d) of
    scale W_M ... W_1. labels: (C,) the run that each feature belongs to.
    """

    features: np.ndarray
    means: np.ndarray
    rows: np.ndarray
    labels: np.ndarray


class Directions(NamedTuple):
    """basis: (d, D) orthonormal columns. share: (D,) of the squared lengths along each, or None for plain coordinates."""

    basis: np.ndarray
    share: np.ndarray | None

    @property
    def names(self) -> list[str]:
        """The labels of the axes."""
        if self.share is None:
            return [f"feature coordinate {i + 1}" for i in range(self.basis.shape[1])]
        return [f"direction {i + 1} ({100 * share:.0f} % of variance)" for i, share in enumerate(self.share)]


def params_of(name: str, point: Any) -> Params:
    """The Params that a Solution, a Prediction or a Descent carries, or that are given themselves.

    Raises:
      ValueError: for anything else.
    """
    if isinstance(point, Problem):
        raise ValueError(f"problem and {name} are swapped: the order is (problem, {name})")
    refuse_traced(name, point)
    params = point if isinstance(point, Params) else getattr(point, "params", None)
    if not isinstance(params, Params):
        refuse(name, point, "Params, or what carries them: a Solution, a Prediction, a Descent")
    return params


def view_of(problem: Problem, point: Any, name: str = "point") -> View:
    """The vectors of a point of a problem.

    Raises:
      ValueError: for params of other shapes, or that are not finite.
    """
    params = params_of(name, point)
    check_params(problem, params)
    if not all(np.all(np.isfinite(x)) for x in jax.tree.leaves(params)):
        refuse(f"{name}.params", "NaN or infinite numbers", "finite")
    H, size = np.asarray(params.H), np.sqrt(np.asarray(problem.multiplicity))[None, :]
    means = np.asarray(problem.group_sum(H * size)) / np.asarray(problem.counts)[None, :]  # in NumPy, which compiles nothing
    return View(H / size, means, np.asarray(end_to_end(problem, params.weights)), problem.labels)


def longest(vectors: np.ndarray) -> float:
    """The largest length of the columns; 1 where all are zero, which then are drawn as they are."""
    size = float(np.max(np.linalg.norm(vectors, axis=0)))
    return size if size > 0 else 1.0


def principal_directions(view: View, dims: int | None) -> Directions:
    """The D orthogonal directions of feature space that hold most of the squared lengths of means and rows together.

    Class means and classifier rows, each of total squared length one, count alike, from the origin. Signs are such that the
    largest component of a mean along each direction is positive. Where directions tie for the last place, as all do for four
    orthogonal means in space, the one of the mean of all classes is left out, so that no class disappears. In d <= D dimensions
    they are the coordinates themselves.

    Args:
      view: the point. dims: D; by default 2 where two directions hold all but a thousandth, else 3.
    """
    d = view.features.shape[0]
    parts = [x / max(np.linalg.norm(x), np.finfo(float).tiny) for x in (view.means, view.rows.T)]
    U, s, _ = np.linalg.svd(np.concatenate(parts, axis=1), full_matrices=True)
    total = max(np.sum(s**2), np.finfo(float).tiny)
    if dims is None:
        dims = 2 if d == 2 or np.sum(s[:2] ** 2) >= _ALL * total else 3
    if d <= dims:
        return Directions(np.eye(d, dims), None)
    basis = _without_the_common_direction(U, np.pad(s, (0, d - s.size)), view.means, dims)
    along = basis.T @ view.means
    largest = np.take_along_axis(along, np.argmax(np.abs(along), axis=1)[:, None], axis=1)[:, 0]
    share = sum(np.sum((basis.T @ x) ** 2, axis=1) for x in parts) / total
    return Directions(basis * np.where(largest < 0, -1, 1)[None, :], share)


def _without_the_common_direction(U: np.ndarray, s: np.ndarray, means: np.ndarray, dims: int) -> np.ndarray:
    """The first `dims` columns of U, those that tie with the next one turned until they see nothing of the sum of the means."""
    tied = np.flatnonzero(np.abs(s - s[dims]) <= _TIED * s[0])
    common = U[:, tied].T @ np.sum(means, axis=1)
    if tied[0] >= dims or np.linalg.norm(common) <= _TIED * np.linalg.norm(means):
        return U[:, :dims]
    turned = np.linalg.qr(np.column_stack([common, np.eye(tied.size)]))[0][:, 1:]
    return np.concatenate([U[:, : tied[0]], U[:, tied] @ turned], axis=1)[:, :dims]
