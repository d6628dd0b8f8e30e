"""Class counts of long-tailed benchmarks: totals, endpoints, edges and refusals."""

import jax
import numpy as np
import pytest

from ufm.equivalent.columns import spread_columns
from ufm.problem import ClassSizes, Problem
from ufm.problem.params import initialize, objective
from ufm.settings.long_tail import check_counts, exponential_counts, imagenet_lt_counts, long_tail_problem, step_counts


def test_the_counts_of_cifar_are_those_of_the_literature():
    ten, hundred = exponential_counts(10, 5000), exponential_counts(100, 500)
    assert sum(ten) == 12406 and sum(hundred) == 10847
    assert (ten[0], ten[-1], hundred[0], hundred[-1]) == (5000, 50, 500, 5)
    assert exponential_counts(10, 5000, 10)[-1] == 500 and sum(exponential_counts(10, 5000, 10)) == 20431
    assert sum(exponential_counts(100, 500, 10)) == 19573


@pytest.mark.parametrize("ratio", [1, 1.5, 37.0, 500])
def test_an_exponential_tail_falls_from_the_largest_to_its_ratio(ratio):
    counts = exponential_counts(7, 500, ratio)
    assert counts[0] == 500 and counts[-1] in (int(500 / ratio), int(500 / ratio) - 1)
    assert list(counts) == sorted(counts, reverse=True)
    logs = np.diff(np.log(counts[:3]))
    np.testing.assert_allclose(logs, -np.log(ratio) / 6, atol=0.02)


def test_steps_split_the_classes():
    assert step_counts(5, 100, 10) == (100, 100, 100, 10, 10)
    assert step_counts(4, 100, 10, rare=0) == (100,) * 4 and step_counts(4, 100, 10, rare=4) == (10,) * 4


def test_imagenet_lt_has_the_published_endpoints_and_total():
    counts = np.array(imagenet_lt_counts())
    assert (counts.size, counts.max(), counts.min(), counts.sum()) == (1000, 1280, 5, 115_846)
    assert np.all(np.diff(counts) <= 0)
    # 5 + s x of a Pareto law of survival (1 + x)^(-6), up to rounding to whole images
    x = (counts[[99, 499]] - 5) / (counts[9] - 5)
    quantile = (np.array([0.09979, 0.49979]) ** (-1 / 6) - 1) / (0.00979 ** (-1 / 6) - 1)
    np.testing.assert_allclose(x, quantile, atol=1e-3)


def test_one_column_a_class_stands_for_all_its_samples():
    merged = long_tail_problem((5, 2, 1), l2_W=0.1, l2_H=0.2)
    assert type(merged.design) is ClassSizes and merged.widths == (3,) and merged.loss.name == "ce"
    full = Problem.imbalanced((5, 2, 1), 3, loss="ce", l2_W=0.1, l2_H=0.2)
    point = initialize(merged, jax.random.key(0))
    np.testing.assert_allclose(objective(merged, point), objective(full, spread_columns(full, point)), rtol=1e-14)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: exponential_counts(1, 500), "classes must be a whole number of at least 2, got 1"),
        (lambda: exponential_counts(10, 0), "largest must be a whole number of at least 1, got 0"),
        (lambda: exponential_counts(10, 500, 501.0), "ratio must be from 1 to the 500 samples .* got 501.0"),
        (lambda: exponential_counts(10, 500, 0.5), "ratio must be from 1 to"),
        (lambda: exponential_counts(10, 500, -1), "ratio must be finite and above 0, got -1"),
        (lambda: step_counts(4, 10, 2, rare=5), "rare must be at most the 4 classes, got 5"),
        (lambda: step_counts(4, 10, 2, rare=-1), "rare must be a whole number of at least 0, got -1"),
        (lambda: check_counts((3,)), "counts must be the sizes of at least 2 classes"),
        (lambda: check_counts((3, 0)), "counts must be a whole number of at least 1, got 0"),
        (lambda: check_counts((3, 2.5)), "counts must be a whole number of at least 1, got 2.5"),
        (lambda: check_counts("34"), "counts must be the sizes of at least 2 classes, got '34'"),
        (lambda: long_tail_problem((3, 2), samples=7), "samples must be left out: it follows from the counts, got 7"),
    ],
)
def test_refusals_name_the_argument(call, words):
    with pytest.raises(ValueError, match=words):
        call()
