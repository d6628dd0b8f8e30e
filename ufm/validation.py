"""What makes a problem well posed, complete, and of which kind: decided where it is built, outside jit."""

from typing import Any

import jax
import numpy as np

from ufm.checks import (
    array_module,
    check_count,
    check_finite,
    check_non_negative,
    check_positive,
    check_shape,
    common_float_dtype,
    is_traced,
    refuse,
)


def complete_numbers(trainable: int, **given: Any) -> dict[str, Any]:
    """The numbers of a problem as arrays of one dtype and the right shapes, with defaults where None was given.

    Known numbers stay NumPy. The arguments are those of `Problem.from_targets`, which documents them.

    Raises:
      ValueError: for what is not a number, or a shape that does not fit.
    """
    dtype = common_float_dtype(*given.values())

    def array(name: str, default: float | None = None, shape: tuple | None = None) -> Any:
        x = default if given[name] is None else given[name]
        xp = array_module(x)
        try:
            x = xp.asarray(x, dtype)
        except (TypeError, ValueError):
            refuse(name, x, "numbers")
        if shape is not None and x.shape != shape:
            if x.ndim and x.shape != (1,):
                raise ValueError(f"{name} must be one number or have shape {shape}, got shape {x.shape}")
            x = xp.broadcast_to(x, shape)
        return x

    targets = array("targets")
    if targets.ndim != 2 or targets.shape[0] < 2 or targets.shape[1] < 1:
        raise ValueError(f"targets must have shape (K, C) with K >= 2 and C >= 1, got {targets.shape}")
    per_column = {name: array(name, 1.0, targets.shape[1:]) for name in ("multiplicity", "intercept", "weight")}
    if given["samples"] is None:
        multiplicity, intercept = per_column["multiplicity"], per_column["intercept"]
        xp = array_module(intercept, multiplicity)
        given["samples"] = xp.sum(xp.where(xp.asarray(intercept) == 1, xp.asarray(multiplicity), 0))
    scalars = {name: array(name, shape=()) for name in ("samples", "l2_H", "l2_b", "scale", "beta")}
    optional = {name: None if given[name] is None else array(name) for name in ("classifier", "H0", "teacher")}
    return {"targets": targets, "l2_W": array("l2_W", shape=(trainable,)), **per_column, **scalars, **optional}


def check_problem(problem: Any) -> None:
    """Refuse a problem that is not well posed, with a ValueError that names the argument, its value and the rule."""
    _check_shapes(problem)
    for name in ("multiplicity", "samples", "weight", "scale"):
        check_positive(name, getattr(problem, name))
    for name in ("intercept", "targets"):
        check_finite(name, getattr(problem, name))
    for name in ("l2_W", "l2_H", "l2_b", "beta"):
        check_non_negative(name, getattr(problem, name))
    _check_ridges(problem)
    _check_targets(problem)


def _check_shapes(problem: Any) -> None:
    if not problem.widths:
        refuse("widths", problem.widths, "(d_1, ..., d_M), at least one number")
    for width in problem.widths:
        check_count("widths", width, 1)
    if problem.classifier is not None:
        check_shape("classifier", problem.classifier, (problem.targets.shape[0], problem.widths[-1]))
        check_finite("classifier", problem.classifier)
    if problem.H0 is not None:
        check_shape("H0", problem.H0, (problem.widths[0], problem.targets.shape[1]))
        check_finite("H0", problem.H0)
    elif not is_traced(problem.beta) and np.any(np.asarray(problem.beta) != 0):
        refuse("beta", problem.beta, "0 where no H0 is given")
    if problem.teacher is not None:
        check_shape("teacher", problem.teacher, problem.targets.shape)
        check_finite("teacher", problem.teacher)
    if (problem.teacher is not None) != problem.loss.teacher:
        allowed = "an array of teacher logits" if problem.loss.teacher else "None"
        refuse("teacher", problem.teacher, f"{allowed} for the loss {problem.loss.name!r}")
    if problem.features == "sphere" and len(problem.widths) != 1:
        refuse("widths", problem.widths, 'one number where features="sphere"')
    if sum(problem.groups) != problem.targets.shape[1]:
        refuse("groups", problem.groups, f"run lengths that add up to the {problem.targets.shape[1]} columns")
    parts = [x for x in (problem.targets, problem.intercept, problem.weight, problem.teacher) if x is not None]
    if not is_traced(*parts):
        starts = np.cumsum((0, *problem.groups[:-1]))
        first = np.repeat(starts, problem.groups)
        if any(not np.array_equal(np.asarray(x), np.asarray(x)[..., first], equal_nan=True) for x in parts):
            refuse("groups", problem.groups, "runs of columns with equal targets, intercept, weight and teacher")


