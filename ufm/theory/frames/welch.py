"""Welch's bound on the coherence of K lines in d dimensions (Welch 1974), and the frames that meet it.

max |<u_j, u_k>| >= sqrt((K - d)/(d (K - 1))) for K > d unit vectors, with equality exactly at equiangular tight frames.
"""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from ufm.frames import welch_bound
from ufm.theory.theorem import Check, Theorem, lower_bound, relative_error

_EQUIANGULAR = ((3, 2), (4, 3), (5, 4), (6, 3), (6, 5))  # (K, d) of real equiangular tight frames, K <= 6
_OTHERS = ((3, 4), (4, 2), (5, 2), (5, 3), (6, 4))
_ROOM = (6, 6)  # all searches run in one program: K <= 6 columns, d <= 6 rows
_STARTS = 6
_POWERS = (4.0, 16.0, 64.0, 256.0, 1024.0)
_STEPS = 60


@jax.tree_util.register_static
@dataclass(frozen=True)
class Lines:
    """K = vectors lines in d = dim dimensions; both are shapes, so that a case has no numbers to trace."""

    vectors: int
    dim: int


def predict(case: Lines) -> jax.Array:
    """The bound sqrt((K - d)/(d (K - 1))), zero for K <= d."""
    return jnp.asarray(welch_bound(case.vectors, case.dim))


def measure(case: Lines, key: jax.Array) -> np.ndarray:
    """Coherences of frames that minimise it from random starts, and of the random starts themselves."""
    starts = jax.random.normal(key, (_STARTS, *_ROOM))
    rows = jnp.arange(_ROOM[0]) < case.dim
    columns = jnp.arange(_ROOM[1]) < case.vectors
    found = _spread(jnp.where(rows[None, :, None], starts, 0), columns)
    frames = [*np.asarray(starts), *np.asarray(found)]
    return np.array([_coherence(frame[: case.dim, : case.vectors]) for frame in frames])


def _coherence(frame: np.ndarray) -> float:
    unit = frame / np.linalg.norm(frame, axis=0)
    return float(np.max(np.abs(np.triu(unit.T @ unit, 1))))


@jax.jit
def _spread(starts: jax.Array, columns: jax.Array) -> jax.Array:
    """L-BFGS on smooth maxima log(sum_{j<k} cos_jk^(2p)) / 2p of growing p over the columns present; zero rows stay."""
    pairs = jnp.triu(columns[:, None] & columns[None, :], 1)

    def smooth_maximum(frame, p):
        unit = frame / jnp.linalg.norm(frame, axis=0, keepdims=True)
        squares = (unit.T @ unit) ** 2
        logs = jnp.log(jnp.where(pairs, squares + 1e-30, 1))
        return jax.nn.logsumexp(p * logs, where=pairs) / (2 * p)

    solver = optax.lbfgs(linesearch=optax.scale_by_zoom_linesearch(max_linesearch_steps=15))

    def descend(frame, p):
        value = partial(smooth_maximum, p=p)
        value_and_gradient = optax.value_and_grad_from_state(value)

        def step(carry, _):
            frame, state, best, lowest = carry
            f, g = value_and_gradient(frame, state=state)
            updates, state = solver.update(g, state, frame, value=f, grad=g, value_fn=value)
            moved = optax.apply_updates(frame, updates)
            f = value(moved)
            lower = f < lowest  # beyond convergence rounding drives the steps, and may drive them anywhere
            return (moved, state, jnp.where(lower, moved, best), jnp.where(lower, f, lowest)), None

        start = (frame, solver.init(frame), frame, value(frame))
        return lax.scan(step, start, length=_STEPS)[0][2], None

    return lax.map(lambda start: lax.scan(descend, start, jnp.asarray(_POWERS, starts.dtype))[0], starts)


def evidence(case: Lines, predicted: jax.Array, measured: np.ndarray) -> list[Check]:
    """No frame is below the bound; the best one meets it where an equiangular tight frame exists."""
    checks = lower_bound(1e-12)(case, predicted, measured)
    if (case.vectors, case.dim) in _EQUIANGULAR:
        checks.append(Check("agreement", "met by the best frame", relative_error(predicted, measured.min()), 1e-6))
    return checks


def cases() -> dict[str, Lines]:
    """With and without an equiangular tight frame, among them the six diagonals of the icosahedron, and K <= d."""
    return {f"K={K} d={d}": Lines(K, d) for K, d in (*_EQUIANGULAR, *_OTHERS)}


THEOREMS = (
    Theorem(
        id="welch-bound",
        status="holds",
        claim="K > d unit vectors in d dimensions have a pair of |cosine| at least sqrt((K - d)/(d (K - 1))), with "
        "equality exactly at equiangular tight frames.",
        source="Welch 1974, Lower bounds on the maximum cross correlation of signals; Strohmer and Heath 2003, "
        "Grassmannian frames with applications to coding and communication",
        predict=predict,
        measure=measure,
        cases=cases,
        evidence=evidence,
    ),
)
