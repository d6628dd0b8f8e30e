"""Setting: the sizes and ridges of one case, and the problem, starts and grid that ufm and its peers share."""

from dataclasses import dataclass
from typing import Any

import numpy as np

import ufm

START = 0.1  # the published standard deviation of every entry at the start


@dataclass(frozen=True)
class Setting:
    """Classes of n_k samples, M layers of one width, loss "mse" without bias or "ce" with a ridge bias."""

    counts: tuple[int, ...]
    width: int
    depth: int
    loss: str = "mse"
    l2_W: float = 5e-4
    l2_H: float = 5e-4
    l2_b: float = 0.0

    @property
    def label(self) -> str:
        """The sizes as the table shows them: "M=3 K=4 n=100 d=64"."""
        sizes = "/".join(map(str, self.counts)) if len(set(self.counts)) > 1 else self.counts[0]
        return f"M={self.depth} K={len(self.counts)} n={sizes} d={self.width}"

    @property
    def samples(self) -> int:
        """N."""
        return sum(self.counts)

    @property
    def labels(self) -> np.ndarray:
        """(N,) class of each sample."""
        return np.repeat(np.arange(len(self.counts)), self.counts)

    def problem(self) -> ufm.Problem:
        """The problem that ufm solves."""
        bias = {"bias": "ridge", "l2_b": self.l2_b} if self.l2_b else {}
        return ufm.Problem.imbalanced(
            self.counts, (self.width,) * self.depth, loss=self.loss, l2_W=self.l2_W, l2_H=self.l2_H, **bias
        )

    def start(self, seed: int) -> dict[str, Any]:
        """A start with entries N(0, 0.01) in float64, for every method: H (N, d), weights from the features up, b (K,) or None."""
        random = np.random.default_rng(seed)
        heights = (*(self.width,) * (self.depth - 1), len(self.counts))
        weights = [START * random.standard_normal((height, self.width)) for height in heights]
        b = START * random.standard_normal(len(self.counts)) if self.l2_b else None
        return {"H": START * random.standard_normal((self.samples, self.width)), "weights": weights, "b": b}

    def ridges(self, configurations: int) -> tuple[np.ndarray, np.ndarray]:
        """(l2_W, l2_H) of a sweep around the setting: each up to a factor 2 below or above its own, drawn from a fixed seed."""
        factors = 2.0 ** np.random.default_rng(0).uniform(-1, 1, (2, configurations))
        return self.l2_W * factors[0], self.l2_H * factors[1]
