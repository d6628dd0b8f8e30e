"""The last layer of a trained network as an unconstrained feature model: which ridges it sees, and their closed-form minimum.

With E = d(sum_i loss)/d(logits) of shape (K, N), a point is stationary where E H^T/N + l2_W W = 0 and W^T E/N + l2_H H = 0. The
least-squares ridges of the two equations share their numerator,

    l2_W = -<E, W H>/(N |W|^2),    l2_H = -<E, W H>/(N |H|^2),

so the balance l2_W |W|^2 = l2_H |H|^2 of every minimum holds by construction (derived). Features are not free in a network: how far
the equations are from holding is reported with the ridges.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ufm.base.checks import check_choice, check_positive, refuse
from ufm.features.given import Features
from ufm.losses import get_loss
from ufm.metrics.variability import class_means
from ufm.problem import Problem
from ufm.problem.params import Params, objective
from ufm.search.solution import solve
from ufm.theory.registry import predict

_NO_RIDGE = 1e-9


class NoRidge(ValueError):
    """No positive ridge is closest to stationary: the loss does not pull the logits outwards."""


class EffectiveRidge(NamedTuple):
    """Ridges for which (W, H, b) is closest to stationary.

    l2_W, l2_H, l2_b: plain; l2_b is zero where the bias is absent or not shrunk. c = sqrt(K l2_W N l2_H).
    bias: "none", "free" or "ridge". residual_W, residual_H: |gradient of f|/|ridge part of it|, zero at a stationary point.
    """

    l2_W: float
    l2_H: float
    l2_b: float
    c: float
    bias: str
    residual_W: float
    residual_H: float


class Comparison(NamedTuple):
    """The trained last layer against the minimum of the unconstrained feature model at the effective ridges.

    source: id of the theorem, or "ufm.solve" where none applies. value: f at the trained point, samples and all. minimum: f*.
    cosine_means, cosine_W: cosines of the Gram matrices of class means (centred with a bias) and of the rows of W.
    ratio_means, ratio_W: trained norm over predicted norm, of class means and W. logits: relative error of the class-mean logits.
    """

    source: str
    value: float
    minimum: float
    cosine_means: float
    cosine_W: float
    ratio_means: float
    ratio_W: float
    logits: float


def effective_ridge(features: Features, loss: str = "mse", l2_W: float | None = None, l2_H: float | None = None) -> EffectiveRidge:
    """The ridges that a trained classifier and its features balance.

    Args:
      features: with W.
      loss: "mse" (one-hot targets) or "ce".
      l2_W, l2_H: known ridges; one of them gives the other by the balance, none gives both by least squares.

    Returns:
      EffectiveRidge.

    Raises:
      ValueError: without W, or for another loss.
      NoRidge: where no positive ridge is closest to stationary.
    """
    check_choice("loss", loss, ("mse", "ce"))
    if features.W is None:
        raise ValueError("W must be given for the effective ridge: give it, or both of l2_W and l2_H")
    for name, ridge in (("l2_W", l2_W), ("l2_H", l2_H)):
        if ridge is not None:
            check_positive(name, ridge)
    W, H, N, K = features.W, features.H, features.labels.size, features.classes
    b = np.zeros(K) if features.b is None else features.b
    E = np.asarray(_errors(loss, W @ H + b[:, None], np.eye(K)[:, features.labels])) / N
    pull = -np.sum(E * (W @ H))
    square_W, square_H = np.sum(W**2), np.sum(H**2)
    if l2_W is None and l2_H is None:
        if not pull > 0:
            raise NoRidge(f"no positive ridge fits W: the loss does not pull the logits outwards, -<E, W H>/N = {pull:.2g}")
        l2_W = pull / square_W
    l2_W = l2_H * square_H / square_W if l2_W is None else l2_W
    l2_H = l2_W * square_W / square_H if l2_H is None else l2_H
    l2_b = 0.0 if not np.any(b) else -np.sum(E.sum(1) * b) / np.sum(b**2)
    l2_b = l2_b if l2_b > _NO_RIDGE else 0.0
    return EffectiveRidge(
        l2_W=float(l2_W),
        l2_H=float(l2_H),
        l2_b=float(l2_b),
        c=float(np.sqrt(K * l2_W * N * l2_H)),
        bias="none" if features.b is None else "ridge" if l2_b > 0 else "free",
        residual_W=float(np.linalg.norm(E @ H.T + l2_W * W) / (l2_W * np.sqrt(square_W))),
        residual_H=float(np.linalg.norm(W.T @ E + l2_H * H) / (l2_H * np.sqrt(square_H))),
    )


def compare(features: Features, ridge: EffectiveRidge, loss: str = "mse") -> Comparison:
    """The trained point against the minimum of the model at the effective ridges, in closed form where a theorem has it.

    Each class is one column, since the minimum collapses.

    Args:
      features: with W. ridge: from `effective_ridge`. loss: "mse" or "ce".

    Returns:
      Comparison.

    Raises:
      ValueError: for features without W.
    """
    if features.W is None:
        refuse("features", "none", "features with a classifier W")
    K, d = features.classes, features.H.shape[0]
    choices: dict[str, Any] = {"loss": loss, "l2_W": ridge.l2_W, "l2_H": ridge.l2_H, "bias": ridge.bias, "l2_b": ridge.l2_b}
    problem = Problem.from_targets(np.eye(K), d, multiplicity=features.counts.astype(float), **choices)
    try:
        prediction = predict(problem)
        point, source, minimum = prediction.params, prediction.theorem, prediction.value
    except ValueError:  # outside every theorem
        solution = solve(problem, jax.random.key(0))
        point, source, minimum = solution.params, "ufm.solve", solution.value
    means = np.asarray(class_means(jnp.asarray(features.H), features.labels, K, samples_axis=1))
    own = np.asarray(point.H) / np.sqrt(features.counts)[None, :]
    W, b = np.asarray(point.weights[0]), np.zeros(K) if point.b is None else np.asarray(point.b)
    z = features.W @ means + (np.zeros(K) if features.b is None else features.b)[:, None]
    gram, own_gram = (_gram(x if features.b is None else x - x.mean(1, keepdims=True)) for x in (means, own))
    samples = Problem.from_targets(np.eye(K)[:, features.labels], d, **choices)
    trained = Params((jnp.asarray(features.W),), jnp.asarray(features.H), None if features.b is None else jnp.asarray(features.b))
    return Comparison(
        source=source,
        value=float(objective(samples, trained)),
        minimum=float(minimum),
        cosine_means=_cosine(gram, own_gram),
        cosine_W=_cosine(features.W @ features.W.T, W @ W.T),
        ratio_means=_ratio(np.sqrt(np.trace(gram)), np.sqrt(np.trace(own_gram))),
        ratio_W=_ratio(np.linalg.norm(features.W), np.linalg.norm(W)),
        logits=_ratio(np.linalg.norm(z - (W @ own + b[:, None])), np.linalg.norm(z)),
    )


def _errors(loss: str, z: np.ndarray, Y: np.ndarray) -> Any:
    return jax.jit(jax.vmap(jax.grad(get_loss(loss).value), in_axes=1, out_axes=1))(z, Y)


def _gram(x: np.ndarray) -> np.ndarray:
    return x.T @ x


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    sizes = np.linalg.norm(a) * np.linalg.norm(b)
    return float(np.sum(a * b) / sizes) if sizes > 0 else float("nan")


def _ratio(a: float | np.floating, b: float | np.floating) -> float:
    return float(a / b) if b > 0 else float("inf")
