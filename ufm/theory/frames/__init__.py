"""Bounds on frames: how far apart K unit vectors can be."""
