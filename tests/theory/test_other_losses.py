"""Minima under losses beyond squared error and cross-entropy: goldens, phases, brute force, and evidence that can fail."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize

import ufm
from ufm import losses
from ufm.base.programs import QUICK
from ufm.search.symmetric import survey
from ufm.theory.other_losses import comp_sum, contrastive, spherical, two_scalars
from ufm.theory.other_losses.contrastive import lowest
from ufm.theory.other_losses.measured import problem_at
from ufm.theory.theorem import key_of

MODULES = (comp_sum, contrastive, spherical, two_scalars)
THEOREMS = {theorem.id: theorem for module in MODULES for theorem in module.THEOREMS}
predict = {name: jax.jit(theorem.predict, compiler_options=QUICK) for name, theorem in THEOREMS.items()}


def scalars(prediction):
    """(a, b) of class logits a (I - J) + b J."""
    z = np.asarray(prediction.logits)
    b = z.sum() / len(z)
    return (np.trace(z) - b) / (len(z) - 1), b


def brute(loss_of, K, c, starts):
    """The lowest of bounded searches for (a, b+, b-) in SciPy, with the loss written in NumPy."""

    def F(x):
        a, b = x[0], x[1] - x[2]
        z = np.full(K, (b - a) / K)
        z[0] += a
        return loss_of(z) + c * ((K - 1) * a + x[1] + x[2])

    runs = [minimize(F, s, bounds=[(0, None)] * 3, options={"ftol": 1e-15, "gtol": 1e-10}) for s in starts]
    best = min(runs, key=lambda run: run.fun)
    return best.fun, best.x[0], best.x[1] - best.x[2]


def stable(z):
    s = np.where(z >= 0, 1 + z, 1 / (1 - np.minimum(z, 0)))
    return -np.log(s[0] / s.sum())


def taylor(z):
    s = 1 + z + z**2 / 2
    return -np.log(s[0] / s.sum())


def binary(z):
    return np.logaddexp(0, -z[0]) + np.sum(np.logaddexp(0, z[1:]))


def partition(z):
    lse = np.logaddexp.reduce(z)
    return lse - z[0] + 0.1 * lse**2


@pytest.mark.parametrize(
    "name, loss, K, c, golden",
    [
        ("stablemax", losses.stablemax(), 3, 0.01, (7.13494373, 0.0)),
        ("stablemax", losses.stablemax(), 6, 2e-3, (13.743025, -7.245018)),
        ("bce", "logistic", 4, 5e-3, (9.190240, -9.190240)),
        ("comp-sum-exp", losses.comp_sum(0), 6, 1e-3, (3 * np.log(10), 0.0)),
    ],
)
def test_goldens(name, loss, K, c, golden):
    found = predict[name](problem_at(loss, c, K))
    np.testing.assert_allclose(scalars(found), golden, atol=6e-7)
    if K == 6 and name == "stablemax":
        np.testing.assert_allclose(found.value, 0.246187165286138, rtol=2e-14)


@pytest.mark.parametrize(
    "name, loss, K, c, function",
    [
        ("bce", "logistic", 3, 0.1, binary),  # a mean below zero
        ("bce", "logistic", 3, 0.2, binary),  # past c = 1/(4 + sqrt 8): the simplex
        ("bce", "logistic", 6, 0.12, binary),
        ("bce", "logistic", 6, 0.2, binary),  # the mean alone, up to 1/2 - 1/6
        ("ce-logsumexp", losses.ce_logsumexp(0.1), 5, 0.01, partition),
        ("ce-logsumexp", losses.ce_logsumexp(0.1), 5, 0.15, partition),
        ("stablemax", losses.stablemax(), 6, 0.01, stable),
        ("log-taylor", losses.log_taylor(), 5, 0.003, taylor),
        ("log-taylor", losses.log_taylor(), 5, 0.05, taylor),
        ("log-taylor", losses.log_taylor(), 30, 2e-3, taylor),  # a mean below zero
    ],
)
def test_two_scalars_are_those_of_a_bounded_search_in_every_phase(name, loss, K, c, function):
    found = predict[name](problem_at(loss, c, K))
    value, a, b = brute(function, K, c, ([1.0, 0.1, 0.1], [5.0, 0.0, 4.0], [9.0, 3.0, 0.0], [0.1, 0.0, 0.1]))
    np.testing.assert_allclose(found.value, value, rtol=1e-8)
    assert found.value <= value * (1 + 1e-13)
    np.testing.assert_allclose(scalars(found), (a, b), rtol=2e-4, atol=2e-3)


def test_phases_of_the_logistic_loss():
    K, points = 6, {0.05: (True, True), 1 / 6 - 1e-4: (True, True), 1 / 6 + 1e-4: (False, True), 1 / 3 + 1e-4: (False, False)}
    for c, alive in points.items():
        a, b = scalars(predict["bce"](problem_at("logistic", c, K)))
        assert (a > 1e-9, b < -1e-9) == alive and a > -1e-12 and b < 1e-12
    a, b = scalars(predict["bce"](problem_at("logistic", 0.1, 4)))
    np.testing.assert_allclose([a, b], [2 * np.log(4), -2 * np.log(4)], rtol=1e-12)  # orthogonal at K = 4
    a, _ = scalars(predict["bce"](problem_at("logistic", 0.1, 2)))
    np.testing.assert_allclose(a, 2 * np.log(9), rtol=1e-12)


def test_stablemax_leaves_the_simplex_at_the_margin_of_the_dossier():
    K = 6
    edge = K**2 / ((K - 1) * (K - 4))
    B, A = 1 + edge / K, 1 + edge * (K - 1) / K
    c = 1 / (2 * B * (A * B + K - 1))  # where the cubic's root has b = 0
    for side, sign in ((1.01, 0), (0.99, -1)):
        a, b = scalars(predict["stablemax"](problem_at(losses.stablemax(), c * side, K)))
        assert np.sign(np.round(b, 6)) == sign and (a > edge) == (side < 1)


def test_the_mean_absolute_error_in_closed_form():
    K, c = 5, 0.05
    root = np.sqrt(1 - 4 * c * (K - 1))
    X = (1 - 2 * c * (K - 1) + root) / (2 * c * (K - 1) ** 2)
    a = np.log((K - 1) ** 2 * X)
    found = predict["gce"](problem_at(losses.mae(), c))
    np.testing.assert_allclose(scalars(found), (a, 0), rtol=1e-12, atol=1e-14)
    value = predict["mae-transition"](problem_at(losses.mae(), c))
    np.testing.assert_allclose([value["lowest"], value["from simplex"]], found.value, rtol=1e-12)
    np.testing.assert_allclose(value["from zero"], 0.8, rtol=1e-15)
    critical = float(survey(losses.mae(), K, jnp.ones(1))[1].c)
    for side in (1 - 1e-6, 1 + 1e-6):
        a, _ = scalars(predict["gce"](problem_at(losses.mae(), critical * side)))
        assert (a > 1) == (side < 1)


@pytest.mark.parametrize("c", [1e-12, 1e-4, 0.09, 0.3])
def test_ldr_kl_is_alive_below_its_threshold_and_recovers_cross_entropy(c):
    K, m, T = 4, 1.0, 0.5
    a, _ = scalars(predict["ldr-kl"](problem_at(losses.ldr_kl(m, T), c, K)))
    np.testing.assert_allclose(a, m + T * np.log(1 / c - K + 1), rtol=1e-12)
    ce = predict["ldr-kl"](problem_at(losses.ldr_kl(0, 1), c, K))
    np.testing.assert_allclose(scalars(ce)[0], max(0.0, np.log(1 / c - K + 1)) if c < 1 / K else 0.0, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    "name, loss", [("p-loss-1d", losses.focal(2.0)), ("gce", losses.gce(0.7)), ("ce-logsumexp", losses.ce_logsumexp(1.0))]
)
def test_scalar_equations_agree_with_the_reduction_of_any_loss(name, loss):
    for c in (1e-5, 0.01, 0.09, 0.11, 2.0):
        found, (minima, _) = predict[name](problem_at(loss, c, 4)), survey(loss, 4, jnp.array([c]))
        np.testing.assert_allclose(found.value, minima.value[0, 0], rtol=1e-12)
        np.testing.assert_allclose(scalars(found), (minima.a[0, 0], minima.b[0, 0]), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    "name, loss, c",
    [
        ("p-loss-1d", losses.focal(2.0), 0.05),
        ("gce", losses.mae(), 0.05),
        ("comp-sum-exp", losses.comp_sum(0.0), 0.05),
        ("ldr-kl", losses.ldr_kl(), 0.05),
        ("z-score-loss", losses.z_loss(), 0.05),
        ("log-spherical", losses.log_spherical(), 0.05),
        ("log-taylor", losses.log_taylor(), 0.05),
        ("stablemax", losses.stablemax(), 0.05),
        ("bce", "logistic", 0.05),
        ("ce-logsumexp", losses.ce_logsumexp(1e-2), 0.05),
    ],
)
def test_predict_serves_each_loss_by_its_own_theorem(name, loss, c):
    problem = problem_at(loss, c)
    applicable = [theorem for theorem in ufm.catalogue().values() if theorem.minimiser and not theorem.failing(problem)]
    best = max(applicable, key=lambda t: (t.status == "holds", not t.general, len(t.assumes)))
    assert best.id == name
    assert THEOREMS[name].failing(problem.replace(bias="free")) != []


def test_without_eps_predict_refuses_the_z_loss():
    with pytest.raises(ValueError, match="no theorem of the catalogue gives the minimum"):
        ufm.predict(problem_at(losses.z_loss(eps=0), 0.1))


CHECKED = [
    ("mae-transition", problem_at(losses.mae(), 0.045)),
    ("ldr-kl", problem_at(losses.ldr_kl(1.0, 0.5), 0.1)),
    ("log-spherical", problem_at(losses.log_spherical(0.05), 0.1)),
    ("bce", problem_at("logistic", 0.2, 3)),
]


@pytest.mark.parametrize("name, problem", CHECKED, ids=[name for name, _ in CHECKED])
def test_what_is_predicted_is_measured_and_a_prediction_off_by_a_thousandth_is_not(name, problem):
    theorem = THEOREMS[name]
    found = predict[name](problem)
    measured = theorem.measure(problem, key_of(0, name, "test"))
    assert [check for check in theorem.evidence(problem, found, measured) if not check.passed] == []
    if name == "mae-transition":
        wrong = found | {"from simplex": found["from simplex"] * 1.001}
    else:
        longer = found.params._replace(H=found.params.H * 1.001)
        wrong = dataclasses.replace(found, params=longer)
        off = theorem.evidence(problem, dataclasses.replace(found, value=found.value * 1.001), measured)
        assert not all(check.passed for check in off)
    assert not all(check.passed for check in theorem.evidence(problem, wrong, measured))


def test_spherical_classes_collapse_only_up_to_sign():
    problem = problem_at(losses.log_spherical(0.05), 0.1)
    found = predict["log-spherical"](problem)
    flipped = found.params._replace(H=found.params.H * jnp.where(jnp.arange(problem.columns) % 2, -1.0, 1.0)[None, :])
    np.testing.assert_allclose(ufm.objective(problem, flipped), found.value, rtol=1e-14)
    assert not found.unique


def test_the_lowest_of_several_minima_is_found_with_its_derivatives():
    def f(x, p):
        return 0.05 * x + jnp.exp(-p) - jnp.exp(-((x - 2) ** 2)) - p * jnp.exp(-((x - 7) ** 2))

    argmin = jax.jit(lambda p: lowest(f, p), compiler_options=QUICK)
    assert abs(argmin(0.9) - 2) < 0.05 and abs(argmin(1.5) - 7) < 0.05 and argmin(-1.0) >= 0
    slope = jax.jit(jax.grad(lambda p: lowest(f, p)), compiler_options=QUICK)(1.5)
    difference = (argmin(1.5 + 1e-5) - argmin(1.5 - 1e-5)) / 2e-5
    np.testing.assert_allclose(slope, difference, rtol=1e-6)
