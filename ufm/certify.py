"""Lower bounds from convex duality: `value - lower_bound` proves how far from global any point can be.

With X the K x C matrix of scaled logits W_M...W_1 H and theta_c the gradient of the loss in the logits of column c, one
trained layer costs c |X|_* (nuclear norm), so the dual point tau * theta gives, for every tau with |A^T G(tau)|_2 <= c,

    f >= - sum_c (w_c m_c / N) loss*(tau theta_c, y_c) - |tau G_b|^2 / (2 l2_b),    G_b = sum_c (w_c m_c a_c / N) theta_c

whatever the point it comes from. A free bias needs G_b = 0: b is first minimised out, then theta is corrected by one
Newton step in b. (Zhu et al. 2021 and Zhou et al. 2022 use the optimality conditions; the bound at any point is ours.)
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from ufm.card import card_of
from ufm.checks import refuse
from ufm.objective import Params, along_domain, column_weights, data_term, logits, objective
from ufm.precision import full_precision
from ufm.problem import Problem
from ufm.standard_form import point_with_bias, share_bias

KINDS = {
    "duality": "convex duality: tight at the optimum",
    "orthant": "convex duality over non-negative features: tight where the dual columns of different classes repel, as for "
    "cross-entropy without bias",
    "subgradient": "supporting plane of a loss whose conjugate is unknown: weaker than duality away from the optimum",
    "chord": "chord of the Schatten quasi-norm under the level set: valid and loose (M >= 2)",
    "relaxation": "duality without the proximity term: valid, may be loose",
}


class Certificate(NamedTuple):
    """A lower bound on the global minimum and what it says of a point.

    value: f at the point. lower_bound: no params have a lower value. gap = value - lower_bound (at least 0 up to
    rounding), and relative_gap = gap / value. spectral_ratio: |G|_2 / c at the point, at most 1 at a global minimum (one layer).
    """

    value: jax.Array
    lower_bound: jax.Array
    gap: jax.Array
    relative_gap: jax.Array
    spectral_ratio: jax.Array

    def __str__(self) -> str:
        return card_of(self).text()

    def _repr_html_(self) -> str:
        return card_of(self).html()


def certificate_kind(problem: Problem) -> str:
    """Which bound `certify` gives for the problem: a key of `KINDS`.

    Raises:
      ValueError: where no bound is known, saying why.
    """
    if not problem.loss.convex:
        refuse("loss", problem.loss.name, "convex to be certified (declare it with ufm.Loss(..., convex=True))")
    if problem.loss.conjugate is None and problem.bias == "free":
        refuse("bias", "free", "'none' or 'ridge' to certify a loss without a known conjugate")
    if problem.trainable >= 2:
        return "chord"
    if problem.H0 is not None:
        return "relaxation"
    if problem.features == "nonnegative" and problem.loss.conjugate is not None and problem.trainable == 1:
        return "orthant"
    return "duality" if problem.loss.conjugate is not None else "subgradient"


@full_precision
def certify(problem: Problem, params: Params) -> Certificate:
    """A rigorous lower bound on the global minimum of the problem, from any params.

    Tight for one trained layer (or a fixed classifier) and every convex loss with a known conjugate, with any class
    sizes, weights and bias mode; `certificate_kind` names the weaker bounds used elsewhere. The nearer the params to the
    optimum the smaller the gap, which is of first order in their error.

    Args:
      problem: the problem; the loss must be convex.
      params: any point of it.

    Returns:
      Certificate.

    Raises:
      ValueError: for a loss that is not convex, or (free bias) has no known conjugate.
    """
    certificate_kind(problem)
    # the kind of targets does not matter here, nor an absent bias: problems that differ in them alone share a program
    shared = problem if problem.bias == "free" else share_bias(problem)
    general = dataclasses.replace(shared, design="general", groups=(1,) * problem.columns)
    return _certify(general, point_with_bias(problem, params))


@jax.jit
def _certify(problem: Problem, params: Params) -> Certificate:
    params = along_domain(problem, params)
    value = objective(problem, params)
    if problem.bias == "free":
        params = params._replace(b=_best_free_bias(problem, params))
    z = logits(problem, params)
    theta = loss_gradients(problem, z)
    if problem.bias == "free":
        theta = _balance(problem, z, theta)
    bound, ratio = _lower_bound(problem, params, z, theta, value)
    # what rounding may have added to the bound is taken off again, so that it stays one
    terms = jnp.abs(value) + jnp.sum(column_weights(problem)[None, :] * jnp.abs(theta * z))
    bound = jnp.where(jnp.isnan(bound), -jnp.inf, bound - 8 * jnp.finfo(z.dtype).eps * terms)
    return Certificate(value, bound, value - bound, (value - bound) / jnp.abs(value), ratio)


@full_precision
def escape_direction(problem: Problem, params: Params) -> tuple[Params, jax.Array]:
    """A unit direction of negative curvature at a critical point of one trained layer that is not a global minimum.

    With (u, v) the top singular pair of the logit gradient G, and x a unit vector with W x = 0 and x^T H = 0 (there is
    one as soon as d > K, or d = K and the point is not certified; the least singular vector stands in otherwise),

        dW = (l2_H/l2_W)^(1/4) u x^T,   dH = -(l2_W/l2_H)^(1/4) x v^T

    have curvature -2 (|G|_2 - c) / (sqrt(l2_H/l2_W) + sqrt(l2_W/l2_H)) after normalisation (Zhou et al. 2022, for MSE; it
    holds for every convex loss).

    Args:
      problem: one trained layer, free features.
      params: a critical point.

    Returns:
      (direction as Params of norm 1, its predicted curvature: negative at uncertified critical points).

    Raises:
      ValueError: for other depths or constrained features.
    """
    if problem.trainable != 1 or len(problem.widths) != 1 or problem.features != "free":
        refuse("problem", problem, "one trained layer with free features to give an escape direction")
    if problem.H0 is not None:
        refuse("H0", "an array", "None: no escape direction is known under a proximity term")
    z = logits(problem, params)
    theta = loss_gradients(problem, z)
    G = scaled_gradient(problem, theta)
    U, s, Vt = jnp.linalg.svd(G, full_matrices=False)
    stacked = jnp.concatenate([params.weights[0], params.H.T])
    x = jnp.linalg.svd(stacked, full_matrices=True)[2][-1]
    ratio = jnp.sqrt(problem.l2_H / problem.l2_W[0])
    dW = jnp.sqrt(ratio) * U[:, :1] * x[None, :]
    dH = -x[:, None] * Vt[:1] / jnp.sqrt(ratio)
    norm = jnp.sqrt(ratio + 1 / ratio)
    b = None if params.b is None else jnp.zeros_like(params.b)
    return Params((dW / norm,), dH / norm, b), -2 * (s[0] - problem.c) / (ratio + 1 / ratio)


@full_precision
def scaled_gradient(problem: Problem, theta: jax.Array) -> jax.Array:
    """Gradient of the data term in the scaled features' image, scale * A^T theta_c w_c sqrt(m_c) / N, A a fixed classifier."""
    G = problem.scale * theta * (column_weights(problem) / jnp.sqrt(problem.multiplicity))[None, :]
    return G if problem.classifier is None else problem.classifier.T @ G


