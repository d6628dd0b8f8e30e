"""The dual bound of a dual point, feasible by construction and never above the minimum in the arithmetic it is computed in.

    f >= - sum_c (w_c m_c / N) loss*(theta_c, y_c) - |G_b|^2 / (2 l2_b) - (what the features cost),    G_b = sum_c (w_c m_c a_c /
    N) theta_c

for every theta in the domain of loss* with G_b = 0 where the bias is free. The dual point is floats taken as exact; what is left
of G_b is moved, exactly, into the column with the most room: its entries are then known up to a radius, over which the bound takes
the least value. The features cost nothing where |A^T G|_2 <= c (one trained layer), |A^T G|^2 / (2 l2_H) in all under a fixed
classifier, and on the sphere as much as unit vectors can gain.

Source: derived, after Zhu et al. 2021, arXiv 2105.02375, and Zhou et al. 2022, arXiv 2203.01238 (optimality conditions).
"""

from functools import reduce
from operator import add
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ufm.base.checks import check_shape, refuse
from ufm.base.status import Status
from ufm.duality.columns import Columns, columns_of
from ufm.duality.parts import Part, own_parts, parts_of
from ufm.duality.rounding import LIBRARY, least, norm_above, orthant_norm_above, product, total_below, unit, widened
from ufm.problem import Problem


class DualBound(NamedTuple):
    """A lower bound, what it gave up for rounding, |G|_2 (from above) and a `Status`; minus infinity unless BOUNDED."""

    lower: jax.Array
    allowance: jax.Array
    norm: jax.Array
    status: jax.Array


def dual_bound(problem: Problem, dual: jax.Array, value: jax.Array | None = None) -> DualBound:
    """The lower bound that a dual point gives, recomputed from it alone.

    Args:
      problem: convex loss of this package.
      dual: (parts, rows, runs), as in `Certificate.dual`: for each atom of the loss (`ufm.duality.parts`) a matrix with one column
        for each run of equal columns; theta is the sum over parts of weight/temperature times it.
      value: f at any point, for two and more trained layers, whose bound is that of a level set.

    Returns:
      DualBound, in the widest floats there are.

    Raises:
      ValueError: for a loss that has no atoms, a dual of another shape, or no value where one is needed.
    """
    parts = own_parts(problem.loss)
    columns = columns_of(problem)
    rows = range(problem.classes)[parts[0].rows(problem.classes)]
    check_shape("dual", dual, (len(parts), len(rows), columns.targets.shape[1]))
    if problem.trainable >= 2 and value is None:
        refuse("value", None, "f at some point where two and more layers are trained")
    level = None if value is None else widened(jnp.asarray(value))
    return evaluate(columns, widened(jnp.asarray(dual)), slope(columns, level))


def evaluate(columns: Columns, dual: jax.Array, c: jax.Array) -> DualBound:
    """`dual_bound` of columns in wide floats, c the price of a unit of nuclear norm."""
    parts = own_parts(columns.loss)
    value, allowance = jnp.zeros_like(columns.shares), jnp.zeros_like(columns.shares)
    theta, radius = jnp.zeros_like(columns.targets), jnp.zeros_like(columns.targets)
    inside = jnp.asarray(True)
    moves, balanced = balance(columns, dual) if columns.free else (jnp.zeros_like(dual), jnp.asarray(True))
    for part, t, moved in zip(parts, dual, moves, strict=True):
        v, e, within = _part_below(columns, part, t, moved)
        value, allowance = value + v, allowance + e + unit(v) * jnp.abs(value + v)
        inside &= jnp.all(within)
        mid, r = completed(columns, part, t, moved)
        factor, rows = part.weight / part.temperature, part.rows(theta.shape[0])
        theta = theta.at[rows].add(factor * mid)
        radius = radius.at[rows].add(factor * (r + 4 * unit(r) * jnp.abs(mid)) * (1 + 8 * unit(r)))
    radius = radius + (2 * len(parts) + 4) * unit(radius) * jnp.abs(theta)
    lower, slack = total_below(columns.shares, value, allowance)
    G, G_radius = scaled_enclosure(columns, theta, radius)
    norm = gain(columns, G, G_radius)
    cost = bias_cost(columns, theta, radius) + feature_cost(columns, G, G_radius, norm)
    bound, slack = lower - cost - 4 * unit(lower) * (jnp.abs(lower) + jnp.abs(cost)), slack + 8 * unit(lower) * cost
    below = norm <= c if columns.priced else jnp.asarray(True)
    status = jnp.where(below, int(Status.BOUNDED), int(Status.NOT_BELOW_RIDGES))
    status = jnp.where(inside, status, int(Status.OUTSIDE_DOMAIN))
    status = jnp.where(balanced, status, int(Status.UNBALANCED))
    status = jnp.where(jnp.isfinite(bound), status, int(Status.NO_NUMBER))
    return DualBound(jnp.where(status == int(Status.BOUNDED), bound, -jnp.inf), slack, norm, status)


