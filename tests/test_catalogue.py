import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ufm
from ufm.theory.registry import catalogue, families, select
from ufm.theory.theorem import STATUSES

BALANCED = ufm.Problem.balanced(4, 6, (8,), l2_W=5e-3, l2_H=2e-3)


def test_every_entry_states_claim_source_status_and_cases():
    for theorem in catalogue().values():
        assert theorem.claim.endswith("."), theorem.id
        assert theorem.source and theorem.status in STATUSES
        assert theorem.predict.__doc__ and theorem.measure.__doc__
        assert len(theorem.cases()) >= 2, theorem.id


def test_every_case_of_a_minimum_theorem_meets_its_assumptions():
    for theorem in catalogue().values():
        if theorem.minimiser:
            for label, problem in theorem.cases().items():
                assert not theorem.failing(problem), (theorem.id, label)


def test_random_cases_depend_on_the_generator_alone():
    for theorem in catalogue().values():
        if theorem.draw is not None:
            first, again = (jax.tree.leaves(theorem.draw(np.random.default_rng(7))) for _ in range(2))
            assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True)), theorem.id


def test_families_are_folders_and_cover_the_catalogue():
    assert {"mse", "cross_entropy"} <= set(families())
    assert sorted(name for ids in families().values() for name in ids) == sorted(catalogue())


def test_predict_prefers_the_sharp_theorem_to_the_general_one():
    assert ufm.predict(BALANCED).theorem == "mse-balanced-deep"
    assert ufm.predict(BALANCED.replace(bias="free")).theorem == "mse-balanced-deep-freebias"
    assert ufm.predict(BALANCED.replace(loss="ce")).theorem == "ce-one-layer"
    assert ufm.predict(BALANCED.replace(loss="logistic")).theorem == "bce"
    assert ufm.predict(BALANCED.replace(loss="squared_hinge", bias="free")).theorem == "symmetric-reduction"
    assert ufm.predict(ufm.Problem.imbalanced((4, 2), 3, l2_W=1e-2, l2_H=1e-2)).theorem == "mse-imbalanced-deep"


def test_predict_refuses_outside_every_theorem_and_names_what_fails():
    problem = ufm.Problem.imbalanced((4, 2, 1), 3, loss="ce", l2_W=1e-2, l2_H=1e-2)
    with pytest.raises(ValueError, match="ce-one-layer needs equal classes.*ufm.solve.*ufm.certify"):
        ufm.predict(problem)


def test_predict_under_jit_does_not_take_unknown_class_sizes_for_equal_ones():
    def value(multiplicity):
        return ufm.predict(BALANCED.collapsed().replace(multiplicity=multiplicity)).value

    counts = jnp.array([9.0, 5.0, 3.0, 1.0])
    direct = ufm.predict(ufm.Problem.imbalanced((9, 5, 3, 1), (8,), l2_W=5e-3, l2_H=2e-3)).value
    np.testing.assert_allclose(jax.jit(value)(counts), direct, rtol=1e-13)
    with pytest.raises(ValueError, match="needs equal classes"):
        jax.jit(lambda m: ufm.predict(BALANCED.replace(loss="logistic").collapsed().replace(multiplicity=m)).value)(counts)


def test_what_is_traced_decides_nothing_and_what_a_type_says_stays_known():
    ce = BALANCED.replace(loss="ce").collapsed()
    with pytest.raises(ValueError, match="no theorem of the catalogue"):
        jax.eval_shape(lambda m: ufm.predict(ce.replace(multiplicity=m)).value, jnp.array([9.0, 3.0, 9.0, 3.0]))
    one_size = jax.jit(lambda n: ufm.predict(ce.replace(design=dataclasses.replace(ce.design, n=n))).value)
    np.testing.assert_allclose(one_size(7.0), ufm.predict(ce.replace(multiplicity=7.0)).value, rtol=1e-14)
    soft = jax.jit(lambda s: ufm.predict(ufm.Problem.balanced(4, 5, 8, loss="ce", smoothing=s, l2_W=5e-3, l2_H=2e-3)).value)
    known = ufm.predict(ufm.Problem.balanced(4, 5, 8, loss="ce", smoothing=0.1, l2_W=5e-3, l2_H=2e-3))
    assert known.theorem == "ce-label-smoothing"
    np.testing.assert_allclose(soft(0.1), known.value, rtol=1e-14)
    with pytest.raises(ValueError, match="no theorem of the catalogue"):
        jax.eval_shape(
            lambda s: ufm.predict(ufm.Problem.imbalanced((5, 3), 8, loss="ce", smoothing=s, l2_W=5e-3, l2_H=2e-3)).value, 0.1
        )


@pytest.mark.parametrize("bias", ["none", "free", "ridge"])
@pytest.mark.parametrize("loss", ["mse", "ce", "logistic"])
def test_derivatives_of_the_predicted_value_are_half_squared_norms(loss, bias):
    """Envelope theorem: d f*/d l2_H = |H|^2/2 at the minimiser, and likewise for every ridge."""
    l2_b = 0.05 if bias == "ridge" else 0.0
    problem = BALANCED.replace(loss=loss, bias=bias, l2_b=l2_b)
    prediction = ufm.predict(problem)
    slope_H = jax.grad(lambda x: ufm.predict(problem.replace(l2_H=x)).value)(2e-3)
    slope_W = jax.grad(lambda x: ufm.predict(problem.replace(l2_W=x)).value)(5e-3)
    np.testing.assert_allclose(slope_H, 0.5 * jnp.sum(prediction.params.H**2), rtol=1e-9)
    np.testing.assert_allclose(slope_W, 0.5 * jnp.sum(prediction.params.weights[0] ** 2), rtol=1e-9)


def test_predict_maps_over_a_grid_in_one_program():
    l2 = jnp.geomspace(1e-4, 1e-1, 7)
    grid = jax.jit(jax.vmap(lambda a: ufm.predict(BALANCED.replace(l2_W=a)).value))(l2)
    np.testing.assert_allclose(grid, [ufm.predict(BALANCED.replace(l2_W=float(a))).value for a in l2], rtol=1e-13)


def test_unknown_names_are_refused_with_near_ones():
    with pytest.raises(ValueError, match="'mse-balanced-deep'.*got 'mse-blanced-deep'"):
        select(("mse-blanced-deep",))
    with pytest.raises(ValueError, match="family must be one of .*mse"):
        select((), "metrics")
