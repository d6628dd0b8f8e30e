"""Archive: the proofs of a report as files, each read back and checked by a program that shares nothing with the prover."""

import re
from itertools import count
from pathlib import Path
from typing import NamedTuple

from ufm.proofs import UNCHECKED
from ufm.proofs.check_proof import Refused, check
from ufm.verification.report import Report


class Archive(NamedTuple):
    """Files of proofs: what the checker accepts, what it does not cover, and what it refused, for which reason."""

    accepted: list[Path]
    uncovered: list[Path]
    refused: dict[Path, str]


def save_proofs(report: Report, folder: Path) -> Archive:
    """Write every proof as `<theorem>.<case>.json`, and have each file checked as one that came from elsewhere."""
    saved = Archive([], [], {})
    accepted, uncovered, refused = saved
    for entry in report.entries:
        for label, proof in entry.proofs.items():
            if not proof.proved:
                continue
            stem = re.sub(r"[^\w.=+-]+", "_", f"{entry.theorem.id}.{label}")
            file = proof.save(_free(folder, stem, {*accepted, *uncovered, *refused}))
            if proof.kind in UNCHECKED:
                uncovered.append(file)
                continue
            try:
                check(file)
                accepted.append(file)
            except Refused as refusal:
                refused[file] = str(refusal)
    return saved


def _free(folder: Path, stem: str, taken: set[Path]) -> Path:
    """A file of that name, or of the next number where labels differ in what a name cannot hold."""
    names = (folder / f"{stem}{'' if i == 1 else f'.{i}'}.json" for i in count(1))
    return next(file for file in names if file not in taken)
