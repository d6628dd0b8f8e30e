"""The benchmark's tables for the README, from the JSON that a run wrote; a test holds the two together.

    python -m benchmarks --json benchmarks/results.json
    python -c "from benchmarks.readme import markdown; print(markdown())"
"""

import json
from pathlib import Path
from typing import Any

from benchmarks.table import seconds

RESULTS = Path(__file__).parent / "results.json"
_PEERS = {
    "torch L-BFGS": "torch L-BFGS",
    "torch Adam": "Adam",
    "torch SGD": "SGD",
    "scipy L-BFGS-B": "SciPy L-BFGS-B",
}
_RACED = ("W1", "W2", "W3")
_OURS = ("ufm, default search", "ufm, one start", "ufm")


def markdown(report: dict[str, Any] | None = None) -> str:
    """Where it ran, CPU seconds of ufm and its peers side by side, and the claims.

    Args:
      report: as `python -m benchmarks --json` writes it; by default the one beside this file.
    """
    report = json.loads(RESULTS.read_text()) if report is None else report
    environment = report["environment"]
    shown = ("processor", "device", "jax", "torch", "scipy", "threads", "limit")
    where = ", ".join(f"{name} {environment[name]}" for name in shown)
    return "\n".join([f"({where}.)", "", *_race(report["rows"]), "", *_claims(report["claims"])])


def _race(rows: list[dict[str, Any]]) -> list[str]:
    head = ["CPU time of one configuration (gap)", "ufm", *_PEERS.values()]
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " --- |" * (len(head) - 1)]
    for workload, case in dict.fromkeys((row["workload"], row["case"]) for row in rows if row["workload"] in _RACED):
        methods = {row["method"]: row for row in rows if (row["workload"], row["case"]) == (workload, case)}
        ours = next((methods[name] for name in _OURS if name in methods), None)
        if ours is not None:
            cells = [_cell(ours), *(_cell(methods.get(name)) for name in _PEERS)]
            lines.append(f"| {workload} {case} | " + " | ".join(cells) + " |")
    return lines


def _cell(row: dict[str, Any] | None) -> str:
    if row is None or row["cpu_s"] is None:
        return "" if row is None else row["note"]
    gap = "" if row["gap"] is None else f" ({row['gap']:.0e})"
    return f"{'> ' if row['limited'] else ''}{seconds(row['cpu_s'])}{gap}"


def _claims(claims: list[dict[str, Any]]) -> list[str]:
    lines = ["| what must be shown | found |", "| --- | --- |"]
    return lines + [f"| {claim['text']} | {claim['verdict']} |" for claim in claims]
