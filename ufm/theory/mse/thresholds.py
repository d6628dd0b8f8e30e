"""Tie and spinodal of one direction: when the non-zero root is the minimum, and a published shortcut that forgets to ask."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ufm.problem import Problem
from ufm.problem.params import Params, objective
from ufm.theory import statements
from ufm.theory.mse.cases import balanced_at
from ufm.theory.mse.spectrum import beta_spinodal, beta_tie, largest_root
from ufm.theory.theorem import Claim, Refutation, agreement, counterexample


class ScalarCase(NamedTuple):
    """phi(t)/phi(0) = (1 - t)^2 + L beta t^(2/L) for L = len(depth_marker) + 1 factors; the marker's length is M."""

    beta: jax.Array
    depth_marker: tuple[None, ...]

    @property
    def depth(self) -> int:
        """M, static."""
        return len(self.depth_marker)


def predict_scalar_minimum(case: ScalarCase) -> dict[str, jax.Array]:
    """A direction of deep MSE is alive below beta_tie = ((M-1)/M)^((M-1)/(M+1)) / M, where t jumps from (M-1)/M to 0; a non-zero
    local minimum survives up to the spinodal.

    t = 0 for beta >= beta_tie, else the largest root of (1-t) t^((M-1)/(M+1)) = beta; value (1-t)(1+Mt).
    """
    rest = largest_root(jnp.minimum(case.beta, beta_tie(case.depth)), case.depth)
    alive = case.beta < beta_tie(case.depth)
    t = jnp.where(alive, 1 - rest, 0)
    return {"t": t, "value": jnp.where(alive, rest * (1 + case.depth * t), 1)}


@jax.jit
def measure_scalar_minimum(case: ScalarCase, key: jax.Array) -> dict[str, jax.Array]:
    """The lowest point of phi on a fine grid of t, refined by golden sections inside its cell."""
    del key
    L = case.depth + 1

    def phi(t: jax.Array) -> jax.Array:
        return (1 - t) ** 2 + L * case.beta * t ** (2 / L)

    grid = jnp.linspace(0.0, 1.0, 20_001)
    best = jnp.argmin(phi(grid))
    low, high = grid[jnp.maximum(best - 1, 0)], grid[jnp.minimum(best + 1, grid.size - 1)]

    def narrow(_: int, ends: tuple) -> tuple:
        a, b = ends
        x, y = b - (b - a) * 0.618033988749895, a + (b - a) * 0.618033988749895
        left = phi(x) < phi(y)
        return jnp.where(left, a, x), jnp.where(left, y, b)

    a, b = jax.lax.fori_loop(0, 60, narrow, (low, high))
    t = jnp.where(phi(grid[best]) < phi(0.5 * (a + b)), grid[best], 0.5 * (a + b))
    return {"t": t, "value": phi(t)}


def scalar_cases() -> dict[str, ScalarCase]:
    """Deep below, just below and just above the tie, between tie and spinodal, and beyond; M = 1..4."""
    cases = {}
    for M in (1, 2, 3, 4):
        between = 0.5 * (beta_tie(M) + beta_spinodal(M))
        for name, beta in (("0.02 tie", 0.02 * beta_tie(M)), ("0.999 tie", 0.999 * beta_tie(M)),
                           ("1.001 tie", 1.001 * beta_tie(M)), ("metastable", between)):  # fmt: skip
            cases[f"M={M} {name}"] = ScalarCase(jnp.asarray(beta), (None,) * M)
    return cases


def draw_scalar(rng: np.random.Generator) -> ScalarCase:
    """A random depth and beta, 0.01 % away from the tie."""
    M = int(rng.integers(1, 5))
    beta = beta_tie(M) * np.exp(rng.uniform(-6, 0.5))
    return ScalarCase(jnp.asarray(beta * (1 + 1e-4 * np.sign(beta - beta_tie(M)))), (None,) * M)


def predict_largest_root(problem: Problem) -> Claim:
    """The largest stationary root is the minimum of deep MSE wherever it exists.

    The value at the largest stationary root, taken as the minimum without comparing it with zero: (1-t)(1+Mt)/2.

    The claim is right below the tie: there it is asked for at half of it.
    """
    M = len(problem.widths)
    n = problem.samples / problem.classes
    beta = problem.samples * problem.c / n ** (M / (M + 1))

    def value(beta: jax.Array) -> jax.Array:
        rest = largest_root(beta, M)
        return 0.5 * rest * (1 + M * (1 - rest))

    return Claim(value(beta), value(0.5 * beta_tie(M) * jnp.ones_like(beta)))


def measure_at_zero(problem: Problem, key: jax.Array) -> Refutation:
    """The objective with every parameter zero, a point that anyone can evaluate; phi/2 at the last turn of its slope, on a grid."""
    del key
    outputs = (*problem.widths[1:], problem.classes)
    weights = tuple(jnp.zeros((outputs[i], d), problem.dtype) for i, d in enumerate(problem.widths))
    at_zero = objective(problem, Params(weights, jnp.zeros((problem.widths[0], problem.columns), problem.dtype), None))
    M, n = len(problem.widths), float(problem.samples) / problem.classes
    beta = float(problem.samples) * float(np.prod(np.asarray(problem.ridges))) ** (1 / (M + 1)) / n ** (M / (M + 1))
    tie = ((M - 1) / M) ** ((M - 1) / (M + 1)) / M
    return Refutation(at_zero, _last_minimum(beta, M), _last_minimum(0.5 * tie, M))


def _last_minimum(beta: float, M: int) -> float:
    """phi(t)/2 at its local minimum of largest t: t comes down from 1 until phi rises, and golden sections refine."""

    def phi(t):
        return ((1 - t) ** 2 + (M + 1) * beta * t ** (2 / (M + 1))) / 2

    grid = np.linspace(1, 0, 20_001)
    turn = int(np.argmax(np.diff(phi(grid)) > 0))
    low, high = grid[turn + 1], grid[max(turn - 1, 0)]
    for _ in range(60):
        a, b = high - 0.618033988749895 * (high - low), low + 0.618033988749895 * (high - low)
        low, high = (low, b) if phi(a) < phi(b) else (a, high)
    return float(phi(0.5 * (low + high)))


def largest_root_cases() -> dict[str, Problem]:
    """Between tie and spinodal; the third is the published setting M=3, K=4, n=100 at equal ridges 2.7e-2."""
    cases = {}
    for M in (2, 3):
        ratio = 0.5 * (1 + beta_spinodal(M) / beta_tie(M))
        cases[f"M={M} beta/tie={ratio:.3f}"] = balanced_at(ratio, M, "none")
    published = Problem.balanced(4, 100, (64, 64, 64), l2_W=2.7e-2, l2_H=2.7e-2).collapsed()
    return cases | {"M=3 K=4 n=100 l2=2.7e-2": published}


THEOREMS = (
    statements.other(
        "mse-tie-and-spinodal", "[dang2023], in other variables; spinodal derived",
        predict_scalar_minimum, measure_scalar_minimum, scalar_cases, draw_scalar, evidence=agreement(1e-12, t=1e-5),
    ),
    statements.other(
        "mse-largest-root", "the public evaluation script (compute_x) of [dang2023], read alone; not their theorem",
        predict_largest_root, measure_at_zero, largest_root_cases, status="refuted", evidence=counterexample(1e-6),
        notes="Between tie and spinodal the root exists but the zero solution is lower. Below the tie the root is the "
        "global minimum (mse-balanced-deep), and Dang et al.'s theorem states the threshold correctly.",
    ),
)  # fmt: skip
