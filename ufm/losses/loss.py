"""Loss: a function of one column of logits and one column of targets, with what it declares about itself.

Code that asks which loss it has looks at the function `value`, never at `name`. Functions are module-level ones or frozen
dataclasses with `__call__`, so that losses pickle and compare, and equal losses share one compiled program.
"""

import dataclasses
import numbers
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

from ufm.base.checks import check_choice, refuse
from ufm.losses.trial import check_declarations

V = TypeVar("V")  # the class of a loss's function
_FACTS = ("convex", "shift_invariant", "contrastive", "symmetric", "teacher")
TARGETS = ("any", "unit", "distribution", "one-hot")  # each asks for more than the one before


@dataclass(frozen=True, repr=False)
class Loss:
    """A function of one column of logits and one column of targets, and what is known about it.

    Args:
      name: how tables and messages call it; nothing else depends on it.
      value: (z, y) -> scalar, both of shape (K,).
      conjugate: (theta, y) -> sup_z <theta, z> - value(z, y), +inf outside its domain; None where unknown.
      convex: whether `value` is convex in z (unknown functions are taken as not convex).
      shift_invariant: whether value(z + s 1, y) = value(z, y) for every s.
      contrastive: whether, for one-hot y, no z has a lower value than t (y - 1/K) K/(K-1), t = max(0, z_y - mean(z)): its symmetric
        collapse is then a global minimiser, convex or not (Zhou et al. 2022).
      symmetric: whether value(P z, P y) = value(z, y) for every permutation P of the classes (of both parts of a pair y).
      targets: which targets make sense: "any", "unit" (entries in [0, 1]), "distribution" (non-negative, sum one)
        or "one-hot".
      teacher: whether y is a pair (target, teacher logits), both of shape (K,): the problem then needs a `teacher`.
      least: a number that no value is below (for targets that are distributions, where others make sense too); certificates use
        it where the conjugate is unknown.

    What is declared is tried at random points where the loss is made (`ufm.losses.trial`), and then believed.

    Raises:
      ValueError: for a field of another type; for a function that gives no scalar of the dtype of the logits; for a declaration
        that fails, with the point (z, y) where it does.
    """

    name: str
    value: Callable[[jax.Array, Any], jax.Array]
    conjugate: Callable[[jax.Array, Any], jax.Array] | None = None
    convex: bool = False
    shift_invariant: bool = False
    contrastive: bool = False
    symmetric: bool = False
    targets: str = "any"
    teacher: bool = False
    least: float = 0.0

    def __post_init__(self) -> None:
        _check_fields(self)
        check_declarations(self)

    def __call__(self, z: jax.Array, y: Any) -> jax.Array:
        """value(z, y)."""
        return self.value(z, y)

    def __repr__(self) -> str:
        """Name, functions and declarations, the same in every process."""
        declared = [name for name in _FACTS if getattr(self, name)]
        conjugate = [] if self.conjugate is None else [f"conjugate={_function(self.conjugate)}"]
        shown = [repr(self.name), _function(self.value), *conjugate, *declared, f"targets={self.targets!r}"]
        return f"Loss({', '.join(shown + ([f'least={self.least:g}'] if self.least else []))})"

    def infimum(self, target: Any) -> jax.Array:
        """inf_z value(z, y) = -conjugate(0, y); `least` where the conjugate is unknown."""
        if self.conjugate is None:
            return jnp.full((), self.least, jnp.result_type(*jax.tree.leaves(target)))
        return -self.conjugate(jnp.zeros_like(jax.tree.leaves(target)[0]), target)


def _check_fields(loss: Loss) -> None:
    if not isinstance(loss.name, str):
        refuse("name", loss.name, "a string")
    if isinstance(loss.value, Loss):
        refuse("value", loss.value, "a function of (logits, target), such as its own `value`")
    for field in ("value", "conjugate"):
        function = getattr(loss, field)
        if not callable(function) and (field, function) != ("conjugate", None):
            refuse(field, function, "a function of (logits, target)" + (" or None" if field == "conjugate" else ""))
        try:
            hash(function)
        except TypeError:
            refuse(field, function, "hashable, as functions and frozen dataclasses are: losses are part of compiled programs")
    for field in _FACTS:
        check_choice(field, getattr(loss, field), (True, False))
    check_choice("targets", loss.targets, TARGETS)
    if not isinstance(loss.least, numbers.Real) or loss.least != loss.least:
        refuse("least", loss.least, "a number")
    if loss.contrastive and loss.teacher:
        refuse("contrastive", True, "False for a loss with a teacher: it is a statement about one-hot targets alone")


def _function(value: Any) -> str:
    """A function by its module and name, another callable by its own repr."""
    name = getattr(value, "__qualname__", None)
    return repr(value) if name is None else f"{value.__module__}.{name}"


def proved(name: str, value: Callable, conjugate: Callable | None = None, **facts: Any) -> Loss:
    """A Loss of this room: its declarations are proved, and tried by the tests, not at every import."""
    given = {"name": name, "value": value, "conjugate": conjugate, **facts}
    loss = object.__new__(Loss)
    for field in dataclasses.fields(Loss):
        object.__setattr__(loss, field.name, given.pop(field.name, field.default))
    assert not given, given
    return loss


def is_loss(loss: Loss, *kinds: Loss | type) -> bool:
    """Whether a loss is one of these: a Loss by its function, a class by the class of its function, whatever they are called.

    Targets count too: a function that is cross-entropy for distributions is something else for other targets, so that a Loss
    that takes more targets than the kind does is not of that kind.
    """
    return any(_is(loss, kind) for kind in kinds)


def value_of(loss: Loss, kind: type[V]) -> V:
    """The function of a loss as what it is, with its parameters.

    Raises:
      ValueError: where its class is another one.
    """
    if not isinstance(loss.value, kind):
        refuse("loss", loss, f"one whose value is a {kind.__name__}")
    return loss.value


def check_loss(loss: Loss, kind: Loss, why: str = "") -> None:
    """Refuse a loss that is not this one.

    Raises:
      ValueError: naming both, and the function of the loss that was given: another one may go by the same name.
    """
    if not is_loss(loss, kind):
        raise ValueError(f"loss must be ufm's {kind.name!r}{why}, got {loss!r}")


def _is(loss: Loss, kind: Any) -> bool:
    same = type(loss.value) is kind if isinstance(kind, type) else loss.value == kind.value
    return bool(same) and loss.teacher == kind.teacher and TARGETS.index(loss.targets) >= TARGETS.index(kind.targets)
