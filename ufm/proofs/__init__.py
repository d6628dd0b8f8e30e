"""Proofs: what is true of one instance, in rational numbers and balls, as a file that anyone can check.

    ufm.proofs.Proof                                what was proved, as a value that prints, and saves itself

Ball arithmetic is that of python-flint (Arb), the extra `proof`. A proof of an instance says nothing of other instances.

Imports base, losses, problem.
"""

from ufm.proofs import cards  # noqa: F401  (registers the card of a proof)
from ufm.proofs.proof import FORMAT, KINDS, Proof, decimals, unproved

__all__ = ["FORMAT", "KINDS", "Proof", "decimals", "unproved"]


def __dir__() -> list[str]:
    """The public names, for completion."""
    return __all__
