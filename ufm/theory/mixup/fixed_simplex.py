"""Mixup features under a fixed simplex classifier (the setting of Fisher, Meng, Papyan 2024; the closed form derived).

Columns are types of samples: a class, or a pair of classes k != l mixed with weight t, target q = t e_k + (1-t) e_l, weighted
by their probability. With W W^T = om2 (I - J/K) each type is a problem of its own in the two scalars (x, y) of `potential`,

    min_h CE(q, softmax(W h)) + (l2_H/2) |h|^2,    h = (x w_k + y w_l)/om2,    kappa = om2/l2_H.

Features of one class (t = 1, y = 0, D = x) are aligned with their classifier, D (e^D + K - 1) = kappa K; mixed ones run along
channels between classes.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np

from ufm.base.checks import is_traced
from ufm.equivalent.columns import split_columns
from ufm.losses import CE
from ufm.problem import Problem, run_starts
from ufm.problem.params import Params, column_weights, data_term, end_to_end
from ufm.settings.mixup import mixup_problem, mixup_types
from ufm.theory import statements
from ufm.theory.assumptions import has_bias, has_loss
from ufm.theory.mixup.potential import MIXES_TWO, centred_logits, two_classes, two_logits
from ufm.theory.prediction import Prediction
from ufm.theory.theorem import Assumption


def predict(problem: Problem) -> Prediction:
    """Under mixup and a fixed simplex classifier, features of one class align with its row and mixed features lie in the plane of
    their two rows, at the minimiser of a convex potential of two scalars.
    """
    K, W = problem.classes, end_to_end(problem, ())
    om2 = jnp.sum(W**2) / (K - 1)
    kappa = om2 * column_weights(problem) / (problem.l2_H * problem.multiplicity)
    first, second, t = two_classes(problem.targets)
    z = centred_logits(first, second, *two_logits(K, t, kappa))
    H = W.T @ z / om2 * jnp.sqrt(problem.multiplicity)[None, :]
    s = jnp.linalg.svd(H, compute_uv=False)
    alive = s > 1e-12 * s[0]
    return Prediction(
        value=data_term(problem, z) + 0.5 * problem.l2_H * jnp.sum(H**2),
        params=Params((), H, None),
        logits=z[:, run_starts(problem.groups)],
        singular_values=s[None, :],
        alive=alive,
        rank=jnp.sum(alive),
        unique=jnp.asarray(True),
    )


def cases() -> dict[str, Problem]:
    """Weak and strong ridges with nodes at 0, 1/2, 1 and between; hardly any pairs of one class."""
    cases = {f"kappa={kappa}": _at((0.0, 0.3, 0.5, 1.0), (0.1, 0.4, 0.3, 0.2), kappa) for kappa in (0.1, 10.0, 1000.0)}
    return cases | {"kappa=10.0, pairs of other classes": _at((0.1, 0.5, 1.0), (0.5, 0.499, 0.001), 10.0)}


def draw(rng: np.random.Generator) -> Problem:
    """Random nodes beside 1/2, probabilities, ridge and length of the classifier's rows."""
    weights, nodes = rng.dirichlet(np.full(3, 3.0)), (rng.uniform(0.02, 0.48), 0.5, 1.0)
    return _at(nodes, weights, np.exp(rng.uniform(-1, 6)), rng.uniform(0.5, 3))


def _at(nodes: Any, weights: Any, kappa: float, norm: float = 1.5) -> Problem:
    """K = 3 classes in d = 4 > K - 1 dimensions without self-pairs of n = 1, every type as two columns of half its probability."""
    mixture = mixup_types(3, nodes, weights, self_pairs=False, per_class=1)
    return split_columns(mixup_problem(mixture, 4, l2_H=1.5 * norm**2 / kappa, norm=norm))


def _fixed_simplex(p: Problem) -> bool:
    if p.classifier is None or p.trainable != 0 or is_traced(p.classifier):
        return False
    K, A = p.classes, np.asarray(p.classifier)
    gram, tolerance = A @ A.T, 1e-9 + 4 * float(jnp.finfo(A.dtype).eps)
    return bool(abs(gram - (np.eye(K, dtype=gram.dtype) - 1 / K) * gram.trace() / (K - 1)).max() <= tolerance * gram.trace())


_ASSUMES = (
    has_loss(CE), has_bias("none"), Assumption("a fixed simplex classifier, no trained weights", _fixed_simplex), MIXES_TWO,
    Assumption("free features without proximity term", lambda p: p.features == "free" and p.H0 is None),
)  # fmt: skip
_SOURCE = "setting: [fisher2024]; closed form derived"
THEOREMS = (statements.minimum("mixup-fixed-simplex", _SOURCE, predict, cases, draw, _ASSUMES),)
