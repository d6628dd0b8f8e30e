"""What a bound needs of a problem: its columns and ridges, one column for each run of equal columns, and never its features.

A dual point that is equal on equal columns bounds the problem of merged columns and that of single ones by the same number.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax

from ufm.duality.rounding import widened
from ufm.equivalent.standard import share_bias
from ufm.losses import Loss
from ufm.problem import Problem

_NUMBERS = (
    "targets", "teacher", "weight", "multiplicity", "samples", "intercept", "scale", "classifier", "l2_W", "l2_H", "l2_b",
)  # fmt: skip


@partial(jax.tree_util.register_dataclass, data_fields=_NUMBERS, meta_fields=("loss", "free", "features", "trainable"))
@dataclass(frozen=True)
class Columns:
    """The numbers of `Problem` that a bound reads; no bias is one of intercept 0. free: whether the bias has no ridge."""

    targets: jax.Array
    teacher: Any
    weight: jax.Array
    multiplicity: jax.Array
    samples: jax.Array
    intercept: jax.Array
    scale: jax.Array
    classifier: Any
    l2_W: jax.Array
    l2_H: jax.Array
    l2_b: jax.Array
    loss: Loss
    free: bool
    features: str
    trainable: int

    @property
    def shares(self) -> jax.Array:
        """(C,) weights w_c m_c / N of the columns in the data term."""
        return self.weight * self.multiplicity / self.samples

    @property
    def priced(self) -> bool:
        """Whether ridges charge for the nuclear norm, so that a dual point has to be within what they pay for."""
        return self.trainable > 0 and self.features != "sphere"

    @property
    def loss_targets(self) -> Any:
        """What the loss compares with."""
        return (self.targets, self.teacher) if self.loss.teacher else self.targets


def columns_of(problem: Problem) -> Columns:
    """The columns of a problem, merged where equal, in the widest floats there are."""
    free = problem.bias == "free"
    merged = widened(problem).collapsed()
    merged = merged if free else share_bias(merged)
    numbers = {name: getattr(merged, name) for name in _NUMBERS}
    return Columns(**numbers, loss=problem.loss, free=free, features=problem.features, trainable=problem.trainable)


def loss_gradients(columns: Columns | Problem, z: jax.Array) -> jax.Array:
    """(K, C) gradients of the loss in the logits of each column."""
    return jax.vmap(jax.grad(columns.loss.value), in_axes=1, out_axes=1)(z, columns.loss_targets)
