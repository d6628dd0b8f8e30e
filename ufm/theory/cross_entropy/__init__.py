"""Cross-entropy and other convex losses: one layer, deep linear models, duality."""

from ufm.theory.cross_entropy.etf_branch import etf_prediction, stable_up_to, tie
from ufm.theory.cross_entropy.families import minimise_codes, named_codes

__all__ = ["etf_prediction", "minimise_codes", "named_codes", "stable_up_to", "tie"]