def _lower_bound(problem: Problem, params: Params, z: jax.Array, theta: jax.Array, value: jax.Array):
    """(lower bound, |G|_2 / c) from logits z and dual directions theta."""
    G = scaled_gradient(problem, theta)
    norm = _dual_norm(problem, G)
    infimum = jnp.sum(column_weights(problem) * jax.vmap(problem.loss.infimum, in_axes=1)(problem.loss_targets))
    if problem.trainable == 0:
        if problem.features == "sphere":
            norms = jnp.sum(jnp.linalg.norm(G, axis=0) * jnp.sqrt(problem.multiplicity))
            return _dual_value(problem, z, theta, jnp.ones((), z.dtype)) - norms, norm
        pull = jnp.maximum(-G, 0) if problem.features == "nonnegative" else G
        return _dual_value(problem, z, theta, jnp.ones((), z.dtype)) - jnp.sum(pull**2) / (2 * problem.l2_H), norm
    if problem.features == "sphere":
        radius = jnp.sqrt(problem.classes * jnp.sum(problem.multiplicity))
        return _dual_value(problem, z, theta, jnp.ones((), z.dtype)) - radius * norm, norm
    c = problem.c
    factors = problem.trainable + 1
    if factors > 2:
        largest = (2 * (value - infimum) / (factors * c)) ** (factors / 2)
        c = 0.5 * factors * c * largest ** (2 / factors - 1)
    if problem.loss.conjugate is None:
        linear = jnp.sum(column_weights(problem)[None, :] * theta * z)
        slack = jnp.maximum(norm - c, 0) * (value - infimum) / c
        G_b = jnp.sum((column_weights(problem) * problem.intercept)[None, :] * theta, axis=1)
        bound = data_term(problem, z) - linear - slack
        known = jnp.stack([z, problem.targets, jnp.zeros_like(z)])
        values = jax.vmap(jax.vmap(problem.loss.value, in_axes=1), in_axes=(0, None))(known, problem.loss_targets)
        bound = jnp.where(jnp.all(values >= problem.loss.least), bound, -jnp.inf)  # `least` is not what it says
        if params.b is not None:
            bound -= jnp.sum(G_b**2) / (2 * problem.l2_b)
        return bound, norm / c
    tau = jnp.minimum(1, c / norm)
    return _dual_value(problem, z, theta, tau), norm / c


