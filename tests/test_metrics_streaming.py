"""Moments of batches give the metrics of all samples in memory, in any order of merging, and with x64 off."""

import jax
import numpy as np
import pytest

from ufm import metrics as m
from ufm.metrics import streaming as s
from ufm.metrics.table import MEANINGS, summary

K, DIM = 4, 7
RNG = np.random.default_rng(0)
LABELS = RNG.permutation(np.repeat(np.arange(K), (60, 30, 20, 10)))
H = RNG.normal(size=(DIM, K))[:, LABELS] + 0.4 * RNG.normal(size=(DIM, LABELS.size)) + 5
W, B = RNG.normal(size=(K, DIM)), RNG.normal(size=K)
CUTS = (0, 7, 8, 50, 120)


def batches(features, labels=LABELS):
    return [(features[:, a:b], labels[a:b]) for a, b in zip(CUTS, CUTS[1:], strict=False)]


def streamed(features, labels=LABELS):
    state = None
    for part in batches(features, labels):
        state = s.moments(*part, K, samples_axis=1) if state is None else s.merge(state, s.moments(*part, K, samples_axis=1))
    return state


def values(state, features=H, **options):
    found = None
    for part, labels in batches(features):
        own = s.decide(state, W, part, labels, B, global_mean=options.get("global_mean", "samples"), samples_axis=1)
        found = own if found is None else s.merge_decisions(found, own)
    return {metric.name: metric.value for metric in summary(state, W, B, found, **options)}


@jax.jit
def in_memory(features):
    own = (features, LABELS, K)
    C, means = m.centred_means(*own), m.class_means(*own)
    pairs, log, minority = m.cosines(C), m.gnc2(C), np.array([False, False, True, True])
    return {
        "nc1": m.nc1(*own),
        "nc1_trace_ratio": m.nc1_trace_ratio(*own),
        "nc1_weak": m.nc1_weak(*own),
        "vci": m.vci(*own),
        "cdnv": m.cdnv(*own),
        "simplex_distance": m.simplex_distance(m.mean_gram(*own)),
        "orthogonal_distance": m.orthogonal_distance(m.mean_gram(*own, centred=False)),
        "equinorm": m.equinorm(C),
        "log_equinorm": m.log_equinorm(C).variance,
        "cosine_mean": pairs.mean,
        "cosine_std": pairs.variance**0.5,
        "equiangularity": m.equiangularity(C),
        "minority_cosine": m.cosines(C, minority).mean,
        "gnc2_distance": m.gnc2(C, "distance").mean,
        "gnc2_log": log.mean,
        "gnc2_log_std": log.variance**0.5,
        "gnc2_riesz_cov": m.gnc2(C, "riesz").cov,
        "numerical_rank": m.numerical_rank(C),
        "nuclear_rank": m.nuclear_rank(C),
        "stable_rank": m.stable_rank(C),
        "effective_rank": m.effective_rank(C),
        "W_simplex_distance": m.simplex_distance(W @ W.T),
        "W_orthogonal_distance": m.orthogonal_distance(W @ W.T),
        "W_equinorm": m.equinorm(W.T),
        "W_equiangularity": m.equiangularity(W.T),
        "nc3": m.nc3(W, *own),
        "nc3_orthogonal": m.orthogonal_distance(W @ means),
        "nc3_alignment": m.nc3_alignment(W, *own),
        "nc3_alignment_uncentred": m.nc3_alignment(W, *own, centred=False),
        "nc3_distance": m.nc3_distance(W, C),
        "gnc3": m.gnc3(W, C),
        "unc3_variance": m.unc3(W, C).variance,
        "unc3_dot_cov": m.unc3(W, C, "dot").cov,
        "bias_relation": m.bias_relation(W, m.overall_mean(*own), B),
        "nc4": m.nc4(W, *own, bias=B),
        "accuracy": ((W @ features + B[:, None]).argmax(0) == LABELS).mean(dtype=float),
        "nearest_mean_accuracy": (((features[:, None, :] - means[:, :, None]) ** 2).sum(0).argmin(0) == LABELS).mean(dtype=float),
        "cosine_margin": m.cosine_margins(W, *own).mean(),
    }


@pytest.fixture(scope="module")
def exact():
    return {name: float(value) for name, value in in_memory(H).items()}


def test_the_summary_of_batches_is_every_metric_in_memory(exact):
    found = values(streamed(H))
    assert set(found) == set(MEANINGS) == set(exact)
    for name, value in exact.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-10, atol=1e-14, err_msg=name)
    assert 0.05 < exact["nc4"] < 0.95 and 0.05 < exact["accuracy"] < 0.95


