"""Aligned features: the proximity model solved exactly, far from collapse and at every strength of proximity (derived).

    H0 = U diag(m0) V^T (x) 1^T + sqrt(n) U diag(sigma0) Z^T + D_perp

with U (d, K) and V (K, K) orthonormal, Z orthonormal columns of zero class means, D_perp a within-class part orthogonal to U
and to Z. The minimiser has the same form, with W = V diag(w) U^T and p = B + lH, mode by mode

    m = (B m0 + w)/(p + w^2),    sigma = B sigma0/(p + w^2),    w (m^2 + sigma^2 + lW) = m,    D_perp -> (B/p) D_perp

which is one quintic in w for each mode, b = B m0 and e = B sigma0,

    lW w^5 + 2 lW p w^3 + b w^2 + (b^2 + e^2 + lW p^2 - p) w - b p = 0.

For p > 1/lW it has one real root. Below there are several: for collapsed classes (sigma0 = D_perp = 0) the one of least
objective is the minimum, by von Neumann's trace inequality, since L depends on singular values alone; with variability within
classes it need not be, because the means can turn away from directions of much variability.
"""

from fractions import Fraction
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import minimize

from ufm.problem import Problem
from ufm.proofs import Book, Expression, Proof, least_of, number, unproved, x
from ufm.proofs.explicit_points import aligned_is_beaten
from ufm.theory import statements
from ufm.theory.perturbation.model import Minimum, exact_units, proximity, strength, units
from ufm.theory.perturbation.newton import lowest, random_starts
from ufm.theory.statements.refutations import Claim, Refutation
from ufm.theory.theorem import Assumption, agreement

_GRID, _NEWTON_STEPS = 4001, 12


class Aligned(NamedTuple):
    """A problem and its H0 in modes: U (d, K), V (K, K), m0 and sigma0 (K,), Z (N, K) and D_perp (d, N).

    A mode of sigma0 = 0 needs no column of Z: it may be zero.
    """

    problem: Problem
    U: jax.Array
    V: jax.Array
    m0: jax.Array
    sigma0: jax.Array
    Z: jax.Array
    D_perp: jax.Array


def mode(m0: jax.Array, sigma0: jax.Array, lW: jax.Array, lH: jax.Array, B: jax.Array) -> jax.Array:
    """The root w of the mode's quintic with the least objective, a scalar, for m0 not zero.

    The objective at the best (m, sigma) for a given w is compared on a grid, and Newton steps on the quintic polish the best
    point. The grid holds every minimum: there lW w^2/2 is at most the objective at w = 0.
    """
    p, b, e = B + lH, B * m0, B * sigma0
    coefficients = jnp.stack([lW, 0 * p, 2 * lW * p, b, b**2 + e**2 + lW * p**2 - p, -b * p])
    slopes = jnp.polyder(coefficients)
    reach = jnp.sqrt(2 * _best(jnp.zeros_like(p), m0, sigma0, lW, lH, B)[2] / lW)
    grid = reach * jnp.linspace(-1, 1, _GRID)
    w = grid[jnp.argmin(_best(grid, m0, sigma0, lW, lH, B)[2])]
    return jax.lax.fori_loop(0, _NEWTON_STEPS, lambda _, w: w - jnp.polyval(coefficients, w) / jnp.polyval(slopes, w), w)


def _best(w: jax.Array, m0: jax.Array, sigma0: jax.Array, lW: jax.Array, lH: jax.Array, B: jax.Array) -> tuple[jax.Array, ...]:
    """The best m and sigma for a given w, and a mode's part of the objective there, over n/N."""
    m, sigma = (B * m0 + w) / (B + lH + w**2), B * sigma0 / (B + lH + w**2)
    fit = (1 - w * m) ** 2 + (w * sigma) ** 2 + lW * w**2 + lH * (m**2 + sigma**2)
    return m, sigma, (fit + B * ((m - m0) ** 2 + (sigma - sigma0) ** 2)) / 2


def predict(case: Aligned) -> Minimum:
    """The minimiser mode by mode, and its value summed over modes and D_perp."""
    problem = case.problem
    lW, lH, B, n, *_ = units(problem)
    shrunk = B / (B + lH)
    w = jax.vmap(lambda m0, sigma0: mode(m0, sigma0, lW, lH, B))(case.m0, case.sigma0)
    m, sigma, modes = _best(w, case.m0, case.sigma0, lW, lH, B)
    means = (case.U * m[None, :]) @ case.V.T
    H = means[:, problem.labels] + jnp.sqrt(n) * (case.U * sigma[None, :]) @ case.Z.T + shrunk * case.D_perp
    value = (n * jnp.sum(modes) + lH / 2 * shrunk * jnp.sum(case.D_perp**2)) / problem.samples
    return Minimum((case.V * w[None, :]) @ case.U.T, H, value)


