"""Cross-entropy at a huge step g: the multiclass perceptron, and two layers that grow like powers of g (derived).

With E = (A - Y)/N, A the one-hot argmax of the logits (ties shared evenly; the softmax at a start that is not zero):

    H fixed, W_0 = 0:    W_t/g -> P_t,   P+ = P - E H^T
    both layers:         W_t/g^t -> w_t,  H_t/g^t -> h_t,   w+ = -E h^T,  h+ = -w^T E

after Tyurin 2024 for one binary layer. The second holds for as long as every sample has been misclassified: a column of h that
is skipped once is of lower order in g, and its argmax is then decided by terms that the limit drops.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ufm.losses import CE, is_loss
from ufm.problem import Problem
from ufm.problem.params import Params, logits, objective
from ufm.theory import statements
from ufm.theory.theorem import Assumption, agreement

_ONE_LAYER_STEPS, _ONE_LAYER_SIZE = 40, 1e13
_TWO_LAYER_STEPS, _TWO_LAYER_SIZE = 6, 1e9


class Layers(NamedTuple):
    """A problem of one layer of cross-entropy without ridge, and a start."""

    problem: Problem
    params: Params


class Growth(NamedTuple):
    """W: (T, K, d) and H: (T, d, C), iterates over powers of the step; zero once a sample has been skipped."""

    W: jax.Array
    H: jax.Array


def predict_frozen(case: Layers) -> jax.Array:
    """With fixed features and W_0 = 0, gradient descent of cross-entropy at step g -> infinity has W/g on the path of the
    multiclass batch perceptron, ties shared evenly.

    (T, K, d) iterates of the multiclass perceptron.
    """
    (W,), H, _ = case.params

    def step(P: jax.Array, _: None) -> tuple:
        P = P - _mistakes(case.problem, _shared_argmax(P @ H)) @ H.T
        return P, P

    return jax.lax.scan(step, jnp.zeros_like(W), length=_ONE_LAYER_STEPS)[1]


@jax.jit
def measure_frozen(case: Layers, key: jax.Array) -> jax.Array:
    """Gradient descent of W alone at step 1e13, over the step."""
    del key
    slope = jax.grad(lambda W: objective(case.problem, case.params._replace(weights=(W,))))

    def step(W: jax.Array, _: None) -> tuple:
        W = W - _ONE_LAYER_SIZE * slope(W)
        return W, W / _ONE_LAYER_SIZE

    return jax.lax.scan(step, jnp.zeros_like(case.params.weights[0]), length=_ONE_LAYER_STEPS)[1]


def predict_both(case: Layers) -> Growth:
    """At step g -> infinity both layers grow like g^t, and their limits over g^t obey w+ = -E h^T, h+ = -w^T E with the mistakes E
    of the argmax, until a sample is first classified.

    The recursion of w and h.
    """
    (W,), H, _ = case.params

    def step(carry: tuple, first: jax.Array) -> tuple:
        w, h, alive = carry
        z = w @ h
        E = _mistakes(case.problem, jnp.where(first, jax.nn.softmax(z, axis=0), _shared_argmax(z)))
        alive = alive & (first | jnp.all(jnp.any(E != 0, axis=0)))
        w, h = -E @ h.T, -w.T @ E
        return (w, h, alive), Growth(jnp.where(alive, w, 0), jnp.where(alive, h, 0))

    return jax.lax.scan(step, (W, H, jnp.asarray(True)), jnp.arange(_TWO_LAYER_STEPS) == 0)[1]


@jax.jit
def measure_both(case: Layers, key: jax.Array) -> Growth:
    """Gradient descent of both layers at step 1e9, over the powers of the step."""
    del key
    problem = case.problem

    def step(carry: tuple, t: jax.Array) -> tuple:
        params, alive = carry
        z = logits(problem, params)
        correct = jnp.argmax(z, axis=0) == jnp.argmax(problem.targets, axis=0)
        alive = alive & ((t == 0) | ~jnp.any(correct))
        gradient = jax.grad(partial(objective, problem))(params)
        params = jax.tree.map(lambda x, g: x - _TWO_LAYER_SIZE * g, params, gradient)
        power = _TWO_LAYER_SIZE ** (t + 1.0)
        seen = Growth(params.weights[0] / power, params.H / power)
        return (params, alive), jax.tree.map(lambda x: jnp.where(alive, x, 0), seen)

    return jax.lax.scan(step, (case.params, jnp.asarray(True)), jnp.arange(_TWO_LAYER_STEPS))[1]


def each_step(case: Layers, predicted: Growth, measured: Growth) -> list:
    """Agreement of W and H at every step, each relative to its size there."""

    def scaled(x: jax.Array) -> np.ndarray:
        return np.asarray(x) / np.where(sizes > 0, sizes, 1)

    checks = []
    for name in Growth._fields:
        p, m = getattr(predicted, name), getattr(measured, name)
        sizes = np.max(np.abs(np.asarray(p)), axis=(1, 2), keepdims=True)
        checks += agreement(1e-6, scale=1.0)(case, {name: scaled(p)}, {name: scaled(m)})
    return checks


def _shared_argmax(z: jax.Array) -> jax.Array:
    top = (z == jnp.max(z, axis=0, keepdims=True)).astype(z.dtype)
    return top / jnp.sum(top, axis=0, keepdims=True)


def _mistakes(problem: Problem, probabilities: jax.Array) -> jax.Array:
    return (probabilities - problem.targets) / problem.samples


def random_layers(rng: np.random.Generator, size: float, separable: bool = False) -> Layers:
    """Three classes of 3, 2 and 2 samples in five dimensions; separable ones lie around the axis of their class."""
    problem = Problem.imbalanced((3, 2, 2), 5, loss="ce")
    W, H = size * rng.normal(size=(3, 5)), size * rng.normal(size=(5, 7))
    if separable:
        H = np.eye(5, 3) @ np.asarray(problem.targets) + 0.2 * H
    return Layers(problem, Params((jnp.asarray(W),), jnp.asarray(H), None))


def frozen_cases() -> dict[str, Layers]:
    """Random features and features around one axis a class."""
    rng = np.random.default_rng(0)
    return {"random": random_layers(rng, 1.0), "separable": random_layers(rng, 1.0, True)}


def both_cases() -> dict[str, Layers]:
    """Starts of three sizes."""
    rng = np.random.default_rng(0)
    return {f"size {size}": random_layers(rng, size) for size in (0.2, 0.5, 1.0)}


def draw(rng: np.random.Generator) -> Layers:
    """A random start of random size."""
    return random_layers(rng, rng.uniform(0.2, 1))


_ASSUMES = (
    Assumption("one layer of cross-entropy without bias", lambda c: is_loss(c.problem.loss, CE) and c.params.b is None),
    Assumption("no ridge", lambda c: float(np.max(c.problem.ridges)) == 0),
)
_SOURCE = "derived, after [tyurin2024]"

THEOREMS = (
    statements.other(
        "perceptron-fixed-features", _SOURCE,
        predict_frozen, measure_frozen, frozen_cases, draw, _ASSUMES, evidence=agreement(1e-9),
    ),
    statements.other(
        "perceptron-two-layers", _SOURCE,
        predict_both, measure_both, both_cases, draw, _ASSUMES, evidence=each_step,
        notes="After the first classified sample the leading order alone no longer decides: its features stay behind by a "
        "power of g, and the argmax there depends on terms of lower order.",
    ),
)  # fmt: skip
