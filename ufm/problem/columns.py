"""Columns as their user gives them, arrays of targets and numbers, made into a design: the sharpest that the numbers prove.

Numbers that are not known (under jit, vmap or grad) prove nothing: columns of traced targets are general ones.
"""

import dataclasses
from typing import Any

import numpy as np

from ufm.base.checks import array_module, check_finite, check_positive, is_traced, known
from ufm.problem.classes import Classes, ClassSizes, equal_if_known
from ufm.problem.design import ALIKE_IN_RUNS, Design, constant, run_starts
from ufm.problem.general_columns import GeneralColumns, general
from ufm.problem.validation import as_array, check_columns, check_sizes, complete_columns, samples_seen

COLUMNS = ("targets", "multiplicity", "intercept", "weight", "samples", "teacher")


def design_of(given: dict[str, Any], groups: tuple[int, ...] | None, dtype: Any) -> Design:
    """The design of arrays a column.

    Args:
      given: targets (K, C); multiplicity, intercept, weight (C,) or one number, samples, teacher (K, C), or None for the defaults.
      groups: lengths of runs of equal columns; found from the numbers by default. dtype: of all numbers.

    Raises:
      ValueError: naming the argument, the value given and what is allowed.
    """
    columns = complete_columns(given, dtype)
    check_columns(columns, groups)
    alike = [columns[name] for name in ALIKE_IN_RUNS if columns[name] is not None]
    runs = runs_of_equal_columns(*alike) if groups is None else tuple(groups)
    starts = run_starts(runs)
    first = {name: constant(columns[name][..., starts]) for name in ALIKE_IN_RUNS if columns[name] is not None}
    design = GeneralColumns(
        table=first["targets"], multiplicity=constant(columns["multiplicity"]), run_intercept=first["intercept"],
        run_weight=first["weight"], samples=constant(columns["samples"]), run_teacher=first.get("teacher"), runs=runs,
    )  # fmt: skip
    return recognised(design)


def recognised(design: Design) -> Design:
    """The same columns as classes, where known numbers prove that they are: K runs of one-hot or smoothed targets of weight 1."""
    if not isinstance(design, GeneralColumns):
        return equal_if_known(design) if isinstance(design, Classes) else design
    numbers = (design.table, design.multiplicity, design.run_intercept, design.run_weight, design.samples)
    if is_traced(*numbers) or design.run_teacher is not None or len(design.runs) != design.classes:
        return design
    table, multiplicity, intercept, weight, samples = map(np.asarray, numbers)
    counts = np.asarray(design.counts)
    eps = 64 * np.finfo(table.dtype).eps
    if np.any(intercept != 1) or np.any(weight != 1) or abs(counts.sum() / samples - 1) > eps:
        return design
    smoothing = _smoothing(table, eps)
    if smoothing is None:
        return design
    even = np.repeat(counts / np.asarray(design.runs, counts.dtype), design.runs)
    shares = None if np.all(np.abs(multiplicity / even - 1) <= eps) else constant(multiplicity)
    soft = None if smoothing == 0 else constant(smoothing, table.dtype)
    return equal_if_known(ClassSizes(constant(counts), soft, shares, design.runs))


def resized(design: Classes, multiplicity: Any) -> Classes:
    """The same classes with other multiplicities, one number for every column or (C,) of them, known or not."""
    if np.ndim(multiplicity) == 0:
        each = array_module(multiplicity).full((design.size,), multiplicity, design.counts.dtype)
        return resized(design, each)
    counts = design.sums(multiplicity)
    shares = None if set(design.runs) == {1} else constant(multiplicity)
    if shares is not None and not is_traced(multiplicity):
        even = np.repeat(np.asarray(counts) / np.asarray(design.runs), design.runs)
        shares = None if np.array_equal(even, np.asarray(multiplicity)) else shares
    return equal_if_known(ClassSizes(counts, design.smoothing, shares, design.runs))


def with_columns(design: Design, changes: dict[str, Any], dtype: Any) -> Design:
    """The design with some numbers of its columns replaced."""
    if set(changes) == {"multiplicity"} and changes["multiplicity"] is not None and isinstance(design, Classes):
        shape = (design.size,) if np.ndim(changes["multiplicity"]) else ()
        multiplicity = as_array("multiplicity", changes["multiplicity"], dtype, shape)
        sized = resized(design, multiplicity)
        check_sizes(sized)
        return sized
    filled = {name: x for name, x in changes.items() if name in ("intercept", "weight", "samples") and np.ndim(x) == 0}
    if filled.keys() == changes.keys():  # what fills all columns leaves the runs as they are
        return _filled(general(design), filled, dtype)
    columns = {name: getattr(design, name) for name in COLUMNS if name != "targets"}
    columns["targets"] = None if "targets" in changes else design.spread(design.table)
    groups = changes.get("groups", None if set(ALIKE_IN_RUNS) & set(changes) else design.runs)
    if "samples" not in changes:
        columns["samples"] = None
    return design_of(columns | {name: x for name, x in changes.items() if name != "groups"}, groups, dtype)


def _filled(design: GeneralColumns, numbers: dict[str, Any], dtype: Any) -> Design:
    runs = {"run_intercept": design.run_intercept, "run_weight": design.run_weight}
    for name in ("intercept", "weight"):
        if name in numbers:
            x = 1.0 if numbers[name] is None else numbers[name]
            (check_positive if name == "weight" else check_finite)(name, x)
            runs["run_" + name] = constant(as_array(name, x, dtype, (len(design.runs),)))
    samples = numbers.get("samples")
    if samples is None:
        samples = samples_seen(known(runs["run_intercept"]), known(design.counts))
    check_positive("samples", samples)
    total = constant(as_array("samples", samples, dtype, ()))
    intercept, weight = runs["run_intercept"], runs["run_weight"]
    return recognised(dataclasses.replace(design, run_intercept=intercept, run_weight=weight, samples=total))


def soft_or_none(smoothing: Any, dtype: Any) -> Any:
    """The leaf of label smoothing: None where it is known to be 0, which makes classes one-hot by type."""
    if not is_traced(smoothing) and np.ndim(smoothing) == 0 and smoothing == 0:
        return None
    return constant(as_array("smoothing", smoothing, dtype, ()))


def runs_of_equal_columns(*parts: Any) -> tuple[int, ...]:
    """Lengths of the runs of adjacent columns that agree in every part, of shape (C,) or (rows, C); all ones where traced."""
    columns = parts[0].shape[-1]
    if is_traced(*parts):
        return (1,) * columns
    differs = np.zeros(columns - 1, bool)
    for x in parts:
        x = np.atleast_2d(np.asarray(x))
        differs |= np.any(x[:, 1:] != x[:, :-1], axis=0)
    starts = np.flatnonzero(np.concatenate([[True], differs]))
    return tuple(int(n) for n in np.diff(np.concatenate([starts, [columns]])))


def _smoothing(table: np.ndarray, eps: float) -> float | None:
    """s in [0, 1) with targets (1 - s) I + s J, or None."""
    classes = table.shape[0]
    own, off = np.diag(table), table[~np.eye(classes, dtype=bool)]
    if np.all(own == 1) and np.all(off == 0):
        return 0.0
    s = float(off[0]) * classes
    expected = 1 - s + s / classes
    right = np.all(np.abs(own - expected) <= eps) and np.all(np.abs(off - off[0]) <= eps)
    return s if right and 0 <= s < 1 - eps else None
