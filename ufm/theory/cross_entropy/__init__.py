"""Cross-entropy and other convex losses: one layer, deep linear models, duality."""
