"""A small part of `tests/random_claims.py`: nothing that is said of random problems is untrue."""

import pytest

from tests.random_claims import Structure, count

TRIED = (
    Structure("ce", "free", "sizes", "free", (4,), "float64"),
    Structure("logistic", "ridge", "smoothed", "free", (4,), "float32"),
)


@pytest.mark.parametrize("structure", TRIED, ids=lambda s: " ".join(map(str, s[:4])))
def test_no_bound_no_status_and_no_prediction_is_untrue(structure):
    found = count(structure, 24, 1)
    assert found[:3] == (0, 0, 0) and found.problems == 24
    assert found.converged + found.served > 0
