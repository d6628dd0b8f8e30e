"""`ufm longtail`: prediction against measurement, by class and in words, and what it refuses."""

import argparse
import json

import numpy as np
import pytest

from ufm.cli import long_tail as command
from ufm.cli.long_tail import read_counts
from ufm.features import long_tails
from ufm.features.long_tails import long_tail


def options(*arguments):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args(list(map(str, arguments)))


def test_nonnegative_features_are_found_where_they_are_predicted():
    report = long_tail((40, 12, 5, 2), features="nonnegative")
    assert report.theorem == "relu-imbalance"
    np.testing.assert_allclose(report.threshold, (40 * 2) ** 0.5 * 4 / 3, rtol=1e-12)
    assert report.thresholded == (False, False, True, True)
    assert report.predicted.collapsed.tolist() == report.measured.collapsed.tolist() == [False, False, True, True]
    np.testing.assert_allclose(report.value, report.predicted_value, rtol=1e-9)
    np.testing.assert_allclose(report.measured.margin, report.predicted.margin, atol=1e-4)
    np.testing.assert_allclose(report.measured.feature_norm, report.predicted.feature_norm, atol=1e-4)
    np.testing.assert_allclose(report.measured.classifier_norm, report.predicted.classifier_norm, atol=1e-4)
    assert 0 <= report.gap < 1e-7
    np.testing.assert_allclose(report.predicted.probability[2:], 0.25, rtol=1e-12)


def test_free_classes_of_one_size_merge_below_the_threshold(monkeypatch):
    report = long_tail((40, 40, 7, 7), l2_W=0.04, l2_H=0.04)
    np.testing.assert_allclose(report.threshold, (94 * 0.04) ** 2, rtol=1e-12)
    assert report.theorem == "two-group-ce" and report.thresholded == (False, False, True, True)
    assert report.measured.collapsed.tolist() == report.predicted.collapsed.tolist() == [False, False, True, True]
    np.testing.assert_allclose(report.value, report.predicted_value, rtol=1e-9)
    assert 0 <= report.gap < 1e-7
    np.testing.assert_allclose(report.measured.cosine[2:], 1, atol=1e-6)
    monkeypatch.setattr(long_tails, "_SOLVED_UP_TO", 3)
    reduced = long_tail((40, 40, 7, 7), l2_W=0.04, l2_H=0.04)
    assert "exact reduction of 4 classes to their 2 different sizes" in reduced.notes[0]
    np.testing.assert_allclose(reduced.value, report.value, rtol=1e-10)
    np.testing.assert_allclose(reduced.measured.margin, report.measured.margin, atol=1e-5)
    assert reduced.measured.collapsed.tolist() == [False, False, True, True]
    monkeypatch.setattr(long_tails, "_SIZES_UP_TO", 1)
    unmeasured = long_tail((40, 40, 7, 7), l2_W=0.04, l2_H=0.04)
    assert unmeasured.measured is None and "2 different class sizes" in unmeasured.notes[0] and 0 <= unmeasured.gap < 1e-12


def test_sizes_without_a_closed_form_are_measured_and_certified():
    report = long_tail((50, 8, 8, 3), l2_W=1e-2, l2_H=1e-2)
    assert report.theorem == "" and report.predicted is None and np.isnan(report.predicted_value)
    assert report.thresholded == (None, False, False, None)
    assert 0 <= report.gap < 1e-7 and not report.measured.collapsed.any()


def test_everything_is_zero_above_the_largest_eigenvalue():
    report = long_tail((50, 8, 8, 3), l2_W=0.2, l2_H=0.2)
    assert report.eigenvalue <= report.threshold and "everything is zero" in report.summary[2]
    assert report.measured.collapsed.all()
    np.testing.assert_allclose(report.value, np.log(4), rtol=1e-12)


def test_the_command_prints_a_table_and_writes_json(tmp_path, capsys):
    counts, out = tmp_path / "counts.txt", tmp_path / "report.json"
    counts.write_text("40, 40\n7 7\n")
    assert command.run(options("--counts", counts, "--l2-W", 0.04, "--l2-H", 0.04, "--json", out)) == 0
    shown = capsys.readouterr().out
    assert "two-group-ce" in shown and "certified" in shown
    data = json.loads(out.read_text())
    assert data["counts"] == [40, 40, 7, 7] and len(data["measured"]["margin"]) == 4 and 0 <= data["gap"] < 1e-7
    assert "NaN" not in out.read_text()


def test_many_classes_are_shown_by_deciles():
    from ufm.features.long_tail_report import ClassFigures, LongTailReport

    K = 25
    figures = ClassFigures(*[np.arange(K, dtype=float)] * 5, np.arange(K) >= 20)
    report = LongTailReport(
        "test", tuple(range(K, 0, -1)), 1e-3, 1e-3, "free", 5.0, 9.0, (None,) * 20 + (True,) * 5, "", None, float("nan"),
        figures, 1.0, 0.0, 3, "converged: x", (),
    )  # fmt: skip
    text = str(report)
    assert "1-3" in text and "24-25" in text and "2/2" in text and "5 of 5 such classes" in text


def test_the_profiles_of_the_command(tmp_path):
    assert command._counts_of(options())[1][-1] == 50
    assert command._counts_of(options("cifar100", "--ratio", 10))[1][-1] == 50
    source, counts = command._counts_of(options("imagenet"))
    assert "reconstructed" in source and len(counts) == 1000
    file = tmp_path / "counts.json"
    file.write_text("[3, 2, 1]")
    assert read_counts(file) == (3, 2, 1)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("imagenet", "--ratio", 10), "--ratio must be left out for imagenet"),
        (("cifar10", "--counts", "x"), "--counts must be alone"),
        (("--counts", "no such file"), "--counts must name a file of whole numbers, got 'no such file'"),
        (("--l2-W", 0.1), "l2_W and l2_H must be both given or both left out"),
        (("--l2-W", -1, "--l2-H", 1), "l2_W must be finite and above 0"),
        (("--seed", -1), "seed must be a whole number of at least 0"),
        (("--json", "/no/such/folder/x.json"), "--json must name a file that can be written"),
        (("--ratio", 0.1), "ratio must be from 1"),
    ],
)
def test_the_command_refuses(arguments, words):
    with pytest.raises(ValueError, match=words):
        command.run(options(*arguments))


def test_bad_counts_in_a_file_and_bad_features(tmp_path):
    file = tmp_path / "counts.txt"
    file.write_text("4 x")
    with pytest.raises(ValueError, match="whole numbers"):
        read_counts(file)
    with pytest.raises(ValueError, match="features must be one of"):
        long_tail((3, 2), features="sphere")
