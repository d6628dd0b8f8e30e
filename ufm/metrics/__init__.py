"""Metrics of neural collapse: pure functions of (features, labels, classifier), safe to jit and vmap."""

from ufm.metrics.geometry import (
    general_orthogonal_distance,
    nc3,
    nc3_alignment,
    nc4,
    numerical_rank,
    orthogonal_distance,
    simplex_distance,
)
from ufm.metrics.variability import cdnv, class_means, mean_gram, nc1, nc1_trace_ratio

__all__ = [
    "cdnv",
    "class_means",
    "general_orthogonal_distance",
    "mean_gram",
    "nc1",
    "nc1_trace_ratio",
    "nc3",
    "nc3_alignment",
    "nc4",
    "numerical_rank",
    "orthogonal_distance",
    "simplex_distance",
]
