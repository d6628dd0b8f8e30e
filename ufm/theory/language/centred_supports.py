"""When the centred support matrix is the max-margin solution of next-token prediction, and that it is not always.

With the supports of m contexts among V tokens as zeros and ones S, P S is feasible for the max-margin problem of `ufm.max_margin`,
every margin 1. With P S = U D V^T:

    no entry of U V^T above zero off the supports                            P S is a solution
    one above zero, and rank(P S) = min(distinct tokens - 1, contexts)       P S is none: lowering that logit lowers |L|_*
    one above zero, and a smaller rank                                       either: subgradients beside U V^T may serve

for distinct contexts (tokens and contexts of equal rows and columns count once: by convexity solutions may be averaged over them).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ufm.proofs import Proof
from ufm.proofs.explicit_points import centred_supports_are_beaten
from ufm.search.max_margin import MaxMargin, max_margin, support_excess
from ufm.theory import statements
from ufm.theory.language.max_margin import FAILS, draw, matrix
from ufm.theory.statements.refutations import Claim, Refutation
from ufm.theory.theorem import Check, below

_CLEAR, _ROUNDING = 1e-4, 1e-10  # of |P S|_*: of all patterns of four tokens and contexts, those that fail do so by 5.5e-4 at least
_DENSE = matrix("1101 1110 0111 1011")


class Proxy(NamedTuple):
    """P S as a candidate. value: |P S|_*. excess: largest entry of U V^T off the supports. decisive: whether the rank is full."""

    value: jax.Array
    excess: jax.Array
    decisive: jax.Array


class Lowered(NamedTuple):
    """Supports (V, m), and by how much logits off them are lowered, (V, m)."""

    supports: np.ndarray
    amount: np.ndarray


def predict(supports: jax.Array) -> Proxy:
    """The centred support matrix P S is the max-margin solution if no entry of its polar factor off the supports is above zero, and
    only if, where the rank of P S is full.
    """
    U, s, Vt = jnp.linalg.svd(supports - jnp.mean(supports, axis=0, keepdims=True), full_matrices=False)
    present = s > 1e-10 * jnp.maximum(s[0], 1)
    excess = jnp.max(jnp.where(supports > 0, -jnp.inf, (U * present[None, :]) @ Vt))
    equal = (jnp.all(x[:, None] == x[None, :], axis=2) for x in (supports, supports.T))
    tokens, contexts = (jnp.sum(jnp.sum(jnp.tril(x, -1), axis=1) == 0) for x in equal)
    return Proxy(jnp.sum(s), excess, jnp.sum(present) == jnp.minimum(tokens - 1, contexts))


def measure(supports: jax.Array, key: jax.Array) -> MaxMargin:
    """The solution by Douglas-Rachford with its duality gap."""
    return max_margin(supports)


def evidence(supports: jax.Array, predicted: Proxy, measured: MaxMargin) -> list[Check]:
    """P S is the minimum where the certificate says so, clearly above it where it says that, and never below.

    The polar factor is taken once more from the eigenvectors of (P S)^T P S, and once by the library.
    """
    S, value = np.asarray(supports), float(predicted.value)
    centred = S - S.mean(axis=0)
    squares, V = np.linalg.eigh(centred.T @ centred)
    alive = squares > 1e-12 * max(squares[-1], 1)
    polar = centred @ (V * np.where(alive, 1 / np.sqrt(np.where(alive, squares, 1)), 0)) @ V.T
    excess, drop = float(np.max(np.where(S == 1, -np.inf, polar))), (value - float(measured.value)) / max(value, 1)
    checks = [
        Check("certificate", "gap", abs(float(measured.value - measured.lower_bound)) / max(value, 1), _ROUNDING),
        below("agreement", "never below", -drop, _ROUNDING),
        Check("agreement", "excess", abs(float(predicted.excess) - excess), 1e-9),
        Check("agreement", "ufm.search.max_margin.support_excess", abs(float(support_excess(supports)) - excess), 1e-9),
    ]
    if predicted.excess <= _ROUNDING:
        checks.append(Check("agreement", "minimum", abs(drop), _ROUNDING))
    elif predicted.decisive:
        checks.append(below("agreement", "not the minimum", _CLEAR - drop, 0.0))
    return checks


def cases() -> dict[str, np.ndarray]:
    """Patterns for which P S is the solution, two that fail, and one of deficient rank for which the polar factor says nothing."""
    return {
        "one-hot": matrix("1000 0100 0010 0001"),
        "dense": _DENSE,
        "a repeated context": matrix("1100 1100 0110 0101"),
        "fails": FAILS,
        "fails, with a repeated context": matrix("0010 0011 0011 0101"),
        "deficient rank, excess, yet the minimum": matrix("000111 011110 100000 100111 101101"),
    }


def predict_claim(case: Lowered) -> Claim:
    """The centred support matrix is always the max-margin solution of next-token prediction."""
    return Claim(*(jnp.linalg.matrix_norm(S - jnp.mean(S, axis=0, keepdims=True), ord="nuc") for S in (case.supports, _DENSE)))


def measure_lowered(case: Lowered, key: jax.Array) -> Refutation:
    """The nuclear norm of P S with one logit off the supports lowered, which is feasible; tr ((P S)^T P S)^(1/2); the program's."""
    centred, lowered = (x - x.mean(axis=0) for x in (np.asarray(case.supports), lowered_supports(case)))
    claimed = np.sqrt(np.maximum(np.linalg.eigvalsh(centred.T @ centred), 0)).sum()
    return Refutation(np.linalg.svd(lowered, compute_uv=False).sum(), claimed, max_margin(_DENSE).value)


