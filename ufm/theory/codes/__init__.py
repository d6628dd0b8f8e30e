"""Codes on the sphere and their losses: supervised contrast, softmax codes and their distances, labels that come in sets."""
