"""The evidence of a sixteenth of the catalogue reads every leaf of what theorems say: `tests/moved_leaves.py` asks all of it."""

import dataclasses
import os

import jax
import jax.numpy as jnp
import pytest
from moved_leaves import EXCEPTIONS, moves_of, unread

from ufm.theory.registry import catalogue
from ufm.theory.theorem import Theorem, agreement

PART, PARTS = int(os.environ.get("UFM_MOVED_LEAVES_PART", 0)), 16


@pytest.mark.parametrize("name", list(catalogue())[PART % PARTS :: PARTS])
def test_evidence_notices_every_move(name):
    assert unread(catalogue()[name]) == EXCEPTIONS.get(name, (set(), ""))[0]
    jax.clear_caches()


def test_exceptions_are_of_entries_and_say_why():
    for name, (moves, reason) in EXCEPTIONS.items():
        assert name in catalogue() and moves and reason


def test_a_leaf_that_evidence_forgets_is_found():
    def evidence(case, predicted, measured):
        return agreement(1e-9)(case, predicted["read"], measured["read"])

    def answer(case, key=None):
        return {"read": case, "forgotten": 2 * case, "count": jnp.asarray(3), "flag": jnp.asarray(True)}

    theorem = Theorem("a-claim", "holds", "It is so.", "nobody", answer, answer, lambda: {"only": jnp.asarray(1.0)}, evidence)
    assert unread(theorem) == {"forgotten up", "forgotten down", "count up", "count down", "flag"}
    assert unread(dataclasses.replace(theorem, evidence=agreement(1e-9))) == set()
    one_sided = dataclasses.replace(theorem, evidence=lambda case, p, m: agreement(1e-9)(case, jax.tree.map(jnp.minimum, p, m), m))
    assert unread(one_sided) == {"read up", "forgotten up", "count up"}
    with pytest.raises(AssertionError, match="a-claim"):
        unread(dataclasses.replace(theorem, predict=lambda case: jax.tree.map(lambda x: x * 0, answer(case))))


def test_moves_go_both_ways_and_leave_the_rest_alone():
    tree = {"zero": jnp.zeros(2), "numbers": jnp.asarray([1.0, -2.0])}
    moved = dict(moves_of(tree))
    assert set(moved) == {"zero up", "zero down", "numbers up", "numbers down"}
    assert float(moved["zero up"]["zero"][0]) == 1e-3 and jnp.array_equal(moved["zero up"]["numbers"], tree["numbers"])
    assert jnp.allclose(moved["numbers down"]["numbers"], jnp.asarray([0.999, -2.002]))
