"""The whole Hessian at every critical point of balanced MSE, its zero modes, its blocks, learning rates and proximity.

The eigenvalues are those of `table`, and the value at rank r is f_r = (weight/2) (1 - (r/K) (1-c)^2). For c < 1 a point of
rank r < min(d, K) is a strict saddle, and the lowest curvature is the same at all of them:

    nu_- = ((lH + n lW) - sqrt((lH - n lW)^2 + 4n))/2 < 0,  (d-r)(K-r) times

The zero modes are the tangents of the orbit under (W, H) -> (V W Q^T, Q H (V (x) I_n)^T), Q in O(d) and V in O(K), of dimension

    r(r-1)/2 + r(d-r) + r(K-r),

so that critical sets are nondegenerate (Morse-Bott) but for c = 1, where the d K dormant directions of the origin turn flat.

Two learning rates: d(W, H)/dt = -diag(e_W, e_H) grad f has the Jacobian -diag(e_W, e_H) Hess f. Zero modes stay zero, and the soft
pair of symmetric motions has trace e_H s + e_W n/s and determinant 4 e_H e_W c (1-c) n (times w and w^2).

Proximity (Tirer et al. 2023, arXiv 2210.16658): with beta/2 |H - H0|^2 around a critical point of the plain model the point stays
critical. The zero modes of the minimiser lift: for small B = beta/w the smallest eigenvalues, which a solver meets, are

    w B n/(s^2 + n)  for rotations in the span and of the classes,    w B n lW/(lH + n lW)  for those out of the span.

A saddle is a minimum of the proximity model exactly from B = 1/lW - lH on.

Outliers and bulk (Papyan 2020; Garrod and Keating 2024, arXiv 2404.06106; values derived): with r = min(d, K), at the minimiser

    Hessian in W   1/(K s)  K r times (outliers)      l2_W  K (d-r) times (bulk)
    Hessian in H   s/N      n K r times               l2_H  n K (d-r) times
    whole Hessian  K r outliers near n/(s N): lam_+/N [r(r+1)/2 times] and T/N

They stand out where n >> s^2 and c << 1. For d >= K there are K^2 of them, all equal in the Hessian of W.
"""

import itertools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ufm.problem import Problem
from ufm.problem.params import Params
from ufm.proofs import Proof
from ufm.theory import statements
from ufm.theory.kit.hessian import derivatives
from ufm.theory.proving import critical_of, held
from ufm.theory.second_order.cases import PLAIN, SHAPES, CriticalPoint, critical_point, every_rank, minimiser, random_point
from ufm.theory.second_order.table import numbers, spectrum
from ufm.theory.statements.spectra import Critical, Spectrum
from ufm.theory.theorem import Assumption

_ZERO = 1e-9


def predict_spectrum(case: CriticalPoint) -> Critical:
    """Balanced MSE: at every critical point of rank r, with value f_r, the Hessian has a closed spectrum of two values within
    classes and five 2 x 2 blocks; below the top rank the lowest eigenvalue is nu_-/N < 0 for every r.
    """
    problem, r = case.problem, case.rank
    value = problem.weight[0] / 2 * (1 - r / problem.classes * (1 - numbers(problem).c) ** 2)
    return Critical(spectrum(problem, r), value)


def _signs(table: Spectrum) -> tuple[int, int, int]:
    """How many eigenvalues of a table are above, at and below 0 to rounding."""
    values, copies = np.asarray(table.values), np.asarray(table.multiplicity)
    zero = np.abs(values) < _ZERO * np.max(np.abs(values))
    positive, null, negative = (int(np.sum(copies[part])) for part in (~zero & (values > 0), zero, ~zero & (values < 0)))
    return positive, null, negative


def prove_spectrum(case: CriticalPoint, predicted: Critical) -> Proof:
    """The point is critical, of that value, and its eigenvalues have those signs."""
    return held(critical_of(case.problem, case.params, _signs(predicted.spectrum)), predicted.value)


def prove_modes(case: CriticalPoint, predicted: dict[str, Any]) -> Proof:
    """The numbers of zero and of negative eigenvalues."""
    return critical_of(case.problem, case.params, (None, predicted["zeros"], predicted["negative"]))


def prove_signs(case: Any, predicted: Spectrum) -> Proof:
    """The signs of a spectrum, which learning rates leave alone (Sylvester)."""
    return critical_of(case.problem, case.params, _signs(predicted))


