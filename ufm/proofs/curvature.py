"""The objective in balls: value, gradient and Hessian of f on a box of points, from formulas written by hand.

    f(x) = sum_c om_c loss(L_i A_i r_ic + a_c b, y_c) + sum_i l_i/2 |A_i|^2 + l_b/2 |b|^2      for every factor i

The factors are A_0 = (rho_1 h_1, ..., rho_C h_C) and A_i = W_i; L_i = A_T ... A_{i+1} and r_i = A_{i-1} ... A_0 diag(scale/rho).
rho_c is the float next to sqrt(m_c), so that every number is rational and coordinates are those of the problem but for a rounding.
Changes E_i of a factor move the logits by L_i E_i r_i, which gives the Hessian as products of small matrices:

    H[(i,pq), (j,rs)] = sum_c (L_i' B_c L_j)_pr (r_i)_qc (r_j)_sc + (L_i' G r_j')_ps (A_{i-1} ... A_{j+1})_qr [i > j] + ridge,

with G the gradient and B_c the Hessians of the data term in the logits.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ufm.base.checks import refuse
from ufm.losses import CE, LOGISTIC, MSE, SQUARED_HINGE
from ufm.losses.loss import is_loss
from ufm.problem import Params, Problem
from ufm.proofs.column_losses import LOSSES
from ufm.proofs.exact import flint, rational, rationals, text, texts, transposed
from ufm.proofs.instance import distributions, numbers_of


@dataclass(frozen=True, eq=False)
class Objective:
    """A problem in exact numbers. Points are lists of balls: the entries of A_0, W_1, ..., W_T and b, row by row.

    loss: "mse", "ce", "logistic" or "squared hinge". targets: K x C. multiplicity, weight, intercept: over the columns. samples: N.
    bias: "none", "free" or "ridge". l2: of H, W_1, ..., W_T. classifier: K x d_M or None. shapes: of A_0, W_1, ..., W_T.
    """

    loss: str
    bias: str
    targets: list[list[Any]]
    multiplicity: list[Any]
    weight: list[Any]
    intercept: list[Any]
    samples: Any
    scale: Any
    l2: list[Any]
    l2_b: Any
    classifier: list[list[Any]] | None
    shapes: tuple[tuple[int, int], ...]

    @cached_property
    def shares(self) -> list[Any]:
        """om_c = w_c m_c / N."""
        return [w * m / self.samples for w, m in zip(self.weight, self.multiplicity, strict=True)]

    @cached_property
    def rho(self) -> list[Any]:
        """The floats next to sqrt(m_c)."""
        return [rational(math.sqrt(int(m.p) / int(m.q))) for m in self.multiplicity]

    @cached_property
    def reach(self) -> list[Any]:
        """scale/rho_c: the logits of a column per unit of W_M ... W_1 A_0."""
        return [self.scale / rho for rho in self.rho]

    @cached_property
    def pull(self) -> list[Any]:
        """l_H m_c/rho_c^2: the ridge of a column of A_0."""
        return [self.l2[0] * m / rho**2 for m, rho in zip(self.multiplicity, self.rho, strict=True)]

    @property
    def blocks(self) -> tuple[tuple[int, int], ...]:
        """Shapes of what a point is made of, K x 1 for the bias."""
        return self.shapes if self.bias == "none" else (*self.shapes, (len(self.targets), 1))

    @property
    def size(self) -> int:
        """P, the number of parameters."""
        return sum(rows * columns for rows, columns in self.blocks)

    def split(self, x: list[Any]) -> list[Any]:
        """A_0, W_1, ..., W_T and b as matrices of balls."""
        matrices, start = [], 0
        for rows, columns in self.blocks:
            matrices.append(flint().arb_mat(rows, columns, x[start : start + rows * columns]))
            start += rows * columns
        return matrices

    def value(self, x: list[Any]) -> Any:
        """f on a box."""
        arb, at = flint().arb, _At(self, x)
        data = sum((arb(om) * column.value for om, column in zip(self.shares, at.columns, strict=True)), arb(0))
        return data + sum((l2 * entry * entry for l2, entry in zip(self._ridge_of_each(), x, strict=True)), arb(0)) / 2

    def gradient(self, x: list[Any]) -> list[Any]:
        """The P partial derivatives of f on a box."""
        at = _At(self, x)
        data = [entry for L, R in at.moves for entry in (L.transpose() * at.G * R.transpose()).entries()]
        return [g + l2 * entry for g, l2, entry in zip(data, self._ridge_of_each(), x, strict=True)]

    def hessian(self, x: list[Any]) -> Any:
        """The P x P second derivatives of f on a box."""
        at, P = _At(self, x), self.size
        starts = np.cumsum([0, *(rows * columns for rows, columns in self.blocks)]).tolist()
        H: list[list[Any]] = [[None] * P for _ in range(P)]
        for i in range(len(self.blocks)):
            for j in range(i + 1):
                rows = at.second(i, j)
                for row, entries in enumerate(rows, starts[i]):
                    H[row][starts[j] : starts[j + 1]] = entries
                for row, column in enumerate(zip(*rows, strict=True), starts[j]):
                    H[row][starts[i] : starts[i + 1]] = column
        for k, l2 in enumerate(self._ridge_of_each()):
            H[k][k] += l2
        return flint().arb_mat(P, P, [entry for row in H for entry in row])

    def document(self) -> dict[str, Any]:
        """The problem as a proof writes it."""
        part = {
            "atom": self.loss, "weight": "1", "temperature": "1", "first": "0", "shift": None, "divergence": False,
            "log_classes": "0", "Y": {"kind": "rational", "rows": texts(self.targets)},
        }  # fmt: skip
        return {
            "parts": [part],
            "K": str(len(self.targets)),
            "bias": self.bias,
            "features": "free",
            "m": [text(x) for x in self.multiplicity],
            "a": [text(x) for x in self.intercept],
            "w": [text(x) for x in self.weight],
            "N": text(self.samples),
            "scale": text(self.scale),
            "l": [text(x) for x in self.l2],
            "lb": text(self.l2_b),
            "classifier": None if self.classifier is None else texts(self.classifier),
        }

    def _ridge_of_each(self) -> list[Any]:
        """The ridge of every parameter."""
        d, _ = self.shapes[0]
        of_each = self.pull * d
        for l2, (rows, columns) in zip(self.l2[1:], self.shapes[1:], strict=True):
            of_each = of_each + [l2] * (rows * columns)
        if self.bias != "none":
            of_each = of_each + [self.l2_b] * len(self.targets)
        return [flint().arb(l2) for l2 in of_each]


class _At:
    """What the derivatives of an objective on a box share.

    moves: (L, R) of every block, a change E of which moves the logits by L E R. columns: the loss of every column. G, B: its
    gradients (K, C) and Hessians in the logits, times the shares.
    """

    def __init__(self, objective: Objective, x: list[Any]) -> None:
        arb, arb_mat = flint().arb, flint().arb_mat
        K, C = len(objective.targets), len(objective.shares)
        *self.factors, b = [*objective.split(x), None][: len(objective.shapes) + 1]
        identity = arb_mat(K, K, [arb(i == j) for i in range(K) for j in range(K)])
        given = objective.classifier
        lefts = [identity if given is None else arb_mat(K, len(given[0]), [arb(y) for row in given for y in row])]
        for W in self.factors[:0:-1]:
            lefts.append(lefts[-1] * W)
        rights = [arb_mat(C, C, [arb(r) if c == d else arb(0) for c, r in enumerate(objective.reach) for d in range(C)])]
        for A in self.factors[:-1]:
            rights.append(A * rights[-1])
        self.moves = list(zip(reversed(lefts), rights, strict=True))
        z = lefts[-1] * self.factors[0] * rights[0]
        if objective.bias != "none":
            a = arb_mat(1, C, [arb(entry) for entry in objective.intercept])
            self.moves.append((identity, a))
            z += b * a
        logits, targets = z.transpose().tolist(), zip(*objective.targets, strict=True)
        self.columns = [LOSSES[objective.loss](column, y) for column, y in zip(logits, targets, strict=True)]
        shares = [arb(om) for om in objective.shares]
        self.G = arb_mat([[om * g for g in column.gradient] for om, column in zip(shares, self.columns, strict=True)]).transpose()
        self.B = [arb_mat(column.hessian) * om for om, column in zip(shares, self.columns, strict=True)]

    def second(self, i: int, j: int) -> list[list[Any]]:
        """The block (i, j) of the Hessian, i >= j, without ridges: rows pq, columns rs."""
        (L, R), (K, S) = self.moves[i], self.moves[j]
        p, q, r, s = L.ncols(), R.nrows(), K.ncols(), S.nrows()
        arb_mat, across = flint().arb_mat, L.transpose()
        inner = [(across * B * K).entries() for B in self.B]
        Rt, St = R.transpose().tolist(), S.transpose().tolist()
        outer = [[x * y for x in row for y in other] for row, other in zip(Rt, St, strict=True)]
        e = (arb_mat(inner).transpose() * arb_mat(outer)).entries()  # (pr, qs)
        width = q * s
        rows = [[e[(k * r + m) * width + n * s :][:s] for m in range(r)] for k in range(p) for n in range(q)]
        if j < i < len(self.factors):
            pair = (across * self.G * S.transpose()).tolist()  # (p, s)
            between = None
            for A in self.factors[j + 1 : i]:
                between = A if between is None else A * between
            for k in range(p):
                for n in range(q):
                    for m in range(r):
                        if between is not None or n == m:
                            t = 1 if between is None else between[n, m]
                            rows[k * q + n][m] = [x + t * y for x, y in zip(rows[k * q + n][m], pair[k], strict=True)]
        return [[entry for part in row for entry in part] for row in rows]


_KINDS = (("mse", MSE), ("ce", CE), ("logistic", LOGISTIC), ("squared hinge", SQUARED_HINGE))


def out_of_reach(problem: Problem) -> str:
    """Why the curvature of a problem is not written down here; empty where it is."""
    if not any(is_loss(problem.loss, kind) for _, kind in _KINDS):
        return f"the curvature of the loss {problem.loss.name!r} is not among those of mse, ce, logistic and squared hinge"
    if problem.features != "free":
        return f"features are {problem.features}, and the curvature here is that of free ones"
    if problem.H0 is not None and np.any(np.asarray(problem.beta) != 0):
        return "a proximity term is not among what the curvature is written down for"
    return ""


def objective_of(problem: Problem) -> Objective:
    """A problem in exact numbers, as it is meant; the ce target of a true class is 1 minus the others.

    Raises:
      ValueError: for a problem that is `out_of_reach`.
    """
    if reason := out_of_reach(problem):
        refuse("problem", problem, f"one whose curvature is known: {reason}")
    name = next(name for name, kind in _KINDS if is_loss(problem.loss, kind))
    given = numbers_of(problem)
    targets = rationals(given("targets"))
    if name == "ce":
        targets = transposed(distributions(transposed(targets)))
    K, (*_, last) = problem.classes, problem.widths
    outputs = (*problem.widths[1:], K if problem.classifier is None else last)
    return Objective(
        loss=name,
        bias=problem.bias,
        targets=targets,
        **{key: list(map(rational, given(key))) for key in ("multiplicity", "weight", "intercept")},
        **{key: rational(given(key)[()]) for key in ("samples", "scale", "l2_b")},
        l2=[rational(x) for x in (given("l2_H")[()], *given("l2_W"))],
        classifier=None if problem.classifier is None else rationals(given("classifier")),
        shapes=((problem.widths[0], problem.columns), *zip(outputs, problem.widths, strict=True))[: problem.factors],
    )


def coordinates(params: Params) -> list[Any]:
    """Params as a point of an `Objective`, entry by entry: H is A_0, to the rounding of rho."""
    arrays = (params.H, *params.weights, *(() if params.b is None else (params.b,)))
    return [flint().arb(float(x)) for array in arrays for x in np.asarray(array).ravel()]
