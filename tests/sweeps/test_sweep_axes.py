"""Axes: every leaf and every choice does to a problem what it says, alone and together, and refusals name the axis."""

import time

import jax.numpy as jnp
import numpy as np
import pytest

import ufm
from ufm import Problem
from ufm.losses import focal
from ufm.sweeps.axes import check_corners, problems_of, read_axes, with_choices
from ufm.sweeps.order import difficulty

BALANCED = Problem.balanced(classes=4, per_class=10, widths=8, l2_W=5e-3, l2_H=5e-3)
DEEP = Problem.balanced(classes=3, per_class=2, widths=(5, 6, 5), l2_W=(1e-3, 2e-3, 3e-3), l2_H=5e-3)
LONG_TAIL = Problem.imbalanced((8, 4, 2, 2), 8, l2_W=0.1, l2_H=0.1)


def swept(fn, problem, axes, **options):
    return ufm.sweep(fn, problem, axes, progress=False, **options)


def parts(problem):
    return {
        "W": problem.l2_W, "H": problem.l2_H, "b": problem.l2_b, "scales": problem.scale, "N": problem.samples, "n": problem.counts,
        "weights": problem.weight, "intercepts": problem.intercept, "Y": problem.targets, "betas": problem.beta,
    }  # fmt: skip


def proximal(loss="mse"):
    H0 = np.random.default_rng(0).standard_normal((8, 8))
    return Problem.balanced(4, 2, 8, loss=loss, l2_W=5e-3, l2_H=5e-3, bias="ridge", l2_b=0.1, beta=0.1, H0=H0)


@pytest.mark.parametrize("name", ["l2_H", "l2_b", "scale", "beta", "samples", "multiplicity", "weight", "l2_W"])
def test_a_number_fills_its_leaf_as_replace_does(name):
    problem, values = proximal(), (0.5, 2.0)
    found = swept(parts, problem, {name: values})
    for i, value in enumerate(values):
        for part, expected in parts(problem.replace(**{name: value})).items():
            np.testing.assert_array_equal(found[part][i], expected)


@pytest.mark.parametrize("name", ["l2_W", "targets", "H0", "intercept", "multiplicity"])
def test_arrays_are_points_of_an_axis(name):
    rng, problem = np.random.default_rng(1), proximal()
    values = rng.uniform(0.5, 2, (3, *getattr(problem, name).shape))
    if name == "intercept":
        values[:, 0] = 1

    def total(p):
        return {"sum": jnp.sum(jnp.sin(getattr(p, name))), "N": p.samples}

    found = swept(total, problem, {name: values})
    np.testing.assert_allclose(found["sum"], np.sin(values).reshape(3, -1).sum(1), rtol=1e-13)
    np.testing.assert_allclose(found["N"], [problem.replace(**{name: v}).samples for v in values], rtol=1e-14)
    np.testing.assert_array_equal(found[f"{name}_values"], values)
    assert found[name].to_numpy().tolist() == [0, 1, 2]


def test_entries_replace_after_what_fills_the_whole_in_any_order():
    axes = {"l2_W[1]": [0.5, 0.7], "l2_W": [1e-3, 1e-2]}
    one, other = swept(parts, DEEP, axes), swept(parts, DEEP, dict(reversed(axes.items())))
    np.testing.assert_array_equal(one.W.transpose("l2_W", "l2_W[1]", ...), other.W.transpose("l2_W", "l2_W[1]", ...))
    np.testing.assert_array_equal(one.W.sel({"l2_W": 1e-2, "l2_W[1]": 0.5}), [1e-2, 0.5, 1e-2])
    single = swept(parts, DEEP, {"l2_W[2]": [0.5]})
    np.testing.assert_array_equal(single.W[0], [1e-3, 2e-3, 0.5])


