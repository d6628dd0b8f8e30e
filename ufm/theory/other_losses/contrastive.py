"""Contrastive losses, convex or not: their symmetric collapse is a global minimiser (Zhou et al. 2022).

If loss(z; y) >= phi(t) with t = z_y - mean(z), with equality where the other logits are equal, then for every Z of N = nK columns
|Z|_* >= sum_i |t_i|/sqrt(n) (Z against the matrix P Y S, S signs, of spectral norm sqrt(n)), so that

    f >= min_t phi(t) + c K |t| = min_{a >= 0} loss(a (e_1 - 1/K)) + c (K-1) a,    c = sqrt(l2_W l2_H n)

attained by the simplex a (I - J). Every decreasing function of the softmax probability of the true class is contrastive. The
scalar problem may have several minima; zero is always a candidate.
"""

from dataclasses import astuple
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ufm.losses import focal, is_loss, poly1, value_of, z_loss
from ufm.losses.normalised import ZLoss
from ufm.problem import Problem
from ufm.theory import statements
from ufm.theory.assumptions import has_loss
from ufm.theory.other_losses.measured import (
    cases_of,
    collapse_theorem,
    descend,
    draw_of,
    problem_at,
    random_factors,
    value_and_gradient,
)
from ufm.theory.other_losses.scalar import lowest, on_simplex
from ufm.theory.prediction import Prediction
from ufm.theory.symmetric import price_of, symmetric_prediction
from ufm.theory.theorem import Assumption, Check, below

_HALVINGS = 20
_SHOWN = (focal(2.0), poly1(3.0))
_Z_LOSSES = (z_loss(2.0, 0.5, 0.05),)


def predict(problem: Problem) -> Prediction:
    """Focal, Poly-1, comp-sum and every other contrastive loss, convex or not: the simplex is a global minimiser, with the margin
    that minimises a function of one scalar.

    The lowest of all stationary points of loss(a (e_1 - 1/K)) + c (K-1) a on a >= 0.
    """
    a, value = on_simplex(problem)
    return symmetric_prediction(problem, a, jnp.zeros_like(a), value)


def predict_z_score(problem: Problem) -> Prediction:
    """The Z-loss with eps > 0 is contrastive: the simplex is a global minimiser, with a margin that minimises a function of one
    scalar.

    The same with the z-score a (1 - 1/K)/sqrt(a^2 (K-1)/K^2 + eps) of the true logit in closed form.
    """
    K, c = problem.classes, price_of(problem)
    slope, offset, eps = astuple(value_of(problem.loss, ZLoss))

    def F(a: jax.Array, c: jax.Array) -> jax.Array:
        score = a * (1 - 1 / K) / jnp.sqrt(a**2 * (K - 1) / K**2 + eps)
        return jax.nn.softplus(slope * (offset - score)) / slope + c * (K - 1) * a

    a = lowest(F, c)
    return symmetric_prediction(problem, a, jnp.zeros_like(a), F(a, c))


class Descent(NamedTuple):
    """The objective at 2^-k times a point, k = 0..20."""

    values: np.ndarray


def predict_infimum(problem: Problem) -> jax.Array:
    """The Z-loss with eps = 0 does not see the scale of the logits: with ridges the model has no minimiser, and its infimum
    softplus(A(B - sqrt(K-1)))/A is approached as all weights and features go to zero.

    softplus(A (B - sqrt(K-1)))/A, the loss at the largest z-score of any column: approached as the logits go to zero.
    """
    slope, offset, _ = astuple(value_of(problem.loss, ZLoss))
    return jax.nn.softplus(slope * (offset - jnp.sqrt(problem.classes - 1.0))) / slope


def measure_infimum(problem: Problem, key: jax.Array) -> Descent:
    """Descend almost without ridges, then shrink the point towards zero, along which only the ridges change."""
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    almost_free = problem.replace(l2_W=1e-9, l2_H=1e-9)
    runs = [descend(almost_free, *random_factors(problem, rng, scale)) for scale in (1.0, 2.0)]
    _, W, H = min(runs, key=lambda run: run[0])
    return Descent(np.array([value_and_gradient(problem, W / 2**k, H / 2**k)[0] for k in range(_HALVINGS + 1)]))


def infimum_evidence(problem: Problem, predicted: jax.Array, measured: Descent) -> list[Check]:
    """Values fall at every halving, stay above the infimum, and come within 1e-6 of it; zero itself is higher."""
    p, K, N = float(predicted), problem.classes, problem.columns
    at_zero = value_and_gradient(problem, np.zeros((K, problem.widths[0])), np.zeros((problem.widths[0], N)))[0]
    falls = np.diff(measured.values)
    return [
        Check("agreement", "infimum", abs(measured.values[-1] - p) / p, 1e-6),
        below("agreement", "never below", (p - measured.values.min()) / p),
        Check("agreement", "rises on the way down", float(np.sum(falls >= 0)), 0),
        below("agreement", "zero is lower", float(measured.values[-1]) - at_zero, 0.0),
    ]


def infimum_cases() -> dict[str, Problem]:
    """Weak and strong ridges."""
    return {f"c={c}": problem_at(z_loss(1.0, 0.0, 0.0), c) for c in (0.001, 0.1)}


def _is_contrastive(problem: Problem) -> bool:
    loss = problem.loss
    return loss.contrastive and loss.symmetric and loss.shift_invariant


_SOURCE = "[zhou2022losses]; with ridges derived"

THEOREMS = (
    collapse_theorem(
        "p-loss-1d", _SOURCE,
        predict, lambda: cases_of(_SHOWN, 0.003, 0.1, 0.9), draw_of(_SHOWN, 1e-3, 0.15),
        (Assumption("a contrastive loss, alike for all classes, that does not see shifts", _is_contrastive),), missing=1,
        general=True,
        notes="Other global minimisers may exist where the scalar problem has several; with one, the geometry is unique.",
    ),
    collapse_theorem(
        "z-score-loss", "loss: [debrebisson2016z]; minimum derived",
        predict_z_score, lambda: cases_of(_Z_LOSSES, 0.003, 0.1, 1.0), draw_of(_Z_LOSSES, 1e-3, 0.3, (5,)),
        (has_loss(ZLoss, name="z_loss"), Assumption("eps above 0", lambda p: is_loss(p.loss, ZLoss) and p.loss.value.eps > 0),),
        missing=1,
    ),
    statements.other(
        "z-score-no-minimiser", "loss: [debrebisson2016z]; infimum derived",
        predict_infimum, measure_infimum, infimum_cases, evidence=infimum_evidence,
    ),
)  # fmt: skip
