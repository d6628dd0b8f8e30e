"""Theorems in words: entries of the catalogue, and their predictions."""

from collections.abc import Callable

import jax
import numpy as np

from ufm.base.card import Card, Fact, lanes, listed, numbers, sentence, shown
from ufm.base.describe import describe
from ufm.base.outcomes import TRACED
from ufm.theory.entries import family_of
from ufm.theory.prediction import Prediction
from ufm.theory.registry import catalogue
from ufm.theory.theorem import STATUSES, Theorem, paragraphs

LABELS = {
    "numerical": "lowest by every measurement of the catalogue; no proof is known to us",
    "optimal": "proved, no parameters of the problem have a lower value",
    "best-known": "the lowest value that any search of ours has found: an upper bound, not a proof; ufm.certify bounds the rest",
}
"""What the labels of a prediction mean."""


@describe.register
def theorem_card(theorem: Theorem) -> Card:
    """One entry: claim, assumptions, notes, cases and the formula of its closed form."""
    first, rest = paragraphs(theorem.predict)
    with jax.enable_x64(True):  # as ufm.verify makes them, whatever the caller's default
        cases = list(theorem.cases())
    facts = [
        Fact("claim", theorem.claim),
        Fact("kind", "" if theorem.kind == "other" else theorem.kind),
        Fact("assumes", "; ".join(assumption.text for assumption in theorem.assumes)),
        Fact("notes", theorem.notes),
        Fact("cases", listed(cases, 8) + ("; random ones too" if theorem.draw else "")),
        Fact("closed form", rest if first == theorem.claim else f"{first} {rest}".strip()),
        Fact("code", _address(theorem.predict)),
    ]
    family = f" ({family_of(theorem)})" if catalogue().get(theorem.id) is theorem else ""
    known = tuple(fact for fact in facts if fact.value)
    return Card(f"Theorem {theorem.id}{family}", known, sentence(f"{theorem.status}: {STATUSES[theorem.status]}"), theorem.source)


@describe.register
def prediction_card(prediction: Prediction) -> Card:
    """What a theorem says of a minimum, and how sure that is."""
    theorem = catalogue().get(prediction.theorem)
    status = "" if theorem is None else f"{theorem.status}: {STATUSES[theorem.status]}"
    layers = np.shape(prediction.singular_values)[-2] - 1
    factors = "the largest of H, W_1" + (f" to W_{layers}" if layers > 1 else "")
    facts = (
        Fact("theorem", prediction.theorem or "not signed", status),
        Fact("value", shown(prediction.value, 10), "f at the minimum"),
        Fact("rank", shown(prediction.rank), "of the logit matrix without its bias"),
        Fact("alive", shown(prediction.alive), "classes, or singular directions, that are not zero"),
        Fact("unique", shown(prediction.unique), "up to rotations of hidden coordinates"),
        Fact("singular values", _per_factor(prediction.singular_values), factors),
    )
    title = "Prediction: a minimum in closed form" + lanes(np.shape(prediction.value))
    return Card(title, facts, _how_sure(prediction), "" if theorem is None else theorem.source)


def _how_sure(prediction: Prediction) -> str:
    value, rank = numbers(prediction.value), numbers(prediction.rank)
    words = f"{prediction.label}: {LABELS.get(prediction.label, 'a label that ufm does not know')}"
    if value is None or rank is None:
        return f"{sentence(words)} {TRACED}"
    missing = np.sum(~np.isfinite(value))
    if missing == value.size:
        return "No number came out: the ridges or targets are out of the range of float arithmetic, or NaN."
    vanished = np.sum(rank == 0)
    where = f"{vanished} of {rank.size} minima" if rank.ndim else "the minimum"
    zero = f" At {where} all features vanish: the ridges are too large for anything else." if vanished else ""
    lost = f" {missing} of {value.size} values are not finite." if missing else ""
    return sentence(words) + zero + lost


def _per_factor(singular_values: object) -> str:
    values = numbers(singular_values)
    if values is None:
        return "traced"
    return "; ".join(shown(np.max(values[..., i, :], axis=-1), 4) for i in range(values.shape[-2]))


def _address(function: Callable) -> str:
    function = getattr(function, "func", function)  # of a partial
    return f"{function.__module__}.{getattr(function, '__qualname__', type(function).__qualname__)}"
