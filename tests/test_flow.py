"""Gradient flow against conservation laws, its own dissipation, and an independent integrator."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from ufm import Status
from ufm.metrics import nc1_trace_ratio
from ufm.motion.trajectory import flow
from ufm.problem import Problem
from ufm.problem.params import Params, initialize, objective

TS = np.linspace(0, 6, 61)


@pytest.fixture(scope="module")
def decaying():
    problem = Problem.imbalanced((3, 2), 3, l2_W=0.05, l2_H=0.05, bias="ridge", l2_b=0.1).collapsed()
    start = initialize(problem, jax.random.key(0), 0.7)
    return problem, start, flow(problem, start, TS)


def test_the_flow_starts_at_the_given_point_and_descends(decaying):
    _, start, path = decaying
    assert Status(int(path.status)) is Status.COMPLETED
    for given, first in zip(jax.tree.leaves(start), jax.tree.leaves(path.path), strict=True):
        np.testing.assert_array_equal(given, first[0])
    assert np.all(np.diff(path.value) < 0)


def test_the_value_falls_at_the_squared_gradient_norm(decaying):
    _, _, path = decaying
    slope = np.gradient(np.asarray(path.value), TS, edge_order=2)
    np.testing.assert_allclose(slope[2:-2], -np.asarray(path.gradient_norm)[2:-2] ** 2, rtol=2e-2)


def test_the_imbalance_of_two_layers_decays_at_twice_their_common_ridge(decaying):
    _, _, path = decaying
    W, H = path.path.weights[0], path.path.H
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
    np.testing.assert_allclose(np.ravel(path.path.weights[0]), reference[:6], atol=1e-9)
    samples = np.asarray(path.path.H[0])[:, [0, 0, 0, 1, 1]] * share
    np.testing.assert_allclose(samples, reference[6:].reshape(3, 5), atol=1e-9)
    np.testing.assert_array_equal(flow(merged, start, [0.0]).params.H, start.H)


def test_a_flow_that_stops_early_says_why():
    problem = Problem.balanced(2, 1, 2, l2_W=0.1, l2_H=0.1)
    start = Params((0.1 * jnp.eye(2),), 0.1 * jnp.eye(2), None)
    path = flow(problem, start, [0.0, 1.0, 1e5], max_steps=8)
    assert Status(int(path.status)) is Status.MAX_STEPS
    assert np.isfinite(path.value[:2]).all() and np.isnan(path.value[2])
    huge = jax.tree.map(lambda x: 1e160 * x, start)
    assert Status(int(flow(problem, huge, [0.0, 1.0, 1e5], max_steps=8).status)) is Status.NON_FINITE
    assert "max_steps" in Status.MAX_STEPS.text and "start" in Status.NON_FINITE.text


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


# the times of a path that is integrated over [0, 4]: both ends and Gauss-Legendre nodes
NODES, WEIGHTS = np.polynomial.legendre.leggauss(24)
GAUSS = np.concatenate([[0.0], 2 + 2 * NODES, [4.0]])
K, PER_CLASS, DIM = 3, 3, 4
PATH = {"kind": "central-path", "max_steps": 400}
UNEQUAL = {"counts": (2, 3, 4), "widths": DIM, "bias": "free"}
CLOSE = {"rtol": 1e-12, "atol": 1e-14}


def one_layer(l2_W, l2_H):
    """Balanced, with l2_H = 0 allowed: a flow needs no minimum."""
    problem = Problem.balanced(K, PER_CLASS, DIM, l2_W=l2_W, l2_H=1.0 if l2_W else 0.0)
    return dataclasses.replace(problem, l2_H=jnp.asarray(l2_H, problem.dtype))


def trace_ratio(problem, params):
    return nc1_trace_ratio(params.H, problem.labels, K)


@pytest.mark.parametrize(("l2_W", "l2_H"), [(0.1, 0.0), (0.1, 0.05), (0.0, 0.0)])
def test_the_central_path_keeps_its_balance_its_charge_and_its_dissipation(l2_W, l2_H):
    problem = one_layer(l2_W, l2_H)
    start = initialize(problem, jax.random.key(2))
    path = flow(problem, start, GAUSS, kind="central-path", record=trace_ratio, **CLOSE)
    assert Status(int(path.status)) is Status.COMPLETED
    H, W = np.asarray(path.path.H), np.asarray(path.path.weights[0])
    N, lW, lH = K * PER_CLASS, K * l2_W, K * PER_CLASS * l2_H

    def integral(x):
        return np.tensordot(2 * WEIGHTS, x[1:-1], 1)

    # (H H^T)' = (2 n lW W^T W - 2 lH H H^T)/N: constant without ridges
    gram = H @ np.swapaxes(H, 1, 2)
    growth = 2 * PER_CLASS * lW * np.swapaxes(W, 1, 2) @ W - 2 * lH * gram
    np.testing.assert_allclose(gram[-1] - gram[0], integral(growth) / N, atol=1e-10)
    means = H.reshape(-1, DIM, K, PER_CLASS).mean(axis=3)
    D = H - np.repeat(means, PER_CLASS, axis=2)
    # |H|^2 + n lW ln det(D D^T), constant without a ridge on H
    charge = np.sum(H**2, axis=(1, 2)) + PER_CLASS * lW * np.linalg.slogdet(D @ np.swapaxes(D, 1, 2))[1]
    lost = integral(2 * lH * np.sum(H**2, axis=(1, 2)) + 2 * PER_CLASS * lW * lH * DIM) / N
    np.testing.assert_allclose(charge[0] - charge[-1], lost, atol=1e-10)
    if l2_H == 0:
        np.testing.assert_allclose(charge, charge[0], rtol=1e-11)
    value = np.asarray(path.value)
    np.testing.assert_allclose(value[0] - value[-1], integral(np.asarray(path.gradient_norm) ** 2), rtol=1e-11)
    between = means - means.mean(axis=2, keepdims=True)
    ratio = np.sum(D**2, axis=(1, 2)) / N / (np.sum(between**2, axis=(1, 2)) / K)
    np.testing.assert_allclose(path.metrics, ratio, rtol=1e-12)
    assert np.all(np.diff(ratio) < 0)


@pytest.mark.parametrize("kind", ["renormalised", "rewhitened"])
def test_renormalised_flows_stay_on_their_set_and_only_the_projected_one_is_a_gradient_flow(kind):
    problem = Problem.imbalanced(**UNEQUAL)
    start = initialize(problem, jax.random.key(3))
    path = flow(problem, start, 5 * GAUSS, kind=kind, **CLOSE)
    H = np.asarray(path.path.H)
    means = np.stack([H[:, :, :2].mean(2), H[:, :, 2:5].mean(2), H[:, :, 5:].mean(2)], axis=2)
    D = H - means[:, :, problem.labels]
    np.testing.assert_allclose(D @ np.swapaxes(D, 1, 2) / 9, np.broadcast_to(np.eye(DIM), (26, DIM, DIM)), atol=1e-10)
    np.testing.assert_allclose(H.mean(axis=2), 0, atol=1e-12)
    fallen = np.asarray(path.value[0] - path.value[-1])
    dissipated = 10 * WEIGHTS @ np.asarray(path.gradient_norm)[1:-1] ** 2
    assert fallen > 1e-3
    if kind == "renormalised":
        np.testing.assert_allclose(dissipated, fallen, rtol=1e-10)
    else:
        assert abs(dissipated / fallen - 1) > 1e-2


@pytest.fixture(scope="module")
def pulled():
    """A problem with a proximity term, and its central path until it rests."""
    H0 = jax.random.normal(jax.random.key(5), (DIM, K * PER_CLASS))
    problem = Problem.balanced(K, PER_CLASS, DIM, l2_W=0.2, l2_H=0.05, beta=0.1, H0=H0)
    start = initialize(problem, jax.random.key(4))
    return problem, start, flow(problem, start, [1.0, 3.0, 200.0], **PATH)


def test_the_central_path_of_the_proximity_model_rests_where_its_features_are_stationary(pulled):
    problem, _, path = pulled
    end = path.params
    gradient = jax.jit(jax.grad(objective, argnums=1))(problem, end)
    for g in jax.tree.leaves(gradient):
        np.testing.assert_allclose(g, 0, atol=1e-9)
    # D = B [W^T W + (lH + B) I]^-1 D0
    N, W = K * PER_CLASS, np.asarray(end.weights[0])

    def noise(H):
        H = np.asarray(H).reshape(DIM, K, PER_CLASS)
        return (H - H.mean(axis=2, keepdims=True)).reshape(DIM, N)

    pull = 0.1 * N * np.linalg.inv(W.T @ W + N * 0.15 * np.eye(DIM))
    np.testing.assert_allclose(noise(end.H), pull @ noise(problem.H0), atol=1e-8)


def test_a_flow_is_continued_from_its_last_params_and_reports_its_progress(pulled):
    problem, start, path = pulled
    first = flow(problem, start, [0.25, 0.5, 1.0], **PATH)
    later = flow(problem, first.params, [1.0, 2.0, 199.0], **PATH)
    np.testing.assert_allclose(later.path.H[1:], path.path.H[1:], atol=1e-8)
    calls = []
    watched = flow(problem, start, [1.0, 3.0, 200.0], **PATH, progress=lambda *done: calls.append(done))
    assert calls == [(1, 3), (2, 3), (3, 3)]
    np.testing.assert_allclose(watched.path.H, path.path.H, atol=1e-8)
    calls.clear()
    short = flow(problem, start, [1e-3, 1e6, 2e6], **PATH, progress=lambda *done: calls.append(done))
    assert Status(int(short.status)) is Status.MAX_STEPS and calls == [(1, 3), (2, 3)]
    np.testing.assert_array_equal(np.isfinite(short.value), [True, False, False])


def test_a_kind_that_does_not_fit_the_problem_is_refused_and_a_singular_start_reported():
    problem = Problem.imbalanced(**UNEQUAL)
    start = initialize(problem, jax.random.key(0))
    with pytest.raises(ValueError, match="kind must be one of 'gradient', 'central-path'"):
        flow(problem, start, [1.0], kind="central")
    entropy = problem.replace(loss="ce")
    with pytest.raises(ValueError, match="loss must be ufm's 'mse', got Loss"):
        flow(entropy, start, [1.0], kind="central-path")
    with pytest.raises(ValueError, match="H0 must be None"):
        flow(problem.replace(H0=start.H, l2_H=0.1, l2_W=0.1), start, [1.0], kind="renormalised")
    soft = Problem.from_targets(np.random.default_rng(0).uniform(size=(3, 9)), DIM, bias="free")
    with pytest.raises(ValueError, match="problem must be of classes of whole samples"):
        flow(soft, start, [1.0], kind="rewhitened")
    equal = start._replace(H=start.H[:, problem.labels])
    path = flow(problem, equal, GAUSS, kind="renormalised", **CLOSE)
    assert Status(int(path.status)) is Status.NON_FINITE and "invertible" in Status.NON_FINITE.text
