"""Cross-entropy without ridge in the log domain: the loss falls to 0 and the parameters grow without end, far past floats.

With margins D_kc = z_kc - z_yc and a_c = logsumexp_{k != y} D_kc, everything is a difference of logits or a logarithm:

    log f = logsumexp_c( log(w_c m_c / N) + log log(1 + e^{a_c}) ),    log log(1 + e^a) = a - e^a/2 + ... for small e^a

Descent on log f runs along the orbit of gradient flow on f in the time d tau = f dt, and log t is kept beside it. The
gradient of log f is O(1) where that of f is 10^-3000; softmax minus one-hot, which rounds to 0 past a margin of 37, is
never formed (Lyu and Li 2020, arXiv 1906.05890; Ji et al. 2022, arXiv 2110.02796).
"""

import math
from collections.abc import Callable
from functools import partial
from itertools import combinations
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from ufm.base.checks import check_choice, check_count, check_positive, is_traced, refuse
from ufm.base.precision import full_precision
from ufm.base.status import Status
from ufm.losses import CE, check_loss
from ufm.problem import Problem
from ufm.problem.params import Params, check_params, check_point, column_weights, logits


class LogDescent(NamedTuple):
    """A run in the log domain, seen at T of its steps.

    steps: taken. recorded: (T,) how many were taken at each record, 0 first. log_time, log_value: (T,) of log t and log f.
    margin: (T,) least of z_y - z_k over columns and k != y. smoothed_margin: (T,), see `smoothed_margin`. metrics: what `record`
    gave, stacked. params: the last point; with log_time[-1] it continues the run. status: a `ufm.Status`.
    """

    steps: jax.Array
    recorded: jax.Array | np.ndarray
    log_time: jax.Array
    log_value: jax.Array
    margin: jax.Array
    smoothed_margin: jax.Array
    metrics: Any
    params: Params
    status: jax.Array


