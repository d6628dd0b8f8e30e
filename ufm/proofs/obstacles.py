"""Obstacles: why an instance cannot be proved, in a sentence; what is said in the place of a proof, and what is refused."""

import jax
import numpy as np

from ufm.base.checks import check_count, is_traced, refuse
from ufm.losses.distillation import Binary, DualHead, Mixture, SingleHead
from ufm.problem import Problem
from ufm.problem.params import Params, check_order, check_point
from ufm.proofs.exact import flint
from ufm.proofs.instance import has_atoms


def check_asked(problem: Problem, params: Params | None, digits: int, most: int | None = None) -> None:
    """Refuse what no proof can be asked of: another order, traced or infinite numbers, another point, digits out of range.

    Raises:
      ValueError: naming the argument; where python-flint is not installed, naming the extra.
    """
    flint()
    if params is not None:
        check_order(problem, params)
    if not isinstance(problem, Problem):
        refuse("problem", type(problem).__name__, "a Problem")
    check_count("digits", digits, 1, most)
    if is_traced(problem, params):
        refuse("problem and params", "traced", "of known numbers to be proved")
    if params is not None:
        check_point(problem, params)
        if not all(np.all(np.isfinite(np.asarray(x))) for x in jax.tree.leaves(params)):
            refuse("params", "NaN or infinity", "finite")


def obstacle(problem: Problem) -> str:
    """Why nothing is proved of a problem, by what it is; empty where duality of one layer applies."""
    loss = problem.loss
    if not loss.convex:
        return f"the loss {loss.name} is not convex, so that no dual point bounds its minimum"
    if not has_atoms(loss):
        return f"no conjugate of the loss {loss.name} is known in balls"
    if not all(np.all(np.isfinite(np.asarray(x))) for x in (problem.l2_W, problem.l2_H, problem.l2_b, problem.scale)):
        return "a ridge or the scale is not finite"
    if problem.features != "sphere" and not np.all(np.asarray(problem.ridges) > 0):
        return "a ridge is zero, so that nothing pays for a dual point"
    return _of_free_bias(problem) if problem.bias == "free" else ""


def _of_free_bias(problem: Problem) -> str:
    """What stands in the way of a dual point of exact balance."""
    if _has_teacher(problem.loss.value):
        return "a free bias needs dual points of exact balance, and targets made from a teacher's logits are not rational"
    a = np.asarray(problem.intercept)
    if problem.loss.targets == "any" and not isinstance(problem.loss.value, DualHead):
        return ""  # squared error: every theta is inside
    if np.any(a < 0):
        return "a free bias with negative intercepts: no balanced dual point is known to be inside the domain"
    if not np.any(a > 0):
        return ""
    y = np.asarray(problem.targets)[:, a > 0]
    y = y[: len(y) // 2] if isinstance(problem.loss.value, DualHead) else y
    one_hot = problem.loss.targets == "one-hot"
    present = (y == y.max(axis=0)).any(axis=1) if one_hot else (y > 0).any(axis=1)
    if problem.loss.targets == "unit":
        present = present & (y < 1).any(axis=1)
    if not present.all():
        k = int(np.flatnonzero(~present)[0])
        return f"a free bias has no minimiser: no column with an intercept holds class {k} back from infinity"
    return ""


def _has_teacher(value: object) -> bool:
    """Whether targets are made from logits."""
    if isinstance(value, Mixture):
        return value.kd > 0
    if isinstance(value, SingleHead | DualHead):
        value = value.binary
    return isinstance(value, Binary) and not value.norm
