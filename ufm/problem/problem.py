"""Problem: what is minimised, as a pytree whose numbers are leaves and whose shape and choices are static.

    f(W_1..W_M, H, b) = sum_c w_c m_c loss(z_c, y_c) / N      z_c = scale * W_M ... W_1 h_c / sqrt(m_c) + a_c b
                      + sum_m l2_W[m]/2 |W_m|^2 + l2_H/2 |H|^2 + l2_b/2 |b|^2 + beta/2 |H - H0|^2

A column c of H is one sample (m_c = a_c = w_c = 1), or m_c identical samples in the coordinate sqrt(m_c) h, which
makes Euclidean gradient flow on columns equal to gradient flow on the samples they stand for. Which columns there are, and what is
known of them, is the problem's design (`ufm.problem.design`).
"""

import dataclasses
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ufm.base.checks import MANY, brief, check_choice, check_count, common_float_dtype, refuse
from ufm.base.describe import describe
from ufm.losses import Loss, get_loss
from ufm.problem.classes import Classes, ClassSizes, EqualClasses, GroupedClasses
from ufm.problem.column_numbers import ColumnNumbers
from ufm.problem.columns import COLUMNS, design_of, soft_or_none, with_columns
from ufm.problem.design import Design, constant
from ufm.problem.meant import Meant, as_floats
from ufm.problem.validation import as_array, check_problem, check_sizes, check_targets, complete_numbers

_LEAVES = ("design", "l2_W", "l2_H", "l2_b", "scale", "classifier", "beta", "H0")
_STATIC = ("widths", "loss", "bias", "features", "meant")
_DEFAULTS: dict[str, Any] = {
    "loss": "mse", "l2_W": 0.0, "l2_H": 0.0, "l2_b": 0.0, "bias": "none", "scale": 1.0, "classifier": None, "features": "free",
    "beta": 0.0, "H0": None,
}  # fmt: skip


