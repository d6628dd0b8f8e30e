"""More lines than d (d + 1)/2: the orthoplex bound and Levenshtein's, above Welch's.

    max |<u_j, u_k>| >= 1/sqrt(d)                                              for K > d (d + 1)/2,
    max |<u_j, u_k>| >= sqrt((3 K - d^2 - 2 d)/((d + 2) (K - d)))              for K >= d (d + 1)/2,

of which the second is the larger from K = d (d + 2)/2 on.
"""

import jax
import jax.numpy as jnp
import numpy as np

from ufm.frames import line_bound
from ufm.theory import statements
from ufm.theory.frames.packing import Lines, cosines, packed
from ufm.theory.theorem import Check, lower_bound, relative_error

# (K, d) whose best lines meet the bound: 7 in space, the roots of D4, 16 in 5 dimensions
_MET = ((4, 2), (7, 3), (12, 4), (16, 5))
_ABOVE = ((5, 2), (10, 3))
_EDGE = ((3, 2), (6, 3))  # K = d (d + 1)/2, where Welch's bound is still met


def predict(case: Lines) -> jax.Array:
    """More than d(d+1)/2 lines in d dimensions have a pair of |cosine| at least 1/sqrt(d), and at least sqrt((3K - d^2 -
    2d)/((d+2)(K-d))): no equiangular tight frame is that large.

    The largest of the bounds that apply.
    """
    return jnp.asarray(line_bound(case.vectors, case.dim))


def measure(case: Lines, key: jax.Array) -> np.ndarray:
    """Coherences of random frames and of those that minimise it from there."""
    return np.array([np.max(np.abs(cosines(frame))) for frame in packed(case, key)])


def evidence(case: Lines, predicted: jax.Array, measured: np.ndarray) -> list[Check]:
    """No frame is below the bound, and the known ones meet it."""
    checks = lower_bound(1e-12)(case, predicted, measured)
    if (case.vectors, case.dim) in (*_MET, *_EDGE):
        checks.append(Check("agreement", "met by the best frame", relative_error(predicted, measured.min()), 1e-6))
    return checks


def cases() -> dict[str, Lines]:
    """At the edge, where the orthoplex and where Levenshtein's bound rule, met and not met."""
    return {f"K={K} d={d}": Lines(K, d) for K, d in (*_EDGE, *_MET, *_ABOVE)}


def draw(rng: np.random.Generator) -> Lines:
    """More than d (d + 1)/2 lines in up to four dimensions."""
    dim = int(rng.integers(1, 5))
    return Lines(int(rng.integers(dim * (dim + 1) // 2 + 1, 16)), dim)


THEOREMS = (
    statements.other(
        "orthoplex-bound", "[rankin1955] on the embedding of [conway1996]; [levenshtein1982]",
        predict, measure, cases, draw, evidence=evidence,
    ),
)  # fmt: skip
