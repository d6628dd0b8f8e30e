"""Proofs: what is true of one instance, in rational numbers and balls, as a file that anyone can check.

    ufm.proofs.Proof                                what was proved, as a value that prints, and saves itself

Ball arithmetic is that of python-flint (Arb), the extra `proof`. A proof of an instance says nothing of other instances.

Imports base, duality, equivalent, losses, motion, problem, search.
"""

from ufm.proofs import cards  # noqa: F401  (registers the card of a proof)
from ufm.proofs.book import Book, least_of
from ufm.proofs.expressions import Expression, exp, log, number, power, sqrt, x
from ufm.proofs.gradients import Slopes, given_params, least_squares, negative, objective_of, product_rule, slopes
from ufm.proofs.logistic import logistic_mode, solves
from ufm.proofs.proof import FORMAT, KINDS, Proof, decimals, unproved
from ufm.proofs.prove import prove
from ufm.proofs.scalars import least, root

__all__ = [
    "FORMAT", "KINDS", "Book", "Expression", "Proof", "Slopes", "decimals", "exp", "given_params", "least", "least_of",
    "least_squares", "log", "logistic_mode", "negative", "number", "objective_of", "power", "product_rule", "prove",
    "root", "slopes", "solves", "sqrt", "unproved", "x",
]  # fmt: skip


def __dir__() -> list[str]:
    """The public names, for completion."""
    return __all__
