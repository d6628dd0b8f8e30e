"""Status: how anything ends, a search, a run or a lane of a sweep, in one enumeration: one meaning a number over all of ufm."""

from enum import IntEnum
from typing import Any

import numpy as np


class Status(IntEnum):
    """How something ended; `text` says it in words, `well` whether it did what was asked. Numbers are stored and never reused."""

    CONVERGED = 0
    MAX_STEPS = 1
    STALLED = 2
    NON_FINITE = 3
    REFUSED = 4
    NOT_RUN = 5
    COMPLETED = 6
    DIVERGED = 7
    NO_MINIMISER = 8
    GIVEN_UP = 9
    SEPARATED = 10
    NOT_SEPARATED = 11
    REACHED = 12
    NOT_REACHED = 13
    BOUNDED = 14
    UNBALANCED = 15
    OUTSIDE_DOMAIN = 16
    NOT_BELOW_RIDGES = 17
    NO_NUMBER = 18

    @property
    def text(self) -> str:
        """The status in words, with what to do about it."""
        return _TEXTS[self]

    @property
    def well(self) -> bool:
        """Whether nothing has to be done about it."""
        return self in _WELL


_WELL = (Status.CONVERGED, Status.COMPLETED, Status.SEPARATED, Status.REACHED, Status.BOUNDED)
_TEXTS = {
    Status.CONVERGED: "converged: the gradient (or the residual or gap that has to vanish) is within the tolerance there",
    Status.MAX_STEPS: "stopped at max_steps before the end: allow more steps or a larger tolerance",
    Status.STALLED: "stalled above the tolerance: rounding hides further progress (a larger tolerance would accept it)",
    Status.NON_FINITE: "infinite or NaN at the start or at every point tried: check the scale of the start and of the targets, and "
    "that what a flow inverts is invertible (H H^T where l2_W = 0, the scatter within classes)",
    Status.REFUSED: "refused: the problem or the function does not allow it, see the attribute `refused`",
    Status.NOT_RUN: "not run: the chunk is missing or damaged; the same sweep on the same store computes what is left",
    Status.COMPLETED: "completed: every step or time that was asked for was reached",
    Status.DIVERGED: "diverged: from a finite start the value or the parameters became infinite or NaN: a smaller step is needed",
    Status.NO_MINIMISER: "no minimum there: the search is at rest, and the value still falls further out along a ray, as where an "
    "infimum is not attained (cross-entropy without ridges): the value is above the infimum",
    Status.GIVEN_UP: "given up near a point that is no lower than the rival it was to beat",
    Status.SEPARATED: "separated: N f < log 2, every column is classified and the smoothed margin can only grow",
    Status.NOT_SEPARATED: "not separated yet: N f >= log 2, so that nothing is known of the limit: more steps, off a saddle",
    Status.REACHED: "reached: the figure asked for is met (where that is a bound, nothing is better)",
    Status.NOT_REACHED: "not reached: the best found misses the figure asked for; it may be out of reach, else more starts, more "
    "steps or another key can help",
    Status.BOUNDED: "bounded: the dual point is feasible, rounding counted, and no parameters have a lower value",
    Status.UNBALANCED: "no bound: the bias is free, and the weighted dual directions do not sum to zero",
    Status.OUTSIDE_DOMAIN: "no bound: the dual point is not certain to lie in the domain of the loss's conjugate",
    Status.NOT_BELOW_RIDGES: "no bound: the norm of the dual point exceeds what the ridges pay for",
    Status.NO_NUMBER: "no bound: infinite or NaN on the way, see the value at the point",
}


def ended_well(statuses: Any) -> np.ndarray:
    """Which of the statuses need nothing to be done about them, as booleans of the same shape.

    Args:
      statuses: integers, known numbers.
    """
    return np.isin(np.asarray(statuses), [int(status) for status in _WELL])
