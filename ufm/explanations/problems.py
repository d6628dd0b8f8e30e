"""Problems in words: what is minimised, which theorems give the minimum, and how it can be certified."""

import dataclasses
from typing import Any

import numpy as np

from ufm.card import Card, Fact, cited, lanes, listed, numbers, shown
from ufm.checks import brief
from ufm.duality import bound_in_words
from ufm.explanations.describe import describe
from ufm.problem import Problem
from ufm.theory.catalogue import applicable
from ufm.theory.theorem import Theorem

_DIMENSIONS = {"targets": 2, "multiplicity": 1, "intercept": 1, "weight": 1, "l2_W": 1, "classifier": 2, "H0": 2, "teacher": 2}
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
        Fact("classes K", str(classes), _classes(problem)),
        Fact("samples N", shown(problem.samples), f"in {first.columns} columns"),
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
    counts = numbers(problem.counts)
    if problem.design == "general":
        return f"targets of {len(problem.groups)} kinds of columns"
    smoothed = ", smoothed targets" if problem.design == "smoothed" else ""
    if counts is None or problem.design != "imbalanced":
        return f"{problem.design}, {shown(problem.counts)} samples each" if not smoothed else f"balanced{smoothed}"
    return f"imbalanced, {shown(problem.counts)} samples, ratio {np.max(counts) / np.min(counts):.6g}"


def _stack(problem: Problem) -> tuple[tuple[int, ...], Problem]:
    """(axes stacked in front of the numbers by vmap, the first problem of them)."""
    shape, first = (), {}
    for field in dataclasses.fields(problem):
        value: Any = getattr(problem, field.name)
        if hasattr(value, "ndim"):
            extra = value.ndim - _DIMENSIONS.get(field.name, 0)
            shape = max(shape, value.shape[:extra], key=len)
            first[field.name] = value[(0,) * extra] if extra else value
    return shape, dataclasses.replace(problem, **first)
