"""Rankin's bound on points of the sphere: the simplex up to d + 1 of them, the orthoplex up to 2 d (Rankin 1955)."""

import jax
import jax.numpy as jnp

from ufm.frames import rankin_bound
from ufm.theory import statements
from ufm.theory.frames.packing import Lines, cases_of, draw_lines, largest_cosines


def predict(case: Lines) -> jax.Array:
    """K unit vectors have a pair of cosine at least -1/(K-1), met by the simplex for d >= K - 1; beyond d + 1 vectors at least 0,
    met up to 2d of them, and above 0 beyond.
    """
    return jnp.asarray(rankin_bound(case.vectors, case.dim))


def cases() -> dict[str, Lines]:
    """Both sides of d + 1 and of 2 d."""
    return cases_of(((2, 2), (4, 3), (4, 6), (5, 3), (6, 3), (7, 3), (8, 4)))


THEOREMS = (
    statements.bound(
        "rankin-bound", "[rankin1955]",
        predict, largest_cosines, cases, draw_lines, met=lambda case: case.vectors <= 2 * case.dim, clear=1e-2, unit=1.0,
    ),
)  # fmt: skip
