"""All metrics of neural collapse of features from any framework, in one file or a folder of shards: `ufm metrics`.

The arrays are those of `ufm.features.load_features`: labels (N,), features (N, d) or H (d, N), and, in the files or in one of its
own, the classifier W (K, d) and b (K,). Shards are read one at a time, three times with a
classifier: labels, then moments, then decisions. Memory holds one shard and d (d + K) numbers; all sums are in float64.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from ufm.base.checks import check_count
from ufm.base.printed import Printed
from ufm.features.shards import find_shards, load_classifier, load_head, load_samples
from ufm.metrics.streaming import decide, merge, merge_decisions, moments
from ufm.metrics.table import Summary, summary


@dataclass(frozen=True)
class MetricsReport(Printed):
    """What was measured. Prints as a table.

    source: the features in words. classes, samples, dim: K, N, d of what was measured. conventions: the options by name.
    metrics: lines of `ufm.metrics.table`. notes: sentences on what was left out and why.
    """

    source: str
    classes: int
    samples: int
    dim: int
    conventions: dict[str, Any]
    metrics: Summary
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data (infinities and NaN as text)."""
        values = {m.name: m.value if math.isfinite(m.value) else str(m.value) for m in self.metrics}
        head = {"source": self.source, "classes": self.classes, "samples": self.samples, "dim": self.dim}
        return head | {"conventions": self.conventions, "metrics": values, "notes": list(self.notes)}

    def __rich__(self) -> Any:
        from rich.console import Group
        from rich.text import Text

        title = f"{self.source}: {self.classes} classes, {self.samples} samples, d = {self.dim}"
        conventions = ", ".join(f"{name} {value}" for name, value in self.conventions.items())
        notes = [Text(note, style="yellow") for note in self.notes]
        return Group(Text(title, style="bold"), Text(f"Conventions: {conventions}"), self.metrics, *notes)


def measure(
    path: str | Path,
    *,
    classifier: str | Path | None = None,
    global_mean: str = "samples",
    exponent: float = 1.0,
    ddof: int = 0,
    min_per_class: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> MetricsReport:
    """All metrics that the features at `path` and their classifier allow.

    Args:
      path: a .npz file, or a folder of them.
      classifier: a .npz file of W and maybe b (or weight and bias); None takes them from the features' files, where they are.
      global_mean, exponent, ddof: as for `ufm.metrics.table`.
      min_per_class: leave out classes with fewer samples, also as answers; None refuses those with fewer than 2.
      progress: called as progress(files read, files to read).

    Returns:
      MetricsReport.

    Raises:
      ValueError: in one sentence, naming the file or argument at fault.
    """
    if min_per_class is not None:
        check_count("min_per_class", min_per_class, 1)
    own = None if classifier is None else Path(classifier)
    shards = [shard for shard in find_shards(Path(path)) if own is None or shard.resolve() != own.resolve()]
    if not shards:
        raise ValueError(f"the folder must hold features beside the classifier, got {str(path)!r}")
    counts, W, b = _heads(shards, own)
    kept, notes = _kept(counts, min_per_class)
    index = np.full(counts.size, -1)
    index[kept] = np.arange(kept.size)
    passes, done, precision = (1 if W is None else 2), 0, np.dtype(float)

    def batches() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        nonlocal done, precision
        dim = None if W is None else W.shape[1]
        for shard in shards:
            H, labels = load_samples(shard)
            if dim is not None and H.shape[0] != dim:
                like = "W" if W is not None else "those before"
                raise ValueError(f"{shard}: the features must have d = {dim} like {like}, got {H.shape[0]}")
            dim, y, precision = H.shape[0], index[labels], min(precision, H.dtype, key=lambda dtype: jnp.finfo(dtype).nmant)
            if np.any(y >= 0):
                yield (H, y) if np.all(y >= 0) else (H[:, y >= 0], y[y >= 0])
            done += 1
            if progress is not None:
                progress(done, passes * len(shards))

    state = reduce(merge, (moments(H, y, kept.size, samples_axis=1) for H, y in batches()))
    found = None
    if W is None:
        notes.append("without a classifier W there is no NC3, NC4 nor margin")
    else:
        W, b = W[kept], None if b is None else b[kept]
        found = reduce(
            merge_decisions, (decide(state, W, H, y, b, global_mean=global_mean, samples_axis=1) for H, y in batches())
        )
    metrics = summary(state, W, b, found, global_mean=global_mean, exponent=exponent, ddof=ddof)
    if kept.size > state.means.shape[0] + 1:
        notes.append(f"{kept.size} classes have no simplex in d = {state.means.shape[0]}: GNC2 tells how even they are")
    if jnp.finfo(precision).bits < 32:
        digits = jnp.finfo(precision).precision
        notes.append(f"the features are {precision}, whose numbers have {digits + 1} digits at most; all sums here are in float64")
    source = f"{path}" + (f" ({len(shards)} shards)" if len(shards) > 1 else "")
    conventions = {"global_mean": global_mean, "exponent": exponent, "ddof": ddof, "min_per_class": min_per_class or 2}
    return MetricsReport(source, kept.size, int(np.sum(state.counts)), state.means.shape[0], conventions, metrics, tuple(notes))


def _heads(shards: list[Path], own: Path | None) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    """Samples of each class over all shards, and the classifier."""
    W, b = (None, None) if own is None else load_classifier(own)
    first, tallies, largest, where = own, [], -1, shards[0]
    for shard in shards:
        labels, W_here, b_here = load_head(shard)
        if own is None and W_here is not None:
            if W is not None and not (np.array_equal(W, W_here) and np.array_equal(np.asarray(b), np.asarray(b_here))):
                raise ValueError(f"{shard}: W and b must be those of {first}, got others")
            W, b, first = W_here, b_here, first or shard
        tallies.append(np.unique(labels, return_counts=True))
        if labels.max() > largest:
            largest, where = int(labels.max()), shard
    samples = sum(int(sizes.sum()) for _, sizes in tallies)
    if W is None and largest >= samples:
        raise ValueError(f"{where}: labels must be from 0 to K - 1, got {largest} for {samples} samples")
    if W is not None and largest >= W.shape[0]:
        raise ValueError(f"{where}: labels must be below the {W.shape[0]} rows of W in {first}, got {largest}")
    counts = np.zeros(largest + 1 if W is None else W.shape[0], int)
    for present, sizes in tallies:
        counts[present] += sizes
    return counts, W, b


def _kept(counts: np.ndarray, least: int | None) -> tuple[np.ndarray, list[str]]:
    """Classes with samples enough, and a note on the others."""
    few = counts < (least or 2)
    if least is None and np.any(few):
        k = int(np.argmax(few))
        got = f"got {counts[k]} of class {k}: min_per_class leaves such out"
        raise ValueError(f"labels must have at least 2 samples of every class, {got}")
    if np.sum(~few) < 2:
        raise ValueError(f"min_per_class must leave at least 2 classes, got {least} for classes of up to {counts.max()} samples")
    lost = f"left out {np.sum(few)} of {counts.size} classes, with fewer than {least} samples each ({np.sum(counts[few])} samples)"
    return np.flatnonzero(~few), [lost] if np.any(few) else []
