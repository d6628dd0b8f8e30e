"""PerturbReport: real features against the theory, as values, text and JSON."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from ufm.base.printed import Printed
from ufm.features.given import Collapse
from ufm.features.last_layer import Comparison, EffectiveRidge


class LayerCollapse(NamedTuple):
    """NC1 to NC4 of one layer after one epoch (None for features from a file)."""

    layer: str
    epoch: int | None
    collapse: Collapse


class Step(NamedTuple):
    """From a layer to the next: tr S_W / tr S_B (NC1) there, at the minimiser of the proximity model, and near collapse.

    nc1_next is None where the next layer is not known. strength: N beta / s. matched: whether beta fits the distance moved (None
    where it was given). unique: whether the model has one stationary point only. gradient_norm: of the minimiser found.
    """

    layer: str
    following: str | None
    nc1: float
    nc1_next: float | None
    predicted: float
    near_collapse: float
    l2_W: float
    l2_H: float
    beta: float
    strength: float
    matched: bool | None
    unique: bool
    gradient_norm: float


@dataclass(frozen=True)
class PerturbReport(Printed):
    """What was measured, step by step, and at the last layer. Prints as tables.

    source: the features in words. layers: all measured layers and epochs. transitions: between layers. ridge, comparison: of the
    last layer, None without a classifier. notes: sentences on what is missing and why.
    """

    columns_of_text: ClassVar[int] = 130

    source: str
    loss: str
    layers: tuple[LayerCollapse, ...]
    transitions: tuple[Step, ...]
    ridge: EffectiveRidge | None
    comparison: Comparison | None
    notes: tuple[str, ...]

    @property
    def summary(self) -> str:
        """One line: by which factor the predicted NC1 misses the next layer's, against its near-collapse formula and no change."""
        known = [step for step in self.transitions if step.nc1_next and min(step.predicted, step.near_collapse) > 0]
        if not known:
            return "no next layer to hold the prediction against"
        missed, near, unchanged = (
            math.exp(np.mean([abs(math.log(getattr(step, name) / step.nc1_next)) for step in known]))
            for name in ("predicted", "near_collapse", "nc1")
        )
        return (
            f"NC1 of the next layer is predicted within a factor {missed:.2f} on average"
            f" (near-collapse formula: {near:.2f}, no change: {unchanged:.2f})"
        )

    def to_json(self) -> dict[str, Any]:
        """Plain data (infinities and NaN as text)."""
        return {
            "source": self.source,
            "loss": self.loss,
            "summary": self.summary,
            "layers": [{"layer": x.layer, "epoch": x.epoch} | _plain(x.collapse) for x in self.layers],
            "transitions": [_plain(x) for x in self.transitions],
            "ridge": None if self.ridge is None else _plain(self.ridge),
            "comparison": None if self.comparison is None else _plain(self.comparison),
            "notes": list(self.notes),
        }

    def __rich__(self) -> Any:
        from rich.console import Group
        from rich.text import Text

        parts = [Text(self.source), self._epoch_table(), self._layer_table()]
        if self.transitions:
            parts.append(self._step_table())
        parts += [Text(line) for line in self._last_layer()]
        parts += [Text(note, style="yellow") for note in self.notes]
        return Group(*(part for part in parts if part is not None), Text(self.summary, style="bold"))

    def _epoch_table(self) -> Any:
        epochs = sorted({x.epoch for x in self.layers if x.epoch is not None})
        if len(epochs) < 2:
            return None
        names = list(dict.fromkeys(x.layer for x in self.layers))
        found = {(x.epoch, x.layer): x.collapse.nc1_trace_ratio for x in self.layers}
        rows = [[str(epoch), *(_cell(found[epoch, name]) for name in names)] for epoch in epochs]
        return _table("NC1 = tr S_W / tr S_B, epoch by epoch", ["epoch", *names], rows)

    def _layer_table(self) -> Any:
        last = max((x.epoch or 0) for x in self.layers)
        rows = [[x.layer, *map(_cell, x.collapse)] for x in self.layers if (x.epoch or 0) == last]
        return _table("Collapse of the layers", ["layer", "tr(S_W S_B^+)/K", "tr S_W/tr S_B", "NC2", "NC3", "NC4"], rows)

    def _step_table(self) -> Any:
        rows = [
            [x.layer, x.following or "", *map(_cell, (x.nc1, x.nc1_next, x.predicted, x.near_collapse, x.strength, x.beta))]
            + [_cell(x.l2_W), _cell(x.l2_H), {True: "distance", False: "end of range", None: "given"}[x.matched]]
            for x in self.transitions
        ]
        names = ["layer", "next", "NC1", "next NC1", "predicted", "near collapse", "N beta/s", "beta", "l2_W", "l2_H", "beta from"]
        return _table("Proximity model: NC1 of the next layer", names, rows)

    def _last_layer(self) -> list[str]:
        if self.ridge is None or self.comparison is None:
            return []
        r, c = self.ridge, self.comparison
        return [
            f"Effective ridge: l2_W {r.l2_W:.4g}, l2_H {r.l2_H:.4g}, c {r.c:.4g}, bias {r.bias}"
            f" (stationarity residual of W {r.residual_W:.2g}, of H {r.residual_H:.2g})",
            f"Last layer against {c.source}: value {c.value:.4g} over the minimum {c.minimum:.4g}; logits off by {c.logits:.2%}",
            f"cosine of Gram matrices: class means {c.cosine_means:.4f}, W {c.cosine_W:.4f}; trained over predicted norm: means"
            f" {c.ratio_means:.3f}, W {c.ratio_W:.3f}",
        ]


def _table(title: str, names: list[str], rows: list[list[str]]) -> Any:
    from rich.table import Table

    table = Table(title=title, title_justify="left", show_edge=False)
    for i, name in enumerate(names):
        table.add_column(name, justify="right" if i else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    return table


def _cell(x: float | None) -> str:
    return "" if x is None else f"{x:.3g}"


def _plain(x: Any) -> dict[str, Any]:
    values = x._asdict().items()
    return {name: str(value) if isinstance(value, float) and not math.isfinite(value) else value for name, value in values}
