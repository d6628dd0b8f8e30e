"""Local stability of the simplex ETF in balanced cross-entropy on M >= 2 linear layers: two exact thresholds.

With logits a P, P = I - J, all factors can be a^(1/L) P, L = M + 1, in coordinates where all ridges are s = c n^(1/L). The
gradient of the data term is -p P with p = 1/(e^a + K - 1) and p a^((L-2)/L) = s; its curvature along a direction D of columns
d_c that sum to zero is (p/K) (|D|^2 + K q sum_c D_cc^2), q = 1 - K p. Over s, the Hessian splits by the representations of the
permutations of classes, and two of them can turn.

First threshold. Symmetric E of zero diagonal and zero row sums (dimension K(K-3)/2, K >= 4) in all factors at once:

    eigenvalue 2 - L (1 - a/K),    negative iff a < a_1 = K (M-1)/(M+1), that is s > c_stab = a_1^((M-1)/(M+1)) / (e^a_1 + K - 1)

Second threshold. P diag(v) P in all factors, v of sum zero, with v 1^T in H and v in b (dimension K - 1), is the block

    [ 2 - L + L (a/K)(1 + (K-2) q)    sqrt(L) r    sqrt(L) r ]    r = (a/K) q sqrt(K-2),    g = (a/K)(1 + q),
    [ sqrt(L) r                       1 + g        g         ]    beta = l2_b a (e^a + K - 1)/K; without a bias
    [ sqrt(L) r                       g            beta + g  ]    the first two rows and columns,

which has a negative eigenvalue, one alone, iff its Schur complement is negative, with k = beta/(1 + beta), 1 without a bias:

    2 - L (1 - (a/K)(1 + (K-2) q)) - L (K-2) (a q/K)^2 / (k + g) < 0

It exceeds the first eigenvalue, and is negative where the branch ends: there is a second threshold between that end and a_1.
All other directions keep their sign: along P the curvature is that of the branch, antisymmetric ones give 0 and more.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from ufm.losses import CE
from ufm.problem import Problem
from ufm.problem.params import Params, objective
from ufm.theory import statements
from ufm.theory.assumptions import BALANCED, DEEP, PENALISED, PLAIN, has_classes, has_loss, is_wide
from ufm.theory.cross_entropy.etf_branch import balanced_at_tie, critical_margin, margin, peak, strength, strength_at, tie
from ufm.theory.theorem import agreement


def predict_stability(problem: Problem) -> dict[str, jax.Array]:
    """For K >= 4 the simplex ETF of balanced cross-entropy on M >= 2 linear layers is a strict saddle iff its margin is below K
    (M-1)/(M+1), where K(K-3)/2 Hessian eigenvalues turn negative; K - 1 more do at a second threshold, the root of a scalar
    equation between there and the end of the branch, and no others.

    The eigenvalue 2 - L (1 - a/K), the lowest of the block, and how many Hessian eigenvalues are negative.
    """
    K, M = problem.classes, len(problem.widths)
    a = margin(strength(problem), K, M)
    eigenvalue = 2 - (M + 1) * (1 - a / K)
    lowest = jnp.linalg.eigvalsh(_block(a, K, M, problem.bias, problem.l2_b))[0]
    count = jnp.where(eigenvalue < 0, K * (K - 3) // 2, 0) + jnp.where(lowest < 0, K - 1, 0)
    return {"eigenvalue": eigenvalue, "block": lowest, "negative_directions": count, "residual": jnp.zeros_like(a)}


def _block(a: jax.Array, classes: int, depth: int, bias: str, l2_b: jax.Array) -> jax.Array:
    """The block of the second threshold, as in the module docstring."""
    K, L = classes, depth + 1
    q = -jnp.expm1(-a) / (1 + (K - 1) * jnp.exp(-a))
    first = 2 - L + L * (a / K) * (1 + (K - 2) * q)
    r, g = math.sqrt(L * (K - 2)) * (a / K) * q, (a / K) * (1 + q)
    beta = l2_b * a * (jnp.exp(a) + K - 1) / K
    size = 2 if bias == "none" else 3
    return jnp.stack([jnp.stack([first, r, r]), jnp.stack([r, 1 + g, g]), jnp.stack([r, g, beta + g])])[:size, :size]


@jax.jit
def measure_stability(problem: Problem, key: jax.Array) -> dict[str, jax.Array]:
    """The full Hessian at the simplex whose size minimises the objective: negative eigenvalues, and two invariant spaces."""
    del key
    a = critical_margin(problem)
    K, L, n = problem.classes, problem.factors, jnp.mean(problem.counts)
    scales = jnp.sqrt(problem.c / problem.ridges)
    size = (a * jnp.sqrt(n)) ** (1 / L)
    ones = jnp.ones((K, K), problem.dtype)
    flat, unravel = ravel_pytree(_equal_factors(problem, size * _projector(problem), scales))
    metric = ravel_pytree(_equal_factors(problem, ones, scales, size ** (L - 1) / jnp.sqrt(n * K)))[0]

    def gradient(y: jax.Array) -> jax.Array:
        return jax.grad(lambda y: objective(problem, unravel(y * metric)))(y)

    start = flat / metric
    axes = jnp.eye(flat.size, dtype=flat.dtype)
    hessian = jax.lax.map(lambda e: jax.jvp(gradient, (start,), (e,))[1], axes) / problem.c
    hollow = _flat(_equal_factors(problem, _hollow(problem), jnp.ones_like(scales)))[:, None]
    block = _second_space(problem, scales)
    values, spills = zip(*(_restricted(hessian, space) for space in (hollow, block)), strict=True)
    return {
        "eigenvalue": values[0],
        "block": values[1],
        "negative_directions": jnp.sum(jnp.linalg.eigvalsh(hessian) < -1e-7),
        "residual": jnp.maximum(*spills),
    }


def _restricted(hessian: jax.Array, space: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The lowest eigenvalue on the span of orthogonal columns, and how far the Hessian leads out of it."""
    basis = space / jnp.linalg.norm(space, axis=0, keepdims=True)
    image = hessian @ basis
    inside = basis.T @ image
    return jnp.linalg.eigvalsh(inside)[0], jnp.max(jnp.abs(image - basis @ inside))


