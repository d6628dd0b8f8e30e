"""Tirer and Bruna's extended UFM, in their normalisation: three bias modes, and two linear layers (ICML 2022).

    f = 1/(2Kn) |W H + b 1^T - Y|^2 + lW/(2K) |W|^2 + lH/(2Kn) |H|^2 (+ l2_b/2 |b|^2),    c = sqrt(lW lH)

so that l2_W = lW/K and l2_H = lH/(Kn) here. Their c is K sqrt(n) times the geometric mean of the plain ridges.
"""

import jax.numpy as jnp

from ufm.base.matrices import helmert
from ufm.equivalent.columns import split_columns
from ufm.losses import MSE
from ufm.problem import Problem
from ufm.theory import statements
from ufm.theory.assumptions import BALANCED, ONE_LAYER, PENALISED, PLAIN, has_bias, has_depth, has_loss, is_wide
from ufm.theory.mse.spectrum import largest_root
from ufm.theory.prediction import Prediction, from_triples


def predict_one_layer(problem: Problem) -> Prediction:
    """In Tirer and Bruna's normalisation the one-layer minimiser is an orthogonal frame (no bias), a simplex (free bias) or between
    (ridge on the bias), all with t = 1 - sqrt(lW lH).

    |hbar_k|^2 = t sqrt(lW/lH), w_k = sqrt(lH/lW) hbar_k, t = (1 - c)_+; with a ridge on b, t0 = (1 - c (1+l2_b)/l2_b)_+.
    """
    K, n, dtype = problem.classes, problem.samples / problem.classes, problem.dtype
    c = jnp.sqrt(problem.l2_W[0] * K * problem.l2_H * problem.samples)
    t = jnp.maximum(1 - c, 0)
    U = jnp.concatenate([helmert(K, dtype=dtype), jnp.full((K, 1), 1 / jnp.sqrt(1.0 * K), dtype)], axis=1)
    if problem.bias == "none":
        t0, gamma, b = t, jnp.ones((), dtype), jnp.zeros((K,), dtype)
    elif problem.bias == "free":
        t0, gamma, b = jnp.zeros((), dtype), jnp.zeros((), dtype), jnp.full((K,), 1 / K, dtype)
    else:
        gamma = problem.l2_b / (1 + problem.l2_b)
        t0 = jnp.maximum(1 - c / gamma, 0)
        b = jnp.full((K,), 1, dtype) * (1 - t0) / (K * (1 + problem.l2_b))
    value = ((K - 1) * (1 - t**2) + gamma * (1 - t0**2)) / (2 * K)
    sigma = jnp.sqrt(n) * jnp.concatenate([jnp.full((K - 1,), 1, dtype) * t, t0[None]])
    if problem.bias == "free":
        U, sigma = U[:, :-1], sigma[:-1]
    return from_triples(problem, U, sigma, U, b, value)


def predict_two_layers(problem: Problem) -> Prediction:
    """Two linear layers keep the orthogonal frame in every layer, alive iff 2K sqrt(Kn l2_H l2_W1 l2_W2) < 1/2.

    M = 2: alive iff B = 2K (Kn l2_H l2_W1 l2_W2)^(1/2) < 1/2, then t (1-t)^3 = (B/2)^2 and f* = (1-t)(1+2t)/2.
    """
    K, n = problem.classes, problem.samples / problem.classes
    B = 2 * K * jnp.sqrt(problem.samples * jnp.prod(problem.ridges))
    rest = jnp.where(B < 0.5, largest_root((jnp.minimum(B, 0.5) / 2) ** (2 / 3), 2), 1)
    U, t = jnp.eye(K, dtype=problem.dtype), 1 - rest
    sigma = jnp.sqrt(n) * t * jnp.ones((K,), problem.dtype)
    return from_triples(problem, U, sigma, U, jnp.zeros_like(U[0]), rest * (1 + 2 * t) / 2)


def _problem(their_c: float, bias: str, depth: int = 1, l2_b: float = 0.0) -> Problem:
    """K = 4, n = 6, lW : lH = 4 : 1, each class split in two columns; the second layer shares lW."""
    l2_W, l2_H = 2 * their_c / 4, their_c / (2 * 4 * 6)
    return split_columns(Problem.balanced(4, 6, (12,) * depth, bias=bias, l2_b=l2_b, l2_W=l2_W, l2_H=l2_H))


def one_layer_cases() -> dict[str, Problem]:
    """Each bias mode on both sides of c = 1, and the ridge of the bias on both sides of the mean direction's threshold."""
    cases = {f"{bias} bias, c={c}": _problem(c, bias) for bias in ("none", "free") for c in (0.1, 0.7, 1.2)}
    # at c = 0.4 the mean direction opens at l2_b = c/(1-c) = 2/3
    return cases | {f"ridge bias, c=0.4, l2_b={l2_b}": _problem(0.4, "ridge", l2_b=l2_b) for l2_b in (0.3, 1.5)}


def two_layer_cases() -> dict[str, Problem]:
    """Both sides of B = 1/2: B = 2 K sqrt(Kn l2_H l2_W^2) = (2 c)^(3/2)."""
    return {f"B={B}": _problem(B ** (2 / 3) / 2, "none", depth=2) for B in (0.01, 0.3, 0.45, 0.56)}


_SHARED = (has_loss(MSE), BALANCED, PLAIN, PENALISED, is_wide(0))

THEOREMS = (
    statements.minimum(
        "tirer-bruna-one-layer", "[tirer2022]", predict_one_layer, one_layer_cases,
        assumes=(*_SHARED, ONE_LAYER, has_bias("none", "free", "ridge")), minimiser=False,
    ),
    statements.minimum(
        "tirer-bruna-two-layers", "[tirer2022] (threshold from the Schatten reduction)", predict_two_layers, two_layer_cases,
        assumes=(*_SHARED, has_depth("two weight matrices (M = 2)", lambda m: m == 2), has_bias("none")), minimiser=False,
    ),
)  # fmt: skip
