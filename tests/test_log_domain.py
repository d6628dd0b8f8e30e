"""Descent on log f against gradient flow, against itself in pieces, and far past the range of floats; Lion-K against optax."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import optax
import pytest

from ufm import Status
from ufm.motion.descent import descend
from ufm.motion.lion import lion_k, msign
from ufm.motion.log_domain import descend_log, log_objective, margin, smoothed_margin
from ufm.motion.trajectory import flow
from ufm.problem import Problem
from ufm.problem.params import Params, initialize, logits, objective

value_and_gradient = jax.jit(jax.value_and_grad(log_objective, argnums=1))


@pytest.fixture(scope="module")
def started():
    problem = Problem.imbalanced((2, 1, 3), 3, loss="ce")
    return problem, initialize(problem, jax.random.key(0), 0.4)


@pytest.fixture(scope="module")
def long_run(started):
    problem, start = started
    return descend_log(problem, start, 4000, every=500)


def reference(problem, params):
    """log f and its gradient in the logits, in 2000 digits."""
    with mpmath.workdps(2000):
        z, labels = np.asarray(logits(problem, params)), np.argmax(np.asarray(problem.targets), axis=0)
        N, K, share = len(labels), len(z), np.empty(z.shape)
        powers = [[mpmath.e ** (mpmath.mpf(z[k, c]) - mpmath.mpf(z[y, c])) for k in range(K)] for c, y in enumerate(labels)]
        total = sum(mpmath.log(sum(row)) for row in powers)
        for c, y in enumerate(labels):
            for k in range(K):
                share[k, c] = (powers[c][k] / sum(powers[c]) - (k == y)) / total
        return float(mpmath.log(total / N)), share


@pytest.mark.parametrize("size", [0.0, 1.0, 3.0, 6.0, 20.0])
def test_log_f_and_its_gradient_are_those_of_two_thousand_digits(started, size):
    problem, start = started
    aligned = Params((size * (start.weights[0] + 2 * jnp.eye(3)),), 2 * problem.targets + 0.1 * start.H, None)
    value, gradient = value_and_gradient(problem, aligned)
    expected, G = reference(problem, aligned)
    np.testing.assert_allclose(value, expected, rtol=1e-13)
    np.testing.assert_allclose(gradient.weights[0], G @ np.asarray(aligned.H).T, atol=1e-12 * np.abs(G).max())
    np.testing.assert_allclose(jnp.sum(gradient.weights[0], axis=0), 0, atol=1e-13)


def test_small_steps_follow_gradient_flow_to_first_order(started):
    problem, start = started
    errors = []
    for step in (0.02, 0.01):
        run = descend_log(problem, start, 400, step=step)
        end = flow(problem, start, [float(jnp.exp(run.log_time[-1]))])
        errors.append(float(jnp.max(jnp.abs(run.params.weights[0] - end.params.weights[0]))))
        np.testing.assert_allclose(jnp.exp(run.log_value[-1]), end.value[-1], rtol=1e-2)
    assert errors[1] < 0.6 * errors[0] < 6e-3  # at half the time too


def test_the_run_goes_far_past_floats_and_keeps_its_books(started, long_run):
    problem, start = started
    assert Status(int(long_run.status)) is Status.SEPARATED
    assert long_run.steps == 4000 and long_run.log_time[0] == -np.inf and long_run.log_time[-1] > 900 * np.log(10)
    np.testing.assert_array_equal(long_run.recorded, np.arange(0, 4001, 500))
    np.testing.assert_allclose(long_run.log_value[0], jnp.log(objective(problem, start)), rtol=1e-13)
    np.testing.assert_allclose(long_run.margin[-1], jax.jit(margin)(problem, long_run.params), rtol=1e-14)
    assert np.all(np.diff(long_run.smoothed_margin)[1:] > 0)
    np.testing.assert_allclose(jnp.sum(long_run.params.weights[0], axis=0), jnp.sum(start.weights[0], axis=0), atol=1e-11)


def test_two_halves_are_the_whole(started, long_run):
    problem, start = started
    half = descend_log(problem, start, 2000, every=500)
    rest = descend_log(problem, half.params, 2000, every=500, log_time=half.log_time[-1])
    np.testing.assert_array_equal(rest.log_time, long_run.log_time[4:])
    np.testing.assert_array_equal(rest.params.H, long_run.params.H)


def test_the_smoothed_margin_is_its_definition_where_floats_hold_it(started):
    problem, start = started
    total = float(problem.samples * objective(problem, start))
    square = float(sum(jnp.sum(x**2) for x in jax.tree.leaves(start)))
    np.testing.assert_allclose(jax.jit(smoothed_margin)(problem, start), -np.log(np.expm1(total)) / square, rtol=1e-12)


def test_deep_models_a_bias_weights_and_a_fixed_classifier_separate_too():
    deep = Problem.balanced(3, 2, (3, 4), loss="ce", bias="free", scale=2.0)
    fixed = Problem.imbalanced((4, 1, 2), (3,), loss="ce", classifier=jnp.eye(3)).collapsed()
    for problem in (deep, fixed):
        run = descend_log(problem, initialize(problem, jax.random.key(1), 0.5), 1000, record=margin, every=500)
        assert Status(int(run.status)) is Status.SEPARATED
        np.testing.assert_array_equal(run.metrics, run.margin)
        assert run.log_value[-1] < -100


def test_runs_that_have_not_separated_or_cannot_start_say_so(started):
    problem, start = started
    assert Status(int(descend_log(problem, start, 1).status)) is Status.NOT_SEPARATED
    huge = jax.tree.map(lambda x: 1e200 * x, start)
    assert Status(int(descend_log(problem, huge, 1).status)) is Status.NON_FINITE
    assert "more steps" in Status.NOT_SEPARATED.text and "start" in Status.NON_FINITE.text


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"loss": "mse"}, "loss must be ufm's 'ce'"),
        ({"l2_W": 0.1, "l2_H": 0.1}, "l2_W must be 0: with a penalty"),
        ({"smoothing": 0.1}, "targets must be one-hot"),
        ({"bias": "ridge", "l2_b": 0.1}, "l2_b must be 0"),
        ({"features": "nonnegative"}, "features must be one of 'free'"),
    ],
)
def test_problems_whose_loss_cannot_vanish_are_refused(choices, message):
    problem = Problem.balanced(2, 1, 2, **({"loss": "ce"} | choices))
    with pytest.raises(ValueError, match=message):
        descend_log(problem, initialize(problem, jax.random.key(0)), 10)


def test_wrong_counts_and_steps_are_refused(started):
    problem, start = started
    with pytest.raises(ValueError, match="every must be a divisor of steps"):
        descend_log(problem, start, 10, every=3)
    with pytest.raises(ValueError, match="step must be finite and above 0, got 0"):
        descend_log(problem, start, 10, step=0.0)


def test_lion_k_of_the_sign_is_the_lion_of_optax():
    problem = Problem.balanced(3, 1, 3, loss="ce")
    start = initialize(problem, jax.random.key(0))
    ends = [
        descend(problem, start, 30, optimizer).params.H
        for optimizer in (lion_k(0.02, b1=0.8, b2=0.95, decay=0.5), optax.lion(0.02, b1=0.8, b2=0.95, weight_decay=0.5))
    ]
    np.testing.assert_allclose(*ends, rtol=1e-14)


def test_the_matrix_sign_is_the_polar_factor_and_zero_at_zero():
    X = np.random.default_rng(0).normal(size=(3, 5))
    U, _, V = np.linalg.svd(X, full_matrices=False)
    np.testing.assert_allclose(msign(jnp.asarray(X)), U @ V, atol=1e-14)
    rank_one = np.outer([3.0, 4.0], [0.0, 2.0])
    np.testing.assert_allclose(msign(jnp.asarray(rank_one)), [[0, 0.6], [0, 0.8]], atol=1e-15)
    np.testing.assert_array_equal(msign(jnp.zeros((2, 3))), 0)
    np.testing.assert_allclose(msign(jnp.asarray([3.0, 4.0])), [0.6, 0.8], rtol=1e-15)


def test_lion_k_takes_any_map_and_refuses_what_is_none():
    x, g = jnp.asarray([1.0, -2.0]), jnp.asarray([0.5, 3.0])
    smooth = lion_k(0.1, lambda m: m / jnp.sqrt(m**2 + 1), b1=0.0, decay=0.5)
    update, _ = smooth.update(g, smooth.init(x), x)
    np.testing.assert_allclose(update, -0.1 * (g / np.sqrt(np.asarray(g) ** 2 + 1) + 0.5 * x), rtol=1e-14)
    with pytest.raises(ValueError, match="kind must be one of 'sign', 'msign', 'unit', got 'muon'"):
        lion_k(0.1, "muon")
    with pytest.raises(ValueError, match="b2 must be at most 1, got 1.5"):
        lion_k(0.1, b2=1.5)
    with pytest.raises(ValueError, match="decay must be finite and at least 0"):
        lion_k(0.1, decay=-1.0)
