"""What comes into a metric is measured right or refused: precision, NaN, labels, units, orientation, dead features."""

import functools
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ufm import metrics as m
from ufm.metrics import streaming
from ufm.metrics.table import summary

K, DIM, N = 4, 6, 40
RNG = np.random.default_rng(0)
LABELS = RNG.permutation(np.repeat(np.arange(K), (16, 12, 8, 4)))
MULTIPLICITY = RNG.integers(1, 4, N).astype(float)
H = RNG.normal(size=(DIM, K))[:, LABELS] + 0.4 * RNG.normal(size=(DIM, N)) + 0.5
W, B, C = RNG.normal(size=(K, DIM)), RNG.normal(size=K), RNG.normal(size=(DIM, K))
R, OUTSIDE = RNG.normal(size=(K, N)), RNG.normal(size=(DIM, 9))
G = W @ W.T

OF_FEATURES = ("class_means", "centred_means", "overall_mean", "mean_gram", "nc1", "nc1_trace_ratio", "nc1_weak", "vci", "cdnv")
# name: (function of arrays, the arrays); every public function that measures
CALLS = {name: (functools.partial(getattr(m, name), labels=LABELS, classes=K), (H,)) for name in (*OF_FEATURES, "class_ranks")}
CALLS |= {
    f"{name} with multiplicity": (lambda x, n, name=name: getattr(m, name)(x, LABELS, K, n), (H, MULTIPLICITY))
    for name in (*OF_FEATURES, "class_ranks")
}
CALLS |= {
    "nc3": (lambda w, x: m.nc3(w, x, LABELS, K), (W, H)),
    "nc3_alignment": (lambda w, x: m.nc3_alignment(w, x, LABELS, K), (W, H)),
    "nc3_alignment uncentred": (lambda w, x: m.nc3_alignment(w, x, LABELS, K, centred=False), (W, H)),
    "nc3_distance": (m.nc3_distance, (W, C)),
    "gnc3": (m.gnc3, (W, C)),
    "unc3": (m.unc3, (W, C)),
    "unc3 dot": (lambda w, c: m.unc3(w, c, "dot"), (W, C)),
    "bias_relation": (m.bias_relation, (W, C[:, 0], B)),
    "nc4": (lambda w, x, b: m.nc4(w, x, LABELS, K, b), (W, H, B)),
    "cosine_margins": (lambda w, x: m.cosine_margins(w, x, LABELS, K), (W, H)),
    "nc5": (m.nc5, (C, OUTSIDE)),
    "simplex_distance": (m.simplex_distance, (G,)),
    "orthogonal_distance": (m.orthogonal_distance, (G,)),
    "general_orthogonal_distance": (m.general_orthogonal_distance, (G, B**2)),
    "equinorm": (m.equinorm, (C,)),
    "log_equinorm": (m.log_equinorm, (C,)),
    "cosines": (m.cosines, (C,)),
    "equiangularity": (m.equiangularity, (C,)),
    "gnc2": (m.gnc2, (C,)),
    "gnc2 distance": (lambda c: m.gnc2(c, "distance"), (C,)),
    "gnc2 riesz": (lambda c: m.gnc2(c, "riesz"), (C,)),
    "numerical_rank": (m.numerical_rank, (C,)),
    "nuclear_rank": (m.nuclear_rank, (C,)),
    "stable_rank": (m.stable_rank, (C,)),
    "effective_rank": (m.effective_rank, (C,)),
    "gradient_conflict": (lambda a, b, c, d: m.gradient_conflict((a, b), (c, d)), (W, H, W[::-1], H[::-1])),
    "align_gradients": (lambda a, b: m.align_gradients([a], [b]), (W, W[::-1])),
    "pull_push": (lambda w, x, r: m.pull_push(w, x, r, LABELS), (W, H, R)),
    "one_vs_rest_distance": (lambda c: m.one_vs_rest_distance(c).distance, (C,)),
}
NO_METRICS = {"Conflict", "PullPush", "Statistics", "collapse", "streaming", "summary"}  # types, and what takes no arrays
every_call = pytest.mark.parametrize("name", CALLS)


