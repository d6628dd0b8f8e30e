"""The dual point under a free bias: b minimised out at the given features, then as little of a balanced point as it takes."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from ufm.duality.bound import balance
from ufm.duality.columns import Columns, loss_gradients
from ufm.duality.parts import own_parts
from ufm.duality.rounding import product, rounded_inwards

_NEWTON, _CONJUGATE = 24, 100  # most steps of each


def best_free_bias(columns: Columns, z: jax.Array) -> jax.Array:
    """argmin_b of the data term at logits z + b a^T, by damped Newton steps whose equations conjugate gradients solve."""
    weights, a = columns.shares * columns.intercept, columns.intercept[None, :]

    def shifted(b: jax.Array) -> jax.Array:
        return z + b[:, None] * a

    def value(b: jax.Array) -> jax.Array:
        return jnp.sum(columns.shares * jax.vmap(columns.loss.value, in_axes=1)(shifted(b), columns.loss_targets))

    def gradient(b: jax.Array) -> jax.Array:
        return product(loss_gradients(columns, shifted(b)), weights)

    def proceed(state: tuple) -> jax.Array:
        return (state[2] < _NEWTON) & state[3]

    def newton(state: tuple) -> tuple:
        b, best, count, _ = state
        slope, curve = jax.linearize(gradient, b)
        step = _solve(curve, slope, columns.loss.shift_invariant)
        trials = b[None, :] - (0.5 ** jnp.arange(12, dtype=b.dtype))[:, None] * step[None, :]
        values = lax.map(value, trials)
        values = jnp.where(jnp.isnan(values), jnp.inf, values)
        lowest = jnp.argmin(values)
        lower = values[lowest] <= best
        # near the minimum values tie while the gradient still falls
        tied = values[0] <= best + 8 * jnp.finfo(b.dtype).eps * jnp.abs(best)
        full = tied & (jnp.sum(gradient(trials[0]) ** 2) < 0.25 * jnp.sum(slope**2))
        moved = jnp.where(full, trials[0], jnp.where(lower, trials[lowest], b))
        reached = jnp.where(full, values[0], jnp.where(lower, values[lowest], best))
        return moved, reached, count + 1, full | (lower & (values[lowest] < best))

    start = jnp.zeros(z.shape[:1], z.dtype)
    return lax.while_loop(proceed, newton, (start, value(start), 0, jnp.asarray(True)))[0]


def _solve(curve: Callable, slope: jax.Array, shifts: bool) -> jax.Array:
    """Conjugate gradients on a semidefinite Hessian from zero; `shifts` of all entries, which it does not see, stay out."""
    eps = jnp.finfo(slope.dtype).eps

    def kept(x: jax.Array) -> jax.Array:
        return x - jnp.mean(x) if shifts else x

    slope = kept(slope)
    target = 1e-24 * jnp.sum(slope**2)

    def proceed(state: tuple) -> jax.Array:
        return (state[3] > target) & (state[5] < min(2 * slope.shape[0] + 2, _CONJUGATE))

    def advance(state: tuple) -> tuple:
        x, r, p, size, steepest, count = state
        bent = kept(curve(p))
        along, length = jnp.sum(p * bent), jnp.sum(p**2)
        steepest = jnp.maximum(steepest, along / length)
        curved = along > eps * steepest * length
        step = jnp.where(curved, size / jnp.where(curved, along, 1), 0)
        r = kept(r - step * bent)
        new = jnp.where(curved, jnp.sum(r**2), 0)
        return x + step * p, r, r + new / size * p, new, steepest, count + 1

    none = jnp.zeros_like(slope)
    return lax.while_loop(proceed, advance, (none, slope, slope, jnp.sum(slope**2), jnp.zeros_like(target), 0))[0]


def mixed_until_balanced(columns: Columns, dual: list, dtype: Any) -> list:
    """The dual point with the least share 2^-e of a balanced one, mean target - target, that leaves room to balance exactly."""
    parts = own_parts(columns.loss)
    weights = columns.shares * columns.intercept
    centres = []
    for part, t in zip(parts, dual, strict=True):
        about = part.about(columns.targets, columns.teacher)
        target = part.atom.target(about)
        mean = product(target, weights) / jnp.sum(weights)
        centre = part.atom.clip(mean[:, None] - target, about)
        centres.append(jnp.where(jnp.isfinite(centre), centre, jnp.zeros_like(t)))

    def mixed(share: jax.Array) -> list:
        both = zip(dual, centres, strict=True)
        return [rounded_inwards((1 - share) * t + share * centre, dtype) for t, centre in both]

    def crowded(share: jax.Array) -> jax.Array:
        return (share < 1) & ~balance(columns, mixed(share), margin=4.0)[1]

    def more(share: jax.Array) -> jax.Array:
        return jnp.where(share == 0, 2.0**-44, jnp.minimum(16 * share, 1))

    share = lax.while_loop(crowded, more, jnp.zeros((), weights.dtype))
    return [part.atom.clip(t, part.about(columns.targets, columns.teacher)) for part, t in zip(parts, mixed(share), strict=True)]
