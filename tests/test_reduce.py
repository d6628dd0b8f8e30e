"""Reductions commute with gradient descent and heavy ball: trajectories of both problems are the same numbers."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ufm
from tests.numpy_problem import numpy_problem
from ufm import Params, Problem
from ufm.equivalent.columns import compress_columns, merge_columns, pool_samples, split_columns
from ufm.equivalent.widths import narrow_features
from ufm.losses import LOSSES

STEPS, RATE = 60, 0.15
BALANCED, IMBALANCED = (3, 3, 3), (5, 1, 3)
DEPTHS = {1: (4,), 2: (4, 3), 3: (4, 5, 3)}
objective = jax.jit(ufm.objective)


def loss_gradient(name, Z, Y):
    """Gradients of the loss at the logits of every column, by hand."""
    if name == "mse":
        return Z - Y
    if name == "ce":
        powers = np.exp(Z - Z.max(0))
        return powers / powers.sum(0) - Y
    if name == "logistic":
        return 1 / (1 + np.exp(-Z)) - Y
    violation = np.maximum(0, 1 + Z - (Y * Z).sum(0)) * (1 - Y)
    return violation - Y * violation.sum(0)


def gradient(q, weights, H, b):
    """Gradient of the objective by back-propagation in NumPy; q holds the numbers of the problem as NumPy arrays."""
    layers = weights + ([] if q.classifier is None else [q.classifier])
    forward = [H / np.sqrt(q.multiplicity)]
    for W in layers:
        forward.append(W @ forward[-1])
    Z = q.scale * forward[-1] + (0 if b is None else np.outer(b, q.intercept))
    back = q.weight * q.multiplicity / q.samples * loss_gradient(q.loss.name, Z, q.targets)
    db = None if b is None else back @ q.intercept + q.l2_b * b
    back = q.scale * back
    dW = [None] * len(layers)
    for i in reversed(range(len(layers))):
        dW[i] = back @ forward[i].T
        back = layers[i].T @ back
    dH = back / np.sqrt(q.multiplicity) + q.l2_H * H + (0 if q.H0 is None else q.beta * (H - q.H0))
    return [g + l2 * W for g, l2, W in zip(dW, q.l2_W, weights, strict=False)], dH, db


def heavy_ball(problem, params, momentum):
    """Params after 1, STEPS/2 and STEPS steps of V <- momentum V - rate grad, theta <- theta + V (descent at 0)."""
    q = numpy_problem(problem)
    leaves, shape = jax.tree.flatten(jax.tree.map(np.asarray, params))
    velocity, kept = [np.zeros_like(x) for x in leaves], []
    for step in range(1, STEPS + 1):
        weights, H, b = jax.tree.unflatten(shape, leaves)
        slopes = jax.tree.leaves(gradient(q, list(weights), H, b))
        velocity = [momentum * v - RATE * g for v, g in zip(velocity, slopes, strict=True)]
        leaves = [x + v for x, v in zip(leaves, velocity, strict=True)]
        if step in (1, STEPS // 2, STEPS):
            kept.append(jax.tree.unflatten(shape, leaves))
    return kept


def build(loss, depth, counts, bias, proximity, seed, widths=None, **choices):
    rng = np.random.default_rng(seed)
    widths = widths or DEPTHS[depth]
    if proximity:
        choices |= {"beta": 0.3, "H0": rng.standard_normal((widths[0], sum(counts)))}
    choices |= {"l2_W": 0.02, "l2_H": 0.03, "l2_b": 0.05 if bias == "ridge" else 0.0}
    problem = Problem.imbalanced(counts, widths, loss=loss, bias=bias, **choices)
    return problem, ufm.initialize(problem, jax.random.key(seed), 1.4 / np.sqrt(widths[0]))


def assert_commutes(problem, params, reduced):
    """The lifted trajectory of the small problem is the trajectory of the large one, and the values agree."""
    np.testing.assert_allclose(objective(reduced.problem, reduced.params), objective(problem, params), rtol=1e-13)
    for momentum in (0.0, 0.6):
        large, small = (heavy_ball(q, p, momentum) for q, p in ((problem, params), (reduced.problem, reduced.params)))
        for point, lifted in zip(large, map(reduced.lift, small), strict=True):
            for got, expected in zip(jax.tree.leaves(lifted), jax.tree.leaves(point), strict=True):
                np.testing.assert_allclose(got, expected, rtol=0, atol=1e-11)
        assert np.abs(large[-1].H - params.H).max() > 0.05, "a test of a point that stays says nothing"


CASES = [
    (1, IMBALANCED, "free", False),
    (1, IMBALANCED, "ridge", True),
    (2, BALANCED, "free", True),
    (2, IMBALANCED, "none", False),
    (3, IMBALANCED, "ridge", False),
]


@pytest.mark.parametrize("depth, counts, bias, proximity", CASES)
def test_squared_error_samples_are_class_means_and_pooled_residuals(depth, counts, bias, proximity):
    problem, params = build("mse", depth, counts, bias, proximity, seed=depth)
    reduced = pool_samples(problem, params)
    d, K, N = problem.widths[0], len(counts), sum(counts)
    residuals = min(2 * d if proximity else d, N - K)
    assert reduced.problem.columns == K + residuals
    np.testing.assert_array_equal(reduced.problem.multiplicity, [*counts, *(1,) * residuals])
    np.testing.assert_array_equal(reduced.problem.intercept, [1] * K + [0] * residuals)
    assert reduced.problem.samples == N
    means = np.stack([np.asarray(params.H)[:, problem.labels == k].mean(1) for k in range(K)], 1)
    np.testing.assert_allclose(reduced.params.H[:, :K], means * np.sqrt(counts), atol=1e-14)
    assert_commutes(problem, params, reduced)


@pytest.mark.parametrize("depth, counts, bias, proximity", CASES)
def test_squared_error_columns_compress_to_the_rows_that_move_them(depth, counts, bias, proximity):
    counts = tuple(3 * n for n in counts)
    problem, params = build("mse", depth, counts, bias, proximity, seed=10 + depth, scale=1.2)
    targets = np.random.default_rng(depth).standard_normal((3, sum(counts)))
    multiplicity = np.random.default_rng(depth).choice([1.0, 2.0, 0.5], sum(counts))
    problem = problem.replace(targets=targets, multiplicity=multiplicity)
    reduced = compress_columns(problem, params)
    d, K = problem.widths[0], 3
    assert reduced.problem.columns == min(sum(counts), d + K + (bias != "none") + (d if proximity else 0))
    assert_commutes(problem, params, reduced)


@pytest.mark.parametrize("number", range(len(CASES)))
def test_only_the_span_of_classifier_and_features_matters_for_any_loss(number):
    depth, counts, bias, proximity = CASES[number]
    loss = list(LOSSES)[number % len(LOSSES)]
    counts = tuple(n - n // 2 for n in counts)
    widths = (25, *DEPTHS[depth][1:])
    problem, params = build(loss, depth, counts, bias, proximity, seed=20 + depth, widths=widths)
    reduced = narrow_features(problem, params)
    above = widths[1] if depth > 1 else 3
    assert reduced.problem.widths[0] == above + sum(counts) * (2 if proximity else 1)
    assert_commutes(problem, params, reduced)


def test_a_fixed_classifier_is_narrowed_with_its_features():
    A = np.random.default_rng(0).standard_normal((3, 20))
    problem, params = build("ce", 1, (2, 1, 1), "free", False, seed=3, widths=(20,), classifier=A)
    reduced = narrow_features(problem, params)
    assert reduced.problem.widths == (7,) and reduced.problem.classifier.shape == (3, 7)
    assert_commutes(problem, params, reduced)


@pytest.mark.parametrize(
    "loss, depth, bias", [("mse", 1, "ridge"), ("ce", 2, "none"), ("logistic", 1, "free"), ("squared_hinge", 1, "none")]
)
def test_equal_columns_stay_equal_and_are_one_column_for_any_loss(loss, depth, bias):
    problem, params = build(loss, depth, IMBALANCED, bias, False, seed=30)
    params = params._replace(H=params.H[:, np.repeat([0, 5, 6], IMBALANCED)])
    reduced = merge_columns(problem, params)
    assert reduced.problem.columns == 3
    assert_commutes(problem, params, reduced)


def test_merging_unequal_columns_keeps_their_means():
    problem, params = build("ce", 1, IMBALANCED, "none", False, seed=31)
    reduced = merge_columns(problem, params)
    means = np.stack([np.asarray(params.H)[:, problem.labels == k].mean(1) for k in range(3)], 1)
    np.testing.assert_allclose(reduced.params.H, means * np.sqrt(IMBALANCED), atol=1e-14)
    np.testing.assert_allclose(reduced.lift(reduced.params).H, means[:, problem.labels], atol=1e-14)


def test_rotating_within_class_residuals_moves_nothing_else_in_squared_error_and_much_in_cross_entropy():
    """Columns of cross-entropy that differ are not reducible: only what MSE forgets may be pooled."""
    moved = {}
    for loss in ("mse", "ce"):
        problem, params = build(loss, 1, (4, 4, 4), "none", False, seed=40)
        H = np.asarray(params.H).reshape(4, 3, 4)
        basis = np.linalg.qr(np.concatenate([np.ones((4, 1)), np.random.default_rng(0).standard_normal((4, 3))], 1))[0]
        inner = np.eye(4)
        inner[1:, 1:] = np.linalg.qr(np.random.default_rng(1).standard_normal((3, 3)))[0]
        turn = basis @ inner @ basis.T
        rotated = params._replace(H=jnp.asarray((H @ turn).reshape(4, 12)))
        one, other = (heavy_ball(problem, p, 0.6)[-1] for p in (params, rotated))
        moved[loss] = np.abs(one.weights[0] - other.weights[0]).max()
    assert moved["mse"] < 1e-12
    assert moved["ce"] > 1e-2


@pytest.mark.parametrize("loss", list(LOSSES))
def test_split_columns_are_shares_of_equal_samples(loss):
    problem, _ = build(loss, 2, IMBALANCED, "ridge", False, seed=50)
    split = split_columns(problem, 2)
    assert (split.columns, split.groups, split.samples) == (6, (2, 2, 2), 9)
    np.testing.assert_array_equal(split.counts, IMBALANCED)
    p = ufm.initialize(split, jax.random.key(1))
    shared = p._replace(H=jnp.asarray(np.repeat(np.asarray(p.H)[:, ::2], 2, axis=1)))
    samples = np.asarray(p.H)[:, ::2] / np.sqrt(np.array(IMBALANCED) / 2)
    repeated = p._replace(H=jnp.asarray(np.repeat(samples, IMBALANCED, axis=1)))
    np.testing.assert_allclose(objective(split, shared), objective(problem, repeated), rtol=1e-14)


def test_split_columns_share_the_centre_of_the_proximity_term():
    rng = np.random.default_rng(0)
    H0 = np.repeat(rng.standard_normal((4, 3)), IMBALANCED, axis=1)
    problem = Problem.imbalanced(IMBALANCED, 4, l2_W=0.1, l2_H=0.1, beta=0.5, H0=H0)
    split = split_columns(problem, 3)
    samples, W = rng.standard_normal((4, 3)), jnp.asarray(rng.standard_normal((3, 4)))
    small = Params((W,), jnp.asarray(np.repeat(samples * np.sqrt(np.array(IMBALANCED) / 3), 3, axis=1)), None)
    large = Params((W,), jnp.asarray(np.repeat(samples, IMBALANCED, axis=1)), None)
    np.testing.assert_allclose(objective(split, small), objective(problem, large), rtol=1e-14)


def test_weights_of_samples_are_kept_where_all_are_equal():
    problem, params = build("mse", 1, IMBALANCED, "free", False, seed=60, weight=2.5)
    for reduce in (pool_samples, compress_columns):
        assert_commutes(problem, params, reduce(problem, params))


def test_the_gradient_of_the_test_is_that_of_the_objective():
    for number, loss in enumerate(LOSSES):
        problem, params = build(loss, 2, IMBALANCED, "ridge", number % 2 == 0, seed=65, scale=1.3)
        q, p = numpy_problem(problem), jax.tree.map(np.asarray, params)
        by_hand = gradient(q, list(p.weights), p.H, p.b)
        by_jax = jax.jit(jax.grad(lambda p, q: ufm.objective(q, p)))(params, problem)
        for got, expected in zip(jax.tree.leaves(by_jax), jax.tree.leaves(by_hand), strict=True):
            np.testing.assert_allclose(got, expected, atol=1e-14)


def test_reductions_pass_through_jit():
    problem, params = build("mse", 1, BALANCED, "none", False, seed=70)
    for reduce in (pool_samples, compress_columns, narrow_features):
        inside = jax.jit(lambda q, p, reduce=reduce: ufm.objective(*reduce(q, p)[:2]))(problem, params)
        np.testing.assert_allclose(inside, objective(problem, params), rtol=1e-13)


plain = partial(Problem.imbalanced, IMBALANCED, 4, l2_W=0.1, l2_H=0.1)
UNEQUAL = np.arange(1.0, 10.0)
REFUSALS = [
    (merge_columns, {"beta": 0.1, "H0": np.zeros((4, 9))}, r"H0 must be None: a proximity term"),
    (pool_samples, {"loss": "ce"}, r"loss must be ufm's 'mse': .*got Loss"),
    (compress_columns, {"loss": "ce"}, r"loss must be ufm's 'mse': .*got Loss"),
    (pool_samples, {"features": "nonnegative"}, r"features must be 'free' .*got 'nonnegative'"),
    (compress_columns, {"features": "sphere"}, r"features must be 'free' .*got 'sphere'"),
    (compress_columns, {"weight": UNEQUAL}, r"weight must be equal for all columns, got \[1\. 2\."),
    (narrow_features, {"features": "nonnegative"}, r"features must be 'free' or 'sphere' .*got 'nonnegative'"),
]


@pytest.mark.parametrize("number", range(len(REFUSALS)))
def test_reductions_that_would_not_be_exact_are_refused(number):
    reduce, choices, message = REFUSALS[number]
    problem = plain(**choices)
    with pytest.raises(ValueError, match=message):
        reduce(problem, ufm.initialize(problem, jax.random.key(0)))


@pytest.mark.parametrize("parts", [0, 1.5])
def test_columns_split_into_whole_numbers_of_parts(parts):
    with pytest.raises(ValueError, match=rf"parts must be a whole number of at least 1, got {parts}"):
        split_columns(plain(), parts)
