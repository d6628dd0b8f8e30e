"""The design of any columns: targets, multiplicities, intercepts, weights and teacher's logits as they are given."""

import dataclasses
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import jax
import numpy as np

from ufm.base.checks import array_module, known
from ufm.problem.design import Design, constant

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

    def target_of(self, run: Any) -> Any:
        """A target is itself."""
        return run

    def collapsed(self) -> Self:
        """Each run as one column of the summed multiplicity."""
        return dataclasses.replace(self, multiplicity=self.counts, runs=(1,) * len(self.runs))

    def split(self, parts: int) -> Self:
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
