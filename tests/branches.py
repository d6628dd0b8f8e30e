"""Which sides of every choice closed forms take: over its cases and draws, each has to go both ways.

`python tests/branches.py [ID ...]` goes through the catalogue, slowly; `tests/test_branches.py` through a few entries. A choice is
a `jnp.where`, `jnp.maximum` or `jnp.minimum`, or an `if`, in the file of the entry, met while its closed form runs.
"""

import ast
import dataclasses
import inspect
import sys
from collections import defaultdict
from contextlib import contextmanager

import jax
import jax.numpy as jnp

from ufm.theory.registry import catalogue
from ufm.theory.theorem import Theorem
from ufm.verification.run import _all_cases

DRAWS = 12

_ZERO = "a singular value that is exactly zero: rounding leaves those of a lost rank above it"
_STRONG = "a strength of 1 and more, where the branch has ended long before"
EXCEPTIONS = {
    "collapsed-central-path": ({"squared_size: where in line 19", "squared_size: where in line 6"}, _ZERO),
    "ce-deep-two-classes": ({"margin: maximum in line 10"}, _STRONG),
    "ce-deep-etf-critical": ({"margin: maximum in line 10"}, _STRONG),
}


class Recording:
    """jax.numpy for one module, whose choices say at which line and which way they went."""

    def __init__(self, sides):
        self.sides = sides

    def __getattr__(self, name):
        return getattr(jnp, name)

    def where(self, condition, *branches, **options):
        self._seen("where", condition)
        return jnp.where(condition, *branches, **options)

    def maximum(self, a, b):
        self._seen("maximum", jnp.asarray(a) > jnp.asarray(b))
        return jnp.maximum(a, b)

    def minimum(self, a, b):
        self._seen("minimum", jnp.asarray(a) < jnp.asarray(b))
        return jnp.minimum(a, b)

    def _seen(self, what, condition):
        frame = sys._getframe(2)
        site = f"{frame.f_code.co_name}: {what} in line {frame.f_lineno - frame.f_code.co_firstlineno + 1}"
        sides = self.sides[site]

        def note(yes, no):
            sides.update({True} if yes else (), {False} if no else ())

        jax.debug.callback(note, jnp.any(condition), jnp.any(~jnp.asarray(condition, bool)))


@contextmanager
def recorded(module, sides):
    """Choices of the module go through `Recording`, and the steps from line to line of its functions are noted."""
    path, steps, before = module.__file__, set(), sys.gettrace()

    def entered(frame, event, _):
        if frame.f_code.co_filename != path:
            return None
        last = frame.f_lineno

        def stepped(frame, event, _):
            nonlocal last
            here = 0 if event == "return" else frame.f_lineno
            steps.add((last, here))
            last = here or last
            return stepped

        return stepped

    if hasattr(module, "jnp"):
        module.jnp = Recording(sides)
    sys.settrace(entered)
    try:
        yield steps
    finally:
        sys.settrace(before)
        if hasattr(module, "jnp"):
            module.jnp = jnp


def if_sides(module, steps):
    """(where an `if` stands in a function, the sides that the steps have taken of it)."""
    for function in (n for n in ast.walk(ast.parse(inspect.getsource(module))) if isinstance(n, ast.FunctionDef)):
        for node in (n for n in ast.walk(function) if isinstance(n, ast.If) and not _refuses(n)):
            test = range(node.test.lineno, node.test.end_lineno + 1)
            body = range(node.body[0].lineno, node.body[-1].end_lineno + 1)
            left = {there for here, there in steps if here in test and there not in test}
            taken = {True} if any(there in body for there in left) else set()
            taken |= {False} if any(there not in body for there in left) else set()
            yield f"{function.name}: if in line {node.lineno - function.lineno + 1}", taken


def _refuses(node: ast.If) -> bool:
    """Whether all that it does is to refuse its input, which no case is there for."""
    return len(node.body) == 1 and (isinstance(node.body[0], ast.Raise) or ast.unparse(node.body[0]).startswith("refuse("))


def one_sided(theorem: Theorem, draws: int = DRAWS) -> set[str]:
    """The choices that a closed form, over all its cases and some draws, has taken one way only."""
    module = sys.modules[theorem.predict.__module__]
    sides = defaultdict(set)
    with jax.enable_x64(True):
        cases = [make() for _, make in _all_cases(theorem, draws, 7)]
        with recorded(module, sides) as steps:
            # a function of its own: JAX does not trace one again that another entry has used
            closed_form = dataclasses.replace(theorem, predict=lambda case: theorem.predict(case)).closed_form()
            for case in cases:
                jax.block_until_ready(closed_form(case))
            jax.effects_barrier()
    for site, taken in if_sides(module, steps):
        sides[site] |= taken
    return {site for site, taken in sides.items() if len(taken) == 1}


def main(names: list[str]) -> int:
    """Print what each closed form takes one way only; 1 where that is not what is listed above."""
    failed = 0
    for name in names or catalogue():
        found = one_sided(catalogue()[name])
        print(name, "|".join(sorted(found)) or "both ways", flush=True)
        failed |= found != EXCEPTIONS.get(name, (set(), ""))[0]
        jax.clear_caches()
    return int(failed)


if __name__ == "__main__":
    from ufm.base.environment import prefer_quick_compilation

    prefer_quick_compilation(short_runs=True)
    sys.exit(main(sys.argv[1:]))
