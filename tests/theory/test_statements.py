"""Each check of each kind of statement rejects something that no other check of it rejects, and kinds say what they are."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ufm
from ufm.problem.params import Params, objective
from ufm.theory import statements
from ufm.theory.registry import catalogue
from ufm.theory.statements.spectra import Critical, Spectrum, eigenvalues
from ufm.theory.statements.trajectories import Start


def claim(case):
    """It is so.

    And that is how.
    """
    return case


def nothing(case, key):
    """Nothing."""
    return case


ENTRY = ("an-id", "derived", claim)


def failing(checks):
    return {check.name for check in checks if not check.passed}


def bound(**options):
    return statements.bound(*ENTRY, nothing, dict, **options).evidence


@pytest.mark.parametrize(
    ("options", "limit", "values", "expected"),
    [
        ({}, 2.0, [2.0, 3.0], set()),
        ({}, 2.0, [2.0 - 1e-9, 3.0], {"below the bound"}),
        ({}, 2.0, [3.0, np.nan], {"below the bound"}),
        ({}, 2.0, [3.0, np.inf], {"below the bound"}),
        ({"met": lambda case: True}, 2.0, [2.0 + 1e-7, 3.0], set()),
        ({"met": lambda case: True}, 2.0, [2.1, 3.0], {"met by the best"}),
        ({"met": lambda case: False}, 2.0, [2.1, 3.0], set()),
        ({"met": lambda case: False, "clear": 0.1}, 2.0, [2.1, 3.0], {"met by none"}),
        ({"upper": True}, 2.0, [2.0, 1.0], set()),
        ({"upper": True}, 2.0, [2.1, 1.0], {"above the bound"}),
        ({"upper": True, "met": lambda case: True}, 2.0, [1.9, 1.0], {"met by the best"}),
        ({"met": lambda case: True}, 0.0, [1e-7], set()),  # absolute at zero
        ({"met": lambda case: True, "unit": 1e-3}, 0.0, [1e-7], {"met by the best"}),
        ({"rounding": 0.1}, 1.0, [0.95], set()),
    ],
)
def test_a_bound_is_passed_by_none_and_met_where_it_should_be(options, limit, values, expected):
    assert failing(bound(**options)(None, limit, np.array(values))) == expected


A = np.diag([1.0, 1.0, 3.0])
TABLE = Spectrum(np.array([1.0, 3.0, 7.0]), np.array([2, 1, 0]))


@pytest.mark.parametrize(
    ("options", "predicted", "matrix", "expected"),
    [
        ({}, TABLE, A, set()),
        ({}, TABLE._replace(values=TABLE.values * (1 + 1e-10)), A, {"eigenvalues"}),
        ({}, TABLE._replace(multiplicity=np.array([1, 2, 0])), A, {"eigenvalues"}),
        ({"lowest": 1e-8}, TABLE, A + 1e-7 * np.diag([0, 0, 1.0]), {"eigenvalues"}),
        ({"lowest": 1e-8, "tolerance": 1e-6}, TABLE, A + 1e-7 * np.diag([1.0, 1, 0]), {"lowest of eigenvalues"}),
        ({}, {"a": TABLE, "b": TABLE}, {"a": A, "b": A * (1 + 1e-9)}, {"b"}),
    ],
)
def test_a_spectrum_is_every_eigenvalue_as_often_as_it_is_said_to_be_there(options, predicted, matrix, expected):
    theorem = statements.spectrum(*ENTRY, dict, matrix=lambda case: matrix, **options)
    assert failing(theorem.evidence(None, predicted, theorem.measure(None, jax.random.key(0)))) == expected


def test_a_critical_point_has_no_gradient_and_its_value():
    theorem = statements.spectrum(*ENTRY, dict)
    problem = ufm.Problem.balanced(2, 1, 2, l2_W=0.5, l2_H=0.5)
    zero = Start(problem, Params((jnp.zeros((2, 2)),), jnp.zeros((2, 2)), None), jnp.zeros(1))
    found = theorem.measure(zero, jax.random.key(0))
    exact = Critical(Spectrum(found.eigenvalues, np.ones(8, int)), objective(problem, zero.params))
    assert failing(theorem.evidence(zero, exact, found)) == set()
    assert failing(theorem.evidence(zero, exact._replace(value=exact.value * 1.001), found)) == {"value"}
    assert failing(theorem.evidence(zero, exact, found._replace(gradient_norm=1e-9))) == {"gradient"}


def test_eigenvalues_of_matrices_that_are_not_symmetric_are_real_parts():
    np.testing.assert_allclose(eigenvalues(np.array([[0.0, 2.0], [1.0, 0.0]])), [-(2**0.5), 2**0.5])
    np.testing.assert_allclose(eigenvalues(A), [1, 1, 3])


class Seen(NamedTuple):
    """Two leaves."""

    size: jax.Array
    lost: jax.Array


def start():
    rng = np.random.default_rng(0)
    problem = ufm.Problem.balanced(2, 1, 3)
    params = Params((jnp.asarray(rng.normal(size=(2, 3))),), jnp.asarray(rng.normal(size=(3, 2))), None)
    return Start(problem, params, jnp.array([0.0, 0.5, 1.0]))


def observe(case, point):
    """W, and how far W^T W - H H^T is from that at the start."""
    gap = [x.weights[0].T @ x.weights[0] - x.H @ x.H.T for x in (point, case.params)]
    return Seen(jnp.sum(point.weights[0] ** 2), jnp.max(jnp.abs(gap[0] - gap[1])))


def test_a_trajectory_is_observed_point_by_point_or_at_its_end():
    case = start()
    whole = statements.trajectory(*ENTRY, observe, dict)
    path = whole.measure(case, jax.random.key(0))
    assert path.size.shape == (3,) and path.lost.max() < 1e-9
    np.testing.assert_allclose(path.size[0], jnp.sum(case.params.weights[0] ** 2), rtol=1e-14)
    end = statements.trajectory(*ENTRY, observe, dict, at_end=True).measure(case, jax.random.key(0))
    np.testing.assert_allclose(end.size, path.size[-1], rtol=1e-14)
    twice = statements.trajectory(*ENTRY, observe, dict, path=lambda case: jax.tree.map(lambda x: jnp.stack([x, x]), case.params))
    np.testing.assert_allclose(twice.measure(case, jax.random.key(0)).size, [path.size[0]] * 2, rtol=1e-14)
    flow = ufm.flow(case.problem, case.params, case.ts, rtol=1e-11, atol=1e-13).path
    np.testing.assert_allclose(path.size, jnp.sum(flow.weights[0] ** 2, axis=(1, 2)), rtol=1e-8)


@pytest.mark.parametrize("kind", [statements.identity, statements.trajectory])
def test_leaves_agree_each_to_its_own_tolerance(kind):
    exact = Seen(np.array([1.0, 2.0]), np.zeros(2))
    theorem = kind(*ENTRY, observe, dict, tolerance=1e-6, leaves={"lost": 1e-3})
    assert failing(theorem.evidence(None, exact, exact)) == set()
    assert failing(theorem.evidence(None, exact, exact._replace(size=exact.size + 3e-6))) == {"size"}
    assert failing(theorem.evidence(None, exact, exact._replace(lost=exact.lost + 2e-3))) == {"lost"}
    assert failing(theorem.evidence(None, exact, exact._replace(lost=exact.lost + 2e-6))) == set()
    scaled = kind(*ENTRY, observe, dict, tolerance=1e-6, scale=10.0)
    assert failing(scaled.evidence(None, exact, exact._replace(size=exact.size + 8e-6))) == set()


def test_the_claim_is_the_first_paragraph_of_the_docstring_unless_it_is_given():
    theorem = statements.other(*ENTRY, nothing, dict, evidence=lambda *_: [])
    assert theorem.claim == "It is so." and theorem.status == "holds" and theorem.kind == "other"
    assert "closed form: And that is how." in str(theorem)
    assert statements.identity(*ENTRY, claim, dict, claim="Another.", status="numerical").claim == "Another."
    assert "kind: identity" in str(statements.identity(*ENTRY, claim, dict))


def test_most_of_the_catalogue_is_of_a_kind():
    kinds = {}
    for theorem in catalogue().values():
        kinds.setdefault(theorem.kind, set()).add(theorem.id)
    assert set(kinds) == {"minimum", "trajectory", "spectrum", "bound", "identity", "refutation", "other"}
    assert len(kinds["other"]) <= len(catalogue()) // 3
    assert all(catalogue()[name].status == "refuted" for name in kinds["refutation"])
    assert {theorem.id for theorem in catalogue().values() if theorem.minimiser} <= kinds["minimum"]
