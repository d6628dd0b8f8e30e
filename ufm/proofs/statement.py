"""Statements: what a proof says, in a sentence that a paper can quote, with every number that it is about."""

from typing import Any

import numpy as np

from ufm.base.checks import brief
from ufm.problem import Problem
from ufm.proofs.exact import fraction, rational, text
from ufm.proofs.instance import Instance
from ufm.proofs.proof import Proof, decimals
from ufm.proofs.sandwich import Sandwich

_BRACKETED = 2  # digits below which two ends bracket a value, and do not give it
_LISTED = 16  # columns whose numbers are listed


def sandwich_statement(problem: Problem, instance: Instance, found: Sandwich) -> str:
    """The sentence of an enclosure."""
    lower, upper = decimals(fraction(found.lower), fraction(found.upper))
    said = f"{lower} <= min f <= {upper} {reach(instance, found)}, {quality(found)}"
    return f"{said}, f the objective of {problem_words(problem, instance)}"


def reach(instance: Instance, found: Sandwich) -> str:
    """For which widths."""
    if not instance.trained:
        return "under the fixed classifier"
    width = len(found.point.h[0])
    return f"at width d = {width}" if instance.H0 is not None else f"for every width d >= {width}"


def quality(found: Sandwich) -> str:
    """How far apart the ends are, in the words of a verdict."""
    proof = Proof("sandwich", "", fraction(found.lower), fraction(found.upper))
    if proof.digits >= _BRACKETED:
        return "proved exactly" if found.lower == found.upper else f"proved to {proof.digits:.1f} digits"
    largest = max(abs(found.lower), abs(found.upper))
    return f"bracketed, with a gap of {100 * float(fraction((found.upper - found.lower) / largest)):.3g} %"


def problem_words(problem: Problem, instance: Instance) -> str:
    """Every number of a problem, ridges as the binary floats that they are."""
    name = problem.dtype.name
    layers = len(instance.ridges) - 1
    kind = ("a fixed classifier", "one trained layer", f"{layers} trained layers")[min(layers, 2)]
    words = [f"{kind} with {problem.loss.name}"]
    words += [f"K = {instance.K}", f"bias {instance.bias}"]
    if instance.features != "free":
        words.append({"nonnegative": "non-negative features", "sphere": "features on the sphere"}[instance.features])
    names = ["l_H", "l_W"] if layers == 1 else ["l_H", *(f"l_W{i + 1}" for i in range(layers))]
    ridges = dict(zip(names, instance.ridges, strict=False))
    ridges |= {"l_b": instance.lb} if instance.bias == "ridge" else {}
    numbers = ridges | {"N": instance.N} | ({} if instance.scale == 1 else {"scale": instance.scale})
    numbers |= {} if instance.H0 is None else {"beta": instance.beta}
    words += [f"{key} = {as_float(x, name)}" for key, x in numbers.items()]
    words.append(_targets(instance))
    for key, what in (("m", "multiplicities"), ("w", "weights"), ("a", "intercepts")):
        words += _listed(what, getattr(instance, key), 0 if key == "m" else 1)
    return ", ".join(words)


def _targets(instance: Instance) -> str:
    """What the columns aim at, in numbers where they are few."""
    part = instance.parts[0]
    C, y = len(instance.m), part.Y
    if part.kind != "rational":
        return f"{part.kind} targets of {C} columns of a teacher's logits"
    if all(sorted(column) == [0] * (len(column) - 1) + [1] for column in y):
        classes = [column.index(1) + 1 for column in y]
        if classes == list(range(1, instance.K + 1)):
            return "one column a class"
        return f"classes {', '.join(map(str, classes))}" if C <= _LISTED else f"{C} one-hot columns"
    if C * len(y[0]) <= _LISTED:
        return "targets " + ", ".join(f"({', '.join(map(_decimal, column))})" for column in y)
    return f"{C} columns of targets that are not one-hot"


def _listed(what: str, numbers: list, plain: int) -> list[str]:
    if all(x == plain for x in numbers):
        return []
    if len(numbers) > _LISTED:
        return [f"{what} of {len(numbers)} columns from {_decimal(min(numbers))} to {_decimal(max(numbers))}"]
    return [f"{what} " + ", ".join(map(_decimal, numbers))]


def _decimal(x: Any) -> str:
    return text(x) if x.q < 10**6 and abs(x.p) < 10**15 else brief(float(fraction(x)))


def as_float(x: Any, name: str) -> str:
    """A number of the problem: an integer as it is, a float as the rational that it is."""
    if x.q == 1 and abs(x) < 10**15:
        return text(x)
    near = np.dtype(name).type(float(fraction(x)))
    return f"{near!s} as {name} ({text(x)})" if rational(float(near)) == x else text(x)


def shortfall(instance: Instance, found: Sandwich, digits: int) -> str:
    """Why fewer digits are proved than were asked for; empty where they are."""
    if found.reaches(digits):
        return ""
    if instance.features == "sphere":
        return f"fewer than {digits} digits: on the sphere duality is a relaxation"
    if instance.H0 is not None:
        return f"fewer than {digits} digits: the lower end leaves the proximity term out"
    if instance.features == "nonnegative":
        return f"fewer than {digits} digits: the point is not accurate enough, or duality not tight over non-negative features"
    if instance.trained and len(found.point.h[0]) < min(instance.K, len(instance.m)):
        return f"fewer than {digits} digits: the point is not accurate enough, or the width is below the rank of the convex optimum"
    return f"fewer than {digits} digits: the point is not accurate enough for more"
