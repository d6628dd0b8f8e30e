"""Continuous symmetries of an objective: directions along which f is constant through every point, in balls.

A symmetry is a group whose tangents T(x) satisfy T(x)' grad f(x) = 0 at every x, so that they are null vectors of the Hessian
wherever the gradient is zero.
"""

from typing import Any, NamedTuple

from ufm.proofs.curvature import Objective
from ufm.proofs.exact import flint


class Symmetry(NamedTuple):
    """name: of the group, in words. dimension: of the group. tangents: its directions at a point, lists of P balls."""

    name: str
    dimension: int
    tangents: list[list[Any]]


def symmetries(objective: Objective, x: list[Any]) -> list[Symmetry]:
    """Those of an objective, with their tangents on a box: rotations between neighbouring trained factors; one shift of a bias
    without ridge under a loss of differences; rotations of the classes under squared error."""
    found = [_between(objective, x, i) for i in range(len(objective.l2) - 1)]
    if objective.bias == "free" and objective.loss in ("ce", "squared hinge"):
        K = len(objective.targets)
        tangent = [flint().arb(0)] * (objective.size - K) + [flint().arb(1)] * K
        found.append(Symmetry("shifts of the bias", 1, [tangent]))
    if objective.loss == "mse" and objective.classifier is None:
        found.append(_of_classes(objective, x))
    return [symmetry for symmetry in found if symmetry.dimension]


def in_words(objective: Objective, x: list[Any], independent: int) -> str:
    """The symmetries in words, and how many of their directions move the point."""
    found = symmetries(objective, x)
    names = [f"{symmetry.name}: {symmetry.dimension}" for symmetry in found]
    every = sum(symmetry.dimension for symmetry in found)
    return ("; ".join(names) + ("" if independent == every else f"; {independent} of these {every} move it")) if names else "none"


def factor_name(i: int) -> str:
    """H, W_1, W_2, ..."""
    return f"W_{i}" if i else "H"


def _between(objective: Objective, x: list[Any], i: int) -> Symmetry:
    """A_i -> R A_i, A_{i+1} -> A_{i+1} R': the tangent (A A_i, -A_{i+1} A) of the rotation A = e_p e_q' - e_q e_p'."""
    (d, inner), (outer, _) = objective.shapes[i], objective.shapes[i + 1]
    first = sum(rows * columns for rows, columns in objective.shapes[:i])
    second = first + d * inner
    tangents = []
    for p in range(d):
        for q in range(p):
            tangent = [flint().arb(0)] * objective.size
            for k in range(inner):
                tangent[first + p * inner + k] = x[first + q * inner + k]
                tangent[first + q * inner + k] = -x[first + p * inner + k]
            for k in range(outer):
                tangent[second + k * d + p] = x[second + k * d + q]
                tangent[second + k * d + q] = -x[second + k * d + p]
            tangents.append(tangent)
    return Symmetry(f"rotations between {factor_name(i)} and {factor_name(i + 1)}", len(tangents), tangents)


def _of_classes(objective: Objective, x: list[Any]) -> Symmetry:
    """W_T -> R W_T, b -> R b and A_0 -> A_0 S' where R Y = Y S, R 1 = 1 if there is a bias, and S mixes equal columns alone.

    Tried are rotations of two classes (of two differences of classes under a bias), with the columns of each class in order.
    """
    K, C, biased = len(objective.targets), len(objective.shares), objective.bias != "none"
    columns = list(zip(*objective.targets, strict=True))
    members = [[c for c in range(C) if columns[c].index(max(columns[c])) == k] for k in range(K)]
    numbers = list(zip(objective.shares, objective.reach, objective.pull, objective.intercept, strict=True))
    vectors = [_difference(k, K) if biased else [int(j == k) for j in range(K)] for k in range(int(biased), K)]
    tangents = []
    for m, u in enumerate(vectors):
        for v in vectors[:m]:
            A = [[u[k] * v[j] - v[k] * u[j] for j in range(K)] for k in range(K)]
            B = _lifted(A, members, C)
            if B is not None and _is_symmetry(A, B, objective.targets, numbers):
                tangents.append(_class_tangent(objective, x, A, B))
    return Symmetry("rotations of the classes", len(tangents), tangents)


def _difference(k: int, K: int) -> list[int]:
    """(1, ..., 1, -k, 0, ..., 0), whose entries sum to zero."""
    return [1] * k + [-k] + [0] * (K - 1 - k)


def _lifted(A: list[list[int]], members: list[list[int]], C: int) -> list[list[int]] | None:
    """A on the columns: the i-th column of a class with the i-th of the others; None where their numbers differ."""
    B = [[0] * C for _ in range(C)]
    for k, row in enumerate(A):
        for j, entry in enumerate(row):
            if entry:
                if len(members[k]) != len(members[j]):
                    return None
                for c, d in zip(members[k], members[j], strict=True):
                    B[c][d] = entry
    return B


def _is_symmetry(A: list[list[int]], B: list[list[int]], Y: list[list[Any]], numbers: list[Any]) -> bool:
    """Whether A Y = Y B exactly and B connects columns of the same numbers alone. (With a bias A 1 = 0, so that a' B = 0.)"""
    K, C = len(Y), len(numbers)
    alike = all(numbers[c] == numbers[d] for c in range(C) for d in range(C) if B[c][d])
    return alike and all(
        sum(A[k][j] * Y[j][c] for j in range(K)) == sum(Y[k][d] * B[d][c] for d in range(C)) for k in range(K) for c in range(C)
    )


def _class_tangent(objective: Objective, x: list[Any], A: list[list[int]], B: list[list[int]]) -> list[Any]:
    """(A W_T, A b, -A_0 B) as a list of P balls."""
    arb_mat = flint().arb_mat
    blocks = objective.split(x)
    moved = [arb_mat(rows, columns) for rows, columns in objective.blocks]
    moved[0] = blocks[0] * arb_mat(B) * -1
    turned = slice(len(objective.l2) - 1, len(blocks))
    moved[turned] = [arb_mat(A) * block for block in blocks[turned]]
    return [entry for block in moved for entry in block.entries()]