def spectrum_cases() -> dict[str, CriticalPoint]:
    """All ranks of every shape; c close to 0 and to 1, at 1/2 and beyond 1; samples of weight 2.5."""
    rng = np.random.default_rng(0)
    points = every_rank(0.3, 0.7, rng)
    for c, s in ((3e-4, 1.0), (0.5, 1.0), (0.5, 2.0), (0.999, 0.4)):
        points |= {f"c={c} s={s} r={r}": critical_point(SHAPES["d>K"], r, c, s, rng) for r in (2, 3)}
    points |= {f"c={c} r=0": critical_point(SHAPES["d>K"], 0, c, 1.5, rng) for c in (0.999, 1.0, 1.4)}
    return points | {"weight 2.5": critical_point(SHAPES["d=K"], 2, 0.2, 1.3, rng, weight=2.5)}


def predict_modes(case: CriticalPoint) -> dict[str, Any]:
    """Balanced MSE: the zero modes of the Hessian at a critical point of rank r are the r(r-1)/2 + r(d-r) + r(K-r) rotations of
    features and classes, and nothing else, but for c = 1; (d-r)(K-r) modes are negative for c < 1.
    """
    K, d, r, c = case.problem.classes, case.problem.widths[0], case.rank, numbers(case.problem).c
    orbit, dormant, flat = r * (r - 1) // 2 + r * (d - r) + r * (K - r), (d - r) * (K - r), jnp.abs(c - 1) < 1e-12
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


def mode_cases() -> dict[str, CriticalPoint]:
    """All ranks of every shape, and the origin on either side of c = 1 and at it."""
    rng = np.random.default_rng(1)
    points = every_rank(0.4, 1.2, rng)
    return points | {f"c={c} r=0": critical_point(SHAPES["d=K"], 0, c, 0.8, rng) for c in (0.98, 1.0, 1.02)}


def predict_layers(case: CriticalPoint) -> dict[str, Spectrum]:
    """Balanced MSE at its minimum: the Hessian in W has K min(d, K) equal outliers 1/(K s) over a bulk at l2_W, the one in H is
    two-valued too, and the whole Hessian has as many outliers, K^2 for d >= K.
    """
    K, d, r = case.problem.classes, case.problem.widths[0], case.rank
    n, w, lW, lH, _, s, _ = numbers(case.problem)
    copies, rest = jnp.stack([K * r, K * (d - r)]), K * (d + n * d - r)
    in_W, in_H = Spectrum(w * n * jnp.stack([1 / s, lW]), copies), Spectrum(w * jnp.stack([s, lH]), n * copies)
    outliers = Spectrum(jnp.array([1.0, 0.0]), jnp.stack([K * r, rest]))
    return {"Hessian in W": in_W, "Hessian in H": in_H, "outliers": outliers}


def layers(case: CriticalPoint) -> dict[str, np.ndarray]:
    """Both blocks of the Hessian by automatic differentiation, and the projector on its eigenvectors above the widest gap."""
    hessian, size = np.asarray(derivatives(case.problem, case.params).hessian), case.params.weights[0].size
    eigenvalues, vectors = np.linalg.eigh(hessian)
    above = vectors[:, 1 + np.argmax(np.diff(eigenvalues)) :]
    return {"Hessian in W": hessian[:size, :size], "Hessian in H": hessian[size:, size:], "outliers": above @ above.T}


def layers_cases() -> dict[str, CriticalPoint]:
    """Every shape where outliers stand out."""
    rng, sizes = np.random.default_rng(0), ((0.02, 0.3), (0.1, 0.2))
    return {f"{name} c={c} s={s}": minimiser(shape, c, s, rng) for name, shape in SHAPES.items() for c, s in sizes}


def draw_layers(rng: np.random.Generator) -> CriticalPoint:
    """A random shape, with c < 0.1 and s^2 well below n."""
    shape = list(SHAPES.values())[rng.integers(len(SHAPES))]
    return minimiser(shape, rng.uniform(0.01, 0.1), rng.uniform(0.15, 0.4), rng)


class TwoRates(NamedTuple):
    """A problem, a critical point of rank r, and the (2,) learning rates of W and H."""

    problem: Problem
    params: Params
    rank: jax.Array
    rates: jax.Array


def predict_two_rates(case: TwoRates) -> Spectrum:
    """Balanced MSE with learning rates e_W and e_H: the preconditioned spectrum at every critical point keeps its 2 x 2 blocks,
    with entries scaled by e_H, sqrt(e_H e_W), e_W; zero modes stay zero.
    """
    return spectrum(case.problem, case.rank, case.rates[0], case.rates[1])


