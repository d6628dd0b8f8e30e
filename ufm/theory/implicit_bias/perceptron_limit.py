"""Logistic regression at a huge step is the batch perceptron (Tyurin 2024), with the bounds of Novikoff.

With f(theta) = (1/n) sum_i log(1 + exp(-v_i . theta)), v_i = y_i x_i, start 0 and step gamma -> infinity, p = theta/gamma obeys

    plain       p+ = p + (1/n) sum_i c_i v_i
    normalised  p+ = p + sum_i c_i v_i / sum_i c_i       (the step divided by the mass of sigmoids, until all are correct)
    c_i = 1 where v_i . p < 0,  1/2 where v_i . p = 0 (everywhere at the start),  0 where v_i . p > 0

With a unit vector u of margin mu, v_i . u >= mu, R = max |v_i|, and a share c_t of mistakes at step t (1 if normalised),

    mu S_1 <= u . p_T,    |p_T|^2 <= R^2 S_2,    S_j = sum_t c_t^j,    T <= n R^2/mu^2 + 1 (plain),  R^2/mu^2 + 1 (normalised)

for the number T of steps until all are correct.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ufm.proofs import Book, Proof, number
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


def _run(book: Book, case: Separable, normalised: bool, label: str) -> tuple[list[np.ndarray], list[Any]]:
    """Iterates in names until all are correct, every sign a fact, and the shares of mistakes; floats only guess the signs."""
    v, p, seen = book.given(f"v_{label}", case.v), np.zeros(case.v.shape[1], int).astype(object), np.zeros(case.v.shape[1])
    path: list[np.ndarray] = []
    shares: list[Any] = []
    for step in range(_STEPS):
        signs, margins = np.sign(np.asarray(case.v) @ seen), v @ p
        for sign, margin in zip(signs, margins, strict=True):
            if step and sign:
                book.less(*((0, margin) if sign > 0 else (margin, 0)))
            elif step:
                book.equal(margin, 0)
        c = (1 - signs.astype(int)).astype(object)  # twice the mistakes, whole numbers
        if not c.any():
            return path, shares
        weight = number(1) / int(c.sum()) if normalised else number(1) / (2 * len(c))
        p = book.kept(f"{label}{step}", p + v.T @ c * weight)
        seen = seen + c.astype(float) @ np.asarray(case.v) * (1 / c.sum() if normalised else 0.5 / len(c))
        path, shares = [*path, p], [*shares, number(1) if normalised else number(int(c.sum())) / (2 * len(c))]
    return path, shares


def prove_path(case: Separable, predicted: dict[str, jax.Array]) -> Proof:
    """Both runs of the perceptron in exact numbers until all are correct, within 1e-12 of the iterates served.

    That gradient descent tends to them as its step grows is proved on paper.
    """
    book = Book("the batch perceptron and the normalised one, run in exact numbers until all are correct, are what is served")
    for label, served in predicted.items():
        path, _ = _run(book, case, label == "normalised", label)
        book.near([*path, *[path[-1]] * (_STEPS - len(path))], served, 1e-12)
    return book.proof()


def prove_mistakes(case: Separable, predicted: dict[str, jax.Array]) -> Proof:
    """Both runs in exact numbers: their lengths are below the bounds served, and Novikoff's two sums are kept to 1e-12."""
    book = Book("the perceptron, run in exact numbers, classifies all within the steps served and keeps both bounds of Novikoff")
    u, v = book.given("u", case.u), book.given("v", case.v)
    inner, squares = np.asarray(case.v @ case.u), np.sum(np.asarray(case.v) ** 2, axis=1)
    margin, square = book.kept("margin", v[inner.argmin()] @ u), book.kept("square", v[squares.argmax()] @ v[squares.argmax()])
    slack = number(1e-12)
    book.less(margin * (1 - slack), v @ u)
    book.less((v * v).sum(axis=1), square * (1 + slack))
    for i, label in enumerate(("plain", "normalised")):
        path, shares = _run(book, case, i == 1, label)
        book.less(len(path), len(inner) ** (1 - i) * square / margin**2 + 1)
        book.less(margin * sum(shares[1:], shares[0]) * (1 - slack), path[-1] @ u)
        book.less(path[-1] @ path[-1], square * sum((c**2 for c in shares[1:]), shares[0] ** 2) * (1 + slack))
    book.near([len(inner) ** (1 - i) * square / margin**2 + 1 for i in range(2)], predicted["steps"], 1e-12)
    book.near([margin, margin], predicted["progress"], 1e-12)
    book.near([square, square], predicted["growth"], 1e-12)
    return book.proof()


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
        predict_path, lambda case, point: {"plain": point[0][0], "normalised": point[0][1]}, cases, _draw,
        _ASSUMES, path=descent, prove=prove_path,
        notes="Ties after the start, which symmetric data can bring, leave the choice to terms of order 1/step.",
    ),
    statements.trajectory(
        "perceptron-mistakes", "[novikoff1962]; batch and normalised forms derived",
        predict_mistakes, mistakes, cases, _draw, _ASSUMES, path=descent, at_end=True, evidence=bounded,
        prove=prove_mistakes,
    ),
)  # fmt: skip
