"""Bounds for losses of the user's own: their conjugate as declared, or the supporting plane at the point where it is unknown.

The arithmetic inside a function that somebody else wrote is not known, so its value and gradient are taken as right to 32 K
roundings of numbers of size 1, of the logits, and of its value: an allowance, not a proof.
"""

import jax
import jax.numpy as jnp

from ufm.base.checks import refuse
from ufm.base.status import Status
from ufm.duality.bound import DualBound, bias_cost, feature_cost, gain, infimum_below, scaled_enclosure
from ufm.duality.columns import Columns
from ufm.duality.rounding import product, total_below, unit


def declared_bound(columns: Columns, z: jax.Array, theta: jax.Array, c: jax.Array) -> DualBound:
    """The dual bound by the conjugate that the loss declares, at theta (K, C) that is scaled already."""
    conjugate = columns.loss.conjugate
    if conjugate is None:
        refuse("loss", columns.loss.name, "a loss that declares its conjugate")
    values = -jax.vmap(conjugate, in_axes=1)(theta, columns.loss_targets)
    G_b = product(theta, columns.shares * columns.intercept)
    left = jnp.sum(jnp.abs(G_b)) * 4 * jnp.max(jnp.abs(z)) if columns.free else _ridge_cost(columns, theta)
    lower, slack = total_below(columns.shares, values, _rounding(z, theta, values))
    G, radius = scaled_enclosure(columns, theta, 8 * unit(theta) * jnp.abs(theta))
    norm = gain(columns, G, radius)
    paid = norm <= c if columns.priced else jnp.asarray(True)
    bound = lower - left - feature_cost(columns, G, radius, norm)
    inside = jnp.all(jnp.isfinite(values))
    return _ended(bound, slack, norm, inside, paid)


def plane_bound(columns: Columns, z: jax.Array, theta: jax.Array, c: jax.Array, value: jax.Array) -> DualBound:
    """The supporting plane at z: loss(z_c) + <theta_c, z - z_c>, over the level set of `value` where it is not flat enough."""
    losses = jax.vmap(columns.loss.value, in_axes=1)(z, columns.loss_targets)
    values = losses - jnp.sum(theta * z, axis=0)
    lower, slack = total_below(columns.shares, values, _rounding(z, theta, values) + _rounding(z, theta, losses))
    G, radius = scaled_enclosure(columns, theta, 8 * unit(theta) * jnp.abs(theta))
    norm = gain(columns, G, radius)
    above = jnp.maximum(value - infimum_below(columns), 0) * (1 + 16 * unit(z))
    bound = lower - _ridge_cost(columns, theta)
    if columns.priced:
        bound = bound - jnp.where(norm > c, (norm - c) / c * above, 0)
    else:
        bound = bound - feature_cost(columns, G, radius, norm)
    error = 32 * unit(z) * (1 + jnp.sum(jnp.abs(theta), axis=0))  # of the gradient: it acts over the level set
    bound = bound - jnp.sum(columns.shares * error * (_reach(columns, c, above) + jnp.sum(jnp.abs(z), axis=0)))
    known = jnp.stack([z, columns.targets, jnp.zeros_like(z)])
    every = jax.vmap(jax.vmap(columns.loss.value, in_axes=1), in_axes=(0, None))(known, columns.loss_targets)
    declared = jnp.all(every >= columns.loss.least)  # else `least` is not what it says
    return _ended(bound, slack, norm, declared, jnp.asarray(True))


def _reach(columns: Columns, c: jax.Array, above: jax.Array) -> jax.Array:
    """(C,) at least |z_c| at a minimiser, whose penalty is at most `above`."""
    if columns.features == "sphere":
        features = jnp.full_like(columns.shares, jnp.sqrt(1.0 * columns.targets.shape[0]))
    else:
        nuclear = above / c if columns.trainable else jnp.sqrt(2 * above / columns.l2_H)
        features = nuclear / jnp.sqrt(columns.multiplicity)
    if columns.classifier is not None:
        features = features * jnp.sqrt(jnp.sum(columns.classifier**2))
    bias = jnp.zeros_like(above) if columns.free else jnp.sqrt(2 * above / columns.l2_b)
    return columns.scale * features + jnp.abs(columns.intercept) * bias


def _ridge_cost(columns: Columns, theta: jax.Array) -> jax.Array:
    return jnp.zeros((), theta.dtype) if columns.free else bias_cost(columns, theta, 8 * unit(theta) * jnp.abs(theta))


def _rounding(z: jax.Array, theta: jax.Array, values: jax.Array) -> jax.Array:
    size = 1 + jnp.abs(values) + jnp.max(jnp.abs(z), axis=0) + jnp.sum(jnp.abs(theta * z), axis=0)
    return 32 * z.shape[0] * unit(z) * size


def _ended(bound: jax.Array, slack: jax.Array, norm: jax.Array, inside: jax.Array, paid: jax.Array) -> DualBound:
    status = jnp.where(paid, int(Status.BOUNDED), int(Status.NOT_BELOW_RIDGES))
    status = jnp.where(inside, status, int(Status.OUTSIDE_DOMAIN))
    status = jnp.where(jnp.isfinite(bound) | ~inside, status, int(Status.NO_NUMBER))
    return DualBound(jnp.where(status == int(Status.BOUNDED), bound, -jnp.inf), slack, norm, status)
