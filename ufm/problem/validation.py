"""What makes a problem well posed and complete: decided where it is built, outside jit."""

import os
from typing import Any

import numpy as np

from ufm.base.checks import (
    array_module,
    check_count,
    check_finite,
    check_non_negative,
    check_positive,
    check_shape,
    is_traced,
    refuse,
)
from ufm.problem.classes import Classes
from ufm.problem.design import ALIKE_IN_RUNS, Design, run_starts


def complete_numbers(trainable: int, given: dict[str, Any], dtype: Any) -> dict[str, Any]:
    """The numbers of a problem beside its columns as arrays of one dtype and the right shapes. Known ones stay NumPy.

    Raises:
      ValueError: for what is not a number, or a shape that does not fit.
    """
    scalars = {name: as_array(name, given[name], dtype, ()) for name in ("l2_H", "l2_b", "scale", "beta")}
    optional = {name: None if given[name] is None else as_array(name, given[name], dtype) for name in ("classifier", "H0")}
    return {"l2_W": as_array("l2_W", given["l2_W"], dtype, (trainable,)), **scalars, **optional}


def complete_columns(given: dict[str, Any], dtype: Any) -> dict[str, Any]:
    """Targets, multiplicity, intercept, weight, samples and teacher as arrays a column, with defaults where None was given.

    Raises:
      ValueError: for what is not a number, or a shape that does not fit.
    """
    targets = as_array("targets", given["targets"], dtype)
    if targets.ndim != 2 or targets.shape[0] < 2 or targets.shape[1] < 1:
        raise ValueError(f"targets must have shape (K, C) with K >= 2 and C >= 1, got {targets.shape}")
    columns = {"targets": targets}
    for name in ("multiplicity", "intercept", "weight"):
        columns[name] = as_array(name, 1.0 if given[name] is None else given[name], dtype, targets.shape[1:])
    samples = samples_seen(columns["intercept"], columns["multiplicity"]) if given["samples"] is None else given["samples"]
    columns["samples"] = as_array("samples", samples, dtype, ())
    columns["teacher"] = None if given["teacher"] is None else as_array("teacher", given["teacher"], dtype)
    if columns["teacher"] is not None:
        check_shape("teacher", columns["teacher"], targets.shape)
    return columns


def samples_seen(intercept: Any, multiplicity: Any) -> Any:
    """N where none is given: the sum of the multiplicities of what has intercept 1, columns or whole runs."""
    xp = array_module(intercept, multiplicity)
    return xp.sum(xp.where(intercept == 1, multiplicity, 0))


def as_array(name: str, x: Any, dtype: Any, shape: tuple | None = None) -> Any:
    """Numbers as an array of a dtype, one number filling a shape that is asked for; NumPy where they are known."""
    xp = array_module(x)
    try:
        x = xp.asarray(x, dtype)
    except (TypeError, ValueError):
        refuse(name, x, "numbers")
    if shape is not None and x.shape != shape:
        if x.ndim and x.shape != (1,):
            raise ValueError(f"{name} must be one number or have shape {shape}, got shape {x.shape}")
        x = xp.broadcast_to(x if x.ndim == 0 else x[0], shape)
    return x


def check_problem(problem: Any) -> None:
    """Refuse a problem that is not well posed, with a ValueError that names the argument, its value and the rule."""
    _check_shapes(problem)
    check_positive("scale", problem.scale)
    for name in ("l2_W", "l2_H", "l2_b", "beta"):
        check_non_negative(name, getattr(problem, name))
    _check_ridges(problem)