def leaves(name, arrays):
    return [np.asarray(leaf, float) for leaf in jax.tree.leaves(CALLS[name][0](*arrays))]


def test_every_public_metric_is_in_the_table():
    assert {name.split()[0] for name in CALLS} == set(m.__all__) - NO_METRICS


# NaN and infinity


@every_call
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_one_number_that_is_not_finite_is_refused_and_gives_nan_under_jit(name, bad):
    function, arrays = CALLS[name]
    jitted = jax.jit(function)
    for i, x in enumerate(arrays):
        spoilt = [a.copy() for a in arrays]
        spoilt[i].flat[x.size // 2] = bad
        if name != "one_vs_rest_distance":  # which says so in its status
            with pytest.raises(ValueError, match="must be .*finite"):
                function(*spoilt)
        answers = [np.asarray(leaf) for leaf in jax.tree.leaves(jitted(*spoilt))]
        assert any(np.isnan(answer).any() for answer in answers), (name, i)
        if name != "pull_push":  # two of its parts see H, two see W
            assert all(np.isnan(answer).any() for answer in answers) or name == "gradient_conflict", (name, i)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_streams_refuse_what_is_not_finite(bad):
    spoilt, state = H.copy(), streaming.moments(H, LABELS, K)
    spoilt[2, 3] = bad
    for call in (
        lambda: streaming.moments(spoilt, LABELS, K),
        lambda: streaming.decide(state, W, spoilt, LABELS),
        lambda: streaming.decide(state, bad * W, H, LABELS),
        lambda: streaming.decide(state, W, H, LABELS, bad * B),
        lambda: summary(state._replace(scatter=bad * state.scatter)),
        lambda: summary(state, bad * W),
        lambda: summary(state, W, bad * B),
    ):
        with pytest.raises(ValueError, match="must be finite"):
            call()


# Precision


@every_call
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision_gives_what_its_float32_copy_gives(name, dtype):
    half = [jnp.asarray(x, dtype) for x in CALLS[name][1]]
    found, expected = (jax.tree.leaves(CALLS[name][0](*xs)) for xs in (half, [x.astype(jnp.float32) for x in half]))
    for x, y in zip(found, expected, strict=True):
        assert x.dtype == (dtype if name == "align_gradients" else jnp.float32)
        np.testing.assert_allclose(np.asarray(x, float), np.asarray(y, float), rtol=1e-2 if x.dtype == dtype else 1e-6)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_counts_beyond_the_dtype_are_counted(dtype):
    """float16 stops counting at 2048, bfloat16 at 256."""
    labels = np.repeat([0, 1], (6000, 70000))
    features = jnp.ones((3, labels.size), dtype).at[0].set(jnp.where(labels == 0, 1, -1).astype(dtype))
    np.testing.assert_array_equal(m.class_means(features, labels, 2), [[1, -1], [1, 1], [1, 1]])
    state = streaming.moments(features, labels, 2)
    np.testing.assert_array_equal(state.counts, [6000, 70000])
    np.testing.assert_array_equal(state.means, [[1, -1], [1, 1], [1, 1]])


def test_float32_counts_beyond_two_to_the_24():
    size = 2**25 + 2**20
    labels = (np.arange(size) % 16 == 0).astype(np.uint8)
    expected = np.bincount(labels)
    features = jnp.asarray(np.where(np.arange(size) % 2, 1, -1)[None, :] + 4.0 * labels, jnp.float32)
    s = m.samples.scatter(features, labels, 2, None, "samples", 1)
    weighted = m.samples.segment_sums(jnp.ones(size, jnp.float32), jnp.asarray(labels, jnp.int32), 2)
    for counts in (s.counts, weighted):
        assert counts.dtype == jnp.float32
        np.testing.assert_allclose(counts, expected, rtol=1e-7)
    np.testing.assert_allclose(np.asarray(s.variances) * float(s.unit) ** 2, [1 - 1 / 225, 0], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(s.weights, expected / size, rtol=1e-6)


# Labels


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.where(LABELS == 3, 2**64 - 1, LABELS.astype(np.uint64)), "from 0 to classes - 1 = 3, got 18446744073709551615"),
        (np.where(LABELS == 3, 2**32 + 3, LABELS), "labels must be from 0 to classes - 1 = 3, got 4294967299"),
        (LABELS - 1, "labels must be from 0 to classes - 1 = 3, got -1"),
        (LABELS + 1, "labels must be from 0 to classes - 1 = 3, got 4"),
        (LABELS.astype(float), "labels must be whole numbers, got float64"),
        (LABELS + 0.5, "labels must be whole numbers, got float64"),
        (LABELS > 1, "labels must be whole numbers, got bool"),
        (LABELS[:, None], r"labels must have shape \(40,\), got \(40, 1\)"),
        (np.array(list(map(str, LABELS))), "labels must be whole numbers, got <U"),
    ],
)
@pytest.mark.parametrize("x64", [True, False])
def test_labels_that_are_no_classes_are_refused_by_name(labels, message, x64):
    with jax.enable_x64(x64):
        for function in (m.class_means, m.vci, m.class_ranks, functools.partial(m.nc4, W), streaming.moments):
            with pytest.raises(ValueError, match=message):
                function(H, labels, K)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.uint16, np.uint32, np.int64, np.uint64])
