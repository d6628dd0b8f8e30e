"""The inverse Hessian of L-BFGS in compact form (Byrd, Nocedal and Schnabel 1994): two products with the history a step.

With rows s_i of S the last steps, rows y_i of Y the changes of gradient, R_ij = s_i . y_j for j not older than i and else 0, and
D its diagonal,

    H g = gamma g + S^T R^-T ((D + gamma Y Y^T) u - gamma Y g) - gamma Y^T u,    u = R^-1 S g.

R^-1 is what is kept: a pair that is dropped takes its row and column along wherever they are, and a new pair adds one column.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

PAIRS = 8  # of a step and its change of gradient that are remembered

dot = partial(jnp.dot, precision=lax.Precision.HIGHEST)


class Memory(NamedTuple):
    """The last pairs of a step s and its change of gradient y, and the products that the inverse Hessian is made of.

    pairs: (2m, n), rows s_1 .. s_m, y_1 .. y_m; a pair stays in its place until a newer one takes it. products: (2m,) pairs @
    gradient. inverse: (m, m) R^-1, zero in the rows and columns of empty places. curvatures: (m,) s . y of the pairs.
    gram: (m, m) Y Y^T. scale: gamma, of the inverse Hessian that the pairs amend.
    """

    pairs: jax.Array
    products: jax.Array
    inverse: jax.Array
    curvatures: jax.Array
    gram: jax.Array
    scale: jax.Array


def empty_memory(point: jax.Array) -> Memory:
    """No pairs yet, for points like this one."""
    m, n = PAIRS, point.shape[0]
    pairs, products, inverse, curvatures = (jnp.zeros(shape, point.dtype) for shape in ((2 * m, n), (2 * m,), (m, m), (m,)))
    return Memory(pairs, products, inverse, curvatures, inverse, jnp.ones((), point.dtype))


def remember(memory: Memory, place: jax.Array, gradient: jax.Array, change: jax.Array, curvature: jax.Array) -> Memory:
    """The memory at a new gradient, with the newest pair in its place.

    Args:
      memory: with the pair among its rows already, and products of before. place: of the pair.
      gradient: (n,) at the new point. change: (n,) from the one before. curvature: s . y of the pair.
    """
    here = jnp.arange(PAIRS) == place
    products, square = dot(memory.pairs, gradient), dot(change, change)
    with_s, with_y = jnp.split(products - memory.products, 2)
    column = jnp.where(here, 1, -dot(memory.inverse, jnp.where(here, 0, with_s))) / curvature
    with_y = jnp.where(here, square, with_y)
    return Memory(
        memory.pairs,
        products,
        jnp.where(here[None, :], column[:, None], jnp.where(here[:, None], 0, memory.inverse)),
        jnp.where(here, curvature, memory.curvatures),
        jnp.where(here[None, :], with_y[:, None], jnp.where(here[:, None], with_y[None, :], memory.gram)),
        curvature / square,
    )


def apply_inverse_hessian(memory: Memory, gradient: jax.Array) -> jax.Array:
    """H g, by the formula at the top of this file, for the gradient whose products the memory holds."""
    with_s, with_y = jnp.split(memory.products, 2)
    u = dot(memory.inverse, with_s)
    v = dot(memory.curvatures * u + memory.scale * (dot(memory.gram, u) - with_y), memory.inverse)
    return memory.scale * gradient + dot(jnp.concatenate([v, -memory.scale * u]), memory.pairs)
