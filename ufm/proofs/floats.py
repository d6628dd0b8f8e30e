"""Floats beside an instance: gradients and curvatures of its losses where no more than a direction is needed."""

from typing import NamedTuple

import numpy as np

from ufm.proofs.exact import flint, precision
from ufm.proofs.instance import Columns, Instance


class Floats(NamedTuple):
    """An instance in floats. parts: (part, weight, temperature, targets, shift), arrays of (rows, C)."""

    parts: list
    shares: np.ndarray
    a: np.ndarray
    K: int

    def slopes(self, z: np.ndarray) -> np.ndarray:
        """(K, C) gradients of the losses at logits z."""
        theta = np.zeros_like(z)
        for part, weight, T, y, shift in self.parts:
            theta[part.rows] += weight / T * part.atom.slope((z[part.rows] - shift) / T, y)
        return theta

    def curvatures(self, z: np.ndarray) -> np.ndarray:
        """(C, K, K) Hessians of the losses at logits z."""
        D = np.zeros((z.shape[1], self.K, self.K))
        for part, weight, T, y, shift in self.parts:
            D[:, part.rows, part.rows] += weight / T**2 * part.atom.curvature((z[part.rows] - shift) / T, y)
        return D


def floats_of(instance: Instance) -> Floats:
    """The instance in floats."""
    parts = []
    with precision(64):
        for part in instance.parts:
            shift = np.zeros(()) if part.shift is None else array(part.shift)
            parts.append((part, number(part.weight), number(part.temperature), array(part.targets()), shift))
    return Floats(parts, np.array(list(map(number, instance.shares))), np.array(list(map(number, instance.a))), instance.K)


def array(columns: Columns) -> np.ndarray:
    """(rows, C) floats of columns of rationals or balls."""
    return np.array([[number(x) for x in column] for column in columns]).T


def number(x: object) -> float:
    """The float nearest to a rational or to the middle of a ball, infinite or 0 where there is none of its size."""
    arb = flint().arb
    return float(x if isinstance(x, arb) else arb(x))
