"""The harness keeps every row, survives workloads that fail, and judges claims by what was run."""

import dataclasses
import json
import math
import sys
import types

import jax
import pytest

from benchmarks import harness, w1_balanced, w3_cross_entropy
from benchmarks.claims import Claim, Finding, judge, times_faster
from benchmarks.machine import limited_threads
from benchmarks.minima import GAP, ONE_START, SEARCH, TORCH_LBFGS, ufm_row
from benchmarks.row import Row
from benchmarks.setting import Setting
from benchmarks.table import HEADER, line, seconds
from benchmarks.trajectories import TORCH_SGD, UFM


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["W77"], ["workload must be one of 'W1', 'W2', 'W3'", "got 'W77'"]),
        (["W1", "--threads", "0"], ["threads must be a whole number of at least 1, got 0"]),
        (["W1", "--limit", "-1"], ["limit must be finite and above 0, got -1.0"]),
        (["W1", "--json", "no/such/folder/f.json"], ["json must be a file in a folder that exists", "no/such/folder"]),
    ],
)
def test_bad_input_is_refused_before_anything_runs(arguments, words, capsys):
    assert harness.main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and all(word in printed.err for word in words)


@pytest.fixture
def fakes(monkeypatch):
    """Two workloads: one fails after a row, the other yields two and has claims."""

    def failing(quick, limit):
        yield Row("W1", "small", "ufm", wall_s=1.0, cpu_s=0.5, gap=math.nan)
        raise ArithmeticError("the sky\nfell")

    def sound(quick, limit):
        yield Row("W2", f"quick={quick} limit={limit:g}", "ufm", wall_s=0.1, cpu_s=0.1, threads=8)
        yield Row("W2", f"quick={quick} limit={limit:g}", "peer", wall_s=4.0, cpu_s=4.0, limited=True)

    case = "quick=True limit=7"
    claims = (
        Claim("faster", 30, times_faster("W2", case, "ufm", "peer")),
        Claim("much faster", 50, times_faster("W2", case, "ufm", "peer")),
        Claim("elsewhere", 1, times_faster("W2", "no such case", "ufm", "peer")),
    )
    modules = {"W1": ("fake_w1", "W1: fails.\n\nMore.", failing, ()), "W2": ("fake_w2", "Runs two\nrows.\n\nMore.", sound, claims)}
    for name, doc, rows, own in modules.values():
        module = types.ModuleType(name, doc)
        module.rows, module.CLAIMS = rows, own
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(harness, "workloads", lambda: {key: module[0] for key, module in modules.items()})


def test_a_workload_that_fails_is_a_row_and_the_others_go_on(fakes, capsys, tmp_path):
    path = tmp_path / "all.json"
    assert harness.main(["--quick", "--limit", "7", "--threads", "2", "--json", str(path)]) == 1
    printed, errors = capsys.readouterr()
    assert "ArithmeticError" in errors
    report = json.loads(path.read_text())
    assert [(row["workload"], row["method"]) for row in report["rows"]] == [
        ("W1", "ufm"), ("W1", "failed"), ("W2", "ufm"), ("W2", "peer"),
    ]  # fmt: skip
    assert report["rows"][1]["note"] == "ArithmeticError: the sky fell"
    assert report["rows"][0]["gap"] == "nan" and report["rows"][3]["limited"] is True
    assert [row["threads"] for row in report["rows"]] == [2, 2, 8, 2]
    assert {"ufm", "jax", "device", "processor", "threads", "torch", "scipy", "canary", "sizes"} <= set(report["environment"])
    assert report["environment"]["threads"] == "2" and report["environment"]["sizes"] == "quick"
    assert [claim["verdict"] for claim in report["claims"]] == [
        "PASS: > 40x, needed 30x", "open: > 40x, needed 50x, and the peer was stopped at the limit", "not run",
    ]  # fmt: skip
    assert [p.name for p in tmp_path.iterdir()] == ["all.json"]
    for text in (
        "# Benchmark of ufm",
        "## W1: fails.\n",
        "## W2: Runs two rows.\n",
        "the sky fell",
        "> 4 s",
        "## Claims",
        "| faster | PASS",
    ):
        assert text in printed


def test_only_the_named_workloads_run_and_success_is_zero(fakes, capsys):
    assert harness.main(["w2", "--limit", "7"]) == 0
    printed = capsys.readouterr().out
    assert "## W2" in printed and "## W1" not in printed and "quick=False limit=7" in printed


def test_a_report_that_cannot_be_written_leaves_the_old_file(fakes, tmp_path, monkeypatch):
    path = tmp_path / "all.json"
    path.write_text("the old report")

    def full_disk(self, text):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(path), "write_text", full_disk)
    with pytest.raises(OSError, match="No space left"):
        harness.main(["W2", "--limit", "7", "--json", str(path)])
    assert path.read_text() == "the old report"


@pytest.mark.parametrize(
    ("claim", "verdict"),
    [
        (Claim("a", 200, lambda rows: Finding(201.0)), "PASS: 201x, needed 200x"),
        (Claim("a", 200, lambda rows: Finding(143.21)), "short: 143x, needed 200x"),
        (Claim("a", 200, lambda rows: Finding(5030.4)), "PASS: 5,030x, needed 200x"),
        (Claim("a", 200, lambda rows: Finding(300.0, bound=True)), "PASS: > 300x, needed 200x"),
        (Claim("a", 60, lambda rows: Finding(41.0), at_least=False, unit=" s"), "PASS: 41 s, needed 60 s"),
        (Claim("a", 60, lambda rows: Finding(61.0), at_least=False, unit=" s"), "short: 61 s, needed 60 s"),
        (Claim("a", 200, lambda rows: Finding(999.0, fault="it ended at 1e-8")), "short: it ended at 1e-8 (999x, needed 200x)"),
        (Claim("a", 200, lambda rows: Finding(math.nan)), "short: nanx, needed 200x"),
        (Claim("a", 200, lambda rows: None), "not run"),
    ],
)
def test_claims_pass_or_say_by_what_they_fall_short(claim, verdict):
    assert judge(claim, []).verdict == verdict


