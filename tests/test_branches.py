"""Cases and draws take both sides of what closed forms choose, for a few entries: `tests/branches.py` asks the catalogue."""

import jax
import jax.numpy as jnp
import pytest
from branches import EXCEPTIONS, one_sided

from ufm.theory.registry import catalogue
from ufm.theory.theorem import Theorem, agreement


@pytest.mark.parametrize("name", ["ce-one-layer", "mse-imbalanced-deep", "renormalised-central-path"])
def test_cases_and_draws_take_both_sides_of_every_choice(name):
    assert one_sided(catalogue()[name]) == EXCEPTIONS.get(name, (set(), ""))[0]
    jax.clear_caches()


def test_exceptions_are_of_entries_and_say_why():
    for name, (choices, reason) in EXCEPTIONS.items():
        assert name in catalogue() and choices and reason


def predict(case):
    """Of x: its size, less 1 for two entries; and a square root that never meets a negative number."""
    if case.size > 9:
        raise ValueError(case)
    if case.size == 2:
        case = case - 1
    size = jnp.where(case < 0, -case, case)
    return jnp.sqrt(jnp.maximum(size, 0))


def entry(*cases):
    made = {str(i): jnp.asarray(case) for i, case in enumerate(cases)}
    return Theorem("a-claim", "holds", "It is so.", "nobody", predict, lambda case, key: case, lambda: made, agreement(1e-9))


def test_what_goes_one_way_only_is_found():
    always = "predict: maximum in line 8"
    assert one_sided(entry([3.0])) == {"predict: if in line 5", "predict: where in line 7", always}
    assert one_sided(entry([3.0], [-3.0])) == {"predict: if in line 5", always}
    assert one_sided(entry([3.0], [3.0, -3.0])) == {always}
    assert one_sided(entry([0.0], [3.0, -3.0])) == set()
