"""Real equiangular tight frames from constructions: every pair at Welch's |cosine|, every direction seen equally.

|<u_j, u_k>| = sqrt((K - d)/(d (K - 1))),    |U^T x|^2 = (K/d) |x|^2.
"""

from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np

from ufm.frames import equiangular_lines
from ufm.proofs import Book, Proof, number, sqrt, unproved
from ufm.theory import statements
from ufm.theory.frames.packing import Lines, cases_of, cosines

# every construction: conference, symplectic (both kinds of points and complements), harmonic, Steiner and Golay
_SIZES = ((6, 3), (14, 7), (10, 5), (28, 7), (36, 21), (120, 35), (16, 6), (144, 66), (176, 22), (276, 23))


_WRITTEN = 40  # vectors whose Gram matrix a proof writes down


def predict(case: Lines) -> dict[str, Any]:
    """Paley conference matrices, quadrics over GF(2), Steiner systems of pairs and the Golay code give real equiangular tight
    frames, 276 lines in 23 dimensions among them; so do their complements.

    |cosines| of all pairs, and energies |U^T x|^2/|x|^2 along principal directions.
    """
    K, d = case.vectors, case.dim
    return {"cosines": jnp.full(K * (K - 1) // 2, jnp.sqrt((K - d) / (d * (K - 1.0)))), "energies": jnp.full(d, K / d)}


def prove(case: Lines, predicted: dict[str, Any]) -> Proof:
    """The signs S of the construction's inner products obey S^2 = (K-1) I + t S with t^2 d (K-d) = (K-1) (K-2d)^2, in integers: so
    I + a S with a = sqrt((K-d)/(d (K-1))) is K/d times a projector of rank d, an exact frame, whose |cosines| are served.
    """
    K, d = case.vectors, case.dim
    if K > _WRITTEN:
        return unproved(f"{K**2} products of {K} signs are not written down: the most is {_WRITTEN} vectors")
    U = np.asarray(equiangular_lines(K, d).vectors)
    signs = np.sign(U.T @ U).astype(int) * (1 - np.eye(K, dtype=int))
    t = int(np.rint((signs @ signs * signs).sum() / (K * (K - 1))))
    book = Book(f"{K} lines in {d} dimensions: signs S with I + a S K/d times a projector of rank d, a the |cosine| served")
    S = np.array([[number(int(x)) for x in row] for row in signs], object)
    book.equal([[number(int(x)) for x in row] for row in signs @ signs], S * t + np.eye(K, dtype=int) * (K - 1))
    book.equal(number(t) ** 2 * d * (K - d), (K - 1) * (K - 2 * d) ** 2)
    book.less(-1, t * (K - 2 * d))  # one sign
    book.near(sqrt(number(K - d) / (d * (K - 1))), predicted["cosines"][0], 1e-14)
    book.near([number(K) / d] * d, predicted["energies"], 1e-14)
    return book.proof()


def constructed(case: Lines) -> dict[str, Any]:
    """Figures of the constructed vectors, normalised anew."""
    U = np.asarray(equiangular_lines(case.vectors, case.dim).vectors)
    return {"cosines": np.abs(cosines(U)), "energies": np.linalg.svd(U / np.linalg.norm(U, axis=0), compute_uv=False) ** 2}


THEOREMS = (
    statements.identity(
        "equiangular-lines", "[vanlint1966]; [seidel1976]; [goethals1975]; [fickus2012]",
        predict, constructed, partial(cases_of, _SIZES), tolerance=1e-11, prove=prove,
    ),
)  # fmt: skip
