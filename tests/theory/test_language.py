"""Next-token prediction: closed forms and bounds at their goldens and edges, and evidence that can fail."""

from math import comb

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ufm
from ufm.problem.params import gradient_norm, logits
from ufm.settings.language import even_contexts, next_token_problem, random_contexts, uniform_supports, zipf_priors
from ufm.theory.language import centred_supports, certificate, max_margin, small_ridge
from ufm.theory.language import uniform_supports as uniform
from ufm.theory.theorem import key_of

LINES = ((0, 1, 2), (0, 3, 4), (0, 5, 6), (1, 3, 5), (1, 4, 6), (2, 3, 6), (2, 4, 5))
FANO = np.array([[v in line for line in LINES] for v in range(7)])


def uniform_at(V, k, tau, dim=None, **choices):
    return next_token_problem(uniform_supports(V, k), dim or V, l2_W=2 * tau, l2_H=tau / 2, **choices)


@jax.jit
def at(problem):
    """(prediction, f there, |grad f| there, logits of the columns, relative gap of the certificate)."""
    found = uniform.predict(problem)
    gap = ufm.certify(problem, found.params).relative_gap
    return found, ufm.objective(problem, found.params), gradient_norm(problem, found.params), logits(problem, found.params), gap


def scale_of(found):
    """g, from logits g P S."""
    return float(jnp.max(found.logits[:, 0]) - jnp.min(found.logits[:, 0]))


def run(theorem, label):
    case = theorem.cases()[label]
    return case, jax.jit(theorem.predict)(case), theorem.measure(case, key_of(0, theorem.id, label))


def failures(theorem, case, predicted, measured):
    return [check.name for check in theorem.evidence(case, predicted, measured) if not check.passed]


def test_the_golden_scale_of_pairs_among_five_tokens():
    problem = uniform_at(5, 2, 1e-2)
    assert scale_of(at(problem)[0]) == pytest.approx(3.003235806239, abs=1e-12)
    assert ufm.predict(problem).theorem == "ntp-uniform-supports"


@pytest.mark.parametrize("bias", ["none", "free", "ridge"])
def test_logits_are_the_centred_supports_and_certified_in_every_bias_mode(bias):
    problem = uniform_at(5, 2, 5e-3, 4, bias=bias, l2_b=0.1 if bias == "ridge" else 0.0)
    found, value, gradient, z, gap = at(problem)
    S = uniform_supports(5, 2).supports.astype(float)
    np.testing.assert_allclose(found.logits, scale_of(found) * (S - S.mean(axis=0)), atol=1e-12)
    np.testing.assert_allclose(z, found.logits, atol=1e-12)
    assert float(value) == pytest.approx(float(found.value), rel=1e-13) and gradient < 1e-14 and 0 <= gap < 1e-12


def test_any_two_design_will_do_such_as_the_fano_plane():
    problem = next_token_problem(even_contexts(FANO), 6, l2_W=3e-3, l2_H=3e-3)
    found, _, _, z, gap = at(problem)
    assert uniform.THEOREMS[0].failing(problem) == [] and found.rank == 6 and 0 <= gap < 1e-12
    np.testing.assert_allclose(z, scale_of(found) * (FANO - 3 / 7), atol=1e-12)


@pytest.mark.parametrize(("V", "k"), [(5, 2), (4, 3)])
def test_everything_is_zero_from_the_threshold_on(V, k):
    m = comb(V, k)
    critical = (V - k) / V / (V - 1) / np.sqrt(m * k * (V - k) / (V * (V - 1)))
    for side, rank in ((1 - 1e-9, V - 1), (1 + 1e-9, 0)):
        found = at(uniform_at(V, k, critical * side))[0]
        assert found.rank == rank and float(found.value) == pytest.approx(np.log(V), rel=1e-12)


def test_one_token_a_context_is_neural_collapse():
    problem = uniform_at(4, 1, 1e-3)
    known = ufm.predict(problem)
    assert known.theorem == "ce-one-layer"
    np.testing.assert_allclose(at(problem)[0].logits, known.logits, atol=1e-12)


def test_samples_and_scales():
    labels = uniform_supports(4, 3).labels
    # two samples a context, at half the ridge of features on each, are one
    twice = ufm.Problem.from_targets(np.repeat(labels, 2, axis=1), 4, loss="ce", l2_W=0.02, l2_H=5e-3, samples=8.0, scale=2.0)
    once = ufm.Problem.from_targets(labels, 4, loss="ce", l2_W=0.02, l2_H=1e-2, scale=2.0)
    (pair, value, gradient, *_), single = at(twice), at(once)[0]
    np.testing.assert_allclose([pair.value, value], single.value, rtol=1e-13)
    assert gradient < 1e-14 and single.value < np.log(4)


def test_tiny_and_huge_ridges_and_many_tokens_give_finite_numbers():
    for tau in (1e-12, 1e3):
        value = jax.jit(uniform.predict)(uniform_at(40, 2, tau)).value
        assert np.log(2) < value < np.log(40) * (1 + 1e-12)


