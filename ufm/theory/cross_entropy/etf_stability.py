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
from ufm.proofs import Proof, unproved
from ufm.theory import statements
from ufm.theory.assumptions import BALANCED, DEEP, PENALISED, PLAIN, has_classes, has_loss, is_wide
from ufm.theory.cross_entropy.etf_branch import balanced_at_tie, bisect, critical_margin, margin, peak, strength, strength_at, tie
from ufm.theory.proving import critical_of
from ufm.theory.symmetric import symmetric_prediction

_LARGEST = 80  # parameters whose Hessian is proved in a fraction of a second


def predict_stability(problem: Problem) -> dict[str, jax.Array]:
    """For K >= 4 the simplex ETF of balanced cross-entropy on M >= 2 linear layers is a strict saddle iff its margin is below K
    (M-1)/(M+1), where K(K-3)/2 Hessian eigenvalues turn negative; K - 1 more do at a second threshold, the root of a scalar
    equation between there and the end of the branch, and no others.
    """
    K, M = problem.classes, len(problem.widths)
    a = margin(strength(problem), K, M)
    eigenvalue = 2 - (M + 1) * (1 - a / K)
    x, q, beta = a / K, -jnp.expm1(-a) / (1 + (K - 1) * jnp.exp(-a)), problem.l2_b * a * (jnp.exp(a) + K - 1) / K
    r, g, size = math.sqrt((M + 1) * (K - 2)) * x * q, x * (1 + q), 2 if problem.bias == "none" else 3
    block = jnp.array([[1 - M + (M + 1) * x * (1 + (K - 2) * q), r, r], [r, 1 + g, g], [r, g, beta + g]])
    lowest = jnp.linalg.eigvalsh(block[:size, :size])[0]
    count = jnp.where(eigenvalue < 0, K * (K - 3) // 2, 0) + jnp.where(lowest < 0, K - 1, 0)
    return {"eigenvalue": eigenvalue, "block": lowest, "negative_directions": count, "residual": jnp.zeros_like(a)}


def prove_stability(problem: Problem, predicted: dict[str, jax.Array]) -> Proof:
    """The signs of the Hessian at the simplex, a critical point, where that is small."""
    K, M = problem.classes, len(problem.widths)
    if K * K * (M + 1) > _LARGEST:
        return unproved(f"the signs of {K * K * (M + 1)} eigenvalues take seconds")
    log_s, p, end = math.log(float(strength(problem))), (M - 1) / (M + 1), peak(K, M)
    a = bisect(lambda a: log_s + a + math.log1p((K - 1) * math.exp(-a)) - p * math.log(a), end, end + 2 * max(-log_s, 0) + 2)
    point = symmetric_prediction(problem, jnp.asarray(a), 0.0, jnp.asarray(a)).params
    return critical_of(problem, point, (None, None, int(predicted["negative_directions"])))


@jax.jit
def found_stability(problem: Problem) -> dict[str, jax.Array]:
    """The full Hessian at the simplex whose size minimises the objective: negative eigenvalues, and two invariant spaces.

    It is taken in factors of equal ridges, over c; all factors are K x K and there is one column a class.
    """
    K, L, n = problem.classes, problem.factors, jnp.mean(problem.counts)
    e, unscaled, scales = jnp.eye(K, dtype=problem.dtype), jnp.ones((L,), problem.dtype), jnp.sqrt(problem.c / problem.ridges)
    P, size = e - 1 / K, (critical_margin(problem) * jnp.sqrt(n)) ** (1 / L)

    def equal_factors(A: jax.Array, scales: jax.Array, b: jax.Array) -> Params:
        return Params(tuple(s * A for s in scales[1:]), scales[0] * A, None if problem.bias == "none" else b)

    point, unravel = ravel_pytree(equal_factors(size * P, scales, 0 * e[0]))
    metric, _ = ravel_pytree(equal_factors(jnp.ones_like(P), scales, jnp.full((K,), size ** (L - 1) / jnp.sqrt(n * K))))
    gradient = jax.grad(lambda y: objective(problem, unravel(y * metric)))
    axes = jnp.eye(point.size, dtype=point.dtype)
    hessian = jax.lax.map(lambda x: jax.jvp(gradient, (point / metric,), (x,))[1], axes) / problem.c
    hollow, v = jnp.outer(e[0] - e[1], e[2] - e[3]), e[0] - e[1]  # zero diagonal, and zero row sums with its transpose
    turning = [equal_factors(hollow + hollow.T, unscaled, 0 * v)]
    nothing = equal_factors(0 * P, unscaled, 0 * v)
    moving = [equal_factors((P * v[None, :]) @ P, unscaled, 0 * v), nothing._replace(H=jnp.tile(v[:, None], (1, K)))]
    if problem.bias != "none":
        moving.append(nothing._replace(b=v))
    (eigenvalue, spill), (block, other_spill) = (_restricted(hessian, space) for space in (turning, moving))
    count = jnp.sum(jnp.linalg.eigvalsh(hessian) < -1e-7)
    return {"eigenvalue": eigenvalue, "block": block, "negative_directions": count, "residual": jnp.maximum(spill, other_spill)}


def _restricted(hessian: jax.Array, directions: list[Params]) -> tuple[jax.Array, jax.Array]:
    """The lowest eigenvalue on the span of orthogonal directions, and how far the Hessian leads out of it."""
    space = jnp.stack([ravel_pytree(x)[0] for x in directions], axis=1)
    basis = space / jnp.linalg.norm(space, axis=0, keepdims=True)
    image = hessian @ basis
    inside = basis.T @ image
    return jnp.linalg.eigvalsh(inside)[0], jnp.max(jnp.abs(image - basis @ inside))


def at_margin(a: float, classes: int, depth: int, per_class: int = 1, bias: str = "none") -> Problem:
    """A balanced problem whose branch has the margin a."""
    return balanced_at_tie(strength_at(a, classes, depth) / tie(classes, depth), classes, depth, per_class, bias)


def second_margin(classes: int, depth: int, bias: str = "none", l2_b: float = 0.2) -> float:
    """The margin of the second threshold, by bisection between the end of the branch and the first."""
    K, L = classes, depth + 1

    def schur(a: float) -> float:
        x, q, beta = a / K, math.expm1(a) / (math.exp(a) + K - 1), l2_b * a * (math.exp(a) + K - 1) / K
        k = {"none": 1.0, "free": 0.0, "ridge": beta / (1 + beta)}[bias]
        return 2 - L * (1 - x * (1 + (K - 2) * q)) - L * (K - 2) * (x * q) ** 2 / (k + x * (1 + q))

    return bisect(schur, peak(classes, depth), classes * (depth - 1) / (depth + 1))


_SHAPES = ((4, 2, "none"), (5, 2, "none"), (6, 3, "none"), (8, 3, "none"), (5, 2, "free"), (4, 3, "ridge"))


def _cases() -> dict[str, Problem]:
    """Both sides of both thresholds, close to them and far, and 3 % above the end of the branch."""
    cases, factors = {}, ((2, "a_1"), (1.01, "a_1"), (0.99, "a_1"), (1.01, "a_2"), (0.99, "a_2"), (1.03, "of the end"))
    for K, M, bias in _SHAPES:
        margins = {"a_1": K * (M - 1) / (M + 1), "a_2": second_margin(K, M, bias), "of the end": peak(K, M)}
        for factor, which in factors:
            cases[f"K={K} M={M} {bias} a={factor} {which}"] = at_margin(factor * margins[which], K, M, 3, bias)
    return cases


def _draw(rng: np.random.Generator) -> Problem:
    """A random shape and class size, a margin between its thresholds or outside, at least 1 % from each."""
    K, M, bias = _SHAPES[int(rng.choice((0, 1, 4, 5)))]
    first, second, end = K * (M - 1) / (M + 1), second_margin(K, M, bias), peak(K, M)
    low, high = ((1.02 * end, 0.99 * second), (1.01 * second, 0.99 * first), (1.01 * first, 12.0))[int(rng.integers(3))]
    return at_margin(float(rng.uniform(low, high)), K, M, int(rng.integers(1, 50)), bias)


THEOREMS = (
    statements.identity(
        "ce-deep-etf-stability", "derived; local minimum for small ridges: [garrod2025]",
        predict_stability, found_stability, _cases, _draw,
        (has_loss(CE), BALANCED, PLAIN, PENALISED, DEEP, has_classes("at least four classes", lambda K: K >= 4), is_wide(1)),
        prove=prove_stability,
        notes="Hessian in coordinates where all ridges are equal (its inertia does not depend on them), over c. The second "
        "threshold depends on the ridge of a bias, the first does not. With K = 100 and M = 2, c_stab is 1.07e-14.",
    ),
)  # fmt: skip
