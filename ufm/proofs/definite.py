"""Matrices of balls: whether one is positive definite for certain, and a guess of a largest eigenvalue to many digits."""

from typing import Any

import numpy as np

from ufm.proofs.exact import below, flint, middle


def positive_definite(rows: list) -> bool:
    """Whether every symmetric matrix inside is: all pivots of its LDL' are above 0 (Sylvester). The upper half is not read."""
    return bad_pivot(rows) is None


def bad_pivot(rows: list) -> tuple[int, Any] | None:
    """The place and the ball of the first pivot that is not above 0 for certain; None where there is none."""
    rows = [list(row) for row in rows]
    for k, pivot_row in enumerate(rows):
        pivot = pivot_row[k]
        if not pivot > 0:
            return k, pivot
        for i in range(k + 1, len(rows)):
            row, factor = rows[i], rows[i][k] / pivot
            if row[k] != 0:
                for j in range(k + 1, i + 1):
                    row[j] -= factor * rows[j][k]
    return None


def largest_eigenvalue(S: Any, bits: int) -> Any:
    """A guess of the largest eigenvalue of a positive semidefinite `arb_mat`, right to about `bits` relative bits: a rational.

    Floats of S over its trace give 50 bits; inverse iterations from there, at one shift just above it, about 80 bits each, as a
    Rayleigh quotient is right to the square of its vector's error.
    """
    arb_mat, n = flint().arb_mat, S.nrows()
    trace = middle(S.trace())
    if trace <= 0:
        return trace
    unit = (S / trace).mid()
    floats = np.array([[float(x) for x in row] for row in unit.tolist()])
    values, vectors = np.linalg.eigh((floats + floats.T) / 2)
    v = arb_mat([[float(x)] for x in vectors[:, -1]])
    if bits > 48:
        shifted = arb_mat(n, n, [values[-1] * (1 + 2.0**-40) * (i == j) for i in range(n) for j in range(n)]) - unit
        for _ in range(1 + bits // 80):
            v = shifted.solve(v).mid()
            v = (v / max(abs(x[0]) for x in v.tolist())).mid()
    quotient = (v.transpose() * unit * v)[0, 0] / (v.transpose() * v)[0, 0]
    return below(quotient) * trace
