"""The imbalance of neighbouring factors, D_j = W_{j+1}^T W_{j+1} - W_j W_j^T with W_0 = H, obeys a law of its own.

Loss gradients G_j of neighbours satisfy X_j = W_{j+1}^T G_{j+1} = G_j W_j^T for every loss, depth, bias and start, since
(W_{j+1} A^-1, A W_j) gives the same logits. Hence, with ridges l_j and a proximity term beta, gradient flow has

    D_j' = -2 l_{j+1} W_{j+1}^T W_{j+1} + 2 l_j W_j W_j^T,    + beta ((H - H0) H^T + H (H - H0)^T) for j = 0,
    D_j(t) = exp(-2 l t) D_j(0)    for equal ridges and beta = 0 (conserved for l = 0: Arora, Cohen, Hazan 2018),

and a step eta of gradient descent gives exactly

    (1 - eta l_{j+1})^2 W_{j+1}^T W_{j+1} - (1 - eta l_j)^2 W_j W_j^T + eta^2 (l_{j+1} - l_j)(X_j + X_j^T)
        + eta^2 (G_{j+1}^T G_{j+1} - G_j G_j^T),

(1 - eta l)^2 D_j and the last term for equal ridges. Momentum and Adam have no such law.
"""

from itertools import pairwise
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ufm.problem import Problem
from ufm.problem.params import Params, data_term, logits
from ufm.proofs import Book, Proof, given_params, negative, number, slopes
from ufm.theory import statements
from ufm.theory.assumptions import proximity_features
from ufm.theory.dynamics.spectral import EQUAL_RIDGES, any_point
from ufm.theory.kit.integrate import downhill
from ufm.theory.statements.trajectories import Start
from ufm.theory.theorem import Assumption

_K, _WIDTHS = 3, (4, 5, 3)


class Step(NamedTuple):
    """A problem, any point of it, and the size of a step of gradient descent."""

    problem: Problem
    params: Params
    size: jax.Array


def imbalances(params: Params) -> tuple[jax.Array, ...]:
    """(D_0, ..., D_{M-1}), D_j of shape (d_{j+1}, d_{j+1})."""
    return tuple(V.T @ V - W @ W.T for W, V in pairwise((params.H, *params.weights)))


def predict_rate(case: Step) -> tuple[jax.Array, ...]:
    """Along gradient flow the imbalance W_{j+1}^T W_{j+1} - W_j W_j^T changes through the penalty alone, whatever loss, depth, bias
    and start.
    """
    problem, W, ridges = case.problem, (case.params.H, *case.params.weights), case.problem.ridges
    rates = [2 * ridges[j] * W[j] @ W[j].T - 2 * ridges[j + 1] * W[j + 1].T @ W[j + 1] for j in range(len(case.params.weights))]
    pull = problem.beta * (case.params.H - proximity_features(problem)) @ case.params.H.T
    return (rates[0] + pull + pull.T, *rates[1:])


@jax.jit
def direct_rate(case: Step) -> tuple[jax.Array, ...]:
    """The derivative of D_j along the negative gradient of the objective."""
    return jax.jvp(imbalances, (case.params,), (downhill(case.problem)(case.params),))[1]


def predict_step(case: Step) -> tuple[jax.Array, ...]:
    """One step of gradient descent maps the imbalance exactly: for equal ridges to (1 - eta l)^2 D_j + eta^2 (G_{j+1}^T G_{j+1} -
    G_j G_j^T), at any step size.
    """
    problem, params, eta = case
    gradient = jax.grad(lambda p: data_term(problem, logits(problem, p)))(params)
    G, W, ridges = (gradient.H, *gradient.weights), (params.H, *params.weights), problem.ridges
    after = []
    for j in range(len(params.weights)):
        X = G[j] @ W[j].T
        decayed = (1 - eta * ridges[j + 1]) ** 2 * W[j + 1].T @ W[j + 1] - (1 - eta * ridges[j]) ** 2 * W[j] @ W[j].T
        mixed = (ridges[j + 1] - ridges[j]) * (X + X.T)
        after.append(decayed + eta**2 * (mixed + G[j + 1].T @ G[j + 1] - G[j] @ G[j].T))
    return tuple(after)


@jax.jit
def direct_step(case: Step) -> tuple[jax.Array, ...]:
    """D_j at the point one step down the gradient of the objective."""
    return imbalances(jax.tree.map(lambda p, v: p + case.size * v, case.params, downhill(case.problem)(case.params)))


def prove_rate(case: Step, predicted: tuple[jax.Array, ...]) -> Proof:
    """The product rule along minus the gradient, by the chain rule, within 1e-10 of the rates served."""
    book = Book("along minus the gradient of the objective the imbalances change at the rates served")
    point = given_params(book, case.params)
    v = negative(slopes(book, case.problem, point))
    factors = zip((point.H, *point.weights), (v.H, *v.weights), strict=True)
    for served, ((W, w), (V, u)) in zip(predicted, pairwise(factors), strict=True):
        half = u.T @ V - w @ W.T
        book.near(half + half.T, served)
    return book.proof()


