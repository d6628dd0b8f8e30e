"""Numbers meant exactly: fractions and decimal strings are kept beside the floats, and never outlive them."""

import dataclasses
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ufm import Problem, objective, solve
from ufm.problem.meant import exact, is_meant

RIDGES = {"l2_W": "0.05", "l2_H": Fraction(1, 3)}


def test_a_decimal_string_is_the_nearest_float_and_the_fraction_that_it_says():
    problem = Problem.balanced(3, 2, 4, loss="ce", **RIDGES)
    assert problem.l2_W[0] == 0.05 and problem.l2_H == 1 / 3
    assert exact(problem, "l2_W").tolist() == [Fraction(1, 20)] and exact(problem, "l2_H")[()] == Fraction(1, 3)
    plain = Problem.balanced(3, 2, 4, loss="ce", l2_W=0.05, l2_H=1 / 3)
    assert exact(plain, "l2_W").tolist() == [Fraction(0.05)] != [Fraction(1, 20)]
    assert is_meant(problem, "l2_W") and not is_meant(plain, "l2_W") and problem != plain


@pytest.mark.parametrize(
    "change",
    [
        lambda p: dataclasses.replace(p, l2_H=jnp.asarray(0.3)),
        lambda p: p.replace(l2_H=1 / 3),
        lambda p: jax.tree.map(lambda x: 1.5 * x, p),
        lambda p: jax.jit(lambda q: dataclasses.replace(q, l2_H=q.l2_H * (1 + 1e-15)))(p),
    ],
    ids=["dataclasses.replace", "replace", "tree map", "jit"],
)
def test_a_number_that_was_replaced_is_the_float_that_it_is(change):
    changed = change(Problem.balanced(3, 2, 4, **RIDGES))
    assert exact(changed, "l2_H")[()] == Fraction(float(changed.l2_H)) and not is_meant(changed, "l2_H")


def test_replacing_one_number_keeps_what_the_others_mean():
    problem = Problem.balanced(3, 2, (4, 4), smoothing="0.1", **RIDGES).replace(l2_H="2e-3", loss="ce")
    assert exact(problem, "l2_H")[()] == Fraction(1, 500)
    assert exact(problem, "l2_W").tolist() == [Fraction(1, 20)] * 2
    assert is_meant(problem, "smoothing") and not is_meant(problem.replace(targets=np.eye(3)[:, [0, 0, 1, 1, 2, 2]]), "smoothing")


def test_smoothed_targets_are_exact_where_the_smoothing_is():
    problem = Problem.imbalanced((2, 1, 1), 3, loss="ce", smoothing="0.1", **RIDGES)
    targets = exact(problem, "targets")
    assert targets.shape == (3, 4) and targets[0, 0] == Fraction(14, 15) and targets[1, 0] == Fraction(1, 30)
    assert all(sum(column) == 1 for column in targets.T)
    floats = exact(problem.replace(l2_H=0.5), "targets")
    assert floats[0, 0] == Fraction(14, 15)


def test_numbers_of_columns_may_be_fractions_too():
    targets = [["2/3", "1/3"], [Fraction(1, 3), "2/3"]]
    problem = Problem.from_targets(targets, 2, loss="ce", weight=["1/7", 1], **RIDGES)
    assert exact(problem, "targets")[0].tolist() == [Fraction(2, 3), Fraction(1, 3)]
    assert exact(problem, "weight").tolist() == [Fraction(1, 7), 1] and exact(problem, "multiplicity").tolist() == [1, 1]


def test_the_floats_are_those_of_the_numbers():
    exactly = Problem.balanced(3, 2, 4, loss="ce", bias="ridge", l2_b="0.1", smoothing="0.2", scale="1.5", **RIDGES)
    plainly = Problem.balanced(3, 2, 4, loss="ce", bias="ridge", l2_b=0.1, smoothing=0.2, scale=1.5, l2_W=0.05, l2_H=1 / 3)
    point = solve(plainly, jax.random.key(0)).params
    assert objective(exactly, point) == objective(plainly, point)


@pytest.mark.parametrize(("name", "value"), [("l2_H", "a third"), ("l2_H", "1/0"), ("l2_W", ["0.1", "x"]), ("scale", "nan")])
def test_a_string_that_is_no_number_is_refused_by_name(name, value):
    with pytest.raises(ValueError, match=name):
        Problem.balanced(3, 2, (4, 4), **{**RIDGES, name: value})


def test_exact_numbers_are_refused_of_tracers_and_of_what_is_no_number():
    problem = Problem.balanced(3, 2, 4, **RIDGES)
    with pytest.raises(ValueError, match="name"):
        exact(problem, "loss")
    with pytest.raises(ValueError, match="l2_H"):
        jax.jit(lambda p: exact(p, "l2_H")[()] and 0)(problem)
