"""Frames from data and as classifiers: sparse and nearest simplexes, dot-regression, realigned heads."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ufm import Status
from ufm.base.matrices import polar, symmetric_power
from ufm.frames import (
    Frame,
    client_logits,
    dot_regression,
    nearest_simplex,
    proximal_simplex,
    realign_global,
    realign_local,
    simplex_etf,
    sparse_etf,
)

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)


def angles_in_degrees(U):
    unit = U / np.sqrt((U**2).sum(axis=0))
    return np.degrees(np.arccos((unit.T @ unit)[np.triu_indices(U.shape[1], 1)]))


@pytest.mark.parametrize("seed", [0, 1])
def test_a_frame_with_sixty_per_cent_of_zeros_can_be_an_exact_simplex(seed):
    """The published search ends 0.04 degrees away, at lengths within 5e-4 of 0.1."""
    found = sparse_etf(10, 64, 0.6, jax.random.key(seed), norm=0.1)
    U = np.asarray(found.frame.vectors)
    assert found.status == Status.REACHED
    assert (U == 0).sum() == int(0.6 * 640) and np.all((U != 0).sum(axis=1) != 1)
    np.testing.assert_allclose(np.sqrt((U**2).sum(axis=0)), 0.1, rtol=1e-12)
    np.testing.assert_allclose(angles_in_degrees(U), 96.37937, atol=1e-5)
    np.testing.assert_allclose(angles_in_degrees(U), np.degrees(np.arccos(-1 / 9)), atol=1e-10)
    np.testing.assert_allclose(found.coherence, 1 / 9, rtol=1e-12)


def test_supports_are_random_and_repeat_with_their_key():
    keys = KEY, KEY, jax.random.key(5)
    first, again, other = (np.asarray(sparse_etf(10, 64, 0.6, key, norm=0.1).frame.vectors) for key in keys)
    np.testing.assert_array_equal(first, again)
    assert 100 < ((first == 0) != (other == 0)).sum()


def test_too_sparse_a_frame_is_reported_as_no_simplex():
    found = sparse_etf(10, 64, 0.95, KEY)  # 32 entries for the 45 pairs of classes
    assert found.status == Status.NOT_REACHED
    assert (np.asarray(found.frame.vectors) == 0).sum() >= int(0.95 * 640)
    assert np.abs(angles_in_degrees(np.asarray(found.frame.vectors)) - 96.37937).max() > 0.1


def test_sparse_frames_keep_float32_also_under_jit():
    found = jax.jit(lambda key: sparse_etf(4, 8, 0.5, key, dtype=jnp.float32))(KEY)
    assert found.frame.vectors.dtype == jnp.float32 and found.frame.vectors.shape == (8, 4)
    assert found.status == Status.REACHED and found.frame.sparsity == 0.5


def test_the_nearest_simplex_is_nearer_than_random_and_neighbouring_ones():
    Y = RNG.standard_normal((12, 5))
    F = np.asarray(nearest_simplex(Y).vectors)
    np.testing.assert_allclose(F.T @ F, 1.25 * np.eye(5) - 0.25, atol=1e-13)

    def cost(F):
        return ((Y - F / np.sqrt(5)) ** 2).sum()

    for size in (1e-3, 1e-1, 10.0):
        for _ in range(20):
            turn = np.linalg.qr(np.eye(12) + size * RNG.standard_normal((12, 12)))
            assert cost(turn[0] * np.sign(np.diag(turn[1])) @ F) >= cost(F)
    A = Y @ (np.eye(5) - 1 / 5)
    np.testing.assert_allclose(cost(F), (Y**2).sum() + 1 - 2 / np.sqrt(4) * np.linalg.svd(A)[1].sum(), rtol=1e-13)


def test_a_simplex_is_its_own_nearest_one_whatever_its_scale_and_centre():
    F = np.linalg.qr(RNG.standard_normal((6, 6)))[0] @ np.asarray(simplex_etf(5, 6).vectors)
    np.testing.assert_allclose(nearest_simplex(3.7 * F + np.ones((6, 1))).vectors, F, atol=1e-13)
    np.testing.assert_allclose(nearest_simplex(F[:, [0, 1]]).gram, [[1, -1], [-1, 1]], atol=1e-13)


def test_the_proximal_weight_leads_from_the_nearest_to_the_previous_simplex():
    Y, previous = RNG.standard_normal((6, 4)), simplex_etf(4, 6)
    np.testing.assert_allclose(proximal_simplex(Y, previous, 0.0).vectors, nearest_simplex(Y).vectors, atol=1e-13)
    np.testing.assert_allclose(proximal_simplex(Y, previous, 1e9).vectors, previous.vectors, atol=1e-7)
    distances = [float(jnp.linalg.norm(proximal_simplex(Y, previous, w).vectors - previous.vectors)) for w in (0.0, 0.1, 1.0, 10.0)]
    assert all(np.diff(distances) < 0)


@pytest.mark.parametrize("singular_values", [(3.0, 2.0, 1.0), (2.0, 2.0, 2.0), (2.0, 2.0, 1e-3)])
@pytest.mark.parametrize("rows", [3, 5])
def test_derivatives_of_polar_factors_and_powers_survive_equal_singular_values(singular_values, rows):
    rng = np.random.default_rng(1)
    U, V = (np.linalg.qr(rng.standard_normal((n, n)))[0] for n in (rows, 3))
    A, dA = U[:, :3] * np.array(singular_values) @ V, rng.standard_normal((rows, 3))
    spd, dspd = V.T * np.array(singular_values) @ V, dA.T @ dA

    def steps(f, x, dx, h):
        return (np.asarray(f(x + h * dx)) - np.asarray(f(x - h * dx))) / (2 * h)

    h = 1e-5 * min(singular_values)
    powers = ((lambda x, p=p: symmetric_power(x, p), spd, dspd) for p in (0.25, -0.5))
    for f, x, dx in ((polar, A, dA), *powers):
        value, slope = jax.jvp(f, (x,), (dx,))
        np.testing.assert_allclose(value, f(x), rtol=1e-14)
        np.testing.assert_allclose(slope, steps(f, x, dx, h), rtol=1e-6, atol=1e-7 * np.abs(slope).max())


def test_the_nearest_simplex_differentiates_at_collapse():
    F = simplex_etf(4, 5).vectors
    gradient = jax.jit(jax.grad(lambda Y: nearest_simplex(Y).vectors[1, 2]))(F)
    step = RNG.standard_normal((5, 4))
    difference = (nearest_simplex(F + 1e-5 * step).vectors - nearest_simplex(F - 1e-5 * step).vectors)[1, 2] / 2e-5
    np.testing.assert_allclose(np.sum(gradient * step), difference, rtol=1e-8)


def test_dot_regression_vanishes_on_the_classifier_alone():
    frame, labels = simplex_etf(3, 4), np.array([0, 0, 1, 2])
    m = np.asarray(frame.vectors)[:, labels]
    assert dot_regression(5 * m, labels, frame, 2.0, 3.0) == pytest.approx(0, abs=1e-15)
    opposite = dot_regression(-m, labels, frame, 2.0, 3.0)
    np.testing.assert_allclose(opposite, 2 * np.sqrt(6.0), rtol=1e-14)
    h = RNG.standard_normal((4, 4))
    hh = np.sqrt(3.0) * h / np.linalg.norm(h, axis=0)
    published = np.mean((np.sum(hh * np.sqrt(2.0) * m, axis=0) - np.sqrt(6.0)) ** 2) / (2 * np.sqrt(6.0))
    for image in (h, 1e3 * h):
        np.testing.assert_allclose(dot_regression(image, labels, frame.vectors, 2.0, 3.0), published, rtol=1e-13)


def test_the_minimum_of_dot_regression_is_of_fourth_order():
    """Squares of 1 - cos: no curvature at the minimum, hence descent at an algebraic rate."""
    t = np.array([1e-1, 1e-2])
    h = np.stack([np.cos(t), np.sin(t)])
    values = [float(dot_regression(h[:, i : i + 1], np.array([0]), np.eye(2), 4.0, 9.0)) for i in range(2)]
    np.testing.assert_allclose(values, 6 * t**4 / 8, rtol=2e-3)


def test_dot_regression_of_a_zero_feature_has_no_infinite_slope():
    gradient = jax.jit(jax.grad(lambda h: dot_regression(h, jnp.array([0, 1]), jnp.eye(3))))(jnp.zeros((3, 2), jnp.float32))
    assert gradient.dtype == jnp.float32 and np.all(np.isfinite(gradient))
    np.testing.assert_allclose(dot_regression(np.zeros((3, 2)), np.array([0, 1]), np.eye(3)), 0.5)


def test_realigned_heads_take_directions_from_the_global_and_lengths_from_the_local_head():
    W, V = RNG.standard_normal((3, 5)), RNG.standard_normal((3, 5))
    unit = W / np.linalg.norm(W, axis=1, keepdims=True)
    np.testing.assert_allclose(realign_global(W), 1.7 * unit, rtol=1e-14)
    np.testing.assert_allclose(realign_local(unit, V), unit * np.linalg.norm(V, axis=1, keepdims=True), rtol=1e-14)
    np.testing.assert_array_equal(realign_global(np.zeros((2, 3))), 0)


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.float32, jnp.float64])
def test_absent_classes_never_win_and_never_make_nan(dtype):
    W, V, H = (jnp.asarray(RNG.standard_normal(shape), dtype) for shape in ((4, 5), (4, 5), (5, 6)))
    present = np.array([True, False, True, True])
    z = jax.jit(client_logits)(H, 100 * W, V, present)
    assert z.dtype == dtype
    np.testing.assert_array_equal(z[present], ((100 * W + V) @ H)[present])
    p = jax.nn.softmax(z, axis=0)
    assert np.all(np.isfinite(z + z)) and np.all(np.isfinite(p)) and np.all(p[1] == 0)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: sparse_etf(1, 4, 0.5, KEY), "classes must be a whole number of at least 2, got 1"),
        (lambda: sparse_etf(5, 3, 0.5, KEY), "dim must be at least classes - 1 = 4 for a simplex, got 3"),
        (lambda: sparse_etf(3, 4, 1.0, KEY), r"sparsity must be a number from 0 to 1 - 2/dim = 0.5, two entries a class, got 1.0"),
        (lambda: sparse_etf(3, 4, -0.1, KEY), "sparsity must be a number from 0 .* got -0.1"),
        (lambda: sparse_etf(3, 4, 0.6, KEY), "sparsity must be a number from 0 .* got 0.6"),
        (lambda: sparse_etf(3, 4, 0.5, KEY, norm=0), "norm must be finite and above 0, got 0"),
        (lambda: nearest_simplex(np.ones(3)), r"matrix must have shape \(dim, at least 2 classes\), got \(3,\)"),
        (lambda: nearest_simplex(np.ones((2, 4))), r"matrix.shape\[0\] must be at least classes - 1 = 3 for a simplex, got 2"),
        (lambda: proximal_simplex(np.eye(3), Frame(jnp.eye(4))), r"previous.vectors must have shape \(3, 3\), got \(4, 4\)"),
        (lambda: proximal_simplex(np.eye(3), Frame(jnp.eye(3)), -1), "proximal must be finite and at least 0, got -1"),
        (lambda: dot_regression(np.eye(3), np.array([0, 1, 3]), np.eye(3)), "labels must be from 0 to 2, got"),
        (lambda: dot_regression(np.eye(3), np.array([0.0, 1, 2]), np.eye(3)), "labels must be whole numbers, got"),
        (lambda: dot_regression(np.eye(3), np.array([0, 1]), np.eye(3)), r"labels must have shape \(3,\), got \(2,\)"),
        (lambda: dot_regression(np.eye(4), np.arange(4), np.eye(3)), r"features must have shape \(3, samples\)"),
        (lambda: dot_regression(np.eye(3), np.arange(3), np.ones(3)), r"frame must have shape \(dim, classes\), got \(3,\)"),
        (lambda: dot_regression(np.eye(3), np.arange(3), np.eye(3), -1.0), "E_W must be finite and above 0, got -1.0"),
        (lambda: dot_regression(np.eye(3), np.arange(3), np.eye(3), 1.0, 0.0), "E_H must be finite and above 0, got 0.0"),
        (lambda: realign_local(np.eye(3), np.eye(2)), r"local_head must have shape \(3, 3\), got \(2, 2\)"),
        (lambda: realign_global(np.eye(3), 0.0), "length must be finite and above 0, got 0.0"),
        (lambda: client_logits(np.eye(3), np.eye(3), np.eye(3), np.ones(2, bool)), r"present must have shape \(3,\), got \(2,\)"),
    ],
)
def test_bad_arguments_are_refused_in_a_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("seed", [0, 1])
def test_a_support_with_no_room_for_its_single_entries_ends_without_a_frame(seed):
    found = sparse_etf(5, 10, 0.81, jax.random.key(seed))  # nine or ten entries in ten rows: most stand alone
    assert found.status == Status.NOT_REACHED
