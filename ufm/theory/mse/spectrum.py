"""One singular direction of the squared error with L = M + 1 factors: root, threshold, value.

    phi(sigma) = gamma/(2N) (sqrt(mu) - sigma)^2 + (L/2) c sigma^(2/L),   sigma = sqrt(mu) t
    stationary:  (1 - t) t^((M-1)/(M+1)) = beta := N c / (gamma mu^(M/(M+1))),   value gamma mu/(2N) (1 - t)(1 + M t)

M = 1: t = (1 - beta)_+. M >= 2: the largest root is a local minimum below beta_spinodal and global below beta_tie, where t
jumps from (M-1)/M to 0; zero is always a strict local minimum. (Dang et al. 2023 in the variable x^M = t/(1-t).)
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ufm.problem import Problem
from ufm.search.roots import increasing_root
from ufm.theory.prediction import effective_c


class Direction(NamedTuple):
    """t in [0, 1), the value phi, and whether the direction is alive (t > 0)."""

    t: jax.Array
    value: jax.Array
    alive: jax.Array


def beta_tie(depth: int) -> float:
    """The beta up to which a direction is alive: 1 for M = 1, else ((M-1)/M)^((M-1)/(M+1)) / M."""
    return ((depth - 1) / depth) ** ((depth - 1) / (depth + 1)) / depth if depth > 1 else 1.0


def beta_spinodal(depth: int) -> float:
    """The beta up to which a non-zero local minimum exists, (M+1)/(2M) ((M-1)/(2M))^((M-1)/(M+1))."""
    p = (depth - 1) / (depth + 1)
    return (depth + 1) / (2 * depth) * ((depth - 1) / (2 * depth)) ** p if depth > 1 else 1.0


def largest_root(beta: jax.Array, depth: int) -> jax.Array:
    """1 - t for the largest root t of (1 - t) t^((M-1)/(M+1)) = beta, in the variable log(1 - t); beta < beta_spinodal.

    Returning 1 - t keeps full relative precision for small ridges, where t is 1 to rounding.
    """
    if depth == 1:
        return jnp.minimum(beta, 1)
    p = (depth - 1) / (depth + 1)

    def equation(u: jax.Array, log_beta: jax.Array) -> jax.Array:
        return u + p * jnp.log1p(-jnp.exp(u)) - log_beta

    top = jnp.full_like(beta, jnp.log((depth + 1) / (2 * depth)))
    solve = jnp.vectorize(lambda lb, hi: increasing_root(equation, jnp.minimum(lb, hi), hi, lb))
    return jnp.exp(solve(jnp.log(beta), top))


def minimise_direction(mu: jax.Array, gamma: jax.Array, samples: jax.Array, c: jax.Array, depth: int) -> Direction:
    """The global minimum of phi for every entry of mu, the (R,) squared singular values of the targets, and their weights gamma."""
    present = mu > 0
    beta = samples * c / (gamma * jnp.where(present, mu, 1) ** (depth / (depth + 1)))
    alive = present & (beta < beta_tie(depth))
    rest = largest_root(jnp.where(alive, beta, 0.5 * beta_tie(depth)), depth)
    t = jnp.where(alive, 1 - rest, jnp.zeros_like(mu))
    return Direction(t, gamma * mu / (2 * samples) * jnp.where(alive, rest * (1 + depth * t), 1), alive)


def minimise_directions(
    problem: Problem, mu: jax.Array, gamma: jax.Array | None = None
) -> tuple[int, jax.Array, jax.Array, jax.Array]:
    """The minimum over directions of weight 1 or gamma, the first R = min(size, widths) of which fit through the widths.

    Returns:
      R, their singular values (R,), the value with what the others are worth at zero, and which of all would be alive.
    """
    weights = jnp.ones_like(mu) if gamma is None else gamma
    rank, N = min(mu.shape[0], *problem.widths), problem.samples
    found = minimise_direction(mu, weights, N, effective_c(problem), len(problem.widths))
    value = jnp.sum(found.value[:rank]) + jnp.sum((weights * mu)[rank:]) / (2 * N)
    return rank, jnp.sqrt(mu[:rank]) * found.t[:rank], value, found.alive
