"""Outliers and bulk of the Hessian at the minimiser (Papyan 2020; Garrod and Keating 2024, arXiv 2404.06106; values derived).

With r = min(d, K), at the minimiser of balanced MSE for c < 1 (N = K n; lH, s, T, lam_+ as in `table`):

    Hessian in W   1/(K s)  K r times (outliers)      l2_W  K (d-r) times (bulk)
    Hessian in H   s/N      n K r times               l2_H  n K (d-r) times
    whole Hessian  K r outliers near n/(s N): lam_+/N [r(r+1)/2 times] and T/N

They stand out where n >> s^2 and c << 1. For d >= K there are K^2 of them, all equal in the Hessian of W.
"""

import jax.numpy as jnp
import numpy as np

from ufm.theory import statements
from ufm.theory.kit.hessian import derivatives
from ufm.theory.second_order.cases import PLAIN, SHAPES, CriticalPoint, minimiser
from ufm.theory.second_order.table import numbers
from ufm.theory.statements.spectra import Spectrum


def predict(case: CriticalPoint) -> dict[str, Spectrum]:
    """Balanced MSE at its minimum: the Hessian in W has K min(d, K) equal outliers 1/(K s) over a bulk at l2_W, the one in H is
    two-valued too, and the whole Hessian has as many outliers, K^2 for d >= K.
    """
    K, d, r = case.problem.classes, case.problem.widths[0], case.rank
    n, w, lW, lH, _, s, _ = numbers(case.problem)
    copies, rest = jnp.stack([K * r, K * (d - r)]), K * (d + n * d - r)
    return {
        "Hessian in W": Spectrum(w * n * jnp.stack([1 / s, lW]), copies),
        "Hessian in H": Spectrum(w * jnp.stack([s, lH]), n * copies),
        "outliers": Spectrum(jnp.array([1.0, 0.0]), jnp.stack([K * r, rest])),
    }


def matrices(case: CriticalPoint) -> dict[str, np.ndarray]:
    """Both blocks of the Hessian by automatic differentiation, and the projector on its eigenvectors above the widest gap."""
    hessian, size = np.asarray(derivatives(case.problem, case.params).hessian), case.params.weights[0].size
    eigenvalues, vectors = np.linalg.eigh(hessian)
    above = vectors[:, 1 + np.argmax(np.diff(eigenvalues)) :]
    return {"Hessian in W": hessian[:size, :size], "Hessian in H": hessian[size:, size:], "outliers": above @ above.T}


def cases() -> dict[str, CriticalPoint]:
    """Every shape where outliers stand out."""
    rng = np.random.default_rng(0)
    sizes = ((0.02, 0.3), (0.1, 0.2))
    return {f"{name} c={c} s={s}": minimiser(shape, c, s, rng) for name, shape in SHAPES.items() for c, s in sizes}


def draw(rng: np.random.Generator) -> CriticalPoint:
    """A random shape, with c < 0.1 and s^2 well below n."""
    shape = list(SHAPES.values())[rng.integers(len(SHAPES))]
    return minimiser(shape, rng.uniform(0.01, 0.1), rng.uniform(0.15, 0.4), rng)


THEOREMS = (
    statements.spectrum(
        "mse-layer-hessians", "[papyan2020traces] and [garrod2024], for the K^2 outliers; values derived",
        predict, cases, draw, PLAIN, matrix=matrices,
    ),
)  # fmt: skip
