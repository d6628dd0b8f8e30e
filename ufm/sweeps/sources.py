"""Where the numbers of a sweep come from: citations for its Dataset."""

from collections.abc import Callable

import jax

from ufm.base.references import spelled_out
from ufm.sweeps.axes import with_numbers
from ufm.sweeps.functions import agreement, certified, closed_form, predicted_rank
from ufm.sweeps.program import Program
from ufm.theory.registry import catalogue, predict

_DUALITY = "lower bounds: convex duality, see ufm.certify ([zhu2021] and [zhou2022landscape] use its optimality conditions)"


def sources_of(fn: Callable, programs: list[Program]) -> list[str]:
    """One line for every theorem behind closed forms, and for certificates.

    Args:
      fn: what is swept. programs: of the sweep.
    """
    inner = getattr(fn, "func", fn)
    lines = []
    if inner in (closed_form, predict, agreement, predicted_rank):
        ids = {_theorem(program) for program in programs}
        lines += [f"{name}: {catalogue()[name].source}" for name in sorted(ids)]
    if inner is certified:
        lines.append(spelled_out(_DUALITY))
    return lines


def _theorem(program: Program) -> str:
    """The theorem that answers for the problems of a program, as far as it knows their numbers."""
    first = {axis.name: axis.values[0] for axis in program.axes}
    return jax.eval_shape(lambda numbers: predict(with_numbers(program.problems[0], numbers)), first).theorem
