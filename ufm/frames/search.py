"""Best packings of lines and points by optimisation: L-BFGS on smooth maxima of the cosines, from the frame potential up.

The largest of the numbers s_jk = <u_j, u_k>^2 (lines) or <u_j, u_k> (points) is approached from above by

    (1/p) log sum_{j<k} exp(p d s_jk),    p = 0.01, 0.1, ..., 32768,

each level starting where the last one ended. A level of small p is nearly the mean of s plus p/2 of its variance: the first
one makes the frame tight and then equiangular, which avoids the local minima in which large p ends from most starts
(16 lines in 6 dimensions: 32 starts of 32 find the best frame, 2 of them when p starts at 4).
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from ufm.base.checks import check_count, check_key
from ufm.base.precision import full_precision
from ufm.base.status import Status
from ufm.frames.classical import orthogonal_frame, simplex_etf
from ufm.frames.figures import HIGHEST, coherence, line_bound, rankin_bound, signed_coherence
from ufm.frames.frame import Frame
from ufm.search.minimum import minimise

_POWERS = (0.01, 0.1, 1.0, 8.0, 64.0, 512.0, 4096.0, 32768.0)
_STEPS = 400


class FrameSearch(NamedTuple):
    """A frame found by optimisation.

    frame: K vectors in d dimensions. coherence: its largest |cosine| (for points the signed one). steps: taken in all.
    status: a `ufm.Status`.
    """

    frame: Frame
    coherence: jax.Array
    steps: jax.Array
    status: jax.Array


@full_precision
def grassmannian(vectors: int, dim: int, key: jax.Array, *, starts: int = 8, dtype: Any = None) -> FrameSearch:
    """K lines in d dimensions whose largest |cosine| is as small as optimisation from random starts finds.

    Where an equiangular tight frame is found its coherence is Welch's bound to rounding; other optima to about 1e-6.
    For thousands of vectors `equiangular_basis` asks for less and needs far less time.

    Args:
      vectors: K, at least 2.
      dim: d, at least 1; for K <= d + 1 the answer is the orthonormal frame or the simplex, without a search.
      key: of the random starts.
      starts: how many; the best is returned.
      dtype: of the answer; None is JAX's default float.

    Returns:
      FrameSearch of unit vectors; REACHED where the coherence is `line_bound` within 1e-6 (1e-4 in float32), so that no
      lines are better.

    Raises:
      ValueError: naming the argument, the value and what is allowed.

    Source: Strohmer and Heath (2003) for the problem; search derived.
    """
    check_key("key", key)
    bound = line_bound(vectors, dim)
    return _search(vectors, dim, key, starts, dtype, signed=False, bound=bound)


@full_precision
def spherical_code(vectors: int, dim: int, key: jax.Array, *, starts: int = 8, dtype: Any = None) -> FrameSearch:
    """K points on the sphere of R^d whose largest cosine is as small as optimisation from random starts finds (Tammes).

    Args:
      vectors: K, at least 2.
      dim: d, at least 1; for K <= d + 1 the answer is the simplex, without a search.
      key: of the random starts.
      starts: how many; the best is returned.
      dtype: of the answer; None is JAX's default float.

    Returns:
      FrameSearch of unit vectors, with the signed coherence; REACHED where it is `rankin_bound` within 1e-6 (1e-4 in
      float32), which needs K <= 2 d.

    Raises:
      ValueError: naming the argument, the value and what is allowed.

    Source: Tammes (1930) for the problem; search derived.
    """
    check_key("key", key)
    bound = rankin_bound(vectors, dim)
    return _search(vectors, dim, key, starts, dtype, signed=True, bound=bound)


@full_precision
def spread(starts: jax.Array, present: jax.Array, signed: Any, dim: Any) -> tuple[jax.Array, jax.Array]:
    """Spread the columns of every start apart; the compiled program depends on the shape alone.

    Args:
      starts: (S, d, K), not zero; rows that are zero stay zero, so that few dimensions run in the room of many.
      present: (K,) which columns count.
      signed: whether cosines count with their sign (points) or not (lines).
      dim: the number of rows that are not zero.

    Returns:
      ((S, d, K) unit columns, (S,) steps taken).
    """
    return _spread(starts, present, jnp.asarray(signed), jnp.asarray(dim, starts.dtype))


@jax.jit
def _spread(starts: jax.Array, present: jax.Array, signed: jax.Array, dim: jax.Array) -> tuple[jax.Array, jax.Array]:
    pairs = jnp.triu(present[:, None] & present[None, :], 1)
    tolerance = jnp.finfo(starts.dtype).eps ** 0.5

    def smooth_maximum(frame: jax.Array, p: jax.Array) -> jax.Array:
        unit = _unit(frame)
        cosines = jnp.matmul(unit.T, unit, precision=HIGHEST)
        scores = dim * jnp.where(signed, cosines, cosines**2)
        return jax.nn.logsumexp(p * scores, where=pairs) / p

    def level(carry: tuple, p: jax.Array) -> tuple:
        frame, steps = carry
        found = minimise(partial(smooth_maximum, p=p), frame, tolerance=tolerance, max_steps=_STEPS)
        return (_unit(found.point), steps + found.steps), None

    def climb(frame: jax.Array) -> tuple[jax.Array, jax.Array]:
        return lax.scan(level, (_unit(frame), jnp.asarray(0)), jnp.asarray(_POWERS, frame.dtype))[0]

    return lax.map(climb, starts)


def _unit(frame: jax.Array) -> jax.Array:
    return frame / jnp.linalg.norm(frame, axis=0, keepdims=True)


def _search(vectors: int, dim: int, key: jax.Array, starts: int, dtype: Any, *, signed: bool, bound: float) -> FrameSearch:
    check_count("vectors", vectors, 2)
    check_count("starts", starts, 1)
    dtype = jnp.result_type(float) if dtype is None else jax.dtypes.canonicalize_dtype(dtype)
    figure = signed_coherence if signed else coherence
    if vectors <= dim + 1:
        closed = orthogonal_frame if vectors <= dim and not signed else simplex_etf
        frame = closed(vectors, dim, dtype)
        return FrameSearch(frame, figure(frame.vectors), jnp.asarray(0), jnp.asarray(int(Status.REACHED)))
    found, steps = spread(jax.random.normal(key, (starts, dim, vectors), dtype), jnp.ones(vectors, bool), signed, dim)
    figures = lax.map(figure, found)
    best = jnp.argmin(figures)
    met = figures[best] <= bound + max(1e-6, 1e3 * float(jnp.finfo(dtype).eps))
    status = jnp.where(met, int(Status.REACHED), int(Status.NOT_REACHED))
    status = jnp.where(jnp.isfinite(figures[best]), status, int(Status.NON_FINITE))
    return FrameSearch(Frame(found[best]), figures[best], jnp.sum(steps), status)
