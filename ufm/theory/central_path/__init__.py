"""The central path of squared error: closed trajectories of the features under their best classifier."""
