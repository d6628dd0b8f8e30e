"""Class imbalance under cross-entropy: minority collapse, its thresholds, and the geometry of rare and frequent classes."""