def check_columns(columns: dict[str, Any], groups: Any) -> None:
    """Refuse columns that are no numbers in range, and runs that are none."""
    for name in ("multiplicity", "samples", "weight"):
        check_positive(name, columns[name])
    for name in ("intercept", "targets"):
        check_finite(name, columns[name])
    if columns["teacher"] is not None:
        check_finite("teacher", columns["teacher"])
    if groups is None:
        return
    number = columns["targets"].shape[1]
    if sum(groups) != number:
        refuse("groups", groups, f"run lengths that add up to the {number} columns")
    alike = [columns[name] for name in ALIKE_IN_RUNS if columns[name] is not None]
    if not is_traced(*alike):
        first = np.repeat(run_starts(groups), groups)
        if any(not np.array_equal(np.asarray(x), np.asarray(x)[..., first], equal_nan=True) for x in alike):
            refuse("groups", groups, "runs of columns with equal targets, intercept, weight and teacher")


def check_sizes(design: Classes) -> None:
    """Refuse class sizes that are not above 0, and smoothing outside [0, 1)."""
    check_positive("counts", design.counts)
    if design.shares is not None:
        check_positive("multiplicity", design.shares)
    if design.smoothing is not None:
        check_finite("smoothing", design.smoothing)
        if not is_traced(design.smoothing) and not 0 <= float(design.smoothing) < 1:
            refuse("smoothing", float(design.smoothing), "in [0, 1)")


def check_memory(problem: Any) -> None:
    """Refuse a problem whose features and logits, a column each, would take more than half of the machine's memory."""
    numbers = problem.columns * (problem.widths[0] + problem.classes)
    needed, there = numbers * problem.dtype.itemsize, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if 2 * needed > there:
        small = len(problem.groups) * (problem.widths[0] + problem.classes) * problem.dtype.itemsize
        raise ValueError(
            f"problem must fit into memory: its {problem.columns} columns, one a sample, need {needed / 1e9:.3g} GB for features "
            f"and logits, and the machine has {there / 1e9:.3g} GB. problem.collapsed() has the same minimum in "
            f"{len(problem.groups)} columns ({small / 1e9:.3g} GB); build it with columns=\"class\""
        )


def _check_shapes(problem: Any) -> None:
    if not problem.widths:
        refuse("widths", problem.widths, "(d_1, ..., d_M), at least one number")
    for width in problem.widths:
        check_count("widths", width, 1)
    if problem.classifier is not None:
        check_shape("classifier", problem.classifier, (problem.classes, problem.widths[-1]))
        check_finite("classifier", problem.classifier)
    if problem.H0 is not None:
        check_shape("H0", problem.H0, (problem.widths[0], problem.columns))
        check_finite("H0", problem.H0)
    elif not is_traced(problem.beta) and np.any(np.asarray(problem.beta) != 0):
        refuse("beta", problem.beta, "0 where no H0 is given")
    if (problem.teacher is not None) != problem.loss.teacher:
        allowed = "an array of teacher logits" if problem.loss.teacher else "None"
        refuse("teacher", problem.teacher, f"{allowed} for the loss {problem.loss.name!r}")
    if problem.features == "sphere" and len(problem.widths) != 1:
        refuse("widths", problem.widths, 'one number where features="sphere"')


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


def check_targets(loss: Any, design: Design) -> None:
    """Refuse targets that the loss makes no sense of."""
    if isinstance(design, Classes):
        if design.smoothing is not None and loss.targets == "one-hot":
            refuse(f"targets of the loss {loss.name!r}", design.table, "one-hot columns")
        return
    if is_traced(design.table):
        return
    targets = np.asarray(design.table)
    slack = 64 * np.finfo(targets.dtype).eps
    kind, name = loss.targets, f"targets of the loss {loss.name!r}"
    if kind == "unit" and not np.all((targets >= 0) & (targets <= 1)):
        refuse(name, targets, "in [0, 1]")
    if kind in ("distribution", "one-hot"):
        if not (np.all(targets >= 0) and np.all(np.abs(targets.sum(0) - 1) <= slack)):
            refuse(name, targets, "non-negative columns that sum to 1")
    if kind == "one-hot" and not np.all((targets == 0) | (targets == 1)):
        refuse(name, targets, "one-hot columns")
