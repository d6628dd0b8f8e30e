"""Value, gradient and Hessian in balls against automatic differentiation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ufm import Params, Problem
from ufm.problem.params import objective
from ufm.proofs.curvature import objective_of

flint = pytest.importorskip("flint")
LOSSES, BIASES = ("mse", "ce", "logistic", "squared_hinge"), ("none", "free", "ridge")


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


def flat(problem, x):
    """The objective of a flat point: H, W_1, ..., W_T, b."""
    arrays, start = [], 0
    for rows, columns in objective_of(problem).blocks:
        arrays.append(x[start : start + rows * columns].reshape(rows, columns))
        start += rows * columns
    biased = problem.bias != "none"
    H, *weights = arrays[:-1] if biased else arrays
    return objective(problem, Params(tuple(weights), H, arrays[-1][:, 0] if biased else None))


@pytest.mark.parametrize("depth", (1, 2, 3))
@pytest.mark.parametrize("bias", BIASES)
@pytest.mark.parametrize("loss", LOSSES)
def test_derivatives_are_those_of_the_objective(loss, bias, depth):
    agree(problem_of(loss, bias, depth))


@pytest.mark.parametrize("depth", (1, 2))
def test_derivatives_under_a_fixed_classifier(depth):
    agree(problem_of("ce", "free", depth, classifier=True))


def agree(problem):
    exact = objective_of(problem)
    x = np.random.default_rng(7).standard_normal(exact.size)
    point = [flint.arb(entry) for entry in x.tolist()]
    f = lambda x: flat(problem, x)  # noqa: E731
    value, gradient, hessian = jax.jit(lambda x: (*jax.value_and_grad(f)(x), jax.hessian(f)(x)))(jnp.asarray(x))
    np.testing.assert_allclose(float(exact.value(point)), value, rtol=1e-13)
    np.testing.assert_allclose([float(g) for g in exact.gradient(point)], gradient, rtol=0, atol=1e-12)
    H = np.array([float(h) for h in exact.hessian(point).entries()]).reshape(exact.size, -1)
    np.testing.assert_allclose(H, hessian, rtol=0, atol=1e-12)
