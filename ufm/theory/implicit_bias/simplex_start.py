"""Balanced simplex factors of a loss without ridge: the starts that flows and rates are about, and what is seen along the flow."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ufm.base.matrices import helmert
from ufm.losses import CE, Loss, is_loss
from ufm.problem import Problem
from ufm.problem.params import Params, logits, objective
from ufm.theory.kit.integrate import integrate
from ufm.theory.theorem import Assumption

_DIM = 4


class SimplexStart(NamedTuple):
    """Columns of K classes of n samples, simplex factors, which of W_1, ..., W_M are trained (0 is a fixed I), times (T,)."""

    problem: Problem
    params: Params
    trained: jax.Array
    ts: jax.Array


class SimplexPath(NamedTuple):
    """s, value, square: logit scale, f and |theta|^2 of the trained factors; off: largest entry of Z - s (I - J/K)."""

    s: jax.Array
    value: jax.Array
    square: jax.Array
    off: jax.Array


def trained_part(case: SimplexStart, gradient: Params) -> Params:
    """The gradient with the entries of fixed weights set to zero."""
    return gradient._replace(weights=tuple(on * g for on, g in zip(case.trained, gradient.weights, strict=True)))


def logit_scale(z: jax.Array) -> jax.Array:
    """s of simplex logits s (I - J/K): the margin of class 1 over class 2."""
    return z[0, 0] - z[1, 0]


def trained_square(case: SimplexStart, params: Params) -> jax.Array:
    """|theta|^2 of the trained factors."""
    return jnp.sum(params.H**2) + sum(on * jnp.sum(W**2) for on, W in zip(case.trained, params.weights, strict=True))


def flow(case: SimplexStart) -> Params:
    """The trained factors along gradient flow, integrated in the time log(1 + t), at the times of the case."""

    def velocity(state: tuple[Params, jax.Array]) -> tuple[Params, jax.Array]:
        params, clock = state
        gradient = trained_part(case, jax.grad(partial(objective, case.problem))(params))
        return jax.tree.map(lambda g: -jnp.exp(clock) * g, gradient), jnp.ones_like(clock)

    return integrate(velocity, (case.params, jnp.zeros(())), jnp.log1p(case.ts))[0]


def observe(case: SimplexStart, point: Params) -> SimplexPath:
    """Scale, value and square at a point of the flow, and how far its logits are from the simplex."""
    z, K = logits(case.problem, point), case.problem.classes
    off = jnp.max(jnp.abs(z - logit_scale(z) * (jnp.eye(K) - 1 / K)))
    return SimplexPath(logit_scale(z), objective(case.problem, point), trained_square(case, point), off)


def simplex_start(
    depth: int, n: int, s: float, last: float, rng: np.random.Generator, classes: int = 4, layers: int = 3, loss: str | Loss = "ce"
) -> SimplexStart:
    """Simplex factors of scale s in random frames, with `depth` of the weights trained, and nine times up to `last`."""
    problem = Problem.balanced(classes, n, (_DIM,) * layers, loss=loss).collapsed()
    trained, u = np.repeat([0.0, 1.0], (layers - depth, depth)), (np.sqrt(n) * s) ** (1 / (depth + 1))
    U, frame = np.asarray(helmert(classes)), np.linalg.qr(rng.normal(size=(_DIM, classes - 1)))[0]
    H, weights = u * frame @ U.T, []
    for on in trained[:-1]:
        turned = np.linalg.qr(rng.normal(size=(_DIM, classes - 1)))[0]
        weights.append(u * turned @ frame.T if on else np.eye(_DIM))
        frame = turned if on else frame
    params = Params(tuple(map(jnp.asarray, (*weights, u * U @ frame.T))), jnp.asarray(H), None)
    return SimplexStart(problem, params, jnp.asarray(trained), jnp.asarray(np.expm1(np.linspace(0, np.log1p(last), 9))))


def cases() -> dict[str, SimplexStart]:
    """One, two and three trained weights, one and several samples a class, from small and from large scale."""
    rng = np.random.default_rng(0)
    grid = ((1, 1, 0.5, 1e3), (1, 4, 3.0, 1e5), (2, 1, 0.5, 1e3), (2, 3, 2.0, 1e4), (3, 2, 0.7, 1e3))
    return {f"M={M} n={n} s={s}": simplex_start(M, n, s, last, rng) for M, n, s, last in grid}


def draw(rng: np.random.Generator) -> SimplexStart:
    """Random depth, class size and scale, four or five classes."""
    depth, n = int(rng.integers(1, 4)), int(rng.integers(1, 9))
    return simplex_start(depth, n, rng.uniform(0.5, 4), np.exp(rng.uniform(3, 9)), rng, int(rng.choice((4, 5))))


def _is_simplex(case: SimplexStart) -> bool:
    z, K = np.asarray(logits(case.problem, case.params)), case.problem.classes
    return np.allclose(z, logit_scale(z) * (np.eye(K) - 1 / K), atol=1e-12 * np.max(np.abs(z)))


NO_RIDGE = Assumption("no ridge", lambda c: float(np.max(c.problem.ridges)) == 0)
ASSUMES = (
    Assumption("balanced cross-entropy, one column a class", lambda c: is_loss(c.problem.loss, CE)),
    Assumption("no ridge and no bias", lambda c: float(np.max(c.problem.ridges)) == 0 and c.problem.bias == "none"),
    Assumption("simplex logits", _is_simplex),
)
