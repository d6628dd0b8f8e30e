"""The flow at the origin of any one-layer squared-error problem: collapse grows along the top singular pairs of the targets.

At W = 0, H = 0 and the best bias b* = (Y m)/(N (1 + l_b)), gradient flow has the eigenvalues

    -(l_W + l_H)/2 +- sqrt((l_W - l_H)^2/4 + scale^2 s_i^2/N^2)  d times each,    -l_H  d (C - K) times,    -(1 + l_b)

with s_i the K singular values of (Y - b* a^T) diag(sqrt m), C >= K. The origin is stable iff scale^2 s_1^2 <= N^2 l_W l_H; a
tiny start leaves it as exp((scale s_1/N - l) t) for equal ridges. Mixon, Parshall, Pi 2020 for equal classes, no ridge.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from ufm.equivalent.columns import split_columns
from ufm.problem import Problem
from ufm.problem.params import Params, objective
from ufm.theory import statements
from ufm.theory.dynamics.spectral import one_layer_mse
from ufm.theory.theorem import Assumption, agreement


class Origin(NamedTuple):
    """A squared-error problem; the point is W = 0, H = 0 and the best bias."""

    problem: Problem


def _best_bias(problem: Problem) -> jax.Array | None:
    if problem.bias == "none":
        return None
    return problem.targets @ problem.multiplicity / (problem.samples * (1 + problem.l2_b))


def predict_spectrum(case: Origin) -> jax.Array:
    """The flow at W = 0, H = 0 under squared error has eigenvalues -(l_W + l_H)/2 +- sqrt((l_W - l_H)^2/4 + s_i^2/N^2), s_i those
    of the centred targets: collapse grows out of it if and only if s_1^2 > N^2 l_W l_H.

    Sorted eigenvalues of the flow at the origin, with multiplicity.
    """
    problem = case.problem
    d, K, C = problem.widths[0], problem.classes, problem.columns
    b = _best_bias(problem)
    rest = problem.targets if b is None else problem.targets - b[:, None] * problem.intercept[None, :]
    s = jnp.linalg.svd(rest * jnp.sqrt(problem.multiplicity)[None, :], compute_uv=False)
    l_W, l_H = problem.l2_W[0], problem.l2_H
    split = jnp.sqrt((l_W - l_H) ** 2 / 4 + (problem.scale * s / problem.samples) ** 2)
    pairs = jnp.tile(jnp.concatenate([split, -split]) - (l_W + l_H) / 2, d)
    bias = [] if b is None else [jnp.full((K,), -(1 + problem.l2_b))]
    return jnp.sort(jnp.concatenate([pairs, jnp.full((d * (C - K),), -l_H), *bias]))


def measure_spectrum(case: Origin, key: jax.Array) -> np.ndarray:
    """Eigenvalues of minus the Hessian of the objective over all entries."""
    del key  # nothing is random: the origin is one point
    return np.linalg.eigvalsh(-np.asarray(_hessian(case.problem)))


@jax.jit
def _hessian(problem: Problem) -> jax.Array:
    d, zeros = problem.widths[0], jnp.zeros
    W, H = zeros((problem.classes, d), problem.dtype), zeros((d, problem.columns), problem.dtype)
    flat, unravel = ravel_pytree(Params((W,), H, _best_bias(problem)))
    return jax.hessian(lambda x: objective(problem, unravel(x)))(flat)


def _origin(counts: tuple, bias: str, l2_W: float, l2_H: float, l2_b=0.0, scale=1.0) -> Origin:
    choices = {"bias": bias, "l2_W": l2_W, "l2_H": l2_H, "l2_b": l2_b, "scale": scale}
    return Origin(split_columns(Problem.imbalanced(counts, 2, **choices)))


def spectrum_cases() -> dict[str, Origin]:
    """Without and with bias, balanced and not, no, equal and unequal ridges; stable, critical and unstable origins."""
    return {
        "balanced, free bias, no ridge": _origin((3, 3, 3), "free", 0.0, 0.0),
        "imbalanced, free bias, equal ridges": _origin((5, 2, 1), "free", 0.05, 0.05),
        "imbalanced, ridge bias, scale 2": _origin((5, 2, 1), "ridge", 0.05, 0.2, 0.3, 2.0),
        "imbalanced, no bias, unequal ridges": _origin((9, 4, 1), "none", 0.5, 0.01),
        "no bias, critical": _origin((9, 4, 1), "none", 3 / 14, 3 / 14),
        "no bias, stable": _origin((9, 4, 1), "none", 0.5, 0.3),
    }


def draw_origin(rng: np.random.Generator) -> Origin:
    """Random class sizes, ridges and scale."""
    counts = tuple(int(n) for n in rng.integers(1, 30, size=3))
    l2_W, l2_H = np.exp(rng.uniform(-5, 0, size=2))
    return _origin(counts, str(rng.choice(["none", "free"])), l2_W, l2_H, scale=np.exp(rng.uniform(-0.7, 0.7)))


THEOREMS = (
    statements.other(
        "mse-origin-spectrum", "[mixon2020]; any class sizes and ridges derived",
        predict_spectrum, measure_spectrum, spectrum_cases, draw_origin,
        (Assumption("one layer of squared error", lambda c: one_layer_mse(c.problem)),), evidence=agreement(1e-10),
    ),
)  # fmt: skip
