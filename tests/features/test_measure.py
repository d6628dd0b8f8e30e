"""`ufm metrics`: features of any framework, in one file or in shards, and every way in which they can be at fault."""

import argparse
import json

import numpy as np
import pytest

from ufm.cli.metrics import add_arguments, run
from ufm.features.collapse_report import measure
from ufm.features.shards import load_moments, save_moments
from ufm.metrics.streaming import merge, moments
from ufm.metrics.table import summary

K, d = 3, 6
RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, K, 40)
H = (RNG.normal(size=(d, K))[:, LABELS] + 0.3 * RNG.normal(size=(d, 40))).astype(np.float32)
W, B = RNG.normal(size=(K, d)), RNG.normal(size=K)


def write(folder, rows=True, **extra):
    """Three shards, the second without class 0, in the order of names."""
    order = np.argsort(np.where(LABELS == 0, np.arange(40) % 2 * 2, 1), kind="stable")
    cuts = np.split(order, [sum(LABELS == 0) // 2, 30])
    for i, part in enumerate(cuts):
        own = {"features": H.T[part]} if rows else {"H": H[:, part]}
        np.savez(folder / f"{i:02}.npz", **own, labels=LABELS[part], **(extra if i == 1 else {}))
    return folder


def numbers(report):
    return {metric.name: metric.value for metric in report.metrics}


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    file = tmp_path_factory.mktemp("one") / "all.npz"
    np.savez(file, H=H, labels=LABELS, W=W, b=B)
    return file, measure(file)


@pytest.mark.parametrize("rows", [True, False])
def test_shards_in_either_orientation_measure_as_one_file_does(tmp_path, rows, one):
    seen = []
    report = measure(write(tmp_path, rows, W=W, b=B), progress=lambda *counts: seen.append(counts))
    assert (report.classes, report.samples, report.dim) == (K, 40, d) and seen == [(i, 6) for i in range(1, 7)]
    for name, value in numbers(one[1]).items():
        assert numbers(report)[name] == pytest.approx(value, rel=1e-10, abs=1e-13), name


def test_the_numbers_are_those_of_the_summary(one):
    expected = {metric.name: metric.value for metric in summary(moments(H, LABELS, K), W, B)}
    assert expected == pytest.approx({name: numbers(one[1])[name] for name in expected}, rel=1e-12)


def test_the_classifier_may_lie_beside_under_its_framework_names(tmp_path, one):
    write(tmp_path)
    np.savez(tmp_path / "head.npz", weight=W.astype(np.float32), bias=B)
    report = measure(tmp_path, classifier=tmp_path / "head.npz")
    assert numbers(report) == pytest.approx(numbers(one[1]), rel=1e-5)
    assert "classifier W" in measure_without_head(tmp_path).notes[0]


def measure_without_head(folder):
    (folder / "head.npz").unlink()
    return measure(folder)


def test_rare_classes_are_refused_or_left_out(tmp_path, one):
    labels = np.append(LABELS, 3)
    np.savez(tmp_path / "f.npz", H=np.append(H, np.ones((d, 1), np.float32), axis=1), labels=labels)
    np.savez(tmp_path / "head.npz", W=np.append(W, np.ones((1, d)), axis=0), b=np.append(B, 9.0))
    options = {"classifier": tmp_path / "head.npz"}
    with pytest.raises(ValueError, match="at least 2 samples of every class, got 1 of class 3: min_per_class leaves such out"):
        measure(tmp_path / "f.npz", **options)
    report = measure(tmp_path / "f.npz", **options, min_per_class=2)
    assert report.notes == ("left out 1 of 4 classes, with fewer than 2 samples each (1 samples)",)
    assert numbers(report) == pytest.approx(numbers(one[1]), rel=1e-10)
    with pytest.raises(ValueError, match="min_per_class must leave at least 2 classes, got 99 for classes of up to"):
        measure(tmp_path / "f.npz", min_per_class=99)
    with pytest.raises(ValueError, match="min_per_class must be a whole number of at least 1, got 0"):
        measure(tmp_path / "f.npz", min_per_class=0)


def test_the_command_prints_the_table_and_writes_its_numbers(one, tmp_path, capsys):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    file = tmp_path / "out.json"
    options = ["--json", str(file), "--global-mean", "classes", "--exponent", "2", "--ddof", "1"]
    assert run(parser.parse_args([str(one[0]), *options])) == 0
    printed, found = capsys.readouterr().out, json.loads(file.read_text())
    report = measure(one[0], global_mean="classes", exponent=2.0, ddof=1)
    assert found == report.to_json() and found["metrics"]["cdnv"] != numbers(one[1])["cdnv"]
    assert found["conventions"] == {"global_mean": "classes", "exponent": 2.0, "ddof": 1, "min_per_class": 2}
    for metric in report.metrics:
        assert f"{metric.name} " in printed and f"{metric.value:.5g}" in printed
    assert "at collapse" in str(report) and "40 samples, d = 6" in str(report)
    with pytest.raises(ValueError, match="--json must name a file that can be written"):
        run(parser.parse_args([str(one[0]), "--json", str(tmp_path / "no" / "out.json")]))


def test_more_classes_than_a_simplex_has_room_for_are_noted(tmp_path):
    np.savez(tmp_path / "f.npz", features=H.T[:, :1], labels=LABELS)
    report = measure(tmp_path)
    assert report.notes[-1] == "3 classes have no simplex in d = 1: GNC2 tells how even they are"
    assert "gnc2_riesz_cov" not in numbers(report)


BROKEN = {
    "another d": ({"features": H.T[:, :4], "labels": LABELS}, "01b.npz: the features must have d = 6 like those before, got 4"),
    "NaN": ({"features": H.T * np.where(LABELS == 1, np.nan, 1)[:, None], "labels": LABELS}, "01b.npz: H must be finite"),
    "short": ({"features": H.T[:5], "labels": LABELS}, r"01b.npz: features must have samples as rows, .*40, d\), got \(5, 6\)"),
    "columns as rows": ({"H": H.T, "labels": LABELS}, r"01b.npz: H must have samples as columns, .* transpose it"),
    "no labels": ({"features": H.T}, "01b.npz' must hold H and labels"),
    "no features": ({"labels": LABELS}, "01b.npz' must hold H and labels"),
    "both": ({"H": H, "features": H.T, "labels": LABELS}, r"01b.npz' must hold H \(d, N\) or features \(N, d\), got both"),
    "huge label": ({"features": H.T, "labels": LABELS + 10**9}, "01b.npz: labels must be from 0 to K - 1, got 100000000. for 80"),
    "negative label": ({"features": H.T, "labels": LABELS - 1}, "01b.npz: labels must be from 0 to K - 1, got -1"),
    "fractions": ({"features": H.T, "labels": LABELS + 0.5}, "01b.npz: labels must be whole numbers"),
    "objects": ({"features": np.array([object()] * 40), "labels": LABELS}, "01b.npz: features must be an array of numbers"),
    "text": ({"features": H.T.astype(str), "labels": LABELS}, "01b.npz: H must be real numbers"),
    "b alone": ({"features": H.T, "labels": LABELS, "b": B}, "01b.npz: b must come with W"),
    "a vector W": ({"features": H.T, "labels": LABELS, "W": W[0]}, r"01b.npz: W must have shape \(K, d\), got \(6,\)"),
}


@pytest.mark.parametrize(("arrays", "message"), BROKEN.values(), ids=BROKEN)
def test_a_shard_at_fault_is_named(tmp_path, arrays, message):
    write(tmp_path)
    np.savez(tmp_path / "01b.npz", **arrays)
    with pytest.raises(ValueError, match=message):
        measure(tmp_path)


def test_shards_that_are_cut_missing_or_of_another_kind_are_named(tmp_path):
    write(tmp_path)
    whole = (tmp_path / "01.npz").read_bytes()
    flipped = bytearray(whole)
    flipped[200] ^= 1  # in the features
    for content in (whole[:-40], b"", b"text", bytes(flipped)):
        (tmp_path / "01.npz").write_bytes(content)
        with pytest.raises(ValueError, match="01.npz', which is damaged or of another kind"):
            measure(tmp_path)
    for path, message in {tmp_path / "none.npz": "none.npz', which does not exist", tmp_path / "empty": "which has none"}.items():
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(ValueError, match=message):
            measure(path)


def test_classifiers_at_fault_are_named(tmp_path):
    write(tmp_path, W=W, b=B)
    np.savez(tmp_path / "03.npz", H=H, labels=LABELS, W=2 * W, b=B)
    with pytest.raises(ValueError, match="03.npz: W and b must be those of .*01.npz, got others"):
        measure(tmp_path)
    head = tmp_path / "head" / "head.npz"
    head.parent.mkdir()
    for arrays, message in (
        ({"W": W[:2]}, "labels must be below the 2 rows of W in .*head.npz, got 2"),
        ({"W": W[:, :4]}, "00.npz: the features must have d = 4 like W, got 6"),
        ({"V": W}, r"head.npz' must hold W \(K, d\), or weight, got V"),
        ({"W": W, "b": B[:2]}, r"head.npz: b must have shape \(3,\), got \(2,\)"),
        ({"W": W * np.nan}, "head.npz: W must be finite"),
    ):
        np.savez(head, **arrays)
        with pytest.raises(ValueError, match=message):
            measure(tmp_path, classifier=head)
    with pytest.raises(ValueError, match="beside the classifier"):
        measure(head.parent, classifier=head)


def test_moments_travel_between_processes_in_files(tmp_path):
    parts = [moments(H[:, i], LABELS[i], K) for i in (slice(0, 15), slice(15, None))]
    for i, part in enumerate(parts):
        save_moments(tmp_path / f"{i}.npz", part)
    merged = merge(*(load_moments(tmp_path / f"{i}.npz") for i in range(2)))
    for x, y in zip(merged, merge(*parts), strict=True):
        np.testing.assert_array_equal(x, y)
    with pytest.raises(ValueError, match="2.npz', which does not exist"):
        load_moments(tmp_path / "2.npz")
    np.savez(tmp_path / "2.npz", counts=np.ones(3))
    (tmp_path / "0.npz").write_bytes((tmp_path / "1.npz").read_bytes()[:-30])
    for name in ("0.npz", "2.npz"):
        with pytest.raises(ValueError, match=f"a file that save_moments wrote, got .*{name}', damaged or of another kind"):
            load_moments(tmp_path / name)
