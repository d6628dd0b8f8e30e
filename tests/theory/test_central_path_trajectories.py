"""Closed trajectories of the features: against measurements, broken on purpose, against SciPy and the library's own flows."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

import ufm
from ufm import Status
from ufm.metrics import nc1
from ufm.motion.trajectory import flow
from ufm.problem.params import Params
from ufm.theory.central_path import aligned, collapsed, renormalised, signal_to_noise, unregularised
from ufm.theory.registry import catalogue
from ufm.theory.theorem import key_of

IDS = (
    "collapsed-central-path",
    "aligned-central-path",
    "unregularised-central-path",
    "mse-loss-decomposition",
    "loss-sees-signal-to-noise",
    "renormalised-neural-collapse",
    "renormalised-central-path",
    "renormalised-limits",
    "rewhitened-central-path",
)
TYPICAL = dict(
    zip(IDS, ("c=0.3", "c=0.3", "d=K", "ridge=0.1 noise=1.0", "d=5 mixed", "mixed", "mixed", "[2.0, 0.5]", "mixed"), strict=True)
)


@cache
def answers(name):
    """(theorem, its typical case, predicted, measured)."""
    theorem = catalogue()[name]
    case = theorem.cases()[TYPICAL[name]]
    return theorem, case, jax.jit(theorem.predict)(case), theorem.measure(case, key_of(0, name))


def passes(name, predicted):
    theorem, case, _, measured = answers(name)
    return all(check.passed for check in theorem.evidence(case, predicted, measured))


@pytest.mark.parametrize("name", IDS)
def test_what_is_predicted_is_what_is_measured(name):
    assert ufm.verify(name, cases=3, seed=1).ok


def test_every_case_and_every_drawn_case_meets_the_assumptions():
    for name in IDS:
        theorem = catalogue()[name]
        drawn = [theorem.draw(np.random.default_rng(seed)) for seed in range(3)]
        for case in [*theorem.cases().values(), *drawn]:
            assert theorem.failing(case) == [], name


@pytest.mark.parametrize("name", IDS)
def test_a_thousandth_off_in_any_number_is_seen(name):
    _, _, predicted, _ = answers(name)
    assert passes(name, predicted)
    leaves, tree = jax.tree.flatten(predicted)
    for i, leaf in enumerate(leaves):
        assert float(jnp.max(jnp.abs(leaf))) > 0
        broken = [1.001 * leaf if j == i else leaf for j, leaf in enumerate(leaves)]
        assert not passes(name, jax.tree.unflatten(tree, broken)), f"{name}: leaf {i}"


@pytest.mark.parametrize("name", [name for name in IDS if "path" in name])
def test_a_thousandth_off_in_time_is_seen(name):
    theorem, case, _, _ = answers(name)
    late = case._replace(start=case.start._replace(ts=1.001 * case.start.ts)) if name.startswith("al") else None
    late = case._replace(ts=1.001 * case.ts) if late is None else late
    assert not passes(name, jax.jit(theorem.predict)(late))


@pytest.mark.parametrize("ridge", ["l2_W", "l2_H"])
@pytest.mark.parametrize("name", ["collapsed-central-path", "aligned-central-path"])
def test_a_thousandth_off_in_a_ridge_is_seen(name, ridge):
    theorem, case, _, _ = answers(name)
    start = case.start if name.startswith("al") else case
    start = start._replace(problem=start.problem.replace(**{ridge: 1.001 * getattr(start.problem, ridge)}))
    broken = case._replace(start=start) if name.startswith("al") else start
    assert not passes(name, jax.jit(theorem.predict)(broken))


squared_size = jax.jit(collapsed.squared_size)


@pytest.mark.parametrize(("lW", "lH"), [(0.6, 0.15), (0.5, 2.0), (1.3, 1.3), (0.6, 0.0), (0.95, 0.95)])
@pytest.mark.parametrize("q0", [1e-3, 0.4, 3.0])
def test_singular_values_on_the_collapsed_path_solve_their_equation(lW, lH, q0):
    rate = lambda t, u: 2 * lW / (np.exp(u) + lW) ** 2 - 2 * lH  # noqa: E731
    for tau in (0.3, 7.0):
        u = solve_ivp(rate, (0, tau), [np.log(q0)], method="DOP853", rtol=1e-12, atol=1e-13).y[0, -1]
        np.testing.assert_allclose(squared_size(q0, lW, lH, tau), np.exp(u), rtol=1e-10)


def test_late_on_the_collapsed_path():
    rho = (1 - 0.3) / 0.5
    np.testing.assert_allclose(squared_size(1e-4, 0.6, 0.15, 400.0), rho, rtol=1e-14)
    assert squared_size(0.0, 0.6, 0.15, 400.0) == 0
    gaps = [rho - float(squared_size(0.5, 0.6, 0.15, tau)) for tau in (30.0, 31.0)]
    np.testing.assert_allclose(np.log(gaps[0] / gaps[1]), 4 * 0.15 * 0.7, rtol=1e-5)
    np.testing.assert_allclose(squared_size(1.0, 0.6, 0.0, 1e12), np.sqrt(4 * 0.6 * 1e12), rtol=1e-6)
    critical = squared_size(1.0, 0.5, 2.0, 1e9) * 4 * 2.0 * 1e9 / 0.5
    np.testing.assert_allclose(critical, 1, rtol=1e-6)


def test_means_of_rank_two_end_in_a_saddle_of_rank_two():
    case = collapsed.cases()["c=0.3 rank 2"]
    # an exact zero: a singular value of 1e-17 would grow
    H = np.zeros((5, 6))
    H[:3] = np.repeat(np.diag([1.1, 0.4, 0.0]), 2, axis=1)
    means = jax.jit(collapsed.predict)(case._replace(H=jnp.asarray(H), ts=1e3 + case.ts)).means[-1]
    np.testing.assert_allclose(np.linalg.svd(means)[1], np.sqrt(1.4) * np.array([1, 1, 0]), atol=1e-13)


def test_noise_in_more_dimensions_than_classes_never_vanishes_without_ridges():
    case = unregularised.cases()["d=K+2"]
    predict = jax.jit(unregularised.predict)
    late = predict(case._replace(ts=10 * case.ts))
    np.testing.assert_allclose(late.within[-1], 0.2 * 2 / 9, rtol=1e-12)
    square = unregularised.cases()["d=K"]
    assert predict(square._replace(ts=10 * square.ts)).within[-1] < 1e-12


def test_nc1_of_wide_features_in_general_coordinates_is_no_function_of_signal_to_noise():
    rng = np.random.default_rng(0)
    case = signal_to_noise.random_features(np.array([5.0, 1.0, 0.2]), 5, rng, False)
    seen = jax.jit(signal_to_noise.predict_seen)(case)
    measured = signal_to_noise.direct_seen(case)
    np.testing.assert_allclose(measured["loss"], seen["loss"], rtol=1e-12)
    assert abs(float(measured["nc1"] / seen["nc1"]) - 1) > 1e-2


def test_nc4_is_evidence_at_equal_singular_values_and_would_fail_if_an_input_disagreed():
    (theorem,) = (t for t in signal_to_noise.THEOREMS if t.id == "renormalised-neural-collapse")
    case = theorem.cases()["equal 0.5"]
    predicted, (found, differ) = jax.jit(theorem.predict)(case), theorem.measure(case, key_of(0))
    assert [c.passed for c in theorem.evidence(case, predicted, (found, differ)) if c.name == "NC4"] == [True]
    assert [c.passed for c in theorem.evidence(case, predicted, (found, differ + 0.005)) if c.name == "NC4"] == [False]
    mixed = theorem.cases()["mixed"]
    assert float(theorem.measure(mixed, key_of(0))[1]) > 0


def test_the_two_renormalised_laws_grow_like_a_fourth_and_a_square_root():
    t = jnp.asarray([1e12, 1e14])
    omega = jax.jit(jax.vmap(lambda at: renormalised.quartic(jnp.asarray(0.5), at, 3, 3)))(t)
    np.testing.assert_allclose(omega, (4 * t / 3) ** 0.25, rtol=1e-5)
    omega = jax.jit(jax.vmap(lambda at: renormalised.quadratic(jnp.asarray(0.5), at, 3, 3)))(t)
    np.testing.assert_allclose(omega, jnp.sqrt(2 * t / 9), rtol=1e-5)


@pytest.mark.parametrize(
    ("kind", "name", "case"),
    [
        ("central-path", "collapsed-central-path", "c=0.3"),
        ("renormalised", "renormalised-central-path", "mixed"),
        ("rewhitened", "rewhitened-central-path", "mixed"),
    ],
)
def test_the_flows_of_the_library_follow_the_closed_trajectories(kind, name, case):
    theorem = catalogue()[name]
    case = theorem.cases()[case]
    b = None if case.problem.bias == "none" else jnp.zeros(3)
    start = Params((jnp.zeros((3, case.H.shape[0])),), case.H, b)
    path = flow(case.problem, start, case.ts, kind=kind, rtol=1e-11, atol=1e-13)
    assert Status(int(path.status)) is Status.COMPLETED
    predicted = jax.jit(theorem.predict)(case)
    if kind == "central-path":
        expected = predicted.means[:, :, case.problem.labels] + predicted.within
    else:
        expected = predicted.H if kind == "renormalised" else predicted
    np.testing.assert_allclose(path.path.H, expected, atol=1e-9)
    if kind == "renormalised":
        np.testing.assert_allclose(path.value, predicted.loss, rtol=1e-9)
        omega = jnp.linalg.svd(case.problem.group_sum(path.params.H) / 3, compute_uv=False)[:2]
        np.testing.assert_allclose(nc1(path.params.H, case.problem.labels, 3), jnp.sum(1 / omega**2), rtol=1e-9)


def test_an_aligned_start_that_is_not_what_its_parts_build_is_refused():
    theorem = catalogue()["aligned-central-path"]
    case = aligned.cases()["c=0.3"]
    assert len(theorem.failing(case._replace(sigma=1.001 * case.sigma))) == 1
    assert len(theorem.failing(case._replace(D=case.D + 1e-6))) == 1
