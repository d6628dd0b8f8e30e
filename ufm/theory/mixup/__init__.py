"""Mixup: features that are optimal for mixed labels."""
