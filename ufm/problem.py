"""Problem: what is minimised, as a pytree whose numbers are leaves and whose shape and choices are static.

    f(W_1..W_M, H, b) = sum_c w_c m_c loss(z_c, y_c) / N      z_c = scale * W_M ... W_1 h_c / sqrt(m_c) + a_c b
                      + sum_m l2_W[m]/2 |W_m|^2 + l2_H/2 |H|^2 + l2_b/2 |b|^2 + beta/2 |H - H0|^2

A column c of H is one sample (m_c = a_c = w_c = 1), or m_c identical samples in the coordinate sqrt(m_c) h, which
makes Euclidean gradient flow on columns equal to gradient flow on the samples they stand for.
"""

import dataclasses
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ufm.card import card_of
from ufm.checks import array_module, brief, check_choice, check_count, check_finite, common_float_dtype, is_traced, known, refuse
from ufm.losses import Loss, get_loss
from ufm.validation import check_problem, complete_numbers, design_of, runs_of_equal_columns

_LEAVES = (
    "targets", "multiplicity", "intercept", "weight", "samples", "l2_W", "l2_H", "l2_b", "scale", "classifier",
    "beta", "H0", "teacher",
)  # fmt: skip
EQUAL_IN_RUNS = ("targets", "intercept", "weight", "teacher")  # what columns of one run share
_COLUMNS = (*EQUAL_IN_RUNS, "multiplicity")
_STATIC = ("widths", "loss", "bias", "features", "groups", "design")


