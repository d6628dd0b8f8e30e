"""Outliers and bulk of the Hessian at the minimiser (Papyan 2020; Garrod and Keating 2024, arXiv 2404.06106; values derived).

With r = min(d, K), at the minimiser of balanced MSE for c < 1 (N = K n; lH, s, T, lam_+ as in `table`):

    Hessian in W   1/(K s)  K r times (outliers)      l2_W  K (d-r) times (bulk)
    Hessian in H   s/N      n K r times               l2_H  n K (d-r) times
    whole Hessian  K r outliers near n/(s N): lam_+/N [r(r+1)/2 times] and T/N

They stand out where n >> s^2 and c << 1. For d >= K there are K^2 of them, all equal in the Hessian of W.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ufm.base.checks import AnyNumber
from ufm.theory import statements
from ufm.theory.kit.hessian import derivatives
from ufm.theory.second_order.cases import PLAIN, SHAPES, CriticalPoint, minimiser
from ufm.theory.second_order.table import Spectrum, numbers, per_class, spectrum_check
from ufm.theory.theorem import Check, relative_error


class Layers(NamedTuple):
    """W, H: spectra of the diagonal blocks of the Hessian. outliers: eigenvalues of the whole one above its widest gap."""

    W: Spectrum | np.ndarray
    H: Spectrum | np.ndarray
    outliers: AnyNumber


def predict(case: CriticalPoint) -> Layers:
    """Balanced MSE at its minimum: the Hessian in W has K min(d, K) equal outliers 1/(K s) over a bulk at l2_W, the one in H is
    two-valued too, and the whole Hessian has as many outliers, K^2 for d >= K.

    The two-valued spectra of the module docstring, and K r.
    """
    problem, r = case.problem, case.rank
    K, n, d = problem.classes, per_class(problem), problem.widths[0]
    w, lW, lH, _, s, _ = numbers(problem)
    copies = jnp.stack([K * r, K * (d - r)])
    return Layers(Spectrum(w * n * jnp.stack([1 / s, lW]), copies), Spectrum(w * jnp.stack([s, lH]), n * copies), K * r)


def measure(case: CriticalPoint, key: jax.Array) -> Layers:
    """Eigenvalues of the blocks of the Hessian by automatic differentiation, and a count above the widest gap."""
    del key  # nothing is random: the point belongs to the case
    hessian = np.asarray(derivatives(case.problem, case.params).hessian)
    size = case.params.weights[0].size
    whole = np.linalg.eigvalsh(hessian)
    outliers = whole.size - 1 - np.argmax(np.diff(whole))
    return Layers(np.linalg.eigvalsh(hessian[:size, :size]), np.linalg.eigvalsh(hessian[size:, size:]), outliers)


def evidence(case: CriticalPoint, predicted: Layers, measured: Layers) -> list[Check]:
    """Every eigenvalue of both blocks, and the number of outliers of the whole."""
    del case
    return [
        spectrum_check("Hessian in W", predicted.W, measured.W, 1e-12),
        spectrum_check("Hessian in H", predicted.H, measured.H, 1e-12),
        Check("agreement", "outliers", relative_error(predicted.outliers, measured.outliers), 1e-12),
    ]


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
    statements.other(
        "mse-layer-hessians", "[papyan2020traces] and [garrod2024], for the K^2 outliers; values derived",
        predict, measure, cases, draw, PLAIN, evidence=evidence,
    ),
)  # fmt: skip
