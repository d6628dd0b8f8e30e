"""Cross-entropy at a huge step g: the multiclass perceptron, and two layers that grow like powers of g (derived).

With E = (A - Y)/N, A the one-hot argmax of the logits (ties shared evenly; the softmax at a start that is not zero):

    H fixed, W_0 = 0:    W_t/g -> P_t,   P+ = P - E H^T
    both layers:         W_t/g^t -> w_t,  H_t/g^t -> h_t,   w+ = -E h^T,  h+ = -w^T E

after Tyurin 2024 for one binary layer. The second holds for as long as every sample has been misclassified: a column of h that
is skipped once is of lower order in g, and its argmax is then decided by terms that the limit drops.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from ufm.losses import CE, is_loss
from ufm.problem import Problem
from ufm.problem.params import Params, logits, objective
from ufm.proofs import Book, Proof, number
from ufm.theory import statements
from ufm.theory.implicit_bias.unregularised_ce import NO_RIDGE
from ufm.theory.kit.integrate import downhill
from ufm.theory.statements.trajectories import Start
from ufm.theory.theorem import Assumption, Check, agreement

_FROZEN_STEPS, _FROZEN_SIZE = 40, 1e13
_BOTH_STEPS, _BOTH_SIZE = 6, 1e9


def predict_frozen(case: Start) -> jax.Array:
    """With fixed features and W_0 = 0, gradient descent of cross-entropy at step g -> infinity has W/g on the path of the
    multiclass batch perceptron, ties shared evenly.
    """
    (W,), H, _ = case.params

    def step(P: jax.Array, _: jax.Array) -> tuple:
        P = P - _mistakes(case.problem, _shared_argmax(P @ H)) @ H.T
        return P, P

    return jax.lax.scan(step, jnp.zeros_like(W), case.ts)[1]


def descent_of_classifier(case: Start) -> jax.Array:
    """(T, K, d) of W alone at step 1e13, from zero."""
    slope = jax.grad(lambda W: objective(case.problem, case.params._replace(weights=(W,))))

    def step(W: jax.Array, _: jax.Array) -> tuple:
        W = W - _FROZEN_SIZE * slope(W)
        return W, W

    return jax.lax.scan(step, jnp.zeros_like(case.params.weights[0]), case.ts)[1]


def predict_both(case: Start) -> dict[str, jax.Array]:
    """At step g -> infinity both layers grow like g^t, and their limits over g^t obey w+ = -E h^T, h+ = -w^T E with the mistakes E
    of the argmax, until a sample is first classified.

    Zero from there on.
    """
    (W,), H, _ = case.params

    def step(carry: tuple, t: jax.Array) -> tuple:
        w, h, alive = carry
        E = _mistakes(case.problem, jnp.where(t == 1, jax.nn.softmax(w @ h, axis=0), _shared_argmax(w @ h)))
        alive = alive & ((t == 1) | jnp.all(jnp.any(E != 0, axis=0)))
        w, h = -E @ h.T, -w.T @ E
        return (w, h, alive), {"W": jnp.where(alive, w, 0), "H": jnp.where(alive, h, 0)}

    return jax.lax.scan(step, (W, H, jnp.asarray(True)), case.ts)[1]


def descent(case: Start) -> tuple[jax.Array, Params, jax.Array]:
    """(T,) steps t, both layers at step 1e9, and (T,) whether every sample has been misclassified from the second step on."""
    velocity = downhill(case.problem)

    def step(carry: tuple, t: jax.Array) -> tuple:
        params, alive = carry
        correct = jnp.argmax(logits(case.problem, params), axis=0) == case.problem.labels
        alive = alive & ((t == 1) | ~jnp.any(correct))
        params = jax.tree.map(lambda x, v: x + _BOTH_SIZE * v, params, velocity(params))
        return (params, alive), (t, params, alive)

    return jax.lax.scan(step, (case.params, jnp.asarray(True)), case.ts)[1]


def over_powers(case: Start, point: tuple[jax.Array, Params, jax.Array]) -> dict[str, jax.Array]:
    """Both layers over the power of the step; zero once a sample has been classified."""
    t, ((W,), H, _), alive = point
    return {name: jnp.where(alive, x / _BOTH_SIZE**t, 0) for name, x in (("W", W), ("H", H))}


def _answers(book: Book, z: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """(K, C) of the shared argmax of each column, which floats guess and facts prove: an order of the logits, ties exact."""
    top = seen == seen.max(axis=0)
    for c in range(z.shape[1]):
        best, *others = np.flatnonzero(top[:, c])
        for k in range(len(z)):
            if k in others:
                book.equal(z[k, c], z[best, c])
            elif k != best:
                book.less(z[k, c], z[best, c])
    return top.astype(int) * (6 // top.sum(axis=0))  # in sixths: a half and a third are whole numbers of them


def prove_frozen(case: Start, predicted: jax.Array) -> Proof:
    """The perceptron run in exact numbers, every argmax an order of logits, within 1e-12 of the path served.

    That gradient descent tends to it as its step grows is proved on paper.
    """
    book = Book("the multiclass batch perceptron with fixed features, run in exact numbers, is what is served")
    features, Y, N = np.asarray(case.params.H), np.asarray(case.problem.targets, int), int(case.problem.samples)
    H, sums, path = book.given("H", case.params.H), np.zeros((case.problem.classes, len(features)), int).astype(object), []
    counts = np.zeros_like(Y)
    for t in range(len(case.ts)):
        counts = counts - (_answers(book, sums @ H, counts @ features.T @ features) if t else 2) + 6 * Y
        sums = book.kept(f"P{t}", counts.astype(object) @ H.T * (number(1) / (6 * N)))
        path.append(sums)
    book.near(path, predicted, 1e-12)
    return book.proof()


def prove_both(case: Start, predicted: dict[str, jax.Array]) -> Proof:
    """Both limits run in balls, every argmax an order of logits, within 1e-12 of what is served at each step.

    That gradient descent tends to them as its step grows is proved on paper.
    """
    book = Book("the limits of two layers at a huge step, run until a sample is classified, are what is served")
    Y, N, (W,), H = np.asarray(case.problem.targets, int), int(case.problem.samples), case.params.weights, case.params.H
    w, h, seen = book.given("w", W), book.given("h", H), (np.asarray(W), np.asarray(H))
    for t in range(len(case.ts)):
        z, guess = book.kept(f"z{t}", w @ h), seen[0] @ seen[1]
        if t:
            answers = _answers(book, z, guess)
            E, e = (answers - 6 * Y).astype(object) * (number(1) / (6 * N)), (answers / 6 - Y) / N
        else:
            E, e = book.kept("E", (book.softmax("p", z) - Y) / N), (np.asarray(jax.nn.softmax(guess, axis=0)) - Y) / N
        if t and not e.any(axis=0).all():
            break
        w, h, seen = book.kept(f"w{t}", -(E @ h.T)), book.kept(f"h{t}", -(w.T @ E)), (-e @ seen[1].T, -seen[0].T @ e)
        book.near(w, predicted["W"][t], 1e-12)
        book.near(h, predicted["H"][t], 1e-12)
    else:
        t = len(case.ts)
    for served in (predicted["W"][t:], predicted["H"][t:]):
        book.near(np.zeros(served.shape, int).astype(object), served, 1e-12)
    return book.proof()


def each_step(case: Start, predicted: dict, measured: dict) -> list[Check]:
    """Agreement of W and H at every step, each relative to its size there."""
    sizes = {name: np.max(np.abs(x), axis=(1, 2), keepdims=True) for name, x in predicted.items()}
    units = {name: np.where(size > 0, size, 1) for name, size in sizes.items()}
    return agreement(1e-6, scale=1.0)(case, *({name: x[name] / units[name] for name in units} for x in (predicted, measured)))


def _shared_argmax(z: jax.Array) -> jax.Array:
    top = (z == jnp.max(z, axis=0, keepdims=True)).astype(z.dtype)
    return top / jnp.sum(top, axis=0, keepdims=True)


def _mistakes(problem: Problem, probabilities: jax.Array) -> jax.Array:
    return (probabilities - problem.targets) / problem.samples


def random_layers(rng: np.random.Generator, size: float, steps: int = _BOTH_STEPS, separable: bool = False) -> Start:
    """Three classes of 3, 2 and 2 samples in five dimensions, around the axis of their class if separable, and steps 1, 2, ..."""
    problem = Problem.imbalanced((3, 2, 2), 5, loss="ce")
    W, H = size * rng.normal(size=(3, 5)), size * rng.normal(size=(5, 7))
    if separable:
        H = np.eye(5, 3) @ np.asarray(problem.targets) + 0.2 * H
    return Start(problem, Params((jnp.asarray(W),), jnp.asarray(H), None), jnp.arange(1.0, steps + 1))


def frozen_cases() -> dict[str, Start]:
    """Random features and features around one axis a class."""
    rng = np.random.default_rng(0)
    return {name: random_layers(rng, 1.0, _FROZEN_STEPS, name == "separable") for name in ("random", "separable")}


def both_cases() -> dict[str, Start]:
    """Starts of three sizes."""
    rng = np.random.default_rng(0)
    return {f"size {size}": random_layers(rng, size) for size in (0.2, 0.5, 1.0)}


def draw(rng: np.random.Generator, steps: int = _BOTH_STEPS) -> Start:
    """A random start of random size."""
    return random_layers(rng, rng.uniform(0.2, 1), steps)


_PLAIN = Assumption("one layer of cross-entropy without bias", lambda c: is_loss(c.problem.loss, CE) and c.params.b is None)
_ASSUMES = (_PLAIN, NO_RIDGE)
_SOURCE = "derived, after [tyurin2024]"

THEOREMS = (
    statements.trajectory(
        "perceptron-fixed-features", _SOURCE, predict_frozen, lambda case, W: W / _FROZEN_SIZE, frozen_cases,
        partial(draw, steps=_FROZEN_STEPS), _ASSUMES, path=descent_of_classifier,
        prove=prove_frozen,
    ),
    statements.trajectory(
        "perceptron-two-layers", _SOURCE,
        predict_both, over_powers, both_cases, draw, _ASSUMES, path=descent, evidence=each_step, prove=prove_both,
        notes="After the first classified sample the leading order alone no longer decides: its features stay behind by a "
        "power of g, and the argmax there depends on terms of lower order.",
    ),
)  # fmt: skip
