"""Problems in words: what is minimised, which theorems give the minimum, and how it can be certified."""

from typing import Any

import jax
import numpy as np

from ufm.card import Card, Fact, cited, lanes, listed, numbers, shown
from ufm.checks import brief
from ufm.duality import bound_in_words
from ufm.explanations.describe import describe
from ufm.problem import Classes, EqualClasses, Problem
from ufm.theory.catalogue import applicable
from ufm.theory.theorem import Theorem

_DIMENSIONS = {
    "l2_W": 1, "classifier": 2, "H0": 2, "sizes": 1, "counts": 1, "shares": 1, "table": 2, "multiplicity": 1, "run_intercept": 1,
    "run_weight": 1, "run_teacher": 2,
}  # fmt: skip
_FEATURES = {"free": "any vectors", "nonnegative": "no entry below 0, as after a ReLU", "sphere": "of length 1"}
_BIASES = {"none": "no bias", "free": "trained without a ridge", "ridge": "trained with the ridge l2_b"}


@describe.register
def problem_card(problem: Problem) -> Card:
    """The model, its sizes and ridges; the theorems that apply to it and the bound that `ufm.certify` would give."""
    stacked, first = _stack(problem)
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
    theorems = applicable(first)
    verdict = f"{_closed_form(theorems)} {_certificate(problem)}"
    return Card(
        title, tuple(facts), f"The first lane: {verdict}" if stacked else verdict, cited(theorem.source for theorem in theorems[:1])
    )


def _closed_form(theorems: list[Theorem]) -> str:
    if not theorems:
        return "No theorem of the catalogue gives its minimum: ufm.solve searches for it."
    also = f"; so do {listed([t.id for t in theorems[1:]])}" if theorems[1:] else ""
    return f"ufm.predict has its minimum in closed form, by {theorems[0].id} ({theorems[0].status}){also}."


def _certificate(problem: Problem) -> str:
    try:
        return f"ufm.certify bounds it from below ({bound_in_words(problem)})."
    except ValueError as refusal:
        return f"ufm.certify has no bound for it: {refusal}."


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


def _stack(problem: Problem) -> tuple[tuple[int, ...], Problem]:
    """(axes stacked in front of the numbers by vmap, the first problem of them)."""
    shape: tuple[int, ...] = ()

    def first(path: tuple, value: Any) -> Any:
        nonlocal shape
        extra = value.ndim - _DIMENSIONS.get(path[-1].name, 0)
        shape = max(shape, value.shape[:extra], key=len)
        return value[(0,) * extra] if extra else value

    one = jax.tree_util.tree_map_with_path(first, problem)
    return shape, one
