"""The flow of Mixon, Parshall, Pi 2020 under squared error with bias: all of it on an invariant set, and how it leaves the origin.

Balanced classes, equal ridges l, bias ridge l_b. On H = W^T (one column a class), 1^T W = 0, b in span(1), which gradient
flow never leaves, with G0 = W(0) W(0)^T, r = 2 (scale sqrt(n)/N - l) and phi = (e^{rt} - 1)/r,

    W(t) = [e^{rt} (I + (2 scale^2/N) phi G0)^{-1}]^{1/2} W(0),    the singular values logistic modes of `two_factor`
    b(t) = b_end + (b(0) - b_end) e^{-(1 + l_b) t},    b_end = 1/(K (1 + l_b))

    scale^2 W W^T -> (scale sqrt(n) - N l)_+ times the projector on range W(0): an ETF from rank K - 1, a saddle below it.

For any targets, class sizes and ridges the flow at W = 0, H = 0 and the best bias b* = (Y m)/(N (1 + l_b)) has the eigenvalues

    -(l_W + l_H)/2 +- sqrt((l_W - l_H)^2/4 + scale^2 s_i^2/N^2)  d times each,    -l_H  d (C - K) times,    -(1 + l_b)

with s_i the K singular values of (Y - b* a^T) diag(sqrt m), C >= K. The origin is stable iff scale^2 s_1^2 <= N^2 l_W l_H; a
tiny start leaves it as exp((scale s_1/N - l) t) for equal ridges.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from ufm.equivalent.columns import split_columns
from ufm.problem import Problem, is_balanced
from ufm.problem.params import Params, objective
from ufm.theory import statements
from ufm.theory.assumptions import bias_of
from ufm.theory.dynamics.spectral import EQUAL_RIDGES, draw_sizes, one_layer_mse
from ufm.theory.dynamics.two_factor import logistic
from ufm.theory.statements.spectra import Spectrum
from ufm.theory.statements.trajectories import Start
from ufm.theory.theorem import Assumption

_K, _DIM = 4, 3


def predict(case: Start) -> dict[str, jax.Array]:
    """On H = W^T, 1^T W = 0, b in span(1), which gradient flow of balanced squared error with bias keeps, W(t) is an explicit
    matrix root times W(0), and b(t) relaxes on its own.

    W: (T, K, d). b: (T, K). away: (T,) largest entry of H - W^T and of 1^T W.
    """
    problem, ts = case.problem, case.ts
    N, scale, l2 = problem.samples, problem.scale, problem.l2_H
    U, sigma, Vt = jnp.linalg.svd(case.params.weights[0], full_matrices=False)
    target = jnp.full_like(sigma, jnp.sqrt(problem.multiplicity[0]) - N * l2 / scale)
    values = jnp.sqrt(logistic(scale * sigma**2, target, 2 * scale / N, ts) / scale)
    W = jnp.einsum("ki,ti,id->tkd", U, values, Vt)
    end = 1 / (problem.classes * (1 + problem.l2_b))
    b = end + (bias_of(case.params) - end)[None, :] * jnp.exp(-(1 + problem.l2_b) * ts)[:, None]
    return {"W": W, "b": b, "away": jnp.zeros_like(ts)}


def observe(case: Start, point: Params) -> dict[str, jax.Array]:
    """W and b as they are, and how far H is from W^T and W from its columns' zero sum."""
    (W,), H, _ = point
    away = jnp.maximum(jnp.max(jnp.abs(H - W.T)), jnp.max(jnp.abs(jnp.sum(W, axis=0))))
    return {"W": W, "b": bias_of(point), "away": away}


def predict_end(case: Start) -> jax.Array:
    """On the invariant set the flow ends at W W^T = (sqrt(n) - N l)_+ times the projector on range W(0): a simplex ETF from rank K
    - 1, a saddle from less, zero above the threshold.
    """
    problem = case.problem
    size = problem.scale * jnp.sqrt(problem.multiplicity[0]) - problem.samples * problem.l2_H
    U, sigma, _ = jnp.linalg.svd(case.params.weights[0], full_matrices=False)
    U = jnp.where(sigma > 1e-10 * sigma[0], U, 0)
    return jnp.maximum(size, 0) * U @ U.T


