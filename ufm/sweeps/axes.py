"""Axes of a sweep: what a name such as "l2_H", "l2_W[0]", "counts ratio", "K" or "loss" does to a problem.

Numbers (leaves of the problem) are swept inside one compiled program; choices (K, n, d, M, loss, bias, features, or the
arguments of a function that builds the problem) make a problem each, outside it.
"""

import inspect
import itertools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ufm.checks import check_count, check_finite, is_traced, refuse
from ufm.losses import Loss
from ufm.problem import Problem

NUMBERS = (
    "l2_W", "l2_H", "l2_b", "scale", "beta", "samples", "multiplicity", "intercept", "weight", "targets", "classifier", "H0",
    "teacher", "counts ratio",
)  # fmt: skip
CHOICES = ("K", "n", "d", "M", "widths", "loss", "bias", "features")


@dataclass(frozen=True)
class Axis:
    """One axis: its name, its values in order, and whether they are numbers inside the program or choices outside it.

    values: an array (points, ...) for numbers, a tuple for choices.
    """

    name: str
    values: Any
    choice: bool

    @property
    def labels(self) -> np.ndarray:
        """(points,) what to write along the axis: the values themselves where they are scalars or names, else 0, 1, 2, ..."""
        if self.choice:
            plain = [v if isinstance(v, str | int | float | bool | np.number) else _name(v) for v in self.values]
            return np.asarray(plain)
        return self.values if self.values.ndim == 1 else np.arange(len(self.values))

    def __len__(self) -> int:
        return len(self.values)


def read_axes(problem: Problem | Callable[..., Problem], axes: Mapping[str, Any]) -> tuple[Axis, ...]:
    """Axes from names and values, in the order given.

    Args:
      problem: a problem, or a function that builds one, whose arguments are choices then.
      axes: name -> values. A number is a leaf of the problem, filled with each value or given as (points, *its shape), one
        entry "l2_W[i]" of it, or "counts ratio" (see `with_numbers`); a choice is one of `CHOICES` or an argument of the
        function.

    Raises:
      ValueError: for a name that is neither, no values, or values that are not numbers.
    """
    if not axes:
        refuse("axes", axes, 'at least one axis, such as {"l2_H": [1e-3, 1e-2]}')
    built = () if isinstance(problem, Problem) else tuple(inspect.signature(problem).parameters)
    read = []
    for name, values in axes.items():
        choice = name in built or (not built and name in CHOICES)
        if not choice and _leaf(name) not in NUMBERS:
            known = (*built, *NUMBERS) if built else (*CHOICES, *NUMBERS)
            raise ValueError(f"axis {name!r} must be one of {', '.join(known)}, or an entry such as l2_W[0]")
        values = tuple(values) if choice else _numbers(name, values)
        if len(values) == 0:
            refuse(f"axis {name!r}", values, "at least one value")
        read.append(Axis(name, values, choice))
    return tuple(read)


def problems_of(problem: Problem | Callable[..., Problem], axes: tuple[Axis, ...]) -> list[Problem | str]:
    """The problem of every combination of choices, in the order of the grid; the sentence of the refusal where one is refused."""
    choices = [axis for axis in axes if axis.choice]
    made: list[Problem | str] = []
    for values in itertools.product(*(axis.values for axis in choices)):
        named = dict(zip((axis.name for axis in choices), values, strict=True))
        try:
            made.append(with_choices(problem, named) if isinstance(problem, Problem) else problem(**named))
        except ValueError as error:
            made.append(str(error))
    if all(isinstance(p, str) for p in made):
        raise ValueError(made[0])
    return made


def check_corners(problem: Problem, axes: tuple[Axis, ...]) -> None:
    """Refuse numbers that the problem itself would refuse, at every combination of least and largest values."""
    numbers = [axis for axis in axes if not axis.choice]
    for corner in itertools.product(*({0, len(axis) - 1} for axis in numbers)):
        order = [np.argsort(axis.values) if axis.values.ndim == 1 else np.arange(len(axis)) for axis in numbers]
        values = (axis.values[o[i]] for axis, o, i in zip(numbers, order, corner, strict=True))
        with_numbers(problem, dict(zip((axis.name for axis in numbers), values, strict=True)))


