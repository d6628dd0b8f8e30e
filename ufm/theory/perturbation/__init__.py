"""The proximity model of Tirer et al.: what one more layer does to features near collapse."""

from ufm.theory.perturbation.near_collapse import Perturbation

__all__ = ["Perturbation"]
