"""How a small change of the initial features moves the minimiser of the proximity model (Tirer et al. 2023).

In their numbers lW = K l2_W, lH = N l2_H, B = N beta, with c = sqrt(lH lW) and s = sqrt(lH/lW): around the collapsed
minimiser H0 = H* of class means sqrt(rho) R, R^T R = I, the minimiser answers dH0 with dH = F dH0 + O(|dH0|^2),

    F = B/(B + mu) on eigenspaces:  mu = s  within classes, seen by the classifier (columns in span R)
                                    mu = lH within classes, unseen
                                    mu = 4 lH (1 - c)  symmetric motions R A of the means (norms and angles)
                                    mu = 0  rotations of the frame: never attenuated

For c >= 1 the collapsed minimiser is zero: mu = lH within classes and lH - 1/lW on the means.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ufm.losses import MSE, is_loss
from ufm.problem import Problem, is_balanced
from ufm.problem.params import Params
from ufm.search.solution import solve
from ufm.theory import statements
from ufm.theory.assumptions import proximity_features
from ufm.theory.perturbation.model import parts, units
from ufm.theory.theorem import Assumption, agreement

_STEP = 2e-3


class Perturbation(NamedTuple):
    """A problem whose H0 is its own collapsed minimiser's H, that minimiser, and a direction dH0 of the shape of H."""

    problem: Problem
    params: Params
    direction: jax.Array


def predict(case: Perturbation) -> jax.Array:
    """Near collapse the minimiser of the proximity model answers a change of the initial features by an explicit linear map:
    within-class parts shrink by B/(B + s) and B/(B + lH), symmetric motions of the means by B/(B + 4 lH (1 - c)), rotations stay.

    F dH0 of shape (d, N), applied through within-class parts, R A and the rest, never built.
    """
    problem, direction = case.problem, case.direction
    lW, lH, B, _ = units(problem)
    c, s = jnp.sqrt(lH * lW), jnp.sqrt(lH / lW)
    alive = c < 1
    R = parts(problem, case.params.H)[0] / jnp.sqrt(jnp.where(alive, (1 - c) / s, 1))
    dM, D = parts(problem, direction)
    seen = R @ (R.T @ D)
    A = R.T @ dM
    soft = 4 * lH * (1 - c)
    means = jnp.where(alive, dM - soft / (B + soft) * R @ (A + A.T) / 2, B / jnp.where(alive, 1, B + lH - 1 / lW) * dM)
    return means[:, problem.labels] + B / (B + s) * seen + B / (B + lH) * (D - seen)


def measure(case: Perturbation, key: jax.Array) -> jax.Array:
    """Central differences of the minimiser found from the collapsed one, extrapolated over two steps."""
    del key  # nothing is random: the minimiser next to the given one is asked for
    return _derivative(case)


@jax.jit
def _derivative(case: Perturbation) -> jax.Array:
    problem, params, direction = case

    def moved(step: jax.Array) -> jax.Array:
        start = params._replace(H=params.H + step * direction)
        return solve(problem.replace(H0=proximity_features(problem) + step * direction), start, tolerance=1e-14).params.H

    up, down, up2, down2 = jax.lax.map(moved, _STEP * jnp.asarray([1.0, -1.0, 2.0, -2.0], problem.dtype))
    return (4 * (up - down) / (2 * _STEP) - (up2 - down2) / (4 * _STEP)) / 3


def perturbation(c: float, s: float, B: float, rng: np.random.Generator, dim: int = 5, n: int = 2) -> Perturbation:
    """A random direction at a random frame, for K = 3 classes of n samples."""
    K = 3
    plain: dict[str, Any] = {"l2_W": c / s / K, "l2_H": c * s / (K * n)}
    R = np.linalg.qr(rng.normal(size=(dim, K)))[0]
    M = np.sqrt(max(1 - c, 0) / s) * R
    H = jnp.asarray(np.repeat(M, n, axis=1))
    problem = Problem.balanced(K, n, dim, **plain, beta=B / (K * n), H0=H)
    return Perturbation(problem, Params((jnp.asarray(s * M.T),), H, None), jnp.asarray(rng.normal(size=H.shape)))


def cases() -> dict[str, Perturbation]:
    """Weak and strong proximity, either side of c = 3/4 (where 4 lH (1 - c) = lH) and of c = 1."""
    rng = np.random.default_rng(0)
    wide = {f"beta={B} c={c}": perturbation(c, 0.7, B, rng) for c in (0.3, 0.9) for B in (0.1, 1.0, 10.0, 100.0)}
    zero = {f"beta={B} c={c}": perturbation(c, 0.7, B, rng) for c, B in ((1.2, 1.0), (1.2, 10.0))}
    return wide | zero


def draw(rng: np.random.Generator) -> Perturbation:
    """Random ridges, proximity and direction."""
    return perturbation(rng.uniform(0.1, 0.9), np.exp(rng.uniform(-1, 1)), np.exp(rng.uniform(-2, 4)), rng)


def _is_collapsed(case: Perturbation) -> bool:
    problem, H = case.problem, np.asarray(case.params.H)
    means = np.asarray(parts(problem, case.params.H)[0])[:, problem.labels]
    return np.allclose(H, means, rtol=1e-12, atol=1e-13) and np.array_equal(H, proximity_features(problem))


def _is_one_layer_mse(case: Perturbation) -> bool:
    p = case.problem
    return is_loss(p.loss, MSE) and p.bias == "none" and len(p.widths) == 1 and p.widths[0] >= p.classes


THEOREMS = (
    statements.other(
        "near-collapse-map", "[tirer2023]; closed spectrum for every beta derived",
        predict, measure, cases, draw,
        (
            Assumption("one layer of balanced MSE without bias, d >= K", _is_one_layer_mse),
            Assumption("equal one-hot classes", lambda case: is_balanced(case.problem.design)),
            Assumption("H0 equal to the collapsed minimiser", _is_collapsed),
        ),
        evidence=agreement(1e-6),
    ),
)  # fmt: skip
