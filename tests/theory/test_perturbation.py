"""The proximity model and the central path: every closed form against measurements, broken forms, limits and edges."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ufm
from ufm.problem import Problem
from ufm.problem.params import gradient_norm
from ufm.theory.perturbation import (
    aligned,
    curvature,
    nc1_threshold,
    near_collapse,
    near_collapse_spectrum,
    newton,
    rates,
    reduced,
    strengths,
)
from ufm.theory.perturbation.model import Times, parts, proximity, random_features, units
from ufm.theory.registry import catalogue
from ufm.theory.theorem import key_of

MODULES = (aligned, curvature, nc1_threshold, near_collapse, near_collapse_spectrum, rates, reduced, strengths)
IDS = tuple(theorem.id for module in MODULES for theorem in module.THEOREMS)
EQUALITIES = [
    "reduced-objective", "reduced-objective-hessian", "central-path-curvature", "proximity-uniqueness", "central-path-rates",
    "central-path-balance", "central-path-collapse", "proximity-large-beta", "proximity-at-collapse", "proximity-small-beta",
    "near-collapse-spectrum", "near-collapse-blocks", "near-collapse-response", "near-collapse-nc1", "proximity-aligned",
    "proximity-aligned-collapsed", "proximity-nc1-threshold",
]  # fmt: skip
FREE = {("proximity-nc1-threshold", "nc1")}  # a bound that nothing attains


@cache
def answers(name):
    """(case, predicted, measured) of the fixed cases of an entry."""
    theorem = catalogue()[name]
    predict = jax.jit(theorem.predict)
    return [
        (case, jax.tree.map(np.asarray, predict(case)), theorem.measure(case, key_of(0, name, label)))
        for label, case in theorem.cases().items()
    ]


def refused(name, predictions):
    """Whether evidence fails in some case when it sees these predictions."""
    theorem = catalogue()[name]
    triples = zip(answers(name), predictions, strict=True)
    return any(not check.passed for (case, _, measured), p in triples for check in theorem.evidence(case, p, measured))


@pytest.mark.parametrize("name", IDS)
def test_every_entry_stands_on_fixed_and_random_cases(name):
    report = ufm.verify(name, cases=3, seed=1)
    assert report.ok, report.entries[0].failures


@pytest.mark.parametrize("name", EQUALITIES)
def test_a_leaf_wrong_by_a_thousandth_is_noticed(name):
    assert not refused(name, [predicted for _, predicted, _ in answers(name)])
    leaves = jax.tree_util.tree_flatten_with_path(answers(name)[0][1])[0]
    for i, (path, _) in enumerate(leaves):
        leaf = jax.tree_util.keystr(path, simple=True)
        if (name, leaf) in FREE or leaf == "multiplicity":
            continue
        for factor in (1.001, 0.999):
            broken = []
            for _, predicted, _ in answers(name):
                flat, structure = jax.tree.flatten(predicted)
                flat[i] = flat[i] * factor
                broken.append(structure.unflatten(flat))
            wrong_side = name == "central-path-curvature" and leaf == "lowest"  # a floor: one side or the other is noticed
            assert refused(name, broken) or wrong_side, (name, leaf, factor)


def test_a_floor_of_curvature_too_high_is_noticed():
    name = "central-path-curvature"
    raised = [p | {"lowest": p["lowest"] + 1e-3 * abs(p["lowest"])} for _, p, _ in answers(name)]
    assert refused(name, raised)


@pytest.mark.parametrize("term", ["gradient", "hessian"])
def test_either_term_of_the_expansion_wrong_by_a_thousandth_changes_its_order(monkeypatch, term):
    true = getattr(strengths, term)
    monkeypatch.setattr(strengths, term, lambda *a: 1.001 * true(*a))
    broken = jax.jit(lambda case: strengths.predict_strong(case))
    assert refused("proximity-large-beta", [broken(case) for case, _, _ in answers("proximity-large-beta")])


def test_a_multiplicity_wrong_by_one_is_noticed():
    def swapped(spectrum):
        i, j = np.argmin(spectrum.values), np.argmax(spectrum.values)
        multiplicity = spectrum.multiplicity.copy()
        multiplicity[[i, j]] += [-1, 1]
        return spectrum._replace(multiplicity=multiplicity)

    name = "near-collapse-spectrum"
    for case in answers(name):
        assert any(not c.passed for c in catalogue()[name].evidence(case[0], swapped(case[1]), case[2]))


def test_every_case_and_every_drawn_case_meets_its_assumptions():
    for name in IDS:
        theorem = catalogue()[name]
        drawn = [theorem.draw(np.random.default_rng(i)) for i in range(3)] if theorem.draw else []
        for case in [*theorem.cases().values(), *drawn]:
            assert theorem.failing(case) == [], name


def test_assumptions_fail_on_the_other_side():
    def fails(name, case):
        return bool(catalogue()[name].failing(case))

    below = next(iter(aligned.cases_turning().values()))
    assert fails("proximity-aligned", below) and fails("proximity-aligned-collapsed", below)
    assert fails("proximity-uniqueness", below.problem)
    assert fails("proximity-aligned-weak", next(iter(aligned.cases_above().values())))
    assert fails("proximity-nc1-threshold", next(iter(nc1_threshold.cases_crossed().values())))
    assert fails("proximity-at-collapse", below.problem)
    assert fails("proximity-small-beta", strengths.reproduced_cases()["c=1.5 B=0.5"])
    assert fails("near-collapse-blocks", near_collapse_spectrum.spectrum_cases()["c=1.5"])
    narrow = random_features(np.random.default_rng(0))
    assert fails("central-path-collapse", Times(proximity(0.5, 0.1, 1.0, narrow), jnp.linspace(0, 1, 9)))


def test_the_best_classifier_is_ridge_regression():
    """An independent reference: least squares with rows sqrt(n lW) I below the features."""
    rng = np.random.default_rng(4)
    H = random_features(rng)
    problem = proximity(0.5, 0.2, 1.0, H)
    rows = np.vstack([H.T, np.sqrt(2 * 0.5) * np.eye(5)])
    targets = np.vstack([np.asarray(problem.targets).T, np.zeros((5, 3))])
    W = np.linalg.lstsq(rows, targets, rcond=None)[0].T
    residual = np.sum((W @ H - problem.targets) ** 2)
    value = residual / 12 + 0.5 / 6 * np.sum(W**2) + 0.2 / 12 * np.sum(H**2)
    found = jax.jit(reduced.predict)(problem)
    np.testing.assert_allclose(found.weights, W, rtol=1e-12)
    np.testing.assert_allclose(found.value, value, rtol=1e-13)
    np.testing.assert_allclose(found.gradient, W.T @ (W @ H - problem.targets) + 0.2 * H, rtol=1e-11, atol=1e-13)


def test_units_are_those_of_the_objective():
    H0 = random_features(np.random.default_rng(0))
    problem = proximity(0.5, 0.2, 3.0, H0)
    np.testing.assert_allclose(units(problem), (0.5, 0.2, 3.0, 2.0, np.sqrt(0.1), np.sqrt(0.4)), rtol=1e-15)
    W, H = np.ones((3, 5)), np.ones((5, 6))
    expected = np.sum((W @ H - problem.targets) ** 2) / 12 + 0.5 / 6 * 15 + 0.2 / 12 * 30 + 3.0 / 12 * np.sum((H - H0) ** 2)
    point = ufm.Params((jnp.asarray(W),), jnp.asarray(H), None)
    np.testing.assert_allclose(ufm.objective(problem, point), expected, rtol=1e-14)
    with pytest.raises(ValueError, match=r"H0 must have shape \(5, 9\), got \(5, 10\)"):
        proximity(0.5, 0.2, 1.0, np.ones((5, 10)), n=3)


@pytest.mark.parametrize(("dim", "n"), [(3, 2), (5, 1)])
def test_spectrum_and_blocks_at_d_equal_to_k_and_one_sample_a_class(dim, n):
    case = near_collapse.perturbation(0.3, 0.7, 2.0, np.random.default_rng(0), dim, n).problem
    for name in ("near-collapse-spectrum", "near-collapse-blocks"):
        theorem = catalogue()[name]
        checks = theorem.evidence(case, jax.jit(theorem.predict)(case), theorem.measure(case, key_of(0)))
        assert checks and all(check.passed for check in checks), (name, checks)


def test_blocks_have_the_published_singular_values_for_strong_proximity():
    """Tirer et al., d > K: 1, 1 - s/B and 2 lH (1 - c)/B, to first order in 1/B."""
    c, s, B = 0.3, 0.7, 1e4
    case = near_collapse.perturbation(c, s, B, np.random.default_rng(0)).problem
    blocks = jax.jit(near_collapse_spectrum.predict_blocks)(case)
    np.testing.assert_allclose([blocks.same[0], blocks.same[-1]], [1, 1 - s / B], rtol=1e-8)
    np.testing.assert_allclose(blocks.other[0], 2 * c * s * (1 - c) / B, rtol=1e-3)


def _log_nc1_rate(problem: Problem, H: np.ndarray) -> float:
    M, D = parts(problem, jnp.asarray(H))
    spread = np.asarray(M) - np.asarray(M).mean(axis=1, keepdims=True)
    ratio = np.sum(spread**2) / 3 / (np.sum(np.asarray(D) ** 2) / 6)
    return -float(jax.jit(rates.predict_rates)(problem)["ratio"]) / ratio


def test_nc1_decays_at_2_over_lw_near_zero_and_at_2_s_or_2_lh_near_collapse():
    rng = np.random.default_rng(0)
    lW, lH = 0.5, 0.18
    c, s = np.sqrt(lH * lW), np.sqrt(lH / lW)
    H = 1e-5 * random_features(rng)
    np.testing.assert_allclose(_log_nc1_rate(proximity(lW, lH, 1.0, H), H), -2 / lW, rtol=1e-8)
    R = np.linalg.qr(rng.normal(size=(5, 3)))[0]
    D = 1e-6 * random_features(rng, 0.0, 1.0)
    for seen, rate in ((R @ (R.T @ D), s), (D - R @ (R.T @ D), lH)):
        H = np.sqrt((1 - c) / s) * np.repeat(R, 2, axis=1) + seen
        np.testing.assert_allclose(_log_nc1_rate(proximity(lW, lH, 1.0, H), H), -2 * rate, rtol=1e-5)


def test_cases_of_equality_on_the_central_path():
    equal = rates.rates_cases()["all class means equal"]
    found = jax.jit(rates.predict_rates)(equal)
    np.testing.assert_allclose([found["between"], found["ratio"]], 0, atol=1e-13)
    unseen = rates.rates_cases()["deviations orthogonal to the means"]
    found = jax.jit(rates.predict_rates)(unseen)
    np.testing.assert_allclose(found["within"], -2 * 0.18, rtol=1e-12)
    assert found["ratio"] > 0
    still = jax.jit(rates.predict_rates)(rates.rates_cases()["orthogonal, no ridges"])
    np.testing.assert_allclose(list(still.values()), 0, atol=1e-12)


def test_the_gradient_flow_leaves_the_proximal_path_at_second_order():
    """The flow at time 1/B has half the second-order term of the minimiser."""
    case = strengths.strong_cases()["c=0.3"]
    problem, tau = case.problem, float(case.ts[-1])
    H0 = np.asarray(problem.H0)

    @jax.jit
    def follow(H):
        half = H + tau / 2 * newton.velocity(problem, H)  # the midpoint rule is right to second order
        return H + tau * newton.velocity(problem, half)

    G = np.asarray(jax.jit(reduced.gradient)(problem, problem.H0))

    def second(H):
        return (np.asarray(H) - H0 + tau * G) / tau**2

    minimum = strengths.direct_strong(case)["H"][-1]
    np.testing.assert_allclose(second(follow(problem.H0)), second(minimum) / 2, atol=0.02 * np.max(abs(second(minimum))))


@pytest.mark.parametrize(("m0", "sigma0", "B"), [(1.3, 0.5, 3.0), (-0.2, 1.5, 1.9), (0.6, 0.0, 20.0)])
def test_the_quintic_of_a_mode_has_one_real_root_above_the_threshold(m0, sigma0, B):
    lW, lH = 0.5, 0.2
    p, b, e = B + lH, B * m0, B * sigma0
    roots = np.roots([lW, 0, 2 * lW * p, b, b**2 + e**2 + lW * p**2 - p, -b * p])
    (real,) = roots[abs(roots.imag) < 1e-9].real
    w = jax.jit(aligned.mode)(*(jnp.asarray(x) for x in (m0, sigma0, lW, lH, B)))
    np.testing.assert_allclose(w, real, rtol=1e-12)
    if sigma0 == 0:  # the same in m, as a quintic of its own
        m = (b + w) / (p + w**2)
        np.testing.assert_allclose(p * m * (m**2 + lW) ** 2, B * m0 * (m**2 + lW) ** 2 + lW * m, rtol=1e-12)


def test_a_turned_minimum_is_lower_than_the_aligned_one_by_a_finite_amount():
    gaps = [float(predicted.value - measured.lower) for _, predicted, measured in answers("proximity-aligned-weak")]
    assert min(gaps) > 5e-5 and max(gaps) > 0.02


def test_there_are_several_minima_far_below_the_threshold_of_uniqueness():
    case = nc1_threshold.crossed(np.random.default_rng(0), 0.5, 0.2, 0.3, 0.3)
    H0 = np.asarray(case.problem.H0)
    starts = ufm.Params((np.stack([-H0[:, ::2].T, H0[:, ::2].T] * 3),), np.stack([-H0, H0] * 3), None)
    found = newton.stationary_points(case.problem, starts)
    assert np.all(np.asarray(found.gradient_norm[:2]) < 1e-12)
    assert np.max(np.abs(np.asarray(found.H[0] - found.H[1]))) > 0.1


def test_crossed_points_are_stationary_and_nc1_rises_only_below_the_threshold():
    def measured(ratio):
        case = nc1_threshold.crossed(np.random.default_rng(0), 0.5, 0.2, ratio, 0.1)
        assert jax.jit(gradient_norm)(case.problem, case.params) < 1e-14
        return nc1_threshold.measure(case, key_of(1))["nc1"][0]

    assert measured(0.8) > 1.2 and measured(1.0) < 1


def test_a_search_that_ends_off_a_stationary_point_neither_confirms_nor_refutes():
    case = nc1_threshold.cases_crossed()["2 lW (B+lH)=0.5 m=0.3"]
    lost = newton.Points(case.params.weights[0][None], case.params.H[None], jnp.zeros(1), jnp.ones(1))
    traces = nc1_threshold._traces(case.problem, lost)
    check, _ = nc1_threshold.evidence_of_decrease(case, nc1_threshold.predict_decrease(case), (traces["nc1"][0], 1.0))
    assert np.isnan(check.error)
