"""SELI, the geometry of imbalanced max-margin features (Thrampoulidis, Kini, Vakilian, Behnia 2022): equal margins, unequal angles.

    min |W|^2 + sum_k n_k |h_k|^2    subject to    (w_k - w_c).h_k >= 1 for all c != k

has class logits Z = P = I - J/K for every vector n of class sizes, and with N = diag(n), up to one common scale,

    W W^T = (P N P)^(1/2),    H^T H = ((P N P)^+)^(1/2),    minimum of (|W|^2 + sum n_k |h_k|^2)/2: trace (P N P)^(1/2)

Proof: the problem is min |Z N^(1/2)|_* with the same constraints, and (P N P)^+ = N^-1 - N^-1 1 1^T N^-1 / trace N^-1 is the
Laplacian of a complete graph, whose square root is negative off its diagonal; times N that gives multipliers of all constraints.
"""

import jax
import jax.numpy as jnp
import numpy as np

from ufm.frames.encoded_labels import seli
from ufm.proofs import Proof
from ufm.proofs.interlaced import root_trace
from ufm.theory import statements
from ufm.theory.proving import exactly, held
from ufm.theory.theorem import Check, agreement, relative_error

Geometry = dict[str, jax.Array]  # (K, K) "logits" of the classes, "classifier" W W^T, "features" H^T H of their means; "value"


def predict(sizes: jax.Array) -> Geometry:
    """The max-margin classifier and features have the class logits I - J/K for any class sizes n, with W W^T = (P N P)^(1/2) and
    class means of Gram matrix ((P N P)^+)^(1/2), P = I - J/K, N = diag(n).
    """
    K, found = len(sizes), seli(sizes)
    W = found.classifier.gram
    return {"logits": jnp.eye(K, dtype=sizes.dtype) - 1 / K, "classifier": W, "features": found.means.gram, "value": jnp.trace(W)}


def prove(sizes: jax.Array, predicted: Geometry) -> Proof:
    """The value, from the eigenvalues of P N P between the sizes."""
    return held(root_trace([exactly(n) for n in sizes]), predicted["value"])


def measure(sizes: jax.Array, key: jax.Array) -> Geometry:
    """The convex problem in X = Z N^(1/2) by Douglas and Rachford's splitting from a random start; factors by its SVD."""
    X = _split(sizes / jnp.mean(sizes), jax.random.normal(key, 2 * sizes.shape)) * jnp.sqrt(jnp.mean(sizes))
    U, s, Vt = jnp.linalg.svd(X)
    means = Vt.T / jnp.sqrt(sizes)[:, None]
    grams = {"classifier": (U * s[None, :]) @ U.T, "features": (means * s[None, :]) @ means.T}
    return grams | {"logits": X / jnp.sqrt(sizes)[None, :], "value": jnp.sum(s)}


@jax.jit
def _split(sizes: jax.Array, start: jax.Array) -> jax.Array:
    own, most, margin = jnp.eye(len(sizes), dtype=bool), jnp.arange(1, len(sizes) + 1), jnp.sqrt(sizes)

    def nearest_feasible(X: jax.Array) -> jax.Array:
        """Column k with X_kk - X_ck >= sqrt(n_k): own logit less that, and the others that exceed it, move to their mean."""
        least = jnp.diag(X) - margin
        others = -jnp.sort(-jnp.where(own, -jnp.inf, X), axis=0)
        pooled = jnp.cumsum(jnp.concatenate([least[None, :], others[:-1]]), axis=0) / most[:, None]
        level = jnp.max(pooled, axis=0)
        return jnp.where(own, (level + margin)[None, :], jnp.minimum(X, level[None, :]))

    def shrink(X: jax.Array) -> jax.Array:
        U, s, Vt = jnp.linalg.svd(X)
        return (U * jnp.maximum(s - 1, 0)[None, :]) @ Vt

    def step(_: int, Y: jax.Array) -> jax.Array:
        X = nearest_feasible(Y)
        return Y + shrink(2 * X - Y) - X

    return nearest_feasible(jax.lax.fori_loop(0, 4000, step, start))


def evidence(sizes: jax.Array, predicted: Geometry, measured: Geometry) -> list[Check]:
    """Agreement of value and matrices, relative to their entries; the constraints' multipliers as a certificate."""
    n, own = np.asarray(sizes), np.eye(len(sizes), dtype=bool)
    features = np.asarray(predicted["features"])
    multipliers = np.where(own, 0, -features) * n[None, :]  # of the K (K-1) constraints, all of margin 1
    norm = np.linalg.norm(features * np.sqrt(n)[None, :], 2)
    return [
        *agreement(1e-6, value=1e-9)(sizes, predicted, measured),
        Check("certificate", "multipliers > 0", 0.0 if multipliers[~own].min() > 0 else 1.0, 0.0),
        Check("certificate", "dual norm - 1", abs(float(norm) - 1), 1e-10),
        Check("certificate", "dual value", relative_error(predicted["value"], multipliers.sum()), 1e-10),
    ]


def cases() -> dict[str, jax.Array]:
    """Equal classes, steps and long tails: (K,) n."""
    found = ((7, 7, 7, 7), (50, 50, 5, 5), (100, 1, 1, 1), (5000, 1077, 232, 50), (1000, 900, 3, 1))
    return {str(sizes): jnp.asarray(sizes, float) for sizes in found}


def draw(rng: np.random.Generator) -> jax.Array:
    """Four sizes within a factor e^5."""
    return jnp.asarray(np.exp(rng.uniform(0, 5, size=4)))


THEOREMS = (
    # other: a convex program of its own, with its multipliers
    statements.other(
        "seli", "[thrampoulidis2022]; proof by the Laplacian's square root derived",
        predict, measure, cases, draw, evidence=evidence, prove=prove,
        notes="Rare classes may have rows of W at acute angles although all margins are equal. Cross-entropy with a finite ridge "
        "is not SELI: for n = (50, 50, 50, 5, 5) the margins (x_A, K_A s_A, x_B, K_B s_B) of two-group-ce differ from their mean "
        "by up to 21 %, 12 %, 8 % and 6 % at ridges of 1e-3, 1e-5, 1e-8 and 1e-11, which falls like 1/log.",
    ),
)  # fmt: skip
