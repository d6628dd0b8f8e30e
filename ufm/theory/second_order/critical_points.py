"""The whole Hessian at every critical point of balanced MSE, and its zero modes (derived).

The eigenvalues are those of `table`, and the value at rank r is f_r = (weight/2) (1 - (r/K) (1-c)^2). For c < 1 a point of
rank r < min(d, K) is a strict saddle, and the lowest curvature is the same at all of them:

    nu_- = ((lH + n lW) - sqrt((lH - n lW)^2 + 4n))/2 < 0,  (d-r)(K-r) times

The zero modes are the tangents of the orbit under (W, H) -> (V W Q^T, Q H (V (x) I_n)^T), Q in O(d) and V in O(K), of dimension

    r(r-1)/2 + r(d-r) + r(K-r),

so that critical sets are nondegenerate (Morse-Bott) but for c = 1, where the d K dormant directions of the origin turn flat.
"""

import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ufm.base.checks import AnyArray, AnyNumber
from ufm.theory import statements
from ufm.theory.kit.hessian import derivatives
from ufm.theory.second_order.cases import PLAIN, SHAPES, CriticalPoint, critical_point, random_point
from ufm.theory.second_order.table import Spectrum, numbers, spectrum, spectrum_check
from ufm.theory.theorem import Check, agreement, relative_error

_ZERO = 1e-9


class Point(NamedTuple):
    """spectrum: the table in closed form, or the (P,) ascending eigenvalues. gradient_norm: |grad f|. value: f."""

    spectrum: Spectrum | np.ndarray
    gradient_norm: AnyNumber
    value: AnyArray


class Modes(NamedTuple):
    """Numbers of zero and of negative eigenvalues, dimension of the orbit, and the size of the Hessian along the orbit."""

    zeros: jax.Array
    negative: jax.Array
    orbit: jax.Array
    along_orbit: jax.Array


def predict_spectrum(case: CriticalPoint) -> Point:
    """Balanced MSE: at every critical point of rank r, with value f_r, the Hessian has a closed spectrum of two values within
    classes and five 2 x 2 blocks; below the top rank the lowest eigenvalue is nu_-/N < 0 for every r.

    The table of eigenvalues, gradient zero, and f_r.
    """
    problem, r = case.problem, case.rank
    c = numbers(problem).c
    value = problem.weight[0] / 2 * (1 - r / problem.classes * (1 - c) ** 2)
    return Point(spectrum(problem, r), jnp.zeros_like(c), value)


def measure_spectrum(case: CriticalPoint, key: jax.Array) -> Point:
    """Eigenvalues of the Hessian by automatic differentiation."""
    del key  # nothing is random: the point belongs to the case
    found = jax.tree.map(np.asarray, derivatives(case.problem, case.params))
    return Point(np.linalg.eigvalsh(found.hessian), np.linalg.norm(found.gradient), found.value)


def spectrum_evidence(case: CriticalPoint, predicted: Point, measured: Point) -> list[Check]:
    """Critical; the value f_r; every eigenvalue with its multiplicity."""
    del case
    return [
        Check("stationarity", "gradient", relative_error(predicted.gradient_norm, measured.gradient_norm), 1e-13),
        Check("agreement", "value", relative_error(predicted.value, measured.value), 1e-11),
        spectrum_check("eigenvalues", predicted.spectrum, measured.spectrum, 1e-12),
    ]


def predict_modes(case: CriticalPoint) -> Modes:
    """Balanced MSE: the zero modes of the Hessian at a critical point of rank r are the r(r-1)/2 + r(d-r) + r(K-r) rotations of
    features and classes, and nothing else, but for c = 1; (d-r)(K-r) modes are negative for c < 1.

    The counts of the module docstring.
    """
    K, d, r = case.problem.classes, case.problem.widths[0], case.rank
    c = numbers(case.problem).c
    orbit = r * (r - 1) // 2 + r * (d - r) + r * (K - r)
    dormant = (d - r) * (K - r)
    flat = jnp.abs(c - 1) < 1e-12
    zeros = orbit + jnp.where(flat, dormant, 0)
    return Modes(zeros, jnp.where((c < 1) & ~flat, dormant, 0), orbit, jnp.zeros_like(c))


def measure_modes(case: CriticalPoint, key: jax.Array) -> Modes:
    """Eigenvalues by their sign, and the rank of the tangents of rotations of the features and of the classes."""
    del key  # nothing is random: the point belongs to the case
    hessian = np.asarray(derivatives(case.problem, case.params).hessian)
    eigenvalues = np.linalg.eigvalsh(hessian)
    eigenvalues = eigenvalues / np.max(np.abs(eigenvalues))
    tangents = _orbit_tangents(np.asarray(case.params.weights[0]), np.asarray(case.params.H))
    along = np.max(np.abs(hessian @ tangents.T)) / np.max(np.abs(hessian))
    zeros, negative = np.sum(np.abs(eigenvalues) < _ZERO), np.sum(eigenvalues < -_ZERO)
    return Modes(zeros, negative, np.linalg.matrix_rank(tangents, tol=_ZERO), along)


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
    ranks = [(name, shape, r) for name, shape in SHAPES.items() for r in range(min(shape[0], shape[2]) + 1)]
    points = {f"{name} r={r}": critical_point(shape, r, 0.3, 0.7, rng) for name, shape, r in ranks}
    for c, s in ((3e-4, 1.0), (0.5, 1.0), (0.5, 2.0), (0.999, 0.4)):
        points |= {f"c={c} s={s} r={r}": critical_point(SHAPES["d>K"], r, c, s, rng) for r in (2, 3)}
    points |= {f"c={c} r=0": critical_point(SHAPES["d>K"], 0, c, 1.5, rng) for c in (0.999, 1.0, 1.4)}
    return points | {"weight 2.5": critical_point(SHAPES["d=K"], 2, 0.2, 1.3, rng, weight=2.5)}


def mode_cases() -> dict[str, CriticalPoint]:
    """All ranks of every shape, and the origin on either side of c = 1 and at it."""
    rng = np.random.default_rng(1)
    ranks = [(name, shape, r) for name, shape in SHAPES.items() for r in range(min(shape[0], shape[2]) + 1)]
    points = {f"{name} r={r}": critical_point(shape, r, 0.4, 1.2, rng) for name, shape, r in ranks}
    return points | {f"c={c} r=0": critical_point(SHAPES["d=K"], 0, c, 0.8, rng) for c in (0.98, 1.0, 1.02)}


THEOREMS = (
    statements.other(
        "mse-critical-spectrum", "derived; bias-free case of the landscape of [zhou2022landscape]",
        predict_spectrum, measure_spectrum, spectrum_cases, random_point, PLAIN, evidence=spectrum_evidence,
    ),
    statements.other(
        "mse-zero-modes", "derived",
        predict_modes, measure_modes, mode_cases, random_point, PLAIN, evidence=agreement(1e-12, scale=1.0),
    ),
)  # fmt: skip
