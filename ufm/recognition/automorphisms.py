"""Automorphisms: the order and the orbits of the group of permutations that leave matrices unchanged, M[p][:, p] = M.

Colour refinement with individualisation: vertices take the colour of what they see of the others, round after round, until
nothing changes; where a colour has several vertices, one of them is singled out, and what it may be mapped on is tried. On
ordinary graphs one or two singled-out vertices tell all others apart, so that the search is polynomial; strongly regular graphs
and their like can exhaust its budget, which is said.
"""

from typing import NamedTuple

import numpy as np

_WORK = 2e8  # entries that refinements may read: seconds


class Group(NamedTuple):
    """order: of the members found. orbit: (K,) the least vertex that they map each on. complete: whether these are all members."""

    order: int
    orbit: np.ndarray
    complete: bool


class _Exhausted(Exception):
    pass


def automorphisms(matrices: list[np.ndarray], tolerance: float) -> Group:
    """The group of permutations under which every matrix is unchanged, up to a tolerance on its entries.

    The order is the product, over a chain of vertices fixed one after the other until none can move, of the number of vertices
    that the next of the chain can be mapped on by members that fix those before it.

    Args:
      matrices: each (K, K). tolerance: on entries.
    """
    return _Search(matrices, tolerance).group()


class _Search:
    def __init__(self, matrices: list[np.ndarray], tolerance: float):
        self.matrices, self.tolerance = np.stack(matrices), tolerance
        self.K = len(matrices[0])
        self.left = _WORK
        self.pairs = _words(_pair_colours(self.matrices, tolerance))

    def group(self) -> Group:
        order, complete = 1, True
        generators: list[np.ndarray] = []
        try:
            for colours in reversed(self._chain()):
                order *= self._orbit(colours, generators)
        except _Exhausted:
            complete = False
        return Group(order, _orbits(self.K, generators), complete)

    def _chain(self) -> list[np.ndarray]:
        """Colours that tell vertices apart, with one more vertex fixed at a time, while any colour is shared."""
        chain = []
        colours = self._refined(np.zeros((1, self.K), int))
        while len(np.unique(colours)) < self.K:
            chain.append(colours[0])
            colours = self._refined(_singled_out(colours, [_branching(colours[0])]))
        return chain

    def _orbit(self, colours: np.ndarray, generators: list[np.ndarray]) -> int:
        """On how many vertices members that fix those before it map the next of the chain; adds those found to `generators`."""
        vertex, refuted = _branching(colours), list[int]()
        orbits = _orbits(self.K, generators)
        for image in np.flatnonzero(colours == colours[vertex]).tolist():
            if orbits[image] in {orbits[vertex], *orbits[refuted]}:
                continue
            member = self._matched(self._refined(_singled_out(np.stack([colours, colours]), [vertex, image])))
            if member is None:
                refuted.append(image)
            else:
                generators.append(member)
                orbits = _orbits(self.K, generators)
        return int(np.sum(orbits == orbits[vertex]))

    def _matched(self, colours: np.ndarray) -> np.ndarray | None:
        """A permutation that leaves every matrix unchanged and maps colours of the first side on those of the second, or None."""
        if not _alike(colours):
            return None
        vertex = _branching(colours[0])
        cell = np.flatnonzero(colours[1] == colours[0][vertex])
        if len(cell) == 1:
            member = np.empty(self.K, int)
            member[np.argsort(colours[0])] = np.argsort(colours[1])
            moved = self.matrices[:, member][:, :, member]
            return member if np.all(np.abs(moved - self.matrices) <= self.tolerance) else None
        tried = (self._matched(self._refined(_singled_out(colours, [vertex, image]))) for image in cell.tolist())
        return next((member for member in tried if member is not None), None)

    def _refined(self, colours: np.ndarray) -> np.ndarray:
        """Colours of the sides, each split by what a vertex sees: pairs with vertices of each colour, until nothing splits.

        What is seen is a sum of 64-bit words, a word a pair: two sums that agree by chance leave a colour unsplit, which costs time
        and nothing else. Sides that no longer have the same colours are left as they are.
        """
        number = 0
        while number < (number := len(np.unique(colours))) and _alike(colours):
            self.left -= colours.size * self.K
            if self.left < 0:
                raise _Exhausted
            own = _words(colours)
            seen = _words(self.pairs[None] + own[:, None, :]).sum(axis=-1, dtype=np.uint64)
            colours = np.unique(_words(own + seen), return_inverse=True)[1].reshape(colours.shape)
        return colours


def _words(x: np.ndarray) -> np.ndarray:
    """A 64-bit word for every integer, by the finaliser of splitmix64."""
    x = x.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _alike(colours: np.ndarray) -> bool:
    """Whether all sides have as many vertices of every colour."""
    ordered = np.sort(colours, axis=-1)
    return bool(np.all(ordered == ordered[0]))


def _pair_colours(matrices: np.ndarray, tolerance: float) -> np.ndarray:
    """(K, K) integers, different where entries M_ij, M_ji or M_ii of any matrix differ by more than the tolerance allows.

    Values are parted where the gap to the next larger one is above it, so that no two that the tolerance admits are told apart.
    """
    K = matrices.shape[1]
    colours = np.eye(K, dtype=int)
    for M in (*matrices, *np.swapaxes(matrices, 1, 2)):
        order = np.argsort(M, axis=None)
        steps = np.concatenate([[0], np.cumsum(np.diff(M.ravel()[order]) > tolerance)])
        parts = np.empty(M.size, int)
        parts[order] = steps
        colours = np.unique(colours.ravel() * (steps[-1] + 1) + parts, return_inverse=True)[1].reshape(K, K)
    return colours


def _singled_out(colours: np.ndarray, vertices: list[int]) -> np.ndarray:
    """Colours with one vertex of each side in a colour of its own, the same on all sides."""
    doubled = 2 * colours
    doubled[np.arange(len(colours)), vertices] += 1
    return doubled


def _branching(colours: np.ndarray) -> int:
    """The first vertex of the smallest shared colour, of any where none is shared."""
    _, index, counts = np.unique(colours, return_index=True, return_counts=True)
    return int(index[np.argmin(np.where(counts > 1, counts, len(colours) + 1))])


def _orbits(K: int, generators: list[np.ndarray]) -> np.ndarray:
    """(K,) the least vertex of the orbit of each under the group that they generate."""
    orbit = np.arange(K)
    while True:
        lower = orbit
        for member in generators:
            lower = np.minimum(lower, lower[member])
            np.minimum.at(lower, member, lower.copy())
        if np.array_equal(lower, orbit):
            return orbit
        orbit = lower