def infimum_below(columns: Columns) -> jax.Array:
    """At most sum_c (w_c m_c / N) inf loss(., y_c), the bound of the dual point zero; `least` where the conjugate is unknown."""
    parts = parts_of(columns.loss)
    if parts is None:
        infima = jax.vmap(columns.loss.infimum, in_axes=1)(columns.loss_targets)
        return total_below(columns.shares, infima, 64 * unit(infima) * jnp.abs(infima))[0]
    below = [_part_below(columns, p, x, x) for p, x in ((p, _nothing(columns, p)) for p in parts)]
    value, allowance = (reduce(add, (b[i] for b in below)) for i in (0, 1))
    allowance += len(parts) * unit(value) * reduce(add, (jnp.abs(b[0]) for b in below))
    return total_below(columns.shares, value, allowance)[0] + _constant_penalty(columns)


def slope(columns: Columns, level: jax.Array | None) -> jax.Array:
    """At most the price c of a unit of nuclear norm: the mean ridge of one layer, the chord under the level set of more.

    With L factors f >= data + (L/2) c sum_i s_i^(2/L), and at a minimiser s_i <= S, S^(2/L) = 2 (level - inf)/(L c): there
    s^(2/L) >= s S^(2/L - 1).
    """
    eps, L = unit(columns.l2_W), columns.trainable + 1
    if columns.trainable == 1:
        return jnp.sqrt(columns.l2_W[0]) * jnp.sqrt(columns.l2_H) * (1 - 4 * eps)
    ridges = jnp.concatenate([columns.l2_H[None], columns.l2_W])
    log = jnp.where(jnp.all(ridges > 0), jnp.mean(jnp.log(jnp.where(ridges > 0, ridges, 1))), -jnp.inf)
    if columns.trainable == 0 or level is None:
        return jnp.exp(log)
    above = jnp.maximum(level - infimum_below(columns) + 4 * eps * jnp.abs(level), least(level))
    ratio = jnp.log(2 * above / L) - log
    chord = jnp.where(jnp.isfinite(log), jnp.log(L / 2) + log + (1 - L / 2) * ratio, -jnp.inf)
    return jnp.exp(chord) * (1 - 64 * LIBRARY * L * eps * (4 + jnp.abs(jnp.where(jnp.isfinite(log), log, 0)) + jnp.abs(ratio)))