def test_a_ratio_counts_cpu_time_on_the_cpu_and_only_at_equal_gap():
    ours = Row("W1", "c", "a", wall_s=9.0, cpu_s=1.0, gap=1e-10)
    theirs = Row("W1", "c", "b", wall_s=3.0, cpu_s=50.0, gap=1e-9)
    measure = times_faster("W1", "c", "a", "b", gap=GAP)
    assert measure([theirs, ours]) == Finding(50.0)
    on_gpu = [dataclasses.replace(row, device="gpu") for row in (ours, theirs)]
    assert measure(on_gpu) == Finding(3.0 / 9.0)
    above = dataclasses.replace(ours, gap=2e-9)
    assert "a is at a gap of 2e-09" in measure([above, theirs]).fault
    early = dataclasses.replace(theirs, gap=1e-3)
    assert "b is at a gap of 0.001" in measure([ours, early]).fault
    assert measure([ours, dataclasses.replace(early, limited=True)]) == Finding(50.0, bound=True)
    assert measure([ours]) is None and measure([ours, Row("W1", "c", "b", note="torch is not installed")]) is None


def test_the_claims_name_rows_that_the_workloads_yield(monkeypatch):
    """With the work left out, the full sizes of W1 and W3 leave no claim without its rows."""

    def minima(workload, setting, limit, **_):
        for method in (ONE_START, SEARCH, TORCH_LBFGS):
            yield Row(workload, f"{setting.label}, minimum", method, wall_s=1.0, cpu_s=1.0, gap=0.0)

    def trajectories(workload, setting, limit, *, steps, **_):
        for method in (UFM, TORCH_SGD):
            yield Row(workload, f"{setting.label}, {steps:,} steps", method, wall_s=1.0, cpu_s=1.0)

    monkeypatch.setattr(w1_balanced, "minimum_rows", minima)
    monkeypatch.setattr(w1_balanced, "trajectory_rows", trajectories)
    monkeypatch.setattr(w3_cross_entropy, "minimum_rows", minima)
    rows = [*w1_balanced.rows(False, 1.0), *w3_cross_entropy.rows(False, 1.0)]
    verdicts = [judge(claim, rows) for claim in (*w1_balanced.CLAIMS, *w3_cross_entropy.CLAIMS)]
    assert [v.needed for v in verdicts] == [200, 50, 50, 20, 15, 200, 200]
    assert all(v.found == 1 for v in verdicts)


def test_quick_workloads_reach_the_exact_minimum_and_so_do_the_peers(capsys, tmp_path):
    pytest.importorskip("torch")
    path = tmp_path / "quick.json"
    assert harness.main(["--quick", "W2", "W3", "--json", str(path)]) == 0
    rows = json.loads(path.read_text())["rows"]
    minima = [row for row in rows if row["case"].endswith("minimum")]
    assert len(minima) == 12 and len(rows) == 16
    for row in minima:
        assert row["limited"] or row["gap"] <= GAP, row
    assert all(row["gap"] >= -1e-12 for row in minima)
    assert all(0 < row["wall_s"] and row["dtype"] == "float64" for row in rows)
    assert all(row["compile_s"] > 0 for row in rows if row["method"].startswith("ufm"))
    assert any("of PyTorch's" in row["note"] for row in rows)


def test_a_sweep_in_one_batch_reaches_the_same_minima(monkeypatch):
    """As an accelerator runs it."""
    setting, row = Setting((5, 5, 5), width=6, depth=1, l2_W=5e-3, l2_H=5e-3), Row("W1", "", ONE_START)
    one_by_one = ufm_row(row, setting, 3, starts=1, certified=False)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    batched = ufm_row(row, setting, 3, starts=1, certified=False)
    assert (one_by_one.device, batched.device) == ("cpu", "gpu")
    assert -1e-12 < one_by_one.gap <= GAP and -1e-12 < batched.gap <= GAP


def test_rows_of_peers_that_are_not_installed_say_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    rows = list(harness.measured("W2", True, 3.0, 1))
    absent = [row for row in rows if row.note == "torch is not installed"]
    assert len(absent) == 7 and all(row.method.startswith("torch") and row.cpu_s is None for row in absent)
    assert {row.method for row in rows} - {row.method for row in absent} == {ONE_START, "scipy L-BFGS-B", UFM}


def test_a_row_has_a_cell_for_every_column_and_times_have_units():
    for row in (Row("W1", "c", "m"), Row("W1", "c | d", "m", 2.0, 1e-3, 5e-6, 1e-9, 1.25, "bounds", threads=2, limited=True)):
        assert line(row).count("|") == len(HEADER) + 1
    assert "> 2 s" in line(row) and "2 threads" in line(row) and "1.25 bounds" in line(row)
    assert [seconds(t) for t in (None, 0.0, 3.21e-5, 0.0123456, 61.2345)] == ["", "0 us", "32.1 us", "12.3 ms", "61.2 s"]


def test_threads_are_given_back_after_a_run(monkeypatch):
    import os

    monkeypatch.setenv("NPROC", "7")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    with limited_threads(2):
        assert os.environ["NPROC"] == os.environ["OMP_NUM_THREADS"] == "2"
    assert os.environ["NPROC"] == "7" and "OMP_NUM_THREADS" not in os.environ
