"""Realignment of global and local heads in federated learning over a fixed sparse frame (GLA-FR of FedLoGe: Xiao et al. 2024).

Heads are classifiers W of shape (K, d), rows w_c. A client keeps the directions of the global head and the lengths of its own,

    w_c <- w_c(global) |w_c(local)|,    the global head    w_c <- length w_c/|w_c|,

and predicts by the sum of the logits of both; classes that it has never seen cannot win.
"""

from typing import Any

import jax
import jax.numpy as jnp

from ufm.base.checks import check_positive, check_shape


def realign_local(global_head: jax.Array, local_head: jax.Array) -> jax.Array:
    """Rows of the global head, each times the length of the client's row: w_c(global) |w_c(local)|.

    Args:
      global_head: shape (K, d), rows of one length in the method (a sparse simplex frame).
      local_head: shape (K, d) of the client.

    Returns:
      The client's head, shape (K, d).

    Raises:
      ValueError: if the shapes differ.

    Source: Xiao et al. (2024), FedLoGe, ICLR.
    """
    check_shape("local_head", local_head, jnp.shape(global_head))
    return global_head * _lengths(local_head)


def realign_global(global_head: jax.Array, length: Any = 1.7) -> jax.Array:
    """Rows of the global head at one length: length w_c/|w_c|; a zero row stays zero.

    Args:
      global_head: shape (K, d).
      length: above 0; 1.7 in the published code.

    Returns:
      Shape (K, d).

    Raises:
      ValueError: if length is not above 0.

    Source: Xiao et al. (2024), FedLoGe, ICLR.
    """
    check_positive("length", length)
    lengths = _lengths(global_head)
    return global_head * (length / jnp.where(lengths > 0, lengths, 1))


def client_logits(
    features: jax.Array, global_head: jax.Array, local_head: jax.Array, present: jax.Array
) -> jax.Array:
    """Sum of the logits of both heads, with classes absent from the client at the bottom of the dtype's range.

    The published mask of -1e10 is infinite in half precision and not low enough for large logits; this one is a quarter of the
    least number, so that sums, softmax and cross-entropy of present classes stay finite.

    Args:
      features: shape (d, N).
      global_head: shape (K, d), realigned by `realign_global`.
      local_head: shape (K, d), realigned by `realign_local`.
      present: shape (K,), whether the client has samples of the class.

    Returns:
      Logits of shape (K, N).

    Raises:
      ValueError: if shapes do not fit.

    Source: Xiao et al. (2024), FedLoGe, ICLR.
    """
    check_shape("local_head", local_head, jnp.shape(global_head))
    check_shape("present", present, jnp.shape(global_head)[:1])
    total = (global_head + local_head) @ features
    return jnp.where(jnp.asarray(present, bool)[:, None], total, jnp.finfo(total.dtype).min / 4)


def _lengths(head: jax.Array) -> jax.Array:
    return jnp.linalg.norm(head, axis=1, keepdims=True)
