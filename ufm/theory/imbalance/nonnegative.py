"""Imbalanced cross-entropy with non-negative features (after a ReLU): classes decouple (Dang, Tran, Nguyen, Ho 2024).

With c the geometric mean ridge and c' = c ((K-1)/K)^(1/2), class k has its own margin, whatever the others are:

    M_k = max(0, log((K-1) (sqrt(n_k)/(N c') - 1))),    logits M_k (e_k - 1/K),    features eta_k u_k, orthonormal u_k >= 0
    eta_k^2 = M_k (l2_W (K-1)/(K l2_H n_k))^(1/2),    w_k = s_k u_k - sum_j s_j u_j / K,    s_k = M_k/eta_k
    f* = sum_k (n_k/N) log(1 + (K-1) e^(-M_k)) + c' sqrt(n_k) M_k

Samples of a class that has collapsed are predicted uniformly.

Proof. Let m_k = K/(K-1) (w_k - mean w).h_k, on which the loss is at least log(1 + (K-1) e^(-m_k)). For a_k in [0, sqrt(n_k)]
sum a_k m_k <= K/(K-1) |W| |(I - J/K) [a_k h_k]|, and since h_j.h_k >= 0 the last norm is at most
((K-1)/K sum a_k^2 |h_k|^2)^(1/2); so the penalty is at least c' sum a_k m_k. Take a_k = min(sqrt(n_k), n_k (K-1)/(N K c')).
"""

import jax
import jax.numpy as jnp
import numpy as np

from ufm.losses import CE
from ufm.problem import Problem
from ufm.problem.params import Params
from ufm.theory import statements
from ufm.theory.assumptions import ONE_HOT, ONE_LAYER, PENALISED, as_class_sizes, has_bias, has_loss, is_wide
from ufm.theory.imbalance.thresholds import problem_at
from ufm.theory.prediction import Prediction, effective_c
from ufm.theory.statements.minima import Measured, measured_minimum
from ufm.theory.theorem import Assumption


def critical_size(problem: Problem) -> jax.Array:
    """N^2 l2_W l2_H K/(K-1), scalar: classes of at most this size collapse to zero under non-negative features."""
    K = problem.classes
    return (problem.samples * effective_c(problem)) ** 2 * K / (K - 1)


def margins(problem: Problem) -> jax.Array:
    """(K,) M_k."""
    odds = (problem.classes - 1) * (jnp.sqrt(problem.counts / critical_size(problem)) * problem.classes / (problem.classes - 1) - 1)
    return jnp.log(jnp.maximum(odds, 1))


def predict(problem: Problem) -> Prediction:
    """Imbalanced cross-entropy with non-negative features: orthogonal class means, a margin for each class that depends on its own
    size and N alone, and collapse to zero iff n_k <= N^2 l2_W l2_H K/(K-1).
    """
    K, M = problem.classes, margins(problem)
    params = from_margins(problem, M)
    price = effective_c(problem) * jnp.sqrt(problem.counts * (K - 1) / K)
    loss = jax.nn.softplus(jnp.log(K - 1.0) - M)
    sizes = jnp.sort(jnp.sqrt(jnp.sum(params.H**2, axis=1)))[::-1]
    return Prediction(
        value=jnp.sum(problem.counts / problem.samples * loss + price * M).astype(problem.dtype),
        params=params,
        logits=M[None, :] * (jnp.eye(K, dtype=M.dtype) - 1 / K),
        singular_values=jnp.stack([sizes[:K], jnp.linalg.svd(params.weights[0], compute_uv=False)[:K]]),
        alive=M > 0,
        rank=jnp.sum(M > 0) - jnp.all(M > 0),
        unique=jnp.asarray(True),
    )


def from_margins(problem: Problem, M: jax.Array) -> Params:
    """Params of least penalty among those with features on the axes and class logits M_k (e_k - 1/K)."""
    K, M, beside = problem.classes, M / problem.scale, problem.widths[0] - problem.classes
    ratio = jnp.sqrt(problem.l2_W[0] * (K - 1) / (problem.l2_H * K * problem.counts))
    eta, s = (jnp.sqrt(jnp.where(M > 0, x, 0)) for x in (M * ratio, M / ratio))
    W = jnp.diag(s) - s[None, :] / K
    columns = jnp.diag(eta)[:, problem.labels] * jnp.sqrt(problem.multiplicity)[None, :]
    return Params((jnp.pad(W, ((0, 0), (0, beside))),), jnp.pad(columns, ((0, beside), (0, 0))), None)


def measure(problem: Problem, key: jax.Array) -> Measured:
    """The best of 32 runs, of which a quarter to nine tenths end at the minimum where d = 2K, and fewer the nearer d is to K."""
    return measured_minimum(problem, key, starts=32)


def _relu_problem(counts: tuple, critical: float, width: int = 6) -> Problem:
    """A critical size of `critical`."""
    return problem_at(critical * (1 - 1 / len(counts)), counts, width=width, features="nonnegative")


def cases() -> dict[str, Problem]:
    """All alive, thresholds on both sides of class sizes, equal classes."""
    found = {f"n_crit={x}": _relu_problem((40, 12, 5, 2), x) for x in (0.01, 1.9, 2.1, 4.8, 11.0, 30.0, 41.0)}
    return found | {"equal classes": _relu_problem((5, 5, 5, 5), 0.05)}


def draw(rng: np.random.Generator) -> Problem:
    """Random class sizes, 4 % away from the critical one, four or six classes in twice as many dimensions."""
    while True:
        counts = tuple(int(n) for n in rng.integers(1, 60, size=rng.choice((4, 6))))
        critical = float(np.exp(rng.uniform(np.log(0.01), np.log(0.9 * max(counts)))))
        if np.all(np.abs(np.log(critical / np.array(counts))) > 0.04):
            return _relu_problem(counts, critical, 2 * len(counts))


DANG = "[dang2024]"

THEOREMS = (
    statements.minimum(
        "relu-imbalance", DANG + "; margins with both ridges, and the proof, derived",
        predict, cases, draw,
        (
            has_loss(CE), ONE_HOT, Assumption("non-negative features", lambda p: p.features == "nonnegative"),
            Assumption("a trained classifier and no proximity term", lambda p: p.classifier is None and p.H0 is None), PENALISED,
            ONE_LAYER, is_wide(0), has_bias("none"),
        ),
        measure=measure, alive="classes", view=as_class_sizes,
        notes="The landscape is not convex: single runs stop where two classes share a direction, so the best of 32 counts.",
    ),
)  # fmt: skip
