"""Bounds are below the minimum in their own arithmetic, feasible, and anyone can compute them from the dual point."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

import ufm
from ufm import Params, Problem, certify, explain
from ufm.base.status import Status
from ufm.duality import dual_bound, is_tight, rounding
from ufm.losses import kd, poly1

single = jax.jit(lambda tree: jax.tree.map(lambda x: x.astype(jnp.float32), tree))


@pytest.mark.parametrize("loss", ["ce", "logistic"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_at_vanishing_ridges_bounds_stay_below_the_closed_form_and_close_to_it(loss, dtype):
    exact = []
    for ridge in (1e-6, 1e-10, 1e-14, 1e-16):
        problem = Problem.balanced(3, 5, 5, loss=loss, l2_W=ridge, l2_H=ridge)
        known = ufm.predict(problem)
        at = (problem, known.params) if dtype == "float64" else single((problem, known.params))
        if dtype == "float32":
            at_64 = jax.tree.map(lambda x: x.astype(float), at)
            known = ufm.predict(problem.replace(l2_W=at_64[0].l2_W, l2_H=at_64[0].l2_H))
        certificate = certify(*at)
        exact.append((float(known.value) - float(certificate.lower_bound)) / float(known.value))
        assert certificate.gap >= 0 and certificate.status == Status.BOUNDED
    assert min(exact) >= 0 and max(exact) < (1e-11 if dtype == "float64" else 2e-5), exact


def test_the_ridges_of_float32_that_were_certified_above_the_minimum_are_not():
    problem = Problem.balanced(3, 5, 5, loss="logistic", l2_W=1e-6, l2_H=1e-7)
    problem_32, params = single((problem, ufm.predict(problem).params))
    certificate = certify(problem_32, params)
    in_64 = jax.tree.map(lambda x: x.astype(float), problem_32)
    assert 0 <= ufm.predict(problem.replace(l2_W=in_64.l2_W, l2_H=in_64.l2_H)).value - certificate.lower_bound < 1e-10
    assert {x.dtype for x in (certificate.value, certificate.lower_bound, certificate.dual)} == {jnp.dtype("float32")}


def test_a_saturated_point_under_a_free_bias_gets_a_balanced_dual_point():
    problem = Problem.imbalanced((1, 1000), 2, loss="ce", l2_W=0.02, l2_H=0.02, bias="free")
    H = np.repeat(np.eye(2), (1, 1000), axis=1)
    for size in (1.0, 40.0, 400.0):
        certificate = certify(problem, Params((jnp.asarray(size * np.eye(2)),), jnp.asarray(H), jnp.zeros(2)))
        assert 0 <= certificate.lower_bound <= 0.00790028 and certificate.status == Status.BOUNDED


def test_an_unbalanced_dual_point_has_no_bound_and_a_reason():
    problem = Problem.imbalanced((3, 1), 2, loss="ce", l2_W=0.1, l2_H=0.1, bias="free")
    found = dual_bound(problem, jnp.asarray([[[-1e-6, 0.9], [1e-6, -0.9]]]))
    assert found.lower == -jnp.inf and found.status == Status.UNBALANCED
    assert "do not sum to zero" in Status(int(found.status)).text
    balanced = dual_bound(problem, jnp.asarray([[[-1e-3, 3e-3], [1e-3, -3e-3]]]))
    assert balanced.status == Status.BOUNDED and balanced.lower > 0


@pytest.mark.parametrize(
    "loss, dual, status",
    [
        ("ce", [[-0.5, 0.9], [0.6, -0.9]], Status.NOT_BELOW_RIDGES),
        ("ce", [[-0.5, 0.1], [-0.2, -0.1]], Status.OUTSIDE_DOMAIN),
        ("logistic", [[0.1, 0.1], [0.1, -0.1]], Status.OUTSIDE_DOMAIN),
        ("squared_hinge", [[0.1, -0.1], [-0.1, 0.1]], Status.OUTSIDE_DOMAIN),
        ("mse", [[-0.01, np.nan], [0.0, 0.0]], Status.NO_NUMBER),
    ],
)
def test_dual_points_that_are_not_feasible_are_named(loss, dual, status):
    problem = Problem.balanced(2, 1, 2, loss=loss, l2_W=0.01, l2_H=0.01)
    found = dual_bound(problem, jnp.asarray([dual]))
    assert found.lower == -jnp.inf and Status(int(found.status)) == status


def numpy_bound(problem, theta):
    """The dual value of a K x C dual point in NumPy and exact fractions for the sums that matter, norm by SVD."""
    m, w, N, s = (np.asarray(x) for x in (problem.counts, 1.0, problem.samples, problem.scale))
    share, y = w * m / N, np.eye(problem.classes)
    G = s * theta * (share / np.sqrt(m))
    assert np.linalg.svd(G)[1][0] <= np.sqrt(float(problem.l2_W[0]) * float(problem.l2_H)) * (1 + 1e-12)
    if problem.bias == "free":
        assert np.abs(theta @ share).max() <= 1e-14
    value = ufm_value(problem, theta, y) @ share
    return value - (((theta @ share) ** 2).sum() / (2 * float(problem.l2_b)) if problem.bias == "ridge" else 0)


def ufm_value(problem, theta, y):
    q = y + theta
    h = lambda p: -np.where(p > 0, p * np.log(np.where(p > 0, p, 1)), 0)  # noqa: E731
    return {
        "mse": lambda: -(theta * y).sum(0) - (theta**2).sum(0) / 2, "ce": lambda: h(q).sum(0),
        "logistic": lambda: (h(q) + h(1 - q)).sum(0), "squared_hinge": lambda: ((theta - theta**2 / 2) * (1 - y)).sum(0),
    }[problem.loss.name]()  # fmt: skip


@pytest.mark.parametrize("bias", ["none", "free", "ridge"])
@pytest.mark.parametrize("loss", ["mse", "ce", "logistic", "squared_hinge"])
def test_the_bound_is_the_dual_value_of_the_dual_point_it_carries(loss, bias):
    problem = Problem.imbalanced((3, 1, 2), 4, loss=loss, bias=bias, l2_b=0.05 if bias == "ridge" else 0.0, l2_W=0.03, l2_H=0.01)
    certificate = certify(problem, ufm.initialize(problem, jax.random.key(1), 0.7))
    again = dual_bound(problem, certificate.dual)
    np.testing.assert_allclose(max(again.lower, 0.0), certificate.lower_bound, rtol=1e-13)
    by_hand = numpy_bound(problem, np.asarray(certificate.dual[0]))
    np.testing.assert_allclose(again.lower, by_hand, rtol=1e-9, atol=1e-12)
    assert by_hand >= again.lower - 1e-15 and certificate.allowance < 1e-13


def test_equal_columns_are_merged_and_the_bound_is_that_of_all_of_them():
    problem = Problem.imbalanced((30, 10, 20), 4, loss="ce", l2_W=0.003, l2_H=0.001)
    params = ufm.initialize(problem, jax.random.key(0), 0.3)
    certificate = certify(problem, params)
    assert certificate.dual.shape == (1, 3, 3)
    np.testing.assert_allclose(certificate.value, ufm.objective(problem, params), rtol=1e-14)
    alone = problem.replace(groups=(1,) * 60)
    whole = dual_bound(alone, certificate.dual[..., np.repeat(np.arange(3), (30, 10, 20))])
    np.testing.assert_allclose(whole.lower, dual_bound(problem, certificate.dual).lower, rtol=1e-12)


def test_tightness_is_claimed_where_the_width_holds_the_rank_and_only_there():
    def problem(loss="ce", width=3, bias="none", **choices):
        return Problem.balanced(4, 2, width, loss=loss, bias=bias, l2_W=0.01, l2_H=0.01, **choices)

    assert is_tight(problem()) and not is_tight(problem(width=2))
    assert is_tight(problem("mse", 4)) and not is_tight(problem("mse", 3)) and is_tight(problem("mse", 3, "free"))
    assert is_tight(problem(kd(), 3, teacher=np.ones((4, 8)))) and is_tight(problem(poly1(0.5)))
    assert not is_tight(problem(features="sphere", width=4)) and not is_tight(problem("mse", (4, 4)))
    assert is_tight(problem(features="nonnegative", width=4)) and not is_tight(problem("mse", 4, features="nonnegative"))
    own = ufm.Loss("own", lambda z, y: jnp.sum((z - y) ** 2), convex=True)
    assert "as declared" in str(explain(problem(own))) and "as declared" not in str(explain(problem()))
    assert "may be loose" in str(explain(problem(width=2))) and "tight at the optimum" in str(explain(problem()))
    assert "float32" in str(explain(single(problem())))


@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (4, 4), (1, 6)])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_norms_are_never_too_small(shape, dtype):
    rng = np.random.default_rng(0)
    bound = jax.jit(rounding.norm_above)
    for scale in (1e-30, 1e-8, 1.0, 1e12):
        for rank_one in (False, True):
            G = (
                rng.standard_normal(shape)
                if not rank_one
                else np.outer(rng.standard_normal(shape[0]), rng.standard_normal(shape[1]))
            )
            G = (scale * G).astype(dtype)
            exact = np.linalg.svd(G.astype(float))[1][0]
            found = float(bound(jnp.asarray(G), jnp.zeros_like(G)))
            assert exact * (1 - 1e-15) <= found <= exact * (1 + 2000 * np.finfo(dtype).eps)
    assert bound(jnp.zeros(shape, dtype), jnp.zeros(shape, dtype)) < 1e-30


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", ["exp", "log", "log1p", "expm1"])
def test_functions_of_the_backend_are_within_the_ulps_that_the_allowances_grant_them(name, dtype):
    grid = np.concatenate([np.geomspace(1e-30, 0.9, 200), -np.geomspace(1e-30, 0.9, 200), np.geomspace(1, 60, 50)]).astype(dtype)
    if name == "log":
        grid = np.concatenate([np.abs(grid), 1 + grid[100:300].astype(dtype)])
        grid = grid[grid > 0]
    found = np.asarray(jax.jit(getattr(jnp, name))(jnp.asarray(grid)), float)
    with mpmath.workdps(60):
        for x, y in zip(grid, found, strict=True):
            exact = getattr(mpmath, name)(mpmath.mpf(float(x)))
            assert abs(mpmath.mpf(float(y)) - exact) <= rounding.LIBRARY * float(np.finfo(dtype).eps) * abs(exact), (x, y)


def test_a_sum_from_below_is_below_the_exact_sum():
    rng = np.random.default_rng(1)
    weights, terms = rng.uniform(0, 1, 300), rng.standard_normal(300) * 10.0 ** rng.uniform(-12, 3, 300)
    low, slack = rounding.total_below(jnp.asarray(weights), jnp.asarray(terms), jnp.zeros(300))
    exact = sum(Fraction(a) * Fraction(b) for a, b in zip(weights.tolist(), terms.tolist(), strict=True))
    assert Fraction(float(low)) <= exact <= Fraction(float(low)) + 2 * Fraction(float(slack))


def test_bounds_of_float32_are_rounded_down_under_jit_too():
    """XLA leaves out a conversion to float32 and back: what is compared with must have been rounded all the same."""
    x = jnp.asarray([1 / 3, -1 / 3, 0.1, 1e-30, 0.0, 7e20])
    for function in (rounding.rounded_down, jax.jit(rounding.rounded_down, static_argnums=1)):
        down = function(x, jnp.float32)
        assert down.dtype == jnp.float32 and np.all(np.asarray(down, float) <= np.asarray(x))
        np.testing.assert_allclose(down, x, rtol=3e-7, atol=1e-37)
    inwards = jax.jit(rounding.rounded_inwards, static_argnums=1)(x, jnp.float32)
    assert np.all(np.abs(inwards) <= np.abs(x)) and np.array_equal(inwards, np.asarray(inwards, np.float32).astype(float))
    problem = ufm.Problem.balanced(3, 1, 2, bias="ridge", l2_b=np.float32(1e-12), l2_W=np.float32(3), l2_H=np.float32(3))
    params = ufm.predict(problem).params
    for bounded in (ufm.certify, jax.jit(ufm.certify)):  # zero features are the minimum, of value 1/3 but for the bias
        assert float(bounded(problem, params).lower_bound) <= 1 / 3


def test_class_sizes_of_float32_are_added_up_before_they_are_rounded():
    sizes = np.array([2.6707571, 2.9065206, 6386.938], np.float32)
    ridges = {"l2_W": np.float32(0.1), "l2_H": np.float32(0.2)}
    problem = ufm.Problem.imbalanced((1, 2, 3), 4, columns="class", loss="ce", **ridges).replace(multiplicity=sizes)
    zero = jax.tree.map(jnp.zeros_like, ufm.initialize(problem, jax.random.key(0)))
    assert float(certify(problem, zero).lower_bound) <= np.log(3)
