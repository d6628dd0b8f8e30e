"""Strong proximity: the minimiser is one implicit Euler step of the central path (Tirer, Huang, Niles-Weed 2023).

With G = N grad L(H0), A = N Hess L(H0), B = N beta and tau = 1/B,

    H_B = H0 - tau G + tau^2 A G + O(tau^3)      (second order derived)
    NC1(H_B) = NC1(H0) (1 + tau r + O(tau^2)),      r the rate of log NC1 on the central path at H0

The gradient flow at time tau has tau^2/2 A G in its place: path and flow agree to first order alone.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ufm.metrics.variability import nc1_trace_ratio
from ufm.problem import Problem
from ufm.problem.params import Params
from ufm.theory import statements
from ufm.theory.assumptions import proximity_features
from ufm.theory.perturbation.model import Features, centring, parts, proximity, random_features
from ufm.theory.perturbation.newton import minima
from ufm.theory.perturbation.rates import predict_rates
from ufm.theory.perturbation.reduced import gradient, hessian
from ufm.theory.theorem import Check, below


class Steps(NamedTuple):
    """A problem with H0, and (T,) halving steps tau = 1/B at which the expansion is tried."""

    problem: Problem
    taus: jax.Array


class Expansion(NamedTuple):
    """H_B, (T, d, N), and its NC1, (T,)."""

    H: jax.Array
    nc1: jax.Array


def predict(case: Steps) -> Expansion:
    """For strong proximity the minimiser is H0 - G/B + A G/B^2 + O(B^-3), G and A the gradient and Hessian of N L, and NC1 falls at
    its rate on the central path, by 1/B times it.

    The expansions to second and to first order in tau.
    """
    problem, taus = case
    H0, tau = proximity_features(problem), taus[:, None, None]
    G = gradient(problem, H0)
    AG = (hessian(problem, H0) @ G.T.ravel()).reshape(G.T.shape).T
    rates = predict_rates(Features(problem, H0))
    M, D = parts(problem, H0)
    spread = jnp.sum((M @ centring(problem.classes)) ** 2) / problem.classes
    nc1 = jnp.sum(D**2) / problem.samples / spread
    rate = -rates.ratio * nc1  # log NC1 = -log(tr S_B/tr S_W)
    return Expansion(H0[None] - tau * G[None] + tau**2 * AG[None], nc1 * (1 + taus * rate))


def measure(case: Steps, key: jax.Array) -> Expansion:
    """Newton minimisation of the joint objective from H0, at every tau."""
    del key  # the minimum next to H0 is asked for
    problem, taus = case
    own = np.asarray(proximity_features(problem))
    H0 = np.broadcast_to(own, (len(taus), *own.shape))
    W = np.broadcast_to(own[:, :: problem.groups[0]].T, (len(taus), problem.classes, H0.shape[1]))
    found = minima(problem, H0, 1 / (np.asarray(taus) * float(problem.samples)), Params((jnp.asarray(W),), jnp.asarray(H0), None))
    return Expansion(found.H, _trace_ratios(problem, found.H))


@jax.jit
def _trace_ratios(problem: Problem, H: jax.Array) -> jax.Array:
    return jax.vmap(lambda one: nc1_trace_ratio(one, problem.labels, problem.classes, samples_axis=1))(H)


def evidence(case: Steps, predicted: Expansion, measured: Expansion) -> list[Check]:
    """The order at which either remainder vanishes, log2 of two sizes, extrapolated to tau = 0; and that NC1 falls as tau grows."""
    checks = []
    for name, p, m, order in zip(Expansion._fields, predicted, measured, (3, 2), strict=True):
        sizes = np.max(np.abs(np.asarray(p) - np.asarray(m)).reshape(len(case.taus), -1), axis=1)
        before, last = np.log2(sizes[-3:-1] / sizes[-2:])
        checks.append(Check("agreement", f"order of {name}", abs(float(2 * last - before) - order), 0.05))
    rise = np.max(np.asarray(measured.nc1[:-1]) / np.asarray(measured.nc1[1:])) - 1
    return [*checks, below("certificate", "NC1 falls with tau", rise)]


def _steps(rng: np.random.Generator, lW: float, lH: float, means: float = 1.0, noise: float = 1.0) -> Steps:
    """tau |A| from about 1/64 to 1/2048."""
    H0 = random_features(rng, means, noise)
    taus = 0.5 ** np.arange(6, 12) / (lH + 1 / lW)
    return Steps(proximity(lW, lH, 1.0, H0), jnp.asarray(taus))


def cases() -> dict[str, Steps]:
    """Either side of sqrt(lH lW) = 1, no ridge on the features, small and large variability."""
    rng = np.random.default_rng(0)
    return {
        "c=0.3": _steps(rng, 0.5, 0.18),
        "c=1.5": _steps(rng, 1.0, 2.25),
        "lH=0": _steps(rng, 0.5, 0.0),
        "little variability": _steps(rng, 0.5, 0.18, noise=0.1),
        "much variability": _steps(rng, 0.5, 0.18, means=0.3),
    }


def draw(rng: np.random.Generator) -> Steps:
    """Random ridges and features."""
    lW, lH, means, noise = np.exp(rng.uniform(-1, 0.7, size=4))
    return _steps(rng, lW, lH, means, noise)


THEOREMS = (
    statements.other(
        "proximity-large-beta", "[tirer2023] (first order); second order derived",
        predict, measure, cases, draw, evidence=evidence,
    ),
)  # fmt: skip
