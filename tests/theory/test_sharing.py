"""A closed form and its measurement share no code but the problem: what they do share is listed, with what it cannot hide."""

import functools
import types

from ufm.theory.registry import catalogue

KITS = ("ufm.theory.theorem", "ufm.theory.statements", "ufm.theory.prediction", "ufm.theory.assumptions")
_UNITS = "a choice of units, targets or companion case: part of the question, not of either answer"
_RUNS = "one integrator runs the large model and the small one: it is the exactness of the reduction that is claimed, not the run"
SHARED = {
    "aligned-central-path": (
        "kit.integrate._collocation kit.integrate.integrate",
        "scalar modes against the whole flow: an error of the integrator would differ",
    ),
    "ce-deep-etf-global": ("cross_entropy.refuted._companion", _UNITS),
    "imbalance-decay": ("dynamics.imbalance.imbalances", "the quantity itself, at the start and at the end"),
    "two-factor-unbalanced-ridge": (
        "kit.integrate._collocation kit.integrate.integrate",
        "two scalars against whole matrices: an error of the integrator would differ, and its order is a test",
    ),
    "group-merge": ("imbalance.thresholds.same_size", _UNITS),
    "mixup-limits": ("mixup.lambert._nearer", _UNITS),
    "proximity-aligned-weak": ("perturbation.aligned._strong perturbation.model.units", _UNITS),
    "bartlett-start": ("reductions.limits._descend", _RUNS),
} | {
    name: ("reductions.runs._one_of reductions.runs._polar reductions.runs._trajectory reductions.runs.trajectories", _RUNS)
    for name in ("isotropic-limit", "sample-reduction", "arbitrary-target-reduction", "width-reduction", "hidden-subspace-chain")
}  # fmt: skip


def reached(function, seen):
    """All functions of ufm that the code of a function can call, by the names in it."""
    while isinstance(function, functools.partial) or hasattr(function, "__wrapped__"):
        function = function.func if isinstance(function, functools.partial) else function.__wrapped__
    if not isinstance(function, types.FunctionType) or not function.__module__.startswith("ufm.") or function in seen:
        return seen
    seen.add(function)
    codes, names = [function.__code__], set()
    while codes:
        code = codes.pop()
        names |= set(code.co_names)
        codes += [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
    found = [function.__globals__.get(name) for name in names] + [cell.cell_contents for cell in function.__closure__ or ()]
    modules = [x for x in found if isinstance(x, types.ModuleType) and x.__name__.startswith("ufm.")]
    for x in found + [getattr(module, name, None) for module in modules for name in names]:
        if callable(x):
            reached(x, seen)
    return seen


def shared(theorem):
    """Names of the functions of the theory that both closed form and measurement reach."""
    both = reached(theorem.predict, set()) & reached(theorem.measure, set())
    ours = [f for f in both if f.__module__.startswith("ufm.theory.") and f.__module__ not in KITS]
    return {f"{f.__module__.removeprefix('ufm.theory.')}.{f.__qualname__}" for f in ours}


def test_closed_form_and_measurement_share_no_code_but_what_is_listed_with_a_reason():
    found = {theorem.id: shared(theorem) for theorem in catalogue().values()}
    assert {name: names for name, names in found.items() if names} == {
        name: set(names.split()) for name, (names, _) in SHARED.items()
    }
    assert all(reason for _, reason in SHARED.values())


def test_what_is_shared_is_seen_through_jit_partial_closures_and_modules():
    theorem = catalogue()["aligned-central-path"]
    assert shared(theorem) == {"kit.integrate._collocation", "kit.integrate.integrate"}
    assert shared(types.SimpleNamespace(predict=theorem.predict, measure=functools.partial(theorem.predict))) >= {
        f"central_path.aligned.{theorem.predict.__qualname__}"
    }
