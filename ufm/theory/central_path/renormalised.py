"""The continually renormalised central path: each singular value of signal to noise grows by one quartic law (Han et al. 2022).

On {Sigma_W = I, global mean 0}, with a free bias and no ridges, the projected flow X' = -P grad L(X) moves the class means alone,
and of those only the singular values omega_j. In the time of f, whose data term is a mean over the N = K n samples,

    omega' = omega / (n (K + omega^2)^2)      n (K^2 ln omega + K omega^2 + omega^4/4) = t + a
    L = 1/2 sum_j 1/(K + omega_j^2)

A zero stays zero. For t -> oo convergence is algebraic, with a_j set by the start, and NC1 = sum_j 1/omega_j^2:

    omega ~ (4 t/n)^1/4      NC1 ~ (K - 1) sqrt(n/(4 t))      omega_i/omega_j - 1 ~ (a_i - a_j)/(4 t)      NC2 ~ 1/t
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ufm.metrics import mean_gram, nc1, simplex_distance
from ufm.motion.central_path import reduced_objective, renormalised_velocity
from ufm.problem import Problem
from ufm.search.roots import increasing_root
from ufm.theory import statements
from ufm.theory.central_path.cases import FeatureStart, is_free_mse, is_renormalised, renormalised_start
from ufm.theory.kit.integrate import integrate
from ufm.theory.theorem import Assumption, agreement

_CLASSES, _PER_CLASS, _DIM = 3, 3, 4
_FIRST, _RATIO, _COUNT = 20.0, 4.0, 12  # times of the limits: 20 * 4^k, up to 8e7


class Path(NamedTuple):
    """H: (T, d, N) features. loss: (T,) of L."""

    H: jax.Array
    loss: jax.Array


class Limits(NamedTuple):
    """Exponents of t in omega (K - 1,), NC1, NC2 and the gap of two omega; prefactors of omega (K - 1,), NC1 and the gap."""

    omega_order: jax.Array
    nc1_order: jax.Array
    nc2_order: jax.Array
    gap_order: jax.Array
    omega_size: jax.Array
    nc1_size: jax.Array
    gap_size: jax.Array


def elapsed(u: jax.Array, K: int, n: int) -> jax.Array:
    """t + a at omega = e^u."""
    return n * (K**2 * u + K * jnp.exp(2 * u) + jnp.exp(4 * u) / 4)


def singular_value(omega0: jax.Array, t: jax.Array, K: int, n: int) -> jax.Array:
    """omega(t) from omega0 >= 0; omega^4 grows by at most 4 t/n."""
    u0 = jnp.log(jnp.where(omega0 > 0, omega0, 1))
    highest = jnp.log(jnp.exp(4 * u0) + 4 * t / n) / 4

    def late(u: jax.Array, u0: jax.Array, t: jax.Array) -> jax.Array:
        return elapsed(u, K, n) - elapsed(u0, K, n) - t

    return jnp.where(omega0 > 0, jnp.exp(increasing_root(late, u0, highest, u0, t)), 0)


def predict(case: FeatureStart) -> Path:
    """The projected flow on Sigma_W = I keeps singular vectors and noise, and each singular value of the class means obeys n (K^2
    ln omega + K omega^2 + omega^4/4) = t + a.

    Singular values of the class means by their quartic law; all else stays.
    """
    problem, H, ts = case
    K, n = problem.classes, problem.groups[0]
    M = problem.group_sum(H) / n
    U, omega0, Vt = jnp.linalg.svd(M, full_matrices=False)
    omega = jax.vmap(lambda t: jax.vmap(lambda w: singular_value(w, t, K, n))(omega0))(ts)
    means = jnp.einsum("dj,tj,jk->tdk", U, omega, Vt)
    loss = jnp.sum(0.5 / (K + omega[:, : K - 1] ** 2), axis=1)
    return Path(means[:, :, problem.labels] + (H - M[:, problem.labels])[None], loss)


def measure(case: FeatureStart, key: jax.Array) -> Path:
    """Integrate the projected flow of all entries of X, the gradient by automatic differentiation."""
    del key  # the start belongs to the case
    return _flow(case)


@jax.jit
def _flow(case: FeatureStart) -> Path:
    H = integrate(lambda x: renormalised_velocity(case.problem, x), case.H, case.ts)
    return Path(H, jax.vmap(lambda x: reduced_objective(case.problem, x))(H))


def predict_limits(case: FeatureStart) -> Limits:
    """On the renormalised central path signal to noise grows like (4 t/n)^(1/4), NC1 decays like t^(-1/2), the gaps of the singular
    values and NC2 like 1/t: collapse is algebraic, not exponential.

    Leading exponents and prefactors; the prefactor of the gap of the two largest is (a_1 - a_2)/4.
    """
    problem, H, _ = case
    K, n = problem.classes, problem.groups[0]
    omega0 = jnp.linalg.svd(problem.group_sum(H) / n, compute_uv=False)[: K - 1]
    a = elapsed(jnp.log(omega0), K, n)
    size = jnp.full(K - 1, (4 / n) ** 0.25)
    orders = (jnp.full(K - 1, 0.25), jnp.asarray(-0.5), jnp.asarray(-1.0), jnp.asarray(-1.0))
    return Limits(*orders, size, jnp.asarray((K - 1) * np.sqrt(n / 4)), (a[0] - a[1]) / 4)


def measure_limits(case: FeatureStart, key: jax.Array) -> Limits:
    """Slopes between late times of the flow of all entries, with corrections of order t^-1/2 extrapolated away."""
    del key  # the start belongs to the case
    return _late(case)


@jax.jit
def _late(case: FeatureStart) -> Limits:
    problem, ts = case.problem, case.ts
    H = integrate(lambda x: renormalised_velocity(problem, x), case.H, ts)[-3:]
    labels, K = problem.labels, problem.classes
    omega = jax.vmap(lambda x: jnp.linalg.svd(problem.group_sum(x) / problem.groups[0], compute_uv=False)[: K - 1])(H)
    variability = jax.vmap(lambda x: nc1(x, labels, K, samples_axis=1))(H)
    geometry = jax.vmap(lambda x: simplex_distance(mean_gram(x, labels, K, samples_axis=1)))(H)
    gap = omega[:, 0] / omega[:, 1] - 1

    def limit(x: jax.Array) -> jax.Array:
        ratio = jnp.sqrt(ts[-1] / ts[-2])
        return (ratio * x[-1] - x[-2]) / (ratio - 1)

    def order(x: jax.Array) -> jax.Array:
        return limit(jnp.diff(jnp.log(x), axis=0) / jnp.log(ts[-1] / ts[-2]))

    def size(x: jax.Array, exponent: float) -> jax.Array:
        return limit(x * (ts[-3:] ** -exponent).reshape(-1, *(1,) * (x.ndim - 1)))

    return Limits(
        order(omega), order(variability), order(geometry), order(gap), size(omega, 0.25), size(variability, -0.5), size(gap, -1.0)
    )


def start(omega: np.ndarray, ts: np.ndarray, rng: np.random.Generator) -> FeatureStart:
    """A random renormalised start of those singular values."""
    problem = Problem.balanced(_CLASSES, _PER_CLASS, _DIM, bias="free")
    return FeatureStart(problem, jnp.asarray(renormalised_start(_CLASSES, _PER_CLASS, omega, _DIM, rng)), jnp.asarray(ts))


def cases() -> dict[str, FeatureStart]:
    """Below, across and above omega^2 = K, a mode without signal, equal modes, no time at all."""
    rng, ts = np.random.default_rng(0), np.linspace(0, 240, 7)
    sizes = {"weak": [0.3, 0.1], "mixed": [2.0, 0.5], "strong": [8.0, 4.0], "one mode": [1.0, 0.0], "equal": [1.0, 1.0]}
    return {name: start(np.array(omega), ts, rng) for name, omega in sizes.items()}


def draw(rng: np.random.Generator) -> FeatureStart:
    """Random singular values and times."""
    return start(np.exp(rng.uniform(-3, 2, size=2)), np.linspace(0, rng.uniform(50, 400), 7), rng)


def _late_times() -> np.ndarray:
    return np.concatenate([[0.0], _FIRST * _RATIO ** np.arange(_COUNT)])


def cases_limits() -> dict[str, FeatureStart]:
    """Two starts below omega^2 = K, and one across it."""
    rng = np.random.default_rng(0)
    return {str(omega): start(np.array(omega), _late_times(), rng) for omega in ([2.0, 0.5], [0.3, 0.1], [1.2, 1.0])}


def draw_limits(rng: np.random.Generator) -> FeatureStart:
    """Random singular values, a tenth apart or more."""
    low = np.exp(rng.uniform(-2, 0.7))
    return start(np.array([low * rng.uniform(1.1, 3), low]), _late_times(), rng)


_ASSUMED = (
    Assumption("equal one-hot classes, one layer of squared error with a free bias, no ridges", lambda c: is_free_mse(c.problem)),
    Assumption("Sigma_W = I and global mean 0", lambda c: is_renormalised(c.problem, c.H)),
)
_SOURCE = "[han2022]; constants derived"

THEOREMS = (
    statements.other("renormalised-central-path", _SOURCE, predict, measure, cases, draw, _ASSUMED, evidence=agreement(1e-9)),
    statements.other(
        "renormalised-limits", _SOURCE,
        predict_limits, measure_limits, cases_limits, draw_limits, _ASSUMED, evidence=agreement(3e-4),
        notes="Exponents and prefactors are measured at t = 8e7, where corrections of order log(t)/t are left.",
    ),
)  # fmt: skip
