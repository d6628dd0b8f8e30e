"""Logistic regression at a huge step is the batch perceptron (Tyurin 2024), with the bounds of Novikoff.

With f(theta) = (1/n) sum_i log(1 + exp(-v_i . theta)), v_i = y_i x_i, start 0 and step gamma -> infinity, p = theta/gamma obeys

    plain       p+ = p + (1/n) sum_i c_i v_i
    normalised  p+ = p + sum_i c_i v_i / sum_i c_i       (the step divided by the mass of sigmoids, until all are correct)
    c_i = 1 where v_i . p < 0,  1/2 where v_i . p = 0 (everywhere at the start),  0 where v_i . p > 0

With a unit vector u of margin mu, v_i . u >= mu, R = max |v_i|, and a share c_t of mistakes at step t (1 if normalised),

    mu S_1 <= u . p_T,    |p_T|^2 <= R^2 S_2,    S_j = sum_t c_t^j,    T <= n R^2/mu^2 + 1 (plain),  R^2/mu^2 + 1 (normalised)

for the number T of steps until all are correct.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ufm.theory import statements
from ufm.theory.theorem import Assumption, Check

_STEPS, _STEP_SIZE = 60, 1e13


class Separable(NamedTuple):
    """v: (n, d) signed samples. u: (d,) a unit vector of positive margin with all of them."""

    v: jax.Array
    u: jax.Array


def predict_path(case: Separable) -> dict[str, jax.Array]:
    """Gradient descent of logistic regression from zero, divided by its step, is the batch perceptron as the step grows; with steps
    divided by the mass of sigmoids, the normalised one.

    (T, d) iterates p_1, p_2, ... of either variant.
    """

    def run(normalised: bool) -> jax.Array:
        def step(p: jax.Array, _: None) -> tuple:
            c = 0.5 * (1 - jnp.sign(case.v @ p))
            total = jnp.where(jnp.any(c > 0), jnp.sum(c), 1) if normalised else len(case.v)
            p = p + c @ case.v / total
            return p, p

        return jax.lax.scan(step, jnp.zeros_like(case.u), length=_STEPS)[1]

    return {"plain": run(False), "normalised": run(True)}


def descent(case: Separable) -> tuple[jax.Array, ...]:
    """Gradient descent of both variants at step 1e13: p (T, 2, d), and (T, 2) of steps until all are correct, S_1 and S_2."""
    normalised, none = jnp.array([False, True]), jnp.zeros((2,), case.v.dtype)

    def loss(theta: jax.Array, shift: jax.Array) -> jax.Array:
        return jnp.mean(jax.nn.softplus(-(case.v @ theta + shift)))

    def step(state: tuple, _: None) -> tuple:
        p, steps, first, second = state
        gradient, falling = jax.vmap(jax.grad(loss, argnums=(0, 1)), (0, None))(_STEP_SIZE * p, jnp.zeros(()))
        share = -falling  # the mean sigmoid: how the loss falls when all margins grow
        wrong = ~jnp.all(p @ case.v.T > 0, axis=1)
        p = jnp.where(wrong[:, None], p - gradient / jnp.where(normalised, share, 1)[:, None], p)
        c = jnp.where(wrong, jnp.where(normalised, 1, share), 0)
        state = (p, steps + wrong, first + c, second + c**2)
        return state, state

    return jax.lax.scan(step, (jnp.zeros((2, *case.u.shape), case.v.dtype), none, none, none), length=_STEPS)[1]


def predict_mistakes(case: Separable) -> dict[str, jax.Array]:
    """Gradient descent at a huge step classifies all samples within n R^2/mu^2 + 1 steps, normalised within R^2/mu^2 + 1, by the
    two bounds of Novikoff on p_T.

    Bounds for either variant, (2,), on the steps until all are correct, on u . p_T / S_1, and on |p_T|^2 / S_2.
    """
    margin, square, both = jnp.min(case.v @ case.u), jnp.max(jnp.sum(case.v**2, axis=1)), jnp.ones((2,), case.v.dtype)
    steps = jnp.asarray([len(case.v), 1]) * square / margin**2 + 1
    return {"steps": steps, "progress": margin * both, "growth": square * both}


def mistakes(case: Separable, point: tuple[jax.Array, ...]) -> dict[str, jax.Array]:
    """Counts and sums where the descent ends."""
    p, steps, first, second = point
    return {"steps": steps, "progress": p @ case.u / first, "growth": jnp.sum(p**2, axis=1) / second}


def bounded(case: Separable, predicted: dict, measured: dict) -> list[Check]:
    """Bounds kept; progress met exactly where all margins equal, growth where all samples do."""
    ratio = {name: np.asarray(measured[name]) / np.asarray(predicted[name]) for name in predicted}
    checks = [
        Check("agreement", "steps over their bound", float(np.max(ratio["steps"])), 1.0),
        Check("agreement", "steps over those looked at", float(np.max(measured["steps"])) / _STEPS, 1 - 1 / _STEPS),
        Check("agreement", "bound over progress", float(np.max(1 / ratio["progress"])), 1 + 1e-9),
        Check("agreement", "growth over its bound", float(np.max(ratio["growth"])), 1 + 1e-9),
    ]
    margins = np.asarray(case.v @ case.u)
    met = {"progress": np.ptp(margins) <= 1e-12 * margins[0], "growth": np.ptp(np.asarray(case.v), axis=0).max() == 0}
    return checks + [Check("agreement", name, float(np.max(np.abs(ratio[name] - 1))), 1e-9) for name in met if met[name]]


def separable(margin: float, spread: float, slack: float, rng: np.random.Generator, n: int = 6, d: int = 4) -> Separable:
    """Samples at margins from `margin` to margin + slack of a unit vector, scattered across it by `spread`."""
    u, support = rng.normal(size=d), n // 2
    u /= np.linalg.norm(u)
    across = spread * rng.normal(size=(n, d)) @ (np.eye(d) - np.outer(u, u))
    across[:support] -= across[:support].mean(0)
    slacks = np.append(np.zeros(support), slack * rng.uniform(size=n - support))
    return Separable(jnp.asarray(np.outer(margin + slacks, u) + across), jnp.asarray(u))


def cases() -> dict[str, Separable]:
    """Wide and narrow margins, all samples on the margin, and all samples equal."""
    rng = np.random.default_rng(0)
    named = {"wide": (1.0, 1.0, 1.0), "narrow": (0.2, 1.0, 1.0), "on the margin": (0.4, 1.0, 0.0), "equal samples": (0.7, 0.0, 0.0)}
    return {label: separable(*values, rng) for label, values in named.items()}


def _draw(rng: np.random.Generator) -> Separable:
    return separable(rng.uniform(0.3, 1), rng.uniform(0.5, 1), rng.uniform(0, 2), rng)


_ASSUMES = (
    Assumption("a unit vector that separates the samples", lambda c: bool(np.all(np.asarray(c.v @ c.u) > 0))),
    Assumption("features that are fixed, a start at zero", lambda c: c.v.ndim == 2),
)

THEOREMS = (
    statements.trajectory(
        "perceptron-large-step", "[tyurin2024]; normalised form derived",
        predict_path, lambda case, point: {"plain": point[0][0], "normalised": point[0][1]}, cases, _draw, _ASSUMES, path=descent,
        notes="Ties after the start, which symmetric data can bring, leave the choice to terms of order 1/step.",
    ),
    statements.trajectory(
        "perceptron-mistakes", "[novikoff1962]; batch and normalised forms derived",
        predict_mistakes, mistakes, cases, _draw, _ASSUMES, path=descent, at_end=True, evidence=bounded,
    ),
)  # fmt: skip
