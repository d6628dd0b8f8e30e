"""Mixup features under a fixed simplex classifier (the setting of Fisher, Meng, Papyan 2024; the closed form derived).

Columns are types of samples: a pair of one class, or an ordered pair of classes k != l mixed with weight t, target
q = t e_k + (1-t) e_l, weighted by their probability. With W W^T = om2 (I - J/K) each type is a problem of its own,

    min_h CE(q, softmax(W h)) + (l2_H/2) |h|^2        z = W h = kappa (q - softmax(z)),   kappa = om2/l2_H

whose logits are x + o at k, y + o at l and o = -(x+y)/K elsewhere, with Den = e^x + e^y + K - 2 and

    x = kappa (t - (e^x - 1)/Den),   y = kappa (1 - t - (e^y - 1)/Den),   h = (x w_k + y w_l)/om2.

Features of one class (t = 1, y = 0) are aligned with their classifier; mixed ones run along channels between classes.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ufm.checks import is_traced
from ufm.objective import Params, column_weights, data_term
from ufm.problem import Problem
from ufm.reduce import split_columns
from ufm.settings.mixup import mixup_problem
from ufm.theory.assumptions import has_bias, has_loss
from ufm.theory.minimum import minimum_theorem
from ufm.theory.prediction import Prediction
from ufm.theory.theorem import Assumption

_ITERATIONS = 100


def predict(problem: Problem) -> Prediction:
    """Features of every column from two scalars each (one for K = 2)."""
    K, W = problem.classes, problem.scale * problem.classifier
    om2 = jnp.sum(W**2) / (K - 1)
    kappa = om2 * column_weights(problem) / (problem.l2_H * problem.multiplicity)
    first = jax.nn.one_hot(jnp.argmax(problem.targets, axis=0), K, axis=0, dtype=problem.dtype)
    second = jax.nn.one_hot(jnp.argmax(problem.targets - 2 * first, axis=0), K, axis=0, dtype=problem.dtype)
    x, y = _solve(K, jnp.sum(problem.targets * first, axis=0), kappa)
    z = x[None, :] * first + y[None, :] * second - ((x + y) / K)[None, :]
    H = W.T @ z / om2 * jnp.sqrt(problem.multiplicity)[None, :]
    starts = np.cumsum((0, *problem.groups[:-1]))
    s = jnp.linalg.svd(H, compute_uv=False)
    value = data_term(problem, z) + 0.5 * problem.l2_H * jnp.sum(H**2)
    return Prediction(
        # numbers that are traced could not be checked beforehand: outside the theorem they give NaN, not a number
        value=jnp.where(_is_simplex(problem.classifier) & _mixes_at_most_two(problem.targets), value, jnp.nan),
        params=Params((), H, None),
        logits=z[:, starts],
        singular_values=s[None, :],
        alive=s > 1e-12 * s[0],
        rank=jnp.sum(s > 1e-12 * s[0]),
        unique=jnp.asarray(True),
    )


def _solve(classes: int, t: jax.Array, kappa: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Minimisers (x, y) of log(e^x + e^y + K - 2) - t x - (1-t) y + (x^2 + y^2 - (x+y)^2/K) / (2 kappa), entrywise.

    For K = 2 only x - y matters and y = -x is taken. Newton steps d are shortened to log(1 + |d|)/|d|, which
    descends from anywhere for logistic potentials; the last ones are plain and carry the derivatives.
    """
    rest = jnp.log(classes - 2.0) if classes > 2 else -jnp.inf

    def step(x, y, t, kappa):
        total = jnp.logaddexp(jnp.logaddexp(x, y), rest)
        p, r = jnp.exp(x - total), jnp.exp(y - total)
        if classes == 2:  # along (1, -1): the derivative of the potential in x, and the second one
            d = -(p - r - 2 * t + 1 + 2 * x / kappa) / (4 * p * r + 2 / kappa)
            return d, -d
        own, other = (1 - 1 / classes) / kappa, -1 / (classes * kappa)
        g, h = p - t + own * x + other * y, r - (1 - t) + own * y + other * x
        a, b, c = p * (1 - p) + own, r * (1 - r) + own, other - p * r
        # ab - c^2 without cancellation: sum of products of the two positive definite parts
        empty = jnp.exp(rest - total)
        det = p * r * empty + (p * (1 - p) + r * (1 - r)) * own + 2 * p * r * other + (own - other) * (own + other)
        return -(b * g - c * h) / det, -(a * h - c * g) / det

    fixed = lax.stop_gradient((t, kappa))

    def damped(_, point):
        dx, dy = step(*point, *fixed)
        length = 2 * jnp.maximum(jnp.abs(dx), jnp.abs(dy))
        shorter = jnp.where(length > 0, jnp.log1p(length) / jnp.where(length > 0, length, 1), 1)
        return point[0] + shorter * dx, point[1] + shorter * dy

    x, y = lax.stop_gradient(lax.fori_loop(0, _ITERATIONS, damped, (jnp.zeros_like(t), jnp.zeros_like(t))))
    for _ in range(2):
        dx, dy = step(x, y, t, kappa)
        x, y = x + dx, y + dy
    return x, y


