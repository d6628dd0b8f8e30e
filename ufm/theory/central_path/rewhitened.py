"""Descent that re-whitens after each raw step is another flow than the projected one: a square root, not a fourth root.

X <- Sigma_W^-1/2 (X - step grad L(X)), with a free bias and no ridges, from Sigma_W = I and global mean 0. The step changes Sigma_W
too, and whitening pulls the class means along: in the limit of small steps, t = steps * step, singular vectors and noise stay, and

    omega' = omega / (K n (K + omega^2))      K n (K ln omega + omega^2/2) = t + a      omega ~ sqrt(2 t/(K n))

The law t^(1/4) of Han, Papyan, Donoho (2022) is that of the projected flow.
"""

import jax
import jax.numpy as jnp
import numpy as np

from ufm.motion.central_path import reduced_objective
from ufm.problem import Problem
from ufm.search.roots import increasing_root
from ufm.theory import statements
from ufm.theory.central_path.cases import FeatureStart, is_free_mse, is_renormalised, renormalised_start
from ufm.theory.theorem import Assumption, agreement

_CLASSES, _PER_CLASS, _DIM = 3, 3, 4
_STEPS = 100  # steps between two times at the coarsest of the three step sizes


def singular_value(omega0: jax.Array, t: jax.Array, K: int, n: int) -> jax.Array:
    """omega(t) from omega0 >= 0; omega^2 grows by at most 2 t/(K n)."""
    u0 = jnp.log(jnp.where(omega0 > 0, omega0, 1))
    highest = jnp.log(jnp.exp(2 * u0) + 2 * t / (K * n)) / 2

    def late(u: jax.Array, u0: jax.Array, t: jax.Array) -> jax.Array:
        return K * n * (K * (u - u0) + (jnp.exp(2 * u) - jnp.exp(2 * u0)) / 2) - t

    return jnp.where(omega0 > 0, jnp.exp(increasing_root(late, u0, highest, u0, t)), 0)


def predict(case: FeatureStart) -> jax.Array:
    """Raw gradient steps with re-whitening after each follow K n (K ln omega + omega^2/2) = t + a in the limit of small steps:
    signal to noise grows like sqrt(t), not like t^(1/4).

    Features (T, d, N): singular values of the class means by their law, all else as at the start.
    """
    problem, H, ts = case
    K, n = problem.classes, problem.groups[0]
    M = problem.group_sum(H) / n
    U, omega0, Vt = jnp.linalg.svd(M, full_matrices=False)
    omega = jax.vmap(lambda t: jax.vmap(lambda w: singular_value(w, t, K, n))(omega0))(ts)
    means = jnp.einsum("dj,tj,jk->tdk", U, omega, Vt)
    return means[:, :, problem.labels] + (H - M[:, problem.labels])[None]


def measure(case: FeatureStart, key: jax.Array) -> jax.Array:
    """Take the steps themselves, at three step sizes, and extrapolate to none."""
    del key  # the start belongs to the case
    return _small_steps(case)


@jax.jit
def _small_steps(case: FeatureStart) -> jax.Array:
    problem, start, ts = case

    def whitened(X: jax.Array) -> jax.Array:
        M = problem.group_sum(X) / problem.groups[0]
        D = X - M[:, problem.labels]
        sizes, Q = jnp.linalg.eigh(D @ D.T / problem.samples)
        return (Q / jnp.sqrt(sizes)[None, :]) @ Q.T @ (X - jnp.mean(X, axis=1, keepdims=True))

    def run(count: jax.Array) -> jax.Array:
        def stretch(X: jax.Array, span: jax.Array) -> tuple[jax.Array, jax.Array]:
            def step(_: int, X: jax.Array) -> jax.Array:
                return whitened(X - span / count * jax.grad(lambda x: reduced_objective(problem, x))(X))

            X = jax.lax.fori_loop(0, count, step, X)
            return X, X

        return jnp.concatenate([start[None], jax.lax.scan(stretch, start, jnp.diff(ts))[1]])

    one, two, four = jax.lax.map(run, jnp.asarray([1, 2, 4]) * _STEPS)
    # an error a step + b step^2 + O(step^3) leaves the last of these three
    return (8 * four - 6 * two + one) / 3


def start(omega: np.ndarray, last: float, rng: np.random.Generator) -> FeatureStart:
    """A random renormalised start of those singular values, and times up to `last`."""
    problem = Problem.balanced(_CLASSES, _PER_CLASS, _DIM, bias="free")
    H = renormalised_start(_CLASSES, _PER_CLASS, omega, _DIM, rng)
    return FeatureStart(problem, jnp.asarray(H), jnp.linspace(0, last, 5))


def cases() -> dict[str, FeatureStart]:
    """Below, across and above omega^2 = K, and a mode without signal."""
    rng = np.random.default_rng(0)
    sizes = {"weak": [0.3, 0.1], "mixed": [2.0, 0.5], "strong": [8.0, 4.0], "one mode": [1.0, 0.0]}
    return {name: start(np.array(omega), 120.0, rng) for name, omega in sizes.items()}


def draw(rng: np.random.Generator) -> FeatureStart:
    """Random singular values and times."""
    return start(np.exp(rng.uniform(-3, 2, size=2)), rng.uniform(30, 120), rng)


THEOREMS = (
    statements.other(
        "rewhitened-central-path", "derived; another reading of the renormalisation of [han2022]",
        predict, measure, cases, draw,
        (
            Assumption("equal one-hot classes, one layer of squared error, free bias, no ridges", lambda c: is_free_mse(c.problem)),
            Assumption("Sigma_W = I and global mean 0", lambda c: is_renormalised(c.problem, c.H)),
        ),
        evidence=agreement(1e-6),
    ),
)  # fmt: skip
