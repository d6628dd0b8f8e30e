"""When each class is learned: logarithm of its gain over its rate, the larger class first (Saxe et al. 2014).

In the logistic modes of `two_factor`, with targets q_k = sqrt(n_k) - N l/scale > 0, p_k reaches the part f of q_k at

    t_k(f) = N ln[(q_k/p0 - 1) f/(1 - f)] / (2 scale q_k)

From equal starts p0 < q/5 half-learning comes in order of class size; small starts leave the delays
(N/(2 scale)) ln(1/p0) (1/q_i - 1/q_j) between classes.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ufm.problem import Problem
from ufm.problem.params import Params
from ufm.theory import statements
from ufm.theory.dynamics.spectral import is_balanced_spectral, mode_matrix, plain_mse, spectral_point
from ufm.theory.kit.integrate import arrival_times, downhill
from ufm.theory.theorem import Assumption, Check, agreement, below


class LearningStart(NamedTuple):
    """A problem of K weighted columns, a balanced spectral start below all targets, and parts (T,) of the target."""

    problem: Problem
    params: Params
    parts: jax.Array


def _targets(problem: Problem) -> jax.Array:
    return jnp.sqrt(problem.multiplicity) - problem.samples * problem.l2_H / problem.scale


def predict(case: LearningStart) -> jax.Array:
    """From an equal, small, balanced spectral start class k is half learned at N ln(q_k/p0 - 1)/(2 q_k), q_k = sqrt(n_k) - N l:
    larger classes first.

    t_k(f), (K, T), in units of the gradient flow.
    """
    problem, f = case.problem, case.parts
    q = _targets(problem)
    p0 = problem.scale * jnp.sum(case.params.H**2, axis=0)
    gain = jnp.log(q / p0 - 1)[:, None] + jnp.log(f / (1 - f))[None, :]
    return gain * (problem.samples / (2 * problem.scale * q))[:, None]


@jax.jit
def measure(case: LearningStart, key: jax.Array) -> jax.Array:
    """Integrate the flow of all entries until each diagonal logit reaches the parts of its target."""
    del key  # the start belongs to the case
    problem = case.problem

    def times(k: jax.Array) -> jax.Array:
        levels = case.parts * _targets(problem)[k]
        return arrival_times(downhill(problem), lambda p: mode_matrix(problem, p)[k, k], case.params, levels)

    return lax.map(times, jnp.arange(problem.classes))


def evidence(case: LearningStart, predicted: Any, measured: Any) -> list[Check]:
    """Agreement of all times; larger classes are half learned before smaller ones."""
    order = np.argsort(-np.asarray(case.problem.multiplicity), kind="stable")
    half = np.asarray(measured)[order, int(np.argmin(np.abs(np.asarray(case.parts) - 0.5)))]
    late = float(np.max(half[:-1] - half[1:])) / float(np.max(half))
    return [*agreement(1e-9)(case, predicted, measured), below("agreement", "larger classes first", late, 1e-9)]


def _case(cutoff: float, size: float, rng: np.random.Generator, counts=(25, 9, 4), scale=1.0) -> LearningStart:
    N = sum(counts)
    ridge = cutoff * scale / N
    problem = Problem.imbalanced(counts, 5, l2_W=ridge, l2_H=ridge, scale=scale).collapsed()
    params = spectral_point(problem, np.full((2, 3), np.sqrt(size / scale)), rng)
    return LearningStart(problem, params, jnp.asarray([0.25, 0.5, 0.9, 0.99]))


def cases() -> dict[str, LearningStart]:
    """Without and with ridge, a class just above its threshold, two equal classes, a start of 1e-8."""
    rng = np.random.default_rng(0)
    return {
        "no ridge": _case(0.0, 1e-2, rng),
        "ridge": _case(1.0, 1e-2, rng),
        "smallest class just alive": _case(1.9, 1e-3, rng),
        "two equal classes": _case(0.5, 1e-2, rng, counts=(7, 4, 7)),
        "tiny start, scale 2": _case(0.3, 1e-8, rng, scale=2.0),
    }


def draw(rng: np.random.Generator) -> LearningStart:
    """Random class sizes, ridge, scale and start."""
    counts = tuple(int(n) for n in rng.integers(3, 40, size=3))
    return _case(rng.uniform(0, 1.5), np.exp(rng.uniform(-9, -4)), rng, counts, np.exp(rng.uniform(-0.7, 0.7)))


def _starts_low(case: LearningStart) -> bool:
    p0 = float(case.problem.scale) * np.sum(np.asarray(case.params.H) ** 2, axis=0)
    return bool(np.ptp(p0) <= 1e-12 * np.max(p0) and np.all(5 * p0 < np.asarray(_targets(case.problem))))


THEOREMS = (
    statements.other(
        "two-factor-learning-times", "[saxe2014]; ridges and class sizes derived",
        predict, measure, cases, draw,
        (
            Assumption("one-hot MSE without bias, one layer, one column a class", lambda c: plain_mse(c.problem)),
            Assumption("equal ridges on W and H", lambda c: bool(c.problem.l2_W[0] == c.problem.l2_H)),
            Assumption("a spectral start, equal for all classes, below a fifth of every target", _starts_low),
            Assumption("a balanced spectral start", lambda c: is_balanced_spectral(c.params)),
        ),
        evidence=evidence,
    ),
)  # fmt: skip