@partial(jax.tree_util.register_dataclass, data_fields=_LEAVES, meta_fields=_STATIC)
@dataclass(frozen=True, eq=False)
class Problem:
    """An unconstrained feature model or deep linear network. Build it with `balanced`, `imbalanced`, `from_targets`.

    Leaves (arrays, swept and differentiated freely):
      targets: (K, C), one column of targets a column of H.
      multiplicity, intercept, weight: (C,), the m_c, a_c and w_c above.
      samples: scalar N.
      l2_W: (number of trainable layers,); l2_H, l2_b, beta, scale: scalars.
      classifier: (K, d_M) fixed last layer, or None where it is trained.
      H0: (d_1, C) centre of the proximity term in column coordinates, or None.
      teacher: (K, C) logits of a teacher, for the losses of distillation, or None.

    Static:
      widths: (d_1, ..., d_M), feature dimension first. M = len(widths) weight matrices in all.
      loss: a `Loss`. bias: "none", "free" or "ridge".
      features: "free", "nonnegative", or "sphere" (unit features and, where trained, unit classifier rows).
      groups: lengths of the runs of equal columns: a class, or a kind of soft label, is one run.
      design: "balanced" (equal one-hot classes), "smoothed" (equal classes, one off-target value), "imbalanced"
        (one-hot classes of any sizes) or "general"; set from the numbers when the problem is built.
    """

    targets: jax.Array
    multiplicity: jax.Array
    intercept: jax.Array
    weight: jax.Array
    samples: jax.Array
    l2_W: jax.Array
    l2_H: jax.Array
    l2_b: jax.Array
    scale: jax.Array
    classifier: jax.Array | None
    beta: jax.Array
    H0: jax.Array | None
    teacher: jax.Array | None
    widths: tuple[int, ...]
    loss: Loss
    bias: str
    features: str
    groups: tuple[int, ...]
    design: str

    @classmethod
    def balanced(cls, classes: int, per_class: int, widths: Any, *, smoothing: Any = 0.0, **choices: Any) -> "Problem":
        """K classes of n samples each, every sample its own column.

        Args:
          classes: K >= 2. per_class: n >= 1.
          widths: (d_1, ..., d_M), or one number for M = 1.
          smoothing: label smoothing s; the targets are (1 - s) one-hot + s/K.
          **choices: as in `from_targets`.

        Raises:
          ValueError: naming the argument, the value given and what is allowed.

        Example:
          >>> Problem.balanced(classes=4, per_class=100, widths=(64, 64, 64), l2_W=5e-4, l2_H=5e-4)
          Problem(mse, K=4, n=100, widths=(64, 64, 64), bias=none, l2_W=0.0005, l2_H=0.0005)
        """
        check_count("classes", classes, 2)
        check_count("per_class", per_class, 1)
        return cls.imbalanced((per_class,) * classes, widths, smoothing=smoothing, **choices)

    @classmethod
    def imbalanced(cls, counts: Any, widths: Any, *, smoothing: Any = 0.0, **choices: Any) -> "Problem":
        """Classes of the given sizes n_k, every sample its own column, grouped by class.

        Args:
          counts: (n_1, ..., n_K), whole numbers of at least 1, K >= 2.
          widths, smoothing, **choices: as in `balanced`.

        Raises:
          ValueError: naming the argument, the value given and what is allowed.
        """
        if not isinstance(counts, tuple | list | np.ndarray):
            refuse("counts", counts, "a sequence of class sizes")
        counts = tuple(int(n) if isinstance(n, np.integer) else n for n in counts)
        if len(counts) < 2:
            refuse("counts", counts, "the sizes of at least 2 classes")
        for count in counts:
            check_count("counts", count, 1)
        check_finite("smoothing", smoothing)
        if not is_traced(smoothing) and not 0 <= smoothing < 1:
            refuse("smoothing", smoothing, "in [0, 1)")
        classes = len(counts)
        dtype = common_float_dtype(smoothing, *choices.values())
        targets = (1 - smoothing) * array_module(smoothing).eye(classes, dtype=dtype) + smoothing / classes
        groups = None if {"weight", "intercept"} & set(choices) else counts
        problem = cls.from_targets(targets[:, np.repeat(np.arange(classes), counts)], widths, groups=groups, **choices)
        if is_traced(smoothing):
            return dataclasses.replace(problem, design="smoothed" if len(set(counts)) == 1 else "general")
        return problem

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

        Raises:
          ValueError: naming the argument, the value given and what is allowed.
        """
        loss = get_loss(loss)
        check_choice("bias", bias, ("none", "free", "ridge"))
        check_choice("features", features, ("free", "nonnegative", "sphere"))
        widths = tuple(widths) if np.ndim(widths) == 1 else (widths,)
        trainable = len(widths) - (classifier is not None)
        numbers = complete_numbers(
            trainable, targets=targets, multiplicity=multiplicity, intercept=intercept, weight=weight, samples=samples,
            l2_W=l2_W, l2_H=l2_H, l2_b=l2_b, scale=scale, classifier=classifier, beta=beta, H0=H0, teacher=teacher,
        )  # fmt: skip
        if groups is None:
            groups = runs_of_equal_columns(*(numbers[name] for name in EQUAL_IN_RUNS))
        choices = {"widths": widths, "loss": loss, "bias": bias, "features": features, "groups": tuple(groups)}
        problem = cls(**numbers, **choices, design="general")
        check_problem(problem)
        # known numbers stay NumPy until here: what they are is then known under jit too
        return jax.tree.map(jnp.asarray, dataclasses.replace(problem, design=design_of(problem)))

    def replace(self, **changes: Any) -> "Problem":
        """The problem with some numbers or choices changed, checked again; one number fills l2_W or the columns.

        New multiplicities bring their own N unless `samples` is given too. Values not known yet (under vmap or grad)
        keep the design as far as it is certain: traced class sizes make a balanced problem "imbalanced".
        """
        names = tuple(name for name in (*_LEAVES, *_STATIC) if name != "design")
        for name in changes:
            check_choice("the name given to replace", name, names)
        fields = {name: getattr(self, name) for name in names} | changes
        columns_changed = {*_COLUMNS, "samples", "groups"} & set(changes)
        if set(EQUAL_IN_RUNS) & set(changes) and "groups" not in changes:
            fields["groups"] = None
        if columns_changed and "samples" not in changes:
            fields["samples"] = None
        replaced = type(self).from_targets(**fields)
        if not columns_changed:  # the columns keep their arrays: known ones stay known under jit
            columns = {name: getattr(self, name) for name in (*_COLUMNS, "samples")}
            return dataclasses.replace(replaced, **columns, design=self.design)
        sizes_only = columns_changed == {"multiplicity"} and self.design in ("balanced", "imbalanced")
        if sizes_only and is_traced(replaced.multiplicity):
            return dataclasses.replace(replaced, design="imbalanced")
        return replaced

    def collapsed(self) -> "Problem":
        """Each run of equal columns as one column of the summed multiplicity: K weighted columns for K classes."""
        starts = np.cumsum((0, *self.groups[:-1]))
        counts = self.counts
        H0 = self.H0
        if H0 is not None:
            H0 = self.group_sum(H0 * jnp.sqrt(self.multiplicity)[None, :]) / jnp.sqrt(counts)[None, :]
        parts = {name: getattr(self, name) for name in EQUAL_IN_RUNS}
        first = {name: jnp.asarray(known(x)[..., starts]) for name, x in parts.items() if x is not None}
        return dataclasses.replace(self, **first, multiplicity=counts, H0=H0, groups=(1,) * len(self.groups))

    def group_sum(self, per_column: jax.Array) -> jax.Array:
        """Sums of an array over each run of equal columns, along its last axis."""
        if not is_traced(per_column):  # known sums stay known under jit
            with jax.ensure_compile_time_eval():
                return jnp.asarray(np.add.reduceat(np.asarray(per_column), np.cumsum((0, *self.groups[:-1])), axis=-1))
        rows = jnp.moveaxis(per_column, -1, 0)
        sums = jax.ops.segment_sum(rows, self.labels, num_segments=len(self.groups), indices_are_sorted=True)
        return jnp.moveaxis(sums, 0, -1)

    @property
    def loss_targets(self) -> Any:
        """What the loss compares logits with, column by column: the targets, or the pair (targets, teacher)."""
        return (self.targets, self.teacher) if self.loss.teacher else self.targets

    @property
    def labels(self) -> np.ndarray:
        """(C,) index of the run of equal columns (the class) that each column belongs to."""
        return np.repeat(np.arange(len(self.groups)), self.groups)

    @property
    def counts(self) -> jax.Array:
        """Samples in each run of equal columns: the class sizes n_k."""
        return self.group_sum(self.multiplicity)

    @property
    def classes(self) -> int:
        """K, the number of logits."""
        return self.targets.shape[0]

    @property
    def columns(self) -> int:
        """C, the number of columns of H."""
        return self.targets.shape[1]

    @property
    def trainable(self) -> int:
        """The number of trainable weight matrices: M, or M - 1 under a fixed classifier."""
        return len(self.widths) - (self.classifier is not None)

    @property
    def dtype(self) -> Any:
        """The dtype of every number of the problem."""
        return self.targets.dtype

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
        sizes = set(self.groups)
        per_class = f"n={self.groups[0]}" if len(sizes) == 1 else f"columns={self.columns}"
        shown = [self.loss.name, f"K={self.classes}", per_class, f"widths={self.widths}", f"bias={self.bias}"]
        if self.features != "free":
            shown.append(f"features={self.features}")
        names = ("l2_W", "l2_H") + (("l2_b",) if self.bias == "ridge" else ())
        return f"Problem({', '.join(shown + [f'{name}={brief(getattr(self, name))}' for name in names])})"

    def __str__(self) -> str:
        return card_of(self).text()

    def _repr_html_(self) -> str:
        return card_of(self).html()
