"""Without ridges the central path sees one matrix: the signal to noise of the class means (after Han et al. 2022).

SNR = Sigma_W^-1/2 M (I - 11^T/K) = U diag(omega) V^T with K - 1 singular values omega_j (zeros where d < K - 1). With a free bias

    min over (W, b) of f = 1/2 sum_j 1/(K + omega_j^2)          Tr(Sigma_W Sigma_B^+)/K = sum_{omega_j > 0} 1/omega_j^2

the second where Sigma_B is invertible, or Sigma_W = I. Where Sigma_W = I and the global mean is zero, h = omega/(K + omega^2):

    W_LS = V diag(h) U^T, b = 1/K
    NC2 = | M^T M/|M^T M| - (I - 11^T/K)/sqrt(K - 1) | = | omega^2/|omega^2| - 1/sqrt(K - 1) |
    NC3 = | W/|W| - M^T/|M| | = | h/|h| - omega/|omega| |

NC2 vanishes where all omega_j are equal and only there, NC3 where those that are not zero are equal; where all are, every
input has the nearest class mean that W predicts.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ufm.metrics import mean_gram, nc1, nc3_alignment, simplex_distance
from ufm.motion.central_path import least_squares_point, reduced_objective
from ufm.problem import Problem
from ufm.proofs import Book, Proof, Slopes, least_squares, number, objective_of, sqrt
from ufm.theory import statements
from ufm.theory.assumptions import bias_of
from ufm.theory.central_path.cases import FREE, RENORMALISED, renormalised_features
from ufm.theory.theorem import Assumption, Check, agreement

_CLASSES, _PER_CLASS, _INPUTS = 4, 3, 200


class Features(NamedTuple):
    """A problem of free bias without ridges, and features H of shape (d, N)."""

    problem: Problem
    H: jax.Array


Collapse = tuple[dict[str, jax.Array], dict[str, jax.Array]]
"""W (K, d) and b (K,) of least squares; NC2 and NC3, in units of 1."""


def _scatter(case: Features) -> tuple[jax.Array, jax.Array]:
    """Centred class means and Sigma_W."""
    problem, H = case
    M = problem.group_sum(H) / problem.groups[0]
    D = H - M[:, problem.labels]
    return M - jnp.mean(M, axis=1, keepdims=True), D @ D.T / problem.samples


def predict_seen(case: Features) -> dict[str, jax.Array]:
    """On the central path without ridges the loss is sum 1/(K + omega^2)/2 over the singular values of the signal-to-noise matrix,
    and NC1 is sum 1/omega^2.
    """
    K, (M, noise) = case.problem.classes, _scatter(case)
    sizes, Q = jnp.linalg.eigh(noise)
    omega = jnp.linalg.svd((Q / jnp.sqrt(sizes)[None, :]).T @ M, compute_uv=False)[: K - 1]
    padded = jnp.zeros(K - 1, omega.dtype).at[: omega.size].set(omega)
    return {"loss": jnp.sum(1 / (K + padded**2)) / 2, "nc1": jnp.sum(1 / omega**2)}


@jax.jit
def direct_seen(case: Features) -> dict[str, jax.Array]:
    """Least squares of the samples, and Tr(Sigma_W Sigma_B^+)/K of the samples."""
    problem, H = case
    return {"loss": reduced_objective(problem, H), "nc1": nc1(H, problem.labels, problem.classes, samples_axis=1)}


def _parts_of(book: Book, case: Features) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, centred class means and deviations within classes, in names."""
    H, labels, K = book.given("H", case.H), np.asarray(case.problem.labels), case.problem.classes
    means = book.kept("M", H @ np.eye(K, dtype=int)[labels] * (number(1) / case.problem.groups[0]))
    return H, book.kept("C", means - means.sum(axis=1)[:, None] * (number(1) / K)), book.kept("D", H - means[:, labels])


