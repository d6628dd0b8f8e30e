"""Report: what verification found, entry by entry, as values, text, HTML and JSON."""

import math
from dataclasses import dataclass
from typing import Any

from ufm.base.card import cited, listed, paragraph, table
from ufm.base.printed import Printed
from ufm.proofs import Proof, decimals
from ufm.theory.theorem import Check, Theorem

KINDS = ("agreement", "stationarity", "certificate")

VERDICTS = {
    "holds": "declared as proved on paper, and confirmed by every measurement of the report",
    "numerical": "confirmed by every measurement of the report; no proof known to us",
    "refuted": "contradicted in every case of the report by a counterexample that anyone can evaluate",
    "diagnostic": "measured and reported, not asserted",
    "fails": "the measurements do not support the status that the catalogue gives: the report names the cases, and either ufm or "
    "the claim is wrong there",
}
"""What the verdicts of a report mean."""


@dataclass(frozen=True)
class CaseResult:
    """The checks of one case, or the sentence of the error that stopped it; its proof, where proofs were asked for."""

    label: str
    checks: tuple[Check, ...]
    seconds: float
    error: str = ""
    proof: Proof | None = None

    @property
    def passed(self) -> bool:
        """Whether every check passed, and there was one."""
        return not self.error and bool(self.checks) and all(check.passed for check in self.checks)

    @property
    def refutes(self) -> bool:
        """Whether the claim fails here by a finite amount, and all that pins the claim down passes."""
        finite = all(math.isfinite(check.error) for check in self.checks)
        claimed, pins = self.of_claim
        return not self.error and finite and all(c.passed for c in pins) and any(c.exceeded for c in claimed)

    def supports(self, status: str) -> bool:
        """Whether the case does what an entry of that status asks of it: refutes the claim, has every number, or passes."""
        if status == "refuted":
            return self.refutes
        return self.reported if status == "diagnostic" else self.passed

    @property
    def of_claim(self) -> tuple[list[Check], list[Check]]:
        """The checks of a claim that is refuted, which are all where none says so, and the others, which pin it down."""
        claimed = [check for check in self.checks if check.refutes]
        return (claimed, [check for check in self.checks if not check.refutes]) if claimed else (list(self.checks), [])

    @property
    def reported(self) -> bool:
        """Whether every number was measured."""
        return not self.error and bool(self.checks) and all(math.isfinite(check.error) for check in self.checks)


@dataclass(frozen=True)
class Entry:
    """One theorem with the results of all its cases."""

    theorem: Theorem
    results: tuple[CaseResult, ...]

    @property
    def seconds(self) -> float:
        """Time spent on the entry, compilation included."""
        return sum(result.seconds for result in self.results)

    @property
    def verdict(self) -> str:
        """The status that the evidence supports: the entry's own, or "fails"."""
        status = self.theorem.status
        good = bool(self.results) and all(result.supports(status) for result in self.results)
        return status if good else "fails"

    @property
    def ok(self) -> bool:
        """Whether the verdict equals the catalogue's status."""
        return self.verdict == self.theorem.status

    def worst(self, kind: str) -> Check | None:
        """The check of a kind that came closest to its tolerance, or exceeded it most."""
        checks = [check for result in self.results for check in result.checks if check.kind == kind]
        return max(checks, key=strain, default=None)

    @property
    def proofs(self) -> dict[str, Proof]:
        """What was proved, or not and why, by case; empty where proofs were not asked for."""
        return {result.label: result.proof for result in self.results if result.proof is not None}

    @property
    def proof_in_words(self) -> str:
        """How many cases are proved, of which kind, and the least number of digits."""
        proved = [proof for proof in self.proofs.values() if proof.proved]
        if not proved:
            return "none" if self.proofs else ""
        digits = [proof.digits for proof in proved if proof.upper is not None]
        kinds = ", ".join(sorted({proof.kind for proof in proved}))
        return f"{len(proved)}/{len(self.results)} {kinds}" + (f" {min(digits):.0f} digits" if digits else "")

    @property
    def failures(self) -> list[str]:
        """One sentence for every case that does not support the status."""
        if self.ok:
            return []
        if not self.results:
            return [f"{self.theorem.id}: no cases, so that nothing was measured"]
        refuted = self.theorem.status == "refuted"
        missing = "not refuted" if refuted else "no checks, so that nothing was compared"
        lines = []
        for result in self.results:
            if not result.supports(self.theorem.status):
                blamed = result.of_claim[1] if refuted else result.checks
                checks = [f"{c.name} {c.error:.2e} (allowed {c.tolerance:.0e})" for c in blamed if not c.passed]
                lines.append(f"{self.theorem.id} [{result.label}]: {result.error or ', '.join(checks) or missing}")
        return lines