def lowered_supports(case: Lowered) -> np.ndarray:
    """S with one logit lowered, (V, m)."""
    return np.asarray(case.supports - case.amount)


def prove_lowered(case: Lowered, predicted: Claim | None = None) -> Proof:
    """The lowered logits have a smaller nuclear norm: balanced factors from above, a shrunk polar factor from below."""
    S, lowered = np.asarray(case.supports), lowered_supports(case)
    (U, s, Vt), (F, size, G) = (np.linalg.svd(A - A.mean(axis=0), full_matrices=False) for A in (S, lowered))
    alive = s > 1e-10 * s[0]
    polar = U[:, alive] @ Vt[alive] * (1 - 2.0**-40)
    factors = (F * np.sqrt(size)[None, :], np.sqrt(size)[:, None] * G)
    return centred_supports_are_beaten(S, lowered, polar, *factors, claim={"theorem": "ntp-mm-centred"})


def counterexamples() -> dict[str, Lowered]:
    """Four tokens and four contexts, one logit lowered by two amounts."""
    logit = np.outer(*np.eye(4)[[2, 0]])
    return {f"V = m = 4, one logit lowered by {x}": Lowered(FAILS, x * logit) for x in (0.03, 0.06)}


_SOURCE = "the proxy: [zhao2024]; certificate derived"
THEOREMS = (
    # other: a criterion with two sides, against a convex program and its dual
    statements.other(
        "ntp-mm-certificate", _SOURCE, predict, measure, cases, draw, evidence=evidence,
        notes="Without the condition on the rank the converse is false: one case has an entry above zero, yet P S is the "
        "minimum. Full rank: min(distinct tokens - 1, distinct contexts).",
    ),
    statements.refutation(
        "ntp-mm-centred", f"natural reading of {_SOURCE}",
        predict_claim, measure_lowered, counterexamples, claimed=1e-7, where_it_holds=1e-7, prove=prove_lowered,
        notes="|P S|_* = 2.978437; the minimum is 2.976805. What holds: ntp-mm-certificate; one-hot, uniform and dense "
        "supports.",
    ),
)  # fmt: skip
