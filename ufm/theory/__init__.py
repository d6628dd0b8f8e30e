"""The theory: a folder a family, a file a theorem or tight group. `catalogue` finds them all, `predict` asks those that apply.

Families import what is beside them here, none imports the catalogue.

Imports base, losses, problem, equivalent, search, motion, frames, metrics, settings, duality, proofs.
"""

from ufm.theory import cards  # noqa: F401  (registers the cards of its values)
from ufm.theory.prediction import Prediction
from ufm.theory.registry import catalogue, predict
from ufm.theory.theorem import Theorem

__all__ = ["Prediction", "Theorem", "catalogue", "predict"]


def __dir__() -> list[str]:
    """The public names, for completion."""
    return __all__
