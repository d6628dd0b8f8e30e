"""Mixup: features that are optimal for mixed labels."""

from ufm.theory.mixup.lambert import MixedSamples
from ufm.theory.mixup.potential import two_logits

__all__ = ["MixedSamples", "two_logits"]