def test_float32_batches_lose_only_their_own_digits_and_x64_may_be_off(exact):
    single = H.astype(np.float32)
    double = {name: float(value) for name, value in in_memory(single.astype(float)).items()}
    with jax.enable_x64(False):
        found = values(streamed(single), single)
    for name, value in double.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-10, atol=1e-14, err_msg=name)
        np.testing.assert_allclose(found[name], exact[name], rtol=1e-4, err_msg=name)


def test_options_reach_the_metrics():
    state = streamed(H)
    found = values(state, global_mean="classes", exponent=2.0, ddof=1)
    own = (H, LABELS, K)
    C = m.centred_means(*own, global_mean="classes")
    expected = {
        "nc1": m.nc1(*own, global_mean="classes"),
        "cdnv": m.cdnv(*own, exponent=2.0, ddof=1),
        "equinorm": m.equinorm(C, ddof=1),
        "unc3_variance": m.unc3(W, C, ddof=1).variance,
        "nc3": m.nc3(W, *own, global_mean="classes"),
        "cosine_margin": m.cosine_margins(W, *own, global_mean="classes").mean(),
    }
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-10, err_msg=name)


def test_merging_is_associative_and_commutative_and_changes_neither():
    a, b, c, d = (s.moments(*part, K, samples_axis=1) for part in batches(H))
    before = [x.copy() for x in a]
    one = s.merge(s.merge(s.merge(a, b), c), d)
    for other in (s.merge(a, s.merge(b, s.merge(c, d))), s.merge(s.merge(d, b), s.merge(c, a)), s.moments(H, LABELS, K)):
        for x, y in zip(one, other, strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-12, atol=1e-12 * np.max(np.abs(x)))
    for x, y in zip(before, a, strict=True):
        np.testing.assert_array_equal(x, y)


def test_batches_that_lack_classes_and_long_batches_merge_exactly(monkeypatch):
    by_class = [s.moments(H[:, LABELS == k], LABELS[LABELS == k], K) for k in (2, 0, 3, 1)]
    merged = s.merge(s.merge(by_class[0], by_class[1]), s.merge(by_class[2], by_class[3]))
    whole = s.moments(H, LABELS, K)
    monkeypatch.setattr(s, "_CHUNK", 5 * DIM)
    for other in (merged, s.moments(H, LABELS, K)):
        for x, y in zip(whole, other, strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-12, atol=1e-12 * np.max(np.abs(x)))


def test_moments_are_means_and_sums_of_squares():
    state = streamed(H)
    means = np.stack([H[:, LABELS == k].mean(axis=1) for k in range(K)], axis=1)
    R = H - means[:, LABELS]
    np.testing.assert_allclose(state.means, means, rtol=1e-13)
    np.testing.assert_allclose(state.scatter, R @ R.T, rtol=1e-11)
    np.testing.assert_allclose(state.squares, [(R[:, LABELS == k] ** 2).sum() for k in range(K)], rtol=1e-12)
    assert state.counts.tolist() == [60, 30, 20, 10]


def test_a_multiplicity_stands_for_identical_samples():
    times = 1 + RNG.integers(0, 4, LABELS.size)
    repeated = s.moments(np.repeat(H, times, axis=1), np.repeat(LABELS, times), K)
    weighted = s.merge(*(s.moments(H[:, i], LABELS[i], K, times[i]) for i in (slice(0, 31), slice(31, None))))
    for x, y in zip(repeated, weighted, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-11, atol=1e-11 * np.max(np.abs(x)))
    one = s.decide(weighted, W, H, LABELS, B, times)
    all_of_them = s.decide(weighted, W, np.repeat(H, times, axis=1), np.repeat(LABELS, times), B)
    np.testing.assert_allclose(one, all_of_them, rtol=1e-12)


@pytest.mark.parametrize("noise", [0.0, 1e-7, 1e-3])
def test_a_large_common_offset_costs_no_digit(noise):
    features = (1000 + np.eye(DIM, K)[:, LABELS] + noise * RNG.normal(size=H.shape)).astype(np.float32)
    scatter = s.scatter_of(streamed(features))
    double = features.astype(float)
    found = m.variability.scatter_nc1(scatter), m.variability.scatter_cdnv(scatter)
    expected = m.nc1(double, LABELS, K), m.cdnv(double, LABELS, K)
    np.testing.assert_allclose(found, expected, rtol=1e-8)
    assert (float(found[0]) > 0) == (noise > 1e-6)  # below that float32 rounds the noise away


