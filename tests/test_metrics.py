"""Metrics against NumPy references from their definitions, exact cases, invariances, and defects seen elsewhere."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ufm
from ufm.metrics import (
    cdnv,
    class_means,
    general_orthogonal_distance,
    mean_gram,
    nc1,
    nc1_trace_ratio,
    nc3,
    nc3_alignment,
    nc4,
    numerical_rank,
    orthogonal_distance,
    simplex_distance,
)

COUNTS = (200, 100, 50, 50)
K = 4


def data(counts=COUNTS, dim=7, noise=0.3, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(counts)), counts)
    means = rng.standard_normal((dim, len(counts))) + 1
    features = means[:, labels] + noise * rng.standard_normal((dim, labels.size))
    order = rng.permutation(labels.size)
    return features[:, order], labels[order]


def random_matrix(rows, columns, seed=5):
    return np.random.default_rng(seed).standard_normal((rows, columns))


def collapsed(gram_root, dim=7, seed=7):
    """Features that sit on rotated columns of gram_root, with the class counts of `data`."""
    labels = data()[1]
    rotation = np.linalg.qr(random_matrix(dim, dim, seed))[0]
    return (rotation[:, : len(gram_root)] @ gram_root)[:, labels], labels


def simplex_gram(classes):
    return np.eye(classes) - np.ones((classes, classes)) / classes


def numpy_means(features, labels):
    return np.stack([features[:, labels == k].mean(axis=1) for k in range(labels.max() + 1)], axis=1)


def numpy_centred(features, labels, global_mean):
    means = numpy_means(features, labels)
    centre = features.mean(axis=1) if global_mean == "samples" else means.mean(axis=1)
    return means - centre[:, None]


def numpy_scatters(features, labels, global_mean):
    means, C = numpy_means(features, labels), numpy_centred(features, labels, global_mean)
    residuals = features - means[:, labels]
    return residuals @ residuals.T / labels.size, C @ C.T / C.shape[1]


def numpy_nc1(features, labels, global_mean="samples"):
    classes = labels.max() + 1
    if len(features) > classes:  # S_B^+ lives in the span of the means
        features = np.linalg.qr(numpy_centred(features, labels, global_mean))[0].T @ features
    S_W, S_B = numpy_scatters(features, labels, global_mean)
    rank = min(classes - 1, len(features))
    values, vectors = np.linalg.eigh(S_B)
    values, vectors = values[-rank:], vectors[:, -rank:]
    return np.trace(S_W @ (vectors / values) @ vectors.T) / classes


def numpy_cdnv(features, labels):
    means, total, pairs = numpy_means(features, labels), 0.0, 0
    v = [((features[:, labels == k] - means[:, [k]]) ** 2).sum() / (labels == k).sum() for k in range(means.shape[1])]
    for j in range(means.shape[1]):
        for k in range(j):
            total += (v[j] + v[k]) / (2 * ((means[:, j] - means[:, k]) ** 2).sum())
            pairs += 1
    return total / pairs


def normalised(x):
    return x / np.sqrt((x**2).sum())


def distance(a, b):
    return np.sqrt(((normalised(a) - normalised(b)) ** 2).sum())


def numpy_nc4(classifier, features, labels, bias):
    means, agreements = numpy_means(features, labels), 0
    for h in features.T:
        nearest = np.argmin([((h - m) ** 2).sum() for m in means.T])
        agreements += np.argmax(classifier @ h + bias) == nearest
    return agreements / labels.size


W = random_matrix(K, 7)
NOISY_BIAS = np.array([0.5, -1.0, 0.0, 1.5])
MEASURES = {
    "class_means": class_means,
    "nc1": nc1,
    "nc1 classes": functools.partial(nc1, global_mean="classes"),
    "nc1_trace_ratio": nc1_trace_ratio,
    "nc1_trace_ratio classes": functools.partial(nc1_trace_ratio, global_mean="classes"),
    "cdnv": cdnv,
    "mean_gram": mean_gram,
    "mean_gram classes": functools.partial(mean_gram, global_mean="classes"),
    "mean_gram uncentred": functools.partial(mean_gram, centred=False),
    "nc3": functools.partial(nc3, W),
    "nc3_alignment": functools.partial(nc3_alignment, W),
    "nc3_alignment uncentred": functools.partial(nc3_alignment, W, centred=False),
    "nc4": functools.partial(nc4, W, bias=NOISY_BIAS),
}
RATIOS = {name: MEASURES[name] for name in ("nc1", "nc1 classes", "nc1_trace_ratio", "cdnv")}


def all_measures(features, labels):
    return {name: measure(features, labels, K) for name, measure in MEASURES.items()}


every_measure = pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
every_ratio = pytest.mark.parametrize("measure", RATIOS.values(), ids=RATIOS)
both_global_means = pytest.mark.parametrize("global_mean", ["samples", "classes"])


# Definitions


def test_class_means_average_their_samples():
    features, labels = data()
    np.testing.assert_allclose(class_means(features, labels, K), numpy_means(features, labels), rtol=1e-13)


@both_global_means
@pytest.mark.parametrize("dim", [64, K - 1, 2])
def test_nc1_is_the_trace_of_within_times_inverse_between_over_classes(dim, global_mean):
    features, labels = data(dim=dim)
    expected = numpy_nc1(features, labels, global_mean)
    np.testing.assert_allclose(nc1(features, labels, K, global_mean=global_mean), expected, rtol=1e-11)


@both_global_means
def test_trace_ratio_is_within_over_between_class_variance(global_mean):
    features, labels = data()
    S_W, S_B = numpy_scatters(features, labels, global_mean)
    answer = nc1_trace_ratio(features, labels, K, global_mean=global_mean)
    np.testing.assert_allclose(answer, np.trace(S_W) / np.trace(S_B), rtol=1e-12)


def test_cdnv_is_the_mean_over_pairs():
    features, labels = data()
    np.testing.assert_allclose(cdnv(features, labels, K), numpy_cdnv(features, labels), rtol=1e-12)


def test_cdnv_divides_by_the_count_and_not_by_one_less():
    features, labels = np.array([[-2.0, -4.0, 2.0, 4.0]]), np.array([0, 0, 1, 1])
    np.testing.assert_allclose(cdnv(features, labels, 2), (1 + 1) / (2 * 6**2), rtol=1e-15)


@both_global_means
def test_mean_gram_is_the_gram_of_centred_means(global_mean):
    features, labels = data()
    C, means = numpy_centred(features, labels, global_mean), numpy_means(features, labels)
    answer = mean_gram(features, labels, K, global_mean=global_mean)
    np.testing.assert_allclose(answer, C.T @ C, rtol=1e-12)
    np.testing.assert_allclose(mean_gram(features, labels, K, centred=False), means.T @ means, rtol=1e-12)


def test_nc2_distances_compare_normalised_grams():
    gram = random_matrix(K, 9) @ random_matrix(K, 9).T
    s = np.array([3.0, 0.0, 1.0, 0.2])
    np.testing.assert_allclose(simplex_distance(gram), distance(gram, simplex_gram(K)), rtol=1e-13)
    np.testing.assert_allclose(orthogonal_distance(gram), distance(gram, np.eye(K)), rtol=1e-13)
    np.testing.assert_allclose(general_orthogonal_distance(gram, s.tolist()), distance(gram, np.diag(s)), rtol=1e-13)


@both_global_means
def test_nc3_measures_duality_to_the_simplex_and_alignment(global_mean):
    features, labels = data()
    C, means = numpy_centred(features, labels, global_mean), numpy_means(features, labels)
    duality = nc3(W, features, labels, K, global_mean=global_mean)
    np.testing.assert_allclose(duality, distance(W @ C, simplex_gram(K)), rtol=1e-12)
    alignment = nc3_alignment(W, features, labels, K, global_mean=global_mean)
    np.testing.assert_allclose(alignment, distance(W, C.T), rtol=1e-12)
    uncentred = nc3_alignment(W, features, labels, K, centred=False)
    np.testing.assert_allclose(uncentred, distance(W, means.T), rtol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_nc4_is_the_share_of_samples_classified_as_their_nearest_mean(seed):
    features, labels = data(noise=2.0, seed=seed)
    expected = numpy_nc4(W, features, labels, NOISY_BIAS)
    assert 0.05 < expected < 0.95
    np.testing.assert_allclose(nc4(W, features, labels, K, NOISY_BIAS), expected, rtol=1e-13)
    without = numpy_nc4(W, features, labels, 0)
    np.testing.assert_allclose(nc4(W, features, labels, K), without, rtol=1e-13)


def test_nc4_includes_the_bias():
    features, labels = np.array([[1.0, -1.0]]), np.array([0, 1])
    classifier = np.array([[1.0], [-1.0]])
    assert nc4(classifier, features, labels, 2) == 1
    assert nc4(classifier, features, labels, 2, np.array([3.0, 0.0])) == 0.5


@pytest.mark.parametrize("shape", [(8, 4), (4, 8)])
def test_numerical_rank_counts_singular_values_relative_to_the_largest(shape):
    matrix = random_matrix(*shape) @ np.diag(10.0 ** -np.arange(0, 3 * shape[1], 3))
    assert numerical_rank(1e-5 * matrix) == np.linalg.matrix_rank(1e-5 * matrix)
    s = np.linalg.svd(matrix, compute_uv=False)
    assert numerical_rank(matrix, 0.999 * s[2] / s[0]) == 3
    assert numerical_rank(matrix, 1.001 * s[2] / s[0]) == 2


def test_the_simplex_has_rank_one_less_than_its_classes():
    assert numerical_rank(simplex_gram(30)) == 29
    assert numerical_rank(jnp.asarray(simplex_gram(30), jnp.float32)) == 29
    assert numerical_rank(np.zeros((30, 30))) == 0


# Exact cases


@pytest.mark.parametrize("classes", [2, 10])
def test_distance_between_the_simplex_and_the_orthogonal_frame(classes):
    apart = np.sqrt(2 - 2 * np.sqrt((classes - 1) / classes))
    np.testing.assert_allclose(simplex_distance(simplex_gram(classes)), 0, atol=1e-15)
    np.testing.assert_allclose(simplex_distance(np.eye(classes)), apart, rtol=1e-14)
    np.testing.assert_allclose(orthogonal_distance(np.eye(classes)), 0, atol=1e-15)
    np.testing.assert_allclose(orthogonal_distance(simplex_gram(classes)), apart, rtol=1e-14)


def test_a_general_orthogonal_frame_of_equal_lengths_is_orthogonal():
    gram = random_matrix(K, 9) @ random_matrix(K, 9).T
    np.testing.assert_allclose(general_orthogonal_distance(gram, 3 * np.ones(K)), orthogonal_distance(gram), rtol=1e-14)
    s = np.array([4.0, 2.0, 1.0, 0.0])
    assert general_orthogonal_distance(7 * np.diag(s), s) == 0
    assert orthogonal_distance(np.diag(s)) > 0.3


def test_a_zero_gram_is_at_distance_one_of_every_frame():
    zero = np.zeros((K, K))
    np.testing.assert_allclose(simplex_distance(zero), 1, rtol=1e-14)
    np.testing.assert_allclose(orthogonal_distance(zero), 1, rtol=1e-14)
    np.testing.assert_allclose(general_orthogonal_distance(zero, np.arange(K)), 1, rtol=1e-14)
    assert general_orthogonal_distance(zero, np.zeros(K)) == 0


def test_centring_hides_the_difference_between_orthogonal_frame_and_simplex():
    (orthogonal, labels), (simplex, _) = collapsed(np.eye(K)), collapsed(simplex_gram(K))
    for features in (orthogonal, simplex):
        gram = mean_gram(features, labels, K, global_mean="classes")
        np.testing.assert_allclose(simplex_distance(gram), 0, atol=1e-14)
    np.testing.assert_allclose(orthogonal_distance(mean_gram(orthogonal, labels, K, centred=False)), 0, atol=1e-14)
    assert orthogonal_distance(mean_gram(simplex, labels, K, centred=False)) > 0.5


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_collapsed_self_dual_model_has_all_four_properties(dtype):
    features, labels = collapsed(simplex_gram(K))
    features = features.astype(dtype)
    classifier = 3 * numpy_means(features, labels).T
    for measure in RATIOS.values():
        assert measure(features, labels, K) == 0
    of_classes = {"global_mean": "classes"}
    distances = [
        simplex_distance(mean_gram(features, labels, K, **of_classes)),
        nc3(classifier, features, labels, K, **of_classes),
        nc3_alignment(classifier, features, labels, K, **of_classes),
    ]
    np.testing.assert_allclose(distances, 0, atol=20 * np.finfo(dtype).eps)
    assert nc4(classifier, features, labels, K) == 1


def test_the_orthogonal_model_without_bias_is_aligned_with_its_uncentred_means():
    features, labels = collapsed(2 * np.eye(K))
    classifier = numpy_means(features, labels).T
    np.testing.assert_allclose(nc3_alignment(classifier, features, labels, K, centred=False), 0, atol=1e-14)
    np.testing.assert_allclose(orthogonal_distance(classifier @ class_means(features, labels, K)), 0, atol=1e-14)
    assert nc3_alignment(classifier, features, labels, K) > 0.3


# Invariances


@every_measure
def test_no_metric_depends_on_the_order_of_samples(measure):
    features, labels = data()
    np.testing.assert_allclose(measure(features[:, ::-1], labels[::-1], K), measure(features, labels, K), rtol=1e-12)


@pytest.mark.parametrize("name", [name for name in MEASURES if name != "class_means"])
def test_rotating_features_and_classifier_together_changes_nothing(name):
    features, labels = data()
    rotation = np.linalg.qr(random_matrix(7, 7))[0]
    measure, rotated = MEASURES[name], MEASURES[name]
    if name.startswith(("nc3", "nc4")):
        rotated = functools.partial(measure.func, W @ rotation.T, **measure.keywords)
    np.testing.assert_allclose(rotated(rotation @ features, labels, K), measure(features, labels, K), rtol=1e-11)


@pytest.mark.parametrize("name", MEASURES)
def test_renaming_classes_permutes_or_changes_nothing(name):
    features, labels = data(noise=1.0)
    order = np.array([2, 0, 3, 1])
    measure = renamed = MEASURES[name]
    if name.startswith(("nc3", "nc4")):
        keywords = {key: x[np.argsort(order)] if key == "bias" else x for key, x in measure.keywords.items()}
        renamed = functools.partial(measure.func, W[np.argsort(order)], **keywords)
    answer = np.asarray(renamed(features, order[labels], K))
    if name == "class_means":
        answer = answer[:, order]
    if name.startswith("mean_gram"):
        answer = answer[order][:, order]
    np.testing.assert_allclose(answer, measure(features, labels, K), rtol=1e-11)


@every_ratio
def test_variability_does_not_depend_on_scale_or_a_common_shift(measure):
    features, labels = data()
    answer = measure(features, labels, K)
    np.testing.assert_allclose(measure(1e-200 * features, labels, K), answer, rtol=1e-12)
    np.testing.assert_allclose(measure(1e200 * features, labels, K), answer, rtol=1e-12)
    np.testing.assert_allclose(measure(features + 1e6, labels, K), answer, rtol=1e-7)


def test_nc1_does_not_change_under_linear_maps_when_means_span_the_space():
    features, labels = data(dim=K - 1)
    A = random_matrix(K - 1, K - 1) + 3 * np.eye(K - 1)
    np.testing.assert_allclose(nc1(A @ features, labels, K), nc1(features, labels, K), rtol=1e-11)
    assert abs(nc1_trace_ratio(A @ features, labels, K) / nc1_trace_ratio(features, labels, K) - 1) > 1e-2


def test_nc1_is_blind_outside_the_span_of_the_means_and_the_trace_ratio_is_not():
    features, labels = data()
    noise = random_matrix(2, labels.size)
    noise -= numpy_means(noise, labels)[:, labels]
    features[5:], wider = 0, np.concatenate([features[:5], noise])
    np.testing.assert_allclose(nc1(wider, labels, K), nc1(features, labels, K), rtol=1e-11)
    assert nc1_trace_ratio(wider, labels, K) > 1.5 * nc1_trace_ratio(features, labels, K)


@every_measure
def test_a_multiplicity_stands_for_identical_samples(measure):
    features, labels = data(counts=(5, 4, 2, 2), noise=1.0)
    multiplicity = 1 + np.random.default_rng(3).multinomial(sum(COUNTS) - 13, np.ones(13) / 13)
    repeated = measure(np.repeat(features, multiplicity, axis=1), np.repeat(labels, multiplicity), K)
    np.testing.assert_allclose(measure(features, labels, K, multiplicity=multiplicity), repeated, rtol=1e-11)
    scaled = measure(features, labels, K, multiplicity=1e12 * multiplicity)
    np.testing.assert_allclose(scaled, repeated, rtol=1e-11)


# The two global means


@pytest.mark.parametrize("name", ["nc1", "nc1_trace_ratio", "mean_gram", "nc3", "nc3_alignment"])
def test_the_two_global_means_differ_exactly_under_imbalance(name):
    measure = MEASURES[name]
    for counts, differ in (((100, 100, 100, 100), False), (COUNTS, True)):
        features, labels = data(counts=counts)
        of_samples = np.asarray(measure(features, labels, K, global_mean="samples"))
        of_classes = np.asarray(measure(features, labels, K, global_mean="classes"))
        assert (np.abs(of_samples / of_classes - 1).max() > 1e-3) == differ


def test_a_simplex_of_imbalanced_classes_is_one_only_about_the_mean_of_classes():
    features, labels = collapsed(simplex_gram(K))
    of_classes = simplex_distance(mean_gram(features, labels, K, global_mean="classes"))
    np.testing.assert_allclose(of_classes, 0, atol=1e-14)
    assert simplex_distance(mean_gram(features, labels, K, global_mean="samples")) > 0.1


# Degenerate means


@every_ratio
def test_equal_means_give_infinity_with_variability_and_zero_without(measure):
    labels = np.repeat(np.arange(K), COUNTS)
    spread = np.ones((7, 1)) * (-1.0) ** np.arange(labels.size)
    assert measure(spread, labels, K) == np.inf
    assert measure((spread + 100).astype(np.float32), labels, K) == np.inf
    assert measure(0 * spread, labels, K) == 0
    assert measure(0.1 * spread**2, labels, K) == 0


def test_nc1_uses_the_rank_that_dead_classes_leave():
    features, labels = data()
    dead = features * (labels < 2)[None, :]
    means = numpy_centred(dead, labels, "samples")
    S_W = numpy_scatters(dead, labels, "samples")[0]
    expected = np.trace(S_W @ np.linalg.pinv(means @ means.T, rcond=1e-10))
    np.testing.assert_allclose(nc1(dead, labels, K), expected, rtol=1e-11)
    np.testing.assert_allclose(nc1(dead.astype(np.float32), labels, K), expected, rtol=1e-5)
    # Two equal means with no variability do not spoil the pairs that are apart.
    assert np.isfinite(cdnv(dead, labels, K))


# Precision


@pytest.mark.parametrize("seed", range(3))
def test_fully_collapsed_float32_features_have_tiny_nonnegative_nc1(seed):
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(10), 100)
    means = normalised(rng.standard_normal((512, 10))) * 10**0.5
    features = (means[:, labels] + 1e-7 * rng.standard_normal((512, 1000))).astype(np.float32)
    for measure, reference in ((nc1, numpy_nc1), (cdnv, numpy_cdnv)):
        answer = measure(features, labels, 10)
        assert answer.dtype == jnp.float32
        assert 0 <= answer < 1e-11
        np.testing.assert_allclose(answer, reference(features.astype(np.float64), labels), rtol=1e-2)


def test_nc1_of_float32_features_agrees_with_float64():
    features, labels = data(counts=(100,) * 10, dim=512, noise=0.3)
    single = nc1(features.astype(np.float32), labels, 10)
    np.testing.assert_allclose(single, numpy_nc1(features, labels), rtol=1e-5)


def test_nc1_stays_positive_where_a_float32_pseudo_inverse_of_the_scatter_does_not():
    features, labels = data(counts=(100,) * 10, dim=64, noise=1e-3)
    offset = features.astype(np.float32) + np.float32(10)
    exact = numpy_nc1(offset.astype(np.float64), labels)
    np.testing.assert_allclose(nc1(offset, labels, 10), exact, rtol=1e-3)
    S_W, S_B = (S.astype(np.float32) for S in numpy_scatters(offset, labels, "samples"))
    naive = np.trace(S_W @ np.linalg.pinv(S_B, rcond=1e-15)) / 10
    assert abs(naive / exact - 1) > 1


@every_measure
def test_the_answer_has_the_dtype_of_the_features(measure):
    features, labels = data()
    single = jnp.asarray(features, jnp.float32)
    if isinstance(measure, functools.partial):
        arrays = [x.astype(np.float32) for x in measure.args]
        keywords = {k: x.astype(np.float32) if k == "bias" else x for k, x in measure.keywords.items()}
        measure = functools.partial(measure.func, *arrays, **keywords)
    for multiplicity in (None, np.ones(labels.size), [1] * labels.size):
        answer = measure(single, labels.tolist(), K, multiplicity=multiplicity)
        assert answer.dtype == jnp.float32
        np.testing.assert_allclose(answer, measure(features, labels, K), rtol=2e-5, atol=1e-5)


def test_distances_and_rank_keep_float32():
    gram = jnp.asarray(simplex_gram(K), jnp.float32)
    for answer in (simplex_distance(gram), orthogonal_distance(gram), general_orthogonal_distance(gram, np.ones(K))):
        assert answer.dtype == jnp.float32
    np.testing.assert_allclose(simplex_distance(gram * jnp.float32(1e-30)), 0, atol=1e-6)
    np.testing.assert_allclose(simplex_distance(gram * jnp.float32(1e30)), 0, atol=1e-6)


@every_measure
def test_no_metric_overwrites_its_samples(measure):
    features, labels = data()
    before = features.copy()
    measure(features, labels, K)
    np.testing.assert_array_equal(features, before)


# Transformations


def test_metrics_jit_and_vmap_to_the_same_numbers():
    batch = [data(noise=1.0, seed=seed) for seed in range(3)]
    features, labels = (jnp.stack([jnp.asarray(x) for x in xs]) for xs in zip(*batch, strict=True))
    answers = jax.jit(jax.vmap(all_measures))(features, labels)
    for name, measure in MEASURES.items():
        one_by_one = [measure(h, y, K) for h, y in batch]
        np.testing.assert_allclose(answers[name], one_by_one, rtol=1e-11, err_msg=name)


def test_under_jit_bad_labels_give_nan_and_never_a_number():
    labels = jnp.array([[0, 0, 1, 2, 1], [0, 1, 2, 4, 3], [0, 1, 2, -1, 3]])
    answers = jax.jit(jax.vmap(all_measures, (None, 0)))(random_matrix(7, 5), labels)
    for name, answer in answers.items():
        assert np.isnan(np.asarray(answer).reshape(3, -1)).any(axis=1).all(), name


def test_slopes_are_right_at_a_simplex_whose_singular_values_coincide():
    features, labels = collapsed(simplex_gram(K))
    residuals = random_matrix(*features.shape)
    features += 0.1 * (residuals - numpy_means(residuals, labels)[:, labels])
    direction = random_matrix(*features.shape, seed=9) + random_matrix(7, K, seed=8)[:, labels]
    slopes = jax.jit(lambda h, v: jax.jvp(lambda h: all_measures(h, labels), (h,), (v,))[1])(features, direction)
    for name, measure in MEASURES.items():
        ahead, behind = (measure(features + step * direction, labels, K) for step in (1e-5, -1e-5))
        slope = 0 if name == "nc4" else (ahead - behind) / 2e-5
        np.testing.assert_allclose(slopes[name], slope, rtol=1e-6, atol=1e-6, err_msg=name)
    gradient = jax.grad(lambda h: nc1(h, labels, K))(features)
    np.testing.assert_allclose(np.sum(gradient * direction), slopes["nc1"], rtol=1e-10)


# Refusals

H, Y = data(counts=(2, 2, 2, 2))


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: nc1(H, Y, 3), "labels must be from 0 to classes - 1 = 2, got 3"),
        (lambda: nc1(H, Y - 1, K), "labels must be from 0 to classes - 1 = 3, got -1"),
        (lambda: nc1(H, Y, 5), "labels must contain every class, got no sample of class 4"),
        (lambda: cdnv(H, Y, 1), "classes must be a whole number of at least 2, got 1"),
        (lambda: cdnv(H, Y.astype(float), K), "labels must be whole numbers, got float64"),
        (lambda: class_means(H, Y[:3], K), r"labels must have shape \(8,\), got \(3,\)"),
        (lambda: class_means(H.astype(int), Y, K), r"features must be floats of shape \(dim, samples\), got int64"),
        (lambda: class_means(H[0], Y, K), r"features must be floats .* got float64 \(8,\)"),
        (lambda: class_means(H, Y, K, np.zeros(8)), "multiplicity must be finite and above 0, got"),
        (lambda: class_means(H, Y, K, np.ones(3)), r"multiplicity must have shape \(8,\), got \(3,\)"),
        (lambda: nc1(H, Y, K, global_mean="all"), "global_mean must be one of 'samples', 'classes', got 'all'"),
        (lambda: mean_gram(H, Y, K, global_mean="all"), "global_mean must be one of 'samples', 'classes', got 'all'"),
        (lambda: nc3(W.T, H, Y, K), r"classifier must have shape \(4, 7\), got \(7, 4\)"),
        (lambda: nc3_alignment(W.T, H, Y, K), r"classifier must have shape \(4, 7\), got \(7, 4\)"),
        (lambda: nc4(W.T, H, Y, K), r"classifier must have shape \(4, 7\), got \(7, 4\)"),
        (lambda: nc4(W, H, Y, K, np.ones(3)), r"bias must have shape \(4,\), got \(3,\)"),
        (lambda: simplex_distance(W), r"gram must be floats of shape \(K, K\) with K at least 2, got float64 \(4, 7\)"),
        (lambda: orthogonal_distance(np.ones((1, 1))), r"gram must be floats .* got float64 \(1, 1\)"),
        (lambda: general_orthogonal_distance(np.eye(3), np.ones(2)), r"norms_squared must have shape \(3,\), got"),
        (lambda: general_orthogonal_distance(np.eye(2), [1.0, -1.0]), "norms_squared must be finite and at least 0"),
        (lambda: orthogonal_distance(np.eye(3, dtype=int)), r"gram must be floats .* got int64 \(3, 3\)"),
        (lambda: numerical_rank(np.ones(3)), r"matrix must be floats of shape \(a, b\), got float64 \(3,\)"),
        (lambda: numerical_rank(np.eye(3, dtype=int)), r"matrix must be floats .* got int64 \(3, 3\)"),
        (lambda: numerical_rank(np.eye(3), -1.0), "tolerance must be finite and at least 0, got -1.0"),
    ],
)
def test_bad_arguments_are_refused_in_a_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_point_of_a_problem_has_the_metrics_of_its_samples():
    rng = np.random.default_rng(3)
    problem = ufm.Problem.imbalanced((4, 2, 3), (5, 4), l2_W=1e-2, l2_H=1e-2)
    point = ufm.initialize(problem, jax.random.key(1))
    found = jax.jit(ufm.metrics.collapse)(problem, point)
    H, W = point.H, point.weights[1] @ point.weights[0]
    sample = (H, problem.labels, 3)
    expected = {
        "NC1": ufm.metrics.nc1_trace_ratio(*sample),
        "NC2": ufm.metrics.simplex_distance(ufm.metrics.mean_gram(*sample)),
        "NC2'": ufm.metrics.orthogonal_distance(ufm.metrics.mean_gram(*sample, centred=False)),
        "NC3": ufm.metrics.nc3(W, *sample),
    }
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-12, err_msg=name)
    merged = problem.collapsed()
    H = rng.standard_normal((5, 3))
    tight = ufm.metrics.collapse(merged, point._replace(H=jnp.asarray(H) * jnp.sqrt(merged.multiplicity)[None, :]))
    assert tight["NC1"] == 0
    many = point._replace(H=jnp.asarray(H)[:, problem.labels])
    np.testing.assert_allclose(tight["NC2"], ufm.metrics.collapse(problem, many)["NC2"], rtol=1e-12)
    with pytest.raises(ValueError, match="problem must be of one run of columns a class, 3 in all"):
        soft = jnp.full((3, 4), 1 / 3).at[0, 0].add(0.1)
        other = ufm.Problem.from_targets(soft, 5, l2_W=1e-2, l2_H=1e-2)
        ufm.metrics.collapse(other, ufm.initialize(other, jax.random.key(0)))
