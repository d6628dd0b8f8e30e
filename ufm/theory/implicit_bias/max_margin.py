"""Cross-entropy without ridge picks the simplex by itself, from any start that learns (Ji, Lu, Zhang, Deng, Su 2022).

Gradient flow of f(W, H) = CE(W H)/N without bias, K classes of n samples, d >= K - 1: f -> 0, |theta| -> infinity, and theta
turns to the largest margin for its norm, neural collapse:

    margin/|theta|^2 -> 1/(2 sqrt(n) (K-1)),    W_c W_c^T / |W_c|^2 -> (I - J/K)/(K-1),    H^T H / |H|^2 likewise, samples equal

for the centred classifier W_c = W - 1 1^T W/K. Its column sums 1^T W never move, and (W^T W - H H^T) does not either: the
uncentred W tends to the simplex only like (log t)^(-1/2). The smoothed margin of Lyu and Li never falls.
"""

import jax
import jax.numpy as jnp
import numpy as np

from ufm.motion.log_domain import descend_log
from ufm.problem import Problem, is_balanced
from ufm.problem.params import Params
from ufm.theory import statements
from ufm.theory.implicit_bias.unregularised_ce import NO_RIDGE
from ufm.theory.statements.trajectories import Start
from ufm.theory.theorem import Assumption

_EVERY, _STEP = 400, 0.9
_RECORDED = np.arange(0.0, 24_001, _EVERY)


def predict(case: Start) -> dict[str, jax.Array]:
    """Gradient flow of balanced cross-entropy without ridge turns random starts to the simplex: the centred classifier and the
    features collapse, the margin over |theta|^2 tends to 1/(2 sqrt(n)(K-1)), the column sums of W stay.

    Gram matrices (K, K) and (N, N) have trace 1. fall: the largest of the smoothed margin, over its last, since N f < log 2.
    """
    K, n, labels = case.problem.classes, case.problem.counts[0], case.problem.labels
    simplex, sums = (jnp.eye(K) - 1 / K) / (K - 1), jnp.sum(case.params.weights[0], axis=0)
    grams = {"classifier": simplex, "features": simplex[labels][:, labels] / n}
    return grams | {"margin": 1 / (2 * jnp.sqrt(n) * (K - 1)), "sums": sums, "fall": jnp.zeros(())}


def descent(case: Start) -> tuple[Params, jax.Array, jax.Array]:
    """Points, margins and falls at the records of a descent on log f in steps of the flow, until log t is above ten thousand."""
    steps = _EVERY * (len(case.ts) - 1)
    run = descend_log(case.problem, case.params, steps, step=_STEP, every=_EVERY, record=lambda problem, params: params)
    learned = run.log_value[:-1] + jnp.log(case.problem.samples) < jnp.log(jnp.log(2.0))
    falls = jnp.where(learned, -jnp.diff(run.smoothed_margin), 0) / run.smoothed_margin[-1]
    return run.metrics, run.margin, jax.lax.cummax(jnp.append(0, falls))


def observe(case: Start, point: tuple[Params, jax.Array, jax.Array]) -> dict[str, jax.Array]:
    """Where a point is turned to, and the largest fall up to it."""
    ((W,), H, _), margin, fall = point
    centred = W - jnp.mean(W, axis=0, keepdims=True)
    grams = {"classifier": centred @ centred.T / jnp.sum(centred**2), "features": H.T @ H / jnp.sum(H**2)}
    return grams | {"margin": margin / (jnp.sum(W**2) + jnp.sum(H**2)), "sums": jnp.sum(W, axis=0), "fall": fall}


def random_start(size_W: float, size_H: float, rng: np.random.Generator, K: int = 3, n: int = 2, d: int = 4) -> Start:
    """Gaussian entries of the given sizes, looked at every 400 steps."""
    W, H = size_W * rng.normal(size=(K, d)), size_H * rng.normal(size=(d, K * n))
    return Start(Problem.balanced(K, n, d, loss="ce"), Params((jnp.asarray(W),), jnp.asarray(H), None), jnp.asarray(_RECORDED))


def cases() -> dict[str, Start]:
    """Small and larger starts, and factors of different sizes."""
    rng = np.random.default_rng(0)
    return {f"sizes {a} {b}": random_start(a, b, rng) for a, b in ((0.1, 0.1), (0.5, 0.5), (0.8, 0.1), (0.1, 0.8))}


def draw(rng: np.random.Generator) -> Start:
    """A random start of random sizes."""
    size_W, size_H = np.exp(rng.uniform(-2, -0.5, size=2))
    return random_start(size_W, size_H, rng)


_ASSUMES = (
    Assumption("balanced cross-entropy, one layer, no bias", lambda c: is_balanced(c.problem.design)), NO_RIDGE,
    Assumption("d >= K - 1", lambda c: c.problem.widths[0] >= c.problem.classes - 1),
)  # fmt: skip
THEOREMS = (
    statements.trajectory(
        "ce-implicit-bias", "[ji2022]; smoothed margin: [lyu2020]; limit of the margin derived",
        predict, observe, cases, draw, _ASSUMES,
        path=descent, at_end=True, tolerance=5e-4, leaves={"sums": 1e-9, "fall": 1e-9}, status="numerical",
        notes="Proved are convergence in direction to KKT points of the margin problem, of which the simplex is the global "
        "minimiser, and that the others can be left; that random starts leave them is measured.",
    ),
)  # fmt: skip
