"""Features from files, the proximity model next to them, the effective ridge, and the report: against solvers and closed forms."""

import argparse
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ufm
from ufm.cli.perturb import add_arguments, run
from ufm.features.given import check_features, collapse, load_features
from ufm.features.last_layer import NoRidge, compare, effective_ridge
from ufm.features.perturbation import perturb
from ufm.features.proximity_fit import fit_beta, movement
from ufm.features.proximity_model import curvature, near_collapse_factor, proximity
from ufm.metrics import nc1_trace_ratio
from ufm.problem.params import Params, gradient_norm, objective

K, n, d = 3, 4, 5
LABELS = np.tile(np.arange(K), n)
PLAIN = {"l2_W": 0.05, "l2_H": 0.01}


def features(seed=0, noise=0.3, labels=LABELS):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(d, K))[:, labels] + noise * rng.normal(size=(d, labels.size))


def trace_ratio(H, labels=LABELS):
    return float(nc1_trace_ratio(jnp.asarray(H), labels, K))


def problem_at(H0, beta, labels=LABELS):
    return ufm.Problem.from_targets(np.eye(K)[:, labels], d, **PLAIN, beta=beta, H0=H0)


@pytest.mark.parametrize("labels", [LABELS, np.array([0] * 6 + [2, 1, 2, 1, 2, 2])], ids=["balanced", "imbalanced"])
@pytest.mark.parametrize("beta", [0.003, 0.1, 10.0])
def test_the_minimiser_is_the_one_that_lbfgs_finds_over_all_factors_from_the_features(labels, beta):
    H0 = features(labels=labels)
    found = proximity(H0, labels, **PLAIN, beta=beta)
    problem, point = problem_at(H0, beta, labels), Params((found.W,), found.H, None)
    assert float(gradient_norm(problem, point)) == pytest.approx(found.gradient_norm, abs=1e-12) and found.gradient_norm < 1e-9
    start = proximity(H0, labels, **PLAIN, beta=1e9)  # the given features and their ridge regression
    solution = ufm.solve(problem, Params((start.W,), jnp.asarray(H0), None), tolerance=1e-11)
    assert float(objective(problem, point)) == pytest.approx(float(solution.value), rel=1e-10)
    np.testing.assert_allclose(found.H, solution.params.H, atol=1e-7)


def test_a_collapsed_minimum_is_its_own_minimiser_at_every_beta():
    problem = ufm.Problem.balanced(K, n, d, **PLAIN)
    labels, H = problem.labels, np.asarray(ufm.predict(problem).params.H)
    for beta in (0.01, 1.0, 100.0):
        np.testing.assert_allclose(proximity(H, labels, **PLAIN, beta=beta).H, H, atol=1e-8)


def test_variability_decreases_where_beta_is_large_and_uniqueness_has_a_threshold():
    for seed in range(5):
        H0 = features(seed, noise=1.0)
        beta = (0.5 / (K * PLAIN["l2_W"])) / LABELS.size - PLAIN["l2_H"] + 1e-6
        assert trace_ratio(proximity(H0, LABELS, **PLAIN, beta=beta).H) < trace_ratio(H0)
    threshold = 1 / (K * PLAIN["l2_W"]) / LABELS.size - PLAIN["l2_H"]
    assert [proximity(H0, LABELS, **PLAIN, beta=f * threshold).unique for f in (0.99, 1.01)] == [False, True]


def attenuation(beta, factor):
    """Measured over predicted attenuation of tr S_W / tr S_B around the collapsed minimum, averaged over the sign."""
    problem = ufm.Problem.balanced(K, n, d, **PLAIN)
    H, labels = np.asarray(ufm.predict(problem).params.H), problem.labels
    noise = 1e-3 * np.random.default_rng(3).normal(size=H.shape)
    pairs = [(H + sign * noise, proximity(H + sign * noise, labels, **PLAIN, beta=beta).H) for sign in (1, -1)]
    measured = np.mean([trace_ratio(after, labels) / trace_ratio(before, labels) for before, after in pairs])
    return measured / np.mean([factor(before, labels) for before, _ in pairs])