def completed(columns: Columns, part: Part, t: jax.Array, radius: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(the dual matrix with its implied entries, the radius of each entry)."""
    if not part.atom.coupled:
        return t, radius
    pivot = part.atom.pivot(t, part.about(columns.targets, columns.teacher))
    rest, moved = jnp.where(pivot, 0, t), jnp.where(pivot, 0, radius)
    implied = jnp.sum(moved, axis=0) + (t.shape[0] + 2) * unit(t) * jnp.sum(jnp.abs(rest), axis=0)
    return jnp.where(pivot, -jnp.sum(rest, axis=0)[None, :], t), jnp.where(pivot, implied[None, :], moved)


def balance(columns: Columns, dual: Any, margin: float = 1.0) -> tuple[list, jax.Array]:
    """(by how much entries of each part move to make G_b exactly zero, whether there is room for it, `margin` times).

    Of the parts that see the same rows one takes what is left over. Where its columns sum to zero, so do those of the others and
    what is left: one column takes all of it; else each row has its own.
    """
    parts = own_parts(columns.loss)
    moves, enough = [jnp.zeros_like(t) for t in dual], jnp.asarray(True)
    weights = columns.shares * columns.intercept
    for half in {part.half for part in parts}:
        group = [i for i, part in enumerate(parts) if part.half == half]
        left = _left_over([parts[i] for i in group], [dual[i] for i in group], columns, weights)
        taker = min(group, key=lambda i: parts[i].atom.coupled)
        moves[taker], fits = _taken(columns, parts[taker], dual[taker], weights, left, margin)
        enough &= fits
    return moves, enough


def _left_over(parts: list, dual: list, columns: Columns, weights: jax.Array) -> jax.Array:
    """(rows,) at least |G_b| of the parts that see the same rows."""
    total, size = 0.0, 0.0
    for part, t in zip(parts, dual, strict=True):
        eps, factor = unit(t), part.weight / part.temperature
        mid, radius = completed(columns, part, t, jnp.zeros_like(t))
        total += factor * product(mid, weights)
        spread = (t.shape[1] + 16 + 2 * len(parts)) * eps * jnp.abs(mid) + 2 * radius
        size += factor * jnp.sum(jnp.abs(weights)[None, :] * spread, axis=1)
    return jnp.abs(total) + size


def _taken(columns: Columns, part: Part, t: jax.Array, weights: jax.Array, left: jax.Array, margin: float) -> tuple:
    """(moves of the entries of the columns with the most room, whether they have `margin` times the room needed)."""
    weights = weights * (part.weight / part.temperature)
    room = part.atom.slack(t, part.about(columns.targets, columns.teacher)) * jnp.abs(weights)[None, :]
    needed = jnp.where(left > 0, left, 1)[:, None]
    score = jnp.where((left > 0)[:, None] & jnp.isfinite(room), room / needed, jnp.inf)
    score = jnp.where(weights[None, :] == 0, 0.0, score)
    if part.atom.coupled:
        score = jnp.broadcast_to(jnp.min(score, axis=0, keepdims=True), score.shape)
    here = (jnp.arange(t.shape[1])[None, :] == jnp.argmax(score, axis=1)[:, None]) & (left > 0)[:, None]
    move = (1 + 24 * unit(t)) * left[:, None] / jnp.where(weights == 0, jnp.inf, jnp.abs(weights))[None, :]
    return jnp.where(here, move, 0), jnp.all((left == 0) | (jnp.max(score, axis=1) >= margin))


def scaled_enclosure(columns: Columns, theta: jax.Array, radius: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(G, radius of each entry): G_c = scale A^T theta_c w_c sqrt(m_c) / N, A a fixed classifier."""
    eps = unit(theta)
    factor = (columns.scale * columns.weight * jnp.sqrt(columns.multiplicity) / columns.samples)[None, :]
    G, G_radius = theta * factor, (radius * (1 + 16 * eps) + 10 * eps * jnp.abs(theta)) * factor + least(theta)
    if columns.classifier is None:
        return G, G_radius
    A, rows = columns.classifier.T, theta.shape[0]
    size = product(jnp.abs(A), G_radius + (rows + 4) * eps * jnp.abs(G)) * (1 + (rows + 8) * eps)
    return product(A, G), size


def gain(columns: Columns, G: jax.Array, radius: jax.Array) -> jax.Array:
    """At least max |G v| over unit v, and over non-negative ones where features are."""
    if columns.features == "nonnegative" and columns.trainable == 1:
        return orthant_norm_above(G, radius)
    return norm_above(G, radius)


def _part_below(columns: Columns, part: Part, t: jax.Array, radius: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """(value, allowance, inside) per column of minus the conjugate of weight g((z - shift)/T) + constant."""
    eps = unit(t)
    below = part.atom.below(t, radius, part.about(columns.targets, columns.teacher))
    value = part.weight * below.value
    allowance = part.weight * below.allowance * (1 + 8 * eps) + 2 * eps * jnp.abs(value)
    if part.shift is not None:
        shift = part.shift(columns.targets, columns.teacher)
        mid, r = completed(columns, part, t, radius)
        factor = part.weight / part.temperature
        value = value - factor * jnp.sum(mid * shift, axis=0)
        allowance += factor * jnp.sum(((t.shape[0] + 8) * eps * jnp.abs(mid) + r * (1 + 8 * eps)) * jnp.abs(shift), axis=0)
    if part.log_classes:
        constant = part.log_classes * jnp.log(jnp.asarray(1.0 * t.shape[0], t.dtype))
        value = value + constant
        allowance += 4 * LIBRARY * eps * jnp.abs(constant)
    return value, allowance + 2 * eps * jnp.abs(value), below.inside


def _nothing(columns: Columns, part: Part) -> jax.Array:
    return jnp.zeros_like(columns.targets[part.rows(columns.targets.shape[0])])


def bias_cost(columns: Columns, theta: jax.Array, radius: jax.Array) -> jax.Array:
    """At least |G_b|^2 / (2 l2_b); nothing where the bias is free and G_b is zero."""
    if columns.free:
        return jnp.zeros((), theta.dtype)
    eps, weights = unit(theta), columns.shares * columns.intercept
    size = (theta.shape[1] + 16) * eps * jnp.abs(theta) + radius * (1 + 16 * eps)
    G_b = jnp.abs(product(theta, weights)) + product(size, jnp.abs(weights)) * (1 + (theta.shape[1] + 16) * eps)
    return jnp.sum(G_b**2) / (2 * columns.l2_b) * (1 + (theta.shape[0] + 16) * eps)


def feature_cost(columns: Columns, G: jax.Array, radius: jax.Array, norm: jax.Array) -> jax.Array:
    """At least what the features can gain from G beyond their penalty; nothing where the ridges pay for it."""
    grow = 1 + (G.size + 32) * unit(G)
    high = jnp.abs(G) + radius
    if columns.features == "sphere":
        if columns.trainable == 0:
            reach = jnp.sum(jnp.sqrt(jnp.sum(high**2, axis=0)) * jnp.sqrt(columns.multiplicity))
        else:
            reach = jnp.sqrt(columns.targets.shape[0] * jnp.sum(columns.multiplicity)) * norm
        return reach * grow - _constant_penalty(columns)
    if columns.trainable:
        return jnp.zeros((), G.dtype)
    pull = jnp.maximum(radius - G, 0) if columns.features == "nonnegative" else high
    total = jnp.sum(pull**2)
    return jnp.where(total > 0, total / (2 * columns.l2_H) * grow, 0)


def _constant_penalty(columns: Columns) -> jax.Array:
    """At most the penalty of unit features (and unit rows of a trained classifier), a constant."""
    if columns.features != "sphere":
        return jnp.zeros((), columns.targets.dtype)
    rows = columns.targets.shape[0] * jnp.sum(columns.l2_W)
    total = 0.5 * (rows + columns.l2_H * jnp.sum(columns.multiplicity))
    return total * (1 - (columns.multiplicity.shape[0] + 16) * unit(total))
