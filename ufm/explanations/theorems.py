"""Theorems in words: entries of the catalogue, their predictions, the geometries that they know, and what verdicts mean."""

import difflib
from collections.abc import Callable

import jax
import numpy as np

from ufm.card import Card, Fact, cited, lanes, listed, numbers, sentence, shown
from ufm.checks import refuse
from ufm.explanations.describe import describe
from ufm.explanations.statuses import TRACED
from ufm.recognition import Identification, Shape
from ufm.report import KINDS, Report
from ufm.report import VERDICTS as MEASURED
from ufm.theory.catalogue import catalogue, family_of, sharpest_first
from ufm.theory.prediction import Prediction
from ufm.theory.theorem import STATUSES, Theorem

VERDICTS = {
    **MEASURED,
    "optimal": "proved, no parameters of the problem have a lower value",
    "best-known": "the lowest value that any search of ours has found: an upper bound, not a proof; ufm.certify bounds the rest",
}
_WHERE = {"fails": "verdict of a report", "optimal": "label of a prediction", "best-known": "label of a prediction"}


@describe.register
def word_card(word: str) -> Card:
    """A verdict, or a theorem by its id.

    Raises:
      ValueError: for any other word, with the nearest ones.
    """
    if word in VERDICTS:
        ids = [theorem.id for theorem in catalogue().values() if theorem.status == word]
        facts = [Fact("is a", _WHERE.get(word, "status of a theorem, verdict of a report"))]
        if word in STATUSES:
            facts.append(Fact("before that", "as a status", STATUSES[word]))
        if ids:
            facts.append(Fact("theorems", f"{len(ids)} of {len(catalogue())}", listed(ids)))
        return Card(f"Verdict {word!r}", tuple(facts), sentence(VERDICTS[word]))
    if word in catalogue():
        return theorem_card(catalogue()[word])
    near = difflib.get_close_matches(word, [*VERDICTS, *catalogue()], n=3, cutoff=0.3) or list(catalogue())[:3]
    refuse("x", word, f"a verdict ({', '.join(VERDICTS)}) or a theorem's id, such as {', '.join(map(repr, near))}")


@describe.register
def theorem_card(theorem: Theorem) -> Card:
    """One entry: claim, assumptions, notes, cases and the formula of its closed form."""
    formula = " ".join((theorem.predict.__doc__ or "").split())
    with jax.enable_x64(True):  # as ufm.verify makes them, whatever the caller's default
        cases = list(theorem.cases())
    facts = [
        Fact("claim", theorem.claim),
        Fact("assumes", "; ".join(assumption.text for assumption in theorem.assumes)),
        Fact("notes", theorem.notes),
        Fact("cases", listed(cases, 8) + ("; random ones too" if theorem.draw else "")),
        Fact("closed form", formula),
        Fact("code", _address(theorem.predict)),
    ]
    family = f" ({family_of(theorem)})" if catalogue().get(theorem.id) is theorem else ""
    known = tuple(fact for fact in facts if fact.value)
    return Card(f"Theorem {theorem.id}{family}", known, sentence(f"{theorem.status}: {STATUSES[theorem.status]}"), theorem.source)


@describe.register
def prediction_card(prediction: Prediction) -> Card:
    """What a theorem says of a minimum, and how sure that is."""
    theorem = catalogue().get(prediction.theorem)
    status = "" if theorem is None else f"{theorem.status}: {STATUSES[theorem.status]}"
    layers = np.shape(prediction.singular_values)[-2] - 1
    facts = (
        Fact("theorem", prediction.theorem or "not signed", status),
        Fact("value", shown(prediction.value, 10), "f at the minimum"),
        Fact("rank", shown(prediction.rank), "of the logit matrix without its bias"),
        Fact("alive", shown(prediction.alive), "classes, or singular directions, that are not zero"),
        Fact("unique", shown(prediction.unique), "up to rotations of hidden coordinates"),
        Fact(
            "singular values",
            _per_factor(prediction.singular_values),
            "the largest of H, W_1" + (f" to W_{layers}" if layers > 1 else ""),
        ),
    )
    title = "Prediction: a minimum in closed form" + lanes(np.shape(prediction.value))
    return Card(title, facts, _how_sure(prediction), "" if theorem is None else theorem.source)


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
    order = f"{found.symmetry.name} (order {found.symmetry.order})"
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


@describe.register
def report_card(report: Report) -> Card:
    """How many entries stand, the worst number of each kind of evidence, and what failed."""
    facts = []
    for kind in KINDS:
        checks = [(entry.worst(kind), entry) for entry in report.entries]
        counted = [(check, entry) for check, entry in checks if check is not None]
        failed = [entry.theorem.id for check, entry in counted if not check.passed]
        meaning = f"with a check above its tolerance: {listed(failed)}" if failed else "with every check within its tolerance"
        facts.append(Fact(kind, f"in {len(counted)} of {len(checks)} entries", meaning if counted else ""))
    facts += [Fact(name, value) for name, value in report.environment.items()]
    verdict = " ".join(map(sentence, [report.summary, *(line for entry in report.entries for line in entry.failures)]))
    return Card(
        "Report: closed forms against measured minima", tuple(facts), verdict, cited(e.theorem.source for e in report.entries)
    )


def _how_sure(prediction: Prediction) -> str:
    value, rank = numbers(prediction.value), numbers(prediction.rank)
    words = f"{prediction.label}: {VERDICTS.get(prediction.label, 'a label that ufm does not know')}"
    if value is None or rank is None:
        return f"{sentence(words)} {TRACED}"
    missing = np.sum(~np.isfinite(value))
    if missing == value.size:
        return "No number came out: the ridges or targets are out of the range of float arithmetic, or NaN."
    vanished = np.sum(rank == 0)
    where = f"{vanished} of {rank.size} minima" if rank.ndim else "the minimum"
    zero = f" At {where} all features vanish: the ridges are too large for anything else." if vanished else ""
    lost = f" {missing} of {value.size} values are not finite." if missing else ""
    return sentence(words) + zero + lost


def _per_factor(singular_values: object) -> str:
    values = numbers(singular_values)
    if values is None:
        return "traced"
    return "; ".join(shown(np.max(values[..., i, :], axis=-1), 4) for i in range(values.shape[-2]))


def _shape_fact(role: str, shape: Shape) -> Fact:
    nearest = sorted(shape.distances.items(), key=lambda item: item[1])[:3]
    near = "distances: " + ", ".join(f"{name} {distance:.2g}" for name, distance in nearest)
    merged = f"; merged {list(map(list, shape.groups))}" if shape.groups else ""
    dead = f"; zero {list(shape.dead)}" if shape.dead else ""
    return Fact(role, f"{shape.name}, rank {shape.rank}", (near if nearest else "all vectors vanish") + merged + dead)


def _address(function: Callable) -> str:
    function = getattr(function, "func", function)  # of a partial
    return f"{function.__module__}.{getattr(function, '__qualname__', type(function).__qualname__)}"


def _ids(theorems: list[Theorem]) -> str:
    return ", ".join(f"{theorem.id} ({theorem.status})" for theorem in theorems)
