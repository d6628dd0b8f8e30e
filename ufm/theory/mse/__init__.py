"""Mean squared error: minimisers, thresholds and landscape of (deep) linear models."""

from ufm.theory.mse.spectrum import beta_spinodal, beta_tie, largest_root

__all__ = ["beta_spinodal", "beta_tie", "largest_root"]
