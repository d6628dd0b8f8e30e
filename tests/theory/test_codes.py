"""Codes on the sphere and labels that come in sets: goldens, thresholds, designs, refusals, and what must fail."""

import dataclasses
from itertools import combinations, product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import brentq

import ufm
from ufm.duality import certify
from ufm.frames import simplex_etf
from ufm.problem.params import gradient_norm, objective
from ufm.settings.multilabel import label_set_problem, multi_label_problem
from ufm.theory.codes import hull_duality, multi_label, softmax_codes, supcon
from ufm.theory.registry import catalogue
from ufm.theory.theorem import key_of

MODULES = (hull_duality, multi_label, softmax_codes, supcon)
FANO = ((0, 1, 2), (0, 3, 4), (0, 5, 6), (1, 3, 5), (1, 4, 6), (2, 3, 6), (2, 4, 5))

predict_sets = jax.jit(multi_label.predict)


@jax.jit
def at(problem, params):
    """(f, |grad f|) at a point."""
    return objective(problem, params), gradient_norm(problem, params)


def measured(module, label):
    (theorem,) = module.THEOREMS
    case = theorem.cases()[label]
    return theorem, case, jax.jit(theorem.predict)(case), theorem.measure(case, key_of(0, theorem.id, label))


@pytest.mark.parametrize(
    ("module", "label"), [(supcon, "K=4 n=2 d=3 T=0.5"), (hull_duality, "two vectors inside the hull")]
)
def test_what_is_predicted_is_what_is_measured_and_a_thousandth_off_is_not(module, label):
    theorem, case, predicted, found = measured(module, label)
    assert [check for check in theorem.evidence(case, predicted, found) if not check.passed] == []
    off = jax.tree.map(lambda x: 1.001 * x, predicted)
    assert not all(check.passed for check in theorem.evidence(case, off, found))


def test_every_case_and_every_drawn_case_meets_the_assumptions():
    for module in MODULES:
        (theorem,) = module.THEOREMS
        drawn = [theorem.draw(np.random.default_rng(0))] if theorem.draw else []
        for case in [*theorem.cases().values(), *drawn]:
            assert theorem.failing(case) == []


@pytest.mark.parametrize(("K", "n", "T"), [(2, 2, 0.3), (3, 4, 1.0), (10, 3, 0.1)])
def test_the_contrastive_minimum_is_the_loss_at_the_simplex_by_its_definition(K, n, T):
    cosines = np.repeat(np.repeat(np.asarray(simplex_etf(K).gram), n, axis=0), n, axis=1)
    labels = np.repeat(np.arange(K), n)
    total = 0.0
    for i, j in product(range(K * n), repeat=2):
        if i != j and labels[i] == labels[j]:
            others = np.exp(np.delete(cosines[i], i) / T).sum()
            total -= np.log(np.exp(cosines[i, j] / T) / others) / (n - 1) / (K * n)
    batch = supcon.batch(K, n, K - 1, T)
    np.testing.assert_allclose(jax.jit(supcon.predict)(batch)["value"], total, rtol=1e-12)


def test_batches_that_say_nothing_are_refused():
    with pytest.raises(ValueError, match="per_class must be at least 2: a sample that is alone in its class has no positives"):
        supcon.batch(3, 1, 3, 0.5)
    with pytest.raises(ValueError, match="dim must be a whole number of at least 2, got 1"):
        supcon.batch(3, 2, 1, 0.5)
    with pytest.raises(ValueError, match="temperature must be finite and above 0"):
        supcon.batch(3, 2, 2, 0.0)


@pytest.mark.parametrize(
    ("K", "d", "distance"), [(2, 7, 2), (3, 2, 1.5), (6, 2, 0.5), (9, 8, 9 / 8), (10, 8, 1), (16, 8, 1), (100, 2, 0.00197327)]
)
def test_the_largest_one_vs_rest_distances(K, d, distance):
    np.testing.assert_allclose(softmax_codes.predict(softmax_codes.code(K, d)), distance, rtol=1e-6)


def test_codes_without_a_known_distance_are_refused():
    with pytest.raises(ValueError, match="vectors must be at most 2 d = 6 in d = 3 dimensions"):
        softmax_codes.code(7, 3)


