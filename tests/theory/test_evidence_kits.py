"""Each check of each kit of evidence rejects something that no other check of it rejects: what fails is asserted as a set."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ufm
from ufm.duality import certify
from ufm.problem import run_starts
from ufm.problem.params import Params, gradient_norm, logits, objective
from ufm.search.solution import Solution
from ufm.theory.prediction import Prediction
from ufm.theory.statements import minima
from ufm.theory.statements.minima import Measured, examine_point, minimum_evidence, split_point, split_problem
from ufm.theory.statements.refutations import Claim, Refutation, refutation
from ufm.theory.theorem import (
    Check,
    agreement,
    below,
    gap_checks,
    key_of,
    lower_bound,
    refuting,
    relative_error,
)

_ENTRY = ("an-id", "derived", lambda case: case, lambda case, key: case, dict)
A, S, C = "agreement", "stationarity", "certificate"


def failing(checks):
    return {(check.kind, check.name) for check in checks if not check.passed}


def prediction_of(problem, params, unique=True):
    """The Prediction that a theorem would make which places the minimum at these params."""
    first = run_starts(problem.groups)
    factors = (params.H, *params.weights)
    length = min(min(A.shape) for A in factors)
    S = jnp.stack([jnp.linalg.svd(A, compute_uv=False)[:length] for A in factors])
    alive = jnp.min(S, axis=0) > 1e-8
    z = logits(problem, params)[:, first]
    return Prediction(objective(problem, params), params, z, S, alive, jnp.sum(alive), jnp.asarray(unique))


def measured_at(problem, params, certified=True):
    """What the measurement would hand over if its search ended there: the point, turned by a random rotation."""
    Q = jnp.linalg.qr(jax.random.normal(jax.random.key(3), (problem.widths[0],) * 2))[0]
    first, *others = params.weights
    turned = params._replace(H=Q @ params.H, weights=(first @ Q.T, *others))
    value, slope = objective(problem, turned), gradient_norm(problem, turned)
    zero = jnp.asarray(0)
    solution = Solution(turned, value, slope, zero, zero, jnp.asarray(2), value[None])
    certificate = certify(problem, turned) if certified else None
    return Measured(problem, solution, examine_point(problem, turned), certificate)


CE = ufm.Problem.balanced(3, 2, 4, loss="ce", bias="free", l2_W=5e-3, l2_H=2e-3)
SPLIT = split_problem(CE)


@pytest.fixture(scope="module")
def pair():
    predicted = ufm.predict(CE)
    return predicted, measured_at(SPLIT, split_point(CE, SPLIT, predicted.params))


def failing_of_minimum(predicted, measured):
    return failing(minimum_evidence()(CE, predicted, measured))


def test_the_evidence_of_a_minimum_is_fourteen_checks_that_the_minimum_passes(pair):
    checks = minimum_evidence()(CE, *pair)
    assert failing(checks) == set()
    factors = {(A, f"{name} of the factors") for name in ("logits", "singular values", "rank")}
    agreed = {(A, name) for name in ("value", "never below", "geometry", "NC1", "alive", "unique")}
    proved = {(S, "value"), (S, "gradient"), (S, "curvature"), (C, "gap"), (C, "bound above the value")}
    assert {(check.kind, check.name) for check in checks} == factors | agreed | proved and len(checks) == 14


@pytest.mark.parametrize("leaf", ["weights", "H"])
def test_a_point_is_not_cut_where_one_factor_alone_goes_beyond_the_split_width(leaf):
    problem = ufm.Problem.balanced(2, 2, 9, l2_W=1e-2, l2_H=1e-2)
    split, point = split_problem(problem), ufm.predict(problem).params
    assert split.widths == (6,) and np.array_equal(split_point(problem, split, point).H[:2, ::2], point.H[:2, ::2])
    (W,) = point.weights
    beyond = point._replace(weights=(W.at[0, 8].set(1.0),)) if leaf == "weights" else point._replace(H=point.H.at[8].set(1.0))
    with pytest.raises(ValueError, match="zero there: K \\+ C columns span no more"):
        split_point(problem, split, beyond)


def geometry(measured, **changes):
    return measured._replace(geometry=measured.geometry._replace(**changes))


def certificate(measured, gap):
    return measured._replace(certificate=measured.certificate._replace(relative_gap=jnp.asarray(gap)))


def shifted(factor):
    def both(predicted, measured):
        value = predicted.value * factor
        return dataclasses.replace(predicted, value=value), geometry(measured, value=value)

    return both


def moved(name, change):
    return lambda predicted, measured: (dataclasses.replace(predicted, **{name: change(getattr(predicted, name))}), measured)


def seen(name, change):
    return lambda predicted, measured: (predicted, geometry(measured, **{name: change(getattr(measured.geometry, name))}))


def off_by(size):
    def entry(x):
        flat = jnp.ravel(jnp.atleast_1d(x))
        step = size * jnp.maximum(jnp.max(jnp.abs(flat)), 1e-2)
        return jnp.reshape(flat.at[0].add(step), jnp.shape(x))

    return entry


def nearly_critical(predicted, measured):
    """A point 1e-8 beside the minimum: its value is right to 1e-16, its gradient is not zero."""
    params = jax.tree.map(lambda x: x * (1 + 1e-8), predicted.params)
    return dataclasses.replace(prediction_of(CE, params), value=predicted.value), measured


def uncollapsed(predicted, measured):
    """Columns of one class 3e-5 apart, on both sides of their mean."""
    point = measured.solution.params
    apart = 3e-5 * jnp.asarray([1.0, -1.0] * 3)[None, :] * jnp.linalg.norm(point.H, axis=0).max() * jnp.ones((4, 1))
    return predicted, geometry(measured, nc1=examine_point(SPLIT, point._replace(H=point.H + apart)).nc1)


def flip(x):
    return ~x


MINIMUM = {
    "a search that ended above": (seen("value", lambda v: v * (1 + 3e-9)), {(A, "value")}),
    "a lower value": (seen("value", lambda v: v * (1 - 5e-11)), {(A, "never below")}),
    "a much lower value": (seen("value", lambda v: v * (1 - 1e-3)), {(A, "value"), (A, "never below")}),
    "no value": (seen("value", lambda v: v * jnp.nan), {(A, "value"), (A, "never below")}),
    "a value that its point does not have": (shifted(1 + 5e-11), {(S, "value")}),
    "beside the minimum": (nearly_critical, {(S, "gradient")}),
    "columns of a class apart": (uncollapsed, {(A, "NC1")}),
    "variability unknown": (seen("nc1", lambda x: x * jnp.nan), {(A, "NC1")}),
    "other logits said": (moved("logits", off_by(1e-3)), {(A, "logits of the factors")}),
    "other singular values said": (moved("singular_values", off_by(1e-3)), {(A, "singular values of the factors")}),
    "one singular value of W for another": (
        moved("singular_values", lambda s: s.at[1, 0].multiply(1.001)),
        {(A, "singular values of the factors")},
    ),
    "another rank": (moved("rank", lambda r: r - 1), {(A, "rank of the factors")}),
    "a direction said dead": (moved("alive", lambda a: a.at[0].set(False)), {(A, "alive")}),
    "said not to be unique": (moved("unique", flip), {(A, "unique")}),
    "a loose certificate": (lambda p, m: (p, certificate(m, 1e-6)), {(C, "gap")}),
    "a bound just above the value": (lambda p, m: (p, certificate(m, -1e-11)), {(C, "bound above the value")}),
    "a bound far above the value": (lambda p, m: (p, certificate(m, -1e-2)), {(C, "gap"), (C, "bound above the value")}),
    "no bound": (lambda p, m: (p, certificate(m, jnp.nan)), {(C, "gap"), (C, "bound above the value")}),
} | {
    f"{name} off by {size}": (seen(name, off_by(size)), {(A, "geometry")})
    for name in ("singular_values", "class_gram", "classifier_gram", "logits", "bias")
    for size in (1e-5, np.nan)
}  # fmt: skip


@pytest.mark.parametrize("label", MINIMUM)
def test_each_check_of_a_minimum_alone_rejects_what_it_is_for(pair, label):
    change, expected = MINIMUM[label]
    assert failing_of_minimum(*change(*pair)) == expected


def test_a_strict_saddle_is_rejected_by_its_curvature_alone():
    """All zero, on a width of 1 where no certificate is tight: value, gradient and geometry agree with a search that stays."""
    problem = split_problem(ufm.Problem.balanced(3, 2, 1, loss="ce", l2_W=5e-3, l2_H=2e-3))
    zero = Params((jnp.zeros((3, 1)),), jnp.zeros((1, 6)), None)
    predicted = prediction_of(problem, zero)
    checks = minimum_evidence()(problem, predicted, measured_at(problem, zero, certified=False))
    assert failing(checks) == {(S, "curvature")}
    dead = problem.replace(l2_W=1.0, l2_H=1.0)
    checks = minimum_evidence()(dead, prediction_of(dead, zero), measured_at(dead, zero, certified=False))
    assert failing(checks) == set() and (S, "curvature") in {(check.kind, check.name) for check in checks}


@pytest.mark.parametrize("curvature", [np.inf, np.nan])
def test_a_curvature_that_was_not_seen_does_not_pass(pair, monkeypatch, curvature):
    look = minima.examine_point
    monkeypatch.setattr(minima, "examine_point", lambda *point: look(*point)._replace(curvature=jnp.asarray(curvature)))
    assert failing_of_minimum(*pair) == {(S, "curvature")}


def test_a_hessian_too_large_to_be_seen_is_no_check(pair, monkeypatch):
    monkeypatch.setattr(minima, "sees_curvature", lambda params: False)
    checks = minimum_evidence()(CE, *pair)
    assert failing(checks) == set() and len(checks) == 13 and (S, "curvature") not in {(c.kind, c.name) for c in checks}


def test_the_curvature_at_zero_is_the_largest_slope_less_the_price():
    """Hessian of one layer at zero: blocks (l_W, -s; -s, l_H) with s the singular values of the data term's gradient."""
    problem = split_problem(ufm.Problem.balanced(3, 2, 3, loss="mse", l2_W=2e-2, l2_H=2e-2))
    zero = Params((jnp.zeros((3, 3)),), jnp.zeros((3, 6)), None)
    found = examine_point(problem, zero)
    s = np.sqrt(2) / 6
    np.testing.assert_allclose([found.curvature, found.stiffness], [0.02 - s, 0.02], atol=1e-12)


