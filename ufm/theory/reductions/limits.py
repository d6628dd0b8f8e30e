"""Infinitely many samples: isotropic residuals close on width d_2 + K, and Gaussian ones tend to them like sqrt(d/N).

Where the pooled residuals satisfy R R^T = s^2 I at the start, with Q a basis of span[W_1^T, X] (R1d, derived)

    W_1 = w Q^T,    X = Q x,    R R^T = Q rho rho^T Q^T + c^2 s^2 (I - Q Q^T),    rho(0) = s I,    c = what the ridge leaves.

Gaussian residuals of N samples are in law R = sigma L, L the lower-trapezoidal factor of a Wishart matrix of N - K degrees of
freedom (Bartlett 1933; R3, derived): sampled at N = 10^12 as at N = 10, within O(sqrt(d/N)) of s = sigma sqrt(N - K).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ufm.equivalent.bartlett import draw_pooled
from ufm.equivalent.columns import pooled_problem
from ufm.equivalent.isotropic import gaussian_spread, isotropic_limit
from ufm.losses import MSE, is_loss
from ufm.problem import Problem
from ufm.problem.params import Params, objective
from ufm.theory import statements
from ufm.theory.reductions.runs import LINEAR, Run, as_it_is, decays, in_full, lifted, ridges, run_of
from ufm.theory.theorem import Assumption, Check, relative_error

_DRAWS, _STEPS = 8192, 60


class Isotropic(NamedTuple):
    """A run of one column a class, and the spread s of the residuals around them."""

    run: Run
    spread: jax.Array


def predict_limit(case: Isotropic) -> Params:
    """Pooled residuals with R R^T = s^2 I, the limit of infinitely many Gaussian samples, run at width d_2 + K however large d is;
    beside that span they shrink by their ridge alone.
    """
    run = case.run
    return lifted(isotropic_limit(run.problem, run.params, case.spread), run.rate, decays(run, LINEAR))


def pooled_run(case: Isotropic) -> Params:
    """The run of the pooled problem at width d with d residual columns s I."""
    (problem, params, rate), d = case.run, case.run.problem.widths[0]
    H = jnp.concatenate([params.H, case.spread * jnp.eye(d)], axis=1)
    return in_full(Run(pooled_problem(problem, d), params._replace(H=H), rate), LINEAR)


class GaussianStart(NamedTuple):
    """Gaussian classes, one column each, of d + K samples or more: means (d, K), sigma, W (K, d) to start from, the step of W."""

    problem: Problem
    means: jax.Array
    sigma: jax.Array
    weights: jax.Array
    rate: jax.Array


class Law(NamedTuple):
    """Moments over many pooled starts, of R R^T (d, d) and the columns X (d, K); W and H H^T / N after a run from one of them."""

    mean: jax.Array
    variance: jax.Array
    mean_columns: jax.Array
    variance_columns: jax.Array
    weights: jax.Array
    gram: jax.Array


def predict_law(case: GaussianStart) -> Law:
    """A Gaussian start of up to 10^12 samples is drawn in pooled coordinates: R R^T has the Wishart law of N - K degrees of
    freedom, and its run is within O(sqrt(d/N)) of the isotropic limit.

    Wishart: mean nu sigma^2 I, variances nu sigma^4 (1 + [i = j]); columns N(sqrt(n_k) mean_k, sigma^2); the isotropic run.
    """
    problem, means, sigma, W, rate = case
    K, d = problem.classes, problem.widths[0]
    nu, X = jnp.sum(problem.multiplicity) - K, means * jnp.sqrt(problem.multiplicity)[None, :]
    reduced = isotropic_limit(problem, Params((W,), X, None), gaussian_spread(problem, sigma))
    left = jnp.stack([1 - problem.samples * rate * problem.l2_H, 1 - rate * problem.l2_W[0]]) ** _STEPS
    end = reduced.lift(_descend(reduced.problem, reduced.params, rate), left)
    moments = (nu * sigma**2 * jnp.eye(d), nu * sigma**4 * (1 + jnp.eye(d)), X, jnp.full((d, K), sigma**2))
    return Law(*moments, end.weights[0], end.H @ end.H.T / problem.samples)


@jax.jit
def measure_law(case: GaussianStart, key: jax.Array) -> Law:
    """Moments over 8,192 draws of the pooled start, and 60 steps of descent from one of them."""
    problem, means, sigma, W, rate = case
    K, d = problem.classes, problem.widths[0]
    # programs of this generator compile in a third of the time
    key = jax.random.wrap_key_data(jnp.tile(jax.random.key_data(key), 2), impl="unsafe_rbg")
    H = jax.vmap(lambda key: draw_pooled(problem, key, means, sigma, residuals=d)[1])(jax.random.split(key, _DRAWS))
    X, gram = H[:, :, :K], jnp.einsum("bij,bkj->bik", H[:, :, K:], H[:, :, K:])
    end = _descend(pooled_problem(problem, d), Params((W,), H[0], None), rate)
    moments = (jnp.mean(gram, 0), jnp.var(gram, 0), jnp.mean(X, 0), jnp.var(X, 0))
    return Law(*moments, end.weights[0], end.H @ end.H.T / problem.samples)


def _descend(problem: Problem, params: Params, rate: jax.Array) -> Params:
    """Gradient descent with steps N times as large for the features, which otherwise move on the time scale N."""

    def step(params: Params, _: None) -> tuple:
        g = jax.grad(lambda p: objective(problem, p))(params)
        weights = tuple(W - rate * G for W, G in zip(params.weights, g.weights, strict=True))
        return Params(weights, params.H - problem.samples * rate * g.H, None), None

    return lax.scan(step, params, length=_STEPS)[0]


def law_evidence(case: GaussianStart, predicted: Law, measured: Law) -> list[Check]:
    """Deviations of moments in their standard errors, and of the run from its limit in units of sqrt(d/N)."""
    p, m = ({name: np.asarray(x) for name, x in law._asdict().items()} for law in (predicted, measured))
    nu, d = float(np.sum(case.problem.multiplicity)) - case.problem.classes, case.problem.widths[0]
    # fourth central moments of Wishart entries: 3 nu^2 + 6 nu beside the diagonal, 12 nu^2 + 48 nu on it
    fourth = float(case.sigma) ** 8 * np.where(np.eye(d) == 1, 12 * nu**2 + 48 * nu, 3 * nu**2 + 6 * nu)
    spreads = {"mean": p["variance"], "variance": fourth - p["variance"] ** 2}
    spreads |= {"mean_columns": p["variance_columns"], "variance_columns": 2 * p["variance_columns"] ** 2}
    scores = {name: np.max(np.abs(m[name] - p[name]) / np.sqrt(spread / _DRAWS)) for name, spread in spreads.items()}
    checks = [Check("agreement", f"z of {name}", float(z), 6.0) for name, z in scores.items()]
    for name in ("weights", "gram"):
        error = relative_error(p[name], m[name]) / np.sqrt(d / float(case.problem.samples))
        checks.append(Check("agreement", f"{name} beside the limit, in sqrt(d/N)", error, 30.0))
    return checks


def isotropic(spread: float, rng: np.random.Generator) -> Isotropic:
    """Three classes of (50, 30, 20) samples at widths (12, 4), of which the limit needs (7, 4), with a bias."""
    choices = ridges(rng, 2) | {"multiplicity": np.array([50.0, 30, 20]), "bias": "ridge", "l2_b": 0.01}
    return Isotropic(run_of(Problem.from_targets(np.eye(3), (12, 4), **choices), rng, 0.8), jnp.asarray(spread))


def gaussian_start(samples: float, rng: np.random.Generator) -> GaussianStart:
    """Three classes of 1/2, 1/4, 1/4 of the samples at d = 4, ridges of order one for features of order one."""
    quarter, l2_W, l2_H = np.round(0.25 * samples), rng.uniform(0.005, 0.05), rng.uniform(0.005, 0.05) / samples
    counts = np.array([samples - 2 * quarter, quarter, quarter])
    problem = Problem.from_targets(np.eye(3), 4, multiplicity=counts, l2_W=l2_W, l2_H=l2_H)
    W, means = (jnp.asarray(0.5 * rng.normal(size=s)) for s in ((3, 4), (4, 3)))
    return GaussianStart(problem, means, jnp.asarray(rng.uniform(0.5, 1.5)), W, jnp.asarray(0.1))


def limit_cases() -> dict[str, Isotropic]:
    """Small spreads and those of features of order one."""
    rng = np.random.default_rng(0)
    return {f"s={s:g}": isotropic(s, rng) for s in (0.1, 1.0, 10.0)}


def law_cases() -> dict[str, GaussianStart]:
    """As few samples as d + K, and 10^2 to 10^12."""
    rng = np.random.default_rng(1)
    return {f"N={N:g}": gaussian_start(N, rng) for N in (7.0, 100.0, 1e6, 1e12)}


_SQUARED = Assumption("squared error with free features", lambda case: is_loss(case.run.problem.loss, MSE))
_WITHOUT_H0 = Assumption("no proximity term", lambda case: case.run.problem.H0 is None)
THEOREMS = (
    statements.trajectory(
        "isotropic-limit", "derived", predict_limit, as_it_is, limit_cases, lambda rng: isotropic(rng.uniform(0.1, 10), rng),
        (_SQUARED, _WITHOUT_H0), path=pooled_run, tolerance=1e-11,
    ),
    # other: a law of random starts, held to the moments of draws
    statements.other(
        "bartlett-start", "[bartlett1933]; [srivastava2003]; pooled coordinates and the limit derived",
        predict_law, measure_law, law_cases, lambda rng: gaussian_start(float(np.round(10 ** rng.uniform(1, 12))), rng),
        (Assumption("one column a class", lambda case: len(case.problem.groups) == case.problem.columns),),
        evidence=law_evidence, notes="Moments are compared in standard errors of 8,192 draws.",
    ),
)  # fmt: skip