def test_nothing_of_the_callers_is_written_to():
    for order in ("C", "F"):
        features = np.array(H, order=order)
        s.decide(s.moments(features, LABELS, K), W, features, LABELS)
        np.testing.assert_array_equal(features, H)


def test_without_bias_or_classifier_or_second_pass_the_rest_remains():
    state = streamed(H)
    names = {metric.name for metric in summary(state)}
    assert "nc1" in names and not names & {"nc3", "nc4", "bias_relation", "W_equinorm"}
    assert {"nc3", "gnc3"} <= {metric.name for metric in summary(state, W)}
    ideal = {metric.name: metric.ideal for metric in summary(state, W)}
    assert ideal["cosine_mean"] == -1 / 3 and ideal["numerical_rank"] == 3 and ideal["nc1"] == 0


def test_the_ideal_column_is_what_a_collapsed_self_dual_simplex_measures():
    labels = np.repeat(np.arange(K), 3)
    U = np.linalg.qr(RNG.normal(size=(DIM, DIM)))[0][:, :K] @ (np.eye(K) - 1 / K)
    state = s.moments(U[:, labels], labels, K)
    found = s.decide(state, U.T, U[:, labels], labels)
    for metric in summary(state, U.T, np.zeros(K), found):
        np.testing.assert_allclose(metric.value, metric.ideal, rtol=1e-12, atol=1e-12, err_msg=metric.name)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: s.moments(H[0], LABELS, K), r"features must be floats of shape \(dim, samples\), got float64 \(120,\)"),
        (lambda: s.moments(H.astype(int), LABELS, K), r"features must be floats .* got int64"),
        (lambda: s.moments(H, LABELS[:5], K), r"labels must have shape \(120,\), got \(5,\)"),
        (lambda: s.moments(H, LABELS.astype(float), K), "labels must be whole numbers, got float64"),
        (lambda: s.moments(H, LABELS, 3), "labels must be from 0 to classes - 1 = 2, got 3"),
        (lambda: s.moments(H, LABELS - 1, K), "labels must be from 0 to classes - 1 = 3, got -1"),
        (lambda: s.moments(H, LABELS, 1), "classes must be a whole number of at least 2, got 1"),
        (lambda: s.moments(H, LABELS, K, 0 * LABELS), "multiplicity must be finite and above 0"),
        (lambda: s.merge(streamed(H), s.moments(H[:5], LABELS, K)), r"must share their shape \(d, K\), got \(7, 4\) and \(5, 4\)"),
        (lambda: s.scatter_of(s.moments(H, LABELS, 6)), "moments must be of every class, got no sample of class 4"),
        (lambda: s.scatter_of(streamed(H), "all"), "global_mean must be one of 'samples', 'classes', got 'all'"),
        (lambda: s.decide(streamed(H), W.T, H, LABELS), r"classifier must have shape \(4, 7\), got \(7, 4\)"),
        (lambda: s.decide(streamed(H), W, H[:5], LABELS), r"features must have shape \(7, 120\), got \(5, 120\)"),
        (lambda: s.decide(streamed(H), W, H, LABELS, B[:3]), r"bias must have shape \(4,\), got \(3,\)"),
        (lambda: summary(streamed(H), W.T), r"classifier must have shape \(4, 7\), got \(7, 4\)"),
        (lambda: summary(streamed(H), W, B[:2]), r"bias must have shape \(4,\), got \(2,\)"),
        (lambda: summary(streamed(H), ddof=4), "ddof must be below the number of classes and every class size, got 4 for 4 and 10"),
        (lambda: summary(streamed(H), exponent=-1.0), "exponent must be finite and above 0, got -1.0"),
    ],
)
def test_bad_arguments_are_refused_in_a_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_moments_and_summaries_show_themselves():
    state = streamed(H)
    found = summary(state, W)
    text, page = str(found), found._repr_html_()
    for metric in found:
        assert metric.name in text and metric.meaning in text and f"{metric.value:.5g}" in text
    assert page.startswith("<pre>") and "&lt;" not in text and "nc1" in page
    assert isinstance(found, tuple) and found == tuple(found)
    said = str(state)
    assert f"samples N: {state.counts.sum():g}" in said and f"dimension d: {state.means.shape[0]}" in said
    missing = str(state._replace(counts=np.append(state.counts, 0)))
    assert "1 without a sample so far" in missing