def test_no_code_exceeds_the_distance_that_is_predicted():
    (theorem,) = softmax_codes.THEOREMS
    case = softmax_codes.code(5, 3)
    passed = [check.passed for check in theorem.evidence(case, jnp.asarray(1.0), np.array([[0.999, 1.001]]))]
    assert passed == [False, False]


def test_multi_label_goldens():
    """K=4, {1: 2, 2: 1}, tau=1e-3: g_1=6.295665931672, g_2=5.703490650624."""
    z = np.asarray(predict_sets(multi_label_problem(4, {1: 2, 2: 1}, 4, l2_W=1e-3, l2_H=1e-3)).logits)
    np.testing.assert_allclose([z[0, 0] - z[1, 0], z[0, 4] - z[3, 4]], [6.295665931672, 5.703490650624], rtol=1e-12)


@pytest.mark.parametrize(
    ("samples", "width", "bias"), [({1: 2, 2: 1}, 4, "none"), ({1: 5, 2: 1}, 3, "ridge")]
)
def test_the_predicted_minimiser_is_critical_certified_and_scaled_by_the_number_of_labels(samples, width, bias):
    l2_b = 0.05 if bias == "ridge" else 0.0
    problem = multi_label_problem(4, samples, width, l2_W=4e-3, l2_H=1e-3, bias=bias, l2_b=l2_b)
    found = predict_sets(problem)
    value, gradient = at(problem, found.params)
    np.testing.assert_allclose(value, found.value, rtol=1e-13)
    assert gradient < 1e-14 and 0 <= certify(problem, found.params).relative_gap < 1e-12
    W, h = np.asarray(found.params.weights[0]), np.asarray(found.params.H) / np.sqrt(np.asarray(problem.multiplicity))
    sets = [S for m in samples for S in combinations(range(4), m)]
    scales = np.array([h[:, i] @ W[list(S)].sum(axis=0) / np.sum(W[list(S)].sum(axis=0) ** 2) for i, S in enumerate(sets)])
    np.testing.assert_allclose(h, np.stack([t * W[list(S)].sum(axis=0) for t, S in zip(scales, sets, strict=True)], 1), atol=1e-13)
    for m in samples:
        np.testing.assert_allclose(scales[[len(S) == m for S in sets]], scales[[len(S) for S in sets].index(m)], rtol=1e-12)


def test_the_scalar_equation_is_solved_by_another_root_finder():
    K, samples, tau = 5, {1: 3, 2: 2, 4: 1}, 2e-3
    problem = multi_label_problem(K, samples, 5, l2_W=tau, l2_H=tau)
    sizes = {1: 5, 2: 10, 4: 5}
    N = sum(n * sizes[m] for m, n in samples.items())
    pairs = {1: 1, 2: 3, 4: 1}  # C(K-2, m-1)

    def g(m, s):
        return brentq(lambda g: g * (m * np.exp(g) + K - m) - K * s / (N * tau), 0, 100, xtol=1e-15, rtol=1e-15)

    s = brentq(lambda s: s**2 - sum(g(m, s) ** 2 * n * pairs[m] for m, n in samples.items()), 1e-3, 1e3, rtol=1e-14)
    found = predict_sets(problem)
    z = np.asarray(found.logits)
    np.testing.assert_allclose([z[0, 0] - z[1, 0], z[0, 5] - z[4, 5], z[0, 15] - z[4, 15]], [g(m, s) for m in samples], rtol=1e-12)
    W = np.asarray(found.params.weights[0])
    np.testing.assert_allclose(W @ W.T, s * (np.eye(K) - 1 / K), atol=1e-12 * s)


def test_multi_label_models_collapse_exactly_at_the_threshold():
    """sqrt(sum_m n_m C(K-2, m-1)) = N tau."""
    threshold = np.sqrt(3 * 1 + 2 * 2) / (4 * 3 + 6 * 2)
    for side, rank in ((1 - 1e-6, 3), (1 + 1e-6, 0)):
        problem = multi_label_problem(4, {1: 3, 2: 2}, 4, l2_W=side * threshold, l2_H=side * threshold)
        found = predict_sets(problem)
        assert found.rank == rank
        np.testing.assert_allclose(found.value, np.log(4) * (4 * 3 + 2 * 6 * 2) / (4 * 3 + 6 * 2), rtol=1e-9)


