"""Codes in closed form: regular polygons and orthoplexes (cross-polytopes), best packings of points on spheres."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from ufm.base.checks import check_count, refuse
from ufm.frames.frame import Frame


def polygon(vectors: int, dtype: Any = None) -> Frame:
    """Regular polygon: K unit vectors in the plane, the largest cosine cos(2 pi / K) as small as can be.

    Args:
      vectors: K, at least 2.
      dtype: of the answer; None is JAX's default float.

    Returns:
      Frame of shape (2, K), the first vector along the first axis; tight for K >= 3.

    Raises:
      ValueError: if vectors is not a whole number of at least 2.

    >>> round(float(polygon(8).signed_coherence), 6)
    0.707107
    """
    check_count("vectors", vectors, 2)
    angles = 2 * np.pi * np.arange(vectors) / vectors
    return Frame(jnp.asarray(np.stack([np.cos(angles), np.sin(angles)]), dtype))


def orthoplex(vectors: int, dim: int | None = None, dtype: Any = None) -> Frame:
    """Orthoplex: coordinate vectors and their negatives, e_1, ..., e_d, -e_1, ..., of which the first K are taken.

    The largest signed cosine is 0, which is Rankin's bound for d + 2 <= K <= 2 d.

    Args:
      vectors: K, at least 1.
      dim: d with K <= 2 d; the default is the smallest, K/2 rounded up.
      dtype: of the answer; None is JAX's default float.

    Returns:
      Frame of shape (d, K), unit columns; all cosines are 0 or -1.

    Raises:
      ValueError: if K vectors do not fit.

    Source: Rankin (1955).

    >>> orthoplex(6)
    Frame(6 vectors in 3 dimensions: coherence 1, 2.23607 of the Welch bound; tightness 0; zeros 0.667)
    """
    check_count("vectors", vectors, 1)
    dim = -(-vectors // 2) if dim is None else dim
    check_count("dim", dim, 1)
    if vectors > 2 * dim:
        refuse("vectors", vectors, f"at most 2 dim = {2 * dim} for an orthoplex")
    axes = np.eye(dim)
    return Frame(jnp.asarray(np.concatenate([axes, -axes], axis=1)[:, :vectors] + 0.0, dtype))
