"""Best packings from random starts: the one measurement of the theorems about bounds on cosines.

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


def packed(case: Lines, key: jax.Array, *, signed: bool = False) -> list[np.ndarray]:
    """Frames of least largest |cosine| (signed cosine) from random starts, after the random starts themselves."""
    starts = jax.random.normal(key, (_STARTS, *_ROOM))
    rows, columns = jnp.arange(_ROOM[0]) < case.dim, jnp.arange(_ROOM[1]) < case.vectors
    found, _ = spread(jnp.where(rows[None, :, None], starts, 0), columns, signed, case.dim)
    return [frame[: case.dim, : case.vectors] for frame in (*np.asarray(starts), *np.asarray(found))]


def draw_lines(rng: np.random.Generator) -> Lines:
    """Up to ten vectors in up to five dimensions."""
    return Lines(int(rng.integers(2, 11)), int(rng.integers(1, 6)))


def cosines(frame: np.ndarray) -> np.ndarray:
    """Cosines of all pairs of columns."""
    unit = frame / np.linalg.norm(frame, axis=0)
    return (unit.T @ unit)[np.triu_indices(frame.shape[1], 1)]