def test_minimisers_that_differ_are_compared_by_singular_values_and_must_be_said_to_differ():
    """One direction for three classes under squared error: any unit vector with entries of sum zero."""
    problem = ufm.Problem.balanced(3, 2, 1, bias="free", l2_W=1e-2, l2_H=1e-2)
    split, predicted = split_problem(problem), ufm.predict(problem)
    turn = np.asarray(jax.scipy.linalg.expm(jnp.asarray([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]]) * 0.3))
    point = split_point(problem, split, predicted.params)
    classes = np.asarray(split.labels)
    W, H = turn @ np.asarray(point.weights[0]), np.asarray(point.H)[:, ::2] @ turn.T
    other = measured_at(split, point._replace(weights=(jnp.asarray(W),), H=jnp.asarray(H[:, classes])))
    other = other._replace(certificate=None)
    assert not bool(predicted.unique)
    assert failing(minimum_evidence()(problem, predicted, other)) == set()
    said = dataclasses.replace(predicted, unique=jnp.asarray(True))
    assert failing(minimum_evidence()(problem, said, other)) == {(A, "geometry"), (A, "unique")}


def test_near_a_threshold_the_geometry_may_be_off_by_gradient_over_stiffness_and_no_more(pair):
    predicted, measured = pair
    expected = examine_point(SPLIT, split_point(CE, SPLIT, predicted.params))
    stiffness = expected.stiffness * jnp.max(expected.singular_values)
    for slope, passes in ((1.0, True), (0.1, False)):
        found = geometry(
            measured,
            class_gram=off_by(1e-5)(measured.geometry.class_gram),
            gradient_norm=slope * 1e-5 * stiffness,
        )
        assert (failing_of_minimum(predicted, found) == set()) == passes
    lost = geometry(measured, class_gram=off_by(1e-3)(measured.geometry.class_gram), gradient_norm=jnp.asarray(1.0))
    assert failing_of_minimum(predicted, lost) == {(A, "geometry")}


