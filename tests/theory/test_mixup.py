"""Mixup in closed form: goldens, both sides of thresholds, limits, and what is outside the theorems."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ufm
from ufm.duality import certify
from ufm.problem import Problem
from ufm.problem.params import gradient_norm, logits, objective
from ufm.settings.mixup import Mixture, enough_nodes, lambda_nodes, mixup_problem, mixup_types
from ufm.theory.mixup import joint, lambert, quadrature, squared_error
from ufm.theory.mixup.lambert import MixedSamples
from ufm.theory.mixup.potential import two_logits
from ufm.theory.theorem import key_of

NODES, NODE_WEIGHTS = (0.0, 0.7, 0.5, 1.0), (0.1, 0.4, 0.3, 0.2)
FIXED, JOINT = "mixup-fixed-simplex", "mixup-joint-scalar"
MODULES = (joint, lambert, quadrature, squared_error)

lambert_logits = jax.jit(lambert.predict)


def at_prediction(problem):
    """(prediction, f there, |grad f| there, logits, relative gap of the certificate) of the theorem that applies."""
    p = ufm.predict(problem)
    return p, *at_params(problem, p.params)


@jax.jit
def at_params(problem, params):
    gap = certify(problem, params).relative_gap
    return objective(problem, params), gradient_norm(problem, params), logits(problem, params), gap


@jax.jit
def learned_three(lambdas, weights):
    """Three classes and ridges of 0.01."""
    return joint.learned_mixup(3, lambdas, weights, 1e-2, 1e-2)


def assert_certified(problem, theorem, size=1.0):
    """Stationary, of the predicted value and logits, and no lower value possible."""
    found, value, gradient, z, gap = at_prediction(problem)
    assert found.theorem == theorem and found.label == "optimal"
    np.testing.assert_allclose(gradient, 0, atol=1e-13 * size)
    np.testing.assert_allclose(value, found.value, rtol=1e-13)
    np.testing.assert_allclose(z, np.asarray(found.logits)[:, problem.labels], atol=1e-12 * size)
    assert 0 <= gap < 1e-10
    return found


def ordered_pairs(classes, lambdas, weights):
    """The columns (k, l, lambda) of all ordered pairs, nothing merged."""
    eye = np.eye(classes)
    pairs = [(k, m) for k in range(classes) for m in range(classes)]
    targets = np.stack([t * eye[k] + (1 - t) * eye[m] for t in lambdas for k, m in pairs], axis=1)
    return Mixture(targets, np.repeat(weights, len(pairs)) / classes**2)


def fixed_at(classes, kappa, mixture=None):
    """A row norm of 2 in K + 1 dimensions."""
    mixture = mixup_types(classes, NODES, NODE_WEIGHTS) if mixture is None else mixture
    return mixup_problem(mixture, classes + 1, l2_H=4 * classes / (classes - 1) / kappa, norm=2.0)


def drawn_and_fixed(theorem):
    drawn = [theorem.draw(np.random.default_rng(0))] if theorem.draw else []
    return [*theorem.cases().values(), *drawn]


def test_every_case_and_every_drawn_case_meets_the_assumptions():
    for theorem in (theorem for module in MODULES for theorem in module.THEOREMS):
        for case in drawn_and_fixed(theorem):
            assert theorem.failing(case) == []


@pytest.mark.parametrize("theorem", [*lambert.THEOREMS, *quadrature.THEOREMS], ids=lambda t: t.id)
def test_what_is_predicted_is_what_scipy_finds_and_a_thousandth_off_is_seen(theorem):
    predict = jax.jit(theorem.predict)
    for label, case in list(theorem.cases().items())[1:4]:
        predicted, measured = predict(case), theorem.measure(case, key_of(0, label))
        assert [check for check in theorem.evidence(case, predicted, measured) if not check.passed] == []
        off = jax.tree.map(lambda leaf: 1.001 * leaf, predicted)
        assert [check for check in theorem.evidence(case, off, measured) if not check.passed]


@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("kappa", [1e-3, 10.0, 100.0, 1e8])
def test_features_under_a_fixed_simplex_are_stationary_and_certified_at_every_ridge(classes, kappa):
    found = assert_certified(fixed_at(classes, kappa), FIXED)
    assert found.params.weights == ()


def test_goldens_of_two_logits():
    t, kappa = jnp.array([0.7, 1.0]), jnp.array([10.0, 10.0])
    x, y = two_logits(3, t, kappa)
    np.testing.assert_allclose([x[0], y[0]], [1.83931875, 1.08609922], atol=5e-9)
    np.testing.assert_allclose([x[1], y[1]], [2.367556936561603, 0], atol=1e-14)
    np.testing.assert_allclose(two_logits(2, t, kappa)[0][0], 0.34414331, atol=5e-9)
    for K, weight, size, golden in (
        (3, 0.7, 10.0, (1.83931875, 1.08609922)),
        (3, 1.0, 10.0, (2.367556936561603, 0.0)),
        (10, 0.9, 100.0, (4.77949184, 2.43990288)),
        (2, 0.7, 10.0, (0.34414331, -0.34414331)),
    ):
        found = lambert_logits(MixedSamples(float(K), np.array([weight]), size))
        np.testing.assert_allclose(np.ravel(found), golden, atol=5e-9)


def test_newton_and_lambert_agree_where_exponentials_overflow():
    t = jnp.array([0.0, 0.3, 0.5, 0.999, 1.0])
    newton = jax.jit(two_logits, static_argnums=0)
    for K in (2, 3, 1000):
        for kappa in (1e-6, 1.0, 1e4, 1e12):
            expected, closed = newton(K, t, kappa * jnp.ones(5)), lambert_logits(MixedSamples(float(K), t, kappa))
            np.testing.assert_allclose(closed, expected, rtol=1e-10, atol=1e-11 * min(1, kappa))
    with jax.enable_x64(False):  # a precision that cannot hold the answer says so
        assert np.isnan(two_logits(3, jnp.array([1e-6]), jnp.array([1e8]))).all()
    np.testing.assert_allclose(lambert.log_lambert(jnp.array([1.0, -800.0, 800.0])), [0, -800, np.log(800 - 6.67629)], atol=1e-6)


def test_two_classes_are_one_equation():
    t = np.array([0.0, 0.1, 0.5, 0.7, 1.0])
    for kappa in (0.1, 25.0, 1e9):
        r = 2 * np.asarray(lambert_logits(MixedSamples(2.0, t, kappa)).x)
        np.testing.assert_allclose(r / kappa + np.tanh(r / 2), 2 * t - 1, atol=1e-14)


def test_types_at_the_ends_repeat_the_classes_and_even_ones_are_symmetric():
    ends, even = (assert_certified(fixed_at(3, 10.0, ordered_pairs(3, (t,), (1.0,))), FIXED).logits for t in (0.0, 0.5))
    margin = 2.367556936561603
    for pair, (z, half) in enumerate(zip(np.asarray(ends).T, np.asarray(even).T, strict=True)):
        k, m = divmod(pair, 3)
        np.testing.assert_allclose(z, margin * (np.eye(3)[m] - 1 / 3), atol=1e-13)
        np.testing.assert_allclose(half[k], half[m], atol=1e-13)


def test_every_sampled_pair_has_features_of_its_own():
    t = np.random.default_rng(0).beta(0.5, 0.5, size=9)
    first, second = (ordered_pairs(3, (end,), (1.0,)).targets for end in (1.0, 0.0))
    mixture = Mixture(t * first + (1 - t) * second, np.full(9, 1 / 9))
    found = assert_certified(fixed_at(3, 50.0, mixture), FIXED)
    assert found.logits.shape == (3, 9)
    _, theorem = joint.THEOREMS
    (assumption,) = theorem.failing(mixup_problem(mixture, 3, l2_H=0.01, l2_W=0.01))
    assert "same for all classes" in assumption.text


def test_derivatives_of_the_fixed_minimum_pass_through_its_root():
    problem = fixed_at(3, 10.0)

    @jax.jit
    def value_and_size(l2):
        found = joint.predict_fixed(problem.replace(l2_H=l2))
        return jnp.stack([found.value, jnp.sum(found.params.H**2)])

    l2 = problem.l2_H
    slopes = jax.jit(jax.jacfwd(value_and_size))(l2)
    differences = (value_and_size(l2 * (1 + 1e-5)) - value_and_size(l2 * (1 - 1e-5))) / (2e-5 * l2)
    np.testing.assert_allclose(slopes, differences, rtol=1e-8)
    np.testing.assert_allclose(slopes[0], 0.5 * value_and_size(l2)[1], rtol=1e-12)


def test_a_classifier_that_is_no_simplex_is_outside():
    theorem, _ = joint.THEOREMS
    problem = mixup_problem(mixup_types(3, (0.3,), (1.0,)), 3, l2_H=0.1, norm=1.0)
    assert theorem.failing(problem) == []
    (assumption,) = theorem.failing(problem.replace(classifier=jnp.eye(3)))
    assert "simplex" in assumption.text
    assert theorem.failing(Problem.balanced(3, 2, 3, loss="ce", l2_W=0.1, l2_H=0.1))


def test_goldens_of_the_learned_classifier():
    three = learned_three((0.25, 0.5, 0.75), (0.25, 0.5, 0.25))
    np.testing.assert_allclose(three.kappa, 246.48520000275, rtol=1e-13)
    np.testing.assert_allclose(three.om2, 2.4648520000275, rtol=1e-13)
    four = jax.jit(lambda lambdas, weights: joint.learned_mixup(4, lambdas, weights, 5e-3, 1e-2).kappa)
    np.testing.assert_allclose(four(*lambda_nodes(1.0, 64)), 365.64616512574, rtol=1e-12)


def test_the_learned_minimum_is_that_of_a_fixed_simplex_of_its_size():
    mixture = mixup_types(3, (0.25, 0.75), (0.5, 0.5))
    found = assert_certified(mixup_problem(mixture, 4, l2_W=1e-2, l2_H=1e-2), JOINT)
    scalars = learned_three((0.75, 0.25, 0.5), (0.5, 0.5, 0.0))
    z = np.asarray(found.logits)
    np.testing.assert_allclose(z[0, 0] - z[1, 0], scalars.margin, rtol=1e-13)
    assert np.array_equal(mixture.targets[:, 3], [0.75, 0.25, 0])
    np.testing.assert_allclose(z[:2, 3] - z[2, 3], [scalars.x[0], scalars.y[0]], rtol=1e-12)
    W = np.asarray(found.params.weights[0])
    np.testing.assert_allclose(W @ W.T, scalars.om2 * (np.eye(3) - 1 / 3), atol=1e-13)
    norm = np.linalg.norm(W[0])
    alone = assert_certified(mixup_problem(mixture, 4, l2_H=1e-2, norm=norm), FIXED)
    np.testing.assert_allclose(found.value, alone.value + 0.5e-2 * 3 * norm**2, rtol=1e-13)


@pytest.mark.parametrize("pairs", [{}, {"self_pairs": False, "per_class": 2}])
def test_everything_vanishes_exactly_at_the_threshold(pairs):
    """(K - 1) l2_W l2_H = s (1 - 1/K) + (1 - s)(m2 - 1/K), m2 = (alpha + 1)/(2 alpha + 1); s = 1/K: l2_W l2_H = m2/K."""
    m2, s = 1.7 / 2.4, 1 / 5 if pairs else 1 / 3
    critical = (s * (1 - 1 / 3) + (1 - s) * (m2 - 1 / 3)) / 2
    if not pairs:
        np.testing.assert_allclose(critical, m2 / 3, rtol=1e-14)
    mixture = mixup_types(3, *lambda_nodes(0.7, 2), **pairs)
    for side, rank in ((1 - 1e-6, 2), (1 + 1e-6, 0)):
        found = assert_certified(mixup_problem(mixture, 4, l2_W=3 * side, l2_H=critical / 3), JOINT)
        assert found.rank == rank
        np.testing.assert_allclose(found.value, np.log(3), rtol=1e-10)


def test_a_bias_and_a_scale_change_nothing_but_the_ridge_per_logit():
    plain = mixup_problem(mixup_types(3, *lambda_nodes(0.7, 2)), 4, l2_W=0.02, l2_H=0.01)
    value = assert_certified(plain, JOINT).value
    free = assert_certified(plain.replace(bias="free"), JOINT)
    scaled = assert_certified(plain.replace(scale=2.0, l2_W=0.08), JOINT)
    np.testing.assert_allclose([free.value, scaled.value], value, rtol=1e-13)


def test_columns_that_are_not_merged_have_the_same_minimum():
    merged, raw = (
        assert_certified(mixup_problem(make(3, (0.3,), (1.0,)), 4, l2_W=0.02, l2_H=0.01), JOINT)
        for make in (mixup_types, ordered_pairs)
    )
    np.testing.assert_allclose(raw.value, merged.value, rtol=1e-13)
    np.testing.assert_allclose(raw.singular_values, merged.singular_values, rtol=1e-12)


def test_derivatives_of_the_learned_minimum_pass_through_its_root():
    problem = mixup_problem(mixup_types(3, *lambda_nodes(0.7, 2)), 4, l2_W=0.02, l2_H=0.01)

    def value_and_size(l2):
        found = joint.predict(problem.replace(l2_W=l2))
        return jnp.stack([found.value, jnp.sum(found.params.weights[0] ** 2)])

    at = jax.jit(lambda l2: jax.jvp(value_and_size, (l2,), (1.0,)))
    (value, size), slopes = at(0.02)
    differences = (at(0.02 + 1e-6)[0] - at(0.02 - 1e-6)[0]) / 2e-6
    np.testing.assert_allclose(slopes, differences, rtol=1e-7)
    np.testing.assert_allclose(slopes[0], 0.5 * size, rtol=1e-12)


@pytest.mark.parametrize(
    ("loss", "module", "words"), [("ce", joint, "same for all classes"), ("mse", squared_error, "treats classes alike")]
)
def test_unequal_classes_are_refused_and_so_are_traced_ones(loss, module, words):
    problem = mixup_problem(mixup_types(3, (0.3,), (1.0,)), 4, l2_W=0.02, l2_H=0.01, loss=loss)
    uneven = np.asarray(problem.multiplicity) * np.linspace(1, 2, 9)
    (*_, theorem), changed = module.THEOREMS, problem.replace(multiplicity=uneven, samples=1.0)
    (assumption,) = theorem.failing(changed)
    assert words in assumption.text
    with pytest.raises(ValueError, match="no theorem of the catalogue gives the minimum"):
        ufm.predict(changed)
    with pytest.raises(ValueError, match="no theorem of the catalogue gives the minimum"):  # what is traced decides nothing
        jax.eval_shape(lambda m: ufm.predict(problem.replace(multiplicity=m, samples=1.0)).value, problem.multiplicity)
    known = jax.jit(lambda l2: ufm.predict(problem.replace(l2_H=l2)).value)
    np.testing.assert_allclose(known(problem.l2_H), at_prediction(problem)[0].value, rtol=1e-13)


def test_targets_of_three_classes_are_outside():
    three = np.array([[0.6, 0.3, 0.1], [0.1, 0.6, 0.3], [0.3, 0.1, 0.6]])
    problem = Problem.from_targets(three, 3, loss="ce", l2_W=0.1, l2_H=0.1)
    _, theorem = joint.THEOREMS
    assert "at most two classes" in theorem.failing(problem)[0].text


def test_balanced_one_hot_classes_keep_their_sharper_theorems():
    for loss, module, sharper in (("ce", joint, "ce-one-layer"), ("mse", squared_error, "mse-balanced-deep")):
        plain = Problem.balanced(3, 1, 3, loss=loss, l2_W=0.02, l2_H=0.01)
        assert module.THEOREMS[-1].failing(plain) == []
        sharp, general = jax.jit(lambda p, module=module: (ufm.predict(p), module.predict(p)))(plain)
        assert sharp.theorem == sharper
        np.testing.assert_allclose(general.value, sharp.value, rtol=1e-13)


@pytest.mark.parametrize("tau", [0.05, 0.4, 0.5, 0.6])
def test_squared_error_shrinks_class_differences_and_the_mean_apart(tau):
    """alpha = 1: aa = 2/9 and bb = 1/3, so that the first vanish at tau = 0.471 and the second at 0.577."""
    mixture = mixup_types(3, *lambda_nodes(1.0, 2))
    found = assert_certified(mixup_problem(mixture, 4, loss="mse", l2_W=2 * tau, l2_H=tau / 2), "mixup-mse")
    differences, mean = max(1 - tau / np.sqrt(2 / 9), 0), max(1 - tau / np.sqrt(1 / 3), 0)
    J = np.full((3, 3), 1 / 3)
    np.testing.assert_allclose(found.logits, (differences * (np.eye(3) - J) + mean * J) @ mixture.targets, atol=1e-14)
    W, h = found.params.weights[0], np.asarray(found.params.H) / np.sqrt(mixture.probability)
    expected = 0.5 * (differences * np.sqrt(2 / 9) * (np.eye(3) - J) + mean * np.sqrt(1 / 3) * J)
    np.testing.assert_allclose(W @ W.T, expected, atol=1e-14)
    np.testing.assert_allclose(h, h[:, :3] @ mixture.targets, atol=1e-13)
    assert found.rank == 2 * (differences > 0) + (mean > 0)


def test_a_free_bias_takes_the_mean_of_squared_error_away():
    problem = mixup_problem(mixup_types(3, *lambda_nodes(1.0, 2)), 2, loss="mse", bias="free", l2_W=0.1, l2_H=0.1)
    found = assert_certified(problem, "mixup-mse")
    np.testing.assert_allclose(found.params.b, 1 / 3, rtol=1e-14)
    z = found.logits - 1 / 3
    np.testing.assert_allclose(z, (1 - 0.1 / np.sqrt(2 / 9)) * (np.asarray(problem.targets) - 1 / 3), atol=1e-14)


def test_enough_nodes_are_enough_and_a_quarter_of_them_are_not():
    """The average of |z|^2 over lambda by Gauss-Jacobi, against three times the nodes."""
    for kappa, alpha in ((30.0, 0.2), (30.0, 1.0), (3000.0, 0.2), (3000.0, 1.0)):
        R = enough_nodes(kappa)
        nodes = [lambda_nodes(alpha, count) for count in (R // 4, R, 3 * R)]
        lambdas, ends = np.concatenate([n[0] for n in nodes]), np.cumsum([n[0].size for n in nodes])
        x, y = lambert_logits(MixedSamples(3.0, np.pad(lambdas, (0, 750 - lambdas.size)), kappa))
        lengths = np.split(np.asarray(x**2 + y**2 - (x + y) ** 2 / 3), ends)[:3]
        few, enough, many = (w @ v for (_, w), v in zip(nodes, lengths, strict=True))
        assert abs(enough / many - 1) < 1e-8
        assert abs(few / many - 1) > 1e-7
