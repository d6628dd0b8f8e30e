"""Proofs in words: what was proved of which instance, to how many digits, and what was not."""

from math import isinf

from ufm.base.card import Card, Fact
from ufm.base.describe import describe
from ufm.proofs.proof import KINDS, Proof, decimals


@describe.register
def proof_card(proof: Proof) -> Card:
    """The statement, both ends in decimals, the digits, and the reason where less is proved than was asked for."""
    facts = [Fact("kind", proof.kind, KINDS[proof.kind])]
    if proof.lower is not None and proof.upper is not None:
        lower, upper = decimals(proof.lower, proof.upper)
        digits = "exact" if isinf(proof.digits) else f"{proof.digits:.1f}"
        facts += [
            Fact("lower", lower, "rounded down"),
            Fact("upper", upper, "rounded up"),
            Fact("digits", digits, "of the value that both ends agree to"),
        ]
    title = "Proof of one instance" if proof.proved else "No proof"
    return Card(title, tuple(facts), " ".join(filter(None, (proof.statement + ".", proof.reason))))
