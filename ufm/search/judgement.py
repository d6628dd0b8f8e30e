"""Judge: whether a point of a problem is a minimum as far as its own numbers tell, in the coordinates of the problem itself.

A search runs in other coordinates (squares, normalised directions, merged columns, other widths), where a gradient can be small and
the residual at the point handed out is not. What is said of a point is therefore worked out again there:

    CONVERGED      residual <= tolerance min(1, f), or <= 64 units of rounding of s, the gradient that the problem has to cancel,
                   s = F^(1 - 1/L) G^(1/L),   F = f at zero logits less penalties, G = |dF/d(logit matrix)|
    NO_MINIMISER   at rest, and f falls all along a ray: the logits grow without ridges, or the bias of a class no target names
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ufm.base.checks import is_traced
from ufm.base.status import Status
from ufm.equivalent.standard import shared_form
from ufm.problem import Problem
from ufm.problem.params import Params, check_order, data_term, logits, value_and_residual
from ufm.search.minimum import allowed_norm

_NEAR, _FAR = 1.25, 8.0  # lengths along the ray, in units of the logits at the point
_LOST = 40.0  # logits below the others at which a class has vanished


class Judgement(NamedTuple):
    """f at the point, the residual of the optimality conditions there (see `ufm.problem.params.gradient_norm`), and a `Status`."""

    value: jax.Array
    residual: jax.Array
    status: jax.Array


def judge(problem: Problem, params: Params, ended: jax.Array, tolerance: jax.Array, scale: jax.Array) -> Judgement:
    """What may be said of the point at which a search ended.

    Args:
      problem: the user's own. params: the point, in its domain.
      ended: the `Status` that the search gives itself, which stands where the residual is above the tolerance.
      tolerance: as for `ufm.solve`. scale: `gradient_scale` of the problem, or of an equivalent one.

    Returns:
      Judgement.
    """
    check_order(problem, params)
    held = problem.features == "sphere" or _positive(problem.l2_H, problem.l2_W)
    bounded = held and (problem.bias == "none" or (problem.bias == "ridge" and _positive(problem.l2_b)))
    return _judge(*shared_form(problem, params), ended, tolerance, scale, bounded)


@partial(jax.jit, static_argnums=5)
def _judge(
    problem: Problem, params: Params, ended: jax.Array, tolerance: jax.Array, scale: jax.Array, bounded: bool
) -> Judgement:
    value, residual = value_and_residual(problem, params)
    met = residual <= allowed_norm(tolerance, value, scale)
    unmet = jnp.where(ended == int(Status.CONVERGED), int(Status.STALLED), ended)
    status = jnp.where(met, int(Status.CONVERGED), unmet)
    if not bounded:
        at_rest = (status == int(Status.CONVERGED)) | (status == int(Status.STALLED))
        status = jnp.where(at_rest & _falls_for_ever(problem, params), int(Status.NO_MINIMISER), status)
    return Judgement(value, residual, jnp.where(jnp.isfinite(value + residual), status, int(Status.NON_FINITE)))


def gradient_scale(problem: Problem) -> jax.Array:
    """s of the module's description, at most 1: the size of what cancels in the gradient at a minimum, from the problem alone."""
    zero = jnp.zeros((problem.classes, problem.columns), problem.dtype)
    value, slope = jax.value_and_grad(partial(data_term, problem))(zero)
    G = problem.scale * jnp.sqrt(jnp.sum(slope**2 / problem.multiplicity[None, :]))
    L = problem.factors
    return jnp.minimum(1, jnp.abs(value) ** (1 - 1 / L) * G ** (1 / L))


def _positive(*ridges: jax.Array) -> bool:
    """Whether all are known to be above zero."""
    return not is_traced(*ridges) and all(bool(np.all(np.asarray(ridge) > 0)) for ridge in ridges)


def _falls_for_ever(problem: Problem, params: Params) -> jax.Array:
    """Whether f falls along a ray that no penalty ends, at its beginning and far out."""
    linear = logits(problem, params._replace(b=None))
    shift = logits(problem, params) - linear
    free = problem.l2_b == 0 if problem.bias == "ridge" else jnp.asarray(problem.bias == "free")

    def slope(z: jax.Array, direction: jax.Array) -> jax.Array:
        return jax.jvp(partial(data_term, problem), (z,), (direction,))[1]

    ray = linear + jnp.where(free, shift, 0)
    growing = (slope(linear + shift + (_NEAR - 1) * ray, ray) < 0) & (slope(linear + shift + (_FAR - 1) * ray, ray) <= 0)
    growing = growing & jnp.all(problem.l2_W == 0) & ((problem.trainable > 0) | ((problem.l2_H == 0) & (problem.beta == 0)))
    if problem.features == "sphere":
        growing = jnp.zeros_like(growing)
    unnamed = jnp.all(problem.design.table == 0, axis=1).astype(problem.dtype)
    away = -unnamed[:, None] * problem.intercept[None, :]
    return growing | (free & (slope(linear + shift + _LOST * away, away) < 0))
