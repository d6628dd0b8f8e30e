"""The landscape of squared error: strict saddles for one layer, true local minima for deep models.

One layer (Zhou et al. 2022): at a critical point that is not global, with d >= K and G the logit gradient,

    lambda_min(Hessian) <= -2 (|G|_2 - c) / (sqrt(l2_H/l2_W) + sqrt(l2_W/l2_H)) < 0.

M >= 2, all classes below the spinodal: the origin is always a strict local minimum, and keeping any set of classes alive in
which each is at least as large as every dead one is one too; other sets are saddles.
"""

import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from ufm.duality import escape_direction
from ufm.problem import Problem
from ufm.problem.params import Params
from ufm.search.solution import solve
from ufm.theory import statements
from ufm.theory.kit.hessian import derivatives
from ufm.theory.mse.cases import ridges_at
from ufm.theory.mse.spectrum import beta_tie
from ufm.theory.theorem import Check, below

_COUNTS = (6, 4, 2)


class AliveSet(NamedTuple):
    """A problem without bias, one weighted column a class, and which classes are kept alive (G,)."""

    problem: Problem
    alive: jax.Array


def predict_escape_curvature(case: AliveSet) -> jax.Array:
    """One-layer MSE: each critical point that is not global is a strict saddle, with at least the predicted negative curvature
    along an explicit direction.

    -2 (max over dead classes of (sqrt(n_k)/N - c)_+) / (sqrt(l2_H/l2_W) + sqrt(l2_W/l2_H)): |G|_2 from the dead class.
    """
    p = case.problem
    excess = jnp.where(case.alive, 0, jnp.maximum(jnp.sqrt(p.counts) / p.samples - p.c, 0))
    ratio = jnp.sqrt(p.l2_H / p.l2_W[0])
    return -2 * jnp.max(excess) / (ratio + 1 / ratio)


def predict_is_local_minimum(case: AliveSet) -> jax.Array:
    """M >= 2: keeping a set of classes alive is a local minimum iff every alive class is at least as large as every dead one; the
    origin always is. The deep landscape is not benign.
    """
    n = case.problem.counts
    return jnp.min(jnp.where(case.alive, n, jnp.inf)) >= jnp.max(jnp.where(case.alive, -jnp.inf, n))


def measure_critical_point(case: AliveSet, key: jax.Array) -> dict[str, float]:
    """Descend with the dead classes' rows and columns held at zero (which is invariant), then look at the whole Hessian.

    |grad f|, the smallest eigenvalue of the Hessian, and for M = 1 the curvature along the escape direction.
    """
    p = case.problem
    K, M = p.classes, len(p.widths)
    kept = jnp.sqrt(p.counts) * (1 + 0.1 * jax.random.normal(key, (K,), p.dtype)) * case.alive.astype(p.dtype)
    size = jnp.sqrt(p.c / p.ridges)[:, None] * kept[None, :] ** (1 / (M + 1))
    shapes = zip((*p.widths, K), (K, *p.widths), strict=True)
    H, *weights = (jnp.zeros(shape, p.dtype).at[:K, :K].set(jnp.diag(x)) for shape, x in zip(shapes, size, strict=True))
    found = solve(p, Params(tuple(weights), H, None)).params
    _, gradient, hessian = map(np.asarray, derivatives(p, found))
    seen = {"gradient": float(np.linalg.norm(gradient)), "curvature": float(np.linalg.eigvalsh(hessian)[0])}
    if M > 1:
        return seen
    along = np.asarray(ravel_pytree(escape_direction(p, found)[0])[0])
    return seen | {"along_escape": float(along @ hessian @ along / np.maximum(along @ along, 1e-300))}


def saddle_evidence(case: AliveSet, predicted: jax.Array, measured: dict[str, float]) -> list[Check]:
    """Critical; curvature at most the bound; the escape direction has exactly the predicted curvature."""
    bound = float(predicted)
    checks = [_critical(measured), below("agreement", "curvature <= bound", measured["curvature"] - bound, 1e-9)]
    if bound < 0:
        checks.append(Check("agreement", "escape curvature", abs(measured["along_escape"] / bound - 1), 1e-7))
    return checks


def local_minimum_evidence(case: AliveSet, predicted: jax.Array, measured: dict[str, float]) -> list[Check]:
    """Critical; no negative eigenvalue at predicted local minima, a clearly negative one at predicted saddles."""
    wrong = -measured["curvature"] if bool(predicted) else measured["curvature"] + 1e-5
    return [_critical(measured), below("agreement", "sign of curvature", wrong, 1e-9)]


def _critical(measured: dict[str, float]) -> Check:
    return Check("stationarity", "gradient", measured["gradient"], 1e-10)


def _alive_sets(depth: int, c: float) -> dict[str, AliveSet]:
    problem = Problem.imbalanced(_COUNTS, (4,) * depth, **ridges_at(c, depth)).collapsed()
    sets = itertools.product((False, True), repeat=3)
    names = {s: "".join(str(n) if alive else "-" for n, alive in zip(_COUNTS, s, strict=True)) for s in sets}
    return {f"M={depth} alive {names[s]}": AliveSet(problem, jnp.asarray(s)) for s in names}


def saddle_cases() -> dict[str, AliveSet]:
    """All subsets of three live classes, M = 1, d = K + 1."""
    return _alive_sets(1, 0.3 * 2**0.5 / 12)


def local_minimum_cases() -> dict[str, AliveSet]:
    """All subsets of three classes below the tie, M = 2 and 3."""
    two, three = (_alive_sets(M, 0.3 * beta_tie(M) * 2 ** (M / (M + 1)) / 12) for M in (2, 3))
    return two | three


def draw_saddle(rng: np.random.Generator) -> AliveSet:
    """Random distinct class sizes and ridges below the threshold of the rarest class, and a random set."""
    counts = np.sort(rng.choice(np.arange(2, 40), size=3, replace=False))[::-1]
    c = float(rng.uniform(0.05, 0.9) * np.sqrt(counts[-1]) / counts.sum())
    problem = Problem.imbalanced(tuple(int(n) for n in counts), (4,), **ridges_at(c, 1)).collapsed()
    return AliveSet(problem, jnp.asarray(rng.random(3) < 0.5))


THEOREMS = (
    # other, both: signs and bounds of curvature at points that a search with classes held dead has found critical
    statements.other(
        "mse-strict-saddles", "[zhou2022landscape]; curvature value and d = K derived (cf. [shen2024])",
        predict_escape_curvature, measure_critical_point, saddle_cases, draw_saddle, evidence=saddle_evidence,
    ),
    statements.other(
        "mse-deep-local-minima", "derived from the Schatten reduction; cf. [dang2023]",
        predict_is_local_minimum, measure_critical_point, local_minimum_cases, evidence=local_minimum_evidence,
    ),
)  # fmt: skip
