"""Lion keeps to a box and takes Frank-Wolfe steps; with the matrix sign, to a spectral ball; and it descends a Lyapunov function.

For steps x+ = x - eta (grad K(M) + l x), M an average of gradients, K = |.|_1 (Lion) or the nuclear norm (Muon), and l the decay:

    max(|x_i| - 1/l, 0) shrinks at least by 1 - eta l a step, and stays zero once it is (eta l <= 1)
    without momentum  x+ = (1 - eta l) x + eta l argmin_v <grad f, v> over the box, or the spectral ball, of radius 1/l
    K(grad f) + l <x, grad f> = l max_v <grad f, x - v>  is the gap of Frank-Wolfe, zero exactly at KKT points

(Chen, Liu, Liang, Liu 2024). As a flow,

    m' = -a grad f - g m,    x' = grad K(M) - l x,    M = m + e m'           (a, g, e, l: alpha, gamma, epsilon, decay)

descends V(x, m) = a f(x) + (g/l) K*(l x) + c (K*(l x) + K(m) - l <x, m>) where e g <= 1, c = (1 - e g)/(1 + e l):

    V' = -(g + l)/(1 + e l) <M - grad K*(l x), grad K(M) - l x>  -  c <m', grad K(M) - grad K(m)>  <=  0

by monotony of both gradients (re-derived), so that Lion-K minimises a f(x) + (g/l) K*(l x). Steps of size eta with the weights
b1, b2 of `ufm.lion` have a = g = (1 - b2)/eta and e = eta (1 - b1)/(1 - b2).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree

from ufm.motion.descent import descend
from ufm.motion.lion import lion_k
from ufm.problem import Problem
from ufm.problem.params import Params, objective
from ufm.proofs import Book, Proof, given_params, number, slopes, sqrt
from ufm.theory import statements
from ufm.theory.implicit_bias.circulant_ce import hadamard_characters
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


def predict_excess(run: Run) -> jax.Array:
    """The excess of Lion over the box |x_i| <= 1/decay shrinks at least by 1 - eta decay a step; the box is never left.

    (T+1,) bounds (1 - eta l)^t max(|x_i| - 1/l, 0).
    """
    start = jnp.max(jnp.abs(ravel_pytree(run.x)[0])) - 1 / run.decay
    return (1 - run.eta * run.decay) ** jnp.arange(_STEPS + 1.0) * jnp.maximum(start, 0)


def descent(run: Run) -> Params:
    """The start of a run of Lion and the points after each of its steps, stacked."""
    optimizer = lion_k(run.eta, "sign", b1=run.b1, b2=run.b2, decay=run.decay)
    return descend(run.problem, run.x, _STEPS, optimizer, every=1, record=lambda problem, x: x).metrics


def excess(run: Run, x: Params) -> jax.Array:
    """By how much the largest entry is out of the box."""
    return jnp.maximum(jnp.max(jnp.abs(ravel_pytree(x)[0])) - 1 / run.decay, 0)


def in_box(run: Run, predicted: jax.Array, measured: jax.Array) -> list[Check]:
    """Excess within its bound, and on it where every entry is pushed outwards."""
    over = float(np.max(np.asarray(measured) - np.asarray(predicted)) * run.decay)
    checks = [below("agreement", "excess over its bound", over)]
    if run.outward:
        checks.append(Check("agreement", "excess", relative_error(predicted, measured), 1e-12))
    return checks


def prove_excess(run: Run, predicted: jax.Array) -> Proof:
    """From within the excess e of the box any step with a sign leads to (1 - eta l) (1/l + e) + eta = 1/l + (1 - eta l) e, exactly,
    and eta l <= 1: powers of 1 - eta l times the excess of the start, in exact numbers, within 1e-12 of the bounds served.
    """
    book = Book("a start of Lion is within its excess of the box, and a step with any signs within 1 - eta l times that")
    eta, decay = book.given("eta", float(run.eta)), book.given("decay", float(run.decay))
    entries = np.abs(np.asarray(ravel_pytree(run.x)[0]))
    size = book.given("size", float(entries.max()))
    book.less(entries.astype(object), size + number(1e-30))
    book.less(eta * decay, 1 + number(1e-15))
    excess = book.kept("excess", size - 1 / decay if float(entries.max()) * float(run.decay) > 1 else 0)
    book.equal((1 - eta * decay) * (1 / decay + excess) + eta, 1 / decay + (1 - eta * decay) * excess)
    bounds = [excess]
    for t in range(_STEPS):
        bounds.append(book.kept(f"bound{t}", (1 - eta * decay) * bounds[-1]))
    book.near(bounds, predicted, 1e-12)
    return book.proof()


def predict_step(run: Run) -> dict[str, Any]:
    """Without momentum Lion is Frank-Wolfe with step eta decay on a box, and Muon with an exact matrix sign on a spectral ball; the
    gap is K(grad f) + decay <x, grad f>.

    The points after a step of either, and (2,) gaps before it; vertices of the ball by a square root.
    """
    (W,), H, _ = run.x
    G = (jax.nn.softmax(W @ H, axis=0) - run.problem.targets) / run.problem.samples
    g = Params((G @ H.T,), W.T @ G, None)

    def polar(A: jax.Array) -> jax.Array:
        if A.shape[0] < A.shape[1]:
            return polar(A.T).T
        values, vectors = jnp.linalg.eigh(A.T @ A)
        return A @ (vectors / jnp.sqrt(values)[None, :]) @ vectors.T

    def moved(vertex: Callable) -> Params:
        return jax.tree.map(lambda x, d: (1 - run.eta * run.decay) * x - run.eta * vertex(d), run.x, g)

    inner = run.decay * (jnp.vdot(W, g.weights[0]) + jnp.vdot(H, g.H))
    norms = [sum(jnp.vdot(vertex(d), d) for d in jax.tree.leaves(g)) for vertex in (jnp.sign, polar)]
    return {"sign": moved(jnp.sign), "msign": moved(polar), "gaps": jnp.stack(norms) + inner}


def prove_step(run: Run, predicted: dict[str, Any]) -> Proof:
    """The gradient by the chain rule, its signs as facts, the step and its gap, within 1e-12 of what is served; for the spectral
    ball a matrix A S of A = the gradient with (A S)^T A S = I to 1e-9 and S positive definite, within 1e-8.
    """
    book = Book("without momentum the steps over the box and over the spectral ball, and their gaps, are what is served")
    point, eta, decay = given_params(book, run.x), number(float(run.eta)), number(float(run.decay))
    g, gaps = slopes(book, run.problem, point), [number(0)] * 2
    served = {name: (*predicted[name].weights, predicted[name].H) for name in ("sign", "msign")}
    inner = decay * sum((x * d).sum() for x, d in zip((*point.weights, point.H), (*g.weights, g.H), strict=True))
    W, H = (np.asarray(x) for x in (*run.x.weights, run.x.H))
    G = np.exp(W @ H) / np.exp(W @ H).sum(axis=0) - np.asarray(run.problem.targets)  # floats, which guess signs and roots
    floats = (G @ H.T / len(H.T), W.T @ G / len(H.T))
    for i, (x, d, guess) in enumerate(zip((*point.weights, point.H), (*g.weights, g.H), floats, strict=True)):
        signs = np.sign(guess).astype(int)
        book.less(0, d * signs)
        book.near(x * (1 - eta * decay) - signs * eta, served["sign"][i], 1e-12)
        A, guess = (d, guess) if len(guess) >= guess.shape[1] else (d.T, guess.T)
        values, vectors = np.linalg.eigh(guess.T @ guess)
        root = vectors / np.sqrt(values) @ vectors.T
        S = book.given(f"S{i}", (root + root.T) / 2)
        P = book.kept(f"P{i}", A @ S)
        book.near(P.T @ P, np.eye(len(root)), 1e-9)
        book.positive(S)
        P = P if P.shape == d.shape else P.T
        book.near(x * (1 - eta * decay) - P * eta, served["msign"][i], 1e-8)
        gaps = [gaps[0] + (d * signs).sum(), gaps[1] + (d * P).sum()]
    book.near(np.array(gaps, object) + inner, predicted["gaps"], 1e-8)
    return book.proof()


@jax.jit
def take_step(run: Run) -> dict[str, Any]:
    """A step without momentum, and l <grad f, x - v> = <grad f, x - x+>/eta for the vertex v that it went to."""
    g = jax.grad(objective, argnums=1)(run.problem, run.x)

    def after(kind: str) -> Params:
        optimizer = lion_k(run.eta, kind, b1=0.0, b2=0.0, decay=run.decay)
        return optax.apply_updates(run.x, optimizer.update(g, optimizer.init(run.x), run.x)[0])

    points = {kind: after(kind) for kind in ("sign", "msign")}
    gone = [optax.tree.vdot(g, optax.tree.sub(run.x, point)) for point in points.values()]
    return points | {"gaps": jnp.stack(gone) / run.eta}


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
    simplex = jnp.asarray(1.5 / float(runs["slow"].decay) * hadamard_characters(2)[1][:, 1:])
    return runs | {"outwards": runs["slow"]._replace(x=Params((simplex,), simplex.T, None), outward=jnp.asarray(True))}


class State(NamedTuple):
    """Params x and momentum m of a problem, constants of the flow, and the smoothing s of K = sum sqrt(m^2 + s^2)."""

    problem: Problem
    x: Params
    m: Params
    alpha: jax.Array
    gamma: jax.Array
    epsilon: jax.Array
    decay: jax.Array
    smoothing: jax.Array


def predict_fall(state: State) -> jax.Array:
    """The flow of Lion-K falls along V = a f + (g/l) K*(l x) + c (K*(l x) + K(m) - l <x, m>), at a rate that is the sum of two
    monotone brackets.

    grad K(m) = m/sqrt(m^2 + s^2) and grad K*(y) = s y/sqrt(1 - y^2).
    """
    x, m, g = (ravel_pytree(p)[0] for p in (state.x, state.m, jax.grad(objective, argnums=1)(state.problem, state.x)))
    alpha, gamma, epsilon, decay, s = state[3:]

    def slope(u: jax.Array) -> jax.Array:
        return u / jnp.sqrt(u**2 + s**2)

    velocity, y = -alpha * g - gamma * m, decay * x
    M = m + epsilon * velocity
    c = (1 - epsilon * gamma) / (1 + epsilon * decay)
    first = jnp.vdot(M - s * y / jnp.sqrt(1 - y**2), slope(M) - y)
    return -(gamma + decay) / (1 + epsilon * decay) * first - c * jnp.vdot(velocity, slope(M) - slope(m))


@jax.jit
def derivative(state: State) -> jax.Array:
    """The derivative of V along the flow by forward differentiation; grad K by differentiation too."""
    (x, back), (m, _) = ravel_pytree(state.x), ravel_pytree(state.m)
    alpha, gamma, epsilon, decay, s = state[3:]

    def f(x: jax.Array) -> jax.Array:
        return objective(state.problem, back(x))

    def K(m: jax.Array) -> jax.Array:
        return jnp.sum(jnp.sqrt(m**2 + s**2))

    def lyapunov(x: jax.Array, m: jax.Array) -> jax.Array:
        conjugate = -s * jnp.sum(jnp.sqrt(1 - (decay * x) ** 2))
        coupling = (1 - epsilon * gamma) / (1 + epsilon * decay) * (conjugate + K(m) - decay * jnp.vdot(x, m))
        return alpha * f(x) + gamma / decay * conjugate + coupling

    m_velocity = -alpha * jax.grad(f)(x) - gamma * m
    x_velocity = jax.grad(K)(m + epsilon * m_velocity) - decay * x
    return jax.jvp(lyapunov, (x, m), (x_velocity, m_velocity))[1]


def prove_fall(state: State, predicted: jax.Array) -> Proof:
    """The derivatives of V in x and in m by the chain rule, along the velocities, within 1e-10 of what is served."""
    book = Book("V changes along the flow of Lion-K, derivative times velocity, at the rate served")
    point = given_params(book, state.x)
    g = slopes(book, state.problem, point)
    m = book.given("m", np.concatenate([np.ravel(y) for y in (*state.m.weights, state.m.H)]))
    x, gradient = (np.concatenate([y.ravel() for y in (*at.weights, at.H)]) for at in (point, g))
    alpha, gamma, epsilon, decay, s = (number(float(value)) for value in state[3:])

    def slope(label: str, u: np.ndarray) -> np.ndarray:
        return book.kept(label, [y / sqrt(y * y + s * s) for y in u])

    m_velocity = book.kept("mdot", gradient * -alpha - m * gamma)
    x_velocity = book.kept("xdot", slope("slope", book.kept("M", m + m_velocity * epsilon)) - x * decay)
    conjugate = book.kept("conjugate", [s * decay * y / sqrt(1 - (decay * y) * (decay * y)) for y in x])
    c = book.kept("c", (1 - epsilon * gamma) / (1 + epsilon * decay))
    in_x = gradient * alpha + conjugate * gamma + (conjugate * decay - m * decay) * c
    in_m = (slope("own", m) - x * decay) * c
    book.near(in_x @ x_velocity + in_m @ m_velocity, predicted)
    return book.proof()


def falls(state: State, predicted: jax.Array, measured: jax.Array) -> list[Check]:
    """The identity, and that V falls."""
    return [*agreement(1e-10)(state, predicted, measured), below("certificate", "V' above zero", measured)]


def random_state(rng: np.random.Generator, epsilon: float, gamma: float = 0.8) -> State:
    """x inside the box of |x_i| < 1/decay and any m, for three classes of two samples."""
    decay = rng.uniform(0.5, 2)
    x = [jnp.asarray(0.98 / decay * rng.uniform(-1, 1, size=shape)) for shape in ((3, 3), (3, 6))]
    m = [jnp.asarray(0.3 * rng.normal(size=y.shape)) for y in x]
    constants = map(jnp.asarray, (rng.uniform(0.5, 2), gamma, epsilon, decay, rng.uniform(0.05, 0.5)))
    return State(Problem.balanced(3, 2, 3, loss="ce"), Params((x[0],), x[1], None), Params((m[0],), m[1], None), *constants)


def state_cases() -> dict[str, State]:
    """No Nesterov term, some of it, and the largest allowed, epsilon gamma = 1."""
    rng = np.random.default_rng(0)
    return {f"epsilon={epsilon}": random_state(rng, epsilon) for epsilon in (0.0, 0.1, 0.6, 1.25)}


def draw_state(rng: np.random.Generator) -> State:
    """A random state and constants with epsilon gamma < 1."""
    gamma = rng.uniform(0.2, 2)
    return random_state(rng, rng.uniform(0, 1) / gamma, gamma)


_ASSUMES = (Assumption("eta decay <= 1", lambda run: float(run.eta * run.decay) <= 1 + 1e-12),)
_IN_BOX = (
    Assumption("epsilon gamma <= 1", lambda c: bool(c.epsilon * c.gamma <= 1)),
    Assumption("a point inside the box", lambda c: float(jnp.max(jnp.abs(ravel_pytree(c.x)[0])) * c.decay) < 1),
)
THEOREMS = (
    statements.trajectory(
        "lion-box", "[chen2024]", predict_excess, excess, cases,
        lambda rng: random_run(rng, np.exp(rng.uniform(-1, 1)), rng.uniform(0.01, 0.3)), _ASSUMES, path=descent, evidence=in_box,
        prove=prove_excess,
        notes="Equality holds where every entry outside the box is pushed outwards throughout.",
    ),
    statements.identity(
        "lion-frank-wolfe", "[chen2024]; the matrix sign derived", predict_step, take_step,
        lambda: {label: cases()[label] for label in ("inside", "slow")},  # of full rank, no gradient vanishing by saturation
        lambda rng: random_run(rng, 1.0, rng.uniform(0.01, 1)), _ASSUMES, prove=prove_step,
    ),
    statements.identity(
        "lion-k-lyapunov", "[chen2024]; identity derived",
        predict_fall, derivative, state_cases, draw_state, _IN_BOX, evidence=falls,
        prove=prove_fall,
        notes="Measured with the smooth K = sum sqrt(m^2 + s^2); the sign of Lion is its limit s -> 0.",
    ),
)  # fmt: skip
