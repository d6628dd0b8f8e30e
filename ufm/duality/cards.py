"""Certificates in words: whether a bound certifies a point as a global minimum, and what to do where it does not."""

from enum import IntEnum
from functools import partial

import numpy as np

from ufm.base.card import Card, Fact, lanes, numbers, shown
from ufm.base.describe import describe
from ufm.base.outcomes import TRACED, tally
from ufm.base.references import spelled_out
from ufm.base.status import Status
from ufm.duality.certificate import Certificate

_SOURCE = "Convex duality; optimality conditions: [zhu2021] and [zhou2022landscape]"
_FAR = 1e-2


class Standing(IntEnum):
    """What a certificate says of its point, by the relative gap: at most 1e-6 (1e-3 in float32), at most 1e-2, more, or none."""

    GLOBAL = 0
    NEAR = 1
    OPEN = 2
    NO_BOUND = 3
    CONTRADICTION = 4
    NO_VALUE = 5


_TEXTS = {
    Standing.NEAR: "the global minimum is at most {relative:.2g} of the value lower: a smaller tolerance of ufm.solve closes the "
    "rest where the bound is tight (ufm.explain of the problem says)",
    Standing.OPEN: "not certified, the global minimum may be up to {relative:.2g} of the value lower: either the point is not a "
    "global minimum, or the bound is loose (chord with M >= 2 trained layers, proximity term, too small a width, or a loss without "
    "a known conjugate; ufm.explain of the problem says)",
    Standing.NO_BOUND: "{reason}; certify a point nearer the minimum",
    Standing.CONTRADICTION: "the bound is above the value, which cannot be: the conjugate of the loss, its `least` or its "
    "convexity is not what it declares",
    Standing.NO_VALUE: "the value is infinite or NaN at the point: see the status of the run that it comes from",
}


@describe.register
def certificate_card(certificate: Certificate) -> Card:
    """The bound, the gap, and whether it certifies a global minimum."""
    facts = (
        Fact("value", shown(certificate.value, 10), "f at the point"),
        Fact("lower bound", shown(certificate.lower_bound, 10), "no parameters have a lower value"),
        Fact("gap", shown(certificate.gap, 2), "value - lower bound"),
        Fact("relative gap", shown(certificate.relative_gap, 2), "gap / value"),
        Fact("spectral ratio", shown(certificate.spectral_ratio, 8), "at most 1 at a global minimum of one trained layer"),
        Fact("allowance", shown(certificate.allowance, 2), "what the bound gave up for rounding: no smaller gap can be seen"),
    )
    title = "Certificate: a lower bound on every value" + lanes(np.shape(certificate.value))
    found = standings(certificate)
    verdict = TRACED if found is None else tally(found, lambda v: Standing(v).name, partial(_words, certificate, found))[1]
    return Card(title, facts, verdict, spelled_out(_SOURCE))


def standings(certificate: Certificate) -> np.ndarray | None:
    """The `Standing` of every lane; None where numbers are traced."""
    known = [x for x in map(numbers, certificate[:5]) if x is not None]
    if len(known) < 5:
        return None
    value, bound, gap, relative, _ = known
    close = 1e-6 if value.dtype == np.float64 else 1e-3
    relative = _without_zero_over_zero(gap, relative)
    tests = {
        Standing.NO_VALUE: ~np.isfinite(value),
        Standing.NO_BOUND: ~np.isfinite(bound),
        Standing.CONTRADICTION: gap < 0,
        Standing.GLOBAL: relative <= close,
        Standing.NEAR: relative <= _FAR,
    }
    return np.select(list(tests.values()), list(map(int, tests)), int(Standing.OPEN))


def _words(certificate: Certificate, found: np.ndarray, standing: int) -> str:
    """The sentence of one kind of lanes, with the numbers of the one lane, or the worst of many."""
    here = found == standing
    fixed = [np.asarray(x) for x in certificate[:5]]
    fixed[3] = _without_zero_over_zero(fixed[2], fixed[3])
    value, _, gap, relative, ratio = (float(np.max(x[here])) for x in fixed)
    if standing != Standing.GLOBAL:
        lower = standing == Standing.OPEN and found.ndim == 0 and ratio > 1
        escape = ". With one trained layer a spectral ratio above 1 says the former: ufm.escape_direction leads lower"
        return _TEXTS[Standing(standing)].format(relative=relative, reason=_reason(certificate, here)) + (escape if lower else "")
    dtype = fixed[0].dtype
    unseen = f" ({dtype} cannot see less than {_unseen(certificate, here):.1g} of it)" if dtype != np.float64 else ""
    if found.ndim:
        return f"global minima to relative {relative:.2g} or better{unseen}"
    return f"global minimum to relative {relative:.2g}: no parameters have a lower value than {value:.6g} - {gap:.2g}{unseen}"


def _unseen(certificate: Certificate, here: np.ndarray) -> float:
    """The largest share of the value that rounding hides, at least that of one rounding."""
    value = np.abs(np.broadcast_to(np.asarray(certificate.value), here.shape)[here])
    allowance = np.broadcast_to(np.asarray(certificate.allowance), here.shape)[here]
    return float(np.max(np.where(value > 0, allowance / np.where(value > 0, value, 1), 0)) + np.finfo(certificate.value.dtype).eps)


def _reason(certificate: Certificate, here: np.ndarray) -> str:
    """Why there is no bound: the first reason of the lanes in question."""
    status = int(np.broadcast_to(np.asarray(certificate.status), here.shape)[here][0])
    return "no bound: it is not a finite number" if status == Status.BOUNDED else Status(status).text


def _without_zero_over_zero(gap: np.ndarray, relative: np.ndarray) -> np.ndarray:
    """Relative gaps with 0 where value and bound are both zero."""
    return np.where(np.asarray(gap) == 0, 0, relative)
