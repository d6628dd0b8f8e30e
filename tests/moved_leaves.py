"""Whether evidence reads everything that theorems say: each leaf of a prediction is moved, and the evidence has to notice.

`python tests/moved_leaves.py [ID ...]` goes through the catalogue; `tests/test_moved_leaves.py` through a sixteenth of it. Numbers
are moved by 0.1 % both ways, counts by one, truth values are turned round. A move is noticed where the case no longer supports the
entry's status, or (of an entry that asserts nothing) reports another number. One case after another is looked at until no leaf
is left that was not noticed.
"""

import gc
import sys
import time

import jax
import numpy as np

from ufm.theory.registry import catalogue
from ufm.theory.theorem import Theorem, key_of
from ufm.verification.report import CaseResult

STEP = 1e-3

EXCEPTIONS = {
    "lion-score": (
        {"exponent up", "exponent down"},
        "an exponent that two step sizes tell to within a few hundredths, since the score hovers at random",
    ),
    "perceptron-mistakes": (
        {"steps up", "steps down"},
        "an upper bound that no set of samples meets: what it bounds is a whole number",
    ),
    "central-path-curvature": ({"lowest down"}, "a floor: that no curvature is below it, not that one is on it"),
    "proximity-nc1-threshold": ({"nc1 up"}, "an inequality, that NC1 falls: the bounds of both of its factors are met, and read"),
    "bartlett-start": (
        {"variance up", "variance down", "variance_columns up", "variance_columns down"},
        "moments of random matrices, which 8192 draws tell to a few per cent",
    ),
}


def moves_of(tree):
    """(name of a leaf, the same tree with that leaf moved) for all leaves and both ways."""
    leaves, structure = jax.tree_util.tree_flatten_with_path(tree)
    for i, (path, leaf) in enumerate(leaves):
        name = jax.tree_util.keystr(path, simple=True, separator=".") or "value"
        for way, moved in _moved(np.asarray(leaf)):
            others = [x for _, x in leaves]
            others[i] = jax.numpy.asarray(moved)
            yield f"{name} {way}".strip(), jax.tree_util.tree_unflatten(structure, others)


def _moved(x):
    if x.size == 0:
        return []
    if x.dtype == bool:
        turned = x.copy()
        turned.flat[-1] = ~turned.flat[-1]
        return [("", turned)]
    if np.issubdtype(x.dtype, np.integer):
        return [("up", x + 1), ("down", x - 1)]
    finite = np.where(np.isfinite(x), x, 0)
    step = STEP * (np.abs(x) if np.any(finite != 0) else np.ones_like(x))
    return [("up", x + step), ("down", x - step)]


def supports(theorem: Theorem, checks) -> bool:
    """Whether a case with these checks supports the entry's status."""
    result = CaseResult("", tuple(c._replace(error=float(c.error), tolerance=float(c.tolerance)) for c in checks), 0.0)
    return result.supports(theorem.status)


def unread(theorem: Theorem, most: int | None = None, seed: int = 0) -> set[str]:
    """The moves that evidence does not notice in any of the first `most` cases.

    Raises:
      AssertionError: where a case does not support the status as it stands, which would make every move noticed.
    """
    left = None
    with jax.enable_x64(True):
        closed_form = theorem.closed_form()
        for label, case in list(theorem.cases().items())[:most]:
            predicted, measured = closed_form(case), theorem.measure(case, key_of(seed, theorem.id, label))
            honest = theorem.evidence(case, predicted, measured)
            assert supports(theorem, honest), (theorem.id, label, honest)
            moves = list(moves_of(predicted))
            left = {name for name, _ in moves} if left is None else left
            for name, moved in moves:
                if name in left and _is_noticed(theorem, case, moved, measured, honest):
                    left.discard(name)
            if not left:
                break
    return left


def _is_noticed(theorem, case, moved, measured, honest) -> bool:
    try:
        checks = theorem.evidence(case, moved, measured)
    except ValueError:  # a point that the evidence refuses to look at
        return True
    if theorem.status == "diagnostic":
        return [float(c.error) for c in checks] != [float(c.error) for c in honest]
    return not supports(theorem, checks)


def main(names: list[str]) -> int:
    """Print what each entry's evidence does not read; 1 where that is not what is listed above."""
    failed = 0
    for name in names or catalogue():
        start = time.process_time()
        try:
            found = sorted(unread(catalogue()[name]))
        except Exception as error:
            found = [f"{type(error).__name__}: {str(error)[:300]}"]
        print(name, f"{time.process_time() - start:.1f} s", "|".join(found) or "all read", flush=True)
        failed |= set(found) != EXCEPTIONS.get(name, (set(), ""))[0]
        jax.clear_caches()
        gc.collect()
    return failed


if __name__ == "__main__":
    from ufm.base.environment import prefer_quick_compilation

    prefer_quick_compilation(short_runs=True)
    jax.config.update("jax_enable_x64", True)
    sys.exit(main(sys.argv[1:]))
