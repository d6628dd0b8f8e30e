"""Describe: value -> Card, one function for each class, registered where the card is drawn."""

from functools import singledispatch
from typing import Any

from ufm.base.card import Card
from ufm.base.checks import refuse


@singledispatch
def describe(value: Any) -> Card:
    """The card of a value of ufm, in what `print` and Jupyter show of it.

    Raises:
      ValueError: for a value of another class.
    """
    classes = sorted(kind.__name__ for kind in describe.registry if kind is not object)
    refuse("x", type(value).__name__, "a status, an integer array of them, a verdict, a theorem's id, a dataset with a "
           "variable `status`, or a " + ", ".join(classes[:-1]) + " or " + classes[-1])  # fmt: skip
