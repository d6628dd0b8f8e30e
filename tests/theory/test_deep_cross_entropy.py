"""Deep linear cross-entropy: the simplex branch, its stability, its competitors. Goldens are independent searches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy
from scipy.optimize import brentq

from ufm.problem import Problem
from ufm.problem.params import gradient_norm, objective
from ufm.search.solution import solve
from ufm.theory.cross_entropy import best_known, etf_branch, etf_stability, families, refuted

TIES = {
    3: (0.1858377342, 0.1518655044, 0.1313149075),
    4: (0.1482756537, 0.1235253173, 0.1078243652),
    5: (0.1241465577, 0.1048867108, 0.0921937066),
    6: (0.1072072427, 0.0915716671, 0.0809299863),
    7: (0.0945982875, 0.0815236467, 0.0723714626),
    8: (0.0848136239, 0.0736383787, 0.0656171831),
}
BEST = {  # (K, M): values at c/c_tie = 1, 0.5, 0.1, 0.01, 1e-4
    (3, 2): (1.0800665, 0.665400206, 0.173919853, 0.0222189666, 0.000303914793),
    (4, 2): (1.3230823, 0.806211517, 0.213579377, 0.0271154021, 0.000368138117),
    (4, 3): (1.24181011, 0.702083815, 0.169478849, 0.0202288928, 0.000254128733),
    (5, 2): (1.50979512, 0.925934331, 0.239989069, 0.0305311577, 0.000414822474),
    (5, 4): (1.2621908, 0.692685675, 0.160054036, 0.0183496706, 0.00021917044),
    (6, 3): (1.48450879, 0.841492439, 0.198449722, 0.0233178251, 0.00028903347),
    (8, 2): (1.85747807, 1.09626798, 0.2750345, 0.0342124688, 0.000457431237),
}
BEST_FREE_BIAS = {
    (3, 2): (1.07081301, 0.665400206, 0.173919853, 0.0222189666, 0.000303914793),
    (3, 3): (0.999563191, 0.583443139, 0.143549539, 0.0172849675, 0.000218602605),
    (6, 3): (1.43583375, 0.810427041, 0.19499567, 0.0232882344, 0.00028903347),
}
RATIOS = (1.0, 0.5, 0.1, 0.01, 1e-4)


def deep(classes, depth, c, bias="none", n=1, **changes):
    return Problem.balanced(
        classes, n, (classes,) * depth, loss="ce", bias=bias, **({"l2_W": c, "l2_H": c} | changes)
    ).collapsed()


simplex_or_zero = jax.jit(etf_branch.etf_prediction)
lowest_known = jax.jit(best_known.predict_best_known)


def test_ties_of_the_branch_with_zero():
    for classes, ties in TIES.items():
        for depth, expected in zip((2, 3, 4), ties, strict=True):
            assert etf_branch.tie(classes, depth) == pytest.approx(expected, abs=6e-11)


def test_the_branch_falls_below_zero_at_the_tie():
    below, above = (simplex_or_zero(deep(4, 2, ratio * etf_branch.tie(4, 2))) for ratio in (0.9999, 1.0001))
    assert float(below.value) == pytest.approx(np.log(4), rel=1e-4) and float(below.value) < np.log(4)
    assert int(below.rank) == 3
    assert float(above.value) == np.log(4) and int(above.rank) == 0


def test_the_margin_solves_its_equation_in_another_solver():
    for classes, depth, s in ((3, 2, 0.05), (10, 3, 1e-4), (100, 2, 1e-8), (4, 6, 1e-12)):
        p = (depth - 1) / (depth + 1)
        root = brentq(lambda a: p * np.log(a) - np.log(np.exp(a) + classes - 1) - np.log(s), 3, 100, xtol=1e-14)  # noqa: B023
        assert float(etf_branch.margin(jnp.asarray(s), classes, depth)) == pytest.approx(root, rel=1e-13)
        assert etf_branch.strength_at(root, classes, depth) == pytest.approx(s, rel=1e-12)


def test_beyond_the_branch_only_zero_is_left():
    end = etf_branch.strength_at(etf_branch.peak(4, 2), 4, 2)
    for s in (1.0001 * end, 3 * end, 1e3):
        prediction = simplex_or_zero(deep(4, 2, s))
        assert float(prediction.value) == np.log(4) and not np.any(np.asarray(prediction.singular_values))


def test_the_margin_at_a_ridge_of_five_hundredths_is_3_28593():
    assert float(etf_branch.margin(jnp.asarray(0.05), 4, 2)) == pytest.approx(3.28593, abs=5e-6)


def test_low_rank_points_lie_below_the_simplex():
    expected = {
        "K=4 M=2 l2=0.05, two pairs": (0.603658986, 0.591067988),
        "K=4 M=3 l2=0.01, two pairs": (0.152877278, 0.139898751),
        "K=6 M=2 l2=0.001, three pairs": (0.031490144, 0.029568473),
        "K=3 M=3 l2=0.1 free bias, a line": (0.783317618, 0.729605483),
        "K=3 M=2 l2=0.18, one pair": (1.076459073, 1.066522558),
    }
    assert refuted.counterexamples().keys() == expected.keys()
    for label, case in refuted.counterexamples().items():
        claimed, lower = expected[label]
        claim, measured = jax.jit(refuted.predict_claim)(case), refuted.measure_competitor(case, jax.random.key(0))
        assert float(claim.value) == pytest.approx(claimed, abs=1e-9) == float(measured.claimed)
        assert float(measured.lower) == pytest.approx(lower, abs=1e-9)
        checks = refuted.THEOREMS[0].evidence(case, claim, measured)
        assert [check.name for check in checks if check.exceeded] == ["below bound"] and all(check.error >= 0 for check in checks)


def test_the_simplex_loses_stability_where_its_margin_is_k_times_m_minus_1_over_m_plus_1():
    ratios = {(4, 2): 1.093, (5, 2): 1.028, (5, 3): 0.932, (6, 2): 0.949, (6, 3): 0.754, (8, 3): 0.441, (20, 2): 0.0594}
    for (classes, depth), ratio in ratios.items():
        s = etf_branch.stable_up_to(classes, depth)
        assert s / etf_branch.tie(classes, depth) == pytest.approx(ratio, abs=6e-4)
        expected = classes * (depth - 1) / (depth + 1)
        assert float(etf_branch.margin(jnp.asarray(s), classes, depth)) == pytest.approx(expected, rel=1e-10)
    assert etf_branch.stable_up_to(10, 2) == pytest.approx(0.0403385, abs=5e-8)
    assert etf_branch.stable_up_to(10, 3) == pytest.approx(0.0142051, abs=5e-8)
    assert etf_branch.stable_up_to(100, 2) == pytest.approx(1.07e-14, rel=5e-3)


def test_exactly_two_directions_turn_for_four_classes():
    for ratio, expected in ((0.999, 0), (1.001, 2)):
        problem = deep(4, 2, ratio * etf_branch.stable_up_to(4, 2))
        measured = etf_stability.found_stability(problem)
        assert int(measured["negative_directions"]) == expected
        predicted = etf_stability.predict_stability(problem)
        assert int(predicted["negative_directions"]) == expected
        assert float(measured["eigenvalue"]) == pytest.approx(float(predicted["eigenvalue"]), abs=1e-10)


@pytest.mark.parametrize(("classes", "depth", "count"), [(4, 2, 5), (5, 2, 9), (6, 3, 14), (8, 3, 27)])
def test_k_minus_1_more_directions_turn_close_to_the_end_of_the_branch(classes, depth, count):
    first, second = classes * (classes - 3) // 2, etf_stability.second_margin(classes, depth)
    assert count == first + classes - 1
    for a, expected in ((1.03 * etf_branch.peak(classes, depth), count), (0.998 * second, count), (1.002 * second, first)):
        problem = etf_stability.at_margin(a, classes, depth)
        for found in (etf_stability.predict_stability(problem), etf_stability.found_stability(problem)):
            assert int(found["negative_directions"]) == expected


def test_the_second_threshold_lies_between_the_end_of_the_branch_and_the_first():
    for classes in (4, 5, 7, 20, 100):
        for depth in (2, 3, 6):
            end, first = etf_branch.peak(classes, depth), classes * (depth - 1) / (depth + 1)
            free, ridge, none = (etf_stability.second_margin(classes, depth, bias) for bias in ("free", "ridge", "none"))
            assert end < none < ridge < free < first


@pytest.mark.parametrize("classes", sorted({classes for classes, _ in BEST}))
def test_the_best_code_reproduces_the_lowest_value_of_the_search(classes):
    check_lowest_values(BEST, classes, free_bias=False)


@pytest.mark.parametrize("classes", sorted({classes for classes, _ in BEST_FREE_BIAS}))
def test_with_a_free_bias_a_ring_around_a_class_reproduces_the_lowest_value_of_the_search(classes):
    check_lowest_values(BEST_FREE_BIAS, classes, free_bias=True)


def check_lowest_values(table, classes, free_bias):
    _, codes = families.named_codes(classes, free_bias)
    for depth in {M for K, M in table if classes == K}:
        for ratio, value in zip(RATIOS, table[classes, depth], strict=True):
            s = jnp.asarray(ratio * etf_branch.tie(classes, depth))
            assert float(jnp.min(families.minimise_codes(codes, s, depth).values)) == pytest.approx(value, rel=4e-9)


def best_code(classes, depth, s):
    """The name of the lowest code at strength s = c n^(1/(M+1)), or "zero"."""
    names, codes = families.named_codes(classes)
    values = np.asarray(families.minimise_codes(codes, jnp.asarray(s), depth).values)
    return names[int(np.argmax(values <= values.min() * (1 + 1e-14)))] if values.min() < np.log(classes) else "zero"


def test_three_classes_change_from_a_pair_to_the_simplex_at_0_9335_of_the_tie():
    tie = etf_branch.tie(3, 2)
    names = [best_code(3, 2, r * tie) for r in (0.93352344, 0.93352346, 1.2)]
    assert names == ["simplices 3", "simplices 2, 1 at zero", "zero"]


def test_four_classes_change_from_a_square_to_the_simplex_at_0_0793_of_the_tie():
    names = [best_code(4, 2, s) for s in (0.011760498, 0.0117604982)]
    assert names == ["simplices 4", "simplices 2+2"]


@pytest.mark.parametrize("depth, ratio", ((2, 1.08), (3, 1.155), (4, 1.2)))
def test_four_classes_are_two_unequal_pairs_on_a_line_where_zero_has_just_lost(depth, ratio):
    s = ratio * etf_branch.tie(4, depth)

    def line(x):
        u, v = (np.array([a, -a, b, -b]) for a, b in (x[:2], x[2:]))
        z = np.outer(u, v)
        cost = s * (depth + 1) / 2 * (np.linalg.norm(u) * np.linalg.norm(v)) ** (2 / (depth + 1))
        return np.mean(scipy.special.logsumexp(z, axis=0) - np.diag(z)) + cost

    expected = scipy.optimize.minimize(line, [0.5, 1.2, 0.7, 1.8], method="BFGS", options={"gtol": 1e-9})
    assert abs(expected.x[0] / expected.x[1]) != pytest.approx(abs(expected.x[2] / expected.x[3]), rel=0.05)
    names, codes = families.named_codes(4)
    values = np.asarray(families.minimise_codes(codes, jnp.asarray(s), depth).values)
    assert best_code(4, depth, s) == "two pairs on a line"
    assert values.min() == pytest.approx(expected.fun, rel=1e-10)
    assert np.sort(values)[1] > values.min() + 1e-5 and np.log(4) > values.min() + 1e-5


@pytest.mark.parametrize("bias, ratio", (("none", 0.05), ("free", 1.0)))
def test_the_predicted_point_is_critical_and_has_the_predicted_value(bias, ratio):
    classes = 4 if bias == "none" else 3
    tie = etf_branch.tie(classes, 2)
    ridges = {"l2_H": 2 * ratio * tie / 7 ** (1 / 3), "l2_W": ratio * tie / 7 ** (1 / 3) * np.array([2.0, 0.25])}
    problem = deep(classes, 2, 0, bias, n=7, **ridges)
    prediction = lowest_known(problem)
    assert prediction.label == "best-known"
    assert float(jax.jit(objective)(problem, prediction.params)) == pytest.approx(float(prediction.value), rel=1e-13)
    assert float(jax.jit(gradient_norm)(problem, prediction.params)) < 1e-13
    assert np.all(np.diff(np.asarray(prediction.singular_values[0])) <= 0)


def test_no_search_from_other_starts_goes_below_the_best_code():
    problem = deep(4, 2, 0.3 * etf_branch.tie(4, 2))
    predicted = float(lowest_known(problem).value)
    for seed in (11, 12):
        assert float(solve(problem, jax.random.key(seed), starts=24).value) == pytest.approx(predicted, rel=1e-11)


@pytest.mark.parametrize("compiled", (simplex_or_zero, lowest_known), ids=("simplex", "best known"))
def test_predictions_are_differentiable_and_batch(compiled):
    problem = deep(4, 2, 0.06)

    def summary(l2):
        prediction = compiled(problem.replace(l2_H=l2))
        features = jnp.sum(prediction.params.H**2)
        return jnp.stack([prediction.value, prediction.singular_values[0, 0], prediction.logits[0, 0], features])

    def with_slopes(l2):
        value, pull_back = jax.vjp(summary, l2)
        return value, jax.vmap(pull_back)(jnp.eye(4))[0]

    step = 1e-5
    ridges = jnp.array([0.06, 0.06 + step, 0.06 - step, 0.01, 0.5, 5.0])  # alive, and zero at the end
    batch, slopes = jax.jit(jax.vmap(with_slopes))(ridges)
    np.testing.assert_allclose(batch[0], summary(ridges[0]), rtol=1e-12)
    assert np.all(batch[:4, 1] > 0) and np.all(batch[-1, 1:] == 0)
    assert np.all(np.isfinite(slopes))
    np.testing.assert_allclose(slopes[0], (batch[1] - batch[2]) / (2 * step), rtol=2e-7)
    np.testing.assert_allclose(slopes[:, 0], 0.5 * batch[:, 3], rtol=1e-10)  # envelope theorem


def test_every_entry_is_named_once():
    modules = (etf_branch, etf_stability, best_known, refuted)
    ids = [theorem.id for module in modules for theorem in module.THEOREMS]
    assert len(ids) == len(set(ids)) == 6
