"""How the proximity model answers its strength: collapsed H0 at every beta, any H0 where beta is weak or strong.

With lW = K l2_W, lH = N l2_H, B = N beta = 1/tau, c = sqrt(lH lW), s = sqrt(lH/lW), rho = (1 - c)/s, and G and A N times the
gradient and the Hessian of the reduced objective at H0 (Tirer, Huang, Niles-Weed 2023),

    H0 = sqrt(rho) R (x) 1^T, R^T R = I:   the minimiser is W = s sqrt(rho) R^T, H = H0, of value c - c^2/2, for every B > 0
    c >= 1, H0 = 0:                        zero, of value 1/2
    B -> 0, c < 1, M0 of full column rank: H -> sqrt(rho) U V^T (x) 1^T from the thin SVD M0 = U diag V^T, error O(B)   (derived)
    B -> infinity:                         H = H0 - tau G + tau^2 A G + O(tau^3)      (second order derived)
                                           NC1(H) = NC1(H0) (1 + tau r + O(tau^2)),   r the rate of log NC1 on the central path

The weak limit is the minimiser of the plain model that is nearest to H0 (orthogonal Procrustes); M0 of lower rank leaves it
open. Strong proximity is one implicit Euler step of the central path: its flow at time tau has tau^2/2 A G in place of
tau^2 A G, so that path and flow agree to first order alone.
"""

import jax
import jax.numpy as jnp
import numpy as np

from ufm.problem import Problem
from ufm.theory import statements
from ufm.theory.assumptions import proximity_features
from ufm.theory.perturbation.model import Minimum, Times, around_random, parts, proximity, random_features, units
from ufm.theory.perturbation.near_collapse import draw, perturbation
from ufm.theory.perturbation.newton import lowest, minima, random_starts, scatters, starts_at_features
from ufm.theory.perturbation.rates import predict_rates
from ufm.theory.perturbation.reduced import gradient, hessian
from ufm.theory.theorem import Assumption, Check, agreement, below


def predict_reproduced(case: Problem) -> Minimum:
    """Features that are a collapsed minimiser of the plain model are reproduced by the proximity model at every beta > 0."""
    *_, c, s = units(case)
    H0, c = proximity_features(case), jnp.minimum(c, 1)
    return Minimum(s * parts(case, H0)[0].T, H0, c - c**2 / 2)


def measure_reproduced(case: Problem, key: jax.Array) -> Minimum:
    """The lowest of Newton minimisations from random starts of sizes 0.1 to 3 around H0."""
    return lowest(case, random_starts(case, key, np.geomspace(0.1, 3, 6), near=1.0))


def predict_limit(case: Problem) -> Minimum:
    """As beta -> 0 the features go to the collapsed minimiser nearest to H0: class means sqrt(rho) times the polar factor of those
    of H0.
    """
    *_, c, s = units(case)
    U, _, Vt = jnp.linalg.svd(parts(case, proximity_features(case))[0], full_matrices=False)
    M = jnp.sqrt((1 - c) / s) * U @ Vt
    return Minimum(s * M.T, M[:, case.labels], c - c**2 / 2)


def direct_limit(case: Problem) -> Minimum:
    """Newton minimisation from H0 at B, B/2, ..., B/32, extrapolated to B = 0 by a polynomial."""
    betas = float(case.beta) * 0.5 ** np.arange(6)
    found = minima(case, starts_at_features(case, len(betas)), beta=betas)
    weights = np.array([np.prod([b / (b - a) for b in betas if b != a]) for a in betas])
    return Minimum(*(np.tensordot(weights, np.asarray(x), 1) for x in (found.W, found.H, found.value)))


def predict_strong(case: Times) -> dict[str, jax.Array]:
    """For strong proximity the minimiser is H0 - G/B + A G/B^2 + O(B^-3), G and A the gradient and Hessian of N L, and NC1 falls at
    its rate on the central path, by 1/B times it.
    """
    (problem, taus), tau = case, case.ts[:, None, None]
    H0 = proximity_features(problem)
    G = gradient(problem, H0)
    AG = (hessian(problem, H0) @ G.T.ravel()).reshape(G.T.shape).T
    M, D = parts(problem, H0)
    nc1 = jnp.mean(jnp.sum(D**2, axis=0)) / jnp.sum(jnp.var(M, axis=1))
    rate = -predict_rates(problem)["ratio"] * nc1  # log NC1 = -log(tr S_B/tr S_W)
    return {"H": H0[None] - tau * G[None] + tau**2 * AG[None], "nc1": nc1 * (1 + taus * rate)}


def direct_strong(case: Times) -> dict[str, jax.Array]:
    """Newton minimisation of the joint objective from H0, at every tau."""
    problem, taus = case
    found = minima(problem, starts_at_features(problem, len(taus)), beta=1 / (taus * problem.samples))
    within, between = scatters(problem, found.H)
    return {"H": found.H, "nc1": within / between}