def test_labels_of_any_whole_dtype_are_the_same_labels(dtype):
    labels, many = LABELS.astype(dtype), np.arange(300) % 100
    for x64 in (True, False):
        with jax.enable_x64(x64):
            single = H.astype(np.float32)
            expected = m.nc1(single, LABELS, K)
            np.testing.assert_array_equal(m.nc1(single, labels, K), expected)
            np.testing.assert_allclose(jax.jit(m.nc1, static_argnums=2)(single, labels, K), expected, rtol=1e-6)
            wide = np.ones((2, 300), np.float32) * many
            np.testing.assert_allclose(jax.jit(m.class_means, static_argnums=2)(wide, many.astype(dtype), 100)[0], np.arange(100))
            assert np.isnan(jax.jit(m.class_means, static_argnums=2)(wide, many.astype(dtype), 300)).any()  # K beyond int8


# Units

SCALE_FREE = [
    name for name in CALLS
    if name.split()[0] not in ("class_means", "centred_means", "overall_mean", "mean_gram", "log_equinorm", "bias_relation", "unc3",
                               "align_gradients", "pull_push", "one_vs_rest_distance")
]  # fmt: skip


@pytest.mark.parametrize("name", [*SCALE_FREE, "unc3"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [1e-24, 1e20])
def test_no_number_free_of_scale_sees_extreme_units(name, dtype, scale):
    arrays = [x.astype(dtype) for x in CALLS[name][1]]
    fixed = {"nc4": (0,)}.get(name, ())  # logits have the unit of the bias
    scaled = [x if i in fixed or "multiplicity" in name and i == 1 else x * dtype(scale) for i, x in enumerate(arrays)]
    for found, expected in zip(leaves(name, scaled), leaves(name, arrays), strict=True):
        np.testing.assert_allclose(found, expected, rtol=2e-4 if dtype == np.float32 else 1e-11, atol=1e-6 * (dtype == np.float32))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [1e-24, 1e20])
def test_numbers_with_a_unit_scale_as_they_should(dtype, scale):
    close = functools.partial(np.testing.assert_allclose, rtol=2e-5 if dtype == np.float32 else 1e-11)
    x, w, c, b = (a.astype(dtype) for a in (H, W, C, B))
    scale = dtype(scale)
    for mean in (m.class_means, m.centred_means, m.overall_mean):
        close(mean(x * scale, LABELS, K) / scale, mean(x, LABELS, K), atol=1e-6)
    close(m.bias_relation(w, c[:, 0] * scale, b * scale) / scale, m.bias_relation(w, c[:, 0], b))
    close(m.log_equinorm(c * scale).mean, m.log_equinorm(c).mean + np.log(np.asarray(scale)))
    close(m.unc3(w, c * scale, "dot").cov, m.unc3(w, c, "dot").cov)
    close(m.unc3(w / scale, c * scale, "dot").mean, m.unc3(w, c, "dot").mean, rtol=1e-3)
    close(m.one_vs_rest_distance(c * scale).distance / scale, m.one_vs_rest_distance(c).distance)
    (aligned,) = m.align_gradients([w * scale], [w[::-1] * scale])
    close(aligned / scale, m.align_gradients([w], [w[::-1]])[0], atol=1e-6)
    if dtype == np.float64:
        table = [{x.name: x.value for x in summary(streaming.moments(x * s, LABELS, K), w)} for s in (1.0, scale)]
        for name, value in table[0].items():
            close(table[1][name], value, rtol=1e-9, atol=1e-12, err_msg=name) if name != "unc3_dot_cov" else None


