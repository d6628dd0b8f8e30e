"""Competitors of the simplex in deep cross-entropy: symmetric codes with a few scalars, minimised over the scalars.

After within-class collapse a balanced problem of L = M + 1 factors depends on the strength s = c n^(1/L) alone:

    f(Z, b) = (1/K) sum_k CE(z_k + b, k) + (L/2) s |Z|_p^p,   p = 2/L      (Schatten quasi-norm)

Since p < 1 for M >= 2, low rank is cheap, and codes of fewer directions than the simplex may win: zero, orthogonal sums of
simplices (all pairs: the orthoplex), polygons, cyclic codes of two amplitudes (antiprisms), bipyramids, pyramids, for K = 4 two
pairs of unequal length on one line, and with a free bias a ring around a class at the origin (K = 3: a line). Each is
Z = U diag(sigma) V^T, where amplitudes own directions and U and V turn by an angle each at most; by the symmetry of the code a
minimum over its scalars is a critical point of the problem. Low rank: Garrod and Keating 2025, arXiv 2410.23169; codes derived.
"""

from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ufm.base.checks import AnyArray

_AMPLITUDES = 3  # log amplitudes; then the angle of V, the bias of classes at zero and the angle of U
_STARTS = ((0.5, 0.5), (1.0, 1.0), (2.0, 2.0), (4.0, 4.0), (2.0, 1.0), (1.0, 2.0))
_STEPS = 40
_LARGEST_STEP = 0.5
_LOWEST = -12.0  # a log amplitude that is zero for every purpose


class Codes(NamedTuple):
    """F codes of K classes as stacked arrays.

    U, V: (F, K, K-1), Z = U diag(sigma) V^T; zero columns beyond the rank. W, T: (F, K, K-1), a column of V that has a W turns as
    cos(angle) V + sin(angle) W, one of U that has a T likewise. owner: (F, K-1, 3), sigma = owner @ amplitudes. bias: (F, K), 1 for
    classes that have a bias. active: (F, 6), which scalars count. margin: (F,), the smallest one at amplitudes 1.
    """

    U: AnyArray
    V: AnyArray
    W: AnyArray
    T: AnyArray
    owner: AnyArray
    bias: AnyArray
    active: AnyArray
    margin: AnyArray


class Found(NamedTuple):
    """values: (F,) minimum of each code over its scalars (log K where it vanishes). scalars: (F, 6)."""

    values: jax.Array
    scalars: jax.Array


def waves(size: int, frequencies: tuple[int, ...]) -> np.ndarray:
    """Orthonormal cosines and sines on `size` points of a circle, (size, rank); frequencies 1..size//2 span 1-perp."""
    j = np.arange(size)
    columns = []
    for f in frequencies:
        angle = 2 * np.pi * f * j / size
        columns += [np.cos(angle)] if 2 * f == size else [np.sqrt(2) * np.cos(angle), np.sqrt(2) * np.sin(angle)]
    return np.stack(columns, axis=1) / np.sqrt(size)


