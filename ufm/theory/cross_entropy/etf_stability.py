"""Local stability of the simplex ETF in balanced cross-entropy on M >= 2 linear layers: an exact threshold.

At the branch (`etf_branch`) with margin a, every symmetric E with zero diagonal and zero row sums (dimension K(K-3)/2,
K >= 4) added to all factors at once is an eigenvector of the Hessian, in coordinates where all ridges are c:

    H E = c (2 - L (1 - a/K)) E,        L = M + 1

Proof: with logits a P, P = I - J, all factors can be a^(1/L) P; the gradient of the data term is -p P with
p = 1/(e^a + K - 1), its curvature along E is p/K |E|^2, and p a^((L-2)/L) = c. The eigenvalue is negative iff
a < K (M-1)/(M+1), that is c n^(1/L) > c_stab = a^((M-1)/(M+1)) / (e^a + K - 1) there; it is the first direction to turn
as c grows. Derived.
"""

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from ufm.losses import CE
from ufm.objective import Params, objective
from ufm.problem import Problem
from ufm.theory.assumptions import BALANCED, DEEP, PENALISED, PLAIN, has_classes, has_loss, is_wide
from ufm.theory.cross_entropy.etf_branch import balanced_at_tie, critical_margin, margin, stable_up_to, strength, tie
from ufm.theory.theorem import Theorem, agreement


def predict_stability(problem: Problem) -> dict[str, jax.Array]:
    """The eigenvalue c (2 - L (1 - a/K)) over c, and how many Hessian eigenvalues are negative."""
    K, M = problem.classes, len(problem.widths)
    a = margin(strength(problem), K, M)
    eigenvalue = 2 - (M + 1) * (1 - a / K)
    count = jnp.where(eigenvalue < 0, K * (K - 3) // 2, 0)
    return {"eigenvalue": eigenvalue, "negative_directions": count, "residual": jnp.zeros_like(a)}


@jax.jit
def measure_stability(problem: Problem, key: jax.Array) -> dict[str, jax.Array]:
    """The full Hessian at the simplex whose size minimises the objective: negative eigenvalues, and H E against E."""
    del key
    a = critical_margin(problem)
    K, L = problem.classes, problem.factors
    scales = jnp.sqrt(problem.c / problem.ridges)
    point = _equal_factors(problem, _projector(problem) * (a * jnp.sqrt(jnp.mean(problem.counts))) ** (1 / L), scales)
    flat, unravel = ravel_pytree(point)
    metric = ravel_pytree(_equal_factors(problem, jnp.ones((K, K), problem.dtype), scales))[0]

    def gradient(y: jax.Array) -> jax.Array:
        return jax.grad(lambda y: objective(problem, unravel(y * metric)))(y)

    start = flat / metric
    axes = jnp.eye(flat.size, dtype=flat.dtype)
    hessian = jax.lax.map(lambda e: jax.jvp(gradient, (start,), (e,))[1], axes) / problem.c
    direction = ravel_pytree(_equal_factors(problem, _hollow(problem), jnp.ones_like(scales)))[0]
    image = hessian @ direction
    eigenvalue = direction @ image / (direction @ direction)
    return {
        "eigenvalue": eigenvalue,
        "negative_directions": jnp.sum(jnp.linalg.eigvalsh(hessian) < -1e-7),
        "residual": jnp.max(jnp.abs(image - eigenvalue * direction)),
    }


def _equal_factors(problem: Problem, A: jax.Array, scales: jax.Array) -> Params:
    """H, W_1, ..., W_M all equal to the K x K matrix A, times a scale each (widths K, one column a class)."""
    b = None if problem.bias == "none" else jnp.zeros((problem.classes,), problem.dtype)
    return Params(tuple(s * A for s in scales[1:]), scales[0] * A, b)


def _projector(problem: Problem) -> jax.Array:
    K = problem.classes
    return jnp.eye(K, dtype=problem.dtype) - 1 / K


def _hollow(problem: Problem) -> jax.Array:
    """(e1 - e2)(e3 - e4)^T and its transpose: symmetric, zero diagonal, zero row sums."""
    e = jnp.eye(problem.classes, dtype=problem.dtype)
    half = jnp.outer(e[0] - e[1], e[2] - e[3])
    return half + half.T


def _cases() -> dict[str, Problem]:
    shapes = {(6, 2): (0.1, 0.97, 1.02), (8, 3): (0.5, 0.97, 1.03, 3.0)}
    cases = {}
    for (K, M), ratios in shapes.items():
        for ratio in ratios:
            cases[f"K={K} M={M} c/c_stab={ratio}"] = balanced_at_tie(ratio * stable_up_to(K, M) / tie(K, M), K, M)
    return cases


THEOREMS = (
    Theorem(
        id="ce-deep-etf-stability",
        status="holds",
        claim="For K >= 4 the simplex ETF of balanced cross-entropy on M >= 2 linear layers is a strict saddle iff its "
        "margin is below K (M-1)/(M+1); above that ridge exactly K(K-3)/2 Hessian eigenvalues are negative, below "
        "it none.",
        source="derived; local minimum for small ridges: Garrod and Keating 2025, arXiv 2410.23169",
        assumes=(
            has_loss(CE),
            BALANCED,
            PLAIN,
            PENALISED,
            DEEP,
            has_classes("at least four classes", lambda K: K >= 4),
            is_wide(1),
        ),
        predict=predict_stability,
        measure=measure_stability,
        evidence=agreement(1e-9, residual=1e-9),
        cases=_cases,
        notes="Hessian in coordinates where all ridges are equal (its inertia does not depend on them), over c. Up to "
        "three times c_stab no further direction was seen to turn. With K = 100 and M = 2, c_stab is 1.07e-14.",
    ),
)
