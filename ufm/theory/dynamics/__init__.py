"""Gradient flow of deep linear networks: trajectories, conserved quantities and learning times in closed form."""