def prove(case: Aligned, predicted: Minimum) -> Proof:
    """Each mode's objective at its best (m, sigma), a rational function of w, at its least over all w of both signs; the sum of
    the modes and of D_perp, within 1e-11 of the value served. What is not lW w^2/2 in a mode is a sum of squares, so that |w| is at
    most the end looked at. That the minimiser has this form is the theorem's.
    """
    lW, lH, B, n = (number(float(value)) for value in units(case.problem)[:4])
    p, rest, (lW_, _, p_, *_) = B + lH, np.asarray(case.D_perp), units(case.problem)
    book = Book("the least value over aligned points, each mode at its least and D_perp shrunk, in exact numbers")
    lower = upper = (lH * B / p * number(float(np.sum(rest**2)))) / 2
    for k, (m0, sigma0) in enumerate(zip(np.asarray(case.m0), np.asarray(case.sigma0), strict=True)):
        b, e = B * number(float(m0)), B * number(float(sigma0))

        def worth(w: Expression, b: Expression = b, e: Expression = e) -> Expression:
            return (1 + b * b / B + e * e / B + lW * w**2 - ((w + b) ** 2 + e**2) / (w**2 + p)) / 2

        end = float(np.ceil(1 + np.sqrt((1 + float(m0) ** 2 * float(p_) + float(sigma0) ** 2 * float(p_)) / float(lW_))))
        book.less(worth(number(0)), lW * number(end) ** 2 / 2)
        found = least_of(book, f"mode{k}", [worth(x), worth(-x)], end)
        if isinstance(found, str):
            return unproved(f"mode {k + 1}: {found}")
        lower, upper = lower + n * found[0], upper + n * found[1]
    N = int(case.problem.samples)
    ends = [book.kept(label, end / N) for label, end in (("lower", lower), ("upper", upper))]
    for end in ends:
        book.near(end, predicted.value, 1e-11)
    return book.proof("root", lower=book.exact(ends[0]), upper=book.exact(ends[1]))


def measure(case: Aligned, key: jax.Array) -> Minimum:
    """The lowest of Newton minimisations of the joint objective from random starts around zero and around H0."""
    return lowest(case.problem, random_starts(case.problem, key, (0.1, 0.5, 1.0, 2.0, 0.1, 0.5), near=(0, 0, 0, 0, 1, 1)))


def predict_value(case: Aligned) -> Claim:
    """Aligned features of any variability have an aligned minimiser, each mode at its root of least objective, for B + lH <= 1/lW
    as well.

    The value of the aligned point; and at B + lH = 2/lW, where it is the minimum.
    """
    return Claim(predict(case).value, predict(_strong(case)).value)


def measure_value(case: Aligned, key: jax.Array) -> Refutation:
    """The objective at the lowest point found; the best aligned point, by the roots of the quintics in NumPy."""
    return Refutation(measure(case, key).value, _best_aligned_value(case), measure(_strong(case), key).value)


def _strong(case: Aligned) -> Aligned:
    """The same features at B + lH = 2/lW."""
    lW, lH, *_ = units(case.problem)
    return case._replace(problem=case.problem.replace(beta=(2 / lW - lH) / case.problem.samples))


def _best_aligned_value(case: Aligned) -> float:
    """Least objective over the real roots of each mode's quintic, and the part of D_perp."""
    lW, lH, B, n, *_ = map(float, units(case.problem))
    p, total = B + lH, 0.0
    for m0, sigma0 in zip(np.asarray(case.m0), np.asarray(case.sigma0), strict=True):
        b, e = B * m0, B * sigma0
        roots = np.roots([lW, 0, 2 * lW * p, b, b**2 + e**2 + lW * p**2 - p, -b * p])
        w = np.real(roots[np.abs(np.imag(roots)) < 1e-9])
        m, sigma = (b + w) / (p + w**2), e / (p + w**2)
        fit = (1 - w * m) ** 2 + (w * sigma) ** 2 + lW * w**2 + lH * (m**2 + sigma**2)
        total += np.min(fit + B * ((m - m0) ** 2 + (sigma - sigma0) ** 2))
    return float((n * total + B * lH / p * np.sum(np.asarray(case.D_perp) ** 2)) / (2 * case.problem.samples))


