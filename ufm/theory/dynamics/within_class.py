"""Within-class variability along the logistic modes of two factors: what collapses, how fast, and what never does.

Point R (features minus class means) obey R' = -(P^T P/N + l_H) R, P = scale W_M ... W_1, for every depth. While R is
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
from ufm.motion.central_path import within_part
from ufm.problem import Problem
from ufm.problem.params import Params, end_to_end
from ufm.proofs import Book, Proof, given_params, slopes
from ufm.theory import statements
from ufm.theory.dynamics.spectral import EQUAL_RIDGES, any_point, draw_sizes, is_tied_spectral, plain_mse, ridged, spectral_point
from ufm.theory.dynamics.two_factor import logistic
from ufm.theory.kit.integrate import downhill, gradient_flow
from ufm.theory.statements.identities import Point
from ufm.theory.theorem import Assumption

_DIM = 5
_SMALL = 1e-6


class Cloud(NamedTuple):
    """A problem of two columns a class, a spectral start of the means, small residuals (d, K), and times (T,)."""

    problem: Problem
    means: Params
    residuals: jax.Array
    ts: jax.Array


def predict(case: Cloud) -> dict[str, jax.Array]:
    """Small within-class residuals beside balanced spectral modes decay as sqrt(u_k(t)/u_k(0)) exp(-sqrt(n_k) t/N) in the frame of
    the means and as exp(-l t) outside: with d > K and no ridge NC1 does not vanish.

    R, (T, d, K), is over its size at the start, and NC1 over the same size squared.
    """
    problem, H, ts = case.problem, case.means.H, case.ts
    scale, N, l2 = problem.scale, problem.samples, problem.l2_H
    s, u0 = jnp.sqrt(problem.counts), jnp.sum(H**2, axis=0)
    frame = H / jnp.sqrt(u0)[None, :]
    u = logistic(scale * u0, s - N * l2 / scale, 2 * scale / N, ts) / scale
    along = jnp.sqrt(u / u0[None, :]) * jnp.exp(-scale / N * s[None, :] * ts[:, None])
    inside = frame.T @ case.residuals
    outside = case.residuals - frame @ inside
    R = jnp.einsum("dk,tk,kc->tdc", frame, along, inside) + jnp.exp(-l2 * ts)[:, None, None] * outside[None]
    return {"R": R, "NC1": jnp.sum(R**2, axis=(1, 2)) / jnp.sum(u, axis=1)}


def flow(case: Cloud) -> Params:
    """The flow of all entries from both columns of each class moved apart."""
    apart = _SMALL * case.residuals
    H = jnp.stack([case.means.H + apart, case.means.H - apart], axis=2) / jnp.sqrt(2.0)
    return gradient_flow(case.problem, case.means._replace(H=H.reshape(len(H), -1)), case.ts)


def observe(case: Cloud, point: Params) -> dict[str, jax.Array]:
    """Differences and means of the columns of a class."""
    first, second = jnp.moveaxis(point.H.reshape(*case.means.H.shape, 2), 2, 0) / jnp.sqrt(2.0)
    R = (first - second) / _SMALL
    return {"R": R, "NC1": jnp.sum(R**2) / jnp.sum((first + second) ** 2)}


def predict_velocity(case: Point) -> jax.Array:
    """Under squared error within-class residuals of any size obey R' = -(P^T P/N + l_H) R, P the end-to-end map, at any depth and
    with any bias: targets never move them.

    (d, K): R is half the difference of the two columns of each class.
    """
    P = end_to_end(case.problem, case.params.weights)
    R = (case.params.H[:, 0::2] - case.params.H[:, 1::2]) / 2
    return -(P.T @ (P @ R) / case.problem.samples + case.problem.l2_H * R)


@jax.jit
def direct_velocity(case: Point) -> jax.Array:
    """What is not the mean of a class in the first columns of the negative gradient of the objective."""
    return within_part(case.problem, downhill(case.problem)(case.params).H)[:, 0::2]


def prove_velocity(case: Point, predicted: jax.Array) -> Proof:
    """Half the difference of minus the gradients of the two columns of each class, by the chain rule, within 1e-10."""
    book = Book("what is not the mean of a class in minus the gradient of the objective is what is served")
    gradient = slopes(book, case.problem, given_params(book, case.params)).H
    book.near((gradient[:, 1::2] - gradient[:, 0::2]) / 2, predicted)
    return book.proof()


def _cloud(size: np.ndarray, cutoff: float, rng: np.random.Generator, counts=(25, 9, 4), scale=1.0, last=3.0) -> Cloud:
    merged, ts = ridged(counts, _DIM, cutoff, scale), jnp.linspace(0, last * sum(counts) / scale, 5)
    means = spectral_point(merged, np.tile(np.sqrt(size), (2, 1)), rng)
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


def _residuals(widths: tuple, bias: str, rng: np.random.Generator, l2=0.1, counts=(5, 2, 3), scale=0.7) -> Point:
    ridges = {"l2_H": l2, "l2_W": l2 * np.arange(1.0, len(widths) + 1)}
    problem = split_columns(Problem.imbalanced(counts, widths, bias=bias, scale=scale, **ridges).collapsed())
    return Point(problem, any_point(problem, rng))


def velocity_cases() -> dict[str, Point]:
    """One to three layers, without and with bias and ridge."""
    rng = np.random.default_rng(1)
    kinds = {"M=1": ((5,), "none", 0.1), "M=2, bias": ((5, 2), "free", 0.1), "M=3, no ridge": ((5, 4, 3), "free", 0.0)}
    return {label: _residuals(widths, bias, rng, l2) for label, (widths, bias, l2) in kinds.items()}


def _is_split(case: Cloud | Point) -> bool:
    m = np.asarray(case.problem.multiplicity)
    return is_loss(case.problem.loss, MSE) and set(case.problem.groups) == {2} and np.array_equal(m[0::2], m[1::2])


_ASSUMES = (
    Assumption("one-hot MSE without bias, one layer", lambda c: plain_mse(c.problem) and len(c.problem.widths) == 1),
    Assumption("two equal columns a class", _is_split), EQUAL_RIDGES,
    Assumption("means of a balanced spectral start", lambda c: is_tied_spectral(c.means)),
)  # fmt: skip
THEOREMS = (
    statements.trajectory(
        "within-class-decay", "derived; [saxe2014] for the modes", predict, observe, cases,
        lambda rng: _cloud(np.exp(rng.uniform(-3, 1, size=3)), rng.uniform(0, 4), rng, *draw_sizes(rng), last=1.5), _ASSUMES,
        path=flow, tolerance=1e-8, notes="First order in the residuals; residuals of any size are in matrix-riccati.",
    ),
    statements.identity(
        "within-class-velocity", "derived", predict_velocity, direct_velocity, velocity_cases,
        lambda rng: _residuals((5, 2), "free", rng, rng.uniform(0, 1), *draw_sizes(rng, most=20)),
        (Assumption("squared error, two equal columns a class", _is_split),), tolerance=1e-12, prove=prove_velocity,
    ),
)  # fmt: skip