@pytest.mark.parametrize("beta", [0.01, 0.05, 1.0])
def test_near_collapse_variability_is_attenuated_as_predicted(beta):
    def factor(H0, labels, l2_H=PLAIN["l2_H"]):
        return near_collapse_factor(H0, labels, PLAIN["l2_W"], l2_H, beta)

    assert attenuation(beta, factor) == pytest.approx(1, abs=3e-5)
    if beta < 1:
        assert abs(attenuation(beta, lambda H, labels: factor(H, labels, 1.001 * PLAIN["l2_H"])) - 1) > 1e-4


def test_movement_sees_neither_rotation_nor_scale_nor_width():
    rng = np.random.default_rng(0)
    H0, H1 = features(0), features(1)
    Q = np.linalg.qr(rng.normal(size=(9, d)))[0]
    assert movement(H0, 3 * Q @ H0) == pytest.approx(0, abs=1e-7)
    assert movement(2 * Q @ H0, H1) == pytest.approx(movement(H0, H1), rel=1e-12)
    rotations = (np.linalg.qr(rng.normal(size=(d, d)))[0] for _ in range(200))
    unit = (H0 / np.linalg.norm(H0), H1 / np.linalg.norm(H1))
    assert min(np.linalg.norm(R @ unit[1] - unit[0]) for R in rotations) >= movement(H0, H1) > 0.1


@pytest.mark.parametrize("beta", [0.002, 0.02, 2.0])
def test_fitted_beta_is_the_one_that_moved_the_features(beta):
    H0 = features()
    Q = np.linalg.qr(np.random.default_rng(1).normal(size=(d + 2, d)))[0]
    fitted, matched = fit_beta(H0, 0.1 * Q @ proximity(H0, LABELS, **PLAIN, beta=beta).H, LABELS, **PLAIN)
    assert matched and fitted == pytest.approx(beta, rel=1e-4)


def test_features_too_far_for_every_beta_say_so():
    s = curvature(LABELS, **PLAIN) / LABELS.size
    fitted, matched = fit_beta(features(), np.random.default_rng(5).normal(size=(d, LABELS.size)), LABELS, **PLAIN)
    assert not matched and fitted == pytest.approx(s * np.exp(-12))


MINIMA = {
    "mse": {"loss": "mse", "bias": "none"},
    "mse, free bias": {"loss": "mse", "bias": "free"},
    "mse, ridge bias": {"loss": "mse", "bias": "ridge", "l2_b": 0.05},
    "ce": {"loss": "ce", "bias": "none"},
}


@pytest.mark.parametrize("choices", MINIMA.values(), ids=MINIMA.keys())
@pytest.mark.parametrize("counts", [(4, 4, 4), (6, 4, 2)])
def test_the_ridges_of_a_minimum_are_found_and_give_that_minimum_back(choices, counts):
    ridges = {"l2_W": 0.01, "l2_H": 0.004}
    problem = ufm.Problem.imbalanced(counts, d, **ridges, **choices)
    point = ufm.solve(problem, ufm.initialize(problem, jax.random.key(0)), tolerance=1e-12).params
    own = check_features(point.H, problem.labels, point.weights[0], point.b)
    ridge = effective_ridge(own, choices["loss"])
    found = (ridge.l2_W, ridge.l2_H, ridge.l2_b)
    np.testing.assert_allclose(found, (0.01, 0.004, choices.get("l2_b", 0)), rtol=1e-6, atol=1e-8)
    assert max(ridge.residual_W, ridge.residual_H) < 1e-6
    assert (effective_ridge(own, choices["loss"], l2_W=0.01).l2_H, effective_ridge(own, choices["loss"], l2_H=0.004).l2_W) == (
        pytest.approx(0.004, rel=1e-6),
        pytest.approx(0.01, rel=1e-6),
    )
    wrong = effective_ridge(own, choices["loss"], l2_W=0.01001)
    assert wrong.residual_W > 5e-4 and wrong.residual_H > 5e-4
    assert ridge.bias == problem.bias
    c = compare(own, ridge, choices["loss"])
    assert c.value == pytest.approx(c.minimum, rel=1e-8)
    assert (c.cosine_means, c.cosine_W, c.ratio_means, c.ratio_W, 1 + c.logits) == pytest.approx((1,) * 5, abs=1e-5)


