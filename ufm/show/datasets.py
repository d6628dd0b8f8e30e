"""Datasets of sweeps in words: the axes, the range of every result, how the lanes ended and which of them did not end well.

An xarray.Dataset is known by its variable `status` alone, so that ufm needs no xarray here.
"""

from typing import Any

import numpy as np

from ufm.base.card import Card, Fact, cited, lanes, listed, shown
from ufm.base.outcomes import tally
from ufm.base.status import Status

_VARIABLES = 12
_WELL = {status.name.lower() for status in Status if status.well}


def is_dataset(x: Any) -> bool:
    """Whether a value is a dataset with the variable `status`."""
    return hasattr(x, "data_vars") and "status" in x.data_vars


def dataset_card(dataset: Any) -> Card:
    """What a sweep found, and the coordinates of the first lanes that did not end well.

    Args:
      dataset: its `status` may name its flags by the attributes `flag_values` and `flag_meanings` of the CF conventions.
        Flags without names, and those named like members of `ufm.Status`, are these.
    """
    status = dataset["status"]
    values = np.asarray(status.values)
    names, texts = _flags(status.attrs)
    well = [number for number, name in names.items() if name.lower() in _WELL]
    ended, verdict = tally(
        values,
        lambda v: names.get(v, f"status {v:g}"),
        lambda v: "ended well" if v in well else texts.get(v, "a status that the dataset does not name"),
        lambda place: _coordinates(status, place),
        np.isin(values, well),
    )
    facts = [Fact(name, str(dataset.attrs[name])) for name in ("function", "problem") if name in dataset.attrs]
    facts += [Fact(str(axis), _range(dataset[axis].values), f"axis of {dataset.sizes[axis]}") for axis in status.dims]
    facts.append(Fact("status", ended))
    results = [name for name in dataset.data_vars if name != "status"]
    facts += [Fact(str(name), _range(dataset[name].values), _meaning(dataset[name])) for name in results[:_VARIABLES]]
    if len(results) > _VARIABLES:
        facts.append(Fact("results", f"{len(results) - _VARIABLES} more"))
    return Card("Sweep" + lanes(values.shape), tuple(facts), verdict, cited(dataset.attrs.get("references", "").splitlines()))


def _flags(attrs: Any) -> tuple[dict[int, str], dict[int, str]]:
    """Names and texts of the flags by number; a flag with the name of a member of `ufm.Status` has that one's text."""
    words = attrs.get("flag_meanings")
    if not words:
        return {int(member): member.name for member in Status}, {int(member): member.text for member in Status}
    words = words.split() if isinstance(words, str) else list(words)
    numbers = [int(number) for number in np.ravel(attrs.get("flag_values", range(len(words))))]
    known = {member.name.lower(): member.text for member in Status}
    texts = [known.get(word.lower(), word.replace("_", " ")) for word in words]
    return dict(zip(numbers, words, strict=True)), dict(zip(numbers, texts, strict=True))


def _range(values: np.ndarray) -> str:
    numeric = np.issubdtype(values.dtype, np.number) or values.dtype == bool
    return shown(values) if numeric else listed([str(v) for v in values.flat])


def _meaning(variable: Any) -> str:
    return str(variable.attrs.get("long_name") or variable.attrs.get("description") or "")


def _coordinates(status: Any, place: np.ndarray) -> str:
    return " ".join(f"{axis}={_range(status[axis].values[i : i + 1])}" for axis, i in zip(status.dims, place, strict=True))
