"""Grassmannian frames, lines whose largest |cosine| is least: where a search meets Welch's bound, and what bounds more lines.

Minimising sum relu(|<u_j, u_k>| - threshold), or maxima of large exponent at once, stops above Welch's bound from most starts:
smooth maxima of squared cosines are climbed from the frame potential up. Beyond d (d + 1)/2 lines two bounds are above it,

    max |<u_j, u_k>| >= 1/sqrt(d)                                              for K > d (d + 1)/2 (the orthoplex bound),
    max |<u_j, u_k>| >= sqrt((3 K - d^2 - 2 d)/((d + 2) (K - d)))              for K >= d (d + 1)/2 (Levenshtein's),

of which the second is the larger from K = d (d + 2)/2 on.
"""

import jax
import jax.numpy as jnp
import numpy as np

from ufm.frames import line_bound
from ufm.theory import statements
from ufm.theory.frames import welch
from ufm.theory.frames.packing import Lines, cases_of, coherences

# (K, d) whose best lines meet the bound: 7 in space, the roots of D4, 16 in 5 dimensions
_MET = ((4, 2), (7, 3), (12, 4), (16, 5))
_EDGE = ((3, 2), (6, 3))  # K = d (d + 1)/2, where Welch's bound is still met
_ABOVE = ((5, 2), (10, 3))


def predict(case: Lines) -> jax.Array:
    """More than d(d+1)/2 lines in d dimensions have a pair of |cosine| at least 1/sqrt(d), and at least sqrt((3K - d^2 -
    2d)/((d+2)(K-d))): no equiangular tight frame is that large.

    The largest of the bounds that apply.
    """
    return jnp.asarray(line_bound(case.vectors, case.dim))


def stuck() -> dict[str, Lines]:
    """Frames on which thresholds on |cosines| get stuck."""
    return cases_of(((10, 5), (16, 6), (28, 7)))


def cases() -> dict[str, Lines]:
    """At the edge, where the orthoplex and where Levenshtein's bound rule, met and not met."""
    return cases_of((*_EDGE, *_MET, *_ABOVE))


def draw(rng: np.random.Generator) -> Lines:
    """More than d (d + 1)/2 lines in up to four dimensions."""
    dim = int(rng.integers(1, 5))
    return Lines(int(rng.integers(dim * (dim + 1) // 2 + 1, 16)), dim)


THEOREMS = (
    statements.bound(
        "grassmannian-search", "derived; the threshold search of [shen2023] stays above on these",
        welch.predict, coherences, stuck, met=lambda case: True,
        claim="Smooth maxima of squared cosines, climbed from the frame potential up, reach Welch's bound for 16 lines in "
        "6, 28 in 7 and 10 in 5 dimensions from a few random starts.",
        status="numerical",
        notes="From 32 starts each, all reach (16, 6), (10, 5) and (28, 7); where the first exponent is 4 in the place of "
        "0.01, 2, 15 and all do.",
    ),
    statements.bound(
        "orthoplex-bound", "[rankin1955] on the embedding of [conway1996]; [levenshtein1982]",
        predict, coherences, cases, draw, met=lambda case: (case.vectors, case.dim) in (*_EDGE, *_MET) or None,
    ),
)  # fmt: skip
