import itertools
import math
from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import roots_jacobi

import ufm
from ufm.frames import simplex_etf
from ufm.problem.params import Params
from ufm.settings.mixup import (
    Mixture,
    enough_nodes,
    lambda_nodes,
    mixup_problem,
    mixup_samples,
    mixup_types,
    same_class_probability,
)


def beta_moment(alpha, degree):
    return math.prod((alpha + i) / (2 * alpha + i) for i in range(degree))


@pytest.mark.parametrize("alpha", [0.05, 0.5, 1.0, 7.0])
@pytest.mark.parametrize("R", [1, 2, 5, 64])
def test_quadrature_is_exact_up_to_degree_2R_minus_1_and_not_beyond(alpha, R):
    lambdas, weights = lambda_nodes(alpha, R)
    for degree in range(min(2 * R, 20)):
        np.testing.assert_allclose(weights @ lambdas**degree, beta_moment(alpha, degree), rtol=1e-13)
    if R < 6:
        assert weights @ lambdas ** (2 * R) < beta_moment(alpha, 2 * R) * (1 - 1e-6)
    assert np.array_equal(lambdas + lambdas[::-1], np.ones(R)) and np.array_equal(weights, weights[::-1])
    assert np.all(np.diff(lambdas) > 0) and lambdas[0] >= 0


@pytest.mark.parametrize("alpha", [0.2, 3.0])
def test_nodes_are_those_of_scipy(alpha):
    x, w = roots_jacobi(9, alpha - 1, alpha - 1)
    lambdas, weights = lambda_nodes(alpha, 9)
    np.testing.assert_allclose(lambdas, (1 + x) / 2, atol=1e-14)
    np.testing.assert_allclose(weights, w / w.sum(), rtol=1e-12)


def test_small_alpha_is_no_mixup_and_large_alpha_mixes_evenly():
    lambdas, weights = lambda_nodes(1e-9, 3)
    np.testing.assert_allclose(lambdas, [0, 0.5, 1], atol=1e-8)
    np.testing.assert_allclose(weights, [0.5, 0, 0.5], atol=1e-8)
    np.testing.assert_allclose(lambda_nodes(1e14, 4)[0], 0.5, atol=1e-6)


def test_derivatives_pass_through_the_nodes():
    def second_moment(alpha):
        lambdas, weights = lambda_nodes(alpha, 3)
        return weights @ (lambdas**2 + (1 - lambdas) ** 2)

    value, slope = jax.jit(jax.value_and_grad(second_moment))(0.7)
    np.testing.assert_allclose([value, slope], [1.7 / 2.4, -1 / 2.4**2], rtol=1e-12)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("per_class", [None, 1, 2])
