"""Two factors from any balanced start: a matrix Riccati equation, solved (Fukumizu 1998; Braun et al. 2022).

Z = H, D = targets times sqrt(m), Q = [W^T, Z] with W^T W - Z Z^T = delta I, and l the common ridge, where delta l = 0.
In the metric of scale^(1/2), with n = N/scale, F = [[0, D], [D^T, 0]] and A = F/n + (delta/2n) diag(I_K, -I_C) - l I, the
Gram matrix G = scale Q^T Q obeys G' = A G + G A - G^2/n, so that with A = V diag(a) V^T

    G(t) = B B^T,   B = V E Y diag(s/sqrt(1 + s^2)),   E = diag(sqrt(2 a n/(1 - e^(-2 a t)))),
    sqrt(scale) Q(0) V diag(sqrt(expm1(2 a t)/(2 a n))) = U diag(s) Y^T

for every rank, class sizes, targets and residual columns. As t grows, scale W Z tends to the singular values
(s_i - n l)_+ of D in its own directions, the d largest of them (from generic starts).
"""

import jax
import jax.numpy as jnp
import numpy as np

from ufm.problem import Problem
from ufm.problem.params import Params
from ufm.theory import statements
from ufm.theory.dynamics.spectral import EQUAL_RIDGES, draw_sizes, one_layer_mse
from ufm.theory.statements.trajectories import Start
from ufm.theory.theorem import Assumption

_K, _DIM = 3, 3
_RESIDUALS = 2


def _sqrt_growth(a: jax.Array, t: jax.Array) -> tuple[jax.Array, jax.Array]:
    """sqrt(expm1(2 a t)/(2 a)) and sqrt(2 a/(1 - e^(-2 a t))), both t^(+-1/2) at a = 0."""
    x = 2 * a * t
    small = jnp.abs(x) < 1e-12
    safe = jnp.where(small, 1, x)
    shrink = jnp.sqrt(t * jnp.where(small, 1 - x / 2, -jnp.expm1(-safe) / safe))
    return jnp.exp(a * t) * shrink, 1 / shrink


def predict(case: Start) -> dict[str, jax.Array]:
    """From any start with W^T W - H H^T = 0 (delta I without ridge), gradient flow of two factors under squared error is a matrix
    Riccati equation with an explicit solution: any rank, targets, class sizes, residuals.

    WW: (T, K, K) of W W^T. WH: (T, K, C) of W H. HH: (T, C, C) of H^T H.
    """
    problem, ((W,), Z, _) = case.problem, case.params
    K, C, n = problem.classes, problem.columns, problem.samples / problem.scale
    D = problem.targets * jnp.sqrt(problem.multiplicity)[None, :]
    delta = problem.scale * (jnp.sum(W**2) - jnp.sum(Z**2)) / Z.shape[0]
    tilt = jnp.where(jnp.arange(K + C) < K, delta / 2, -delta / 2)
    F = jnp.block([[jnp.zeros((K, K), D.dtype), D], [D.T, jnp.zeros((C, C), D.dtype)]])
    values, vectors = jnp.linalg.eigh((F + jnp.diag(tilt)) / n)
    a, V = (values - problem.l2_H)[::-1], vectors[:, ::-1]
    Q0 = jnp.sqrt(problem.scale) * jnp.concatenate([W.T, Z], axis=1) @ V

    def at(t: jax.Array) -> jax.Array:
        grow, E = _sqrt_growth(a, jnp.where(t > 0, t, 1))
        _, s, Yt = jnp.linalg.svd(Q0 * (grow / jnp.sqrt(n))[None, :], full_matrices=False)
        B = (V * (E * jnp.sqrt(n))[None, :]) @ (Yt.T * (s / jnp.sqrt(1 + s**2))[None, :])
        return jnp.where(t > 0, B @ B.T, V @ (Q0.T @ Q0) @ V.T)

    G = jax.vmap(at)(case.ts) / problem.scale
    return {"WW": G[:, :K, :K], "WH": G[:, :K, K:], "HH": G[:, K:, K:]}


def predict_limit(case: Start) -> jax.Array:
    """From a generic balanced start the flow of two factors ends at soft thresholding: the singular values of W H are (s_i - N
    l)_+, in the singular directions of the targets.
    """
    problem = case.problem
    U, s, Vt = jnp.linalg.svd(problem.targets * jnp.sqrt(problem.multiplicity)[None, :], full_matrices=False)
    kept = jnp.where(jnp.arange(s.size) < problem.widths[0], s - problem.samples * problem.l2_H / problem.scale, 0)
    return U @ (jnp.maximum(kept, 0)[:, None] * Vt) / problem.scale


def observe(case: Start, point: Params) -> dict[str, jax.Array]:
    """The Gram matrices of the factors."""
    (W,), H, _ = point
    return {"WW": W @ W.T, "WH": W @ H, "HH": H.T @ H}


