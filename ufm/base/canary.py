"""A canary for compilers that return wrong numbers: jit against NumPy on a pattern that one release got wrong.

jaxlib 0.10.2 on x86 CPUs compiles a vmapped matrix-vector product followed by a reduction over a long axis to wrong
numbers without a warning (jax-ml/jax issue 39103: float64 from 16 385 rows, float32 from 32 769, relative error 2e-3).
"""

import jax
import jax.numpy as jnp
import numpy as np

ADVICE = (
    "this jaxlib computes wrong numbers (canary of jax-ml/jax issue 39103): install another one, "
    "for example pip install 'jax>=0.10.1,!=0.10.2,!=0.11.0,!=0.11.1' and the same for jaxlib"
)


def canary_error() -> float:
    """Largest relative error of a compiled vmapped product and sum against NumPy; rounding only on a sound release."""
    dtype = jnp.result_type(float)
    rows = np.arange(40_000, dtype=dtype)[:, None] * np.array([[1.0, 0.5, 0.25]], dtype=dtype)
    matrix = np.array([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 4.0]], dtype=dtype)

    @jax.jit
    def squared_lengths(x: jax.Array) -> jax.Array:
        return jax.vmap(lambda row: jnp.sum((jnp.asarray(matrix) @ row) ** 2))(x)

    exact = np.sum((rows @ matrix.T) ** 2, axis=1)
    return float(np.max(np.abs(np.asarray(squared_lengths(jnp.asarray(rows))) - exact) / np.maximum(exact, 1)))


def canary_sings() -> bool:
    """Whether compiled numbers can be trusted: the canary's error is rounding."""
    return canary_error() < 100 * float(jnp.finfo(jnp.result_type(float)).eps)