def test_the_lines_of_the_fano_plane_will_do_for_all_triples_of_seven_labels():
    problem = label_set_problem(7, {S: 5 for S in FANO}, 6, l2_W=1e-2, l2_H=1e-2)
    found = predict_sets(problem)
    assert found.rank == 6 and 0 <= certify(problem, found.params).relative_gap < 1e-12
    assert catalogue()["multi-label-pal"].failing(problem) == []


def test_label_sets_of_several_sizes_are_served_by_this_theorem_alone():
    for classes, samples in ((4, {1: 2, 2: 1}), (3, {1: 1, 2: 5})):
        problem = multi_label_problem(classes, samples, classes, l2_W=1e-2, l2_H=1e-2)
        theorems = [theorem for theorem in catalogue().values() if theorem.minimiser]
        assert [theorem.id for theorem in theorems if not theorem.failing(problem)] == ["multi-label-pal"]


def test_unequal_frequencies_within_a_number_of_labels_are_outside_the_theorem():
    samples = {(k,): 2 for k in range(4)} | {S: 1 for S in combinations(range(4), 2)}
    ridges = {"l2_W": 1e-2, "l2_H": 1e-2}
    theorem = catalogue()["multi-label-pal"]
    assert theorem.failing(label_set_problem(4, samples, 4, **ridges)) == []
    uneven = label_set_problem(4, samples | {(0, 1): 5}, 4, **ridges)
    (assumption,) = theorem.failing(uneven)
    assert "pairs of labels" in assumption.text
    (assumption,) = theorem.failing(label_set_problem(4, samples, 4, **ridges).replace(weight=1.0))
    with pytest.raises(ValueError, match="no theorem of the catalogue"):  # numbers that are traced decide nothing
        jax.eval_shape(ufm.predict, label_set_problem(4, samples, 4, **ridges))


def test_derivatives_of_the_multi_label_minimum_pass_through_its_root():
    problem = multi_label_problem(4, {1: 2, 2: 1}, 4, l2_W=1e-2, l2_H=1e-2)

    def value_and_size(found):
        return jnp.stack([found.value, jnp.sum(found.params.H**2)])

    l2 = problem.l2_H
    size, slopes = jax.jit(
        lambda l2: jax.jvp(lambda l2: value_and_size(multi_label.predict(dataclasses.replace(problem, l2_H=l2))), (l2,), (1.0,))
    )(l2)
    above, below = (value_and_size(predict_sets(dataclasses.replace(problem, l2_H=l2 * (1 + e)))) for e in (1e-5, -1e-5))
    np.testing.assert_allclose(slopes, (above - below) / (2e-5 * l2), rtol=1e-7)
    np.testing.assert_allclose(slopes[0], 0.5 * size[1], rtol=1e-12)


@pytest.mark.parametrize("l2", [1e-12, 1e-6, 1e3])
def test_multi_label_minima_are_finite_at_tiny_and_huge_ridges(l2):
    problem = multi_label_problem(4, {1: 1, 2: 3}, 4, l2_W=l2, l2_H=l2)
    found = predict_sets(problem)
    floor = 18 * 2 * np.log(2) / 22
    assert floor < found.value <= (4 * np.log(4) + 18 * 2 * np.log(4)) / 22 * (1 + 1e-12)
    np.testing.assert_allclose(at(problem, found.params)[0], found.value, rtol=1e-12)


def test_margins_over_the_sphere_fall_short_of_the_distance_inside_a_hull():
    """Why the duality is about the ball: inside a hull no unit feature has a margin of zero."""
    code = hull_duality.cases()["two vectors inside the hull"]
    directions = np.random.default_rng(0).normal(size=(3, 20000))
    directions /= np.linalg.norm(directions, axis=0)
    margins = ((code[:, [5]] - np.delete(code, 5, axis=1)).T @ directions).min(axis=0)
    assert np.asarray(hull_duality.predict(code)["distances"])[5] == 0 and margins.max() < -0.1
