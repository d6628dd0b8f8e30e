"""The max-margin problem of next-token prediction by Douglas-Rachford, against a solver that knows of no nuclear norm.

    min |L|_*  =  min (|A|^2 + |B|^2)/2,  L = A B     such that   L_zj = L_z'j  and  L_zj - L_vj >= 1   (z, z' in S_j, v not)

`ufm.max_margin` solves the convex program on the left; sequential quadratic programming (SLSQP of SciPy) the smooth one on the
right, over factors of full width from random starts.
"""

from typing import Any

import jax
import numpy as np

from ufm.proofs import Book, Proof, number, sqrt
from ufm.search.max_margin import max_margin
from ufm.theory import statements
from ufm.theory.theorem import agreement

_STARTS = 3


def matrix(contexts: str) -> np.ndarray:
    """Supports (V, m) from one word of zeros and ones a context."""
    return np.array([[float(x) for x in word] for word in contexts.split()]).T


FAILS = matrix("1000 0111 1001 0011")
"""A pattern for which the centred supports are no solution."""


def predict(supports: jax.Array) -> dict[str, Any]:
    """Douglas-Rachford on logits, both steps exact, reaches the minimum of the max-margin problem over factors, and its own duality
    gap proves it.
    """
    found = max_margin(supports)
    return {"value": found.value, "lower_bound": found.lower_bound}


def prove(supports: np.ndarray, predicted: dict[str, Any]) -> Proof:
    """Weak duality: for M of column sums zero, not above zero off the supports and I - M^T M > 0, |L|_* >= the sum of M over the
    supports; and |L|_* <= (|F|^2 + |G|^2)/2 + sqrt(m) |L - F G| for logits L made exactly feasible. The two ends are 1e-9 apart.
    """
    found, S = max_margin(supports), np.asarray(supports) > 0
    book = Book("the least nuclear norm of feasible logits lies between a dual matrix and factors of feasible logits")
    dual = np.where(S, np.asarray(found.dual), np.minimum(np.asarray(found.dual), -1e-15)) * (1 - 1e-11)
    L, M = np.asarray(found.logits, float), book.given("M", dual)
    first, exact = S.argmax(axis=0), L * (1 + 1e-11)
    logits = np.empty(L.shape, object)
    for j in range(L.shape[1]):  # all tokens of a support at its first, which is what the columns of M sum to zero by
        M[first[j], j] = book.kept(f"sum{j}", -sum(M[v, j] for v in range(len(S)) if v != first[j]))
        inside = exact[S[:, j], j].max()
        logits[:, j] = [number(float(inside if S[v, j] else min(exact[v, j], inside - 1 - 1e-12))) for v in range(len(S))]
        book.less(1, np.array([logits[first[j], j] - logits[v, j] for v in range(len(S)) if not S[v, j]], object))
        book.less(np.array([M[v, j] for v in range(len(S)) if not S[v, j]], object), 0)
    book.positive(np.eye(S.shape[1], dtype=int) - M.T @ M)
    logits = book.kept("L", logits)
    U, s, Vt = np.linalg.svd(L * (1 + 1e-11), full_matrices=False)
    F, G = book.given("F", U * np.sqrt(s)), book.given("G", np.sqrt(s)[:, None] * Vt)
    off = book.kept("off", logits - F @ G)
    upper = ((F * F).sum() + (G * G).sum()) / 2 + sqrt(number(S.shape[1])) * sqrt((off * off).sum())
    lower = sum((M[v, j] for v, j in zip(*np.nonzero(S), strict=True)), number(0))
    ends = [float(predicted["value"]) + side for side in (-1e-9, 1e-9)]
    book.less(ends[0], lower)
    book.less(upper, ends[1])
    book.near(predicted["value"], predicted["lower_bound"], 1e-9)
    return book.proof("root", lower=ends[0], upper=ends[1])


def measure(supports: jax.Array, key: jax.Array) -> dict[str, float]:
    """The lowest half squared norm of factors whose product is feasible, from random starts, which is the bound too."""
    return dict.fromkeys(("value", "lower_bound"), least_over_factors(supports, key))


def least_over_factors(supports: jax.Array, key: jax.Array) -> float:
    """min (|A|^2 + |B|^2)/2 over factors of feasible logits A B, from random starts; NaN where none has ended at feasible ones."""
    from scipy.optimize import minimize

    S = np.asarray(supports) > 0
    V, m, width = *S.shape, min(S.shape)
    equal, apart = _constraints(S)

    def product(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return x[: V * width].reshape(V, width), x[V * width :].reshape(width, m)

    def rows_of(pairs: np.ndarray, margin: float) -> dict[str, Any]:
        token, other, context = pairs.T

        def slack(x: np.ndarray) -> np.ndarray:
            A, B = product(x)
            return np.sum((A[token] - A[other]) * B[:, context].T, axis=1) - margin

        def slopes(x: np.ndarray) -> np.ndarray:
            A, B = product(x)
            dA, dB, row = np.zeros((len(pairs), V, width)), np.zeros((len(pairs), width, m)), np.arange(len(pairs))
            dA[row, token], dA[row, other] = B[:, context].T, -B[:, context].T
            dB[row, :, context] = A[token] - A[other]
            return np.concatenate([dA.reshape(len(pairs), -1), dB.reshape(len(pairs), -1)], axis=1)

        return {"fun": slack, "jac": slopes}

    constraints = [{"type": "ineq", **rows_of(apart, 1.0)}] + ([{"type": "eq", **rows_of(equal, 0.0)}] if len(equal) else [])
    rng, lowest = np.random.default_rng(np.asarray(jax.random.key_data(key))), np.nan
    for _ in range(_STARTS):
        found = minimize(
            lambda x: 0.5 * x @ x, rng.normal(size=width * (V + m)), jac=lambda x: x, method="SLSQP", constraints=constraints,
            options={"maxiter": 500, "ftol": 1e-13},
        )  # fmt: skip
        slacks = [(rows["type"], rows["fun"](found.x)) for rows in constraints]
        feasible = all(np.min(slack if kind == "ineq" else -np.abs(slack)) > -1e-9 for kind, slack in slacks)
        lowest = np.fmin(lowest, found.fun if feasible else np.nan)
    return float(lowest)


def _constraints(S: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Triples (token, other token, context): equal logits of the first token of each support and its others, and margins."""
    first = S.argmax(axis=0)
    table = np.array([(first[j], v, j) for j in range(S.shape[1]) for v in range(S.shape[0]) if v != first[j]])
    inside = S[table[:, 1], table[:, 2]]
    return table[inside], table[~inside]


def cases() -> dict[str, np.ndarray]:
    """The pattern for which the centred supports are no solution, one-hot contexts, and random ones."""
    rng = np.random.default_rng(1)
    return {"centred supports fail": FAILS, "one-hot": np.eye(4)} | {f"random {i}": draw(rng) for i in range(4)}


def draw(rng: np.random.Generator) -> np.ndarray:
    """Four random contexts of one to three of four tokens."""
    patterns = 1 + rng.integers(14, size=4)
    return ((patterns[None, :] >> np.arange(4)[:, None]) & 1).astype(float)


THEOREMS = (
    # other: the minimum of a program with constraints, not of a Problem
    statements.other(
        "ntp-max-margin", "program: [zhao2024]; algorithm: [douglas1956] and [lions1979]; dual bound derived",
        predict, measure, cases, draw, evidence=agreement(1e-8, scale=1.0), prove=prove,
    ),
)  # fmt: skip
