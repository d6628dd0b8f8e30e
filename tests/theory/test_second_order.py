"""Second-order facts of balanced MSE: entries, what breaks them, and references that use neither formulas nor autodiff."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ufm
from ufm.problem.params import Params
from ufm.theory.kit.hessian import derivatives
from ufm.theory.registry import select
from ufm.theory.second_order import critical_points, rates
from ufm.theory.second_order.cases import SHAPES, critical_point, minimiser
from ufm.theory.theorem import key_of

# an entry of each kind at a case where all that is predicted is there to be seen
ENTRIES = {
    "mse-critical-spectrum": "d>K r=2",
    "mse-zero-modes": "d>K r=2",
    "mse-layer-hessians": "d>K c=0.02 s=0.3",
    "mse-two-rates": "d>K r=2 rates=(0.2, 3.0)",
    "mse-proximity-spectrum": "saddle, B 0.95 of 1/lW - lH",
    "mse-flow-rates": "d>K c=0.1",
    "mse-central-path-rates": "d>K c=0.1",
    "mse-step-limit": "d>K c=0.15",
    "mse-escape-from-zero": "c=0.6 s=2.0",
    "mse-critical-points": "d=K c=0.5",
}


@pytest.fixture(scope="module")
def looked_at():
    """Case, jitted prediction and measurement of every entry, once."""
    found = {}
    for theorem in select(tuple(ENTRIES)):
        case = theorem.cases()[ENTRIES[theorem.id]]
        predict = jax.jit(theorem.predict)
        found[theorem.id] = theorem, predict, case, predict(case), theorem.measure(case, key_of(0, theorem.id))
    return found


def holds(theorem, case, predicted, measured):
    try:
        return all(check.passed for check in theorem.evidence(case, predicted, measured))
    except ValueError as error:  # a wrong count of eigenvalues
        assert "one shape" in str(error)
        return False


@pytest.mark.parametrize("name", ENTRIES)
def test_entries_hold_on_their_cases_and_on_random_ones(name):
    report = ufm.verify(name, cases=3, seed=1)
    assert report.ok, str(report)


@pytest.mark.parametrize("name", ENTRIES)
def test_every_predicted_number_matters_to_a_tenth_of_a_percent(looked_at, name):
    theorem, _, case, predicted, measured = looked_at[name]
    assert holds(theorem, case, predicted, measured)
    leaves, structure = jax.tree.flatten(jax.tree.map(np.asarray, predicted))
    for i, leaf in enumerate(leaves):
        for j in np.ndindex(leaf.shape):
            wrong = leaf.copy()
            largest = np.max(np.abs(leaf))
            small = abs(leaf[j]) <= 1e-9 * largest
            wrong[j] += 1 if leaf.dtype.kind == "i" else 1e-3 * ((largest or 1) if small else leaf[j])
            broken = structure.unflatten([*leaves[:i], wrong, *leaves[i + 1 :]])
            assert not holds(theorem, case, broken, measured), (i, j)


@pytest.mark.parametrize("name", [name for name in ENTRIES if name != "mse-zero-modes"])
@pytest.mark.parametrize("ridge", ["l2_W", "l2_H"])
def test_ridges_wrong_by_a_tenth_of_a_percent_show(looked_at, name, ridge):
    theorem, predict, case, _, measured = looked_at[name]
    wrong = case.problem.replace(**{ridge: 1.001 * getattr(case.problem, ridge)})
    assert not holds(theorem, case, predict(case._replace(problem=wrong)), measured)


def test_all_cases_meet_the_assumptions_and_other_problems_do_not():
    for theorem in select(tuple(ENTRIES)):
        drawn = theorem.draw(np.random.default_rng(0))
        for case in [*theorem.cases().values(), drawn]:
            assert theorem.failing(case) == []
        uneven = case.problem.replace(weight=np.arange(1.0, case.problem.columns + 1))
        biased = case.problem.replace(bias="free")
        tempered = case.problem.replace(scale=2.0)
        lopsided = ufm.Problem.imbalanced((3, 1, 2), case.problem.widths, l2_W=0.1, l2_H=0.1)
        for other in (uneven, biased, tempered, lopsided):
            assert theorem.failing(case._replace(problem=other))


def test_a_proximity_term_around_another_point_is_outside_the_theorem():
    (theorem,) = (t for t in critical_points.THEOREMS if t.id == "mse-proximity-spectrum")
    case = theorem.draw(np.random.default_rng(0))
    (assumption,) = theorem.failing(case._replace(problem=case.problem.replace(H0=case.problem.H0 + 1)))
    assert "H0" in assumption.text


def test_the_hessian_is_the_one_of_matrix_calculus():
    case = critical_point(SHAPES["d<K"], 1, 0.3, 0.7, np.random.default_rng(0))
    p, rng = case.problem, np.random.default_rng(1)
    (K, n, d), N = SHAPES["d<K"], 6
    W, H = rng.normal(size=(K, d)), rng.normal(size=(d, N))
    found = derivatives(p, Params((jnp.asarray(W),), jnp.asarray(H), None)).hessian
    residual = W @ H - np.repeat(np.eye(K), n, axis=1)
    WW = np.kron(np.eye(K), H @ H.T / N + float(p.l2_W[0]) * np.eye(d))
    HH = np.kron(W.T @ W / N + float(p.l2_H) * np.eye(d), np.eye(N))
    # d^2 f / dW_ka dH_bi = (W_kb H_ai + residual_ki delta_ab)/N
    WH = (np.einsum("kb,ai->kabi", W, H) + np.einsum("ki,ab->kabi", residual, np.eye(d))).reshape(K * d, d * N) / N
    np.testing.assert_allclose(found, np.block([[WW, WH], [WH.T, HH]]), atol=1e-14)


@pytest.mark.parametrize("c", [0.05, 0.5, 0.95])
def test_all_saddles_have_the_lowest_curvature_of_zero_and_minima_have_none(c):
    s, n, rng = 0.6, 2, np.random.default_rng(0)
    points = [critical_point(SHAPES["d=K"], r, c, s, rng) for r in range(4)]
    lowest = [critical_points.THEOREMS[0].measure(point, None).eigenvalues[0] for point in points]
    lH, lW = c * s, c / s
    nu = np.linalg.eigvalsh([[lH, -np.sqrt(n)], [-np.sqrt(n), n * lW]])[0] / 6
    assert nu < 0
    np.testing.assert_allclose(lowest[:3], nu, rtol=1e-12)
    np.testing.assert_allclose(lowest[3], 0, atol=1e-15)


def test_rotations_lift_in_proportion_to_a_weak_proximity():
    n, s, c, B = 2, 0.8, 0.3, 1e-6
    case = critical_point(SHAPES["d>K"], 3, c, s, np.random.default_rng(0), proximity=B)
    lowest = np.linalg.eigvalsh(derivatives(case.problem, case.params).hessian)[:6] * 6 / B
    out, inside = n * c / s / (c * s + n * c / s), n / (s**2 + n)
    np.testing.assert_allclose(lowest, sorted([out] * 3 + [inside] * 3), rtol=1e-5)


def test_out_of_span_and_within_class_modes_are_never_slower_than_the_soft_symmetric_one():
    c, s, n = np.meshgrid(np.linspace(1e-3, 1 - 1e-3, 99), np.geomspace(0.02, 50, 99), [1, 2, 3, 10, 100])
    T, product = s + n / s, c * (1 - c)
    soft = 8 * product * n / (T + np.sqrt(np.maximum(T**2 - 16 * product * n, 0)))
    upper = T - soft
    assert np.all(soft <= c * T * (1 + 1e-12))  # lH + n lW
    assert np.all(soft <= np.minimum(s, n / s) * (1 + 1e-12))
    assert np.all(4 * product * s <= s)
    assert np.all(np.maximum(upper, c * T) <= T)
    np.testing.assert_allclose(np.min(c * T / soft), 1, atol=1e-2)  # met at s^2 = n, c <= 1/2


def test_flow_rates_with_as_many_dimensions_as_classes():
    case = minimiser(SHAPES["d=K"], 0.1, 1.0, np.random.default_rng(2))
    found = rates.measure(case, key_of(0, "d=K"), central=False)
    soft = (3 - np.sqrt(9 - 16 * 0.1 * 0.9 * 2)) / 2
    np.testing.assert_allclose(found, [soft / 6, 1 / 6, 0], rtol=1e-5)


@pytest.mark.parametrize(("share", "returns"), [(0.99, True), (1.01, False)])
def test_descent_returns_below_the_step_limit_and_leaves_above(share, returns):
    case = minimiser(SHAPES["d>K"], 0.3, 1.2, np.random.default_rng(0))
    p, rng = case.problem, np.random.default_rng(1)
    Y, N, l2_W, l2_H = np.asarray(p.targets), p.columns, float(p.l2_W[0]), float(p.l2_H)
    W, H = (np.asarray(x) + 1e-6 * rng.normal(size=x.shape) for x in (case.params.weights[0], case.params.H))
    step, sizes = share * float(rates.predict_step(case)), []
    for _ in range(1000):
        residual = (W @ H - Y) / N
        slope_W, slope_H = residual @ H.T + l2_W * W, W.T @ residual + l2_H * H
        sizes.append(np.hypot(np.linalg.norm(slope_W), np.linalg.norm(slope_H)))
        W, H = W - step * slope_W, H - step * slope_H
    assert (sizes[-1] < 1e-3 * sizes[0]) == returns
    assert (sizes[-1] > 1e3 * sizes[0]) == (not returns)


def test_a_flow_too_slow_to_be_seen_has_no_rate():
    norms = np.exp(-0.1 * np.arange(100))
    np.testing.assert_allclose(rates._slope(norms, 0.5, 0.5, 0.01), 0.2, rtol=1e-12)
    assert np.isnan(rates._slope(norms, 0.5, 0.5, 1e-5))
    assert rates._slope(1e-16 * norms, 0.5, 0.5, 0.01) == 0


@pytest.mark.parametrize(
    ("shape", "rank", "c", "s", "message"),
    [
        ((3, 2, 2), 3, 0.3, 1.0, r"rank must be from 0 to min\(d, K\) = 2, and 0 where c >= 1, got 3"),
        ((3, 2, 4), -1, 0.3, 1.0, "rank must be from 0"),
        ((3, 2, 4), 1, 1.0, 1.0, "0 where c >= 1, got 1"),
        ((3, 2, 4), 1, 0.0, 1.0, "c must be finite and above 0, got 0.0"),
        ((3, 2, 4), 1, 0.5, -1.0, "s must be finite and above 0, got -1.0"),
    ],
)
def test_what_is_no_critical_point_is_refused(shape, rank, c, s, message):
    with pytest.raises(ValueError, match=message):
        critical_point(shape, rank, c, s, np.random.default_rng(0))