def predict_origin(problem: Problem) -> Spectrum:
    """The flow at W = 0, H = 0 under squared error has eigenvalues -(l_W + l_H)/2 +- sqrt((l_W - l_H)^2/4 + s_i^2/N^2), s_i those
    of the centred targets: collapse grows out of it if and only if s_1^2 > N^2 l_W l_H.
    """
    d, K, C = problem.widths[0], problem.classes, problem.columns
    l_W, l_H, Y = problem.l2_W[0], problem.l2_H, problem.targets
    lone, count = [-l_H], [d * (C - K)]
    if problem.bias != "none":
        b = Y @ problem.multiplicity / (problem.samples * (1 + problem.l2_b))
        Y = Y - b[:, None] * problem.intercept[None, :]
        lone, count = [-l_H, -(1 + problem.l2_b)], [d * (C - K), K]
    s = jnp.linalg.svd(Y * jnp.sqrt(problem.multiplicity)[None, :], compute_uv=False)
    split = jnp.sqrt((l_W - l_H) ** 2 / 4 + (problem.scale * s / problem.samples) ** 2)
    pairs = jnp.concatenate([split, -split]) - (l_W + l_H) / 2
    return Spectrum(jnp.concatenate([pairs, jnp.stack(lone)]), jnp.asarray([d] * 2 * K + count))


@jax.jit
def velocity_gradient(problem: Problem) -> jax.Array:
    """Minus the Hessian of the objective over all entries at W = 0, H = 0 and the bias that a Newton step finds from there."""
    (d,), K, C = problem.widths, problem.classes, problem.columns
    origin = Params((jnp.zeros((K, d)),), jnp.zeros((d, C)), None if problem.bias == "none" else jnp.zeros(K))
    flat, unravel = ravel_pytree(origin)
    gradient = jax.grad(lambda x: objective(problem, unravel(x)))
    hessian = jax.jacfwd(gradient)
    # where W and H vanish so do their gradients, and the value is quadratic in the bias, which is last
    if problem.bias != "none":
        flat = flat.at[-K:].add(-jnp.linalg.solve(hessian(flat)[-K:, -K:], gradient(flat)[-K:]))
    return -hessian(flat)


def _case(cutoff, n, rng, *, size=0.3, b0=0.1, l2_b=0.0, rank=3, scale=1.0, last=2.0) -> Start:
    """l = cutoff scale/N, in units of which sqrt(n) is the threshold."""
    N = _K * n
    ridge = cutoff * scale / N
    bias = {"bias": "ridge", "l2_b": l2_b} if l2_b else {"bias": "free"}
    problem = Problem.balanced(_K, n, _DIM, l2_W=ridge, l2_H=ridge, scale=scale, **bias).collapsed()
    left, right = rng.normal(size=(_K, rank)), rng.normal(size=(rank, _DIM))
    W = jnp.asarray(size * (left - left.mean(0)) @ right / np.sqrt(rank))
    return Start(problem, Params((W,), W.T, jnp.full((_K,), float(b0))), jnp.linspace(0, last * N / scale, 5))


def cases() -> dict[str, Start]:
    """The paper's problem, ridges below, at and above the threshold, low rank, a bias away from 1/K and one with ridge."""
    rng = np.random.default_rng(0)
    return {
        "no ridge, b = 1/K": _case(0.0, 4, rng, b0=1 / _K),
        "no ridge, small, b = -1": _case(0.0, 9, rng, size=0.03, b0=-1.0),
        "alive": _case(1.0, 4, rng),
        "at the threshold": _case(2.0, 4, rng),
        "dying": _case(3.0, 4, rng, size=1.0),
        "rank one": _case(0.5, 4, rng, rank=1),
        "bias with ridge, scale 2": _case(0.5, 4, rng, l2_b=0.4, scale=2.0),
    }


