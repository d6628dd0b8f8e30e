"""The landscape of squared error: strict saddles for one layer, true local minima for deep models.

One layer (Zhou et al. 2022): at a critical point that is not global, with d >= K and G the logit gradient,

    lambda_min(Hessian) <= -2 (|G|_2 - c) / (sqrt(l2_H/l2_W) + sqrt(l2_W/l2_H)) < 0.

M >= 2, all classes below the spinodal: the origin is always a strict local minimum, and keeping any set of classes alive in
which each is at least as large as every dead one is one too; other sets are saddles. How often one descent finds the global
minimum is a habit of random starts, reported and not asserted: for M = 1 every start does, for M >= 2, where every rank
has a minimum, small starts fall to zero and O(1) ones mostly do not.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from ufm.duality import escape_direction
from ufm.problem import Problem
from ufm.problem.params import Params, initialize
from ufm.proofs import Proof, unproved
from ufm.search.solution import solve
from ufm.theory import statements
from ufm.theory.kit.hessian import derivatives
from ufm.theory.mse.balanced import predict_without_bias
from ufm.theory.mse.cases import ridges_at
from ufm.theory.mse.spectrum import beta_tie, largest_root
from ufm.theory.proving import critical_of
from ufm.theory.theorem import Check, below, relative_error

_COUNTS = (6, 4, 2)
_SCALES, _STARTS = (0.1, 1.0), 12
_EXPECTED = {  # (depth, beta/beta_tie): fractions of starts of scale 0.1 and of scale 1 that reached the minimum
    (2, 0.1): (1.0, 1.0), (2, 0.5): (0.0, 1.0), (2, 0.9): (0.0, 0.67),
    (3, 0.1): (0.25, 1.0), (3, 0.5): (0.0, 1.0), (3, 0.9): (0.0, 0.92),
}  # fmt: skip
AliveSet = tuple[Problem, jax.Array]  # without bias, one weighted column a class; which classes are kept alive (G,)


def predict_escape_curvature(case: AliveSet) -> jax.Array:
    """One-layer MSE: each critical point that is not global is a strict saddle, with at least the predicted negative curvature
    along an explicit direction.

    -2 (max over dead classes of (sqrt(n_k)/N - c)_+) / (sqrt(l2_H/l2_W) + sqrt(l2_W/l2_H)): |G|_2 from the dead class.
    """
    p, alive = case
    excess = jnp.where(alive, 0, jnp.maximum(jnp.sqrt(p.counts) / p.samples - p.c, 0))
    ratio = jnp.sqrt(p.l2_H / p.l2_W[0])
    return -2 * jnp.max(excess) / (ratio + 1 / ratio)


def predict_is_local_minimum(case: AliveSet) -> jax.Array:
    """M >= 2: keeping a set of classes alive is a local minimum iff every alive class is at least as large as every dead one; the
    origin always is. The deep landscape is not benign.
    """
    n, alive = case[0].counts, case[1]
    return jnp.min(jnp.where(alive, n, jnp.inf)) >= jnp.max(jnp.where(alive, -jnp.inf, n))


def measure_critical_point(case: AliveSet, key: jax.Array) -> dict[str, float]:
    """Descend with the dead classes' rows and columns held at zero (which is invariant), then look at the whole Hessian.

    |grad f|, the smallest eigenvalue of the Hessian, and for M = 1 the curvature along the escape direction.
    """
    p, alive = case
    K, M = p.classes, len(p.widths)
    kept = jnp.sqrt(p.counts) * (1 + 0.1 * jax.random.normal(key, (K,), p.dtype)) * alive.astype(p.dtype)
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


def prove_signs(case: AliveSet, predicted: jax.Array) -> Proof:
    """The point of these classes is critical, with a negative eigenvalue or with none, as a bound below 0 or `predicted` says."""
    p, alive = case
    M, K, n = len(p.widths), p.classes, np.asarray(p.counts)
    rest = np.asarray(largest_root(p.samples * p.c / p.counts ** (M / (M + 1)), M))
    size = np.where(alive, np.sqrt(n) * (1 - rest), 0) ** (1 / (M + 1))
    factors = []
    for shape, ridge in zip(zip((*p.widths, K), (K, *p.widths), strict=True), np.asarray(p.ridges), strict=True):
        factors.append(np.zeros(shape))
        factors[-1][range(K), range(K)] = np.sqrt(float(p.c) / ridge) * size
    H, *weights = map(jnp.asarray, factors)
    proof = critical_of(p, Params(tuple(weights), H, None), (None, None, None))
    minimal = bool(predicted) if np.asarray(predicted).dtype == bool else float(predicted) >= 0
    if not proof.proved or (proof.document["inertia"][2] == "0") == minimal:
        return proof
    return unproved(f"the predicted kind of point is not the one proved: {proof.statement}")


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
    return {f"M={depth} alive {names[s]}": (problem, jnp.asarray(s)) for s in names}


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
    return problem, jnp.asarray(rng.random(3) < 0.5)


Starts = tuple[Problem, jax.Array]  # and the fractions of small and of O(1) Gaussian starts that are expected to reach its minimum


def predict_fractions(case: Starts) -> dict[str, jax.Array]:
    """One descent from a small Gaussian start falls into a worse minimum of deep MSE (M >= 2, zero above all) as the ridges grow,
    where O(1) starts mostly reach the global one.

    The fractions on record from starts of standard deviation 0.1 and 1, and the minimum in closed form.
    """
    problem, expected = case
    return {"fractions": expected, "value": predict_without_bias(problem).value}


@jax.jit
def measure_fractions(case: Starts, key: jax.Array) -> dict[str, jax.Array]:
    """One descent from each of 12 Gaussian starts of either scale, against the lowest value that any of them found."""
    problem, _ = case

    def descend(job: tuple[jax.Array, jax.Array]) -> jax.Array:
        start = jax.tree.map(lambda x: job[1] * x, initialize(problem, job[0]))
        return solve(problem, start, max_steps=3000).value

    scales = jnp.repeat(jnp.asarray(_SCALES, problem.dtype), _STARTS)
    values = jax.lax.map(descend, (jax.random.split(key, len(scales)), scales)).reshape(len(_SCALES), _STARTS)
    lowest = jnp.min(values)
    return {"fractions": jnp.mean(values <= lowest * (1 + 1e-7), axis=1), "value": lowest}


def fractions_evidence(case: Starts, predicted: dict[str, jax.Array], measured: dict[str, jax.Array]) -> list[Check]:
    """The value must agree; the fractions are reported, since 12 starts tell them to within about a quarter."""
    small, large = abs(predicted["fractions"] - measured["fractions"])
    return [
        Check("agreement", "lowest value", relative_error(predicted["value"], measured["value"]), 1e-9),
        Check("agreement", "fraction from small starts", float(small), float("inf")),
        Check("agreement", "fraction from O(1) starts", float(large), float("inf")),
    ]


def fractions_cases() -> dict[str, Starts]:
    """K = 3, n = 2, d = 5 at M = 2, 3, near and far from the tie."""
    found = {}
    for (depth, ratio), expected in _EXPECTED.items():
        c = ratio * beta_tie(depth) * 2 ** (depth / (depth + 1)) / 6
        problem = Problem.balanced(3, 2, (5,) * depth, l2_W=c, l2_H=c)
        found[f"M={depth} beta/tie={ratio}"] = problem, jnp.asarray(expected)
    return found


THEOREMS = (
    # other, both: signs and bounds of curvature at points that a search with classes held dead has found critical
    statements.other(
        "mse-strict-saddles", "[zhou2022landscape]; curvature value and d = K derived (cf. [shen2024])",
        predict_escape_curvature, measure_critical_point, saddle_cases, draw_saddle, evidence=saddle_evidence,
        prove=prove_signs,
    ),
    statements.other(
        "mse-deep-local-minima", "derived from the Schatten reduction; cf. [dang2023]",
        predict_is_local_minimum, measure_critical_point, local_minimum_cases, evidence=local_minimum_evidence,
        prove=prove_signs,
    ),
    # other: how often descents reach the minimum, a habit that is reported
    statements.other(
        "deep-random-starts", "measured here; the local minima: [dang2023]",
        predict_fractions, measure_fractions, fractions_cases, status="diagnostic", evidence=fractions_evidence,
    ),
)  # fmt: skip
