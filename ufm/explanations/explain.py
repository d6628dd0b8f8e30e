"""ufm.explain: what a value, a status or a verdict means, in words."""

from enum import IntEnum
from typing import Any

import jax
import numpy as np

from ufm.card import Card
from ufm.checks import check_choice
from ufm.explanations.datasets import dataset_card, is_dataset
from ufm.explanations.describe import describe
from ufm.explanations.statuses import status_card, statuses_card
from ufm.minimise import Status


def explain(x: Any, statuses: type[IntEnum] = Status) -> Card:
    """What a value says, in a card that prints as text and shows as HTML in Jupyter.

    Args:
      x: a Problem, Prediction, Solution, Minimum, Certificate, Identification, Theorem, Report, Trajectory, Descent or
        LogDescent, also traced, or stacked by vmap; a status, an integer or an array of statuses of many lanes; a verdict
        ("holds", "numerical", "refuted", "diagnostic", "fails", "optimal", "best-known"); the id of a theorem; an
        xarray.Dataset with a variable `status`, as sweeps return it.
      statuses: the enumeration that numbers without one belong to: arrays do not know it.

    Returns:
      Card: title, facts, verdict, source.

    Raises:
      ValueError: for anything else, saying what is accepted; for numbers that are no status.

    Example:
      >>> explain(np.array([0, 0, 2, 0]))
      Status, 4 lanes
        status: 3 CONVERGED, 1 STALLED  read as ufm.minimise.Status
      3 of 4 lanes: converged: the gradient norm is below tolerance * min(1, value). 1 of 4 lanes (2): stalled
        above the tolerance: rounding hides further progress (a larger tolerance would accept it).
    """
    if isinstance(x, IntEnum) and hasattr(x, "text"):
        return status_card(x)
    if isinstance(x, int | np.integer | np.ndarray | jax.Array) and not isinstance(x, bool):
        if not (isinstance(statuses, type) and issubclass(statuses, IntEnum)):
            check_choice("statuses", statuses, ("an enumeration such as ufm.Status",))
        return statuses_card(x, statuses)
    return dataset_card(x, statuses) if is_dataset(x) else describe(x)
