"""Instance: a problem as exact numbers, one column for every kind of column, its loss as a sum of atoms.

    f(W, h, b) = sum_c (w_c m_c / N) loss_c(scale W h_c + a_c b) + l_W/2 |W|^2 + l_H/2 sum_c m_c |h_c|^2 + l_b/2 |b|^2
    loss_c(z)  = sum_p weight_p [atom_p((z[first : first + rows] - shift_c)/temperature; y_c) - Ent(y_c)] - log_classes_p log rows

with Ent(y_c) for divergences alone. Everything is rational but a teacher's targets, which are softmax or sigmoid of rationals.
The cross-entropy of this package never reads the target of the true class: in a proof it is 1 minus the others, whatever is stored.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ufm.duality.rounding import widened
from ufm.equivalent.canonical_form import merges
from ufm.losses import Loss, cross_entropy, one_vs_all_logistic, squared_error, squared_hinge
from ufm.losses.distillation import Binary, DualHead, Mixture, SingleHead
from ufm.losses.margin import LdrKl
from ufm.problem import Problem
from ufm.problem.meant import exact, is_meant
from ufm.proofs.conjugates import Atom, Bernoulli, Entropy, Hinge, Quadratic
from ufm.proofs.exact import ball, rational, text, texts, transposed

Columns = list[list[Any]]  # a matrix, column by column


class Part(NamedTuple):
    """weight [atom((z - shift)/temperature; Y) - Ent(Y) if divergence] - log_classes log(rows), of the rows from `first` on.

    Y: (C columns of `rows` rationals) the targets, or where kind is "softmax" or "sigmoid" what they are the softmax or sigmoid of.
    shift: as many, or None.
    """

    atom: Atom
    weight: Any
    temperature: Any
    Y: Columns
    kind: str = "rational"
    first: int = 0
    shift: Columns | None = None
    divergence: bool = False
    log_classes: Any = 0

    @property
    def rows(self) -> slice:
        """The rows of the logits that the part sees."""
        return slice(self.first, self.first + len(self.Y[0]))

    def targets(self) -> Columns:
        """The targets: rationals, or balls of a teacher's."""
        return self.Y if self.kind == "rational" else [_TEACHERS[self.kind].dual(list(map(ball, y)), y) for y in self.Y]

    def scaled(self, z: list, c: int) -> list:
        """(z - shift_c)/temperature of the rows of a column."""
        z = z[self.rows]
        if self.shift is not None:
            z = [a - b for a, b in zip(z, self.shift[c], strict=True)]
        return z if self.temperature == 1 else [a / self.temperature for a in z]

    def document(self) -> dict[str, Any]:
        """The part as a proof writes it down."""
        return {
            "atom": self.atom.name, "weight": text(self.weight), "temperature": text(self.temperature), "first": str(self.first),
            "Y": {"kind": self.kind, "rows": texts(transposed(self.Y))},
            "shift": None if self.shift is None else texts(transposed(self.shift)),
            "divergence": self.divergence, "log_classes": text(self.log_classes),
        }  # fmt: skip


@dataclass(frozen=True)
class Instance:
    """A problem in exact numbers. ridges: l_H, then those of the trainable layers. labels: which column each of the problem's is.

    m, a, w: multiplicities, intercepts and weights of the C columns. classifier: K rows, or None. H0: C columns, or None.
    """

    parts: tuple[Part, ...]
    K: int
    bias: str
    features: str
    m: list
    a: list
    w: list
    N: Any
    scale: Any
    ridges: list
    lb: Any
    classifier: list | None
    beta: Any
    H0: Columns | None
    labels: tuple[int, ...]

    @property
    def shares(self) -> list:
        """w_c m_c / N."""
        return [w * m / self.N for w, m in zip(self.w, self.m, strict=True)]

    @property
    def gains(self) -> list:
        """(scale/N)^2 w_c^2 m_c, so that S = sum_c gains_c theta_c theta_c'."""
        return [(self.scale * w / self.N) ** 2 * m for w, m in zip(self.w, self.m, strict=True)]

    def rows(self, W: list | None) -> list:
        """The rows of the classifier, trained or fixed."""
        rows = W if self.classifier is None else self.classifier
        assert rows is not None
        return rows

    @property
    def trained(self) -> bool:
        """Whether a classifier is trained."""
        return self.classifier is None

    def document(self) -> dict[str, Any]:
        """The problem as a proof writes it down."""
        one = len(self.ridges) <= 2
        ridges: dict[str, Any] = {"lW": text(self.ridges[1]) if self.trained else None, "lH": text(self.ridges[0])}
        more: dict[str, Any] = {
            "classifier": None if self.classifier is None else texts(self.classifier),
            "beta": text(self.beta), "H0": None if self.H0 is None else texts(transposed(self.H0)),
        }  # fmt: skip
        columns: dict[str, Any] = {name: list(map(text, getattr(self, name))) for name in ("m", "a", "w")}
        shape = {"parts": [part.document() for part in self.parts], "K": str(self.K), "bias": self.bias, "features": self.features}
        numbers: dict[str, Any] = {"N": text(self.N), "scale": text(self.scale), "lb": text(self.lb)}
        return shape | columns | numbers | (ridges | more if one else {"l": list(map(text, self.ridges))})


