"""Loss: a function of one column of logits and one column of targets, with the flags that say which tools apply.

A loss that is `convex` in z can be certified; one whose convex conjugate is known gets the tight certificate.
Any user function of (logits, target) becomes a loss by `Loss(name, function, convex=...)`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp


@dataclass(frozen=True)
class Loss:
    """A function of one column of logits and one column of targets, and what is known about it.

    Args:
      name: how tables and messages call it.
      value: (z, y) -> scalar, both of shape (K,).
      conjugate: (theta, y) -> sup_z <theta, z> - value(z, y), +inf outside its domain; None where unknown.
      convex: whether `value` is convex in z (unknown functions are taken as not convex).
      shift_invariant: whether value(z + s 1, y) = value(z, y) for every s.
      contrastive: whether, for one-hot y, value(z, y) >= phi(z_y - mean(z)) for some phi, with equality where the other
        logits are equal: its symmetric collapse is then a global minimiser, convex or not (Zhou et al. 2022).
      targets: which targets make sense: "any", "unit" (entries in [0, 1]), "distribution" (non-negative, sum one)
        or "one-hot".
      teacher: whether y is a pair (target, teacher logits), both of shape (K,): the problem then needs a `teacher`.
      least: a number that no value is below; certificates use it where the conjugate is unknown.
      kind, parameters: of a loss with parameters, the function that made it and what that was given.
    """

    name: str
    value: Callable[[jax.Array, Any], jax.Array]
    conjugate: Callable[[jax.Array, Any], jax.Array] | None = None
    convex: bool = False
    shift_invariant: bool = False
    contrastive: bool = False
    targets: str = "any"
    teacher: bool = False
    least: float = 0.0
    kind: str = ""
    parameters: tuple[float, ...] = ()

    def infimum(self, target: Any) -> jax.Array:
        """inf_z value(z, y) = -conjugate(0, y); `least` where the conjugate is unknown."""
        if self.conjugate is None:
            return jnp.full((), self.least, jnp.result_type(*jax.tree.leaves(target)))
        return -self.conjugate(jnp.zeros_like(jax.tree.leaves(target)[0]), target)
