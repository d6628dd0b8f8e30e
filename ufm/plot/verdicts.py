"""The evidence of a Report: how far every theorem's worst number is from what it is allowed to be."""

import math
from typing import Any

import numpy as np

from ufm.base.checks import refuse
from ufm.plot.canvas import axes_for, legend_beside
from ufm.verification.report import Entry, Report, strain

# verdict: (colour, marker, what the dot means)
VERDICTS = {
    "holds": ("#0072B2", "o", "holds: proved on paper and measured"),
    "numerical": ("#009E73", "s", "numerical: measured, no proof known"),
    "diagnostic": ("#E69F00", "^", "diagnostic: reported, not asserted"),
    "refuted": ("#CC79A7", "D", "refuted: right of 1 is the refutation"),
    "fails": ("#D55E00", "X", "fails: not what the catalogue says"),
}
_ROW = 0.22  # inches a theorem
_EDGE = 1e18  # ratios beyond it, and below its inverse, do not stretch the axis


def evidence(report: Report, *, ax: Any = None) -> Any:
    """Draw, for every theorem of a report, its worst error over its tolerance on a logarithmic axis: left of 1 is within.

    Worst is over all cases and kinds of evidence. A theorem with a case that ended in an error is at the right edge, one whose
    errors are all exactly zero at the left one.

    Args:
      report: of `ufm.verify`, with at least one entry.
      ax: axes to draw on; None makes a figure as high as the report is long.

    Returns:
      The axes, one row a theorem in the order of the report, from the top.

    Raises:
      ValueError: for something else than a report, or one without entries.
    """
    if not isinstance(report, Report):
        refuse("report", report, "a Report, as ufm.verify gives it")
    if not report.entries:
        raise ValueError("report must have entries to draw: its compiler could not be trusted, or nothing was verified")
    ax = axes_for(ax, size=(10.0, 1.4 + _ROW * len(report.entries)))
    ratios = np.array([_worst(entry) for entry in report.entries])
    inside = ratios[(ratios > 1 / _EDGE) & (ratios < _EDGE)]
    low, high = min(0.1, np.min(inside, initial=0.1)) / 10, max(10.0, np.max(inside, initial=10.0)) * 10
    ax.axvline(1.0, color="black", linewidth=1.0, zorder=1)
    for verdict, (colour, marker, meaning) in VERDICTS.items():
        rows = [i for i, entry in enumerate(report.entries) if entry.verdict == verdict]
        if rows:
            places = np.clip(ratios[rows], low, high)
            ax.plot(places, rows, linestyle="none", marker=marker, color=colour, label=meaning, clip_on=False, zorder=3)
    ax.set(xscale="log", xlim=(low, high), ylim=(len(report.entries) - 0.5, -0.5))
    ax.set_yticks(range(len(report.entries)), [entry.theorem.id for entry in report.entries])
    ax.set_xlabel("worst error / allowed error (exact 0 and failures at the edges)")
    ax.grid(axis="y", linewidth=0.4, alpha=0.6)
    ax.set_axisbelow(True)
    ax.set_title(report.summary, loc="left", wrap=True)
    legend_beside(ax)
    return ax


def _worst(entry: Entry) -> float:
    """The largest error over its tolerance: infinite where a case ended in an error, a NaN, or a tolerance of 0 was exceeded."""
    if any(result.error for result in entry.results):
        return math.inf
    checks = [check for result in entry.results for check in result.checks]
    return max((max(strain(check), 0.0) for check in checks), default=math.inf)
