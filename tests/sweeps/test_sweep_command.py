"""`ufm sweep`: exit codes, summaries, status of a folder, and options that are refused by name."""

import pytest

from ufm.cli.program import main
from ufm.cli.sweep import status
from ufm.sweeps import load

TEXT = """
function = "closed_form"
[problem]
classes = 3
per_class = 10
widths = [8]
l2_W = 5e-3
l2_H = 5e-3
[axes]
l2_H = {from = 1e-3, to = 1e-1, points = 6}
K = [3, 4]
"""


@pytest.fixture
def spec(tmp_path):
    path = tmp_path / "spec.toml"
    path.write_text(TEXT)
    return path


def ufm(*arguments):
    return main(["sweep", *map(str, arguments)])


def test_a_sweep_is_summarised_stored_and_gone_on_with(spec, tmp_path, capsys):
    store = tmp_path / "store"
    assert ufm(spec, "--store", store, "--chunk", 2) == 0
    first = capsys.readouterr().out
    assert "6 l2_H x 2 K" in first and "0 of 12 points failed" in first and "objective f at the point" in first
    (store / "chunks" / "000001").unlink()
    (store / "chunks" / "000004").unlink()
    assert ufm("--status", store) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert said == (
        "ufm.sweeps.functions.closed_form over l2_H, K: 4 of 6 chunks finished, 0 being worked on; "
        "8 of 12 points there, 0 of them failed"
    )
    before = load(store)
    assert ufm(spec, "--store", store, "--chunk", 2, "--process", "1/2") == 0
    assert capsys.readouterr().out == first
    after = load(store)
    assert after.where(before.status == 0).equals(before.where(before.status == 0)) and "6 of 6 chunks" in status(store)


def test_points_that_fail_are_listed_and_give_exit_code_1(spec, capsys):
    spec.write_text(TEXT.replace("K = [3, 4]", "K = [1, 3]"))
    assert ufm(spec) == 1
    out = capsys.readouterr().out
    assert "6 of 12 points failed" in out and "l2_H=0.001, K=1: refused" in out


def test_another_sweep_in_the_folder_is_refused_with_what_differs(spec, tmp_path, capsys):
    assert ufm(spec, "--store", tmp_path / "store") == 0
    spec.write_text(TEXT.replace("to = 1e-1", "to = 1"))
    capsys.readouterr()
    assert ufm(spec, "--store", tmp_path / "store") == 2
    assert "holds another sweep (axis l2_H: " in capsys.readouterr().err


@pytest.mark.parametrize(
    "options, message",
    [
        ([], "ufm sweep needs a SPEC.toml to work on, or --status DIR"),
        (["SPEC", "--status", "DIR"], "ufm sweep needs a SPEC.toml to work on, or --status DIR"),
        (["SPEC", "--process", "2/2", "--store", "DIR"], "--process must be I/N, whole numbers with 0 <= I < N, got '2/2'"),
        (["SPEC", "--process", "x"], "--process must be I/N"),
        (["SPEC", "--process", "0/2"], "--store must be a folder, which the processes share"),
        (["SPEC", "--coordinator", "localhost:1"], "--process must be I/N where there is a --coordinator"),
        (["SPEC", "--chunk", "0"], "chunk must be a whole number of at least 1, got 0"),
        (["DIR/none.toml"], "SPEC must be a TOML file"),
        (["--status", "DIR"], "store must be a folder that a sweep has written to"),
    ],
)
def test_options_are_refused_by_name(spec, tmp_path, capsys, options, message):
    named = [o.replace("SPEC", str(spec)).replace("DIR", str(tmp_path)) for o in options]
    assert ufm(*named) == 2
    assert capsys.readouterr().err.startswith(f"ufm: {message}")


def test_a_damaged_store_is_not_called_finished_and_looking_at_it_changes_nothing(spec, tmp_path, capsys):
    store = tmp_path / "store"
    ufm(spec, "--store", store, "--chunk", 2)
    chunks = store / "chunks"
    (chunks / "000001").write_bytes((chunks / "000002").read_bytes())
    (chunks / "000003").write_bytes((chunks / "000003").read_bytes()[:-1])
    (chunks / "999999").write_bytes(b"no chunk of this sweep")
    capsys.readouterr()
    for _ in range(2):
        ufm("--status", store)
        said = " ".join(capsys.readouterr().out.split())
        assert "4 of 6 chunks finished (2 more are damaged, and will be computed again)" in said
        assert "8 of 12 points there, 0 of them failed" in said
    assert ufm(spec, "--store", store, "--chunk", 2) == 0
    assert "6 of 6 chunks finished, 0 being worked on; 12 of 12 points" in " ".join(status(store).split())
