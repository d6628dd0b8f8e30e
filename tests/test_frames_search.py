"""Frames found by optimisation: lines, points, and vectors below a threshold."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ufm import Status
from ufm.frames import basis_vectors as basis_module
from ufm.frames import equiangular_basis, grassmannian, line_bound, orthogonal_frame, spherical_code, welch_bound

KEY = jax.random.key(0)


def largest_cosine(frame, signed=False):
    """An independent count, pair by pair."""
    U = np.asarray(frame.vectors, np.float64)
    U = U / np.sqrt((U**2).sum(axis=0))
    values = [U[:, j] @ U[:, k] for j in range(U.shape[1]) for k in range(j)]
    return max(values) if signed else max(map(abs, values))


@pytest.mark.parametrize("seed", [0, 1])
def test_sixteen_lines_in_five_dimensions_meet_the_orthoplex_bound(seed):
    found = grassmannian(16, 5, jax.random.key(seed), starts=4)
    assert found.status == Status.REACHED and found.frame.vectors.shape == (5, 16)
    np.testing.assert_allclose([found.coherence, largest_cosine(found.frame)], 5**-0.5, rtol=2e-6)
    np.testing.assert_allclose(found.frame.norms, 1, rtol=1e-13)


def test_sixteen_points_in_five_dimensions_find_the_half_cube():
    found = spherical_code(16, 5, KEY, starts=4)
    np.testing.assert_allclose([found.coherence, largest_cosine(found.frame, signed=True)], 1 / 5, rtol=1e-6)
    assert found.status == Status.NOT_REACHED  # more than 2 d points stay above the bound 0


def test_lines_whose_best_is_above_the_bound_are_reported_so_also_under_jit_and_in_float32():
    found = jax.jit(lambda key: grassmannian(5, 3, key, starts=3, dtype=jnp.float32))(KEY)
    assert found.status == Status.NOT_REACHED and "out of reach" in Status(int(found.status)).text
    assert found.frame.vectors.dtype == found.coherence.dtype == jnp.float32
    # five of the icosahedron's six diagonals: no five lines of space are further apart
    np.testing.assert_allclose(largest_cosine(found.frame), 5**-0.5, rtol=1e-4)
    assert found.coherence > 1.05 * welch_bound(5, 3)


@pytest.mark.parametrize("vectors, dim", [(3, 5), (4, 4), (5, 4)])
def test_where_a_closed_form_is_best_it_is_returned_without_a_search(vectors, dim):
    lines, points = grassmannian(vectors, dim, KEY), spherical_code(vectors, dim, KEY)
    assert lines.steps == points.steps == 0 and lines.status == points.status == Status.REACHED
    np.testing.assert_allclose(lines.coherence, welch_bound(vectors, dim), atol=1e-15)
    np.testing.assert_allclose(points.coherence, -1 / (vectors - 1), rtol=1e-14)


@pytest.mark.parametrize("vectors, dim, threshold", [(16, 8, 0.30), (100, 50, 0.15), (100, 50, 0.11)])
def test_equiangular_basis_vectors_stay_below_their_threshold(vectors, dim, threshold):
    found = equiangular_basis(vectors, dim, threshold, KEY)
    assert found.status == Status.REACHED and found.frame.vectors.shape == (dim, vectors)
    np.testing.assert_allclose(found.coherence, largest_cosine(found.frame), rtol=1e-13)
    assert line_bound(vectors, dim) <= found.coherence <= threshold + 1e-4
    np.testing.assert_allclose(found.frame.norms, 1, rtol=1e-14)


def test_a_thousand_vectors_in_512_dimensions_need_a_dozen_steps():
    found = equiangular_basis(1000, 512, 0.05, KEY, dtype=jnp.float32)
    assert found.status == Status.REACHED and found.frame.vectors.dtype == jnp.float32
    assert found.steps <= 20
    U = np.asarray(found.frame.vectors, np.float64)
    assert np.abs(U.T @ U - np.eye(1000)).max() <= 0.05 + 1e-4 + 1e-6


def test_the_published_default_threshold_is_refused_with_the_bound_of_welch():
    with pytest.raises(ValueError, match="threshold must be below 1 and at least 0.0309, the Welch bound of 1000 vectors in 512"):
        equiangular_basis(1000, 512, 0.002, KEY)
    assert equiangular_basis(1000, 1000, 0.002, KEY, dtype=jnp.float32).coherence == 0


def test_thresholds_are_refused_on_one_side_of_the_bound_alone():
    bound = welch_bound(16, 6)
    with pytest.raises(ValueError, match="at least 0.3334, the Welch bound of 16 vectors in 6"):
        equiangular_basis(16, 6, bound * (1 - 1e-9), KEY)
    with pytest.raises(ValueError, match="at least 0.5774, the orthoplex bound of 7 vectors in 3"):
        equiangular_basis(7, 3, 0.57, KEY)
    with pytest.raises(ValueError, match="at least 0.7666, the Levenshtein bound of 100 vectors in 3"):
        equiangular_basis(100, 3, 0.7, KEY)
    hopeless = equiangular_basis(16, 8, welch_bound(16, 8), KEY, max_steps=50)
    assert hopeless.status == Status.NOT_REACHED and hopeless.steps == 50
    np.testing.assert_allclose(hopeless.coherence, largest_cosine(hopeless.frame), rtol=1e-13)


def test_a_basis_that_fits_is_orthonormal():
    found = equiangular_basis(6, 8, 0.002, KEY)
    np.testing.assert_array_equal(found.frame.vectors, orthogonal_frame(6, 8).vectors)
    assert found.status == Status.REACHED and found.steps == 0


def test_blocks_of_rows_change_nothing(monkeypatch):
    U = np.random.default_rng(0).standard_normal((5, 11))
    U = U / np.linalg.norm(U, axis=0)
    G = U.T @ U * (1 - np.eye(11))
    above = np.maximum(np.abs(G) - 0.3, 0)
    expected = (above**2).sum(), 4 * U @ (np.sign(G) * above), np.abs(G).max()
    for cells in (10**6, 44):  # one block, and blocks of four columns of which the last is not full
        monkeypatch.setattr(basis_module, "_CELLS", cells)
        for a, b in zip(expected, jax.jit(lambda U: basis_module._excess(U, 0.3))(U), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-14)


def test_a_basis_under_jit_and_vmap_over_keys_and_thresholds():
    search = jax.jit(jax.vmap(lambda key, threshold: equiangular_basis(20, 10, threshold, key)))
    thresholds = jnp.array([0.4, 0.35])
    found = search(jax.random.split(KEY, 2), thresholds)
    assert found.frame.vectors.shape == (2, 10, 20)
    assert np.all(found.coherence <= thresholds + 1e-4)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: grassmannian(1, 3, KEY), "vectors must be a whole number of at least 2, got 1"),
        (lambda: grassmannian(4, 0, KEY), "dim must be a whole number of at least 1, got 0"),
        (lambda: grassmannian(4, 2, KEY, starts=0), "starts must be a whole number of at least 1, got 0"),
        (lambda: spherical_code(1, 3, KEY), "vectors must be a whole number of at least 2, got 1"),
        (lambda: equiangular_basis(1, 3, 0.5, KEY), "vectors must be a whole number of at least 2, got 1"),
        (lambda: equiangular_basis(9, 4, 1.0, KEY), "threshold must be below 1 and at least 0.3953, the Welch bound.*got 1.0"),
        (lambda: equiangular_basis(3, 4, -0.1, KEY), "threshold must be below 1 and at least 0, .*got -0.1"),
        (lambda: equiangular_basis(9, 4, 0.5, KEY, tolerance=0.0), "tolerance must be finite and above 0, got 0.0"),
        (lambda: equiangular_basis(9, 4, 0.5, KEY, max_steps=0), "max_steps must be a whole number of at least 1, got 0"),
    ],
)
def test_bad_searches_are_refused_in_a_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call()
