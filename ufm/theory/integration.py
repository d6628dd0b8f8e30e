"""Fixed-step integration of an autonomous flow: the 8th-order Runge-Kutta method of Cooper and Verner (1972).

Eleven stages with nodes 0, 1/2, (7 -+ sqrt 21)/14, 1. The stages run in a loop over the rows of the tableau, so that the
velocity is compiled once; steps are as fine as the caller asks, and the error is his to check.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

_S = np.sqrt(21)
_ROWS = (
    (),
    (1 / 2,),
    (1 / 4, 1 / 4),
    (1 / 7, (-7 - 3 * _S) / 98, (21 + 5 * _S) / 49),
    ((11 + _S) / 84, 0, (18 + 4 * _S) / 63, (21 - _S) / 252),
    ((5 + _S) / 48, 0, (9 + _S) / 36, (-231 + 14 * _S) / 360, (63 - 7 * _S) / 80),
    ((10 - _S) / 42, 0, (-432 + 92 * _S) / 315, (633 - 145 * _S) / 90, (-504 + 115 * _S) / 70, (63 - 13 * _S) / 35),
    (1 / 14, 0, 0, 0, (14 - 3 * _S) / 126, (13 - 3 * _S) / 63, 1 / 9),
    (1 / 32, 0, 0, 0, (91 - 21 * _S) / 576, 11 / 72, (-385 - 75 * _S) / 1152, (63 + 13 * _S) / 128),
    (1 / 14, 0, 0, 0, 1 / 9, (-733 - 147 * _S) / 2205, (515 + 111 * _S) / 504, (-51 - 11 * _S) / 56, (132 + 28 * _S) / 245),
    (0, 0, 0, 0, (-42 + 7 * _S) / 18, (-18 + 28 * _S) / 45, (-273 - 53 * _S) / 72, (301 + 53 * _S) / 72,
     (28 - 28 * _S) / 45, (49 - 7 * _S) / 18),
)  # fmt: skip
STAGES = len(_ROWS)
TABLEAU = np.array([row + (0,) * (STAGES - len(row)) for row in _ROWS])
WEIGHTS = np.array((1 / 20, 0, 0, 0, 0, 0, 0, 49 / 180, 16 / 45, 49 / 180, 1 / 20))


def trajectory(velocity: Callable, start: jax.Array, ts: jax.Array, substeps: int) -> jax.Array:
    """The solution of y' = velocity(y) from `start` at ts[0], with so many equal steps between two times.

    Args:
      velocity: array -> array of the same shape.
      start: the array at ts[0].
      ts: (T,) increasing times.
      substeps: steps between two times.

    Returns:
      (T, ...) the array at all times.
    """
    tableau, weights = jnp.asarray(TABLEAU, start.dtype), jnp.asarray(WEIGHTS, start.dtype)

    def step(_: int, carry: tuple) -> tuple:
        y, h = carry

        def stage(i: int, slopes: jax.Array) -> jax.Array:
            return slopes.at[i].set(velocity(y + h * jnp.tensordot(tableau[i], slopes, 1)))

        slopes = lax.fori_loop(0, STAGES, stage, jnp.zeros((STAGES, *y.shape), y.dtype))
        return y + h * jnp.tensordot(weights, slopes, 1), h

    def stretch(y: jax.Array, span: jax.Array) -> tuple[jax.Array, jax.Array]:
        y, _ = lax.fori_loop(0, substeps, step, (y, span / substeps))
        return y, y

    return jnp.concatenate([start[None], lax.scan(stretch, start, jnp.diff(ts))[1]])