class Leaves(NamedTuple):
    one: object
    two: object


HONEST = Leaves(jnp.asarray([1.0, 2.0]), {"in": jnp.asarray(3.0)})


@pytest.mark.parametrize(
    ("measured", "expected"),
    [
        (HONEST, set()),
        (HONEST._replace(one=jnp.asarray([1.0, 2.0 + 1e-5])), {(A, "one")}),
        (HONEST._replace(one=jnp.asarray([1.0 - 1e-5, 2.0])), {(A, "one")}),
        (HONEST._replace(two={"in": jnp.asarray(3.0 - 1e-5)}), {(A, "two.in")}),
        (HONEST._replace(two={"in": jnp.asarray(3.0 + 1e-7)}), set()),
        (HONEST._replace(one=jnp.asarray([1.0 + 1.5e-6, 2.0])), set()),  # relative to the largest entry, which is 2
        (HONEST._replace(two={"in": jnp.asarray(jnp.nan)}), {(A, "two.in")}),
        (HONEST._replace(one=jnp.asarray([jnp.inf, 2.0])), {(A, "one")}),
        (jax.tree.map(lambda x: -x, HONEST), {(A, "one"), (A, "two.in")}),
    ],
)
def test_agreement_names_each_leaf_that_differs(measured, expected):
    assert failing(agreement(1e-6)(None, HONEST, measured)) == expected
    assert failing(agreement(1e-6)(None, measured, HONEST)) == expected or not np.isfinite(measured.one).all()


