"""Explanations: the card of every value of ufm that a reader meets at the prompt, and `ufm.explain`."""

from ufm.explanations import certificates, minima, problems, runs, theorems  # noqa: F401  (they register their cards)
from ufm.explanations.describe import describe
from ufm.explanations.explain import explain

__all__ = ["describe", "explain"]
