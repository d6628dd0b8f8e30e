"""Statuses in words: of one run and of many lanes."""

from collections.abc import Callable
from enum import IntEnum
from typing import Any

import numpy as np

from ufm.card import Card, Fact, lanes, listed, numbers, sentence
from ufm.checks import refuse

TRACED = "Not known yet: the numbers are traced; print what jit or vmap returns, or use jax.debug.print inside."
_SHOWN_LANES = 5


def outcome(status: Any, kind: type[IntEnum]) -> tuple[str, str]:
    """(names, sentence) of a status or of an array of them: how many of each, which lanes, and what to do about it.

    Args:
      status: integers. kind: the enumeration that they belong to, with a `text` for each member.
    """
    values = numbers(status)
    if values is None:
        return "traced", TRACED
    known = {int(member): member for member in kind}
    return tally(values, lambda v: known[v].name if v in known else f"status {v}", lambda v: known[v].text if v in known else
                 f"not one of {kind.__name__}, which ends at {max(known)}")  # fmt: skip


def tally(
    values: np.ndarray,
    name: Callable[[Any], str],
    text: Callable[[Any], str],
    place: Callable[[np.ndarray], str] | None = None,
) -> tuple[str, str]:
    """(names, sentence) of one value, or of every value among those of many lanes with the first lanes where it is found.

    Args:
      values: integers. name, text: of each.
      place: how a lane is called, from its (axes,) indices; by default by these. Lanes of 0 go without: in every enumeration
        it is the status that nothing has to be done about.
    """
    if values.ndim == 0:
        return name(values.item()), sentence(text(values.item()))
    names, sentences = [], []
    for value in np.unique(values).tolist():
        found = np.argwhere(values == value)
        names.append(f"{len(found)} {name(value)}")
        where = "" if value == 0 else f" ({listed([(place or _index)(lane) for lane in found], _SHOWN_LANES)})"
        sentences.append(sentence(f"{len(found)} of {values.size} lanes{where}: {text(value)}"))
    return ", ".join(names), " ".join(sentences)


def status_card(status: IntEnum) -> Card:
    """One status by itself."""
    return Card(f"{type(status).__name__}.{status.name}", (Fact("number", str(int(status))),), sentence(status.text))


def statuses_card(status: Any, kind: type[IntEnum]) -> Card:
    """An integer array of statuses.

    Raises:
      ValueError: for a number that is no status of the kind, or an array of other than integers.
    """
    values = numbers(status)
    allowed = f"integers, each a status of {kind.__name__} (0 to {max(kind)}); for another enumeration use explain(x, statuses=...)"
    if values is not None and (not np.issubdtype(values.dtype, np.integer) or not np.isin(values, list(map(int, kind))).all()):
        refuse("x", values, allowed)
    names, verdict = outcome(status, kind)
    fact = Fact("status", names, f"read as {kind.__module__}.{kind.__name__}")
    return Card("Status" + lanes(np.shape(status)), (fact,), verdict if values is None or values.size else "No lanes.")


def _index(place: np.ndarray) -> str:
    return str(place[0]) if len(place) == 1 else str(tuple(place.tolist()))
