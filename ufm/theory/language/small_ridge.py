"""Next-token prediction at small ridges: labels are learned on the supports, and margins off them grow.

At the minimum, for tau = sqrt(l2_W l2_H), pi_j (q_j - p_j) = -tau m_j with |M|_2 <= 1: M is a subgradient of the nuclear norm at Z.
So every probability is within tau/pi_j of its label, at every ridge, and on the supports

    |log q_zj - log p_zj| <= -log(1 - tau/(pi_j p_zj))      :    differences of logits tend to those of log p_j, at rate tau.

M is also in the dual cone of the max-margin problem (see `ufm.max_margin`), which gives its value a lower bound from probabilities
alone, tight in the limit, where Z turns to L_mm (only like 1/log(1/tau)):

    (1/tau) sum_j pi_j q_j(off S_j)  <=  |L_mm|_*.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ufm.duality import Certificate, certify
from ufm.problem import Problem
from ufm.problem.params import column_weights, logits
from ufm.search.max_margin import max_margin
from ufm.search.solution import solve
from ufm.theory import statements
from ufm.theory.language.certificate import random_problem
from ufm.theory.language.max_margin import least_over_factors
from ufm.theory.theorem import Check, below, gap_checks, relative_error

_REACH = 2.0  # of 1/log(1/tau), within which the bound has come to |L_mm|_*


class Limit(NamedTuple):
    """The limit of small ridges. in_support: (V, m), log p_j centred on S_j, zero off it. value: |L_mm|_*. dual: (V, m), its M."""

    in_support: jax.Array
    value: jax.Array
    dual: jax.Array


class Found(NamedTuple):
    """A measured minimum. logits: (V, m). certificate: of the point. value: |L_mm|_* by a search over factors."""

    logits: jax.Array
    certificate: Certificate
    value: float


def predict(problem: Problem) -> Limit:
    """Next-token probabilities at the minimum are within tau/pi_j of the labels, so in-support logits tend to log p_j at rate tau;
    the probability off the supports over tau is below |L_mm|_*, and tends to it.
    """
    labels = problem.targets[:, :: problem.groups[0]]
    found = max_margin(labels > 0)
    return Limit(_in_support(jnp.log(jnp.where(labels > 0, labels, 1)), labels), found.value, found.dual)


def measure(problem: Problem, key: jax.Array) -> Found:
    """The minimum at the problem's own ridge, and the max-margin problem over factors, from random starts."""
    params, step = solve(problem, key, columns="raw").params, problem.groups[0]
    least = least_over_factors(problem.targets[:, ::step], key)
    return Found(logits(problem, params)[:, ::step], certify(problem, params), least)


def evidence(problem: Problem, predicted: Limit, measured: Found) -> list[Check]:
    """Probabilities and in-support logits within their bounds, the mass off the supports below its own, and near it at last.

    |L_mm|_* is held to <M, L> of a matrix M that is seen to be feasible, columns of sum 0 and nothing above 0 off the supports.
    """
    step, tau, value, M = problem.groups[0], float(problem.c), float(predicted.value), np.asarray(predicted.dual)
    p, prior = (np.asarray(x)[..., ::step] for x in (problem.targets, column_weights(problem) * step))
    q, support = np.asarray(jax.nn.softmax(measured.logits, axis=0)), p > 0
    room = tau / prior[None, :] / np.where(support, p, 1)
    bound = np.where(support & (room < 1), -np.log1p(-np.minimum(room, 1 - 1e-9)), np.inf)
    # a difference of two logits on a support, between the pair of tokens that moved the most
    slack = 2 * np.max(np.where(support, bound, 0), axis=0)
    off = np.sum(prior * np.sum(np.where(support, 0, q), axis=0)) / tau
    moved = np.abs(np.asarray(_in_support(measured.logits, p)) - np.asarray(predicted.in_support)).max(axis=0)
    outside = max(np.max(np.abs(M.sum(axis=0))), np.max(M[~support], initial=0), np.linalg.norm(M, 2) - 1)
    checks = [
        *gap_checks(measured.certificate.relative_gap, 1e-7),
        below("certificate", "a feasible dual matrix", outside, 1e-10),
        Check("certificate", "|L_mm|_* on its dual bound", relative_error(value, M[support].sum()), 1e-8),
        Check("agreement", "|L_mm|_* over factors", relative_error(value, measured.value), 1e-8),
        below("agreement", "probabilities", float(np.max(np.abs(q - p) * prior)) / tau - 1, 1e-6),
        below("agreement", "in-support logits", np.max(moved - slack), 1e-9),
        below("agreement", "off-support mass above |L_mm|_*", off / value - 1, 1e-6),
    ]
    if tau <= 1e-3:
        checks.append(Check("agreement", "off-support mass", abs(1 - off / value), _REACH / np.log(1 / tau)))
    return checks


def _in_support(z: Any, labels: Any) -> jax.Array:
    """Logits less their mean over the support, zero off it."""
    support = labels > 0
    return jnp.where(support, z - jnp.mean(z, axis=0, where=support, keepdims=True), 0)


def _at(seed: int, ridge: float, tilt: float = 1.0) -> Problem:
    return random_problem(seed, ridge, tilt=tilt, concentration=3.0)


def cases() -> dict[str, Problem]:
    """Three sets of contexts, from moderate to small ridges."""
    return {f"contexts {seed}, ridge {ridge:g}": _at(seed, ridge) for seed in (0, 1, 4) for ridge in (1e-2, 1e-4, 1e-5)}


def draw(rng: np.random.Generator) -> Problem:
    """Random contexts and ridges."""
    return _at(int(rng.integers(2**31)), float(np.exp(rng.uniform(np.log(1e-5), np.log(1e-2)))), float(rng.uniform(0.5, 2)))


THEOREMS = (
    # other: bounds at every ridge on what a limit says, from probabilities
    statements.other(
        "ntp-in-support", "limits: [zhao2024]; bounds at every ridge derived", predict, measure, cases, draw, evidence=evidence,
        notes="Logits turn to L_mm as slowly as 1/log(1/tau): what is held against it is a dual bound, within 2/log(1/tau).",
    ),
)  # fmt: skip