def evidence_of_orders(case: Times, predicted: dict[str, jax.Array], measured: dict[str, jax.Array]) -> list[Check]:
    """The order at which either remainder vanishes, log2 of two sizes, extrapolated to tau = 0; and that NC1 falls as tau grows."""
    checks = []
    for name, order in (("H", 3), ("nc1", 2)):
        sizes = np.max(np.abs(predicted[name] - measured[name]).reshape(len(case.ts), -1), axis=1)
        before, last = np.log2(sizes[-3:-1] / sizes[-2:])
        checks.append(Check("agreement", f"order of {name}", abs(float(2 * last - before) - order), 0.05))
    nc1 = np.asarray(measured["nc1"])
    return [*checks, below("certificate", "NC1 falls with tau", np.max(nc1[:-1] / nc1[1:]) - 1)]


def reproduced_cases() -> dict[str, Problem]:
    """Weak and strong proximity on either side of c = 1, and at it."""
    rng = np.random.default_rng(0)
    grid = [(c, B) for c in (0.3, 0.9) for B in (0.05, 1.0, 20.0)] + [(1.0, 1.0), (1.5, 0.5), (1.5, 20.0)]
    return {f"c={c} B={B}": perturbation(c, 0.7, B, rng).problem for c, B in grid}


def limit_cases() -> dict[str, Problem]:
    """Means near and far from a frame, with and without variability within classes, c small and close to one."""
    rng = np.random.default_rng(0)
    grid = {"c=0.3": (0.3, 0.7, 1.0), "c=0.9": (0.9, 0.7, 1.0), "collapsed classes": (0.3, 0.7, 0.0), "s=2": (0.5, 2.0, 0.5)}
    return {label: _weak(rng, *numbers) for label, numbers in grid.items()}


def _weak(rng: np.random.Generator, c: float, s: float, noise: float) -> Problem:
    """Singular values of M0 between 0.6 and 1.6, and B a hundredth of the curvature 4 lH (1 - c)."""
    U, V = (np.linalg.qr(rng.normal(size=shape))[0] for shape in ((5, 3), (3, 3)))
    H0 = np.repeat(U * rng.uniform(0.6, 1.6, size=3) @ V.T, 2, axis=1) + random_features(rng, 0.0, noise)
    return proximity(c / s, c * s, 0.01 * 4 * c * s * (1 - c), H0)


def _steps(rng: np.random.Generator, lW: float, lH: float, means: float = 1.0, noise: float = 1.0) -> Times:
    """tau |A| from about 1/64 to 1/2048, halved from one to the next."""
    taus = 0.5 ** np.arange(6, 12) / (lH + 1 / lW)
    return Times(around_random(rng, lW, lH, means, noise), jnp.asarray(taus))


def strong_cases() -> dict[str, Times]:
    """Either side of sqrt(lH lW) = 1, no ridge on the features, small and large variability."""
    rng = np.random.default_rng(0)
    numbers: dict[str, tuple] = {"c=0.3": (0.5, 0.18), "c=1.5": (1.0, 2.25), "lH=0": (0.5, 0.0)}
    numbers |= {"little variability": (0.5, 0.18, 1.0, 0.1), "much variability": (0.5, 0.18, 0.3)}
    return {label: _steps(rng, *these) for label, these in numbers.items()}


def _is_collapsed(problem: Problem) -> bool:
    *_, c, s = map(float, units(problem))
    M, D = (np.asarray(x) for x in parts(problem, proximity_features(problem)))
    return np.allclose(D, 0, atol=1e-12) and np.allclose(M.T @ M, max(1 - c, 0) / s * np.eye(problem.classes), atol=1e-12)


def _has_nearest_frame(problem: Problem) -> bool:
    rank = np.linalg.matrix_rank(np.asarray(parts(problem, proximity_features(problem))[0]))
    return bool(units(problem).c < 1) and rank == problem.classes


THEOREMS = (
    # other: the minimum of a model that `ufm.predict` does not serve, searched for from random points
    statements.other(
        "proximity-at-collapse", "[tirer2023]",
        predict_reproduced, measure_reproduced, reproduced_cases, lambda rng: draw(rng, weak=-3, strong=3).problem,
        (Assumption("H0 the features of a minimiser of the plain model", _is_collapsed),), evidence=agreement(1e-8, scale=1.0),
    ),
    statements.identity(
        "proximity-small-beta", "derived, for the model of [tirer2023]",
        predict_limit, direct_limit, limit_cases,
        lambda rng: _weak(rng, rng.uniform(0.2, 0.85), np.exp(rng.uniform(-0.7, 0.7)), rng.uniform(0, 1)),
        (Assumption("c < 1 and class means of H0 of full column rank", _has_nearest_frame),), tolerance=1e-8,
    ),
    statements.identity(
        "proximity-large-beta", "[tirer2023] (first order); second order derived",
        predict_strong, direct_strong, strong_cases, lambda rng: _steps(rng, *np.exp(rng.uniform(-1, 0.7, size=4))),
        evidence=evidence_of_orders,
    ),
)  # fmt: skip
