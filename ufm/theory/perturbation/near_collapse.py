"""How a small change of the initial features moves the minimiser of the proximity model (Tirer et al. 2023).

In their numbers lW = K l2_W, lH = N l2_H, B = N beta, with c = sqrt(lH lW) and s = sqrt(lH/lW): around the collapsed
minimiser H0 = H* of class means sqrt(rho) R, R^T R = I, the minimiser answers dH0 with dH = F dH0 + O(|dH0|^2),

    F = B/(B + mu) on eigenspaces:  mu = s  within classes, seen by the classifier (columns in span R)
                                    mu = lH within classes, unseen
                                    mu = 4 lH (1 - c)  symmetric motions R A of the means (norms and angles)
                                    mu = 0  rotations of the frame: never attenuated

For c >= 1 the collapsed minimiser is zero: mu = lH within classes and lH - 1/lW on the means. Below, for a change dH0 of
within-class part D0, dM being the means of F dH0 (derived),

    dW = s [dM^T - 2 (1 - c) sym(R^T dM) R^T]                          (variability within classes does not move W)
    f  = c - c^2/2 + (B/2N) <dH0, (I - F) dH0> + O(|dH0|^3)             (a Moreau envelope)
    NC1(H)/NC1(H0) -> q (B/(B + s))^2 + (1 - q) (B/(B + lH))^2,        q = |R R^T D0|^2/|D0|^2

q is the share of the variability that the classifier sees: 1 for d = K, and K/d on average for isotropic noise. A larger ridge
on the features attenuates it more, a larger one on the classifier less.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ufm.losses import MSE
from ufm.problem import Problem
from ufm.problem.params import Params
from ufm.search.solution import solve
from ufm.theory import statements
from ufm.theory.assumptions import BALANCED, ONE_LAYER, has_bias, has_loss, is_wide, proximity_features
from ufm.theory.perturbation.model import is_alive, parts, proximity, units
from ufm.theory.perturbation.newton import Points, copies, minima, scatters
from ufm.theory.theorem import Assumption, Check, relative_error

_STEP, _NEWTON_STEP = 2e-3, 3e-3
_MULTIPLES = np.array([1.0, 2.0, 3.0, -1.0, -2.0, -3.0])


class Perturbation(NamedTuple):
    """A problem whose H0 is its own collapsed minimiser's H, that minimiser, and a direction dH0 of the shape of H."""

    problem: Problem
    params: Params
    direction: jax.Array


def predict(case: Perturbation) -> jax.Array:
    """Near collapse the minimiser of the proximity model answers a change of the initial features by an explicit linear map:
    within-class parts shrink by B/(B + s) and B/(B + lH), symmetric motions of the means by B/(B + 4 lH (1 - c)), rotations stay.
    """
    problem = case.problem
    (lW, lH, B, _, c, s), (dM, D) = units(problem), parts(problem, case.direction)
    alive, soft = c < 1, 4 * lH * (1 - c)
    R = parts(problem, case.params.H)[0] / jnp.sqrt(jnp.where(alive, (1 - c) / s, 1))
    A, seen = R.T @ dM, R @ (R.T @ D)
    means = jnp.where(alive, dM - soft / (B + soft) * R @ (A + A.T) / 2, B / jnp.where(alive, 1, B + lH - 1 / lW) * dM)
    return means[:, problem.labels] + B / (B + s) * seen + B / (B + lH) * (D - seen)


@jax.jit
def direct(case: Perturbation) -> jax.Array:
    """Central differences of the minimiser found from the collapsed one, extrapolated over two steps."""
    problem, params, direction = case

    def moved(step: jax.Array) -> jax.Array:
        start = params._replace(H=params.H + step * direction)
        return solve(problem.replace(H0=proximity_features(problem) + step * direction), start, tolerance=1e-14).params.H

    up, down, up2, down2 = jax.lax.map(moved, _STEP * jnp.asarray([1.0, -1.0, 2.0, -2.0], problem.dtype))
    return (4 * (up - down) / (2 * _STEP) - (up2 - down2) / (4 * _STEP)) / 3


