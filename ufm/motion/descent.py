"""Discrete optimisers: any optax transformation under one compiled loop, recorded every so many steps.

Gradient descent, heavy ball, Nesterov, normalised descent, Adam, Lion and Muon are optax's own
(`optax.sgd(lr, momentum=0.9)` is the heavy ball v <- 0.9 v + g, theta <- theta - lr v).
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax

from ufm.base.checks import check_count, refuse
from ufm.base.describe import describe
from ufm.base.precision import full_precision
from ufm.base.programs import make_room_for
from ufm.base.status import Status
from ufm.problem import Problem
from ufm.problem.params import Params, check_order, check_params, objective

_REPORTS = 50


class Descent(NamedTuple):
    """A run of a discrete optimiser, seen at T of its steps.

    steps: taken. recorded: (T,) how many were taken at each record, 0 first. value, gradient_norm: (T,) of f and |grad f|.
    metrics: what `record` gave, stacked. params: the last point. state: the optimiser's; with params it continues the run.
    status: a `ufm.Status`, COMPLETED where all steps were taken and the last point is finite.
    """

    steps: jax.Array
    recorded: jax.Array
    value: jax.Array
    gradient_norm: jax.Array
    metrics: Any
    params: Params
    state: Any
    status: jax.Array

    def __str__(self) -> str:
        return describe(self).text()

    def _repr_html_(self) -> str:
        return describe(self).html()


@full_precision
def descend(
    problem: Problem,
    params: Params,
    steps: int,
    optimizer: optax.GradientTransformation,
    *,
    every: int | None = None,
    record: Callable[[Problem, Params], Any] | None = None,
    state: Any = None,
    progress: Callable[[int, int], None] | None = None,
) -> Descent:
    """Run an optimiser from a point for a number of steps.

    Args:
      problem: with free features.
      params: the start.
      steps: how many steps to take.
      optimizer: an optax transformation of Params (it sees the weights, H and b as leaves).
      every: record every so many steps, a divisor of `steps`; by default at the start and the end only.
      record: (problem, params) -> pytree of metrics to keep at each record; a named function compiles once.
      state: the state of a run to continue, as a Descent of the same optimiser returned it.
      progress: called as progress(steps done, steps in all) about fifty times during the run.

    Returns:
      Descent.

    Raises:
      ValueError: naming the argument, the value and what is allowed.

    Example:
      >>> p = Problem.balanced(classes=2, per_class=1, widths=2, l2_W=0.1, l2_H=0.1)
      >>> start = Params((0.5 * jnp.eye(2),), 0.5 * jnp.eye(2), None)
      >>> print(descend(p, start, 200, optax.sgd(0.5, momentum=0.5), every=100).value.round(3))
      [0.331 0.18  0.18 ]
    """
    check_order(problem, params)
    if problem.features != "free":
        refuse("features", problem.features, "'free': a step leaves the domain")
    check_count("steps", steps, 1)
    every = steps if every is None else every
    check_count("every", every, 1)
    if steps % every:
        refuse("every", every, f"a divisor of steps ({steps})")
    check_params(problem, params)
    make_room_for(problem, params)
    state = optimizer.init(params) if state is None else state
    records = steps // every
    block = records if progress is None else max(1, records // _REPORTS)
    first = _look(problem, params, record)
    seen, done = [jax.tree.map(lambda x: x[None], first)], 0
    while done < records:
        block = min(block, records - done)
        (params, state), rows = _run(problem, params, state, optimizer, record, every, block)
        seen.append(rows)
        done += block
        if progress is not None:
            jax.block_until_ready(rows)
            progress(done * every, steps)
    value, norm, metrics = jax.tree.map(lambda *parts: jnp.concatenate(parts), *seen)
    sound = jnp.isfinite(value) & jnp.isfinite(norm)
    broken = jnp.where(sound[0], int(Status.DIVERGED), int(Status.NON_FINITE))
    status = jnp.where(sound[-1], int(Status.COMPLETED), broken)
    return Descent(jnp.asarray(steps), jnp.arange(records + 1) * every, value, norm, metrics, params, state, status)


@partial(jax.jit, static_argnums=2)
def _look(problem: Problem, params: Params, record: Callable | None) -> tuple[jax.Array, jax.Array, Any]:
    value, gradient = jax.value_and_grad(partial(objective, problem))(params)
    return value, optax.tree.norm(gradient), () if record is None else record(problem, params)


@partial(jax.jit, static_argnums=(3, 4, 5, 6))
def _run(problem: Problem, params: Params, state: Any, optimizer, record, every: int, records: int):
    def step(carry: tuple, _: None) -> tuple:
        params, state = carry
        gradient = jax.grad(partial(objective, problem))(params)
        updates, state = optimizer.update(gradient, state, params)
        return (optax.apply_updates(params, updates), state), None

    def advance(carry: tuple, _: None) -> tuple:
        carry, _ = lax.scan(step, carry, length=every)
        return carry, _look(problem, carry[0], record)

    return lax.scan(advance, (params, state), length=records)
