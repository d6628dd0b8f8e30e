"""SELI: class means and classifier of imbalanced cross-entropy in the limit of no ridge (Thrampoulidis et al. 2022).

With N = diag(n) and P = I - J/K,

    W W^T = (P N P)^(1/2),    M^T M = ((P N P)^+)^(1/2),    W M = P,

so that all margins are one whatever the class sizes, and the angles are not: minority classifiers may even be at acute
angles. Equal sizes give simplex frames.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ufm.base.checks import check_count, check_positive, refuse
from ufm.base.matrices import helmert, symmetric_power
from ufm.frames.frame import Frame


class SELI(NamedTuple):
    """Simplex-encoded-labels interpolation: the rows of the classifier and the class means, each as a Frame of K columns."""

    classifier: Frame
    means: Frame


def seli(counts: Any, dim: int | None = None) -> SELI:
    """SELI geometry of class sizes n: the solution of min |W|^2 + sum_k n_k |m_k|^2 with (w_y - w_c)^T m_y >= 1 for c != y.

    Q^T N Q = A for Helmert's basis Q; the columns are A^(1/4) Q^T for the classifier and A^(-1/4) Q^T for the means. With
    ridges l2_W and l2_H both are scaled by powers of their ratio: W by (l2_H/l2_W)^(1/4), the means by its inverse.

    Args:
      counts: n, shape (K,), K >= 2, above 0; its dtype is the dtype of the answer (whole numbers: JAX's default float).
      dim: d >= K - 1, the default; further coordinates are zero.

    Returns:
      SELI of two frames, each of shape (d, K); differentiable in the counts, also where they are equal.

    Raises:
      ValueError: if counts is not a vector of at least two positive numbers, or d < K - 1.

    Source: Thrampoulidis, Kini, Vakilian and Behnia (2022), Imbalance trouble: revisiting neural-collapse geometry.

    >>> [f"{x:.4f}" for x in seli([50, 50, 50, 5, 5]).classifier.gram[3, 3:]]
    ['2.5568', '0.3207']
    """
    check_positive("counts", counts)
    counts = jnp.asarray(counts)
    if counts.ndim != 1 or counts.size < 2:
        raise ValueError(f"counts must have shape (at least 2 classes,), got {counts.shape}")
    counts = counts if jnp.issubdtype(counts.dtype, jnp.floating) else counts.astype(float)
    classes = counts.shape[0]
    dim = classes - 1 if dim is None else dim
    check_count("dim", dim, 1)
    if dim < classes - 1:
        refuse("dim", dim, f"at least classes - 1 = {classes - 1}")
    Q = helmert(classes, counts.dtype)
    A = Q.T @ (counts[:, None] * Q)
    return SELI(*(_frame(symmetric_power(A, exponent), Q, dim) for exponent in (0.25, -0.25)))


def _frame(root: jax.Array, Q: jax.Array, dim: int) -> Frame:
    return Frame(jnp.pad(root @ Q.T, ((0, dim - root.shape[0]), (0, 0))))
