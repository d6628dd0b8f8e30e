"""The two scalars of a mixed sample, and how they are read off a problem's targets.

A target t e_k + (1 - t) e_l under a classifier with W W^T = om2 (I - J/K), its features penalised at kappa = om2 times the
weight of their loss over that of their penalty, has logits x + o at k, y + o at l and o = -(x + y)/K elsewhere, with

    (x, y) = argmin  log(e^x + e^y + K - 2) - t x - (1 - t) y + (x^2 + y^2 - (x + y)^2/K) / (2 kappa)

which is z = kappa (q - softmax(z)) in two scalars. For K = 2 only x - y matters and y = -x is taken. The potential is flat
where kappa is large; with u = log(e^x + e^y + K - 2) its stationarity is the well conditioned

    x + kappa (e^x - 1) e^{-u} = kappa t,   y + kappa (e^y - 1) e^{-u} = kappa (1 - t),   x + y = kappa K e^{-u}

(K = 2: e^x and e^y in place of e^x - 1 and e^y - 1, and x + y = 0).
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ufm.base.checks import is_traced
from ufm.problem import Problem
from ufm.theory.theorem import Assumption

_ITERATIONS = 50  # about 35 reach rounding at kappa = 1e12


def two_logits(classes: int, t: jax.Array, kappa: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The minimiser (x, y) of the potential, entrywise in t and kappa.

    Newton steps d on the potential are shortened to log(1 + |d|)/|d|, which descends from anywhere for logistic potentials;
    the last ones, on the well conditioned equations, reach rounding and carry the derivatives. Where they do not settle, at
    kappa beyond what the precision holds, the answer is NaN.
    """

    def step(x, y, t, kappa):
        top = jnp.maximum(jnp.maximum(x, y), 0)
        p, r, empty = jnp.exp(x - top), jnp.exp(y - top), (classes - 2) * jnp.exp(-top)
        total = p + r + empty
        p, r, empty = p / total, r / total, empty / total
        if classes == 2:  # along (1, -1): the derivative of the potential in x, and the second one
            d = -(p - r - 2 * t + 1 + 2 * x / kappa) / (4 * p * r + 2 / kappa)
            return d, -d
        own, other = (1 - 1 / classes) / kappa, -1 / (classes * kappa)
        g, h = p - t + own * x + other * y, r - (1 - t) + own * y + other * x
        a, b, c = p * (1 - p) + own, r * (1 - r) + own, other - p * r
        # ab - c^2 without cancellation: sum of products of the two positive definite parts
        det = p * r * empty + (p * (1 - p) + r * (1 - r)) * own + 2 * p * r * other + (own - other) * (own + other)
        return -(b * g - c * h) / det, -(a * h - c * g) / det

    # where the potential is flat to rounding a smaller kappa is a better start: that is off along the channel alone
    flat = jnp.inf if classes == 2 else jnp.finfo(t.dtype).eps ** -0.5
    fixed = lax.stop_gradient((t, jnp.minimum(kappa, flat)))

    def damped(_, point):
        x, y = point
        dx, dy = step(x, y, *fixed)
        length = 2 * jnp.maximum(jnp.abs(dx), jnp.abs(dy))
        shorter = jnp.where(length > 0, jnp.log1p(length) / jnp.where(length > 0, length, 1), 1)
        return x + shorter * dx, y + shorter * dy

    def finish(point, _):
        x, y, u = point
        unit = kappa * jnp.exp(-u)
        mass_x, mass_y = unit * jnp.expm1(x), unit * jnp.expm1(y)
        slope_x, slope_y = 1 + mass_x + unit, 1 + mass_y + unit
        if classes == 2:
            mass_x, mass_y = mass_x + unit, mass_y + unit
        x, y = x + (kappa * t - x - mass_x) / slope_x, y + (kappa * (1 - t) - y - mass_y) / slope_y  # with u fixed
        bx, by, total = mass_x / slope_x, mass_y / slope_y, x + y
        du = -total / (bx + by) if classes == 2 else jnp.log(classes * unit / total) / (1 + (bx + by) / total)
        return (x + bx * du, y + by * du, u + du), du

    zero = jnp.zeros_like(t)
    x, y = lax.stop_gradient(lax.fori_loop(0, _ITERATIONS, damped, (zero, zero)))
    top = jnp.maximum(jnp.maximum(x, y), 0)
    u = top + jnp.log(jnp.exp(x - top) + jnp.exp(y - top) + (classes - 2) * jnp.exp(-top))
    (x, y, _), moves = lax.scan(finish, (x, y, u), length=8)
    settled = jnp.abs(moves[-1]) < jnp.finfo(t.dtype).eps ** 0.5
    return jnp.where(settled, x, jnp.nan), jnp.where(settled, y, jnp.nan)


def squared_length(classes: int, x: Any, y: Any) -> Any:
    """|z|^2 = x^2 + y^2 - (x + y)^2/K of centred logits; |h|^2 is this over om2."""
    return x**2 + y**2 - (x + y) ** 2 / classes


def centred_logits(first: jax.Array, second: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
    """(K, C) logits x + o, y + o and o = -(x + y)/K of columns whose two classes are marked in `first` and `second`."""
    return x[None, :] * first + y[None, :] * second - ((x + y) / first.shape[0])[None, :]


def two_classes(targets: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """One-hot marks (K, C) of the largest and second largest entry of every column, and the largest entries t (C,)."""
    K, dtype = targets.shape[0], targets.dtype
    first = jax.nn.one_hot(jnp.argmax(targets, axis=0), K, axis=0, dtype=dtype)
    second = jax.nn.one_hot(jnp.argmax(targets - 2 * first, axis=0), K, axis=0, dtype=dtype)
    return first, second, jnp.sum(targets * first, axis=0)


def _is_mixed(problem: Problem) -> bool:
    return not is_traced(problem.design) and bool(np.all(np.sum(np.asarray(problem.targets) > 0, axis=0) <= 2))


MIXES_TWO = Assumption("targets that mix at most two classes", _is_mixed)
