import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

import ufm
from ufm.problem.params import gradient_norm
from ufm.theory.mse.imbalanced import critical_size
from ufm.theory.mse.spectrum import beta_spinodal, beta_tie, largest_root, minimise_direction
from ufm.theory.mse.thresholds import largest_root_cases, measure_at_zero, predict_largest_root


def test_published_balanced_minima_to_all_digits():
    """K=4, n=100, l2 = 5e-4: t = 1 - 4 sqrt(100) 5e-4 for M=1, so f* = (1 - t^2)/2; M=3 from the trigonometric root."""
    one = ufm.Problem.balanced(4, 100, (64,), l2_W=5e-4, l2_H=5e-4)
    three = ufm.Problem.balanced(4, 100, (64, 64, 64), l2_W=5e-4, l2_H=5e-4)
    np.testing.assert_allclose(ufm.predict(one).value, (1 - 0.98**2) / 2, rtol=1e-14)
    beta = 4 * 100**0.25 * 5e-4
    t = (2 / np.sqrt(3) * np.cos(np.arccos(-1.5 * np.sqrt(3) * beta) / 3)) ** 2
    np.testing.assert_allclose(ufm.predict(three).value, (1 - t) * (1 + 3 * t) / 2, rtol=1e-12)
    np.testing.assert_allclose(ufm.predict(three).value, 0.0126290469918, rtol=1e-11)


@pytest.mark.parametrize("M", [2, 3, 4, 7])
@pytest.mark.parametrize("fraction", [1e-12, 1e-6, 1e-2, 0.5, 0.999])
def test_the_largest_root_agrees_with_fifty_digits(M, fraction):
    beta = fraction * beta_spinodal(M)
    with mpmath.workdps(50):
        p = mpmath.mpf(M - 1) / (M + 1)
        equation = lambda u: u + p * mpmath.log(1 - mpmath.exp(u)) - mpmath.log(mpmath.mpf(beta))  # noqa: E731
        top = mpmath.log(mpmath.mpf(M + 1) / (2 * M))
        root = mpmath.findroot(equation, (mpmath.log(mpmath.mpf(beta)), top), solver="anderson", tol=1e-40)
        exact = float(mpmath.exp(root))
    np.testing.assert_allclose(largest_root(jnp.asarray(beta), M), exact, rtol=1e-13 if fraction < 0.9 else 1e-10)


@pytest.mark.parametrize("M", [1, 2, 3, 5])
def test_the_minimum_switches_to_zero_exactly_at_the_tie(M):
    for side, alive in ((1 - 1e-9, True), (1 + 1e-9, False)):
        c = jnp.asarray(beta_tie(M) * side)
        found = minimise_direction(jnp.ones(1), jnp.ones(1), jnp.asarray(1.0), c, M)
        assert bool(found.alive[0]) == alive
        np.testing.assert_allclose(found.value, 0.5, rtol=1e-8)  # both solutions are worth phi(0) at the tie
    np.testing.assert_allclose(
        minimise_direction(jnp.ones(1), jnp.ones(1), jnp.asarray(1.0), jnp.asarray(beta_tie(M) * (1 - 1e-9)), M).t,
        (M - 1) / M,
        atol=1e-4,
    )


def test_tie_and_spinodal_of_the_dossier():
    np.testing.assert_allclose([beta_tie(1), beta_tie(2), beta_tie(3)], [1, 0.5 * 0.5 ** (1 / 3), (2 / 3) ** 0.5 / 3])
    np.testing.assert_allclose(beta_spinodal(3), (2 / 3) * (1 / 3) ** 0.5)
    # Dang et al.'s b = M beta^((M+1)/M) has its tie at (M-1)^((M-1)/M)/M
    np.testing.assert_allclose(3 * beta_tie(3) ** (4 / 3), 2 ** (2 / 3) / 3)


@pytest.mark.parametrize("counts", [(7, 4, 2), (1, 1), (5, 5, 5, 5), (30, 3, 1)])
@pytest.mark.parametrize("M", [1, 2, 3])
@pytest.mark.parametrize("bias", ["none", "free"])
def test_the_representative_minimiser_is_critical_in_the_problems_own_columns(counts, M, bias):
    problem = ufm.Problem.imbalanced(counts, (6,) * M, l2_W=2e-3, l2_H=3e-3, bias=bias)
    prediction = ufm.predict(problem)
    np.testing.assert_allclose(ufm.objective(problem, prediction.params), prediction.value, rtol=1e-12)
    assert gradient_norm(problem, prediction.params) < 1e-14
    z = ufm.logits(problem, prediction.params)
    np.testing.assert_allclose(z, prediction.logits[:, problem.labels], atol=1e-13)
    for A, s in zip((prediction.params.H, *prediction.params.weights), prediction.singular_values, strict=True):
        np.testing.assert_allclose(jnp.linalg.svd(A, compute_uv=False)[: s.size], jnp.sort(s)[::-1], atol=1e-13)


