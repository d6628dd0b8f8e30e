"""The largest stable step of gradient descent at the minimum of balanced MSE (derived).

Steps of size h shrink every mode of the Hessian but the zero ones exactly for h below

    2 N/T,  T = s + n/s  for c < 1,        2 N/nu_+,  nu_+ = ((lH + n lW) + sqrt((lH - n lW)^2 + 4n))/2  for c >= 1

(N = K n, numbers as in `table`): T, of in-span and class rotations, is the largest eigenvalue at any d, above lam_+ and lH + n lW.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.flatten_util import ravel_pytree

from ufm.problem.params import objective
from ufm.theory import statements
from ufm.theory.second_order.cases import PLAIN, SHAPES, CriticalPoint, minimiser
from ufm.theory.second_order.table import block, numbers
from ufm.theory.theorem import agreement

_STEPS = 600
_KICK = 1e-7
_GONE = 1e-6  # of the first gradient, close to rounding
_FAR = 1e3  # beyond it descent has left for cycles or infinity: every minimum is as steep as this one
_GRID = 16
_ROUNDS = 6
_SIZES = {"d<K": 0.6, "d>K": 1.7, "n=1": 1.3}


def predict(case: CriticalPoint) -> jax.Array:
    """Gradient descent on balanced MSE is stable at the minimum exactly for steps below 2 N/T, T = s + n/s.

    2 N/T, or 2 N/nu_+ for c >= 1.
    """
    n, w, lW, lH, c, s, _ = numbers(case.problem)
    return 2 / (w * jnp.where(c < 1, s + n / s, block(lH, jnp.sqrt(n), n * lW)[1]))


@jax.jit
def measure(case: CriticalPoint, key: jax.Array) -> jax.Array:
    """The step between gradient descent that comes back to the minimum and descent that leaves it, by refining a bracket."""
    flat, unravel = ravel_pytree(case.params)
    start = flat + _KICK * jax.random.normal(key, flat.shape, flat.dtype)
    gradient = jax.grad(lambda x: objective(case.problem, unravel(x)))

    def grows(step: jax.Array) -> jax.Array:
        """Whether the gradient grew over the second half of a descent, or left the neighbourhood or all numbers before."""

        def half(x: jax.Array, _: None) -> tuple[jax.Array, jax.Array]:
            return lax.fori_loop(0, _STEPS // 2, lambda _, y: y - step * gradient(y), x), jnp.linalg.norm(gradient(x))

        first, middle, last = lax.scan(half, start, length=3)[1]
        return ~(((last <= middle) | (last < _GONE * first)) & (last < _FAR * first))

    def refine(_: int, bracket: tuple) -> tuple:
        low, high = bracket
        steps = low + (high - low) * jnp.arange(1, _GRID + 1) / _GRID
        calm = jnp.argmax(jax.vmap(grows)(steps))
        width = (high - low) / _GRID
        return low + width * calm, low + width * (calm + 1)

    low, high = lax.fori_loop(0, _ROUNDS, refine, (0.0 * case.problem.samples, 2.0 * case.problem.samples))
    return (low + high) / 2


def cases() -> dict[str, CriticalPoint]:
    """Flat and steep minima of three shapes, and zero for c > 1."""
    rng = np.random.default_rng(0)
    points = {f"{name} c={c}": minimiser(SHAPES[name], c, s, rng) for name, s in _SIZES.items() for c in (0.15, 0.5, 0.85)}
    return points | {"c=1.3": minimiser(SHAPES["d>K"], 1.3, 1.0, rng)}


def draw(rng: np.random.Generator) -> CriticalPoint:
    """A random shape and random ridges."""
    name = list(_SIZES)[rng.integers(len(_SIZES))]
    return minimiser(SHAPES[name], rng.uniform(0.15, 0.85), np.exp(rng.uniform(-0.7, 0.7)), rng)


THEOREMS = (
    # other: the limit lies between descents that return and descents that leave, a bracket of many paths from random kicks
    statements.other("mse-step-limit", "derived", predict, measure, cases, draw, PLAIN, evidence=agreement(1e-6)),
)  # fmt: skip
