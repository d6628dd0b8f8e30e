"""Gradient flow against conservation laws, its own dissipation, and an independent integrator."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from ufm.flow import FlowStatus, flow
from ufm.objective import Params, initialize
from ufm.problem import Problem

TS = np.linspace(0, 6, 61)


@pytest.fixture(scope="module")
def decaying():
    problem = Problem.imbalanced((3, 2), 3, l2_W=0.05, l2_H=0.05, bias="ridge", l2_b=0.1).collapsed()
    start = initialize(problem, jax.random.key(0), 0.7)
    return problem, start, flow(problem, start, TS)


def test_the_flow_starts_at_the_given_point_and_descends(decaying):
    _, start, path = decaying
    assert FlowStatus(int(path.status)) is FlowStatus.COMPLETED
    for given, first in zip(jax.tree.leaves(start), jax.tree.leaves(path.params), strict=True):
        np.testing.assert_array_equal(given, first[0])
    assert np.all(np.diff(path.value) < 0)


def test_the_value_falls_at_the_squared_gradient_norm(decaying):
    _, _, path = decaying
    slope = np.gradient(np.asarray(path.value), TS, edge_order=2)
    np.testing.assert_allclose(slope[2:-2], -np.asarray(path.gradient_norm)[2:-2] ** 2, rtol=2e-2)


def test_the_imbalance_of_two_layers_decays_at_twice_their_common_ridge(decaying):
    _, _, path = decaying
    W, H = path.params.weights[0], path.params.H
    imbalance = np.asarray(jnp.swapaxes(W, 1, 2) @ W - H @ jnp.swapaxes(H, 1, 2))
    expected = np.exp(-2 * 0.05 * TS)[:, None, None] * imbalance[:1]
    np.testing.assert_allclose(imbalance, expected, atol=1e-9)


def test_the_flow_of_weighted_columns_is_the_flow_of_their_samples():
    problem = Problem.imbalanced((3, 2), 3, l2_W=0.05, l2_H=0.05)
    merged = problem.collapsed()
    start = initialize(merged, jax.random.key(1))
    share = np.repeat(1 / np.sqrt([3.0, 2.0]), [3, 2])
    raw = start._replace(H=start.H[:, problem.labels] * share[None, :])

    def right_hand_side(t, x):
        W, H = x[:6].reshape(2, 3), x[6:].reshape(3, 5)
        error = (W @ H - np.asarray(problem.targets)) / 5
        return -np.concatenate([(error @ H.T + 0.05 * W).ravel(), (W.T @ error + 0.05 * H).ravel()])

    x0 = np.concatenate([np.ravel(raw.weights[0]), np.ravel(raw.H)])
    reference = solve_ivp(right_hand_side, (0, 5), x0, method="DOP853", rtol=1e-11, atol=1e-13).y[:, -1]
    path = flow(merged, start, [5.0])
    np.testing.assert_allclose(np.ravel(path.params.weights[0]), reference[:6], atol=1e-9)
    samples = np.asarray(path.params.H[0])[:, [0, 0, 0, 1, 1]] * share
    np.testing.assert_allclose(samples, reference[6:].reshape(3, 5), atol=1e-9)
    np.testing.assert_array_equal(flow(merged, start, [0.0]).params.H[0], start.H)


def test_a_flow_that_stops_early_says_why():
    problem = Problem.balanced(2, 1, 2, l2_W=0.1, l2_H=0.1)
    start = Params((0.1 * jnp.eye(2),), 0.1 * jnp.eye(2), None)
    path = flow(problem, start, [0.0, 1.0, 1e5], max_steps=8)
    assert FlowStatus(int(path.status)) is FlowStatus.MAX_STEPS
    assert np.isfinite(path.value[:2]).all() and np.isnan(path.value[2])
    huge = jax.tree.map(lambda x: 1e160 * x, start)
    assert FlowStatus(int(flow(problem, huge, [0.0, 1.0, 1e5], max_steps=8).status)) is FlowStatus.NON_FINITE
    assert "max_steps" in FlowStatus.MAX_STEPS.text and "start" in FlowStatus.NON_FINITE.text


@pytest.mark.parametrize("ts", [[], [1.0, 1.0], [2.0, 1.0], [-1.0, 1.0], [0.0, np.inf], [np.nan], 1.0])
def test_times_that_are_not_increasing_finite_and_at_least_zero_are_refused(ts):
    problem = Problem.balanced(2, 1, 2, l2_W=0.1, l2_H=0.1)
    with pytest.raises(ValueError, match="ts must"):
        flow(problem, initialize(problem, jax.random.key(0)), ts)


def test_a_tolerance_that_the_dtype_cannot_reach_and_constrained_features_are_refused():
    problem = Problem.balanced(2, 1, 2, l2_W=np.float32(0.1), l2_H=np.float32(0.1))
    with pytest.raises(ValueError, match="tolerance must be at least"):
        flow(problem, initialize(problem, jax.random.key(0)), [1.0], rtol=1e-10)
    sphere = Problem.balanced(2, 1, 2, features="sphere", loss="ce")
    with pytest.raises(ValueError, match="features must be one of 'free'"):
        flow(sphere, initialize(sphere, jax.random.key(0)), [1.0])
