"""perpGrad: descent without the gradient's component along the parameters, in both readings of its source (Prieto et al. 2025).

    g_perp = g - (<theta, g> / <theta, theta>) theta

On a model that is positively homogeneous, moving along theta only rescales the logits: "naive loss minimisation", which falls
without end and pushes softmax cross-entropy to where its gradient rounds to zero. Without it |theta| is conserved to first
order; a finite step still grows it, |theta - eta g_perp|^2 = |theta|^2 + eta^2 |g_perp|^2.

    perp_grad()                               the definition: all parameters as one vector, and no more than the projection
    perp_grad(per_array=True, rescale=True)   the optimiser published with it: array by array, g_perp stretched to |g|

Under momentum or Adam after it the steps are combinations of older g_perp and no longer orthogonal to theta.
"""

from functools import reduce
from operator import add
from typing import Any

import jax
import jax.numpy as jnp
import optax

from ufm.base.checks import check_choice

_ROUNDING = 8


def perp_grad(*, per_array: bool = False, rescale: bool = False) -> optax.GradientTransformation:
    """The projection as an optax transformation; chain it before an optimiser.

    Args:
      per_array: orthogonal to every array of the parameters by itself, in place of to all of them as one vector.
      rescale: stretch g_perp to the length of g (of the array, or of all). What rounding leaves of a gradient along theta
        is set to zero, not stretched: an array of one entry never moves.

    Returns:
      GradientTransformation without state; its update needs the parameters. Where theta is zero g_perp = g.

    Raises:
      ValueError: if an option is neither True nor False; in update, if the parameters are missing.

    Source: Prieto, Barsbey, Mediano, Birdal (2025), Grokking at the edge of numerical stability.

    Example:
      >>> optimizer = optax.chain(perp_grad(), optax.sgd(1.0))
      >>> theta = jnp.array([1.0, 1.0])
      >>> print(optimizer.update(jnp.array([2.0, 0.0]), optimizer.init(theta), theta)[0].round(6))
      [-1.  1.]
    """
    check_choice("per_array", per_array, (True, False))
    check_choice("rescale", rescale, (True, False))

    def init(params: Any) -> optax.EmptyState:
        del params
        return optax.EmptyState()

    def update(gradient: Any, state: optax.EmptyState, params: Any = None) -> tuple[Any, optax.EmptyState]:
        if params is None:
            raise ValueError("params must be the parameters, which the projection of perp_grad needs, got None")
        if not per_array:
            return _orthogonal(gradient, params, rescale), state
        return jax.tree.map(lambda g, theta: _orthogonal(g, theta, rescale), gradient, params), state

    return optax.GradientTransformation(init, update)


def _orthogonal(gradient: Any, params: Any, rescale: bool) -> Any:
    """g_perp of pytrees seen as one vector each."""
    u, _ = _unit(params)
    g, length = _unit(gradient)
    for _ in range(2):  # once more, since what rounding leaves along theta is not small beside a small remainder
        along = _inner(u, g)
        g = jax.tree.map(lambda g, u, along=along: g - along.astype(g.dtype) * u, g, u)
    norm = jnp.sqrt(_inner(g, g))
    noise = norm <= _ROUNDING * jnp.finfo(norm.dtype).eps
    stretch = jnp.where(noise, 0, length / jnp.where(noise | (not rescale), 1, norm))
    return jax.tree.map(lambda x: stretch.astype(x.dtype) * x, g)


def _unit(tree: Any) -> tuple[Any, jax.Array]:
    """The tree over its norm, and the norm; a zero tree stays zero. Squares neither underflow nor overflow."""
    size = jnp.max(jnp.stack([jnp.max(jnp.abs(x), initial=0) for x in jax.tree.leaves(tree)]))
    divisor = jnp.where(size > 0, size, 1)
    scaled = jax.tree.map(lambda x: x / divisor.astype(x.dtype), tree)
    norm = jnp.sqrt(_inner(scaled, scaled))
    root = jnp.where(norm > 0, norm, 1)
    return jax.tree.map(lambda x: x / root.astype(x.dtype), scaled), size * norm


def _inner(a: Any, b: Any) -> jax.Array:
    return reduce(add, (jnp.sum(x * y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)))