def predict_response(case: Perturbation) -> dict[str, jax.Array]:
    """Near collapse the classifier follows the means alone, dW = s [dM^T - 2 (1 - c) sym(R^T dM) R^T], and the minimum rises by
    (B/2N) <dH0, (I - F) dH0>.

    dW/dt and d^2 f/dt^2 of the minimum f at H0 = H* + t direction.
    """
    problem, moved = case.problem, predict(case)
    _, _, B, _, c, s = units(problem)
    R, dM = parts(problem, case.params.H)[0] / jnp.sqrt((1 - c) / s), parts(problem, moved)[0]
    A = R.T @ dM
    curvature = B / problem.samples * jnp.sum(case.direction * (case.direction - moved))
    return {"dW": s * (dM.T - (1 - c) * (A + A.T) @ R.T), "curvature": curvature}


def direct_response(case: Perturbation) -> dict[str, np.ndarray]:
    """Differences of Newton minimisers and minima at six steps, odd and even polynomials through them."""
    _, found = _moved(case)
    W, value = np.asarray(found.W), np.asarray(found.value)
    odd, even, t = (W[:3] - W[3:]) / 2, (value[:3] + value[3:]) / 2, _NEWTON_STEP * _MULTIPLES[:3, None]
    slope = np.linalg.solve(t ** np.array([1, 3, 5]), odd.reshape(3, -1))[0].reshape(W.shape[1:])
    return {"dW": slope, "curvature": 2 * np.linalg.solve(t ** np.array([0, 2, 4]), even)[1]}


def predict_attenuation(case: Perturbation) -> jax.Array:
    """Near collapse the proximity model multiplies NC1 by q (B/(B + s))^2 + (1 - q) (B/(B + lH))^2, q the share of the variability
    that the classifier sees.

    The direction must have a part within classes.
    """
    (_, lH, B, _, c, s), (_, D) = units(case.problem), parts(case.problem, case.direction)
    R = parts(case.problem, case.params.H)[0] / jnp.sqrt((1 - c) / s)
    q = jnp.sum((R.T @ D) ** 2) / jnp.sum(D**2)
    return q * (B / (B + s)) ** 2 + (1 - q) * (B / (B + lH)) ** 2


def direct_attenuation(case: Perturbation) -> np.ndarray:
    """NC1 of Newton minimisers over NC1 of H0 at six steps, averaged over signs and extrapolated to step zero."""
    centres, found = _moved(case)
    (within0, between0), (within, between) = (scatters(case.problem, H) for H in (centres, found.H))
    ratio = np.asarray(within / between / (within0 / between0))
    squares = (_MULTIPLES[:3, None] ** 2) ** np.arange(3)
    return np.linalg.solve(squares, (ratio[:3] + ratio[3:]) / 2)[0]


def evidence_of_response(case: Perturbation, predicted: dict[str, jax.Array], measured: dict[str, np.ndarray]) -> list[Check]:
    """Agreement of both derivatives, dW relative to the larger of its size and 0.1 (it is zero where no mean moves)."""
    size = max(0.1, float(np.max(np.abs(predicted["dW"]))))
    return [
        Check("agreement", "dW", relative_error(predicted["dW"], measured["dW"], size), 1e-7),
        Check("agreement", "curvature", relative_error(predicted["curvature"], measured["curvature"]), 1e-5),
    ]


def _moved(case: Perturbation) -> tuple[jax.Array, Points]:
    """H0 at six steps along the direction, and the minima next to the collapsed one."""
    H0 = case.params.H[None] + _NEWTON_STEP * _MULTIPLES[:, None, None] * case.direction[None]
    return H0, minima(case.problem, copies(case.params, len(H0)), H0=H0)


