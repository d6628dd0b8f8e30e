"""Which atoms the losses of this package are sums of: loss(z, y) = sum over parts of weight g((z - shift)/T) + constant.

The conjugate of a sum is at most the sum of the conjugates of its parts at any points that add up, with equality at the gradients
of one z. So the dual point of a loss of several parts is one matrix a part, each inside the domain of its own atom.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ufm.base.checks import refuse
from ufm.duality.atoms import Bernoulli, Entropy, Hinge, Quadratic, true_class
from ufm.duality.odds import Odds
from ufm.duality.teachers import TeacherBernoulli, TeacherEntropy
from ufm.losses import Loss, cross_entropy, one_vs_all_logistic, squared_error, squared_hinge
from ufm.losses.distillation import Binary, DualHead, Mixture, SingleHead
from ufm.losses.margin import LdrKl
from ufm.losses.probability import CompSum, Poly1


class Part(NamedTuple):
    """weight * atom((z - shift)/temperature) of the logits, or of the `half` of them that starts at row half * K/2.

    about: (targets, teacher) -> what the atom compares with. shift: the same, or None where there is none.
    log_classes: its product with log K is added to every column's loss.
    """

    atom: Any
    weight: float | jax.Array = 1.0
    temperature: float | jax.Array = 1.0
    about: Callable[[jax.Array, Any], jax.Array] = lambda y, t: y
    shift: Callable[[jax.Array, Any], jax.Array] | None = None
    log_classes: float = 0.0
    half: int | None = None

    def rows(self, classes: int) -> slice:
        """The rows of the logits that the part sees."""
        if self.half is None:
            return slice(0, classes)
        return slice(self.half * classes // 2, (self.half + 1) * classes // 2)

    def scaled(self, z: jax.Array, y: jax.Array, t: Any) -> jax.Array:
        """(z - shift)/temperature of the rows that the part sees."""
        z = z[self.rows(z.shape[0])]
        return (z if self.shift is None else z - self.shift(y, t)) / self.temperature


def own_parts(loss: Loss) -> tuple[Part, ...]:
    """The parts of a loss of this package.

    Raises:
      ValueError: for any other loss.
    """
    parts = parts_of(loss)
    if parts is None:
        refuse("loss", loss.name, "one of ufm's own convex losses to have a dual bound")
    return parts


def parts_of(loss: Loss) -> tuple[Part, ...] | None:
    """The parts of a loss of this package, matched by its function; None for any other."""
    value = loss.value
    for function, atom in _BASIC:
        if value is function:
            return (Part(atom),)
    if isinstance(value, Mixture):
        hard = (Part(Entropy(), value.gamma),) if value.gamma > 0 else ()
        return hard + ((_towards_teacher(value),) if value.kd > 0 else ())
    if isinstance(value, Binary):
        return (_binary(value, 1.0, lambda y, t: t),)
    if isinstance(value, SingleHead):
        return Part(Entropy(), value.gamma), _binary(value.binary, value.kd, lambda y, t: t)
    if isinstance(value, DualHead):
        first = Part(Entropy(), value.gamma, about=lambda y, t: y[: y.shape[0] // 2], half=0)
        return first, _binary(value.binary, value.kd, lambda y, t: y[y.shape[0] // 2 :])._replace(half=1)
    if isinstance(value, LdrKl):
        T, margin = value.temperature, value.margin
        return (Part(Entropy(), T, T, shift=lambda y, t: jnp.where(true_class(y), 0, -margin), log_classes=-T),)
    if isinstance(value, CompSum) and value.tau <= 1:
        return (Part(Odds(value.tau)),)
    if isinstance(value, Poly1) and value.epsilon <= 1:
        return (Part(Odds(1.0, value.epsilon)),)
    return None


def _towards_teacher(value: Mixture) -> Part:
    T = value.temperature
    return Part(TeacherEntropy(), value.kd * T**2, T, about=lambda y, t: t / T)


def _binary(value: Binary, weight: float, teacher: Callable[[jax.Array, Any], jax.Array]) -> Part:
    T = value.temperature
    if value.norm:
        return Part(TeacherBernoulli(), weight * T**2, T, about=lambda y, t: jnp.zeros_like(teacher(y, t)), shift=teacher)
    return Part(TeacherBernoulli(), weight * T**2, T, about=lambda y, t: teacher(y, t) / T)


_BASIC = (
    (squared_error, Quadratic()), (cross_entropy, Entropy()), (one_vs_all_logistic, Bernoulli()), (squared_hinge, Hinge()),
)  # fmt: skip
