"""Which optimisers a reduction survives: those whose updates commute with its lift, tried out on random gradients.

A reduction is exact for an optimiser U when gradients that are lifted give updates that are lifted,

    U(L g_1, L g_2, ...) = L U(g_1, g_2, ...),     L the linear part of the lift, an isometry.

Linear combinations of gradients with scalar coefficients do (gradient descent, heavy ball, Nesterov, steps normalised by
global or leafwise norms), and so do spectral updates such as polar factors. Entrywise rules (Adam, Lion, sign descent,
entrywise clipping) do not, nor do factors made from the shapes of matrices, which a reduction changes.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from ufm.base.checks import check_count, is_traced
from ufm.problem import Problem
from ufm.problem.params import Params

_SIZES = (1e-3, 1.0, 1e3)


def check_commutes(
    optimizer: optax.GradientTransformation | None,
    lift: Callable[[Params], Params],
    params: Params,
    idle: Params | None = None,
    ridges: Any = None,
) -> None:
    """Refuse an optimiser that does not commute with a lift; None passes untried.

    Args:
      optimizer: an optax transformation of Params.
      lift: from points of the reduced problem to points of the full one, affine.
      params: a point of the reduced problem; its shapes matter, its numbers do not.
      idle: a part of the full point that nothing but the ridges moves, of the full shapes; the optimiser must then treat
        it as `ridge_decay` does.
      ridges: (L,) ridges of H and the weights, needed with `idle`.

    Raises:
      ValueError: if updates of lifted gradients are not lifted updates, saying by how much.
    """
    if optimizer is None:
        return
    if is_traced(params, idle, ridges):
        raise ValueError("optimizer must be None where numbers are traced: it is tried out on known ones, outside jit")
    error = _difference(optimizer, lift, params, idle, ridges)
    if not error <= float(np.sqrt(jnp.finfo(params.H.dtype).eps)):
        raise ValueError(
            "optimizer must be one whose updates commute with the reduction (gradient descent, momentum, normalised steps, "
            "polar factors; not Adam, Lion, sign descent, entrywise clipping or factors that depend on shapes), got one whose "
            f"updates differ by {error:.1e} of their size"
        )


def ridge_decay(problem: Problem, optimizer: optax.GradientTransformation, steps: int) -> jax.Array:
    """(L,) factors left, after so many steps, of parts of H, W_1, ... that nothing but their ridges moves.

    The optimiser itself runs on the scalars c with gradients l2 c from c = 1: (1 - lr l2)^steps for gradient descent. The
    flow has exp(-l2 t) in its place.

    Raises:
      ValueError: if steps is not a whole number of at least 1.
    """
    check_count("steps", steps, 1)
    points = _scalars(problem.ridges, problem.bias != "none")
    ridges = _scalars(problem.ridges, problem.bias != "none", ones=False)
    left = _decay(points, ridges, optimizer, steps)
    return jnp.stack([x[0, 0] for x in (left.H, *left.weights)])


@partial(jax.jit, static_argnums=(2, 3))
def _decay(point: Params, ridges: Params, optimizer: optax.GradientTransformation, steps: int) -> Params:
    def step(carry: tuple, _: None) -> tuple:
        point, state = carry
        updates, state = optimizer.update(jax.tree.map(jnp.multiply, ridges, point), state, point)
        return (optax.apply_updates(point, updates), state), None

    return lax.scan(step, (point, optimizer.init(point)), length=steps)[0][0]


def _scalars(ridges: Any, with_bias: bool, ones: bool = True) -> Params:
    """Params of 1 x 1 matrices: ones, or the ridges."""
    H, *weights = (jnp.ones((1, 1), r.dtype) if ones else jnp.reshape(r, (1, 1)) for r in jnp.asarray(ridges))
    return Params(tuple(weights), H, jnp.zeros((1,), ridges.dtype) if with_bias else None)


def _difference(optimizer: Any, lift: Callable, params: Params, idle: Params | None, ridges: Any) -> float:
    """Largest relative difference between updates of lifted gradients and lifted updates, over leaves and steps."""
    rng = np.random.default_rng(0)
    leaves, shape = jax.tree.flatten(params)

    def random(size: float) -> Params:
        return jax.tree.unflatten(shape, [jnp.asarray(size * rng.standard_normal(x.shape), x.dtype) for x in leaves])

    if idle is None:
        idle = jax.tree.map(lambda x: jnp.zeros_like(x), jax.eval_shape(lift, params))
        ridges = jnp.zeros((1 + len(params.weights),), params.H.dtype)
    with_bias = params.b is not None
    scalars = _scalars(ridges, with_bias), _scalars(ridges, with_bias, ones=False)

    @jax.jit
    def run(small: Params, gradients: list[Params], idle: Params, scalar: Params, ridge: Params) -> jax.Array:
        def linear(v: Params) -> Params:
            return jax.jvp(lift, (params,), (v,))[1]

        def moved(x: Params, idle: Params, factor: Params) -> Params:
            return jax.tree.map(lambda y, rest, c: y + c * rest, linear(x), idle, factor)

        large = moved(small, idle, scalar)
        states = optimizer.init(small), optimizer.init(large), optimizer.init(scalar)
        worst = jnp.zeros((), params.H.dtype)
        for g in gradients:
            slope = jax.tree.map(jnp.multiply, ridge, scalar)
            u, first = optimizer.update(g, states[0], small)
            U, second = optimizer.update(moved(g, idle, slope), states[1], large)
            s, third = optimizer.update(slope, states[2], scalar)
            states = first, second, third
            differences = jax.tree.map(_relative_difference, moved(u, idle, s), U)
            worst = jnp.max(jnp.stack([worst, *jax.tree.leaves(differences)]))
            small, large, scalar = (optax.apply_updates(*pair) for pair in ((small, u), (large, U), (scalar, s)))
        return worst

    return float(run(random(1.0), [random(size) for size in _SIZES], idle, *scalars))


def _relative_difference(expected: jax.Array, got: jax.Array) -> jax.Array:
    return jnp.max(jnp.abs(got - expected)) / jnp.maximum(jnp.max(jnp.abs(expected)), jnp.finfo(got.dtype).tiny)
