"""Equivalent problems: the same minimum or the same run in fewer columns and narrower layers, and the way back.

`canonical` is the smallest problem of the same minimum; the others take (problem, params) to Reduced(problem, params, lift), in
which flows and optimisers run identically.

Imports base, losses, problem.
"""

from ufm.equivalent.bartlett import draw_pooled, lift_samples, wishart_factor
from ufm.equivalent.canonical_form import Canonical, canonical
from ufm.equivalent.columns import (
    Reduced,
    compress_columns,
    merge_columns,
    pool_samples,
    pooled_problem,
    project,
    split_columns,
    spread_columns,
)
from ufm.equivalent.isotropic import gaussian_spread, isotropic_limit
from ufm.equivalent.widths import narrow_features, narrow_hidden

__all__ = [
    "Canonical",
    "Reduced",
    "canonical",
    "compress_columns",
    "draw_pooled",
    "gaussian_spread",
    "isotropic_limit",
    "lift_samples",
    "merge_columns",
    "narrow_features",
    "narrow_hidden",
    "pool_samples",
    "pooled_problem",
    "project",
    "split_columns",
    "spread_columns",
    "wishart_factor",
]


def __dir__() -> list[str]:
    """The public names, for completion."""
    return __all__
