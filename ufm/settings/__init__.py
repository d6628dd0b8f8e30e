"""Settings of the literature as problems: what a paper trains on, built from its own numbers."""