def test_agreement_takes_tolerances_by_name_and_a_scale_for_what_is_zero():
    near = HONEST._replace(one=HONEST.one * (1 + 1e-4), two={"in": HONEST.two["in"] * (1 + 1e-4)})
    assert failing(agreement(1e-6, one=1e-3)(None, HONEST, near)) == {(A, "two.in")}
    assert failing(agreement(1e-6, scale=1e3)(None, HONEST, near)) == set()
    assert failing(agreement(1e-6, scale=1e-3)(None, HONEST, HONEST._replace(one=HONEST.one + 1e-8))) == {(A, "one")}
    with pytest.raises(ValueError, match="one structure"):
        agreement(1e-6)(None, HONEST, tuple(HONEST))
    with pytest.raises(ValueError, match="one shape"):
        agreement(1e-6)(None, HONEST, HONEST._replace(one=jnp.ones(3)))


@pytest.mark.parametrize(
    ("bound", "value", "fails"),
    [
        (1.0, 1.0, False),
        (1.0, 2.0, False),
        (1.0, 1 - 1e-6, True),
        (-1.0, -1.1, True),
        (-1.0, -0.5, False),
        (1.0, np.nan, True),
        (np.nan, 1.0, True),
        (-np.inf, 1.0, True),
        ([-np.inf, 1.0], [1.0, 1.0], True),
        ([0.0, 0.0], [np.inf, 1.0], True),
        (1.0, np.inf, True),
        ([0.0, 1.0], [1.0, 0.9], True),
        (0.0, -1e-300, True),
    ],
)
def test_a_lower_bound_is_finite_and_below_everything_measured(bound, value, fails):
    assert failing(lower_bound(1e-9, C)(None, np.asarray(bound), np.asarray(value))) == ({(C, "below bound")} if fails else set())


@pytest.mark.parametrize("error", [-1e-300, -1.0, np.nan, np.inf, 1.1])
def test_an_error_is_a_magnitude_within_its_tolerance(error):
    assert not Check(A, "error", error, 1.0).passed
    assert Check(A, "error", 1.0, 1.0).passed and Check(A, "error", 0.0, 0.0).passed


@pytest.mark.parametrize(
    ("gap", "expected"),
    [
        (0.0, set()),
        (9e-8, set()),
        (2e-7, {(C, "gap")}),
        (-1e-300, {(C, "bound above the value")}),
        (-2e-12, {(C, "bound above the value")}),
        (-1e-2, {(C, "gap"), (C, "bound above the value")}),
        (np.nan, {(C, "gap"), (C, "bound above the value")}),
    ],
)
def test_a_gap_is_checked_on_both_sides(gap, expected):
    assert failing(gap_checks(gap, 1e-7)) == expected


def test_what_may_not_be_above_zero_fails_when_it_is_and_when_it_is_unknown():
    assert below(A, "it", -3.0).passed and below(A, "it", 0.0).passed
    assert not below(A, "it", 1e-11).passed and not below(A, "it", np.nan).passed and not below(A, "it", np.inf).passed


def test_checks_of_a_refuted_claim_say_so():
    assert [check.refutes for check in refuting(agreement(1e-6))(None, HONEST, HONEST)] == [True, True]
    assert not any(check.refutes for check in agreement(1e-6)(None, HONEST, HONEST))


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (Refutation(0.9, 1.0, 2.0), {(A, "below bound")}),
        (Refutation(1.0, 1.0, 2.0), set()),  # nothing lower: not refuted
        (Refutation(0.9, 1.0 + 1e-6, 2.0), {(A, "below bound"), (A, "the claim")}),
        (Refutation(0.9, 1.0, 2.0 + 2e-7), {(A, "below bound"), (A, "where it holds")}),
        (Refutation(0.9, 1.0 + 1e-10, 2.0 + 1e-10), {(A, "below bound")}),
    ],
)
def test_a_counterexample_is_lower_and_pins_the_claim_and_where_it_is_right(found, expected):
    checks = refutation(*_ENTRY).evidence(None, Claim(1.0, 2.0), Refutation(*map(np.asarray, found)))
    assert failing(checks) == expected and [check.refutes for check in checks] == [True, False, False]
    loose = refutation(*_ENTRY, claimed=1e-3, where_it_holds=1e-3)
    loose = loose.evidence(None, Claim(1.0, 2.0), Refutation(*map(np.asarray, found)))
    assert failing(loose) == expected & {(A, "below bound")}


def test_keys_of_a_hundred_cases_differ():
    assert len({tuple(map(int, jax.random.key_data(key_of(0, f"case {i}")))) for i in range(100)}) == 100


def test_beside_zeros_an_error_is_absolute_and_of_nothing_it_is_none():
    assert relative_error(np.zeros(2), np.asarray([0.0, -1e-3])) == 1e-3 and relative_error(np.zeros(0), np.zeros(0)) == 0