def with_numbers(problem: Problem, numbers: Mapping[str, Any]) -> Problem:
    """The problem with some numbers replaced; safe under jit and vmap.

    "counts ratio" R keeps the largest class and the shape of the profile on a logarithmic scale: with R_0 the present ratio of
    largest to smallest class, n_k -> n_max (n_k/n_max)^(log R/log R_0), of which classes of equal sizes make the exponential
    long tail n_k = n R^(-k/(K-1)). Class sizes need not be whole numbers.

    Args:
      problem: any problem. numbers: name -> value, as for `read_axes`, one point each.

    Raises:
      ValueError: for what the problem refuses, or an entry that a leaf does not have.
    """
    changes: dict[str, Any] = {}
    for name, value in numbers.items():
        leaf, entry = _leaf(name), re.search(r"\[(\d+)\]$", name)
        if name == "counts ratio":
            changes["multiplicity"] = _at_ratio(problem, value)
        elif entry is None:
            changes[leaf] = jnp.asarray(value, problem.dtype)
        else:
            whole, index = changes.get(leaf, getattr(problem, leaf)), int(entry[1])
            if whole is None or index >= np.size(whole):
                refuse(f"axis {name!r}", value, f"an entry of {leaf}, which has {0 if whole is None else np.size(whole)}")
            changes[leaf] = jnp.asarray(whole).at[index].set(value)
    return problem.replace(**changes) if changes else problem


def with_choices(problem: Problem, choices: Mapping[str, Any]) -> Problem:
    """The problem with other sizes, loss, bias or kind of features.

    K and n make another balanced problem. d fills all widths, M repeats the last one; "widths" gives them all.

    Raises:
      ValueError: for a value that is not allowed, or K or n of a problem whose classes are not equal.
    """
    changes = {name: choices[name] for name in ("loss", "bias", "features") if name in choices}
    for name in ("K", "n", "d", "M"):
        if name in choices:
            check_count(name, choices[name], 2 if name == "K" else 1)
    widths = tuple(np.atleast_1d(choices.get("widths", problem.widths)).tolist())
    depth = choices.get("M", len(widths))
    widths = (*widths, *widths[-1:] * depth)[:depth]
    changes["widths"] = (choices["d"],) * depth if "d" in choices else widths
    if depth != len(problem.widths):
        ridge = np.unique(np.asarray(problem.l2_W))
        if ridge.size != 1:
            refuse("axis 'M'", depth, "swept where all layers have one l2_W")
        changes["l2_W"] = float(ridge[0])
    if changes.get("bias", problem.bias) != "ridge":
        changes["l2_b"] = 0.0
    if {"K", "n"} & set(choices):
        changes |= _balanced_columns(problem, choices)
    return problem.replace(**changes)


def _balanced_columns(problem: Problem, choices: Mapping[str, Any]) -> dict[str, Any]:
    """Targets, multiplicities and what goes with them of K classes of n samples, as columns of one sample or of all."""
    if problem.design != "balanced":
        refuse("problem", problem, "balanced for an axis 'K' or 'n' (or a function of them that builds it)")
    if problem.classifier is not None or problem.H0 is not None:
        refuse("problem", problem, "without a fixed classifier and a proximity term for an axis 'K' or 'n'")
    K, columns = choices.get("K", problem.classes), problem.groups[0]
    n = choices.get("n", float(problem.counts[0]))
    if columns > 1:
        columns = int(n)
    targets = np.repeat(np.eye(K, dtype=problem.dtype), columns, axis=1)
    alike = {"multiplicity": n / columns, "intercept": 1.0, "weight": 1.0, "groups": (columns,) * K}
    return {"targets": targets, **alike}


def _at_ratio(problem: Problem, ratio: Any) -> jax.Array:
    """Multiplicities of the columns for class sizes of another ratio of largest to smallest."""
    if not is_traced(ratio) and not float(ratio) >= 1:
        refuse("axis 'counts ratio'", ratio, "at least 1")
    counts = np.asarray(problem.counts)
    logs = np.log(counts.max() / counts)
    if logs.max() < 1e-12:
        logs = np.linspace(0, 1, counts.size)
    sizes = counts.max() * jnp.asarray(ratio, problem.dtype) ** jnp.asarray(-logs / logs.max(), problem.dtype)
    return (sizes / jnp.asarray(counts))[problem.labels] * problem.multiplicity


def _leaf(name: str) -> str:
    return re.sub(r"\[\d+\]$", "", name)


def _numbers(name: str, values: Any) -> np.ndarray:
    try:
        array = np.asarray(values, float)
    except (TypeError, ValueError):
        refuse(f"axis {name!r}", values, "numbers")
    if array.ndim == 0:
        refuse(f"axis {name!r}", values, "a sequence of values")
    check_finite(f"axis {name!r}", array)
    return array


def _name(value: Any) -> str:
    return value.name if isinstance(value, Loss) else str(value)
