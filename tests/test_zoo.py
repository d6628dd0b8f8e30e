"""Losses beyond the basic four: definitions in sixty digits, limits, flags, conjugates, refusals and float32."""

import pickle
from dataclasses import astuple, is_dataclass
from functools import partial

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

import ufm
from ufm import losses
from ufm.losses.precision import float32_margin
from ufm.losses.probability import CompSum, Focal, Poly1

K = 4
ZOO = {
    loss.name: loss
    for loss in (
        losses.focal(2.0), losses.focal(0.5), losses.poly1(3.0), losses.poly1(-0.5), losses.comp_sum(0.0), losses.comp_sum(0.5),
        losses.comp_sum(3.0), losses.gce(0.7), losses.mae(), losses.ldr_kl(1.0, 0.5), losses.z_loss(2.0, 0.5, 0.05),
        losses.log_spherical(0.05), losses.log_taylor(), losses.stablemax(), losses.ce_logsumexp(0.3),
    )
}  # fmt: skip
NAMES = list(ZOO)
VALUE = {name: jax.jit(loss.value) for name, loss in ZOO.items()}
GRADIENT = {name: jax.jit(jax.grad(loss.value)) for name, loss in ZOO.items()}
PROBABILITY = [name for name in NAMES if losses.is_loss(ZOO[name], Focal, Poly1, CompSum)]
CONJUGATES = ["comp_sum(0)", "ldr_kl(1, 0.5)"]


def one_hot(k, dtype="float64"):
    return jnp.eye(K, dtype=dtype)[k]


def exact(name, z, t):
    """The loss of true class t by its definition in 60 digits."""
    value = ZOO[name].value
    kind, given = name.split("(")[0], [mpmath.mpf(x) for x in astuple(value)] if is_dataclass(value) else []
    z = [mpmath.mpf(float(x)) for x in z]
    p = mpmath.exp(z[t]) / sum(mpmath.exp(x) for x in z)
    rest = sum(mpmath.exp(x - z[t]) for i, x in enumerate(z) if i != t)
    wrong = rest / (1 + rest)
    if kind == "focal":
        return wrong ** given[0] * mpmath.log1p(rest)
    if kind == "poly1":
        return mpmath.log1p(rest) + given[0] * wrong
    if kind in ("comp_sum", "gce", "mae"):
        (tau,) = given
        return (1 - p ** (tau - 1)) / (tau - 1)
    if kind == "ldr_kl":
        m, T = given
        return T * mpmath.log(sum(mpmath.exp((x - z[t] + (0 if i == t else m)) / T) for i, x in enumerate(z)) / K)
    if kind == "z_loss":
        A, B, eps = given
        mean = sum(z) / K
        deviation = mpmath.sqrt(sum((x - mean) ** 2 for x in z) / K + eps)
        return mpmath.log1p(mpmath.exp(A * (B - (z[t] - mean) / deviation))) / A
    if kind == "ce_logsumexp":
        return mpmath.log1p(rest) + given[0] * mpmath.log(sum(mpmath.exp(x) for x in z)) ** 2
    score = {
        "log_spherical": lambda x: x**2 + given[0],
        "log_taylor": lambda x: 1 + x + x**2 / 2,
        "stablemax": lambda x: 1 + x if x >= 0 else 1 / (1 - x),
    }[kind]
    return -mpmath.log(score(z[t]) / sum(score(x) for x in z))


@pytest.mark.parametrize("name", NAMES)
def test_values_are_the_definition_in_sixty_digits(name):
    rng = np.random.default_rng(0)
    with mpmath.workdps(60):
        for spread in (0.1, 3.0, 20.0):
            for _ in range(3):
                z, t = spread * rng.standard_normal(K), int(rng.integers(K))
                np.testing.assert_allclose(float(VALUE[name](z, one_hot(t))), float(exact(name, z, t)), rtol=2e-13, atol=1e-300)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_those_of_the_definition(name):
    rng = np.random.default_rng(1)
    with mpmath.workdps(40):
        z, t = 2 * rng.standard_normal(K), 1
        differences = []
        for i in range(K):
            step = 1e-6 * (np.arange(K) == i)
            differences.append(float((exact(name, z + step, t) - exact(name, z - step, t)) / 2e-6))
    np.testing.assert_allclose(GRADIENT[name](z, one_hot(t)), differences, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NAMES)
