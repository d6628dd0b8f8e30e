"""Runs in words: from where to where flows and optimisers went, and whether they got to the end."""

from typing import Any

import jax
import numpy as np

from ufm.base.card import Card, Fact, lanes, listed, numbers, sentence, shown
from ufm.base.describe import describe
from ufm.base.outcomes import outcome
from ufm.base.references import spelled_out
from ufm.motion.descent import Descent
from ufm.motion.log_domain import LogDescent
from ufm.motion.trajectory import Trajectory

_FLOW = "adaptive Runge-Kutta of order 8: [prince1981]; of order 5: [tsitouras2011]; in diffrax: [kidger2021]"


@describe.register
def trajectory_card(trajectory: Trajectory) -> Card:
    """A flow from its first time to the last that it reached."""
    reached = ends(trajectory.value, trajectory.ts)[1]
    facts = (
        Fact("times", shown(trajectory.ts), f"{np.shape(trajectory.ts)[-1]} of them"),
        Fact("reached", shown(reached), "last time with a finite value"),
        *_course(trajectory),
    )
    return _run("Trajectory: a flow", trajectory, facts, spelled_out(_FLOW))


@describe.register
def descent_card(descent: Descent) -> Card:
    """A run of a discrete optimiser."""
    reached = ends(descent.value, descent.recorded)[1]
    facts = (Fact("steps", shown(reached), "last record with a finite value"), *_course(descent))
    return _run("Descent: a run of an optimiser", descent, facts, "")


@describe.register
def log_descent_card(descent: LogDescent) -> Card:
    """A run in the log domain."""
    facts = (
        Fact("steps", shown(ends(descent.log_value, descent.recorded)[1]), "last record with a finite value"),
        Fact("log t", _from_to(descent.log_time), "natural logarithm of the time"),
        Fact("log f", _from_to(descent.log_value), "natural logarithm of the value"),
        Fact("margin", _from_to(descent.margin), "least of z_y - z_k"),
    )
    return _run("LogDescent: a run in the log domain", descent, facts, "")


def ends(value: Any, at: Any) -> tuple[np.ndarray | None, Any]:
    """(value, place) of the last record whose value is finite, lane by lane, NaN without one; (None, None) where traced."""
    values, places = numbers(value), numbers(at)
    if values is None or places is None:
        return None, None
    finite = np.isfinite(values)
    last = values.shape[-1] - 1 - np.argmax(finite[..., ::-1], axis=-1)[..., None]
    some = np.any(finite, axis=-1)
    value, place = (np.take_along_axis(np.broadcast_to(x, values.shape), last, axis=-1)[..., 0] for x in (values, places))
    return np.where(some, value, np.nan), np.where(some, place, np.nan) if not some.all() else place


def _course(run: Trajectory | Descent) -> tuple[Fact, ...]:
    return (
        Fact("value", _from_to(run.value), "f at the start and at the last record"),
        Fact("gradient norm", _from_to(run.gradient_norm, 2), "speed there: 0 at rest"),
    )


def _run(title: str, run: Any, facts: tuple[Fact, ...], source: str) -> Card:
    """The card of a run with its metrics and how it ended."""
    ended, verdict = outcome(run.status)
    recorded = [jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in jax.tree.leaves_with_path(run.metrics)]
    if recorded:
        facts = (*facts, Fact("metrics", listed([name or "one" for name in recorded]), "recorded along the way"))
    return Card(title + lanes(np.shape(run.status)), (*facts, Fact("status", ended)), sentence(verdict), source)


def _from_to(values: Any, digits: int = 6) -> str:
    """The first and the last finite number, each a range over lanes."""
    known = numbers(values)
    if known is None:
        return "traced"
    return f"{shown(known[..., 0], digits)}, then {shown(np.asarray(ends(known, known)[0]).astype(known.dtype), digits)}"
