"""Cross-entropy in the box that Lion's decay makes: a bound, the sign designs that meet it, and where Lion ends (derived).

For K balanced classes without bias and |W_kj|, |h_j| <= B = 1/decay

    f >= log(1 + (K-1) e^-a),    a = d B^2 K/(K-1)  (K even),   d B^2 (K+1)/K  (K odd)

By convexity f is at least the loss of the mean margin, and sum_k |K w_k - sum_j w_j|_1 is largest, coordinate by coordinate, for
signs with floor(K/2) pluses. Equality needs such columns and equal margins: any d for K = 2, d a multiple of K - 1 where K has a
Hadamard matrix, 2I - J for K = d = 3. Then W W^T is a simplex but for a multiple of J. Lion settles at vertices of the box, where
its score K(grad f) + decay <x, grad f> of stationarity vanishes at any step; where the minimiser is no vertex, as for MSE in a
wide box, the score hovers at a level proportional to the step.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ufm.motion.lion import lion_k
from ufm.problem import Problem, is_balanced
from ufm.problem.params import Params, objective
from ufm.proofs import Book, Proof, exp, log, number
from ufm.theory import statements
from ufm.theory.implicit_bias.circulant_ce import hadamard_characters
from ufm.theory.implicit_bias.unregularised_ce import NO_RIDGE
from ufm.theory.theorem import Assumption, Check, agreement, relative_error

_SEEDS, _STEPS, _FIXED_STEPS = 64, 500, 12_000
_SCORED = 8  # runs on the case, of which one at least ends in a vertex
_SIZES = (0.02, 0.002)


class Box(NamedTuple):
    """A problem of one column a class, the decay, signs (K, d) to try, and whether they are a design that meets the bound."""

    problem: Problem
    decay: jax.Array
    signs: jax.Array
    design: jax.Array


def predict(case: Box) -> jax.Array:
    """Balanced cross-entropy with entries of W and H within B is at least log(1 + (K-1) e^-a), a = d B^2 K/(K-1) for even K and d
    B^2 (K+1)/K for odd K; Hadamard designs meet the bound and Lion finds them.
    """
    K, d = case.problem.classes, case.problem.widths[0]
    a = d / case.decay**2 * (K / (K - 1) if K % 2 == 0 else (K + 1) / K)
    return jnp.log1p((K - 1) * jnp.exp(-a))


def prove(case: Box, predicted: jax.Array) -> Proof:
    """The loss of the mean margin, which is below all by convexity: sum_k |K w_k - sum_j w_j|, convex in a coordinate, is largest
    at signs, 4 p (K - p) for p pluses. Where there is a design, its loss by the definition is that number too.
    """
    K, d = case.problem.classes, case.problem.widths[0]
    book = Book("the bound of cross-entropy in a box is the loss of the largest mean margin over the box, and met by its design")
    square = book.kept("square", 1 / number(float(case.decay)) ** 2)
    best = book.given("best", K**2 - K % 2)
    for p in range(K + 1):  # signs with p pluses: |K - s| p + |K + s| (K - p), s = 2 p - K
        book.less(p * abs(K - (2 * p - K)) + (K - p) * abs(K + (2 * p - K)), best + 1)
    bound = book.kept("bound", log(1 + (K - 1) * exp(-d * square * best / (K * (K - 1)))))
    p = K // 2
    book.equal(number(p * (2 * K - 2 * p) + (K - p) * 2 * p), best)
    book.near(bound, predicted, 1e-12)
    signs = np.asarray(case.signs, int)
    inner = signs @ signs.T
    losses = [log(sum(exp(square * int(x - row[k])) for x in row)) for k, row in enumerate(inner)]
    loss = book.kept("loss", sum(losses[1:], losses[0]) / K)
    if case.design:
        book.near(loss, predicted, 1e-12)
    else:
        book.less(bound, loss)
    return book.proof()


def measure(case: Box, key: jax.Array) -> dict[str, jax.Array]:
    """(S,) values that Lion ends in from random starts in the box with steps that fall to zero, and the value at the signs."""
    return _values(case, _starts(case.problem, case.decay, key, _SEEDS))


@jax.jit
def _values(case: Box, starts: Params) -> dict[str, jax.Array]:
    sizes, signs = 0.1 / case.decay * jnp.linspace(1, 0, _STEPS), case.signs / case.decay
    runs = jax.vmap(lambda x: objective(case.problem, _lion(case.problem, case.decay, x, sizes)[0]))(starts)
    return {"runs": runs, "design": objective(case.problem, Params((signs,), signs.T, None))}


def _starts(problem: Problem, decay: jax.Array, key: jax.Array, count: int) -> Params:
    """Starts in the box, along a leading axis; drawn by NumPy, whose generators need no compilation."""
    rng, (d,) = np.random.default_rng(np.asarray(jax.random.key_data(key))), problem.widths
    shapes = (problem.classes, d), (d, problem.columns)
    W, H = (jnp.asarray(rng.uniform(-1, 1, size=(count, *shape)) / float(decay)) for shape in shapes)
    return Params((W,), H, None)


def evidence(case: Box, predicted: jax.Array, measured: dict) -> list[Check]:
    """No value below the bound; a design on it, and the best run too; all above it where there is no design."""
    best, design = np.min(measured["runs"]), measured["design"]
    over = float(predicted / np.minimum(best, design))
    checks = [Check("certificate", "bound over value", over, 1 + 1e-9)]
    if not case.design:
        return [*checks, Check("agreement", "bound over best run", over, 0.999)]
    found = (("design", design, 1e-9), ("best run", best, 1e-6))
    return checks + [Check("agreement", name, relative_error(predicted, value), allowed) for name, value, allowed in found]


def predict_scores(case: Box) -> dict[str, jax.Array]:
    """At a fixed step the stationarity score of Lion settles at a level proportional to the step where the minimiser is no vertex
    of the box, and at zero in runs that end in a vertex.

    Exponent of the step in the level, and the lowest level for cross-entropy, at the larger step.
    """
    del case
    return {"exponent": jnp.ones(()), "vertex": jnp.zeros(())}


def measure_scores(case: Box, key: jax.Array) -> dict[str, jax.Array]:
    """Levels at two fixed steps for MSE in a wide box, and the lowest of some runs on the case."""
    squares = Problem.balanced(3, 2, 4)
    start = _starts(squares, case.decay, key, 1)
    large, small = (_levels(squares, case.decay, start, size)[0] for size in _SIZES)
    runs = _levels(case.problem, case.decay, _starts(case.problem, case.decay, key, _SCORED), _SIZES[0])
    return {"exponent": jnp.log(large / small) / np.log(_SIZES[0] / _SIZES[1]), "vertex": jnp.min(runs)}


@jax.jit
def _levels(problem: Problem, decay: jax.Array, starts: Params, size: float) -> jax.Array:
    """Mean scores over the last quarter of runs."""
    scores = jax.vmap(lambda x: _lion(problem, decay, x, jnp.full(_FIXED_STEPS, size))[1])(starts)
    return jnp.mean(scores[:, -_FIXED_STEPS // 4 :], axis=1)


def _lion(problem: Problem, decay: jax.Array, x: Params, sizes: jax.Array) -> tuple[Params, jax.Array]:
    """The end of a run from x, and the score before every step."""

    def step(carry: tuple, size: jax.Array) -> tuple[tuple, jax.Array]:
        x, momentum = carry
        g = jax.grad(objective, argnums=1)(problem, x)
        score = optax.tree.norm(g, ord=1) + decay * optax.tree.vdot(x, g)
        update, momentum = lion_k(size, decay=decay).update(g, momentum, x)
        return (optax.apply_updates(x, update), momentum), score

    (x, _), scores = jax.lax.scan(step, (x, lion_k(0.0, decay=decay).init(x)), sizes)
    return x, scores


def box(K: int, d: int, B: float) -> Box:
    """The problem in a box of half-width B; the signs are a design where one is known, columns of a Hadamard matrix otherwise."""
    columns = hadamard_characters((max(K, d + 1) - 1).bit_length())[1]
    signs, design = columns[:K, 1 : d + 1], False
    if K == d == 3:
        signs, design = 2 * np.eye(3) - 1, True
    elif K & (K - 1) == 0 and d % (K - 1) == 0:
        signs, design = np.tile(columns[:K, 1:K], (1, d // (K - 1))), True
    return Box(Problem.balanced(K, 1, d, loss="ce"), *map(jnp.asarray, (1 / B, signs, design)))


def cases() -> dict[str, Box]:
    """Designs of even and of odd K in boxes of two widths, and a shape that has none."""
    return {f"K={K} d={d} B={B}": box(K, d, B) for K, d, B in ((4, 3, 1.0), (4, 3, 0.6), (3, 3, 1.0), (6, 5, 1.0))}


_ASSUMES = (
    Assumption("balanced cross-entropy without bias", lambda c: is_balanced(c.problem.design) and c.problem.bias == "none"),
    NO_RIDGE,
)

THEOREMS = (
    # other: a design and the best of random runs have to meet the bound, each to its own tolerance
    statements.other(
        "box-ce-bound", "derived, for the problem that Lion solves by [chen2024]", predict, measure, cases,
        lambda rng: box(*((4, 3), (3, 3))[rng.integers(2)], rng.uniform(0.6, 1.4)), _ASSUMES, evidence=evidence,
        prove=prove, notes="That some run of Lion ends in a design is measured, not proved.",
    ),
    # other: the level at which random runs hover, at two steps
    statements.other(
        "lion-score", "derived, for the score of [chen2024]", predict_scores, measure_scores,
        lambda: {f"K=4 d=3 B={B}": box(4, 3, B) for B in (0.8, 1.0)}, assumes=_ASSUMES,
        status="numerical", evidence=agreement(0.3, vertex=1e-9),
    ),
)  # fmt: skip
