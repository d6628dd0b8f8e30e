"""Bounds on the largest cosine of K vectors in d dimensions, and where best packings meet them.

    |cosine| of lines:      sqrt((K - d)/(d (K - 1)))  for K > d (Welch 1974),      1/sqrt(d)  for K > d (d + 1)/2,
                            sqrt((3 K - d^2 - 2 d)/((d + 2) (K - d)))  for K >= d (d + 1)/2 (Levenshtein 1982)
    cosine of points:       -1/(K - 1)  for K <= d + 1,      0  for d + 2 <= K <= 2 d,      > 0  beyond (Rankin 1955)

Levenshtein's is the largest of those on lines from K = d (d + 2)/2 on. Minimising sum relu(|<u_j, u_k>| - threshold), or maxima of
large exponent at once, stops above Welch's bound from most starts.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from ufm.frames import line_bound, rankin_bound, welch_bound
from ufm.proofs import Book, Proof, number, unproved
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


def prove_welch(case: Lines, predicted: jax.Array) -> Proof:
    """By Delsarte's linear program: for |cosines| up to s and f(t) = t^2 - s^2, K f(1) >= K^2 f_0, where f_0 = 1/d - s^2 is the
    mean of f over the sphere and f - f_0 is of positive type there (paper). The least s is served, within 1e-14.
    """
    K, d = case.vectors, case.dim
    if K <= d:
        return unproved(f"{K} vectors in {d} dimensions can be orthogonal: the bound is zero, and says nothing")
    book = Book(f"{K} lines in {d} dimensions: K (1 - s^2) >= K^2 (1/d - s^2) from the largest |cosine| served on")
    return _program(book, predicted, lambda square: K * (1 - square) - K**2 * (number(1) / d - square))


def _program(book: Book, predicted: jax.Array, excess: Callable) -> Proof:
    """The excess, linear and rising in s^2, is negative 1e-14 below what is served and positive 1e-14 above; the value of s."""
    s = float(predicted)
    low, high = (book.given(label, s * (1 + side)) for label, side in (("lower", -1e-14), ("upper", 1e-14)))
    book.less(excess(low**2), 0)
    book.less(0, excess(high**2))
    return book.proof("root", lower=s * (1 - 1e-14), upper=s * (1 + 1e-14))


def prove_many(case: Lines, predicted: jax.Array) -> Proof:
    """By the same program with f(t) = t^2 (t^2 - s^2), of mean 3/(d (d+2)) - s^2/d, where s^2 <= 6/(d+4) makes f - f_0 of positive
    type (Levenshtein), with t^2 - s^2 (Welch), or by Rankin's bound on K > D + 1 unit vectors in D = d (d+1)/2 - 1 dimensions,
    the squared lines: s^2 >= 1/d. The sharpest is served.
    """
    K, d = case.vectors, case.dim
    if 2 * K <= d * (d + 1):
        return prove_welch(case, predicted)
    levenshtein = (3 * K - d * (d + 2)) * d > (d + 2) * (K - d)
    if levenshtein:
        book = Book(f"{K} lines in {d} dimensions: K (1 - s^2) >= K^2 (3/(d (d+2)) - s^2/d) from the largest |cosine| served on")
        book.less(number(float(predicted)) ** 2 * (d + 4), 6 + number("1e-9"))
        return _program(book, predicted, lambda s2: K * (1 - s2) - K**2 * (number(3) / (d * (d + 2)) - s2 / d))
    book = Book(f"{K} lines in {d} dimensions are more than D + 1, D = d (d+1)/2 - 1: 1/sqrt(d) is the largest |cosine| served")
    book.less(d * (d + 1) // 2, K)
    return _program(book, predicted, lambda square: square * d - 1)


def prove_rankin(case: Lines, predicted: jax.Array) -> Proof:
    """The square of a sum of unit vectors is K + K (K-1) times the mean cosine, not below zero; up to 2 d vectors meet the bound:
    Gram matrices of the simplex, of rank K - 1 <= d, or of half-axes, exactly.
    """
    K, d = case.vectors, case.dim
    if K > 2 * d:
        return unproved(f"beyond 2 d = {2 * d} vectors the bound is strict: no Gram matrix meets it")
    cosine = number(0)
    book = Book(f"{K} unit vectors in {d} dimensions: the largest cosine of a Gram matrix that meets the bound is served")
    if K <= d + 1:
        cosine = -number(1) / (K - 1)
        book.equal(K + K * (K - 1) * cosine, 0)  # the sum of the vectors vanishes
        gram = np.array([[number(1) if i == j else cosine for j in range(K)] for i in range(K)], object)
        book.equal(gram @ gram, gram * (number(K) / (K - 1)))  # K/(K-1) times a projector
        book.equal(np.trace(gram) * (K - 1) / K, K - 1)  # of that rank
    else:
        axes = np.concatenate([np.eye(d, dtype=int), -np.eye(d, dtype=int)], axis=1)[:, :K]
        book.less((axes.T @ axes - np.eye(K, dtype=int)).astype(object), 1)  # whole numbers
    book.near(cosine, predicted, 1e-14)
    return book.proof()


def draw_crowd(rng: np.random.Generator) -> Lines:
    """More than d (d + 1)/2 lines in up to four dimensions."""
    dim = int(rng.integers(1, 5))
    return Lines(int(rng.integers(dim * (dim + 1) // 2 + 1, 16)), dim)


THEOREMS = (
    statements.bound(
        "welch-bound", "[welch1974]; [strohmer2003]", welch, coherences, partial(cases_of, (*_EQUIANGULAR, *_OTHERS)), draw_lines,
        prove=prove_welch, met=lambda case: (case.vectors, case.dim) in _EQUIANGULAR or None,
    ),
    statements.bound(
        "grassmannian-search", "derived; the threshold search of [shen2023] stays above on these",
        welch, coherences, partial(cases_of, _STUCK), met=lambda case: True, prove=prove_welch,
        claim="Smooth maxima of squared cosines, climbed from the frame potential up, reach Welch's bound for 16 lines in "
        "6, 28 in 7 and 10 in 5 dimensions from a few random starts.",
        status="numerical",
        notes="From 32 starts each, all reach (16, 6), (10, 5) and (28, 7); where the first exponent is 4 in the place of "
        "0.01, 2, 15 and all do.",
    ),
    statements.bound(
        "orthoplex-bound", "[rankin1955] on the embedding of [conway1996]; [levenshtein1982]",
        many_lines, coherences, partial(cases_of, (*_MET, *_ABOVE)), draw_crowd,
        prove=prove_many, met=lambda case: (case.vectors, case.dim) in _MET or None,
    ),
    statements.bound(
        "rankin-bound", "[rankin1955]", rankin, largest_cosines, partial(cases_of, _POINTS), draw_lines,
        prove=prove_rankin, met=lambda case: case.vectors <= 2 * case.dim, clear=1e-2, unit=1.0,
    ),
)  # fmt: skip
