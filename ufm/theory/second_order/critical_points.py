"""The whole Hessian at every critical point of balanced MSE, and its zero modes (derived).

The eigenvalues are those of `table`, and the value at rank r is f_r = (weight/2) (1 - (r/K) (1-c)^2). For c < 1 a point of
rank r < min(d, K) is a strict saddle, and the lowest curvature is the same at all of them:

    nu_- = ((lH + n lW) - sqrt((lH - n lW)^2 + 4n))/2 < 0,  (d-r)(K-r) times

The zero modes are the tangents of the orbit under (W, H) -> (V W Q^T, Q H (V (x) I_n)^T), Q in O(d) and V in O(K), of dimension

    r(r-1)/2 + r(d-r) + r(K-r),

so that critical sets are nondegenerate (Morse-Bott) but for c = 1, where the d K dormant directions of the origin turn flat.
"""

import itertools
from typing import Any

import jax.numpy as jnp
import numpy as np

from ufm.theory import statements
from ufm.theory.kit.hessian import derivatives
from ufm.theory.second_order.cases import PLAIN, SHAPES, CriticalPoint, critical_point, every_rank, random_point
from ufm.theory.second_order.table import numbers, spectrum
from ufm.theory.statements.spectra import Critical

_ZERO = 1e-9


def predict_spectrum(case: CriticalPoint) -> Critical:
    """Balanced MSE: at every critical point of rank r, with value f_r, the Hessian has a closed spectrum of two values within
    classes and five 2 x 2 blocks; below the top rank the lowest eigenvalue is nu_-/N < 0 for every r.
    """
    problem, r = case.problem, case.rank
    value = problem.weight[0] / 2 * (1 - r / problem.classes * (1 - numbers(problem).c) ** 2)
    return Critical(spectrum(problem, r), value)


def predict_modes(case: CriticalPoint) -> dict[str, Any]:
    """Balanced MSE: the zero modes of the Hessian at a critical point of rank r are the r(r-1)/2 + r(d-r) + r(K-r) rotations of
    features and classes, and nothing else, but for c = 1; (d-r)(K-r) modes are negative for c < 1.
    """
    K, d, r, c = case.problem.classes, case.problem.widths[0], case.rank, numbers(case.problem).c
    orbit = r * (r - 1) // 2 + r * (d - r) + r * (K - r)
    dormant = (d - r) * (K - r)
    flat = jnp.abs(c - 1) < 1e-12
    zeros, negative = orbit + jnp.where(flat, dormant, 0), jnp.where((c < 1) & ~flat, dormant, 0)
    return {"zeros": zeros, "negative": negative, "orbit": orbit, "along_orbit": jnp.zeros_like(c)}


def count_modes(case: CriticalPoint) -> dict[str, Any]:
    """Eigenvalues by their sign, the rank of the tangents of rotations of features and classes, and the Hessian along them."""
    hessian = np.asarray(derivatives(case.problem, case.params).hessian)
    hessian = hessian / np.linalg.norm(hessian, 2)
    eigenvalues = np.linalg.eigvalsh(hessian)
    tangents = _orbit_tangents(np.asarray(case.params.weights[0]), np.asarray(case.params.H))
    along = np.max(np.abs(hessian @ tangents.T)) / np.max(np.abs(hessian))
    zeros, negative = np.sum(np.abs(eigenvalues) < _ZERO), np.sum(eigenvalues < -_ZERO)
    return {"zeros": zeros, "negative": negative, "orbit": np.linalg.matrix_rank(tangents, tol=_ZERO), "along_orbit": along}


def _orbit_tangents(W: np.ndarray, H: np.ndarray) -> np.ndarray:
    """(-W A, A H) for every turn A of two feature axes, and (A W, -H (A (x) I_n)) for every turn of two classes."""
    (K, d), n = W.shape, H.shape[1] // W.shape[0]
    features = [(-W @ A, A @ H) for A in _turns(d)]
    classes = [(A @ W, -H @ np.kron(A, np.eye(n))) for A in _turns(K)]
    return np.stack([np.concatenate([dW.ravel(), dH.ravel()]) for dW, dH in features + classes])


def _turns(size: int) -> list[np.ndarray]:
    units = np.eye(size)
    return [np.outer(units[i], units[j]) - np.outer(units[j], units[i]) for i, j in itertools.combinations(range(size), 2)]


def spectrum_cases() -> dict[str, CriticalPoint]:
    """All ranks of every shape; c close to 0 and to 1, at 1/2 and beyond 1; samples of weight 2.5."""
    rng = np.random.default_rng(0)
    points = every_rank(0.3, 0.7, rng)
    for c, s in ((3e-4, 1.0), (0.5, 1.0), (0.5, 2.0), (0.999, 0.4)):
        points |= {f"c={c} s={s} r={r}": critical_point(SHAPES["d>K"], r, c, s, rng) for r in (2, 3)}
    points |= {f"c={c} r=0": critical_point(SHAPES["d>K"], 0, c, 1.5, rng) for c in (0.999, 1.0, 1.4)}
    return points | {"weight 2.5": critical_point(SHAPES["d=K"], 2, 0.2, 1.3, rng, weight=2.5)}


def mode_cases() -> dict[str, CriticalPoint]:
    """All ranks of every shape, and the origin on either side of c = 1 and at it."""
    rng = np.random.default_rng(1)
    points = every_rank(0.4, 1.2, rng)
    origins = {f"c={c} r=0": critical_point(SHAPES["d=K"], 0, c, 0.8, rng) for c in (0.98, 1.0, 1.02)}
    return points | origins


THEOREMS = (
    statements.spectrum(
        "mse-critical-spectrum", "derived; bias-free case of the landscape of [zhou2022landscape]",
        predict_spectrum, spectrum_cases, random_point, PLAIN,
    ),
    statements.identity(
        "mse-zero-modes", "derived",
        predict_modes, count_modes, mode_cases, random_point, PLAIN, tolerance=1e-12, scale=1.0,
    ),
)  # fmt: skip
