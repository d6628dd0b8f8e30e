"""Mixup and the simplex: features under a fixed simplex classifier, and a trained classifier, for which the simplex is optimal.

Columns are types of samples: a class, or a pair of classes k != l mixed with weight t, target q = t e_k + (1-t) e_l, weighted
by their probability. With W W^T = om2 (I - J/K) fixed (Fisher, Meng, Papyan 2024; the closed form derived) each type is a problem
of its own in the two scalars (x, y) of `potential`,

    min_h CE(q, softmax(W h)) + (l2_H/2) |h|^2,    h = (x w_k + y w_l)/om2,    kappa = om2/l2_H.

Features of one class (t = 1, y = 0, D = x) are aligned with their classifier, D (e^D + K - 1) = kappa K; mixed ones run along
channels between classes.

With probabilities p_c of the types and features penalised in expectation a trained classifier is stationary where

    l2_W l2_H (K - 1) kappa^2 = E(kappa) = sum_c p_c (x_c^2 + y_c^2 - (x_c + y_c)^2/K).

E/kappa^2 = sum_c p_c |q_c - softmax(z_c)|^2 falls in kappa, so the root is unique. It exists iff l2_W l2_H < m2/K with
m2 = E[lambda^2 + (1 - lambda)^2], = (alpha + 1)/(2 alpha + 1) for Beta(alpha, alpha) and pairs with self-pairs; for the
probability s of a pair of one class, iff (K - 1) l2_W l2_H < s (1 - 1/K) + (1 - s)(m2 - 1/K). Otherwise all is zero.

Global optimality is the certificate of duality: the gradient in the logits, scaled by the features' penalties, is
-1/om2 times the scaled logits, whose moment sum_c p_c z_c z_c^T is a multiple of I - J/K by symmetry.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ufm.base.checks import is_traced
from ufm.base.matrices import helmert
from ufm.equivalent.columns import split_columns
from ufm.losses import CE
from ufm.problem import Problem, run_starts
from ufm.problem.params import Params, column_weights, data_term, end_to_end
from ufm.search.roots import increasing_root
from ufm.settings.mixup import lambda_nodes, mixup_problem, mixup_types
from ufm.theory import statements
from ufm.theory.assumptions import ONE_LAYER, PENALISED, PLAIN, has_bias, has_loss, is_wide
from ufm.theory.mixup.potential import MIXES_TWO, centred_logits, squared_length, two_classes, two_logits
from ufm.theory.prediction import Prediction, effective_c, from_triples
from ufm.theory.theorem import Assumption


def predict_fixed(problem: Problem) -> Prediction:
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


def fixed_cases() -> dict[str, Problem]:
    """Weak and strong ridges with nodes at 0, 1/2, 1 and between; hardly any pairs of one class."""
    cases = {f"kappa={kappa}": _at((0.0, 0.3, 0.5, 1.0), (0.1, 0.4, 0.3, 0.2), kappa) for kappa in (0.1, 10.0, 1000.0)}
    return cases | {"kappa=10.0, pairs of other classes": _at((0.1, 0.5, 1.0), (0.5, 0.499, 0.001), 10.0)}


def draw_fixed(rng: np.random.Generator) -> Problem:
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


class LearnedMixup(NamedTuple):
    """The minimum of mixup with a trained classifier, in scalars (all 0 past the threshold).

    om2: W W^T = om2 (I - J/K), NaN at ridges beyond the precision. kappa = om2/l2_H. margin: D = z_k - z_l of features of one
    class. x, y: (R,) logits of the two classes of mixed features above those of the other ones.
    """

    om2: jax.Array
    kappa: jax.Array
    margin: jax.Array
    x: jax.Array
    y: jax.Array


def learned_mixup(classes: int, lambdas: Any, weights: Any, l2_W: Any, l2_H: Any) -> LearnedMixup:
    """The root kappa of l2_W l2_H (K - 1) kappa^2 = E(kappa) and the logits there, of K >= 2 classes with self-pairs.

    Args:
      lambdas: (R,) in [0, 1]. weights: (R,) their probabilities.
      l2_W, l2_H: ridges, above 0; derivatives pass through all numbers.
    """
    lambdas, weights, l2_W, l2_H = (jnp.asarray(x, float) for x in (lambdas, weights, l2_W, l2_H))
    p = jnp.concatenate([jnp.ones(1) / classes, (1 - 1 / classes) * weights])
    om2, x, y = _learned_size(classes, jnp.append(1.0, lambdas), l2_H * p, jnp.ones_like(p) / l2_H, l2_W)
    return LearnedMixup(om2, om2 / l2_H, x[0], x[1:], y[1:])


def _learned_size(classes: int, t: jax.Array, ridge: jax.Array, rate: jax.Array, l2_W: jax.Array) -> tuple:
    """(om2, x, y) of columns of targets t e_k + (1 - t) e_l, penalised by `ridge`, with `rate` times that weight in the loss."""
    level = l2_W * (classes - 1)

    def excess(log_om2: jax.Array, level: jax.Array, t: jax.Array, ridge: jax.Array, rate: jax.Array) -> jax.Array:
        om2 = jnp.exp(log_om2)
        x, y = two_logits(classes, t, om2 * rate)
        return 1 - jnp.sum(ridge * squared_length(classes, x / om2, y / om2)) / level

    # at zero a column has x/om2 = rate t and y/om2 = rate (1 - t); |W|^2 is bounded by the value at zero
    alive = jnp.sum(ridge * squared_length(classes, rate * t, rate * (1 - t))) > level
    high = jnp.log(jnp.sum(ridge * rate) * jnp.log(1.0 * classes) / level)
    low = jnp.log(1e-2 * jnp.finfo(t.dtype).eps / jnp.max(rate))
    om2 = jnp.where(alive, jnp.exp(increasing_root(excess, low, high, level, t, ridge, rate)), 0)
    size = jnp.where(alive, om2, 1)
    x, y = two_logits(classes, t, size * rate)
    balance = jnp.sum(ridge * squared_length(classes, x / size, y / size)) / level
    settled = jnp.abs(balance - 1) < jnp.finfo(t.dtype).eps ** 0.6
    om2 = jnp.where(alive & ~settled, jnp.nan, om2)  # beyond what the precision holds
    return om2, jnp.where(alive, x, 0), jnp.where(alive, y, 0)


def predict(problem: Problem) -> Prediction:
    """Under mixup with a trained classifier the simplex is optimal, its size the root of one scalar equation, its features those of
    a fixed simplex; everything is zero iff l2_W l2_H is at least the variance of the targets over K - 1.
    """
    K, ridge = problem.classes, problem.l2_H * problem.multiplicity
    rate = column_weights(problem) / ridge
    first, second, t = two_classes(problem.targets)
    om2, x, y = _learned_size(K, t, ridge, rate, problem.l2_W[0] / problem.scale**2)
    z = centred_logits(first, second, x, y)
    # z/om2 = rate (q - softmax(z)), also where om2 = 0
    pull = jnp.where(om2 > 0, z / jnp.where(om2 > 0, om2, 1), rate[None, :] * (problem.targets - 1 / K))
    size = jnp.sqrt(jnp.sum((pull * jnp.sqrt(problem.multiplicity)[None, :]) ** 2) / (K - 1))
    U, starts = helmert(K, dtype=problem.dtype), run_starts(problem.groups)
    V = (pull[:, starts] * (jnp.sqrt(problem.counts) / size)[None, :]).T @ U
    sigma = jnp.full((K - 1,), 1, problem.dtype) * om2 * size
    value = data_term(problem, z) + effective_c(problem) * jnp.sum(sigma)
    return from_triples(problem, U, sigma, V, jnp.zeros((K,), problem.dtype), value)


def problem_at(lambdas: Any, weights: Any, ratio: float, balance: float = 1.0, classes: int = 3, **pairs: Any) -> Problem:
    """d = K + 1, l2_W l2_H at so many times its critical value, every type as two columns of half its probability."""
    mixture = mixup_types(classes, lambdas, weights, **pairs)
    centred = np.sum(mixture.probability * (np.sum(mixture.targets**2, axis=0) - 1 / classes))
    c = np.sqrt(ratio * centred / (classes - 1))
    return split_columns(mixup_problem(mixture, classes + 1, l2_W=c * balance, l2_H=c / balance))


def cases() -> dict[str, Problem]:
    """Both sides of the threshold, from weak to strong ridges; even and uneven mixing; without self-pairs."""
    sides = {f"alpha=1, l2_W l2_H at {x} of its threshold": problem_at(*lambda_nodes(1.0, 2), x) for x in (1e-4, 0.9, 1.1)}
    uneven = problem_at(*lambda_nodes(0.1, 2), 0.01, 10.0, self_pairs=False, per_class=2)
    return sides | {"alpha=0.1, no self-pairs of n=2": uneven, "lambda=0.6": problem_at((0.6,), (1.0,), 1e-3, 0.1)}


def draw(rng: np.random.Generator) -> Problem:
    """A random alpha, class size without self-pairs and ridges 10 % away from their threshold, three or four classes."""
    ratio = float(rng.choice([np.exp(rng.uniform(-8, np.log(0.9))), rng.uniform(1.1, 3)]))
    nodes = lambda_nodes(float(np.exp(rng.uniform(-2, 2))), 2)
    balance, per_class = float(np.exp(rng.normal())), int(rng.integers(2, 50))
    return problem_at(*nodes, ratio, balance, int(rng.choice((3, 4))), self_pairs=False, per_class=per_class)


def _is_class_symmetric(p: Problem) -> bool:
    """Whether the weights of targets t e_k + (1 - t) e_l depend on t alone: on each t one table over (k, l) is constant."""
    traced = is_traced(p.targets, p.multiplicity, p.weight, p.intercept)
    if traced or any(np.ptp(np.asarray(x)) > 0 for x in (p.weight, p.intercept)):
        return False
    targets, mass, K = np.asarray(p.targets), np.asarray(p.multiplicity), p.classes
    t, tolerance = targets.max(axis=0), 64 * np.finfo(targets.dtype).eps
    kinds = np.sort(t)
    kinds = kinds[np.diff(kinds, prepend=-1) > tolerance]
    if (kinds.size - 1) * K * (K - 1) > 2 * t.size:  # fewer columns than the tables have entries
        return False
    kind = np.argmin(np.abs(t[None, :] - kinds[:, None]), axis=0)
    tables = np.zeros((kinds.size, K, K))
    np.add.at(tables, (kind, *np.argsort(-targets, axis=0, kind="stable")[:2]), mass)

    def spread(kind_t: float, table: np.ndarray) -> float:
        if abs(kind_t - 1) <= tolerance:
            return np.ptp(table.sum(axis=1))
        table = table + table.T if abs(kind_t - 0.5) <= tolerance else table
        return np.ptp(table[~np.eye(K, dtype=bool)])

    return max(map(spread, kinds, tables)) <= 1e-9 * mass.sum() / K


_FIXED = (
    has_loss(CE), has_bias("none"), Assumption("a fixed simplex classifier, no trained weights", _fixed_simplex), MIXES_TWO,
    Assumption("free features without proximity term", lambda p: p.features == "free" and p.H0 is None),
)  # fmt: skip
_TRAINED = (
    has_loss(CE), has_bias("none", "free", "ridge"), PLAIN, PENALISED, ONE_LAYER, is_wide(1), MIXES_TWO,
    Assumption("equal column weights, and targets whose probabilities are the same for all classes", _is_class_symmetric),
)  # fmt: skip
THEOREMS = (
    statements.minimum(
        "mixup-fixed-simplex", "setting: [fisher2024]; closed form derived", predict_fixed, fixed_cases, draw_fixed, _FIXED,
    ),
    statements.minimum(
        "mixup-joint-scalar", "derived; setting: [fisher2024], where the simplex is assumed", predict, cases, draw, _TRAINED,
        general=True,
    ),
)  # fmt: skip
