"""Cross-entropy without ridge picks the simplex by itself, from any start that learns (Ji, Lu, Zhang, Deng, Su 2022).

Gradient flow of f(W, H) = CE(W H)/N without bias, K classes of n samples, d >= K - 1: f -> 0, |theta| -> infinity, and theta
turns to the largest margin for its norm, neural collapse:

    margin/|theta|^2 -> 1/(2 sqrt(n) (K-1)),    W_c W_c^T / |W_c|^2 -> (I - J/K)/(K-1),    H^T H / |H|^2 likewise, samples equal

for the centred classifier W_c = W - 1 1^T W/K. Its column sums 1^T W never move, and (W^T W - H H^T) does not either: the
uncentred W tends to the simplex only like (log t)^(-1/2). The smoothed margin of Lyu and Li never falls.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ufm.motion.log_domain import descend_log
from ufm.problem import Problem, is_balanced
from ufm.problem.params import Params
from ufm.theory import statements
from ufm.theory.theorem import Assumption, agreement

_STEPS, _EVERY, _STEP = 24_000, 400, 0.9


class Start(NamedTuple):
    """A problem without ridge, and a point to start from."""

    problem: Problem
    params: Params


class Direction(NamedTuple):
    """What the flow ends in.

    margin: limit of the margin over |theta|^2. classifier: (K, K) Gram matrix of the centred classifier, of trace 1.
    features: (N, N) of the features. sums: (d,) of the classifier's rows. fall: largest fall of the smoothed margin,
    relative to the limit, since N f < log 2.
    """

    margin: jax.Array
    classifier: jax.Array
    features: jax.Array
    sums: jax.Array
    fall: jax.Array


def predict(case: Start) -> Direction:
    """Gradient flow of balanced cross-entropy without ridge turns random starts to the simplex: the centred classifier and the
    features collapse, the margin over |theta|^2 tends to 1/(2 sqrt(n)(K-1)), the column sums of W stay.

    The simplex, and the sums of the start.
    """
    problem = case.problem
    K, n = problem.classes, problem.counts[0]
    simplex = (jnp.eye(K) - 1 / K) / (K - 1)
    labels = problem.labels
    features = simplex[labels][:, labels] / n
    return Direction(
        1 / (2 * jnp.sqrt(n) * (K - 1)), simplex, features, jnp.sum(case.params.weights[0], axis=0), jnp.zeros(())
    )


def measure(case: Start, key: jax.Array) -> Direction:
    """Descend on log f in steps of the flow, until log t is above ten thousand."""
    del key  # the start belongs to the case
    return _late(case)


@jax.jit
def _late(case: Start) -> Direction:
    run = descend_log(case.problem, case.params, _STEPS, step=_STEP, every=_EVERY)
    (W,), H = run.params.weights, run.params.H
    centred = W - jnp.mean(W, axis=0, keepdims=True)
    learned = run.log_value[:-1] + jnp.log(case.problem.samples) < jnp.log(jnp.log(2.0))
    falls = jnp.where(learned, -jnp.diff(run.smoothed_margin), 0)
    return Direction(
        run.margin[-1] / optax.tree.norm(run.params) ** 2,
        centred @ centred.T / jnp.sum(centred**2),
        H.T @ H / jnp.sum(H**2),
        jnp.sum(W, axis=0),
        jnp.maximum(jnp.max(falls), 0) / run.smoothed_margin[-1],
    )


def random_start(size_W: float, size_H: float, rng: np.random.Generator, K: int = 3, n: int = 2, d: int = 4) -> Start:
    """Gaussian entries of the given sizes."""
    W, H = size_W * rng.normal(size=(K, d)), size_H * rng.normal(size=(d, K * n))
    return Start(Problem.balanced(K, n, d, loss="ce"), Params((jnp.asarray(W),), jnp.asarray(H), None))


def cases() -> dict[str, Start]:
    """Small and larger starts, and factors of different sizes."""
    rng = np.random.default_rng(0)
    sizes = ((0.1, 0.1), (0.5, 0.5), (0.8, 0.1), (0.1, 0.8))
    return {f"sizes {a} {b}": random_start(a, b, rng) for a, b in sizes}


def draw(rng: np.random.Generator) -> Start:
    """A random start of random sizes."""
    size_W, size_H = np.exp(rng.uniform(-2, -0.5, size=2))
    return random_start(size_W, size_H, rng)


THEOREMS = (
    statements.other(
        "ce-implicit-bias", "[ji2022]; smoothed margin: [lyu2020]; limit of the margin derived",
        predict, measure, cases, draw,
        (
            Assumption("balanced cross-entropy, one layer, no bias", lambda c: is_balanced(c.problem.design)),
            Assumption("no ridge", lambda c: float(np.max(c.problem.ridges)) == 0),
            Assumption("d >= K - 1", lambda c: c.problem.widths[0] >= c.problem.classes - 1),
        ),
        status="numerical", evidence=agreement(5e-4, sums=1e-9, fall=1e-9),
        notes="Proved are convergence in direction to KKT points of the margin problem, of which the simplex is the global "
        "minimiser, and that the others can be left; that random starts leave them is measured.",
    ),
)  # fmt: skip
