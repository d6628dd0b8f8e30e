"""Functions of a problem that sweeps know by name, and what their results mean.

    ufm.sweep("certified", problem, {"l2_H": values}, seeds=8)        by name, also in a TOML file
    ufm.sweep(ufm.predict, problem, {"l2_H": values})                 any function of a problem
    ufm.sweep(partial(ufm.solve, starts=4), problem, axes, seeds=8)   or of a problem and a random key
    ufm.sweep(lambda p: {"threshold": ...}, problem, axes)            with any results
"""

from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp

from ufm.base.checks import refuse
from ufm.duality import certify
from ufm.equivalent.canonical_form import canonical, merges
from ufm.losses import Loss
from ufm.metrics import class_means, cosines, equinorm, numerical_rank
from ufm.metrics.geometry import orthogonal_distance, simplex_distance
from ufm.motion.trajectory import flow
from ufm.problem import Problem, is_balanced
from ufm.problem.params import Params, initialize
from ufm.search.solution import solve
from ufm.theory.registry import predict

# name: (unit, meaning); everything in a UFM is dimensionless, values of cross-entropy are in nats
MEANINGS: dict[str, tuple[str, str]] = {
    "value": ("1 (nats for cross-entropy)", "objective f at the point"),
    "gradient_norm": ("1", "|grad f| there, or the residual of the optimality conditions of constrained features"),
    "steps": ("steps", "L-BFGS steps over all runs"),
    "status": ("1", "how the lane ended"),
    "rank": ("1", "rank of the logit matrix without bias"),
    "start_values": ("1 (nats for cross-entropy)", "value reached from each start"),
    "lower_bound": ("1 (nats for cross-entropy)", "no parameters have a lower value (convex duality)"),
    "gap": ("1 (nats for cross-entropy)", "value - lower_bound"),
    "relative_gap": ("1", "(value - lower_bound)/value"),
    "spectral_ratio": ("1", "|G|_2/c, at most 1 at a global minimum of one layer"),
    "predicted": ("1 (nats for cross-entropy)", "the minimum in closed form"),
    "excess": ("1", "(value - predicted)/predicted"),
    "singular_values": ("1", "singular values of the factors H, W_1, ..., W_M"),
    "logits": ("1", "logits of each class, bias included"),
    "alive": ("1", "which classes or singular directions are not zero"),
    "unique": ("1", "whether minimisers differ by rotations of hidden coordinates alone"),
    "simplex_distance": ("1", "Gram matrix of the centred class means from the simplex"),
    "orthogonal_distance": ("1", "Gram matrix of the class means from the identity"),
    "equinorm": ("1", "lengths of the class means, std/mean"),
    "cosine": ("1", "cosine of two centred class means, mean over pairs"),
    "mean_rank": ("1", "numerical rank of the class means"),
    "nc1": ("1", "squared distance of samples to their class means over squared length of the means"),
}


def closed_form(problem: Problem) -> Any:
    """The minimum by the theorem that applies: `ufm.predict`."""
    return predict(problem)


def minimum(problem: Problem, key: jax.Array) -> dict[str, jax.Array]:
    """The minimum that L-BFGS finds: `ufm.solve`."""
    return _figures(solve(problem, key))


def certified(problem: Problem, key: jax.Array) -> dict[str, jax.Array]:
    """The minimum that L-BFGS finds and a lower bound on the global one: `ufm.solve`, then `ufm.certify`."""
    found = solve(problem, key)
    bound = certify(problem, found.params)
    return _figures(found) | {"lower_bound": bound.lower_bound, "relative_gap": bound.relative_gap}


def agreement(problem: Problem, key: jax.Array) -> dict[str, jax.Array]:
    """The minimum that L-BFGS finds against the closed form: excess = (value - predicted)/predicted."""
    figures, predicted = minimum(problem, key), predict(problem).value
    return figures | {"predicted": predicted, "excess": (figures["value"] - predicted) / predicted}