def test_counts_ratio_makes_long_tails_of_balanced_classes_and_stretches_the_profile_of_others():
    ratios = np.array([1.0, 4.0, 16.0])
    sizes = swept(parts, BALANCED, {"counts ratio": ratios}).n
    np.testing.assert_allclose(sizes, 10 * ratios[:, None] ** -(np.arange(4) / 3)[None, :], rtol=1e-13)
    stretched = swept(parts, LONG_TAIL, {"counts ratio": ratios})
    np.testing.assert_allclose(stretched.n, [[8, 8, 8, 8], [8, 4, 2, 2], [8, 2, 0.5, 0.5]], rtol=1e-13)
    np.testing.assert_allclose(stretched.N, stretched.n.sum("n_0"), rtol=1e-13)


def test_counts_ratio_holds_where_class_sizes_are_arguments_of_a_shared_program():
    def build(size):
        return BALANCED.replace(multiplicity=size / 10).collapsed()

    sizes = swept(parts, build, {"size": [10.0, 40.0], "counts ratio": [8.0]}).n[:, 0]
    np.testing.assert_allclose(sizes, np.array([[10.0], [40.0]]) * 8 ** -(np.arange(4) / 3)[None, :], rtol=1e-13)


@pytest.mark.parametrize(
    "choices, expected",
    [
        ({"K": 3}, {"classes": 3, "columns": 30, "groups": (10,) * 3}),
        ({"n": 7, "K": 5}, {"classes": 5, "columns": 35, "groups": (7,) * 5}),
        ({"d": 16, "M": 3}, {"widths": (16, 16, 16), "trainable": 3}),
        ({"M": 2}, {"widths": (8, 8)}),
        ({"widths": (9, 7)}, {"widths": (9, 7), "trainable": 2}),
        ({"features": "nonnegative", "bias": "free"}, {"features": "nonnegative", "bias": "free"}),
    ],
)
def test_choices_make_the_problem_that_its_constructor_makes(choices, expected):
    made = with_choices(BALANCED, choices)
    assert {name: getattr(made, name) for name in expected} == expected
    assert float(made.samples) == made.columns and np.all(np.asarray(made.l2_W) == 5e-3)


def test_a_loss_is_a_name_an_object_or_a_function_and_labels_say_which():
    def quartic(z, y):
        return jnp.sum((z - y) ** 4)

    axes = read_axes(BALANCED, {"loss": ["mse", focal(2.0), quartic]})
    assert axes[0].labels.tolist() == ["mse", "focal(2)", "quartic"]
    assert [p.loss.name for p in problems_of(BALANCED, axes)][:2] == ["mse", "focal(2)"]


def test_a_bias_of_another_kind_takes_its_ridge_from_the_axis():
    found = swept(parts, BALANCED, {"bias": ["none", "free", "ridge"], "l2_b": [0.01, 0.1]})
    np.testing.assert_array_equal(found.b.sel(bias="ridge"), [0.01, 0.1])
    assert found.status.to_numpy().tolist() == [[4, 4], [4, 4], [0, 0]]
    assert 'where bias="none"' in found.attrs["refused"].splitlines()[0]


def test_arguments_of_a_builder_are_choices_and_its_numbers_can_be_swept_too():
    def build(K, smoothing=0.0, **more):
        return Problem.balanced(K, 3, 8, l2_W=5e-3, l2_H=5e-3, smoothing=smoothing, **more)

    axes = {"K": [3, 4], "smoothing": [0.0, 0.1], "scale": [1.0, 2.0], "bias": ["free"]}
    found = swept(lambda p: {"sum": jnp.sum(p.targets[0]), "scales": p.scale, "classes": p.classes}, build, axes)
    assert found["classes"][1].to_numpy().tolist() == [[[4]] * 2] * 2
    np.testing.assert_allclose(found["sum"][0, 1, 1, 0], 3, rtol=1e-14)
    np.testing.assert_array_equal(found.scales[1, 0, :, 0], [1, 2])