def prove_seen(case: Features, predicted: dict[str, jax.Array]) -> Proof:
    """Least squares of the samples by the normal equations, and NC1 by a pseudo-inverse, in exact numbers, within 1e-9."""
    book, K = Book("the least squares of the samples and Tr(Sigma_W Sigma_B^+)/K are what is served"), case.problem.classes
    H, C, D = _parts_of(book, case)
    W, b = least_squares(book, case.problem, H)
    book.near(objective_of(book, case.problem, Slopes((W,), H, b)), predicted["loss"], 1e-9)
    noise = book.kept("noise", D @ D.T * (number(1) / int(case.problem.samples)))
    if len(H) < K - 1:
        ratio = np.trace(book.solve("ratio", book.kept("between", C @ C.T), noise))
    else:  # (C^T C)^+ = (C^T C + J/K)^-1 - J/K, on C^T 1 = 0
        share = np.full((K, K), number(1) / K, object)
        shifted, one = book.kept("shifted", C.T @ C + share), np.eye(K, dtype=int).astype(object)
        inverse = book.kept("inverse", book.solve("gram", shifted, one) - share)
        ratio = np.trace(inverse @ inverse @ book.kept("seen", C.T @ noise @ C))
    book.near(ratio, predicted["nc1"], 1e-9)
    return book.proof()


def prove_collapse(case: Features, predicted: Collapse) -> Proof:
    """Least squares of the samples and both metrics by their definitions, in exact numbers, within 1e-9 of what is served."""
    book, K = Book("the least squares of the samples, NC2 and NC3 by their definitions are what is served"), case.problem.classes
    H, C, _ = _parts_of(book, case)
    (point, sizes), (W, b) = predicted, least_squares(book, case.problem, H)
    book.near(W, point["W"], 1e-9)
    book.near(b, point["b"], 1e-9)

    def unit(label: str, A: np.ndarray) -> np.ndarray:
        return book.kept(f"{label}_unit", A * (1 / book.kept(f"{label}_size", sqrt((A * A).sum()))))

    simplex = (np.eye(K, dtype=int) - np.full((K, K), number(1) / K, object)) * (1 / sqrt(number(K - 1)))
    for name, off in (("nc2", unit("gram", book.kept("gram", C.T @ C)) - simplex), ("nc3", unit("W", W) - unit("C", C.T))):
        book.near(sqrt((off * off).sum()), sizes[name], 1e-9, unit=1.0)
    return book.proof()


def predict_collapse(case: Features) -> Collapse:
    """On Sigma_W = I least squares shares the singular vectors of the class means, NC2 and NC3 are functions of omega that vanish
    at equal omega, and nearest class mean and argmax then agree everywhere.
    """
    K = case.problem.classes
    U, omega, Vt = jnp.linalg.svd(_scatter(case)[0], full_matrices=False)
    U, omega, Vt = U[:, : K - 1], omega[: K - 1], Vt[: K - 1]
    h = omega / (K + omega**2)
    nc2 = jnp.linalg.norm(omega**2 / jnp.linalg.norm(omega**2) - 1 / jnp.sqrt(K - 1.0))
    nc3 = jnp.linalg.norm(h / jnp.linalg.norm(h) - omega / jnp.linalg.norm(omega))
    return {"W": Vt.T * h[None, :] @ U.T, "b": jnp.full(K, 1 / K)}, {"nc2": nc2, "nc3": nc3}


@jax.jit
def measure_collapse(case: Features, key: jax.Array) -> tuple[Collapse, jax.Array]:
    """Least squares of the samples, the metrics, and the share of random inputs where argmax and nearest mean differ."""
    (problem, H), labels, K = case, case.problem.labels, case.problem.classes
    point = least_squares_point(problem, H)
    W, b = point.weights[0], bias_of(point)
    nc2, nc3 = simplex_distance(mean_gram(H, labels, K, samples_axis=1)), nc3_alignment(W, H, labels, K, samples_axis=1)
    M = problem.group_sum(H) / problem.groups[0]
    inputs = 3 * jax.random.normal(key, (H.shape[0], _INPUTS))
    nearest = jnp.argmin(jnp.sum((inputs[:, None] - M[:, :, None]) ** 2, axis=0), axis=0)
    differ = jnp.mean(jnp.argmax(W @ inputs + b[:, None], axis=0) != nearest)
    return ({"W": W, "b": b}, {"nc2": nc2, "nc3": nc3}), differ


