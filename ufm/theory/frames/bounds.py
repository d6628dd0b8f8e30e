"""Bounds on the largest cosine of K vectors in d dimensions, and where best packings meet them.

    |cosine| of lines:      sqrt((K - d)/(d (K - 1)))  for K > d (Welch 1974),      1/sqrt(d)  for K > d (d + 1)/2,
                            sqrt((3 K - d^2 - 2 d)/((d + 2) (K - d)))  for K >= d (d + 1)/2 (Levenshtein 1982)
    cosine of points:       -1/(K - 1)  for K <= d + 1,      0  for d + 2 <= K <= 2 d,      > 0  beyond (Rankin 1955)

Levenshtein's is the largest of those on lines from K = d (d + 2)/2 on. Minimising sum relu(|<u_j, u_k>| - threshold), or maxima of
large exponent at once, stops above Welch's bound from most starts.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from ufm.frames import line_bound, rankin_bound, welch_bound
from ufm.theory import statements
from ufm.theory.frames.packing import Lines, cases_of, coherences, draw_lines, largest_cosines

_EQUIANGULAR = ((3, 2), (4, 3), (5, 4), (6, 3), (6, 5))  # (K, d) of real equiangular tight frames, K <= 6
_OTHERS = ((3, 4), (4, 2), (5, 2), (5, 3), (6, 4))  # K <= d among them
_STUCK = ((10, 5), (16, 6), (28, 7))  # equiangular, where thresholds on |cosines| get stuck
_MET = ((3, 2), (6, 3), (4, 2), (7, 3), (12, 4), (16, 5))  # K = d (d + 1)/2, and beyond it: the roots of D4 among them
_ABOVE = ((5, 2), (10, 3))
_POINTS = ((2, 2), (4, 3), (4, 6), (5, 3), (6, 3), (7, 3), (8, 4))  # both sides of d + 1 and of 2 d


def welch(case: Lines) -> jax.Array:
    """K > d unit vectors in d dimensions have a pair of |cosine| at least sqrt((K - d)/(d (K - 1))), with equality exactly at
    equiangular tight frames.
    """
    return jnp.asarray(welch_bound(case.vectors, case.dim))


def many_lines(case: Lines) -> jax.Array:
    """More than d(d+1)/2 lines in d dimensions have a pair of |cosine| at least 1/sqrt(d), and at least sqrt((3K - d^2 -
    2d)/((d+2)(K-d))): no equiangular tight frame is that large.

    The largest of the bounds that apply.
    """
    return jnp.asarray(line_bound(case.vectors, case.dim))


def rankin(case: Lines) -> jax.Array:
    """K unit vectors have a pair of cosine at least -1/(K-1), met by the simplex for d >= K - 1; beyond d + 1 vectors at least 0,
    met up to 2d of them, and above 0 beyond.
    """
    return jnp.asarray(rankin_bound(case.vectors, case.dim))


def draw_crowd(rng: np.random.Generator) -> Lines:
    """More than d (d + 1)/2 lines in up to four dimensions."""
    dim = int(rng.integers(1, 5))
    return Lines(int(rng.integers(dim * (dim + 1) // 2 + 1, 16)), dim)


THEOREMS = (
    statements.bound(
        "welch-bound", "[welch1974]; [strohmer2003]", welch, coherences, partial(cases_of, (*_EQUIANGULAR, *_OTHERS)), draw_lines,
        met=lambda case: (case.vectors, case.dim) in _EQUIANGULAR or None,
    ),
    statements.bound(
        "grassmannian-search", "derived; the threshold search of [shen2023] stays above on these",
        welch, coherences, partial(cases_of, _STUCK), met=lambda case: True,
        claim="Smooth maxima of squared cosines, climbed from the frame potential up, reach Welch's bound for 16 lines in "
        "6, 28 in 7 and 10 in 5 dimensions from a few random starts.",
        status="numerical",
        notes="From 32 starts each, all reach (16, 6), (10, 5) and (28, 7); where the first exponent is 4 in the place of "
        "0.01, 2, 15 and all do.",
    ),
    statements.bound(
        "orthoplex-bound", "[rankin1955] on the embedding of [conway1996]; [levenshtein1982]",
        many_lines, coherences, partial(cases_of, (*_MET, *_ABOVE)), draw_crowd,
        met=lambda case: (case.vectors, case.dim) in _MET or None,
    ),
    statements.bound(
        "rankin-bound", "[rankin1955]", rankin, largest_cosines, partial(cases_of, _POINTS), draw_lines,
        met=lambda case: case.vectors <= 2 * case.dim, clear=1e-2, unit=1.0,
    ),
)  # fmt: skip