def test_losses_are_finite_at_logits_of_ten_thousand_with_their_gradients_in_their_own_dtype(name, dtype):
    for sign in (1, -1):
        z = jnp.asarray([sign * 1e4, 0.0, 3.0, -sign * 1e4], dtype)
        value, gradient = VALUE[name](z, one_hot(0, dtype)), GRADIENT[name](z, one_hot(0, dtype))
        assert value.dtype == gradient.dtype == jnp.dtype(dtype)
        if sign < 0 and losses.is_loss(ZOO[name], CompSum) and ZOO[name].value.tau < 1:
            assert value == jnp.inf, "exp(10000) is beyond the dtype, and so says the loss"
        else:
            assert jnp.isfinite(value) and jnp.all(jnp.isfinite(gradient))


@pytest.mark.parametrize("name", PROBABILITY)
@pytest.mark.parametrize("margin, dtype", [(40.0, "float64"), (200.0, "float64"), (17.0, "float32"), (28.0, "float32")])
def test_p_losses_keep_their_leading_power_of_the_probability_far_beyond_the_machine_epsilon(name, margin, dtype):
    loss = ZOO[name]
    z = jnp.asarray([margin, 0.0, 0.0, 0.0], dtype)
    wrong = mpmath.mpf(3) * mpmath.exp(-margin)
    expected = {Focal: lambda g: wrong ** (1 + g), Poly1: lambda e: (1 + e) * wrong}.get(type(loss.value), lambda *_: wrong)
    want = expected(*astuple(loss.value))
    got = mpmath.mpf(float(VALUE[name](z, one_hot(0, dtype))))
    assert abs(got / want - 1) < 20 * margin * float(jnp.finfo(dtype).eps)


def test_parameters_at_their_ends_give_the_losses_they_should():
    rng = np.random.default_rng(2)
    z, y = rng.standard_normal(K), one_hot(2)
    ce = float(losses.cross_entropy(z, y))
    for same in (losses.focal(0), losses.poly1(0), losses.comp_sum(1), losses.ce_logsumexp(1e-300)):
        np.testing.assert_allclose(same.value(z, y), ce, rtol=1e-14)
    np.testing.assert_allclose(losses.ldr_kl(0, 1).value(z, y), ce - np.log(K), rtol=1e-13)
    np.testing.assert_allclose(losses.comp_sum(1 + 1e-9).value(z, y), ce, rtol=1e-8)
    np.testing.assert_allclose(losses.gce(0.3).value(z, y), losses.comp_sum(1.3).value(z, y), rtol=1e-14)
    np.testing.assert_allclose(losses.gce(1).value(z, y), losses.mae().value(z, y), rtol=1e-14)
    softmax = np.exp(z) / np.exp(z).sum()
    np.testing.assert_allclose(losses.mae().value(z, y), np.abs(softmax - np.asarray(y)).sum() / 2, rtol=1e-14)
    hinge = max(0.0, *(1 + z[k] - z[2] for k in range(K) if k != 2))
    np.testing.assert_allclose(losses.ldr_kl(1, 1e-4).value(z, y), hinge, atol=2e-4)
    assert losses.focal(0).convex and losses.poly1(1).convex and losses.comp_sum(1).convex


def test_stablemax_is_cross_entropy_of_a_signed_logarithm_of_slope_one_at_zero():
    g = losses.rational.signed_log
    x = np.array([-1e4, -2.0, -1e-9, 0.0, 1e-9, 3.0, 1e4])
    np.testing.assert_allclose(g(x), np.sign(x) * np.log1p(np.abs(x)), rtol=1e-15)
    np.testing.assert_allclose(jax.vmap(jax.grad(g))(x), 1 / (1 + np.abs(x)), rtol=1e-15)
    soft = jnp.asarray([0.7, 0.1, 0.1, 0.1])
    score = np.array([3.0, 1.0, 1 / 3, 2.0])
    np.testing.assert_allclose(losses.stablemax().value(np.array([2.0, 0.0, -2.0, 1.0]), soft), -soft @ np.log(score / score.sum()))


@pytest.mark.parametrize("name", NAMES)
def test_shift_invariance_is_declared_where_it_holds_and_only_there(name):
    z = jnp.asarray(np.random.default_rng(4).standard_normal(K))
    invariant = bool(jnp.abs(VALUE[name](z + 0.7, one_hot(1)) - VALUE[name](z, one_hot(1))) < 1e-13)
    assert invariant == ZOO[name].shift_invariant


