"""Frames of neural collapse and beyond: K vectors as the columns of a (d, K) array, and how far they are from the best packing.

    closed forms      simplex_etf, orthogonal_frame, general_orthogonal_frame, seli, polygon, orthoplex, equiangular_lines
    by optimisation   grassmannian (lines), spherical_code (points), equiangular_basis (a threshold), sparse_etf (a support),
                      softmax_code (one-vs-rest distance)
    from data         nearest_simplex, proximal_simplex
    as a classifier   dot_regression, realign_local, realign_global, client_logits
    figures           Frame carries them; one_vs_rest_distance; bounds: welch_bound, line_bound, rankin_bound

Imports base, search.
"""

from ufm.base.matrices import helmert
from ufm.frames.basis_vectors import equiangular_basis
from ufm.frames.classical import general_orthogonal_frame, orthogonal_frame, simplex_etf
from ufm.frames.encoded_labels import SELI, seli
from ufm.frames.equiangular import equiangular_lines
from ufm.frames.figures import coherence, line_bound, rankin_bound, signed_coherence, tightness, welch_bound
from ufm.frames.frame import Frame
from ufm.frames.nearest import nearest_simplex, proximal_simplex
from ufm.frames.one_vs_rest import OneVsRest, one_vs_rest_distance, softmax_code
from ufm.frames.polytopes import orthoplex, polygon
from ufm.frames.realignment import client_logits, realign_global, realign_local
from ufm.frames.regression import dot_regression
from ufm.frames.search import FrameSearch, grassmannian, spherical_code, spread
from ufm.frames.sparse import sparse_etf

__all__ = [
    "Frame",
    "FrameSearch",
    "OneVsRest",
    "SELI",
    "client_logits",
    "coherence",
    "dot_regression",
    "equiangular_basis",
    "equiangular_lines",
    "general_orthogonal_frame",
    "grassmannian",
    "helmert",
    "line_bound",
    "nearest_simplex",
    "one_vs_rest_distance",
    "orthogonal_frame",
    "orthoplex",
    "polygon",
    "proximal_simplex",
    "rankin_bound",
    "realign_global",
    "realign_local",
    "seli",
    "signed_coherence",
    "simplex_etf",
    "softmax_code",
    "sparse_etf",
    "spherical_code",
    "spread",
    "tightness",
    "welch_bound",
]


def __dir__() -> list[str]:
    """The public names, for completion."""
    return __all__
