"""Tie and spinodal of one direction: when the non-zero root is the minimum, and a published shortcut that forgets to ask."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ufm.problem import Problem
from ufm.problem.meant import exact, exact_ridges
from ufm.problem.params import Params, objective, weight_shapes
from ufm.proofs import Proof, least
from ufm.proofs.equations import largest_root_is_beaten
from ufm.proofs.expressions import x
from ufm.proofs.objective import objective_expression
from ufm.theory import statements
from ufm.theory.mse.cases import balanced_at
from ufm.theory.mse.spectrum import beta_spinodal, beta_tie, largest_root, minimise_direction
from ufm.theory.proving import exactly, held
from ufm.theory.statements.refutations import Claim, Refutation


class ScalarCase(NamedTuple):
    """phi(t)/phi(0) = (1 - t)^2 + L beta t^(2/L) for L = len(depth_marker) + 1 factors; M is the marker's length, static."""

    beta: jax.Array
    depth_marker: tuple[None, ...]


def predict_scalar_minimum(case: ScalarCase) -> dict[str, jax.Array]:
    """A direction of deep MSE is alive below beta_tie = ((M-1)/M)^((M-1)/(M+1)) / M, where t jumps from (M-1)/M to 0; a non-zero
    local minimum survives up to the spinodal.

    t = 0 for beta >= beta_tie, else the largest root of (1-t) t^((M-1)/(M+1)) = beta; value (1-t)(1+Mt).
    """
    one = jnp.ones_like(case.beta)
    found = minimise_direction(one, one, one, case.beta, len(case.depth_marker))
    return {"t": found.t, "value": 2 * found.value}


def prove_scalar_minimum(case: ScalarCase, predicted: dict[str, jax.Array]) -> Proof:
    """The least of (1 - x^L)^2 + L beta x^2 over x = t^(1/L) in [0, 1]."""
    L = len(case.depth_marker) + 1
    what = f"the least of (1 - t)^2 + {L} beta t^(2/{L}) over t in [0, 1], beta = {float(case.beta)!r}"
    t, root = (x, x) if L == 2 else (x**L, x**2)  # t and t^(2/L)
    return held(least((1 - t) ** 2 + L * exactly(case.beta) * root, 0, 1, statement=what), predicted["value"])


@jax.jit
def lowest_point(case: ScalarCase) -> dict[str, jax.Array]:
    """The lowest point of phi on a fine grid of t, refined by golden sections inside its cell."""
    phi = _phi(case.beta, len(case.depth_marker))
    grid = jnp.linspace(0.0, 1.0, 20_001)
    best = jnp.argmin(phi(grid))
    refined = _golden(phi, grid[jnp.maximum(best - 1, 0)], grid[jnp.minimum(best + 1, grid.size - 1)])
    t = jnp.where(phi(grid[best]) < phi(refined), grid[best], refined)
    return {"t": t, "value": phi(t)}


def _phi(beta: jax.Array, depth: int) -> Callable[[jax.Array], jax.Array]:
    return lambda t: (1 - t) ** 2 + (depth + 1) * beta * t ** (2 / (depth + 1))


def _golden(function: Callable[[jax.Array], jax.Array], low: jax.Array, high: jax.Array) -> jax.Array:
    """Where a function of one valley between two numbers is lowest."""

    def narrow(_: int, ends: tuple) -> tuple:
        a, b = ends
        x, y = b - (b - a) * 0.618033988749895, a + (b - a) * 0.618033988749895
        left = function(x) < function(y)
        return jnp.where(left, a, x), jnp.where(left, y, b)

    a, b = jax.lax.fori_loop(0, 60, narrow, (low, high))
    return (a + b) / 2


def scalar_cases() -> dict[str, ScalarCase]:
    """Deep below, just below and just above the tie, between tie and spinodal, and beyond; M = 1..4."""
    betas = {(M, f"{share} tie"): share * beta_tie(M) for M in (1, 2, 3, 4) for share in (0.02, 0.999, 1.001)}
    betas |= {(M, "metastable"): 0.5 * (beta_tie(M) + beta_spinodal(M)) for M in (1, 2, 3, 4)}
    return {f"M={M} {name}": ScalarCase(jnp.asarray(beta), (None,) * M) for (M, name), beta in betas.items()}


