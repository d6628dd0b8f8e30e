"""How fast flows arrive at the minimum of balanced MSE (derived; N = K n, the other numbers as in `table`).

    all of f:       d(W, H)/dt = -grad f     |grad f| ~ exp(-rate t/N),  rate = min{lam_-, lH [d > K, n > 1]}
    central path:   dH/dt = -N grad L        |grad L| ~ exp(-rate t),    rate = min{4 lH (1-c), lH [d > K, n > 1]}

with lam_- = (T - sqrt(T^2 - 16 c (1-c) n))/2, T = s + n/s, at any d for c < 1. No other mode can be the slowest: lam_- is at
most s, n/s and lH + n lW, and 4 lH (1-c) at most s. f - f* and L - f* decay twice as fast. For c -> 1 both rates vanish like
1 - c; for c > 1 they are nu_- (as in `critical_points`, now positive) and lH - 1/lW. What remains within classes
follows rates of its own, s where the classifier sees it and lH where not: NC1 and NC2 decay differently.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from ufm.base.checks import AnyNumber
from ufm.motion.central_path import reduced_objective
from ufm.problem import Problem
from ufm.problem.params import objective
from ufm.theory import statements
from ufm.theory.kit.integrate import central_path, gradient_flow
from ufm.theory.second_order.cases import PLAIN, SHAPES, CriticalPoint, minimiser
from ufm.theory.second_order.table import block, numbers
from ufm.theory.theorem import agreement

_STEP_OF_STIFFEST = 3.0
_KICKS = (1e-2, 1e-7)  # the smaller one for what must decay while the classifier stands still
# shapes and the ranges of s that keep the two lowest rates apart
_JOINT = {"d<K": (0.7, 1.4), "d>K": (0.7, 1.4), "n=1": (2.5, 3.5)}
_CENTRAL = {"d=K": (0.7, 1.4), "d>K": (0.7, 1.4)}


class Rates(NamedTuple):
    """Exponential rates of |grad|, and of the within-class part seen and unseen by the classifier (0 where there is none)."""

    gradient: AnyNumber
    seen: AnyNumber
    unseen: AnyNumber


def predict_joint(case: CriticalPoint) -> Rates:
    """Gradient flow arrives at the minimum of balanced MSE at rate min{lam_-, lH [d > K, n > 1]}/N, and what remains within classes
    at s/N and lH/N: NC1 and NC2 decay at different rates.
    """
    n, w, lW, lH, c, s, _ = numbers(case.problem)
    soft, dormant = block(s, (1 - 2 * c) * jnp.sqrt(n), n / s)[0], block(lH, jnp.sqrt(n), n * lW)[0]
    return _rates(case, jnp.where(c < 1, soft, dormant), w)


def predict_central(case: CriticalPoint) -> Rates:
    """The central path of balanced MSE arrives at the minimum at rate min{4 lH (1-c), lH [d > K, n > 1]}, which vanishes towards c
    = 1.
    """
    _, _, lW, lH, c, _, _ = numbers(case.problem)
    return _rates(case, jnp.where(c < 1, 4 * lH * (1 - c), lH - 1 / lW), jnp.ones_like(c))


def _rates(case: CriticalPoint, means: jax.Array, unit: jax.Array) -> Rates:
    """All rates from the slowest one of the class means, in units of `unit`."""
    n, _, _, lH, _, s, _ = numbers(case.problem)
    has_seen, has_unseen = (n > 1) & (case.rank > 0), (n > 1) & (case.rank < case.problem.widths[0])
    slowest = jnp.where(has_unseen, jnp.minimum(means, lH), means)
    return Rates(unit * slowest, unit * jnp.where(has_seen, s, 0), unit * jnp.where(has_unseen, lH, 0))


def measure_joint(case: CriticalPoint, key: jax.Array) -> Rates:
    """Late slopes of the logarithms along the flow of all entries of W and H, from a generic point near the minimum."""
    return _slopes(case, key, central=False)


def measure_central(case: CriticalPoint, key: jax.Array) -> Rates:
    """The same along the flow of H under the best classifier, in units of N."""
    return _slopes(case, key, central=True)


def _slopes(case: CriticalPoint, key: jax.Array, central: bool) -> Rates:
    problem, W, H = case.problem, np.asarray(case.params.weights[0]), np.asarray(case.params.H)
    N, W2, H2 = problem.columns, np.linalg.norm(W, 2) ** 2, np.linalg.norm(H, 2) ** 2
    residual = np.linalg.norm(W @ H - np.asarray(problem.targets), 2)
    l2_W, l2_H = float(problem.l2_W[0]), float(problem.l2_H)
    # no curvature of f exceeds (|W|^2 + |H|^2 + |W H - Y|)/N + the larger ridge, none of L exceeds |W|^2/N + l2_H
    stiffest = W2 / N + l2_H if central else (W2 + H2 + residual) / N + max(l2_W, l2_H)
    step = _STEP_OF_STIFFEST / stiffest
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    at_rest = case.params.H if central else case.params
    starts = jax.tree.map(lambda x: jnp.asarray(np.asarray(x) + np.multiply.outer(_KICKS, rng.normal(size=x.shape))), at_rest)
    ts = step * jnp.arange(100 if central else 400)
    norms = np.asarray(_history(problem, starts, jnp.asarray(np.linalg.pinv(W, rcond=1e-9) @ W), ts, central))
    unit = step / N if central else step
    seen_rate, unseen_rate = (_slope(norms[1, :, part], unit, 0.5, 1e-2) for part in (1, 2))
    return Rates(_slope(norms[0, :, 0], unit, 1e-5, 1e-7), seen_rate, unseen_rate)


@partial(jax.jit, static_argnames="central")
def _history(problem: Problem, starts: Any, seen: jax.Array, ts: jax.Array, central: bool) -> jax.Array:
    """(starts, T, 3): norms of the gradient and of the within-class parts inside and outside the span `seen`."""
    flow, value = (central_path, reduced_objective) if central else (gradient_flow, objective)

    def record(x: Any) -> jax.Array:
        H = x if central else x.H
        classes = H.reshape(H.shape[0], problem.classes, -1)
        D = (classes - jnp.mean(classes, axis=2, keepdims=True)).reshape(H.shape)
        gradient = ravel_pytree(jax.grad(partial(value, problem))(x))[0]
        return jnp.stack([jnp.linalg.norm(part) for part in (gradient, seen @ D, D - seen @ D)])

    return jax.vmap(lambda start: jax.vmap(record)(flow(problem, start, ts)))(starts)


def _slope(norms: np.ndarray, step: float | np.floating, high: float, low: float) -> float:
    """The mean rate of decay between the first times below `high` and `low` of the start; 0 for nothing, NaN if too slow."""
    if norms[0] < 1e-12:
        return 0.0
    (first, last), reached = (np.argmax(norms < norms[0] * level) for level in (high, low)), norms[-1] < norms[0] * low
    return np.log(norms[first] / norms[last]) / (step * (last - first)) if reached else np.nan


def _cases(s_of: dict[str, tuple[float, float]]) -> dict[str, CriticalPoint]:
    """c below and above where modes trade places, and beyond 1; s such that the two lowest rates are apart."""
    rng = np.random.default_rng(0)
    points = {f"{name} c={c}": minimiser(SHAPES[name], c, s_of[name][0], rng) for name in s_of for c in (0.1, 0.92)}
    return points | {"c=1.3": minimiser(SHAPES["d>K"], 1.3, 1.1, rng)}


def _draw(s_of: dict[str, tuple[float, float]], rng: np.random.Generator) -> CriticalPoint:
    """Random ridges, small or large enough for the two lowest rates to be apart."""
    name = list(s_of)[rng.integers(len(s_of))]
    c = rng.uniform(0.08, 0.12) if rng.random() < 0.5 else rng.uniform(0.88, 0.95)
    return minimiser(SHAPES[name], c, rng.uniform(*s_of[name]), rng)


THEOREMS = (
    # other, both: slopes between two times that are found on the path, from random kicks of two sizes
    statements.other(
        "mse-flow-rates", "derived",
        predict_joint, measure_joint, lambda: _cases(_JOINT), partial(_draw, _JOINT), PLAIN, evidence=agreement(1e-4),
    ),
    statements.other(
        "mse-central-path-rates", "derived; flow of [han2022]",
        predict_central, measure_central, lambda: _cases(_CENTRAL), partial(_draw, _CENTRAL), PLAIN, evidence=agreement(1e-4),
    ),
)  # fmt: skip
