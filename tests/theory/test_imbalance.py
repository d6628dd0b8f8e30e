"""Class imbalance under cross-entropy: goldens, thresholds from both sides, certificates, and evidence that can fail."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ufm
from ufm.duality import certify
from ufm.frames import helmert
from ufm.problem import Problem
from ufm.problem.params import gradient_norm, objective
from ufm.search import grouped
from ufm.settings.long_tail import long_tail_problem
from ufm.theory.imbalance import layer_peeled, nonnegative, seli, thresholds, two_groups
from ufm.theory.imbalance.group_program import Groups, solve_groups
from ufm.theory.theorem import key_of


def scalars_of(problem):
    return jax.jit(two_groups.scalars_of)(two_groups.in_two_groups(problem))


groups = jax.jit(solve_groups)
critical_ratio = jax.jit(layer_peeled.predict_ratio)
predict = ufm.predict


def at_prediction(problem):
    """(prediction, f there, residual there, certificate there)."""
    found = ufm.predict(problem)
    return found, objective(problem, found.params), gradient_norm(problem, found.params), certify(problem, found.params)


def ce(counts, l2_W=1e-3, l2_H=1e-3, **choices):
    return long_tail_problem(counts, l2_W=l2_W, l2_H=l2_H, **choices)


def relu(counts, **choices):
    return ce(counts, features="nonnegative", **choices)


# two groups


def test_two_group_goldens():
    found = scalars_of(ce((50, 50, 50, 5, 5)))
    np.testing.assert_allclose(found.value, 0.129617000548352, rtol=1e-14)
    np.testing.assert_allclose([*found.x, *found.s], [5.66968585, 3.7564453, 1.27757657, 2.77702685], atol=1e-8)
    found = scalars_of(ce((50, 50, 50, 5, 5), 1.4e-2, 1.4e-2))
    np.testing.assert_allclose([*found.x, *found.s], [2.71282698, 0, 0.3376501, 0.79621444], atol=1e-8)
    assert found.x[1] == 0


@pytest.mark.parametrize(("counts", "bias"), [((50, 50, 50, 5, 5), "ridge"), ((50, 5, 5, 50, 50), "free"), ((90, 1), "none")])
def test_the_minimum_of_two_groups_is_critical_and_certified_at_any_ridge(counts, bias):
    l2_b = 0.01 if bias == "ridge" else 0.0
    for l2 in (1e-12, 1e-3, 1.4e-2, 0.2, 1e3):
        problem = ce(counts, l2, 2 * l2, bias=bias, l2_b=l2_b, scale=1.5, dim=len(counts) - 1)
        prediction, value, residual, certificate = at_prediction(problem)
        assert prediction.theorem == "two-group-ce"
        np.testing.assert_allclose(value, prediction.value, rtol=1e-12)
        assert residual < 1e-13 * max(1, l2)
        assert 0 <= certificate.gap < 1e-12


def test_rare_classes_merge_exactly_at_the_threshold():
    critical = 5**0.5 / 160
    below, above = (scalars_of(ce((50, 50, 50, 5, 5), critical * f, critical * f)) for f in (1 - 1e-9, 1 + 1e-9))
    assert below.x[1] > 1e-10 and above.x[1] == 0
    np.testing.assert_allclose(below.value, above.value, rtol=1e-8)


def test_two_groups_become_one_where_their_sizes_meet():
    classes, n = jnp.array([3.0, 2.0]), jnp.array([10.0, 10.0])
    found = groups(Groups(classes, classes / 5, 2e-3 * jnp.sqrt(n)))
    balanced = predict(Problem.balanced(5, 10, 5, loss="ce", l2_W=2e-3, l2_H=2e-3))
    np.testing.assert_allclose(found.value, balanced.value, rtol=1e-14)
    margin = np.log(1 / (2e-3 * 10**0.5) - 4)
    np.testing.assert_allclose([*found.x, 3 * found.s[0], 2 * found.s[1]], margin, rtol=1e-13)


def test_a_free_bias_balances_the_mass_between_the_groups():
    problem = ce((50, 50, 50, 5, 5), bias="free")
    p = np.exp(predict(problem).logits)
    p = p / p.sum(axis=0)
    np.testing.assert_allclose(150 * p[3:, 0].sum(), 10 * p[:3, 3].sum(), rtol=1e-11)


def test_derivatives_pass_through_the_program():
    problem = two_groups.in_two_groups(ce((50, 50, 50, 5, 5)))

    def value_and_size(l2):
        found = two_groups.predict(problem.replace(l2_H=l2))
        return jnp.stack([found.value, jnp.sum(found.params.H**2), found.logits[0, 3]])

    slopes = jax.jit(jax.jacfwd(value_and_size))(problem.l2_H)
    values = jax.jit(jax.vmap(value_and_size))(problem.l2_H * jnp.array([1 - 1e-5, 1, 1 + 1e-5]))
    np.testing.assert_allclose(slopes, (values[2] - values[0]) / (2e-5 * problem.l2_H), rtol=1e-7)
    np.testing.assert_allclose(slopes[0], 0.5 * values[1, 1], rtol=1e-11)


def test_a_thousand_classes_keep_their_accuracy():
    found = groups(Groups(jnp.array([500.0, 500.0]), jnp.array([0.99, 0.01]), jnp.array([1e-8, 1e-9])))
    assert np.all(np.isfinite(jax.tree.leaves(found)[0])) and 0 < found.value < 1e-3
    single = jax.tree.map(lambda x: x.astype(jnp.float32), ce((30, 2)))
    prediction = jax.jit(two_groups.predict)(two_groups.in_two_groups(single))
    assert prediction.value.dtype == jnp.float32
    np.testing.assert_allclose(prediction.value, predict(ce((30, 2))).value, rtol=1e-6)


def test_other_class_sizes_are_outside_and_traced_ones_unless_their_groups_are_known():
    problem = ce((50, 10, 5))
    assert [a.text for a in two_groups.THEOREMS[0].failing(problem)] == ["one-hot classes of exactly two sizes"]
    with pytest.raises(ValueError, match="no theorem of the catalogue gives the minimum"):
        ufm.predict(problem)
    sizes = jnp.array([5.0, 50.0, 5.0])
    with pytest.raises(ValueError, match="no theorem of the catalogue gives the minimum"):
        jax.eval_shape(lambda n: ufm.predict(problem.replace(multiplicity=n)).value, sizes)
    grouped = ufm.Problem.grouped((2, 1), (5.0, 50.0), 5, loss="ce", l2_W=problem.l2_W, l2_H=problem.l2_H)
    of_groups = jax.jit(lambda n: ufm.predict(grouped.replace(design=dataclasses.replace(grouped.design, sizes=n))).value)
    direct = ufm.predict(problem.replace(multiplicity=sizes)).value
    np.testing.assert_allclose(of_groups(jnp.array([5.0, 50.0])), direct, rtol=1e-13)
    even = ufm.predict(problem.replace(multiplicity=5.0)).value  # where the sizes meet, one theorem becomes the other
    np.testing.assert_allclose(of_groups(jnp.array([5.0, 5.0])), even, rtol=1e-12)


# thresholds


@pytest.mark.parametrize("critical", [2.0, 4.999, 5.001, 49.0, 60.0])
def test_probabilities_inside_groups_are_those_of_the_two_group_program(critical):
    l2 = critical**0.5 / 160
    problem = ce((50, 50, 50, 5, 5), l2, l2)
    p = np.exp(predict(problem).logits)
    p = p / p.sum(axis=0)
    gaps = jax.jit(thresholds.predict_gaps)(problem)
    np.testing.assert_allclose([gaps[0, 1], gaps[3, 4]], [p[0, 0] - p[1, 0], p[3, 3] - p[4, 3]], atol=1e-12)
    assert gaps[0, 3] == 0 and (gaps[3, 4] == 0) == (critical > 5)


def test_total_collapse_of_two_groups_has_three_eigenvalues():
    for K_A, K_B, n_A, n_B in ((3, 2, 50, 5), (1, 3, 50, 5), (1, 1, 9, 4)):
        counts = jnp.asarray([float(n_A)] * K_A + [float(n_B)] * K_B)
        mixed = (K_B * n_A + K_A * n_B) / (K_A + K_B)
        expected = max([mixed] + [n_A] * (K_A > 1) + [n_B] * (K_B > 1))
        np.testing.assert_allclose(thresholds.largest_eigenvalue(counts, "none"), expected, rtol=1e-14)
        for factor, alive in ((0.99999, True), (1.00001, False)):
            sizes = jnp.array([float(n_A), float(n_B)])
            classes = jnp.array([float(K_A), float(K_B)])
            price = jnp.sqrt(expected * factor * sizes) / jnp.sum(classes * sizes)
            found = groups(Groups(classes, classes * sizes / jnp.sum(classes * sizes), price))
            assert (found.price > 0) == alive


# non-negative features


def test_nonnegative_goldens():
    found = predict(relu((40, 10, 2)))
    assert found.theorem == "relu-imbalance"
    np.testing.assert_allclose(found.value, 0.056034686138491, rtol=1e-13)
    np.testing.assert_allclose(jnp.diag(found.logits) * 1.5, [5.69009522, 4.99016655, 4.16848278], atol=1e-8)
    squares = jnp.sum(found.params.H**2, axis=0) / jnp.array([40, 10, 2])
    np.testing.assert_allclose(squares, [0.73458813, 1.28845546, 2.40667465], atol=1e-8)


@pytest.mark.parametrize("counts", [(9, 1), (30, 30, 7, 1, 1)])
def test_the_nonnegative_minimum_meets_its_conditions_and_is_certified(counts):
    for l2 in (1e-12, 1e-3, 2e-2, 1e3):
        problem = relu(counts, l2_W=l2, l2_H=3 * l2, scale=0.7, dim=len(counts) + 1)
        found, value, residual, certificate = at_prediction(problem)
        np.testing.assert_allclose(value, found.value, rtol=1e-12)
        assert residual < 1e-13 * max(1, l2)
        assert 0 <= certificate.gap < 1e-12
        assert found.rank == np.linalg.matrix_rank(found.logits, tol=1e-9)


def test_a_class_vanishes_exactly_at_its_critical_size():
    # n = 10 of N = 52, K = 3: N^2 l2_W l2_H 3/2 = 10
    critical = (10 / 1.5) ** 0.5 / 52
    for factor, alive in ((1 - 1e-9, True), (1 + 1e-9, False)):
        found = predict(relu((40, 10, 2), l2_W=critical * factor, l2_H=critical * factor))
        assert found.alive.tolist() == [True, alive, False]
        np.testing.assert_allclose(found.logits[:, 2], 0, atol=1e-15)


def test_the_published_margins_ignore_the_ridge_of_the_features():
    for l2_H, agree in ((2.5e-4, True), (1e-3, False), (1e-4, False)):
        problem = relu((20, 10, 6, 4), l2_H=l2_H)
        published, own = nonnegative.published_margins(problem), nonnegative.margins(problem)
        np.testing.assert_allclose(published, [6.648, 6.300, 6.043, 5.839], atol=5e-4)
        assert np.allclose(published, own, rtol=1e-12) == agree


def test_every_counterexample_is_below_the_published_margins_and_no_point_below_the_prediction():
    _, theorem = nonnegative.THEOREMS
    for case in theorem.cases().values():
        lower = theorem.measure(case, jax.random.key(0)).lower
        assert lower < 0.99 * jax.jit(theorem.predict)(case).value
        assert predict(case.problem).value <= lower * (1 + 1e-12)


# the layer-peeled model


@pytest.mark.parametrize(
    ("model", "ratio", "digits"),
    [
        ((3, 3, 5), 23.9797664, 1e-8), ((5, 5, 5), 12.1924471, 1e-8), ((5, 5, 10), 81.1022061, 1e-8), ((5, 5, 2), 2.8945666, 1e-8),
        ((3, 7, 5), 245.4969, 3e-7), ((7, 3, 5), 4.0004667, 1e-7), ((2, 3, 2), 11.14, 1e-3), ((1, 3, 3), 694.325, 1e-6),
    ],
)  # fmt: skip
def test_critical_ratio_goldens(model, ratio, digits):
    frequent, rare, bound = model
    np.testing.assert_allclose(critical_ratio(layer_peeled._model(frequent, rare, 1.0, bound)), ratio, rtol=digits)


def test_rare_classes_of_the_peeled_model_merge_from_the_critical_ratio_on():
    solve = jax.jit(layer_peeled.solve_peeled)
    R0 = critical_ratio(layer_peeled._model(3, 3, 1.0, 5.0))
    for factor, merged in ((0.99, False), (1.01, True), (100.0, True)):
        model = layer_peeled._model(3, 3, float(R0) * factor, 5.0)
        assert (solve(model).x[1] == 0) == merged
    balanced = solve(layer_peeled._model(3, 3, 1.0, 5.0))
    margin = 6 * 5**0.5 / 5
    np.testing.assert_allclose([*balanced.x, *(3 * balanced.s)], margin, rtol=1e-12)
    np.testing.assert_allclose(balanced.loss, np.log1p(5 * np.exp(-margin)), rtol=1e-12)


# SELI


def test_seli_goldens():
    found = seli.predict(jnp.array([50.0, 50, 50, 5, 5]))
    entries = [found["classifier"][i, j] for i, j in ((0, 0), (0, 1), (0, 3), (3, 3), (3, 4))]
    golden = [5.353489411019, -1.717578400847, -0.959166304663, 2.556783445744, 0.320715468244]
    np.testing.assert_allclose(entries, golden, atol=1e-11)
    entries = [found["features"][i, j] for i, j in ((0, 0), (0, 3), (3, 3), (3, 4))]
    golden = [0.122082826032, -0.041702882811, 0.286161121967, -0.161052473533]
    np.testing.assert_allclose(entries, golden, atol=1e-11)


def test_seli_of_a_step_in_closed_form():
    found = seli.predict(jnp.array([50.0, 50, 50, 5, 5]))
    mean = (2 * 50 + 3 * 5) / 5
    np.testing.assert_allclose(found["classifier"][0, 0], 50**0.5 * (2 / 3) + mean**0.5 * 2 / 15, rtol=1e-12)
    np.testing.assert_allclose(found["features"][3, 4], -1 / (2 * 5**0.5) + 3 / (10 * mean**0.5), rtol=1e-12)


def test_cross_entropy_approaches_seli_like_a_logarithm():
    deviations = []
    for l2 in (1e-3, 1e-5, 1e-8, 1e-11):
        found = scalars_of(ce((50, 50, 50, 5, 5), l2, l2))
        margins = np.array([found.x[0], 3 * found.s[0], found.x[1], 2 * found.s[1]])
        deviations.append(np.max(np.abs(margins / margins.mean() - 1)))
    np.testing.assert_allclose(deviations, [0.205, 0.119, 0.078, 0.058], atol=6e-4)


# many sizes


def test_the_reduction_to_class_sizes_finds_the_minimum_of_all_classes():
    counts = (40, 7, 7, 40, 7, 2)
    problem = ce(counts, 2e-3, 8e-3, scale=1.3, dim=8)
    run = grouped.solve_grouped(problem, jax.random.key(1))
    assert run.status == 0
    assert 0 <= certify(problem, run.params).relative_gap < 1e-8


def test_the_reduction_refuses_other_problems():
    for problem, words in (
        (ce((4, 2), bias="free"), "free features and no bias"),
        (relu((4, 2)), "free features and no bias"),
        (ce((4, 2, 2), dim=2), "a width of at least K"),
        (Problem.imbalanced((4, 2), 4, loss="ce", l2_W=0.1, l2_H=0.1), "one column for each class"),
    ):
        with pytest.raises(ValueError, match=words):
            grouped.solve_grouped(problem, jax.random.key(0))


# evidence


@pytest.mark.parametrize(
    ("module", "index", "label", "change"),
    [
        (thresholds, 0, "(40, 7, 7, 2) N^2 l2_W l2_H=3.0", lambda gaps: gaps * 1.001),
        (thresholds, 1, "(40, 7, 7, 2) N^2 l2_W l2_H=0.999 of it", lambda ratio: ratio * 0.999),
        (layer_peeled, 0, "K_A=2 K_B=2 R=5 E_W E_H=1", lambda p: p | {"loss": p["loss"] * 1.001}),
        (layer_peeled, 1, "K_A=2 K_B=2 E_W E_H=1", lambda ratio: ratio * 1.001),
        (seli, 0, "(50, 50, 5, 5)", lambda p: p | {"features": p["features"] * 1.001}),
    ],
)
def test_what_is_predicted_is_what_is_measured_and_a_thousandth_more_is_not(module, index, label, change):
    theorem = module.THEOREMS[index]
    case = theorem.cases()[label]
    assert theorem.failing(case) == []
    predicted = jax.jit(theorem.predict)(case)
    measured = theorem.measure(case, key_of(0, theorem.id, label))
    assert [check for check in theorem.evidence(case, predicted, measured) if not check.passed] == []
    assert [check for check in theorem.evidence(case, change(predicted), measured) if not check.passed]


def test_the_basis_of_two_groups_is_orthonormal_and_respects_them():
    for K_A in (1, 2, 4):
        basis = np.asarray(two_groups._grouped_basis(5, K_A, jnp.float64))
        np.testing.assert_allclose(basis.T @ basis, np.eye(4), atol=1e-15)
        np.testing.assert_allclose(basis.sum(axis=0), 0, atol=1e-15)
        assert np.all(basis[K_A:, : K_A - 1] == 0) and np.all(basis[:K_A, K_A:] == 0)
        np.testing.assert_allclose(basis[:K_A, : K_A - 1], np.asarray(helmert(K_A)) if K_A > 1 else np.zeros((1, 0)), atol=1e-15)
