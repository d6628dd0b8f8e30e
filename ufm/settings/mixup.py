"""Mixup: the distribution of mixed targets and the problems made of it (setting of Fisher, Meng, Papyan 2024, arXiv 2402.06171).

Samples of classes k and l are mixed into the target lambda e_k + (1 - lambda) e_l with lambda ~ Beta(alpha, alpha). Features
are free, one for each type of target (`mixup_types`) or each pair of samples (`mixup_samples`); `mixup_problem` is

    f = sum_c p_c [ loss(W h_c, q_c) + (l2_H/2) |h_c|^2 ] + (l2_W/2) |W|^2

with the probabilities p_c of the targets q_c: features are penalised in expectation, as the loss is.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ufm.base.checks import (
    array_module,
    check_choice,
    check_count,
    check_finite,
    check_key,
    check_non_negative,
    check_positive,
    common_float_dtype,
    is_traced,
    refuse,
)
from ufm.frames import simplex_etf
from ufm.problem import Problem


class Mixture(NamedTuple):
    """A distribution of mixed targets: targets (K, C), one a column, and their probabilities (C,)."""

    targets: Any
    probability: Any


def lambda_nodes(alpha: Any, nodes: int) -> tuple[Any, Any]:
    """Gauss-Jacobi quadrature of Beta(alpha, alpha): R nodes in [0, 1] and weights, exact for polynomials of degree 2R - 1.

    Nodes are eigenvalues of the tridiagonal matrix of diagonal 1/2 and squared off-diagonals b_1 = 1/(4 (2 alpha + 1)),

        b_k = k (k + 2 alpha - 2) / (4 (2k + 2 alpha - 1) (2k + 2 alpha - 3)),    k = 2 .. R - 1,

    symmetric about 1/2 to the last bit. alpha -> 0 puts all weight on the ends, which is no mixup; alpha -> inf puts it
    at 1/2, where the one node 0.5 does.

    Args:
      alpha: above 0; derivatives pass through it.
      nodes: R >= 1; `enough_nodes` says how many a problem needs.

    Returns:
      (lambdas, weights), both (R,): lambdas increasing, weights of sum 1.

    Raises:
      ValueError: if alpha is not above 0, or nodes not a whole number of at least 1.

    Example:
      >>> lambdas, weights = lambda_nodes(1.0, 2)  # Gauss-Legendre on [0, 1]
      >>> print(lambdas.round(4), weights.round(4))
      [0.2113 0.7887] [0.5 0.5]

    Source: Golub and Welsch 1969, Calculation of Gauss quadrature rules.
    """
    check_positive("alpha", alpha)
    check_count("nodes", nodes, 1)
    xp, dtype = array_module(alpha), common_float_dtype(alpha)
    alpha, k = xp.asarray(alpha, dtype), np.arange(2.0, nodes).astype(dtype)
    later = k * (k + 2 * alpha - 2) / (4 * (2 * k + 2 * alpha - 1) * (2 * k + 2 * alpha - 3))
    off = xp.sqrt(xp.concatenate([(1 / (8 * alpha + 4))[None], later]))[: nodes - 1]
    values, vectors = xp.linalg.eigh(xp.diag(off, 1) + xp.diag(off, -1))
    upper = xp.clip(0.5 + 0.5 * (values - values[::-1])[nodes // 2 :], 0.5, 1)
    weights = vectors[0] ** 2
    return xp.concatenate([1 - upper[::-1][: nodes // 2], upper]), 0.5 * (weights + weights[::-1])


def enough_nodes(kappa: float) -> int:
    """R = 8 + 3 sqrt(kappa) nodes, rounded up: relative errors of 1e-8 and less in whatever is averaged over lambda.

    Logits as functions of lambda have layers of width 1/kappa at 0 and 1, kappa = |W|^2/((K - 1) l2_H), which nodes of
    spacing 1/R^2 there must resolve. The rule was calibrated on kappa in [1, 3000], alpha >= 0.2 and K <= 100.

    Args:
      kappa: above 0; l2_W of a trained classifier and l2_H bound it by log(K)/((K - 1) l2_W l2_H).

    Raises:
      ValueError: if kappa is not finite and above 0.
    """
    check_positive("kappa", kappa)
    return math.ceil(8 + 3 * math.sqrt(kappa))


def same_class_probability(classes: int, *, self_pairs: bool = True, per_class: int | None = None) -> float:
    """The probability that both samples of a pair are of one class: 1/K, or (n - 1)/(nK - 1) where no sample meets itself.

    Args:
      classes: K >= 2.
      self_pairs: whether a sample may be paired with itself.
      per_class: n, needed without self-pairs.

    Raises:
      ValueError: naming the argument, the value given and what is allowed.
    """
    check_count("classes", classes, 2)
    if self_pairs:
        return 1 / classes
    check_count("per_class (without self-pairs)", per_class, 1)
    assert per_class is not None  # no count
    return (per_class - 1) / (per_class * classes - 1)


def mixup_types(
    classes: int, lambdas: Any, weights: Any, *, self_pairs: bool = True, per_class: int | None = None
) -> Mixture:
    """Every kind of mixed target once, with its probability over random pairs of samples and the nodes of lambda.

    Ordered pairs (k, l, lambda) and (l, k, 1 - lambda) have one target, all lambdas do where k = l, and lambda = 0 or 1 gives
    a class itself: each is one column. There are K columns of the classes, then for each distinct t = max(lambda, 1 - lambda)
    below 1, ascending, the targets t e_k + (1 - t) e_l of the ordered pairs k != l (at t = 1/2 of the pairs k < l).
    What has probability 0 has no column.

    Args:
      classes: K >= 2.
      lambdas: (R,) numbers in [0, 1], not traced: they decide which columns there are. weights: (R,) their probabilities.
      self_pairs, per_class: as in `same_class_probability`.

    Returns:
      Mixture of C = K + K (K - 1) R/2 columns for R symmetric nodes.

    Raises:
      ValueError: naming the argument, the value given and what is allowed.

    Example:
      >>> print(mixup_types(2, (0.25, 0.75), (0.5, 0.5)).targets)
      [[1.   0.   0.75 0.25]
       [0.   1.   0.25 0.75]]
    """
    same = same_class_probability(classes, self_pairs=self_pairs, per_class=per_class)
    if is_traced(lambdas):
        refuse("lambdas", "traced numbers", "known numbers, since they decide which columns there are")
    dtype = common_float_dtype(lambdas, weights)
    check_finite("lambdas", lambdas)
    lambdas = np.asarray(lambdas, dtype)
    if lambdas.ndim != 1 or lambdas.size == 0 or np.any((lambdas < 0) | (lambdas > 1)):
        refuse("lambdas", lambdas, "a vector of numbers in [0, 1]")
    xp, ordered = array_module(weights), np.nonzero(~np.eye(classes, dtype=bool))
    weights = _probabilities("weights", weights, lambdas.shape, dtype)
    folded = np.sort(np.maximum(lambdas, 1 - lambdas))
    ts = folded[np.diff(folded, prepend=-1) > 4 * np.finfo(dtype).eps]
    belongs = np.argmin(np.abs(np.maximum(lambdas, 1 - lambdas)[None, :] - ts[:, None]), axis=0) == np.arange(ts.size)[:, None]
    folded_weights = xp.asarray(belongs, dtype) @ weights
    pair = (1 - same) / (classes * (classes - 1))
    eye = np.eye(classes, dtype=dtype)
    whole = folded_weights[-1] if ts[-1] == 1 else 0
    targets, probability = [eye], [xp.full(classes, 1, dtype) * (same / classes + (classes - 1) * pair * whole)]
    for t, weight in zip(ts, folded_weights, strict=True):
        if t < 1:
            first, second = np.triu_indices(classes, 1) if t == 0.5 else ordered
            targets.append(t * eye[:, first] + (1 - t) * eye[:, second])
            probability.append(xp.full(first.size, 1, dtype) * (weight * pair * (2 if t == 0.5 else 1)))
    every, chances = np.concatenate(targets, axis=1), xp.concatenate(probability)
    present = np.ones(chances.shape, bool) if is_traced(chances) else chances > 0
    return Mixture(every[:, present], chances[present])


def mixup_samples(
    key: jax.Array, classes: int, per_class: int, alpha: Any, *, pairs: int | None = None, self_pairs: bool = True
) -> Mixture:
    """Random pairs of the nK samples, or all ordered pairs of them once, each with a lambda ~ Beta(alpha, alpha) of its own.

    Args:
      key: for the pairs and their lambdas.
      classes: K >= 2. per_class: n >= 1. alpha: above 0.
      pairs: how many pairs to draw, independently; all by default.
      self_pairs: whether a sample may be paired with itself.

    Returns:
      Mixture of one column a pair, all of one probability; pairs of one class have its one-hot target.

    Raises:
      ValueError: naming the argument, the value given and what is allowed.
    """
    check_key("key", key)
    check_count("classes", classes, 2)
    check_count("per_class", per_class, 1)
    check_positive("alpha", alpha)
    size = classes * per_class
    offsets = np.arange(0 if self_pairs else 1, size)
    pair_key, lambda_key = jax.random.split(key)
    flat: jax.Array | np.ndarray
    if pairs is None:
        flat = np.arange(size * offsets.size)
    else:
        check_count("pairs", pairs, 1)
        flat = jax.random.randint(pair_key, (pairs,), 0, size * offsets.size)
    first = flat // offsets.size
    second = (first + offsets[0] + flat % offsets.size) % size
    k, m = first // per_class, second // per_class
    dtype = common_float_dtype(alpha)
    # random generators are slow to compile: sizes up to the next power of two share one
    mixed = jax.random.beta(lambda_key, alpha, alpha, (1 << (flat.size - 1).bit_length(),), dtype)[: flat.size]
    t = jnp.where(k == m, jnp.ones((), dtype), mixed)[None, :]
    targets = t * jax.nn.one_hot(k, classes, axis=0, dtype=dtype) + (1 - t) * jax.nn.one_hot(m, classes, axis=0, dtype=dtype)
    return Mixture(targets, jnp.full(flat.shape, 1 / flat.size, dtype))


def mixup_problem(
    mixture: Mixture, dim: int, *, l2_H: Any, l2_W: Any = None, norm: Any = None, loss: Any = "ce", bias: str = "none"
) -> Problem:
    """The expected loss over a mixture of targets, with a trained classifier (`l2_W`) or a fixed simplex (`norm`).

    Args:
      mixture: from `mixup_types` or `mixup_samples`, or any targets and probabilities.
      dim: d; at least K - 1 for a fixed simplex.
      l2_H: ridge of the features, penalised with their probability.
      l2_W: ridge of the classifier where it is trained. norm: length of the rows of the simplex where it is fixed.
      loss: "ce", "mse" or another loss of soft targets. bias: "none", or "free", which is not penalised.

    Returns:
      Problem of the mixture's columns with multiplicity their probability and N = 1.

    Raises:
      ValueError: unless exactly one of l2_W and norm is given; naming the argument, the value given and what is allowed.
    """
    if (l2_W is None) == (norm is None):
        refuse("l2_W and norm", (l2_W, norm), "one number and one None: a trained classifier has a ridge, a fixed one a norm")
    check_choice("bias", bias, ("none", "free"))
    targets, dtype = mixture.targets, common_float_dtype(*mixture, l2_H, l2_W, norm)
    if np.ndim(targets) != 2:
        raise ValueError(f"mixture.targets must have shape (K, C), got {np.shape(targets)}")
    probability = _probabilities("mixture.probability", mixture.probability, np.shape(targets)[1:], dtype)
    choices = {"loss": loss, "bias": bias, "l2_H": l2_H, "multiplicity": probability, "samples": 1.0}
    if norm is None:
        return Problem.from_targets(targets, dim, l2_W=l2_W, **choices)
    check_positive("norm", norm)
    classifier = norm * simplex_etf(np.shape(targets)[0], dim, dtype).vectors.T
    return Problem.from_targets(targets, dim, classifier=classifier, **choices)


def _probabilities(name: str, given: Any, shape: tuple, dtype: Any) -> Any:
    check_non_negative(name, given)
    xp = array_module(given)
    values = xp.asarray(given, dtype)
    if values.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {values.shape}")
    if not is_traced(values) and abs(values.sum() - 1) > 1e-6:
        refuse(name, values, "probabilities that sum to 1")
    return values
