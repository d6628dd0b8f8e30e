"""What else moves near collapse: the classifier, the value of the proximity model, and NC1 (derived, after Tirer et al. 2023).

Around H0 = H* = sqrt(rho) R (x) 1^T, with lW = K l2_W, lH = N l2_H, B = N beta, c = sqrt(lH lW) < 1, s = sqrt(lH/lW), and F of
`near_collapse`, a change dH0 of within-class part D0 gives, dM being the means of F dH0,

    dW = s [dM^T - 2 (1 - c) sym(R^T dM) R^T]                          (variability within classes does not move W)
    f  = c - c^2/2 + (B/2N) <dH0, (I - F) dH0> + O(|dH0|^3)             (a Moreau envelope)
    NC1(H)/NC1(H0) -> q (B/(B + s))^2 + (1 - q) (B/(B + lH))^2,        q = |R R^T D0|^2/|D0|^2

q is the share of the variability that the classifier sees: 1 for d = K, and K/d on average for isotropic noise. A larger ridge
on the features attenuates it more, a larger one on the classifier less.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ufm.problem.params import Params
from ufm.theory import statements
from ufm.theory.perturbation.model import parts, units
from ufm.theory.perturbation.near_collapse import Perturbation, perturbation
from ufm.theory.perturbation.near_collapse import predict as near_collapse_map
from ufm.theory.perturbation.newton import Points, minima
from ufm.theory.theorem import Assumption, Check, agreement, relative_error

_STEP = 0.003
_MULTIPLES = np.array([1.0, 2.0, 3.0, -1.0, -2.0, -3.0])


class Response(NamedTuple):
    """dW/dt at H0 = H* + t direction, (K, d); d^2 f/dt^2 of the minimum f, a scalar."""

    dW: jax.Array
    curvature: jax.Array


def predict_response(case: Perturbation) -> Response:
    """Near collapse the classifier follows the means alone, dW = s [dM^T - 2 (1 - c) sym(R^T dM) R^T], and the minimum rises by
    (B/2N) <dH0, (I - F) dH0>.

    The two derivatives at t = 0 in closed form.
    """
    problem = case.problem
    lW, lH, B, _ = units(problem)
    c, s = jnp.sqrt(lH * lW), jnp.sqrt(lH / lW)
    moved = near_collapse_map(case)
    R, dM = parts(problem, case.params.H)[0] / jnp.sqrt((1 - c) / s), parts(problem, moved)[0]
    A = R.T @ dM
    curvature = B / problem.samples * jnp.sum(case.direction * (case.direction - moved))
    return Response(s * (dM.T - (1 - c) * (A + A.T) @ R.T), curvature)


def measure_response(case: Perturbation, key: jax.Array) -> Response:
    """Differences of Newton minimisers and minima at six steps, odd and even polynomials through them."""
    del key  # the minimum next to the collapsed one is asked for
    found = _moved(case, case.direction)
    W, value = np.asarray(found.W), np.asarray(found.value)
    odd, even = (W[:3] - W[3:]) / 2, (value[:3] + value[3:]) / 2
    t = _STEP * _MULTIPLES[:3]
    slope = np.linalg.solve(t[:, None] ** np.array([1, 3, 5]), odd.reshape(3, -1))[0].reshape(W.shape[1:])
    return Response(slope, 2 * np.linalg.solve(t[:, None] ** np.array([0, 2, 4]), even)[1])


def predict_attenuation(case: Perturbation) -> jax.Array:
    """Near collapse the proximity model multiplies NC1 by q (B/(B + s))^2 + (1 - q) (B/(B + lH))^2, q the share of the variability
    that the classifier sees.

    The limit of NC1(H)/NC1(H0), a scalar; the direction must have a part within classes.
    """
    lW, lH, B, _ = units(case.problem)
    c, s = jnp.sqrt(lH * lW), jnp.sqrt(lH / lW)
    R = parts(case.problem, case.params.H)[0] / jnp.sqrt((1 - c) / s)
    _, D = parts(case.problem, case.direction)
    q = jnp.sum((R.T @ D) ** 2) / jnp.sum(D**2)
    return q * (B / (B + s)) ** 2 + (1 - q) * (B / (B + lH)) ** 2


def measure_attenuation(case: Perturbation, key: jax.Array) -> np.ndarray:
    """NC1 of Newton minimisers over NC1 of H0 at six steps, averaged over signs and extrapolated to step zero."""
    del key  # the minimum next to the collapsed one is asked for
    found, centres = np.asarray(_moved(case, case.direction).H), _centres(case, case.direction)
    ratio = _nc1(case, found) / _nc1(case, centres)
    squares = (_MULTIPLES[:3, None] ** 2) ** np.arange(3)
    return np.linalg.solve(squares, (ratio[:3] + ratio[3:]) / 2)[0]


def evidence(case: Perturbation, predicted: Response, measured: Response) -> list[Check]:
    """Agreement of both derivatives, dW relative to the larger of its size and 0.1 (it is zero where no mean moves)."""
    del case
    size = max(0.1, float(np.max(np.abs(predicted.dW))))
    return [
        Check("agreement", "dW", relative_error(predicted.dW, measured.dW, size), 1e-7),
        Check("agreement", "curvature", relative_error(predicted.curvature, measured.curvature), 1e-5),
    ]


def _centres(case: Perturbation, direction: jax.Array) -> np.ndarray:
    return np.asarray(case.problem.H0)[None] + _STEP * _MULTIPLES[:, None, None] * np.asarray(direction)[None]


def _moved(case: Perturbation, direction: jax.Array) -> Points:
    centres, count = _centres(case, direction), len(_MULTIPLES)
    W = np.broadcast_to(case.params.weights[0], (count, *case.params.weights[0].shape))
    H = np.broadcast_to(case.params.H, (count, *case.params.H.shape))
    return minima(case.problem, centres, np.full(count, float(case.problem.beta)), Params((jnp.asarray(W),), jnp.asarray(H), None))


def _nc1(case: Perturbation, H: np.ndarray) -> np.ndarray:
    """tr S_W / tr S_B of every one of the (J, d, N) features."""
    by_class = H.reshape(*H.shape[:2], case.problem.classes, -1)
    means = by_class.mean(axis=3, keepdims=True)
    within, centred = by_class - means, means - means.mean(axis=2, keepdims=True)
    return (within**2).mean(axis=(2, 3)).sum(axis=1) / (centred**2).mean(axis=(2, 3)).sum(axis=1)


def cases() -> dict[str, Perturbation]:
    """Weak to strong proximity, small c and c close to one, variability alone, and seen or unseen by the classifier alone."""
    rng = np.random.default_rng(0)
    grid = {f"c={c} B={B}": perturbation(c, 0.7, B, rng) for c in (0.3, 0.9) for B in (1.0, 10.0)}
    case = perturbation(0.3, 0.7, 2.0, rng)
    D = parts(case.problem, case.direction)[1]
    R = np.linalg.qr(np.asarray(case.params.H)[:, ::2])[0]
    seen = jnp.asarray(R @ (R.T @ np.asarray(D)))
    variability = {"within classes": D, "seen": seen, "unseen": D - seen}
    return grid | {label: case._replace(direction=direction) for label, direction in variability.items()}


def draw(rng: np.random.Generator) -> Perturbation:
    """Random ridges, proximity and direction; the means keep a size well above the steps."""
    return perturbation(rng.uniform(0.1, 0.8), np.exp(rng.uniform(-1, 1)), np.exp(rng.uniform(0, 4)), rng)


def _is_alive(case: Perturbation) -> bool:
    lW, lH, _, _ = units(case.problem)
    return bool(lW * lH < 1) and case.params.H.shape[0] >= case.problem.classes


_ALIVE = Assumption("c < 1 and d >= K, around the collapsed minimiser", _is_alive)
_SOURCE = "derived, for the model of [tirer2023]"

THEOREMS = (
    statements.other(
        "near-collapse-response", _SOURCE,
        predict_response, measure_response, cases, draw, (_ALIVE,), evidence=evidence,
    ),
    statements.other(
        "near-collapse-nc1", _SOURCE,
        predict_attenuation, measure_attenuation, cases, draw, (_ALIVE,), evidence=agreement(1e-6),
    ),
)  # fmt: skip
