"""Welch's bound on the coherence of K lines in d dimensions (Welch 1974), and the frames that meet it."""

import jax
import jax.numpy as jnp

from ufm.frames import welch_bound
from ufm.theory import statements
from ufm.theory.frames.packing import Lines, cases_of, coherences, draw_lines

_EQUIANGULAR = ((3, 2), (4, 3), (5, 4), (6, 3), (6, 5))  # (K, d) of real equiangular tight frames, K <= 6
_OTHERS = ((3, 4), (4, 2), (5, 2), (5, 3), (6, 4))


def predict(case: Lines) -> jax.Array:
    """K > d unit vectors in d dimensions have a pair of |cosine| at least sqrt((K - d)/(d (K - 1))), with equality exactly at
    equiangular tight frames.
    """
    return jnp.asarray(welch_bound(case.vectors, case.dim))


def _is_met(case: Lines) -> bool | None:
    return True if (case.vectors, case.dim) in _EQUIANGULAR else None


def cases() -> dict[str, Lines]:
    """With and without an equiangular tight frame, among them the six diagonals of the icosahedron, and K <= d."""
    return cases_of((*_EQUIANGULAR, *_OTHERS))


THEOREMS = (
    statements.bound("welch-bound", "[welch1974]; [strohmer2003]", predict, coherences, cases, draw_lines, met=_is_met),
)
