"""One-vs-rest distances against non-negative least squares, and softmax codes against the values that are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import nnls

from ufm import Status
from ufm.frames import Frame, one_vs_rest, signed_coherence, simplex_etf
from ufm.frames.one_vs_rest import one_vs_rest_distance, softmax_code

GOLDEN = (1 + 5**0.5) / 2
HALF = np.array([[0, 0, 1, 1, GOLDEN, -GOLDEN], [1, -1, GOLDEN, -GOLDEN, 0, 0], [GOLDEN, GOLDEN, 0, 0, 1, 1]])
ICOSAHEDRON = np.hstack([HALF, -HALF]) / np.sqrt(1 + GOLDEN**2)


def by_least_squares(code):
    """Hull distances by Lawson and Hanson's solver."""
    found = []
    for k in range(code.shape[1]):
        D = np.delete(code, k, axis=1) - code[:, [k]]
        shares, _ = nnls(np.vstack([D, np.ones(D.shape[1])]), np.append(np.zeros(len(D)), 1.0))
        found.append(np.linalg.norm(D @ shares) / shares.sum())
    return np.array(found)


def random_code(dim, vectors, seed=0):
    return np.random.default_rng(seed).normal(size=(dim, vectors))


CODES = {
    "random": random_code(3, 8),
    "more dimensions than vectors": random_code(8, 5),
    "coinciding pairs": np.repeat(random_code(3, 4), 2, axis=1),
    "a cube": np.stack(np.meshgrid(*[[0.0, 1.0]] * 3)).reshape(3, -1),
    "a grid in the plane": np.vstack([np.arange(8) % 4, np.arange(8) // 4, np.zeros(8)]),
    "collinear": np.outer([1.0, 2.0, 3.0], np.arange(8.0)),
    "vectors inside the hull": random_code(3, 8) * np.array([1, 1, 1, 1, 1, 0.1, 0.1, 0.0]),
    "all zero": np.zeros((3, 8)),
    "flat": random_code(3, 8) * np.array([[1.0], [1.0], [1e-6]]),
}


@pytest.mark.parametrize("name", CODES)
def test_distances_are_those_of_another_solver_and_their_directions_have_them_as_margins(name):
    code = CODES[name]
    found = one_vs_rest_distance(code)
    size = max(1.0, np.max(np.abs(code)))
    assert (np.asarray(found.status) == Status.CONVERGED).all(), Status(int(found.status.max())).text
    np.testing.assert_allclose(found.distances, by_least_squares(code), atol=1e-10 * size)
    assert float(found.distance) == float(found.distances.min())
    H = np.asarray(found.directions)
    np.testing.assert_allclose(np.linalg.norm(H, axis=0), found.distances > 0, atol=1e-12)
    margins = (np.diag(code.T @ H)[:, None] - H.T @ code) + np.where(np.eye(code.shape[1]), np.inf, 0)
    np.testing.assert_allclose(margins.min(axis=1), found.distances, atol=1e-10 * size)


def test_known_codes_have_their_distances():
    """Simplices K/(K-1), polygons 1 - cos(2 pi/K), half-axes 1, the icosahedron one less its largest cosine."""
    half_axes = np.pad(np.hstack([np.eye(4), -np.eye(4)]), ((0, 3), (0, 0)))
    simplices = ((simplex_etf(2), 2), (simplex_etf(8), 8 / 7))
    polygon = np.vstack([np.cos(np.pi * np.arange(8) / 4), np.sin(np.pi * np.arange(8) / 4), np.zeros(8)])
    others = ((polygon, 1 - np.cos(np.pi / 4)), (half_axes, 1), (ICOSAHEDRON, 1 - 1 / np.sqrt(5)))
    for code, distance in simplices + others:
        np.testing.assert_allclose(one_vs_rest_distance(code).distances, distance, rtol=1e-12)


def test_distances_scale_turn_and_permute_with_the_code():
    code = CODES["random"]
    found = np.asarray(one_vs_rest_distance(code).distances)
    for factor in (1e-250, 3.0, 1e150):
        np.testing.assert_allclose(one_vs_rest_distance(factor * code).distances, factor * found, rtol=1e-12)
    turn, _ = np.linalg.qr(random_code(3, 3, seed=1))
    np.testing.assert_allclose(one_vs_rest_distance(turn @ code + 5.0).distances, found, rtol=1e-11)
    np.testing.assert_allclose(one_vs_rest_distance(code[:, ::-1]).distances, found[::-1], rtol=1e-12)


def test_distances_of_stacked_codes_and_their_derivatives_are_right():
    codes = jnp.stack([CODES["random"], 2 * CODES["random"]])
    stacked = jax.jit(jax.vmap(one_vs_rest_distance))(codes)
    np.testing.assert_allclose(stacked.distance, [float(one_vs_rest_distance(c).distance) for c in codes], rtol=1e-13)
    total = jax.jit(lambda code: jnp.sum(one_vs_rest_distance(code).distances))
    slope = jax.grad(total)(codes[0])
    direction = random_code(3, 8, seed=2)
    difference = (total(codes[0] + 1e-6 * direction) - total(codes[0] - 1e-6 * direction)) / 2e-6
    np.testing.assert_allclose(np.sum(slope * direction), difference, rtol=1e-8)
    assert np.isfinite(jax.grad(total)(jnp.asarray(CODES["coinciding pairs"]))).all()


def test_distances_keep_the_dtype_and_are_exact_to_it():
    code = CODES["random"].astype(np.float32)
    found = one_vs_rest_distance(code)
    assert found.distances.dtype == found.gap.dtype == found.directions.dtype == jnp.float32
    assert (np.asarray(found.status) == Status.CONVERGED).all()
    np.testing.assert_allclose(found.distances, by_least_squares(code.astype(float)), atol=2e-6)
    np.testing.assert_allclose(one_vs_rest_distance(np.indices((2, 4)).reshape(2, 8)).distances[0], np.sqrt(0.5), rtol=1e-12)


def test_distances_are_exact_for_flat_uneven_and_nearly_coinciding_codes():
    rng = np.random.default_rng(5)
    for trial in range(30):
        code = rng.normal(size=(3, 8))
        flat, uneven = 10 ** rng.uniform(-13, 0, size=(3, 1)), 10 ** rng.uniform(-6, 6, size=(1, 8))
        near = code[:, rng.integers(0, 8, 8)] + 10 ** rng.uniform(-16, -3) * rng.normal(size=(3, 8))
        code = (code * flat, code * uneven, near)[trial % 3]
        found = one_vs_rest_distance(code)
        size = np.max(np.abs(code))
        assert (np.asarray(found.status) == Status.CONVERGED).all() and (np.asarray(found.gap) < 1e-12 * size).all()
        np.testing.assert_allclose(found.distances / size, by_least_squares(code / size), atol=1e-12)


def test_a_gap_that_rounding_does_not_explain_is_called_inexact(monkeypatch):
    monkeypatch.setattr(one_vs_rest, "_EXACT", -1)
    points = jnp.asarray(CODES["random"] - CODES["random"][:, :1])
    *_, gap, status = jax.jit(one_vs_rest._nearest_point)(points, jnp.arange(8) > 0)
    assert 0 <= gap < 1e-14 and status == Status.STALLED


def test_a_code_with_an_infinite_or_undefined_entry_has_no_distance():
    for bad in (np.nan, np.inf):
        code = CODES["random"].copy()
        code[0, 1] = bad
        found = one_vs_rest_distance(code)
        assert np.isnan(found.distance) and (np.asarray(found.status) == Status.NON_FINITE).all()
    assert all(status.text for status in Status)


def test_the_softmax_code_of_seven_points_in_space_is_the_packing_of_tammes():
    found = softmax_code(7, 3, jax.random.key(0), starts=2)
    assert isinstance(found, Frame) and found.vectors.shape == (3, 7)
    np.testing.assert_allclose(found.norms, 1, rtol=1e-12)
    packing = 1 - np.cos(np.deg2rad(77.8695421))
    np.testing.assert_allclose(one_vs_rest_distance(found).distance, packing, atol=2e-6)
    np.testing.assert_allclose(1 - signed_coherence(found.vectors), packing, atol=2e-5)


def test_codes_and_searches_out_of_range_are_refused():
    with pytest.raises(ValueError, match=r"code must have shape \(dim, at least 2 vectors\), got \(3, 1\)"):
        one_vs_rest_distance(np.ones((3, 1)))
    with pytest.raises(ValueError, match=r"code must have shape .* got \(4,\)"):
        one_vs_rest_distance(np.ones(4))
    with pytest.raises(ValueError, match="vectors must be a whole number of at least 2, got 1"):
        softmax_code(1, 3, jax.random.key(0))
    with pytest.raises(ValueError, match="dim must be a whole number of at least 2, got 1"):
        softmax_code(4, 1, jax.random.key(0))
    with pytest.raises(ValueError, match="starts must be a whole number of at least 1, got 0"):
        softmax_code(4, 2, jax.random.key(0), starts=0)
