"""Designs of classes: one-hot or smoothed targets of unit weight, in equal sizes, in groups of one size, or in any sizes."""

import dataclasses
from dataclasses import dataclass
from functools import partial
from typing import Any, Self, TypeGuard

import jax
import jax.numpy as jnp
import numpy as np

from ufm.base.checks import array_module, is_traced, known, refuse
from ufm.problem.design import Design, constant


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

    def target_of(self, run: jax.Array) -> jax.Array:
        """(K,) target of a class, without a table of all of them."""
        own = (jnp.arange(self.classes) == run).astype(self.counts.dtype)
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

    def collapsed(self) -> Self:
        """The same classes in one column each."""
        return dataclasses.replace(self, runs=(1,) * len(self.runs), shares=None)

    def split(self, parts: int) -> Self:
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


def classes_of(design: Design) -> Classes:
    """The design of a problem of classes, as such.

    Raises:
      ValueError: for general columns.
    """
    if not isinstance(design, Classes):
        refuse("design", type(design).__name__, "one of classes")
    return design


def class_sizes(design: Classes) -> ClassSizes:
    """The same classes as ones of any sizes."""
    return ClassSizes(design.counts, design.smoothing, design.shares, design.runs)


def is_one_hot(design: Design) -> TypeGuard[Classes]:
    """Whether the type says: one-hot classes of unit weights, of whatever sizes."""
    return isinstance(design, Classes) and design.smoothing is None


def is_balanced(design: Design) -> TypeGuard[EqualClasses]:
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
