"""What two minimisers of one problem share whatever the rotations between them: the geometry that `verify` compares."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from ufm import metrics
from ufm.base.checks import refuse
from ufm.problem import Problem
from ufm.problem.params import Params, along_domain, end_to_end, gradient_norm, objective

_LARGEST_HESSIAN = 1200


class Examination(NamedTuple):
    """A point of a problem, seen through invariants.

    value, gradient_norm: of the objective. curvature: smallest eigenvalue of its Hessian, and stiffness: the smallest that is not
    a rounding of zero, as those along rotations are (both NaN where it is too large to be looked at, see `sees_curvature`).
    singular_values: (L, min(K, G)) of H, W_1, ..., W_M. class_gram: (G, G) of the class means. classifier_gram: (K, K) of
    W_M...W_1. logits: (K, G) of the classes. bias: (K,). nc1: of the features.
    """

    value: jax.Array
    gradient_norm: jax.Array
    curvature: jax.Array
    stiffness: jax.Array
    singular_values: jax.Array
    class_gram: jax.Array
    classifier_gram: jax.Array
    logits: jax.Array
    bias: jax.Array
    nc1: jax.Array


def sees_curvature(params: Params) -> bool:
    """Whether the Hessian at params is small enough for `examine` to look at its eigenvalues."""
    return sum(x.size for x in jax.tree.leaves(params)) <= _LARGEST_HESSIAN


@partial(jax.jit, static_argnums=3)
def examine(problem: Problem, params: Params, active: Params, groups: tuple[int, ...]) -> Examination:
    """Examine a point in its shared form (see `ufm.equivalent.standard.shared_form`).

    Args:
      problem, params: the shared form. active: 1 where a coordinate belongs to the problem, 0 where it pads.
      groups: lengths of the runs of columns that form a class.
    """
    labels = jnp.repeat(jnp.arange(len(groups)), jnp.asarray(groups), total_repeat_length=sum(groups))
    features = params.H / jnp.sqrt(problem.multiplicity)[None, :]
    means = metrics.class_means(features, labels, len(groups), problem.multiplicity, samples_axis=1)
    classifier = end_to_end(problem, params.weights)
    if params.b is None:
        refuse("params", params, "in shared form, with a bias")
    b = params.b * jnp.max(jnp.abs(problem.intercept))
    z = classifier @ means + b[:, None]
    if problem.loss.shift_invariant:
        b = b - jnp.mean(b)
        z = z - jnp.mean(z, axis=0, keepdims=True)
    top = min(problem.classes, len(groups))
    factors = (params.H, *params.weights)
    curvature, stiffness = _curvatures(problem, params, active)
    return Examination(
        value=objective(problem, params),
        gradient_norm=gradient_norm(problem, params),
        curvature=curvature,
        stiffness=stiffness,
        singular_values=jnp.stack([jnp.linalg.svd(A, compute_uv=False)[:top] for A in factors]),
        class_gram=means.T @ means,
        classifier_gram=classifier @ classifier.T,
        logits=z,
        bias=b,
        nc1=metrics.nc1_trace_ratio(features, labels, len(groups), problem.multiplicity, samples_axis=1),
    )


def _curvatures(problem: Problem, params: Params, active: Params) -> tuple[jax.Array, jax.Array]:
    """The smallest eigenvalue of the Hessian, and the smallest above 1e-10 of the largest."""
    if not sees_curvature(params):
        return jnp.asarray(jnp.nan, problem.dtype), jnp.asarray(jnp.nan, problem.dtype)
    flat, unravel = jax.flatten_util.ravel_pytree(params)
    if problem.features == "nonnegative":  # features at the edge of their domain stay there: their slope decides
        active = active._replace(H=active.H * (params.H > 0))
    mask = jax.flatten_util.ravel_pytree(active)[0]
    gradient = jax.grad(lambda x: objective(problem, along_domain(problem, unravel(x))))
    hessian = jax.lax.map(lambda e: jax.jvp(gradient, (flat,), (e,))[1], jnp.eye(flat.size, dtype=flat.dtype))
    masked = hessian * mask[:, None] * mask[None, :] + jnp.diag(1 - mask)
    eigenvalues = jnp.linalg.eigvalsh(masked)
    largest = jnp.max(jnp.where(mask > 0, jnp.diag(masked), 0))
    return eigenvalues[0], jnp.min(jnp.where(eigenvalues > 1e-10 * largest, eigenvalues, jnp.inf))
