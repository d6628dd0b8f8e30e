"""Trajectories, linear maps, spheres, bounds and diagnostics as catalogue entries: goldens and edges."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ufm.duality import certify
from ufm.frames import simplex_etf
from ufm.problem.params import gradient_norm, logits, objective
from ufm.theory.cross_entropy import sphere
from ufm.theory.dynamics import two_factor
from ufm.theory.frames import bounds
from ufm.theory.frames.packing import Lines, cosines
from ufm.theory.mse import landscape
from ufm.theory.perturbation import near_collapse
from ufm.theory.registry import predict
from ufm.theory.theorem import key_of

MODULES = (two_factor, near_collapse, sphere, bounds, landscape)


near_map = jax.jit(near_collapse.predict)
logistic = jax.jit(two_factor.logistic)


@partial(jax.jit, static_argnums=0)
def at_prediction(predict, problem):
    """(prediction, f there, |grad f| there, logits, relative gap of the certificate)."""
    p = predict(problem)
    z, gap = logits(problem, p.params), certify(problem, p.params).relative_gap
    return p, objective(problem, p.params), gradient_norm(problem, p.params), z, gap


def checks(module, label, case=None):
    theorem = next(theorem for theorem in module.THEOREMS if label in theorem.cases())
    case = theorem.cases()[label] if case is None else case
    return theorem.evidence(case, jax.jit(theorem.predict)(case), theorem.measure(case, key_of(0, theorem.id, label)))


@pytest.mark.parametrize(
    ("module", "label"),
    [
        (two_factor, "two alive, one critical, one dead"),
        (near_collapse, "beta=1.0 c=0.3"),
        (bounds, "K=6 d=3"),
        (landscape, "M=2 beta/tie=0.5"),
    ],
)
def test_what_is_predicted_is_what_is_measured(module, label):
    assert [check for check in checks(module, label) if not check.passed] == []


def test_every_case_and_every_drawn_case_meets_the_assumptions():
    for theorem in (theorem for module in MODULES for theorem in module.THEOREMS):
        drawn = [theorem.draw(np.random.default_rng(0))] if theorem.draw else []
        for case in [*theorem.cases().values(), *drawn]:
            assert theorem.failing(case) == []


def test_a_critical_mode_decays_like_one_over_t_and_a_dead_one_exponentially():
    speed, ts = 0.02, jnp.array([0.0, 1.0, 50.0, 1e6])
    p = np.asarray(logistic(jnp.array([0.3, 0.3, 0.3]), jnp.array([4.0, 0.0, -2.0]), jnp.asarray(speed), ts))
    np.testing.assert_allclose(p[0], 0.3, rtol=1e-15)
    np.testing.assert_allclose(p[:, 1], 0.3 / (1 + 0.3 * speed * np.asarray(ts)), rtol=1e-15)
    grown = 0.3 * np.exp(speed * 4 * 50) / (1 + 0.3 / 4 * np.expm1(speed * 4 * 50))
    decayed = 0.3 * np.exp(-speed * 2 * 50) / (1 + 0.3 / 2 * -np.expm1(-speed * 2 * 50))
    np.testing.assert_allclose(p[2, [0, 2]], [grown, decayed], rtol=1e-14)
    np.testing.assert_allclose(p[3, [0, 2]], [4, 0], rtol=1e-15)


def test_a_mode_is_half_learned_at_the_logarithm_of_its_gain_over_its_rate():
    p0, target, speed = 0.01, 3.0, 0.1
    half = np.log(target / p0 - 1) / (speed * target)
    p = logistic(jnp.array([p0]), jnp.array([target]), jnp.asarray(speed), jnp.array([half]))
    np.testing.assert_allclose(p, target / 2, rtol=1e-14)


def test_modes_are_smooth_across_the_threshold():
    def late(target):
        return logistic(jnp.array([0.5]), target[None], jnp.asarray(0.1), jnp.array([7.0]))[0, 0]

    step = jnp.asarray(1e-6)
    np.testing.assert_allclose(late(step) + late(-step) - 2 * late(0 * step), 0, atol=1e-12)


@pytest.mark.parametrize(("n", "dim"), [(1, 5), (2, 3)])
@pytest.mark.parametrize(("c", "B"), [(0.3, 0.05), (0.3, 50.0), (0.9, 1.0), (1.2, 2.0)])
def test_the_near_collapse_map_inverts_the_hessian_of_the_reduced_objective(n, dim, c, B):
    rng = np.random.default_rng(3)
    case = near_collapse.perturbation(c, 0.7, B, rng, dim, n)
    N, shape = 3 * n, case.params.H.shape
    lW, lH, Y = c / 0.7, c * 0.7, np.repeat(np.eye(3), n, axis=1)

    def reduced(x):  # Kn min_W f(W, H) without the proximity term, Tirer's normalisation
        H = x.reshape(shape)
        return n * lW / 2 * jnp.trace(Y @ jnp.linalg.inv(n * lW * jnp.eye(N) + H.T @ H) @ Y.T) + lH / 2 * jnp.sum(H**2)

    hessian = np.asarray(jax.jit(jax.hessian(reduced))(case.params.H.ravel()))
    expected = np.linalg.solve(hessian + B * np.eye(N * dim), B * np.ravel(case.direction)).reshape(shape)
    np.testing.assert_allclose(near_map(case), expected, rtol=1e-10, atol=1e-11)


def test_rotations_of_the_frame_are_never_attenuated_and_scalings_are():
    case = near_collapse.perturbation(0.4, 1.0, 3.0, np.random.default_rng(0))
    H = case.params.H
    A = jnp.asarray([[0.0, 1.0, 2.0], [-1.0, 0.0, 3.0], [-2.0, -3.0, 0.0]])
    turned = H @ jnp.kron(A, jnp.eye(2))
    np.testing.assert_allclose(near_map(case._replace(direction=turned)), turned, atol=1e-13)
    soft = 4 * 0.4 * 0.6
    scaled = near_map(case._replace(direction=H))
    np.testing.assert_allclose(scaled, 3 / (3 + soft) * H, atol=1e-13)


@pytest.mark.parametrize(("classes", "dim"), [(2, 1), (5, 6)])
@pytest.mark.parametrize("temperature", [0.2, 1.0, 20.0])
def test_unit_vectors_have_no_lower_cross_entropy_than_the_simplex(classes, dim, temperature):
    problem = sphere.sphere_problem(classes, 3, dim, temperature)
    found, value, _, z, gap = at_prediction(sphere.predict, problem)
    expected = np.log1p((classes - 1) * np.exp(-classes / (classes - 1) / temperature))
    np.testing.assert_allclose([found.value, value], expected, rtol=1e-12)
    np.testing.assert_allclose(z[:, ::2], found.logits, atol=1e-12)
    assert 0 <= gap < 1e-9
    np.testing.assert_allclose(np.linalg.norm(found.params.weights[0], axis=1), 1, rtol=1e-14)
    features = np.asarray(found.params.H) / np.sqrt(problem.multiplicity)
    np.testing.assert_allclose(np.linalg.norm(features, axis=0), 1, rtol=1e-14)


def test_minima_under_jit_are_found_in_the_catalogue():
    problem = sphere.sphere_problem(3, 2, 3, 1.0)
    assert jax.jit(predict)(problem).theorem == predict(problem).theorem == "sphere-ce"


def test_the_icosahedron_meets_the_bound_of_welch_and_no_simplex_is_below_it():
    golden = (1 + 5**0.5) / 2
    lines = np.array([[0, 0, 1, 1, golden, -golden], [1, -1, golden, -golden, 0, 0], [golden, golden, 0, 0, 1, 1]])
    np.testing.assert_allclose(np.max(np.abs(cosines(lines))), bounds.welch(Lines(6, 3)), rtol=1e-14)
    simplex = np.asarray(simplex_etf(5).vectors)
    np.testing.assert_allclose(np.max(np.abs(cosines(simplex))), bounds.welch(Lines(5, 4)), rtol=1e-14)
    assert bounds.welch(Lines(3, 4)) == 0


def test_a_coherence_below_the_bound_would_fail():
    theorem = bounds.THEOREMS[0]
    case = Lines(6, 3)
    bound = theorem.predict(case)
    below = theorem.evidence(case, bound, np.array([0.9, float(bound) * 0.999]))
    assert [check.passed for check in below] == [False, False]
