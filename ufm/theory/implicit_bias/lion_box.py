"""Lion keeps to a box and takes Frank-Wolfe steps; with the matrix sign, to a spectral ball (Chen, Liu, Liang, Liu 2024).

For steps x+ = x - eta (grad K(M) + l x), M an average of gradients, K = |.|_1 (Lion) or the nuclear norm (Muon), and l the decay:

    max(|x_i| - 1/l, 0) shrinks at least by 1 - eta l a step, and stays zero once it is (eta l <= 1)
    without momentum  x+ = (1 - eta l) x + eta l argmin_v <grad f, v> over the box, or the spectral ball, of radius 1/l
    K(grad f) + l <x, grad f> = l max_v <grad f, x - v>  is the gap of Frank-Wolfe, zero exactly at KKT points
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree

from ufm.motion.lion import lion_k
from ufm.problem import Problem
from ufm.problem.params import Params, objective
from ufm.theory import statements
from ufm.theory.theorem import Assumption, Check, agreement, below, relative_error

_STEPS = 40


class Run(NamedTuple):
    """A start of Lion and its constants; outward: whether every entry is pushed outwards throughout."""

    problem: Problem
    x: Params
    eta: jax.Array
    decay: jax.Array
    b1: jax.Array
    b2: jax.Array
    outward: jax.Array


class Step(NamedTuple):
    """sign, msign: the point after a step of either. gaps: (2,) of Frank-Wolfe before it."""

    sign: Params
    msign: Params
    gaps: jax.Array


def predict_excess(run: Run) -> jax.Array:
    """The excess of Lion over the box |x_i| <= 1/decay shrinks at least by 1 - eta decay a step; the box is never left.

    (T+1,) bounds (1 - eta l)^t max(|x_i| - 1/l, 0) of the excess over the box.
    """
    start = jnp.max(jnp.abs(ravel_pytree(run.x)[0])) - 1 / run.decay
    return (1 - run.eta * run.decay) ** jnp.arange(_STEPS + 1.0) * jnp.maximum(start, 0)


@jax.jit
def measure_excess(run: Run, key: jax.Array) -> jax.Array:
    """Excess along a run of Lion."""
    del key
    optimizer = lion_k(run.eta, "sign", b1=run.b1, b2=run.b2, decay=run.decay)

    def excess(x: Params) -> jax.Array:
        return jnp.maximum(jnp.max(jnp.abs(ravel_pytree(x)[0])) - 1 / run.decay, 0)

    def step(carry: tuple, _: None) -> tuple[tuple, jax.Array]:
        x, state = carry
        update, state = optimizer.update(_gradient(run, x), state, x)
        x = optax.apply_updates(x, update)
        return (x, state), excess(x)

    path = jax.lax.scan(step, (run.x, optimizer.init(run.x)), length=_STEPS)[1]
    return jnp.append(excess(run.x), path)


def in_box(run: Run, predicted: jax.Array, measured: jax.Array) -> list[Check]:
    """Excess within its bound, and on it where every entry is pushed outwards."""
    over = float(np.max(np.asarray(measured) - np.asarray(predicted)) * run.decay)
    checks = [below("agreement", "excess over its bound", over)]
    if bool(run.outward):
        checks.append(Check("agreement", "excess", relative_error(predicted, measured), 1e-12))
    return checks


def predict_step(run: Run) -> Step:
    """Without momentum Lion is Frank-Wolfe with step eta decay on a box, and Muon with an exact matrix sign on a spectral ball; the
    gap is K(grad f) + decay <x, grad f>.

    Frank-Wolfe with step eta l; gradients of cross-entropy in closed form, vertices of the ball by a square root.
    """
    (W,), H, _ = run.x
    G = (jax.nn.softmax(W @ H, axis=0) - run.problem.targets) / run.problem.samples
    g = Params((G @ H.T,), W.T @ G, None)

    def polar(A: jax.Array) -> jax.Array:
        tall = A if A.shape[0] >= A.shape[1] else A.T
        values, vectors = jnp.linalg.eigh(tall.T @ tall)
        sign = tall @ (vectors / jnp.sqrt(values)[None, :]) @ vectors.T
        return sign if tall is A else sign.T

    def moved(vertex: Callable) -> Params:
        weight = run.eta * run.decay
        return jax.tree.map(lambda x, d: (1 - weight) * x - weight / run.decay * vertex(d), run.x, g)

    inner = run.decay * sum(jax.tree.leaves(jax.tree.map(jnp.vdot, run.x, g)))
    box = sum(jnp.sum(jnp.abs(d)) for d in jax.tree.leaves(g))
    nuclear = sum(jnp.vdot(polar(d), d) for d in jax.tree.leaves(g))
    return Step(moved(jnp.sign), moved(polar), jnp.stack([box, nuclear]) + inner)


@jax.jit
def measure_step(run: Run, key: jax.Array) -> Step:
    """A step without momentum, and l <grad f, x - v> for the vertex v = (x+ - (1 - eta l) x)/(eta l) that it went to."""
    del key
    g, weight = _gradient(run, run.x), run.eta * run.decay
    points, gaps = [], []
    for kind in ("sign", "msign"):
        optimizer = lion_k(run.eta, kind, b1=0.0, b2=0.0, decay=run.decay)
        update, _ = optimizer.update(g, optimizer.init(run.x), run.x)
        points.append(optax.apply_updates(run.x, update))
        slopes = jax.tree.map(lambda d, x, new: jnp.vdot(d, x - (new - (1 - weight) * x) / weight), g, run.x, points[-1])
        gaps.append(run.decay * sum(jax.tree.leaves(slopes)))
    by_sign, by_polar = points
    return Step(by_sign, by_polar, jnp.stack(gaps))


def _gradient(run: Run, x: Params) -> Params:
    return jax.grad(partial(objective, run.problem))(x)


def random_run(rng: np.random.Generator, size: float, weight: float) -> Run:
    """Entries within `size` times the box and steps of eta l = weight, for four classes in three dimensions."""
    decay = rng.uniform(0.5, 2)
    W, H = (jnp.asarray(0.98 * size / decay * rng.uniform(-1, 1, size=shape)) for shape in ((4, 3), (3, 4)))
    constants = (weight / decay, decay, rng.uniform(0, 0.95), rng.uniform(0.5, 0.99), False)
    return Run(Problem.balanced(4, 1, 3, loss="ce"), Params((W,), H, None), *map(jnp.asarray, constants))


def cases() -> dict[str, Run]:
    """Starts inside and far outside, a step of eta l = 1 that lands in the box, and a simplex that is pushed outwards."""
    rng = np.random.default_rng(0)
    named = {"inside": (1.0, 0.1), "outside": (10.0, 0.1), "one step": (3.0, 1.0), "slow": (3.0, 0.01)}
    runs = {label: random_run(rng, *values) for label, values in named.items()}
    start, signs = runs["slow"], np.kron([[1.0, 1.0], [1.0, -1.0]], [[1.0, 1.0], [1.0, -1.0]])[:, 1:]
    simplex = jnp.asarray(1.5 / float(start.decay) * signs)
    return runs | {"outwards": start._replace(x=Params((simplex,), simplex.T, None), outward=jnp.asarray(True))}


def draw(rng: np.random.Generator) -> Run:
    """A random start in or out of the box."""
    return random_run(rng, np.exp(rng.uniform(-1, 1)), rng.uniform(0.01, 0.3))


def step_cases() -> dict[str, Run]:
    """As `cases` where no gradient vanishes by saturation, and those are of full rank."""
    return {label: run for label, run in cases().items() if label in ("inside", "slow")}


def draw_step(rng: np.random.Generator) -> Run:
    """A random start inside the box."""
    return random_run(rng, 1.0, rng.uniform(0.01, 1))


_ASSUMES = (Assumption("eta decay <= 1", lambda run: float(run.eta * run.decay) <= 1 + 1e-12),)
_SOURCE = "[chen2024]"

THEOREMS = (
    statements.other(
        "lion-box", _SOURCE,
        predict_excess, measure_excess, cases, draw, _ASSUMES, evidence=in_box,
        notes="Equality holds where every entry outside the box is pushed outwards throughout.",
    ),
    statements.other(
        "lion-frank-wolfe", _SOURCE + "; the matrix sign derived",
        predict_step, measure_step, step_cases, draw_step, _ASSUMES, evidence=agreement(1e-9),
    ),
)  # fmt: skip
