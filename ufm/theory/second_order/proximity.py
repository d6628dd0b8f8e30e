"""The Hessian of the proximity model of Tirer et al. 2023 (arXiv 2210.16658) where H0 is itself a critical point (derived).

With beta/2 |H - H0|^2 around a critical point of the plain model the point stays critical, and B = beta/w joins the feature
entry of every block of `table`. The zero modes of the minimiser lift: for small B the smallest eigenvalues are

    w B n/(s^2 + n)  for rotations in the span and of the classes,    w B n lW/(lH + n lW)  for those out of the span,

the stiffness that a solver meets. A saddle is a minimum of the proximity model exactly from B = 1/lW - lH on.
"""

import numpy as np

from ufm.theory import statements
from ufm.theory.second_order.cases import PLAIN, SHAPES, CriticalPoint, critical_point
from ufm.theory.second_order.table import spectrum
from ufm.theory.statements.spectra import Spectrum
from ufm.theory.theorem import Assumption


def predict(case: CriticalPoint) -> Spectrum:
    """The proximity model around a critical point of balanced MSE: beta adds to the feature entry of every block of the spectrum,
    so that rotations lift to about beta n/(s^2 + n), and saddles become minima at B = 1/lW - lH.
    """
    return spectrum(case.problem, case.rank)


def cases() -> dict[str, CriticalPoint]:
    """Weak to strong proximity at the minimiser, at saddles either side of where they become minima, and at zero."""
    rng = np.random.default_rng(0)
    points = {
        f"{name} r={rank} c={c} B={B}": critical_point(SHAPES[name], rank, c, 0.8, rng, proximity=B)
        for name, rank, c in (("d<K", 2, 0.3), ("d>K", 3, 0.3), ("d>K", 3, 0.9), ("d>K", 0, 1.2))
        for B in (1e-3, 1.0, 50.0)
    }
    becomes_minimum = 0.8 / 0.3 - 0.3 * 0.8
    sides = {f"saddle, B {share} of 1/lW - lH": becomes_minimum * share for share in (0.95, 1.05)}
    return points | {name: critical_point(SHAPES["d>K"], 2, 0.3, 0.8, rng, proximity=B) for name, B in sides.items()}


def draw(rng: np.random.Generator) -> CriticalPoint:
    """Random rank, ridges and proximity."""
    c, s, B = rng.uniform(0.1, 0.9), np.exp(rng.uniform(-1, 1)), np.exp(rng.uniform(-4, 4))
    return critical_point(SHAPES["d>K"], int(rng.integers(4)), c, s, rng, proximity=B)


def _is_centred(case: CriticalPoint) -> bool:
    return case.problem.H0 is not None and np.array_equal(case.problem.H0, case.params.H)


THEOREMS = (
    statements.spectrum(
        "mse-proximity-spectrum", "model of [tirer2023]; spectrum derived",
        predict, cases, draw, (*PLAIN, Assumption("H0 equal to the critical point's H", _is_centred)), lowest=1e-8,
    ),
)  # fmt: skip
