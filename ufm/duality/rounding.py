"""What rounding may have done, charged before cancellation: allowances of sums, and norms that are never too small.

Every allowance is a priori: it follows from the sizes of the terms and from the number of operations, whatever order the compiler
adds them in. With eps = 2u the distance of 1 to the next float, a sum of n terms is right to n eps times the sum of their sizes.
"""

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
from jax import lax

T = TypeVar("T")  # any pytree

LIBRARY = 4  # ulps that exp, log, log1p and expm1 of the backend may be wrong by: tests hold them against sixty digits


def unit(x: jax.Array) -> float:
    """eps of the dtype, twice the unit roundoff."""
    return float(jnp.finfo(x.dtype).eps)


def least(x: jax.Array) -> float:
    """The least normal number of the dtype: what an operation may lose where results are flushed to zero."""
    return float(jnp.finfo(x.dtype).tiny)


def widened(tree: T) -> T:
    """Floating leaves as float64 where JAX has it, as they are where not: bounds of float32 numbers are computed in float64."""
    wide = jnp.result_type(float)
    return jax.tree.map(lambda x: x.astype(wide) if x is not None and jnp.issubdtype(x.dtype, jnp.floating) else x, tree)


def rounded_down(x: jax.Array, dtype: jnp.dtype) -> jax.Array:
    """A number of the dtype that is at most x, next to it."""
    near, info = rounded(x, dtype), jnp.finfo(dtype)
    return jnp.where(near > x, rounded(near - jnp.abs(near) * info.eps - info.tiny, dtype), near).astype(dtype)


def rounded_inwards(x: jax.Array, dtype: jnp.dtype) -> jax.Array:
    """A number of the dtype between 0 and x, next to x, in the dtype of x."""
    near = rounded(x, dtype)
    return jnp.where(jnp.abs(near) > jnp.abs(x), rounded(near * (1 - jnp.finfo(dtype).eps), dtype), near)


def rounded(x: jax.Array, dtype: jnp.dtype) -> jax.Array:
    """x rounded to a narrower dtype, in its own: under jit XLA leaves a conversion there and back out, this it does not."""
    info = jnp.finfo(dtype)
    return lax.reduce_precision(x, info.nexp, info.nmant)


def ends(concave: Callable[[jax.Array], jax.Array], x: jax.Array, radius: jax.Array) -> jax.Array:
    """The least value of a concave function on [x - radius, x + radius]: that at one of the ends."""
    return jnp.minimum(concave(x - radius), concave(x + radius))


def total_below(weights: jax.Array, terms: jax.Array, allowances: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(at most sum_c weights_c t_c for every t_c >= terms_c - allowances_c, what was taken off); weights right to 8 eps."""
    size = jnp.sum(weights * jnp.abs(terms))
    slack = (1 + 64 * unit(terms)) * jnp.sum(weights * allowances) + (terms.shape[0] + 8) * unit(terms) * size
    slack += 8 * terms.size * least(terms)
    return jnp.sum(weights * terms) - slack, slack


def product(a: jax.Array, b: jax.Array) -> jax.Array:
    """a @ b in full precision on every device."""
    return jnp.matmul(a, b, precision=lax.Precision.HIGHEST)


def norm_above(G: jax.Array, radius: jax.Array) -> jax.Array:
    """At least |X|_2 for every X with |X - G| <= radius entrywise."""
    scaled, shift = _near_one(G)
    small = scaled if G.shape[0] <= G.shape[1] else scaled.T
    Q = product(small, small.T)
    inexact = (max(G.shape) + 2) * unit(G) * jnp.sum(scaled**2)
    top = jnp.sqrt(eigenvalue_above(Q) + inexact) * (1 + 8 * unit(G))
    return jnp.ldexp(top, shift) + _frobenius_above(radius)


def orthant_norm_above(G: jax.Array, radius: jax.Array) -> jax.Array:
    """At least max |X v| over unit v >= 0 for every X with |X - G| <= radius entrywise.

    For v >= 0, |X v|^2 = v^T X^T X v <= v^T max(X^T X, 0) v, with equality at the Perron vector of a block of columns whose
    products with all others are not positive.
    """
    scaled, shift = _near_one(G)
    size = jnp.abs(scaled) + jnp.ldexp(radius, -shift)
    Q = product(scaled.T, scaled)
    sizes = product(size.T, size)
    inexact = sizes - product(jnp.abs(scaled).T, jnp.abs(scaled)) + 4 * (G.shape[0] + 4) * unit(G) * sizes
    B = jnp.maximum(Q + jnp.maximum(inexact, 0) * (1 + 64 * unit(G)), 0)
    top = jnp.ldexp(jnp.sqrt(eigenvalue_above(0.5 * (B + B.T))) * (1 + 8 * unit(G)), shift)
    return jnp.minimum(norm_above(G, radius), top)


def eigenvalue_above(Q: jax.Array) -> jax.Array:
    """At least the largest eigenvalue of a symmetric matrix of floats with a non-negative trace.

    A floating eigenvalue is raised until the Cholesky factorisation of t I - Q runs through, which proves that no eigenvalue of Q
    exceeds t by more than n eps trace(t I - Q) (Rump 2006); the Frobenius norm stands in where that fails.
    """
    n, eps = Q.shape[0], unit(Q)
    guess = jnp.maximum(jnp.linalg.eigvalsh(Q)[-1], jnp.max(jnp.diagonal(Q)))
    fixed_guess, fixed = lax.stop_gradient((guess, Q))

    def proved(t: jax.Array) -> jax.Array:
        return jnp.all(jnp.isfinite(jnp.linalg.cholesky(t * jnp.eye(n, dtype=Q.dtype) - fixed)))

    def unproved(state: tuple) -> jax.Array:
        return ~state[1] & (state[0] < 0.01)

    def further(state: tuple) -> tuple:
        raised = 16 * state[0]
        return raised, proved(fixed_guess * (1 + raised))

    start = jnp.asarray(0.25 * n * eps, Q.dtype)  # raised to 4 n eps by the first step
    raised, done = lax.while_loop(unproved, further, (start, jnp.asarray(False)))
    t = guess * (1 + raised)
    t = t + (n + 4) * eps * (n * t - jnp.trace(Q) + n * eps * jnp.abs(t)) + 4 * eps * jnp.abs(t)
    return jnp.where(done, t, _frobenius_above(Q))


def _frobenius_above(x: jax.Array) -> jax.Array:
    scaled, shift = _near_one(x)
    return jnp.ldexp(jnp.sqrt(jnp.sum(scaled**2)) * (1 + (x.size + 8) * unit(x)), shift)


def _near_one(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(x divided by a power of two, its exponent), so that squares neither overflow nor underflow."""
    size = lax.stop_gradient(jnp.max(jnp.abs(x)))
    shift = jnp.frexp(jnp.where(jnp.isfinite(size), size, 1))[1]
    return jnp.ldexp(x, -shift), shift
