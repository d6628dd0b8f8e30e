"""Lines and points, the cases of bounds on cosines, and their one measurement: best packings from random starts.

All searches run in one compiled program, the room of 7 x 28; coordinates and columns that a case lacks stay empty.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from ufm.frames.search import spread

_ROOM = (7, 28)
_STARTS = 3


@jax.tree_util.register_static
@dataclass(frozen=True)
class Lines:
    """K = vectors lines (or points) in d = dim dimensions; both are shapes, so that a case has no numbers to trace."""

    vectors: int
    dim: int


def coherences(case: Lines, key: jax.Array) -> np.ndarray:
    """Coherences of random frames, and of those that minimise it from there."""
    return np.max(np.abs(_packed(case, key, signed=False)), axis=1)


def largest_cosines(case: Lines, key: jax.Array) -> np.ndarray:
    """Largest cosines of random points, and of those that minimise it from there."""
    return np.max(_packed(case, key, signed=True), axis=1)


def _packed(case: Lines, key: jax.Array, signed: bool) -> np.ndarray:
    """Cosines of all pairs, a row a frame: random ones and what they lead to."""
    starts = jax.random.normal(key, (_STARTS, *_ROOM))
    rows, columns = jnp.arange(_ROOM[0]) < case.dim, jnp.arange(_ROOM[1]) < case.vectors
    found, _ = spread(jnp.where(rows[None, :, None], starts, 0), columns, signed, case.dim)
    return np.stack([cosines(frame[: case.dim, : case.vectors]) for frame in (*np.asarray(starts), *np.asarray(found))])


def cosines(frame: np.ndarray) -> np.ndarray:
    """Cosines of all pairs of columns."""
    unit = frame / np.linalg.norm(frame, axis=0)
    return (unit.T @ unit)[np.triu_indices(frame.shape[1], 1)]


def cases_of(sizes: tuple[tuple[int, int], ...]) -> dict[str, Lines]:
    """Cases by label, from pairs (K, d)."""
    return {f"K={K} d={d}": Lines(K, d) for K, d in sizes}


def draw_lines(rng: np.random.Generator) -> Lines:
    """Up to ten vectors in up to five dimensions."""
    return Lines(int(rng.integers(2, 11)), int(rng.integers(1, 6)))
