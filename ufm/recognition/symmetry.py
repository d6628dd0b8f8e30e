"""Symmetry: the permutations of classes that leave matrices unchanged, M[p][:, p] = M for every one of them.

Classes that can be swapped pairwise form blocks, whose symmetric groups are always part of the group. Its full order is the
product of the orbits of a chain of stabilisers, found by a search with pruning, for as many classes as that takes no time.
"""

import math
from typing import NamedTuple

import numpy as np

_SEARCHED = 24


class Symmetry(NamedTuple):
    """The symmetry group of matrices under permutations of classes.

    name: a product of symmetric groups ("S_3 x S_2"), "dihedral D_5", "signed permutations of 3 pairs", "order 12" or "trivial".
    order: of the group. blocks: classes that can be swapped pairwise. orbits: classes that some member maps on one another.
    """

    name: str
    order: int
    blocks: tuple[tuple[int, ...], ...]
    orbits: tuple[tuple[int, ...], ...]


def symmetry(matrices: list[np.ndarray], tolerance: float) -> Symmetry:
    """The permutations of classes under which every matrix is unchanged.

    Args:
      matrices: each (K, K). tolerance: on entries, relative to the largest of the matrix.

    Returns:
      Symmetry. Beyond 24 classes only pairwise swaps are looked for, and the order is that of the group they generate.
    """
    scaled = [M / max(np.max(np.abs(M)), np.finfo(float).tiny) for M in matrices]
    blocks = _blocks(scaled, tolerance)
    K = len(scaled[0])
    order, orbits = math.prod(math.factorial(len(block)) for block in blocks), blocks
    if K <= _SEARCHED and len(blocks) > 1:
        order, orbits = _full_group(scaled, tolerance)
    return Symmetry(_name(order, blocks, orbits, K), order, blocks, orbits)


def _blocks(matrices: list[np.ndarray], tolerance: float) -> tuple[tuple[int, ...], ...]:
    """Equivalence classes of swaps that leave every matrix unchanged."""
    left, blocks = np.ones(len(matrices[0]), bool), []
    while np.any(left):
        first = int(np.argmax(left))
        block = left & np.logical_and.reduce([_swappable(M, first, tolerance) for M in matrices])
        left &= ~block
        blocks.append(tuple(int(k) for k in np.flatnonzero(block)))
    return tuple(blocks)


def _swappable(M: np.ndarray, i: int, tolerance: float) -> np.ndarray:
    """(K,) whether the swap of i with each class leaves M unchanged."""
    rows, columns = np.abs(M - M[i][None, :]), np.abs(M - M[:, i][:, None]).T
    own = np.arange(len(M))
    for gaps in (rows, columns):  # the entries that the swap itself moves are compared on their own
        gaps[:, i] = gaps[own, own] = 0
    moved = np.maximum(np.abs(np.diag(M) - M[i, i]), np.abs(M[i] - M[:, i]))
    return np.maximum(moved, np.maximum(rows.max(axis=1), columns.max(axis=1))) <= tolerance


def _full_group(matrices: list[np.ndarray], tolerance: float) -> tuple[int, tuple[tuple[int, ...], ...]]:
    """(order, orbits): |G| is the product over i of the orbit of i under the members that fix 0..i-1."""
    K = len(matrices[0])
    order, orbit_of = 1, np.arange(K)
    for i in range(K):
        images = [j for j in range(i, K) if j == i or _extends(matrices, [*range(i), j], tolerance)]
        order *= len(images)
        merged = {orbit_of[j] for j in images}
        orbit_of[np.isin(orbit_of, list(merged))] = min(merged)
    return order, tuple(tuple(int(k) for k in np.flatnonzero(orbit_of == o)) for o in np.unique(orbit_of))


def _extends(matrices: list[np.ndarray], images: list[int], tolerance: float) -> bool:
    """Whether some member of the group maps 0, 1, ... to `images`, by depth-first search."""
    K, i = len(matrices[0]), len(images) - 1
    for M in matrices:
        if np.any(np.abs(M[i, : i + 1] - M[images[i], images]) > tolerance):
            return False
        if np.any(np.abs(M[: i + 1, i] - M[images, images[i]]) > tolerance):
            return False
    if i + 1 == K:
        return True
    return any(_extends(matrices, [*images, j], tolerance) for j in range(K) if j not in images)


def _name(order: int, blocks: tuple, orbits: tuple, K: int) -> str:
    sizes = sorted((len(block) for block in blocks if len(block) > 1), reverse=True)
    if order == 1:
        return "trivial"
    if order == math.prod(map(math.factorial, sizes)):
        return " x ".join(f"S_{size}" for size in sizes)
    if len(orbits) == 1 and order == 2 * K:
        return f"dihedral D_{K}"
    if len(orbits) == 1 and K % 2 == 0 and order == 2 ** (K // 2) * math.factorial(K // 2):
        return f"signed permutations of {K // 2} pairs"
    return f"order {order}"
