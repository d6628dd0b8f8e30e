"""Recognition of geometries: shapes of Gram matrices, symmetry among classes, and the theorems that predict a point.

Imports base, problem, frames, metrics, theory.
"""

from ufm.recognition import cards  # noqa: F401  (registers the cards of its values)
from ufm.recognition.identification import Identification, Match, identify
from ufm.recognition.shapes import Shape
from ufm.recognition.symmetry import Symmetry

__all__ = ["Identification", "Match", "Shape", "Symmetry", "identify"]


def __dir__() -> list[str]:
    """The public names, for completion."""
    return __all__
