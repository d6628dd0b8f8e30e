"""A problem as NumPy arrays, a column each, for references that share nothing with the package."""

from types import SimpleNamespace

import numpy as np

_COLUMNS = ("targets", "multiplicity", "intercept", "weight", "samples", "teacher")
_NUMBERS = ("l2_W", "l2_H", "l2_b", "scale", "classifier", "beta", "H0")
_CHOICES = ("widths", "loss", "bias", "features", "groups", "labels")


def numpy_problem(problem):
    """Every number of the problem as NumPy holds it, and its choices."""
    numbers = {name: getattr(problem, name) for name in (*_COLUMNS, *_NUMBERS)}
    return SimpleNamespace(
        **{name: None if x is None else np.asarray(x) for name, x in numbers.items()},
        **{name: getattr(problem, name) for name in _CHOICES},
    )
