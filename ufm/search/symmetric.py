"""Two scalars: all local minima of a loss restricted to collapse that treats classes alike, and where zero takes over.

With class logits Z = a (I - J) + b J, J = 11^T/K, and a price c the objective is a function of two scalars,

    F(a, b) = loss(a (e_1 - 1/K) + (b/K) 1; e_1) + c [(K-1)|a| + |b|]

`survey` finds its minima on a grid up to 1e7, descends and polishes them, for any number of prices at once.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from ufm.base.checks import check_count, check_positive, is_traced
from ufm.base.programs import QUICK
from ufm.losses import Loss

GEOMETRIES = ("no minimiser", "zero", "simplex", "mean", "orthogonal frame", "simplex plus mean")
_KEPT = 12
_SHORTEST, _LONGEST, _PER_SIDE = 1e-3, 1e7, 100  # of the grid; shorter minima are reached from zero
_STEPS, _NEWTON_STEPS = 100, 12
_DIFFERENCE = 1e-4  # of gradients, for a Hessian that is right to about eight digits
_STAR = ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1))
_OFFSETS = tuple((i, j) for i in (-1, 0, 1) for j in (-1, 0, 1))


class Minima(NamedTuple):
    """Local minima of F, the global one first; +inf and NaN beyond `count`.

    value, a, b: (12,). count: how many there are. infimum: the lowest value that the search saw, below value[0] where F has no
    minimiser. geometry: index into `GEOMETRIES` of the global one: |a| (I - J) + |b| J is the Gram matrix of the classifier.
    """

    value: jax.Array
    a: jax.Array
    b: jax.Array
    count: jax.Array  # type: ignore[assignment]  # a field of that name, tuples have a method
    infimum: jax.Array
    geometry: jax.Array


class Transition(NamedTuple):
    """Where everything vanishes: for c >= `c` zero is a global minimiser of F, below it is not.

    a, b: the minimiser that ties with zero there: zero for a transition of second order. c is +inf where F never has a minimiser.
    """

    c: jax.Array
    a: jax.Array
    b: jax.Array


def reduced(loss: Loss, classes: int, x: jax.Array, c: Any = 0.0, target: Any = None) -> jax.Array:
    """F at x = (a, b); the loss alone for c = 0. The target is one-hot unless one is given (a pair, where a teacher is)."""
    own = jnp.arange(classes) == 0
    target = own.astype(x.dtype) if target is None else target
    fit = loss.value(jnp.where(own, x[0], 0) + (x[1] - x[0]) / classes, target)
    return fit + c * ((classes - 1) * jnp.abs(x[0]) + jnp.abs(x[1]))


def survey(loss: Loss, classes: int, cs: jax.Array, target: Any = None) -> tuple[Minima, Transition]:
    """All local minima of F at every price, and the price from which zero is the lowest, by one program.

    The latter is c* = sup_{(a, b) != 0} [loss(0) - loss(a, b)] / [(K-1)|a| + |b|]: attained away from zero (first order), or in
    its limit.

    Args:
      loss: of one column, static under jit. classes: K, static.
      cs: (N,) prices above 0 (1e-6 and up).
      target: as in `reduced`.

    Returns:
      Minima with a leading axis N, and Transition.

    Raises:
      ValueError: for prices that are not above 0, or fewer than 2 classes.
    """
    check_count("classes", classes, 2)
    check_positive("cs", cs)
    return (_survey if is_traced(cs, target) else _compiled_quickly)(loss, classes, cs, target)


def _survey(loss: Loss, classes: int, cs: jax.Array, target: Any) -> tuple[Minima, Transition]:
    dtype = jnp.result_type(cs, float)
    weight = jnp.asarray([classes - 1.0, 1.0], dtype)
    free = 1 if loss.shift_invariant else 2
    origin = jnp.zeros((2,), dtype)

    def fit(x: jax.Array) -> jax.Array:
        value = reduced(loss, classes, x, 0.0, target)
        return jnp.where(jnp.isnan(value), jnp.inf, value)

    side = jnp.geomspace(_SHORTEST, _LONGEST, _PER_SIDE, dtype=dtype)
    a = jnp.concatenate([side[::-1], jnp.zeros((1,), dtype), -side])
    b = a if free == 2 else jnp.zeros((1,), dtype)
    values = lax.map(lambda at: jax.vmap(lambda other: fit(jnp.stack([at, other])))(b), a)
    lengths = weight[0] * jnp.abs(a)[:, None] + weight[1] * jnp.abs(b)[None, :]
    zero, slope = jax.value_and_grad(fit)(origin)

    def objective(value: jax.Array, length: jax.Array, c: jax.Array) -> jax.Array:
        """F, or for c = 0 the cost of a unit of length, whose minimum is -c*."""
        gain = jnp.where(length >= _SHORTEST, (value - zero) / jnp.where(length > 0, length, 1), jnp.inf)
        return jnp.where(c > 0, value + c * length, gain)

    def minima(c: jax.Array) -> tuple[Minima, jax.Array]:
        starts = _grid_minima(objective(values, lengths, c), a, b)
        valley = jnp.stack([-weight[1], weight[0]])
        descend = partial(_descend, lambda x: objective(fit(x), jnp.sum(weight * jnp.abs(x)), c), ratio=valley, free=free)
        found, lowest = jax.vmap(descend)(starts)
        points, value = _polish(fit, jnp.where(c > 0, c, 1) * weight, jnp.concatenate([origin[None], found]), free)
        size = jnp.max(jnp.abs(points), axis=1)
        twins = jnp.max(jnp.abs(points[:, None] - points[None, :]), axis=2) <= 1e-6 * (1 + size)[:, None]
        value = jnp.where(jnp.any(jnp.tril(twins, -1) & jnp.isfinite(value)[None, :], axis=1), jnp.inf, value)
        order = jnp.argsort(value)
        value = value[order]
        points = jnp.where(jnp.isfinite(value)[:, None], points[order], jnp.nan)
        infimum = jnp.min(lowest)
        attained = value[0] <= infimum + 1e3 * jnp.finfo(dtype).eps * (1 + jnp.abs(infimum))
        geometry = jnp.where(attained, geometry_of(points[0, 0], points[0, 1]), 0)
        return Minima(value, points[:, 0], points[:, 1], jnp.sum(jnp.isfinite(value)), infimum, geometry), found[0]

    stacked, first_found = lax.map(minima, jnp.concatenate([jnp.zeros((1,), dtype), cs.astype(dtype)]))
    x, gain = first_found[0], -stacked.infimum[0]
    limit = jnp.max((jnp.abs(slope) / weight)[:free])
    first = gain > limit * (1 + 1e-7)
    near = fit(1e-6 * _SHORTEST * jnp.sign(x))
    torn = zero - near > 1e-3 * (1 + jnp.abs(zero))  # the loss is not continuous at zero
    jump = jnp.where(first & ~torn, x, 0)
    threshold = jnp.where(torn, jnp.inf, jnp.where(first, gain, limit))
    return jax.tree.map(lambda x: x[1:], stacked), Transition(threshold, jump[0], jump[1])


_compiled_quickly = jax.jit(_survey, static_argnums=(0, 1), compiler_options=QUICK)


def geometry_of(a: jax.Array, b: jax.Array) -> jax.Array:
    """Index into `GEOMETRIES` of the collapse with scalars (a, b); 0 where they are NaN."""
    size = jnp.maximum(jnp.abs(a), jnp.abs(b))
    near = 1e-7 * size
    kind = jnp.where(jnp.abs(jnp.abs(a) - jnp.abs(b)) <= near, 4, 5)
    kind = jnp.where(jnp.abs(b) <= near, 2, jnp.where(jnp.abs(a) <= near, 3, kind))
    return jnp.where(jnp.isnan(size), 0, jnp.where(size == 0, 1, kind))


def _grid_minima(values: jax.Array, a: jax.Array, b: jax.Array) -> jax.Array:
    """Points of the grid no higher than their neighbours, the lowest first, zero in place of missing ones."""
    padded = jnp.pad(values, 1, constant_values=jnp.inf)
    rows, columns = values.shape
    lowest = jnp.isfinite(values)
    for i, j in _OFFSETS:
        lowest &= values <= padded[1 + i : 1 + i + rows, 1 + j : 1 + j + columns]
    height, index = lax.top_k(-jnp.where(lowest, values, jnp.inf).ravel(), _KEPT)
    points = jnp.stack([a[index // columns], b[index % columns]], axis=1)
    return jnp.where(jnp.isfinite(height)[:, None], points, 0)


def _descend(F: Any, x: jax.Array, *, ratio: jax.Array, free: int) -> tuple[jax.Array, jax.Array]:
    """(point, F there) of a pattern search that halves its step where no neighbour is lower and stops over at the axes."""
    allowed = (jnp.arange(2) < free)[None, :]
    offsets = jnp.asarray(_OFFSETS, x.dtype) * allowed
    others = jnp.stack([ratio, -ratio]) * allowed  # the wrong logits alone, along which lie the valleys of some losses

    def step(_: int, state: tuple) -> tuple:
        x, value, h = state
        trials = x[None, :] + jnp.concatenate([h[None, :] * offsets, h[0] * others])
        trials = jnp.where(trials * x[None, :] < 0, 0, trials)  # F has kinks on the axes
        values = jax.vmap(F)(trials)
        best = jnp.argmin(values)
        lower = values[best] < value
        return jnp.where(lower, trials[best], x), jnp.where(lower, values[best], value), jnp.where(lower, h, 0.5 * h)

    h = jnp.where(x == 0, _SHORTEST, 0.3 * jnp.abs(x))
    return lax.fori_loop(0, _STEPS, step, (x, jnp.full((), jnp.inf, x.dtype), h))[:2]


def _polish(fit: Any, price: jax.Array, starts: jax.Array, free: int) -> tuple[jax.Array, jax.Array]:
    """Local minima of fit(x) + <price, |x|> next to the starts by Newton's method, and their values: +inf where there is none.

    A coordinate at zero stays where the slope of the loss there is below its price, and else leaves zero downhill.
    """
    allowed = jnp.arange(2) < free
    slack = 1e3 * jnp.finfo(price.dtype).eps
    derivatives = jax.vmap(jax.value_and_grad(fit))

    def newton(_: int, state: tuple) -> tuple:
        x, value, least, minimal, trial = state
        h = _DIFFERENCE * (jnp.abs(trial) + _SHORTEST)
        values, slopes = derivatives(trial[None, :] + jnp.asarray(_STAR, trial.dtype) * h[None, :])
        f, g = values[0], slopes[0]
        H = jnp.stack([(slopes[1] - slopes[2]) / h[0], (slopes[3] - slopes[4]) / h[1]]) / 2
        H = (H + H.T) / 2
        leaves = jnp.where(jnp.abs(g) > price * (1 + slack), -jnp.sign(g), 0)
        sign = jnp.where(allowed, jnp.where(trial == 0, leaves, jnp.sign(trial)), 0)
        r = jnp.where(sign != 0, g + price * sign, 0)
        size = jnp.max(jnp.abs(r) / price)
        H = jnp.where((sign != 0)[:, None] & (sign != 0)[None, :], H, jnp.diag(jnp.where(sign != 0, 0.0, 1.0).astype(f.dtype)))
        det = H[0, 0] * H[1, 1] - H[0, 1] ** 2
        convex = (det > 0) & (H[0, 0] + H[1, 1] > 0)
        move = jnp.stack([H[1, 1] * r[0] - H[0, 1] * r[1], H[0, 0] * r[1] - H[0, 1] * r[0]]) / jnp.where(convex, det, 1)
        better = (size < least) & jnp.isfinite(f)
        new, old = (trial, f, size, convex), (x, value, least, minimal)
        x, value, least, minimal = (jnp.where(better, p, q) for p, q in zip(new, old, strict=True))
        onwards = better & convex & jnp.all((trial - move) * sign >= 0)
        return x, value, least, minimal, jnp.where(onwards, trial - move, x)

    def polished(start: jax.Array) -> tuple[jax.Array, jax.Array]:
        start = jnp.where(jnp.abs(start) <= 1e-4 * _SHORTEST, 0, start)
        infinity = jnp.full((), jnp.inf, price.dtype)
        state = (start, infinity, infinity, jnp.asarray(False), start)
        x, value, residual, convex, _ = lax.fori_loop(0, _NEWTON_STEPS, newton, state)
        proper = (residual <= 64 * jnp.sqrt(jnp.finfo(x.dtype).eps)) & convex
        return x, jnp.where(proper, value + jnp.sum(price * jnp.abs(x)), jnp.inf)

    return jax.vmap(polished)(starts)
