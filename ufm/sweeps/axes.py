"""Axes of a sweep: what a name such as "l2_H", "l2_W[0]", "counts ratio", "K" or "loss" does to a problem.

Numbers (leaves of the problem) are swept inside one compiled program; choices (K, n, d, M, loss, bias, features, or the
arguments of a function that builds the problem) make a problem each, outside it.
"""

import dataclasses
import inspect
import itertools
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from ufm.base.checks import array_module, check_count, check_finite, is_traced, known, refuse
from ufm.losses import Loss
from ufm.problem import Classes, ClassSizes, EqualClasses, Problem, constant, grouped, is_balanced

NUMBERS = (
    "l2_W", "l2_H", "l2_b", "scale", "beta", "samples", "multiplicity", "intercept", "weight", "targets", "classifier", "H0",
    "teacher", "counts ratio",
)  # fmt: skip
ENTRIES = ("l2_W", "multiplicity", "intercept", "weight")  # leaves whose entries can be axes
CHOICES = ("K", "n", "d", "M", "widths", "loss", "bias", "features")
_EXCLUDES = {"widths": ("d", "M"), "counts ratio": ("multiplicity",)}


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
      ValueError: for a name that is neither, names that exclude each other, an argument of the function without an axis, no
        values, or values that are not numbers.
    """
    if not isinstance(axes, Mapping) or not axes:
        refuse("axes", axes, 'a dictionary of at least one axis, such as {"l2_H": [1e-3, 1e-2]}')
    arguments, any_name = _arguments(problem, axes)
    read = []
    for name, values in axes.items():
        leaf = _leaf(name)
        number = leaf in NUMBERS if leaf == name else leaf in ENTRIES
        choice = name in arguments or (any_name and not number)
        if not choice and not number:
            known = ", ".join((*arguments, *NUMBERS))
            raise ValueError(f"axis {name!r} must be one of {known}, or an entry such as l2_W[0] of {', '.join(ENTRIES)}")
        values = _choices(name, values) if choice else _numbers(name, values)
        if len(values) == 0:
            refuse(f"axis {name!r}", values, "at least one value")
        read.append(Axis(name, values, choice))
    for one, others in _EXCLUDES.items():
        for other in others:
            if one in axes and other in map(_leaf, axes) and {one, other} <= {*arguments, *NUMBERS}:
                raise ValueError(f"axes {one!r} and {other!r} must not be given together: both set the same numbers")
    return tuple(read)


def problems_of(problem: Problem | Callable[..., Problem], axes: tuple[Axis, ...]) -> list[Problem | str]:
    """The problem of every combination of choices, in the order of the grid; the sentence of the refusal where one is refused.

    Raises:
      ValueError: where every combination is refused; for a function that builds something else than a problem.
    """
    choices = [axis for axis in axes if axis.choice]
    l2_b = next((axis.values[0] for axis in axes if axis.name == "l2_b"), None)
    made: list[Problem | str] = []
    for values in itertools.product(*(axis.values for axis in choices)):
        named = dict(zip((axis.name for axis in choices), values, strict=True))
        try:
            made.append(with_choices(problem, named, l2_b) if isinstance(problem, Problem) else problem(**named))
        except ValueError as error:
            made.append(str(error))
            continue
        if not isinstance(made[-1], Problem):
            raise ValueError(f"problem must be a function that builds a Problem, got {type(made[-1]).__name__} for {named}")
    if all(isinstance(p, str) for p in made):
        raise ValueError(made[0])
    return made


def check_corners(problem: Problem, axes: tuple[Axis, ...]) -> None:
    """Refuse numbers that the problem itself would refuse: at all combinations of least and largest values, and every array."""
    numbers = [axis for axis in axes if not axis.choice]
    ends = [sorted({np.argmin(a.values), np.argmax(a.values)}) if a.values.ndim == 1 else [0] for a in numbers]
    points = list(itertools.product(*ends))
    for j, axis in enumerate(numbers):
        if axis.values.ndim > 1:
            points += [(*points[0][:j], i, *points[0][j + 1 :]) for i in range(1, len(axis))]
    for point in points:
        with_numbers(problem, {axis.name: axis.values[i] for axis, i in zip(numbers, point, strict=True)})


def with_numbers(problem: Problem, numbers: Mapping[str, Any]) -> Problem:
    """The problem with some numbers replaced, entries such as "l2_W[0]" after what fills the whole; safe under jit and vmap.

    "counts ratio" R keeps the largest class and the shape of the profile on a logarithmic scale: with R_0 the present ratio of
    largest to smallest class, n_k -> n_max (n_k/n_max)^(log R/log R_0), of which classes of equal sizes make the exponential
    long tail n_k = n R^(-k/(K-1)). Class sizes need not be whole numbers.

    Args:
      problem: any problem. numbers: name -> value, as for `read_axes`, one point each.

    Raises:
      ValueError: for what the problem refuses, a point of another shape, or an entry that a leaf does not have.
    """
    changes: dict[str, Any] = {}
    for name, value in sorted(numbers.items(), key=lambda item: _leaf(item[0]) != item[0]):
        leaf, shape = _leaf(name), np.shape(value)
        if name == "counts ratio":
            problem = _at_ratio(problem, value)
            continue
        there = getattr(problem, leaf)
        if there is None:
            raise ValueError(f"axis {name!r} must be a leaf that the problem has, got a problem without {leaf}")
        allowed = [(), there.shape] if there.ndim == 1 and leaf == name else [there.shape] if leaf == name else [()]
        if shape not in allowed:
            raise ValueError(f"axis {name!r} must have points of shape {' or '.join(map(str, allowed))}, got {shape}")
        if leaf == name:
            changes[leaf] = jnp.asarray(value, problem.dtype)
            continue
        index = int(name[len(leaf) + 1 : -1])
        if index >= there.size:
            raise ValueError(f"axis {name!r} must be an entry from {leaf}[0] to {leaf}[{there.size - 1}]")
        changes[leaf] = jnp.broadcast_to(changes.get(leaf, there), there.shape).at[index].set(jnp.asarray(value, problem.dtype))
    return problem.replace(**changes) if changes else problem


def with_choices(problem: Problem, choices: Mapping[str, Any], l2_b: Any = None) -> Problem:
    """The problem with other sizes, loss, bias or kind of features.

    K and n make another balanced problem. d fills all widths, M repeats the last one; "widths" gives them all. A bias of another
    kind has the ridge l2_b, by default the one there is.

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
    if "bias" in choices:
        changes["l2_b"] = 0.0 if choices["bias"] != "ridge" else problem.l2_b if l2_b is None else float(l2_b)
    if {"K", "n"} & set(choices):
        changes["design"] = _balanced_columns(problem, choices)
    return problem.replace(**changes)


