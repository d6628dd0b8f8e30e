"""Mean squared error: minimisers, thresholds and landscape of (deep) linear models."""