def prove_step(case: Step, predicted: tuple[jax.Array, ...]) -> Proof:
    """The imbalances one step down the gradient, by the chain rule, within 1e-10 of those served."""
    book = Book("one step down the gradient of the objective the imbalances are those served")
    point, eta = given_params(book, case.params), number(float(case.size))
    v = negative(slopes(book, case.problem, point))
    old, rates = (point.H, *point.weights), (v.H, *v.weights)
    after = [book.kept(f"after{j}", W + w * eta) for j, (W, w) in enumerate(zip(old, rates, strict=True))]
    for served, (W, V) in zip(predicted, pairwise(after), strict=True):
        book.near(V.T @ V - W @ W.T, served)
    return book.proof()


def predict_decay(case: Start) -> tuple[jax.Array, ...]:
    """Under equal ridges l the imbalance of neighbouring factors decays as exp(-2 l t) along gradient flow; without ridge it is
    conserved.
    """
    decay = jnp.exp(-2 * case.problem.l2_H * case.ts)
    return tuple(decay[:, None, None] * D[None] for D in imbalances(case.params))


def _point(loss: str, ridges: tuple, rng: np.random.Generator, size: float = 0.1, beta: float = 0.0) -> Step:
    H0 = jnp.asarray(rng.normal(size=(_WIDTHS[0], 2 * _K)))
    choices = {"l2_H": ridges[0], "l2_W": np.array(ridges[1:]), "l2_b": 0.2, "bias": "ridge", "scale": 1.3}
    problem = Problem.balanced(_K, 2, _WIDTHS, loss=loss, beta=beta, H0=H0, **choices)
    return Step(problem, any_point(problem, rng, 0.8), jnp.asarray(size))


_RIDGES = {"no ridge": (0.0,) * 4, "equal ridges": (0.1,) * 4, "unequal ridges": (0.5, 0.1, 0.02, 0.3)}


def rate_cases() -> dict[str, Step]:
    """Squared error and cross-entropy, no, equal and unequal ridges, the latter with proximity."""
    rng = np.random.default_rng(0)
    kinds = [(loss, name, beta) for loss in ("mse", "ce") for name, beta in zip(_RIDGES, (0.0, 0.7, 0.3), strict=True)]
    return {f"{loss}, {name}, beta={beta}": _point(loss, _RIDGES[name], rng, beta=beta) for loss, name, beta in kinds}


def step_cases() -> dict[str, Step]:
    """Squared error and cross-entropy, no, equal and unequal ridges, small and unstable steps."""
    rng = np.random.default_rng(1)
    kinds = [(loss, name, size) for loss in ("mse", "ce") for name, size in zip(_RIDGES, (3.0, 0.1, 1.0), strict=True)]
    return {f"{loss}, {name}, step {size}": _point(loss, _RIDGES[name], rng, size) for loss, name, size in kinds}


def _drawn(rng: np.random.Generator) -> tuple[str, tuple, np.random.Generator]:
    """A random loss and ridges."""
    return str(rng.choice(["mse", "ce"])), tuple(rng.uniform(0.01, 1, size=4)), rng


def _start(ridge: float, rng: np.random.Generator, counts=(2, 1, 3)) -> Start:
    problem = Problem.imbalanced(counts, _WIDTHS, loss="ce", l2_H=ridge, l2_W=ridge, bias="free").collapsed()
    return Start(problem, any_point(problem, rng, 0.7), jnp.linspace(0, 6, 3))


def decay_cases() -> dict[str, Start]:
    """Conserved and decaying, under cross-entropy with a free bias and unequal classes."""
    rng = np.random.default_rng(2)
    return {f"l={ridge}": _start(ridge, rng) for ridge in (0.0, 0.05, 0.2)}


_SOURCE = "[arora2018]; [du2018]; "
_FREE = Assumption("free features and a trained classifier", lambda c: (c.problem.features, c.problem.classifier) == ("free", None))
_UNTIED = Assumption("no proximity term", lambda c: bool(c.problem.beta == 0))
THEOREMS = (
    statements.identity(
        "imbalance-rate", _SOURCE + "unequal ridges and proximity derived", predict_rate, direct_rate, rate_cases,
        lambda rng: _point(*_drawn(rng), beta=rng.uniform(0, 1)), (_FREE,), tolerance=1e-11, prove=prove_rate,
    ),
    statements.trajectory(
        "imbalance-decay", _SOURCE + "ridges derived", predict_decay, lambda case, point: imbalances(point), decay_cases,
        lambda rng: _start(rng.uniform(0, 0.4), rng, tuple(int(n) for n in rng.integers(1, 9, size=_K))),
        (_FREE, _UNTIED, EQUAL_RIDGES),
    ),
    statements.identity(
        "imbalance-descent", "derived", predict_step, direct_step, step_cases,
        lambda rng: _point(*_drawn(rng), np.exp(rng.uniform(-3, 1))), (_FREE, _UNTIED), tolerance=1e-12, prove=prove_step,
    ),
)  # fmt: skip
