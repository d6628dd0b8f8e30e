"""Multi-label problems: the pick-all-labels loss as weighted columns of soft labels."""

from itertools import combinations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ufm
from ufm.problem import is_balanced
from ufm.problem.params import Params
from ufm.settings.multilabel import label_set_problem, multi_label_problem

RIDGES = {"l2_W": 2e-3, "l2_H": 1e-3}


def test_the_objective_is_the_sum_of_cross_entropies_over_labels_averaged_over_samples():
    samples = {1: 3, 2: 2}
    problem = multi_label_problem(4, samples, 5, **RIDGES)
    rng = np.random.default_rng(0)
    params = Params((rng.normal(size=(4, 5)),), rng.normal(size=(5, 10)), None)
    z = params.weights[0] @ params.H / np.sqrt(np.asarray(problem.multiplicity))
    log_p = z - np.log(np.exp(z).sum(axis=0))
    sets = [S for m in samples for S in combinations(range(4), m)]
    total = sum(-samples[len(S)] * sum(log_p[k, i] for k in S) for i, S in enumerate(sets)) / (4 * 3 + 6 * 2)
    features = np.asarray(params.H) / np.sqrt(np.asarray(problem.multiplicity))
    squares = sum(samples[len(S)] * np.sum(features[:, i] ** 2) for i, S in enumerate(sets))
    expected = total + RIDGES["l2_W"] / 2 * np.sum(np.asarray(params.weights[0]) ** 2) + RIDGES["l2_H"] / 2 * squares
    np.testing.assert_allclose(jax.jit(ufm.objective)(problem, params), expected, rtol=1e-13)


def test_numbers_of_labels_are_spelled_out_as_sets():
    by_size = multi_label_problem(4, {1: 3, 2: 2}, 5, **RIDGES)
    sets = {(k,): 3 for k in range(4)} | {S: 2 for S in combinations(range(4), 2)}
    by_set = label_set_problem(4, sets, 5, **RIDGES)
    for a, b in zip(jax.tree.leaves(by_size), jax.tree.leaves(by_set), strict=True):
        np.testing.assert_array_equal(a, b)
    assert by_size.columns == 10 and float(by_size.samples) == 24
    np.testing.assert_array_equal(by_size.weight, [1] * 4 + [2] * 6)


def test_one_label_each_is_the_balanced_problem():
    problem = multi_label_problem(4, {1: 5}, 6, **RIDGES)
    assert is_balanced(problem.design)
    found, expected = jax.jit(ufm.predict)(problem), jax.jit(ufm.predict)(ufm.Problem.balanced(4, 5, 6, loss="ce", **RIDGES))
    assert found.theorem == expected.theorem == "ce-one-layer"
    np.testing.assert_allclose(found.value, expected.value, rtol=1e-13)


def test_frequencies_may_be_traced():
    def size(n):
        return multi_label_problem(3, {1: n, 2: 1.0}, 3, **RIDGES).samples

    np.testing.assert_allclose(jax.jit(size)(jnp.asarray(2.0)), 9.0)
    np.testing.assert_allclose(jax.grad(size)(2.0), 3.0)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ({4: 1}, "all labels at once carry no information"),
        ({0: 1}, "sets of 1 to 3 labels of 4"),
        ({1.5: 1}, "sets of 1 to 3 labels of 4"),
        ({}, "for at least one m"),
        ([1, 2], "for at least one m"),
        ({1: 0}, "multiplicity must be finite and above 0"),
    ],
)
def test_numbers_of_labels_that_make_no_sense_are_refused(samples, message):
    with pytest.raises(ValueError, match=message):
        multi_label_problem(4, samples, 4, **RIDGES)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ({(0, 1, 2, 3): 1}, "all labels at once carry no information"),
        ({(): 1}, "sets of 1 to 3 labels of 4"),
        ({(0, 0): 1}, "different labels in 0, ..., 3"),
        ({(0, 4): 1}, "different labels in 0, ..., 3"),
        ({"01": 1}, "different labels in 0, ..., 3"),
        ({(0, 1): 1, (1, 0): 2}, "label sets that differ as sets"),
        ({}, "for at least one set"),
    ],
)
def test_label_sets_that_make_no_sense_are_refused(samples, message):
    with pytest.raises(ValueError, match=message):
        label_set_problem(4, samples, 4, **RIDGES)


def test_too_many_label_sets_are_refused_before_they_are_built():
    with pytest.raises(ValueError, match="at most 100000 label sets in all, here 137846528820"):
        multi_label_problem(40, {20: 1}, 4, **RIDGES)
