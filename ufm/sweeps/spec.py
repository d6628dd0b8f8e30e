"""A sweep written down as TOML, for `ufm sweep`: read, checked key by key, and turned into the arguments of `ufm.sweep`.

    function = "certified"                 # a name of ufm.sweeps.FUNCTIONS
    seeds = 8                              # or a list of seeds; left out for functions that take no key

    [problem]                              # arguments of Problem.balanced, or of Problem.imbalanced where there are counts
    classes = 4
    per_class = 100
    widths = [64]
    loss = "focal(2)"                      # a loss by name, or one of ufm.losses with its numbers

    [axes]
    l2_W = {from = 1e-4, to = 1e-2, points = 64}                          # geometric
    scale = {from = 1, to = 5, points = 5, spacing = "linear"}
    l2_H = [1e-4, 1e-3]
    K = [4, 10]

    [options]                              # further arguments of the function
    time = 100.0
"""

import difflib
import inspect
import re
import tomllib
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ufm import losses
from ufm.base.checks import check_choice, check_count, check_finite, check_positive, refuse
from ufm.losses import Loss
from ufm.problem import Problem
from ufm.sweeps.axes import CHOICES, ENTRIES, NUMBERS
from ufm.sweeps.functions import FUNCTIONS, named
from ufm.sweeps.program import takes_key

_KEYS = ("function", "seeds", "problem", "axes", "options")
_COUNTS = ("K", "n", "d", "M")
_RANGE = ("from", "to", "points", "spacing")


class Spec(NamedTuple):
    """The arguments of `ufm.sweep` that a TOML file gives."""

    fn: Callable
    problem: Problem
    axes: dict[str, Any]
    seeds: int | list[int] | None


def read_spec(path: Path) -> Spec:
    """A sweep from a TOML file.

    Raises:
      ValueError: naming the file and the key, the value and what is allowed.
    """
    try:
        table = tomllib.loads(Path(path).read_text())
    except OSError as error:
        raise ValueError(f"SPEC must be a TOML file, got {str(path)!r}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: {error}") from None
    try:
        return spec_of(table)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def spec_of(table: dict[str, Any]) -> Spec:
    """A sweep from the tables of a TOML file, each of its keys checked.

    Raises:
      ValueError: naming the key, the value and what is allowed.
    """
    _check_keys("", table, _KEYS, required=("function", "problem", "axes"))
    check_choice("function", table["function"], tuple(FUNCTIONS))
    for name in ("problem", "axes", "options"):
        if not isinstance(table.get(name, {}), dict):
            refuse(name, table[name], f"a table, [{name}]")
    fn = named(table["function"])
    options = table.get("options", {})
    _check_keys("options", options, [p.name for p in inspect.signature(fn).parameters.values() if p.kind is p.KEYWORD_ONLY])
    for name, value in options.items():
        check_positive(f"options.{name}", value)
        if isinstance(value, list):
            refuse(f"options.{name}", value, "one number")
    seeds = table.get("seeds")
    if takes_key(fn):
        seeds = 1 if seeds is None else seeds
        for seed in seeds if isinstance(seeds, list) else [seeds]:
            check_count("seeds", seed, 0 if isinstance(seeds, list) else 1)
    elif seeds is not None:
        refuse("seeds", seeds, f"left out: {table['function']!r} takes no random key")
    _check_keys("axes", table["axes"], (*CHOICES, *NUMBERS), entries=ENTRIES)
    if not table["axes"]:
        refuse("axes", {}, "a table of at least one axis, such as l2_H = [1e-3, 1e-2]")
    axes = {name: _values(f"axes.{name}", name, given) for name, given in table["axes"].items()}
    return Spec(partial(fn, **options) if options else fn, _problem(table["problem"]), axes, seeds)


def _problem(table: dict[str, Any]) -> Problem:
    build: Callable[..., Problem] = Problem.imbalanced if "counts" in table else Problem.balanced
    own = [name for name in inspect.signature(build).parameters if name != "choices"]
    shared = [name for name in inspect.signature(Problem.from_targets).parameters if name != "targets"]
    required = ("counts", "widths") if "counts" in table else ("classes", "per_class", "widths")
    _check_keys("problem", table, dict.fromkeys((*own, *shared, "counts")), required=required)
    values: dict[str, Any] = {name: _loss("problem.loss", value) if name == "loss" else value for name, value in table.items()}
    try:
        return build(**values)
    except (ValueError, TypeError) as error:
        raise ValueError(f"[problem]: {error}") from None


def _values(key: str, name: str, given: Any) -> Any:
    """Values of one axis: a list, or a range."""
    if isinstance(given, dict):
        if name in CHOICES and name not in _COUNTS:
            refuse(key, given, "a list of values")
        _check_keys(key, given, _RANGE, required=_RANGE[:3])
        spacing = given.get("spacing", "geometric")
        check_choice(f"{key}.spacing", spacing, ("geometric", "linear"))
        check_count(f"{key}.points", given["points"], 1)
        for end in ("from", "to"):
            (check_positive if spacing == "geometric" else check_finite)(f"{key}.{end}", given[end])
        values = (np.geomspace if spacing == "geometric" else np.linspace)(given["from"], given["to"], given["points"])
        return np.unique(np.rint(values).astype(int)).tolist() if name in _COUNTS else values
    if not isinstance(given, list) or not given:
        refuse(key, given, "a list of values, or {from, to, points}")
    if name == "loss":
        return [_loss(key, value) for value in given]
    if name in NUMBERS or "[" in name:
        check_finite(key, given)
    return given


def _loss(key: str, text: Any) -> str | Loss:
    """A loss by name, or by the name and the numbers of its function: "focal(2)"."""
    made = re.fullmatch(r"(\w+)\((.*)\)", str(text))
    if made is None:
        if not isinstance(text, str) or text not in losses.LOSSES:
            refuse(key, text, f"one of {', '.join(map(repr, losses.LOSSES))}, or a function of ufm.losses such as 'focal(2)'")
        return text
    try:
        return getattr(losses, made[1])(*(float(x) for x in made[2].split(",") if x.strip()))
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"{key} must be a function of ufm.losses with its numbers, got {text!r}: {error}") from None


def _check_keys(table: str, given: dict[str, Any], allowed: Iterable[str], required: tuple = (), entries: tuple = ()) -> None:
    """Refuse unknown keys, with the nearest known one, and missing ones; names in `entries` may be followed by [i]."""
    allowed, prefix = list(allowed), f"{table}." if table else ""
    for key in given:
        if key not in allowed and re.sub(r"\[\d+\]$", "", key) not in entries:
            near = difflib.get_close_matches(key, allowed, n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            raise ValueError(f"unknown key {prefix + key!r}{hint}: allowed are {', '.join(allowed) or 'none'}")
    for key in required:
        if key not in given:
            raise ValueError(f"missing key {prefix + key!r}")
