"""Losses beyond squared error and cross-entropy in the balanced one-layer model: which frame is left, and where it vanishes."""