def _dual_norm(problem: Problem, G: jax.Array) -> jax.Array:
    """At least max |G v| over unit v, and over non-negative ones where features are: |G|_2, or the root of Perron's eigenvalue.

    For v >= 0, |G v|^2 = v^T M v <= v^T max(M, 0) v with M = G^T G, and equality at the Perron vector of a block of columns
    whose products with all others are not positive.
    """
    norm = jnp.linalg.svd(G, compute_uv=False)[0]
    if problem.features != "nonnegative" or problem.trainable != 1:
        return norm
    return jnp.minimum(norm, jnp.sqrt(jnp.linalg.eigvalsh(jnp.maximum(G.T @ G, 0))[-1]))


def _dual_value(problem: Problem, z: jax.Array, theta: jax.Array, tau: jax.Array) -> jax.Array:
    """-sum_c (w_c m_c / N) loss*(tau theta_c) - |tau G_b|^2 / (2 l2_b), by Fenchel-Young equality where loss* is unknown."""
    weights = column_weights(problem)
    if problem.loss.conjugate is None:
        dual = data_term(problem, z) - jnp.sum(weights[None, :] * theta * z)
    else:
        dual = -jnp.sum(weights * jax.vmap(problem.loss.conjugate, in_axes=1)(tau * theta, problem.loss_targets))
    if problem.bias == "ridge":
        G_b = tau * jnp.sum((weights * problem.intercept)[None, :] * theta, axis=1)
        dual -= jnp.sum(G_b**2) / (2 * problem.l2_b)
    return dual


@full_precision
def loss_gradients(problem: Problem, z: jax.Array) -> jax.Array:
    """(K, C) gradients of the loss in the logits of each column."""
    return jax.vmap(jax.grad(problem.loss.value), in_axes=1, out_axes=1)(z, problem.loss_targets)


def _bias_newton_step(problem: Problem, z: jax.Array, gradient: jax.Array) -> jax.Array:
    """Hessian of the data term in b, pseudo-inverted on `gradient` (flat directions stay put); K passes of K x C."""
    weights = column_weights(problem) * problem.intercept

    def curvature_along(direction: jax.Array) -> jax.Array:
        return _theta_change(problem, z, direction) @ weights

    hessian = lax.map(curvature_along, jnp.eye(problem.classes, dtype=z.dtype))
    return jnp.linalg.pinv(hessian, rtol=1e-12, hermitian=True) @ gradient


def _theta_change(problem: Problem, z: jax.Array, direction: jax.Array) -> jax.Array:
    """First-order change of the loss gradients when b moves along a direction."""
    moved = direction[:, None] * problem.intercept[None, :]
    return jax.jvp(lambda z: loss_gradients(problem, z), (z,), (moved,))[1]


def _best_free_bias(problem: Problem, params: Params) -> jax.Array:
    """argmin_b of the data term at fixed features by damped Newton steps."""
    z0 = logits(problem, params._replace(b=jnp.zeros_like(params.b)))

    def shifted(b: jax.Array) -> jax.Array:
        return z0 + b[:, None] * problem.intercept[None, :]

    def newton(_: int, b: jax.Array) -> jax.Array:
        gradient = loss_gradients(problem, shifted(b)) @ (column_weights(problem) * problem.intercept)
        step = _bias_newton_step(problem, shifted(b), gradient)
        trials = b[None, :] - (0.5 ** jnp.arange(12, dtype=b.dtype))[:, None] * step[None, :]
        values = lax.map(lambda t: data_term(problem, shifted(t)), trials)
        best = jnp.argmin(jnp.where(jnp.isnan(values), jnp.inf, values))
        return jnp.where(values[best] <= data_term(problem, shifted(b)), trials[best], b)

    return lax.fori_loop(0, 12, newton, params.b)


def _balance(problem: Problem, z: jax.Array, theta: jax.Array) -> jax.Array:
    """theta with G_b = 0 to rounding: less its change under the Newton step in b that would remove G_b.

    The step moves each column in proportion to its curvature, so that theta stays in the domain of the conjugate.
    """
    for _ in range(2):
        residual = theta @ (column_weights(problem) * problem.intercept)
        theta = theta - _theta_change(problem, z, _bias_newton_step(problem, z, residual))
    return theta
