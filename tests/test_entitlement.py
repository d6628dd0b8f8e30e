"""predict speaks only where a theorem's assumptions are decided to hold, and is right then, in value and in every derivative."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ufm
from ufm import Problem
from ufm.losses import binary_kl, dual_head, kd, pld
from ufm.problem import GeneralColumns, general
from ufm.problem.params import objective
from ufm.settings.distillation import confident_teacher, distilled_problem
from ufm.settings.language import next_token_problem, uniform_supports
from ufm.settings.mixup import lambda_nodes, mixup_problem, mixup_types
from ufm.settings.multilabel import multi_label_problem
from ufm.theory.prediction import grounded
from ufm.theory.registry import catalogue, served_accuracy

KEY = jax.random.key(0)
RIDGES = {"l2_W": 1e-2, "l2_H": 1e-2}
SWAPPED, OFF3, OFF4 = np.eye(2)[:, ::-1], 1 - np.eye(3), 1 - np.eye(4)


def of(targets, width=5, **choices):
    return Problem.from_targets(targets, width, **(RIDGES | choices))


OUTSIDE = {
    "two classes in the other order, ce": (lambda: of(SWAPPED, 3, loss="ce"), 0.0560),
    "two classes in the other order, logistic": (lambda: of(SWAPPED, 3, loss="logistic"), 0.112),
    "columns off their class, ce": (lambda: of(OFF4 / 3, loss="ce"), 1.200),
    "columns off their class, logistic": (lambda: of(OFF4, loss="logistic"), 0.392),
    "negative targets, mse": (lambda: of(-np.eye(4)), 0.0392),
    "a class without columns, ce": (lambda: of(np.eye(4)[:, :3], loss="ce"), 0.1407),
    "a class of two columns, ce": (lambda: of(np.eye(4)[:, [0, 1, 0, 2, 3]], loss="ce"), 0.1818),
    "classes in any order, mse": (lambda: of(np.eye(4)[:, [2, 0, 3, 1]]), None),
    "a class without columns, mse": (lambda: of(np.eye(4)[:, :3]), None),
    "unequal intercepts under a bias, ce": (
        lambda: of(np.eye(2), loss="ce", intercept=[1.0, 0.0], bias="ridge", l2_b=1e-2),
        None,
    ),
    "unequal intercepts under a free bias, mse": (lambda: of(np.eye(3), intercept=[1.0, 0.5, 1.0], bias="free"), None),
    "intercepts of two under a ridge bias, mse": (lambda: of(np.eye(3), intercept=2.0, samples=3.0, bias="ridge", l2_b=0.1), None),
    "unequal weights, ce": (lambda: of(np.eye(3), loss="ce", weight=[1.0, 2.0, 1.0]), None),
    "more samples than columns, ce": (lambda: of(np.eye(3), loss="ce", samples=7.0), None),
    "smoothed classes of two sizes, ce": (lambda: Problem.imbalanced((4, 2), 5, loss="ce", smoothing=0.2, **RIDGES), None),
    "smoothed classes of two sizes, mse": (lambda: Problem.imbalanced((4, 2, 1), 5, smoothing=0.2, **RIDGES), None),
    "spheres with ridges": (lambda: Problem.balanced(3, 2, 4, loss="ce", features="sphere", scale=4.0, **RIDGES), None),
    "pld of two classes in the other order": (
        lambda: of(np.array([[0.0, 1.0], [1.0, 0.0]]), loss=pld(), teacher=np.array([[1.0, -1.0], [-1.0, 1.0]])),
        None,
    ),
    "kd with a teacher of another order": (lambda: of(np.eye(3), loss=kd(), teacher=np.roll(2 * np.eye(3), 1, axis=1)), None),
    "binary distillation of one kind of column": (
        lambda: of(np.eye(3)[:, [0, 0, 0]], loss=binary_kl(), teacher=np.tile(np.arange(3.0)[:, None], (1, 3))),
        None,
    ),
    "one kind of column, two heads": (lambda: of(np.ones((4, 3)) * np.array([[1], [0], [2], [-1]]), loss=dual_head()), None),
    "mixed targets of unequal weight": (
        lambda: of((np.eye(3) + np.roll(np.eye(3), 1, 0)) / 2, loss="ce", weight=[1.0, 3, 1]),
        None,
    ),
    "one pair less than a 2-design": (lambda: of(uniform_supports(4, 2).labels[:, :5], loss="ce"), None),
    "non-negative features and a bias": (
        lambda: Problem.imbalanced((4, 2, 1), 5, loss="ce", features="nonnegative", bias="free", **RIDGES),
        None,
    ),
    "widths below the rank, ce": (lambda: Problem.balanced(5, 3, 2, loss="ce", **RIDGES), None),
    "widths below the rank, logistic": (lambda: Problem.balanced(5, 3, 3, loss="logistic", **RIDGES), None),
}


@pytest.mark.parametrize("label", OUTSIDE)
def test_what_is_predicted_is_the_lowest_value_that_search_finds_or_nothing_is_predicted(label):
    build, golden = OUTSIDE[label]
    problem = build()
    lowest = float(ufm.solve(problem, KEY, starts=4).value)
    if golden is not None:
        assert abs(lowest - golden) < 6e-4 * max(1, golden)
    try:
        predicted = ufm.predict(problem)
    except ValueError as refusal:
        assert "no theorem of the catalogue" in str(refusal)
        return
    np.testing.assert_allclose(float(predicted.value), lowest, rtol=1e-8)
    np.testing.assert_allclose(float(objective(problem, predicted.params)), lowest, rtol=1e-8)


def test_the_numbers_at_hand_are_looked_at_again_whatever_the_type_said_before():
    problem = Problem.balanced(4, 3, 6, loss="ce", **RIDGES)
    uneven = problem.replace(multiplicity=np.repeat([3.0, 1, 1, 1], 3))
    found = ufm.predict(uneven)
    assert found.theorem == "two-group-ce"
    np.testing.assert_allclose(found.value, ufm.solve(uneven, KEY).value, rtol=1e-9)
    assert ufm.predict(uneven.replace(multiplicity=1.0)).theorem == "ce-one-layer"


PREDICTED = {
    "mse, M = 3": lambda: Problem.balanced(3, 4, (5, 6, 4), l2_W=(3e-3, 5e-3, 2e-3), l2_H=4e-3, scale=1.3),
    "mse, class sizes, free bias": lambda: Problem.imbalanced((7, 4, 2), (5, 5), bias="free", **RIDGES),
    "mse, ridge bias": lambda: Problem.balanced(3, 4, 5, bias="ridge", l2_b=0.3, **RIDGES),
    "ce": lambda: Problem.balanced(3, 4, 5, loss="ce", bias="ridge", l2_b=0.1, scale=0.7, **RIDGES),
    "ce, smoothing": lambda: Problem.balanced(3, 4, 5, loss="ce", smoothing=0.2, **RIDGES),
    "ce, two sizes": lambda: Problem.grouped((2, 1), (5.0, 2.0), 5, loss="ce", bias="ridge", l2_b=0.1, **RIDGES),
    "logistic": lambda: Problem.balanced(3, 4, 5, loss="logistic", bias="ridge", l2_b=0.1, **RIDGES),
    "sphere": lambda: Problem.balanced(3, 2, 4, loss="ce", features="sphere", scale=4.0, **RIDGES),
    "non-negative": lambda: Problem.imbalanced((7, 4, 2), 5, loss="ce", features="nonnegative", **RIDGES),
    "mixup, mse": lambda: mixup_problem(mixup_types(3, *lambda_nodes(1.0, 2)), 4, loss="mse", l2_W=0.1, l2_H=0.05),
    "mixup, ce": lambda: mixup_problem(mixup_types(3, *lambda_nodes(1.0, 2)), 4, l2_W=0.02, l2_H=0.01),
    "label sets": lambda: multi_label_problem(4, {1: 2, 2: 1}, 5, **RIDGES),
    "supports": lambda: next_token_problem(uniform_supports(4, 2), 5, **RIDGES),
    "distillation": lambda: distilled_problem(confident_teacher(3, 0.8, 2.0), 4, 5, kd(), **RIDGES),
}


@pytest.mark.parametrize("label", PREDICTED)
def test_the_derivative_of_the_predicted_value_is_the_envelopes_in_every_leaf(label):
    problem = PREDICTED[label]()
    found = ufm.predict(problem)
    assert found.accuracy < 1e-9
    # the numbers of general columns decide which theorem speaks, and are held; those of classes are traced with all others
    design = None if isinstance(problem.design, GeneralColumns) else problem.design
    numbers = {"l2_H": problem.l2_H, "l2_W": problem.l2_W, "scale": problem.scale}
    if design is not None and problem.features != "sphere":  # on the sphere coordinates move with the sizes
        numbers["design"] = design
    slopes = jax.grad(lambda x: ufm.predict(problem.replace(**x)).value)(numbers)
    expected = jax.grad(lambda x: objective(problem.replace(**x), found.params))(numbers)
    for a, b in zip(jax.tree.leaves(slopes), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-9)
    step = 1e-5 * float(problem.l2_H)
    ends = [float(ufm.predict(problem.replace(l2_H=float(problem.l2_H) + s)).value) for s in (-step, step)]
    np.testing.assert_allclose(slopes["l2_H"], (ends[1] - ends[0]) / (2 * step), rtol=1e-5)


FLOAT32 = ("mse, class sizes, free bias", "ce, two sizes", "logistic", "non-negative", "mixup, ce", "label sets")


@pytest.mark.parametrize("label", FLOAT32)
def test_predictions_in_float32_are_float32_and_right_to_its_accuracy(label):
    problem = PREDICTED[label]()
    single = jax.tree.map(lambda x: x.astype(jnp.float32), problem)
    found = ufm.predict(single)
    assert {x.dtype for x in jax.tree.leaves(found) if jnp.issubdtype(x.dtype, jnp.floating)} == {jnp.dtype("float32")}
    np.testing.assert_allclose(found.value, ufm.predict(problem).value, rtol=1e-4)
    assert found.accuracy <= served_accuracy(jnp.float32)


def test_what_float32_loses_of_a_small_loss_is_not_served_without_a_word():
    ridges = {"l2_W": 1e-6, "l2_H": 1e-6, "bias": "ridge", "l2_b": 1e-6, "loss": "logistic", "smoothing": 1e-5}
    double = Problem.balanced(3, 1, 4, columns="class", **ridges)
    single = jax.tree.map(lambda x: x.astype(jnp.float32), double)
    exact = ufm.predict(jax.tree.map(lambda x: x.astype(float), single)).value
    try:
        served = ufm.predict(single)
    except ValueError as refusal:
        assert "accurate in float32" in str(refusal)
    else:
        assert abs(served.value - exact) <= 2 * served_accuracy(jnp.float32) * exact


@pytest.mark.parametrize("name", ["run_weight", "multiplicity", "table"])
def test_derivatives_in_targets_weights_and_sizes_are_those_of_minima_that_are_searched_for(name):
    """Leaves of which no closed form speaks once they move: against differences of minima."""
    problem = Problem.balanced(3, 1, 4, loss="ce", **RIDGES)
    table = problem.replace(design=general(problem.design))
    slope = jax.grad(lambda q: grounded(q, catalogue()["ce-one-layer"].predict(q)).value)(table).design
    leave_class = np.array([[-1.0, 0.5, 0.2], [0.4, -1, 0.8], [0.6, 0.5, -1]])  # columns stay distributions on this side alone
    direction = leave_class if name == "table" else np.random.default_rng(0).standard_normal(3)

    def minimum(t):
        moved = dataclasses.replace(table.design, **{name: getattr(table.design, name) + t * direction})
        return float(ufm.solve(table.replace(design=moved), KEY, tolerance=1e-12).value)

    step = 1e-4
    if name == "table":
        difference = (4 * minimum(step) - 3 * minimum(0.0) - minimum(2 * step)) / (2 * step)
    else:
        difference = (minimum(step) - minimum(-step)) / (2 * step)
    np.testing.assert_allclose(np.sum(np.asarray(getattr(slope, name)) * direction), difference, rtol=1e-4)