def balanced_start(problem: Problem, delta: float, size: float, rng: np.random.Generator, rank: int | None = None) -> Params:
    """Random factors with W^T W - H H^T = delta I, of singular values up to about `size`.

    delta > 0 needs d <= K, delta < 0 needs d <= C; for delta = 0 the factors have rank min(d, K) or the given one.
    """
    d, K, C = problem.widths[0], problem.classes, problem.columns
    rank = min(d, K) if rank is None else rank
    h2 = np.zeros(d)
    h2[:rank] = (size * rng.uniform(0.5, 1.5, size=rank)) ** 2
    h2 += max(-delta, 0)
    V, right, left = (np.linalg.qr(rng.normal(size=shape))[0] for shape in ((d, d), (C, min(d, C)), (K, min(d, K))))
    H = V[:, : min(d, C)] @ (np.sqrt(h2[: min(d, C)])[:, None] * right.T)
    W = (left * np.sqrt(h2 + delta)[None, : min(d, K)]) @ V[:, : min(d, K)].T
    return Params((jnp.asarray(W, problem.dtype),), jnp.asarray(H, problem.dtype), None)


def _case(
    cutoff: float, rng: np.random.Generator, delta=0.0, size=0.5, last=2.0, rank=None, counts=(9, 4, 1), scale=1.0, targets=None
) -> Start:
    """K class means of multiplicity n_k and residual columns of target zero, or any targets; l = cutoff/N."""
    N, residuals = float(sum(counts)), np.ones(_RESIDUALS)
    targets = np.concatenate([np.eye(_K), np.zeros((_K, _RESIDUALS))], axis=1) if targets is None else targets
    choices = {"l2_W": cutoff / N, "l2_H": cutoff / N, "scale": scale, "samples": N, "groups": (1,) * (_K + _RESIDUALS)}
    columns = {"multiplicity": np.r_[np.asarray(counts, float), residuals], "intercept": np.r_[np.ones(_K), 0 * residuals]}
    problem = Problem.from_targets(targets, _DIM, **choices, **columns)
    return Start(problem, balanced_start(problem, delta, size, rng, rank), jnp.linspace(0, last * N / scale, 4))


def cases() -> dict[str, Start]:
    """No ridge, alive and dead classes, a critical one, either sign of delta, low rank, any targets, late times."""
    rng = np.random.default_rng(0)
    soft = rng.normal(size=(_K, _K + _RESIDUALS))
    return {
        "no ridge": _case(0.0, rng, size=0.3),
        "two alive, one dead": _case(1.5, rng),
        "one critical": _case(2.0, rng),
        "delta = 0.7": _case(0.0, rng, delta=0.7),
        "delta = -0.7": _case(0.0, rng, delta=-0.7),
        "rank one": _case(0.5, rng, rank=1),
        "any targets, scale 2": _case(0.1, rng, last=1, scale=2.0, targets=soft),
        "late": _case(0.5, rng, last=60),
    }


def limit_cases() -> dict[str, Start]:
    """No ridge, and alive with dead classes, after long."""
    rng = np.random.default_rng(1)
    soft = rng.normal(size=(_K, _K + _RESIDUALS))
    return {
        "no ridge": _case(0.0, rng, last=40),
        "two alive, one dead": _case(1.5, rng, last=40),
        "all dead": _case(4.0, rng, last=40),
        "any targets, scale 2": _case(0.2, rng, last=60, scale=2.0, targets=soft),
    }


def draw(rng: np.random.Generator) -> Start:
    """Random targets or class sizes, ridge or delta, scale and start."""
    counts, scale = draw_sizes(rng)
    targets = rng.normal(size=(_K, _K + _RESIDUALS)) if rng.random() < 0.5 else None
    cutoff, delta = (rng.uniform(0, 3), 0.0) if rng.random() < 0.5 else (0.0, rng.normal())
    return _case(cutoff, rng, delta, np.exp(rng.uniform(-2, 0.5)), 1, None, counts, scale, targets)


def _is_balanced(case: Start) -> bool:
    W, H = np.asarray(case.params.weights[0]), np.asarray(case.params.H)
    gap, rounding = W.T @ W - H @ H.T, 1e-12 * np.sum(H**2)
    scalar = np.allclose(gap, np.trace(gap) / len(gap) * np.eye(len(gap)), atol=rounding, rtol=1e-12)
    return bool(scalar and (abs(np.trace(gap)) <= rounding or case.problem.l2_H == 0))


_SOURCE = "[fukumizu1998]; [braun2022]; [domine2025]; ridges, class sizes and residual columns derived"
_PLAIN = "squared error without bias, one layer, unit column weights"
_ASSUMES = (
    Assumption(_PLAIN, lambda c: one_layer_mse(c.problem) and c.problem.bias == "none"),
    EQUAL_RIDGES, Assumption("W^T W - H H^T = 0, or delta I without ridge", _is_balanced),
)  # fmt: skip
THEOREMS = (
    statements.trajectory("matrix-riccati", _SOURCE, predict, observe, cases, draw, _ASSUMES),
    statements.trajectory(
        "matrix-riccati-limit", _SOURCE, predict_limit, lambda case, point: point.weights[0] @ point.H, limit_cases,
        assumes=_ASSUMES, at_end=True,
    ),
)  # fmt: skip
