"""Verification: predicted against measured, entry by entry, and the report of it.

Imports base, proofs, theory.
"""

from ufm.verification import cards  # noqa: F401  (registers the cards of its values)
from ufm.verification.counterexamples import Counterexample, refutation
from ufm.verification.report import Report
from ufm.verification.run import verify

__all__ = ["Counterexample", "refutation", "Report", "verify"]


def __dir__() -> list[str]:
    """The public names, for completion."""
    return __all__
