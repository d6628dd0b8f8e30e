"""Arithmetic near zero loss: where softmax cross-entropy stops being computed, and what keeps it going."""
