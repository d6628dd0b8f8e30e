"""Next-token problems: what is weighed and what is not, generators, and refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ufm
from ufm.problem.params import column_weights, objective
from ufm.settings.language import NextTokens, even_contexts, next_token_problem, random_contexts, uniform_supports, zipf_priors

RIDGES = {"l2_W": 0.02, "l2_H": 0.03}


def drawn(seed=0, V=6, m=9, **choices):
    return random_contexts(jax.random.key(seed), zipf_priors(V), m, **choices)


def test_contexts_weigh_in_the_loss_and_not_in_the_ridge_also_for_more_tokens_than_dimensions():
    tokens = drawn(exponent=1.0)
    problem = next_token_problem(tokens, 2, **RIDGES)
    point = ufm.initialize(problem, jax.random.key(1))
    (W,), H = map(np.asarray, point.weights), np.asarray(point.H)
    log_q = W @ H - np.log(np.sum(np.exp(W @ H), axis=0))
    loss = -np.sum(tokens.priors * np.sum(tokens.labels * log_q, axis=0))
    expected = loss + 0.01 * np.sum(W**2) + 0.015 * np.sum(H**2)
    assert float(objective(problem, point)) == pytest.approx(expected, rel=1e-13)
    np.testing.assert_allclose(column_weights(problem), tokens.priors, rtol=1e-14)
    assert problem.widths == (2,) and problem.classes == 6 and problem.columns == 9


def test_the_minimum_is_never_below_the_entropy_of_the_labels():
    tokens = drawn(1, V=4, m=8)
    p = np.where(tokens.labels > 0, tokens.labels, 1)
    entropy = -np.sum(tokens.priors * np.sum(p * np.log(p), axis=0))
    values = [float(ufm.solve(next_token_problem(tokens, 12, l2_W=r, l2_H=r), jax.random.key(0)).value) for r in (1e-2, 1e-4)]
    assert entropy < values[1] < values[0] and values[1] - entropy < 0.01


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.5])
def test_zipf(exponent):
    p = zipf_priors(50, exponent)
    assert p.sum() == pytest.approx(1, rel=1e-14) and np.all(np.diff(p) <= 0)
    assert p[0] / p[9] == pytest.approx(10**exponent, rel=1e-13)


def test_contexts_depend_on_the_key_alone():
    with jax.enable_x64(False):
        single = drawn(3)
    np.testing.assert_array_equal(single.labels, drawn(3).labels)
    assert not np.array_equal(drawn(3).labels, drawn(4).labels)


def test_labels_are_distributions_on_supports_of_the_sizes_asked_for():
    tokens = drawn(V=20, m=400, sizes=(1, 3, 20), size_probabilities=(0.5, 0.5, 0.0), exponent=0.7)
    sizes = tokens.supports.sum(axis=0)
    assert set(sizes) == {1, 3} and abs(np.mean(sizes == 1) - 0.5) < 0.1
    np.testing.assert_allclose(tokens.labels.sum(axis=0), 1, rtol=1e-14)
    np.testing.assert_allclose(tokens.priors, zipf_priors(400, 0.7), rtol=1e-14)
    assert np.mean(tokens.supports[0]) > 3 * np.mean(tokens.supports[10])  # frequent tokens follow more contexts


def test_support_of_one_token_are_drawn_by_frequency():
    f = np.array([0.6, 0.3, 0.1])
    tokens = random_contexts(jax.random.key(0), f * 1000, 4000, sizes=1)
    np.testing.assert_allclose(tokens.supports.mean(axis=1), f, atol=0.025)


def test_concentration_evens_labels_and_keeps_them_above_zero():
    even, uneven = (drawn(V=4, m=200, sizes=(3,), concentration=c).labels for c in (1e4, 1e-3))
    np.testing.assert_allclose(even[even > 0], 1 / 3, atol=0.03)
    assert np.sum(uneven > 0) == 600 and uneven.max() > 1 - 1e-5


def test_uniform_supports_are_all_of_one_size():
    tokens = uniform_supports(5, 2)
    assert tokens.labels.shape == (5, 10) and len({tuple(column) for column in tokens.supports.T}) == 10
    np.testing.assert_allclose(tokens.labels[tokens.supports], 0.5)
    np.testing.assert_array_equal(uniform_supports(4, 1).labels, np.eye(4))
    np.testing.assert_allclose(even_contexts([[1, 1], [0, 1]]).labels, [[1, 0.5], [0, 0.5]])


def test_single_precision_labels_make_a_single_precision_problem():
    tokens = drawn()
    single = NextTokens(jnp.asarray(tokens.labels, jnp.float32), jnp.asarray(tokens.priors, jnp.float32))
    assert next_token_problem(single, 3, **RIDGES).dtype == jnp.float32


GOOD = NextTokens(np.eye(3), np.full(3, 1 / 3))


def problem_of(**changes):
    return next_token_problem(GOOD._replace(**changes), 3, **RIDGES)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: problem_of(priors=np.ones(2) / 2), r"priors must have shape \(3,\), got \(2,\)"),
        (lambda: problem_of(priors=np.ones(3)), "priors must be of sum 1, got"),
        (lambda: problem_of(priors=np.array([1.5, -1, 0.5])), "priors must be finite and above 0"),
        (lambda: problem_of(labels=2 * np.eye(3)), "non-negative columns that sum to 1"),
        (lambda: problem_of(labels=np.ones(3)), r"labels must have shape \(V, m\), got \(3,\)"),
        (lambda: next_token_problem(GOOD, 3, **RIDGES, weight=1.0), "choices must be no argument that the contexts decide"),
        (lambda: zipf_priors(1), "vocabulary must be a whole number of at least 2, got 1"),
        (lambda: zipf_priors(5, -1.0), "exponent must be finite and at least 0, got -1.0"),
        (lambda: random_contexts(0, np.ones(3), 2), "key must be one key of jax.random.key, got 0"),
        (lambda: drawn(m=0), "contexts must be a whole number of at least 1, got 0"),
        (lambda: drawn(sizes=(1, 7)), "sizes must be at most the V = 6 tokens, got 7"),
        (lambda: drawn(sizes=(0,)), "sizes must be a whole number of at least 1, got 0"),
        (lambda: drawn(size_probabilities=(1, 1)), r"size_probabilities must have shape \(3,\), got \(2,\)"),
        (lambda: drawn(size_probabilities=(0, 0, 0)), "size_probabilities must be not all 0"),
        (lambda: drawn(concentration=0.0), "concentration must be finite and above 0, got 0.0"),
        (lambda: random_contexts(jax.random.key(0), [0.5, 0.0], 2), "priors must be finite and above 0"),
        (lambda: uniform_supports(4, 4), "size must be at most V - 1 = 3, got 4"),
        (lambda: even_contexts(np.zeros((3, 2))), "supports must be one token or more in every column"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()
