"""Distillation: what a student under a teacher minimises, as problems.

A symmetric teacher has logits t = a P + b J on its K classes (P = I - J, J = 11^T/K): a on the true class above the
others, mean b/K. The losses are those of `ufm.losses.distillation`; label smoothing is `Problem.balanced(smoothing=...)`.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ufm.base.checks import array_module, check_count, check_finite, check_positive, is_traced, refuse
from ufm.losses import Loss, dual_head
from ufm.losses import kd as kd_loss
from ufm.problem import Problem
from ufm.problem.params import Params


def symmetric_teacher(classes: int, a: Any, b: Any = 0.0) -> Any:
    """Logits a P + b J of a teacher that treats its classes alike.

    Args:
      classes: K >= 2. a: true logit less any other. b: sum of the logits of a class.

    Returns:
      (K, K), one column a class.

    Raises:
      ValueError: naming the argument, the value and what is allowed.
    """
    check_count("classes", classes, 2)
    check_finite("a", a)
    check_finite("b", b)
    xp = array_module(a, b)
    return jnp.asarray(a * xp.eye(classes) + (b - a) / classes * xp.ones((classes, classes)))


def confident_teacher(classes: int, confidence: Any, temperature: Any = 1.0) -> Any:
    """The symmetric teacher of b = 0 whose softmax at a temperature gives the true class a probability q.

    a = T log((K-1) q/(1-q))

    Args:
      classes: K >= 2. confidence: q in (0, 1). temperature: T.

    Returns:
      (K, K), one column a class.

    Raises:
      ValueError: naming the argument, the value and what is allowed.
    """
    check_count("classes", classes, 2)
    check_positive("temperature", temperature)
    if not is_traced(confidence) and not 0 < confidence < 1:
        refuse("confidence", confidence, "in (0, 1)")
    odds = (classes - 1) * confidence / (1 - confidence)
    return symmetric_teacher(classes, temperature * array_module(confidence, temperature).log(odds))


def distilled_problem(teacher: Any, per_class: int, widths: Any, loss: Loss | None = None, **choices: Any) -> Problem:
    """K classes of n samples, hard targets, and a teacher whose logits are one column a class.

    Args:
      teacher: (K, K) logits, column k for the samples of class k. per_class: n >= 1. widths: as in `Problem.from_targets`.
      loss: one that compares with a teacher; `ufm.losses.kd()` by default. **choices: ridges and all else of the problem.

    Raises:
      ValueError: naming the argument, the value and what is allowed.
    """
    targets, logits = _columns(teacher, per_class)
    return Problem.from_targets(targets, widths, loss=kd_loss() if loss is None else loss, teacher=logits, **choices)


def soft_label_problem(teacher: Any, per_class: int, widths: Any, temperature: Any = 1.0, **choices: Any) -> Problem:
    """Distillation alone, T^2 CE(softmax(t/T), softmax(z/T)), as cross-entropy against soft labels.

    The problem has loss "ce", targets softmax(t/T), scale 1/T and weight T^2, and so z/T as its logits.

    Args:
      teacher, per_class, widths, **choices: as in `distilled_problem`. temperature: T.

    Raises:
      ValueError: naming the argument, the value and what is allowed.
    """
    check_positive("temperature", temperature)
    logits = _columns(teacher, per_class)[1]
    xp = array_module(logits, temperature)
    q = xp.exp((logits - xp.max(logits, axis=0, keepdims=True)) / temperature)
    q = q / xp.sum(q, axis=0, keepdims=True)
    columns = {"weight": temperature**2, "samples": logits.shape[1], "scale": 1 / temperature}
    return Problem.from_targets(q, widths, loss="ce", **columns, **choices)


def dual_head_problem(
    teacher: Any,
    per_class: int,
    width: int,
    *,
    gamma: float = 1.0,
    kd: float = 1.0,
    temperature: float = 2.0,
    norm: bool = True,
    l2_W: Any,
    l2_H: Any,
) -> Problem:
    """gamma CE(W1 h) + kd B(W2 h; t) + l2_W[0]/2 |W1|^2 + l2_W[1]/2 |W2|^2 + l2_H/2 |H|^2 on shared features.

    The weight matrix of the problem is [W1; W2/s] with s = sqrt(l2_W[0]/l2_W[1]), so that it has one ridge; `heads` gives
    W1 and W2 back. What B becomes by that (T/s, t/s, kd s^2) is told to the loss here.

    Args:
      teacher: (K, K) logits, one column a class. per_class: n. width: d.
      gamma, kd, temperature, norm: as in `ufm.losses.dual_head`.
      l2_W: (2,) ridges of the heads (one number for both), known numbers above 0. l2_H: ridge of the features.

    Returns:
      Problem of 2K logits a column.

    Raises:
      ValueError: naming the argument, the value and what is allowed.

    Source: Yang et al. (2024), arXiv 2411.08937.
    """
    targets, logits = _columns(teacher, per_class)
    s = _head_scale(l2_W)
    loss = dual_head(gamma, kd * s**2, temperature / s, norm)
    stacked = array_module(logits).concatenate([targets, logits / s])
    return Problem.from_targets(stacked, width, loss=loss, l2_W=np.ravel(l2_W)[0], l2_H=l2_H)


def heads(params: Params, l2_W: Any) -> tuple[jax.Array, jax.Array]:
    """W1 and W2, both (K, d), of a point of `dual_head_problem` with the ridges l2_W."""
    W = params.weights[-1]
    K = W.shape[0] // 2
    return W[:K], _head_scale(l2_W) * W[K:]


def _head_scale(l2_W: Any) -> float:
    if is_traced(l2_W) or np.shape(l2_W) not in ((), (2,)):
        refuse("l2_W", "traced" if is_traced(l2_W) else l2_W, "one or two known numbers, the ridges of both heads")
    check_positive("l2_W", l2_W)
    ridges = np.broadcast_to(np.asarray(l2_W, float), (2,))
    return float(np.sqrt(ridges[0] / ridges[1]))


def _columns(teacher: Any, per_class: int) -> tuple[Any, Any]:
    """One-hot targets and teacher logits of n columns a class."""
    check_count("per_class", per_class, 1)
    shape = np.shape(teacher)
    if len(shape) != 2 or shape[0] != shape[1] or shape[0] < 2:
        raise ValueError(f"teacher must have shape (K, K) with K >= 2, one column a class, got {shape}")
    check_finite("teacher", teacher)
    xp = array_module(teacher)
    logits = xp.repeat(xp.asarray(teacher), per_class, axis=1)
    eye = np.eye(shape[0], dtype=logits.dtype if jnp.issubdtype(logits.dtype, jnp.floating) else None)
    return np.repeat(eye, per_class, axis=1), logits
