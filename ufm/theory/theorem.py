"""Theorem: a pair of pure functions that must agree, with what is needed to check and cite it.

    predict(case)        the closed form, or a scalar equation solved to machine precision
    measure(case, key)   what optimisation, a flow, or finite differences finds

A case is whatever both take: a Problem, or any other pytree. `evidence` turns the two answers into checks.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, SupportsFloat

import jax
import numpy as np

from ufm.base.checks import check_choice
from ufm.base.describe import describe
from ufm.base.programs import QUICK
from ufm.base.references import spelled_out
from ufm.proofs import Proof, unproved

STATUSES = {
    "holds": "declared as proved on paper; nothing is measured here, ufm.verify does that",
    "numerical": "declared on the strength of measurements, without a proof; ufm.verify repeats them",
    "refuted": "declared false, with a counterexample that ufm.verify evaluates",
    "diagnostic": "declared as a number to be reported; nothing is asserted of it",
}
"""What an entry says of itself. What measurements make of it is the verdict of a report, see `ufm.verification.report.VERDICTS`."""

ROUNDING = 1e-12

_UNPROVED = {
    "trajectory": "a path is held against an integrator, whose error is estimated and not enclosed",
    "spectrum": "a spectrum is held against a Hessian in floats",
}


class Check(NamedTuple):
    """One number of evidence: it passes when 0 <= error <= tolerance.

    An error is a magnitude: NaN and negative numbers fail, so that no quantity with a sign is checked on one side by accident.

    kind: "agreement", "stationarity", "certificate" or "proof". refutes: whether, in an entry that is refuted, this is a check of
    the claim, which has to fail by a finite amount; the others pin the claim, and have to pass.
    """

    kind: str
    name: str
    error: float
    tolerance: float
    refutes: bool = False

    @property
    def passed(self) -> bool:
        """Whether the error is a magnitude within the tolerance."""
        return bool(0 <= self.error <= self.tolerance)

    @property
    def exceeded(self) -> bool:
        """Whether the error is finite and above the tolerance."""
        return bool(np.isfinite(self.error) and self.error > self.tolerance)


class Assumption(NamedTuple):
    """A condition on problems, in words and as a predicate.

    `test` is asked by every `ufm.predict`, also under jit: where it needs a number that is traced, it must not answer yes
    unless a wrong yes cannot give a wrong number.
    """

    text: str
    test: Callable[[Any], bool]


def _as_it_is(case: Any) -> Any:
    return case


@dataclass(frozen=True)
class Theorem:
    """One catalogue entry.

    Args:
      id: its name on the command line.
      status: a key of `STATUSES`.
      claim: one sentence; empty for the first paragraph of the docstring of `predict`. notes: what else a reader should know.
      origin: whom it is due to, papers as keys of `references.bib` in brackets, and what is derived here: "[zhu2021]; threshold
        derived". `source` reads it with authors, year and arXiv number.
      predict: case -> pytree. measure: (case, key) -> pytree; it never looks at predict.
      cases: () -> {label: case}, both sides of every threshold.
      draw: numpy Generator -> a random case, or None where the cases are all there is.
      evidence: (case, predicted, measured) -> list of Check. In a `refuted` entry the checks that say so (all, where none does)
        are of the claim, and one of them has to fail in every case.
      assumes: what must hold of a Problem for `predict` to answer.
      minimiser: whether predict returns the `Prediction` of a problem's minimum, which `ufm.predict` may serve.
      general: served only where no sharper theorem applies.
      view: case -> the same case in the type that the theorem speaks of, from known numbers (classes as groups of one size, ...);
        `predict` is given what it returns.
      kind: which of the `statements` it is, as the function there says that made it.
      prove: (case, predicted) -> the Proof of that instance, or an unproved one with its reason; None where none is written down.
    """

    id: str
    status: str
    claim: str
    origin: str
    predict: Callable[[Any], Any]
    measure: Callable[[Any, jax.Array], Any]
    cases: Callable[[], dict[str, Any]]
    evidence: Callable[[Any, Any, Any], list[Check]]
    draw: Callable[[np.random.Generator], Any] | None = None
    assumes: tuple[Assumption, ...] = ()
    minimiser: bool = False
    general: bool = False
    view: Callable[[Any], Any] = _as_it_is
    notes: str = ""
    kind: str = "other"
    prove: Callable[[Any, Any], Proof] | None = None

    def __post_init__(self) -> None:
        check_choice("status", self.status, tuple(STATUSES))
        if not self.claim:
            object.__setattr__(self, "claim", paragraphs(self.predict)[0])

    @property
    def source(self) -> str:
        """The origin with its citations spelled out."""
        return spelled_out(self.origin)

    def failing(self, case: Any) -> list[Assumption]:
        """The assumptions that a problem does not meet."""
        return [assumption for assumption in self.assumes if not assumption.test(case)]

    def proof_of(self, case: Any, predicted: Any) -> Proof:
        """What can be proved of one instance; a value, with its reason, where nothing can."""
        if self.prove is None:
            return unproved(_UNPROVED.get(self.kind, "no finite inequality is written down that would prove an instance"))
        return self.prove(case, predicted)

    def closed_form(self) -> Callable[[Any], Any]:
        """`predict` as one program, quickly compiled, of cases in the type that the theorem speaks of; not to be traced."""
        program = jax.jit(self.predict, compiler_options=QUICK)
        return lambda case: program(self.view(case))

    def __str__(self) -> str:
        return describe(self).text()

    def _repr_html_(self) -> str:
        return describe(self).html()


def paragraphs(function: Callable) -> tuple[str, str]:
    """The first paragraph of a function's docstring and the rest of it, each as one line; two empty ones where it has none."""
    first, _, rest = (inspect.getdoc(function) or "").partition("\n\n")
    return " ".join(first.split()), " ".join(rest.split())


