"""A small part of `tests/random_proofs.py`: no proof of random problems is untrue, and no false one is believed."""

import pytest

from tests.random_proofs import Structure, count

TRIED = (
    Structure("ce", "weighted", 3, 5, 3),
    Structure("logistic", "plain", 4, 3, 3),
    Structure("squared_hinge", "nonnegative", 2, 4, 2),
    Structure("kd", "fixed", 3, 3, 2),
    Structure("dual_head", "plain", 2, 3, 4),
    Structure("mse", "fixed sphere", 3, 4, 2),
)


@pytest.mark.parametrize("structure", TRIED, ids=lambda s: f"{s.loss} {s.kind}")
def test_no_proof_is_untrue_and_no_false_one_is_believed(structure):
    found = count(structure, 3, 1, steps=0)
    assert found[:4] == (0, 0, 0, 0) and found.problems == 3
    assert found.proofs + found.none == 9
