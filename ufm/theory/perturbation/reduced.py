"""What is left of the loss when the classifier is the best one for the features (Tirer, Huang, Niles-Weed 2023).

With lW = K l2_W and lH = N l2_H, class means M, and D what is left within classes (n M = H Y^T):

    W*(H) = Y H^T (H H^T + n lW I)^-1
    L(H)  = min over W of f = lW/(2K) Tr[Y (n lW I + H^T H)^-1 Y^T] + lH/(2N) |H|^2      (derived)
    N grad L(H) = W*^T (W* H - Y) + lH H
    N Hess L(H) = lH I + I_N (x) W*^T W* - Z,    Z = Q^T (H H^T (x) I_K + n lW I)^-1 Q,    Q = E^T + H (x) W*,

vec stacking columns and E having the columns vec(e_j e_k^T (W* H - Y)) in the order of vec W. (Tirer et al. state the bracket
of the last line at collapse, to first order in 1/B; it is the Hessian everywhere, derived.)
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ufm.problem import Problem
from ufm.proofs import Book, Proof, Slopes, least_squares, objective_of, slopes
from ufm.theory import statements
from ufm.theory.assumptions import proximity_features
from ufm.theory.perturbation.model import around_random, parts, units
from ufm.theory.perturbation.newton import best_weights, reduced, reduced_hessian


class Reduced(NamedTuple):
    """L(H), a scalar in the units of f; its gradient times N, (d, N); and the best classifier, (K, d)."""

    value: jax.Array
    gradient: jax.Array
    weights: jax.Array


def best_classifier(problem: Problem, H: jax.Array) -> jax.Array:
    """W*(H) = Y H^T (H H^T + n lW I)^-1, of shape (K, d)."""
    lW, _, _, n, *_ = units(problem)
    M, _ = parts(problem, H)
    return jnp.linalg.solve(H @ H.T + n * lW * jnp.eye(H.shape[0]), n * M).T


def gradient(problem: Problem, H: jax.Array) -> jax.Array:
    """N grad L(H) = W*^T (W* H - Y) + lH H, of shape (d, N)."""
    W = best_classifier(problem, H)
    return W.T @ (W @ H - problem.targets) + units(problem).lH * H


def hessian(problem: Problem, H: jax.Array) -> jax.Array:
    """N Hess L(H) over vec H, of shape (d N, d N)."""
    lW, lH, _, n, *_ = units(problem)
    W = best_classifier(problem, H)
    (K, d), N = W.shape, H.shape[1]
    Q = jnp.einsum("ja,ki->jkia", jnp.eye(d), W @ H - problem.targets).reshape(d * K, N * d) + jnp.kron(H, W)
    Z = Q.T @ jnp.linalg.solve(jnp.kron(H @ H.T, jnp.eye(K)) + n * lW * jnp.eye(d * K), Q)
    return lH * jnp.eye(N * d) + jnp.kron(jnp.eye(N), W.T @ W) - Z


def predict(case: Problem) -> Reduced:
    """With the best classifier the squared error is lW/(2K) Tr[Y (n lW I + H^T H)^-1 Y^T] + lH/(2N) |H|^2, a function of the
    features alone, whose gradient is the partial one of f.
    """
    lW, lH, _, n, *_ = units(case)
    H, Y, N = proximity_features(case), case.targets, case.samples
    fitted = jnp.trace(Y @ jnp.linalg.solve(n * lW * jnp.eye(H.shape[1]) + H.T @ H, Y.T))
    value = lW / (2 * case.classes) * fitted + lH / (2 * N) * jnp.sum(H**2)
    return Reduced(value, gradient(case, H), best_classifier(case, H))


@jax.jit
def direct(case: Problem) -> Reduced:
    """Minimise f over W by a Newton step on automatic derivatives, and differentiate the minimum through that step."""
    H = proximity_features(case)
    value, slope = jax.value_and_grad(lambda x: reduced(case, x))(H)
    return Reduced(value, case.samples * slope, best_weights(case, H))


def prove(case: Problem, predicted: Reduced) -> Proof:
    """f and its gradient in H at the classifier of the normal equations, in exact numbers, within 1e-10 of what is served."""
    book = Book("f at the best classifier of these features, its gradient in them, and that classifier are what is served")
    H = book.given("H", proximity_features(case))
    W, _ = least_squares(book, case, H)
    point = Slopes((W,), H, None)
    book.near(W, predicted.weights)
    book.near(objective_of(book, case, point), predicted.value)
    book.near(slopes(book, case, point).H * int(case.samples), predicted.gradient)
    return book.proof()


def predict_hessian(case: Problem) -> jax.Array:
    """The bracket lH I + I (x) W^T W - Z of Tirer et al.'s expansion is N times the Hessian of the reduced objective, at any
    features and not at collapse alone.
    """
    return hessian(case, proximity_features(case))


@jax.jit
def direct_hessian(case: Problem) -> jax.Array:
    """N times the Schur complement of W in the joint Hessian of f, taken by automatic differentiation."""
    return case.samples * reduced_hessian(case, proximity_features(case))


def cases() -> dict[str, Problem]:
    """Below and above sqrt(lH lW) = 1, no ridge on H, collapsed classes, tiny and huge features, zero."""
    rng = np.random.default_rng(0)
    numbers: dict[str, tuple] = {"c=0.3": (0.5, 0.18), "c=1.5": (1.0, 2.25), "lH=0": (0.5, 0.0), "collapsed": (0.5, 0.3, 1.0, 0.0)}
    numbers |= {label: (0.5, 0.3, size, size) for label, size in (("small", 1e-3), ("large", 30.0), ("zero", 0.0))}
    return {label: around_random(rng, *these) for label, these in numbers.items()}


def draw(rng: np.random.Generator) -> Problem:
    """Random ridges and features."""
    lW, lH, noise, size = np.exp(rng.uniform(-2, 1, size=4))
    return around_random(rng, lW, lH, size, size * noise)


THEOREMS = (
    statements.identity(
        "reduced-objective", "[tirer2023]; the trace form derived", predict, direct, cases, draw, tolerance=1e-10, prove=prove
    ),
    statements.identity(
        "reduced-objective-hessian", "[tirer2023] (equation 5, at collapse); at any features derived",
        predict_hessian, direct_hessian, cases, draw, tolerance=1e-10,
    ),
)  # fmt: skip