def draw_scalar(rng: np.random.Generator) -> ScalarCase:
    """A random depth and beta, 0.01 % away from the tie."""
    M = int(rng.integers(1, 5))
    beta = beta_tie(M) * np.exp(rng.uniform(-6, 0.5))
    return ScalarCase(jnp.asarray(beta * (1 + 1e-4 * np.sign(beta - beta_tie(M)))), (None,) * M)


def predict_largest_root(problem: Problem) -> Claim:
    """The largest stationary root is the minimum of deep MSE wherever it exists.

    (1-t)(1+Mt)/2, without comparing it with zero. The claim is right below the tie: there it is asked for at half of it.
    """
    M, n = len(problem.widths), problem.samples / problem.classes
    beta = problem.samples * problem.c / n ** (M / (M + 1))
    rests = (largest_root(b, M) for b in (beta, 0.5 * beta_tie(M) * jnp.ones_like(beta)))
    return Claim(*(0.5 * rest * (1 + M * (1 - rest)) for rest in rests))


def measure_at_zero(problem: Problem, key: jax.Array) -> Refutation:
    """The objective with every parameter zero, a point that anyone can evaluate; phi/2 at the last turn of its slope, on a grid."""
    M, n = len(problem.widths), problem.samples / problem.classes
    beta = problem.samples * jnp.prod(problem.ridges) ** (1 / (M + 1)) / n ** (M / (M + 1))
    tie = ((M - 1) / M) ** ((M - 1) / (M + 1)) / M
    return Refutation(objective(problem, zero(problem)), _last_minimum(beta, M), _last_minimum(jnp.asarray(0.5 * tie), M))


def zero(problem: Problem) -> Params:
    """The point of no weights and no features."""
    weights = tuple(jnp.zeros(shape, problem.dtype) for shape in weight_shapes(problem))
    return Params(weights, jnp.zeros((problem.widths[0], problem.columns), problem.dtype), None)


def prove_largest_root(problem: Problem, predicted: Claim | None = None) -> Proof:
    """The largest root is worth more than zero."""
    found, per_class = objective_expression(problem, zero(problem)), exact(problem, "samples")[()] / problem.classes
    claim = {"theorem": "mse-largest-root"}
    return largest_root_is_beaten(problem.classes, per_class, exact_ridges(problem), found, claim=claim)


def _last_minimum(beta: jax.Array, depth: int) -> jax.Array:
    """phi(t)/2 at its local minimum of largest t: t comes down from 1 until phi rises, and golden sections refine."""
    phi, grid = _phi(beta, depth), jnp.linspace(1.0, 0.0, 20_001)
    turn = jnp.argmax(jnp.diff(phi(grid)) > 0)
    return phi(_golden(phi, grid[turn + 1], grid[jnp.maximum(turn - 1, 0)])) / 2


def largest_root_cases() -> dict[str, Problem]:
    """Between tie and spinodal; the third is the published setting M=3, K=4, n=100 at equal ridges 2.7e-2."""
    ratios = {M: 0.5 * (1 + beta_spinodal(M) / beta_tie(M)) for M in (2, 3)}
    cases = {f"M={M} beta/tie={ratio:.3f}": balanced_at(ratio, M, "none") for M, ratio in ratios.items()}
    published = Problem.balanced(4, 100, (64, 64, 64), l2_W=2.7e-2, l2_H=2.7e-2).collapsed()
    return cases | {"M=3 K=4 n=100 l2=2.7e-2": published}


THEOREMS = (
    statements.identity(
        "mse-tie-and-spinodal", "[dang2023], in other variables; spinodal derived",
        predict_scalar_minimum, lowest_point, scalar_cases, draw_scalar, tolerance=1e-12, leaves={"t": 1e-5},
        prove=prove_scalar_minimum,
    ),
    statements.refutation(
        "mse-largest-root", "the public evaluation script (compute_x) of [dang2023], read alone; not their theorem",
        predict_largest_root, measure_at_zero, largest_root_cases, tolerance=1e-6, prove=prove_largest_root,
        notes="Between tie and spinodal the root exists but the zero solution is lower. Below the tie the root is the "
        "global minimum (mse-balanced-deep), and Dang et al.'s theorem states the threshold correctly.",
    ),
)  # fmt: skip
