"""The atlas of losses as a report: a row a loss, a table to print, plain data to store."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

from ufm.base.printed import Printed
from ufm.losses.precision import LARGEST_MARGIN

HEADER = ("loss", "is", "geometry", "a", "b", "minima", "c*", "order", "jump", "float32", "measured")


class Row(NamedTuple):
    """One loss.

    convex, shift_invariant, contrastive: as declared (`ufm.Loss`). geometry, value, a, b: of the lowest symmetric collapse
    a (I - J) + b J at the report's c. course: the geometries met as c grows from 1e-4 to 1. minima: the largest number of local
    minima of the reduction met there. threshold: c from which zero is a minimiser; order: "first" or "second" of that transition,
    with jump_a, jump_b what vanishes at once; all None where nothing vanishes. float32: the largest margin of a simplex, up to
    1e4, at which float32 is right (`ufm.losses.precision`). measured: lowest value of the random descents, and reached: the
    fraction of them that came to it; agrees: whether it is `value` to 1e-7. None where not measured.
    """

    loss: str
    convex: bool
    shift_invariant: bool
    contrastive: bool
    geometry: str
    value: float
    a: float
    b: float
    course: tuple[str, ...]
    minima: int
    threshold: float | None
    order: str | None
    jump_a: float | None
    jump_b: float | None
    float32: float
    measured: float | None
    reached: float | None
    agrees: bool | None


@dataclass(frozen=True)
class AtlasReport(Printed):
    """The rows of all losses at one number of classes and one c. Prints as a table."""

    classes: int
    c: float
    rows: tuple[Row, ...]

    @property
    def ok(self) -> bool:
        """Whether every measurement agrees with the reduction."""
        return all(row.agrees is not False for row in self.rows)

    def to_json(self) -> dict[str, Any]:
        """Plain data (infinities and NaN as text)."""
        rows = [{name: _plain(value) for name, value in row._asdict().items()} for row in self.rows]
        return {"classes": self.classes, "c": self.c, "rows": rows}

    def __rich__(self) -> Any:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        title = f"Losses at K = {self.classes}: class logits a (I - J) + b J at the minimum, c = sqrt(l2_W l2_H n) = {self.c:g}"
        table = Table(title=title, title_justify="left", show_edge=False)
        for name in HEADER:
            table.add_column(name, justify="left" if name in ("loss", "is", "geometry", "order") else "right", no_wrap=True)
        for row in self.rows:
            table.add_row(*_cells(row), style="bold red" if row.agrees is False else None)
        changes = [f"{row.loss}: {', then '.join(row.course)}" for row in self.rows if len(row.course) > 2]
        legend = "C convex, S blind to shifts, X contrastive; zero is a minimiser from c* on; float32 is right up to that margin"
        if any(row.measured is not None for row in self.rows):
            legend += "; measured: share of random starts at the lowest value"
        lines = [Text(legend, style="dim")] + [Text(f"As c grows, {line}") for line in changes]
        return Group(table, *lines)


def _cells(row: Row) -> list[str]:
    flags = "".join(mark if on else "-" for mark, on in zip("CSX", (row.convex, row.shift_invariant, row.contrastive), strict=True))
    jump = f"({row.jump_a:.3g}, {row.jump_b:.3g})" if row.order == "first" else ""
    seen = "" if row.measured is None else f"{'agrees' if row.agrees else 'DIFFERS'} {row.reached:.0%}"
    beyond = row.float32 >= LARGEST_MARGIN
    float32 = "" if math.isnan(row.float32) else "all" if beyond else f"{row.float32:.0f}"
    numbers = ["" if math.isnan(x) else f"{x:.5g}" for x in (row.a, row.b)]
    threshold = "never" if row.threshold is None else f"{row.threshold:.5g}"
    return [row.loss, flags, row.geometry, *numbers, str(row.minima), threshold, row.order or "", jump, float32, seen]


def _plain(x: Any) -> Any:
    return str(x) if isinstance(x, float) and not math.isfinite(x) else x
