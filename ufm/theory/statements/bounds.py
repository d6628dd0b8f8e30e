"""Bounds: what nothing passes, and where it is met."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from ufm.theory.statements.own import Cases, other
from ufm.theory.theorem import ROUNDING, Assumption, Check, Theorem, below


def bound(
    id: str,
    origin: str,
    predict: Callable[[Any], Any],
    measure: Callable[[Any, jax.Array], Any],
    cases: Cases,
    draw: Callable | None = None,
    assumes: tuple[Assumption, ...] = (),
    *,
    upper: bool = False,
    met: Callable[[Any], bool | None] = lambda case: None,
    rounding: float = ROUNDING,
    near: float = 1e-6,
    clear: float = 0.0,
    unit: float | None = None,
    **fields: Any,
) -> Theorem:
    """A Theorem about a number that nothing is below (or above).

    Args:
      predict: case -> the bound, a scalar.
      measure: (case, key) -> values of anything that the bound is about, the best that searches find among them.
      upper: whether values stay below.
      met: case -> True where the best value has to meet the bound within `near`, False where it has to stay `clear` of it, None
        where nothing is said.
      rounding: by which values may pass the bound.
      unit: of `rounding`, `near` and `clear`; the size of the bound by default, one where that is zero.
    """

    def evidence(case: Any, predicted: Any, measured: Any) -> list[Check]:
        """No value passes the bound; the best one meets it where it should."""
        limit, values = float(predicted), np.asarray(measured, dtype=float)
        size = unit or abs(limit) or 1.0
        room = (limit - values if upper else values - limit) / size
        least = float(np.min(room)) if np.isfinite(room).all() else np.nan
        checks = [below("agreement", "above the bound" if upper else "below the bound", -least, rounding)]
        is_met = met(case)
        if is_met:
            checks.append(Check("agreement", "met by the best", abs(least), near))
        elif is_met is not None:
            checks.append(below("agreement", "met by none", clear - least, 0.0))
        return checks

    return other(id, origin, predict, measure, cases, draw, assumes, evidence=evidence, **{"kind": "bound"} | fields)
