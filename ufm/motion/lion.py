"""Lion-K: momentum, a monotone map and decoupled decay; Lion, exact Muon and normalised momentum are its members.

    x+ = x - eta ( grad K(b1 m + (1 - b1) g) + decay x ),    m+ = b2 m + (1 - b2) g

    "sign"   K = |.|_1, grad K = sign                Lion, as `optax.lion`
    "msign"  K = nuclear norm, grad K = U V^T        Muon with an exact polar factor, not a polynomial near it
    "unit"   K = |.|_2, grad K(x) = x/|x|            normalised momentum

The decay is a constraint: a fixed point minimises f over the unit ball of the dual norm, scaled by 1/decay: the box
|x|_inf <= 1/decay for Lion, sigma_max <= 1/decay for Muon (Chen, Liu, Liang, Liu 2024, arXiv 2310.05898).
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from ufm.base.checks import check_choice, check_non_negative, is_traced, refuse


def lion_k(
    learning_rate: Any, kind: str | Callable[[jax.Array], jax.Array] = "sign", *, b1: Any = 0.9, b2: Any = 0.99, decay: Any = 0.0
) -> optax.GradientTransformation:
    """Lion-K as an optax transformation, for `ufm.descend` and any other loop.

    Args:
      learning_rate: eta, a number or an optax schedule.
      kind: "sign", "msign", "unit", or grad K of a convex K as a function of one array. K is a sum over the arrays of the
        parameters; under "msign" an array that is no matrix is normalised.
      b1, b2: in [0, 1]: weights of the momentum in a step and in its own update; 0, 0 is Frank-Wolfe with step eta decay.
      decay: at least 0.

    Returns:
      GradientTransformation; its update needs the parameters.

    Raises:
      ValueError: naming the argument, the value and what is allowed.

    Example:
      >>> optimizer = lion_k(0.1, "unit", b1=0.0)
      >>> state = optimizer.init(jnp.zeros(2))
      >>> print(optimizer.update(jnp.array([3.0, 4.0]), state, jnp.zeros(2))[0].round(2))
      [-0.06 -0.08]
    """
    if not callable(kind):
        check_choice("kind", kind, tuple(MAPS))
    for name, value in (("b1", b1), ("b2", b2)):
        check_non_negative(name, value)
        if not is_traced(value) and value > 1:
            refuse(name, value, "at most 1")
    check_non_negative("decay", decay)
    gradient_of_K = kind if callable(kind) else MAPS[kind]

    def init(params: Any) -> Any:
        return jax.tree.map(jnp.zeros_like, params)

    def update(gradient: Any, momentum: Any, params: Any = None) -> tuple[Any, Any]:
        del params
        moves = jax.tree.map(lambda g, m: gradient_of_K(b1 * m + (1 - b1) * g), gradient, momentum)
        return moves, jax.tree.map(lambda g, m: b2 * m + (1 - b2) * g, gradient, momentum)

    return optax.chain(
        optax.GradientTransformation(init, update),
        optax.add_decayed_weights(decay),
        optax.scale_by_learning_rate(learning_rate),
    )


def unit(x: jax.Array) -> jax.Array:
    """x/|x|, and 0 at 0."""
    size = jnp.linalg.norm(x)
    return x / jnp.where(size > 0, size, 1)


def msign(X: jax.Array) -> jax.Array:
    """The matrix sign U V^T of X = U S V^T over the singular values above rounding: sign for matrices, with msign(0) = 0.

    Args:
      X: (p, q); an array that is no matrix is normalised.

    Returns:
      An array of the shape of X, of singular values 1 and 0.
    """
    if X.ndim != 2:
        return unit(X)
    U, S, V = jnp.linalg.svd(X, full_matrices=False)
    kept = S > max(X.shape) * jnp.finfo(X.dtype).eps * S[0]
    return (U * kept[None, :]) @ V


MAPS = {"sign": jnp.sign, "msign": msign, "unit": unit}
