"""The span of the class means and what lies across it: pseudo-inverse and Schur complement with cut-offs from the whole.

Rank is decided against what rounding can have made of the whole matrix, never against the largest singular value of the block that
is left of it: of a block that should be zero that is noise itself. Slopes are written out, since those of singular vectors do not
exist where singular values coincide, as they do at every simplex.
"""

import jax
import jax.numpy as jnp
import numpy as np

from ufm.metrics.samples import HIGHEST


@jax.custom_jvp
def pseudo_inverse(matrix: jax.Array, floor: jax.Array) -> jax.Array:
    """A^+ of the singular values above a floor.

    Args:
      matrix: A, shape (a, b). floor: scalar, in units of A, without slope.

    Returns:
      Shape (b, a).
    """
    left, sizes, right = jnp.linalg.svd(matrix, full_matrices=False)
    seen = sizes > floor
    return _product(right.T * jnp.where(seen, 1 / jnp.where(seen, sizes, 1), 0)[None, :], left.T)


@pseudo_inverse.defjvp
def _pseudo_inverse_jvp(primals: tuple, tangents: tuple) -> tuple[jax.Array, jax.Array]:
    """dA^+ = -A^+ dA A^+ + A^+ A^+T dA^T (I - A A^+) + (I - A^+ A) dA^T A^+T A^+ (Golub and Pereyra 1973)."""
    (matrix, floor), (change, _) = primals, tangents
    inverse = pseudo_inverse(matrix, floor)
    outside = _product(change.T, jnp.eye(matrix.shape[0], dtype=matrix.dtype) - _product(matrix, inverse))
    unseen = _product(jnp.eye(matrix.shape[1], dtype=matrix.dtype) - _product(inverse, matrix), change.T)
    slope = -_product(inverse, change, inverse) + _product(inverse, inverse.T, outside) + _product(unseen, inverse.T, inverse)
    return inverse, slope


@jax.custom_jvp
def unexplained(means: jax.Array, root: jax.Array, floor: jax.Array) -> jax.Array:
    """p - tr((B B^T + R^T R)^+ B B^T), p the smaller side of B, without the cancellation of that form.

    On the span of B let W_s be the Schur complement of R^T R (what is left of it along the span after regression on what is
    across), and mu the eigenvalues of (B B^T)^-1 W_s there. The answer is the sum of mu/(1 + mu), and 1 for each direction that B
    lacks. With T = B B^T + R^T R its slope is -2 <T^+ R^T R T^+ B, dB> + 2 <R T^+ B B^T T^+, dR>.

    Args:
      means: B, shape (d, c), c up to d or beyond.
      root: R, shape (r, d).
      floor: singular values of B up to it are rounding, scalar without slope.

    Returns:
      Scalar from 0 to p.
    """
    directions = min(means.shape)
    root = _compressed(root)
    frame, lengths, seen, sizes, left, _ = _split(means, root, floor)
    along = jnp.where(seen[None, :], _product(root, frame[:, :directions]), 0)
    left = jnp.where(sizes[None, :] > 0, left, 0)
    rest = along - _product(left, _product(left.T, along))
    mu = jnp.linalg.svd(rest / jnp.where(seen, lengths, 1)[None, :], compute_uv=False) ** 2
    return jnp.sum(mu / (1 + mu)) + jnp.sum(~seen)


@unexplained.defjvp
def _unexplained_jvp(primals: tuple, tangents: tuple) -> tuple[jax.Array, jax.Array]:
    (means, root, floor), (d_means, d_root, _) = primals, tangents
    frame, _, seen, sizes, _, right = _split(means, _compressed(root), floor)
    # An orthonormal basis of what is kept, zero where it is not, in which T has full rank.
    inside = jnp.where(seen[None, :], frame[:, : seen.size], 0)
    across = jnp.where(sizes[None, :] > 0, _product(frame, right.T), 0)
    basis = jnp.concatenate([inside, across], axis=1)
    own_means, own_root = _product(basis.T, means), _product(root, basis)
    left, lengths, right = jnp.linalg.svd(jnp.concatenate([own_means, own_root.T], axis=1), full_matrices=False)
    kept = lengths > float(jnp.finfo(means.dtype).tiny) * max(means.shape)
    inverse = _product(basis, left) * jnp.where(kept, 1 / jnp.where(kept, lengths, 1), 0)[None, :]  # T^+ [B, R^T] = inverse right
    of_means, of_root = (jnp.where(kept[:, None], x, 0) for x in (right[:, : means.shape[1]], right[:, means.shape[1] :]))
    slope_means = _product(inverse, _product(of_root, of_root.T), of_means)
    slope_root = _product(inverse, _product(of_means, of_means.T), of_root)
    slope = 2 * (jnp.sum(slope_root.T * d_root) - jnp.sum(slope_means * d_means))
    return unexplained(means, root, floor), slope


def _split(means: jax.Array, root: jax.Array, floor: jax.Array) -> tuple[jax.Array, ...]:
    """Frame (d, d) that begins with the span of B, B's singular values, which are seen, and the SVD of R across the span.

    The directions that B could occupy but does not belong to those across its span. A computed frame is off by eps times the
    condition of B, so that much of R leaks across; less than that there is no variability.
    """
    directions = min(means.shape)
    frame, lengths, _ = jnp.linalg.svd(means, full_matrices=True)
    seen = lengths > floor
    beyond = np.arange(frame.shape[1]) >= directions
    outside = jnp.where(beyond, True, ~jnp.concatenate([seen, np.zeros(frame.shape[1] - directions, bool)]))
    left, sizes, right = jnp.linalg.svd(jnp.where(outside[None, :], _product(root, frame), 0), full_matrices=False)
    condition = lengths[0] / jnp.min(jnp.where(seen, lengths, jnp.where(lengths[0] > 0, lengths[0], 1)))
    whole = jnp.sqrt(jnp.sum(root**2)) * jnp.maximum(condition, 1)
    cut = float(jnp.finfo(means.dtype).eps) * max(root.shape) * whole
    return frame, lengths, seen, jnp.where(sizes > cut, sizes, 0), left, right


def _compressed(root: jax.Array) -> jax.Array:
    """A root of R^T R of at most d rows."""
    return jnp.linalg.qr(root, mode="r") if root.shape[0] > root.shape[1] else root


def _product(*factors: jax.Array) -> jax.Array:
    found = factors[0]
    for factor in factors[1:]:
        found = jnp.matmul(found, factor, precision=HIGHEST)
    return found
