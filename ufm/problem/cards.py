"""Problems in words: the model, its sizes and ridges."""

from typing import Any

import jax
import numpy as np

from ufm.base.card import Card, Fact, lanes, numbers, shown
from ufm.base.checks import brief
from ufm.base.describe import describe
from ufm.problem.classes import Classes, EqualClasses
from ufm.problem.problem import Problem

_DIMENSIONS = {
    "l2_W": 1, "classifier": 2, "H0": 2, "sizes": 1, "counts": 1, "shares": 1, "table": 2, "multiplicity": 1, "run_intercept": 1,
    "run_weight": 1, "run_teacher": 2,
}  # fmt: skip
_FEATURES = {"free": "any vectors", "nonnegative": "no entry below 0, as after a ReLU", "sphere": "of length 1"}
_BIASES = {"none": "no bias", "free": "trained without a ridge", "ridge": "trained with the ridge l2_b"}
_NEXT = "ufm.explain says which theorems give its minimum and which bound it has: for ufm.predict, ufm.solve and ufm.certify."


@describe.register
def problem_card(problem: Problem) -> Card:
    """The model, its sizes and ridges."""
    stacked, first = first_lane(problem)
    loss, classes = problem.loss, first.classes
    flags = "convex" if loss.convex else "not convex"
    flags += ", blind to a shift of all logits" if loss.shift_invariant else ""
    layers = " -> ".join(map(str, (*problem.widths, classes)))
    fixed = ", the last one fixed" if problem.classifier is not None else ""
    facts = [
        Fact("loss", loss.name, flags),
        Fact("classes K", str(classes), _classes(first) if not stacked else _classes(first) + " in the first lane"),
        Fact("samples N", shown(first.samples), f"in {first.columns} columns"),
        Fact("layers", layers, f"M = {len(problem.widths)} from features to logits{fixed}"),
        Fact("features", problem.features, _FEATURES[problem.features]),
        Fact("bias", problem.bias, _BIASES[problem.bias]),
        Fact("l2_W", shown(problem.l2_W) if stacked else brief(problem.l2_W), "ridge of the weights, l2_W/2 |W|^2"),
        Fact("l2_H", shown(problem.l2_H), "ridge of the features"),
    ]
    if problem.bias == "ridge":
        facts.append(Fact("l2_b", shown(problem.l2_b), "ridge of the bias"))
    if problem.H0 is not None:
        facts.append(Fact("beta", shown(problem.beta), "pull towards given features, beta/2 |H - H0|^2"))
    scale = numbers(problem.scale)
    if scale is None or np.any(scale != 1):
        facts.append(Fact("scale", shown(problem.scale), "factor of the logits"))
    kind = "linear layer" if len(problem.widths) == 1 else "linear layers"
    title = f"Problem: {loss.name} on {classes} classes, {len(problem.widths)} {kind}" + lanes(stacked)
    return Card(title, tuple(facts), _NEXT)


def _classes(problem: Problem) -> str:
    design = problem.design
    if not isinstance(design, Classes):
        return f"targets of {len(problem.groups)} kinds of columns"
    smoothed = "" if design.smoothing is None else f", targets smoothed by {shown(design.smoothing)}"
    if isinstance(design, EqualClasses):
        return f"balanced, {shown(design.n)} samples each{smoothed}"
    counts = numbers(design.counts)
    ratio = "" if counts is None else f", ratio {np.max(counts) / np.min(counts):.6g}"
    return f"imbalanced, {shown(design.counts)} samples{ratio}{smoothed}"


def first_lane(problem: Problem) -> tuple[tuple[int, ...], Problem]:
    """(axes stacked in front of the numbers by vmap, the first problem of them)."""
    shape: tuple[int, ...] = ()

    def first(path: tuple, value: Any) -> Any:
        nonlocal shape
        extra = value.ndim - _DIMENSIONS.get(path[-1].name, 0)
        shape = max(shape, value.shape[:extra], key=len)
        return value[(0,) * extra] if extra else value

    one = jax.tree_util.tree_map_with_path(first, problem)
    return shape, one
