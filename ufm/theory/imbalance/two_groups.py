"""Cross-entropy with two class sizes: the minimum is a convex program of four scalars (setting of Fang et al. 2021).

K_A classes of n_A samples and K_B of n_B. With c the geometric mean ridge the scaled class logits sqrt(n_k) zbar_k have

    singular values   sqrt(n_g) x_g (K_g - 1 times, g = A, B)     k (n_A K_A s_A^2 + n_B K_B s_B^2)^(1/2),  k^2 = K_A K_B/K
    directions        sums of zero inside a group                 A against B

with scalars that `group_program` finds for the weights n_g K_g/N and prices c sqrt(n_g), and a bias that is a multiple of A against
B: averaging over permutations inside the groups proves both. That the rare classes merge is called minority collapse.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ufm.base.checks import refuse
from ufm.losses import CE
from ufm.problem import GroupedClasses, Problem, classes_of, grouped, is_one_hot
from ufm.theory import statements
from ufm.theory.assumptions import ONE_LAYER, PENALISED, PLAIN, has_bias, has_loss, is_wide
from ufm.theory.imbalance.group_program import Groups, Scalars, solve_groups
from ufm.theory.imbalance.thresholds import problem_at
from ufm.theory.prediction import Prediction, effective_c, from_triples
from ufm.theory.theorem import Assumption

_BIASES = ("none", "free", "ridge")


def predict(problem: Problem) -> Prediction:
    """Cross-entropy with two class sizes on one layer, in every bias mode: the minimum is that of a convex program of four scalars;
    classes of size n_g merge to one point iff n_g <= N^2 l2_W l2_H.

    For a problem whose design is one of two groups.
    """
    K, groups, found = problem.classes, _groups_of(problem), scalars_of(problem)
    in_A, roots = np.asarray(groups.groups) == 0, jnp.sqrt(groups.sizes)
    K_A, position = int(in_A.sum()), jnp.arange(1, K)
    basis = _grouped_basis(K, K_A, problem.dtype)
    between = jnp.where(jnp.arange(K) < K_A, roots[0] * found.s[0], -roots[1] * found.s[1])
    length = jnp.sqrt(jnp.sum(between**2))
    apart = jnp.where(length > 0, between / jnp.where(length > 0, length, 1), basis @ (position == K_A))
    within = jnp.where(position < K_A, roots[0] * found.x[0], roots[1] * found.x[1])
    sigma = jnp.where(position == K_A, (K_A * (K - K_A) / K) ** 0.5 * length, within)
    V = jnp.where((position == K_A)[None, :], apart[:, None], basis)
    order = np.argsort(~in_A, kind="stable")
    U, V = (jnp.zeros_like(B).at[order].set(B) for B in (basis, V))
    b = found.shift * np.where(in_A, K - K_A, -K_A) / K
    return from_triples(problem, U, sigma, V, b.astype(problem.dtype), found.value)


def scalars_of(problem: Problem) -> Scalars:
    """The program's minimum for the two groups of a problem's design, the first one A."""
    sizes = _groups_of(problem).sizes
    classes = jnp.asarray(np.bincount(_groups_of(problem).groups, minlength=2), sizes.dtype)
    prices = effective_c(problem) * jnp.sqrt(sizes)
    return solve_groups(Groups(classes, classes * sizes / problem.samples, prices), problem.bias, problem.l2_b)


def _groups_of(problem: Problem) -> GroupedClasses:
    groups = grouped(classes_of(problem.design))
    if groups is None:
        refuse("problem", problem, "of known groups")
    return groups


def _grouped_basis(K: int, K_A: int, dtype: Any) -> jax.Array:
    """(K, K-1) orthonormal: Helmert's basis of the first K_A coordinates, A against B, Helmert's basis of the others."""
    i, j, K_B = np.arange(K)[:, None], np.arange(1, K)[None, :], K - K_A
    row, size = np.where(j > K_A, i - K_A, i), np.where(j > K_A, j - K_A, j)
    helmert = np.where((row >= 0) & (row < size), 1.0, np.where(row == size, -size, 0.0)) / np.sqrt(size * (size + 1.0))
    against = np.where(i < K_A, K_B, -K_A) / np.sqrt(1.0 * K * K_A * K_B)
    return jnp.asarray(np.where(j == K_A, against, helmert), dtype)


def in_two_groups(problem: Problem) -> Problem:
    """The problem in the type that the theorem speaks of."""
    return dataclasses.replace(problem, design=_groups_of(problem))


def two_sizes(p: Problem) -> bool:
    """Whether one-hot classes have two sizes, by their type or by known numbers."""
    groups = grouped(p.design) if is_one_hot(p.design) else None
    return groups is not None and len(groups.sizes) == 2


def cases() -> dict[str, Problem]:
    """Nothing merged, the minority merged, A against B or everything gone; one, two or three rare classes."""
    found = {
        f"{counts} N^2 l2_W l2_H={critical:.3g}, {bias} bias": problem_at(critical, counts, bias)
        for bias in _BIASES for counts in ((20, 20, 4, 4), (30, 30, 30, 2))
        for critical in (0.02, 0.99 * counts[-1], 1.5 * counts[-1], 0.9 * counts[0], 2.0 * counts[0])
    }  # fmt: skip
    rare_first = problem_at(0.3, (1, 16, 1, 16))
    return found | {"rare classes first": rare_first, "one frequent class": problem_at(2.0, (40, 3, 3, 3))}


def draw(rng: np.random.Generator) -> Problem:
    """Random sizes, memberships and bias mode, 4 % away from the thresholds n_A and n_B, four or six classes."""
    while True:
        K = int(rng.choice((4, 6)))
        frequent = rng.permutation(np.arange(K) < rng.integers(1, K))
        sizes = rng.choice(np.arange(1, 80), size=2, replace=False)
        critical = float(np.exp(rng.uniform(np.log(0.01), np.log(1.3 * sizes.max()))))
        if np.all(np.abs(np.log(critical / sizes)) > 0.04):
            counts = tuple(int(n) for n in np.where(frequent, sizes.max(), sizes.min()))
            return problem_at(critical, counts, str(rng.choice(_BIASES)))


_TWO_SIZES = Assumption("one-hot classes of exactly two sizes", two_sizes)
THEOREMS = (
    statements.minimum(
        "two-group-ce", "derived; setting of [fang2021] and [hong2023]", predict, cases, draw,
        (has_loss(CE), _TWO_SIZES, PLAIN, PENALISED, ONE_LAYER, is_wide(1), has_bias(*_BIASES)), view=in_two_groups,
    ),
)  # fmt: skip
