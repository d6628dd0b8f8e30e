"""Frames in closed form against their defining equations and the bounds of Welch, Rankin and Levenshtein."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ufm.frames import (
    Frame,
    coherence,
    equiangular_lines,
    general_orthogonal_frame,
    helmert,
    line_bound,
    orthogonal_frame,
    orthoplex,
    polygon,
    rankin_bound,
    seli,
    signed_coherence,
    simplex_etf,
    tightness,
    welch_bound,
)

compiled_tightness = jax.jit(tightness)
GOLDEN = (1 + 5**0.5) / 2
ICOSAHEDRON = np.array([[0, 0, 1, 1, GOLDEN, -GOLDEN], [1, -1, GOLDEN, -GOLDEN, 0, 0], [GOLDEN, GOLDEN, 0, 0, 1, 1]])


def random_frame(dim, vectors, seed=0):
    return np.random.default_rng(seed).standard_normal((dim, vectors))


def numpy_cosines(frame):
    unit = frame / np.sqrt((frame**2).sum(0))
    return np.array([unit[:, j] @ unit[:, k] for j in range(unit.shape[1]) for k in range(j)])


@pytest.mark.parametrize("classes", [2, 3, 10, 100])
def test_helmert_is_an_orthonormal_basis_of_the_complement_of_the_ones(classes):
    Q = np.asarray(helmert(classes))
    np.testing.assert_allclose(Q.T @ Q, np.eye(classes - 1), atol=1e-14)
    np.testing.assert_allclose(Q @ Q.T, np.eye(classes) - 1 / classes, atol=1e-14)


@pytest.mark.parametrize("classes", [2, 3, 10, 100])
@pytest.mark.parametrize("extra", [0, 1, 5])
def test_simplex_columns_are_unit_vectors_at_cosine_minus_one_over_classes_less_one(classes, extra):
    U = np.asarray(simplex_etf(classes, classes - 1 + extra).vectors)
    assert U.shape == (classes - 1 + extra, classes)
    expected = np.full((classes, classes), -1 / (classes - 1))
    np.fill_diagonal(expected, 1)
    np.testing.assert_allclose(U.T @ U, expected, atol=1e-14)
    np.testing.assert_allclose(U.sum(axis=1), 0, atol=1e-13)


@pytest.mark.parametrize("classes", [2, 10])
def test_simplex_meets_the_bounds_of_welch_and_rankin_and_is_tight(classes):
    U = simplex_etf(classes).vectors
    assert U.shape == (classes - 1, classes)
    np.testing.assert_allclose(signed_coherence(U), -1 / (classes - 1), rtol=1e-14)
    np.testing.assert_allclose(coherence(U), welch_bound(classes, classes - 1), rtol=1e-14)
    np.testing.assert_allclose(compiled_tightness(U), 0, atol=1e-14)


@pytest.mark.parametrize("dim", [None, 5, 9])
def test_orthogonal_frame_is_orthonormal(dim):
    U = np.asarray(orthogonal_frame(5, dim).vectors)
    assert U.shape == (dim or 5, 5)
    np.testing.assert_array_equal(U.T @ U, np.eye(5))


@pytest.mark.parametrize("dim", [None, 4, 9])
def test_general_orthogonal_frame_has_the_given_lengths_and_no_overlap(dim):
    norms = np.array([3.0, 0.0, 0.5, 1e-3])
    U = np.asarray(general_orthogonal_frame(norms, dim).vectors)
    assert U.shape == (dim or 4, 4)
    np.testing.assert_array_equal(U.T @ U, np.diag(norms**2))


@pytest.mark.parametrize(
    "vectors, dim, bound",
    [
        (3, 2, 1 / 2),
        (6, 3, 1 / 5**0.5),
        (16, 6, 1 / 3),
        (28, 7, 1 / 3),
        (1000, 512, 0.03089),
        (1000, 100, 0.0949),
        (100, 22, 0.1892),
        (162, 21, 0.2042),
        (100000, 5000, 0.01378),
    ],
)
def test_welch_bound_takes_its_published_values(vectors, dim, bound):
    assert isinstance(welch_bound(vectors, dim), float)
    np.testing.assert_allclose(welch_bound(vectors, dim), bound, rtol=0, atol=1e-15 if bound > 0.3 else 5.1e-5)


def test_welch_bound_vanishes_as_soon_as_orthogonal_vectors_fit():
    assert [welch_bound(vectors, 4) for vectors in (1, 3, 4)] == [0.0, 0.0, 0.0]
    assert welch_bound(5, 4) == 0.25


def test_welch_bound_forbids_the_default_threshold_of_equiangular_basis_vectors():
    assert welch_bound(1000, 512) > 0.002


def test_the_six_lines_of_the_icosahedron_are_an_equiangular_tight_frame():
    np.testing.assert_allclose(coherence(ICOSAHEDRON), welch_bound(6, 3), rtol=1e-14)
    np.testing.assert_allclose(compiled_tightness(ICOSAHEDRON), 0, atol=1e-14)
    assert compiled_tightness(ICOSAHEDRON[:, :5]) > 0.1


def roots_of_e8():
    """The 120 lines of E8: signed pairs of axes, and half-vectors of even sign."""
    pairs = [np.eye(8)[i] + s * np.eye(8)[j] for i in range(8) for j in range(i) for s in (1, -1)]
    halves = [[1 - 2 * ((n >> i) & 1) for i in range(8)] for n in range(128)]  # the last coordinate is 1
    return np.array([*pairs, *(np.array(h) / 2 for h in halves if np.prod(h) == 1)]).T


def test_lines_of_the_root_systems_meet_the_bound_of_levenshtein():
    e8 = roots_of_e8()
    assert e8.shape == (8, 120)
    e7 = e8[:, np.abs(e8.T @ e8[:, 0]) < 1e-12]  # the roots orthogonal to one live in 7 dimensions
    d4 = np.array([np.eye(4)[i] + s * np.eye(4)[j] for i in range(4) for j in range(i) for s in (1, -1)]).T
    for lines, vectors, dim in ((e8, 120, 8), (e7, 63, 7), (d4, 12, 4)):
        assert lines.shape[1] == vectors and np.linalg.matrix_rank(lines) == dim
        np.testing.assert_allclose([coherence(lines), line_bound(vectors, dim)], 0.5, rtol=1e-14)
        assert welch_bound(vectors, dim) < 0.49


@pytest.mark.parametrize("dim", [1, 2, 3, 7, 20])
def test_the_line_bound_is_welchs_up_to_gerzons_number_and_larger_beyond(dim):
    gerzon = dim * (dim + 1) // 2
    assert line_bound(gerzon, dim) == welch_bound(gerzon, dim)
    assert line_bound(gerzon + 1, dim) >= max(welch_bound(gerzon + 1, dim), dim**-0.5) - 1e-15
    larger = [line_bound(vectors, dim) for vectors in range(gerzon + 1, gerzon + 60)]
    assert all(np.diff(larger) >= 0) and larger[-1] <= 1
    crossing = -(-dim * (dim + 2) // 2)
    if crossing > gerzon + 1:
        np.testing.assert_allclose(line_bound(crossing - 1, dim), dim**-0.5, rtol=1e-14)
    np.testing.assert_allclose(line_bound(10**9, dim) ** 2, 3 / (dim + 2), rtol=1e-6)


def test_the_bound_of_rankin_is_met_by_simplex_and_orthoplex():
    for dim in (1, 2, 5):
        for vectors in range(2, dim + 2):
            np.testing.assert_allclose(signed_coherence(simplex_etf(vectors, dim).vectors), rankin_bound(vectors, dim), rtol=1e-13)
        for vectors in range(dim + 2, 2 * dim + 1):
            assert signed_coherence(orthoplex(vectors, dim).vectors) == rankin_bound(vectors, dim) == 0
    assert orthoplex(5).vectors.shape == (3, 5) and orthoplex(6, 4).vectors.shape == (4, 6)


@pytest.mark.parametrize("vectors", [2, 3, 5, 8])
def test_polygons_spread_points_of_the_circle_evenly(vectors):
    frame = polygon(vectors)
    np.testing.assert_allclose(frame.norms, 1, rtol=1e-15)
    np.testing.assert_allclose(frame.signed_coherence, np.cos(2 * np.pi / vectors), atol=1e-15)
    np.testing.assert_allclose(frame.tightness, 0 if vectors > 2 else 2**0.5, atol=1e-14)
    half = Frame(polygon(2 * vectors).vectors[:, :vectors])  # K lines of the plane: Levenshtein's bound is met up to K = 4
    np.testing.assert_allclose(half.coherence, np.cos(np.pi / vectors), atol=1e-15)
    assert half.coherence >= line_bound(vectors, 2) - 1e-15


KNOWN_LINES = [
    (3, 5), (4, 4), (5, 4), (6, 3), (14, 7), (30, 15), (10, 5), (28, 7), (28, 21), (36, 15), (36, 21), (120, 35), (136, 85),
    (16, 6), (16, 10), (64, 28), (64, 36), (144, 66), (176, 22), (276, 23), (276, 253),
]  # fmt: skip


@pytest.mark.parametrize("vectors, dim", KNOWN_LINES)
def test_equiangular_lines_meet_welchs_bound_at_every_pair(vectors, dim):
    frame = equiangular_lines(vectors, dim)
    U = np.asarray(frame.vectors)
    assert U.shape == (dim, vectors)
    np.testing.assert_allclose((U**2).sum(axis=0), 1, rtol=1e-12)
    np.testing.assert_allclose(np.abs(numpy_cosines(U)), welch_bound(vectors, dim), rtol=1e-11, atol=1e-15)
    if vectors > dim:
        np.testing.assert_allclose(U @ U.T, vectors / dim * np.eye(dim), atol=1e-11)


@pytest.mark.parametrize("vectors, dim", [(6, 3), (16, 6), (28, 7), (276, 23)])
def test_signs_of_equiangular_lines_are_a_regular_two_graph(vectors, dim):
    gram = np.asarray(equiangular_lines(vectors, dim).gram)
    seidel = np.sign(np.where(np.eye(vectors, dtype=bool), 0, gram))
    w = welch_bound(vectors, dim)
    two = np.unique(np.round(np.linalg.eigvalsh(seidel), 8))
    np.testing.assert_allclose(two, [-1 / w, (vectors / dim - 1) / w], atol=1e-8)


@pytest.mark.parametrize("vectors, dim", [(7, 3), (8, 4), (10, 3), (22, 11), (26, 13), (275, 23)])
def test_lines_without_a_construction_are_refused_with_those_that_have_one(vectors, dim):
    with pytest.raises(ValueError, match=rf"10 in 5, 16 in 6, 28 in 7, .*276 in 23.*got \({vectors}, {dim}\)"):
        equiangular_lines(vectors, dim)


def dense_seli(counts):
    """(P N P)^(1/2) and the root of its pseudo-inverse, by one eigendecomposition of the K x K matrix."""
    K = len(counts)
    P = np.eye(K) - 1 / K
    s, V = np.linalg.eigh(P @ np.diag(np.asarray(counts, float)) @ P)
    keep = s > 1e-9 * s.max()
    V, s = V[:, keep], s[keep]
    return V * np.sqrt(s) @ V.T, V / np.sqrt(s) @ V.T


@pytest.mark.parametrize("counts", [(50, 50, 50, 5, 5), (1, 1), (7, 3, 2, 1), (1e6, 3.0, 1.0), (2, 2, 2)])
def test_seli_has_the_grams_of_its_roots_and_all_margins_one(counts):
    classifier, means = seli(np.asarray(counts, float))
    WW, MM = dense_seli(counts)
    K, rounding = len(counts), 1e-12 + 1e-15 * max(counts) / min(counts)
    np.testing.assert_allclose(classifier.gram, WW, rtol=0, atol=rounding * np.abs(WW).max())
    np.testing.assert_allclose(means.gram, MM, rtol=0, atol=rounding * np.abs(MM).max())
    logits = np.asarray(classifier.vectors).T @ np.asarray(means.vectors)
    np.testing.assert_allclose(logits, np.eye(K) - 1 / K, atol=1e-12)
    assert seli(counts, K + 3).means.vectors.shape == (K + 3, K)


def test_seli_goldens():
    W, M = (frame.gram for frame in seli([50, 50, 50, 5, 5]))
    golden = [5.353489411019, -1.717578400847, -0.959166304663, 2.556783445744, 0.320715468244]
    np.testing.assert_allclose([W[0, 0], W[0, 1], W[0, 3], W[3, 3], W[3, 4]], golden, atol=1e-12)
    golden = [0.122082826032, -0.041702882811, 0.286161121967, -0.161052473533]
    np.testing.assert_allclose([M[0, 0], M[0, 3], M[3, 3], M[3, 4]], golden, atol=1e-12)


def test_seli_of_equal_sizes_is_the_simplex_and_is_differentiable_there():
    n = 7.0
    classifier, means = seli(np.full(4, n))
    for frame, scale in ((classifier, n**0.25), (means, n**-0.25)):
        np.testing.assert_allclose(frame.vectors, scale * np.sqrt(3 / 4) * np.asarray(simplex_etf(4).vectors), atol=1e-14)
    entry = jax.jit(lambda counts: seli(counts).means.gram[0, 1])
    for counts in (np.full(4, n), np.array([9.0, 2.0, 2.0, 1.0])):
        slopes = np.asarray(jax.jit(jax.grad(entry))(counts))
        steps = 1e-5 * np.eye(4)
        differences = [(entry(counts + step) - entry(counts - step)) / 2e-5 for step in steps]
        np.testing.assert_allclose(slopes, differences, rtol=1e-6, atol=1e-10)


def test_seli_maps_over_class_sizes():
    counts = jnp.array([[4.0, 2.0, 1.0], [1.0, 1.0, 1.0]])
    grams = jax.jit(jax.vmap(lambda n: seli(n).classifier.gram))(counts)
    for gram, n in zip(grams, counts, strict=True):
        np.testing.assert_allclose(gram, dense_seli(np.asarray(n))[0], atol=1e-13)


@pytest.mark.parametrize("dim, vectors", [(2, 3), (4, 7), (8, 4)])
@pytest.mark.parametrize("seed", [0, 1])
def test_coherences_are_the_largest_cosines_and_never_beat_their_bounds(dim, vectors, seed):
    frame = random_frame(dim, vectors, seed)
    cosines = numpy_cosines(frame)
    np.testing.assert_allclose(coherence(frame), np.abs(cosines).max(), rtol=1e-13)
    np.testing.assert_allclose(signed_coherence(frame), cosines.max(), rtol=1e-13)
    assert coherence(frame) >= welch_bound(vectors, dim)
    assert signed_coherence(frame) >= -1 / (vectors - 1)


def test_flipping_a_vector_changes_the_signed_coherence_only():
    frame = np.asarray(simplex_etf(4).vectors)
    flipped = frame * np.array([1.0, 1.0, 1.0, -1.0])
    np.testing.assert_allclose(coherence(flipped), coherence(frame), rtol=1e-14)
    np.testing.assert_allclose([signed_coherence(frame), signed_coherence(flipped)], [-1 / 3, 1 / 3], rtol=1e-14)


@pytest.mark.parametrize("dim, vectors", [(4, 7), (7, 3)])
def test_tightness_is_the_excess_of_the_frame_potential(dim, vectors):
    frame = random_frame(dim, vectors)
    potential = ((frame.T @ frame) ** 2).sum() / (frame**2).sum() ** 2
    np.testing.assert_allclose(compiled_tightness(frame), np.sqrt(dim**2 * potential - dim), rtol=1e-12)


@pytest.mark.parametrize("dim, vectors", [(5, 5), (9, 2)])
def test_orthogonal_frames_are_as_tight_as_so_few_vectors_can_be(dim, vectors):
    least = np.sqrt(dim * (dim - vectors) / vectors)
    np.testing.assert_allclose(compiled_tightness(orthogonal_frame(vectors, dim).vectors), least, rtol=1e-14)
    assert compiled_tightness(random_frame(dim, vectors)) > least


@pytest.mark.parametrize("measure", [coherence, signed_coherence, tightness])
def test_frame_measures_do_not_change_under_rotations_permutations_and_scale(measure):
    frame = random_frame(4, 7)
    rotation = np.linalg.qr(random_frame(4, 4, seed=1))[0]
    for image in (rotation @ frame, frame[:, ::-1], 1e3 * frame):
        np.testing.assert_allclose(measure(image), measure(frame), rtol=1e-13)


@pytest.mark.parametrize("measure", [coherence, signed_coherence, tightness])
@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_tiny_and_huge_float32_frames_neither_underflow_nor_overflow(measure, scale):
    frame = jnp.asarray(random_frame(4, 7), jnp.float32)
    answer = measure(frame * jnp.float32(scale))
    assert answer.dtype == jnp.float32
    np.testing.assert_allclose(answer, measure(frame), rtol=1e-5)


def test_a_zero_vector_is_orthogonal_to_all_others():
    frame = general_orthogonal_frame(jnp.array([1.0, 0.0, 2.0])).vectors
    assert coherence(frame) == 0 and signed_coherence(frame) == 0
    np.testing.assert_allclose(tightness(jnp.zeros((4, 3))), 2.0)


def test_frames_have_the_dtype_that_is_asked_for():
    assert helmert(4).dtype == simplex_etf(4).vectors.dtype == orthogonal_frame(4).vectors.dtype == jnp.zeros(()).dtype
    assert helmert(4, jnp.float32).dtype == jnp.float32
    assert simplex_etf(4, dtype=jnp.float32).vectors.dtype == orthogonal_frame(4, dtype=jnp.float32).vectors.dtype == jnp.float32
    assert general_orthogonal_frame(jnp.ones(3, jnp.float32)).vectors.dtype == jnp.float32
    assert general_orthogonal_frame([1, 2, 3]).vectors.dtype == jnp.zeros(()).dtype
    for frame in (polygon(5, jnp.float32), orthoplex(5, dtype=jnp.float32), equiangular_lines(16, 6, jnp.float32)):
        assert frame.vectors.dtype == jnp.float32
    assert seli(jnp.ones(3, jnp.float32)).means.vectors.dtype == jnp.float32
    np.testing.assert_allclose(simplex_etf(100, dtype=jnp.float32).vectors, simplex_etf(100).vectors, atol=2e-7)


def test_frame_measures_jit_and_vmap():
    frames = jnp.stack([random_frame(4, 7, seed) for seed in range(3)])
    for measure in (coherence, signed_coherence, tightness):
        batched = jax.jit(jax.vmap(measure))(frames)
        np.testing.assert_allclose(batched, [measure(frame) for frame in frames], rtol=1e-13)
    lengths = jnp.arange(1.0, 7.0).reshape(2, 3)
    grams = jax.jit(jax.vmap(lambda norms: general_orthogonal_frame(norms, 4).vectors))(lengths)
    np.testing.assert_array_equal(jnp.diagonal(grams, axis1=1, axis2=2), lengths)


def test_a_frame_carries_its_figures_through_jit_and_prints_them():
    frame = jax.jit(lambda f: f)(Frame(jnp.asarray(ICOSAHEDRON)))
    assert (frame.dim, frame.size) == (3, 6)
    np.testing.assert_allclose(frame.welch_ratio, 1, rtol=1e-13)
    np.testing.assert_allclose(frame.norms, np.sqrt(1 + GOLDEN**2), rtol=1e-14)
    np.testing.assert_allclose(frame.gram, ICOSAHEDRON.T @ ICOSAHEDRON, atol=1e-13)
    assert frame.sparsity == 1 / 3 and frame.signed_coherence <= frame.coherence
    assert repr(frame) == (
        "Frame(6 vectors in 3 dimensions: coherence 0.447214, 1 of the Welch bound; tightness 0; zeros 0.333)"
    )


@pytest.mark.parametrize("frame, ratio", [(orthogonal_frame(4), 1.0), (Frame(jnp.ones((3, 2))), np.inf)])
def test_where_orthogonal_vectors_fit_only_they_are_as_good_as_the_bound(frame, ratio):
    assert frame.welch_ratio == ratio


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: simplex_etf(5, 3), "dim must be at least classes - 1 = 4 for a simplex, got 3"),
        (lambda: simplex_etf(1), "classes must be a whole number of at least 2, got 1"),
        (lambda: simplex_etf(3, 2.0), "dim must be a whole number of at least 1, got 2.0"),
        (lambda: helmert(2.5), "classes must be a whole number of at least 2, got 2.5"),
        (lambda: orthogonal_frame(5, 4), "dim must be at least classes = 5 for an orthogonal frame, got 4"),
        (lambda: orthogonal_frame(0), "classes must be a whole number of at least 1, got 0"),
        (lambda: general_orthogonal_frame([1.0, -1.0]), "norms must be finite and at least 0, got"),
        (lambda: general_orthogonal_frame(np.ones((2, 2))), r"norms must have shape \(classes,\), got \(2, 2\)"),
        (lambda: general_orthogonal_frame([1.0, 1.0], 1), "dim must be at least classes = 2 for an orthogonal frame"),
        (lambda: welch_bound(0, 3), "vectors must be a whole number of at least 1, got 0"),
        (lambda: welch_bound(3, 0), "dim must be a whole number of at least 1, got 0"),
        (lambda: line_bound(0, 3), "vectors must be a whole number of at least 1, got 0"),
        (lambda: rankin_bound(1, 3), "vectors must be a whole number of at least 2, got 1"),
        (lambda: rankin_bound(3, 0), "dim must be a whole number of at least 1, got 0"),
        (lambda: polygon(1), "vectors must be a whole number of at least 2, got 1"),
        (lambda: orthoplex(7, 3), "vectors must be at most 2 dim = 6 for an orthoplex, got 7"),
        (lambda: equiangular_lines(1, 1), "vectors must be a whole number of at least 2, got 1"),
        (lambda: equiangular_lines(3, 0), "dim must be a whole number of at least 1, got 0"),
        (lambda: seli([3, 0]), "counts must be finite and above 0"),
        (lambda: seli([3]), r"counts must have shape \(at least 2 classes,\), got \(1,\)"),
        (lambda: seli([3, 2, 1], 1), "dim must be at least classes - 1 = 2, got 1"),
        (lambda: coherence(np.ones((3, 1))), r"frame must have shape \(dim, at least 2 vectors\), got \(3, 1\)"),
        (lambda: signed_coherence(np.ones(3)), r"frame must have shape .* got \(3,\)"),
        (lambda: tightness(np.ones(3)), r"frame must have shape .* got \(3,\)"),
    ],
)
def test_bad_frames_are_refused_in_a_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call()
