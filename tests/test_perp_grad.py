"""perpGrad in both readings: against NumPy transcriptions of the definition and of the published optimiser."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ufm.motion.descent import descend
from ufm.motion.perp_grad import perp_grad
from ufm.problem import Problem
from ufm.problem.params import initialize

RNG = np.random.default_rng(0)
PARAMS = {"W": RNG.normal(size=(3, 4)), "b": RNG.normal(size=5)}
GRADIENT = {"W": RNG.normal(size=(3, 4)), "b": RNG.normal(size=5)}


def apply(transformation, gradient, params):
    update = jax.jit(lambda g, p: transformation.update(g, transformation.init(p), p)[0])
    return jax.tree.map(np.asarray, update(gradient, params))


def vector(tree):
    return np.concatenate([np.ravel(x) for x in jax.tree.leaves(tree)])


def published(g, theta):
    """The reference optimiser on one array, with its 1e-30."""
    perp = g - (np.vdot(theta, g) / (np.vdot(theta, theta) + 1e-30)) * theta
    return perp * (np.linalg.norm(g) / (np.linalg.norm(perp) + 1e-30))


def test_the_definition_removes_the_component_along_all_parameters():
    theta, g = vector(PARAMS), vector(GRADIENT)
    expected = g - theta @ g / (theta @ theta) * theta
    np.testing.assert_allclose(vector(apply(perp_grad(), GRADIENT, PARAMS)), expected, rtol=1e-13, atol=1e-15)


def test_the_reference_reading_is_the_published_optimiser_array_by_array():
    found = apply(perp_grad(per_array=True, rescale=True), GRADIENT, PARAMS)
    for name in PARAMS:
        np.testing.assert_allclose(found[name], published(GRADIENT[name], PARAMS[name]), rtol=1e-13, atol=1e-15)


def test_the_readings_differ_in_their_projection_and_in_their_length():
    both = apply(perp_grad(per_array=True), GRADIENT, PARAMS)
    for name in PARAMS:
        theta, g = PARAMS[name], GRADIENT[name]
        np.testing.assert_allclose(both[name], g - np.vdot(theta, g) / np.vdot(theta, theta) * theta, rtol=1e-12, atol=1e-15)
    together = vector(apply(perp_grad(rescale=True), GRADIENT, PARAMS))
    np.testing.assert_allclose(np.linalg.norm(together), np.linalg.norm(vector(GRADIENT)), rtol=1e-14)
    assert abs(np.vdot(vector(both), vector(PARAMS))) < 1e-13
    assert np.max(np.abs(vector(both) - vector(apply(perp_grad(), GRADIENT, PARAMS)))) > 0.1


@pytest.mark.parametrize("rescale", [False, True])
def test_a_gradient_along_the_parameters_gives_no_step_and_zero_parameters_change_nothing(rescale):
    along = jax.tree.map(lambda x: -0.3 * x, PARAMS)
    for per_array in (False, True):
        optimizer = perp_grad(per_array=per_array, rescale=rescale)
        assert np.all(vector(apply(optimizer, along, PARAMS)) == 0)
        zeros = jax.tree.map(np.zeros_like, PARAMS)
        np.testing.assert_allclose(vector(apply(optimizer, GRADIENT, zeros)), vector(GRADIENT), rtol=1e-14)
        assert np.all(vector(apply(optimizer, zeros, PARAMS)) == 0)
    assert apply(perp_grad(per_array=True, rescale=rescale), {"s": np.ones(1)}, {"s": np.full(1, 2.0)})["s"] == 0


@pytest.mark.parametrize("size", [1e-25, 1.0, 1e25])
def test_the_projection_survives_parameters_whose_squares_leave_float32(size):
    params = jax.tree.map(lambda x: (size * x).astype(np.float32), PARAMS)
    gradient = jax.tree.map(lambda x: x.astype(np.float32), GRADIENT)
    found = apply(perp_grad(), gradient, params)
    assert found["W"].dtype == np.float32
    expected = vector(apply(perp_grad(), GRADIENT, PARAMS))
    np.testing.assert_allclose(vector(found), expected, atol=1e-6)


def test_descent_without_ridge_grows_the_norm_by_its_radial_part_and_perp_grad_only_by_its_steps():
    problem = Problem.balanced(3, 1, 3, loss="ce")
    start = initialize(problem, jax.random.key(1))

    def squares(_, params):
        return jnp.stack([jnp.sum(x**2) for x in jax.tree.leaves(params)])

    def growth(*transformation):
        run = descend(problem, start, 400, optax.chain(*transformation, optax.sgd(0.01)), record=squares)
        return np.asarray(run.metrics[-1] - run.metrics[0])

    plain, whole, each = growth(), growth(perp_grad()), growth(perp_grad(per_array=True, rescale=True))
    assert plain.sum() > 1 and 0 < whole.sum() < 0.02 * plain.sum()
    # of the definition the sum is conserved, of the published optimiser every array
    assert np.max(np.abs(whole)) > 0.05 and np.max(np.abs(each)) < 0.03


def test_options_and_missing_parameters_are_refused():
    with pytest.raises(ValueError, match="per_array must be one of True, False, got 'tensor'"):
        perp_grad(per_array="tensor")
    with pytest.raises(ValueError, match="rescale must be one of True, False, got None"):
        perp_grad(rescale=None)
    with pytest.raises(ValueError, match="params must be the parameters"):
        perp_grad().update(GRADIENT, perp_grad().init(PARAMS))
