"""Sinkhorn distance between the predictions of a student and a teacher on a batch: every sample against every other."""

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike

from ufm.base.checks import check_count, check_positive, check_shape


def sinkhorn_distance(
    student: jax.Array, teacher: jax.Array, temperature: ArrayLike = 2.0, regularisation: ArrayLike = 0.1, iterations: int = 20
) -> jax.Array:
    """Entropic transport between the predictions of a batch: sum_ij A_ij C_ij, C_ij = |softmax(s_i/T) - softmax(t_j/T)|_1.

    A starts as exp(-C/regularisation) and has its rows, then its columns, normalised `iterations` times (in logarithms).
    It is no `Loss`: the samples of a batch are compared with one another.

    Args:
      student, teacher: (K, B) logits, one column a sample. temperature: T. regularisation, iterations: see above.

    Returns:
      The sum over the batch, a scalar; it is not 0 where student = teacher, and the order of the teacher's columns is free.

    Raises:
      ValueError: naming the argument, the value and what is allowed.

    Source: Cui et al. (2024), arXiv 2402.17110, as in their code.
    """
    check_positive("temperature", temperature)
    check_positive("regularisation", regularisation)
    check_count("iterations", iterations, 1)
    if student.ndim != 2:
        raise ValueError(f"student must have shape (K, B), got {student.shape}")
    check_shape("teacher", teacher, student.shape)
    p, q = (jax.nn.softmax(x / temperature, axis=0) for x in (student, teacher))
    cost = jnp.sum(jnp.abs(p[:, :, None] - q[:, None, :]), axis=0)

    def normalise(log_plan: jax.Array, _: None) -> tuple[jax.Array, None]:
        for axis in (1, 0):
            log_plan = log_plan - jax.nn.logsumexp(log_plan, axis=axis, keepdims=True)
        return log_plan, None

    log_plan, _ = lax.scan(normalise, -cost / regularisation, length=iterations)
    return jnp.sum(jnp.exp(log_plan) * cost)
