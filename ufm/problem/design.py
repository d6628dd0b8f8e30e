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
from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np

from ufm.base.checks import array_module, is_traced, known

ALIKE_IN_RUNS = ("targets", "intercept", "weight", "teacher")  # what the columns of one run share


class Design:
    """What the four types share: everything about columns that follows from runs, sizes and targets.

    A subclass is a frozen dataclass with `runs`, the lengths of the runs of columns of one target, and has what is listed below.
    """

    runs: tuple[int, ...]
    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]

    if TYPE_CHECKING:  # what one type stores another computes, and a property here would stand in the way of a field there

        @property
        @abstractmethod
        def classes(self) -> int:
            """K, the number of logits."""

        @property
        @abstractmethod
        def counts(self) -> jax.Array:
            """(G,) samples of each run."""

        @property
        @abstractmethod
        def table(self) -> jax.Array:
            """(K, G) targets of each run."""

        @property
        @abstractmethod
        def multiplicity(self) -> jax.Array:
            """(C,) samples that each column stands for."""

        @property
        @abstractmethod
        def intercept(self) -> jax.Array:
            """(C,) factors of the bias."""

        @property
        @abstractmethod
        def weight(self) -> jax.Array:
            """(C,) weights of the columns."""

        @property
        @abstractmethod
        def samples(self) -> jax.Array:
            """N, a scalar."""

        @property
        @abstractmethod
        def teacher(self) -> jax.Array | None:
            """(K, C) logits of a teacher, or None."""

        @property
        @abstractmethod
        def per_run(self) -> tuple[Any, int]:
            """What `target_of` makes the targets of each run from, and the axis that runs along."""

        @abstractmethod
        def target_of(self, run: Any) -> Any:
            """The target of a run, a pair with that of the teacher where there is one."""

        @abstractmethod
        def collapsed(self) -> Self:
            """Each run as one column of the summed multiplicity."""

        @abstractmethod
        def split(self, parts: int) -> Self:
            """Each run as `parts` columns of equal shares."""

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
            return constant(np.add.reduceat(np.asarray(per_column), run_starts(self.runs), axis=-1))
        if set(self.runs) == {1}:
            return per_column
        rows = jnp.moveaxis(per_column, -1, 0)
        sums = jax.ops.segment_sum(rows, self.labels, num_segments=len(self.runs), indices_are_sorted=True)
        return jnp.moveaxis(sums, 0, -1)


def run_starts(runs: tuple[int, ...]) -> np.ndarray:
    """(G,) first column of each run."""
    return np.cumsum((0, *runs[:-1]))


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
