"""Gradient flow of deep linear networks: trajectories, conserved quantities and learning times in closed form."""

from ufm.theory.dynamics.spectral import spectral_point
from ufm.theory.dynamics.two_factor import logistic
from ufm.theory.statements.trajectories import Start

__all__ = ["Start", "logistic", "spectral_point"]
