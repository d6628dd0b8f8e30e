"""perpGrad and the norm of the parameters: conserved to first order, and how a finite step grows it (Prieto et al. 2025).

    definition   theta+ = theta - eta g_perp                      |theta+|^2 = |theta|^2 + eta^2 (|g|^2 - <theta, g>^2/|theta|^2)
    reference    array by array, g_perp stretched to |g_i|        |theta_i+|^2 = |theta_i|^2 + eta^2 |g_i|^2

Plain descent has |theta+|^2 = |theta|^2 - 2 eta <theta, g> + eta^2 |g|^2, with <theta, g> < 0 while the loss can still fall by
scaling the logits: "naive loss minimisation".
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ufm.motion.perp_grad import perp_grad
from ufm.problem import Problem
from ufm.problem.params import Params, objective
from ufm.theory import statements
from ufm.theory.theorem import Check, agreement


class Step(NamedTuple):
    """A problem, a point of it, and a learning rate."""

    problem: Problem
    params: Params
    eta: jax.Array


class Norms(NamedTuple):
    """square: |theta|^2 after a step of the definition. arrays: (number of arrays,) after one of the reference optimiser.

    turn, turns: cosines of both steps with theta, of the arrays for the reference.
    """

    square: jax.Array
    arrays: jax.Array
    turn: jax.Array
    turns: jax.Array


def predict(case: Step) -> Norms:
    """A perpGrad step is orthogonal to the parameters and grows their squared norm by exactly eta^2 |g_perp|^2; the published
    optimiser, which stretches it array by array, by eta^2 |g|^2.

    The two sums of squares above, and right angles.
    """
    gradient = jax.grad(partial(objective, case.problem))(case.params)
    theta, g = (jnp.stack([jnp.sum(x**2) for x in jax.tree.leaves(tree)]) for tree in (case.params, gradient))
    along = sum(jnp.sum(x * y) for x, y in zip(jax.tree.leaves(case.params), jax.tree.leaves(gradient), strict=True))
    perp = jnp.sum(g) - along**2 / jnp.sum(theta)
    return Norms(jnp.sum(theta) + case.eta**2 * perp, theta + case.eta**2 * g, jnp.zeros(()), jnp.zeros_like(theta))


def measure(case: Step, key: jax.Array) -> Norms:
    """One step of gradient descent after either transformation."""
    del key  # the point belongs to the case
    return _steps(case)


@jax.jit
def _steps(case: Step) -> Norms:
    gradient = jax.grad(partial(objective, case.problem))(case.params)
    theta = jax.tree.leaves(case.params)

    def after(transformation: optax.GradientTransformation) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Squares of the arrays after a step, their inner products with it, and the squares of the step."""
        optimizer = optax.chain(transformation, optax.sgd(case.eta))
        updates = jax.tree.leaves(optimizer.update(gradient, optimizer.init(case.params), case.params)[0])
        sums = [(jnp.sum((x + y) ** 2), jnp.sum(x * y), jnp.sum(y**2)) for x, y in zip(theta, updates, strict=True)]
        after, along, step = (jnp.stack(column) for column in zip(*sums, strict=True))
        return after, along, step

    before = jnp.stack([jnp.sum(x**2) for x in theta])
    squares, inner, lengths = after(perp_grad())
    turn = jnp.sum(inner) / jnp.sqrt(jnp.sum(before) * jnp.sum(lengths))
    arrays, each, lengths = after(perp_grad(per_array=True, rescale=True))
    return Norms(jnp.sum(squares), arrays, turn, each / jnp.sqrt(before * lengths))


def cases() -> dict[str, Step]:
    """Small and large steps, with and without ridge."""
    return {f"eta={eta} l2={l2}": _step(eta, l2, seed) for seed, (eta, l2) in enumerate(((0.01, 0.0), (1.0, 0.0), (10.0, 0.02)))}


def draw(rng: np.random.Generator) -> Step:
    """A random learning rate, ridge and point."""
    return _step(float(np.exp(rng.uniform(-5, 3))), float(np.exp(rng.uniform(-6, -1))), int(rng.integers(2**31)))


def _step(eta: float, l2: float, seed: int) -> Step:
    rng = np.random.default_rng(seed)
    problem = Problem.balanced(3, 2, 4, loss="ce", l2_W=l2, l2_H=l2)
    W, H = rng.normal(size=(3, 4)), rng.normal(size=(4, 6))
    return Step(problem, Params((jnp.asarray(W),), jnp.asarray(H), None), jnp.asarray(eta))


def evidence(case: Step, predicted: Norms, measured: Norms) -> list[Check]:
    """Growths of the squares, not the squares, agree; and the cosines are zero."""
    before = np.array([np.sum(np.asarray(x) ** 2) for x in jax.tree.leaves(case.params)])
    grown = [
        x._replace(square=np.asarray(x.square) - before.sum(), arrays=np.asarray(x.arrays) - before) for x in (predicted, measured)
    ]
    return agreement(1e-8, turn=1e-12, turns=1e-12)(case, *grown)


THEOREMS = (
    statements.other(
        "perp-grad", "[prieto2025]; growth derived",
        predict, measure, cases, draw, evidence=evidence,
        notes="The two readings differ twice: one projection for all parameters or one for each array, and whether g_perp "
        "keeps its length. Flow of either conserves the norm; steps do not.",
    ),
)  # fmt: skip
