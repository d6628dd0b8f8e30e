"""LanguageReport: the geometry of words for every vocabulary size and dimension, as values, text and JSON."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

from ufm.base.printed import Printed
from ufm.base.status import Status


class Width(NamedTuple):
    """What was found at one vocabulary size V and dimension d. Means are centred about their mean over tokens, and so is W.

    seen: tokens that occur. value: f at the best point. lower_bound: of the minimum for any d; gap: (value - lower_bound)/value.
    rank: of the logits. nc1: tr S_W/tr S_B. cdnv2: CDNV with the fourth power of distances (its exponent r = 2), in units of
    the features. gnc2, gnc2_cov: mean and std/mean over pairs of log(1/distance) of directions. unc3, unc3_cov: the same over
    tokens of cos(w_v, c_v). equinorm_H, equinorm_W: std/mean of lengths. slope_H, slope_W: of log lengths over log frequencies.
    merged: tokens at the mean of all. steps, status: of the search.
    """

    vocabulary: int
    dimension: int
    seen: int
    value: float
    lower_bound: float
    gap: float
    rank: int
    nc1: float
    cdnv2: float
    gnc2: float
    gnc2_cov: float
    unc3: float
    unc3_cov: float
    equinorm_H: float
    equinorm_W: float
    slope_H: float
    slope_W: float
    merged: int
    steps: int
    status: int


_NAMES = {
    "vocabulary": "V", "dimension": "d", "seen": "seen", "nc1": "NC1", "cdnv2": "CDNV r=2", "gnc2": "GNC2", "gnc2_cov": "CoV",
    "unc3": "UNC3", "unc3_cov": "CoV", "equinorm_H": "eq H", "equinorm_W": "eq W", "slope_H": "h~f^", "slope_W": "w~f^",
    "merged": "merged", "rank": "rank", "value": "value", "gap": "gap",
}  # fmt: skip


@dataclass(frozen=True)
class LanguageReport(Printed):
    """One row a vocabulary size and dimension. Prints as a table.

    source: of the frequencies, in words. contexts: 0 for one class a token. ridge: l2_W = l2_H.
    """

    source: str
    contexts: int
    ridge: float
    rows: tuple[Width, ...]

    @property
    def summary(self) -> str:
        """One line: the simplex's GNC2, and the slopes that equal margins would give."""
        ideal = {row.seen: -0.5 * math.log(2 * row.seen / (row.seen - 1)) for row in self.rows}
        simplex = ", ".join(f"{value:.4f} (V = {seen})" for seen, value in ideal.items())
        return f"GNC2 of the simplex, for d >= V - 1: {simplex}; equal margins: |h| ~ f^(-1/4), |w| ~ f^(1/4)"

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on searches that did not converge."""
        unfinished = (row for row in self.rows if row.status != Status.CONVERGED)
        return tuple(f"V = {row.vocabulary}, d = {row.dimension}: {Status(row.status).text}" for row in unfinished)

    def to_json(self) -> dict[str, Any]:
        """Plain data (infinities and NaN as text)."""
        plain = [
            {name: str(x) if isinstance(x, float) and not math.isfinite(x) else x for name, x in row._asdict().items()}
            for row in self.rows
        ]
        head = {"source": self.source, "contexts": self.contexts, "ridge": self.ridge, "summary": self.summary}
        return head | {"rows": plain, "notes": list(self.notes)}

    def __rich__(self) -> Any:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        labels = f"{self.contexts} contexts with soft labels" if self.contexts else "one class a token, imbalanced"
        table = Table(title="Geometry of the minima found", title_justify="left", show_edge=False)
        for name in _NAMES.values():
            table.add_column(name, justify="right", no_wrap=True)
        for row in self.rows:
            table.add_row(*(_cell(getattr(row, name)) for name in _NAMES))
        head = Text(f"{self.source}: {labels}, l2_W = l2_H = {self.ridge:g}")
        return Group(head, table, *(Text(note, style="yellow") for note in self.notes), Text(self.summary, style="bold"))


def _cell(x: float) -> str:
    return str(x) if isinstance(x, int) else f"{x:.3g}"