def end_cases() -> dict[str, Start]:
    """The ETF without and with ridge, a saddle of rank two, and a ridge above the threshold."""
    long = partial(_case, n=4, rng=np.random.default_rng(1), size=0.8, last=15.0)
    return {
        "no ridge": long(0.0), "ridge, scale 2": long(0.5, scale=2.0),
        "rank two": long(0.2, rank=2), "above the threshold": long(4.0),
    }  # fmt: skip


def draw(rng: np.random.Generator) -> Start:
    """Random class size, ridge, bias, start and scale."""
    size, scale = np.exp(rng.uniform(-3, 1)), np.exp(rng.uniform(-0.7, 0.7))
    return _case(rng.uniform(0, 4), int(rng.integers(1, 12)), rng, size=size, b0=rng.normal(), scale=scale)


def _origin(counts: tuple, bias: str, l2_W: float, l2_H: float, l2_b=0.0, scale=1.0) -> Problem:
    return split_columns(Problem.imbalanced(counts, 2, bias=bias, l2_W=l2_W, l2_H=l2_H, l2_b=l2_b, scale=scale))


def origin_cases() -> dict[str, Problem]:
    """Without and with bias, balanced and not, no, equal and unequal ridges; stable, critical and unstable origins."""
    return {
        "balanced, free bias, no ridge": _origin((3, 3, 3), "free", 0.0, 0.0),
        "imbalanced, free bias, equal ridges": _origin((5, 2, 1), "free", 0.05, 0.05),
        "imbalanced, ridge bias, scale 2": _origin((5, 2, 1), "ridge", 0.05, 0.2, 0.3, 2.0),
        "imbalanced, no bias, unequal ridges": _origin((9, 4, 1), "none", 0.5, 0.01),
        "no bias, critical": _origin((9, 4, 1), "none", 3 / 14, 3 / 14),
        "no bias, stable": _origin((9, 4, 1), "none", 0.5, 0.3),
    }


def draw_origin(rng: np.random.Generator) -> Problem:
    """Random class sizes, ridges and scale."""
    (counts, scale), (l2_W, l2_H) = draw_sizes(rng, most=30), np.exp(rng.uniform(-5, 0, size=2))
    return _origin(counts, str(rng.choice(["none", "free"])), l2_W, l2_H, scale=scale)


def _is_on_set(case: Start) -> bool:
    W, H, b = (np.asarray(x) for x in (case.params.weights[0], case.params.H, case.params.b))
    centred = np.max(np.abs(W.sum(0))) <= 1e-12 * np.max(np.abs(W))
    return bool(np.array_equal(H, W.T) and centred and np.ptp(b) <= 1e-12 * np.max(np.abs(b)))


_SOURCE = "[mixon2020]; "
_ASSUMES = (
    Assumption("one layer of squared error with bias", lambda c: one_layer_mse(c.problem) and c.problem.bias != "none"),
    Assumption("equal classes of one column", lambda c: is_balanced(c.problem.design) and set(c.problem.groups) == {1}),
    EQUAL_RIDGES, Assumption("H = W^T, 1^T W = 0, b in span(1)", _is_on_set),
)  # fmt: skip
THEOREMS = (
    statements.trajectory(
        "mixon-invariant-set", _SOURCE + "closed form, ridges and bias derived",
        predict, observe, cases, draw, _ASSUMES, leaves={"away": 1e-10},
    ),
    statements.trajectory(
        "mixon-collapse", _SOURCE + "ridges derived", predict_end,
        lambda case, end: case.problem.scale**2 * end.weights[0] @ end.weights[0].T, end_cases, assumes=_ASSUMES, at_end=True,
    ),
    statements.spectrum(
        "mse-origin-spectrum", _SOURCE + "any class sizes and ridges derived", predict_origin, origin_cases, draw_origin,
        (Assumption("one layer of squared error", one_layer_mse),), matrix=velocity_gradient,
    ),
)  # fmt: skip
