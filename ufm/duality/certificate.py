"""Lower bounds from convex duality: `value - lower_bound` certifies how far from global any point can be, in floats.

With X the K x C matrix of scaled logits W_M...W_1 H, one trained layer costs c |X|_* (nuclear norm), so that every dual point
theta in the domain of the conjugate with |A^T G(theta)|_2 <= c (and G_b = 0 under a free bias) gives

    f >= - sum_c (w_c m_c / N) loss*(theta_c, y_c) - |G_b|^2 / (2 l2_b),    G_b = sum_c (w_c m_c a_c / N) theta_c

whatever point it comes from: here from the gradient of the loss at the logits of the class means, scaled by tau until its norm fits
(`ufm.duality.bound` counts the rounding). (Zhu et al. 2021 and Zhou et al. 2022 use the optimality conditions; the bound at any
point is ours.)
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ufm.base.checks import is_traced, refuse
from ufm.base.describe import describe
from ufm.base.programs import make_room_for
from ufm.base.status import Status
from ufm.duality.bias import best_free_bias, mixed_until_balanced
from ufm.duality.bound import DualBound, evaluate, gain, infimum_below, scaled_enclosure, slope
from ufm.duality.columns import Columns, columns_of, loss_gradients
from ufm.duality.parts import own_parts, parts_of
from ufm.duality.plane import declared_bound, plane_bound
from ufm.duality.rounding import rounded_down, rounded_inwards, unit, widened
from ufm.equivalent.standard import shared_form
from ufm.losses import cross_entropy
from ufm.problem import Classes, Design, Problem, is_one_hot
from ufm.problem.params import Params, along_domain, check_point, data_term, logits, penalty

KINDS = {
    "duality": "convex duality",
    "orthant": "convex duality over non-negative features",
    "subgradient": "supporting plane of a loss whose conjugate is unknown: weaker than duality away from the optimum",
    "chord": "chord of the Schatten quasi-norm under the level set: valid and loose (M >= 2)",
    "relaxation": "duality without the proximity term: valid, may be loose",
}


class Certificate(NamedTuple):
    """A lower bound on the global minimum and what it says of a point.

    value: f at the point. lower_bound: no params have a lower value, rounding counted; minus infinity where there is no bound, and
    `status` (a `Status`) says why. gap = value - lower_bound, at least 0 for losses that are what they declare, and
    relative_gap = gap / |value|. spectral_ratio: |G|_2 / c of the dual point before it is scaled, at most 1 at a global minimum
    (one layer). allowance: what the bound gave up for rounding. dual: (parts, rows, runs) the dual point, from which
    `ufm.duality.dual_bound` computes the bound anew; one part, and rows = K, for most losses.
    """

    value: jax.Array
    lower_bound: jax.Array
    gap: jax.Array
    relative_gap: jax.Array
    spectral_ratio: jax.Array
    allowance: Any = 0.0
    status: Any = int(Status.BOUNDED)
    dual: Any = None

    def __str__(self) -> str:
        return describe(self).text()

    def _repr_html_(self) -> str:
        return describe(self).html()


def certificate_kind(problem: Problem) -> str:
    """Which bound `certify` gives for the problem: a key of `KINDS`.

    Raises:
      ValueError: where no bound is known, saying why.
    """
    if not problem.loss.convex:
        refuse("loss", problem.loss.name, "convex to be certified (declare it with ufm.Loss(..., convex=True))")
    known = parts_of(problem.loss) is not None or problem.loss.conjugate is not None
    if not known and problem.bias == "free":
        refuse("bias", "free", "'none' or 'ridge' to certify a loss without a known conjugate")
    if problem.trainable >= 2:
        return "chord"
    if problem.H0 is not None:
        return "relaxation"
    if problem.features == "nonnegative" and known and problem.trainable == 1:
        return "orthant"
    return "duality" if known else "subgradient"


def is_tight(problem: Problem) -> bool:
    """Whether the bound of a global minimum equals its value up to rounding, by what is known of the problem.

    Duality over free features is tight once the widths hold the rank of every candidate minimiser: at most K (K - 1 under a loss
    that is blind to shifts) and the number of different columns (less 1 under a free bias). Over non-negative features it is for
    cross-entropy of one-hot classes without bias and d >= K, whose dual columns of different classes repel. On the sphere it is no
    more than a relaxation.
    """
    kind = certificate_kind(problem)
    if kind == "orthant":
        plain = problem.loss.value is cross_entropy and problem.bias == "none"
        return plain and _names_one_class(problem) and min(problem.widths) >= problem.classes
    if kind != "duality" or problem.features == "sphere":
        return False
    rank = min(problem.classes - problem.loss.shift_invariant, len(problem.groups) - (problem.bias == "free"))
    return problem.trainable == 0 or min(problem.widths) >= rank


def _names_one_class(problem: Problem) -> bool:
    """Whether every column has one class, by its type or by known numbers."""
    if isinstance(problem.design, Classes):
        return is_one_hot(problem.design)
    table = problem.design.table
    return not is_traced(table) and bool(np.all((np.asarray(table) == 0) | (np.asarray(table) == 1)))


def bound_in_words(problem: Problem) -> str:
    """Which bound `certify` gives, when it is tight, what it trusts that was only declared, and what the dtype hides.

    Raises:
      ValueError: where no bound is known, saying why.
    """
    kind = certificate_kind(problem)
    words = [KINDS[kind]]
    if kind in ("duality", "orthant"):
        tight = "tight at the optimum" if is_tight(problem) else "may be loose: nothing makes it tight for this problem"
        words.append(f"rounding counted, {tight}")
    if parts_of(problem.loss) is None:
        declared = "convex" if problem.loss.conjugate is None else "convex with the conjugate"
        words.append(f"valid if the loss is {declared}, as declared")
    if problem.dtype == np.float32:
        words.append("in float32 no gap below about 1e-6 of the value can be seen")
    return "; ".join(words)


def certify(problem: Problem, params: Params) -> Certificate:
    """A rigorous lower bound on the global minimum of the problem, from any params.

    Tight for one trained layer of sufficient width (or a fixed classifier) and every convex loss with a known conjugate, with any
    class sizes, weights and bias mode (`is_tight`); `certificate_kind` names the weaker bounds used elsewhere. The nearer the
    params to the optimum the smaller the gap, which is of first order in their error. Equal columns are merged for the bound,
    whose cost is that of the classes, and float32 problems are bounded in float64 where JAX has it.

    Args:
      problem: the problem; the loss must be convex.
      params: any point of it.

    Returns:
      Certificate, floats in the problem's dtype.

    Raises:
      ValueError: for a loss that is not convex, or (free bias) has no known conjugate.
    """
    check_point(problem, params)
    certificate_kind(problem)
    make_room_for(problem, params)
    dtype = problem.dtype
    problem, params = widened((problem, params))  # before anything is derived from the numbers: N is their sum, not a rounded one
    value, z, largest = _value(*shared_form(problem, params))
    found = _certify(columns_of(problem), _mean_logits(problem.design, z), value, largest, dtype)
    exact = value.astype(dtype)
    lower = rounded_down(found.bound.lower, dtype)
    gap = exact - lower
    ratio = found.ratio.astype(dtype)
    allowance = (found.bound.allowance + jnp.maximum(found.bound.lower - lower, 0)).astype(dtype)
    return Certificate(exact, lower, gap, gap / jnp.abs(exact), ratio, allowance, found.bound.status, found.dual.astype(dtype))


class _Found(NamedTuple):
    """A bound, |G|_2 / c of the dual point before it was scaled, and the dual point."""

    bound: DualBound
    ratio: jax.Array
    dual: jax.Array


@jax.jit
def _value(problem: Problem, params: Params) -> tuple[jax.Array, jax.Array, jax.Array]:
    """(f at the point, the logits of every column, the largest of them)."""
    with jax.default_matmul_precision("highest"):
        params = along_domain(problem, params)
        z = logits(problem, params)
        return data_term(problem, z) + penalty(problem, params), z, jnp.max(jnp.abs(z))


@jax.jit
def _mean_logits(design: Design, z: jax.Array) -> jax.Array:
    """(K, runs) logits of the mean features of each run of equal columns."""
    m = design.multiplicity[None, :]
    return design.sums(z * (m / design.spread(design.sums(m))))


@partial(jax.jit, static_argnames="dtype")
def _certify(columns: Columns, z: jax.Array, value: jax.Array, largest: jax.Array, dtype: Any) -> _Found:
    """The bound at logits z, of a dual point in `dtype`; value, largest: f at the point, and its largest logit."""
    infimum = infimum_below(columns)
    steps = (z.shape[0] + z.shape[1]) * (1 + largest)
    blur = 64 * unit(z) * steps * (jnp.abs(value) + jnp.abs(infimum))  # how far rounding may have moved the value
    c = slope(columns, value + blur)
    if columns.free:
        z = z + lax.stop_gradient(best_free_bias(columns, z))[:, None] * columns.intercept[None, :]
    if parts_of(columns.loss) is None:
        found = _of_own_loss(columns, z, c, value + blur)
    else:
        found = _of_parts(columns, z, c, dtype)
    lower = jnp.where(found.bound.status == int(Status.BOUNDED), jnp.maximum(found.bound.lower, infimum), -jnp.inf)
    lower = jnp.where(lower <= value + blur, jnp.minimum(lower, value), lower)
    return found._replace(bound=found.bound._replace(lower=lower))


def _of_parts(columns: Columns, z: jax.Array, c: jax.Array, dtype: Any) -> _Found:
    """The dual point of a loss of this package at logits z, scaled until the ridges pay for it, and its bound."""
    parts, y, t = own_parts(columns.loss), columns.targets, columns.teacher
    dual = [part.atom.point(part.scaled(z, y, t), part.about(y, t)) for part in parts]
    if columns.free:
        dual = lax.stop_gradient(mixed_until_balanced(columns, dual, dtype))

    def bounded(dual: list) -> tuple[DualBound, jax.Array]:
        inside = jnp.stack([part.atom.clip(x, part.about(y, t)) for part, x in zip(parts, dual, strict=True)])
        fixed = rounded_inwards(inside, dtype)
        return evaluate(columns, fixed, c), fixed

    if not columns.priced:
        found, fixed = bounded(dual)
        return _Found(found, found.norm, fixed)

    def tried(state: tuple, shrink: jax.Array) -> tuple[tuple, jax.Array]:
        tau = state[2]
        found, fixed = lax.cond(state[0].norm > c, lambda: bounded([tau * x for x in dual]), lambda: state[:2])
        return (found, fixed, shrink * _share(c, found.norm) * tau), found.norm

    n, none = min(z.shape), jnp.zeros_like(c)
    nothing = DualBound(none, none, none + jnp.inf, jnp.asarray(int(Status.NOT_BELOW_RIDGES)))
    # as it is, scaled to what the ridges pay for, and once more where rounding has put it above that
    shrink = 1 - jnp.stack([unit(z) * (32 * n + 64) + 4 * n**0.5 * float(jnp.finfo(dtype).eps), unit(z) * 4096 * n, none])
    start = nothing, jnp.stack([jnp.zeros_like(x) for x in dual]), none + 1
    (found, fixed, _), norms = lax.scan(tried, start, shrink)
    return _Found(found, norms[0] / c, fixed)


def _share(c: jax.Array, norm: jax.Array) -> jax.Array:
    """min(1, c / norm)."""
    return jnp.where(norm > c, c / jnp.where(norm > c, norm, 1), 1)


def _of_own_loss(columns: Columns, z: jax.Array, c: jax.Array, value: jax.Array) -> _Found:
    """The bound of a loss of the user's own: its conjugate as declared, or its supporting plane."""
    theta = loss_gradients(columns, z)
    norm = gain(columns, *scaled_enclosure(columns, theta, jnp.zeros_like(theta)))
    ratio = norm / c if columns.priced else norm
    if columns.loss.conjugate is None:
        return _Found(plane_bound(columns, z, theta, c, value), ratio, theta[None])
    tau = _share(c, norm) * (1 - unit(z) * (256 * min(z.shape) + 64)) if columns.priced else 1.0
    return _Found(declared_bound(columns, z, tau * theta, c), ratio, (tau * theta)[None])
