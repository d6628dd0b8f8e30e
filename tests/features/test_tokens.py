"""Words as classes: known geometry where classes are equal, bounds, soft labels, the command, and refusals."""

import argparse
import json
import math
import sys

import numpy as np
import pytest

import ufm
from ufm.cli.language import add_arguments, run
from ufm.features.tokens import language, word_frequencies

LAW = {"exponent": 1.0, "ridge": 1e-2}


@pytest.fixture(scope="module")
def rows():
    return {row.dimension: row for row in language((8,), (2, 3, 7, 20), **LAW).rows}


def test_every_width_below_the_vocabulary_and_the_vocabulary_are_measured(rows):
    assert list(rows) == [2, 3, 7, 8] and {row.vocabulary for row in rows.values()} == {8}
    assert all(row.seen == 8 and row.merged == 0 and row.rank == min(row.dimension, 7) for row in rows.values())


def test_the_bound_is_met_where_the_rank_allows_and_narrow_features_cost(rows):
    assert len({row.lower_bound for row in rows.values()}) == 1
    assert 0 <= rows[8].gap < 1e-6 and 0 <= rows[7].gap < 1e-6
    assert rows[2].gap > rows[3].gap > 1e-3 and rows[2].value > rows[3].value > rows[7].value


def test_samples_of_a_token_collapse_and_rare_tokens_have_longer_features_and_shorter_rows(rows):
    for row in rows.values():
        assert row.nc1 < 1e-9 and row.cdnv2 < 1e-8
        assert row.slope_H < -0.05 < 0.1 < row.slope_W
        assert 0.9 < row.unc3 < 1 and row.equinorm_H > 0.05 and row.equinorm_W > 0.05
    assert rows[2].gnc2 > rows[3].gnc2 > rows[8].gnc2  # more room, more even directions


def test_equal_tokens_are_the_simplex_and_have_no_slope():
    report = language((8,), (8,), exponent=0.0, ridge=1e-2)
    (row,) = report.rows
    assert row.gnc2 == pytest.approx(-0.5 * math.log(16 / 7), abs=1e-6) and abs(row.gnc2_cov) < 1e-4
    assert row.unc3 == pytest.approx(1, abs=1e-6) and max(row.equinorm_H, row.equinorm_W, row.unc3_cov) < 1e-4
    assert math.isnan(row.slope_H) and report.to_json()["rows"][0]["slope_W"] == "nan"
    expected = ufm.predict(ufm.Problem.balanced(8, 1, 8, loss="ce", l2_W=1e-2, l2_H=1e-2 / 8)).value
    assert row.value == pytest.approx(float(expected), rel=1e-9)


def test_soft_labels_leave_variability_within_tokens_and_their_own_frequencies():
    (row,) = language((8,), (8,), contexts=16, **LAW).rows
    assert row.nc1 > 1e-2 and 0 <= row.gap < 1e-6 and 3 <= row.seen <= 8


def test_words_are_read_from_their_package():
    pytest.importorskip("wordfreq")
    source, f = word_frequencies("en", 50)
    assert "wordfreq" in source and f.shape == (50,) and f.sum() == pytest.approx(1, rel=1e-12)
    assert np.all(np.diff(f) <= 0) and 5 < f[0] / f[-1] < 500  # the first word of English is tens of times the fiftieth
    with pytest.raises(ValueError, match="language must be one of wordfreq's: .*, got 'xx'"):
        word_frequencies("xx", 50)
    with pytest.raises(ValueError, match="vocabulary must be at most the [0-9]+ words that wordfreq has for 'en', got 10000000"):
        word_frequencies("en", 10**7)


def test_the_command_prints_the_table_and_writes_its_numbers(tmp_path, capsys):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    file = tmp_path / "out.json"
    asked = ["--vocabulary", "8", "--dimensions", "2", "--exponent", "1", "--ridge", "1e-2"]
    assert run(parser.parse_args([*asked, "--json", str(file)])) == 0
    printed, numbers = capsys.readouterr().out, json.loads(file.read_text())
    assert "Zipf's law of exponent 1: one class a token" in printed and "GNC2 of the simplex" in printed
    assert [row["dimension"] for row in numbers["rows"]] == [2, 8] and numbers["ridge"] == 1e-2
    with pytest.raises(ValueError, match="--json must name a file that can be written"):
        run(parser.parse_args([*asked, "--json", str(tmp_path / "no" / "out.json")]))


def test_a_search_cut_short_says_so(monkeypatch):
    monkeypatch.setattr("ufm.features.tokens._MAX_STEPS", 3)
    report = language((8,), (8,), **LAW)
    assert "V = 8, d = 8: stopped at max_steps" in report.notes[0] and "stopped at max_steps" in str(report)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vocabulary": (2,)}, "vocabulary must be a whole number of at least 3, got 2"),
        ({"dimensions": (1,)}, "dimensions must be a whole number of at least 2, got 1"),
        ({"exponent": -1.0}, "exponent must be finite and at least 0, got -1.0"),
        ({"contexts": -1}, "contexts must be a whole number of at least 0, got -1"),
        ({"ridge": 0.0}, "ridge must be finite and above 0, got 0.0"),
        ({"starts": 0}, r"starts must be a whole number of at least 1, got 0"),
        ({"seed": -1}, r"seed must be a whole number of at least 0 and at most \d+, got -1"),
    ],
)
def test_refusals(changes, message):
    with pytest.raises(ValueError, match=message):
        language(**(LAW | {"vocabulary": (8,), "dimensions": (2,)} | changes))


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "wordfreq", None)
    with pytest.raises(ValueError, match=r"pip install 'ufm\[language\]'"):
        language((8,), (2,))
