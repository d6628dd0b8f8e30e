"""Cross-entropy on group-circulant logits: 2K scalars in place of 2Kd entries (derived).

Classes are the elements of a finite abelian group, equal in size, and logits z_jk = z(j - k) depend on differences alone. In an
orthonormal basis X of real characters (Hadamard/sqrt K for Z_2^m; Fourier for Z_K with equal numbers for a sine and its cosine)

    W = X diag(alpha) R^T,    H = R diag(beta) X^T,    R^T R = I    (one column a class, times sqrt(n))

is kept by gradient flow with equal ridges l, and with N = K n and p the softmax of the first column of Z

    alpha' = g beta - l alpha,   beta' = g alpha - l beta,   g_i = (sqrt(n)/N)(1 - sum_h p(h) chi_i(h))

Garrod, Keating, Thrampoulidis 2025 solve the Hadamard case. Every symmetric pattern of logits such as the simplex is inside.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ufm.problem import Problem, is_balanced
from ufm.problem.params import Params
from ufm.proofs import Book, Proof, given_params, negative, slopes
from ufm.theory import statements
from ufm.theory.kit.integrate import downhill
from ufm.theory.theorem import Assumption


class CirculantPoint(NamedTuple):
    """K columns of cross-entropy with equal ridges, characters and a point on them.

    basis: X (K, K). characters: chi (K, K), chi_i(h) in row h, column i. frame: R (d, K). alpha, beta: (K,).
    """

    problem: Problem
    basis: jax.Array
    characters: jax.Array
    frame: jax.Array
    alpha: jax.Array
    beta: jax.Array


def predict(case: CirculantPoint) -> Params:
    """Gradient flow of balanced cross-entropy keeps group-circulant factors, whose 2K spectral numbers obey alpha' = g beta - l
    alpha, beta' = g alpha - l beta with g from the characters of the group.
    """
    X, n, ridge = case.basis, case.problem.counts[0], case.problem.l2_H
    z = X @ (case.alpha * case.beta * X[0]) / jnp.sqrt(n)
    g = jnp.sqrt(n) / case.problem.samples * (1 - jax.nn.softmax(z) @ case.characters)
    alpha, beta = g * case.beta - ridge * case.alpha, g * case.alpha - ridge * case.beta
    return Params(((X * alpha[None, :]) @ case.frame.T,), (case.frame * beta[None, :]) @ X.T, None)


@jax.jit
def velocity(case: CirculantPoint) -> Params:
    """Minus the gradient of the objective in all entries of W and H."""
    return downhill(case.problem)(circulant_params(case))


def prove(case: CirculantPoint, predicted: Params) -> Proof:
    """Minus the gradient in all entries of the factors, in floats, by the chain rule, within 1e-10 of what is served."""
    book = Book("minus the gradient of cross-entropy at circulant factors, each entry a float, is what is served")
    v = negative(slopes(book, case.problem, given_params(book, circulant_params(case))))
    book.near(v.weights[0], predicted.weights[0])
    book.near(v.H, predicted.H)
    return book.proof()


def circulant_params(case: CirculantPoint) -> Params:
    """W = X diag(alpha) R^T and H = R diag(beta) X^T."""
    X, R = case.basis, case.frame
    return Params(((X * case.alpha[None, :]) @ R.T,), (R * case.beta[None, :]) @ X.T, None)


def hadamard_characters(bits: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Basis, characters, and a frequency for every basis vector alone, of Z_2^bits."""
    H: np.ndarray = np.ones((1, 1))
    for _ in range(bits):
        H = np.kron([[1, 1], [1, -1]], H)
    return H / np.sqrt(len(H)), H, np.arange(len(H))


def cyclic_characters(K: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Basis, cosines of each frequency, and the (K,) frequency f of every basis vector, of Z_K."""
    h, columns, frequencies = np.arange(K), [np.full(K, K**-0.5)], [0]
    for f in range(1, K // 2 + 1):
        waves = (np.cos, np.sin) if 2 * f < K else (np.cos,)
        columns += [wave(2 * np.pi * f * h / K) * np.sqrt(len(waves) / K) for wave in waves]
        frequencies += [f] * len(waves)
    return np.stack(columns, axis=1), np.cos(2 * np.pi * np.outer(h, frequencies) / K), np.array(frequencies)


_GROUPS = {"Z_2^2": hadamard_characters(2), "Z_4": cyclic_characters(4), "Z_5": cyclic_characters(5)}


def circulant_point(group: tuple, n: int, l2: float, rng: np.random.Generator, size: float = 1.5) -> CirculantPoint:
    """Random alpha, beta and frame in d = K + 1 dimensions, for the characters of a group."""
    (basis, characters, frequencies), K = group, len(group[0])
    problem = Problem.balanced(K, n, K + 1, loss="ce", l2_W=l2, l2_H=l2).collapsed()
    frame = np.linalg.qr(rng.normal(size=(K + 1, K)))[0]
    alpha, beta = size * rng.normal(size=(2, K))[:, frequencies]
    return CirculantPoint(problem, *map(jnp.asarray, (basis, characters, frame, alpha, beta)))


def cases() -> dict[str, CirculantPoint]:
    """Z_2^2, Z_4 and Z_5, without ridge and with, near zero and deep in the saturated softmax."""
    rng = np.random.default_rng(0)
    fixed = {f"{name} l2={l2}": circulant_point(g, n, l2, rng) for name, g in _GROUPS.items() for n, l2 in ((1, 0.0), (3, 0.05))}
    return fixed | {
        "Z_2^2 near zero": circulant_point(_GROUPS["Z_2^2"], 2, 0.0, rng, 1e-3),
        "Z_5 saturated": circulant_point(_GROUPS["Z_5"], 2, 0.0, rng, 6.0),
    }


def draw(rng: np.random.Generator) -> CirculantPoint:
    """A random group of these, class size, ridge and point."""
    group = list(_GROUPS.values())[rng.integers(3)]
    return circulant_point(group, int(rng.integers(1, 6)), rng.uniform(0, 0.2), rng, rng.uniform(0.2, 2))


def _is_group(case: CirculantPoint) -> bool:
    """Whether the logits of the point are translates of their first column, by the characters at hand."""
    z = np.asarray(case.basis * (case.alpha * case.beta)[None, :]) @ np.asarray(case.basis).T
    return np.allclose(np.sort(z, axis=0), np.sort(z[:, :1], axis=0), atol=1e-12 * np.max(np.abs(z)))


_ASSUMES = (
    Assumption("balanced cross-entropy without bias, one column a class", lambda c: is_balanced(c.problem.design)),
    Assumption("equal ridges", lambda c: bool(c.problem.l2_W[0] == c.problem.l2_H)),
    Assumption("circulant logits", _is_group),
)
THEOREMS = (
    statements.identity(
        "ce-circulant-flow", "derived; the Hadamard case: [garrod2025hadamard]",
        predict, velocity, cases, draw, _ASSUMES, tolerance=1e-11, prove=prove,
        notes="Measured is the velocity in all entries; that it is tangent to the set at each of its points keeps the set.",
    ),
)  # fmt: skip
