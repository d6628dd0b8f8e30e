"""Race: how long a peer takes to a target value, or that it did not arrive."""

import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Run(NamedTuple):
    """What a peer reached: the value (an array over a hand-batched grid), the steps and evaluations it took, and the time.

    limited: stopped by the limit, before the target (a run above it that is not limited gave up by itself).
    """

    value: Any
    steps: int
    evaluations: int
    wall_s: float
    cpu_s: float
    limited: bool


class Finished(Exception):
    """The target is reached, or the limit: ends a loop from inside an optimiser."""


class Race:
    """Counts evaluations, keeps the lowest value of each configuration, and stops at the target or at the limit.

    target: a value, or an array of values of a grid. limit: seconds of wall-clock time.
    """

    def __init__(self, target: Any, limit: float):
        """Nothing runs yet: the clock starts in `run`."""
        self.target, self.limit = np.asarray(target), limit
        self.lowest = np.full(self.target.shape, math.inf)
        self.evaluations = self.steps = 0
        self.limited = False

    def see(self, value: Any) -> None:
        """Take note of an evaluation; raises Finished where the race is over."""
        self.evaluations += 1
        self.lowest = np.fmin(self.lowest, value)
        arrived = np.all(self.lowest <= self.target)
        self.limited = not arrived and time.perf_counter() - self._wall > self.limit
        if arrived or self.limited:
            raise Finished

    def run(self, loop: Callable[["Race"], None]) -> Run:
        """Start the clock, and call the loop with this race until it is over."""
        self._wall, cpu = time.perf_counter(), time.process_time()
        try:
            loop(self)
        except Finished:
            pass
        wall_s, cpu_s = time.perf_counter() - self._wall, time.process_time() - cpu
        value = float(self.lowest) if self.lowest.ndim == 0 else self.lowest
        return Run(value, self.steps, self.evaluations, wall_s, cpu_s, self.limited)
