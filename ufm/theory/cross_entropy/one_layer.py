"""Balanced cross-entropy on one layer: the simplex ETF with an explicit logarithm for its margin (Zhu et al. 2021).

With kappa = sqrt(n) c (c the geometric mean ridge), the prediction on the true class is p = 1 - (K-1) kappa and kappa elsewhere;
Zbar = a (I - J), a = log(1/kappa - K + 1), b = 0, and the minimum is the Shannon entropy of the predicted distribution,
f* = -p log p - (K-1) kappa log kappa. Under label smoothing s the prediction elsewhere is s/K + kappa (Guo et al. 2025).
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import xlogy

from ufm.equivalent.columns import split_columns
from ufm.losses import CE
from ufm.problem import Classes, Problem
from ufm.theory import statements
from ufm.theory.assumptions import BALANCED, CLASS_SYMMETRIC, ONE_LAYER, PENALISED, PLAIN, has_bias, has_loss, is_wide
from ufm.theory.mse.cases import ridges_at
from ufm.theory.prediction import Prediction
from ufm.theory.symmetric import price_of, symmetric_prediction
from ufm.theory.theorem import Assumption

_BIASES = ("none", "free", "ridge")


def predict_one_layer(problem: Problem) -> Prediction:
    """Balanced CE on one layer: the simplex ETF with margin log(1/kappa - K + 1), kappa = sqrt(n l2_W l2_H), in every bias mode;
    everything is zero iff kappa >= 1/K.
    """
    return soft_simplex(problem, price_of(problem))


def predict_smoothed(problem: Problem) -> Prediction:
    """Label smoothing keeps the simplex ETF, with margin log(K/(s + K kappa) - K + 1), and zero iff kappa >= (1-s)/K."""
    return soft_simplex(problem, problem.targets[1, 0] + price_of(problem))


def soft_simplex(problem: Problem, other: jax.Array, total: Any = 1.0) -> Prediction:
    """The simplex that predicts `other`, label and price, on any wrong class: f* is the entropy of the prediction times `total`."""
    K = problem.classes
    p_o = jnp.minimum(other, 1 / K)
    p_t = 1 - (K - 1) * p_o
    entropy = -p_t * jnp.log1p(-(K - 1) * p_o) - (K - 1) * xlogy(p_o, p_o)
    return symmetric_prediction(problem, jnp.where(other < 1 / K, jnp.log(p_t / p_o), 0), 0.0, total * entropy)


def problem_at(ratio: float, bias: str, *, classes: int = 4, per_class: int = 5, width: int = 12, smoothing: float = 0) -> Problem:
    """A CE problem with kappa = ratio (1 - s)/K, each class as two columns of half its samples."""
    ridges = ridges_at(ratio * (1 - smoothing) / classes / per_class**0.5, 1) | {"l2_b": 0.05 if bias == "ridge" else 0.0}
    return split_columns(Problem.balanced(classes, per_class, width, loss="ce", bias=bias, smoothing=smoothing, **ridges))


def one_layer_cases() -> dict[str, Problem]:
    """Both sides of kappa K = 1 in all bias modes, d = K - 1, and K=10, n=100, d=512 at the published ridges."""
    cases = {f"{bias} bias, kappa K={r}": problem_at(r, bias) for bias in _BIASES for r in (0.002, 0.3, 0.9, 1.1, 3.0)}
    cases |= {f"{bias} bias, d=K-1": problem_at(0.1, bias, width=3) for bias in _BIASES}
    published = Problem.balanced(10, 100, 512, loss="ce", bias="ridge", l2_W=5e-4, l2_H=1e-5, l2_b=1e-2)
    return cases | {"K=10 n=100 d=512, ridge bias": published}


def smoothed_cases() -> dict[str, Problem]:
    """Both sides of the threshold kappa = (1-s)/K for s = 0.1 and 0.3."""
    return {f"s={s} ratio={ratio}": problem_at(ratio, "ridge", smoothing=s) for s in (0.1, 0.3) for ratio in (0.05, 0.7, 1.2)}


def draw_one_layer(rng: np.random.Generator) -> Problem:
    """Random kappa 5 % away from the threshold, any bias mode, four or six classes."""
    ratio = float(rng.choice([np.exp(rng.uniform(-6, np.log(0.95))), rng.uniform(1.05, 3)]))
    bias, per_class = str(rng.choice(_BIASES)), int(rng.integers(1, 200))
    K = int(rng.choice((4, 6)))
    return problem_at(ratio, bias, classes=K, per_class=per_class, width=int(rng.choice([K - 1, 14])))


def draw_smoothed(rng: np.random.Generator) -> Problem:
    """Random smoothing and kappa, four or six classes."""
    ratio, smoothing = float(rng.uniform(0.01, 0.9)), float(rng.uniform(0.01, 0.5))
    return problem_at(ratio, "ridge", smoothing=smoothing, classes=int(rng.choice((4, 6))))


_SHARED = (has_loss(CE), PLAIN, PENALISED, ONE_LAYER, is_wide(1), has_bias(*_BIASES))
_SMOOTHED = Assumption(
    "smoothed targets (label smoothing)", lambda p: isinstance(p.design, Classes) and p.design.smoothing is not None
)
THEOREMS = (
    statements.minimum(
        "ce-one-layer", "[zhu2021]; explicit form derived",
        predict_one_layer, one_layer_cases, draw_one_layer, (*_SHARED, BALANCED),
    ),
    statements.minimum(
        "ce-label-smoothing", "[guo2025] (form attributed); derived from the scalar reduction",
        predict_smoothed, smoothed_cases, draw_smoothed, (*_SHARED, CLASS_SYMMETRIC, _SMOOTHED),
    ),
)  # fmt: skip
