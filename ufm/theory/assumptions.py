"""What theorems assume of a problem, in words that complete "it needs ..."."""

import dataclasses
from collections.abc import Callable

import jax

from ufm.base.checks import is_traced, refuse
from ufm.losses import Loss, is_loss
from ufm.problem import EqualClasses, Problem, class_sizes, classes_of, is_balanced, is_one_hot
from ufm.problem.params import Params
from ufm.theory.theorem import Assumption


def has_loss(*kinds: Loss | type, name: str = "") -> Assumption:
    """The loss is one of these (see `ufm.losses.is_loss`), called by their names, or by another one."""
    words = name or " or ".join(kind.__name__ if isinstance(kind, type) else kind.name for kind in kinds)
    return Assumption("the loss " + words, lambda p: is_loss(p.loss, *kinds))


def has_bias(*modes: str) -> Assumption:
    """The bias mode is one of these."""
    return Assumption("bias mode " + " or ".join(modes), lambda p: p.bias in modes)


def has_depth(text: str, test: Callable[[int], bool]) -> Assumption:
    """The number of trained weight matrices M passes a test, said in `text`."""
    return Assumption(text, lambda p: test(len(p.widths)))


def has_classes(text: str, test: Callable[[int], bool]) -> Assumption:
    """The number of classes K passes a test, said in `text`."""
    return Assumption(text, lambda p: test(p.classes))


def is_wide(missing: int) -> Assumption:
    """Every width is at least K - missing."""
    text = "every width at least K" + (f" - {missing}" if missing else "")
    return Assumption(text, lambda p: min(p.widths) >= p.classes - missing)


ONE_LAYER = has_depth("one weight matrix (M = 1)", lambda m: m == 1)
DEEP = has_depth("at least two weight matrices (M >= 2)", lambda m: m >= 2)

BALANCED = Assumption("equal classes with one-hot targets and unit weights", lambda p: is_balanced(p.design))
CLASS_SYMMETRIC = Assumption("equal classes, one-hot or smoothed, and unit weights", lambda p: isinstance(p.design, EqualClasses))


def proximity_features(p: Problem) -> jax.Array:
    """H0 of a problem that has it."""
    if p.H0 is None:
        refuse("H0", None, "given")
    return p.H0


def bias_of(params: Params) -> jax.Array:
    """b of params that have it."""
    if params.b is None:
        refuse("params.b", None, "given")
    return params.b


def as_class_sizes(p: Problem) -> Problem:
    """One-hot classes as ones of any sizes, so that problems of all sizes share a program."""
    return dataclasses.replace(p, design=class_sizes(classes_of(p.design)))


ONE_HOT = Assumption("one-hot classes (of any sizes) with unit weights", lambda p: is_one_hot(p.design))


PLAIN = Assumption(
    "free features, a trained classifier and no proximity term",
    lambda p: p.features == "free" and p.classifier is None and p.H0 is None,
)
PENALISED = Assumption("ridges above zero on every factor", lambda p: is_traced(p.ridges) or bool((p.ridges > 0).all()))
