"""The central path: least squares against the gradient, the reduced objective against its closed form, renormalised features."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ufm.motion.central_path import least_squares_point, reduced_objective, renormalise, renormalised_velocity, within_part
from ufm.problem import Problem
from ufm.problem.params import initialize, objective

DIM, COUNTS = 4, (2, 3, 4)


@jax.jit
def at_least_squares(problem, H):
    point = least_squares_point(problem, H)
    value, gradient = jax.value_and_grad(partial(objective, problem))(point)
    reduced, slope = jax.value_and_grad(partial(reduced_objective, problem))(H)
    return point, value, gradient, reduced, slope


@pytest.mark.parametrize("choices", [{}, {"bias": "free"}, {"bias": "ridge", "l2_b": 0.3}])
def test_least_squares_leave_no_gradient_in_the_classifier_and_the_rest_is_that_of_the_reduced_objective(choices):
    problem = Problem.imbalanced(COUNTS, DIM, l2_W=0.1, l2_H=0.05, scale=1.7, smoothing=0.1, **choices).collapsed()
    H = initialize(problem, jax.random.key(0)).H
    point, value, gradient, reduced, slope = at_least_squares(problem, H)
    np.testing.assert_allclose(gradient.weights[0], 0, atol=1e-14)
    if problem.bias != "none":
        np.testing.assert_allclose(gradient.b, 0, atol=1e-14)
    np.testing.assert_allclose(reduced, value, rtol=1e-14)
    np.testing.assert_allclose(slope, gradient.H, atol=1e-14)
    step = 1e-5 * np.random.default_rng(0).normal(size=H.shape)
    change = at_least_squares(problem, H + step)[3] - at_least_squares(problem, H - step)[3]
    np.testing.assert_allclose(change, 2 * np.sum(step * np.asarray(slope)), rtol=1e-8)


def test_the_reduced_objective_is_a_trace_of_an_inverse():
    K, n = 3, 3
    problem = Problem.balanced(K, n, DIM, l2_W=0.2, l2_H=0.05)
    H = np.random.default_rng(1).normal(size=(DIM, K * n))
    Y, lW, lH = np.repeat(np.eye(K), n, axis=1), K * 0.2, K * n * 0.05
    inverse = np.linalg.inv(n * lW * np.eye(K * n) + H.T @ H)
    expected = lW / (2 * K) * np.trace(Y @ inverse @ Y.T) + lH / (2 * K * n) * np.sum(H**2)
    np.testing.assert_allclose(at_least_squares(problem, jnp.asarray(H))[3], expected, rtol=1e-13)


@pytest.fixture(scope="module")
def renormalised():
    problem = Problem.imbalanced(COUNTS, DIM, bias="free")
    return problem, renormalise(problem, 3 + initialize(problem, jax.random.key(3)).H)


def test_renormalised_features_have_unit_scatter_and_the_loss_of_the_features(renormalised):
    problem, X = renormalised
    D = np.asarray(within_part(problem, X))
    np.testing.assert_allclose(D @ D.T / 9, np.eye(DIM), atol=1e-13)
    np.testing.assert_allclose(np.mean(X, axis=1), 0, atol=1e-14)
    np.testing.assert_allclose([D[:, :2].mean(1), D[:, 2:5].mean(1), D[:, 5:].mean(1)], 0, atol=1e-14)
    np.testing.assert_allclose(renormalise(problem, X), X, atol=1e-13)
    before = at_least_squares(problem, 3 + initialize(problem, jax.random.key(3)).H)[3]
    np.testing.assert_allclose(at_least_squares(problem, X)[3], before, rtol=1e-12)


def test_features_in_weighted_columns_renormalise_as_their_samples(renormalised):
    problem, _ = renormalised
    rng = np.random.default_rng(7)
    weights = np.array([1.0, 2.0, 3.0, 1.0, 1.0, 2.0, 1.0, 1.0, 2.0])
    merged = problem.replace(multiplicity=weights)
    samples = Problem.imbalanced((3, 5, 6), DIM, bias="free")
    h = rng.normal(size=(DIM, 9))
    repeat = np.repeat(np.arange(9), weights.astype(int))
    X = np.asarray(renormalise(merged, jnp.asarray(h * np.sqrt(weights)))) / np.sqrt(weights)
    expected = renormalise(samples, jnp.asarray(h[:, repeat]))
    np.testing.assert_allclose(X[:, repeat], expected, atol=1e-13)
    velocity = np.asarray(jax.jit(renormalised_velocity)(merged, jnp.asarray(X * np.sqrt(weights)))) / np.sqrt(weights)
    np.testing.assert_allclose(velocity[:, repeat], jax.jit(renormalised_velocity)(samples, expected), atol=1e-13)


def test_the_projected_velocity_is_tangent_and_the_nearest_to_the_steepest_descent(renormalised):
    problem, X = renormalised
    v = np.asarray(jax.jit(renormalised_velocity)(problem, X))
    D, V = np.asarray(within_part(problem, X)), np.asarray(within_part(problem, jnp.asarray(v)))
    np.testing.assert_allclose(V @ D.T + D @ V.T, 0, atol=1e-14)
    np.testing.assert_allclose(v.sum(axis=1), 0, atol=1e-14)
    G = np.asarray(at_least_squares(problem, X)[4])
    other = np.random.default_rng(2).normal(size=X.shape)
    other = np.asarray(within_part(problem, jnp.asarray(other)))
    S = (other @ D.T + D @ other.T) / 18
    tangent = other - S @ D
    np.testing.assert_allclose(np.sum((v + G) * tangent), 0, atol=1e-13)
    np.testing.assert_allclose(np.sum((v + G) * v), 0, atol=1e-13)


def test_the_rewhitened_velocity_is_the_limit_of_raw_steps_that_are_renormalised(renormalised):
    problem, X = renormalised
    G = at_least_squares(problem, X)[4]
    v = jax.jit(partial(renormalised_velocity, rewhitened=True))(problem, X)
    difference = (renormalise(problem, X - 1e-5 * G) - renormalise(problem, X + 1e-5 * G)) / 2e-5
    np.testing.assert_allclose(v, difference, atol=1e-9)
    assert np.max(np.abs(v - jax.jit(renormalised_velocity)(problem, X))) > 1e-2


def test_an_error_off_the_set_neither_grows_nor_decays(renormalised):
    problem, X = renormalised
    velocity = jax.jit(renormalised_velocity)

    def change(size):
        Y = X + size * np.random.default_rng(4).normal(size=X.shape)
        D, V = within_part(problem, Y), within_part(problem, velocity(problem, Y))
        return np.max(np.abs(D @ V.T + V @ D.T))

    assert change(1e-4) < 3e-3 * 1e-4


def test_what_the_central_path_does_not_know_is_refused():
    H = jnp.zeros((DIM, 4))
    with pytest.raises(ValueError, match="loss must be ufm's 'mse', got Loss"):
        least_squares_point(Problem.balanced(2, 2, DIM, loss="ce", l2_W=0.1, l2_H=0.1), H)
    with pytest.raises(ValueError, match="widths must be one number"):
        least_squares_point(Problem.balanced(2, 2, (DIM, DIM), l2_W=0.1, l2_H=0.1), H)
    with pytest.raises(ValueError, match=r"H must have shape \(4, 4\), got \(4, 3\)"):
        least_squares_point(Problem.balanced(2, 2, DIM, l2_W=0.1, l2_H=0.1), H[:, :3])
    with pytest.raises(ValueError, match="H0 must be None"):
        renormalise(Problem.balanced(2, 2, DIM, l2_W=0.1, l2_H=0.1, beta=0.1, H0=H), H)
    single = Problem.balanced(2, 2, DIM, bias="free")
    assert np.isnan(renormalise(single, jnp.ones((DIM, 4)))).all()
