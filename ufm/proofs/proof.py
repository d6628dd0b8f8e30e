"""Proof: what was proved of one instance, in words and as a file that a program of the standard library alone checks."""

import json
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from importlib.metadata import version
from math import inf, log10
from pathlib import Path
from typing import Any

from ufm.base.describe import describe

FORMAT = "ufm-proof/1"

KINDS = {
    "sandwich": "the global minimum of one trained layer, between a dual point and a point",
    "profile": "the global minimum of several trained layers, between bounds of one layer and a point",
    "root": "a closed form whose value is a scalar root or a scalar minimum, enclosed",
    "critical point": "one critical point near a point, with the signs of its curvature",
    "refutation": "a strict inequality against a claim, at explicit numbers",
    "identity": "expressions that are one number, or as near as stated, at a rational point",
    "none": "nothing is proved",
}
"""The kinds of proof. All are of one instance; what a theorem says of all instances is proved on paper or not at all."""


UNCHECKED = ("critical point",)
"""The kinds whose files no program of the standard library reads yet: they are proved in balls alone."""


@dataclass(frozen=True)
class Proof:
    """What was proved, or why nothing was.

    kind: a key of `KINDS`. statement: one sentence, with every number that it is about. lower, upper: rationals between which the
    value lies; None where the proof is of no value. reason: why nothing, or less than was asked for, is proved; empty
    otherwise. document: the file that `save` writes, of strings, lists and dicts alone: the problem, the point, the dual point, the
    claim. Empty for the kind "none".
    """

    kind: str
    statement: str
    lower: Fraction | None = None
    upper: Fraction | None = None
    reason: str = ""
    document: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def proved(self) -> bool:
        """Whether anything is."""
        return self.kind != "none"

    @property
    def digits(self) -> float:
        """How many decimal digits of the value the two ends agree to: -log10 of their distance over the larger of their sizes."""
        if self.lower is None or self.upper is None:
            return 0.0
        distance, size = self.upper - self.lower, max(abs(self.lower), abs(self.upper))
        return inf if distance == 0 else max(0.0, _log10(size) - _log10(distance)) if size else 0.0

    def outside(self, value: float) -> float:
        """How far a number is from lying between both ends, relative to the larger of their sizes; 0 inside, or without ends."""
        if self.lower is None or self.upper is None:
            return 0.0
        number, size = Fraction(value), max(abs(self.lower), abs(self.upper))
        distance = max(self.lower - number, number - self.upper, Fraction(0))
        return float(distance / size) if size else inf if distance else 0.0

    def save(self, file: str | Path) -> Path:
        """Write the document as JSON, every number in it an exact rational; `python -S check_proof.py FILE` checks it.

        Raises:
          ValueError: where nothing is proved, with the reason.
        """
        if not self.proved:
            raise ValueError(f"there is no proof to save: {self.reason}")
        path = Path(file)
        path.write_text(json.dumps(self.document, indent=1) + "\n")
        return path

    def __str__(self) -> str:
        return describe(self).text()

    def _repr_html_(self) -> str:
        return describe(self).html()

    def latex(self) -> str:
        """The enclosure as a formula in dollar signs; the statement as text where there is no value."""
        if self.lower is None or self.upper is None:
            escaped = "".join(f"\\{x}" if x in "_%&#{}" else x for x in self.statement)
            return rf"$\text{{{escaped}}}$"
        lower, upper = decimals(self.lower, self.upper)
        return rf"${lower} \le \min f \le {upper}$"

    def _repr_latex_(self) -> str:
        return self.latex()


@cache
def makers() -> dict[str, str]:
    """The versions of what makes proofs, for their files."""
    return {name: version(name) for name in ("ufm", "python-flint")}


def _log10(x: Fraction) -> float:
    """Of a positive rational of any size."""
    shift = x.numerator.bit_length() - x.denominator.bit_length()
    return log10(x / Fraction(2) ** shift) + shift * log10(2)


def unproved(reason: str) -> Proof:
    """The value that stands where there is no proof."""
    return Proof("none", "nothing is proved", reason=reason)


def decimals(lower: Fraction, upper: Fraction, most: int = 60) -> tuple[str, str]:
    """Both ends as decimals rounded outwards, with two digits more than they share."""
    distance = upper - lower
    shared = most if distance == 0 else min(most, max(2, 2 - int(_log10(distance) // 1)))
    unit = 10**shared
    return _decimal(lower * unit // 1, shared), _decimal(-(-upper * unit // 1), shared)


def _decimal(scaled: Any, places: int) -> str:
    sign, digits = "-" if scaled < 0 else "", str(abs(int(scaled))).rjust(places + 1, "0")
    return f"{sign}{digits[:-places]}.{digits[-places:]}"
