"""Proofs in verification: what is served lies in what is proved, a case says what was proved or why not, files are checked."""

import dataclasses
import json
import sys
from fractions import Fraction
from typing import Any, NamedTuple

import jax.numpy as jnp
import pytest

import ufm
from ufm import cli
from ufm.cli.output import folder_for
from ufm.proofs import Proof, closed, number, unproved
from ufm.theory.theorem import Theorem, agreement
from ufm.verification.archive import save_proofs


class Served(NamedTuple):
    value: Any


THIRD = closed(number(Fraction(1, 3)), digits=20, statement="a third")


def theorem(prove=None, value=1 / 3, labels=("only",), **fields):
    served = Served(jnp.asarray(value))
    return Theorem(
        id="a-third", status="holds", claim="A third is a third.", origin="nobody", predict=lambda case: served,
        measure=lambda case, key: served, cases=lambda: {label: jnp.asarray(0.0) for label in labels},
        evidence=agreement(1e-9), prove=prove, **fields,
    )  # fmt: skip


def test_without_being_asked_nothing_is_proved():
    report = ufm.verify(theorem(lambda case, predicted: THIRD))
    assert report.ok and not report.with_proofs and "proof" not in report.header and "proved" not in report.summary


def test_a_proof_is_in_the_table_the_summary_and_the_data():
    report = ufm.verify(theorem(lambda case, predicted: THIRD), proofs=True)
    assert report.ok and report.with_proofs
    assert report.rows()[0][report.header.index("proof")].startswith("1/1 root 2")
    assert "1 instances of 1 entries proved" in report.summary
    data = report.to_json()["entries"][0]["cases"][0]["proof"]
    assert data["kind"] == "root" and data["lower"].startswith("0.33333333333333333") and json.dumps(data)


@pytest.mark.parametrize(("off", "inside"), [(0.0, True), (1e-15, True), (1e-12, False), (1e-3, False), (-1e-3, False)])
def test_what_is_served_lies_in_what_is_proved(off, inside):
    report = ufm.verify(theorem(lambda case, predicted: THIRD, value=(1 + off) / 3), proofs=True)
    assert report.ok is inside and (inside or "value" in report.entries[0].failures[0])


def test_what_cannot_be_proved_says_why_and_is_no_failure():
    report = ufm.verify(theorem(lambda case, predicted: unproved("it is a limit")), proofs=True)
    assert report.ok and report.rows()[0][report.header.index("proof")] == "none"
    assert "not proved: it is a limit (a-third)" in str(report)
    path = ufm.verify(theorem(kind="trajectory"), proofs=True)
    assert "whose error is estimated and not enclosed" in str(path)


def test_a_proof_that_breaks_is_a_failure_of_its_case():
    def broken(case, predicted):
        raise ZeroDivisionError("no")

    report = ufm.verify(theorem(broken), proofs=True)
    assert not report.ok and "ZeroDivisionError: no" in str(report)


def test_files_are_checked_and_labels_that_look_alike_keep_a_file_each(tmp_path):
    lied = dataclasses.replace(THIRD, document=THIRD.document | {"kind": "rumour"})
    critical = Proof("critical point", "a point", document={"format": "ufm-proof/1", "kind": "critical point"})
    proofs = {"a b": THIRD, "a/b": THIRD, "false": lied, "critical": critical, "none": unproved("why")}
    labels = iter([*proofs.values()])
    report = ufm.verify(theorem(lambda case, predicted: next(labels), labels=tuple(proofs)), proofs=True)
    saved = save_proofs(report, folder_for(tmp_path / "new" / "folder"))
    assert sorted(file.name for file in saved.accepted) == ["a-third.a_b.2.json", "a-third.a_b.json"]
    assert [file.name for file in saved.uncovered] == ["a-third.critical.json"]
    assert [(file.name, "kind" in reason) for file, reason in saved.refused.items()] == [("a-third.false.json", True)]
    assert json.loads(saved.accepted[0].read_text()) == THIRD.document


def test_the_command_saves_proves_and_checks(monkeypatch, tmp_path, capsys):
    true = theorem(lambda case, predicted: THIRD)
    monkeypatch.setattr(sys.modules["ufm.verification.run"], "select", lambda names, family: [true])
    assert cli.main(["verify", "--proofs", str(tmp_path)]) == 0
    assert f"1 proofs saved in {tmp_path}; the checker accepts 1, does not cover 0" in capsys.readouterr().out
    lied = dataclasses.replace(THIRD, document=THIRD.document | {"facts": []})
    false = theorem(lambda case, predicted: lied)
    monkeypatch.setattr(sys.modules["ufm.verification.run"], "select", lambda names, family: [false])
    assert cli.main(["verify", "--proofs", str(tmp_path)]) == 1
    assert "a-third.only.json is refused" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_refused_before_any_work(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert cli.main(["verify", "welch-bound", "--proofs", str(tmp_path / "file")]) == 2
    assert "--proofs must be a folder that can be written" in capsys.readouterr().err
