"""Losses against mpmath and NumPy, and their conjugates against the inequality of Fenchel and Young."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from ufm.losses import LOSSES, Loss, get_loss

K = 4
NAMES = list(LOSSES)
VALUE = {name: jax.jit(loss.value) for name, loss in LOSSES.items()}
GRADIENT = {name: jax.jit(jax.grad(loss.value)) for name, loss in LOSSES.items()}
CONJUGATE = {name: jax.jit(loss.conjugate) for name, loss in LOSSES.items()}
SMALLEST = {"float32": 80.0, "float64": 600.0}


def one_hot(k, dtype="float64"):
    return jnp.eye(K, dtype=dtype)[k]


def exact(name, z, y):
    """The loss by its definition in 60 digits."""
    with mpmath.workdps(60):
        z, y = [mpmath.mpf(float(x)) for x in z], [mpmath.mpf(float(x)) for x in y]
        if name == "mse":
            return float(sum((a - b) ** 2 for a, b in zip(z, y, strict=True)) / 2)
        if name == "ce":
            log_total = mpmath.log(sum(mpmath.exp(a) for a in z))
            return float(sum(b * (log_total - a) for a, b in zip(z, y, strict=True)))
        if name == "logistic":
            softplus = [(mpmath.log1p(mpmath.exp(-a)), mpmath.log1p(mpmath.exp(a))) for a in z]
            return float(sum(b * minus + (1 - b) * plus for (minus, plus), b in zip(softplus, y, strict=True)))
        top = max(range(len(y)), key=lambda k: y[k])
        return float(sum(max(0, 1 + a - z[top]) ** 2 for k, a in enumerate(z) if k != top) / 2)


def random_target(name, rng):
    kind = LOSSES[name].targets
    if kind == "any":
        return rng.standard_normal(K)
    if kind == "unit":
        return rng.choice([0.0, 1.0, 0.5, 0.9], K)
    if kind == "distribution" and rng.random() < 0.5:
        return rng.dirichlet(np.ones(K))
    return np.eye(K)[rng.integers(K)]


def domain_point(name, y, rng):
    """A random point where the conjugate is finite."""
    if name == "mse":
        return rng.standard_normal(K)
    if name == "ce":
        return rng.dirichlet(np.ones(K)) - y
    if name == "logistic":
        return rng.random(K) - y
    others = rng.exponential(size=K) * (1 - y)
    return others - y * others.sum()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("spread", [0.1, 3.0, 30.0])
def test_values_are_the_definition_in_sixty_digits(name, spread):
    rng = np.random.default_rng(0)
    for _ in range(6):
        z, y = spread * rng.standard_normal(K), random_target(name, rng)
        np.testing.assert_allclose(VALUE[name](z, y), exact(name, z, y), rtol=1e-13, atol=1e-15 * spread)


@pytest.mark.parametrize(
    "margin, dtype", [(30.0, "float64"), (36.7, "float64"), (50.0, "float64"), (600.0, "float64")]
    + [(17.0, "float32"), (80.0, "float32")],
)  # fmt: skip
def test_cross_entropy_and_its_gradient_are_exact_down_to_underflow(margin, dtype):
    z = jnp.asarray([margin, 0.25, -0.5, 0.0], dtype)
    y = one_hot(0, dtype)
    loss, gradient = VALUE["ce"](z, y), GRADIENT["ce"](z, y)
    with mpmath.workdps(320):
        powers = [mpmath.exp(mpmath.mpf(float(a)) - mpmath.mpf(float(z[0]))) for a in z[1:]]
        total = 1 + sum(powers)
        expected = [-sum(powers) / total] + [p / total for p in powers]
        expected_loss = mpmath.log(total)
        # the exponents are rounded to the dtype, so that the relative error grows with the margin
        rtol = 4 * margin * float(jnp.finfo(dtype).eps)
        assert abs(mpmath.mpf(float(loss)) / expected_loss - 1) < rtol
        for got, want in zip(gradient, expected, strict=True):
            assert abs(mpmath.mpf(float(got)) / want - 1) < rtol
    assert loss.dtype == gradient.dtype == jnp.dtype(dtype)


@pytest.mark.parametrize("margin, dtype", [(40.0, "float64"), (600.0, "float64"), (17.0, "float32"), (80.0, "float32")])
def test_log_softmax_loses_what_the_margin_form_keeps(margin, dtype):
    z, y = jnp.asarray([margin, 0.25, -0.5, 0.0], dtype), one_hot(0, dtype)
    assert jax.nn.log_softmax(z)[0] == 0
    assert VALUE["ce"](z, y) > 0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("margin", [0.0, 5.0, 17.0, 80.0])
def test_the_gradient_of_a_shift_invariant_loss_sums_to_zero_relative_to_its_own_size(dtype, margin):
    for name in ("ce", "squared_hinge"):
        gradient = np.asarray(GRADIENT[name](jnp.asarray([0.3, margin, -0.5, 0.1], dtype), one_hot(1, dtype)))
        assert abs(gradient.sum(dtype=float)) <= 4 * np.finfo(dtype).eps * np.abs(gradient).max()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NAMES)
def test_losses_are_finite_at_logits_of_ten_thousand_with_their_gradients(name, dtype):
    for sign in (1, -1):
        z = jnp.asarray([sign * 1e4, 0.0, 3.0, -sign * 1e4], dtype)
        assert jnp.isfinite(VALUE[name](z, one_hot(0, dtype)))
        assert jnp.all(jnp.isfinite(GRADIENT[name](z, one_hot(0, dtype))))
    np.testing.assert_allclose(VALUE["ce"](jnp.asarray([-1e4, 0.0, 3.0, 1e4]), one_hot(0)), 2e4, rtol=1e-15)


@pytest.mark.parametrize("spread", [1.0, 50.0])
def test_the_gradient_of_cross_entropy_is_softmax_less_the_soft_label(spread):
    rng = np.random.default_rng(1)
    for y in (rng.dirichlet(np.ones(K)), np.full(K, 1 / K), 0.9 * np.eye(K)[2] + 0.025, np.eye(K)[1]):
        z = spread * rng.standard_normal(K)
        softmax = np.exp(z - z.max()) / np.exp(z - z.max()).sum()
        np.testing.assert_allclose(GRADIENT["ce"](z, y), softmax - y, atol=1e-15 * max(1, spread))


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(NAMES), st.integers(0, 10**6), st.sampled_from([0.3, 3.0, 20.0]))
def test_fenchel_young_holds_with_equality_at_the_gradient(name, seed, spread):
    rng = np.random.default_rng(seed)
    z, y = spread * rng.standard_normal(K), random_target(name, rng)
    theta = np.asarray(GRADIENT[name](z, y))
    tolerance = 1e-12 * (1 + spread**2)
    touching = float(CONJUGATE[name](theta, y)) + float(VALUE[name](z, y)) - theta @ z
    assert abs(touching) <= tolerance, "equality at the gradient"
    other = domain_point(name, y, rng)
    gap = float(CONJUGATE[name](other, y)) + float(VALUE[name](z, y)) - other @ z
    assert np.isfinite(gap) and gap >= -tolerance, "inequality elsewhere"


@pytest.mark.parametrize("name", NAMES)
def test_conjugates_are_the_supremum_that_defines_them(name):
    rng = np.random.default_rng(2)
    for _ in range(3):
        y = random_target(name, rng)
        theta = domain_point(name, y, rng)

        def value_and_gradient(z, y=y, theta=theta):
            return float(VALUE[name](z, y)) - theta @ z, np.asarray(GRADIENT[name](z, y)) - theta

        found = minimize(value_and_gradient, np.zeros(K), jac=True, options={"gtol": 1e-9})
        np.testing.assert_allclose(CONJUGATE[name](theta, y), -found.fun, atol=1e-9)


@pytest.mark.parametrize(
    "name, theta",
    [
        ("ce", [0.5, 0.2, -0.1, -0.6]),  # a probability below zero
        ("ce", [0.3, 0.1, 0.1, 0.1]),  # a total above one: unbounded along the ones
        ("ce", [-0.5, 0.1, 0.1, 0.1]),
        ("logistic", [0.1, 0.2, 0.3, 0.1]),  # above one at the true class
        ("logistic", [-0.5, -0.1, 0.3, 0.1]),
        ("squared_hinge", [0.5, -0.5, 0.0, 0.0]),  # the hinge never rewards larger wrong logits
        ("squared_hinge", [-0.5, 0.5, 0.1, 0.1]),  # unbounded along the ones
    ],
)
def test_conjugates_are_infinite_outside_their_domain(name, theta):
    y = one_hot(0)
    theta = jnp.asarray(theta)
    rays = 1e5 * jnp.concatenate([jnp.eye(K), jnp.ones((1, K))])
    assert max(float(theta @ z - VALUE[name](z, y)) for z in (*rays, *-rays)) > 1e3, "the supremum grows without bound"
    assert CONJUGATE[name](theta, y) == jnp.inf


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NAMES)
def test_conjugates_stay_finite_at_rounded_gradients_scaled_towards_zero(name, dtype):
    rng = np.random.default_rng(3)
    for spread in (1.0, 30.0, 300.0):
        for _ in range(10):
            z = jnp.asarray(spread * rng.standard_normal(K), dtype)
            y = jnp.asarray(random_target(name, rng), dtype)
            theta = GRADIENT[name](z, y)
            for tau in (1.0, 0.7, 0.01):
                assert jnp.isfinite(CONJUGATE[name](tau * theta, y))


@pytest.mark.parametrize("name", NAMES)
def test_shift_invariance_is_declared_where_it_holds_and_only_there(name):
    rng = np.random.default_rng(4)
    y, z = jnp.asarray(random_target(name, rng)), jnp.asarray(rng.standard_normal(K))
    invariant = bool(jnp.abs(VALUE[name](z + 0.7, y) - VALUE[name](z, y)) < 1e-14)
    assert invariant == LOSSES[name].shift_invariant


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(NAMES), st.integers(0, 10**6))
def test_losses_declared_convex_lie_below_their_chords(name, seed):
    rng = np.random.default_rng(seed)
    y, a, b = random_target(name, rng), 5 * rng.standard_normal(K), 5 * rng.standard_normal(K)
    assert LOSSES[name].convex
    chord = (float(VALUE[name](a, y)) + float(VALUE[name](b, y))) / 2
    assert float(VALUE[name]((a + b) / 2, y)) <= chord * (1 + 1e-14)


def test_infima_are_entropies_for_soft_labels_and_zero_for_hard_ones():
    for name in NAMES:
        np.testing.assert_allclose(LOSSES[name].infimum(one_hot(1)), 0, atol=1e-15)
    y = jnp.asarray([0.1, 0.2, 0.3, 0.4])
    np.testing.assert_allclose(LOSSES["ce"].infimum(y), -np.sum(y * np.log(y)), rtol=1e-15)
    np.testing.assert_allclose(VALUE["ce"](np.log(y), y), LOSSES["ce"].infimum(y), rtol=1e-15)
    binary = -np.sum(y * np.log(y) + (1 - y) * np.log(1 - y))
    np.testing.assert_allclose(LOSSES["logistic"].infimum(y), binary, rtol=1e-15)


@pytest.mark.parametrize("name", ["mse", "ce", "logistic"])
def test_losses_are_permutation_equivariant(name):
    rng = np.random.default_rng(5)
    y, z, order = random_target(name, rng), rng.standard_normal(K), rng.permutation(K)
    np.testing.assert_allclose(VALUE[name](z[order], y[order]), VALUE[name](z, y), rtol=1e-14)


def test_a_function_becomes_a_loss_that_claims_nothing_and_a_wrong_name_is_refused():
    def absolute(z, y):
        return jnp.sum(jnp.abs(z - y))

    loss = get_loss(absolute)
    assert (loss.name, loss.convex, loss.conjugate, loss.shift_invariant) == ("absolute", False, None, False)
    own = Loss("own", absolute, convex=True)
    assert get_loss(own) is own and get_loss("ce") is LOSSES["ce"]
    for wrong in ("cross-entropy", 3, None):
        with pytest.raises(ValueError, match=r"loss must be a ufm.Loss.*'mse', 'ce', 'logistic', 'squared_hinge', got"):
            get_loss(wrong)
