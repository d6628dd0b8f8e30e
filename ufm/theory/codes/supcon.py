"""Supervised contrastive loss on the sphere: collapse to the simplex at every temperature (Graf et al. 2021).

A batch of K classes of n >= 2 samples with unit features u_i; each sample draws the n - 1 others of its class,

    L = mean_i -1/(n-1) sum_{j ~ i, j != i} log( e^{<u_i, u_j>/T} / sum_{l != i} e^{<u_i, u_l>/T} )
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import minimize
from scipy.special import softmax

from ufm.base.checks import check_count, check_positive, refuse
from ufm.proofs import Book, Proof, exp, log, number
from ufm.theory import statements
from ufm.theory.theorem import agreement

_STARTS = 2


class Batch(NamedTuple):
    """K, n, d and T."""

    classes: int
    per_class: int
    dim: int
    temperature: float


def batch(classes: int, per_class: int, dim: int, temperature: float) -> Batch:
    """A case, refused where the formula does not hold or says nothing."""
    check_count("classes", classes, 2)
    if per_class == 1:
        refuse("per_class", per_class, "at least 2: a sample that is alone in its class has no positives, its term is 0/0")
    check_count("per_class", per_class, 2)
    check_count("dim", dim, classes - 1)
    check_positive("temperature", temperature)
    return Batch(classes, per_class, dim, temperature)


def predict(case: Batch) -> dict[str, jax.Array]:
    """The supervised contrastive loss of a balanced batch of unit features, two or more a class and K <= d + 1, is least at the
    collapsed simplex, where it is log(n - 1 + n (K-1) exp(-K/((K-1) T))).

    The least loss; of the features there the least cosine within classes, and the least and the largest between classes.
    """
    K, n, _, T = case
    between = -1 / (K - 1)
    return {"value": jnp.log1p(n - 2 + n * (K - 1) * jnp.exp(-K / ((K - 1) * T))), "cosines": jnp.array([1, between, between])}


def prove(case: Batch, predicted: dict[str, jax.Array]) -> Proof:
    """The loss by its definition, sample by sample, at the cosines of the collapsed simplex: what is served, within 1e-12.

    That no features have a lower loss is proved on paper (Graf et al. 2021).
    """
    K, n, _, T = case
    book = Book("the supervised contrastive loss of a batch at the collapsed simplex, by its definition, is what is served")
    labels = np.repeat(np.arange(K), n)
    between = -number(1) / (K - 1)
    scores = {True: book.kept("e1", exp(1 / number(T))), False: book.kept("e0", exp(between / number(T)))}
    loss = number(0)
    for i in range(K * n):
        total = sum(scores[bool(labels[i] == labels[j])] for j in range(K * n) if j != i)
        own = sum(-log(scores[True] / total) / (n - 1) for j in range(K * n) if j != i and labels[j] == labels[i])
        loss = book.kept(f"loss{i}", loss + own / (K * n))
    book.near(loss, predicted["value"], 1e-12)
    book.near([number(1), between, between], predicted["cosines"], 1e-12)
    return book.proof()


def measure(case: Batch, key: jax.Array) -> dict[str, Any]:
    """The best of L-BFGS runs on normalised coordinates from random features."""
    labels = np.repeat(np.arange(case.classes), case.per_class)
    N, T, shape = labels.size, case.temperature, (case.dim, labels.size)
    same, itself = labels[:, None] == labels, np.eye(N, dtype=bool)
    positives = (same & ~itself) / (case.per_class - 1)

    def value_and_slope(x: np.ndarray) -> tuple[float, np.ndarray]:
        lengths = np.linalg.norm(x.reshape(shape), axis=0)
        u = x.reshape(shape) / lengths
        shares = softmax(np.where(itself, -np.inf, u.T @ u / T), axis=1)
        excess = shares - positives  # N T dL/d<u_i, u_j>
        pull = u @ (excess + excess.T) / (N * T)
        loss = -np.sum(positives * np.log(shares, where=~itself, out=np.zeros_like(shares))) / N
        return loss, ((pull - u * np.sum(u * pull, axis=0)) / lengths).ravel()

    options = {"maxiter": 2000, "maxfun": 4000, "ftol": 1e-16, "gtol": 1e-10, "maxcor": 20}
    starts = np.asarray(jax.random.normal(key, (_STARTS, *shape)))
    runs = [minimize(value_and_slope, start.ravel(), jac=True, method="L-BFGS-B", options=options) for start in starts]
    best = min(runs, key=lambda run: run.fun)
    u = best.x.reshape(shape) / np.linalg.norm(best.x.reshape(shape), axis=0)
    cosines = u.T @ u
    return {"value": best.fun, "cosines": np.array([cosines[same].min(), cosines[~same].min(), cosines[~same].max()])}


def cases() -> dict[str, Batch]:
    """Pairs and larger classes, K from 2 to d + 1, low and high temperatures."""
    grid = ((4, 2, 3, 0.5), (4, 2, 3, 0.1), (3, 2, 2, 1.0), (3, 2, 3, 3.0), (2, 4, 3, 0.5), (2, 2, 2, 1.0), (2, 3, 2, 0.2))
    return {f"K={K} n={n} d={d} T={T}": batch(K, n, d, T) for K, n, d, T in grid}


def draw(rng: np.random.Generator) -> Batch:
    """A random batch that fits, and a random temperature."""
    K, n, d = ((4, 2, 3), (3, 2, 2), (2, 4, 2), (2, 3, 3))[rng.integers(4)]
    return batch(K, n, d, float(np.exp(rng.uniform(-2, 1))))


THEOREMS = (
    # other: a minimum over the features of a batch, not of a Problem
    statements.other(
        "supcon", "[graf2021]", predict, measure, cases, draw, evidence=agreement(1e-9, cosines=1e-4), prove=prove,
        notes="One full batch. Classes of one sample have no positives and are refused.",
    ),
)  # fmt: skip
