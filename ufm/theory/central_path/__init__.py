"""The central path of squared error: closed trajectories of the features under their best classifier."""

from ufm.theory.central_path.cases import FeatureStart

__all__ = ["FeatureStart"]
