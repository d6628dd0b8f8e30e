"""A sweep is the function called point by point, however its lanes are grouped, ordered, cut into chunks and batched."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import spearmanr

import ufm
from ufm import Problem
from ufm.sweeps.functions import FUNCTIONS, describe, named, standard
from ufm.sweeps.order import difficulty
from ufm.sweeps.program import name_of

PROBLEM = Problem.balanced(classes=4, per_class=100, widths=64, l2_W=5e-4, l2_H=5e-4)
RIDGES = {"l2_W": np.geomspace(1e-4, 1, 7), "l2_H": np.geomspace(1e-4, 1, 7)}


def swept(fn, problem, axes, **options):
    return ufm.sweep(fn, problem, axes, progress=False, **options)


def same(one, other, rtol=0.0):
    """All variables but counts of steps and what is pure rounding agree."""
    for name in ("value", "status", "rank"):
        np.testing.assert_allclose(one[name], other[name], rtol=rtol, err_msg=name)


@pytest.fixture(scope="module")
def minima():
    return swept("minimum", PROBLEM, RIDGES, seeds=2)


def test_lanes_are_the_function_called_point_by_point(minima):
    for i, j, seed in ((0, 0, 0), (3, 5, 1), (6, 2, 1)):
        p = PROBLEM.replace(l2_W=RIDGES["l2_W"][i], l2_H=RIDGES["l2_H"][j])
        found = ufm.solve(standard(FUNCTIONS["minimum"], p), jax.random.key(seed))
        lane = minima.isel(l2_W=i, l2_H=j, seed=seed)
        np.testing.assert_allclose(lane.value, found.value, rtol=1e-12)
        assert (int(lane["rank"]), int(lane.status)) == (int(found.rank), int(found.status))
    closed = swept("closed_form", PROBLEM, RIDGES)
    np.testing.assert_allclose(minima.value, closed.value.expand_dims(seed=2, axis=-1), rtol=1e-9)
    np.testing.assert_array_equal(minima["rank"][..., 0], closed["rank"])


@pytest.mark.parametrize("chunk", [1, 3, 7])
def test_chunks_of_any_length_give_the_same_bits(minima, chunk):
    again = swept("minimum", PROBLEM, RIDGES, seeds=2, chunk=chunk)
    assert again.equals(minima)


def test_batches_in_order_of_difficulty_give_the_same_minima(minima):
    same(swept("minimum", PROBLEM, RIDGES, seeds=2, batch=8, chunk=16), minima, rtol=1e-12)


def test_any_order_gives_the_same_bits(minima):
    assert swept("minimum", PROBLEM, RIDGES, seeds=2, order=lambda p: -p.l2_H).equals(minima)


def test_difficulty_ranks_lanes_as_their_steps_do(minima):
    predicted = swept(difficulty, PROBLEM, RIDGES).difficulty
    steps = minima.steps.mean("seed")
    assert spearmanr(predicted.to_numpy().ravel(), steps.to_numpy().ravel()).statistic > 0.9


def test_difficulty_peaks_at_thresholds_grows_below_them_and_is_even_without_ridges():
    threshold = 1 / (4 * np.sqrt(100))
    values = [float(difficulty(PROBLEM.replace(l2_W=c, l2_H=c))) for c in threshold * np.array([1e-3, 0.2, 1.0, 5.0])]
    assert values[0] > values[2] > values[1] > values[3] and abs(values[2] - 5) < 1e-6
    assert float(difficulty(PROBLEM.replace(l2_W=0.0, l2_H=0.0))) == 0


def test_wide_features_and_samples_a_class_share_a_program_and_change_what_they_should():
    axes = {"d": [64, 512], "n": [10, 100], "l2_H": [1e-3]}
    found = swept("minimum", PROBLEM, axes)
    np.testing.assert_array_equal(found.value.sel(d=64), found.value.sel(d=512))
    exact = [ufm.predict(Problem.balanced(4, n, 64, l2_W=5e-4, l2_H=1e-3)).value for n in (10, 100)]
    np.testing.assert_allclose(found.value[0, :, 0, 0], exact, rtol=1e-9)
    structures = {jax.tree.structure(standard(FUNCTIONS["minimum"], p)) for p in (PROBLEM, PROBLEM.replace(widths=512))}
    assert len(structures) == 1


@pytest.mark.parametrize("K, n, d, M", [(3, 10, 64, 1), (5, 1000, 512, 1), (5, 10, 512, 3)])
def test_closed_forms_over_sizes_are_those_of_each_size(sizes, K, n, d, M):
    p = ufm.predict(Problem.balanced(K, n, (d,) * M, l2_W=5e-4, l2_H=5e-4))
    lane = sizes.sel(K=K, n=n, d=d, M=M)
    np.testing.assert_allclose(lane.value, p.value, rtol=1e-13)
    np.testing.assert_allclose(lane.logits[:K, :K], p.logits, atol=1e-13)
    S = p.singular_values
    np.testing.assert_allclose(lane.singular_values[: S.shape[0], : S.shape[1]], S, atol=1e-13)
    assert np.isnan(lane.logits[K:]).all() and np.isnan(lane.singular_values[S.shape[0] :]).all()


@pytest.fixture(scope="module")
def sizes():
    return swept("closed_form", PROBLEM, {"K": [3, 5], "n": [10, 1000], "d": [64, 512], "M": [1, 3]})


def test_numbers_of_single_columns_keep_every_column():
    """A multiplicity of 2 fills the 3 samples of a class, not the one column that would stand for them."""
    problem = Problem.balanced(3, 3, 4, l2_W=1e-2, l2_H=1e-2)
    found = swept("minimum", problem, {"multiplicity": [1.0, 2.0]})
    exact = [ufm.predict(Problem.balanced(3, n, 4, l2_W=1e-2, l2_H=1e-2)).value for n in (3, 6)]
    np.testing.assert_allclose(found.value[:, 0], exact, rtol=1e-9)
    assert standard(FUNCTIONS["minimum"], problem, ["weight[1]"]) is problem
    assert standard(FUNCTIONS["minimum"], problem, ["l2_W[0]"]).columns == 3


def test_certificates_bound_and_geometry_describes_the_minimum_of_every_lane():
    axes = {"l2_H": [1e-3, 4e-3]}
    certified = swept("certified", PROBLEM, axes)
    assert np.all((certified.relative_gap >= 0) & (certified.relative_gap < 1e-8))
    assert np.all(certified.lower_bound <= certified.value)
    assert "convex duality" in certified.attrs["references"].splitlines()[0]


def test_long_axes_of_closed_forms_are_one_batch_after_another():
    found = swept("closed_form", PROBLEM, {"l2_H": np.geomspace(1e-4, 1, 20_000)})
    i = np.array([0, 8191, 8192, 19_999])
    exact = [ufm.predict(PROBLEM.replace(l2_H=found.l2_H.to_numpy()[j])).value for j in i]
    np.testing.assert_allclose(found.value.to_numpy()[i], exact, rtol=1e-13)
    assert "mse-balanced-deep" in found.attrs["references"].splitlines()[0]


def test_flows_start_from_samples_that_differ_and_collapse():
    problem = Problem.balanced(2, 3, 3, l2_W=0.05, l2_H=0.05)
    found = swept(partial(FUNCTIONS["flowed"], time=20.0), problem, {"l2_H": [0.05, 0.1]}, seeds=[5])
    path = ufm.flow(problem, ufm.initialize(problem, jax.random.key(5), 0.1), [20.0])
    np.testing.assert_allclose(found.value[0, 0], path.value[-1], rtol=1e-9)
    samples = path.params.H.reshape(3, 2, 3)
    means = samples.mean(2, keepdims=True)
    np.testing.assert_allclose(found.nc1[0, 0], jnp.sum((samples - means) ** 2) / (3 * jnp.sum(means**2)), rtol=1e-6)


def test_keys_are_those_of_the_seeds():
    found = swept(lambda p, key: jax.random.normal(key), PROBLEM, {"l2_H": [1.0]}, seeds=[3, 2**31 - 1])
    np.testing.assert_array_equal(found.result[0], [jax.random.normal(jax.random.key(s)) for s in (3, 2**31 - 1)])


def test_single_precision_stays_single():
    problem = jax.tree.map(lambda x: x.astype(jnp.float32), PROBLEM)
    found = swept("closed_form", problem, {"l2_H": [1e-3, 1e-2], "l2_W[0]": [1e-3]})
    assert found.value.dtype == np.float32
    exact = swept("closed_form", PROBLEM, {"l2_H": [1e-3, 1e-2], "l2_W[0]": [1e-3]})
    np.testing.assert_allclose(found.value, exact.value, rtol=1e-5)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"seeds": 0}, "seeds must be a whole number of at least 1"),
        ({"seeds": 2.5}, "seeds must be how many seeds, or a sequence"),
        ({"seeds": []}, "seeds must be how many seeds, or a sequence of at least one"),
        ({"seeds": [1, -1]}, "seeds must be a whole number of at least 0, got -1"),
        ({"seeds": [2**40]}, r"seeds must be below 2\^31, got 1099511627776"),
        ({"chunk": 0}, "chunk must be a whole number of at least 1"),
        ({"batch": 1.5}, "batch must be a whole number of at least 1"),
        ({"order": "hard"}, "order must be a function of a problem that gives one number, got 'hard'"),
        ({"order": lambda p: p.l2_W}, "order must be a function of a problem that gives one number"),
        ({"process": 3}, r"process must be \(i, n\)"),
        ({"process": (0, 2)}, "store must be a folder"),
    ],
)
def test_options_are_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        swept(lambda p, key: p.c, PROBLEM, {"l2_H": [1.0]}, **options)


@pytest.mark.parametrize(
    "fn, message",
    [
        ("minima", "fn must be a function or one of 'closed_form'"),
        (3, "fn must be a function or one of"),
        (lambda: 1, r"fn must take a problem, or a problem and a random key, got arguments \(\)"),
        (lambda p: None, "fn must return numbers besides params, got NoneType"),
        (lambda p: {"status": jnp.zeros(3)}, r"fn must give one status, got 'status' of shape \(3,\)"),
        (lambda p: {"l2_H": p.l2_H}, "fn must give results of other names than the axes, got 'l2_H'"),
    ],
)
def test_functions_that_a_dataset_cannot_hold_are_refused_before_anything_runs(fn, message):
    with pytest.raises(ValueError, match=message):
        swept(fn, PROBLEM, {"l2_H": [1.0]})


def test_functions_have_names_that_all_processes_agree_on():
    assert describe(partial(ufm.solve, starts=4)) == "ufm.search.solution.solve with starts=4"
    assert describe(partial(partial(swept, ufm.predict), axes=3)).endswith("swept with ufm.theory.registry.predict, axes=3")
    assert name_of(partial(ufm.objective, params=None)) == "objective" and name_of(lambda p: p) == "result"
    assert named("minimum") is FUNCTIONS["minimum"] and named(ufm.solve) is ufm.solve
