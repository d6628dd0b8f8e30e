"""Deep linear dynamics with ridges: modes, Riccati, imbalance, within-class decay, Mixon's set, and their integrator."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.special import hyp2f1

import ufm
from ufm.problem import Problem, general
from ufm.problem.params import objective
from ufm.theory.dynamics import (
    deep_modes,
    imbalance,
    learning_times,
    mixon,
    riccati,
    two_factor,
    unbalanced_mode,
    within_class,
)
from ufm.theory.dynamics.spectral import mode_matrix
from ufm.theory.kit.integrate import arrival_times, integrate
from ufm.theory.statements.trajectories import Start
from ufm.theory.theorem import key_of

MODULES = (two_factor, learning_times, unbalanced_mode, riccati, deep_modes, imbalance, within_class, mixon)
THEOREMS = {theorem.id: theorem for module in MODULES for theorem in module.THEOREMS}

# the case in which each constant matters, for the entries in which it does
CONSTANTS = [
    ("two-factor-logistic", "two alive, one critical, one dead", ("samples", "scale", "ridges", "multiplicity")),
    ("two-factor-unequal-rates", "eta_W = 4 eta_H, scale 2", ("samples", "scale", "ridges", "multiplicity")),
    ("two-factor-learning-times", "tiny start, scale 2", ("samples", "scale", "ridges", "multiplicity")),
    ("two-factor-unbalanced-mode", "scale 3, above the target", ("samples", "scale", "multiplicity")),
    ("two-factor-unbalanced-ridge", "scale 2", ("samples", "scale", "ridges", "multiplicity")),
    ("matrix-riccati", "any targets, scale 2", ("samples", "scale", "ridges", "multiplicity", "targets")),
    ("matrix-riccati-limit", "any targets, scale 2", ("samples", "scale", "ridges", "multiplicity", "targets")),
    ("deep-mode-equation", "M=3 N l=1.5", ("samples", "scale", "ridges", "multiplicity")),
    ("deep-mode-escape", "M=2, from above the targets, scale 2", ("samples", "scale", "ridges", "multiplicity")),
    ("deep-mode-times", "M=2, scale 2", ("samples", "scale", "multiplicity")),
    ("imbalance-rate", "ce, unequal ridges, beta=0.3", ("ridges", "beta")),
    ("imbalance-decay", "l=0.2", ("ridges",)),
    ("imbalance-descent", "ce, unequal ridges, step 1.0", ("samples", "scale", "ridges", "multiplicity")),
    ("within-class-decay", "scale 2", ("samples", "scale", "ridges", "multiplicity")),
    ("within-class-velocity", "M=2, bias", ("samples", "scale", "ridges")),
    ("mixon-invariant-set", "bias with ridge, scale 2", ("samples", "scale", "ridges", "multiplicity", "l2_b")),
    ("mixon-collapse", "ridge, scale 2", ("samples", "scale", "ridges", "multiplicity")),
    ("mse-origin-spectrum", "imbalanced, ridge bias, scale 2", ("samples", "scale", "ridges", "l2_b", "targets")),
]


def changed(case, name):
    """The case, or problem, with one constant 0.1% larger."""
    if not isinstance(case, Problem):
        return case._replace(problem=changed(case.problem, name))
    problem = case
    if name in ("samples", "multiplicity", "targets"):
        design, leaf = general(problem.design), "table" if name == "targets" else name
        return dataclasses.replace(problem, design=dataclasses.replace(design, **{leaf: 1.001 * getattr(design, leaf)}))
    names = ("l2_W", "l2_H") if name == "ridges" else (name,)
    return dataclasses.replace(problem, **{n: getattr(problem, n) * 1.001 for n in names})


def test_every_closed_form_is_what_full_trajectories_and_gradients_do():
    report = ufm.verify(*THEOREMS, cases=1, seed=1)
    assert {entry.theorem.id for entry in report.entries} == set(THEOREMS)
    assert report.ok, str(report)


@pytest.mark.parametrize(("name", "label", "constants"), CONSTANTS)
def test_no_constant_of_a_closed_form_may_be_wrong_by_a_thousandth(name, label, constants):
    theorem = THEOREMS[name]
    case, predict = theorem.cases()[label], jax.jit(theorem.predict)
    measured = theorem.measure(case, key_of(0, name))
    assert all(check.passed for check in theorem.evidence(case, predict(case), measured))
    for constant in constants:
        broken = predict(changed(case, constant))
        assert not all(check.passed for check in theorem.evidence(case, broken, measured)), constant
    leaves, structure = jax.tree.flatten(predict(case))
    for i in (i for i, leaf in enumerate(leaves) if jnp.issubdtype(leaf.dtype, jnp.floating)):  # multiplicities are whole
        moved = [np.asarray(x) * (1.001 if j == i else 1) + (1e-3 if j == i else 0) for j, x in enumerate(leaves)]
        assert not all(check.passed for check in theorem.evidence(case, jax.tree.unflatten(structure, moved), measured)), i


def test_every_entry_has_its_constants_tried():
    assert {name for name, _, _ in CONSTANTS} == set(THEOREMS)


def test_every_case_and_every_drawn_case_meets_the_assumptions():
    for theorem in THEOREMS.values():
        drawn = [theorem.draw(np.random.default_rng(seed)) for seed in range(3)] if theorem.draw else []
        for case in [*theorem.cases().values(), *drawn]:
            assert [assumption.text for assumption in theorem.failing(case)] == [], theorem.id


def test_assumptions_fail_outside_of_them():
    def failing(name, case):
        return [assumption.text for assumption in THEOREMS[name].failing(case)]

    (rated, *_) = two_factor.rated_cases().values()
    assert failing("two-factor-unequal-rates", rated._replace(rates=rated.rates * jnp.array([1.0, 2.0])))
    balanced = riccati.cases()["two alive, one dead"]
    tilted = balanced._replace(params=balanced.params._replace(H=1.01 * balanced.params.H))
    assert failing("matrix-riccati", tilted) == ["W^T W - H H^T = 0, or delta I without ridge"]
    on_set = mixon.cases()["alive"]
    shifted = on_set._replace(params=on_set.params._replace(b=on_set.params.b.at[0].add(0.1)))
    assert failing("mixon-invariant-set", shifted) == ["H = W^T, 1^T W = 0, b in span(1)"]
    swapped = deep_modes._near_escape((5, 4), (0.95, 1.05, 3.0), 1.0, np.random.default_rng(0))
    assert failing("deep-mode-escape", swapped) == ["no class that dies is larger than one that escapes"]


def test_the_integrator_agrees_with_exponentials_oscillations_and_dop853():
    ts = jnp.array([0.0, 0.3, 20.0])

    @jax.jit
    def solutions(start):
        linear = integrate(lambda y: {"decay": -y["decay"], "turn": y["turn"][::-1] * jnp.array([1.0, -1.0])}, start, ts)
        pendulum = integrate(lambda y: jnp.stack([y[1], -jnp.sin(y[0])]), jnp.array([1.0, 0.5]), ts)
        return linear, pendulum

    linear, pendulum = solutions({"decay": jnp.ones(()), "turn": jnp.array([0.0, 1.0])})
    np.testing.assert_allclose(linear["decay"], np.exp(-ts), atol=1e-13)
    np.testing.assert_allclose(linear["turn"], np.stack([np.sin(ts), np.cos(ts)], axis=1), atol=1e-12)
    expected = solve_ivp(
        lambda _, y: [y[1], -np.sin(y[0])], (0, 20), [1.0, 0.5], method="DOP853", rtol=1e-12, atol=1e-13, t_eval=np.asarray(ts)
    )
    np.testing.assert_allclose(pendulum, expected.y.T, atol=1e-9)


def test_the_integrator_says_nan_where_a_solution_leaves_in_finite_time():
    y = jax.jit(lambda: integrate(lambda y: y**2, jnp.ones(()), jnp.array([0.5, 2.0])))()
    np.testing.assert_allclose(y[0], 2, rtol=1e-13)
    assert np.isnan(y[1])


def test_an_exponential_reaches_a_level_at_its_logarithm():
    times = jax.jit(lambda: arrival_times(lambda y: 0.3 * y, lambda y: y, jnp.asarray(0.1), jnp.array([0.1, 1.0, 50.0])))()
    np.testing.assert_allclose(times, np.log([1, 10, 500]) / 0.3, atol=1e-12)


@pytest.mark.parametrize("c", [-1 / 3, -1 / 2, -0.6, -0.9])
def test_the_hypergeometric_series_is_that_of_scipy(c):
    x = np.array([0.0, 1e-8, 0.1, 0.4999, 0.5, 0.5001, 0.9, 0.999, 1 - 1e-9])
    np.testing.assert_allclose(
        jax.jit(partial(learning_times.hypergeometric, c))(jnp.asarray(x)), hyp2f1(1, c, 1 + c, x), rtol=2e-13
    )


@pytest.mark.parametrize("M", [1, 2, 3, 4])
def test_the_clock_of_a_deep_mode_is_the_integral_of_its_inverse_speed(M):
    s, ends = 2.7, np.array([0.2, 0.9 * 2.7 ** (1 / (M + 1))])
    nodes, weights = np.polynomial.legendre.leggauss(200)
    u = ends.mean() + np.diff(ends) / 2 * nodes
    integral = np.sum(weights / ((s - u ** (M + 1)) * u**M)) * np.diff(ends)[0] / 2
    F = np.asarray(jax.jit(partial(learning_times.clock, s=s, M=M))(jnp.asarray(ends)))
    np.testing.assert_allclose(F[1] - F[0], integral, rtol=1e-12)


def test_depth_turns_the_logarithm_of_the_start_into_a_power_of_it():
    s, u0 = 3.0, np.array([1e-9, 1e-4, 1e-5])
    for M in (1, 2, 3):
        F = partial(jax.jit(learning_times.clock, static_argnums=2), s=s, M=M)
        elapsed = float(F(jnp.asarray(0.9)) - F(jnp.asarray(u0[M - 1])))
        leading = np.log(1 / u0[0]) / s if M == 1 else u0[M - 1] ** (1 - M) / ((M - 1) * s)
        np.testing.assert_allclose(elapsed, leading, rtol=0.1 if M == 1 else 1e-3)


def test_larger_classes_wait_less_by_the_delay_of_small_starts():
    case = learning_times._case(1.0, 1e-12, np.random.default_rng(0))
    half = np.asarray(jax.jit(learning_times.predict)(case))[:, 1]
    N, q = float(case.problem.samples), np.sqrt([25, 9, 4]) - 1
    np.testing.assert_allclose(np.diff(half), N / 2 * np.log(1e12) * np.diff(1 / q), rtol=0.05)


def test_an_opposed_balanced_start_is_never_learned_and_the_nearly_balanced_mode_is_the_logistic_one():
    predict, cases = jax.jit(unbalanced_mode.predict), unbalanced_mode.cases()
    opposed = cases["balanced and opposed: never learned"]
    p = np.asarray(predict(opposed._replace(ts=100 * opposed.ts)))[:, 0]
    assert np.all(p <= 0) and np.all(np.abs(p[-1]) < 1e-20)
    late = cases["exponents beyond 700"]
    p = np.asarray(predict(late._replace(ts=1e9 * late.ts)))[:, 0]
    np.testing.assert_allclose(p[1:], np.broadcast_to([5.0, 3.0, 2.0], (4, 3)), rtol=1e-14)


@pytest.mark.parametrize("dim", [2, 3, 7])
def test_the_riccati_limit_keeps_the_largest_modes_at_any_width(dim):
    rng = np.random.default_rng(5)
    problem = Problem.imbalanced((16, 9, 4), dim, l2_W=0.5 / 29, l2_H=0.5 / 29).collapsed()
    params = riccati.balanced_start(problem, 0.0, 0.5, rng, rank=min(dim, 3))
    case = Start(problem, params, jnp.array([0.0, 1e3]))
    G = jax.jit(riccati.predict)(case)
    np.testing.assert_allclose(G["WH"][0], params.weights[0] @ params.H, atol=1e-13)
    np.testing.assert_allclose(G["WH"][1], np.diag([3.5, 2.5, 1.5 if dim > 2 else 0]), atol=1e-10)
    np.testing.assert_allclose(jax.jit(riccati.predict_limit)(case), G["WH"][1], atol=1e-10)


def test_a_larger_class_that_died_takes_the_direction_of_a_smaller_one_from_any_perturbation():
    case = deep_modes._near_escape((5, 4), (0.95, 1.05, 3.0), 1.0, np.random.default_rng(1))
    fate = np.asarray(jax.jit(deep_modes.predict_fate)(case))
    np.testing.assert_array_equal(fate > 0, [False, True, True])
    rng = np.random.default_rng(0)
    moved = jax.tree.map(lambda x: x + 1e-3 * rng.normal(size=x.shape), case.params)
    p = np.asarray(THEOREMS["deep-mode-escape"].measure(case._replace(params=moved), key_of(0)))
    assert p[0] > 4 and abs(p[2]) < 1e-6
    np.testing.assert_allclose(p[1], fate[1], rtol=1e-6)


def test_momentum_has_no_imbalance_law():
    case = imbalance.step_cases()["mse, equal ridges, step 0.1"]
    gradient = jax.jit(jax.grad(lambda p: objective(case.problem, p)))
    predict = jax.jit(imbalance.predict_step)

    def largest_gap(mu):
        at, velocity = case.params, jax.tree.map(jnp.zeros_like, case.params)
        for _ in range(2):
            claimed = predict(case._replace(params=at))
            velocity = jax.tree.map(lambda v, g: mu * v - 0.1 * g, velocity, gradient(at))
            at = jax.tree.map(jnp.add, at, velocity)
        found = imbalance.imbalances(at)
        return max(float(np.max(np.abs(np.asarray(a) - np.asarray(b)))) for a, b in zip(claimed, found, strict=True))

    assert largest_gap(0.0) < 1e-13 and largest_gap(0.5) > 1e-3


def test_within_class_variability_stays_without_ridge_and_falls_at_the_slower_rate_with_one():
    predict = jax.jit(within_class.predict)
    free = within_class.cases()["no ridge: the part outside the frame stays"]
    nc1 = np.asarray(predict(free._replace(ts=jnp.linspace(0, 1e5, 5)))["NC1"])
    np.testing.assert_allclose(nc1[1:], nc1[-1], rtol=1e-10)
    assert nc1[-1] > 0.01
    N = 38.0
    for cutoff, rate in ((0.3, 0.3 / N), (1.5, 1.5 / N)):  # below s_K = 2 the part outside the frame is the slower one
        cloud = within_class._cloud(np.full(3, 0.1), cutoff, np.random.default_rng(0))
        late = predict(cloud._replace(ts=jnp.array([0.0, 90 * N, 91 * N, 92 * N, 93 * N])))
        np.testing.assert_allclose(np.diff(np.log(late["NC1"][1:])), -2 * rate * N, rtol=1e-6)


def test_a_spectral_mode_matrix_is_diagonal():
    case = deep_modes.cases()["M=3 N l=0.0"]
    z = np.asarray(jax.jit(mode_matrix)(case.problem, case.params))
    np.testing.assert_allclose(z, np.diag([0.2**4, 1.0, 2.5**4]), atol=1e-12)


def test_the_collapse_of_mixon_is_a_simplex_and_its_origin_loses_stability_at_the_threshold():
    case = mixon.end_cases()["no ridge"]
    np.testing.assert_allclose(jax.jit(mixon.predict_end)(case), 2 * (np.eye(4) - 0.25), atol=1e-12)
    spectrum = jax.jit(mixon.predict_origin)
    critical = mixon.origin_cases()["no bias, critical"]
    assert abs(spectrum(critical).values.max()) < 1e-15
    for factor, sign in ((0.99, 1), (1.01, -1)):
        assert np.sign(spectrum(critical.replace(l2_H=factor * critical.l2_H)).values.max()) == sign
