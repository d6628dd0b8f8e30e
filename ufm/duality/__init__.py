"""Duality: lower bounds that are never above the minimum, rounding counted, and what they say of a point.

    ufm.certify(problem, params)                    value, lower bound, gap, and the dual point behind it
    ufm.duality.dual_bound(problem, dual)           the bound anew, from the problem and the dual point alone
    ufm.escape_direction(problem, params)           where to go from a critical point that is not global

The conjugates of this package's losses are put together from atoms (`ufm.duality.atoms`, `ufm.duality.odds`), each evaluated from
below.

Imports base, losses, problem, equivalent.
"""

from ufm.duality import cards  # noqa: F401  (registers the cards of its values)
from ufm.duality.bound import DualBound, dual_bound
from ufm.duality.certificate import KINDS, Certificate, bound_in_words, certificate_kind, certify, is_tight
from ufm.duality.columns import loss_gradients
from ufm.duality.escape import escape_direction, scaled_gradient

__all__ = [
    "KINDS",
    "Certificate",
    "DualBound",
    "bound_in_words",
    "certificate_kind",
    "certify",
    "dual_bound",
    "escape_direction",
    "is_tight",
    "loss_gradients",
    "scaled_gradient",
]


def __dir__() -> list[str]:
    """The public names, for completion."""
    return __all__