def test_what_is_no_even_design_is_outside_the_theorem_traced_or_not():
    (theorem,) = uniform.THEOREMS
    good = uniform_at(4, 2, 1e-2)
    assert theorem.failing(good) == []
    labels = np.asarray(good.targets)
    uneven = np.where(labels > 0, np.where(np.cumsum(labels > 0, axis=0) == 1, 0.6, 0.4), 0)
    weights = np.ones(6)
    weights[0] = 1.001
    for changes in ({"targets": uneven}, {"targets": labels[:, [0] * 6]}, {"weight": weights}):
        (assumption,) = theorem.failing(good.replace(**changes))
        assert "equally often" in assumption.text
        with pytest.raises(ValueError, match="no theorem of the catalogue"):
            jax.eval_shape(ufm.predict, good.replace(**changes, groups=(1,) * 6))
    whole = next_token_problem(even_contexts(np.ones((3, 2))), 3, l2_W=0.1, l2_H=0.1)
    assert theorem.failing(whole)


def test_the_slope_of_the_minimum_in_the_price_is_the_nuclear_norm():
    problem = uniform_at(5, 2, 1e-2)

    @jax.jit
    def value(tau):
        return uniform.predict(problem.replace(l2_W=tau, l2_H=tau)).value

    z = np.asarray(at(problem)[0].logits)
    np.testing.assert_allclose(jax.grad(value)(jnp.asarray(1e-2)), np.linalg.svd(z, compute_uv=False).sum(), rtol=1e-11)


def test_every_case_and_every_drawn_case_meets_the_assumptions():
    for module in (uniform, certificate, small_ridge, max_margin, centred_supports):
        for theorem in module.THEOREMS:
            drawn = [theorem.draw(np.random.default_rng(seed)) for seed in range(3)] if theorem.draw else []
            for case in [*theorem.cases().values(), *drawn]:
                assert theorem.failing(case) == []


def test_measured_uniform_supports_agree_and_a_scale_off_by_a_thousandth_would_not():
    (theorem,) = uniform.THEOREMS
    case, predicted, measured = run(theorem, "V=4 k=2 q V/(V-k)=0.02")
    assert failures(theorem, case, predicted, measured) == []
    ridge = 1.002 * case.l2_W
    assert "value" in failures(theorem, case, theorem.predict(case.replace(l2_W=ridge)), measured)


@pytest.mark.parametrize("label", ["none bias, ridge 0.002", "d=2 ridge 0.005", "d=2 ridge 0.2"])
def test_next_token_minima_are_certified_and_a_rank_above_d_costs(label):
    (theorem,) = certificate.THEOREMS
    case, predicted, measured = run(theorem, label)
    assert failures(theorem, case, predicted, measured) == []
    off = measured._replace(own=measured.own._replace(value=measured.own.value * (1 - 1e-3 if "none" in label else 1 - 0.2)))
    assert "bound above the minimum" in failures(theorem, case, predicted, off)


def test_labels_are_learned_on_supports_at_the_rate_of_the_ridge():
    (theorem,) = small_ridge.THEOREMS
    case, predicted, measured = run(theorem, "contexts 0, ridge 1e-05")
    assert failures(theorem, case, predicted, measured) == []
    for changes, name in (
        ({"in_support": 1.001 * predicted.in_support}, "in-support logits"),
        ({"value": 0.9 * predicted.value}, "off-support mass above |L_mm|_*"),
        ({"value": 1.3 * predicted.value}, "off-support mass"),
    ):
        assert name in failures(theorem, case, predicted._replace(**changes), measured)
    shifted = measured._replace(logits=measured.logits.at[0, 1].add(1e-2))
    assert "probabilities" in failures(theorem, case, predicted, shifted)


def test_sequential_quadratic_programming_agrees_with_douglas_rachford():
    (theorem,) = max_margin.THEOREMS
    case, predicted, measured = run(theorem, "centred supports fail")
    assert failures(theorem, case, predicted, measured) == []
    assert failures(theorem, case, predicted | {"value": 1.001 * predicted["value"]}, measured) == ["value"]


def test_the_centred_supports_are_the_solution_where_their_polar_factor_says_so():
    theorem = centred_supports.THEOREMS[0]
    case, predicted, measured = run(theorem, "dense")
    assert failures(theorem, case, predicted, measured) == [] and predicted.excess < 0
    assert "minimum" in failures(theorem, case, predicted._replace(value=1.001 * predicted.value), measured)
    assert "not the minimum" in failures(theorem, case, predicted._replace(excess=jnp.ones(())), measured)
    case, predicted, measured = run(theorem, "fails")
    assert failures(theorem, case, predicted, measured) == [] and predicted.excess > 0.05 and predicted.decisive
    assert {"minimum", "excess"} <= set(failures(theorem, case, predicted._replace(excess=-predicted.excess), measured))


def test_that_they_always_are_is_refuted_by_lowering_one_logit():
    refuted = centred_supports.THEOREMS[1]
    label, case = list(refuted.cases().items())[-1]
    predicted, measured = refuted.predict(case), refuted.measure(case, key_of(0, label))
    assert failures(refuted, case, predicted, measured) == ["below bound"]
    assert float(predicted.value) == pytest.approx(2.978437, abs=5e-7) and 2.976804 < measured.lower < 2.9769
    raised = case._replace(amount=-case.amount)
    assert refuted.measure(raised, key_of(0, label)).lower > predicted.value


def test_a_generic_next_token_problem_has_no_closed_form_and_says_so():
    tokens = random_contexts(jax.random.key(0), zipf_priors(5), 7)
    with pytest.raises(ValueError, match="no theorem of the catalogue gives the minimum"):
        ufm.predict(next_token_problem(tokens, 5, l2_W=0.1, l2_H=0.1))
