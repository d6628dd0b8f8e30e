"""Minima in words: what a search found, how it ended, and how many starts agree."""

import numpy as np

from ufm.base.card import Card, Fact, lanes, numbers, shown
from ufm.base.describe import describe
from ufm.base.outcomes import outcome
from ufm.base.references import spelled_out
from ufm.search.minimum import Minimum
from ufm.search.solution import Solution

_SEARCH = "L-BFGS: [liu1989]"


@describe.register
def solution_card(solution: Solution) -> Card:
    """The point, how the run that won ended, and how many starts came to it."""
    ended, verdict = outcome(solution.status)
    starts = np.shape(solution.start_values)[-1]
    reached = starts_at_the_value(solution)
    facts = (
        Fact("value", shown(solution.value, 10), "f at the best point"),
        Fact("gradient norm", shown(solution.gradient_norm, 2), "|grad f| there, or what the optimality conditions leave"),
        Fact("status", ended),
        Fact("steps", shown(solution.steps), "of L-BFGS over all runs"),
        Fact("rank", shown(solution.rank), "of the logit matrix without its bias"),
        Fact("starts", "traced" if reached is None else f"{shown(reached)} of {starts}", "came to this value"),
    )
    if ended != "traced" and reached is not None:
        verdict = f"{verdict} {_agreement(reached, starts)}"
    return Card("Solution: the best point found" + lanes(np.shape(solution.value)), facts, verdict, spelled_out(_SEARCH))


@describe.register
def minimum_card(minimum: Minimum) -> Card:
    """Where one minimisation ended."""
    ended, verdict = outcome(minimum.status)
    facts = (
        Fact("value", shown(minimum.value, 10), "of the function there"),
        Fact("gradient norm", shown(minimum.gradient_norm, 2)),
        Fact("status", ended),
        Fact("steps", shown(minimum.steps), "of L-BFGS"),
    )
    return Card("Minimum: where the descent ended" + lanes(np.shape(minimum.value)), facts, verdict, spelled_out(_SEARCH))


def starts_at_the_value(solution: Solution) -> np.ndarray | None:
    """How many starts came to the value of the solution, to 1e-6 relative (1e-3 in float32); None where traced."""
    value, reached = numbers(solution.value), numbers(solution.start_values)
    if value is None or reached is None:
        return None
    close = 1e-6 if value.dtype == np.float64 else 1e-3
    value = value[..., None]
    return np.sum(np.abs(reached - value) <= close * np.maximum(np.abs(value), np.finfo(float).tiny), axis=-1)


def _agreement(reached: np.ndarray, starts: int) -> str:
    proof = "A search is no proof: ufm.certify says how far the global minimum can be."
    if reached.ndim or starts == 1:
        return proof
    if reached == 0:
        return f"None of the {starts} starts came to it: a restart without its weakest directions did, if any was finite. {proof}"
    if reached == starts:
        return f"All {starts} starts agree. {proof}"
    return f"{reached} of {starts} starts came to it, the others ended higher (see start_values): there are other minima. {proof}"
