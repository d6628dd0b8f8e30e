"""Frames of neural collapse and beyond: K vectors as the columns of a (d, K) array, and how far they are from the best packing."""

from ufm.frames.classical import general_orthogonal_frame, helmert, orthogonal_frame, simplex_etf
from ufm.frames.figures import coherence, signed_coherence, tightness, welch_bound
from ufm.frames.frame import Frame

__all__ = [
    "Frame",
    "coherence",
    "general_orthogonal_frame",
    "helmert",
    "orthogonal_frame",
    "signed_coherence",
    "simplex_etf",
    "tightness",
    "welch_bound",
]
