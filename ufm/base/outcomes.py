"""Statuses in words: of one run and of many lanes."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ufm.base.card import Card, Fact, lanes, listed, numbers, sentence
from ufm.base.checks import refuse
from ufm.base.status import Status, ended_well

TRACED = "Not known yet: the numbers are traced; print what jit or vmap returns, or use jax.debug.print inside."
_SHOWN_LANES = 5
_KNOWN = tuple(map(int, Status))


def outcome(status: Any) -> tuple[str, str]:
    """(names, sentence) of a status or of an array of them: how many of each, which lanes, and what to do about it.

    Args:
      status: integers, each a `ufm.Status`.
    """
    values = numbers(status)
    if values is None:
        return "traced", TRACED
    return tally(
        values,
        lambda v: Status(v).name if v in _KNOWN else f"status {v}",
        lambda v: Status(v).text if v in _KNOWN else f"not one of ufm.Status, which ends at {max(_KNOWN)}",
        well=ended_well(values),
    )


def tally(
    values: np.ndarray,
    name: Callable[[Any], str],
    text: Callable[[Any], str],
    place: Callable[[np.ndarray], str] | None = None,
    well: np.ndarray | None = None,
) -> tuple[str, str]:
    """(names, sentence) of one value, or of every value among those of many lanes with the first lanes where it is found.

    Args:
      values: integers. name, text: of each.
      place: how a lane is called, from its (axes,) indices; by default by these.
      well: where nothing has to be done, whose places are not listed; by default where the value is 0.
    """
    if values.ndim == 0:
        return name(values.item()), sentence(text(values.item()))
    names, sentences = [], []
    well = values == 0 if well is None else well
    for value in np.unique(values).tolist():
        found = np.argwhere(values == value)
        names.append(f"{len(found)} {name(value)}")
        where = "" if well[values == value].all() else f" ({listed([(place or _index)(lane) for lane in found], _SHOWN_LANES)})"
        sentences.append(sentence(f"{len(found)} of {values.size} lanes{where}: {text(value)}"))
    return ", ".join(names), " ".join(sentences)


def status_card(status: Status) -> Card:
    """One status by itself."""
    return Card(f"Status.{status.name}", (Fact("number", str(int(status))),), sentence(status.text))


def statuses_card(status: Any) -> Card:
    """An integer array of statuses.

    Raises:
      ValueError: for a number that is no status, or an array of other than integers.
    """
    values = numbers(status)
    allowed = f"integers, each a ufm.Status (0 to {max(_KNOWN)})"
    if values is not None and (not np.issubdtype(values.dtype, np.integer) or not np.isin(values, _KNOWN).all()):
        refuse("x", values, allowed)
    names, verdict = outcome(status)
    fact = Fact("status", names, "read as ufm.Status")
    return Card("Status" + lanes(np.shape(status)), (fact,), verdict if values is None or values.size else "No lanes.")


def _index(place: np.ndarray) -> str:
    return str(place[0]) if len(place) == 1 else str(tuple(place.tolist()))