class OnAxes(NamedTuple):
    """A case with its frames turned onto the axes, which changes no value: H0 exactly, |D_perp|^2, and a low point's W and H."""

    H0: list[list[Fraction]]
    unseen: Fraction
    W: np.ndarray
    H: np.ndarray


def on_axes(case: Aligned) -> OnAxes:
    """Class k has the features m_k e_k +- sigma_k e_k, and the last one D_perp along the next axis; two samples a class."""
    K, d = case.problem.classes, case.problem.widths[0]
    beside = Fraction(float(np.linalg.norm(case.D_perp) / np.sqrt(2)))
    H0 = [[Fraction(0)] * (2 * K) for _ in range(d)]
    for k, (m, sigma) in enumerate(_exact_modes(case)):
        H0[k][2 * k : 2 * k + 2] = [m + sigma, m - sigma]
    H0[K][2 * K - 2 :] = [beside, -beside]
    return OnAxes(H0, 2 * beside**2, *_low_point(case, np.array(H0, float)))


def _low_point(case: Aligned, H0: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """W and H of the lowest of six descents in W, each with its best H: what a proof is about needs no more."""
    lW, lH, B, n, *_ = map(float, units(case.problem))
    d, K = len(H0), case.problem.classes
    Y = np.kron(np.eye(K), np.ones(int(n)))

    def features(W: np.ndarray) -> np.ndarray:
        return np.linalg.solve(W.T @ W + (B + lH) * np.eye(d), W.T @ Y + B * H0)

    def value(entries: np.ndarray) -> tuple[float, np.ndarray]:
        W = entries.reshape(K, d)
        H = features(W)
        R = W @ H - Y
        squares = np.sum(R**2) + n * lW * np.sum(W**2) + lH * np.sum(H**2) + B * np.sum((H - H0) ** 2)
        return squares / 2, (R @ H.T + n * lW * W).ravel()

    starts = np.random.default_rng(0).normal(size=(6, K * d))
    found = min((minimize(value, start, jac=True, method="BFGS") for start in starts), key=lambda run: run.fun)
    W = found.x.reshape(K, d)
    return W, features(W)


def _exact_modes(case: Aligned) -> list[tuple[Fraction, Fraction]]:
    return [(Fraction(float(m)), Fraction(float(sigma))) for m, sigma in zip(case.m0, case.sigma0, strict=True)]


def prove_value(case: Aligned, predicted: Claim | None = None) -> Proof:
    """A point is below every aligned one."""
    axes, claim = on_axes(case), {"theorem": "proximity-aligned-weak"}
    modes = [(m, sigma**2) for m, sigma in _exact_modes(case)]
    return aligned_is_beaten(*exact_units(case.problem), modes, axes.unseen, axes.W, axes.H, axes.H0, claim=claim)


def aligned(rng: np.random.Generator, lW: float, lH: float, B: float, m0, sigma0=(0.0, 0.0), unseen: float = 0.0) -> Aligned:
    """Random frames for K = 3 classes of 2 samples in 5 dimensions; sigma0 of two modes, D_perp in the third direction of Z."""
    K, n, d = 3, 2, 5
    U, V, Q = (np.linalg.qr(rng.normal(size=shape))[0] for shape in ((d, d), (K, K), (K, K)))
    Z = np.kron(Q, np.array([[1.0], [-1.0]]) / np.sqrt(2))
    D_perp = unseen * np.outer(U[:, K:] @ rng.normal(size=d - K), Z[:, 2])
    U, Z, sigma = U[:, :K], Z * np.array([1.0, 1.0, 0.0]), np.array([*sigma0, 0.0])
    m = np.asarray(m0, dtype=float)
    H0 = np.repeat(U * m @ V.T, n, axis=1) + np.sqrt(n) * U * sigma @ Z.T + D_perp
    return Aligned(proximity(lW, lH, B, H0), *(jnp.asarray(x) for x in (U, V, m, sigma, Z, D_perp)))


def cases_above() -> dict[str, Aligned]:
    """B + lH from 5 % above 1/lW to ten times it, either side of sqrt(lH lW) = 1, without variability, and lH = 0."""
    rng = np.random.default_rng(0)
    m0, noise = (1.3, 0.6, 0.2), ((0.5, 1.0), 0.5)
    return {
        "B+lH=1.05/lW": aligned(rng, 0.5, 0.2, 1.9, m0, *noise),
        "B+lH=10/lW": aligned(rng, 0.5, 0.2, 19.8, m0, *noise),
        "c=1.5": aligned(rng, 1.0, 2.25, 1.0, m0, *noise),
        "collapsed classes": aligned(rng, 0.5, 0.2, 3.0, m0),
        "a negative mode, lH=0": aligned(rng, 0.7, 0.0, 2.0, (1.3, -0.6, 0.2), *noise),
    }


def cases_collapsed() -> dict[str, Aligned]:
    """B + lH from a hundredth of 1/lW to twice it, sqrt(lH lW) either side of one, and a negative mode."""
    rng = np.random.default_rng(0)
    grid = ((0.1, 0.05, 0.05), (0.5, 0.2, 0.1), (0.5, 0.2, 1.6), (0.5, 0.2, 3.8), (1.0, 1.5, 0.1))
    return {f"lW={lW} lH={lH} B={B}": aligned(rng, lW, lH, B, (1.3, -0.6, 0.2)) for lW, lH, B in grid}


def cases_turning() -> dict[str, Aligned]:
    """Variability of a mode several times its mean, B + lH from 0.15/lW to 0.95/lW, with and without D_perp."""
    rng = np.random.default_rng(0)
    return {
        "(B+lH) lW=0.15": aligned(rng, 0.5, 0.2, 0.1, (0.1, 0.5, 0.6), (2.0, 0.0)),
        "(B+lH) lW=0.2": aligned(rng, 0.2, 0.2, 0.8, (0.3, 1.0, 0.6), (1.2, 1.0), 0.5),
        "(B+lH) lW=0.35": aligned(rng, 0.5, 0.2, 0.5, (0.5, 0.7, 1.0), (1.5, 1.0), 0.5),
        "(B+lH) lW=0.5": aligned(rng, 0.5, 0.2, 0.8, (0.3, 1.0, 0.6), (1.5, 0.0), 0.5),
        "(B+lH) lW=0.95": aligned(rng, 0.5, 0.2, 1.7, (0.1, 0.5, 0.6), (2.0, 0.0), 0.5),
    }


def draw_above(rng: np.random.Generator) -> Aligned:
    """Random ridges and modes, at least 5 % above the threshold."""
    lW = rng.uniform(0.2, 1.2)
    p, lH = rng.uniform(1.05, 6) / lW, rng.uniform(0, 1) / lW
    return aligned(rng, lW, lH, p - lH, rng.uniform(0.2, 1.5, size=3), rng.uniform(0.2, 1.5, size=2), 0.5)


def draw_collapsed(rng: np.random.Generator) -> Aligned:
    """Random ridges, proximity and means, without variability within classes."""
    lW = rng.uniform(0.1, 1.0)
    p = rng.uniform(0.05, 2) / lW
    lH = rng.uniform(0.1, 0.8) * p
    return aligned(rng, lW, lH, p - lH, rng.uniform(0.2, 1.5, size=3))


_STRONG = Assumption("B + lH > 1/lW", lambda case: strength(case.problem) > 1)
_WEAK = Assumption("B + lH <= 1/lW", lambda case: strength(case.problem) <= 1)
_COLLAPSED = Assumption("no variability within classes", lambda case: not (np.any(case.sigma0) or np.any(case.D_perp)))
_SOURCE = "derived, for the model of [tirer2023]"

THEOREMS = (
    # other: minima, refuted ones too, of a model that `ufm.predict` does not serve, from cases made mode by mode
    statements.other(
        "proximity-aligned", _SOURCE,
        predict, measure, cases_above, draw_above, (_STRONG,), evidence=agreement(1e-9), prove=prove,
        claim="From aligned features, B + lH > 1/lW, the proximity model keeps their singular vectors: each mode is the "
        "real root of a quintic.",
    ),
    # other: as above
    statements.other(
        "proximity-aligned-collapsed", _SOURCE,
        predict, measure, cases_collapsed, draw_collapsed, (_COLLAPSED,), evidence=agreement(1e-8), prove=prove,
        claim="From collapsed classes, at any beta, the minimiser keeps the singular vectors of the class means: each mode "
        "is the root of least objective.",
    ),
    statements.refutation(
        "proximity-aligned-weak", _SOURCE,
        predict_value, measure_value, cases_turning, (_WEAK,), tolerance=1e-6, where_it_holds=1e-8, prove=prove_value,
        notes="Where variability is several times the mean along a mode, a minimum with other singular vectors is lower.",
    ),
)  # fmt: skip
