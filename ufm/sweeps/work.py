"""Work: chunks are claimed, computed and stored until all are there, by threads of this process and by other processes."""

import os
import threading
import warnings
from collections import Counter, deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np

from ufm.base.checks import x64_is_on
from ufm.sweeps.layout import Layout
from ufm.sweeps.program import Program
from ufm.sweeps.store import Memory, Store

_LOOK = 0.1  # seconds between two looks at chunks in other hands
Results = list[dict[str, np.ndarray] | None]


def work(
    layout: Layout, programs: list[Program], order: np.ndarray, store: Memory | Store, share: tuple[int, int], progress: bool | None
) -> Results:
    """Results of all chunks: those of the store, those computed here, and those that other processes finish meanwhile.

    Args:
      layout, programs: what to compute. order: of the lanes, program after program.
      store: where finished chunks go; without a folder, only the share of this process is computed.
      share: (i, n): begin with chunks i, i + n, ...
      progress: as in `ufm.sweep`.

    Returns:
      The results of every chunk; None for those of other processes where there is no folder.

    Raises:
      OSError: where the disk is full.
    """
    job = _Job(layout, programs, order, store, share)
    workers = len(_cores()) if job.width == 1 and programs[0].devices[0].platform == "cpu" else 1
    with _bar(job, progress), ThreadPoolExecutor(workers) as pool:
        served = [pool.submit(job.serve) for _ in range(workers)]
        try:
            for future in served:
                future.result()
        finally:
            job.stop.set()
    return [job.results.get(i) for i in range(len(job.chunks))]


class _Job:
    """What the threads of one process share."""

    def __init__(
        self, layout: Layout, programs: list[Program], order: np.ndarray, store: Memory | Store, share: tuple[int, int]
    ) -> None:
        self.layout, self.programs, self.order, self.store = layout, programs, order, store
        self.chunks, self.offset = layout.chunks, np.cumsum((0, *layout.parts))
        self.width = len(programs[0].devices)
        found = ((i, store.get(i)) for i in sorted(store.finished()))
        self.results = {i: chunk for i, chunk in found if chunk is not None}
        turns = sorted(range(len(self.chunks)), key=lambda i: (i % share[1] != share[0], i))
        self.shared = isinstance(store, Store)
        self.wanted = [i for i in turns if self.shared or i % share[1] == share[0]]
        self.queue = deque(i for i in self.wanted if i not in self.results)
        self.left = Counter(self.chunks[i][0] for i in self.queue)
        self.guard, self.stop, self.double = threading.Lock(), threading.Event(), x64_is_on()
        self.bar: Any = None

    def lanes(self, chunks: Any) -> int:
        """How many lanes some chunks have."""
        return sum(self.chunks[i][2] - self.chunks[i][1] for i in chunks)

    def serve(self) -> None:
        """Work until every wanted chunk is there."""
        with jax.enable_x64(self.double):
            while len(self.results) < len(self.wanted) and not self.stop.is_set():
                taken = self._take()
                if taken:
                    self._compute(taken)
                else:
                    self._collect()
                    self.stop.wait(_LOOK if self.shared else _LOOK / 20)

    def _take(self) -> list[int]:
        """Chunks of one program, claimed, at most one a device; empty where what is left is in other hands."""
        taken: list[int] = []
        with self.guard:
            for _ in range(len(self.queue)):
                i = self.queue.popleft()
                alike = not taken or self.chunks[i][0] == self.chunks[taken[0]][0]
                if alike and self.store.claim(i):
                    taken.append(i)
                    if len(taken) == self.width:
                        break
                else:
                    self.queue.append(i)
        return taken

    def _compute(self, taken: list[int]) -> None:
        p = self.chunks[taken[0]][0]
        lanes = [self.order[self.offset[p] + self.chunks[i][1] : self.offset[p] + self.chunks[i][2]] for i in taken]
        try:
            with self.guard:  # one compilation, not one a thread
                self.programs[p].compile()
            done = self.programs[p].run([self.programs[p].lanes(**self.layout.arguments(p, piece)) for piece in lanes])
            for i, found in zip(taken, done, strict=True):
                self.store.put(i, found)
                self._keep(i, found)
        except BaseException:
            self.stop.set()
            for i in taken:
                self.store.release(i)
            raise

    def _collect(self) -> None:
        """Fetch what other processes have finished since."""
        for i in self.store.finished():
            if i not in self.results:
                found = self.store.get(i)
                if found is not None:
                    self._keep(i, found)
        with self.guard:
            self.queue = deque(i for i in self.queue if i not in self.results)

    def _keep(self, i: int, found: dict[str, np.ndarray]) -> None:
        with self.guard:
            new = i not in self.results
            self.results[i] = found
            self.left[self.chunks[i][0]] -= new
            if not self.left[self.chunks[i][0]]:
                self.programs[self.chunks[i][0]].let_go()
            if new and self.bar is not None:
                self.bar.update(self.lanes([i]))


def exchange(layout: Layout, results: Results, share: tuple[int, int]) -> Results:
    """Results of all chunks in every process of `jax.distributed`, from those that each has computed."""
    from jax.experimental.multihost_utils import process_allgather

    full: Results = [None] * len(results)
    for p, outputs in enumerate(layout.outputs):
        mine = [i for i, chunk in enumerate(layout.chunks) if chunk[0] == p]
        sizes = [layout.chunks[i][2] - layout.chunks[i][1] for i in mine]
        gathered: dict[int, dict[str, np.ndarray]] = {i: {} for i in mine}
        for o in outputs:
            sent = np.zeros((len(mine), layout.chunk[p], *o.shape), o.dtype)
            for j, i in enumerate(mine):
                found = results[i]
                if found is not None:
                    sent[j, : sizes[j]] = found[o.name]
            received = np.asarray(process_allgather(sent))
            for j, i in enumerate(mine):
                gathered[i][o.name] = received[i % share[1], j, : sizes[j]]
        for i in mine:
            full[i] = gathered[i]
    return full


def _bar(job: _Job, progress: bool | None) -> Any:
    """A bar of lanes with rate and time left, on terminals and where it is asked for."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # notebooks without widgets get the bar of terminals, which is good enough
        from tqdm.auto import tqdm

    total, done = job.lanes(job.wanted), job.lanes(job.results)
    job.bar = tqdm(total=total, initial=done, unit="lane", disable=None if progress is None else not progress)
    return job.bar


def _cores() -> Sequence[int]:
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
