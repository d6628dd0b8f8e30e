"""The closed forms of the metrics: golden values by hand, both limits, and predictions that are off fail."""

import jax
import numpy as np
import pytest

from ufm.theory.measurement.at_collapse import DIM, THEOREMS, Cloud, K, predict
from ufm.theory.theorem import key_of

(ENTRY,) = THEOREMS


@pytest.fixture(scope="module")
def results():
    cases = ENTRY.cases() | {"random": ENTRY.draw(np.random.default_rng(1))}
    return {label: (case, jax.jit(predict)(case), ENTRY.measure(case, key_of(3, ENTRY.id, label))) for label, case in cases.items()}


def test_what_is_predicted_is_what_is_measured(results):
    for label, (case, predicted, measured) in results.items():
        assert [check for check in ENTRY.evidence(case, predicted, measured) if not check.passed] == [], label


def test_a_prediction_off_by_a_thousandth_fails(results):
    case, predicted, measured = results["between, r=2"]
    for name, value in predicted.items():
        off = predicted | {name: value * 1.001}
        failed = [check.name for check in ENTRY.evidence(case, off, measured) if not check.passed]
        assert failed == [name]


def test_float32_that_blows_up_or_goes_negative_fails(results):
    case, predicted, (found, rough, exact) = results["simplex, far off, s=1e-3"]
    for broken in (-rough, 1.001 * rough):
        assert any(not check.passed for check in ENTRY.evidence(case, predicted, (found, broken, exact)))


def test_values_by_hand():
    simplex, frame = predict(Cloud(2.0, 1.0, 0.5, 2.0, 0.0)), predict(Cloud(2.0, 0.0, 0.5, 1.0, 0.0))
    assert (K, DIM) == (5, 7)
    np.testing.assert_allclose([simplex["nc1"], simplex["trace ratio"]], [1 / 28, 5 / 64], rtol=1e-12)
    np.testing.assert_allclose([simplex["vci"], simplex["cdnv"], frame["cdnv"]], [5 / 117, 1 / 256, 1 / 32], rtol=1e-12)
    np.testing.assert_allclose([simplex["uncentred cosine"], frame["uncentred cosine"]], [-0.25, 0], atol=1e-15)
    np.testing.assert_allclose(simplex["orthogonal"], np.sqrt(2 - 2 * np.sqrt(0.8)), rtol=1e-12)
    np.testing.assert_allclose([frame["orthogonal"], simplex["duality"][2]], 0, atol=1e-7)
    np.testing.assert_allclose([*simplex["uncentred ranks"], *frame["uncentred ranks"]], [4, 4, 5, 5], rtol=1e-12)
