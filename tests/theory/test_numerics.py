"""Arithmetic near zero loss: thresholds, the margin form, StableMax, perpGrad, and drifts that exact arithmetic forbids."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import expi

from ufm.frames import simplex_etf
from ufm.losses import cross_entropy
from ufm.problem.params import Params
from ufm.theory.implicit_bias import unregularised_ce
from ufm.theory.implicit_bias.unregularised_ce import simplex_start
from ufm.theory.numerics import margin_form, naive_gradient, perp_grad, softmax_collapse, stablemax
from ufm.theory.theorem import key_of

MODULES = (margin_form, naive_gradient, perp_grad, softmax_collapse, stablemax)
THEOREMS = {theorem.id: theorem for module in MODULES for theorem in module.THEOREMS}

naive_gradient_of = jax.jit(jax.grad(lambda z: -jax.nn.log_softmax(z)[0]))
naive_loss_of = jax.jit(lambda z: -jax.nn.log_softmax(z)[0])
margin_loss_and_gradient = jax.jit(jax.value_and_grad(lambda z: cross_entropy(z, (jnp.arange(z.size) == 0).astype(z.dtype))))


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("softmax-collapse", "float32 K=4"),
        ("margin-form-ce", "float32, after: margin 18.6"),
        ("stablemax-identity", "both signs"),
        ("stablemax-flow", "n=4 a=3.0 t=1e+04"),
        ("perp-grad", "eta=1.0 l2=0.0"),
    ],
)
def test_what_is_predicted_is_what_is_measured_and_a_thousandth_off_is_not(name, label):
    theorem = THEOREMS[name]
    case = theorem.cases()[label]
    predicted, found = jax.jit(theorem.predict)(case), theorem.measure(case, key_of(0, name, label))
    assert [check for check in theorem.evidence(case, predicted, found) if not check.passed] == []
    off = jax.tree.map(lambda x: 1.001 * x, predicted)
    assert not all(check.passed for check in theorem.evidence(case, off, found))


def test_every_drawn_case_meets_the_assumptions_and_passes():
    for name, theorem in THEOREMS.items():
        if theorem.draw is not None:
            case = theorem.draw(np.random.default_rng(7))
            assert theorem.failing(case) == []
            checks = theorem.evidence(case, jax.jit(theorem.predict)(case), theorem.measure(case, key_of(1, name)))
            assert [check for check in checks if not check.passed] == []


@pytest.mark.parametrize(("bits", "first"), [(24, 16.64), (53, 36.74), (11, 7.62), (8, 5.55)])
def test_the_published_thresholds_of_collapse(bits, first):
    found = softmax_collapse.predict(softmax_collapse.precision(bits, 4))
    np.testing.assert_allclose(found["first"], first, atol=0.005)
    np.testing.assert_allclose(found["last"] - found["first"], np.log(3), rtol=1e-13)


def test_log_softmax_in_float32_is_six_percent_off_at_16_and_nothing_at_17():
    def at(a):
        return jnp.asarray([a, 0, 0, 0], jnp.float32)

    np.testing.assert_allclose(naive_loss_of(at(16.0)) / np.log1p(3 * np.exp(-16.0)), 1.06, atol=0.01)
    assert naive_loss_of(at(17.0)) == 0 and naive_gradient_of(at(17.0))[0] == 0
    np.testing.assert_allclose(naive_gradient_of(at(17.0))[1:], np.exp(-17.0), rtol=1e-6)
    value, gradient = margin_loss_and_gradient(at(17.0))
    np.testing.assert_allclose([value, -gradient[0]], 3 * np.exp(-17.0), rtol=4e-6)


def test_cases_outside_the_four_dtypes_are_refused():
    with pytest.raises(ValueError, match="bits must be one of 24, 53, 11, 8, got 16"):
        softmax_collapse.precision(16, 4)
    with pytest.raises(ValueError, match="classes must be a whole number of at least 2, got 1"):
        softmax_collapse.precision(24, 1)


@pytest.mark.parametrize(("dtype", "last", "past"), [("float32", 87.0, 110.0), ("float64", 708.0, 760.0)])
def test_the_margin_form_ends_at_underflow_and_without_nan(dtype, last, past):
    value, gradient = margin_loss_and_gradient(jnp.asarray([last, 0, 0, 0], dtype))
    eps = float(jnp.finfo(dtype).eps)
    np.testing.assert_allclose(value / (3 * np.exp(-last)), 1, rtol=last * eps)
    assert value > 0 and abs(gradient.sum()) <= 2 * eps * abs(gradient[0])
    value, gradient = margin_loss_and_gradient(jnp.asarray([past, 0, 0, 0], dtype))
    assert value == 0 and np.all(gradient == 0)


def test_every_counterexample_to_zero_sums_refutes_and_the_margin_form_does_not():
    (theorem,) = naive_gradient.THEOREMS
    for label, case in theorem.cases().items():
        found, _ = theorem.measure(case, key_of(0, label))
        np.testing.assert_allclose(found["logits"], 1, rtol=1e-12)
        assert found["classifier"] > 1
        (W,), H, _ = case
        G = jax.jit(jax.grad(lambda z, y: jnp.mean(jax.vmap(cross_entropy, 1)(z, y))))(W @ H, jnp.eye(4, dtype=W.dtype))
        G = np.asarray(G, float)
        assert np.max(np.abs(G.sum(axis=0)) / np.abs(G).sum(axis=0)) <= 2 * float(jnp.finfo(W.dtype).eps)


def test_zero_sums_hold_below_the_collapse():
    z = naive_gradient_of(jnp.asarray([10.0, 0, 1, 2], jnp.float32))
    assert abs(z.sum()) < 1e-7 * 10


def test_the_drift_of_the_classifier_cancels_at_exactly_balanced_simplex_points():
    """Each column pushes all rows alike; features of sum zero and one margin let the pushes cancel."""
    U = np.asarray(simplex_etf(4).vectors)
    balanced = Params((jnp.asarray(U.T, jnp.float32),), jnp.asarray(20 * U, jnp.float32), None)
    uneven = balanced._replace(H=balanced.H * jnp.asarray([1.0, 1.0, 1.0, 1.2], jnp.float32)[None, :])
    drifts = [naive_gradient.drifts(point)[0] for point in (balanced, uneven)]
    np.testing.assert_allclose([drift["logits"] for drift in drifts], 1, rtol=1e-12)
    assert drifts[0]["classifier"] < 1e-4 and drifts[1]["classifier"] > 0.3


def test_descent_with_the_naive_gradient_moves_what_the_margin_form_conserves():
    (W,), H, _ = naive_gradient.cases()["float32"]

    def moved(loss):
        step = jax.jit(lambda W: W - 1e6 * jax.grad(lambda W: loss(W @ H))(W))
        return np.asarray(step(W) - W, float)

    naive = moved(naive_gradient.naive_loss)
    ours = moved(lambda z: jnp.mean(jax.vmap(cross_entropy, 1)(z, jnp.eye(4, dtype=z.dtype))))
    assert np.linalg.norm(naive.sum(axis=0)) > np.linalg.norm(naive)
    assert np.linalg.norm(ours.sum(axis=0)) < 1e-5 * np.linalg.norm(ours)


def test_stablemax_has_one_slope_on_both_sides_of_zero():
    left, right = (jax.jit(jax.grad(lambda x: jnp.log(stablemax.score(x))))(x) for x in (-1e-9, 1e-9))
    np.testing.assert_allclose([left, right], 1, rtol=1e-8)
    np.testing.assert_allclose(stablemax.score(jnp.array([0.0, 3.0, -1.0, -1e4])), [1, 4, 0.5, 1 / 10001], rtol=1e-15)


@pytest.mark.parametrize("n", [1, 9])
def test_the_time_of_stablemax_is_a_quadrature_and_its_loss_falls_like_t_to_minus_two_thirds(n):
    K = 4
    case = stablemax.start(n, 0.1, 1e9, np.random.default_rng(0))
    found = jax.jit(stablemax.predict_flow)(case)

    def speed(a):  # -2 a phi'(a) / (sqrt(n) (K-1)), phi' by central differences
        def phi(a):
            return np.log1p((K - 1) / ((1 + a * (K - 1) / K) * (1 + a / K)))

        h = 1e-4 * a
        return -2 * a * (phi(a + h) - phi(a - h)) / (2 * h) / (np.sqrt(n) * (K - 1))

    early = quad(lambda a: 1 / speed(a), 0.1, float(found.s[2]), epsrel=1e-10)[0]
    np.testing.assert_allclose(early, case.ts[2], rtol=1e-6)
    k = (K - 1) / K**2
    np.testing.assert_allclose(found.s[-1], (12 * 1e9 / (k * np.sqrt(n))) ** (1 / 3), rtol=0.01)
    np.testing.assert_allclose(found.value[-1], (K / found.s[-1]) ** 2, rtol=0.01)


def test_the_flow_of_cross_entropy_takes_the_published_time_to_collapse():
    """K=4, n=1, from a=0.1 to a=24 log 2: t = (Ei(a) - Ei(0.1) + 3 log(a/0.1))/2 = 5.3912e5."""
    a = 24 * np.log(2)
    time = 0.5 * (expi(a) - expi(0.1) + 3 * np.log(a / 0.1))
    np.testing.assert_allclose(time, 5.3912e5, rtol=1e-5)
    found = jax.jit(unregularised_ce.predict_flow)(simplex_start(1, 1, 0.1, time, np.random.default_rng(0)))
    np.testing.assert_allclose(found.s[-1], a, rtol=1e-10)
