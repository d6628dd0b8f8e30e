"""The max-margin program: the published counterexample, feasibility of both sides, weak duality, and refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from ufm import Status
from ufm.search.max_margin import _nearest_feasible, centred_supports, dual_bound, max_margin, support_excess

FAILS = np.array([[1, 0, 1, 0], [0, 1, 0, 0], [0, 1, 0, 1], [0, 1, 1, 1]])
DEFICIENT = np.array([[0, 0, 1, 1, 1], [0, 1, 0, 0, 0], [0, 1, 0, 0, 1], [1, 1, 0, 1, 1], [1, 1, 0, 1, 0], [1, 0, 0, 1, 1]])


def nuclear_norm(A):
    return np.linalg.svd(np.asarray(A), compute_uv=False).sum()


def some_supports(seed, V=6, m=5):
    S = np.random.default_rng(seed).random((V, m)) < 0.4
    return S | (np.arange(V)[:, None] == np.arange(m)[None, :])


def test_the_published_counterexample():
    found = max_margin(FAILS)
    assert nuclear_norm(centred_supports(FAILS)) == pytest.approx(2.978437, abs=5e-7)
    assert float(found.value) == pytest.approx(2.976805, abs=5e-7) == pytest.approx(nuclear_norm(found.logits), abs=5e-7)
    assert found.status == Status.CONVERGED and found.value - found.lower_bound < 1e-9
    assert float(support_excess(FAILS)) == pytest.approx(0.0523410, abs=1e-7)


def test_one_hot_contexts_have_the_centred_supports_for_solution():
    for supports in (np.eye(4), np.eye(4)[:, [0, 0, 1, 3]]):
        found = max_margin(supports)
        assert found.steps == 0 and support_excess(supports) < 0
        np.testing.assert_allclose(found.logits, centred_supports(supports), atol=1e-14)
    np.testing.assert_allclose(max_margin(np.eye(4)).value, 3, rtol=1e-14)


def test_a_polar_factor_above_zero_decides_nothing_where_the_rank_is_deficient():
    s = np.linalg.svd(centred_supports(DEFICIENT), compute_uv=False)
    assert support_excess(DEFICIENT) > 0.01 and np.sum(s > 1e-9) == 4
    found = max_margin(DEFICIENT)
    assert found.lower_bound > s.sum() * (1 - 1e-10)  # and yet P S is the minimum: the dual proves it


@pytest.mark.parametrize("seed", range(4))
def test_logits_and_dual_are_feasible_and_their_values_meet(seed):
    S = some_supports(seed)
    found = max_margin(S)
    L, M = np.asarray(found.logits), np.asarray(found.dual)
    for z, inside in zip(L.T, S.T, strict=True):
        assert np.ptp(z[inside]) < 1e-12 and np.all(z[inside][0] - z[~inside] > 1 - 1e-12)
    np.testing.assert_allclose(L.sum(axis=0), 0, atol=1e-13)
    np.testing.assert_allclose(M.sum(axis=0), 0, atol=1e-13)
    assert M[~S].max() < 1e-13 and np.linalg.norm(M, 2) < 1 + 1e-13
    assert np.sum(M[S]) == pytest.approx(float(found.lower_bound), rel=1e-13)
    assert 0 <= found.value - found.lower_bound < 1e-9 * found.value


@pytest.mark.parametrize("seed", range(3))
def test_no_matrix_bounds_more_than_the_minimum_and_none_leaves_the_dual_cone(seed):
    S = some_supports(seed)
    lowest, rng = float(max_margin(S).value), np.random.default_rng(seed)
    for size in (0.1, 1.0, 10.0):
        M, bound = dual_bound(size * rng.normal(size=S.shape), S)
        np.testing.assert_allclose(M.sum(axis=0), 0, atol=1e-13)
        assert M[~S].max() < 1e-13 and bound <= lowest and bound == pytest.approx(float(jnp.sum(M * S)), rel=1e-12)
        np.testing.assert_allclose(dual_bound(M, S)[0], M, atol=1e-13)
    M, bound = dual_bound(max_margin(S).dual, S)
    assert bound == pytest.approx(lowest, rel=1e-9)


def test_the_nearest_feasible_column_is_that_of_a_search_over_its_level():
    rng, S = np.random.default_rng(0), some_supports(2)
    Z = rng.normal(size=S.shape) * 2
    X = np.asarray(_nearest_feasible(jnp.asarray(Z), jnp.asarray(S), 1))
    for z, x, inside in zip(Z.T, X.T, S.T, strict=True):
        column = lambda s, z=z, inside=inside: np.where(inside, s, np.minimum(z, s - 1))  # noqa: E731
        found = minimize_scalar(lambda s: np.sum((column(s) - z) ** 2), bracket=(-5, 5), tol=1e-14)  # noqa: B023
        np.testing.assert_allclose(x, column(found.x), atol=1e-6)


def test_names_of_tokens_and_contexts_do_not_matter():
    S, rng = some_supports(5), np.random.default_rng(0)
    turned = S[rng.permutation(6)][:, rng.permutation(5)]
    assert float(max_margin(turned).value) == pytest.approx(float(max_margin(S).value), abs=1e-9)
    pair = np.eye(4)[:, :2]  # equal contexts get equal logits: the norm grows by sqrt(2)
    assert float(max_margin(np.repeat(pair, 2, axis=1)).value) == pytest.approx(2**0.5 * nuclear_norm(centred_supports(pair)))


def test_supports_of_all_tokens_cost_nothing():
    found = max_margin(np.ones((3, 2)))
    assert found.value == 0 and found.status == Status.CONVERGED and support_excess(np.ones((3, 2))) == -np.inf
    mixed = max_margin(np.array([[1, 1], [1, 0], [1, 0]]))
    np.testing.assert_allclose(mixed.logits[:, 0], 0, atol=1e-14)
    assert float(mixed.value) == pytest.approx((2 / 3) ** 0.5, rel=1e-12)


def test_dtype_jit_and_vmap():
    single = max_margin(FAILS.astype(np.float32))
    assert single.logits.dtype == jnp.float32 and single.status == Status.CONVERGED
    assert float(single.value) == pytest.approx(2.976805, abs=1e-4)
    stacked = jax.jit(jax.vmap(max_margin))(jnp.stack([jnp.asarray(FAILS), jnp.eye(4, dtype=int)]))
    np.testing.assert_allclose(stacked.value, [float(max_margin(FAILS).value), 3], rtol=1e-9)


def test_too_few_steps_are_a_status_and_the_bounds_still_hold():
    found, best = max_margin(FAILS, max_steps=5), max_margin(FAILS)
    assert found.status == Status.MAX_STEPS
    assert found.lower_bound < best.lower_bound <= best.value < found.value


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: max_margin(np.eye(3) * 2), "supports must be zeros and ones, got"),
        (lambda: max_margin(np.array([[1, 0], [1, 0]])), "supports must be one token or more in every column, got"),
        (lambda: max_margin(np.ones(3)), r"supports must have shape \(V, m\) with V >= 2 and m >= 1, got \(3,\)"),
        (lambda: max_margin(FAILS, tolerance=1e-20), "tolerance must be at least"),
        (lambda: max_margin(FAILS, step=0.0), "step must be finite and above 0, got 0.0"),
        (lambda: max_margin(FAILS, max_steps=0), "max_steps must be a whole number of at least 1, got 0"),
        (lambda: dual_bound(np.eye(3), FAILS), r"matrix must have the shape \(4, 4\) of the supports, got \(3, 3\)"),
        (lambda: support_excess(np.eye(3) - 1), "supports must be zeros and ones"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()
