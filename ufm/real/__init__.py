"""Real features: networks on real data, or a user's own features, held against the models."""
