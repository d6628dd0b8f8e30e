"""Where the numbers of a sweep come from: citations for its Dataset."""

from collections.abc import Callable

import jax

from ufm.sweeps.functions import agreement, certified, closed_form
from ufm.sweeps.program import Program
from ufm.theory.catalogue import catalogue, predict

_DUALITY = "lower bounds: convex duality, see ufm.certify (Zhu et al. 2021 and Zhou et al. 2022 use its optimality conditions)"


def sources_of(fn: Callable, programs: list[Program]) -> list[str]:
    """One line for every theorem behind closed forms, and for certificates.

    Args:
      fn: what is swept. programs: of the sweep.
    """
    inner = getattr(fn, "func", fn)
    lines = []
    if inner in (closed_form, predict, agreement):
        problems = [p for program in programs for p in program.problems]
        ids = {jax.eval_shape(predict, p).theorem for p in problems}
        lines += [f"{name}: {catalogue()[name].source}" for name in sorted(ids)]
    if inner is certified:
        lines.append(_DUALITY)
    return lines