# Slopes


def collapsed_points():
    simplex = np.eye(DIM, K) - 1 / K
    yield "generic", H
    yield "a collapsed simplex", simplex[:, LABELS]
    yield "a collapsed orthogonal frame", np.eye(DIM, K)[:, LABELS]
    yield "collapsed to one point", np.ones((DIM, N))
    yield "zero", np.zeros((DIM, N))
    yield "two classes at one point", (simplex[:, [0, 1, 2, 2]])[:, LABELS]
    yield "dead features", H * (np.arange(DIM) < 2)[:, None]


POINTS = dict(collapsed_points())


@every_call
def test_slopes_are_finite_wherever_the_number_is(name):
    function, arrays = CALLS[name]

    @jax.jit
    def values_and_slopes(*given):
        sums, pull = jax.vjp(lambda *xs: [jnp.sum(leaf) for leaf in jax.tree.leaves(function(*xs))], *given)
        one_hot = [[jnp.asarray(float(i == j)) for j in range(len(sums))] for i in range(len(sums))]
        return sums, [pull(one) for one in one_hot]

    for point, X in POINTS.items():
        means = np.stack([X[:, LABELS == k].mean(axis=1) for k in range(K)], axis=1)
        at = {(DIM, N): X, (DIM, K): means, (K, DIM): means.T, (K, K): means.T @ means, (DIM, 9): X[:, :9], (DIM,): means[:, 0]}
        values, slopes = values_and_slopes(*(jnp.asarray(at.get(x.shape, x)) for x in arrays))
        for i, value in enumerate(values):
            if np.isfinite(value):
                assert all(np.all(np.isfinite(slope)) for slope in slopes[i]), (point, i)


@pytest.mark.parametrize("dim", [2, 3, 6, 50])
@pytest.mark.parametrize("dead", [0, 1])
def test_the_slope_of_vci_is_its_difference_quotient(dim, dead):
    X, labels = RNG.normal(size=(dim + dead, K))[:, LABELS] + 0.5 * RNG.normal(size=(dim + dead, N)), LABELS
    direction = RNG.normal(size=X.shape)
    X[dim:], direction[dim:] = 0, 0
    vci = lambda x, n: m.vci(x, labels, K, n)  # noqa: E731
    weights = RNG.uniform(0.5, 2, N)
    slope = jax.jvp(vci, (X, weights), (direction, 0.1 * weights**2))[1]
    ahead, behind = (vci(X + t * direction, weights + t * 0.1 * weights**2) for t in (1e-5, -1e-5))
    np.testing.assert_allclose(slope, (ahead - behind) / 2e-5, rtol=1e-5, atol=1e-7)


# Orientation

SQUARE = RNG.normal(size=(N, N))