@pytest.mark.parametrize("M", [1, 2, 3])
def test_minority_classes_vanish_below_the_critical_size(M):
    problem = ufm.Problem.imbalanced((40, 20, 8), (5,) * M, l2_W=1e-2, l2_H=1e-2)
    scale = (14.0 / float(critical_size(problem))) ** (M / (M + 1))
    problem = problem.replace(l2_W=1e-2 * scale, l2_H=1e-2 * scale)
    np.testing.assert_allclose(critical_size(problem), 14.0, rtol=1e-12)
    prediction = ufm.predict(problem)
    assert prediction.alive.tolist() == [True, True, False] and prediction.rank == 2
    assert np.all(prediction.logits[:, 2] == 0) and np.all(prediction.params.weights[-1][2] == 0)


def test_one_layer_margins_follow_the_explicit_formula():
    counts, lW, lH = np.array([9.0, 5.0, 3.0]), 4e-3, 1e-2
    prediction = ufm.predict(ufm.Problem.imbalanced((9, 5, 3), 4, l2_W=lW, l2_H=lH))
    np.testing.assert_allclose(np.diag(prediction.logits), 1 - 17 * np.sqrt(lW * lH / counts), rtol=1e-13)
    rows = np.sum(np.asarray(prediction.params.weights[0]) ** 2, axis=1)
    np.testing.assert_allclose(rows, np.sqrt(counts * lH / lW) - 17 * lH, rtol=1e-12)


def test_a_free_bias_equals_the_class_priors_even_when_everything_else_collapses():
    problem = ufm.Problem.imbalanced((6, 3, 1), 4, l2_W=1.0, l2_H=1.0, bias="free")
    prediction = ufm.predict(problem)
    n = np.array([6.0, 3.0, 1.0])
    np.testing.assert_allclose(prediction.params.b, n / 10, rtol=1e-15)
    np.testing.assert_allclose(prediction.value, (10 - np.sum(n**2) / 10) / 20, rtol=1e-14)
    assert prediction.rank == 0


def test_equal_classes_reduce_the_imbalanced_theorems_to_the_balanced_ones():
    for bias in ("none", "free"):
        balanced = ufm.Problem.balanced(4, 6, (8, 8), l2_W=5e-3, l2_H=2e-3, bias=bias)
        unknown = jax.jit(lambda m, b=balanced: ufm.predict(b.collapsed().replace(multiplicity=m)).value)
        np.testing.assert_allclose(unknown(jnp.full((4,), 6.0)), ufm.predict(balanced).value, rtol=1e-13)


def test_a_bottleneck_through_equal_classes_is_not_unique_and_one_through_distinct_sizes_is():
    assert not ufm.predict(ufm.Problem.balanced(4, 6, (2,), l2_W=5e-3, l2_H=2e-3)).unique
    assert not ufm.predict(ufm.Problem.imbalanced((5, 3, 3), (2,), l2_W=5e-3, l2_H=2e-3)).unique
    assert ufm.predict(ufm.Problem.imbalanced((5, 4, 3), (2,), l2_W=5e-3, l2_H=2e-3)).unique


def test_the_mean_direction_opens_where_the_ridge_of_the_bias_passes_its_threshold():
    K, n, c = 4, 5, 0.01
    s = K * n**0.5 * c
    threshold = s / (1 - s)
    for side, rank in ((0.99, 3), (1.01, 4)):
        problem = ufm.Problem.balanced(K, n, 6, l2_W=c, l2_H=c, bias="ridge", l2_b=threshold * side)
        assert ufm.predict(problem).rank == rank
    wide_open = ufm.Problem.balanced(K, n, 6, l2_W=c, l2_H=c, bias="ridge", l2_b=1e9)
    no_bias = ufm.Problem.balanced(K, n, 6, l2_W=c, l2_H=c)
    np.testing.assert_allclose(ufm.predict(wide_open).value, ufm.predict(no_bias).value, rtol=1e-8)


@pytest.mark.parametrize("l2", [1e-12, 1e-6, 1.0, 1e3])
@pytest.mark.parametrize("M", [1, 3])
def test_no_nan_from_tiny_to_huge_ridges_and_class_counts(l2, M):
    for bias in ("none", "free"):
        counts = jnp.array([1e6, 1e3, 1.0])
        base = ufm.Problem.balanced(3, 1, (4,) * M, l2_W=l2, l2_H=l2, bias=bias)
        problem = base.replace(multiplicity=counts)
        prediction = ufm.predict(problem)
        assert all(bool(jnp.all(jnp.isfinite(x))) for x in jax.tree.leaves(prediction))
        slope = jax.grad(lambda x, p=problem: ufm.predict(p.replace(l2_H=x)).value)(l2)
        assert jnp.isfinite(slope) and slope >= 0


def test_anyone_can_evaluate_the_counterexample_to_the_largest_root():
    problem = largest_root_cases()["M=3 K=4 n=100 l2=2.7e-2"]
    np.testing.assert_allclose(measure_at_zero(problem, None).lower, 0.5, rtol=1e-15)
    np.testing.assert_allclose(predict_largest_root(problem).value / 4, 0.152, atol=5e-4)  # the value a class at the root


def test_a_thousand_classes_are_as_easy_as_four():
    problem = ufm.Problem.balanced(1000, 1, 1000, l2_W=1e-6, l2_H=1e-6)
    np.testing.assert_allclose(ufm.predict(problem).value, (1 - (1 - 1e-3) ** 2) / 2, rtol=1e-12)