def instance_of(problem: Problem) -> Instance:
    """The exact instance of a problem whose loss has known atoms (`has_atoms`), equal columns merged where that is exact."""
    merged, given, every = merges(problem), numbers_of(problem), range(problem.columns)
    kinds = [_columns(given("targets")), _columns(given("teacher")) if problem.loss.teacher else [[]] * len(every)]
    m, a, w = (list(map(rational, given(name))) for name in ("multiplicity", "intercept", "weight"))
    keys: dict[Any, int] = {}
    labels = tuple(keys.setdefault((*kinds[0][c], None, *kinds[1][c], a[c], w[c], None if merged else c), len(keys)) for c in every)
    chosen = [labels.index(c) for c in range(len(keys))]
    y, t = ([kind[c] for c in chosen] for kind in kinds)
    scalars = {name: rational(given(name)[()]) for name in ("samples", "scale", "l2_b", "beta", "l2_H")}
    return Instance(
        parts=_parts(problem.loss, y, t), K=problem.classes, bias=problem.bias, features=problem.features,
        m=[sum((m[c] for c in every if labels[c] == i), rational(0)) for i in range(len(chosen))],
        a=[a[c] for c in chosen], w=[w[c] for c in chosen], N=scalars["samples"], scale=scalars["scale"],
        ridges=[scalars["l2_H"], *map(rational, given("l2_W"))], lb=scalars["l2_b"],
        classifier=None if problem.classifier is None else transposed(_columns(given("classifier"))),
        beta=scalars["beta"], H0=None if problem.H0 is None else _columns(given("H0")), labels=labels,
    )  # fmt: skip


def numbers_of(problem: Problem) -> Callable[[str], np.ndarray]:
    """Exact numbers of a problem by name, as Fractions: those meant, else the floats, whose sums are taken in float64."""
    wide = widened(problem)
    return lambda name: exact(problem if is_meant(problem, name) else wide, name)


def has_atoms(loss: Loss) -> bool:
    """Whether a loss is a sum of the atoms of this room."""
    return isinstance(loss.value, Mixture | Binary | SingleHead | DualHead | LdrKl) or _basic(loss) is not None


def _basic(loss: Loss) -> Atom | None:
    return next((atom for function, atom in _BASIC if loss.value is function), None)


def _parts(loss: Loss, y: Columns, t: Columns) -> tuple[Part, ...]:
    value, one = loss.value, rational(1)
    if isinstance(value, Mixture):
        T, hard = rational(value.temperature), rational(value.gamma)
        soft, teacher = rational(value.kd) * T * T, [[a / T for a in column] for column in t]
        both = Part(Entropy(), hard, one, distributions(y)), Part(Entropy(), soft, T, teacher, kind="softmax", divergence=True)
        return tuple(part for part in both if part.weight)
    if isinstance(value, Binary):
        return (_binary(value, one, t, 0),)
    if isinstance(value, SingleHead):
        hard, soft = rational(value.gamma), rational(value.kd)
        return Part(Entropy(), hard, one, distributions(y)), _binary(value.binary, soft, t, 0)
    if isinstance(value, DualHead):
        half, hard, soft = len(y[0]) // 2, rational(value.gamma), rational(value.kd)
        head = Part(Entropy(), hard, one, distributions([column[:half] for column in y]))
        return head, _binary(value.binary, soft, [column[half:] for column in y], half)
    if isinstance(value, LdrKl):
        T, margin = rational(value.temperature), rational(value.margin)
        shift = [[rational(0) if k == _first_largest(column) else -margin for k in range(len(column))] for column in y]
        return (Part(Entropy(), T, T, distributions(y), shift=shift, log_classes=T),)
    atom = _basic(loss)
    assert atom is not None
    return (Part(atom, one, one, distributions(y) if isinstance(atom, Entropy) else y),)


def _binary(value: Binary, weight: Any, t: Columns, first: int) -> Part:
    T = rational(value.temperature)
    if value.norm:
        even = [[rational(1) / 2] * len(column) for column in t]
        return Part(Bernoulli(), weight * T * T, T, even, first=first, shift=t, divergence=True)
    teacher = [[a / T for a in column] for column in t]
    return Part(Bernoulli(), weight * T * T, T, teacher, kind="sigmoid", first=first, divergence=True)


def distributions(y: Columns) -> Columns:
    """Targets with 1 minus the others in the place of the largest."""
    tops = [_first_largest(column) for column in y]
    return [[1 - (sum(c, rational(0)) - a) if k == top else a for k, a in enumerate(c)] for c, top in zip(y, tops, strict=True)]


def _first_largest(column: list) -> int:
    return column.index(max(column))


def _columns(matrix: Any) -> Columns:
    return [list(map(rational, column)) for column in np.asarray(matrix).T]


_BASIC: tuple[tuple[Any, Atom], ...] = (
    (squared_error, Quadratic()), (cross_entropy, Entropy()), (one_vs_all_logistic, Bernoulli()), (squared_hinge, Hinge()),
)  # fmt: skip
_TEACHERS = {"softmax": Entropy(), "sigmoid": Bernoulli()}
