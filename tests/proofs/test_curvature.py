"""Value, gradient and Hessian in balls against automatic differentiation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ufm import Params, Problem
from ufm.problem.params import objective
from ufm.proofs.curvature import objective_of

flint = pytest.importorskip("flint")
LOSSES = ("mse", "ce", "logistic", "squared_hinge")


def problem_of(loss, bias, depth, classifier=False):
    """Three classes with sizes, weights, intercepts, a scale and, where they make sense, soft labels."""
    rng = np.random.default_rng(depth)
    targets = np.eye(3)[:, [0, 0, 1, 2]]
    if loss != "squared_hinge":
        targets = 0.9 * targets + 0.1 * rng.dirichlet(np.ones(3), 4).T
    choices = {"classifier": rng.standard_normal((3, 2))} if classifier else {}
    trained = depth - classifier
    return Problem.from_targets(
        targets, (3, 2, 2)[3 - depth :], loss=loss, bias=bias, l2_W=tuple(0.02 * 2.0**i for i in range(trained)), l2_H=0.01,
        l2_b=0.03 if bias == "ridge" else 0.0, multiplicity=(1.0, 4.0, 2.0, 3.0), weight=(1.0, 0.5, 2.0, 1.5),
        intercept=(1.0, 1.0, 0.5, 2.0), scale=1.5, samples=7.0, **choices,
    )  # fmt: skip


def params_of(problem, blocks, x):
    """A flat point, H, W_1, ..., W_T, b, as Params."""
    arrays, start = [], 0
    for rows, columns in blocks:
        arrays.append(x[start : start + rows * columns].reshape(rows, columns))
        start += rows * columns
    b = None if problem.bias == "none" else arrays.pop()[:, 0]
    return Params(tuple(arrays[1:]), arrays[0], b)


def derivatives(exact, x):
    """Value, gradient and Hessian of an Objective as floats."""
    point = [flint.arb(entry) for entry in x.tolist()]
    H = np.array([float(h) for h in exact.hessian(point).entries()]).reshape(exact.size, -1)
    return float(exact.value(point)), np.array([float(g) for g in exact.gradient(point)]), H


def agree(problem):
    exact = objective_of(problem)
    x = np.random.default_rng(7).standard_normal(exact.size)
    f = lambda x: objective(problem, params_of(problem, exact.blocks, x))  # noqa: E731
    differentiated = jax.jit(lambda x: (*jax.value_and_grad(f)(x), jax.hessian(f)(x)))(jnp.asarray(x))
    for ours, theirs in zip(derivatives(exact, x), differentiated, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-13, atol=1e-12)


@pytest.mark.parametrize("depth", (1, 2, 3))
@pytest.mark.parametrize("loss", LOSSES)
def test_derivatives_are_those_of_the_objective(loss, depth):
    agree(problem_of(loss, "ridge", depth))


@pytest.mark.parametrize("depth", (1, 2))
def test_derivatives_under_a_fixed_classifier(depth):
    agree(problem_of("ce", "ridge", depth, classifier=True))


@pytest.mark.parametrize("depth", (1, 2, 3))
@pytest.mark.parametrize("loss", LOSSES)
def test_other_bias_modes_are_the_ridge_without_its_price_and_without_a_bias(loss, depth):
    ridge, free, none = (problem_of(loss, bias, depth) for bias in ("ridge", "free", "none"))
    exact = objective_of(ridge)
    x = np.random.default_rng(8).standard_normal(exact.size)
    b = np.arange(exact.size) >= exact.size - 3
    price = ridge.l2_b.item()
    value, gradient, H = derivatives(exact, x)
    prices = 0.5 * price * np.sum(x[b] ** 2), price * b * x, price * np.diag(b)
    for whole, part, least in zip((value, gradient, H), prices, derivatives(objective_of(free), x), strict=True):
        np.testing.assert_allclose(whole - part, least, rtol=0, atol=1e-13)
    x = np.where(b, 0, x)
    value, gradient, H = derivatives(exact, x)
    for whole, least in zip((value, gradient[~b], H[~b][:, ~b]), derivatives(objective_of(none), x[~b]), strict=True):
        np.testing.assert_allclose(whole, least, rtol=0, atol=1e-13)
    np.testing.assert_allclose(value, objective(none, params_of(none, exact.blocks[:-1], jnp.asarray(x[~b]))), rtol=1e-13)
