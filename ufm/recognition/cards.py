"""Identifications in words: the geometries that were recognised, and the theorems that predict them."""

import numpy as np

from ufm.base.card import Card, Fact, shown
from ufm.base.describe import describe
from ufm.recognition.identification import Identification
from ufm.recognition.shapes import Shape
from ufm.recognition.symmetry import counted
from ufm.theory.registry import catalogue, sharpest_first
from ufm.theory.theorem import STATUSES, Theorem


@describe.register
def identification_card(found: Identification) -> Card:
    """The geometries that were recognised, the symmetry among classes, and the theorems that agree or do not."""
    shapes = [
        (role, shape) for role, shape in (("class means", found.means), ("classifier", found.classifier)) if shape is not None
    ]
    facts = [_shape_fact(role, shape) for role, shape in shapes]
    of_params = not (np.isnan(found.alignment) and np.isnan(found.nc1))
    if of_params:
        facts.append(Fact("alignment", shown(found.alignment, 2), "of classifier and class means: 0 where they are dual"))
        facts.append(Fact("NC1", shown(found.nc1, 2), "variability within classes over between them"))
    order = f"{found.symmetry.name} (order {counted(found.symmetry.order)})"
    facts.append(Fact("symmetry", order, "permutations of classes that change nothing"))
    agreeing = sharpest_first([catalogue()[match.theorem] for match in found.theorems if match.agrees])
    others = sharpest_first([catalogue()[match.theorem] for match in found.theorems if not match.agrees])
    facts.append(Fact("predicted by" if of_params else "claims of it", _ids(agreeing) or "no theorem of the catalogue"))
    if others:
        facts.append(Fact("at odds with", _ids(others)))
    names = " and ".join(dict.fromkeys(shape.name for _, shape in shapes))
    if not of_params:
        verdict = f"Geometry: {names}. With params and their problem, ufm.identify says which theorems predict it there."
    elif agreeing:
        verdict = f"Geometry: {names}, as {agreeing[0].id} says ({agreeing[0].status}: {STATUSES[agreeing[0].status]})."
    elif others:
        verdict = f"Geometry: {names}. The theorems that apply place the minimum elsewhere: compare the value with ufm.predict."
    else:
        verdict = f"Geometry: {names}. No theorem speaks of this problem: certify that the point is a minimum, then conjecture."
    source = agreeing[0].source if agreeing and of_params else ""
    return Card("Identification: the geometry of a point", tuple(facts), verdict, source)


def _shape_fact(role: str, shape: Shape) -> Fact:
    nearest = sorted(shape.distances.items(), key=lambda item: item[1])[:3]
    near = "distances: " + ", ".join(f"{name} {distance:.2g}" for name, distance in nearest)
    merged = f"; merged {list(map(list, shape.groups))}" if shape.groups else ""
    dead = f"; zero {list(shape.dead)}" if shape.dead else ""
    return Fact(role, f"{shape.name}, rank {shape.rank}", (near if nearest else "all vectors vanish") + merged + dead)


def _ids(theorems: list[Theorem]) -> str:
    return ", ".join(f"{theorem.id} ({theorem.status})" for theorem in theorems)
