"""Runs of five optimisers from one point in one compiled program: what reductions are held to.

    gradient descent, heavy ball, Nesterov, descent normalised by the norm of the whole gradient, and heavy ball with polar
    factors (Muon's five steps of an odd polynomial after division by the Frobenius norm)

share V <- mu V + g, theta <- theta - lr_t D(V + ahead (g + (mu - 1) V)); the last two shrink their steps geometrically.
"""

import dataclasses
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ufm.equivalent.columns import Reduced
from ufm.problem import Problem, flattened
from ufm.problem.params import Params, objective, weight_shapes

METHODS = ("gd", "heavy ball", "nesterov", "normalised", "polar")
LINEAR, STEPS, RECORDS = 3, 1000, 4
_MOMENTUM = (0.0, 0.9, 0.9, 0.0, 0.9)
_AHEAD = (0.0, 0.0, 1.0, 0.0, 0.0)
_RATE = (1.0, 0.1, 0.1, 0.1, 0.03)
_SHRINK = (1.0, 1.0, 1.0, 0.98, 0.98)
_QUINTIC = (3.4445, -4.7750, 2.0315)


class Run(NamedTuple):
    """A problem, a start, and the step of gradient descent; the other methods scale theirs to it."""

    problem: Problem
    params: Params
    rate: jax.Array


def trajectories(run: Run, methods: int = len(METHODS)) -> Params:
    """Params after 250, 500, 750 and 1,000 steps of the first so many methods (3 are linear), of leading axes (methods, 4)."""
    lanes = tuple(jnp.asarray(x[:methods], run.problem.dtype) for x in (_MOMENTUM, _AHEAD, _RATE, _SHRINK))
    return jax.vmap(partial(_trajectory, run, methods > LINEAR))(jnp.arange(methods), lanes)


def _trajectory(run: Run, spectral: bool, method: jax.Array, lane: tuple) -> Params:
    momentum, ahead, rate, shrink = lane

    def step(carry: tuple, _: None) -> tuple:
        params, velocity, size = carry
        g = jax.grad(partial(objective, run.problem))(params)
        velocity = jax.tree.map(lambda v, x: momentum * v + x, velocity, g)
        raw = jax.tree.map(lambda v, x: v + ahead * (x + (momentum - 1) * v), velocity, g)
        update = _one_of(raw, method) if spectral else raw
        return (jax.tree.map(lambda p, u: p - size * u, params, update), velocity, size * shrink), None

    def advance(carry: tuple, _: None) -> tuple:
        carry, _ = lax.scan(step, carry, length=STEPS // RECORDS)
        return carry, carry[0]

    rest = jax.tree.map(jnp.zeros_like, run.params)
    return lax.scan(advance, (run.params, rest, run.rate * rate), length=RECORDS)[1]


def _one_of(raw: Params, method: jax.Array) -> Params:
    """The update itself, divided by its norm, or matrix by matrix its polar factor."""
    norm = jnp.sqrt(sum(jnp.sum(x**2) for x in jax.tree.leaves(raw)))
    kinds = (raw, jax.tree.map(lambda x: x / norm, raw), _polar(raw))
    return jax.tree.map(lambda x, y, z: jnp.where(method < LINEAR, x, jnp.where(method == LINEAR, y, z)), *kinds)


def _polar(raw: Params) -> Params:
    """Muon's approximate polar factor of every matrix, for a vector that of its column.

    Zeros around a matrix stay zeros, so that all of them are worked on in one padded stack.
    """
    a, b, c = _QUINTIC
    leaves, structure = jax.tree.flatten(raw)
    wide = [x[None, :] if x.ndim == 1 else x if x.shape[0] <= x.shape[1] else x.T for x in leaves]
    rows, columns = (max(x.shape[i] for x in wide) for i in range(2))
    padded = jnp.stack([jnp.pad(x, ((0, rows - x.shape[0]), (0, columns - x.shape[1]))) for x in wide])
    start = padded / jnp.sqrt(jnp.sum(padded**2, axis=(1, 2), keepdims=True))

    def iterate(_: int, y: jax.Array) -> jax.Array:
        gram = y @ y.transpose(0, 2, 1)
        return a * y + (b * gram + c * gram @ gram) @ y

    stacked = lax.fori_loop(0, 5, iterate, start)
    factors = [y[: x.shape[0], : x.shape[1]] for x, y in zip(wide, stacked, strict=True)]
    flat = [y.reshape(x.shape) if x.shape[0] <= x.shape[-1] or x.ndim == 1 else y.T for x, y in zip(leaves, factors, strict=True)]
    return jax.tree.unflatten(structure, flat)


def decays(run: Run, methods: int) -> jax.Array:
    """(methods, 4, L) factors that the ridges of H, W_1, ... leave at the records of `trajectories`, by scalar recursions."""
    l2 = run.problem.ridges

    def of_method(momentum: jax.Array, ahead: jax.Array, rate: jax.Array) -> jax.Array:
        def step(carry: tuple, _: None) -> tuple[tuple, jax.Array]:
            left, velocity = carry
            velocity = momentum * velocity + l2 * left
            left = left - run.rate * rate * (velocity + ahead * (l2 * left + (momentum - 1) * velocity))
            return (left, velocity), left

        path = lax.scan(step, (jnp.ones_like(l2), jnp.zeros_like(l2)), length=STEPS)[1]
        return path[STEPS // RECORDS - 1 :: STEPS // RECORDS]

    return jax.vmap(of_method)(*(jnp.asarray(x[:methods], run.problem.dtype) for x in (_MOMENTUM, _AHEAD, _RATE)))


def in_full(run: Run, methods: int = len(METHODS)) -> Params:
    """The run with each column on its own, as every objective sees it: the path that reductions are held to."""
    return trajectories(run._replace(problem=dataclasses.replace(run.problem, design=flattened(run.problem.design))), methods)


def as_it_is(case: Any, point: Params) -> Params:
    """What one method records along the run of full size."""
    return point


def lifted(reduced: Reduced, rate: jax.Array, left: jax.Array | None = None) -> Params:
    """The reduced run, lifted to full size: of the linear methods, where they leave factors `left` of what lies beside."""
    path = trajectories(Run(reduced.problem, reduced.params, rate), len(METHODS) if left is None else LINEAR)
    return jax.vmap(jax.vmap(reduced.lift))(path, *(() if left is None else (left,)))


def run_of(problem: Problem, rng: np.random.Generator, size: float, low: float = 0.05, high: float = 0.2) -> Run:
    """The problem, a start of that size and a step between two ends."""
    return Run(problem, start(problem, size, rng), jnp.asarray(rng.uniform(low, high)))


def ridges(rng: np.random.Generator, depth: int) -> dict[str, Any]:
    """Random ridges of the weights and of the features."""
    return {"l2_W": rng.uniform(0.002, 0.02, size=depth), "l2_H": rng.uniform(0.002, 0.02)}


def start(problem: Problem, size: float, rng: np.random.Generator) -> Params:
    """Independent Gaussian entries: weights of standard deviation size / sqrt(columns), features of one `size`."""
    weights = tuple(jnp.asarray(size * rng.normal(size=s) / np.sqrt(s[1])) for s in weight_shapes(problem))
    b = None if problem.bias == "none" else jnp.asarray(size * rng.normal(size=problem.classes))
    return Params(weights, jnp.asarray(size * rng.normal(size=(problem.widths[0], problem.columns))), b)
