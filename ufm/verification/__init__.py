"""Verification: predicted against measured, entry by entry, the report of it, and the counterexamples of refuted entries.

Imports base, problem, proofs, theory.
"""

from ufm.verification import cards  # noqa: F401  (registers the cards of its values)
from ufm.verification.counterexamples import Counterexample, refutation
from ufm.verification.report import Report
from ufm.verification.run import verify

__all__ = ["Counterexample", "Report", "refutation", "verify"]


def __dir__() -> list[str]:
    """The public names, for completion."""
    return __all__
