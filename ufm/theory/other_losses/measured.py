"""Measurements of this family: SciPy's L-BFGS on the factors from random uncollapsed starts, two columns a class.

One small compiled program (value and gradient of `ufm.objective`) serves each loss: compiling a whole minimiser for each would
take ten times as long as all its runs.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from ufm.duality import certify
from ufm.losses import Loss
from ufm.problem import Problem
from ufm.problem.params import Params, objective
from ufm.theory.assumptions import BALANCED, ONE_LAYER, PENALISED, PLAIN, has_bias, is_wide
from ufm.theory.consistency import consistency_checks, uniqueness_check
from ufm.theory.prediction import Prediction
from ufm.theory.statements import minimum
from ufm.theory.theorem import Check, Theorem, below, gap_checks, relative_error

CLASSES, PER_CLASS = 5, 2
_SCALES = (1.0, 0.3, 2.0, 0.1)  # of the starts: some losses trap large ones, others small ones


class Measured(NamedTuple):
    """The lowest of several runs: value, factors W (K, d) and H (d, N), class logits (K, K), NC1 and the values of all runs."""

    value: float
    W: np.ndarray
    H: np.ndarray
    logits: np.ndarray
    nc1: float
    values: np.ndarray


def problem_at(loss: Any, c: float, classes: int = CLASSES, teacher: float | None = None) -> Problem:
    """K classes of two samples in K + 1 dimensions, with c = sqrt(l2_W l2_H n), and maybe a simplex teacher of that margin."""
    ridge = c / PER_CLASS**0.5
    logits = None if teacher is None else teacher * np.repeat(np.eye(classes) - 1 / classes, PER_CLASS, axis=1)
    return Problem.balanced(classes, PER_CLASS, classes + 1, loss=loss, l2_W=1.5 * ridge, l2_H=ridge / 1.5, teacher=logits)


@jax.jit
def _value_and_gradient(problem: Problem, W: jax.Array, H: jax.Array) -> tuple:
    return jax.value_and_grad(lambda W, H: objective(problem, Params((W,), H, None)), argnums=(0, 1))(W, H)


def value_and_gradient(problem: Problem, W: np.ndarray, H: np.ndarray) -> tuple[float, np.ndarray]:
    """The objective and its flat gradient in (W, H)."""
    value, gradients = _value_and_gradient(problem, W, H)
    return float(value), np.concatenate([np.ravel(g) for g in gradients])


def descend(problem: Problem, W: np.ndarray, H: np.ndarray, steps: int = 4000) -> tuple[float, np.ndarray, np.ndarray]:
    """(value, W, H) where L-BFGS ends."""
    from scipy.optimize import minimize  # `import ufm` reaches this module and needs no minimiser

    def factors(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return x[: W.size].reshape(W.shape), x[W.size :].reshape(H.shape)

    options = {"maxcor": 30, "maxiter": steps, "maxfun": 2 * steps, "ftol": 0.0, "gtol": 1e-11}
    start = np.concatenate([W.ravel(), H.ravel()])
    found = minimize(lambda x: value_and_gradient(problem, *factors(x)), start, jac=True, method="L-BFGS-B", options=options)
    return float(found.fun), *factors(found.x)


def random_factors(problem: Problem, rng: np.random.Generator, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian W and H."""
    d = problem.widths[0]
    return scale * rng.standard_normal((problem.classes, d)), scale * rng.standard_normal((d, problem.columns))


def measure(problem: Problem, key: jax.Array, fold: bool = False) -> Measured:
    """The lowest of runs from Gaussian starts of several scales.

    Args:
      fold: give every feature the sign that makes the logit of its class positive, where the loss cannot tell.
    """
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    runs = [descend(problem, *random_factors(problem, rng, scale)) for scale in _SCALES]
    value, W, H = min(runs, key=lambda run: run[0])
    if fold:
        own = (W @ H)[problem.labels, np.arange(problem.columns)]
        H = H * np.where(own < 0, -1, 1)
    means = H.reshape(H.shape[0], problem.classes, -1).mean(2)
    within = H - np.repeat(means, H.shape[1] // problem.classes, axis=1)
    nc1 = np.sum(within**2) / np.sum(H**2) if np.sum(H**2) > 1e-12 else 0.0
    return Measured(value, W, H, W @ means, float(nc1), np.array([run[0] for run in runs]))


def evidence(problem: Problem, predicted: Prediction, measured: Measured) -> list[Check]:
    """Value, geometry and within-class collapse of the lowest run, and stationarity of the predicted point."""
    p, unit = float(predicted.value), max(abs(float(predicted.value)), 1e-2)
    value, gradient = value_and_gradient(problem, *map(np.asarray, (predicted.params.weights[0], predicted.params.H)))
    size = max(float(np.linalg.norm(np.asarray(predicted.logits), 2)), 1e-2)
    differs = relative_error(predicted.logits, measured.logits, scale=size)
    return [
        Check("agreement", "value", abs(measured.value - p) / unit, 1e-9),
        below("agreement", "never below", (p - measured.value) / unit, 1e-11),
        Check("agreement", "NC1", measured.nc1, 1e-9),
        Check("stationarity", "value", abs(value - p) / unit, 1e-12),
        Check("stationarity", "gradient", float(np.linalg.norm(gradient)), 1e-11),
        Check("agreement", "logits", differs, 1e-5),
        *consistency_checks(problem, predicted),
        uniqueness_check(problem, predicted, abs(measured.value - p) <= 1e-9 * unit and differs > 1e-4),
    ]


def certified(problem: Problem, predicted: Prediction, measured: Measured) -> list[Check]:
    """The same for a convex loss with a known conjugate, with the duality gap of the lowest run."""
    gap = certify(problem, Params((jax.numpy.asarray(measured.W),), jax.numpy.asarray(measured.H), None)).relative_gap
    return [*evidence(problem, predicted, measured), *gap_checks(gap, 1e-6)]


def collapse_theorem(
    id: str, origin: str, predict: Callable, losses: tuple[Loss, ...], prices: tuple[float, ...], drawn: tuple[float, float],
    assumes: tuple, *, missing: int = 1, classes: tuple[int, ...] = (3, CLASSES), **fields: Any,
) -> Theorem:  # fmt: skip
    """`statements.minimum` of some losses in the balanced one-layer model of width at least K - missing.

    Its cases are every loss at every c of `prices`; random ones have c between two ends, and one of some numbers of classes.
    """

    def cases() -> dict[str, Problem]:
        return {f"{loss.name}, c={c:g}": problem_at(loss, c) for loss in losses for c in prices}

    def draw(rng: np.random.Generator) -> Problem:
        c = float(np.exp(rng.uniform(*np.log(drawn))))
        return problem_at(losses[rng.integers(len(losses))], c, int(rng.choice(classes)))

    shared = (BALANCED, PLAIN, PENALISED, has_bias("none"), ONE_LAYER, is_wide(missing))
    return minimum(id, origin, predict, cases, draw, (*assumes, *shared), **{"measure": measure, "evidence": evidence} | fields)
