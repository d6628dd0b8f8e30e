"""The convex functions that provable losses are made of, column by column: values in balls, exact dual points, conjugates in balls.

    mse             |x - y|^2 / 2                                       -g*(t) = -<t, y> - |t|^2/2         everywhere
    ce              logsumexp(x) - <y, x>                               -g*(t) = Ent(q)                    q >= 0 that sums to one
    logistic        sum_k log(1 + e^{x_k}) - y_k x_k                    -g*(t) = sum_k h(q_k)              0 <= q_k <= 1
    squared hinge   sum_{k != true} max(0, 1 + x_k - x_true)^2 / 2      -g*(t) = sum_{k != true} t_k - t_k^2/2  t_k >= 0, sum 0

A dual point is kept as q = y + t, or as t itself for the hinge, in exact rationals. Columns are lists; y may hold balls where
targets are a teacher's. h(q) = -q log q - (1 - q) log(1 - q), Ent(q) = -sum_k q_k log q_k, and 0 log 0 = 0.
"""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from ufm.proofs.exact import ball, flint, raised, rational, rounded


def entropy_term(q: Any) -> Any:
    """-q log q in a ball, exactly 0 at the rational 0."""
    if q == 0:
        return flint().arb(0)
    q = q if isinstance(q, flint().arb) else ball(q)
    return -q * q.log()


