"""Numbers meant exactly: fractions and decimal strings that a problem was given, beside the floats that it computes with.

A problem is its floats: 0.05 is the double 3602879701896397 * 2^-56. Given as "0.05", "1/20" or Fraction(1, 20), the same float is
in the leaf, and what it stands for is in `Problem.meant`. Whoever asks for exact numbers (`exact`) gets the fraction only where the
leaf is still the float nearest to it, and the float to its last bit everywhere else: a leaf that was replaced or swept is never
mistaken.
"""

from fractions import Fraction
from typing import Any

import numpy as np

from ufm.base.checks import refuse, refuse_traced

_NUMBERS = (
    "l2_W", "l2_H", "l2_b", "scale", "classifier", "beta", "H0", "smoothing",
    "targets", "multiplicity", "intercept", "weight", "samples", "teacher",
)  # fmt: skip

Meant = tuple[tuple[str, Any], ...]


def as_floats(*given: dict[str, Any]) -> tuple[list[dict[str, Any]], Meant]:
    """Arguments with floats in the place of fractions and decimal strings, and what those stand for, by name.

    Raises:
      ValueError: for a string that is no number.
    """
    meant = {n: _fractions(n, x) for arguments in given for n, x in arguments.items() if n in _NUMBERS and _has_exact(x)}
    floats = [{n: _nearest(meant[n]) if n in meant else x for n, x in arguments.items()} for arguments in given]
    return floats, tuple(meant.items())


def exact(problem: Any, name: str) -> np.ndarray:
    """Exact numbers of a problem as an array of Fractions, of the shape of the attribute; targets (K, C), the others alike.

    Raises:
      ValueError: for another name than that of numbers, or traced ones.
    """
    if name not in _NUMBERS:
        refuse("name", name, ", ".join(_NUMBERS))
    floats, meant = _floats(problem, name), dict(problem.meant)
    if name in meant:
        wanted = np.asarray(meant[name], object)
        if wanted.shape in ((), floats.shape) and np.all(wanted.astype(floats.dtype) == floats):
            return np.broadcast_to(wanted, floats.shape)
    elif name == "targets" and "smoothing" in meant and is_meant(problem, "smoothing"):
        share = exact(problem, "smoothing")[()] / problem.classes
        own = 1 - (problem.classes - 1) * share
        return np.where(floats > floats.min(), own, share)
    return _to_the_last_bit(floats)


def exact_ridges(problem: Any) -> list[Fraction]:
    """Of all factors, that of H first, as Fractions."""
    return [exact(problem, "l2_H")[()], *exact(problem, "l2_W")]


def is_meant(problem: Any, name: str) -> bool:
    """Whether numbers of that name are meant to be others than the floats that stand for them."""
    if not {name, "smoothing" if name == "targets" else name} & dict(problem.meant).keys():
        return False
    return bool(np.any(exact(problem, name) != _to_the_last_bit(_floats(problem, name))))


def _floats(problem: Any, name: str) -> np.ndarray:
    floats = getattr(problem.design if name == "smoothing" else problem, name)
    refuse_traced(name, floats)
    return np.asarray(floats)


def _to_the_last_bit(floats: np.ndarray) -> np.ndarray:
    return np.array([Fraction(float(x)) for x in floats.ravel()], object).reshape(floats.shape)


def _has_exact(x: Any) -> bool:
    if isinstance(x, list | tuple) or (isinstance(x, np.ndarray) and x.dtype.kind in "OUS"):
        return any(map(_has_exact, x))
    return isinstance(x, str | Fraction)


def _fractions(name: str, x: Any) -> Any:
    if isinstance(x, list | tuple | np.ndarray) and np.ndim(x):
        return tuple(_fractions(name, entry) for entry in x)
    try:
        return Fraction(x) if isinstance(x, str | int | Fraction) else Fraction(float(x))
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        refuse(name, x, "a number: a float, a Fraction, a decimal string such as '0.05', or a ratio such as '1/20'")


def _nearest(x: Any) -> Any:
    return [_nearest(entry) for entry in x] if isinstance(x, tuple) else float(x)