def test_a_classifier_that_no_ridge_fits_is_refused():
    H = features()
    W = 5 * np.linalg.pinv(H @ np.eye(K)[LABELS] / n)
    with pytest.raises(NoRidge, match="no positive ridge fits W"):
        effective_ridge(check_features(H, LABELS, W))
    with pytest.raises(ValueError, match="W must be given"):
        effective_ridge(check_features(H, LABELS))


def test_collapse_without_a_classifier_is_that_of_the_ridge_regression():
    H = features()
    Y = np.eye(K)[:, LABELS]
    W = Y @ H.T @ np.linalg.inv(H @ H.T + LABELS.size * 0.02 * np.eye(d))
    assert collapse(H, LABELS, ridge=0.02) == pytest.approx(collapse(H, LABELS, W), rel=1e-9)
    means = np.stack([H[:, LABELS == k].mean(1) for k in range(K)], 1)
    within, between = np.sum((H - means[:, LABELS]) ** 2) / LABELS.size, np.sum((means - means.mean(1, keepdims=True)) ** 2) / K
    assert collapse(H, LABELS).nc1_trace_ratio == pytest.approx(within / between, rel=1e-12)


GOOD = {"H": features(), "labels": LABELS}
BROKEN = [
    ({"labels": None}, "must hold H and labels"),
    ({"H": features().T}, r"H must have samples as columns, shape \(d, 12\), got \(12, 5\): transpose it"),
    ({"H": features()[:, :7]}, r"H must have shape \(d, 12\), a column for each of the 12 labels, got \(5, 7\)"),
    ({"H": features()[0]}, "H must have shape"),
    ({"H": np.where(np.arange(12) == 3, np.nan, features())}, "H must be finite, got 5 NaN or infinite"),
    ({"H": features() + 1j}, "H must be real numbers, got complex128"),
    ({"H": np.array([[object()] * 12])}, "H must be an array of numbers, got Python objects"),
    ({"H": np.zeros((d, 12))}, "H must not be all zero"),
    ({"labels": LABELS + 0.5}, "labels must be whole numbers"),
    ({"labels": np.where(LABELS == 0, np.nan, LABELS)}, "labels must be whole numbers"),
    ({"labels": LABELS.astype(str)}, "labels must be whole numbers"),
    ({"labels": LABELS - 1}, "labels must be from 0 to K - 1, got -1 to 1"),
    ({"labels": LABELS + 100}, "labels must be from 0 to K - 1, got 100 to 102"),
    ({"labels": np.where(LABELS == 1, 3, LABELS)}, "labels must leave out no class from 0 to 3, got no sample of class 1"),
    ({"labels": np.where(np.arange(12) == 0, 3, LABELS)}, "labels must have at least 2 samples of each class, got 1 of class 3"),
    ({"labels": 0 * LABELS}, "labels must name at least 2 classes"),
    ({"labels": LABELS[None]}, r"labels must have shape \(N,\), got \(1, 12\)"),
    ({"W": np.ones((d, K))}, r"W must have shape \(3, 5\), got \(5, 3\)"),
    ({"W": np.zeros((K, d))}, "W must not be all zero"),
    ({"b": np.zeros(K)}, "b must come with W"),
    ({"W": np.ones((K, d)), "b": np.zeros(4)}, r"b must have shape \(3,\)"),
    ({"H0": features()[:, :5]}, r"H0 must have shape \(d, 12\)"),
]


@pytest.mark.parametrize(("change", "message"), BROKEN, ids=[message[:40] for _, message in BROKEN])
def test_broken_features_are_refused_in_a_sentence(tmp_path, change, message):
    file = tmp_path / "f.npz"
    np.savez(file, **{name: x for name, x in (GOOD | change).items() if x is not None})
    with pytest.raises(ValueError, match=message):
        load_features(file)


