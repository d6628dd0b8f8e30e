"""What the proximity model's theorems are held against: its joint objective in W and H under automatic differentiation.

Minima and stationary points are found by dense Newton methods, exact to rounding for the small problems of the catalogue.
Coordinates are x = [vec W (rows), vec H (columns stacked)]; nothing here knows a closed form.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from ufm.problem import Problem
from ufm.problem.params import Params, objective

_STEPS = 100
_ZERO, _STIFF = 1e-14, 1e3  # gradient norm and damping at which a search for stationary points ends
_HALVINGS = 16


class Points(NamedTuple):
    """J points: W (J, K, d), H (J, d, N), and the objective and its gradient's norm there, (J,)."""

    W: jax.Array
    H: jax.Array
    value: jax.Array
    gradient_norm: jax.Array


def best_weights(problem: Problem, H: jax.Array) -> jax.Array:
    """argmin over W of f(W, H), (K, d): one Newton step, since f is quadratic in W; derivatives in H pass through."""
    shape = (problem.classes, problem.widths[0])

    def value(w: jax.Array) -> jax.Array:
        return objective(problem, Params((w.reshape(shape),), H, None))

    w = jnp.ones(shape[0] * shape[1], problem.dtype)
    return (w - jnp.linalg.solve(jax.hessian(value)(w), jax.grad(value)(w))).reshape(shape)


def without_proximity(problem: Problem) -> Problem:
    """The problem with beta = 0, its H0 kept but without effect."""
    return dataclasses.replace(problem, beta=jnp.zeros_like(problem.beta))


def reduced(problem: Problem, H: jax.Array) -> jax.Array:
    """L(H) = min over W of f(W, H) without the proximity term."""
    plain = without_proximity(problem)
    return objective(plain, Params((best_weights(plain, H),), H, None))


def reduced_hessian(problem: Problem, H: jax.Array) -> jax.Array:
    """Hessian of L in vec H, (d N, d N): what is left of the joint Hessian when W follows H (its Schur complement)."""
    plain = without_proximity(problem)
    f, x = _flat(plain), _join(best_weights(plain, H), H)
    joint, k = jax.hessian(f)(x), problem.classes * problem.widths[0]
    return joint[k:, k:] - joint[k:, :k] @ jnp.linalg.solve(joint[:k, :k], joint[:k, k:])


@jax.jit
def minima(problem: Problem, centres: jax.Array, betas: jax.Array, starts: Params) -> Points:
    """A local minimum of the joint objective for each of J centres H0, proximities beta and starts.

    Args:
      problem: what the J problems share. centres: (J, d, N). betas: (J,), in the problem's own units.
      starts: Params with a leading axis J.

    Returns:
      Points. Newton steps with |Hessian| as metric and the best of halved lengths until rounding stops them.
    """

    def find(job: tuple) -> tuple:
        centre, beta, start = job
        f = _flat(dataclasses.replace(problem, H0=centre, beta=beta))
        gradient, hessian = jax.grad(f), jax.hessian(f)

        def advance(state: tuple) -> tuple:
            x, steps, _ = state
            g = gradient(x)
            eigenvalues, V = jnp.linalg.eigh(hessian(x))
            size = jnp.abs(eigenvalues)
            step = -V @ ((V.T @ g) / jnp.maximum(size, 1e-12 * jnp.max(size)))
            lengths = 0.5 ** jnp.arange(_HALVINGS)
            values = jax.vmap(lambda t: f(x + t * step))(lengths)
            settled = (eigenvalues[0] > 0) & (jnp.linalg.norm(gradient(x + step)) <= 0.5 * jnp.linalg.norm(g))
            lower = jnp.min(values) < f(x)
            length = jnp.where(settled, 1, jnp.where(lower, lengths[jnp.argmin(values)], 0))
            return x + length * step, steps + 1, settled | lower

        x, _, _ = lax.while_loop(lambda s: s[2] & (s[1] < _STEPS), advance, (_join(start.weights[0], start.H), 0, True))
        return x, f(x), jnp.linalg.norm(gradient(x))

    x, value, norm = lax.map(find, (centres, betas, starts))
    W, H = jax.vmap(lambda one: _split(problem, one))(x)
    return Points(W, H, value, norm)


@jax.jit
def stationary_points(problem: Problem, starts: Params) -> Points:
    """Zeros of the gradient, saddles as well as minima, near each of J starts: Levenberg-Marquardt on |grad f|^2.

    A start from which it ends elsewhere shows in gradient_norm.
    """
    f = _flat(problem)
    gradient, hessian = jax.grad(f), jax.hessian(f)

    def advance(state: tuple) -> tuple:
        x, norm, damping, steps = state
        eigenvalues, V = jnp.linalg.eigh(hessian(x))
        trial = x - V @ (eigenvalues / (eigenvalues**2 + damping) * (V.T @ gradient(x)))
        trial_norm = jnp.linalg.norm(gradient(trial))
        better = trial_norm < norm
        x, norm = jnp.where(better, trial, x), jnp.where(better, trial_norm, norm)
        return x, norm, damping * jnp.where(better, 0.1, 10), steps + 1

    def unfinished(state: tuple) -> jax.Array:
        _, norm, damping, steps = state
        return (norm > _ZERO) & (damping < _STIFF) & (steps < _STEPS)

    def find(start: Params) -> tuple:
        x = _join(start.weights[0], start.H)
        first = (x, jnp.linalg.norm(gradient(x)), jnp.asarray(1e-3, problem.dtype), 0)
        x, norm, _, _ = lax.while_loop(unfinished, advance, first)
        return x, f(x), norm

    x, value, norm = lax.map(find, starts)
    W, H = jax.vmap(lambda one: _split(problem, one))(x)
    return Points(W, H, value, norm)


def _join(W: jax.Array, H: jax.Array) -> jax.Array:
    return jnp.concatenate([W.ravel(), H.T.ravel()])


def _split(problem: Problem, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    K, d = problem.classes, problem.widths[0]
    return x[: K * d].reshape(K, d), x[K * d :].reshape(-1, d).T


def _flat(problem: Problem):
    def f(x: jax.Array) -> jax.Array:
        W, H = _split(problem, x)
        return objective(problem, Params((W,), H, None))

    return f
