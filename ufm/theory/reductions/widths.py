"""Widths that are never used: runs of narrow problems are runs of wide ones, for any loss (folklore in part; derived).

Features (R2): gradients of W_1 and H stay in Q = span[W_1^T, H, H0], so the width d is min(d, d_2 + C) for any loss, with
W_1 = w Q^T, H = Q x. All layers (R2b): with S_0, ..., S_(M-1) the least subspaces that hold the features and the rows of W_M
and that the weights map to one another, w_j = Q_j^T W_j Q_(j-1) runs on its own; what lies beside only shrinks by its ridge.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ufm.equivalent.widths import in_subspaces, invariant_subspaces, narrow_features
from ufm.problem import Problem
from ufm.problem.params import Params
from ufm.theory import statements
from ufm.theory.reductions.runs import LINEAR, Run, as_it_is, decays, in_full, lifted, ridges, run_of
from ufm.theory.theorem import Assumption

_WIDTH = 12
_MIDDLES = ("orthogonal", "identity", "low-rank")


class Chain(NamedTuple):
    """A run and orthonormal bases of the invariant subspaces of its start, one (d_j, q_j) array a width."""

    run: Run
    bases: tuple[jax.Array, ...]


def predict_narrow(run: Run) -> Params:
    """Only span[W_1^T, H, H0] ever moves: features of any width d run as features of width d_2 + C (d_2 + 2C with a proximity
    term), for any loss and optimisers that commute with rotations.
    """
    return lifted(narrow_features(run.problem, run.params), run.rate)


def predict_chain(case: Chain) -> Params:
    """All layers run inside the smallest chain of subspaces that features and classifier reach, of widths K + C at most when hidden
    layers start as multiples of isometries; beside it weights shrink by their ridge alone.
    """
    run = case.run
    return lifted(in_subspaces(run.problem, run.params, case.bases)[0], run.rate, decays(run, LINEAR))


def wide(loss: str, depth: int, rng: np.random.Generator, bias: str = "none", proximity: bool = False) -> Run:
    """Three classes of (2, 1, 1) samples at d = 16, a hidden width of 3."""
    H0: dict[str, Any] = {"H0": rng.normal(size=(16, 4)), "beta": rng.uniform(0.01, 0.1)} if proximity else {}
    problem = Problem.imbalanced((2, 1, 1), (16, 3)[:depth], loss=loss, bias=bias, **ridges(rng, depth), **H0)
    return run_of(problem, rng, 0.7)


def deep(loss: str, middle: str, rng: np.random.Generator, depth: int = 3) -> Chain:
    """`depth` layers of width 12 and one column a class, whose hidden layers start orthogonal, as identity or low-rank."""
    problem = Problem.imbalanced((4, 2, 1), (_WIDTH,) * depth, loss=loss, **ridges(rng, depth)).collapsed()
    layers = []
    for _ in range(depth - 1):
        turn = np.linalg.qr(rng.normal(size=(_WIDTH, _WIDTH)))[0]
        low = rng.normal(size=(_WIDTH, 2)) @ rng.normal(size=(2, _WIDTH)) / _WIDTH
        layers.append(jnp.asarray({"orthogonal": 0.8 * turn, "identity": 0.8 * np.eye(_WIDTH), "low-rank": low}[middle]))
    run = run_of(problem, rng, 0.7, 0.1)
    params = run.params._replace(weights=(*layers, run.params.weights[-1]))
    # low-rank starts need fewer directions than 2 K; columns of zeros keep one shape for all
    bases = tuple(jnp.pad(Q, ((0, 0), (0, 2 * problem.classes - Q.shape[1]))) for Q in invariant_subspaces(problem, params))
    return Chain(run._replace(params=params), bases)


def narrow_cases() -> dict[str, Run]:
    """Both losses, with and without a hidden layer, bias and proximity."""
    rng = np.random.default_rng(0)
    return {"MSE M=2 free bias, proximity": wide("mse", 2, rng, "free", True), "CE M=1": wide("ce", 1, rng)}


def chain_cases() -> dict[str, Chain]:
    """Isometries, identities and low ranks under MSE, isometries under cross-entropy."""
    rng = np.random.default_rng(1)
    mse = {f"MSE {middle} M=3": deep("mse", middle, rng) for middle in _MIDDLES}
    return mse | {"CE orthogonal M=2": deep("ce", "orthogonal", rng, 2)}


THEOREMS = (
    statements.trajectory(
        "width-reduction", "folklore for linear networks; the statement for any loss and these optimisers derived",
        predict_narrow, as_it_is, narrow_cases, partial(wide, "ce", 1),
        (Assumption("free features", lambda run: run.problem.features == "free"),), path=in_full, tolerance=1e-11,
    ),
    statements.trajectory(
        "hidden-subspace-chain", "derived",
        predict_chain, as_it_is, chain_cases, lambda rng: deep("mse", _MIDDLES[rng.integers(3)], rng),
        (Assumption("free features", lambda case: case.run.problem.features == "free"),),
        path=lambda case: in_full(case.run, LINEAR), tolerance=1e-11,
        notes="Gradient descent, heavy ball and Nesterov; normalised and polar-factor steps too where nothing lies beside.",
    ),
)  # fmt: skip
