"""ufm.explain: what a value, a status or a verdict means, in words."""

from typing import Any

import jax
import numpy as np

from ufm.base.card import Card
from ufm.base.describe import describe
from ufm.base.outcomes import status_card, statuses_card
from ufm.base.status import Status
from ufm.problem import Problem
from ufm.show.datasets import dataset_card, is_dataset
from ufm.show.problems import explained_problem


def explain(x: Any) -> Card:
    """What a value says, in a card that prints as text and shows as HTML in Jupyter.

    Args:
      x: a Problem, Prediction, Solution, Minimum, Certificate, Identification, Theorem, Report, Trajectory, Descent or
        LogDescent, also traced, or stacked by vmap; a status, an integer or an array of statuses of many lanes; a verdict
        ("holds", "numerical", "refuted", "diagnostic", "fails", "optimal", "best-known"); the id of a theorem; an
        xarray.Dataset with a variable `status`, as sweeps return it.

    Returns:
      Card: title, facts, verdict, source.

    Raises:
      ValueError: for anything else, saying what is accepted; for numbers that are no status.

    Example:
      >>> explain(np.array([0, 0, 2, 0]))
      Status, 4 lanes
        status: 3 CONVERGED, 1 STALLED  read as ufm.Status
      3 of 4 lanes: converged: the gradient (or the residual or gap that has to vanish) is within the tolerance
        there. 1 of 4 lanes (2): stalled above the tolerance: rounding hides further progress (a larger tolerance
        would accept it).
    """
    if isinstance(x, Status):
        return status_card(x)
    if isinstance(x, int | np.integer | np.ndarray | jax.Array) and not isinstance(x, bool):
        return statuses_card(x)
    if isinstance(x, Problem):
        return explained_problem(x)
    return dataset_card(x) if is_dataset(x) else describe(x)