def perturbation(c: float, s: float, B: float, rng: np.random.Generator, dim: int = 5, n: int = 2) -> Perturbation:
    """A random direction at a random frame, for K = 3 classes of n samples."""
    M = np.sqrt(max(1 - c, 0) / s) * np.linalg.qr(rng.normal(size=(dim, 3)))[0]
    H = np.repeat(M, n, axis=1)
    params = Params((jnp.asarray(s * M.T),), jnp.asarray(H), None)
    return Perturbation(proximity(c / s, c * s, B, H, n), params, jnp.asarray(rng.normal(size=H.shape)))


def cases() -> dict[str, Perturbation]:
    """Weak and strong proximity, either side of c = 3/4 (where 4 lH (1 - c) = lH) and of c = 1."""
    rng = np.random.default_rng(0)
    grid = [(c, B) for c in (0.3, 0.9) for B in (0.1, 1.0, 10.0, 100.0)] + [(1.2, 1.0), (1.2, 10.0)]
    return {f"beta={B} c={c}": perturbation(c, 0.7, B, rng) for c, B in grid}


def draw(rng: np.random.Generator, high: float = 0.9, weak: float = -2, strong: float = 4) -> Perturbation:
    """Random ridges (c up to `high`), proximity (ln B from `weak` to `strong`) and direction."""
    return perturbation(rng.uniform(0.1, high), np.exp(rng.uniform(-1, 1)), np.exp(rng.uniform(weak, strong)), rng)


def response_cases() -> dict[str, Perturbation]:
    """Weak to strong proximity, small c and c close to one, variability alone, and seen or unseen by the classifier alone."""
    rng = np.random.default_rng(0)
    grid = {f"c={c} B={B}": perturbation(c, 0.7, B, rng) for c in (0.3, 0.9) for B in (1.0, 10.0)}
    case = perturbation(0.3, 0.7, 2.0, rng)
    D = parts(case.problem, case.direction)[1]
    R = np.linalg.qr(np.asarray(case.params.H)[:, ::2])[0]
    seen = jnp.asarray(R @ (R.T @ np.asarray(D)))
    variability = {"within classes": D, "seen": seen, "unseen": D - seen}
    return grid | {label: case._replace(direction=direction) for label, direction in variability.items()}


def _is_collapsed(case: Perturbation) -> bool:
    problem, H = case.problem, np.asarray(case.params.H)
    means = np.asarray(parts(problem, case.params.H)[0])[:, problem.labels]
    return np.allclose(H, means, rtol=1e-12, atol=1e-13) and np.array_equal(H, proximity_features(problem))


_draw_response = partial(draw, high=0.8, weak=0)  # the means keep a size well above the steps
_IS_WIDE_MSE = (ONE_LAYER, has_loss(MSE), has_bias("none"), is_wide(0))
_WIDE = Assumption("one layer of balanced MSE without bias, d >= K", lambda c: all(a.test(c.problem) for a in _IS_WIDE_MSE))
_EQUAL = Assumption("equal one-hot classes", lambda case: BALANCED.test(case.problem))
_COLLAPSED = Assumption("H0 equal to the collapsed minimiser", _is_collapsed)
_ALIVE = Assumption("c < 1 and d >= K, around the collapsed minimiser", lambda case: is_alive(case.problem))

THEOREMS = (
    statements.identity(
        "near-collapse-map", "[tirer2023]; closed spectrum for every beta derived",
        predict, direct, cases, draw, (_WIDE, _EQUAL, _COLLAPSED), tolerance=1e-6,
    ),
    statements.identity(
        "near-collapse-response", "derived, for the model of [tirer2023]",
        predict_response, direct_response, response_cases, _draw_response, (_ALIVE,), evidence=evidence_of_response,
    ),
    statements.identity(
        "near-collapse-nc1", "derived, for the model of [tirer2023]",
        predict_attenuation, direct_attenuation, response_cases, _draw_response, (_ALIVE,), tolerance=1e-6,
    ),
)  # fmt: skip
