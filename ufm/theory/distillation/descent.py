"""Minima of one-layer problems measured at little cost of compilation: SciPy's descent on the factors, everything else in NumPy.

The losses of distillation have parameters that are part of a compiled program, so that every entry would compile the large programs
of the shared measurement anew; here it is the objective with its gradient alone. The certificate is the supporting plane of
`ufm.certify`: with G the gradient of the data term in X = scale W H, for every convex loss that is nowhere below 0

    f >= data(X0) - <G, X0> - max(|G|_2 - c, 0) f(X0)/c.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import minimize

from ufm.duality import loss_gradients, scaled_gradient
from ufm.problem import Problem
from ufm.problem.params import Params, column_weights, logits, objective
from ufm.theory.consistency import consistency_checks, uniqueness_check
from ufm.theory.prediction import Prediction
from ufm.theory.statements import minimum
from ufm.theory.theorem import Check, below, gap_checks

_SMALLEST = 1e-2  # matrices below this size are compared absolutely


class Seen(NamedTuple):
    """A point seen through what rotations leave alone.

    value: f. gradient_norm: |grad f|. logits: (K, C), less their means where the loss does not see them. classifier_gram: W W^T.
    feature_gram: H^T H of the columns. gap: relative, to the supporting plane.
    """

    value: float
    gradient_norm: float
    logits: np.ndarray
    classifier_gram: np.ndarray
    feature_gram: np.ndarray
    gap: float


def descended_minimum(problem: Problem, key: jax.Array) -> Seen:
    """Where L-BFGS-B ends from a random start, every column free to differ."""
    K, d, C = problem.classes, problem.widths[0], problem.columns
    # in units in which both ridges are equal
    units = np.repeat(np.sqrt(np.asarray(problem.c / problem.ridges))[::-1], [K * d, d * C])

    def unpacked(x: np.ndarray) -> Params:
        return Params((jnp.asarray(x[: K * d].reshape(K, d)),), jnp.asarray(x[K * d :].reshape(d, C)), None)

    def value_and_slope(x: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope, *_ = _look(problem, unpacked(x * units))
        return float(value), np.concatenate([np.ravel(x) for x in jax.tree.leaves(slope)]) * units

    limits = {"maxiter": 20_000, "maxfun": 40_000, "maxcor": 20, "ftol": 0.0, "gtol": 1e-12}
    point = np.random.default_rng(np.asarray(jax.random.key_data(key))).normal(size=units.size) / np.sqrt(d)
    for _ in range(3):  # a line search that rounding stopped goes on from a fresh memory
        point = minimize(value_and_slope, point, jac=True, method="L-BFGS-B", options=limits).x
    return seen(problem, unpacked(point * units))


def seen(problem: Problem, params: Params) -> Seen:
    """A point of the problem, examined and certified."""
    value, slope, z, theta, G, weights, c = jax.tree.map(np.asarray, _look(problem, params))
    W, H = (np.asarray(x) for x in jax.tree.leaves(params))
    penalty = float(problem.l2_W[0]) / 2 * np.sum(W**2) + float(problem.l2_H) / 2 * np.sum(H**2)
    drop = penalty + np.sum(weights * theta * z) + max(np.linalg.norm(G, 2) - c, 0.0) * value / c
    if problem.loss.shift_invariant:
        z = z - z.mean(axis=0)
    norm = np.sqrt(sum(np.sum(x**2) for x in jax.tree.leaves(slope)))
    return Seen(float(value), norm, z, W @ W.T, H.T @ H, drop / value)


@jax.jit
def _look(problem: Problem, params: Params) -> tuple:
    """f and its gradient; logits (K, C), the loss's gradients in them and in X, the columns' weights, and c."""
    value, slope = jax.value_and_grad(lambda p: objective(problem, p))(params)
    z = logits(problem, params)
    theta = loss_gradients(problem, z)
    return value, slope, z, theta, scaled_gradient(problem, theta), column_weights(problem), problem.c


def _evidence(problem: Problem, predicted: Prediction, measured: Seen) -> list[Check]:
    """Agreement of values and of geometry, a predicted point that is stationary with its value, certificates of both points."""
    expected = seen(problem, predicted.params)
    p, m = float(predicted.value), measured.value
    # of logits and of both Gram matrices
    errors = [np.max(np.abs(a - b)) / max(np.max(np.abs(a)), _SMALLEST) for a, b in zip(expected[2:5], measured[2:5], strict=True)]
    geometry = float(np.max(errors))
    # a bound is of first order in how far the loss's gradient has moved, next to c, which at most logits do
    moved = errors[0] * np.max(np.abs(expected.logits))
    return [
        Check("agreement", "value", abs(m - p) / abs(p), 1e-9),
        below("agreement", "never below", (p - m) / abs(p), 1e-11),
        Check("agreement", "geometry", geometry, 1e-5),
        Check("stationarity", "value", abs(expected.value - p) / abs(p), 1e-11),
        Check("stationarity", "gradient", float(expected.gradient_norm), 1e-11),
        *consistency_checks(problem, predicted),
        uniqueness_check(problem, predicted, abs(m - p) <= 1e-9 * abs(p) and geometry > 1e-4),
        Check("certificate", "of the prediction", abs(float(expected.gap)), 1e-9),
        *gap_checks(measured.gap, 1e-7 + moved / float(problem.c)),
    ]


descent_theorem = partial(minimum, measure=descended_minimum, evidence=_evidence)
"""`statements.minimum` for one-layer problems of a convex loss without bias."""