def _second_space(problem: Problem, scales: jax.Array) -> jax.Array:
    """Columns: P diag(v) P in all factors, v 1^T in H, and v in a bias if there is one, for v = e1 - e2."""
    K, P = problem.classes, _projector(problem)
    v = jnp.zeros((K,), problem.dtype).at[0].set(1).at[1].set(-1)
    nothing = _equal_factors(problem, jnp.zeros((K, K), problem.dtype), jnp.ones_like(scales))
    everywhere = _equal_factors(problem, (P * v[None, :]) @ P, jnp.ones_like(scales))
    parts = [everywhere, nothing._replace(H=jnp.tile(v[:, None], (1, K)))]
    if problem.bias != "none":
        parts.append(nothing._replace(b=v))
    return jnp.stack([_flat(part) for part in parts], axis=1)


def _flat(params: Params) -> jax.Array:
    return ravel_pytree(params)[0]


def _equal_factors(problem: Problem, A: jax.Array, scales: jax.Array, bias: jax.Array | float = 0.0) -> Params:
    """H, W_1, ..., W_M all equal to the K x K matrix A, times a scale each, and a constant bias (widths K, one column a class)."""
    b = None if problem.bias == "none" else jnp.full((problem.classes,), bias, problem.dtype)
    return Params(tuple(s * A for s in scales[1:]), scales[0] * A, b)


def _projector(problem: Problem) -> jax.Array:
    K = problem.classes
    return jnp.eye(K, dtype=problem.dtype) - 1 / K


def _hollow(problem: Problem) -> jax.Array:
    """(e1 - e2)(e3 - e4)^T and its transpose: symmetric, zero diagonal, zero row sums."""
    e = jnp.eye(problem.classes, dtype=problem.dtype)
    half = jnp.outer(e[0] - e[1], e[2] - e[3])
    return half + half.T


def at_margin(a: float, classes: int, depth: int, per_class: int = 1, bias: str = "none") -> Problem:
    """A balanced problem whose branch has the margin a."""
    return balanced_at_tie(strength_at(a, classes, depth) / tie(classes, depth), classes, depth, per_class, bias)


def second_margin(classes: int, depth: int, bias: str = "none", l2_b: float = 0.2) -> float:
    """The margin of the second threshold, by bisection between the end of the branch and the first."""
    low, high = peak(classes, depth), classes * (depth - 1) / (depth + 1)
    for _ in range(60):
        middle = 0.5 * (low + high)
        K, L, q = classes, depth + 1, math.expm1(middle) / (math.exp(middle) + classes - 1)
        beta = l2_b * middle * (math.exp(middle) + K - 1) / K
        k = {"none": 1.0, "free": 0.0, "ridge": beta / (1 + beta)}[bias]
        x = middle / K
        schur = 2 - L * (1 - x * (1 + (K - 2) * q)) - L * (K - 2) * (x * q) ** 2 / (k + x * (1 + q))
        low, high = (middle, high) if schur < 0 else (low, middle)
    return 0.5 * (low + high)


_SHAPES = ((4, 2, "none"), (5, 2, "none"), (6, 3, "none"), (8, 3, "none"), (5, 2, "free"), (4, 3, "ridge"))


def _cases() -> dict[str, Problem]:
    """Both sides of both thresholds, close to them and far, and 3 % above the end of the branch."""
    cases = {}
    for K, M, bias in _SHAPES:
        first, second, end = K * (M - 1) / (M + 1), second_margin(K, M, bias), peak(K, M)
        margins = {"2 a_1": 2 * first, "1.01 a_1": 1.01 * first, "0.99 a_1": 0.99 * first}
        margins |= {"1.01 a_2": 1.01 * second, "0.99 a_2": 0.99 * second, "1.03 of the end": 1.03 * end}
        for name, a in margins.items():
            cases[f"K={K} M={M} {bias} a={name}"] = at_margin(a, K, M, 3, bias)
    return cases


def _draw(rng: np.random.Generator) -> Problem:
    """A random shape and class size, a margin between its thresholds or outside, at least 1 % from each."""
    K, M, bias = _SHAPES[int(rng.choice((0, 1, 4, 5)))]
    first, second, end = K * (M - 1) / (M + 1), second_margin(K, M, bias), peak(K, M)
    low, high = ((1.02 * end, 0.99 * second), (1.01 * second, 0.99 * first), (1.01 * first, 12.0))[int(rng.integers(3))]
    return at_margin(float(rng.uniform(low, high)), K, M, int(rng.integers(1, 50)), bias)


THEOREMS = (
    statements.other(
        "ce-deep-etf-stability", "derived; local minimum for small ridges: [garrod2025]",
        predict_stability, measure_stability, _cases, _draw,
        (has_loss(CE), BALANCED, PLAIN, PENALISED, DEEP, has_classes("at least four classes", lambda K: K >= 4), is_wide(1)),
        evidence=agreement(1e-9, residual=1e-9),
        notes="Hessian in coordinates where all ridges are equal (its inertia does not depend on them), over c. The second "
        "threshold depends on the ridge of a bias, the first does not. With K = 100 and M = 2, c_stab is 1.07e-14.",
    ),
)  # fmt: skip
