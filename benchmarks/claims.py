"""Claims: the ratios that the benchmark must show, worked out from its rows.

A workload lists its own as `CLAIMS`; a claim whose rows were not run says so, and one whose peer was stopped at the limit
has a lower bound of the ratio for its number.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from benchmarks.row import Row


class Finding(NamedTuple):
    """The number that a claim is about. bound: the true number is at least this. fault: why it can't count, in words."""

    number: float
    bound: bool = False
    fault: str = ""


@dataclass(frozen=True)
class Claim:
    """What must be shown.

    text: one sentence. needed: the number asked for, a lower limit (an upper one where at_least is False).
    measure: the finding in a list of rows, None where they are not there. unit: of the number, "x" for a ratio.
    """

    text: str
    needed: float
    measure: Callable[[Sequence[Row]], Finding | None]
    at_least: bool = True
    unit: str = "x"


class Verdict(NamedTuple):
    """A claim against the rows. verdict: "PASS", "short: ...", "open: ..." (a bound that decides nothing) or "not run"."""

    text: str
    needed: float
    found: float | None
    verdict: str


def judge(claim: Claim, rows: Sequence[Row]) -> Verdict:
    """What the rows say of a claim."""
    finding = claim.measure(rows)
    if finding is None:
        return Verdict(claim.text, claim.needed, None, "not run")
    number, bound, fault = finding
    met = number >= claim.needed if claim.at_least else number <= claim.needed
    digits = f"{number:,.0f}" if number >= 1000 else f"{number:.3g}"
    shown = f"{'> ' if bound else ''}{digits}{claim.unit}, needed {claim.needed:g}{claim.unit}"
    if fault:
        verdict = f"short: {fault} ({shown})"
    elif met:
        verdict = f"PASS: {shown}"
    elif bound and claim.at_least:
        verdict = f"open: {shown}, and the peer was stopped at the limit"
    else:
        verdict = f"short: {shown}"
    return Verdict(claim.text, claim.needed, number, verdict)


def find(rows: Sequence[Row], workload: str, case: str, method: str) -> Row | None:
    """The row of a method on a case, None where it was not run."""
    same = (row for row in rows if (row.workload, row.case, row.method) == (workload, case, method))
    return next(same, None)


def times_faster(workload: str, case: str, method: str, peer: str, gap: float | None = None) -> Callable:
    """How many times the seconds of a method go into those of a peer: CPU time on the CPU, wall time elsewhere.

    gap: both must have reached it, but for a peer stopped at the limit, whose time is a lower bound.
    """

    def measure(rows: Sequence[Row]) -> Finding | None:
        ours, theirs = find(rows, workload, case, method), find(rows, workload, case, peer)
        if ours is None or theirs is None or ours.cpu_s is None or theirs.cpu_s is None:
            return None
        ratio = theirs.cpu_s / ours.cpu_s
        if not ours.device == theirs.device == "cpu":
            if ours.wall_s is None or theirs.wall_s is None:
                return None
            ratio = theirs.wall_s / ours.wall_s
        fault = ""
        for row in (ours, theirs):
            if gap is not None and not row.limited and not (row.gap is not None and row.gap <= gap):
                fault = f"{row.method} is at a gap of {row.gap}"
        return Finding(ratio, theirs.limited, fault)

    return measure
