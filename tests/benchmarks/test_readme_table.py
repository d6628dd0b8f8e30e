"""The performance tables of the README are those of the benchmark's JSON."""

import json
import pathlib
import re

from benchmarks.readme import RESULTS, markdown

README = pathlib.Path(__file__).parent.parent.parent / "README.md"
REPORT = {
    "environment": dict.fromkeys(("processor", "device", "jax", "torch", "scipy", "threads", "limit"), "x"),
    "rows": [
        {"workload": "W1", "case": "a", "method": "ufm, one start", "cpu_s": 2e-3, "gap": 1e-12, "limited": False, "note": ""},
        {"workload": "W1", "case": "a", "method": "torch L-BFGS", "cpu_s": 1.5, "gap": 3e-5, "limited": True, "note": ""},
        {"workload": "W1", "case": "a", "method": "torch SGD", "cpu_s": None, "gap": None, "limited": False, "note": "absent"},
        {"workload": "W9", "case": "b", "method": "ufm", "cpu_s": 1.0, "gap": None, "limited": False, "note": ""},
    ],
    "claims": [{"text": "fast", "needed": 2.0, "found": 3.0, "verdict": "PASS: 3x, needed 2x"}],
}


def test_the_tables_of_the_readme_are_those_of_the_results():
    block = re.search(r"<!-- benchmark -->\n(.*?)\n<!-- /benchmark -->", README.read_text(), re.S).group(1)
    assert block == markdown(), "paste benchmarks.readme.markdown()"


def test_the_results_are_a_full_run_of_every_workload():
    report = json.loads(RESULTS.read_text())
    assert report["environment"]["sizes"] == "full"
    assert {row["workload"] for row in report["rows"]} == {f"W{i}" for i in range(1, 10)}
    assert not [row for row in report["rows"] if row["method"] == "failed"]


def test_rows_stand_side_by_side_with_gaps_and_bounds():
    lines = markdown(REPORT).splitlines()
    assert "| W1 a | 2 ms (1e-12) | > 1.5 s (3e-05) |  | absent |  |" in lines
    assert "| fast | PASS: 3x, needed 2x |" in lines
    assert not any("W9" in line for line in lines)
