"""Problems in words, with what the laboratory knows of them: which theorems give the minimum, and how it is bounded."""

import dataclasses

from ufm.base.card import Card, cited, listed
from ufm.base.describe import describe
from ufm.duality import bound_in_words
from ufm.problem import Problem
from ufm.problem.cards import first_lane
from ufm.theory.registry import applicable
from ufm.theory.theorem import Theorem


def explained_problem(problem: Problem) -> Card:
    """The card that a problem prints, with the theorems that apply to it and the bound that `ufm.certify` would give."""
    stacked, first = first_lane(problem)
    theorems = applicable(first)
    verdict = f"{_closed_form(theorems)} {_certificate(problem)}"
    source = cited(theorem.source for theorem in theorems[:1])
    return dataclasses.replace(describe(problem), verdict=f"The first lane: {verdict}" if stacked else verdict, source=source)


def _closed_form(theorems: list[Theorem]) -> str:
    if not theorems:
        return "No theorem of the catalogue gives its minimum: ufm.solve searches for it."
    also = f"; so do {listed([t.id for t in theorems[1:]])}" if theorems[1:] else ""
    return f"ufm.predict has its minimum in closed form, by {theorems[0].id} ({theorems[0].status}){also}."


def _certificate(problem: Problem) -> str:
    try:
        return f"ufm.certify bounds it from below ({bound_in_words(problem)})."
    except ValueError as refusal:
        return f"ufm.certify has no bound for it: {refusal}."
