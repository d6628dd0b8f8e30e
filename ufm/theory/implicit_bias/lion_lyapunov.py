"""The Lyapunov function of Lion-K and how fast it falls (Chen, Liu, Liang, Liu 2024; the identity re-derived).

    m' = -a grad f - g m,    x' = grad K(M) - l x,    M = m + e m'           (a, g, e, l: alpha, gamma, epsilon, decay)

descends V(x, m) = a f(x) + (g/l) K*(l x) + c (K*(l x) + K(m) - l <x, m>) where e g <= 1, c = (1 - e g)/(1 + e l):

    V' = -(g + l)/(1 + e l) <M - grad K*(l x), grad K(M) - l x>  -  c <m', grad K(M) - grad K(m)>  <=  0

by monotony of both gradients, so that Lion-K minimises a f(x) + (g/l) K*(l x). Steps of size eta with the weights b1, b2 of
`ufm.lion` have a = g = (1 - b2)/eta and e = eta (1 - b1)/(1 - b2).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from ufm.problem import Problem
from ufm.problem.params import Params, objective
from ufm.theory import statements
from ufm.theory.theorem import Assumption, Check, agreement, below


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


def predict(state: State) -> jax.Array:
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


def evidence(state: State, predicted: jax.Array, measured: jax.Array) -> list[Check]:
    """The identity, and that V falls."""
    return [*agreement(1e-10)(state, predicted, measured), below("certificate", "V' above zero", measured)]


def random_state(rng: np.random.Generator, epsilon: float, gamma: float = 0.8) -> State:
    """x inside the box of |x_i| < 1/decay and any m, for three classes of two samples."""
    decay = rng.uniform(0.5, 2)
    x = [jnp.asarray(0.98 / decay * rng.uniform(-1, 1, size=shape)) for shape in ((3, 3), (3, 6))]
    m = [jnp.asarray(0.3 * rng.normal(size=y.shape)) for y in x]
    constants = map(jnp.asarray, (rng.uniform(0.5, 2), gamma, epsilon, decay, rng.uniform(0.05, 0.5)))
    return State(Problem.balanced(3, 2, 3, loss="ce"), *(Params((W,), H, None) for W, H in (x, m)), *constants)


def cases() -> dict[str, State]:
    """No Nesterov term, some of it, and the largest allowed, epsilon gamma = 1."""
    rng = np.random.default_rng(0)
    return {f"epsilon={epsilon}": random_state(rng, epsilon) for epsilon in (0.0, 0.1, 0.6, 1.25)}


def draw(rng: np.random.Generator) -> State:
    """A random state and constants with epsilon gamma < 1."""
    gamma = rng.uniform(0.2, 2)
    return random_state(rng, rng.uniform(0, 1) / gamma, gamma)


_ASSUMES = (
    Assumption("epsilon gamma <= 1", lambda c: bool(c.epsilon * c.gamma <= 1)),
    Assumption("a point inside the box", lambda c: float(jnp.max(jnp.abs(ravel_pytree(c.x)[0])) * c.decay) < 1),
)
THEOREMS = (
    statements.identity(
        "lion-k-lyapunov", "[chen2024]; identity derived", predict, derivative, cases, draw, _ASSUMES, evidence=evidence,
        notes="Measured with the smooth K = sum sqrt(m^2 + s^2); the sign of Lion is its limit s -> 0.",
    ),
)  # fmt: skip
