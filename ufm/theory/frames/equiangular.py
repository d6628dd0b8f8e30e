"""Real equiangular tight frames from constructions: every pair at Welch's |cosine|, every direction seen equally.

|<u_j, u_k>| = sqrt((K - d)/(d (K - 1))),    |U^T x|^2 = (K/d) |x|^2.
"""

from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np

from ufm.frames import equiangular_lines
from ufm.theory import statements
from ufm.theory.frames.packing import Lines, cases_of, cosines

# every construction: conference, symplectic (both kinds of points and complements), harmonic, Steiner and Golay
_SIZES = ((6, 3), (14, 7), (10, 5), (28, 7), (36, 21), (120, 35), (16, 6), (144, 66), (176, 22), (276, 23))


def predict(case: Lines) -> dict[str, Any]:
    """Paley conference matrices, quadrics over GF(2), Steiner systems of pairs and the Golay code give real equiangular tight
    frames, 276 lines in 23 dimensions among them; so do their complements.

    |cosines| of all pairs, and energies |U^T x|^2/|x|^2 along principal directions.
    """
    K, d = case.vectors, case.dim
    return {"cosines": jnp.full(K * (K - 1) // 2, jnp.sqrt((K - d) / (d * (K - 1.0)))), "energies": jnp.full(d, K / d)}


def constructed(case: Lines) -> dict[str, Any]:
    """Figures of the constructed vectors, normalised anew."""
    U = np.asarray(equiangular_lines(case.vectors, case.dim).vectors)
    return {"cosines": np.abs(cosines(U)), "energies": np.linalg.svd(U / np.linalg.norm(U, axis=0), compute_uv=False) ** 2}


THEOREMS = (
    statements.identity(
        "equiangular-lines", "[vanlint1966]; [seidel1976]; [goethals1975]; [fickus2012]",
        predict, constructed, partial(cases_of, _SIZES), tolerance=1e-11,
    ),
)  # fmt: skip
