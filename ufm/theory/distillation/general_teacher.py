"""Any teacher, as the ridges fall to zero: centred logits become those of the teacher, P log Q, at a rate linear in the ridge.

For strictly positive soft labels q_j and enough width, with X0 the matrix of columns sqrt(m_j) P log q_j, polar(X0) = U V^T
of its singular vectors, omega_j the weights of the columns in the data term and c = sqrt(l2_W l2_H),

    z_j(c) = P log q_j - c sqrt(m_j)/omega_j P (polar(X0)_j / q_j) + O(c^2),

since at every c softmax(z_j) - q_j = -c sqrt(m_j)/omega_j polar(X)_j. The bend is largest where the teacher is most certain.
"""

import jax
import jax.numpy as jnp
import numpy as np

from ufm.duality import certify
from ufm.losses import CE
from ufm.problem import Problem
from ufm.problem.params import column_weights, logits
from ufm.search.solution import solve
from ufm.theory import statements
from ufm.theory.assumptions import ONE_LAYER, PENALISED, PLAIN, has_bias, has_loss, is_wide
from ufm.theory.theorem import Assumption, Check, agreement, gap_checks

_STEP, _MULTIPLES = 1e-3, np.array([1.0, 2.0, 3.0, 4.0])


def predict(problem: Problem) -> dict[str, jax.Array]:
    """Under any strictly positive soft labels Q the centred logits of the minimum tend to P log Q as the ridges fall to 0, at an
    explicit rate linear in c = sqrt(l2_W l2_H), columnwise -sqrt(m)/omega P (polar(X0)/q).

    (K, C) limit and derivative in c of the logits of the loss, scale included.
    """
    root, limit = jnp.sqrt(problem.multiplicity)[None, :], _centred(jnp.log(problem.targets))
    U, s, Vt = jnp.linalg.svd(limit * root, full_matrices=False)
    polar = (U * (s > 1e-10 * s[0]).astype(problem.dtype)[None, :]) @ Vt
    slope = -_centred(polar / problem.targets) * root / (problem.scale * column_weights(problem))[None, :]
    return {"limit": limit, "slope": slope}


def measure(problem: Problem, key: jax.Array) -> tuple[dict[str, np.ndarray], float]:
    """The cubic in c through the centred logits of the minima at c, 2c, 3c and 4c, found from random starts, and the largest
    relative gap of their certificates.

    The first c is 1e-3 of scale omega_j q_kj/sqrt(m_j), the smallest curvature of the data term in a logit by which the rates of
    the logits are divided: the cubic then is off by the cube of some thousandths, however sharp the teacher.
    """
    stiffness = problem.scale * column_weights(problem) / jnp.sqrt(problem.multiplicity) * jnp.min(problem.targets, axis=0)
    step = _STEP * float(jnp.min(stiffness))
    found, gaps = [], []
    for multiple in _MULTIPLES * step / float(problem.c):
        at = problem.replace(l2_W=multiple * problem.l2_W, l2_H=multiple * problem.l2_H)
        solution = solve(at, key, columns="raw", tolerance=1e-13)
        gaps.append(float(certify(at, solution.params).relative_gap))
        z = np.asarray(logits(at, solution.params))
        found.append(z - z.mean(axis=0))
    powers = (_MULTIPLES * step)[:, None] ** np.arange(4)
    limit, slope = np.tensordot(np.linalg.inv(powers)[:2], np.stack(found), axes=1)
    return {"limit": limit, "slope": slope}, gaps[int(np.argmax(np.abs(gaps)))]


def evidence(problem: Problem, predicted: dict, measured: tuple[dict, float]) -> list[Check]:
    """Both leaves agree, and what was measured is the minimum."""
    return [*agreement(1e-7, slope=1e-4)(problem, predicted, measured[0]), *gap_checks(measured[1], 1e-7)]


def problem_of(Q: np.ndarray, multiplicity: np.ndarray, c: float) -> Problem:
    """Soft labels Q (4, 8) of unequal weights under small unequal ridges of geometric mean c."""
    return Problem.from_targets(Q, 12, loss="ce", multiplicity=multiplicity, groups=(1,) * Q.shape[1], l2_W=2 * c, l2_H=c / 2)


def cases() -> dict[str, Problem]:
    """Random teachers, soft and sharper, and two columns a class of one symmetric teacher."""
    rng = np.random.default_rng(0)
    counts = rng.uniform(1, 5, size=8)
    spreads = {"soft teacher": 0.7, "sharper teacher": 1.2}
    random = {label: problem_of(_teacher(rng, spread), counts, 4e-5) for label, spread in spreads.items()}
    return random | {"symmetric teacher": problem_of(np.repeat(0.6 * np.eye(4) + 0.1, 2, axis=1), np.ones(8), 4e-5)}


def draw(rng: np.random.Generator) -> Problem:
    """A random teacher and random weights of its columns."""
    return problem_of(_teacher(rng, rng.uniform(0.5, 1)), rng.uniform(1, 5, size=8), 4e-5)


def _teacher(rng: np.random.Generator, spread: float) -> np.ndarray:
    odds = np.exp(spread * rng.normal(size=(4, 8)))
    return odds / odds.sum(axis=0)


def _centred(z: jax.Array) -> jax.Array:
    return z - jnp.mean(z, axis=0, keepdims=True)


THEOREMS = (
    # other: an expansion in the ridge, read off minima at four of them
    statements.other(
        "kd-general-teacher", "derived (optimality conditions)", predict, measure, cases, draw,
        (
            has_loss(CE), has_bias("none"), PLAIN, PENALISED, ONE_LAYER, is_wide(1),
            Assumption("strictly positive soft labels", lambda p: bool((np.asarray(p.targets) > 0).all())),
        ),
        evidence=evidence,
    ),
)  # fmt: skip
