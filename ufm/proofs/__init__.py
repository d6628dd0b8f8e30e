"""Proofs: what is true of one instance, in rational numbers and balls, as a file that anyone can check.

    ufm.proofs.Proof                                what was proved, as a value that prints, and saves itself
    ufm.proofs.prove, profile, critical             the minimum of one trained layer, of several; one critical point
    ufm.proofs.root, least, closed                  a scalar root, a least value, a closed form, to so many digits
    ufm.proofs.established, identity, refutation    lists of facts: Less, Equal, Root, Above, PositiveDefinite

Ball arithmetic is that of python-flint (Arb), the extra `proof`. A proof of an instance says nothing of other instances.

Imports base, losses, problem, equivalent, search, duality.
"""

from ufm.proofs import cards  # noqa: F401  (registers the card of a proof)
from ufm.proofs.book import Book, least_of
from ufm.proofs.critical_points import critical
from ufm.proofs.expressions import Expression, exp, log, number, power, sqrt, x
from ufm.proofs.facts import Above, Equal, Less, PositiveDefinite, Root, established, identity, order, refutation
from ufm.proofs.global_minimum import prove
from ufm.proofs.gradients import Slopes, given_params, least_squares, negative, objective_of, product_rule, slopes
from ufm.proofs.logistic import logistic_mode, solves
from ufm.proofs.profiles import profile
from ufm.proofs.proof import FORMAT, KINDS, UNCHECKED, Proof, decimals, unproved
from ufm.proofs.scalars import closed, least, root

__all__ = [
    "FORMAT", "KINDS", "UNCHECKED", "Above", "Book", "Equal", "Expression", "Less", "PositiveDefinite", "Proof", "Root",
    "Slopes", "closed", "critical", "decimals", "established", "exp", "given_params", "identity", "least", "least_of",
    "least_squares", "log", "logistic_mode", "negative", "number", "objective_of", "order", "power", "product_rule", "profile",
    "prove", "refutation", "root", "slopes", "solves", "sqrt", "unproved", "x",
]  # fmt: skip


def __dir__() -> list[str]:
    """The public names, for completion."""
    return __all__
