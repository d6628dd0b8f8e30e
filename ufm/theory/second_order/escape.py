"""How a tiny start leaves zero in balanced MSE: one rate, one balance of W and H (derived).

Near W = H = 0 the class means M and W grow together like exp(-nu_- t/N) for c < 1, and die for c > 1, along

    W = kappa M^T,   kappa = lH - nu_- > 0,   nu_- = ((lH + n lW) - sqrt((lH - n lW)^2 + 4n))/2 < 0 for c < 1,
    W -> exp(-nu_- t/N) kappa (n M_0^T + kappa W_0)/(n + kappa^2),

while what is within classes decays like exp(-lH t/N). All K directions of W grow alike, so the singular values at the exit are
those of the start in the combination n M_0^T + kappa W_0. (N = K n, numbers as in `table`.)
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ufm.problem import Problem
from ufm.problem.params import Params
from ufm.theory import statements
from ufm.theory.kit.integrate import gradient_flow
from ufm.theory.second_order.cases import PLAIN, SHAPES, critical_point
from ufm.theory.second_order.table import numbers, per_class
from ufm.theory.theorem import agreement

_SIZE = 1e-20
_TIMES = np.array([0.0, 4.0, 16.0, 20.0])  # of N: the start, early, late, the end


class TinyStart(NamedTuple):
    """A problem, and a start so small that products of W and H do not matter before t = 20 N."""

    problem: Problem
    params: Params


class Exit(NamedTuple):
    """What is left of the start at t = 20 N.

    rate: of growth of |W|. within: of decay within classes. balance: kappa. misaligned: |W - kappa M^T|/|W|.
    direction: (K, d) W/|W|. size: log |W|.
    """

    rate: jax.Array
    within: jax.Array
    balance: jax.Array
    misaligned: jax.Array
    direction: jax.Array
    size: jax.Array


def predict(case: TinyStart) -> Exit:
    """From a tiny generic start balanced MSE leaves zero at rate -nu_-/N along W = kappa M^T, kappa = lH - nu_-, in the direction
    of n M_0^T + kappa W_0, while what is within classes decays at rate lH/N; for c > 1 all of it dies.

    The formulas of the module docstring at t = 20 N.
    """
    problem, n = case.problem, per_class(case.problem)
    w, lW, lH, _, _, _ = numbers(problem)
    nu = (lH + n * lW - jnp.sqrt((lH - n * lW) ** 2 + 4 * n)) / 2
    kappa = lH - nu
    W = kappa * (n * _class_means(problem, case.params.H).T + kappa * case.params.weights[0]) / (n + kappa**2)
    length, t = jnp.linalg.norm(W), _TIMES[-1] * problem.samples
    return Exit(-nu * w, lH * w, kappa, jnp.zeros_like(nu), W / length, jnp.log(length) - nu * w * t)


def measure(case: TinyStart, key: jax.Array) -> Exit:
    """Integrate the gradient flow of all entries, and read rates, balance and direction off it."""
    del key  # the start belongs to the case
    W, M, D = map(np.asarray, _path(case))
    sizes, within = np.linalg.norm(W, axis=(1, 2)), np.linalg.norm(D, axis=(1, 2))
    _, early, late, end = _TIMES * float(case.problem.samples)
    rate = np.log(sizes[3] / sizes[2]) / (end - late)
    decay = np.log(within[0] / within[1]) / early
    balance = np.sum(W[-1] * M[-1].T) / np.sum(M[-1] ** 2)
    misaligned = np.linalg.norm(W[-1] - balance * M[-1].T) / sizes[-1]
    return Exit(rate, decay, balance, misaligned, W[-1] / sizes[-1], np.log(sizes[-1]))


@jax.jit
def _path(case: TinyStart) -> tuple[jax.Array, jax.Array, jax.Array]:
    problem = case.problem
    path = gradient_flow(problem, case.params, problem.samples * jnp.asarray(_TIMES))
    M = jax.vmap(lambda H: _class_means(problem, H))(path.H)
    return path.weights[0], M, path.H - jnp.repeat(M, per_class(problem), axis=2)


def _class_means(problem: Problem, H: jax.Array) -> jax.Array:
    return jnp.mean(H.reshape(H.shape[0], problem.classes, -1), axis=2)


def tiny_start(c: float, s: float, rng: np.random.Generator) -> TinyStart:
    """Gaussian W and H of size 1e-20, for more dimensions than classes."""
    point = critical_point(SHAPES["d>K"], 0, c, s, rng)
    W, H = (jnp.asarray(_SIZE * rng.normal(size=x.shape)) for x in (point.params.weights[0], point.params.H))
    return TinyStart(point.problem, Params((W,), H, None))


def cases() -> dict[str, TinyStart]:
    """Features or classifier the lighter, close to c = 1 on either side, and far from it."""
    rng = np.random.default_rng(0)
    return {f"c={c} s={s}": tiny_start(c, s, rng) for c in (0.1, 0.6, 0.97, 1.03, 1.5) for s in (0.6, 2.0)}


def draw(rng: np.random.Generator) -> TinyStart:
    """Random ridges and start."""
    return tiny_start(rng.uniform(0.05, 1.6), np.exp(rng.uniform(-0.7, 0.7)), rng)


THEOREMS = (
    statements.other(
        "mse-escape-from-zero", "derived",
        predict, measure, cases, draw, PLAIN, evidence=agreement(1e-6, misaligned=1e-8, direction=1e-8),
    ),
)  # fmt: skip