@pytest.mark.parametrize(
    ("lambdas", "weights"),
    [((0.3,), (1.0,)), ((0.0, 0.3, 0.5, 0.7, 1.0), (0.1, 0.2, 0.3, 0.25, 0.15)), ((0.0, 1.0), (0.4, 0.6)), ((0.5,), (1.0,))],
)
def test_types_are_the_pairs_of_samples_counted(classes, per_class, lambdas, weights):
    n = per_class or 2
    samples = range(n * classes)
    pairs = [(i, j) for i, j in itertools.product(samples, repeat=2) if per_class is None or i != j]
    counted = Counter()
    for (i, j), (t, w) in itertools.product(pairs, zip(lambdas, weights, strict=True)):
        q = t * np.eye(classes)[i // n] + (1 - t) * np.eye(classes)[j // n]
        counted[tuple(q.round(12))] += w / len(pairs)
    mixture = mixup_types(classes, lambdas, weights, self_pairs=per_class is None, per_class=per_class)
    found = {tuple(q.round(12)): p for q, p in zip(mixture.targets.T, mixture.probability, strict=True)}
    assert len(found) == mixture.targets.shape[1] and found.keys() == counted.keys()
    for q, p in counted.items():
        np.testing.assert_allclose(found[q], p, rtol=1e-13)


def test_the_chance_of_one_class_is_one_over_K_with_self_pairs_only():
    assert same_class_probability(4) == 0.25 == same_class_probability(4, per_class=7)
    assert same_class_probability(4, self_pairs=False, per_class=7) == 6 / 27
    assert same_class_probability(2, self_pairs=False, per_class=1) == 0


def test_symmetric_nodes_give_one_column_for_each_unordered_pair_and_node():
    for R in (1, 2, 5):
        assert mixup_types(4, *lambda_nodes(0.4, R)).targets.shape == (4, 4 + 12 * R // 2)


def test_weights_of_nodes_may_be_traced():
    direct = mixup_types(3, (0.2, 0.9), (0.4, 0.6)).probability
    traced = jax.jit(lambda w: mixup_types(3, (0.2, 0.9), w).probability)(jnp.array([0.4, 0.6]))
    np.testing.assert_allclose(traced, direct, rtol=1e-14)


@pytest.mark.parametrize("self_pairs", [True, False])
def test_all_pairs_of_samples_appear_once(self_pairs):
    K, n = 3, 4
    mixture = mixup_samples(jax.random.key(0), K, n, 1.0, self_pairs=self_pairs)
    targets = np.asarray(mixture.targets)
    pairs = (K * n) ** 2 if self_pairs else K * n * (K * n - 1)
    assert targets.shape == (K, pairs)
    np.testing.assert_allclose(mixture.probability, 1 / pairs, rtol=1e-14)
    np.testing.assert_allclose(targets.sum(axis=0), 1, rtol=1e-14)
    assert np.all((targets > 0).sum(axis=0) <= 2)
    one_hot = np.mean(targets.max(axis=0) == 1)
    np.testing.assert_allclose(one_hot, same_class_probability(K, self_pairs=self_pairs, per_class=n), rtol=1e-13)
    mixed = targets[:, targets.max(axis=0) < 1]
    for k, m in itertools.combinations(range(K), 2):
        assert np.sum((mixed[k] > 0) & (mixed[m] > 0)) == 2 * n * n


def test_drawn_pairs_have_the_moments_of_types():
    keys = jax.random.split(jax.random.key(1), 16)
    drawn = [mixup_samples(key, 3, 2, 1.0, pairs=250, self_pairs=False) for key in keys]
    types = mixup_types(3, *lambda_nodes(1.0, 2), self_pairs=False, per_class=2)
    mean = np.mean([(m.targets * m.probability[None, :]) @ m.targets.T for m in drawn], axis=0)
    np.testing.assert_allclose(mean, (types.targets * types.probability) @ types.targets.T, atol=0.02)
    lonely = mixup_samples(keys[0], 3, 1, 1.0, pairs=250, self_pairs=False).targets
    assert np.all(np.asarray(lonely).max(axis=0) < 1)


def test_the_objective_is_the_expected_loss_and_penalty():
    mixture, rng = mixup_types(3, (0.3, 0.5), (0.6, 0.4)), np.random.default_rng(0)
    W, h = rng.normal(size=(3, 4)), rng.normal(size=(4, mixture.probability.size))
    z = W @ h
    losses = np.log(np.exp(z).sum(axis=0)) - (mixture.targets * z).sum(axis=0)
    expected = mixture.probability @ (losses + 0.5 * 0.2 * (h**2).sum(axis=0))
    scaled = jnp.asarray(h * np.sqrt(mixture.probability))
    trained = mixup_problem(mixture, 4, l2_H=0.2, l2_W=0.3)
    value = ufm.objective(trained, Params((jnp.asarray(W),), scaled, None))
    np.testing.assert_allclose(value, expected + 0.5 * 0.3 * np.sum(W**2), rtol=1e-13)
    fixed = mixup_problem(mixture, 4, l2_H=0.2, norm=1.5, loss="mse")
    z = 1.5 * np.asarray(simplex_etf(3, 4).vectors).T @ h
    losses = 0.5 * ((z - mixture.targets) ** 2).sum(axis=0)
    expected = mixture.probability @ (losses + 0.5 * 0.2 * (h**2).sum(axis=0))
    np.testing.assert_allclose(ufm.objective(fixed, Params((), scaled, None)), expected, rtol=1e-13)


def test_numbers_are_of_the_default_precision():
    with jax.enable_x64(False):
        problem = mixup_problem(mixup_types(3, *lambda_nodes(0.4, 3)), 2, l2_H=0.1, norm=2.0)
        assert problem.dtype == jnp.float32
        assert problem.columns == 12


def test_more_nodes_are_enough_for_weaker_ridges():
    assert [enough_nodes(kappa) for kappa in (1e-3, 100, 3600)] == [9, 38, 188]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: lambda_nodes(0.0, 3), "alpha must be finite and above 0, got 0.0"),
        (lambda: lambda_nodes(math.inf, 3), "alpha must be finite and above 0, got inf"),
        (lambda: lambda_nodes(1.0, 0), "nodes must be a whole number of at least 1, got 0"),
        (lambda: enough_nodes(-1.0), "kappa must be finite and above 0, got -1.0"),
        (lambda: same_class_probability(3, self_pairs=False), r"per_class \(without self-pairs\) must be a whole number.*got None"),
        (lambda: mixup_types(1, (0.5,), (1.0,)), "classes must be a whole number of at least 2, got 1"),
        (lambda: mixup_types(3, (1.1,), (1.0,)), r"lambdas must be a vector of numbers in \[0, 1\], got \[1.1\]"),
        (lambda: mixup_types(3, (0.5, 0.2), (1.0,)), r"weights must have shape \(2,\), got \(1,\)"),
        (lambda: mixup_types(3, (0.5, 0.2), (0.5, 0.6)), r"weights must be probabilities that sum to 1, got \[0.5 0.6\]"),
        (lambda: jax.jit(lambda t: mixup_types(3, t, (1.0,)).targets)(jnp.ones(1)), "lambdas must be known numbers"),
        (lambda: mixup_samples(jax.random.key(0), 3, 0, 1.0), "per_class must be a whole number of at least 1, got 0"),
        (lambda: mixup_samples(jax.random.key(0), 3, 2, -1.0), "alpha must be finite and above 0, got -1.0"),
        (lambda: mixup_samples(jax.random.key(0), 3, 2, 1.0, pairs=0), "pairs must be a whole number of at least 1, got 0"),
        (lambda: mixup_problem(mixup_types(3, (0.5,), (1.0,)), 3, l2_H=0.1), "l2_W and norm must be one number and one None"),
        (lambda: mixup_problem(mixup_types(3, (0.5,), (1.0,)), 3, l2_H=0.1, l2_W=1.0, norm=1.0), "l2_W and norm must be"),
        (lambda: mixup_problem(mixup_types(3, (0.5,), (1.0,)), 3, l2_H=0.1, norm=0.0), "norm must be finite and above 0"),
        (lambda: mixup_problem(mixup_types(3, (0.5,), (1.0,)), 1, l2_H=0.1, norm=1.0), "dim must be at least classes - 1 = 2"),
        (lambda: mixup_problem(mixup_types(3, (0.5,), (1.0,)), 3, l2_H=0.1, l2_W=1.0, bias="ridge"), "bias must be one of 'none'"),
        (lambda: mixup_problem(Mixture(np.eye(3), (0.5, 0.5)), 3, l2_H=0.1, l2_W=1.0), "mixture.probability must have shape"),
        (lambda: mixup_problem(Mixture(np.ones(3), np.ones(1)), 3, l2_H=0.1, l2_W=1.0), "mixture.targets must have shape"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
