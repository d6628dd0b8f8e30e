"""Dot-regression: features regressed on the lengths and angles of a fixed classifier frame (Yang et al. 2022).

With classifier vectors m_k of length sqrt(E_W) along a frame and features scaled to length sqrt(E_H),

    loss = mean_i (<h_i, m_{y_i}> - sqrt(E_W E_H))^2 / (2 sqrt(E_W E_H)),

whose only minimum is 0 at h_i = sqrt(E_H/E_W) m_{y_i}. Its gradient -(1 - cos(h, m_y)) m_y is the pull -(1 - p_y) m_y of
cross-entropy with another weight, and no push from other classes: sizes of classes do not matter.
"""

from typing import Any

import jax
import jax.numpy as jnp

from ufm.base.checks import check_positive, is_traced, refuse
from ufm.frames.frame import Frame


def dot_regression(
    features: jax.Array, labels: jax.Array, frame: Frame | jax.Array, E_W: Any = 1.0, E_H: Any = 1.0
) -> jax.Array:
    """The dot-regression loss of features and a frame, both scaled to their lengths first, as the mean over samples.

    Args:
      features: h, shape (d, N), any lengths; derivatives go through the scaling. A zero feature counts as orthogonal.
      labels: y, shape (N,), whole numbers from 0 to K - 1.
      frame: the directions of the classifier, shape (d, K); the simplex in the paper.
      E_W: squared length of classifier vectors.
      E_H: squared length of features.

    Returns:
      Scalar from 0 to 2 sqrt(E_W E_H).

    Raises:
      ValueError: naming the argument, the value and what is allowed.

    Source: Yang, Chen, Li, Xie, Lin and Tao (2022), Inducing neural collapse in imbalanced learning, NeurIPS.
    """
    vectors = jnp.asarray(frame.vectors if isinstance(frame, Frame) else frame)
    features, labels = jnp.asarray(features), jnp.asarray(labels)
    features = features if jnp.issubdtype(features.dtype, jnp.floating) else features.astype(float)
    check_positive("E_W", E_W)
    check_positive("E_H", E_H)
    if vectors.ndim != 2:
        raise ValueError(f"frame must have shape (dim, classes), got {vectors.shape}")
    if features.ndim != 2 or features.shape[0] != vectors.shape[0]:
        raise ValueError(f"features must have shape ({vectors.shape[0]}, samples) as the frame has, got {features.shape}")
    if labels.shape != features.shape[1:]:
        raise ValueError(f"labels must have shape {features.shape[1:]}, got {labels.shape}")
    if not jnp.issubdtype(labels.dtype, jnp.integer):
        refuse("labels", labels, "whole numbers")
    classes = vectors.shape[1]
    if not is_traced(labels) and labels.size and not (0 <= labels.min() and labels.max() < classes):
        refuse("labels", labels, f"from 0 to {classes - 1}")
    cosines = jnp.sum(_unit(features) * _unit(vectors)[:, labels], axis=0)
    # (sqrt(E_W E_H) cos - sqrt(E_W E_H))^2 / (2 sqrt(E_W E_H))
    return jnp.sqrt(jnp.asarray(E_W * E_H, features.dtype)) / 2 * jnp.mean((1 - cosines) ** 2)


def _unit(x: jax.Array) -> jax.Array:
    squares = jnp.sum(x**2, axis=0, keepdims=True)
    return x / jnp.sqrt(jnp.where(squares > 0, squares, 1))