def test_files_of_another_kind_are_refused(tmp_path):
    np.savez(tmp_path / "good.npz", **GOOD)
    good = (tmp_path / "good.npz").read_bytes()
    bad = {"text": b"H = 1", "empty": b"", "cut": good[:-40], "flipped": good.replace(GOOD["H"].tobytes()[:64], bytes(64))}
    for name, content in bad.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match="must be in a .npz file, got .*damaged or of another kind"):
            load_features(tmp_path / name)
    np.save(tmp_path / "single.npy", GOOD["H"])
    for name, message in {"single.npy": "a single array", "absent": "does not exist", ".": "[Ii]s a directory"}.items():
        with pytest.raises(ValueError, match=message):
            load_features(tmp_path / name)


def test_integer_labels_in_floats_are_fine(tmp_path):
    np.savez(tmp_path / "f.npz", H=GOOD["H"].astype(np.float32), labels=LABELS.astype(float))
    loaded = load_features(tmp_path / "f.npz")
    assert loaded.labels.dtype == np.int64 and loaded.H.dtype == np.float64 and loaded.classes == K


@pytest.fixture(scope="module")
def layer_file(tmp_path_factory):
    """A layer that really is the proximity minimiser next to the one before, rotated, and a classifier near its own."""
    H0 = features(noise=0.5)
    moved = proximity(H0, LABELS, **PLAIN, beta=0.02)
    Q = np.linalg.qr(np.random.default_rng(2).normal(size=(d + 1, d)))[0]
    file = tmp_path_factory.mktemp("layer") / "f.npz"
    np.savez(file, H0=H0, H=Q @ moved.H, labels=LABELS, W=moved.W @ Q.T)
    return file


def test_the_model_predicts_the_collapse_of_a_layer_that_follows_it(layer_file):
    report = perturb(layer_file, **PLAIN)
    (step,) = report.transitions
    assert step.matched and step.beta == pytest.approx(0.02, rel=1e-4)
    assert step.predicted == pytest.approx(step.nc1_next, rel=1e-4) and step.nc1_next < 0.9 * step.nc1
    assert "factor 1.00" in report.summary


def test_the_command_prints_the_report_and_writes_its_numbers(layer_file, tmp_path, capsys):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    file = tmp_path / "out.json"
    assert run(parser.parse_args(["--features", str(layer_file), "--json", str(file)])) == 0
    printed, numbers = capsys.readouterr().out, json.loads(file.read_text())
    assert "Effective ridge" in printed and "NC1 of the next layer is predicted" in printed
    assert numbers["transitions"][0]["layer"] == "H0" and numbers["ridge"]["bias"] == "none"
    assert numbers["comparison"]["source"] == "mse-balanced-deep"
    (step,) = numbers["transitions"]
    assert numbers["ridge"]["c"] == pytest.approx(6 * (step["l2_W"] * step["l2_H"]) ** 0.5, rel=1e-9)
    with pytest.raises(ValueError, match="--json must name a file that can be written"):
        run(parser.parse_args(["--json", str(tmp_path / "no" / "out.json")]))
    with pytest.raises(ValueError, match="beta must be finite and above 0"):
        run(parser.parse_args(["--features", str(layer_file), "--beta", "-1"]))


def test_a_single_layer_without_a_classifier_is_taken_as_far_as_it_goes():
    own = check_features(**GOOD)
    assert not perturb(own).transitions and "both l2_W and l2_H" in perturb(own).notes[0]
    steps = perturb(own, **PLAIN).transitions
    assert [round(step.strength, 9) for step in steps] == [10, 1, 0.1]
    assert steps[0].nc1 > steps[0].predicted > steps[1].predicted > steps[2].predicted
    (step,) = perturb(own, **PLAIN, beta=0.3).transitions
    assert (step.beta, step.matched, step.nc1_next) == (0.3, None, None)
    assert "no next layer" in str(perturb(own, **PLAIN))


def test_a_trained_network_is_compared_layer_by_layer(tmp_path):
    pytest.importorskip("sklearn")
    pytest.importorskip("flax")
    report = perturb(epochs=3, store=tmp_path, beta=1e-4)
    assert [step.following for step in report.transitions] == [f"hidden {i}" for i in range(1, 6)]
    assert {x.epoch for x in report.layers} == {0, 1, 3} and len(report.layers) == 18 and len(list(tmp_path.iterdir())) == 1
    assert all(step.gradient_norm < 1e-9 for step in report.transitions)
    assert "epoch by epoch" in str(report) and report.comparison.source == "mse-balanced-deep"
