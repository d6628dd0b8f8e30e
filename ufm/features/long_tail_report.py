"""LongTailReport: the collapse of the classes of a long tail, predicted and measured, as values, text and JSON."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from ufm.base.printed import Printed

_ROWS = 20  # more classes are shown by deciles
_COLUMNS = ("classes", "samples", "collapse", "|h|", "|h| found", "margin", "margin found", "p(own)", "cosine", "collapsed")


class ClassFigures(NamedTuple):
    """One number a class, each (K,): norms |h_k| and |w_k| (without the mean row), margin of the own logit over the best other one,
    probability of the own class, largest cosine with another feature (NaN for a zero feature), and collapsed: zero, or one
    point with another class."""

    feature_norm: np.ndarray
    classifier_norm: np.ndarray
    margin: np.ndarray
    probability: np.ndarray
    cosine: np.ndarray
    collapsed: np.ndarray


@dataclass(frozen=True)
class LongTailReport(Printed):
    """What was predicted and measured for class counts. Prints as tables.

    threshold: class size up to which classes collapse. eigenvalue: largest of (I - J/K) diag(n) (I - J/K).
    thresholded: (K,) True or False where a threshold decides on the class, None where it has a size of its own.
    theorem: that predicted all numbers, or "". predicted, measured: figures of the classes, None where there are none.
    predicted_value, value: of the objective (NaN where there is none). gap: (value - certified lower bound)/value, of the
    measured minimum or, without one, of the predicted. steps, status: of the search.
    """

    columns_of_text: ClassVar[int] = 130

    source: str
    counts: tuple[int, ...]
    l2_W: float
    l2_H: float
    features: str
    threshold: float
    eigenvalue: float
    thresholded: tuple[bool | None, ...]
    theorem: str
    predicted: ClassFigures | None
    predicted_value: float
    measured: ClassFigures | None
    value: float
    gap: float
    steps: int
    status: str
    notes: tuple[str, ...]

    @property
    def summary(self) -> list[str]:
        """Sentences on thresholds, prediction and measurement."""
        K, decided = len(self.counts), [x for x in self.thresholded if x is not None]
        what = "is zero" if self.features == "nonnegative" else "of a size that others share merges with them"
        lines = [
            f"{self.source}: K = {K} classes of {max(self.counts)} to {min(self.counts)} samples, N = {sum(self.counts)}, "
            f"{self.features} features, l2_W {self.l2_W:.4g}, l2_H {self.l2_H:.4g}",
            f"a class {what} iff it has at most {self.threshold:.4g} samples: {sum(decided)} of {len(decided)} such classes",
        ]
        if self.features == "free":
            total = "everything is" if self.eigenvalue <= self.threshold else "not everything is"
            lines.append(f"{total} zero: the largest eigenvalue is {self.eigenvalue:.4g}, the threshold {self.threshold:.4g}")
        if self.theorem:
            lines.append(f"predicted minimum {self.predicted_value:.12g} ({self.theorem})")
        if self.measured is not None:
            found, how = int(np.sum(self.measured.collapsed)), self.status.split(":")[0]
            lines.append(f"measured minimum {self.value:.12g} after {self.steps} steps ({how}): {found} classes collapsed")
        return [*lines, f"certified: no point is lower by more than {max(self.gap, 0.0):.1e} of that"]

    def to_json(self) -> dict[str, Any]:
        """Plain data (infinities and NaN as text)."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__}
        for name in ("predicted", "measured"):
            figures = plain[name]
            plain[name] = None if figures is None else {k: [_plain(x) for x in v.tolist()] for k, v in figures._asdict().items()}
        return {name: _plain(x) for name, x in plain.items()} | {"summary": self.summary}

    def __rich__(self) -> Any:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        table = Table(title="Classes, frequent ones first", title_justify="left", show_edge=False)
        for name in _COLUMNS:
            table.add_column(name, justify="right", no_wrap=True)
        order = np.argsort(-np.asarray(self.counts), kind="stable")
        parts = order[:, None] if order.size <= _ROWS else np.array_split(order, 10)
        for start, part in zip(np.cumsum([0, *map(len, parts)]), parts, strict=False):
            table.add_row(*self._row(start, part))
        notes = [Text(note, style="yellow") for note in self.notes]
        return Group(table, *map(Text, self.summary), *notes)

    def _row(self, start: int, part: np.ndarray) -> list[str]:
        def mean(figures: ClassFigures | None, name: str) -> str:
            values = [] if figures is None else getattr(figures, name)[part]
            values = [x for x in values if not math.isnan(x)]
            return f"{np.mean(values):.4g}" if values else ""

        sizes = [self.counts[k] for k in part]
        decided = [self.thresholded[k] for k in part if self.thresholded[k] is not None]
        found = "" if self.measured is None else f"{int(np.sum(self.measured.collapsed[part]))}/{len(part)}"
        return [
            f"{start + 1}" if len(part) == 1 else f"{start + 1}-{start + len(part)}",
            f"{sizes[0]}" if sizes[0] == sizes[-1] else f"{sizes[0]}-{sizes[-1]}",
            f"{sum(decided)}/{len(decided)}" if decided else "",
            *(mean(f, name) for name in ("feature_norm", "margin") for f in (self.predicted, self.measured)),
            *(mean(self.measured or self.predicted, name) for name in ("probability", "cosine")),
            found,
        ]


def _plain(x: Any) -> Any:
    return str(x) if isinstance(x, float) and not math.isfinite(x) else x