def preconditioned(case: TwoRates) -> np.ndarray:
    """The unsymmetric matrix diag(rates) Hess f by automatic differentiation."""
    each = np.repeat(np.asarray(case.rates), [case.params.weights[0].size, case.params.H.size])
    return each[:, None] * np.asarray(derivatives(case.problem, case.params).hessian)


def rates_cases() -> dict[str, TwoRates]:
    """Each layer faster than the other, equal rates, at minima, saddles and zero, either side of c = 1."""
    rng = np.random.default_rng(0)
    points = {f"d>K r={r}": critical_point(SHAPES["d>K"], r, 0.3, 0.8, rng) for r in (0, 2, 3)}
    points |= {"d<K r=2": critical_point(SHAPES["d<K"], 2, 0.6, 1.5, rng), "c=1.2": critical_point(SHAPES["d=K"], 0, 1.2, 1.0, rng)}
    rates = ((1.0, 1.0), (10.0, 1.0), (0.2, 3.0))
    return {f"{name} rates={r}": TwoRates(*point, jnp.asarray(r)) for name, point in points.items() for r in rates}


def draw_rates(rng: np.random.Generator) -> TwoRates:
    """A random critical point and random rates."""
    return TwoRates(*random_point(rng), jnp.asarray(np.exp(rng.uniform(-2, 2, size=2))))


def predict_proximity(case: CriticalPoint) -> Spectrum:
    """The proximity model around a critical point of balanced MSE: beta adds to the feature entry of every block of the spectrum,
    so that rotations lift to about beta n/(s^2 + n), and saddles become minima at B = 1/lW - lH.
    """
    return spectrum(case.problem, case.rank)


def proximity_cases() -> dict[str, CriticalPoint]:
    """Weak to strong proximity at the minimiser, at saddles either side of where they become minima, and at zero."""
    rng = np.random.default_rng(0)
    points = {
        f"{name} r={rank} c={c} B={B}": critical_point(SHAPES[name], rank, c, 0.8, rng, proximity=B)
        for name, rank, c in (("d<K", 2, 0.3), ("d>K", 3, 0.3), ("d>K", 3, 0.9), ("d>K", 0, 1.2))
        for B in (1e-3, 1.0, 50.0)
    }
    becomes_minimum = 0.8 / 0.3 - 0.3 * 0.8
    for share in (0.95, 1.05):
        saddle = critical_point(SHAPES["d>K"], 2, 0.3, 0.8, rng, proximity=becomes_minimum * share)
        points[f"saddle, B {share} of 1/lW - lH"] = saddle
    return points


def draw_proximity(rng: np.random.Generator) -> CriticalPoint:
    """Random rank, ridges and proximity."""
    c, s, B = rng.uniform(0.1, 0.9), np.exp(rng.uniform(-1, 1)), np.exp(rng.uniform(-4, 4))
    return critical_point(SHAPES["d>K"], int(rng.integers(4)), c, s, rng, proximity=B)


def _is_centred(case: CriticalPoint) -> bool:
    return case.problem.H0 is not None and np.array_equal(case.problem.H0, case.params.H)


THEOREMS = (
    statements.spectrum(
        "mse-critical-spectrum", "derived; bias-free case of the landscape of [zhou2022landscape]",
        predict_spectrum, spectrum_cases, random_point, PLAIN, prove=prove_spectrum,
    ),
    statements.identity(
        "mse-zero-modes", "derived", predict_modes, count_modes, mode_cases, random_point, PLAIN, tolerance=1e-12, scale=1.0,
        prove=prove_modes,
    ),
    statements.spectrum(
        "mse-layer-hessians", "[papyan2020traces] and [garrod2024], for the K^2 outliers; values derived",
        predict_layers, layers_cases, draw_layers, PLAIN, matrix=layers,
    ),
    statements.spectrum(
        "mse-two-rates", "derived", predict_two_rates, rates_cases, draw_rates, PLAIN, matrix=preconditioned, tolerance=1e-10,
        prove=prove_signs,
    ),
    statements.spectrum(
        "mse-proximity-spectrum", "model of [tirer2023]; spectrum derived", predict_proximity, proximity_cases, draw_proximity,
        (*PLAIN, Assumption("H0 equal to the critical point's H", _is_centred)), lowest=1e-8,
    ),
)  # fmt: skip
