"""Designs: which columns a problem has, as a value of one of four types, so that what theorems assume is decided by type.

    EqualClasses      K classes of n samples each
    GroupedClasses    classes in groups, all classes of a group of one size
    ClassSizes        classes of sizes n_1, ..., n_K
    GeneralColumns    any targets, multiplicities, intercepts, weights and teacher's logits

Sizes are leaves: they may be swept, traced and differentiated, and the type says what is known all the same. Columns come in
runs, a class or a kind of target each, whose lengths are static: one column a class is the runs (1, ..., 1), one column a sample
the runs (n_1, ..., n_K). One-hot targets are never stored, and soft ones once a run.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ufm.checks import array_module, is_traced, known

ALIKE_IN_RUNS = ("targets", "intercept", "weight", "teacher")  # what the columns of one run share


class Design:
    """What the four types share: everything about columns that follows from runs, sizes and targets.

    A subclass has `runs`, the lengths of the runs of columns of one target; `counts` (G,), the samples of each run; `table` (K, G),
    the targets of each run; `per_run` and `target_of` for mapping a loss over them.
    """

    runs: tuple[int, ...]
    counts: jax.Array
    table: jax.Array
    classes: int

    @property
    def labels(self) -> np.ndarray:
        """(C,) index of the run that each column belongs to."""
        return np.repeat(np.arange(len(self.runs)), self.runs)

    @property
    def size(self) -> int:
        """C, the number of columns."""
        return sum(self.runs)

    def spread(self, per_run: Any) -> jax.Array:
        """(..., G) numbers of the runs as (..., C) numbers of their columns."""
        x = known(per_run)
        return constant(array_module(x).repeat(x, np.asarray(self.runs), axis=-1, **_length(x, self.size)))

    def sums(self, per_column: Any) -> jax.Array:
        """Sums of (..., C) numbers over each run, of shape (..., G)."""
        if not is_traced(per_column):  # known sums stay known under jit
            return constant(np.add.reduceat(np.asarray(per_column), np.cumsum((0, *self.runs[:-1])), axis=-1))
        if set(self.runs) == {1}:
            return per_column
        rows = jnp.moveaxis(per_column, -1, 0)
        sums = jax.ops.segment_sum(rows, self.labels, num_segments=len(self.runs), indices_are_sorted=True)
        return jnp.moveaxis(sums, 0, -1)


class Classes(Design):
    """One-hot classes, or label smoothing s of them, of weight and intercept 1; a class is a run.

    Multiplicities are m_c = n_k shares_c / (sum of the shares of the class), in equal shares where none are given.
    """

    smoothing: jax.Array | None
    shares: jax.Array | None
    teacher = None

    @property
    def classes(self) -> int:
        """K."""
        return len(self.runs)

    @property
    def table(self) -> jax.Array:
        """(K, K) targets (1 - s) I + s J of the classes."""
        eye = np.eye(self.classes, dtype=self.counts.dtype)
        if self.smoothing is None:
            return constant(eye)
        s = known(self.smoothing)
        return constant((1 - s) * eye + s / self.classes)

    @property
    def per_run(self) -> tuple[Any, int]:
        """What `target_of` makes the targets of a run from, mapped over the axis named: their classes."""
        return jnp.arange(self.classes), 0

    def target_of(self, label: jax.Array) -> jax.Array:
        """(K,) target of a class, without a table of all of them."""
        own = (jnp.arange(self.classes) == label).astype(self.counts.dtype)
        return own if self.smoothing is None else (1 - self.smoothing) * own + self.smoothing / self.classes

    @property
    def multiplicity(self) -> jax.Array:
        """(C,) samples that each column stands for."""
        counts = known(self.counts)
        if self.shares is None:
            return self.spread(counts / np.asarray(self.runs, counts.dtype))
        shares = known(self.shares)
        return constant(known(self.spread(counts / known(self.sums(shares)))) * shares)

    @property
    def samples(self) -> jax.Array:
        """N, the sum of the class sizes."""
        counts = known(self.counts)
        return constant(array_module(counts).sum(counts))

    @property
    def weight(self) -> jax.Array:
        """(C,) ones."""
        return constant(np.ones(self.size, self.counts.dtype))

    intercept = weight

    def collapsed(self) -> "Classes":
        """The same classes in one column each."""
        return dataclasses.replace(self, runs=(1,) * len(self.runs), shares=None)

    def split(self, parts: int) -> "Classes":
        """The same classes in `parts` columns of equal shares each."""
        return dataclasses.replace(self, runs=(parts,) * len(self.runs), shares=None)


@partial(jax.tree_util.register_dataclass, data_fields=("n", "smoothing", "shares"), meta_fields=("runs",))
@dataclass(frozen=True, eq=False)
class EqualClasses(Classes):
    """K classes of n samples each. n: scalar. smoothing: scalar s or None. shares: (C,) or None. runs: K lengths."""

    n: jax.Array
    smoothing: jax.Array | None
    shares: jax.Array | None
    runs: tuple[int, ...]

    @property
    def counts(self) -> jax.Array:
        """(K,) class sizes, all n."""
        n = known(self.n)
        return constant(array_module(n).full((self.classes,), n, n.dtype))


@partial(jax.tree_util.register_dataclass, data_fields=("sizes", "smoothing", "shares"), meta_fields=("groups", "runs"))
@dataclass(frozen=True, eq=False)
class GroupedClasses(Classes):
    """Classes in groups of one size. sizes: (G,), one a group. groups: (K,) which group each class is in; the rest as before."""

    sizes: jax.Array
    smoothing: jax.Array | None
    shares: jax.Array | None
    groups: tuple[int, ...]
    runs: tuple[int, ...]

    @property
    def counts(self) -> jax.Array:
        """(K,) class sizes."""
        return constant(known(self.sizes)[np.asarray(self.groups)])


@partial(jax.tree_util.register_dataclass, data_fields=("counts", "smoothing", "shares"), meta_fields=("runs",))
@dataclass(frozen=True, eq=False)
class ClassSizes(Classes):
    """Classes of any sizes. counts: (K,); the rest as before."""

    counts: jax.Array
    smoothing: jax.Array | None
    shares: jax.Array | None
    runs: tuple[int, ...]


_GENERAL = ("table", "multiplicity", "run_intercept", "run_weight", "samples", "run_teacher")


@partial(jax.tree_util.register_dataclass, data_fields=_GENERAL, meta_fields=("runs",))
@dataclass(frozen=True, eq=False)
class GeneralColumns(Design):
    """Any columns, those of one run of equal targets, intercept, weight and teacher.

    table: (K, G) targets. multiplicity: (C,). run_intercept, run_weight: (G,). samples: scalar N. run_teacher: (K, G) or None.
    """

    table: jax.Array
    multiplicity: jax.Array
    run_intercept: jax.Array
    run_weight: jax.Array
    samples: jax.Array
    run_teacher: jax.Array | None
    runs: tuple[int, ...]

    @property
    def classes(self) -> int:
        """K, the number of logits."""
        return self.table.shape[0]

    @property
    def counts(self) -> jax.Array:
        """(G,) samples of each run."""
        return self.sums(self.multiplicity)

    @property
    def intercept(self) -> jax.Array:
        """(C,) factors of the bias."""
        return self.spread(self.run_intercept)

    @property
    def weight(self) -> jax.Array:
        """(C,) weights of the columns."""
        return self.spread(self.run_weight)

    @property
    def teacher(self) -> jax.Array | None:
        """(K, C) logits of the teacher."""
        return None if self.run_teacher is None else self.spread(self.run_teacher)

    @property
    def per_run(self) -> tuple[Any, int]:
        """The targets of each run, with those of the teacher where there is one, mapped over their columns."""
        return (self.table if self.run_teacher is None else (self.table, self.run_teacher)), 1

    def target_of(self, target: Any) -> Any:
        """A target is itself."""
        return target

    def collapsed(self) -> "GeneralColumns":
        """Each run as one column of the summed multiplicity."""
        return dataclasses.replace(self, multiplicity=self.counts, runs=(1,) * len(self.runs))

    def split(self, parts: int) -> "GeneralColumns":
        """Each run as `parts` columns of equal shares."""
        counts = known(self.counts)
        multiplicity = array_module(counts).repeat(counts / parts, parts)
        return dataclasses.replace(self, multiplicity=constant(multiplicity), runs=(parts,) * len(self.runs))


def general(design: Design) -> GeneralColumns:
    """The same columns as general ones: their type says no more than the numbers do."""
    if isinstance(design, GeneralColumns):
        return design
    ones = constant(np.ones(len(design.runs), design.counts.dtype))
    return GeneralColumns(design.table, design.multiplicity, ones, ones, design.samples, None, design.runs)


def flattened(design: Design) -> GeneralColumns:
    """The same columns as general ones of runs of one column: problems of one shape then share a program."""
    return GeneralColumns(
        table=design.spread(design.table), multiplicity=design.multiplicity, run_intercept=design.intercept,
        run_weight=design.weight, samples=design.samples, run_teacher=design.teacher, runs=(1,) * design.size,
    )  # fmt: skip


def class_sizes(design: Classes) -> ClassSizes:
    """The same classes as ones of any sizes."""
    return ClassSizes(design.counts, design.smoothing, design.shares, design.runs)


def is_one_hot(design: Design) -> bool:
    """Whether the type says: one-hot classes of unit weights, of whatever sizes."""
    return isinstance(design, Classes) and design.smoothing is None


def is_balanced(design: Design) -> bool:
    """Whether the type says: equal one-hot classes of unit weights."""
    return isinstance(design, EqualClasses) and design.smoothing is None


def equal_if_known(design: Classes) -> Classes:
    """The same classes as equal ones, where their sizes are known and equal up to rounding."""
    if is_traced(design.counts) or isinstance(design, EqualClasses):
        return design
    counts = np.asarray(design.counts)
    if np.any(np.abs(counts / counts[0] - 1) > 64 * np.finfo(counts.dtype).eps):
        return design
    return EqualClasses(constant(counts[0]), design.smoothing, design.shares, design.runs)


def grouped(design: Classes) -> GroupedClasses | None:
    """The same classes in groups of one size, the largest first: those of the type, else those that known sizes show."""
    if isinstance(design, GroupedClasses):
        return design
    if is_traced(design.counts):
        return None
    sizes, groups = np.unique(-np.asarray(design.counts), return_inverse=True)
    return GroupedClasses(constant(-sizes), design.smoothing, design.shares, tuple(int(g) for g in groups), design.runs)


def each_column(design: Design, function: Callable, *arrays: jax.Array) -> jax.Array:
    """function(x_c, ..., y_c) of every column c of (rows, C) arrays and its target y_c (a pair, where there is a teacher).

    Returns:
      What the function returns, columns along the last axis. No (K, C) array of targets is made for classes.
    """
    per_run, axis = design.per_run

    def at(*values: Any) -> jax.Array:
        return function(*values[:-1], design.target_of(values[-1]))

    columns = (1,) * len(arrays)
    lengths = set(design.runs)
    if lengths == {1}:
        return jax.vmap(at, in_axes=(*columns, axis), out_axes=-1)(*arrays, per_run)
    if len(lengths) == 1:
        (length,) = lengths
        split = [x.reshape(x.shape[0], len(design.runs), length) for x in arrays]
        inner = jax.vmap(at, in_axes=(*columns, None), out_axes=-1)
        out = jax.vmap(inner, in_axes=(*columns, axis), out_axes=-2)(*split, per_run)
        return jax.tree.map(lambda x: x.reshape(*x.shape[:-2], design.size), out)
    every = jax.tree.map(lambda x: jnp.take(x, design.labels, axis=axis), per_run)
    return jax.vmap(at, in_axes=(*columns, axis), out_axes=-1)(*arrays, every)


def constant(x: Any, dtype: Any = None) -> jax.Array:
    """An array of JAX: of numbers that are known, one that stays known under jit."""
    if is_traced(x):
        return jnp.asarray(x, dtype)
    with jax.ensure_compile_time_eval():
        return jnp.asarray(x, dtype)


def _length(x: Any, size: int) -> dict[str, int]:
    return {"total_repeat_length": size} if is_traced(x) else {}