class Atom(ABC):
    """What an atom is asked for. `name`: in the file; `coupled`: whether columns of t sum to zero."""

    name: str
    coupled = False

    @abstractmethod
    def value(self, x: list, y: list) -> Any:
        """The atom of a column of logits, in a ball."""

    @abstractmethod
    def dual(self, x: list, y: list) -> list:
        """The stored dual point of the gradient at x, in balls."""

    @abstractmethod
    def repaired(self, q: list, y: list, bits: int) -> list:
        """The stored dual point as rationals of so many bits, inside the domain."""

    @abstractmethod
    def inside(self, q: list) -> bool:
        """Whether a stored dual point is in the domain."""

    @abstractmethod
    def room(self, q: list, y: list) -> list:
        """How far each entry may move."""

    @abstractmethod
    def minus_conjugate(self, q: list, y: list) -> Any:
        """-g* at a stored dual point, in a ball."""

    @abstractmethod
    def slope(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """(rows, C) gradients in floats."""

    @abstractmethod
    def curvature(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """(C, rows, rows) Hessians in floats."""

    def entropy(self, y: list) -> Any:
        """The least value of the atom, which divergences subtract: 0 but for entropies."""
        return ball(0)

    def moved(self, q: list, y: list) -> list:
        """t of the stored dual point."""
        return [a - b for a, b in zip(q, y, strict=True)]

    def at(self, t: list, y: list) -> list:
        """The stored dual point of t."""
        return [a + b for a, b in zip(t, y, strict=True)]


class Quadratic(Atom):
    """|x - y|^2 / 2."""

    name = "mse"

    def value(self, x: list, y: list) -> Any:
        """The atom."""
        return sum((raised(a - b, 2) for a, b in zip(x, y, strict=True)), ball(0)) / 2

    def dual(self, x: list, y: list) -> list:
        """q at the gradient: x."""
        return x

    def repaired(self, q: list, y: list, bits: int) -> list:
        """Rounded to `bits`: every point is inside."""
        return [rounded(a, bits) for a in q]

    def inside(self, q: list) -> bool:
        """Whether q is in the domain."""
        return True

    def room(self, q: list, y: list) -> list:
        """How far each entry may move: a move of one is not cheap, and allowed."""
        return [rational(1)] * len(q)

    def minus_conjugate(self, q: list, y: list) -> Any:
        """(|y|^2 - |q|^2) / 2."""
        return ball(sum((b * b - a * a for a, b in zip(q, y, strict=True)), rational(0)) / 2)

    def slope(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """(rows, C) gradients in floats."""
        return x - y

    def curvature(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """(C, rows, rows) Hessians in floats."""
        return np.broadcast_to(np.eye(len(x)), (x.shape[1], len(x), len(x)))


class Entropy(Atom):
    """logsumexp(x) - <y, x> of a distribution y."""

    name = "ce"
    coupled = True

    def entropy(self, y: list) -> Any:
        """Ent(y)."""
        return sum(map(entropy_term, y), ball(0))

    def value(self, x: list, y: list) -> Any:
        """The atom."""
        top = max(x, key=float)
        total = sum(((a - top).exp() for a in x), ball(0))
        return total.log() + top - sum((a * b for a, b in zip(x, y, strict=True)), ball(0))

    def dual(self, x: list, y: list) -> list:
        """softmax(x)."""
        top = max(x, key=float)
        e = [(a - top).exp() for a in x]
        total = sum(e, ball(0))
        return [a / total for a in e]

    def repaired(self, q: list, y: list, bits: int) -> list:
        """Rounded to `bits`, what is missing from one added to the largest."""
        q = [max(rounded(a, bits), rational(0)) for a in q]
        top = max(range(len(q)), key=q.__getitem__)
        q[top] += 1 - sum(q, rational(0))
        return q

    def inside(self, q: list) -> bool:
        """Whether q is a distribution."""
        return all(a >= 0 for a in q) and sum(q, rational(0)) == 1

    def room(self, q: list, y: list) -> list:
        """How far each entry may move."""
        return q

    def minus_conjugate(self, q: list, y: list) -> Any:
        """Ent(q)."""
        return self.entropy(q)

    def slope(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """softmax(x) - y, the entry of the largest target as minus the sum of the others."""
        e = np.exp(x - x.max(axis=0))
        g = e / e.sum(axis=0) - y
        top, columns = y.argmax(axis=0), np.arange(x.shape[1])
        g[top, columns] = 0
        g[top, columns] = -g.sum(axis=0)
        return g

    def curvature(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """diag(p) - p p', without forming 1 - p."""
        e = np.exp(x - x.max(axis=0))
        p = (e / e.sum(axis=0)).T
        D = -p[:, :, None] * p[:, None, :]
        rows = np.arange(len(x))
        D[:, rows, rows] = 0
        D[:, rows, rows] = -D.sum(axis=2)
        return D


class Bernoulli(Atom):
    """sum_k log(1 + e^{x_k}) - y_k x_k of probabilities y_k."""

    name = "logistic"

    def entropy(self, y: list) -> Any:
        """sum_k h(y_k)."""
        return sum((entropy_term(a) + entropy_term(1 - a) for a in y), ball(0))

    def value(self, x: list, y: list) -> Any:
        """The atom."""
        return sum((a.max(0) + (-abs(a)).exp().log1p() - a * b for a, b in zip(x, y, strict=True)), ball(0))

    def dual(self, x: list, y: list) -> list:
        """sigmoid(x), without large exponentials."""
        return [1 / (1 + (-a).exp()) if not a < 0 else a.exp() / (1 + a.exp()) for a in x]

    def repaired(self, q: list, y: list, bits: int) -> list:
        """Rounded to `bits` and clipped to [0, 1]."""
        return [min(max(rounded(a, bits), rational(0)), rational(1)) for a in q]

    def inside(self, q: list) -> bool:
        """Whether every entry is in [0, 1]."""
        return all(0 <= a <= 1 for a in q)

    def room(self, q: list, y: list) -> list:
        """How far each entry may move."""
        return [min(a, 1 - a) for a in q]

    def minus_conjugate(self, q: list, y: list) -> Any:
        """sum_k h(q_k)."""
        return self.entropy(q)

    def slope(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """sigmoid(x) - y, as (1 - y) - sigmoid(-x) where y is nearer to one."""
        low, high = np.exp(np.minimum(x, 0)), np.exp(np.minimum(-x, 0))
        return np.where(y > 0.5, (1 - y) - high / (low + high), low / (low + high) - y)

    def curvature(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """diag(p (1 - p))."""
        e = np.exp(-abs(x))
        return np.eye(len(x))[None] * (e / (1 + e) ** 2).T[:, None, :]


class Hinge(Atom):
    """sum_{k != true} max(0, 1 + x_k - x_true)^2 / 2, the true class being the first largest target."""

    name = "squared hinge"
    coupled = True

    def value(self, x: list, y: list) -> Any:
        """The atom."""
        true = _true(y)
        return sum((raised((1 + a - x[true]).max(0), 2) for k, a in enumerate(x) if k != true), ball(0)) / 2

    def dual(self, x: list, y: list) -> list:
        """t at the gradient: the violations, and minus their sum."""
        true = _true(y)
        t = [ball(0) if k == true else (1 + a - x[true]).max(0) for k, a in enumerate(x)]
        t[true] = -sum(t, ball(0))
        return t

    def repaired(self, q: list, y: list, bits: int) -> list:
        """Rounded to `bits`, at least 0 off the true class, whose entry is minus the sum of the others."""
        true = _true(y)
        t = [rational(0) if k == true else max(rounded(a, bits), rational(0)) for k, a in enumerate(q)]
        t[true] = -sum(t, rational(0))
        return t

    def inside(self, q: list) -> bool:
        """Whether at most one entry is below 0 and all sum to zero: where the true class is the one below."""
        return sum(a < 0 for a in q) <= 1 and sum(q, rational(0)) == 0

    def room(self, q: list, y: list) -> list:
        """How far each entry may move: the true class by anything."""
        true = _true(y)
        return [1 - a if k == true else a for k, a in enumerate(q)]

    def moved(self, q: list, y: list) -> list:
        """t is what is stored."""
        return q

    def at(self, t: list, y: list) -> list:
        """t is what is stored."""
        return t

    def minus_conjugate(self, q: list, y: list) -> Any:
        """sum of t_k - t_k^2/2 off the true class."""
        true = _true(y)
        return ball(sum((a - a * a / 2 for k, a in enumerate(q) if k != true), rational(0)))

    def slope(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """The violations, and minus their sum."""
        top, columns = y.argmax(axis=0), np.arange(x.shape[1])
        t = np.maximum(1 + x - x[top, columns], 0)
        t[top, columns] = 0
        t[top, columns] = -t.sum(axis=0)
        return t

    def curvature(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """sum over violations of (e_k - e_true)(e_k - e_true)'."""
        top, columns = y.argmax(axis=0), np.arange(x.shape[1])
        active = (1 + x - x[top, columns] > 0).astype(float)
        active[top, columns] = 0
        D = np.eye(len(x))[None] * active.T[:, None, :]
        D[columns, top, :] -= active.T
        D[columns, :, top] -= active.T
        D[columns, top, top] += active.sum(axis=0)
        return D


def _true(y: list) -> int:
    return max(range(len(y)), key=lambda k: (y[k], -k))
