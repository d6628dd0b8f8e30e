"""Widths that are never used: runs of narrow problems are runs of wide ones, for any loss (folklore in part; derived).

Features (R2): gradients of W_1 and H stay in Q = span[W_1^T, H, H0], so the width d is min(d, d_2 + C) for any loss, with
W_1 = w Q^T, H = Q x. All layers (R2b): with S_0, ..., S_(M-1) the least subspaces that hold the features and the rows of W_M
and that the weights map to one another, w_j = Q_j^T W_j Q_(j-1) runs on its own; what lies beside only shrinks by its ridge.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ufm.equivalent.widths import in_subspaces, invariant_subspaces, narrow_features
from ufm.problem import Problem
from ufm.problem.params import Params
from ufm.theory import statements
from ufm.theory.reductions.runs import LINEAR, Run, decays, plain, start, trajectories
from ufm.theory.theorem import Assumption, agreement

_WIDTH = 12


class Chain(NamedTuple):
    """A run and orthonormal bases of the invariant subspaces of its start, one (d_j, q_j) array a width."""

    run: Run
    bases: tuple[jax.Array, ...]


def predict_narrow(run: Run) -> Params:
    """Only span[W_1^T, H, H0] ever moves: features of any width d run as features of width d_2 + C (d_2 + 2C with a proximity
    term), for any loss and optimisers that commute with rotations.

    The run at width d_2 + C, lifted.
    """
    reduced = narrow_features(run.problem, run.params)
    return jax.vmap(jax.vmap(reduced.lift))(trajectories(Run(reduced.problem, reduced.params, run.rate)))


def measure_wide(run: Run, key: jax.Array) -> Params:
    """The run at full width."""
    del key  # the start belongs to the case
    return _wide(run._replace(problem=plain(run.problem)))


_wide = jax.jit(trajectories)


def predict_chain(case: Chain) -> Params:
    """All layers run inside the smallest chain of subspaces that features and classifier reach, of widths K + C at most when hidden
    layers start as multiples of isometries; beside it weights shrink by their ridge alone.

    The run inside the subspaces under gradient descent, heavy ball and Nesterov, lifted with what the ridges leave.
    """
    run = case.run
    reduced, _ = in_subspaces(run.problem, run.params, case.bases)
    path = trajectories(Run(reduced.problem, reduced.params, run.rate), LINEAR)
    return jax.vmap(jax.vmap(reduced.lift))(path, decays(run, LINEAR))


def measure_chain(case: Chain, key: jax.Array) -> Params:
    """The run at full widths under the three linear methods."""
    del key  # the start belongs to the case
    return _all(case.run._replace(problem=plain(case.run.problem)))


@jax.jit
def _all(run: Run) -> Params:
    return trajectories(run, LINEAR)


def wide(loss: str, depth: int, rng: np.random.Generator, bias: str = "none", proximity: bool = False) -> Run:
    """Three classes of (2, 1, 1) samples at d = 16, a hidden width of 3."""
    widths = (16, 3)[:depth]
    H0: dict[str, Any] = {"H0": rng.normal(size=(16, 4)), "beta": rng.uniform(0.01, 0.1)} if proximity else {}
    ridges: dict[str, Any] = {"l2_W": rng.uniform(0.002, 0.02, size=depth), "l2_H": rng.uniform(0.002, 0.02)}
    problem = Problem.imbalanced((2, 1, 1), widths, loss=loss, bias=bias, **ridges, **H0)
    return Run(problem, start(problem, 0.7, rng), jnp.asarray(rng.uniform(0.05, 0.2)))


def deep(loss: str, middle: str, rng: np.random.Generator, depth: int = 3) -> Chain:
    """`depth` layers of width 12 and one column a class, whose hidden layers start orthogonal, as identity or low-rank."""
    K = 3
    ridges: dict[str, Any] = {"l2_W": rng.uniform(0.002, 0.02, size=depth), "l2_H": rng.uniform(0.002, 0.02)}
    problem = Problem.imbalanced((4, 2, 1), (_WIDTH,) * depth, loss=loss, **ridges).collapsed()
    layers = []
    for _ in range(depth - 1):
        turn = np.linalg.qr(rng.normal(size=(_WIDTH, _WIDTH)))[0]
        low = rng.normal(size=(_WIDTH, 2)) @ rng.normal(size=(2, _WIDTH)) / _WIDTH
        layers.append(jnp.asarray({"orthogonal": 0.8 * turn, "identity": 0.8 * np.eye(_WIDTH), "low-rank": low}[middle]))
    first = start(problem, 0.7, rng)
    params = first._replace(weights=(*layers, first.weights[-1]))
    run = Run(problem, params, jnp.asarray(rng.uniform(0.1, 0.2)))
    # low-rank starts need fewer directions than 2 K; columns of zeros keep one shape for all
    bases = tuple(jnp.pad(Q, ((0, 0), (0, 2 * K - Q.shape[1]))) for Q in invariant_subspaces(problem, params))
    return Chain(run, bases)


def narrow_cases() -> dict[str, Run]:
    """Both losses, with and without a hidden layer, bias and proximity."""
    rng = np.random.default_rng(0)
    return {"MSE M=2 free bias, proximity": wide("mse", 2, rng, "free", True), "CE M=1": wide("ce", 1, rng)}


def chain_cases() -> dict[str, Chain]:
    """Isometries, identities and low ranks under MSE, isometries under cross-entropy."""
    rng = np.random.default_rng(1)
    mse = {f"MSE {middle} M=3": deep("mse", middle, rng) for middle in ("orthogonal", "identity", "low-rank")}
    return mse | {"CE orthogonal M=2": deep("ce", "orthogonal", rng, 2)}


def draw_narrow(rng: np.random.Generator) -> Run:
    """Random ridges and start under cross-entropy."""
    return wide("ce", 1, rng)


def draw_chain(rng: np.random.Generator) -> Chain:
    """Random ridges and start, any of the hidden layers, MSE."""
    return deep("mse", ("orthogonal", "identity", "low-rank")[rng.integers(3)], rng)


THEOREMS = (
    statements.other(
        "width-reduction", "folklore for linear networks; the statement for any loss and these optimisers derived",
        predict_narrow, measure_wide, narrow_cases, draw_narrow,
        (Assumption("free features", lambda run: run.problem.features == "free"),), evidence=agreement(1e-11),
    ),
    statements.other(
        "hidden-subspace-chain", "derived",
        predict_chain, measure_chain, chain_cases, draw_chain,
        (Assumption("free features", lambda case: case.run.problem.features == "free"),), evidence=agreement(1e-11),
        notes="Gradient descent, heavy ball and Nesterov; normalised and polar-factor steps too where nothing lies beside.",
    ),
)  # fmt: skip
