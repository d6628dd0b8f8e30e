"""Counterexamples: what refutes a claim of the catalogue, as plain numbers, with its proof and NumPy lines that need no ufm."""

from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from ufm.base.card import Card, Fact, listed, sentence, shown
from ufm.base.checks import refuse
from ufm.base.describe import describe
from ufm.proofs import Proof
from ufm.proofs.exact import precision
from ufm.proofs.expressions import of_tree
from ufm.proofs.facts import known
from ufm.theory.registry import catalogue
from ufm.theory.theorem import Theorem

_BITS = 320


@dataclass(frozen=True)
class Counterexample:
    """Numbers at which a published claim is wrong.

    theorem: the id of the refuted entry. case: which of its cases this is. claim: one sentence. numbers: the counterexample by
    name, floats, ints and NumPy arrays. claimed: what the claim says (a value, or a bound of one). found: what is true at the
    numbers, on the wrong side of it. meaning: what both are. proof: that they are apart, in exact arithmetic. lines: NumPy code
    that holds the numbers and computes `claimed` and `found` from them.

    Example:
      >>> import ufm
      >>> found = ufm.refutation("mse-largest-root")
      >>> print(f"{found.claimed:.6f} {found.found:.6f}")
      0.533857 0.500000
    """

    theorem: str
    case: str
    claim: str
    numbers: dict[str, Any] = field(repr=False)
    claimed: float
    found: float
    meaning: str
    proof: Proof = field(repr=False)
    lines: str = field(repr=False)

    def __str__(self) -> str:
        return describe(self).text()

    def _repr_html_(self) -> str:
        return describe(self).html()


def refutation(id: str) -> Counterexample:
    """The counterexample of a refuted entry of the catalogue.

    Args:
      id: of an entry whose status is "refuted".

    Returns:
      Counterexample, at double precision whatever the caller's default is.

    Raises:
      ValueError: for another id, naming those that are refuted; where python-flint is not installed, naming the extra.

    Example:
      >>> import ufm
      >>> ufm.refutation("ntp-mm-centred").proof.kind
      'refutation'
    """
    refuted = [theorem.id for theorem in catalogue().values() if theorem.status == "refuted"]
    if not isinstance(id, str) or id not in refuted:
        refuse("id", id, "the id of a refuted entry: " + ", ".join(refuted))
    with jax.enable_x64(True):
        return _made(catalogue()[id])


def _made(theorem: Theorem) -> Counterexample:
    from ufm.verification.numpy_lines import RECIPES  # which loads all families and SciPy's minimisers

    recipe = RECIPES[theorem.id]
    cases = theorem.cases()
    label = recipe.case or next(iter(cases))
    proof, numbers = theorem.proof_of(cases[label], None), recipe.numbers(cases[label])
    claimed, found = _ends(proof)
    lines = "\n".join(["import numpy as np", "", *map(_assigned, numbers, numbers.values()), "", recipe.code.strip(), ""])
    return Counterexample(theorem.id, label, theorem.claim, numbers, claimed, found, recipe.meaning, proof, lines)


def _ends(proof: Proof) -> tuple[float, float]:
    """What the names "claimed" and "found" of a proof are worth."""
    with precision(_BITS):
        balls = known([(label, of_tree(tree)) for label, tree in proof.document["where"]])[0]
        return float(balls["claimed"]), float(balls["found"])


def _assigned(label: str, value: Any) -> str:
    """A line, or a few, that gives a name to plain numbers."""
    if not isinstance(value, np.ndarray):
        return f"{label} = {value!r}"
    if value.ndim < 2:
        return f"{label} = np.array({value.tolist()!r})"
    rows = ",\n    ".join(repr(row) for row in value.tolist())
    return f"{label} = np.array([\n    {rows},\n])"


@describe.register
def counterexample_card(found: Counterexample) -> Card:
    """The claim, both values, and what is proved of them."""
    sign = "<" if found.found < found.claimed else ">"
    facts = (
        Fact("claim", found.claim),
        Fact("case", found.case),
        Fact("claimed", shown(found.claimed, 12), found.meaning),
        Fact("found", shown(found.found, 12), f"found {sign} claimed contradicts the claim"),
        Fact("numbers", listed(list(found.numbers), 12), "as plain numbers in .numbers, as NumPy code in .lines"),
    )
    verdict = sentence(f"Refuted: {found.proof.statement}") + " Proved in exact arithmetic, see .proof."
    return Card(f"Counterexample to {found.theorem}", facts, verdict, catalogue()[found.theorem].source)