@pytest.mark.parametrize(
    "axes, message",
    [
        ({}, "axes must be a dictionary of at least one axis"),
        ([("K", [3])], "axes must be a dictionary"),
        ({"l2_Q": [1]}, "axis 'l2_Q' must be one of K, n"),
        ({"l2_H[0]": [1]}, r"axis 'l2_H\[0\]' must be one of"),
        ({"l2_W[3]": [1]}, r"axis 'l2_W\[3\]' must be an entry from l2_W\[0\] to l2_W\[0\]"),
        ({"l2_H": []}, "axis 'l2_H' must be at least one value"),
        ({"l2_H": 1.0}, "axis 'l2_H' must be a sequence of values, got 1.0"),
        ({"K": 3}, "axis 'K' must be a sequence of values, got 3"),
        ({"loss": "mse"}, "axis 'loss' must be a sequence of values, got 'mse'"),
        ({"l2_H": [1, np.nan]}, "axis 'l2_H' must be finite"),
        ({"l2_H": ["a"]}, "axis 'l2_H' must be numbers"),
        ({"l2_H": [1, -1, 2]}, "l2_H must be finite and at least 0, got -1"),
        ({"l2_W": [[1, 2]]}, r"axis 'l2_W' must have points of shape \(\) or \(1,\), got \(2,\)"),
        ({"l2_H": [[1, 2]]}, r"axis 'l2_H' must have points of shape \(\), got \(2,\)"),
        ({"targets": [1.0]}, r"axis 'targets' must have points of shape \(4, 40\), got \(\)"),
        ({"H0": np.ones((1, 8, 40))}, "axis 'H0' must be a leaf that the problem has"),
        ({"counts ratio": [2, 0.5]}, "axis 'counts ratio' must be at least 1"),
        ({"counts ratio": [[2.0]]}, r"axis 'counts ratio' must have points of shape \(\)"),
        ({"counts ratio": [2], "multiplicity": [1]}, "axes 'counts ratio' and 'multiplicity' must not be given together"),
        ({"widths": [8], "d": [8]}, "axes 'widths' and 'd' must not be given together"),
        ({"K": [1]}, "K must be a whole number of at least 2, got 1"),
        ({"K": [2.5]}, "K must be a whole number"),
        ({"loss": ["nonsense"]}, "loss must be"),
    ],
)
def test_refusals_name_the_axis_the_value_and_what_is_allowed(axes, message):
    with pytest.raises(ValueError, match=message):
        swept(lambda p: p.c, BALANCED, axes)


def test_numbers_are_refused_in_the_middle_of_arrays_too():
    values = np.ones((3, 3))
    values[1, 2] = -1
    with pytest.raises(ValueError, match="l2_W must be finite and at least 0"):
        check_corners(DEEP, read_axes(DEEP, {"l2_W": values}))


@pytest.mark.parametrize(
    "problem, message",
    [
        (3, "problem must be a Problem, or a function that builds one, got 3"),
        (lambda K, s: BALANCED, "got no axis 's'"),
        (lambda K: K, "problem must be a function that builds a Problem, got int for {'K': 3}"),
        (LONG_TAIL, "balanced for an axis 'K' or 'n'"),
        (lambda status: BALANCED, "got no axis 'status'"),
    ],
)
def test_problems_that_cannot_have_the_axis_are_refused(problem, message):
    with pytest.raises(ValueError, match=message):
        swept(lambda p: p.c, problem, {"K": [3]})


def test_depth_needs_one_ridge_for_all_layers():
    with pytest.raises(ValueError, match="axis 'M' must be swept where all layers have one l2_W"):
        with_choices(DEEP, {"M": 2})


def test_known_columns_are_not_folded_lane_by_lane_when_a_program_compiles():
    """A compiler that sees the targets of 500 columns in 144 lanes works on them for 40 seconds."""
    problem = Problem.balanced(10, 50, 8, loss="ce", l2_W=5e-3, l2_H=5e-3)
    start = time.process_time()
    found = swept(difficulty, problem, {"l2_H": np.geomspace(1e-4, 1, 12), "l2_W": np.geomspace(1e-4, 1, 12)})
    assert time.process_time() - start < 15
    small = swept(difficulty, problem.collapsed(), {"l2_H": np.geomspace(1e-4, 1, 12), "l2_W": np.geomspace(1e-4, 1, 12)})
    np.testing.assert_allclose(found.difficulty, small.difficulty, rtol=1e-10)