@partial(jax.tree_util.register_dataclass, data_fields=_LEAVES, meta_fields=_STATIC)
@dataclass(frozen=True, eq=False)
class Problem(ColumnNumbers):
    """An unconstrained feature model or deep linear network. Build it with `balanced`, `imbalanced`, `grouped`, `from_targets`.

    Leaves (arrays, swept and differentiated freely):
      design: the columns, one of the four types of `ufm.problem.design`; its sizes, targets, ... are leaves.
      l2_W: (number of trainable layers,); l2_H, l2_b, beta, scale: scalars.
      classifier: (K, d_M) fixed last layer, or None where it is trained.
      H0: (d_1, C) centre of the proximity term in column coordinates, or None.

    Static:
      widths: (d_1, ..., d_M), feature dimension first. M = len(widths) weight matrices in all.
      loss: a `Loss`. bias: "none", "free" or "ridge".
      features: "free", "nonnegative", or "sphere" (unit features and, where trained, unit classifier rows).
      meant: what numbers stand for that were given as fractions or decimal strings (`ufm.problem.meant`): proofs ask for it.

    Two problems are equal when their types, choices and numbers are.
    """

    design: Design
    l2_W: jax.Array
    l2_H: jax.Array
    l2_b: jax.Array
    scale: jax.Array
    classifier: jax.Array | None
    beta: jax.Array
    H0: jax.Array | None
    widths: tuple[int, ...]
    loss: Loss
    bias: str
    features: str
    meant: Meant = ()

    @classmethod
    def balanced(
        cls, classes: int, per_class: int, widths: Any, *, columns: str = "sample", smoothing: Any = 0.0, **choices: Any
    ) -> "Problem":
        """K classes of n samples each.

        Args:
          classes: K >= 2. per_class: n >= 1.
          widths: (d_1, ..., d_M), or one number for M = 1.
          columns: "sample" for one column of H a sample, "class" for one a class, which is exact for minima of convex losses and
            costs the same whatever n is.
          smoothing: label smoothing s; the targets are (1 - s) one-hot + s/K.
          **choices: as in `from_targets`. Numbers may be fractions or decimal strings everywhere, to be meant exactly by proofs.

        Raises:
          ValueError: naming the argument, the value given and what is allowed.

        Example:
          >>> Problem.balanced(classes=4, per_class=100, widths=(64, 64, 64), l2_W=5e-4, l2_H=5e-4)
          Problem(mse, K=4, n=100, widths=(64, 64, 64), bias=none, l2_W=0.0005, l2_H=0.0005)
        """
        check_count("classes", classes, 2, MANY)
        check_count("per_class", per_class, 1)
        return cls._of_sizes((per_class,) * classes, widths, columns, smoothing, choices)

    @classmethod
    def imbalanced(
        cls, counts: Any, widths: Any, *, columns: str = "sample", smoothing: Any = 0.0, **choices: Any
    ) -> "Problem":
        """Classes of the given sizes n_k, columns grouped by class.

        Args:
          counts: (n_1, ..., n_K), whole numbers of at least 1, K >= 2.
          widths, columns, smoothing, **choices: as in `balanced`.

        Raises:
          ValueError: naming the argument, the value given and what is allowed.
        """
        if not isinstance(counts, tuple | list | np.ndarray) or len(counts) < 2:
            refuse("counts", counts, "a sequence of the sizes of at least 2 classes")
        counts = tuple(int(n) if isinstance(n, np.integer) else n for n in counts)
        for count in counts:
            check_count("counts", count, 1)
        return cls._of_sizes(counts, widths, columns, smoothing, choices)

    @classmethod
    def grouped(cls, members: Any, sizes: Any, widths: Any, *, smoothing: Any = 0.0, **choices: Any) -> "Problem":
        """Groups of classes of one size, one column a class: the sizes may be swept and stay those of whole groups.

        Args:
          members: (K_1, ..., K_G), classes in each group, the first group's classes first.
          sizes: (G,) samples of each class of a group, numbers above 0, traced ones too.
          widths, smoothing, **choices: as in `balanced`.

        Raises:
          ValueError: naming the argument, the value given and what is allowed.
        """
        members = tuple(members)
        for count in members:
            check_count("members", count, 1)
        if sum(members) < 2:
            refuse("members", members, "at least 2 classes in all")
        (given, choices), meant = as_floats({"smoothing": smoothing}, choices)
        dtype = common_float_dtype(sizes, given["smoothing"], *choices.values())
        sizes, soft = as_array("sizes", sizes, dtype, (len(members),)), soft_or_none(given["smoothing"], dtype)
        groups = tuple(int(g) for g in np.repeat(np.arange(len(members)), members))
        return cls._build(GroupedClasses(constant(sizes), soft, None, groups, (1,) * sum(members)), widths, choices, dtype, meant)

    @classmethod
    def from_targets(
        cls,
        targets: Any,
        widths: Any,
        *,
        loss: Any = "mse",
        l2_W: Any = 0.0,
        l2_H: Any = 0.0,
        l2_b: Any = 0.0,
        bias: str = "none",
        multiplicity: Any = None,
        intercept: Any = None,
        weight: Any = None,
        samples: Any = None,
        scale: Any = 1.0,
        classifier: Any = None,
        features: str = "free",
        beta: Any = 0.0,
        H0: Any = None,
        teacher: Any = None,
        groups: tuple[int, ...] | None = None,
    ) -> "Problem":
        """Any K x C targets: soft labels, regression targets, weighted columns.

        Args:
          targets: (K, C) array.
          widths: (d_1, ..., d_M) or one number.
          loss: "mse", "ce", "logistic", "squared_hinge", a `Loss`, or a function of (logits, target).
          l2_W: one ridge, or one a trainable layer; l2_H, l2_b: ridges of features and bias (plain normalisation,
            l2/2 times a squared Frobenius norm). All of l2_W and l2_H positive, or all zero.
          bias: "none", "free" (not penalised) or "ridge" (needs l2_b).
          multiplicity, intercept, weight: (C,) arrays or scalars, ones by default.
          samples: N, by default the sum of the multiplicities of the columns with intercept 1.
          scale: factor of the logits W_M...W_1 h, the inverse temperature.
          classifier: (K, d_M) fixed last layer; the trainable layers are then W_1..W_{M-1}.
          features: "free", "nonnegative" or "sphere".
          beta, H0: proximity term, H0 of shape (d_1, C) in column coordinates.
          teacher: (K, C) logits of a teacher, where the loss compares with one.
          groups: lengths of runs of equal columns; found from the targets by default.

        Returns:
          Problem, of classes where known numbers prove that its columns are, of general columns otherwise.

        Raises:
          ValueError: naming the argument, the value given and what is allowed.
        """
        given = locals()
        columns, choices = ({name: given[name] for name in names} for names in (COLUMNS, _DEFAULTS))
        (columns, choices), meant = as_floats(columns, choices)
        dtype = common_float_dtype(*columns.values(), *choices.values())
        return cls._build(design_of(columns, groups, dtype), widths, choices, dtype, meant)

    @classmethod
    def _of_sizes(cls, counts: tuple[int, ...], widths: Any, columns: str, smoothing: Any, choices: dict) -> "Problem":
        check_choice("columns", columns, ("sample", "class"))
        (given, choices), meant = as_floats({"smoothing": smoothing}, choices)
        dtype = common_float_dtype(given["smoothing"], *choices.values())
        runs, soft = counts if columns == "sample" else (1,) * len(counts), soft_or_none(given["smoothing"], dtype)
        if len(set(counts)) == 1:
            design: Classes = EqualClasses(constant(counts[0], dtype), soft, None, runs)
        else:
            design = ClassSizes(constant(np.asarray(counts, dtype)), soft, None, runs)
        given = {name: x for name, x in choices.items() if name in (*COLUMNS, "groups")}
        choices = {name: x for name, x in choices.items() if name not in given}
        if "targets" in given:
            refuse("targets", given["targets"], "left to Problem.from_targets")
        check_sizes(design)
        return cls._build(with_columns(design, given, dtype) if given else design, widths, choices, dtype, meant)

    @classmethod
    def _build(cls, design: Design, widths: Any, choices: dict[str, Any], dtype: Any, meant: Meant) -> "Problem":
        """The problem of a design, complete and checked."""
        for name in choices:
            check_choice("the name of an argument", name, (*_DEFAULTS, *COLUMNS, "groups"))
        given = _DEFAULTS | choices
        loss = get_loss(given["loss"])
        check_choice("bias", given["bias"], ("none", "free", "ridge"))
        check_choice("features", given["features"], ("free", "nonnegative", "sphere"))
        widths = tuple(widths) if np.ndim(widths) == 1 else (widths,)
        numbers = complete_numbers(len(widths) - (given["classifier"] is not None), given, dtype)
        static = {"widths": widths, "loss": loss, "bias": given["bias"], "features": given["features"], "meant": meant}
        problem = cls(design=design, **numbers, **static)
        check_problem(problem)
        check_targets(loss, design)
        if isinstance(design, Classes):
            check_sizes(design)
        # known numbers stay NumPy until here: what they are is then known under jit too
        constants: dict[str, Any] = {name: None if x is None else constant(x) for name, x in numbers.items()}
        return dataclasses.replace(problem, **constants)

    def replace(self, **changes: Any) -> "Problem":
        """The problem with some numbers or choices changed, checked again; one number fills l2_W or the columns.

        New multiplicities bring their own N unless `samples` is given too, and keep classes what they are, traced or not. Other
        numbers of columns are looked at again: what they no longer prove is no longer known.

        Args:
          **changes: leaves and choices by name; the columns as a `design`, or as targets, multiplicity, intercept, weight, samples,
            teacher and groups as in `from_targets`.

        Raises:
          ValueError: naming the argument, the value given and what is allowed.
        """
        own = (*_LEAVES, *_STATIC)
        (changes,), meant = as_floats(changes)
        for name in changes:
            check_choice("the name given to replace", name, (*COLUMNS, "groups", *own))
        columns = {name: value for name, value in changes.items() if name not in own}
        if columns and "design" in changes:
            refuse("design", changes["design"], f"given without {', '.join(columns)}")
        fields = {name: getattr(self, name) for name in own} | {name: x for name, x in changes.items() if name in own}
        design, widths, kept = fields.pop("design"), fields.pop("widths"), fields.pop("meant")
        replaced = {*changes} | ({"smoothing", *COLUMNS} if changes.keys() & {"design", "targets"} else set())
        meant += tuple((name, x) for name, x in kept if name not in replaced)
        dtype = common_float_dtype(self.l2_H, *changes.values())
        if columns:
            design = with_columns(design, columns, dtype)
        elif "loss" in changes and design.teacher is not None and not get_loss(changes["loss"]).teacher:
            refuse("teacher", design.teacher, f"None for the loss {get_loss(changes['loss']).name!r}: replace it too")
        return type(self)._build(design, widths, fields, dtype, meant)

    def collapsed(self) -> "Problem":
        """Each run of equal columns as one column of the summed multiplicity: K weighted columns for K classes."""
        H0 = None if self.H0 is None else self.run_means(self.H0)
        return dataclasses.replace(self, design=self.design.collapsed(), H0=H0)

    @property
    def trainable(self) -> int:
        """The number of trainable weight matrices: M, or M - 1 under a fixed classifier."""
        return len(self.widths) - (self.classifier is not None)

    @property
    def dtype(self) -> Any:
        """The dtype of every number of the problem."""
        return self.l2_H.dtype

    @property
    def ridges(self) -> jax.Array:
        """(L,) ridges of the factors from the input side: l2_H, then l2_W."""
        return jnp.concatenate([self.l2_H[None], self.l2_W])

    @property
    def factors(self) -> int:
        """L, the number of factors of the logit matrix: the trainable weights and H."""
        return self.trainable + 1

    @property
    def c(self) -> jax.Array:
        """Geometric mean of the ridges of all L factors; the optimal value depends on them through c alone."""
        return jnp.exp(jnp.mean(jnp.log(self.ridges)))

    def __repr__(self) -> str:
        design = self.design
        per_class = f"n={brief(design.n)}" if isinstance(design, EqualClasses) else f"columns={self.columns}"
        shown = [self.loss.name, f"K={self.classes}", per_class, f"widths={self.widths}", f"bias={self.bias}"]
        if self.features != "free":
            shown.append(f"features={self.features}")
        names = ("l2_W", "l2_H") + (("l2_b",) if self.bias == "ridge" else ())
        return f"Problem({', '.join(shown + [f'{name}={brief(getattr(self, name))}' for name in names])})"

    def __str__(self) -> str:
        return describe(self).text()

    def _repr_html_(self) -> str:
        return describe(self).html()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Problem):
            return NotImplemented
        ours: Any = jax.tree.structure(self)
        if ours != jax.tree.structure(other):
            return False
        return all(np.array_equal(a, b) for a, b in zip(*map(jax.tree.leaves, (self, other)), strict=True))

    def __hash__(self) -> int:
        return hash(jax.tree.structure(self))

