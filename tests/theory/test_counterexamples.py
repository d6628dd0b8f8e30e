"""Every refuted entry hands out its counterexample: a proof that the checker accepts, and NumPy lines that need no ufm."""

import ast
import subprocess
import sys

import numpy as np
import pytest

import ufm
from ufm.proofs.check_proof import Refused, check
from ufm.proofs.expressions import name, of_tree
from ufm.proofs.facts import Above, Less, refutation
from ufm.theory.registry import catalogue

REFUTED = [theorem.id for theorem in catalogue().values() if theorem.status == "refuted"]
RISING = {"proximity-nc1-stationary", "naive-ce-zero-sum"}  # what is found is above what is claimed
GOLDEN = {
    "ce-deep-etf-global": (0.6036589861768648, 0.5910679882787128),
    "mse-largest-root": (None, 0.5),
    "relu-published-margins": (0.0711839530, 0.0691475480),
    "ntp-mm-centred": (2.978437151483947, None),
    "dhkd-backbone": (0.0, None),
    "naive-ce-zero-sum": (0.0, 1.0),
}  # of the first cases, from calculations without ufm


@pytest.fixture(scope="module")
def counterexamples():
    return {id: ufm.refutation(id) for id in REFUTED}


def test_there_is_one_for_every_refuted_entry(counterexamples):
    assert len(REFUTED) == 9
    for id, found in counterexamples.items():
        assert found.proof.kind == "refutation" and found.proof.document["claim"] == {"theorem": id}
        assert (found.found > found.claimed) == (id in RISING) and found.found != found.claimed
        for value, expected in zip((found.claimed, found.found), GOLDEN.get(id, (None, None)), strict=True):
            assert expected is None or abs(value - expected) <= 1e-10 * max(1, abs(expected))


@pytest.mark.parametrize("id", REFUTED)
def test_lines_need_numpy_alone(counterexamples, id):
    found = counterexamples[id]
    imports = [node for node in ast.walk(ast.parse(found.lines)) if isinstance(node, ast.Import | ast.ImportFrom)]
    assert [alias.name for node in imports for alias in node.names] == ["numpy"]
    space = {}
    exec(found.lines, space)
    for label in ("claimed", "found"):
        value = getattr(found, label)
        assert abs(space[label] - value) <= 1e-9 * (abs(value) or 1), label
    assert (space["found"] > space["claimed"]) == (id in RISING)
    for label, value in found.numbers.items():
        assert isinstance(value, int | float | np.ndarray)
        assert np.array_equal(space[label], value), label  # every digit is in the text


@pytest.mark.parametrize("id", REFUTED)
def test_the_checker_accepts_the_proof_and_not_a_true_claim(counterexamples, id):
    document, rising = counterexamples[id].proof.document, id in RISING
    check(document)
    share = "1001/1000" if rising or counterexamples[id].found < 0 else "999/1000"
    where = [pair for pair in document["where"] if pair[0] != "claimed"] + [["claimed", ["*", share, "found"]]]
    [contradiction] = [fact for fact in document["facts"] if "claimed" in str(fact.get("less")) and "found" in str(fact)]
    with pytest.raises(Refused, match="less"):
        check(document | {"where": where, "facts": [contradiction]})
    ours = [(label, of_tree(tree)) for label, tree in where]
    pair = (name("claimed"), name("found")) if rising else (name("found"), name("claimed"))
    proof = refutation("a claim that holds", [Less(*pair)], ours)
    assert not proof.proved and "is false" in proof.reason


@pytest.mark.parametrize(
    ("id", "bound"), [("ce-deep-etf-global", "claimed"), ("mse-largest-root", "claimed"), ("proximity-aligned-weak", "mode1")]
)
def test_a_claimed_bound_cannot_be_raised(counterexamples, id, bound):
    """The contradiction itself would still hold: what the claim is said to be worth is proved too."""
    document = counterexamples[id].proof.document
    where = [(label, of_tree(tree)) for label, tree in document["where"]]
    facts = [fact["above"] for fact in document["facts"] if bound in str(fact.get("above"))]
    assert facts
    held = [Above(of_tree(f["of"]), tuple(map(_end, f["on"])), of_tree(f["value"])) for f in facts]
    assert refutation("as it is", held, where).proved
    raised = [(label, e * 1.001 if label == bound else e) for label, e in where]
    proof = refutation("raised", held, raised)
    assert not proof.proved and "false" in proof.reason


def _end(text):
    return float("inf") if text == "inf" else of_tree(text).parts[0]


def test_other_ids_are_refused():
    for id in ("ce-one-layer", "no such entry", 3):
        with pytest.raises(ValueError, match=r"ce-deep-etf-global.*naive-ce-zero-sum"):
            ufm.refutation(id)


def test_a_counterexample_prints(counterexamples):
    for id, found in counterexamples.items():
        text = " ".join(str(found).split())
        assert f"Counterexample to {id}" in text and "contradicts the claim" in text and "Proved in exact arithmetic" in text
        assert found._repr_html_().lstrip().startswith("<") and id in found._repr_html_()


def test_a_saved_refutation_is_checked_without_ufm(counterexamples, tmp_path):
    file = counterexamples["ntp-mm-centred"].proof.save(tmp_path / "proof.json")
    checker = ufm.proofs.check_proof.__file__
    done = subprocess.run([sys.executable, "-S", checker, str(file)], capture_output=True, text=True, check=True)
    assert "verified" in done.stdout