def _arguments(problem: Any, axes: Mapping[str, Any]) -> tuple[tuple[str, ...], bool]:
    """Names that are choices of a problem or of the function that builds it, and whether that takes any name."""
    if isinstance(problem, Problem):
        return CHOICES, False
    if not callable(problem):
        refuse("problem", problem, "a Problem, or a function that builds one")
    given = inspect.signature(problem).parameters.values()
    named = [p for p in given if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    missing = [p.name for p in named if p.default is p.empty and p.name not in axes]
    if missing:
        raise ValueError(f"problem must be a function whose arguments are axes or have defaults, got no axis {missing[0]!r}")
    return tuple(p.name for p in named), any(p.kind is p.VAR_KEYWORD for p in given)


def _balanced_columns(problem: Problem, choices: Mapping[str, Any]) -> EqualClasses:
    """K classes of n samples, as columns of one sample or of all."""
    if not is_balanced(problem.design):
        refuse("problem", problem, "balanced for an axis 'K' or 'n' (or a function of them that builds it)")
    if problem.classifier is not None or problem.H0 is not None:
        refuse("problem", problem, "without a fixed classifier and a proximity term for an axis 'K' or 'n'")
    K, columns = choices.get("K", problem.classes), problem.groups[0]
    n = choices.get("n", float(problem.counts[0]))
    if columns > 1:
        columns = int(n)
    return EqualClasses(constant(n, problem.dtype), None, None, (columns,) * K)


def _at_ratio(problem: Problem, ratio: Any) -> Problem:
    """Class sizes of another ratio of largest to smallest; classes that have one size keep one, and their type says so."""
    if np.shape(ratio) != ():
        raise ValueError(f"axis 'counts ratio' must have points of shape (), got {np.shape(ratio)}")
    if not is_traced(ratio) and not float(ratio) >= 1:
        refuse("axis 'counts ratio'", ratio, "at least 1")
    design = problem.design
    groups = grouped(design) if isinstance(design, Classes) and not isinstance(design, EqualClasses) else None
    counts = known(problem.counts if groups is None else groups.sizes)
    xp = array_module(counts)
    logs = xp.log(xp.max(counts) / counts)
    even = xp.linspace(0, 1, counts.size, dtype=counts.dtype)
    profile = xp.where(xp.max(logs) < 1e-12, even, logs / xp.maximum(xp.max(logs), 1e-12))
    sizes = xp.max(counts) * jnp.asarray(ratio, problem.dtype) ** jnp.asarray(-profile, problem.dtype)
    if groups is not None:
        return problem.replace(design=dataclasses.replace(groups, sizes=sizes))
    if isinstance(design, Classes):
        return problem.replace(design=ClassSizes(sizes, design.smoothing, design.shares, design.runs))
    return problem.replace(multiplicity=(sizes / counts)[problem.labels] * problem.multiplicity)


def _leaf(name: str) -> str:
    return re.sub(r"\[\d+\]$", "", name)


def _choices(name: str, values: Any) -> tuple:
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        refuse(f"axis {name!r}", values, "a sequence of values")
    return tuple(values)


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
    return value.name if isinstance(value, Loss) else getattr(value, "__name__", str(value))
