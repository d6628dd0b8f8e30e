"""What the proximity model's theorems are held against: its joint objective in W and H under automatic differentiation.

Minima and stationary points are found by dense Newton methods, exact to rounding for the small problems of the catalogue.
Coordinates are x = [vec W (rows), vec H (columns stacked)]; nothing here knows a closed form.
"""

import dataclasses
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ufm.problem import Problem
from ufm.problem.params import Params, objective
from ufm.theory.assumptions import proximity_features
from ufm.theory.perturbation.model import Minimum

_STEPS, _HALVINGS = 100, 16
_ZERO, _STIFF = 1e-14, 1e3  # gradient norm and damping at which a search for stationary points ends


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


def reduced(problem: Problem, H: jax.Array) -> jax.Array:
    """L(H) = min over W of f(W, H) without the proximity term."""
    plain = dataclasses.replace(problem, beta=0 * problem.beta)
    return objective(plain, Params((best_weights(plain, H),), H, None))


def reduced_hessian(problem: Problem, H: jax.Array) -> jax.Array:
    """Hessian of L in vec H, (d N, d N): what is left of the joint Hessian when W follows H (its Schur complement)."""
    plain = dataclasses.replace(problem, beta=0 * problem.beta)
    W = best_weights(plain, H)
    joint, k = jax.hessian(partial(_joint, plain))(_join(W, H)), W.size
    return joint[k:, k:] - joint[k:, :k] @ jnp.linalg.solve(joint[:k, :k], joint[:k, k:])


def velocity(problem: Problem, H: jax.Array) -> jax.Array:
    """dH/dt = -N grad L(H) of the central path, (d, N)."""
    return -problem.samples * jax.grad(lambda x: reduced(problem, x))(H)


def scatters(problem: Problem, H: jax.Array) -> tuple[jax.Array, jax.Array]:
    """tr S_W and tr S_B of features (..., d, N), each (...)."""
    D, means = _by_class(problem, H)
    return jnp.mean(D**2, axis=(-2, -1)).sum(axis=-1), jnp.var(means, axis=-1).sum(axis=-1)


def size_and_volume(problem: Problem, H: jax.Array) -> jax.Array:
    """|H|^2 + n lW log det D D^T of features (d, N), a scalar."""
    D = _by_class(problem, H)[0].reshape(H.shape)
    return jnp.sum(H**2) + problem.samples * problem.l2_W[0] * jnp.linalg.slogdet(D @ D.T)[1]


def copies(tree: Any, count: int) -> Any:
    """All arrays of a tree `count` times, along a leading axis."""
    return jax.tree.map(lambda x: jnp.broadcast_to(x, (count, *jnp.shape(x))), tree)


def random_starts(problem: Problem, key: jax.Array, sizes: Any, near: Any = 0.0, point: Params | None = None) -> Params:
    """J starts: `near` (J,) times a point, W = 0 and H = H0 by default, and Gaussian numbers of `sizes` (J,) on every entry."""
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    size, share = (np.reshape(x, (-1, 1, 1)) for x in (sizes, near))
    middle = point or Params((jnp.zeros((problem.classes, problem.widths[0])),), proximity_features(problem), None)
    return jax.tree.map(lambda x: jnp.asarray(share * np.asarray(x) + size * rng.normal(size=(len(sizes), *x.shape))), middle)


def starts_at_features(problem: Problem, count: int) -> Params:
    """H0 and the transpose of one column a class, `count` times: the minimum next to H0 is looked for."""
    H0 = proximity_features(problem)
    return copies(Params((H0[:, :: problem.groups[0]].T,), H0, None), count)


def lowest(problem: Problem, starts: Params) -> Minimum:
    """The lowest of the minima found from J starts."""
    found = minima(problem, starts)
    return Minimum(*(np.asarray(x)[np.argmin(found.value)] for x in (found.W, found.H, found.value)))


def minima(problem: Problem, starts: Params, **changes: Any) -> Points:
    """A local minimum of the joint objective for each of J starts: Params with a leading axis J.

    Newton steps with |Hessian| as metric and the best of halved lengths until rounding stops them. Where the J problems differ,
    `changes` are H0 (J, d, N) or beta (J,), in the problem's own units.
    """
    shared = copies({"H0": proximity_features(problem), "beta": problem.beta}, len(starts.H))
    return _minima(problem, starts, shared | {name: jnp.asarray(x) for name, x in changes.items()})


@jax.jit
def _minima(problem: Problem, starts: Params, changes: dict[str, jax.Array]) -> Points:
    def find(job: tuple) -> Points:
        start, change = job
        f = partial(_joint, dataclasses.replace(problem, **change))
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
        return Points(*_split(problem, x), f(x), jnp.linalg.norm(gradient(x)))

    return lax.map(find, (starts, changes))


@jax.jit
def stationary_points(problem: Problem, starts: Params) -> Points:
    """Zeros of the gradient, saddles as well as minima, near each of J starts: Levenberg-Marquardt on |grad f|^2.

    A start from which it ends elsewhere shows in gradient_norm.
    """
    f = partial(_joint, problem)
    gradient, hessian = jax.grad(f), jax.hessian(f)

    def advance(state: tuple) -> tuple:
        x, norm, damping, steps = state
        eigenvalues, V = jnp.linalg.eigh(hessian(x))
        trial = x - V @ (eigenvalues / (eigenvalues**2 + damping) * (V.T @ gradient(x)))
        trial_norm = jnp.linalg.norm(gradient(trial))
        better = trial_norm < norm
        x, norm = jnp.where(better, trial, x), jnp.where(better, trial_norm, norm)
        return x, norm, damping * jnp.where(better, 0.1, 10), steps + 1

    def find(start: Params) -> Points:
        x = _join(start.weights[0], start.H)
        first = (x, jnp.linalg.norm(gradient(x)), jnp.asarray(1e-3, problem.dtype), 0)
        x, norm, _, _ = lax.while_loop(lambda s: (s[1] > _ZERO) & (s[2] < _STIFF) & (s[3] < _STEPS), advance, first)
        return Points(*_split(problem, x), f(x), norm)

    return lax.map(find, starts)


def _by_class(problem: Problem, H: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Deviations of H within classes, (..., d, K, n), and class means, (..., d, K)."""
    by_class = jnp.reshape(H, (*H.shape[:-1], problem.classes, -1))
    means = by_class.mean(axis=-1)
    return by_class - means[..., None], means


def _join(W: jax.Array, H: jax.Array) -> jax.Array:
    return jnp.concatenate([W.ravel(), H.T.ravel()])


def _split(problem: Problem, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    K, d = problem.classes, problem.widths[0]
    return x[: K * d].reshape(K, d), x[K * d :].reshape(-1, d).T


def _joint(problem: Problem, x: jax.Array) -> jax.Array:
    W, H = _split(problem, x)
    return objective(problem, Params((W,), H, None))
