"""How often one descent finds the global minimum of deep MSE: a habit of random starts, reported and not asserted.

Every start succeeds for M = 1. For M >= 2 zero is a strict local minimum and every rank has its own; small starts fall
to zero, O(1) starts mostly do not.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ufm.problem import Problem
from ufm.problem.params import initialize
from ufm.search.solution import solve
from ufm.theory import statements
from ufm.theory.mse.balanced import predict_without_bias
from ufm.theory.mse.spectrum import beta_tie
from ufm.theory.theorem import Check, relative_error

_SCALES, _STARTS = (0.1, 1.0), 12
_EXPECTED = {  # (depth, beta/beta_tie): fractions of starts of scale 0.1 and of scale 1 that reached the minimum
    (2, 0.1): (1.0, 1.0), (2, 0.5): (0.0, 1.0), (2, 0.9): (0.0, 0.67),
    (3, 0.1): (0.25, 1.0), (3, 0.5): (0.0, 1.0), (3, 0.9): (0.0, 0.92),
}  # fmt: skip


class Starts(NamedTuple):
    """A problem, and the fractions of small and of O(1) Gaussian starts that are expected to reach its minimum."""

    problem: Problem
    expected: jax.Array


def predict(case: Starts) -> dict[str, jax.Array]:
    """One descent from a small Gaussian start falls into a worse minimum of deep MSE (M >= 2, zero above all) as the ridges grow,
    where O(1) starts mostly reach the global one.

    The fractions on record from starts of standard deviation 0.1 and 1, and the minimum in closed form.
    """
    return {"fractions": case.expected, "value": predict_without_bias(case.problem).value}


@jax.jit
def measure(case: Starts, key: jax.Array) -> dict[str, jax.Array]:
    """One descent from each of 12 Gaussian starts of either scale, against the lowest value that any of them found."""

    def descend(job: tuple[jax.Array, jax.Array]) -> jax.Array:
        start = jax.tree.map(lambda x: job[1] * x, initialize(case.problem, job[0]))
        return solve(case.problem, start, max_steps=3000).value

    scales = jnp.repeat(jnp.asarray(_SCALES, case.problem.dtype), _STARTS)
    values = jax.lax.map(descend, (jax.random.split(key, len(scales)), scales)).reshape(len(_SCALES), _STARTS)
    lowest = jnp.min(values)
    return {"fractions": jnp.mean(values <= lowest * (1 + 1e-7), axis=1), "value": lowest}


def evidence(case: Starts, predicted: dict[str, jax.Array], measured: dict[str, jax.Array]) -> list[Check]:
    """The value must agree; the fractions are reported, since 12 starts tell them to within about a quarter."""
    small, large = abs(predicted["fractions"] - measured["fractions"])
    return [
        Check("agreement", "lowest value", relative_error(predicted["value"], measured["value"]), 1e-9),
        Check("agreement", "fraction from small starts", float(small), float("inf")),
        Check("agreement", "fraction from O(1) starts", float(large), float("inf")),
    ]


def cases() -> dict[str, Starts]:
    """K = 3, n = 2, d = 5 at M = 2, 3, near and far from the tie."""
    found = {}
    for (depth, ratio), expected in _EXPECTED.items():
        c = ratio * beta_tie(depth) * 2 ** (depth / (depth + 1)) / 6
        problem = Problem.balanced(3, 2, (5,) * depth, l2_W=c, l2_H=c)
        found[f"M={depth} beta/tie={ratio}"] = Starts(problem, jnp.asarray(expected))
    return found


THEOREMS = (
    # other: how often descents reach the minimum, a habit that is reported
    statements.other(
        "deep-random-starts", "measured here; the local minima: [dang2023]",
        predict, measure, cases, status="diagnostic", evidence=evidence,
    ),
)  # fmt: skip
