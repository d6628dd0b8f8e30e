"""The catalogue: a folder a family, a file a theorem or tight group. `catalogue` finds them all."""
