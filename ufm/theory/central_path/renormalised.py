"""The continually renormalised central path: each singular value of signal to noise grows by one quartic law (Han et al. 2022).

On {Sigma_W = I, global mean 0}, with a free bias and no ridges, the projected flow X' = -P grad L(X) moves the class means alone,
and of those only the singular values omega_j. In the time of f, whose data term is a mean over the N = K n samples,

    omega' = omega / (n (K + omega^2)^2)      n (K^2 ln omega + K omega^2 + omega^4/4) = t + a
    L = 1/2 sum_j 1/(K + omega_j^2)

A zero stays zero. For t -> oo convergence is algebraic, with a_j set by the start, and NC1 = sum_j 1/omega_j^2:

    omega ~ (4 t/n)^1/4      NC1 ~ (K - 1) sqrt(n/(4 t))      omega_i/omega_j - 1 ~ (a_i - a_j)/(4 t)      NC2 ~ 1/t

Descent that re-whitens after each raw step, X <- Sigma_W^-1/2 (X - step grad L(X)), is another flow: the step changes Sigma_W too,
and whitening pulls the class means along. In the limit of small steps, t = steps * step,

    omega' = omega / (K n (K + omega^2))      K n (K ln omega + omega^2/2) = t + a      omega ~ sqrt(2 t/(K n))
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ufm.metrics import mean_gram, nc1, simplex_distance
from ufm.motion.central_path import reduced_objective, renormalise, renormalised_velocity
from ufm.theory import statements
from ufm.theory.central_path.cases import FREE, RENORMALISED, FeatureStart, evolved, grown, renormalised_start
from ufm.theory.kit.integrate import integrate
from ufm.theory.theorem import agreement

_LATE = np.concatenate([[0.0], 20 * 4.0 ** np.arange(12)])  # times of the limits, up to 8e7
_STEPS = 100  # re-whitened steps between two times at the coarsest of the three step sizes


class Path(NamedTuple):
    """H: (T, d, N) features. loss: (T,) of L."""

    H: jax.Array
    loss: jax.Array


def elapsed(u: jax.Array, K: int, n: int) -> jax.Array:
    """t + a at omega = e^u, along the projected flow."""
    return n * (K**2 * u + K * jnp.exp(2 * u) + jnp.exp(4 * u) / 4)


def quartic(omega0: jax.Array, t: jax.Array, K: int, n: int) -> jax.Array:
    """omega(t) of the projected flow; omega^4 grows by at most 4 t/n."""
    return grown(omega0, t, lambda u: elapsed(u, K, n), lambda u0: jnp.log(jnp.exp(4 * u0) + 4 * t / n) / 4)


def predict(case: FeatureStart) -> Path:
    """The projected flow on Sigma_W = I keeps singular vectors and noise, and each singular value of the class means obeys n (K^2
    ln omega + K omega^2 + omega^4/4) = t + a.
    """
    K, n = case.problem.classes, case.problem.groups[0]
    omega, means, D = evolved(case, lambda w, t: quartic(w, t, K, n))
    return Path(means[:, :, case.problem.labels] + D[None], jnp.sum(0.5 / (K + omega[:, : K - 1] ** 2), axis=1))


def projected(case: FeatureStart) -> jax.Array:
    """(T, d, N) along the projected flow of all entries of X, the gradient by automatic differentiation."""
    return integrate(lambda x: renormalised_velocity(case.problem, x), case.H, case.ts)


def observe(case: FeatureStart, H: jax.Array) -> Path:
    """The features as they are, and L."""
    return Path(H, reduced_objective(case.problem, H))


Limits = tuple[dict[str, jax.Array], dict[str, jax.Array]]
"""Exponents of t in omega (K - 1,), NC1, NC2 and the gap of two omega; prefactors of omega (K - 1,), NC1 and the gap."""


def predict_limits(case: FeatureStart) -> Limits:
    """On the renormalised central path signal to noise grows like (4 t/n)^(1/4), NC1 decays like t^(-1/2), the gaps of the singular
    values and NC2 like 1/t: collapse is algebraic, not exponential.
    """
    K, n = case.problem.classes, case.problem.groups[0]
    a = elapsed(jnp.log(jnp.linalg.svd(case.problem.group_sum(case.H) / n, compute_uv=False)[: K - 1]), K, n)
    orders = {"omega": jnp.full(K - 1, 0.25), "NC1": jnp.asarray(-0.5), "NC2": jnp.asarray(-1.0), "gap": jnp.asarray(-1.0)}
    sizes = {"omega": jnp.full(K - 1, (4 / n) ** 0.25), "NC1": jnp.asarray((K - 1) * np.sqrt(n / 4)), "gap": (a[0] - a[1]) / 4}
    return orders, sizes


@jax.jit
def measure_limits(case: FeatureStart, key: jax.Array) -> Limits:
    """Slopes between late times of the flow of all entries, with corrections of order t^-1/2 extrapolated away."""
    problem, ts, H = case.problem, case.ts, projected(case)[-3:]
    labels, K = problem.labels, problem.classes

    @jax.vmap
    def look(x: jax.Array) -> dict[str, jax.Array]:
        omega = jnp.linalg.svd(problem.group_sum(x) / problem.groups[0], compute_uv=False)[: K - 1]
        geometry = simplex_distance(mean_gram(x, labels, K, samples_axis=1))
        return {"omega": omega, "NC1": nc1(x, labels, K, samples_axis=1), "NC2": geometry, "gap": omega[0] / omega[1] - 1}

    def limit(x: jax.Array) -> jax.Array:
        ratio = jnp.sqrt(ts[-1] / ts[-2])
        return (ratio * x[-1] - x[-2]) / (ratio - 1)

    seen = look(H)
    orders = {name: limit(jnp.diff(jnp.log(x), axis=0) / jnp.log(ts[-1] / ts[-2])) for name, x in seen.items()}
    late = {"omega": ts[-3:, None] ** -0.25, "NC1": ts[-3:] ** 0.5, "gap": ts[-3:]}
    return orders, {name: limit(seen[name] * scale) for name, scale in late.items()}


def quadratic(omega0: jax.Array, t: jax.Array, K: int, n: int) -> jax.Array:
    """omega(t) of re-whitened descent; omega^2 grows by at most 2 t/(K n)."""
    N = K * n
    return grown(omega0, t, lambda u: N * (K * u + jnp.exp(2 * u) / 2), lambda u0: jnp.log(jnp.exp(2 * u0) + 2 * t / N) / 2)


def predict_rewhitened(case: FeatureStart) -> jax.Array:
    """Raw gradient steps with re-whitening after each follow K n (K ln omega + omega^2/2) = t + a in the limit of small steps:
    signal to noise grows like sqrt(t), not like t^(1/4).
    """
    K, n = case.problem.classes, case.problem.groups[0]
    _, means, D = evolved(case, lambda w, t: quadratic(w, t, K, n))
    return means[:, :, case.problem.labels] + D[None]


def small_steps(case: FeatureStart) -> jax.Array:
    """(T, d, N) by the steps themselves, at three step sizes, extrapolated to none."""
    problem, start, ts = case
    slope = jax.grad(lambda x: reduced_objective(problem, x))

    def run(count: jax.Array) -> jax.Array:
        def stretch(X: jax.Array, span: jax.Array) -> tuple[jax.Array, jax.Array]:
            X = jax.lax.fori_loop(0, count, lambda _, x: renormalise(problem, x - span / count * slope(x)), X)
            return X, X

        return jnp.concatenate([start[None], jax.lax.scan(stretch, start, jnp.diff(ts))[1]])

    one, two, four = jax.lax.map(run, jnp.asarray([1, 2, 4]) * _STEPS)
    # an error a step + b step^2 + O(step^3) leaves the last of these three
    return (8 * four - 6 * two + one) / 3


_SIZES = {"weak": [0.3, 0.1], "mixed": [2.0, 0.5], "strong": [8.0, 4.0], "one mode": [1.0, 0.0]}


def _starts(sizes: dict[str, list[float]], ts: np.ndarray) -> dict[str, FeatureStart]:
    rng = np.random.default_rng(0)
    return {name: renormalised_start(np.array(omega), ts, rng) for name, omega in sizes.items()}


def cases() -> dict[str, FeatureStart]:
    """Below, across and above omega^2 = K, a mode without signal, equal modes, no time at all."""
    return _starts(_SIZES | {"equal": [1.0, 1.0]}, np.linspace(0, 240, 7))


def cases_limits() -> dict[str, FeatureStart]:
    """Two starts below omega^2 = K, and one across it."""
    return _starts({str(omega): omega for omega in ([2.0, 0.5], [0.3, 0.1], [1.2, 1.0])}, _LATE)


def cases_rewhitened() -> dict[str, FeatureStart]:
    """Below, across and above omega^2 = K, and a mode without signal."""
    return _starts(_SIZES, np.linspace(0, 120, 5))


def draw(rng: np.random.Generator, shortest: float = 50, longest: float = 400, count: int = 7) -> FeatureStart:
    """Random singular values and times."""
    return renormalised_start(np.exp(rng.uniform(-3, 2, size=2)), np.linspace(0, rng.uniform(shortest, longest), count), rng)


def draw_limits(rng: np.random.Generator) -> FeatureStart:
    """Random singular values, a tenth apart or more."""
    low = np.exp(rng.uniform(-2, 0.7))
    return renormalised_start(np.array([low * rng.uniform(1.1, 3), low]), _LATE, rng)


_SOURCE = "[han2022]; constants derived"
_ASSUMES = (FREE, RENORMALISED)
THEOREMS = (
    statements.trajectory("renormalised-central-path", _SOURCE, predict, observe, cases, draw, _ASSUMES, path=projected),
    # other: exponents and prefactors are extrapolated from three points of the path
    statements.other(
        "renormalised-limits", _SOURCE,
        predict_limits, measure_limits, cases_limits, draw_limits, _ASSUMES, evidence=agreement(3e-4),
        notes="Exponents and prefactors are measured at t = 8e7, where corrections of order log(t)/t are left.",
    ),
    statements.trajectory(
        "rewhitened-central-path", "derived; another reading of the renormalisation of [han2022]",
        predict_rewhitened, lambda case, H: H, cases_rewhitened, lambda rng: draw(rng, 30, 120, 5), _ASSUMES,
        path=small_steps, tolerance=1e-6,
    ),
)  # fmt: skip