def evidence_collapse(case: Features, predicted: Collapse, measured: tuple[Collapse, jax.Array]) -> list[Check]:
    """Agreement; where NC2 vanishes, no input may tell the two rules apart."""
    (point, sizes), ((seen_point, seen_sizes), differ) = predicted, measured
    checks = agreement(1e-9)(case, point, seen_point) + agreement(1e-9, scale=1.0)(case, sizes, seen_sizes)
    if float(sizes["nc2"]) < 1e-12:
        checks.append(Check("agreement", "NC4", float(differ), 0.5 / _INPUTS))
    return checks


def random_features(omega: np.ndarray, dim: int, rng: np.random.Generator, whitened: bool) -> Features:
    """Features of signal to noise omega, on Sigma_W = I or in general coordinates with a random global mean."""
    problem, X = renormalised_features(_CLASSES, _PER_CLASS, omega, dim, rng)
    if not whitened:
        X = rng.normal(size=(dim, dim)) @ X + rng.normal(size=(dim, 1))
    return Features(problem, jnp.asarray(X))


def cases_seen() -> dict[str, Features]:
    """d < K - 1 in general coordinates, d > K on Sigma_W = I, weak and strong signals."""
    rng = np.random.default_rng(0)
    sizes = {"weak": np.array([0.3, 0.1, 0.05]), "mixed": np.array([5.0, 1.0, 0.2]), "strong": np.array([90.0, 60.0, 30.0])}
    narrow = {f"d=2 {name}": random_features(omega[:2], 2, rng, False) for name, omega in sizes.items()}
    return narrow | {f"d=5 {name}": random_features(omega, 5, rng, True) for name, omega in sizes.items()}


def draw_seen(rng: np.random.Generator) -> Features:
    """A random signal, narrow in general coordinates or wide on Sigma_W = I."""
    omega = np.exp(rng.uniform(-2, 3, size=_CLASSES - 1))
    narrow = bool(rng.integers(2))
    return random_features(omega[:2] if narrow else omega, 2 if narrow else 5, rng, not narrow)


def cases_collapse() -> dict[str, Features]:
    """Equal and unequal singular values at both ends of the scale."""
    rng = np.random.default_rng(0)
    sizes = {"equal 0.5": [0.5] * 3, "equal 20": [20.0] * 3, "nearly equal": [3.003, 3.0, 2.997], "mixed": [5.0, 1.0, 0.2]}
    return {name: random_features(np.array(omega), 5, rng, True) for name, omega in sizes.items()}


THEOREMS = (
    statements.identity(
        "loss-sees-signal-to-noise", "derived; signal-to-noise matrix of [han2022]",
        predict_seen, direct_seen, cases_seen, draw_seen, prove=prove_seen,
        assumes=(
            FREE,
            Assumption("d <= K - 1, or " + RENORMALISED.text, lambda c: len(c.H) < c.problem.classes or RENORMALISED.test(c)),
        ),
        notes="For d >= K in general coordinates the loss still obeys its formula; NC1 with a pseudo-inverse does not.",
    ),
    # other: nearest means and the classifier are compared at random inputs
    statements.other(
        "renormalised-neural-collapse", "derived; [han2022]",
        predict_collapse, measure_collapse, cases_collapse,
        lambda rng: random_features(np.exp(rng.uniform(-2, 3, size=_CLASSES - 1)), 5, rng, True),
        (FREE, RENORMALISED), evidence=evidence_collapse, prove=prove_collapse,
    ),
)  # fmt: skip
