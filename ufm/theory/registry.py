"""The registry: every THEOREMS tuple of every module below ufm/theory, found by walking the folders.

Adding a theorem to a file is all it takes; its family is the folder it lives in.
"""

import dataclasses
import difflib
import importlib
import pkgutil
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ufm.base.checks import is_traced, refuse
from ufm.base.precision import full_precision
from ufm.base.programs import make_room_for
from ufm.equivalent.columns import spread_columns
from ufm.problem import Problem, check_memory, recognised
from ufm.theory.entries import Catalogue, family_of
from ufm.theory.prediction import Prediction, grounded
from ufm.theory.theorem import Theorem


@cache
def catalogue() -> Catalogue:
    """All theorems by id, in the order of their families and files: a dictionary that prints as a table."""
    found = Catalogue()
    for module in pkgutil.walk_packages([str(Path(__file__).parent)], f"{__package__}."):
        for theorem in getattr(importlib.import_module(module.name), "THEOREMS", ()):
            if theorem.id in found:
                raise RuntimeError(f"theorem {theorem.id!r} in {module.name}: a repeated id")
            found[theorem.id] = theorem
    return found


@cache
def families() -> dict[str, tuple[str, ...]]:
    """Ids of the theorems of each family, which is the folder a theorem's file is in."""
    grouped: dict[str, list[str]] = {}
    for theorem_id, theorem in catalogue().items():
        grouped.setdefault(family_of(theorem), []).append(theorem_id)
    return {family: tuple(ids) for family, ids in grouped.items()}


def select(names: tuple[str | Theorem, ...] = (), family: str | None = None) -> list[Theorem]:
    """Theorems by id, or as they are, and by family; all of the catalogue for no names. A theorem of one's own has no family.

    Raises:
      ValueError: for an unknown name or family, with the nearest ones, and for names of which none is of the family.
    """
    known = catalogue()
    for name in names:
        if not isinstance(name, str | Theorem):
            refuse("theorem", name, "the id of a theorem of the catalogue, or a ufm.Theorem")
        if isinstance(name, str) and name not in known:
            refuse("theorem", name, f"a theorem's id, such as {_nearest(name, known)} (`ufm theorems` lists all)")
    if family is not None and family not in families():
        refuse("family", family, "one of " + ", ".join(families()))
    chosen = [known[name] if isinstance(name, str) else name for name in names] if names else list(known.values())
    if family is None:
        return chosen
    of_family = [theorem for theorem in chosen if theorem.id in families()[family] and known[theorem.id] is theorem]
    if not of_family:
        refuse("theorem", [theorem.id for theorem in chosen], f"of the family {family}: " + ", ".join(families()[family]))
    return of_family


def applicable(problem: Problem) -> list[Theorem]:
    """The theorems that give the minimum of a problem, the one that `predict` follows first."""
    known = known_best(problem)
    return sharpest_first(theorem for theorem in catalogue().values() if theorem.minimiser and not theorem.failing(known))


def known_best(problem: Problem) -> Problem:
    """The problem in the sharpest design that its known numbers prove."""
    return dataclasses.replace(problem, design=recognised(problem.design))


def sharpest_first(theorems: Iterable[Theorem]) -> list[Theorem]:
    """Proved ones before others, special before general, those that assume more before those that assume less."""
    return sorted(theorems, key=lambda theorem: (theorem.status != "holds", theorem.general, -len(theorem.assumes)))


@full_precision
def predict(problem: Problem) -> Prediction:
    """The minimum of a problem in closed form, by the theorem of the catalogue that applies to it.

    A proved theorem is preferred to a numerical one, and a sharper one to a more general one.

    A theorem is followed only where the problem's types, or numbers at hand, decide that its assumptions hold; the value is
    compared with the objective at the predicted params. Derivatives of the value are those of the minimum in every leaf.

    Args:
      problem: jit, vmap and grad go through all its numbers; what is traced decides nothing.

    Returns:
      Prediction, signed with the theorem's id.

    Raises:
      ValueError: outside every theorem, saying which assumption of the nearest ones fails; where the closed form loses more digits
        than `served_accuracy` allows in the problem's dtype.

    Example:
      >>> p = Problem.balanced(classes=4, per_class=100, widths=(64,), l2_W=5e-4, l2_H=5e-4)
      >>> print(f"{predict(p).value:.4f}", predict(p).theorem)
      0.0198 mse-balanced-deep
    """
    check_memory(problem)
    whole = known_best(problem)
    merged = whole if whole.H0 is not None else whole.collapsed()
    found = applicable(merged)
    if not found:
        theorems = {theorem: theorem.failing(merged) for theorem in catalogue().values() if theorem.minimiser}
        nearest = sorted(theorems.items(), key=lambda pair: len(pair[1]))[:3]
        reasons = "; ".join(f"{t.id} needs {' and '.join(a.text for a in failing)}" for t, failing in nearest)
        traced = "What is traced decides nothing: close over columns that do not move. "
        hint = traced if is_traced(problem.design) else ""
        raise ValueError(
            f"no theorem of the catalogue gives the minimum of {problem!r}: {reasons}. {hint}"
            "Use ufm.solve to search for it and ufm.certify to bound it."
        )
    best = found[0]
    make_room_for(problem)
    prediction = _program(best.id)(best.view(merged))
    accuracy = prediction.accuracy
    known = None if accuracy is None or is_traced(accuracy) or np.ndim(accuracy) else float(accuracy)
    if known is not None and not known <= served_accuracy(problem.dtype):
        raise ValueError(
            f"problem must be one at which {best.id} is accurate in {problem.dtype}: its value {float(prediction.value):.9g} "
            f"differs from the objective at its own params by {known:.1e} of it "
            f"(allowed {served_accuracy(problem.dtype):.0e})"
        )
    if merged is not whole:
        prediction = dataclasses.replace(prediction, params=spread_columns(problem, prediction.params))
    label = prediction.label if best.status == "holds" or prediction.label == "best-known" else best.status
    return prediction.named(best.id, label)


def served_accuracy(dtype: Any) -> float:
    """The relative difference between a predicted value and the objective at the predicted params from which on none is served."""
    return float(jnp.finfo(dtype).eps) ** 0.6


@cache
def _program(theorem_id: str) -> Callable[[Problem], Prediction]:
    """The closed form as one compiled program: operation by operation a first call would take three times as long."""
    theorem = catalogue()[theorem_id]
    return jax.jit(lambda problem: grounded(problem, theorem.predict(problem)))


def _nearest(name: str, known: dict[str, Theorem]) -> str:
    return ", ".join(map(repr, difflib.get_close_matches(name, known, n=3, cutoff=0.3) or list(known)[:3]))