def _check_ridges(problem: Any) -> None:
    if problem.bias == "ridge":
        check_positive('l2_b (under bias="ridge")', problem.l2_b)
    elif not is_traced(problem.l2_b) and np.asarray(problem.l2_b) != 0:
        refuse("l2_b", problem.l2_b, f'0 where bias="{problem.bias}"')
    if is_traced(problem.l2_W, problem.l2_H, problem.beta):
        return
    ridges = np.concatenate([np.ravel(np.asarray(problem.l2_H) + np.asarray(problem.beta)), np.ravel(problem.l2_W)])
    if np.any(ridges > 0) and np.any(ridges == 0):
        shown = f"l2_W={np.asarray(problem.l2_W).tolist()}, l2_H={float(problem.l2_H):g}"
        raise ValueError(
            "l2_W and l2_H must be all above 0 or all 0: one zero ridge makes the whole penalty degenerate "
            f"(its infimum is 0 and not attained), got {shown}"
        )


def _check_targets(problem: Any) -> None:
    if is_traced(problem.targets):
        return
    targets = np.asarray(problem.targets)
    slack = 64 * np.finfo(targets.dtype).eps
    kind, name = problem.loss.targets, f"targets of the loss {problem.loss.name!r}"
    if kind == "unit" and not np.all((targets >= 0) & (targets <= 1)):
        refuse(name, targets, "in [0, 1]")
    if kind in ("distribution", "one-hot"):
        if not (np.all(targets >= 0) and np.all(np.abs(targets.sum(0) - 1) <= slack)):
            refuse(name, targets, "non-negative columns that sum to 1")
    if kind == "one-hot" and not np.all((targets == 0) | (targets == 1)):
        refuse(name, targets, "one-hot columns")


def runs_of_equal_columns(*parts: jax.Array | None) -> tuple[int, ...]:
    """Lengths of the runs of adjacent columns that agree in every part, of shape (C,) or (rows, C); all ones where traced."""
    given = [x for x in parts if x is not None]
    columns = given[0].shape[-1]
    if is_traced(*given):
        return (1,) * columns
    stacked = np.concatenate([np.atleast_2d(np.asarray(x)) for x in given])
    starts = np.flatnonzero(np.concatenate([[True], np.any(stacked[:, 1:] != stacked[:, :-1], axis=0)]))
    return tuple(int(n) for n in np.diff(np.concatenate([starts, [columns]])))


def design_of(problem: Any) -> str:
    """ "balanced", "smoothed", "imbalanced" or "general", as far as the numbers are known."""
    classes = problem.targets.shape[0]
    parts = (problem.targets, problem.multiplicity, problem.intercept, problem.weight, problem.samples)
    if is_traced(*parts) or len(problem.groups) != classes:
        return "general"
    if problem.teacher is not None:
        return "general"
    targets, multiplicity, intercept, weight, samples = map(np.asarray, parts)
    starts = np.cumsum((0, *problem.groups[:-1]))
    counts = np.add.reduceat(multiplicity, starts)
    eps = 64 * np.finfo(targets.dtype).eps
    if np.any(intercept != 1) or np.any(weight != 1) or abs(counts.sum() / samples - 1) > eps:
        return "general"
    means = targets[:, starts]
    equal = np.all(np.abs(counts / counts[0] - 1) <= eps)
    if np.array_equal(means, np.eye(classes)):
        return "balanced" if equal else "imbalanced"
    off = means[~np.eye(classes, dtype=bool)]
    symmetric = np.ptp(np.diag(means)) <= eps and np.ptp(off) <= eps
    return "smoothed" if equal and symmetric else "general"
