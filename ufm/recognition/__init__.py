"""Recognition of geometries: shapes of Gram matrices, symmetry among classes, and the theorems that predict a point."""

from ufm.recognition.identify import Identification, Match, identify
from ufm.recognition.shapes import Shape
from ufm.recognition.symmetry import Symmetry

__all__ = ["Identification", "Match", "Shape", "Symmetry", "identify"]
