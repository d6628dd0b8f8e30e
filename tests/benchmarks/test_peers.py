"""The peers minimise the same objective as ufm, walk the same trajectory, and arrive at the exact minimum."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ufm
from benchmarks.peers.race import Finished, Race
from benchmarks.peers.scipy_lbfgsb import lbfgsb, value_and_gradient
from benchmarks.setting import Setting
from benchmarks.trajectories import starting_point, trajectory

SETTINGS = {
    "mse": Setting((6, 4, 3), width=7, depth=1, l2_W=3e-3, l2_H=2e-3),
    "deep mse": Setting((6, 4, 3), width=7, depth=3, l2_W=3e-3, l2_H=2e-3),
    "ce": Setting((5, 5, 5), width=6, depth=1, loss="ce", l2_W=5e-3, l2_H=4e-3, l2_b=1e-2),
    "deep ce": Setting((5, 4, 2), width=6, depth=2, loss="ce", l2_W=5e-3, l2_H=4e-3, l2_b=1e-2),
}


def _at_start(setting, l2_W=None, l2_H=None):
    problem, start = setting.problem(), setting.start(3)
    if l2_W is not None:
        problem = problem.replace(l2_W=l2_W, l2_H=l2_H)
    b = None if start["b"] is None else jnp.asarray(start["b"])
    params = ufm.Params(tuple(map(jnp.asarray, start["weights"])), jnp.asarray(start["H"].T), b)
    return _value_and_gradient(problem, params)


@jax.jit
def _value_and_gradient(problem, params):
    return jax.value_and_grad(lambda p: ufm.objective(problem, p))(params)


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)
def test_numpy_by_hand_computes_the_objective_and_its_gradient(setting):
    value, gradient = _at_start(setting)
    start = setting.start(3)
    parts = [start["H"], *start["weights"], *([] if start["b"] is None else [start["b"]])]
    own, flat = value_and_gradient(setting, np.concatenate([x.ravel() for x in parts]))
    expected = [gradient.H.T, *gradient.weights, *([] if gradient.b is None else [gradient.b])]
    np.testing.assert_allclose(own, value, rtol=1e-14)
    np.testing.assert_allclose(flat, np.concatenate([np.ravel(x) for x in expected]), rtol=1e-12, atol=1e-16)


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)
def test_pytorch_computes_the_objective_one_by_one_and_batched(setting):
    pytest.importorskip("torch")
    from benchmarks.peers.torch_batched import build_grid
    from benchmarks.peers.torch_loops import build_model

    np.testing.assert_allclose(build_model(setting, 3)().item(), _at_start(setting)[0], rtol=1e-14)
    _, objective = build_grid(setting, 3, 2)
    expected = [_at_start(setting, *ridges)[0] for ridges in zip(*setting.ridges(2), strict=True)]
    np.testing.assert_allclose(objective().detach().numpy(), expected, rtol=1e-14)


@pytest.mark.parametrize("kind", ["mse", "deep mse", "ce"])
def test_scipy_arrives_at_the_exact_minimum(kind):
    exact = float(ufm.predict(SETTINGS[kind].problem()).value)
    run = lbfgsb(SETTINGS[kind], 0, exact * (1 + 1e-9), 30.0)
    assert not run.limited and -1e-13 * exact <= run.value - exact <= 1e-9 * exact
    assert 0 < run.steps <= run.evaluations


@pytest.mark.parametrize("name", ["sgd", "adam", "lbfgs"])
def test_pytorch_arrives_at_the_exact_minimum(name):
    pytest.importorskip("torch")
    from benchmarks.peers import torch_loops

    setting = Setting((4, 4), width=4, depth=1, l2_W=1e-2, l2_H=1e-2)
    exact = float(ufm.predict(setting.problem()).value)
    run = getattr(torch_loops, name)(setting, 0, exact * (1 + 1e-9), 30.0)
    assert not run.limited and -1e-13 * exact <= run.value - exact <= 1e-9 * exact


def test_a_grid_batched_by_hand_arrives_at_every_minimum():
    pytest.importorskip("torch")
    from benchmarks.peers.torch_batched import adam_grid

    setting = Setting((4, 4), width=4, depth=1, l2_W=1e-2, l2_H=1e-2)
    problem = setting.problem()
    exact = np.array([ufm.predict(problem.replace(l2_W=a, l2_H=b)).value for a, b in zip(*setting.ridges(3), strict=True)])
    run = adam_grid(setting, 0, exact * (1 + 1e-9), 30.0)
    assert np.ptp(exact) > 0.01 * exact[0] and not run.limited
    assert np.all(np.abs(run.value - exact) <= 1e-9 * exact)


def test_a_run_that_cannot_arrive_is_stopped_at_the_limit():
    pytest.importorskip("torch")
    from benchmarks.peers.torch_loops import sgd

    run = sgd(SETTINGS["mse"], 0, 0.0, 0.1)
    assert run.limited and 0.1 <= run.wall_s < 5 and run.value > 0 and run.evaluations > 0


# M = 3 pools samples alone, the wide one narrows features alone, the tall one both
WALKS = {
    "deep": Setting((30, 20), width=8, depth=3),
    "wide": Setting((5, 4), width=40, depth=1),
    "tall": Setting((30, 20), width=20, depth=1),
}


@pytest.mark.parametrize("setting", WALKS.values(), ids=WALKS)
def test_the_reduced_trajectory_is_the_one_of_pytorch(setting):
    pytest.importorskip("torch")
    from benchmarks.peers.torch_batched import sgd_grid_steps
    from benchmarks.peers.torch_loops import sgd_steps

    last, values = jax.jit(partial(trajectory, setting, steps=60, every=30))(starting_point(setting))
    assert last.H.shape == (setting.width, setting.samples)
    np.testing.assert_allclose(ufm.objective(setting.problem(), last), values[-1], rtol=1e-13)
    run = sgd_steps(setting, 0, 60, 30.0)
    assert run.steps == 60
    np.testing.assert_allclose(values[1:], [sgd_steps(setting, 0, 30, 30.0).value, run.value], rtol=1e-12)
    np.testing.assert_allclose(sgd_steps(setting, 0, 60, 30.0, fused=True).value, run.value, rtol=1e-12)
    assert sgd_grid_steps(setting, 0, 60, 30.0, 2).value.shape == (2,)


def test_a_race_ends_when_the_last_configuration_arrives_and_keeps_the_lowest_values():
    seen = [np.array([5.0, 9.0]), np.array([1.0, 4.0]), np.array([2.0, np.nan]), np.array([3.0, 2.0]), np.array([0.0, 0.0])]

    def loop(race):
        for value in seen:
            race.see(value)

    run = Race(np.array([1.0, 2.0]), 60.0).run(loop)
    assert run.evaluations == 4 and not run.limited
    np.testing.assert_array_equal(run.value, [1.0, 2.0])


def test_a_race_at_its_limit_is_over_and_one_that_gives_up_is_not_limited():
    late, idle = Race(0.0, -1.0), Race(0.0, 60.0)
    late.run(lambda race: None)
    with pytest.raises(Finished):
        late.see(1.0)
    assert late.limited
    assert not idle.run(lambda race: race.see(1.0)).limited
