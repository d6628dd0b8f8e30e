"""The lowest known value of balanced cross-entropy on M >= 2 linear layers: the best of the codes of `families`.

Nobody has proved which code minimises f for K >= 3. More than a million searches over all ranks (K up to 8, M up to 4, c from 1e-6
to 1.3 times the simplex's tie with zero) found nothing lower than these where the theorems below apply, and the codes reproduce the
best values to 4e-9. As c falls: K = 3 zero, a pair, the simplex; K = 4 two pairs on a line (where zero has just lost), and for
M = 2 a square, then the simplex; K = 5, M = 2 pentagon, triangle + pair, square pyramid, simplex; M >= 3 polygons and orthoplexes.
"""

import jax
import jax.numpy as jnp
import numpy as np

from ufm.losses import CE
from ufm.problem import Problem
from ufm.search.solution import solve
from ufm.theory import statements
from ufm.theory.assumptions import BALANCED, PENALISED, PLAIN, has_bias, has_loss, is_wide
from ufm.theory.cross_entropy.etf_branch import balanced_at_tie, strength
from ufm.theory.cross_entropy.families import Codes, code_triples, code_value, minimise_codes, named_codes, polish
from ufm.theory.prediction import Prediction, from_triples
from ufm.theory.statements.minima import Measured, examine_point
from ufm.theory.theorem import Assumption


def predict_best_known(problem: Problem) -> Prediction:
    """Balanced cross-entropy without bias on M >= 2 linear layers is minimised by the best of: zero, orthogonal sums of simplices,
    polygons, cyclic codes, two pairs on a line, bipyramids and pyramids, each with its best amplitudes.

    Codes with a bias of their own where the bias is free.
    """
    K, M, s, zero = problem.classes, len(problem.widths), strength(problem), jnp.log(1.0 * problem.classes)
    _, codes = named_codes(K, problem.bias == "free")
    found = minimise_codes(codes, s, M)
    lowest = jnp.min(found.values)
    first, alive = jnp.argmax(found.values <= lowest * (1 + 50 * jnp.finfo(problem.dtype).eps)), lowest < zero
    code = Codes(*(jnp.asarray(array, problem.dtype)[first] for array in codes))
    code = code._replace(active=jnp.where(alive, code.active, 0))
    scalars = polish(code, found.scalars[first], s, M)
    U, sigma, V, b = code_triples(code, scalars)
    value = jnp.where(alive, code_value(code, scalars, s, M), zero).astype(problem.dtype)
    sigma = jnp.where(alive & (sigma > 0), sigma * jnp.sqrt(jnp.mean(problem.counts)), 0)
    order, b, z = jnp.argsort(-sigma), jnp.where(alive, b, 0), (U * sigma[None, :]) @ V.T
    relabelled = jnp.where(jnp.eye(K, dtype=bool), z[0, 0], z[0, 1])
    symmetric = jnp.max(jnp.abs(z - relabelled)) <= 1e-9 * jnp.max(jnp.abs(z))  # else relabelled classes make other minimisers
    prediction = from_triples(problem, U[:, order], sigma[order], V[:, order], b, value, unique=~alive | symmetric)
    return prediction.named("", "best-known")


def search(problem: Problem, key: jax.Array) -> Measured:
    """The lowest of 48 random starts over all parameters, equal columns merged (exact for a convex loss)."""
    solution = solve(problem, key, starts=48)
    return Measured(problem, solution, examine_point(problem, solution.params), None)


def _cases() -> dict[str, Problem]:
    ratios = {3: (1.4, 1.0, 0.5), 5: (1.0, 0.5, 0.1, 1e-4)}  # zero, pair, simplex; pentagon to simplex as above
    cases = {f"K={K} M=2 c/tie={r}": balanced_at_tie(r, K, 2) for K, rs in ratios.items() for r in rs}
    return cases | {"K=5 M=2 n=30 c/tie=0.3": balanced_at_tie(0.3, 5, 2, 30)}


def _draw(rng: np.random.Generator) -> Problem:
    """A random problem of 3 to 6 classes, c from 1e-4 to 1.2 times the tie."""
    K, M = ((3, 2), (4, 2), (4, 3), (5, 2), (5, 3), (6, 2), (6, 3))[int(rng.integers(7))]
    return balanced_at_tie(float(np.exp(rng.uniform(np.log(1e-4), np.log(1.2)))), K, M, int(rng.integers(1, 50)))


def _cases_free_bias() -> dict[str, Problem]:
    return {f"K=3 M=2 c/tie={r}": balanced_at_tie(r, 3, 2, bias="free") for r in (1.5, 1.0, 0.5)}  # zero, line, simplex


def _draw_free_bias(rng: np.random.Generator) -> Problem:
    """A random three-class problem, c from 0.01 to 1.5 times the tie; M = 3 is the line wherever it is not zero."""
    ratio = float(np.exp(rng.uniform(np.log(0.01), np.log(1.5))))
    return balanced_at_tie(ratio, 3, int(rng.integers(2, 4)), int(rng.integers(1, 50)), bias="free")


def _searched(*shapes: tuple[int, int]) -> Assumption:
    text = "a searched number of classes and layers, (K, M) one of " + ", ".join(map(str, shapes))
    return Assumption(text, lambda p: (p.classes, len(p.widths)) in shapes)


_SHARED = (has_loss(CE), BALANCED, PLAIN, PENALISED, is_wide(1))
_SOURCE = "low rank beats the simplex: [garrod2025]; the codes and their values: own search"
THEOREMS = (
    statements.minimum(
        "ce-deep-best-known", _SOURCE, predict_best_known, _cases, _draw,
        (*_SHARED, has_bias("none"), _searched(*((K, M) for K in (3, 4, 5, 6, 8) for M in (2, 3, 4)))),
        status="numerical", measure=search,
        notes="An upper bound that no search has undercut, not a proof: predictions are labelled best-known.",
    ),
    statements.minimum(
        "ce-deep-best-known-freebias", _SOURCE,
        predict_best_known, _cases_free_bias, _draw_free_bias, (*_SHARED, has_bias("free"), _searched((3, 2), (3, 3), (3, 4))),
        claim="Three balanced classes with a free bias on M >= 2 linear layers: zero, the simplex, or the classes on a "
        "line, the middle one at the origin and carried by its bias; for M >= 3 the line wins for every c searched.",
        status="numerical", measure=search,
        notes="For K >= 4 some free-bias minima are codes that nobody has identified, so those are left out.",
    ),
)  # fmt: skip
