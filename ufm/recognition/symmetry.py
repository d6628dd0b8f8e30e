"""Symmetry: the permutations of classes that leave matrices unchanged, M[p][:, p] = M for every one of them.

Classes that can be swapped pairwise form blocks, whose symmetric groups are always part of the group. Members map blocks on
blocks, so that its order is that of the swaps times that of the group of the matrices between blocks.
"""

import math
from typing import NamedTuple

import numpy as np

from ufm.recognition.automorphisms import automorphisms


class Symmetry(NamedTuple):
    """The symmetry group of matrices under permutations of classes.

    name: a product of symmetric groups ("S_3 x S_2"), "dihedral D_5", "signed permutations of 3 pairs", "order 12" or "trivial";
      "order at least 12" where the search for all members was given up.
    order: of the group. blocks: classes that can be swapped pairwise. orbits: classes that some member maps on one another.
    """

    name: str
    order: int
    blocks: tuple[tuple[int, ...], ...]
    orbits: tuple[tuple[int, ...], ...]

    def __repr__(self) -> str:
        return f"Symmetry(name={self.name!r}, order={counted(self.order)}, blocks={self.blocks}, orbits={self.orbits})"


def symmetry(matrices: list[np.ndarray], tolerance: float) -> Symmetry:
    """The permutations of classes under which every matrix is unchanged.

    Args:
      matrices: each (K, K). tolerance: on entries, relative to the largest of the matrix.

    Returns:
      Symmetry.
    """
    scaled = [M / max(np.max(np.abs(M)), np.finfo(float).tiny) for M in matrices]
    blocks = _blocks(scaled, tolerance)
    swaps = math.prod(math.factorial(len(block)) for block in blocks)
    between = automorphisms(_between(scaled, blocks), tolerance)
    orbits = tuple(
        tuple(sorted(k for block, o in zip(blocks, between.orbit, strict=True) if o == orbit for k in block))
        for orbit in np.unique(between.orbit)
    )
    order = swaps * between.order
    K = len(scaled[0])
    name = _name(order, blocks, orbits, K) if between.complete else f"order at least {counted(order)}"
    return Symmetry(name, order, blocks, orbits)


def _between(matrices: list[np.ndarray], blocks: tuple[tuple[int, ...], ...]) -> list[np.ndarray]:
    """The matrices of one class of each block, and on the diagonals of more what else tells blocks apart: entries within, sizes."""
    first = np.array([block[0] for block in blocks])
    second = np.array([block[1] if len(block) > 1 else block[0] for block in blocks])
    sizes = np.array([float(len(block)) for block in blocks])
    within = [np.diag(M[first, second]) for M in matrices]
    return [*(M[np.ix_(first, first)] for M in matrices), *within, np.diag(sizes)]


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


def counted(order: int) -> str:
    """A number of permutations as text: in digits up to 15 of them."""
    digits = math.log10(order)
    return str(order) if digits < 15 else f"{10 ** (digits % 1):.2f}e{int(digits)}"


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
    return f"order {counted(order)}"