@full_precision
def descend_log(
    problem: Problem,
    params: Params,
    steps: int,
    *,
    step: float = 0.5,
    every: int | None = None,
    record: Callable[[Problem, Params], Any] | None = None,
    log_time: Any = -np.inf,
) -> LogDescent:
    """Gradient descent on log f, which follows theta' = -grad f to times t whose logarithm is in the thousands.

    A step has d tau = step / curvature, with a bound of the curvature of log f across its valley; for two factors, shares
    s_c of the columns in f and G = d log f / dz it is max_c(s_c) (|W|^2 + |H|^2) + |G|. Each step adds O(step) to the
    margin, and to log t.

    Args:
      problem: cross-entropy with one-hot targets and no penalty at all; free features, any depth.
      params: the start; zero, a saddle, stays.
      steps: how many steps to take.
      step: below 1, where explicit steps are stable; small ones follow the flow itself.
      every: record every so many steps, a divisor of `steps`; by default at the start and the end only.
      record: (problem, params) -> pytree of metrics to keep at each record; a named function compiles once.
      log_time: log t of the start; log_time[-1] of a run that is continued.

    Returns:
      LogDescent.

    Raises:
      ValueError: naming the argument, the value and what is allowed.

    Example:
      >>> p = Problem.balanced(classes=3, per_class=2, widths=3, loss="ce")
      >>> run = descend_log(p, Params((jnp.eye(3),), p.targets, None), 4000)
      >>> print(Status(int(run.status)).name, bool(run.log_value[-1] < -1000))
      SEPARATED True
    """
    check_point(problem, params)
    check_separable_form(problem)
    check_params(problem, params)
    check_count("steps", steps, 1)
    every = steps if every is None else every
    check_count("every", every, 1)
    if steps % every:
        refuse("every", every, f"a divisor of steps ({steps})")
    check_positive("step", step)
    start = (params, jnp.asarray(log_time, problem.dtype))
    path, (params, _), status = _run(problem, start, jnp.asarray(step, problem.dtype), record, every, steps // every)
    times, values, margins, smoothed, metrics = path
    recorded = np.arange(steps // every + 1) * every
    return LogDescent(jnp.asarray(steps), recorded, times, values, margins, smoothed, metrics, params, status)


@full_precision
def log_objective(problem: Problem, params: Params) -> jax.Array:
    """log f of cross-entropy without penalty, exact however small f is; so is its gradient.

    Args:
      problem: as in `descend_log`. params: any point.

    Returns:
      log f, a scalar.
    """
    check_point(problem, params)
    return _log_value(problem, logits(problem, params))[0]


@full_precision
def margin(problem: Problem, params: Params) -> jax.Array:
    """The least margin, min over columns and k != y of z_y - z_k: a scalar."""
    check_point(problem, params)
    z = logits(problem, params)
    true = problem.targets == 1
    return jnp.min(jnp.sum(jnp.where(true, z, 0), axis=0) - jnp.max(jnp.where(true, -jnp.inf, z), axis=0))


@full_precision
def smoothed_margin(problem: Problem, params: Params) -> jax.Array:
    """-log(e^{N f} - 1) / |theta|^L for L trained factors, a scalar: never falls along the flow once N f < log 2 (no bias).

    The simplex maximises its limit: 1/(2 sqrt(n) (K - 1)) for two factors and K classes of n samples.

    Source: Lyu and Li (2020).
    """
    x = log_objective(problem, params) + jnp.log(problem.samples)
    tiny = x < _cut(x.dtype)
    total = jnp.exp(jnp.where(tiny, 0, x))
    log_expm1 = jnp.where(tiny, x + jnp.exp(jnp.minimum(x, 0)) / 2, total + jnp.log(-jnp.expm1(-total)))
    return -log_expm1 / optax.tree.norm(params) ** problem.factors


def check_separable_form(problem: Problem) -> None:
    """Refuse a problem whose loss cannot fall to zero: a penalty, soft targets, features that are not free."""
    check_loss(problem.loss, CE)
    check_choice("features", problem.features, ("free",))
    for name in ("l2_W", "l2_H", "l2_b", "beta"):
        value = getattr(problem, name)
        if not is_traced(value) and np.any(np.asarray(value) != 0):
            refuse(name, value, "0: with a penalty f has a minimum in float range, see ufm.flow and ufm.solve")
    if not is_traced(problem.targets) and not np.all(np.isin(np.asarray(problem.targets), (0, 1))):
        refuse("targets", problem.targets, "one-hot: the loss of soft labels stays above their entropy")


def _cut(dtype: Any) -> float:
    return 0.5 * float(np.log(jnp.finfo(dtype).eps))


def _log_value(problem: Problem, z: jax.Array) -> tuple[jax.Array, jax.Array]:
    """log f at logits z of shape (K, C), and the (C,) logarithms of the columns' terms in f."""
    true = problem.targets == 1
    D = z - jnp.sum(jnp.where(true, z, 0), axis=0)[None, :]
    a = jax.nn.logsumexp(jnp.where(true, -jnp.inf, D), axis=0)
    cut = _cut(z.dtype)
    near = jnp.log(jnp.logaddexp(jnp.maximum(a, cut), 0))
    terms = jnp.log(column_weights(problem)) + jnp.where(a > cut, near, a - jnp.exp(jnp.minimum(a, cut)) / 2)
    return jax.nn.logsumexp(terms), terms


def _largest_square(A: jax.Array) -> jax.Array:
    """A bound tr((A A^T)^8)^(1/8) of |A|_2^2, above it by rank^(1/8) at most, from products of matrices alone."""
    gram = A @ A.T if A.shape[0] <= A.shape[1] else A.T @ A
    size = jnp.trace(gram)
    gram = gram / jnp.where(size > 0, size, 1)
    for _ in range(2):
        gram = gram @ gram
    return size * jnp.sum(gram**2) ** 0.125


def _curvature(problem: Problem, params: Params, G: jax.Array, terms: jax.Array) -> jax.Array:
    """Gauss-Newton part max_c(s_c/m_c) |dz/dtheta|^2, and |G| times that of the products of L - 2 factors."""
    squares = [_largest_square(A) for A in (*params.weights, params.H)]
    fixed = problem.scale**2 * (1 if problem.classifier is None else _largest_square(problem.classifier))

    def products(left_out: int) -> list:
        return [fixed * math.prod(kept) for kept in combinations(squares, len(squares) - left_out)]

    jacobian = sum(products(1))
    if params.b is not None:
        jacobian = jacobian + jnp.sum(problem.multiplicity * problem.intercept**2)
    share = jnp.exp(terms - jax.nn.logsumexp(terms)) / problem.multiplicity
    bends = sum(jnp.sqrt(square) for square in products(2)) if len(squares) > 1 else 0
    return jnp.max(share) * jacobian + jnp.linalg.norm(G / jnp.sqrt(problem.multiplicity)[None, :]) * bends


@partial(jax.jit, static_argnums=(3, 4, 5))
def _run(problem: Problem, start: tuple, size: jax.Array, record: Callable | None, every: int, records: int):
    def step(carry: tuple, _: None) -> tuple:
        params, log_time = carry
        z, pull_back = jax.vjp(partial(logits, problem), params)
        (value, terms), G = jax.value_and_grad(partial(_log_value, problem), has_aux=True)(z)
        time = size / _curvature(problem, params, G, terms)
        (gradient,) = pull_back(G)
        moved = jax.tree.map(lambda x, g: x - time * g, params, gradient)
        return (moved, jnp.logaddexp(log_time, jnp.log(time) - value)), None

    def look(carry: tuple) -> tuple:
        params, log_time = carry
        seen = () if record is None else record(problem, params)
        values = (log_objective(problem, params), margin(problem, params), smoothed_margin(problem, params))
        return log_time, *values, seen

    def advance(carry: tuple, _: None) -> tuple[tuple, tuple]:
        carry, _ = lax.scan(step, carry, length=every)
        return carry, look(carry)

    end, rows = lax.scan(advance, start, length=records)
    path = jax.tree.map(lambda first, rest: jnp.concatenate([first[None], rest]), look(start), rows)
    last = path[1][-1]
    separated = last + jnp.log(problem.samples) < jnp.log(jnp.log(2.0))
    status = jnp.where(separated, int(Status.SEPARATED), int(Status.NOT_SEPARATED))
    finite = jnp.isfinite(last) & jnp.isfinite(optax.tree.norm(end[0]))
    broken = jnp.where(jnp.isfinite(path[1][0]), int(Status.DIVERGED), int(Status.NON_FINITE))
    return path, end, jnp.where(finite, status, broken)
