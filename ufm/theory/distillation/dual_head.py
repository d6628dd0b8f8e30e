"""Two heads on shared features, one for labels and one for the teacher (DHKD): three scalars, and heads that are parallel.

    f = gamma CE(W1 h, y) + kd B(W2 h, t) + l1/2 |W1|^2 + l2/2 |W2|^2 + l2_H/2 |h|^2

With a symmetric teacher Z1 = a1 P, Z2 = a2 P + e J and P W2 = (a2/a1) P W1: what both heads ask of the features is paid for once,

    f* = min gamma log(1 + (K-1) e^-a1) + kd B(a2, e) + sqrt(n l2_H) ((K-1) sqrt(l1 a1^2 + l2 a2^2) + sqrt(l2) |e|),

so that the first margin may end above that of cross-entropy alone. Problems of `dual_head_problem` have l1 = l2.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ufm.base.checks import is_traced
from ufm.base.matrices import helmert
from ufm.equivalent.columns import split_columns
from ufm.losses import value_of
from ufm.losses.distillation import DualHead
from ufm.problem import Problem, run_starts
from ufm.problem.params import column_weights
from ufm.settings.distillation import dual_head_problem, symmetric_teacher
from ufm.theory.assumptions import ONE_LAYER, PENALISED, PLAIN, has_bias, has_loss
from ufm.theory.distillation.descent import descent_theorem
from ufm.theory.distillation.symmetric import binary_slopes
from ufm.theory.prediction import Prediction, effective_c, from_triples
from ufm.theory.symmetric import kinked_root
from ufm.theory.theorem import Assumption

_ITERATIONS, _TRIALS, _SLACK = 60, 24, 1e-9


def predict(problem: Problem) -> Prediction:
    """Two heads on shared features, cross-entropy and a binary divergence from a symmetric teacher: centred heads are exactly
    parallel, P W2 = (a2/a1) P W1, features a simplex (with a common mean where e is not 0), (a1, a2, e) the minimum of a convex
    function of three scalars.

    Newton on the scalars, for e above, below and at zero; all margins zero where the slopes at 0 allow it.
    """
    K, total = len(problem.groups), jnp.sum(column_weights(problem))
    price, teacher = effective_c(problem) * jnp.sqrt(problem.counts[0]) / total, tuple(problem.targets[K : K + 2, 0])

    # no margin at all: the mean alone, where the slopes of both margins are within the cone of the penalty
    e = kinked_root(lambda e, *teacher: _slopes(problem, jnp.stack([0 * e, 0 * e, e]), teacher)[2], price, *teacher)
    flat = jnp.stack([0 * e, 0 * e, e])
    pull = jnp.linalg.norm(_slopes(problem, flat, teacher)[:2])
    dead = pull <= price * (K - 1)
    lively = jnp.where(dead, pull / (2 * (K - 1)), price)  # so that the branch not taken has a minimum, and derivatives
    values, scalars = lax.map(lambda side: _of_side(problem, side, lively, teacher), jnp.array([0.0, 1.0, -1.0], price.dtype))
    x = jnp.where(dead, flat, scalars[jnp.argmin(values)])
    cost = price * ((K - 1) * _length(x) + jnp.abs(x[2]))
    value = jnp.where(_is_symmetric(problem, jnp), total * (_loss(problem, x, teacher) + cost), jnp.nan)
    return _assembled(problem, x, value)


def _loss(problem: Problem, x: jax.Array, teacher: tuple) -> jax.Array:
    """gamma log(1 + (K-1) e^-a1) + kd [B(z_t) + (K-1) B(z_o)] of x = (a1, a2, e)."""
    K, loss = len(problem.groups), value_of(problem.loss, DualHead)
    logits = (x[1] * (K - 1) + x[2]) / K, (x[2] - x[1]) / K
    own, other = (loss.binary(z[None], (None, t[None])) for z, t in zip(logits, teacher, strict=True))
    return loss.gamma * jax.nn.softplus(jnp.log(K - 1.0) - x[0]) + loss.kd * (own + (K - 1) * other)


def _slopes(problem: Problem, x: jax.Array, teacher: tuple) -> jax.Array:
    """Derivatives of `_loss` in x."""
    K, loss = len(problem.groups), value_of(problem.loss, DualHead)
    in_a, in_e = binary_slopes(loss.binary, K, x[1], x[2], *teacher)
    return jnp.stack([-loss.gamma * jax.nn.sigmoid(jnp.log(K - 1.0) - x[0]), loss.kd * in_a, loss.kd * in_e])


def _length(x: jax.Array) -> jax.Array:
    """|(a1, a2)|, of derivative 0 at 0."""
    square = x[0] ** 2 + x[1] ** 2
    return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)


def _of_side(problem: Problem, side: jax.Array, price: jax.Array, teacher: tuple) -> tuple[jax.Array, jax.Array]:
    """The minimum for e of one sign or zero (+inf where it has another) and its scalars, by Newton from those of the teacher."""
    K = len(problem.groups)
    active = jnp.append(jnp.ones((2,), price.dtype), side**2)

    def value(x: jax.Array, price: jax.Array, teacher: tuple) -> jax.Array:
        return _loss(problem, x, teacher) + price * ((K - 1) * _length(x) + side * x[2])

    def slope(x: jax.Array, price: jax.Array, teacher: tuple) -> jax.Array:
        ray = (K - 1) * x[:2] / _length(x)
        return active * (_slopes(problem, x, teacher) + price * jnp.append(ray, side))

    def step(x: jax.Array, *parameters: Any) -> jax.Array:
        hessian = jax.jacfwd(slope)(x, *parameters) * active[None, :]
        return jnp.linalg.solve(hessian + jnp.diag(1 - active), slope(x, *parameters))

    frozen = lax.stop_gradient((price, teacher))
    lengths = 2.0 ** (2 - jnp.arange(_TRIALS, dtype=price.dtype))

    def damped(_: int, x: jax.Array) -> jax.Array:
        full = step(x, *frozen)
        full = full * jnp.minimum(1, (1 + jnp.linalg.norm(x)) / jnp.maximum(jnp.linalg.norm(full), 1e-30))
        trials = x[None, :] - lengths[:, None] * jnp.where(jnp.isfinite(full), full, slope(x, *frozen))[None, :]
        values = jax.vmap(lambda trial: value(trial, *frozen))(trials)
        best = jnp.argmin(jnp.where(jnp.isfinite(values), values, jnp.inf))
        return jnp.where(values[best] < value(x, *frozen), trials[best], x)

    near, (t_own, t_other) = jnp.log1p(1 / frozen[0]), frozen[1]
    taught = jnp.stack([t_own - t_other, side**2 * (t_own + (K - 1) * t_other)])
    starts = jnp.stack([jnp.append(near, taught), jnp.append(near, jnp.clip(taught, -near, near))])  # it, and nearer to zero
    ends = jax.vmap(lambda start: lax.fori_loop(0, _ITERATIONS, damped, start))(starts)
    x = lax.stop_gradient(ends[jnp.argmin(jax.vmap(lambda x: value(x, *frozen))(ends))])

    def polish(x: jax.Array, _: None) -> tuple[jax.Array, None]:
        """A plain step, which carries the derivatives; NaN where the minimum has not been reached."""
        moved = step(x, price, teacher)
        return jnp.where(jnp.linalg.norm(moved) <= 1e-3 * (1 + jnp.linalg.norm(x)), x - moved, jnp.nan), None

    x, _ = lax.scan(polish, x, length=2)
    return jnp.where((side == 0) | (x[2] * side > 0), value(x, price, teacher), jnp.inf), x


def _assembled(problem: Problem, x: jax.Array, value: jax.Array) -> Prediction:
    """Class logits [a1 P; a2 P + e J]: K - 1 directions shared by both heads, and the mean of the second."""
    K, dtype, r = len(problem.groups), problem.dtype, _length(x)
    safe = jnp.where(r > 0, r, 1)
    basis, mean = helmert(K, dtype=dtype), jnp.full((K, 1), K**-0.5, dtype)
    U = jnp.block([[basis * x[0] / safe, 0 * mean], [basis * x[1] / safe, jnp.where(x[2] < 0, -mean, mean)]])
    V = jnp.concatenate([basis, mean], axis=1)
    sigma = jnp.sqrt(problem.counts[0]) * jnp.append(jnp.full((K - 1,), 1, dtype) * r, jnp.abs(x[2]))
    return from_triples(problem, U, sigma, V, jnp.zeros((2 * K,), dtype), value)


def problem_at(a_T: float, b_T: float, ridge: float, ratio: float = 1.0, per_class: int = 1) -> Problem:
    """K = 4, ridges (l, ratio l, l); the second head's T and kd follow the ratio so that all cases share one loss."""
    s = ratio**-0.5
    second: dict[str, Any] = {"kd": 1 / s**2, "temperature": 2 * s, "l2_W": (ridge, ratio * ridge)}
    return split_columns(dual_head_problem(symmetric_teacher(4, a_T, b_T), per_class, 16, l2_H=ridge, **second))