def agreement(tolerance: float, scale: float | None = None, **tolerances: float) -> Callable:
    """Evidence that two pytrees of the same structure agree, leaf by leaf, relative to each leaf's largest entry.

    Args:
      tolerance: allowed max |predicted - measured| / scale, where scale is the leaf's largest predicted magnitude.
      scale: a fixed scale in its place, for leaves predicted to be zero.
      **tolerances: another tolerance for the leaf of that name (dictionary key or field).
    """

    def evidence(case: Any, predicted: Any, measured: Any) -> list[Check]:
        del case
        structure: Any
        other_structure: Any
        leaves, structure = jax.tree_util.tree_flatten_with_path(predicted)
        others, other_structure = jax.tree_util.tree_flatten_with_path(measured)
        if structure != other_structure:
            raise ValueError(f"predicted and measured must have one structure, got {structure} and {other_structure}")
        checks = []
        for (path, p), (_, m) in zip(leaves, others, strict=True):
            name = jax.tree_util.keystr(path, simple=True, separator=".") or "value"
            checks.append(Check("agreement", name, relative_error(p, m, scale), tolerances.get(name, tolerance)))
        return checks

    return evidence


def lower_bound(tolerance: float, kind: str = "agreement") -> Callable:
    """Evidence that every measured leaf is at least the predicted one, up to `tolerance` relative; both have to be finite."""

    def evidence(case: Any, predicted: Any, measured: Any) -> list[Check]:
        del case
        p, m = np.asarray(predicted), np.asarray(measured)
        shortfall = np.max(np.maximum(p - m, 0) / np.maximum(np.abs(p), np.finfo(p.dtype).tiny))
        excess = np.where(np.isfinite(m).all() and np.isfinite(p).all(), shortfall, np.nan)
        return [Check(kind, "below bound", float(excess), tolerance)]

    return evidence


def below(kind: str, name: str, shortfall: SupportsFloat, tolerance: float = ROUNDING) -> Check:
    """A check that a signed quantity is not above zero, for what bounds forbid: how far below it lies is another check's matter."""
    amount = float(shortfall)
    return Check(kind, name, amount if np.isnan(amount) else max(amount, 0.0), tolerance)


def gap_checks(gap: SupportsFloat, tolerance: float) -> list[Check]:
    """A certificate on both sides: its relative gap is small, and its bound, which counts its own rounding, not above the value."""
    size = float(gap)
    return [Check("certificate", "gap", abs(size), tolerance), below("certificate", "bound above the value", -size, 0.0)]


def refuting(evidence: Callable) -> Callable:
    """The same evidence, as checks of a claim that is refuted."""

    def marked(case: Any, predicted: Any, measured: Any) -> list[Check]:
        return [check._replace(refutes=True) for check in evidence(case, predicted, measured)]

    return marked


def relative_error(predicted: Any, measured: Any, scale: float | None = None) -> float:
    """max |predicted - measured| / max |predicted| (absolute where everything predicted is zero)."""
    p, m = np.asarray(predicted, dtype=float), np.asarray(measured, dtype=float)
    if p.shape != m.shape:
        raise ValueError(f"predicted and measured must have one shape, got {p.shape} and {m.shape}")
    if p.size == 0:
        return 0.0
    size = float(np.max(np.abs(p))) if scale is None else scale
    return float(np.max(np.abs(p - m))) / (size if size > 0 else 1.0)


def key_of(seed: int, *names: Any) -> jax.Array:
    """A key that depends on a seed and names alone, not on the order in which things run."""
    key = jax.random.key(seed)
    for name in names:
        key = jax.random.fold_in(key, int.from_bytes(str(name).encode(), "little") % (2**31 - 1))
    return key


