"""Trajectories in closed form."""
