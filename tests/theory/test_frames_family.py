"""The family of frames: every entry on one case, and evidence that fails when a prediction is off by 0.1 %."""

import jax
import numpy as np
import pytest

from ufm.theory.frames import bounds, dot_regression, equiangular, nearest, sparse
from ufm.theory.theorem import key_of

MODULES = (bounds, equiangular, nearest, dot_regression, sparse)
THEOREMS = {theorem.id: theorem for module in MODULES for theorem in module.THEOREMS}
LABELS = {
    "welch-bound": "K=6 d=3",
    "grassmannian-search": "K=28 d=7",
    "orthoplex-bound": "K=7 d=3",
    "rankin-bound": "K=4 d=3",
    "equiangular-lines": "K=28 d=7",
    "nearest-simplex": "random, held back",
    "dot-regression": "E_W=4.0 E_H=0.25",
    "sparse-etf": "K=5 d=7 nonzeros=17",
}


@pytest.fixture(scope="module")
def answers():
    """(case, predicted, measured) of one case an entry."""
    found = {}
    for name, label in LABELS.items():
        theorem = THEOREMS[name]
        case = theorem.cases()[label]
        found[name] = case, theorem.predict(case), theorem.measure(case, key_of(0, name, label))
    return found


def test_every_entry_of_the_family_is_tried():
    assert set(THEOREMS) == set(LABELS)


@pytest.mark.parametrize("name", LABELS)
def test_what_is_predicted_is_what_is_measured(answers, name):
    assert [check for check in THEOREMS[name].evidence(*answers[name]) if not check.passed] == []


@pytest.mark.parametrize("name", LABELS)
@pytest.mark.parametrize("factor", [1.001, 0.999])
def test_evidence_fails_when_the_prediction_is_off_by_a_thousandth(answers, name, factor):
    case, predicted, measured = answers[name]
    wrong = jax.tree.map(lambda x: x * factor, predicted)
    assert not all(check.passed for check in THEOREMS[name].evidence(case, wrong, measured))


def test_the_search_finds_sixteen_lines_at_one_third():
    theorem = THEOREMS["grassmannian-search"]
    case = theorem.cases()["K=16 d=6"]
    starts, found = np.split(theorem.measure(case, jax.random.key(3)), 2)
    np.testing.assert_allclose(found.min(), 1 / 3, rtol=1e-9)
    assert starts.min() > 0.6


def test_no_simplex_is_claimed_where_entries_are_too_few_and_a_found_one_would_refute_it():
    (theorem,) = sparse.THEOREMS
    case = theorem.cases()["K=5 d=7 nonzeros=16"]
    predicted, measured = theorem.predict(case), theorem.measure(case, jax.random.key(1))
    assert all(check.passed for check in theorem.evidence(case, predicted, measured))
    assert not all(check.passed for check in theorem.evidence(case, predicted, predicted))


def test_seven_points_in_space_are_clear_of_the_bound_that_six_meet():
    theorem = THEOREMS["rankin-bound"]
    case = theorem.cases()["K=7 d=3"]
    measured = theorem.measure(case, jax.random.key(0))
    np.testing.assert_allclose(measured.min(), np.cos(np.radians(77.86954)), rtol=1e-4)  # Schuette and van der Waerden 1951
    assert all(check.passed for check in theorem.evidence(case, theorem.predict(case), measured))
    assert not all(check.passed for check in theorem.evidence(case, theorem.predict(case), 0 * measured))


def test_rank_one_means_have_a_nearest_simplex_of_the_predicted_distance():
    (theorem,) = nearest.THEOREMS
    case = theorem.cases()["rank one"]
    measured = theorem.measure(case, jax.random.key(0))
    assert [check.name for check in theorem.evidence(case, theorem.predict(case), measured)] == ["value", "never below"]
    np.testing.assert_allclose(measured["value"], theorem.predict(case)["value"], rtol=1e-9)


@pytest.mark.parametrize("name", LABELS)
def test_random_cases_agree(name):
    theorem = THEOREMS[name]
    if theorem.draw is None:
        assert name in ("grassmannian-search", "equiangular-lines")
        return
    case = theorem.draw(np.random.default_rng(11))
    checks = theorem.evidence(case, theorem.predict(case), theorem.measure(case, jax.random.key(2)))
    assert checks and all(check.passed for check in checks)
