"""Shapes: how far a Gram matrix of K class vectors is from each known geometry, up to scale, rotation and order of the classes.

Every distance is |G/|G| - T/|T|| in Frobenius norm, from 0 to 2, with T the geometry's Gram matrix in its best order:

    simplex              I - J/K
    orthogonal           I
    orthoplex            K/2 opposite pairs, orthogonal to one another (K even)
    polygon              cos(2 pi (i - j)/K) (K >= 5)
    general orthogonal   the diagonal of G
    SELI                 (P N P)^(1/2) of a classifier, its pseudo-inverse of class means, N the unequal class sizes
    merged groups        classes that share one vector, by the mean over each group
    simplex plus mean    x (I - J/K) + y J/K
    projector            r equal eigenvalues, any eigenvectors

Simplex, orthogonal, orthoplex and polygon are projectors too; the name that is given is the first in this order.
"""

from typing import NamedTuple

import jax
import numpy as np

from ufm.frames import seli


class Shape(NamedTuple):
    """What a Gram matrix was recognised as.

    name: of the nearest geometry within the tolerance, or "zero" or "none". distance: to it (to the nearest for "none").
    distances: to every geometry that exists for this K, by name. rank: of G at the tolerance.
    groups: classes that share one vector, as tuples of two or more. dead: classes whose vector is zero.
    """

    name: str
    distance: float
    distances: dict[str, float]
    rank: int
    groups: tuple[tuple[int, ...], ...]
    dead: tuple[int, ...]


def recognise(gram: np.ndarray, tolerance: float, counts: np.ndarray | None = None, role: str = "classifier") -> Shape:
    """The shape of a Gram matrix.

    Args:
      gram: (K, K), positive semi-definite up to rounding.
      tolerance: largest distance at which a geometry is recognised; vectors nearer than it, relative to the longest, are one.
      counts: (K,) class sizes, for SELI. role: "classifier" or "means", which half of SELI.

    Returns:
      Shape.
    """
    K = gram.shape[0]
    size = np.linalg.norm(gram)
    if size == 0 or not np.any(np.diag(gram) > 0):
        return Shape("zero", 0.0, {}, 0, (), tuple(range(K)))
    unit = gram / size
    eigenvalues = np.linalg.eigvalsh(unit)[::-1]
    rank = int(np.sum(eigenvalues > tolerance * eigenvalues[0]))
    groups, dead = coinciding(gram, tolerance)
    targets = {"simplex": np.eye(K) - 1 / K, "orthogonal": np.eye(K)}
    if K % 2 == 0 and K >= 4:
        targets["orthoplex"] = _orthoplex(unit)
    if K >= 5:
        targets["polygon"] = _polygon(unit)
    targets["general orthogonal"] = np.diag(np.diag(unit))
    if counts is not None and np.ptp(counts) > 0:
        with jax.enable_x64(True):
            targets["SELI"] = np.asarray(getattr(seli(np.asarray(counts, float)), role).gram)
    if groups:
        targets["merged groups"] = _merged(unit, groups)
    targets["simplex plus mean"] = _simplex_plus_mean(unit)
    distances = {name: float(np.linalg.norm(unit - T / np.linalg.norm(T))) for name, T in targets.items()}
    r, distances["projector"] = _projector(eigenvalues)
    near = [name for name, distance in distances.items() if distance <= tolerance]
    name = near[0] if near else "none"
    distance = distances[name] if near else min(distances.values())
    return Shape(f"projector of rank {r}" if name == "projector" else name, distance, distances, rank, groups, dead)


def coinciding(gram: np.ndarray, tolerance: float) -> tuple[tuple[tuple[int, ...], ...], tuple[int, ...]]:
    """(groups of two or more classes whose vectors coincide, classes whose vector is zero), relative to the longest vector."""
    squares = np.diag(gram)
    apart = np.maximum(squares[:, None] + squares[None, :] - 2 * gram, 0)
    limit = tolerance**2 * np.max(squares)
    dead = squares <= limit
    left, groups = [k for k in range(len(gram)) if not dead[k]], []
    while left:
        first = left[0]
        group = [k for k in left if apart[first, k] <= limit]
        left = [k for k in left if k not in set(group)]
        if len(group) > 1:
            groups.append(tuple(group))
    return tuple(groups), tuple(int(k) for k in np.flatnonzero(dead))


def _orthoplex(unit: np.ndarray) -> np.ndarray:
    """Opposite pairs, matched from the most opposite on."""
    K = len(unit)
    T, products = np.eye(K), unit + np.diag(np.full(K, np.inf))
    for _ in range(K // 2):
        i, j = np.unravel_index(np.argmin(products), products.shape)
        T[i, j] = T[j, i] = -1
        products[[i, j]] = products[:, [i, j]] = np.inf
    return T


def _polygon(unit: np.ndarray) -> np.ndarray:
    """The regular polygon in the order of the angles in the plane of the two largest eigenvalues."""
    K = len(unit)
    plane = np.linalg.eigh(unit)[1][:, -2:]
    order = np.argsort(np.arctan2(plane[:, 1], plane[:, 0]))
    position = np.empty(K)
    position[order] = np.arange(K)
    return np.cos(2 * np.pi * (position[:, None] - position[None, :]) / K)


def _merged(unit: np.ndarray, groups: tuple[tuple[int, ...], ...]) -> np.ndarray:
    averaging = np.eye(len(unit))
    for group in groups:
        averaging[np.ix_(group, group)] = 1 / len(group)
    return averaging @ unit @ averaging


def _simplex_plus_mean(unit: np.ndarray) -> np.ndarray:
    K = len(unit)
    y = np.sum(unit) / K
    x = (np.trace(unit) - y) / (K - 1)
    return x * (np.eye(K) - 1 / K) + y / K


def _projector(eigenvalues: np.ndarray) -> tuple[int, float]:
    """(r, distance) of the nearest r equal eigenvalues and zeros."""
    cosines = np.cumsum(eigenvalues) / np.sqrt(np.arange(1, len(eigenvalues) + 1)) / np.linalg.norm(eigenvalues)
    r = int(np.argmax(cosines)) + 1
    return r, float(np.sqrt(max(2 - 2 * cosines[r - 1], 0)))
