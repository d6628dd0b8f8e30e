"""When classes merge, and when everything collapses: exact thresholds of imbalanced cross-entropy for any class sizes.

p_own and p_other are the probabilities that a sample of one of at least two classes of size n gives to its class and to another
class of that size: p_own - p_other = max(0, 1 - N c/sqrt(n)), c the geometric mean ridge. Hong and Ling (2023) have the blocks of
classes of one size, and the threshold of the smaller of two sizes. Where all collapses a free bias predicts n/N.

Proofs. The gradient G of the data term in the scaled logits is sqrt(n)/N (p_own - p_other - 1) I on the vectors of sum zero
inside the group, where its norm is at most c, and c where the logits are not zero; at zero |G|^2 is that eigenvalue over N^2.
"""

from fractions import Fraction
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ufm.duality import certify
from ufm.equivalent.columns import split_columns
from ufm.losses import CE
from ufm.problem import Problem
from ufm.problem.meant import exact_ridges
from ufm.problem.params import logits
from ufm.proofs import Less, PositiveDefinite, Proof, established, order, unproved
from ufm.proofs.expressions import Expression, name, number, total
from ufm.search.solution import solve
from ufm.theory import statements
from ufm.theory.assumptions import ONE_HOT, ONE_LAYER, PENALISED, PLAIN, has_bias, has_loss, is_wide
from ufm.theory.mse.cases import ridges_at
from ufm.theory.prediction import effective_c
from ufm.theory.proving import counts_of, exactly, samples_of
from ufm.theory.theorem import Check, agreement, below

COUNTS = (40, 7, 7, 2)


def same_size(counts: jax.Array) -> jax.Array:
    """(K, K) whether two different classes are of one size, up to rounding."""
    ratios = counts[:, None] / counts[None, :]
    return (abs(ratios - 1) <= 64 * np.finfo(counts.dtype).eps) & ~np.eye(len(counts), dtype=bool)


def predict_gaps(problem: Problem) -> jax.Array:
    """Imbalanced cross-entropy: classes of one size n, among any others, merge to one point iff n <= N^2 l2_W l2_H; otherwise p_own
    - p_other = 1 - N (l2_W l2_H/n)^(1/2) between them.

    (K, K): row k for a sample of class k; zero for classes of other sizes.
    """
    gap = jnp.maximum(1 - problem.samples * effective_c(problem) / jnp.sqrt(problem.counts), 0)
    return jnp.where(same_size(problem.counts), gap[:, None], 0)


def _critical(problem: Problem) -> tuple[Fraction, list[tuple[str, Expression]]]:
    """N^2 l2_W l2_H, and the name that it has in facts."""
    (l2_H, l2_W), N = exact_ridges(problem), samples_of(problem)
    where = [("N", number(N)), ("l2_W", number(l2_W)), ("l2_H", number(l2_H))]
    return N**2 * l2_W * l2_H, [*where, ("critical", name("N") ** 2 * name("l2_W") * name("l2_H"))]


def prove_gaps(problem: Problem, predicted: jax.Array) -> Proof:
    """On which side of N^2 l2_W l2_H every size that two classes have lies, exactly."""
    counts, (critical, where) = counts_of(problem), _critical(problem)
    repeated = [n for n in sorted(set(counts)) if counts.count(n) > 1]
    facts = [order(number(n), name("critical"), where) for n in repeated]
    merged = np.asarray([[n == m and n > critical for m in counts] for n in counts]) & ~np.eye(len(counts), dtype=bool)
    if not np.array_equal(merged, np.asarray(predicted) > 0):
        return unproved("the predicted classes that merge are not those of the exact sizes")
    what = f"classes of {', '.join(map(str, repeated))} samples against N^2 l2_W l2_H = {float(critical)!r}"
    return established("identity", what, [fact for fact in facts if fact], where)


def prove_collapse(problem: Problem, predicted: jax.Array) -> Proof:
    """N^2 l2_W l2_H I less the matrix is positive definite, or there is a rational vector along which it is not."""
    counts, (critical, where), K = counts_of(problem), _critical(problem), problem.classes
    p = [n / sum(counts) for n in counts] if problem.bias == "free" else [Fraction(1, K)] * K
    centred = [[Fraction(i == j) - p[i] for j in range(K)] for i in range(K)]
    S = [[sum(n * centred[i][k] * centred[j][k] for k, n in enumerate(counts)) for j in range(K)] for i in range(K)]
    values, vectors = np.linalg.eigh(np.array(S, float))
    words = f"the largest eigenvalue for n = {', '.join(map(str, counts))}, bias {problem.bias}"
    if float(predicted) <= 1:
        rows = tuple(tuple((name("critical") if i == j else 0) - number(S[i][j]) for j in range(K)) for i in range(K))
        return established("identity", f"{words} is below N^2 l2_W l2_H = {float(critical)!r}", [PositiveDefinite(rows)], where)
    where += [(f"v{i}", number(exactly(entry))) for i, entry in enumerate(vectors[:, -1])]
    v = [name(f"v{i}") for i in range(K)]
    along = total([S[i][j] * (v[i] * v[j]) for i in range(K) for j in range(K)])
    fact = Less(name("critical") * total([entry**2 for entry in v]), along)
    return established("identity", f"{words} is above N^2 l2_W l2_H = {float(critical)!r}", [fact], where)


def measure_gaps(problem: Problem, key: jax.Array) -> jax.Array:
    """The same differences at the minimum that is found."""
    z = logits(problem, solve(problem, key, columns="raw").params)
    p = jax.nn.softmax(z, axis=0).T[np.searchsorted(problem.labels, np.arange(problem.classes))]
    return jnp.where(same_size(problem.counts), jnp.diag(p)[:, None] - p, 0)


