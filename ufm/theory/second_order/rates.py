"""How fast flows arrive at the minimum of balanced MSE, and how large steps of descent may be there (derived; numbers of `table`).

    all of f:       d(W, H)/dt = -grad f     |grad f| ~ exp(-rate t/N),  rate = min{lam_-, lH [d > K, n > 1]}
    central path:   dH/dt = -N grad L        |grad L| ~ exp(-rate t),    rate = min{4 lH (1-c), lH [d > K, n > 1]}

with N = K n, lam_- = (T - sqrt(T^2 - 16 c (1-c) n))/2, T = s + n/s, at any d for c < 1. No other mode can be the slowest: lam_- is
at most s, n/s and lH + n lW, and 4 lH (1-c) at most s. f - f* and L - f* decay twice as fast. For c -> 1 both rates vanish like
1 - c; for c > 1 they are nu_- (as in `critical_points`, now positive) and lH - 1/lW. What remains within classes
follows rates of its own, s where the classifier sees it and lH where not: NC1 and NC2 decay differently.

Steps of size h shrink every mode of the Hessian but the zero ones exactly for h below

    2 N/T,  T = s + n/s  for c < 1,        2 N/nu_+,  nu_+ = ((lH + n lW) + sqrt((lH - n lW)^2 + 4n))/2  for c >= 1

where T, of in-span and class rotations, is the largest eigenvalue at any d, above lam_+ and lH + n lW.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
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

_KICKS = (1e-2, 1e-7)  # the smaller one for what must decay while the classifier stands still
_JOINT = {"d<K": (0.7, 1.4), "d>K": (0.7, 1.4), "n=1": (2.5, 3.5)}  # shapes, and s that keep the two lowest rates apart
_CENTRAL = {"d=K": (0.7, 1.4), "d>K": (0.7, 1.4)}
_GONE = 1e-6  # of the first gradient, close to rounding
_FAR = 1e3  # beyond it descent has left for cycles or infinity: every minimum is as steep as this one
_STEPS, _GRID, _ROUNDS = 600, 16, 6
_STEEP = {"d<K": 0.6, "d>K": 1.7, "n=1": 1.3}


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


def measure(case: CriticalPoint, key: jax.Array, central: bool) -> Rates:
    """Late slopes of the logarithms from a generic point near the minimum, along the flow of all entries of W and H, or (`central`)
    of H under the best classifier, in units of N.
    """
    problem, W, H = case.problem, np.asarray(case.params.weights[0]), np.asarray(case.params.H)
    N, W2, H2 = problem.columns, np.linalg.norm(W, 2) ** 2, np.linalg.norm(H, 2) ** 2
    residual = np.linalg.norm(W @ H - np.asarray(problem.targets), 2)
    l2_W, l2_H = float(problem.l2_W[0]), float(problem.l2_H)
    # no curvature of f exceeds (|W|^2 + |H|^2 + |W H - Y|)/N + the larger ridge, none of L exceeds |W|^2/N + l2_H
    step = 3.0 / (W2 / N + l2_H if central else (W2 + H2 + residual) / N + max(l2_W, l2_H))
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    at_rest = case.params.H if central else case.params
    starts = jax.tree.map(lambda x: jnp.asarray(np.asarray(x) + np.multiply.outer(_KICKS, rng.normal(size=x.shape))), at_rest)
    ts = step * jnp.arange(100 if central else 400)
    norms = np.asarray(_history(problem, starts, jnp.asarray(np.linalg.pinv(W, rcond=1e-9) @ W), ts, central))
    unit = step / N if central else step
    return Rates(_slope(norms[0, :, 0], unit, 1e-5, 1e-7), *(_slope(norms[1, :, part], unit, 0.5, 1e-2) for part in (1, 2)))


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
    points = {f"{name} c={c}": minimiser(SHAPES[name], c, low, rng) for name, (low, _) in s_of.items() for c in (0.1, 0.92)}
    return points | {"c=1.3": minimiser(SHAPES["d>K"], 1.3, 1.1, rng)}


def _draw(s_of: dict[str, tuple[float, float]], rng: np.random.Generator) -> CriticalPoint:
    """Random ridges, small or large enough for the two lowest rates to be apart."""
    name = list(s_of)[rng.integers(len(s_of))]
    c = rng.uniform(0.08, 0.12) if rng.random() < 0.5 else rng.uniform(0.88, 0.95)
    return minimiser(SHAPES[name], c, rng.uniform(*s_of[name]), rng)


def predict_step(case: CriticalPoint) -> jax.Array:
    """Gradient descent on balanced MSE is stable at the minimum exactly for steps below 2 N/T, T = s + n/s.

    2 N/T, or 2 N/nu_+ for c >= 1.
    """
    n, w, lW, lH, c, s, _ = numbers(case.problem)
    return 2 / (w * jnp.where(c < 1, s + n / s, block(lH, jnp.sqrt(n), n * lW)[1]))


@jax.jit
def measure_step(case: CriticalPoint, key: jax.Array) -> jax.Array:
    """The step between gradient descent that comes back to the minimum and descent that leaves it, by refining a bracket."""
    flat, unravel = ravel_pytree(case.params)
    start = flat + _KICKS[1] * jax.random.normal(key, flat.shape, flat.dtype)
    gradient = jax.grad(lambda x: objective(case.problem, unravel(x)))

    def grows(step: jax.Array) -> jax.Array:
        """Whether the gradient grew over the second half of a descent, or left the neighbourhood or all numbers before."""

        def half(x: jax.Array, _: None) -> tuple[jax.Array, jax.Array]:
            return lax.fori_loop(0, _STEPS // 2, lambda _, y: y - step * gradient(y), x), jnp.linalg.norm(gradient(x))

        first, middle, last = lax.scan(half, start, length=3)[1]
        return ~(((last <= middle) | (last < _GONE * first)) & (last < _FAR * first))

    def refine(_: int, bracket: tuple) -> tuple:
        low, high = bracket
        steps = low + (high - low) * jnp.arange(1, _GRID + 1) / _GRID
        calm, width = jnp.argmax(jax.vmap(grows)(steps)), (high - low) / _GRID
        return low + width * calm, low + width * (calm + 1)

    low, high = lax.fori_loop(0, _ROUNDS, refine, (0.0 * case.problem.samples, 2.0 * case.problem.samples))
    return (low + high) / 2


def step_cases() -> dict[str, CriticalPoint]:
    """Flat and steep minima of three shapes, and zero for c > 1."""
    rng = np.random.default_rng(0)
    points = {f"{name} c={c}": minimiser(SHAPES[name], c, s, rng) for name, s in _STEEP.items() for c in (0.15, 0.5, 0.85)}
    return points | {"c=1.3": minimiser(SHAPES["d>K"], 1.3, 1.0, rng)}


def draw_step(rng: np.random.Generator) -> CriticalPoint:
    """A random shape and random ridges."""
    name = list(_STEEP)[rng.integers(len(_STEEP))]
    return minimiser(SHAPES[name], rng.uniform(0.15, 0.85), np.exp(rng.uniform(-0.7, 0.7)), rng)


THEOREMS = (
    # other, both: slopes between two times that are found on the path, from random kicks of two sizes
    statements.other(
        "mse-flow-rates", "derived", predict_joint, partial(measure, central=False), partial(_cases, _JOINT),
        partial(_draw, _JOINT), PLAIN, evidence=agreement(1e-4),
    ),
    statements.other(
        "mse-central-path-rates", "derived; flow of [han2022]", predict_central, partial(measure, central=True),
        partial(_cases, _CENTRAL), partial(_draw, _CENTRAL), PLAIN, evidence=agreement(1e-4),
    ),
    # other: the limit lies between descents that return and descents that leave, a bracket of many paths from random kicks
    statements.other(
        "mse-step-limit", "derived", predict_step, measure_step, step_cases, draw_step, PLAIN, evidence=agreement(1e-6),
    ),
)  # fmt: skip
