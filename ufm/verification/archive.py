"""Archive: the proofs of a report as files, each read back and checked by a program that shares nothing with the prover."""

import re
from pathlib import Path

from ufm.base.checks import refuse
from ufm.proofs.check_proof import Refused, check
from ufm.verification.report import Report


def folder_for(path: str | Path) -> Path:
    """The folder that proofs are saved in, made where it is not there, before any work.

    Raises:
      ValueError: for a path that cannot be a folder to write in.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".ufm"
        probe.touch()
        probe.unlink()
    except OSError as error:
        refuse("--proofs", str(path), f"a folder that can be written ({error.strerror})")
    return folder


def save_proofs(report: Report, folder: Path) -> dict[Path, str]:
    """Write every proof as `<theorem>.<case>.json`, and have each file checked as one that came from elsewhere.

    Returns:
      By file, what the checker refused it for; empty where it was accepted, which is the statement that the file carries.
    """
    verdicts = {}
    for entry in report.entries:
        for label, proof in entry.proofs.items():
            if proof.proved:
                name = re.sub(r"[^\w.=+-]+", "_", f"{entry.theorem.id}.{label}")
                file = proof.save(folder / f"{name}.json")
                try:
                    check(file)
                    verdicts[file] = ""
                except Refused as refusal:
                    verdicts[file] = str(refusal)
    return verdicts