def cases() -> dict[str, Problem]:
    """Teachers above and below the student, cheap and dear second heads, mean logits alive and dead, everything dead."""
    at: dict[str, tuple[Any, ...]] = {
        "a_T=4": (4.0, 0.0, 1e-3), "a_T=10 b_T=6": (10.0, 6.0, 1e-2), "a_T=3 b_T=-4, dear second head": (3.0, -4.0, 3e-3, 4.0, 3),
        "a_T=3 b_T=0.2, mean dead": (3.0, 0.2, 0.1, 0.25), "teacher against its labels": (-3.0, 1.0, 1e-2),
        "no margin, mean alive": (0.5, 9.0, 0.6), "all dead": (0.5, 0.5, 0.6),
    }  # fmt: skip
    return {label: problem_at(*case) for label, case in at.items()}


def draw(rng: np.random.Generator) -> Problem:
    """Random teacher, ridges and class size."""
    ratio = float(rng.choice([0.25, 1.0, 4.0]))
    return problem_at(rng.uniform(1, 8), rng.uniform(-6, 6), np.exp(rng.uniform(-6, -3)), ratio, int(rng.integers(1, 20)))


def _is_symmetric(problem: Problem, xp: Any) -> Any:
    """One-hot labels, and a teacher, alike for K classes of one size and weight, in 2K rows."""
    K = len(problem.groups)
    if K < 2 or problem.classes != 2 * K:
        return False
    Y = xp.asarray(problem.targets)[:, run_starts(problem.groups)]
    expected = xp.concatenate([np.eye(K), xp.where(np.eye(K) == 1, Y[K, 0], Y[K + 1, 0])])
    counts, weights = (xp.max(xp.abs(x / x[0] - 1)) <= _SLACK for x in (problem.counts, problem.weight))
    return counts & weights & (xp.max(xp.abs(Y - expected)) <= _SLACK * (1 + xp.max(xp.abs(Y))))


_SYMMETRIC = Assumption("a symmetric teacher on equal classes", lambda p: not is_traced(p.design) and bool(_is_symmetric(p, np)))
THEOREMS = (
    descent_theorem(
        "dhkd-dual-head", "derived (group averaging); setting: [yang2024]", predict, cases, draw,
        (
            has_loss(DualHead, name="dual_head"), _SYMMETRIC, PLAIN, PENALISED, ONE_LAYER,
            Assumption("a width of at least K", lambda p: min(p.widths) >= len(p.groups)), has_bias("none"),
        ),
        notes="The first margin may end above that of cross-entropy alone, since the second head pays for part of the "
        "features.",
    ),
)  # fmt: skip
