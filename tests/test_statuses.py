"""What CONVERGED means: the residual at the point returned, taken again by NumPy in the problem's own coordinates, is small."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ufm
from ufm import Params, Problem, Status, minimise, solve
from ufm.problem.params import gradient_norm
from ufm.search.judgement import gradient_scale
from ufm.search.minimum import allowed_norm

KEY = jax.random.key(0)
RIDGES = {"l2_W": 0.01, "l2_H": 0.01}
TABLE = [
    *itertools.product(("free",), ("none", "free", "ridge"), ("ce", "mse", "logistic"), (1, 2)),
    *itertools.product(("nonnegative",), ("none", "free"), ("ce", "mse", "logistic"), (1,)),
    ("nonnegative", "none", "ce", 2),
    *itertools.product(("sphere",), ("none",), ("ce", "mse", "logistic"), (1,)),
]


def residual(problem, params):
    """Norm of what the optimality conditions leave, in plain NumPy and with the losses written out."""
    p = jax.tree.map(np.asarray, problem)
    factors = [np.asarray(params.H) / np.sqrt(p.multiplicity)]
    for W in params.weights:
        factors.append(np.asarray(W) @ factors[-1])
    z, Y = p.scale * factors[-1], p.targets
    if params.b is not None:
        z = z + np.outer(np.asarray(params.b), p.intercept)
    if problem.loss.name == "mse":
        G = z - Y
    elif problem.loss.name == "ce":
        e = np.exp(z - z.max(0))
        G = e / e.sum(0) - Y
    else:
        G = 1 / (1 + np.exp(-z)) - Y
    G = G * (p.weight * p.multiplicity / p.samples)[None, :]
    db = G @ p.intercept + (0 if params.b is None else p.l2_b * np.asarray(params.b))
    G, gradients = p.scale * G, []
    for W, below, l2 in zip(params.weights[::-1], factors[-2::-1], p.l2_W[::-1], strict=True):
        gradients.append(G @ below.T + l2 * np.asarray(W))
        G = np.asarray(W).T @ G
    H = np.asarray(params.H)
    gradients = gradients[::-1]
    dH = G / np.sqrt(p.multiplicity)[None, :] + p.l2_H * H
    if problem.features == "nonnegative":
        dH = np.minimum(H, dH)
    if problem.features == "sphere":
        dH = dH - H * (np.sum(dH * H, axis=0) / np.sum(H * H, axis=0))[None, :]
        W = np.asarray(params.weights[0])
        gradients = [gradients[0] - W * np.sum(gradients[0] * W, axis=1, keepdims=True)]
    square = sum(np.sum(g**2) for g in gradients) + np.sum(dH**2) + (0 if params.b is None else np.sum(db**2))
    return np.sqrt(square)


@pytest.mark.parametrize(("features", "bias", "loss", "depth"), TABLE)
def test_converged_is_a_residual_below_the_tolerance_in_the_coordinates_of_the_problem(features, bias, loss, depth):
    ridges = {"scale": 6.0} if features == "sphere" else RIDGES | {"l2_b": 0.02 if bias == "ridge" else 0.0}
    problem = Problem.imbalanced((3, 1, 2, 2), (5,) * depth, loss=loss, bias=bias, features=features, **ridges)
    solution = solve(problem, KEY, starts=1, tolerance=1e-8)
    again = residual(problem, solution.params)
    np.testing.assert_allclose(solution.gradient_norm, again, rtol=1e-4, atol=1e-15)
    rounding = 64 * np.finfo(float).eps * float(gradient_scale(problem))  # where the minimum is zero
    met = again <= max(1.01e-8 * min(1, float(solution.value)), rounding)
    assert (int(solution.status) == Status.CONVERGED) == met
    assert met or features == "nonnegative"


@pytest.mark.parametrize("start", ["random", "given"])
def test_a_point_a_thousand_tolerances_away_is_not_called_converged(start, monkeypatch):
    """The search is made to end early and to claim success: what `solve` says is decided by the point alone."""
    search = ufm.solve.__wrapped__.__globals__["search"]

    def boasting(function, x, **options):
        found = search(function, x, **{**options, "tolerance": 1e3 * options["tolerance"], "rival": np.inf})
        return found._replace(status=jnp.asarray(int(Status.CONVERGED)), gradient_norm=0 * found.gradient_norm)

    problem = Problem.imbalanced((3, 2), (3, 4), l2_W=0.013, l2_H=0.011)
    given = KEY if start == "random" else ufm.initialize(problem, KEY)
    assert int(solve(problem, given).status) == Status.CONVERGED
    jax.clear_caches()
    monkeypatch.setitem(ufm.solve.__wrapped__.__globals__, "search", boasting)
    solution = solve(problem, given)
    jax.clear_caches()
    assert residual(problem, solution.params) > 2e-10 * float(solution.value)
    assert int(solution.status) == Status.STALLED


def test_a_lift_that_loses_something_is_seen_in_the_status(monkeypatch):
    standard = ufm.solve.__wrapped__.__globals__["random_standard_starts"]

    def broken(*arguments):
        small, points, lift = standard(*arguments)
        return small, points, lambda p: lift(p._replace(H=p.H * (1 + 1e-7)))

    monkeypatch.setitem(ufm.solve.__wrapped__.__globals__, "random_standard_starts", broken)
    solution = solve(Problem.balanced(3, 2, 4, loss="ce", **RIDGES), KEY)
    assert int(solution.status) == Status.STALLED and solution.gradient_norm > 1e-9


@pytest.mark.parametrize("tolerance", [1e-6, 1e-10, 1e-14])
@pytest.mark.parametrize("problem", [
    Problem.balanced(3, 2, 4), Problem.balanced(3, 2, (4, 4)), Problem.imbalanced((3, 1), 2, bias="free"),
    Problem.balanced(3, 2, 4, loss="squared_hinge"),
], ids=["one layer", "two layers", "free bias", "squared hinge"])  # fmt: skip
def test_a_minimum_of_value_zero_converges_at_every_tolerance(problem, tolerance):
    solution = solve(problem, KEY, starts=1, tolerance=tolerance)
    assert int(solution.status) == Status.CONVERGED and 0 <= solution.value < 1e-20


def test_the_allowed_norm_is_the_relative_tolerance_a_floor_of_rounding_and_never_above_the_tolerance():
    eps = float(jnp.finfo(jnp.float64).eps)
    cases = ((5.0, 1.0), (0.1, 1.0), (0.0, 0.5), (0.0, 1e9), (0.0, jnp.nan))
    allowed = [float(allowed_norm(1e-10, jnp.asarray(value), scale)) for value, scale in cases]
    np.testing.assert_allclose(allowed, [1e-10, 1e-11, 32 * eps, 1e-10, 0.0], rtol=1e-14)
    problem = Problem.balanced(3, 2, 4)
    np.testing.assert_allclose(gradient_scale(problem), np.sqrt(0.5 * np.sqrt(6) / 6), rtol=1e-14)  # F = 1/2, G = |Y|/N


@pytest.mark.parametrize("problem", [
    Problem.balanced(3, 2, 4, loss="ce"), Problem.balanced(3, 2, 4, loss="logistic"), Problem.balanced(3, 1, (4, 4), loss="ce"),
    Problem.balanced(3, 1, 3, loss="ce", classifier=np.eye(3), l2_W=()),
    Problem.from_targets(np.eye(4)[:, :3], 4, loss="ce", bias="free", **RIDGES),
], ids=["ce", "logistic", "deep", "fixed classifier", "a class without a target"])  # fmt: skip
def test_where_the_infimum_is_not_attained_that_is_said(problem):
    solution = solve(problem, KEY, starts=1)
    assert int(solution.status) == Status.NO_MINIMISER and "not attained" in str(solution)


@pytest.mark.parametrize("problem", [
    Problem.balanced(3, 2, 4, loss="ce", smoothing=0.1), Problem.balanced(3, 2, 4, loss="ce", bias="free", **RIDGES),
    Problem.from_targets(np.eye(4)[:, :3], 4, loss="mse", bias="free", **RIDGES),
    Problem.from_targets(np.eye(4)[:, :3], 4, loss="ce", bias="ridge", l2_b=1e-3, **RIDGES),
    Problem.balanced(3, 2, 4, loss="ce", l2_W=1e3, l2_H=1e3), Problem.balanced(3, 2, 4, l2_W=1e3, l2_H=1e3),
], ids=["soft labels", "free bias", "mse", "ridge bias", "ce, huge ridges", "mse, huge ridges"])  # fmt: skip
def test_where_it_is_attained_the_search_converges(problem):
    assert int(solve(problem, KEY, starts=1).status) == Status.CONVERGED


def test_minimise_tells_minima_of_value_zero_from_infima_at_infinity():
    for function in (lambda x: jnp.sum((x - 3) ** 2), lambda x: jnp.sum((x[0] - 1) ** 4 + (x[1] + 2) ** 2)):
        found = minimise(function, jnp.zeros(2))
        assert int(found.status) == Status.CONVERGED and found.value < 1e-18
    for function in (lambda x: jnp.sum(jnp.exp(-x)), lambda x: jnp.sum(jnp.logaddexp(0, -x))):
        assert int(minimise(function, jnp.zeros(2)).status) == Status.NO_MINIMISER


WEIGHTED = Problem.imbalanced((3, 1, 2), 4, loss="ce", bias="ridge", l2_b=0.03, smoothing=0.1, **RIDGES)


@pytest.mark.parametrize("name", ["l2_W", "l2_H", "l2_b", "scale", "multiplicity", "weight", "intercept", "targets", "samples"])
def test_the_value_of_solve_has_the_envelopes_derivative_in_every_leaf(name):
    leaf, step = getattr(WEIGHTED, name), 1e-5
    direction = jax.random.normal(jax.random.key(1), jnp.shape(leaf))
    if name == "targets":
        direction = direction - jnp.mean(direction, axis=0, keepdims=True)
    fixed = {} if name == "samples" else {"samples": WEIGHTED.samples}

    def value(t):
        return solve(WEIGHTED.replace(**{name: leaf + t * direction}, **fixed), KEY, columns="raw").value

    slope = jax.jvp(value, (0.0,), (1.0,))[1]
    np.testing.assert_allclose(jax.grad(value)(0.0), slope, rtol=1e-12)
    np.testing.assert_allclose(slope, (value(step) - value(-step)) / (2 * step), rtol=1e-5, atol=1e-9)


def test_derivatives_go_through_jit_vmap_and_given_params():
    def value(l2, start=KEY):
        return solve(WEIGHTED.replace(l2_H=l2), start).value

    ridges = jnp.asarray([0.005, 0.01])
    slopes = jax.vmap(jax.grad(value))(ridges)
    np.testing.assert_allclose(jax.jit(jax.grad(value))(ridges[1]), slopes[1], rtol=1e-8)
    np.testing.assert_allclose(jax.jacfwd(value)(ridges[1]), slopes[1], rtol=1e-8)
    np.testing.assert_allclose(jax.grad(value)(ridges[1], ufm.initialize(WEIGHTED, KEY)), slopes[1], rtol=1e-7)


@pytest.mark.parametrize("of", [
    lambda s: jnp.sum(s.params.H), lambda s: s.gradient_norm, lambda s: s.start_values[0], lambda s: s.value + s.params.H[0, 0],
])  # fmt: skip
def test_derivatives_of_anything_else_are_refused_in_words_and_never_zero(of):
    def wanted(l2):
        return of(solve(WEIGHTED.replace(l2_H=l2), KEY))

    with pytest.raises(ValueError, match=r"solve has first derivatives of its `value` alone .*ufm\.predict"):
        jax.grad(wanted)(0.01)
    assert jnp.isnan(jax.jvp(wanted, (0.01,), (1.0,))[1])


@pytest.mark.parametrize("second", [jax.hessian, lambda f: jax.grad(jax.grad(f)), lambda f: jax.jacfwd(jax.jacfwd(f))])
def test_second_derivatives_of_the_value_are_refused(second):
    with pytest.raises(ValueError, match="first derivatives"):
        second(lambda l2: solve(WEIGHTED.replace(l2_H=l2), KEY).value)(0.01)


def test_the_gradient_norm_has_a_finite_derivative_where_it_is_zero():
    zero = Params((jnp.zeros((3, 4)),), jnp.zeros((4, 6)), None)
    problem = Problem.balanced(3, 2, 4, **RIDGES)
    assert gradient_norm(problem, zero) == 0
    assert all(not jnp.any(g) for g in jax.tree.leaves(jax.grad(lambda p: gradient_norm(problem, p))(zero)))