@pytest.mark.parametrize("name", NAMES)
def test_convexity_is_declared_where_chords_lie_above_and_denied_where_one_lies_below(name):
    rng = np.random.default_rng(5)
    a, b = 6 * rng.standard_normal((2, 4000, K))
    f = jax.jit(jax.vmap(lambda z: ZOO[name].value(z, one_hot(0))))
    chord, middle = (np.asarray(f(a)) + np.asarray(f(b))) / 2, np.asarray(f((a + b) / 2))
    below = np.any(middle > chord + 1e-12 * np.abs(chord))
    assert below == (not ZOO[name].convex)


@pytest.mark.parametrize(
    ("make", "parameter", "convex"),
    [
        (losses.comp_sum, 0.99, True), (losses.comp_sum, 1.0, True), (losses.comp_sum, 1.01, False), (losses.comp_sum, 1.5, False),
        (losses.poly1, 0.99, True), (losses.poly1, 1.0, True), (losses.poly1, 1.01, False), (losses.poly1, -0.99, True),
        (losses.focal, 0.0, True), (losses.focal, 0.01, False), (losses.gce, 0.01, False), (losses.gce, 1.0, False),
    ],
)  # fmt: skip
def test_convexity_is_declared_up_to_its_threshold_and_curvature_turns_negative_one_per_cent_beyond(make, parameter, convex):
    """d^2 loss/dz_t^2 over p (1 - p), the direction that turns first: focal losses at p < e^(-1/gamma), others below 0.01."""
    loss = make(parameter)
    z = jnp.linspace(-200.0 if make is losses.focal else -10.0, 15.0, 2151)

    def value(x):
        return loss.value(jnp.zeros(K).at[0].set(x), one_hot(0))

    p = jax.nn.sigmoid(z - jnp.log(K - 1.0))
    curvature = np.asarray(jax.jit(jax.vmap(jax.grad(jax.grad(value))))(z) / (p * jax.nn.sigmoid(jnp.log(K - 1.0) - z)))
    assert loss.convex == convex == bool(np.min(curvature) > -1e-6)


@pytest.mark.parametrize("name", [name for name in NAMES if ZOO[name].contrastive])
def test_contrastive_losses_are_least_where_the_wrong_logits_are_equal(name):
    rng = np.random.default_rng(6)
    z = 4 * rng.standard_normal((500, K))
    z = z[z[:, 0] > z.mean(1)]  # below the mean zero is already better
    f = jax.jit(jax.vmap(lambda z: ZOO[name].value(z, one_hot(0))))
    levelled = np.column_stack([z[:, 0], *[z[:, 1:].mean(1)] * (K - 1)])
    assert np.all(np.asarray(f(levelled)) <= np.asarray(f(z)) * (1 + 1e-13))


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(CONJUGATES), st.integers(0, 10**6), st.sampled_from([0.3, 3.0, 8.0]))
def test_fenchel_young_holds_with_equality_at_the_gradient(name, seed, spread):
    rng = np.random.default_rng(seed)
    z, y = spread * rng.standard_normal(K), one_hot(int(rng.integers(K)))
    theta, conjugate = np.asarray(GRADIENT[name](z, y)), ZOO[name].conjugate
    scale = 1 + abs(float(VALUE[name](z, y))) + np.abs(theta).max() * (1 + spread)
    assert abs(float(conjugate(theta, y)) + float(VALUE[name](z, y)) - theta @ z) <= 1e-12 * scale, "equality at the gradient"
    others = rng.exponential(size=K) * (1 - y)
    if name != "comp_sum(0)":  # y + theta is a distribution; there, every sign-respecting theta will do
        others *= rng.uniform() / others.sum()
    other = others - y * others.sum()
    gap = float(conjugate(other, y)) + float(VALUE[name](z, y)) - other @ z
    assert np.isfinite(gap) and gap >= -1e-12 * scale, "inequality elsewhere"


@pytest.mark.parametrize("name", CONJUGATES)
def test_conjugates_are_the_supremum_that_defines_them_and_infinite_outside(name):
    y, theta = one_hot(0), np.array([-0.6, 0.1, 0.2, 0.3])

    def value_and_gradient(z):
        return float(VALUE[name](z, y)) - theta @ z, np.asarray(GRADIENT[name](z, y)) - theta

    found = minimize(value_and_gradient, np.zeros(K), jac=True, options={"gtol": 1e-9})
    np.testing.assert_allclose(ZOO[name].conjugate(theta, y), -found.fun, atol=1e-9)
    for outside in ([-0.5, 0.1, 0.1, 0.1], [0.1, -0.1, 0.0, 0.0]):
        assert ZOO[name].conjugate(jnp.asarray(outside), y) == jnp.inf
    np.testing.assert_allclose(ZOO[name].infimum(y), {"comp_sum(0)": 0, "ldr_kl(1, 0.5)": -0.5 * np.log(K)}[name], atol=1e-15)