@cache
def named_codes(classes: int, free_bias: bool = False) -> tuple[tuple[str, ...], Codes]:
    """Names and arrays of the codes of K >= 3 classes, simple ones first.

    With a free bias the codes that leave classes at the origin come a second time with a bias for those classes.
    """
    K, named = classes, {}
    for sizes in _partitions(K, K)[:-1]:  # the last one has nothing but ones
        large = [size for size in sizes if size > 1]
        zero = f", {K - sum(large)} at zero" if sum(large) < K else ""
        named[f"simplices {'+'.join(map(str, large))}{zero}"] = _sum_of_rings(K, [(size, _all(size)) for size in large])
    for size in range(5, K + 1):
        zero = f", {K - size} at zero" if size < K else ""
        named[f"polygon {size}{zero}"] = _sum_of_rings(K, [(size, (1,))])
        if K - size >= 2:
            named[f"polygon {size}+simplex {K - size}"] = _sum_of_rings(K, [(size, (1,)), (K - size, _all(K - size))])
    for f in range(2, K // 2 + 1) if K > 4 else ():
        both = waves(K, (1, f))  # Z_jk = sum_f a_f cos(2 pi f (j - k)/K) up to normalisation
        named[f"cyclic 1,{f}"] = _code(both, both, [0, 0] + [1] * (both.shape[1] - 2))
    if K % 2:
        named[f"pyramid over {K // 2} pairs"] = _pyramid(K, np.kron(np.eye(K // 2), waves(2, (1,))))
    if K > 4:
        named[f"pyramid over polygon {K - 1}"] = _pyramid(K, waves(K - 1, (1,)))
    if K == 4:  # u = (cos, -cos, sin, -sin)/sqrt 2 of one angle, v of another
        pairs = np.kron(np.eye(2), waves(2, (1,)))
        named["two pairs on a line"] = _code(pairs[:, :1], pairs[:, :1], [0], pairs[:, 1:], pairs[:, 1:])
    if free_bias:
        for name, code in list(named.items()):
            if "at zero" in name:
                bias, active = 1.0 * ~np.any(code.U != 0, axis=1), np.maximum(code.active, [0, 0, 0, 0, 1, 0])
                named[f"{name} with a bias"] = code._replace(bias=bias, active=active)
    return tuple(named), Codes(*(np.stack(arrays) for arrays in zip(*named.values(), strict=True)))


def code_value(code: Codes, scalars: jax.Array, strength: jax.Array, depth: int) -> jax.Array:
    """f of one code at its scalars, in the margin form that is exact for small losses."""
    U, sigma, V, b = code_triples(code, scalars)
    z = (U * sigma[None, :]) @ V.T + b[:, None]
    own, rivals = jnp.eye(z.shape[0], dtype=bool), z - jnp.diag(z)[None, :]
    top = lax.stop_gradient(jnp.max(jnp.where(own, -jnp.inf, rivals), axis=0))
    # third derivatives of logsumexp at -inf are NaN, hence the explicit sum
    others = jnp.where(own, 0, jnp.exp(jnp.where(own, 0, rivals - top[None, :])))
    losses = jax.nn.softplus(top + jnp.log(jnp.sum(others, axis=0)))
    p = 2 / (depth + 1)
    return jnp.mean(losses) + strength / p * jnp.sum(jnp.sum(code.owner, axis=0) * jnp.exp(p * scalars[:_AMPLITUDES]))


def code_triples(code: Codes, scalars: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """U (K, K-1), sigma (K-1,), V (K, K-1) and b (K,) of one code at its scalars."""
    sigma = jnp.asarray(code.owner, scalars.dtype) @ jnp.exp(scalars[:_AMPLITUDES])
    U, V = (
        jnp.where(jnp.any(others != 0, axis=0)[None, :], jnp.cos(angle) * columns + jnp.sin(angle) * others, columns)
        for columns, others, angle in ((code.U, code.T, scalars[5]), (code.V, code.W, scalars[3]))
    )
    return U.astype(scalars.dtype), sigma, V.astype(scalars.dtype), scalars[4] * jnp.asarray(code.bias, scalars.dtype)


@jax.jit
def minimise_codes(codes: Codes, strength: jax.Array, depth: int) -> Found:
    """Minimum of every code over its scalars: damped Newton steps from several sizes, the lowest end point of each.

    Without derivatives, which `polish` gives. strength: c n^(1/L), a scalar. depth: M >= 2, a number or an array.
    """
    strength = lax.stop_gradient(jnp.asarray(strength))

    def from_start(code, start):
        first, second = start * (1 + jnp.log1p(1 / strength)) / code.margin
        x = jnp.stack([jnp.log(first), jnp.log(second), jnp.log(first), 0 * first + 0.7, 0.1 * first, 0 * first + 0.4])
        return lax.fori_loop(0, _STEPS, lambda _, found: _damped_step(code, found[1], strength, depth), (first, x))

    starts = jnp.asarray(_STARTS, strength.dtype)
    arrays = jax.tree.map(lambda array: jnp.asarray(array, strength.dtype), codes)
    values, scalars = jax.vmap(jax.vmap(from_start, in_axes=(None, 0)), in_axes=(0, None))(arrays, starts)
    rows, best = jnp.arange(values.shape[0]), jnp.argmin(values, axis=1)
    return Found(values[rows, best], scalars[rows, best])


def polish(code: Codes, scalars: jax.Array, strength: jax.Array, depth: int) -> jax.Array:
    """A Newton step at a minimum of one code: it carries the first derivatives in the strength (implicit function)."""
    x = lax.stop_gradient(scalars)
    _, gradient, hessian = _derivatives(code, x, strength, depth)
    return x - jnp.linalg.solve(hessian + jnp.diag(1 - code.active), gradient)


def _derivatives(code: Codes, x: jax.Array, strength: jax.Array, depth: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Value of one code, with its gradient and Hessian in the active scalars."""

    def gradient(x):
        value, g = jax.value_and_grad(code_value, argnums=1)(code, x, strength, depth)
        return g * code.active, (value, g * code.active)

    hessian, (value, g) = jax.jacfwd(gradient, has_aux=True)(x)
    return value, g, hessian * code.active[None, :]


def _damped_step(code: Codes, x: jax.Array, strength: jax.Array, depth: int) -> tuple[jax.Array, jax.Array]:
    """The value at x, and x after Newton with |eigenvalues| and of bounded length (log amplitudes: a factor of 1.6)."""
    value, gradient, hessian = _derivatives(code, x, strength, depth)
    curvatures, axes = jnp.linalg.eigh(hessian)
    curvatures = jnp.abs(curvatures)
    safe = jnp.maximum(curvatures, 1e-6 * jnp.max(curvatures) + jnp.finfo(x.dtype).tiny)
    step = -axes @ ((axes.T @ gradient) / safe)
    step = step * jnp.minimum(1, _LARGEST_STEP / jnp.maximum(jnp.linalg.norm(step), 1e-30))
    lowest = jnp.where(jnp.arange(x.shape[0]) < _AMPLITUDES, _LOWEST, -jnp.inf)
    return value, jnp.maximum(x + step, lowest)


def _all(size: int) -> tuple[int, ...]:
    return tuple(range(1, size // 2 + 1))


def _partitions(total: int, largest: int) -> list[tuple[int, ...]]:
    """Partitions into sizes that do not increase, those of large sizes first."""
    if total == 0:
        return [()]
    return [(k, *more) for k in range(min(total, largest), 0, -1) for more in _partitions(total - k, k)]


def _sum_of_rings(classes: int, rings: list[tuple[int, tuple[int, ...]]]) -> Codes:
    """Orthogonal sum of blocks of waves, one amplitude for all blocks alike, the remaining classes at zero."""
    from scipy.linalg import block_diag  # `import ufm` reaches this module and needs none of it

    kinds, blocks = sorted(set(rings), reverse=True), [waves(*ring) for ring in rings]
    U = block_diag(*blocks)
    U = np.pad(U, ((0, classes - len(U)), (0, 0)))
    return _code(U, U, [kinds.index(ring) for ring, block in zip(rings, blocks, strict=True) for _ in block.T])


def _pyramid(classes: int, base: np.ndarray) -> Codes:
    """A base in the first K - 1 classes and u v^T with u = (-1, ..., -1, K-1)/norm, v = (-cos, ..., -cos, sin)/norm."""
    K, padded, apex = classes, np.pad(base, ((0, 1), (0, 0))), np.eye(classes)[:, -1:]
    others, up = (apex - 1) / np.sqrt(K - 1), (K * apex - 1) / np.sqrt(K * (K - 1))
    turn = np.hstack([np.zeros_like(padded), apex])
    return _code(np.hstack([padded, up]), np.hstack([padded, others]), [0] * base.shape[1] + [2], turn)


def _code(U: np.ndarray, V: np.ndarray, owners: list[int], W: np.ndarray | None = None, T: np.ndarray | None = None) -> Codes:
    """Z = U diag(sigma) V^T of (K, R) columns, the amplitudes that own them, and what V (by W) and U (by T) turn to."""
    classes, rank = U.shape
    W, T = (np.zeros_like(U) if turn is None else turn for turn in (W, T))
    owner = np.zeros((classes - 1, _AMPLITUDES))
    owner[np.arange(rank), owners] = 1
    active = np.array([*(owner.sum(axis=0) > 0), np.any(W != 0), False, np.any(T != 0)], dtype=float)
    z = U @ np.where(np.any(W != 0, axis=0)[None, :], np.sqrt(0.5) * (V + W), V).T  # half-way through the turn
    margin = np.min(np.diag(z)[None, :] - z + np.diag(np.full(len(z), np.inf)))
    margin = margin if margin > 1e-6 else np.array(0.5)  # classes at zero have none
    U, V, W, T = (np.pad(x, ((0, 0), (0, classes - 1 - rank))) for x in (U, V, W, T))
    return Codes(U, V, W, T, owner, np.zeros(classes), active, margin)
