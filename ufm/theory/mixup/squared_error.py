"""Mixup under squared error: every direction of the targets is shrunk on its own, and mixed features are convex combinations.

Classes enter alike where the second moment of the targets is sum_c p_c q_c q_c^T = aa (I - J/K) + bb J/K. With self-pairs
aa = E[lambda^2 + (1 - lambda)^2]/K and bb = 1/K. With tau = sqrt(l2_W l2_H), (u)_+ = max(u, 0) and no bias

    Z = [ (1 - tau/sqrt(aa))_+ (I - J/K) + (1 - tau/sqrt(bb))_+ J/K ] Q,
    W W^T = sqrt(l2_H/l2_W) [ (sqrt(aa) - tau)_+ (I - J/K) + (sqrt(bb) - tau)_+ J/K ],

the singular values of Q diag(sqrt p) under soft thresholding. As aa <= bb, differences of classes vanish first, at the
threshold of cross-entropy. A bias that is not penalised is 1/K and takes the mean direction away. Features are one linear map
of the targets, h = (W^T W + l2_H I)^{-1} W^T (q - b), for any W: that of t e_k + (1 - t) e_l is t h_k + (1 - t) h_l.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np

from ufm.base.checks import array_module, is_traced
from ufm.base.matrices import helmert
from ufm.equivalent.columns import split_columns
from ufm.losses import MSE
from ufm.problem import Problem, run_starts
from ufm.settings.mixup import lambda_nodes, mixup_problem, mixup_types
from ufm.theory import statements
from ufm.theory.assumptions import ONE_LAYER, PENALISED, PLAIN, has_bias, has_loss
from ufm.theory.prediction import Prediction, effective_c, from_triples
from ufm.theory.statements.minima import Measured, minimum_evidence
from ufm.theory.theorem import Assumption, Check


def predict(problem: Problem) -> Prediction:
    """Mixup under squared error: class differences are shrunk by (1 - tau/sqrt(m2/K))_+ and the mean by (1 - tau sqrt(K))_+, tau =
    sqrt(l2_W l2_H), and mixed features are convex combinations of the features of classes.
    """
    K, dtype = problem.classes, problem.dtype
    aa, bb, _ = _moments(problem)
    rank = K - 1 if problem.bias == "free" else K
    U = jnp.concatenate([helmert(K, dtype=dtype), jnp.full((K, 1), 1 / jnp.sqrt(1.0 * K), dtype)], axis=1)[:, :rank]
    full = jnp.sqrt(jnp.concatenate([jnp.full((K - 1,), 1, dtype) * aa, bb[None]]))[:rank]
    price, unit = effective_c(problem), problem.samples / problem.weight[0]
    sigma = jnp.maximum(full - unit * price, 0)
    value = jnp.sum((full - sigma) ** 2 / (2 * unit) + price * sigma)
    Q = problem.targets[:, run_starts(problem.groups)] * jnp.sqrt(problem.counts)[None, :]
    b = jnp.full((K,), 1 / K if problem.bias == "free" else 0, dtype)
    return from_triples(problem, U, sigma, Q.T @ U / full[None, :], b, value)


def _moments(problem: Problem) -> tuple[Any, Any, Any]:
    """aa and bb of sum_c m_c q_c q_c^T, and how far numbers are from the theorem's: a relative error."""
    numbers = (problem.targets, problem.multiplicity, problem.weight, problem.intercept)
    xp, K = array_module(*numbers), problem.classes
    Q, m, w, a = (xp.asarray(x) for x in numbers)
    moment = (Q * m[None, :]) @ Q.T
    bb = xp.sum(moment) / K
    aa = (xp.trace(moment) - bb) / (K - 1)
    symmetric = aa * np.eye(K, dtype=problem.dtype) + (bb - aa) / K
    errors = [abs(moment - symmetric).max() / bb, abs(Q.sum(axis=0) - 1).max(), abs(w / w[0] - 1).max()]
    if problem.bias != "none":
        errors.append(abs(a - 1).max())
    return aa, bb, xp.max(xp.stack(errors))


def _is_class_symmetric(p: Problem) -> bool:
    known = not is_traced(p.targets, p.multiplicity, p.weight, p.intercept)
    return known and bool(_moments(p)[2] < 1e-9 + 16 * np.finfo(p.dtype).eps)


def evidence(problem: Problem, predicted: Prediction, measured: Measured) -> list[Check]:
    """That of minima; where only the mean is left all classes have one feature, and NC1 is 0/0."""
    checks = minimum_evidence()(problem, predicted, measured)
    return [check for check in checks if check.name != "NC1" or predicted.rank > 1]


def problem_at(lambdas: Any, weights: Any, tau: float, balance: float = 1.0, classes: int = 3, **pairs: Any) -> Problem:
    """d = K + 1, every type as two columns of half its probability."""
    mixture = mixup_types(classes, lambdas, weights, **pairs)
    return split_columns(mixup_problem(mixture, classes + 1, loss="mse", l2_W=tau * balance, l2_H=tau / balance))


def cases() -> dict[str, Problem]:
    """alpha = 1: sqrt(aa) = 0.471, sqrt(bb) = 0.577; both sides of both; no self-pairs, uneven ridges."""
    cases = {f"alpha=1 tau={tau}": problem_at(*lambda_nodes(1.0, 2), tau) for tau in (0.02, 0.46, 0.48, 0.57, 0.59)}
    uneven = problem_at(*lambda_nodes(0.1, 2), 0.1, 5.0, self_pairs=False, per_class=2)
    return cases | {"alpha=0.1 tau=0.1, no self-pairs of n=2": uneven}


def draw(rng: np.random.Generator) -> Problem:
    """Random alpha, class size without self-pairs and ridges, three or four classes."""
    nodes = lambda_nodes(float(np.exp(rng.uniform(-2, 2))), 2)
    tau, balance, classes = rng.uniform(0.01, 0.4), float(np.exp(rng.normal())), int(rng.choice((3, 4)))
    return problem_at(*nodes, tau, balance, classes, self_pairs=False, per_class=int(rng.integers(2, 50)))


_ASSUMES = (
    has_loss(MSE), has_bias("none", "free"), PLAIN, PENALISED, ONE_LAYER,
    Assumption("every width at least K (K - 1 under a free bias)", lambda p: min(p.widths) >= p.classes - (p.bias == "free")),
    Assumption("equal column weights, and targets of sum 1 whose second moment treats classes alike", _is_class_symmetric),
)  # fmt: skip
THEOREMS = (
    statements.minimum(
        "mixup-mse", "derived (soft thresholding of singular values); setting: [fisher2024]", predict, cases, draw, _ASSUMES,
        evidence=evidence, general=True,
    ),
)  # fmt: skip
