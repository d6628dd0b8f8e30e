"""Real equiangular tight frames from constructions: every pair at Welch's |cosine|, every direction seen equally.

    |<u_j, u_k>| = sqrt((K - d)/(d (K - 1))),    |U^T x|^2 = (K/d) |x|^2.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ufm.frames import equiangular_lines
from ufm.theory import statements
from ufm.theory.frames.packing import Lines
from ufm.theory.theorem import agreement

_DIRECTIONS = 3
# conference, symplectic (both kinds of points and complements), harmonic, Steiner and Golay
_CASES = ((6, 3), (14, 7), (10, 5), (28, 7), (36, 21), (120, 35), (16, 6), (144, 66), (176, 22), (276, 23))


class Angles(NamedTuple):
    """Least and largest |cosine|, and |U^T x|^2/|x|^2 in random directions."""

    least: jax.Array
    largest: jax.Array
    energy: jax.Array


def predict(case: Lines) -> Angles:
    """Paley conference matrices, quadrics over GF(2), Steiner systems of pairs and the Golay code give real equiangular tight
    frames, 276 lines in 23 dimensions among them; so do their complements.

    sqrt((K - d)/(d (K - 1))) twice, and K/d.
    """
    K, d = case.vectors, case.dim
    cosine = jnp.sqrt((K - d) / (d * (K - 1.0)))
    return Angles(cosine, cosine, jnp.full(_DIRECTIONS, K / d))


def measure(case: Lines, key: jax.Array) -> Angles:
    """Figures of the constructed vectors, normalised anew."""
    U = np.asarray(equiangular_lines(case.vectors, case.dim).vectors)
    U = U / np.linalg.norm(U, axis=0)
    sizes = np.abs(U.T @ U)[np.triu_indices(case.vectors, 1)]
    x = np.random.default_rng(np.asarray(jax.random.key_data(key))).standard_normal((_DIRECTIONS, case.dim))
    return Angles(sizes.min(), sizes.max(), np.sum((x @ U) ** 2, axis=1) / np.sum(x**2, axis=1))


def cases() -> dict[str, Lines]:
    """Every construction, and complements."""
    return {f"K={K} d={d}": Lines(K, d) for K, d in _CASES}


THEOREMS = (
    statements.other(
        "equiangular-lines", "[vanlint1966]; [seidel1976]; [goethals1975]; [fickus2012]",
        predict, measure, cases, evidence=agreement(1e-11),
    ),
)  # fmt: skip
