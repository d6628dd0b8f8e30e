"""The other forms of the metrics: against NumPy references, ideal values, and the defects of peers, each a test for us."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ufm import metrics as m

K, DIM = 5, 9
COUNTS = (40, 25, 20, 12, 8)
LABELS = np.repeat(np.arange(K), COUNTS)
SHARE = np.sqrt(2 - 2 * np.sqrt(1 - 1 / K))


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def data(noise=0.4, seed=0, dim=DIM):
    return normal(dim, K, seed=seed)[:, LABELS] + 0.7 + noise * normal(dim, LABELS.size, seed=seed + 100)


def simplex(classes=K, dim=DIM, seed=3):
    frame = np.linalg.qr(normal(dim, dim, seed=seed))[0][:, :classes]
    return frame @ (np.eye(classes) - 1 / classes) * np.sqrt(classes / (classes - 1))


def collapsed(noise, offset, dtype=np.float32, dim=32):
    """Features at a simplex of unit vectors with a large common offset, as a float32 run would save them."""
    labels = np.repeat(np.arange(K), 30)
    return (offset + simplex(dim=dim)[:, labels] + noise * normal(dim, labels.size, seed=8)).astype(dtype), labels


def scatters(H, labels=LABELS, global_mean="samples"):
    means = np.stack([H[:, labels == k].mean(axis=1) for k in range(K)], axis=1)
    g = H.mean(axis=1) if global_mean == "samples" else means.mean(axis=1)
    C, R = means - g[:, None], H - means[:, labels]
    return R @ R.T / labels.size, C @ C.T / K, C, means


def pairs(vectors, function):
    return np.array([function(vectors[:, j], vectors[:, k]) for j in range(vectors.shape[1]) for k in range(j)])


def cos(a, b):
    return a @ b / np.sqrt((a @ a) * (b @ b))


W = normal(K, DIM, seed=5)
H = data()
S_W, S_B, C, MEANS = scatters(H)


# Definitions


@pytest.mark.parametrize("global_mean", ["samples", "classes"])
def test_the_weak_form_and_vci_are_their_traces(global_mean):
    within, between, *_ = scatters(H, global_mean=global_mean)
    weak = m.nc1_weak(H, LABELS, K, global_mean=global_mean)
    np.testing.assert_allclose(weak, np.trace(within) / np.trace(within + between), rtol=1e-12)
    expected = 1 - np.trace(np.linalg.inv(within + between) @ between) / (K - 1)
    np.testing.assert_allclose(m.vci(H, LABELS, K, global_mean=global_mean), expected, rtol=1e-11)


def test_vci_divides_by_what_the_dimension_allows_and_is_one_without_means():
    flat = data(dim=3)
    within, between, *_ = scatters(flat)
    expected = 1 - np.trace(np.linalg.inv(within + between) @ between) / 3
    np.testing.assert_allclose(m.vci(flat, LABELS, K), expected, rtol=1e-11)
    dead = H * (LABELS < 3)[None, :]
    within, between, *_ = scatters(dead)
    expected = 1 - np.trace(np.linalg.pinv(within + between, rcond=1e-10) @ between) / (K - 1)
    np.testing.assert_allclose(m.vci(dead, LABELS, K), expected, rtol=1e-10)
    assert m.vci(np.ones((DIM, LABELS.size)), LABELS, K) == 1


@pytest.mark.parametrize("exponent", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("ddof", [0, 1])
def test_cdnv_has_an_exponent_and_a_ddof(exponent, ddof):
    v = [H[:, LABELS == k].var(axis=1, ddof=ddof).sum() for k in range(K)]
    terms = [(v[j] + v[k]) / 2 / ((MEANS[:, j] - MEANS[:, k]) ** 2).sum() ** exponent for j in range(K) for k in range(j)]
    answer = m.cdnv(H, LABELS, K, exponent=exponent, ddof=ddof)
    np.testing.assert_allclose(answer, np.mean(terms), rtol=1e-12)
    scaled = m.cdnv(100 * H, LABELS, K, exponent=exponent, ddof=ddof)
    np.testing.assert_allclose(scaled, answer * 100 ** (2 - 2 * exponent), rtol=1e-12)


@pytest.mark.parametrize("ddof", [0, 1])
def test_equinorm_is_the_coefficient_of_variation_of_lengths(ddof):
    lengths = np.linalg.norm(C, axis=0)
    np.testing.assert_allclose(m.equinorm(C, ddof=ddof), lengths.std(ddof=ddof) / lengths.mean(), rtol=1e-12)
    log = m.log_equinorm(C, ddof=ddof)
    np.testing.assert_allclose(log[:2], [np.log(lengths).mean(), np.log(lengths).var(ddof=ddof)], rtol=1e-12)
    np.testing.assert_allclose(log.cov, np.log(lengths).std(ddof=ddof) / np.log(lengths).mean(), rtol=1e-12)
    np.testing.assert_allclose(m.log_equinorm(7 * C, ddof=ddof).variance, log.variance, rtol=1e-12)


def test_angles_are_statistics_over_pairs():
    found, answer = pairs(C, cos), m.cosines(C)
    np.testing.assert_allclose(answer, [found.mean(), found.var(), found.std() / found.mean()], rtol=1e-11)
    np.testing.assert_allclose(m.equiangularity(C), np.abs(found + 1 / (K - 1)).mean(), rtol=1e-12)
    np.testing.assert_allclose(m.equiangularity(C, signed=True), (found + 1 / (K - 1)).mean(), rtol=1e-10)
    minority = np.array(COUNTS) < 21
    some = pairs(C[:, minority], cos)
    np.testing.assert_allclose(m.cosines(C, minority)[:2], [some.mean(), some.var()], rtol=1e-11)


KERNELS = {
    "distance": (("distance",), lambda r: r),
    "log": (("log",), lambda r: -np.log(r)),
    "riesz": (("riesz",), lambda r: r ** -(DIM - 2.0)),
    "riesz 1.5": (("riesz", 1.5), lambda r: r**-1.5),
    "riesz -1": (("riesz", -1.0), lambda r: -r),
}


@pytest.mark.parametrize(("options", "kernel"), KERNELS.values(), ids=KERNELS)
def test_uniformity_is_a_kernel_over_pairs_of_directions(options, kernel):
    u = C / np.linalg.norm(C, axis=0)
    found = kernel(pairs(u, lambda a, b: np.linalg.norm(a - b)))
    expected = [found.mean(), found.var(), found.std() / found.mean()]
    np.testing.assert_allclose(m.gnc2(C, *options), expected, rtol=1e-11)


def test_duality_class_by_class():
    cosines = np.array([cos(W[k], C[:, k]) for k in range(K)])
    distances = [np.linalg.norm(W[k] / np.linalg.norm(W[k]) - C[:, k] / np.linalg.norm(C[:, k])) for k in range(K)]
    np.testing.assert_allclose(m.nc3_distance(W, C), np.mean(distances), rtol=1e-12)
    np.testing.assert_allclose(m.gnc3(W, C), 1 - cosines.mean(), rtol=1e-12)
    for ddof in (0, 1):
        answer = m.unc3(W, C, ddof=ddof)
        expected = [cosines.mean(), cosines.var(ddof=ddof), cosines.std(ddof=ddof) / cosines.mean()]
        np.testing.assert_allclose(answer, expected, rtol=1e-11)
        dots = np.einsum("kd,dk->k", W, C)
        expected = [dots.mean(), dots.var(ddof=ddof), dots.std(ddof=ddof) / dots.mean()]
        np.testing.assert_allclose(m.unc3(W, C, "dot", ddof=ddof), expected, rtol=1e-11)


@pytest.mark.parametrize("global_mean", ["samples", "classes"])
def test_bias_relation_and_global_mean(global_mean):
    g = H.mean(axis=1) if global_mean == "samples" else MEANS.mean(axis=1)
    found = m.overall_mean(H, LABELS, K, global_mean=global_mean)
    np.testing.assert_allclose(found, g, rtol=1e-12)
    np.testing.assert_allclose(m.centred_means(H, LABELS, K, global_mean=global_mean), MEANS - g[:, None], rtol=1e-11, atol=1e-13)
    b = np.arange(K) - 1.5
    np.testing.assert_allclose(m.bias_relation(W, found, b), np.linalg.norm(W @ g + b), rtol=1e-12)
    np.testing.assert_allclose(m.bias_relation(W, found, -W @ g), 0, atol=1e-13)


def test_cosine_margins_are_of_centred_features_and_rows():
    answer = m.cosine_margins(W, H, LABELS, K)
    rows, apart = W - W.mean(axis=0), H - H.mean(axis=1)[:, None]
    for i in (0, 50, 104):
        found = np.array([cos(row, apart[:, i]) for row in rows])
        expected = found[LABELS[i]] - np.max(np.delete(found, LABELS[i]))
        np.testing.assert_allclose(answer[i], expected, rtol=1e-11)


def test_ood_orthogonality_is_of_uncentred_means_and_the_mean_outside():
    outside = normal(DIM, 30, seed=4) + 1
    expected = np.mean([abs(cos(MEANS[:, k], outside.mean(axis=1))) for k in range(K)])
    np.testing.assert_allclose(m.nc5(MEANS, outside), expected, rtol=1e-12)
    np.testing.assert_allclose(m.nc5(np.eye(4)[:, :3], np.eye(4)[:, 3:]), 0)


def test_ranks_are_ratios_of_norms():
    s = np.linalg.svd(H, compute_uv=False)
    p = s / s.sum()
    np.testing.assert_allclose(m.nuclear_rank(H), s.sum() ** 2 / (s**2).sum(), rtol=1e-12)
    np.testing.assert_allclose(m.stable_rank(H), (s**2).sum() / s[0] ** 2, rtol=1e-12)
    np.testing.assert_allclose(m.effective_rank(H), np.exp(-(p * np.log(p)).sum()), rtol=1e-12)
    order = np.random.default_rng(0).permutation(LABELS.size)
    expected = [m.nuclear_rank(H[:, LABELS == k]) for k in range(K)]
    np.testing.assert_allclose(m.class_ranks(H[:, order], LABELS[order], K), expected, rtol=1e-12)
    traced = jax.jit(m.class_ranks, static_argnums=2)
    np.testing.assert_allclose(traced(H, LABELS, K), expected, rtol=1e-12)
    assert np.isnan(traced(H, np.where(LABELS == 2, 9, LABELS), K)).all()
    doubled = m.class_ranks(np.concatenate([H, H[:, :3]], axis=1), np.concatenate([LABELS, LABELS[:3]]), K)
    np.testing.assert_allclose(m.class_ranks(H, LABELS, K, 1 + (np.arange(LABELS.size) < 3)), doubled, rtol=1e-11)
    for rank in (m.nuclear_rank, m.stable_rank, m.effective_rank):
        assert rank(np.zeros((3, 4))) == 0
        np.testing.assert_allclose(rank(1e-200 * simplex(K)), K - 1, rtol=1e-12)


# Ideal values


@pytest.mark.parametrize("classes", [2, K])
def test_the_simplex_has_its_ideal_values(classes):
    U = 3 * simplex(classes)
    log = m.gnc2(U)
    np.testing.assert_allclose(log.mean, -np.log(2 * classes / (classes - 1)) / 2, rtol=1e-13)
    np.testing.assert_allclose(m.gnc2(U, "distance").mean, np.sqrt(2 * classes / (classes - 1)), rtol=1e-13)
    np.testing.assert_allclose(m.cosines(U).mean, -1 / (classes - 1), rtol=1e-13)
    zeros = [m.equinorm(U), m.equiangularity(U), log.cov, m.gnc2(U, "riesz").cov, m.log_equinorm(U).variance]
    zeros += [m.nc3_distance(U.T, U), m.gnc3(U.T, U), m.unc3(U.T, U).variance, m.unc3(U.T, U, "dot").cov]
    np.testing.assert_allclose(zeros, 0, atol=1e-13)
    labels = np.arange(classes)
    np.testing.assert_allclose(m.cosine_margins(U.T, U, labels, classes), classes / (classes - 1), rtol=1e-13)


def test_more_classes_than_a_simplex_has_room_for_leave_uniformity():
    circle = np.stack([np.cos(np.arange(8) * np.pi / 4), np.sin(np.arange(8) * np.pi / 4)])
    assert m.simplex_distance(circle.T @ circle) > 0.5
    squeezed = np.array([[2.0], [1.0]]) * circle
    for kernel in (("log",), ("riesz", 1.0)):
        assert m.gnc2(circle, *kernel).mean < m.gnc2(squeezed, *kernel).mean


def test_minority_collapse_shows_in_their_cosines():
    vectors = np.concatenate([simplex(3, 4), np.eye(4)[:, 3:], np.eye(4)[:, 3:]], axis=1)
    np.testing.assert_allclose(m.cosines(vectors, np.arange(5) >= 3)[:2], [1, 0], atol=1e-15)
    np.testing.assert_allclose(m.cosines(vectors, np.arange(5) < 3)[:2], [-0.5, 0], atol=1e-15)


# Degenerate vectors


def test_zero_vectors_have_no_direction_and_no_logarithm():
    vectors = np.concatenate([simplex(), np.zeros((DIM, 1))], axis=1)
    assert m.log_equinorm(vectors)[:2] == (-np.inf, np.inf) and m.log_equinorm(0 * vectors).variance == 0
    assert m.equinorm(0 * vectors) == 0 and m.equinorm(vectors) > 0.3
    np.testing.assert_allclose(m.cosines(vectors).mean, -K / 2 / (K * (K + 1) / 2), rtol=1e-12)
    np.testing.assert_allclose(m.gnc3(np.eye(2), np.array([[1.0, 0], [0, 0]])), 0.5)


def test_equal_directions_make_the_kernels_infinite_and_the_distance_zero():
    vectors = np.eye(3)[:, [0, 0, 1]] * np.array([1.0, 2.0, 1.0])
    assert m.gnc2(vectors).mean == np.inf and m.gnc2(vectors, "riesz", 2.0).mean == np.inf
    assert np.isfinite(m.gnc2(vectors, "riesz", -1.0).mean)
    np.testing.assert_allclose(m.gnc2(vectors, "distance").mean, np.sqrt(8) / 3, rtol=1e-13)


# Defects of peers


def test_a_signed_mean_of_angles_cancels_and_the_modulus_does_not():
    wheel = normal(DIM, K, seed=11)
    for _ in range(200):  # unit vectors of sum zero, far from equiangular
        wheel = wheel - wheel.mean(axis=1, keepdims=True)
        wheel = wheel / np.linalg.norm(wheel, axis=0)
    assert abs(m.equiangularity(wheel, signed=True)) < 1e-12 < 0.1 < m.equiangularity(wheel)


def test_a_signed_mean_of_log_lengths_depends_on_the_order_and_ours_does_not():
    lengths = np.array([1.0, 2.0, 4.0, 2.0, 1.0])
    logs = np.log(lengths)
    assert abs(np.mean([logs[j] - logs[k] for j in range(K) for k in range(j + 1, K)])) < 1e-15
    assert m.log_equinorm(simplex() * lengths).variance > 0.2
    np.testing.assert_allclose(m.equinorm(simplex() * lengths[[2, 0, 1, 4, 3]]), m.equinorm(simplex() * lengths), rtol=1e-12)


def test_uniform_duality_compares_a_class_with_itself():
    U = simplex()
    np.testing.assert_allclose(m.unc3(U.T, U).mean, 1, rtol=1e-13)
    np.testing.assert_allclose(m.unc3(np.roll(U.T, 1, axis=0), U).mean, -1 / (K - 1), rtol=1e-12)


def test_pairs_keep_float64():
    U = simplex()
    near = U + 1e-8 * normal(DIM, K, seed=2)
    found = pairs(near / np.linalg.norm(near, axis=0), lambda a, b: -np.log(np.linalg.norm(a - b)))
    assert 1e-9 < found.std() < 1e-7
    np.testing.assert_allclose(m.gnc2(near).variance, found.var(), rtol=1e-5)


def test_float32_features_of_many_dimensions_do_not_blow_nc1_up():
    labels = np.repeat(np.arange(10), 100)
    X = (normal(512, 10)[:, labels] + 1.3 * normal(512, 1000, seed=1) / np.sqrt(10) + 3).astype(np.float32)
    means = np.stack([X[:, labels == k].astype(float).mean(axis=1) for k in range(10)], axis=1)
    exact = m.nc1(X.astype(float), labels, 10)
    np.testing.assert_allclose(m.nc1(X, labels, 10), exact, rtol=1e-4)
    # class means in float64 and the global mean in float32 give the means a direction that is not theirs
    apart = means - np.mean(X, axis=1, dtype=np.float32)[:, None]
    R = X - means[:, labels]
    naive = np.trace(R @ R.T / 1000 @ np.linalg.pinv(apart @ apart.T / 10)) / 10
    assert abs(naive) > 1e3 * exact


def test_the_square_of_the_nuclear_ratio_is_not_the_ratio():
    np.testing.assert_allclose(m.nuclear_rank(np.diag([1.0, 1, 1, 1])), 4)
    one = m.class_ranks(MEANS[:, LABELS], LABELS, K)
    np.testing.assert_allclose(one, 1, rtol=1e-12)


# Precision

RATIOS = {
    "nc1": m.nc1,
    "nc1_trace_ratio": m.nc1_trace_ratio,
    "nc1_weak": m.nc1_weak,
    "vci": m.vci,
    "cdnv": m.cdnv,
    "cdnv 2": functools.partial(m.cdnv, exponent=2.0),
}
SHAPES = {
    "equinorm": m.equinorm,
    "equiangularity": m.equiangularity,
    "gnc2": m.gnc2,
    "nc3_distance": functools.partial(m.nc3_distance, simplex(dim=32).T.astype(np.float32)),
    "gnc3": functools.partial(m.gnc3, simplex(dim=32).T.astype(np.float32)),
}


@pytest.mark.parametrize("offset", [0.0, 1000.0])
@pytest.mark.parametrize("noise", [0.0, 1e-7, 1e-3])
def test_float32_features_give_what_their_float64_copy_gives(noise, offset):
    X, labels = collapsed(noise, offset)
    double = X.astype(float)
    for name, ratio in RATIOS.items():
        single, exact = ratio(X, labels, K), ratio(double, labels, K)
        assert single.dtype == jnp.float32 and single >= 0, name
        np.testing.assert_allclose(single, exact, rtol=1e-4, atol=1e-20 * (name == "vci"), err_msg=name)
    vectors = m.centred_means(X, labels, K), m.centred_means(double, labels, K)
    for name, shape in SHAPES.items():
        single, exact = map(shape, vectors)
        np.testing.assert_allclose(single, exact, rtol=1e-5, atol=5e-7, err_msg=name)
        assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(single)), name


def test_riesz_powers_of_many_dimensions_stay_finite_in_float32():
    wide = simplex(dim=512).astype(np.float32) + 1e-3 * normal(512, K).astype(np.float32)
    single, double = m.gnc2(wide, "riesz"), m.gnc2(wide.astype(float), "riesz")
    np.testing.assert_allclose(single.cov, double.cov, rtol=1e-3)
    assert single.mean == 0 < double.mean < 1e-70


# Size and transformations


def test_pairs_of_many_classes_take_no_array_of_all_pairs_and_dimensions():
    many, dim = 60, 40
    X, labels = normal(dim, many), np.arange(many)

    def largest(jaxpr):
        inner = [largest(x) for eqn in jaxpr.eqns for x in jax.tree.leaves(eqn.params, is_leaf=is_jaxpr) if is_jaxpr(x)]
        return max([*inner, *(v.aval.size for eqn in jaxpr.eqns for v in eqn.outvars)])

    def is_jaxpr(x):
        return hasattr(x, "eqns")

    for function in (m.cosines, m.gnc2, m.equiangularity, functools.partial(m.gnc2, kernel="riesz")):
        assert many * dim <= largest(jax.make_jaxpr(function)(X).jaxpr) <= 2 * many * dim
    assert largest(jax.make_jaxpr(lambda x: m.cdnv(x, labels, many))(X).jaxpr) <= many * many


def test_sums_over_many_classes_by_segments_are_those_by_products(monkeypatch):
    by_products = m.samples._class_sums(H, 1.0 + LABELS, LABELS, K)
    monkeypatch.setattr(m.samples, "_ONE_HOT", K - 1)
    np.testing.assert_allclose(m.samples._class_sums(H, 1.0 + LABELS, LABELS, K), by_products, rtol=1e-12)
    expected = [((1 + k) * H[:, LABELS == k]).sum(axis=1) for k in range(K)]
    np.testing.assert_allclose(by_products.T, expected, rtol=1e-12)


def every_form(X, labels, ratios=RATIOS):
    C = m.centred_means(X, labels, K)
    of_vectors = [m.equinorm(C), m.log_equinorm(C), m.cosines(C), m.equiangularity(C), m.gnc2(C), m.gnc2(C, "riesz")]
    of_both = [m.nc3_distance(W, C), m.gnc3(W, C), m.unc3(W, C), m.cosine_margins(W, X, labels, K), m.nc5(C, X)]
    ranks = [m.nuclear_rank(C), m.stable_rank(C), m.effective_rank(C)]
    return [ratio(X, labels, K) for ratio in ratios.values()], of_vectors, of_both, ranks


def test_all_forms_jit_and_vmap_to_the_same_numbers():
    batch = np.stack([data(seed=seed) for seed in range(2)])
    answers = jax.jit(jax.vmap(every_form, (0, None)))(batch, LABELS)
    for i in range(2):
        one = every_form(batch[i], LABELS)
        jax.tree.map(lambda x, y, i=i: np.testing.assert_allclose(x[i], y, rtol=1e-9, atol=1e-13), answers, one)


def test_slopes_are_finite_and_right():
    direction = normal(*H.shape, seed=6)

    def smooth(X):
        return every_form(X, LABELS, {name: ratio for name, ratio in RATIOS.items() if name != "vci"})

    slopes = jax.jit(lambda h, v: jax.jvp(smooth, (h,), (v,))[1])(H, direction)
    ahead, behind = smooth(H + 1e-6 * direction), smooth(H - 1e-6 * direction)
    check = lambda s, a, b: np.testing.assert_allclose(s, (a - b) / 2e-6, rtol=1e-5, atol=1e-6)  # noqa: E731
    jax.tree.map(check, slopes, ahead, behind)


def test_slopes_at_equal_and_zero_vectors_are_numbers():
    for function in (m.equinorm, lambda x: m.gnc2(x, "distance").mean, lambda x: m.nc3_distance(x.T, x)):
        for vectors in (np.zeros((DIM, K)), np.ones((DIM, K))):
            assert np.all(np.isfinite(jax.grad(function)(vectors)))


# Refusals


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: m.cdnv(H, LABELS, K, exponent=0.0), "exponent must be finite and above 0, got 0.0"),
        (lambda: m.cdnv(H, LABELS, K, ddof=8), "ddof must be below every class size, got 8 for a class of 8"),
        (lambda: m.cdnv(H, LABELS, K, ddof=-1), "ddof must be a whole number of at least 0, got -1"),
        (lambda: m.equinorm(H[:, 0]), r"vectors must be floats of shape \(dim, vectors\), got float64 \(9,\)"),
        (lambda: m.equinorm(H[:, :1]), "vectors must be at least 2 columns, got 1"),
        (lambda: m.equinorm(C, ddof=5), "ddof must be below the 5 vectors, got 5"),
        (lambda: m.gnc2(C, "gauss"), "kernel must be one of 'distance', 'log', 'riesz', got 'gauss'"),
        (lambda: m.gnc2(C, "riesz", 0), 'exponent must be other than 0, whose limit is the kernel "log", got 0'),
        (lambda: m.gnc2(C[:2], "riesz"), "exponent must be other than 0"),
        (lambda: m.gnc2(C, "log", 2.0), "exponent must be None for the kernel 'log', got 2.0"),
        (lambda: m.cosines(C, np.ones(K)), r"members must be truth values of shape \(5,\), got float64 \(5,\)"),
        (lambda: m.cosines(C, np.arange(K) == 1), "members must be at least 2 of the vectors, got 1"),
        (lambda: m.gnc3(W.T, C), r"classifier must have shape \(5, 9\), got \(9, 5\)"),
        (lambda: m.unc3(W, C, "angle"), "similarity must be one of 'cosine', 'dot', got 'angle'"),
        (lambda: m.unc3(W, C, ddof=5), "ddof must be below the 5 classes, got 5"),
        (lambda: m.bias_relation(W, MEANS[:, 0], np.ones(4)), r"bias must have shape \(5,\), got \(4,\)"),
        (lambda: m.bias_relation(W, np.ones(4), np.ones(5)), r"centre must have shape \(9,\), got \(4,\)"),
        (lambda: m.nc5(MEANS, H[:4]), r"outside must have shape \(9, 105\), got \(4, 105\)"),
        (lambda: m.cosine_margins(W.T, H, LABELS, K), r"classifier must have shape \(5, 9\), got \(9, 5\)"),
        (lambda: m.stable_rank(np.ones(3)), r"matrix must be floats of shape \(a, b\), got float64 \(3,\)"),
    ],
)
def test_bad_arguments_are_refused_in_a_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call()
