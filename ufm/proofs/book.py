"""A book of named numbers: arrays of exact numbers and of expressions in them, written down once, and the facts about them.

    book = Book("what is proved")
    W = book.given("W", matrix)            an array of names, each an exact number: floats to their last bit
    P = book.kept("P", W.T @ W)            names for expressions, so that what uses them stays short
    book.near(P @ x, served, 1e-10)        every entry of the array is that near to the number of a closed form
    book.proof()

Arrays are NumPy arrays of expressions: sums, products and `@` are Python's.
"""

from collections.abc import Mapping, Sequence
from math import inf
from typing import Any

import numpy as np

from ufm.proofs.exact import precision, rational
from ufm.proofs.expressions import ONE, ZERO, Expression, exp, name, number, of_tree
from ufm.proofs.facts import Above, Equal, Fact, Less, PositiveDefinite, established, known
from ufm.proofs.proof import Proof
from ufm.proofs.scalars import least


class Book:
    """What one proof is about: its statement, its names in order, and its facts."""

    def __init__(self, statement: str) -> None:
        """Of no names and no facts yet."""
        self.statement = statement
        self.where: list[tuple[str, Expression]] = []
        self.facts: list[Fact] = []
        self.used: dict[str, int] = {}

    def given(self, label: str, values: Any) -> Any:
        """Names of exact numbers, an array of the shape of `values`, or one name; zeros and ones stay numbers."""
        return self.kept(label, _each(number, np.asarray(values)))

    def kept(self, label: str, expressions: Any) -> Any:
        """Names of expressions, an array of their shape, or one name; zeros and ones stay numbers."""
        array = np.asarray(expressions, object)
        label = self._free(label)
        names: Any = np.empty(array.shape, object)
        for place in np.ndindex(array.shape):
            entry: Any = _lifted(array[place])
            if entry.operation == "name" or (entry.operation == "number" and entry.parts[0] in (0, 1)):
                names[place] = entry
                continue
            names[place] = name("_".join([label, *map(str, place)]))
            self.where.append((names[place].parts[0], entry))
        return names[()]

    def _free(self, label: str) -> str:
        """The label, with a number behind it from its second use on."""
        self.used[label] = self.used.get(label, 0) + 1
        return label if self.used[label] == 1 else f"{label}v{self.used[label]}"

    def near(self, expressions: Any, served: Any, tolerance: float = 1e-10, unit: Any = None) -> None:
        """Facts: every entry of an array is within `tolerance`, in a unit, of the number served for it.

        Args:
          unit: the largest size of what is served by default, 1 where that is zero.

        Raises:
          ValueError: for arrays of two shapes.
        """
        array, found = np.asarray(expressions, object), np.asarray(served, float)
        if array.shape != found.shape:
            raise ValueError(f"served must have the shape of expressions, {array.shape}, got {found.shape}")
        size = float(np.max(np.abs(found), initial=0)) if unit is None else float(unit)
        allowed = number(tolerance * (size or 1.0))
        for entry, value in zip(array.ravel(), found.ravel(), strict=True):
            label = f"served{len(self.facts)}"
            if not np.isfinite(value):
                self.facts.append(Less(ONE, ZERO))  # infinity and NaN are near to nothing
                continue
            self.where.append((label, number(value)))
            off = _lifted(entry) - name(label)
            self.facts += [Less(-allowed, off), Less(off, allowed)]

    def less(self, smaller: Any, larger: Any) -> None:
        """Facts: smaller < larger, entry by entry."""
        pairs = np.broadcast_arrays(np.asarray(smaller, object), np.asarray(larger, object))
        self.facts += [Less(_lifted(a), _lifted(b)) for a, b in zip(*(side.ravel() for side in pairs), strict=True)]

    def equal(self, one: Any, other: Any) -> None:
        """Facts: one = other exactly, entry by entry; rational expressions alone."""
        pairs = np.broadcast_arrays(np.asarray(one, object), np.asarray(other, object))
        self.facts += [Equal(_lifted(a), _lifted(b)) for a, b in zip(*(side.ravel() for side in pairs), strict=True)]

    def positive(self, matrix: np.ndarray) -> None:
        """Fact: a symmetric matrix is positive definite; what is above its diagonal is not looked at."""
        rows = tuple(tuple(_lifted(matrix[max(i, j), min(i, j)]) for j in range(len(matrix))) for i in range(len(matrix)))
        self.facts.append(PositiveDefinite(rows))

    def solve(self, label: str, A: np.ndarray, B: np.ndarray) -> np.ndarray:
        """A^-1 B by elimination without a change of rows, step by step in names: for matrices whose pivots do not vanish.

        Args:
          A: (d, d), symmetric and positive definite. B: (d, C).
        """
        d = len(A)
        left = np.concatenate([A, B], axis=1).astype(object)
        for k in range(d):
            left[k] = np.concatenate([left[k, :k], left[k, k:] / left[k, k]])
            left[k, k + 1 :] = self.kept(f"{label}_row{k}", left[k, k + 1 :])
            for i in range(d):
                if i != k:
                    left[i, k + 1 :] = self.kept(f"{label}_step{k}_{i}", left[i, k + 1 :] - left[i, k] * left[k, k + 1 :])
        return left[:, d:]

    def softmax(self, label: str, z: np.ndarray) -> np.ndarray:
        """The softmax of each column, in names."""
        weights = self.kept(f"{label}_exp", _each(exp, z))
        return self.kept(label, weights / self.kept(f"{label}_sum", weights.sum(axis=0)))

    def sign(self, expression: Expression, bits: int = 400) -> int:
        """-1, 0 or 1; 0 where balls of so many bits do not decide."""
        with precision(bits):
            balls, exact = known(self.where)
            value = expression.exact(exact)
            value = expression.evaluate(balls) if value is None else value
            return 1 if value > 0 else -1 if value < 0 else 0

    def exact(self, expression: Expression) -> Any:
        """The fmpq of a rational expression of the names of the book."""
        with precision(64):
            return expression.exact(known(self.where)[1])

    def proof(
        self,
        kind: str = "identity",
        *,
        bits: int = 320,
        lower: Any = None,
        upper: Any = None,
        claim: Mapping[str, str] | None = None,
    ) -> Proof:
        """The proof that the facts are, or why there is none."""
        return established(kind, self.statement, self.facts, self.where, bits=bits, lower=lower, upper=upper, claim=claim)


def least_of(
    book: Book, label: str, branches: Sequence[Expression], end: Any = inf, digits: int = 13
) -> tuple[Expression, Expression] | str:
    """Names of ends of the least value of all branches, expressions in x, on [0, end]; or why there are none."""
    found = [least(branch, 0, end, digits=digits) for branch in branches]
    if not all(proof.proved for proof in found):
        return next(proof.reason for proof in found if not proof.proved)
    ends: list[Any] = [(proof.upper, proof.lower) for proof in found]
    best = ends.index(min(ends))
    sides = (("lower", min(low for _, low in ends)), ("upper", ends[best][0]))
    low, high = (book.given(f"{label}_{side}", rational(end)) for side, end in sides)
    book.facts += [Above(branch, (0, end), low) for branch in branches]
    lowest = of_tree(found[best].document["facts"][-1]["above"]["on"][0])
    book.facts.append(Less(branches[best].at(lowest), high))
    return low, high


def _each(function: Any, values: Any) -> Any:
    array = np.asarray(values)
    found = np.empty(array.shape, object)
    for place in np.ndindex(array.shape):
        found[place] = function(array[place])
    return found[()]


def _lifted(value: Any) -> Expression:
    return value if isinstance(value, Expression) else number(value)