def cases() -> dict[str, Problem]:
    """Weak and strong ridges, pure, even and uneven pairs."""
    nodes, weights = (0.0, 0.3, 0.5, 1.0), (0.1, 0.4, 0.3, 0.2)
    return {f"K=3 kappa={kappa}": _at(nodes, weights, kappa) for kappa in (0.1, 10.0, 1000.0)}


def draw(rng: np.random.Generator) -> Problem:
    """Random nodes, probabilities, ridge and length of the classifier's rows."""
    weights = rng.dirichlet(np.full(4, 3.0))
    return _at(rng.uniform(0.02, 0.98, size=4), weights, np.exp(rng.uniform(-1, 6)), rng.uniform(0.5, 3))


def _at(nodes: Any, weights: Any, kappa: float, norm: float = 1.5) -> Problem:
    """K = 3 classes in d = 4 > K - 1 dimensions, every type as two columns of half its probability."""
    return split_columns(mixup_problem(3, 4, nodes, weights, norm, 1.5 * norm**2 / kappa))


def _is_simplex(classifier: Any) -> Any:
    K = classifier.shape[0]
    gram = classifier @ classifier.T
    return abs(gram - (np.eye(K) - 1 / K) * gram.trace() / (K - 1)).max() <= 1e-9 * gram.trace()


def _mixes_at_most_two(targets: Any) -> Any:
    return ((targets > 0).sum(axis=0) <= 2).all()


def _fixed_simplex(p: Problem) -> bool:
    if p.classifier is None or p.trainable != 0:
        return False
    return is_traced(p.classifier) or bool(_is_simplex(np.asarray(p.classifier)))


THEOREMS = (
    minimum_theorem(
        id="mixup-fixed-simplex",
        status="holds",
        claim="Under mixup and a fixed simplex classifier, features of one class align with its row and mixed features "
        "lie in the plane of their two rows, at the minimiser of a convex potential of two scalars.",
        source="setting: Fisher, Meng, Papyan 2024, Pushing boundaries: mixup's influence on neural collapse, arXiv "
        "2402.06171; closed form derived",
        assumes=(
            has_loss("ce"),
            has_bias("none"),
            Assumption("a fixed simplex classifier, no trained weights", _fixed_simplex),
            Assumption(
                "targets that mix at most two classes",
                lambda p: is_traced(p.targets) or bool(_mixes_at_most_two(np.asarray(p.targets))),
            ),
            Assumption("free features without proximity term", lambda p: p.features == "free" and p.H0 is None),
        ),
        predict=predict,
        cases=cases,
        draw=draw,
    ),
)