def test_square_features_are_refused_until_their_axis_is_named():
    own = {name: CALLS[name][0] for name in (*OF_FEATURES, "class_ranks")}
    own |= {"moments": lambda x, **kw: streaming.moments(x, LABELS, K, **kw)}
    classifier = RNG.normal(size=(K, N))
    own |= {f.__name__: functools.partial(f, classifier, labels=LABELS, classes=K) for f in (m.nc3, m.nc3_alignment, m.nc4)}
    own |= {"cosine_margins": functools.partial(m.cosine_margins, classifier, labels=LABELS, classes=K)}
    own |= {"pull_push": lambda x, **kw: m.pull_push(classifier, x, R.T if kw.get("samples_axis") == 0 else R, LABELS, **kw)}
    own |= {"conflict": lambda x, **kw: m.gradient_conflict((classifier, x), (classifier[::-1], x[::-1, ::-1]), **kw)}
    state = streaming.moments(SQUARE, LABELS, K, samples_axis=1)
    own |= {"decide": lambda x, **kw: streaming.decide(state, classifier, x, LABELS, **kw)}
    own |= {"nc5": lambda x, **kw: m.nc5(classifier.T, x, **kw)}
    for name, function in own.items():
        with pytest.raises(ValueError, match="samples_axis must be given where .* square"):
            function(SQUARE)
        columns, rows = function(SQUARE, samples_axis=1), function(SQUARE.T, samples_axis=0)
        jax.tree.map(lambda a, b, name=name: np.testing.assert_array_equal(a, b, err_msg=name), columns, rows)
        with pytest.raises(ValueError, match="samples_axis must be 1 for"):
            function(SQUARE, samples_axis=2)


def test_rows_are_refused_in_words_or_taken_where_they_are_named():
    for function in (m.vci, m.class_means, streaming.moments):
        message = r"features must have samples as columns, shape \(d, 40\), got \(40, 6\): give samples_axis=0"
        with pytest.raises(ValueError, match=message):
            function(H.T, LABELS, K)
        with pytest.raises(ValueError, match=r"labels must have shape \(6,\), got \(40,\)|samples"):
            function(H, LABELS, K, samples_axis=0)
        rows, columns = function(H.T, LABELS, K, samples_axis=0), function(H, LABELS, K)
        jax.tree.map(np.testing.assert_array_equal, rows, columns)


# Dead, constant and dependent features, duplicated classes: against rational numbers


def exact_vci(X, labels, classes):
    """1 - tr((S_W + S_B)^+ S_B)/min(d, K - 1) in exact arithmetic of whole features."""
    d, n = X.shape
    F = [[Fraction(int(v)) for v in row] for row in X]
    counts = [int(np.sum(labels == k)) for k in range(classes)]
    means = [[sum(row[i] for i in np.flatnonzero(labels == k)) / counts[k] for k in range(classes)] for row in F]
    g = [sum(row) / n for row in F]
    centred = [[means[a][k] - g[a] for k in range(classes)] for a in range(d)]
    rest = [[F[a][i] - means[a][labels[i]] for i in range(n)] for a in range(d)]
    S_B = [[sum(x * y for x, y in zip(centred[a], centred[b], strict=True)) / classes for b in range(d)] for a in range(d)]
    T = [[S_B[a][b] + sum(x * y for x, y in zip(rest[a], rest[b], strict=True)) / n for b in range(d)] for a in range(d)]
    # X solves T X = S_B, which lies in the range of T: any solution has the trace of T^+ S_B
    rows, r, pivots = [[*T[a], *S_B[a]] for a in range(d)], 0, []
    for c in range(d):
        pick = next((a for a in range(r, d) if rows[a][c] != 0), None)
        if pick is None:
            continue
        rows[r], rows[pick] = rows[pick], rows[r]
        rows[r] = [v / rows[r][c] for v in rows[r]]
        for a in range(d):
            if a != r and rows[a][c] != 0:
                rows[a] = [v - rows[a][c] * w for v, w in zip(rows[a], rows[r], strict=True)]
        pivots.append(c)
        r += 1
    trace = sum(rows[i][d + c] for i, c in enumerate(pivots))
    return float(1 - trace / min(d, classes - 1))


