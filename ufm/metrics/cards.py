"""Moments in words: what one pass over features has kept, and what can be read off it."""

import numpy as np

from ufm.base.card import Card, Fact, shown
from ufm.base.describe import describe
from ufm.metrics.streaming import Moments


@describe.register
def moments_card(state: Moments) -> Card:
    """How many samples of which classes, in how many dimensions, and how far they spread about their means."""
    present = state.counts[state.counts > 0]
    missing = state.counts.size - present.size
    samples = float(np.sum(state.counts))
    facts = (
        Fact("classes K", str(state.counts.size), f"{missing} without a sample so far" if missing else ""),
        Fact("samples N", shown(samples), f"{shown(np.min(present))} to {shown(np.max(present))} a class"),
        Fact("dimension d", str(state.means.shape[0])),
        Fact("within classes", shown(np.sum(state.squares) / samples), "mean square of the distance from the class mean, tr S_W"),
    )
    verdict = "ufm.metrics.summary reads every metric off them; merge them with those of other batches first."
    return Card("Moments of features", facts, verdict, "")
