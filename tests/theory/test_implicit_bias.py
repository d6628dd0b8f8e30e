"""Implicit bias: cross-entropy without ridge, perceptrons at huge steps, Lion's box; each formula fails when it is off."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import expi

import ufm
from ufm.problem import is_balanced
from ufm.problem.params import objective
from ufm.theory.implicit_bias import box_ce, circulant_ce, lion, max_margin, perceptron_layers, perceptron_limit, unregularised_ce
from ufm.theory.implicit_bias.unregularised_ce import predict_flow
from ufm.theory.registry import catalogue
from ufm.theory.theorem import key_of

IDS = (
    "ce-simplex-flow",
    "ce-simplex-rate",
    "ce-simplex-rate-one-over-t",
    "ce-implicit-bias",
    "ce-circulant-flow",
    "perceptron-large-step",
    "perceptron-mistakes",
    "perceptron-fixed-features",
    "perceptron-two-layers",
    "lion-k-lyapunov",
    "lion-box",
    "lion-frank-wolfe",
    "box-ce-bound",
    "lion-score",
)
# leaf of the prediction, a case that is sharp in it, and the side of a bound that is wrong
SHARP = (
    ("ce-simplex-flow", "s", "M=1 n=4 s=3.0", 1.001),
    ("ce-simplex-flow", "value", "M=2 n=3 s=2.0", 1.001),
    ("ce-simplex-flow", "square", "M=3 n=2 s=0.7", 1.001),
    ("ce-simplex-rate", "power", "M=1 n=4 s=3.0", 1.001),
    ("ce-simplex-rate", "constant", "M=2 n=3 s=2.0", 1.001),
    ("ce-simplex-rate", "growth", "M=2 n=3 s=2.0", 1.001),
    ("ce-simplex-rate", "log_size", "M=3 n=2 s=0.7", 1.001),
    ("ce-implicit-bias", "margin", "sizes 0.1 0.1", 1.001),
    ("ce-implicit-bias", "classifier", "sizes 0.1 0.1", 1.001),
    ("ce-implicit-bias", "features", "sizes 0.1 0.1", 1.001),
    ("ce-implicit-bias", "sums", "sizes 0.1 0.1", 1.001),
    ("ce-circulant-flow", "weights", "Z_5 l2=0.05", 1.001),
    ("ce-circulant-flow", "H", "Z_2^2 l2=0.0", 1.001),
    ("perceptron-large-step", "plain", "narrow", 1.001),
    ("perceptron-large-step", "normalised", "narrow", 1.001),
    ("perceptron-mistakes", "steps", "equal samples", 0.1),
    ("perceptron-mistakes", "progress", "on the margin", 0.999),
    ("perceptron-mistakes", "growth", "equal samples", 1.001),
    ("perceptron-fixed-features", "", "random", 1.001),
    ("perceptron-two-layers", "W", "size 0.5", 1.001),
    ("perceptron-two-layers", "H", "size 0.5", 1.001),
    ("lion-k-lyapunov", "", "epsilon=0.6", 1.001),
    ("lion-box", "", "outwards", 1.001),
    ("lion-frank-wolfe", "sign", "inside", 1.001),
    ("lion-frank-wolfe", "msign", "inside", 1.001),
    ("lion-frank-wolfe", "gaps", "inside", 1.001),
    ("box-ce-bound", "", "K=3 d=3 B=1.0", 1.001),
)


@pytest.fixture(scope="module")
def report():
    return ufm.verify(*IDS, cases=3, seed=1)


def test_every_entry_has_the_evidence_for_its_status(report):
    assert report.ok, [failure for entry in report.entries for failure in entry.failures]
    assert [entry.theorem.id for entry in report.entries] == list(IDS)


@pytest.fixture(scope="module")
def answers():
    known = {}

    def answer(name, label):
        if (name, label) not in known:
            theorem = catalogue()[name]
            case = theorem.cases()[label]
            known[name, label] = case, jax.jit(theorem.predict)(case), theorem.measure(case, key_of(0, name, label))
        return known[name, label]

    return answer


@pytest.mark.parametrize(("name", "leaf", "label", "factor"), SHARP)
def test_a_thousandth_off_is_found_out(answers, name, leaf, label, factor):
    case, predicted, measured = answers(name, label)
    theorem = catalogue()[name]
    assert all(check.passed for check in theorem.evidence(case, predicted, measured))
    fields = predicted if isinstance(predicted, dict) or not leaf else predicted._asdict()
    scaled = jax.tree.map(lambda x: factor * np.asarray(x), fields[leaf] if leaf else predicted)
    broken = (fields | {leaf: scaled} if fields is predicted else predicted._replace(**{leaf: scaled})) if leaf else scaled
    assert not all(check.passed for check in theorem.evidence(case, broken, measured))


def test_a_value_below_the_box_bound_would_fail(answers):
    case, predicted, measured = answers("box-ce-bound", "K=6 d=5 B=1.0")
    below = measured | {"runs": np.full_like(measured["runs"], 0.999 * float(predicted))}
    assert not all(check.passed for check in box_ce.evidence(case, predicted, below))


def test_every_case_and_every_drawn_case_meets_the_assumptions():
    for name in IDS:
        theorem = catalogue()[name]
        drawn = [theorem.draw(np.random.default_rng(i)) for i in range(2)] if theorem.draw else []
        for case in [*theorem.cases().values(), *drawn]:
            assert theorem.failing(case) == [], name


@pytest.mark.parametrize(("label", "depth", "n"), [("M=1 n=4 s=3.0", 1, 4), ("M=3 n=2 s=0.7", 3, 2)])
def test_the_scale_of_the_simplex_solves_the_equation_of_scipy(answers, label, depth, n):
    case, predicted, _ = answers("ce-simplex-flow", label)
    s, ts = np.asarray(predicted.s), np.asarray(case.ts)
    L, q = depth + 1, 2 * depth / (depth + 1)
    if depth == 1:
        left = expi(s) - expi(s[0]) + 3 * np.log(s / s[0])
        np.testing.assert_allclose(left, 2 * ts / np.sqrt(n), rtol=1e-11)
    else:
        times = [quad(lambda x: n / L * (np.exp(x) + 3) * (np.sqrt(n) * x) ** -q, s[0], end)[0] for end in s]
        np.testing.assert_allclose(times, ts, rtol=1e-9, atol=1e-12)


def runge_kutta(velocity, state, time, steps=300):
    h = time / steps

    def step(state, _):
        def stage(carry, weights):
            k, total = carry
            k = velocity(jax.tree.map(lambda x, v: x + weights[0] * h * v, state, k))
            return (k, jax.tree.map(lambda x, v: x + weights[1] * h * v, total, k)), None

        weights = jnp.asarray([[0, 1 / 6], [1 / 2, 1 / 3], [1 / 2, 1 / 3], [1, 1 / 6]])
        return jax.lax.scan(stage, (state, state), weights)[0][1], None

    return jax.lax.scan(step, state, length=steps)[0]


def test_circulant_scalars_follow_the_flow_of_all_entries():
    case = circulant_ce.circulant_point(circulant_ce.cyclic_characters(5), 2, 0.02, np.random.default_rng(1), 0.7)
    basis, frame = case.basis, case.frame

    def on_scalars(state):
        (W,), H, _ = circulant_ce.predict(case._replace(alpha=state[0], beta=state[1]))
        return jnp.diagonal(basis.T @ W @ frame), jnp.diagonal(frame.T @ H @ basis)

    def on_entries(params):
        return jax.tree.map(jnp.negative, jax.grad(objective, argnums=1)(case.problem, params))

    @jax.jit
    def both(case):
        alpha, beta = runge_kutta(on_scalars, (case.alpha, case.beta), 3.0)
        reduced = circulant_ce.circulant_params(case._replace(alpha=alpha, beta=beta))
        return reduced, runge_kutta(on_entries, circulant_ce.circulant_params(case), 3.0, 200)

    reduced, end = both(case)
    np.testing.assert_allclose(end.weights[0], reduced.weights[0], atol=1e-10)
    np.testing.assert_allclose(end.H, reduced.H, atol=1e-10)
    assert np.max(np.abs(np.asarray(end.H - circulant_ce.circulant_params(case).H))) > 0.1


def test_one_over_t_fails_by_more_than_half_of_a_power_of_log_t(answers):
    _, claimed, (measured, alone) = answers("ce-simplex-rate-one-over-t", "M=1 n=1 s=0.5")
    np.testing.assert_allclose([measured["power"], measured["growth"]], [1, 0.5], atol=1e-4)
    np.testing.assert_allclose([alone["power"], alone["growth"]], [0, 1], atol=1e-4)  # features alone
    assert claimed == {"power": 0, "growth": 1}


def test_a_skipped_sample_leaves_the_power_law_and_predicted_and_measured_stop_together():
    found = 0
    for seed in range(40):
        case = perceptron_layers.draw(np.random.default_rng(seed))
        predicted = jax.jit(perceptron_layers.predict_both)(case)
        measured = catalogue()["perceptron-two-layers"].measure(case, None)
        dead = np.all(np.asarray(predicted["W"]) == 0, axis=(1, 2))
        np.testing.assert_array_equal(dead, np.all(np.asarray(measured["W"]) == 0, axis=(1, 2)))
        found += dead.any()
    assert 0 < found < 40


def test_novikoffs_margin_is_the_largest_one():
    case = perceptron_limit.separable(0.5, 1.0, 1.0, np.random.default_rng(4))
    v, u = np.asarray(case.v), np.asarray(case.u)
    directions = np.random.default_rng(0).normal(size=(4000, 4))
    directions = u + 0.3 * directions / np.linalg.norm(directions, axis=1, keepdims=True)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    assert np.max(np.min(v @ directions.T, axis=0)) <= np.min(v @ u) + 1e-12


@pytest.mark.parametrize(("K", "d", "half"), [(2, 3, 0.7), (4, 6, 0.5), (8, 7, 0.7), (3, 3, 0.9)])
def test_the_box_bound_is_met_by_its_designs(K, d, half):
    case = box_ce.box(K, d, half)
    z = np.asarray(case.signs @ case.signs.T) * half**2
    value = np.mean(np.log(np.sum(np.exp(z), axis=0)) - np.diag(z))
    assert bool(case.design)
    np.testing.assert_allclose(box_ce.predict(case), value, rtol=1e-12)


def test_five_classes_have_the_bound_of_odd_numbers_and_no_design():
    five = box_ce.box(5, 3, 1.0)
    assert not bool(five.design)
    np.testing.assert_allclose(box_ce.predict(five), np.log1p(4 * np.exp(-3 * 6 / 5)), rtol=1e-14)


def test_builders_make_what_they_say():
    start = unregularised_ce.simplex_start(2, 3, 1.5, 10.0, np.random.default_rng(0))
    np.testing.assert_allclose(predict_flow(start).s[0], 1.5, rtol=1e-12)
    for basis, characters, _ in (circulant_ce.hadamard_characters(3), circulant_ce.cyclic_characters(6)):
        np.testing.assert_allclose(basis.T @ basis, np.eye(len(basis)), atol=1e-14)
        np.testing.assert_allclose(characters[0], 1, atol=1e-15)
    assert is_balanced(max_margin.random_start(1.0, 1.0, np.random.default_rng(0)).problem.design)
    assert bool(lion.cases()["outwards"].outward)