def degenerate(kind, rng):
    classes, dim, per = {"K > d": (6, 3, 5), "d > N": (3, 14, 4)}.get(kind, (4, 5, 6))
    labels = np.repeat(np.arange(classes), per)
    X = rng.integers(-9, 10, (dim, classes))[:, labels] * 4 + rng.integers(-9, 10, (dim, labels.size))
    if kind == "dead":
        X[rng.permutation(dim)[:2]] = 0
    if kind == "constant":
        X[rng.permutation(dim)[:2]] = rng.integers(1, 1000, (2, 1))
    if kind == "dependent":
        X[0] = X[1] - 2 * X[2]
    if kind == "collapsed in part":
        X[:3] = rng.integers(-9, 10, (3, classes))[:, labels]
    if kind == "duplicated classes":
        X[:, labels == 1] = X[:, labels == 0][:, rng.permutation(per)]
    if kind == "means alike":
        X = np.concatenate([X[:, labels == 0][:, rng.permutation(per)] for _ in range(classes)], axis=1)
    return X, labels, classes


KINDS = ("generic", "dead", "constant", "dependent", "collapsed in part", "duplicated classes", "means alike", "K > d", "d > N")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_vci_of_degenerate_features_is_its_rational_number(kind, dtype):
    rng = np.random.default_rng(1)
    for _ in range(4):
        X, labels, classes = degenerate(kind, rng)
        exact = exact_vci(X, labels, classes)
        tolerance = {"rtol": 5e-4, "atol": 1e-6} if dtype == np.float32 else {"rtol": 1e-8, "atol": 1e-12}
        frame = np.linalg.qr(rng.normal(size=(len(X), len(X))))[0]
        for scale in (1.0, 1e-24, 1e20):
            np.testing.assert_allclose(m.vci((scale * X).astype(dtype), labels, classes), exact, **tolerance)
        if kind != "constant":  # turned with others, a large constant leaves its rounding in all of them, which no one can tell
            turned = (frame @ X).astype(dtype)
            np.testing.assert_allclose(m.vci(turned, labels, classes), exact, **tolerance)
        if dtype == np.float64:
            table = {x.name: x.value for x in summary(streaming.moments(X.astype(float), labels, classes, samples_axis=1))}
            np.testing.assert_allclose(table["vci"], exact, **tolerance)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_issues_dead_feature(dtype):
    """Two classes of one living feature beside a dead one: vci is that of the living one alone, times its share of p."""
    rng = np.random.default_rng(3)
    labels = np.repeat([0, 1, 2], 30)
    X = np.zeros((3, 90))
    X[:2] = rng.normal(size=(2, 3))[:, labels] + rng.normal(size=(2, 90))
    alive = m.vci(X[:2].astype(dtype), labels, 3)
    frame = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    for dead in (X, X + np.array([[0], [0], [7.0]]), frame @ X):
        np.testing.assert_allclose(m.vci(dead.astype(dtype), labels, 3), alive, rtol=1e-4 if dtype == np.float32 else 1e-10)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equal_means_are_equal_however_their_samples_are_ordered(dtype):
    rng = np.random.default_rng(5)
    cloud = rng.normal(size=(5, 11))
    labels = np.repeat(np.arange(3), 11)
    alike = np.concatenate([cloud[:, rng.permutation(11)] for _ in range(3)], axis=1).astype(dtype)
    assert m.nc1(alike, labels, 3) == m.nc1_trace_ratio(alike, labels, 3) == m.cdnv(alike, labels, 3) == np.inf
    assert m.vci(alike, labels, 3) == 1 and np.all(m.centred_means(alike, labels, 3) == 0)
    two = alike.copy()
    two[:, labels == 2] += 3
    assert m.cdnv(two, labels, 3) == np.inf
    means = np.stack([two[:, labels == k].mean(axis=1, dtype=float) for k in range(3)], axis=1)
    means[:, 1] = means[:, 0]
    inverse = np.linalg.pinv(means - means.mean(axis=1, keepdims=True), rcond=1e-6)
    expected = np.sum((inverse @ (two - means[:, labels])) ** 2) / labels.size
    np.testing.assert_allclose(m.nc1(two, labels, 3), expected, rtol=1e-3 if dtype == np.float32 else 1e-9)
    table = {x.name: x.value for x in summary(streaming.moments(two.astype(float), labels, 3))}
    assert table["numerical_rank"] == 1 and table["nc1"] == pytest.approx(float(m.nc1(two.astype(float), labels, 3)), rel=1e-9)
