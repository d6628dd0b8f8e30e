"""What a problem says of its columns, column by column: everything that its design knows."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ufm.losses import Loss
from ufm.problem.design import Design


class ColumnNumbers:
    """Arrays a column, made from the design when they are asked for."""

    design: Design
    loss: Loss

    def group_sum(self, per_column: Any) -> jax.Array:
        """Sums of an array over each run of equal columns, along its last axis."""
        return self.design.sums(per_column)

    def run_means(self, H: jax.Array) -> jax.Array:
        """(d, runs): the mean features of each run of equal columns, in the coordinates of merged columns."""
        return self.group_sum(H * self.root_shares[None, :])

    @property
    def targets(self) -> jax.Array:
        """(K, C) target of every column; of classes it is made on request."""
        return self.design.spread(self.design.table)

    @property
    def multiplicity(self) -> jax.Array:
        """(C,) samples m_c that each column stands for."""
        return self.design.multiplicity

    @property
    def root_shares(self) -> jax.Array:
        """(C,) square roots of the shares of the columns in their runs: a unit vector on each run."""
        return jnp.sqrt(self.multiplicity / self.counts[self.labels])

    @property
    def intercept(self) -> jax.Array:
        """(C,) factors a_c of the bias."""
        return self.design.intercept

    @property
    def weight(self) -> jax.Array:
        """(C,) weights w_c of the columns."""
        return self.design.weight

    @property
    def samples(self) -> jax.Array:
        """N, a scalar."""
        return self.design.samples

    @property
    def teacher(self) -> jax.Array | None:
        """(K, C) logits of a teacher, or None."""
        return self.design.teacher

    @property
    def groups(self) -> tuple[int, ...]:
        """Lengths of the runs of equal columns: a class, or a kind of soft label, is one run."""
        return self.design.runs

    @property
    def loss_targets(self) -> Any:
        """What the loss compares logits with, column by column: the targets, or the pair (targets, teacher)."""
        return (self.targets, self.teacher) if self.loss.teacher else self.targets

    @property
    def labels(self) -> np.ndarray:
        """(C,) index of the run of equal columns (the class) that each column belongs to."""
        return self.design.labels

    @property
    def counts(self) -> jax.Array:
        """Samples in each run of equal columns: the class sizes n_k."""
        return self.design.counts

    @property
    def classes(self) -> int:
        """K, the number of logits."""
        return self.design.classes

    @property
    def columns(self) -> int:
        """C, the number of columns of H."""
        return self.design.size