@dataclass(frozen=True)
class Report(Printed):
    """All entries, where they were measured, and how long it took. Prints as a table, shows as HTML in Jupyter."""

    entries: tuple[Entry, ...]
    environment: dict[str, str]
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether every verdict equals its catalogue status, on a compiler that can be trusted."""
        return bool(self.entries) and self.environment["canary"] == "sings" and all(entry.ok for entry in self.entries)

    @property
    def summary(self) -> str:
        """One line: how many entries and cases, how many stand, how long it took."""
        cases = sum(len(entry.results) for entry in self.entries)
        counts: dict[str, int] = {}
        for entry in self.entries:
            counts[entry.verdict] = counts.get(entry.verdict, 0) + 1
        verdicts = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
        if self.with_proofs:
            proved = sum(proof.proved for entry in self.entries for proof in entry.proofs.values())
            entries = sum(any(proof.proved for proof in entry.proofs.values()) for entry in self.entries)
            verdicts += f"; {proved} instances of {entries} entries proved"
        close = "every verdict equals its status" if self.ok else "NOT every verdict equals its status"
        return f"{len(self.entries)} entries, {cases} cases: {verdicts}; {close} ({self.seconds:.1f} s)"

    @property
    def with_proofs(self) -> bool:
        """Whether proofs were asked for."""
        return any(entry.proofs for entry in self.entries)

    @property
    def not_proved(self) -> dict[str, list[str]]:
        """Why no case of an entry is proved, with the ids of those entries."""
        found: dict[str, list[str]] = {}
        for entry in self.entries:
            proofs = list(entry.proofs.values())
            if proofs and not any(proof.proved for proof in proofs):
                found.setdefault(proofs[0].reason, []).append(entry.theorem.id)
        return found

    @property
    def header(self) -> tuple[str, ...]:
        """What the columns of `rows` are."""
        return ("theorem", "status", "verdict", "cases", *KINDS, *(("proof",) if self.with_proofs else ()), "seconds")

    def rows(self) -> list[list[str]]:
        """The table's cells: id, status, verdict, cases, worst number of each kind of evidence, proofs where asked for, seconds."""
        rows = []
        for entry in self.entries:
            cells = [entry.theorem.id, entry.theorem.status, entry.verdict, str(len(entry.results))]
            named = not self.with_proofs  # proofs take the room of the names of numbers
            cells += [_cell(entry.worst(kind), named) for kind in KINDS] + ([] if named else [entry.proof_in_words])
            rows.append([*cells, f"{entry.seconds:.1f}"])
        return rows

    def to_json(self) -> dict[str, Any]:
        """Plain data: the environment and every check of every case (infinities and NaN as text)."""
        return {
            "environment": self.environment,
            "seconds": round(self.seconds, 3),
            "ok": self.ok,
            "entries": [
                {
                    "id": entry.theorem.id,
                    "status": entry.theorem.status,
                    "verdict": entry.verdict,
                    "source": entry.theorem.source,
                    "cases": [
                        {
                            "case": result.label,
                            "seconds": round(result.seconds, 3),
                            "error": result.error,
                            **({} if result.proof is None else {"proof": _proof_as_data(result.proof)}),
                            "checks": [
                                {"kind": c.kind, "name": c.name, "error": _plain(c.error), "allowed": _plain(c.tolerance)}
                                | ({"refutes": True} if c.refutes else {})
                                for c in result.checks
                            ],
                        }
                        for result in entry.results
                    ],
                }
                for entry in self.entries
            ],
        }

    def __rich__(self) -> Any:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        cells = Table(title=TITLE, title_justify="left", show_edge=False)
        for name in self.header:
            left = name in (*self.header[:3], "proof")
            cells.add_column(name, justify="left" if left else "right", no_wrap=True)
        for row, entry in zip(self.rows(), self.entries, strict=True):
            cells.add_row(*row, style=None if entry.ok else "bold red")
        failures = [Text(line, style="red") for entry in self.entries for line in entry.failures]
        failures += [Text(f"not proved: {reason} ({listed(ids)})", style="dim") for reason, ids in self.not_proved.items()]
        summary = Text(self.summary, style="bold green" if self.ok else "bold red")
        return Group(cells, *failures, Text(self._where, style="dim"), summary)

    def _repr_html_(self) -> str:
        rows = table(self.header, self.rows(), TITLE, bold=[not entry.ok for entry in self.entries])
        failures = [line for entry in self.entries for line in entry.failures]
        sources = f"Sources: {cited(entry.theorem.source for entry in self.entries)}"
        return rows + "".join(map(paragraph, [*failures, self._where, self.summary, sources]))

    @property
    def _where(self) -> str:
        return " | ".join(f"{name} {value}" for name, value in self.environment.items())


TITLE = "Closed forms against measured minima"


def strain(check: Check) -> float:
    """The error in units of its tolerance, infinite where a tolerance of zero is exceeded or the error is NaN."""
    if check.tolerance == 0:
        return 0.0 if check.error == 0 else math.inf
    return math.inf if math.isnan(check.error) else check.error / check.tolerance


def _cell(check: Check | None, named: bool) -> str:
    return "" if check is None else f"{check.error:.0e} {check.name}" if named else f"{check.error:.0e}"


def _proof_as_data(proof: Proof) -> dict[str, str]:
    ends = {}
    if proof.lower is not None and proof.upper is not None:
        ends["lower"], ends["upper"] = decimals(proof.lower, proof.upper)
    return {"kind": proof.kind, "statement": proof.statement, **ends, **({"reason": proof.reason} if proof.reason else {})}


def _plain(x: float) -> float | str:
    return x if math.isfinite(x) else str(x)
