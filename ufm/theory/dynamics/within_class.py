"""Within-class variability along the logistic modes of two factors: what collapses, how fast, and what never does.

Residuals R (features minus class means) obey R' = -(P^T P/N + l_H) R, P = scale W_M ... W_1, for every depth. While R is
small and the class means run through the balanced spectral modes u_k of `two_factor`, frame O, equal ridges l:

    O_k^T R(t) = O_k^T R(0) sqrt(u_k(t)/u_k(0)) exp(-scale s_k t/N),    s_k = sqrt(n_k)
    (I - O O^T) R(t) = (I - O O^T) R(0) exp(-l t)

so that NC1 = |R|^2/|class means|^2 falls like exp(-2 min(l, scale s_K/N) t): for d > K and no ridge it does not vanish.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ufm.equivalent.columns import split_columns
from ufm.losses import MSE, is_loss
from ufm.problem import Problem
from ufm.problem.params import Params, end_to_end
from ufm.theory import statements
from ufm.theory.dynamics.spectral import is_balanced_spectral, plain_mse, spectral_point
from ufm.theory.dynamics.two_factor import logistic
from ufm.theory.kit.integrate import downhill, gradient_flow
from ufm.theory.theorem import Assumption, agreement

_DIM = 5
_SMALL = 1e-6


class Cloud(NamedTuple):
    """A problem of two columns a class, a spectral start of the means, small residuals (d, K), and times (T,)."""

    problem: Problem
    means: Params
    residuals: jax.Array
    ts: jax.Array


class Variability(NamedTuple):
    """residuals: (T, d, K) over their size at the start. nc1: (T,) |R|^2/|means|^2, over the same size squared."""

    residuals: jax.Array
    nc1: jax.Array


def predict(case: Cloud) -> Variability:
    """Small within-class residuals beside balanced spectral modes decay as sqrt(u_k(t)/u_k(0)) exp(-sqrt(n_k) t/N) in the frame of
    the means and as exp(-l t) outside: with d > K and no ridge NC1 does not vanish.

    Residuals along the frame of the modes and across it.
    """
    problem, H, ts = case.problem, case.means.H, case.ts
    scale, N, l2 = problem.scale, problem.samples, problem.l2_H
    s = jnp.sqrt(problem.counts)
    u0 = jnp.sum(H**2, axis=0)
    frame = H / jnp.sqrt(u0)[None, :]
    u = logistic(scale * u0, s - N * l2 / scale, 2 * scale / N, ts) / scale
    along = jnp.sqrt(u / u0[None, :]) * jnp.exp(-scale / N * s[None, :] * ts[:, None])
    inside = frame.T @ case.residuals
    outside = case.residuals - frame @ inside
    R = jnp.einsum("dk,tk,kc->tdc", frame, along, inside) + jnp.exp(-l2 * ts)[:, None, None] * outside[None]
    return Variability(R, jnp.sum(R**2, axis=(1, 2)) / jnp.sum(u, axis=1))


@jax.jit
def measure(case: Cloud, key: jax.Array) -> Variability:
    """Integrate the flow of all entries from both columns of each class moved apart, and read means and differences off."""
    del key  # the start belongs to the case
    H = jnp.stack([case.means.H + _SMALL * case.residuals, case.means.H - _SMALL * case.residuals], axis=2) / jnp.sqrt(2.0)
    start = case.means._replace(H=H.reshape(H.shape[0], -1))
    path = gradient_flow(case.problem, start, case.ts).H.reshape(-1, *H.shape) / jnp.sqrt(2.0)
    R, means = (path[..., 0] - path[..., 1]) / _SMALL, path[..., 0] + path[..., 1]
    return Variability(R, jnp.sum(R**2, axis=(1, 2)) / jnp.sum(means**2, axis=(1, 2)))


class Residuals(NamedTuple):
    """A problem of two columns a class, and any point of it."""

    problem: Problem
    params: Params


def predict_velocity(case: Residuals) -> jax.Array:
    """Under squared error within-class residuals of any size obey R' = -(P^T P/N + l_H) R, P the end-to-end map, at any depth and
    with any bias: targets never move them.

    -(P^T P/N + l_H) R, (d, K), for half the difference of the two columns of each class.
    """
    P = end_to_end(case.problem, case.params.weights)
    R = _half_differences(case.params.H)
    return -(P.T @ (P @ R) / case.problem.samples + case.problem.l2_H * R)


@jax.jit
def measure_velocity(case: Residuals, key: jax.Array) -> jax.Array:
    """The same differences of the negative gradient of the objective."""
    del key  # the point belongs to the case
    return _half_differences(downhill(case.problem)(case.params).H)


def _half_differences(H: jax.Array) -> jax.Array:
    return (H[:, 0::2] - H[:, 1::2]) / 2


def _cloud(size: np.ndarray, cutoff: float, rng: np.random.Generator, counts=(25, 9, 4), scale=1.0, last=3.0) -> Cloud:
    N = sum(counts)
    ridge = cutoff * scale / N
    merged = Problem.imbalanced(counts, _DIM, l2_W=ridge, l2_H=ridge, scale=scale).collapsed()
    means = spectral_point(merged, np.tile(np.sqrt(size), (2, 1)), rng)
    ts = jnp.linspace(0, last * N / scale, 5)
    return Cloud(split_columns(merged), means, jnp.asarray(rng.normal(size=(_DIM, 3))), ts)


def cases() -> dict[str, Cloud]:
    """No ridge (NC1 stays), alive and dead classes, l below and above every s_k/N, another scale."""
    rng = np.random.default_rng(0)
    small = np.full(3, 0.1)
    return {
        "no ridge: the part outside the frame stays": _cloud(small, 0.0, rng),
        "weak ridge": _cloud(small, 0.3, rng),
        "one alive, one critical, one dead": _cloud(np.array([0.1, 1.0, 2.0]), 3.0, rng),
        "all dead": _cloud(np.array([0.1, 1.0, 2.0]), 6.0, rng, last=1.0),
        "scale 2": _cloud(small, 0.5, rng, scale=2.0),
    }


def draw(rng: np.random.Generator) -> Cloud:
    """Random class sizes, ridge, scale and start."""
    counts = tuple(int(n) for n in rng.integers(1, 40, size=3))
    return _cloud(np.exp(rng.uniform(-3, 1, size=3)), rng.uniform(0, 4), rng, counts, np.exp(rng.uniform(-0.7, 0.7)), 1.5)


def _residuals(widths: tuple, bias: str, rng: np.random.Generator, l2=0.1, counts=(5, 2, 3), scale=0.7) -> Residuals:
    ridges = {"l2_H": l2, "l2_W": l2 * np.arange(1.0, len(widths) + 1)}
    merged = Problem.imbalanced(counts, widths, bias=bias, scale=scale, **ridges).collapsed()
    problem = split_columns(merged)
    shapes = [(b, a) for a, b in zip(widths, (*widths[1:], 3), strict=True)]
    weights = tuple(jnp.asarray(rng.normal(size=shape)) for shape in shapes)
    b = None if bias == "none" else jnp.asarray(rng.normal(size=3))
    return Residuals(problem, Params(weights, jnp.asarray(rng.normal(size=(widths[0], 6))), b))


def velocity_cases() -> dict[str, Residuals]:
    """One to three layers, without and with bias and ridge."""
    rng = np.random.default_rng(1)
    return {
        "M=1": _residuals((5,), "none", rng),
        "M=2, bias": _residuals((5, 2), "free", rng),
        "M=3, no ridge": _residuals((5, 4, 3), "free", rng, l2=0.0),
    }


def velocity_draw(rng: np.random.Generator) -> Residuals:
    """A random point, class sizes, ridge and scale."""
    counts = tuple(int(n) for n in rng.integers(1, 20, size=3))
    return _residuals((5, 2), "free", rng, rng.uniform(0, 1), counts, np.exp(rng.uniform(-0.7, 0.7)))


def _is_split(case: Cloud | Residuals) -> bool:
    m = np.asarray(case.problem.multiplicity)
    return is_loss(case.problem.loss, MSE) and set(case.problem.groups) == {2} and np.array_equal(m[0::2], m[1::2])


THEOREMS = (
    statements.other(
        "within-class-decay", "derived; [saxe2014] for the modes",
        predict, measure, cases, draw,
        (
            Assumption("one-hot MSE without bias, one layer", lambda c: plain_mse(c.problem) and len(c.problem.widths) == 1),
            Assumption("two equal columns a class", _is_split),
            Assumption("equal ridges on W and H", lambda c: bool(c.problem.l2_W[0] == c.problem.l2_H)),
            Assumption("means of a balanced spectral start", lambda c: is_balanced_spectral(c.means)),
        ),
        evidence=agreement(1e-8), notes="First order in the residuals; residuals of any size are in matrix-riccati.",
    ),
    statements.other(
        "within-class-velocity", "derived",
        predict_velocity, measure_velocity, velocity_cases, velocity_draw,
        (Assumption("squared error, two equal columns a class", _is_split),), evidence=agreement(1e-12),
    ),
)  # fmt: skip