def largest_eigenvalue(counts: jax.Array, bias: str) -> jax.Array:
    """Everything collapses where it is at most N^2 l2_W l2_H. counts: (K,) n. bias: "none" or "free"."""
    K = len(counts)
    p = counts / jnp.sum(counts) if bias == "free" else jnp.full_like(counts, 1 / K)
    shifted = jnp.eye(K, dtype=counts.dtype) - p[:, None]
    return jnp.linalg.eigvalsh((shifted * counts[None, :]) @ shifted.T)[-1]


def predict_collapse(problem: Problem) -> jax.Array:
    """Imbalanced cross-entropy: features and weights are zero at the minimum iff the largest eigenvalue of (I - J/K) diag(n) (I -
    J/K), under a free bias of diag(n) - n n^T/N, is at most N^2 l2_W l2_H.

    |G|_2/c at zero, at most 1 there.
    """
    return jnp.sqrt(largest_eigenvalue(problem.counts, problem.bias)) / (problem.samples * effective_c(problem))


def measure_collapse(problem: Problem, key: jax.Array) -> tuple[float, float]:
    """|G|_2/c at zero as the certificate has it, and the size of the logits at the minimum that is found."""
    found = solve(problem, key, columns="raw").params
    at_zero = certify(problem, jax.tree.map(jnp.zeros_like, found))
    return float(at_zero.spectral_ratio), float(jnp.max(jnp.abs(found.weights[0] @ found.H)))


def collapse_evidence(problem: Problem, predicted: jax.Array, measured: tuple[float, float]) -> list[Check]:
    """The ratio, and logits on the side of zero that it says."""
    ratio, (found, size) = float(predicted), measured
    wrong = size - 1e-7 if ratio <= 1 else 1e-5 - size
    agree = Check("agreement", "|G|/c at zero", abs(found / ratio - 1), 1e-12)
    return [agree, below("agreement", "side of collapse", wrong, 0.0)]


def problem_at(critical: float, counts: tuple = COUNTS, bias: str = "none", width: int = 12, **choices: Any) -> Problem:
    """Classes as two columns of half their samples, N^2 l2_W l2_H = critical."""
    choices |= ridges_at(critical**0.5 / sum(counts), 1) | {"l2_b": 0.02 if bias == "ridge" else 0.0}
    return split_columns(Problem.imbalanced(counts, width, loss="ce", bias=bias, **choices))


def gap_cases() -> dict[str, Problem]:
    """A group of two between a frequent and a rare class, on both sides of n = 7; three and two equal classes; a free bias."""
    found = {f"{COUNTS} N^2 l2_W l2_H={x}": problem_at(x) for x in (0.05, 3.0, 6.98, 7.02, 20.0)}
    found |= {f"{COUNTS} N^2 l2_W l2_H={x}, free bias": problem_at(x, bias="free") for x in (3.0, 7.02)}
    return found | {"three of four": problem_at(1.0, (9, 3, 3, 3)), "two and two": problem_at(3.0, (9, 9, 2, 2))}


def draw_gaps(rng: np.random.Generator) -> Problem:
    """A random group of two, two or four random other classes."""
    n, others = int(rng.integers(1, 30)), rng.integers(1, 60, size=rng.choice((2, 4)))
    counts = (*map(int, others[:-1]), n, n, int(others[-1]))
    return problem_at(float(n * np.exp(rng.uniform(-4, 1))), counts)


def collapse_cases() -> dict[str, Problem]:
    """0.05 % on either side of the eigenvalue, given to six digits, and far away."""
    sizes = {COUNTS: 31.383443, (20, 20, 4, 4): 20.0, (5, 5, 5, 5): 5.0}
    found = {
        f"{counts} N^2 l2_W l2_H={factor} of it": problem_at(eigenvalue * factor, counts)
        for counts, eigenvalue in sizes.items() for factor in (0.999, 1.001, 2.0)
    }  # fmt: skip
    free = 16.126800  # the eigenvalue under a free bias
    return found | {f"{COUNTS} N^2 l2_W l2_H={x}, free bias": problem_at(x, bias="free") for x in (free * 0.999, free * 1.001)}


def draw_collapse(rng: np.random.Generator) -> Problem:
    """Random class sizes, within a factor e of collapse, four or six classes."""
    counts = tuple(int(n) for n in rng.integers(1, 60, size=rng.choice((4, 6))))
    return problem_at(float(max(counts) * np.exp(rng.uniform(-1, 1))), counts, str(rng.choice(["none", "free"])))


_SHARED = (has_loss(CE), ONE_HOT, PLAIN, PENALISED, ONE_LAYER, is_wide(1))

THEOREMS = (
    # other: probabilities at the minimum that is found, absolute
    statements.other(
        "group-merge", "derived; the blocks of classes of one size, and two sizes: [hong2023]; minority collapse: [fang2021]",
        predict_gaps, measure_gaps, gap_cases, draw_gaps, _SHARED, evidence=agreement(1e-7, 1.0),
        prove=prove_gaps,
        notes="For two groups of K_A and K_B classes of sizes R n and n this is collapse of the minority from the imbalance ratio "
        "R = (1/(c sqrt(n)) - K_B)/K_A on. Features after a ReLU need K/(K-1) times as many samples: relu-imbalance.",
    ),
    # other: a number at zero, and on which side of zero the minimum is
    statements.other(
        "total-collapse", "derived", predict_collapse, measure_collapse, collapse_cases, draw_collapse,
        (*_SHARED, has_bias("none", "free")), evidence=collapse_evidence, prove=prove_collapse,
    ),
)  # fmt: skip