def test_equal_parameters_are_one_loss_and_so_one_program():
    assert losses.focal(2) == losses.focal(2.0) == losses.focal(np.float64(2)) != losses.focal(2.1)
    assert losses.ldr_kl(1, 0.5) == losses.ldr_kl(margin=1.0, temperature=0.5)
    assert losses.gce(0.7) != losses.gce(0.8) and losses.gce(1).value == losses.mae().value == losses.comp_sum(2).value
    assert [loss.name for loss in (losses.focal(2), losses.gce(0.7), losses.mae(), losses.z_loss(1, 0, 0))] == [
        "focal(2)", "gce(0.7)", "mae", "z_loss(1, 0, 0)"
    ]  # fmt: skip
    traced = []

    @partial(jax.jit, static_argnums=0)
    def at_zero(loss, y):
        traced.append(loss)
        return loss.value(jnp.zeros(K), y)

    for make in (lambda: losses.focal(2), lambda: losses.ldr_kl(), lambda: losses.kd(0, 1), lambda: losses.dual_head()):
        before, y = len(traced), (one_hot(0), one_hot(1)) if make().teacher else one_hot(0)
        for loss in (make(), make(), pickle.loads(pickle.dumps(make()))):
            at_zero(loss, y)
        assert len(traced) == before + 1


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: losses.focal(-0.1), r"gamma must be a number of at least 0, got -0.1"),
        (lambda: losses.focal("2"), r"gamma must be a number of at least 0, got '2'"),
        (lambda: losses.focal(float("nan")), r"gamma must be a number of at least 0, got nan"),
        (lambda: losses.poly1(-1), r"epsilon must be a number above -1, got -1"),
        (lambda: losses.comp_sum(-1e-9), r"tau must be a number of at least 0, got -1e-09"),
        (lambda: losses.gce(0), r"q must be a number in \(0, 1\], got 0"),
        (lambda: losses.gce(1.01), r"q must be a number in \(0, 1\], got 1.01"),
        (lambda: losses.ldr_kl(-1, 1), r"margin must be a number of at least 0, got -1"),
        (lambda: losses.ldr_kl(1, 0), r"temperature must be a number above 0, got 0"),
        (lambda: losses.z_loss(0), r"slope must be a number above 0, got 0"),
        (lambda: losses.z_loss(1, float("inf")), r"offset must be a finite number, got inf"),
        (lambda: losses.z_loss(eps=-1e-3), r"eps must be a number of at least 0, got -0.001"),
        (lambda: losses.log_spherical(0), r"eps must be a number above 0, got 0"),
        (lambda: losses.ce_logsumexp(True), r"zeta must be a number above 0, got True"),
        (lambda: jax.jit(lambda q: losses.gce(q).value(jnp.zeros(K), one_hot(0)))(0.5), r"q must be a number.*, known outside jit"),
    ],
)
def test_parameters_out_of_range_are_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_soft_labels_are_refused_by_losses_of_one_true_class():
    with pytest.raises(ValueError, match=r"targets of the loss 'focal\(2\)' must be one-hot columns"):
        ufm.Problem.balanced(3, 2, 3, loss=losses.focal(2), smoothing=0.1, l2_W=0.1, l2_H=0.1)
    ufm.Problem.balanced(3, 2, 3, loss=losses.stablemax(), smoothing=0.1, l2_W=0.1, l2_H=0.1)


def test_float32_ends_where_exponentials_underflow_and_never_for_rational_losses():
    assert 85 < float32_margin(losses.get_loss("ce"), K) < 89  # exp(-87.3) is the least normal number
    assert 28 < float32_margin(losses.focal(2.0), K) < 31  # a third of it
    assert float32_margin(losses.stablemax(), K) == 1e4
    naive = losses.Loss("naive", lambda z, y: -jnp.sum(y * jax.nn.log_softmax(z)))
    assert 13 < float32_margin(naive, K) < 17.5