def geometry(problem: Problem, key: jax.Array) -> dict[str, jax.Array]:
    """The minimum that L-BFGS finds and the geometry of its class means."""
    found = solve(problem, key)
    M = _means(problem, found.params)
    centred = M - jnp.mean(M, axis=1, keepdims=True)
    return _figures(found) | {
        "simplex_distance": simplex_distance(centred.T @ centred),
        "orthogonal_distance": orthogonal_distance(M.T @ M),
        "equinorm": equinorm(M),
        "cosine": cosines(centred).mean,
        "mean_rank": numerical_rank(M),
    }


def flowed(problem: Problem, key: jax.Array, *, time: float = 1e3, scale: float = 0.1) -> dict[str, jax.Array]:
    """Where gradient flow from a random start of entries of size `scale` is at `time`: value, |grad f| and NC1."""
    path = flow(problem, initialize(problem, key, scale), [time])
    point = path.params
    M = _means(problem, point)
    h = point.H / jnp.sqrt(problem.multiplicity)[None, :]
    within = jnp.sum(problem.multiplicity * jnp.sum((h - M[:, problem.labels]) ** 2, axis=0))
    return {
        "value": path.value[-1],
        "gradient_norm": path.gradient_norm[-1],
        "nc1": within / jnp.sum(problem.counts * jnp.sum(M**2, axis=0)),
        "status": path.status,
    }


def measured_rank(problem: Problem, key: jax.Array) -> dict[str, jax.Array]:
    """The rank of the logit matrix at the minimum that L-BFGS finds."""
    found = solve(problem, key)
    return {"phase": found.rank, "status": found.status}


def predicted_rank(problem: Problem) -> dict[str, jax.Array]:
    """The rank of the logit matrix at the minimum in closed form."""
    return {"phase": predict(problem).rank}


FUNCTIONS: dict[str, Callable] = {f.__name__: f for f in (closed_form, minimum, certified, agreement, geometry, flowed)}
_OF_MINIMA = (minimum, certified, geometry)  # they see a problem only through its smallest equivalent
_OF_COLUMNS = {"targets", "multiplicity", "intercept", "weight", "classifier", "H0", "teacher"}  # numbers of its own shapes


def named(fn: str | Callable) -> Callable:
    """A function, or the one behind a name.

    Raises:
      ValueError: for what is neither a function nor a name in `FUNCTIONS`.
    """
    if not callable(fn) and fn not in FUNCTIONS:
        refuse("fn", fn, "a function or one of " + ", ".join(map(repr, FUNCTIONS)))
    return fn if callable(fn) else FUNCTIONS[fn]


def describe(fn: Callable) -> str:
    """A function by its module and name, with what `functools.partial` has filled in: the same in every process."""
    inner = getattr(fn, "func", fn)
    name = f"{inner.__module__}.{getattr(inner, '__qualname__', type(inner).__qualname__)}"
    filled = [*map(_value, getattr(fn, "args", ()))] + [f"{k}={_value(v)}" for k, v in getattr(fn, "keywords", {}).items()]
    return f"{name} with {', '.join(filled)}" if filled else name


def _value(x: Any) -> str:
    text = describe(x) if callable(x) and not isinstance(x, Loss) else " ".join(repr(x).split())
    return text if len(text) <= 80 else text[:77] + "..."


def standard(fn: Callable, problem: Problem, axes: Iterable[str] = ()) -> Problem:
    """The smallest problem of the same minimum, for functions that look at minima alone: n and wide d then share a program.

    Args:
      fn: what is swept. problem: any. axes: names of the numbers that will be replaced; those of single columns keep them all.
    """
    inner = getattr(fn, "func", fn)
    by_class = inner in _OF_MINIMA or (inner in (closed_form, predict) and is_balanced(problem.design))
    of_columns = any(name.partition("[")[0] in _OF_COLUMNS for name in axes)
    return canonical(problem).problem if by_class and merges(problem) and not of_columns else problem


def _figures(found: Any) -> dict[str, jax.Array]:
    return {name: getattr(found, name) for name in ("value", "gradient_norm", "steps", "status", "rank")}


def _means(problem: Problem, params: Params) -> jax.Array:
    """(d, G) class means of the samples."""
    features = params.H / jnp.sqrt(problem.multiplicity)[None, :]
    return class_means(features, problem.labels, len(problem.groups), problem.multiplicity, samples_axis=1)
