"""Mixup: problems whose columns are pairs of classes, mixed (setting of Fisher, Meng, Papyan 2024, arXiv 2402.06171)."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from ufm.frames import simplex_etf
from ufm.problem import Problem


def mixup_problem(classes: int, dim: int, lambdas: Any, lambda_weights: Any, norm: Any, l2_H: Any) -> Problem:
    """Expected cross-entropy over mixup pairs, features penalised with their probability, classifier a fixed simplex.

    Args:
      classes: K >= 2. dim: d >= K - 1.
      lambdas: (R,) weights of the first class in a mixed pair, in [0, 1]. lambda_weights: (R,) their probabilities.
      norm: length of the classifier's rows. l2_H: ridge; features of a type of probability p pay p l2_H/2 |h|^2.

    Returns:
      Problem of K + K (K-1) R columns: the pairs (k, k) of probability 1/K^2 each, then for every ordered pair (k, l)
      and every node a column of probability lambda_weights/K^2.
    """
    K = classes
    t = np.asarray(lambdas, dtype=float)
    pairs = [(k, m) for k in range(K) for m in range(K) if k != m]
    eye = np.eye(K)
    mixed = [t * eye[k][:, None] + (1 - t) * eye[m][:, None] for k, m in pairs]
    weights = jnp.concatenate([jnp.ones(K), jnp.tile(jnp.asarray(lambda_weights, float), len(pairs))]) / K**2
    return Problem.from_targets(
        np.concatenate([eye, *mixed], axis=1),
        dim,
        loss="ce",
        l2_H=l2_H,
        multiplicity=weights,
        samples=1.0,
        classifier=norm * simplex_etf(K, dim).vectors.T,
        groups=(1,) * (K + len(pairs) * t.size),
    )
