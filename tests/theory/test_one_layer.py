import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize

import ufm
from ufm.problem.params import gradient_norm

BIASES = ["none", "free", "ridge"]


def _ce(bias="none", l2_W=5e-3, l2_H=2e-3, **kwargs):
    return ufm.Problem.balanced(
        4, 5, 6, loss="ce", bias=bias, l2_W=l2_W, l2_H=l2_H, l2_b=0.05 if bias == "ridge" else 0.0, **kwargs
    )


def test_the_published_cross_entropy_minimum():
    """K=10, n=100, l2_W=5e-4, l2_H=1e-5: f* = -log(1-c) + c s, c = (K-1) sqrt(n lW lH), s = log((K-1)(1-c)/c)."""
    problem = ufm.Problem.balanced(10, 100, 512, loss="ce", bias="ridge", l2_W=5e-4, l2_H=1e-5, l2_b=1e-2)
    c = 9 * np.sqrt(100 * 5e-4 * 1e-5)
    s = np.log(9 * (1 - c) / c)
    np.testing.assert_allclose(ufm.predict(problem).value, -np.log(1 - c) + c * s, rtol=1e-13)


@pytest.mark.parametrize("bias", BIASES)
def test_the_minimum_is_the_entropy_of_the_predicted_distribution(bias):
    prediction = ufm.predict(_ce(bias))
    p = np.exp(prediction.logits[:, 0]) / np.exp(prediction.logits[:, 0]).sum()
    np.testing.assert_allclose(prediction.value, -np.sum(p * np.log(p)), rtol=1e-13)
    kappa = np.sqrt(5 * 5e-3 * 2e-3)
    np.testing.assert_allclose(p[1:], kappa, rtol=1e-12)


@pytest.mark.parametrize("bias", BIASES)
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_representative_minimiser_is_critical_and_certified(bias, smoothing):
    problem = _ce(bias, smoothing=smoothing)
    prediction = ufm.predict(problem)
    assert prediction.theorem == ("ce-label-smoothing" if smoothing else "ce-one-layer")
    np.testing.assert_allclose(ufm.objective(problem, prediction.params), prediction.value, rtol=1e-13)
    assert gradient_norm(problem, prediction.params) < 1e-14
    assert 0 <= ufm.certify(problem, prediction.params).relative_gap < 1e-12


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_everything_collapses_exactly_at_the_threshold(smoothing):
    critical = (1 - smoothing) / 4 / np.sqrt(5)
    for side, rank in ((1 - 1e-6, 3), (1 + 1e-6, 0)):
        prediction = ufm.predict(_ce(l2_W=critical * side, l2_H=critical * side, smoothing=smoothing))
        assert prediction.rank == rank
        np.testing.assert_allclose(prediction.value, np.log(4), rtol=1e-10)


@pytest.mark.parametrize("bias", BIASES)
@pytest.mark.parametrize("loss", ["logistic", "squared_hinge", "mse", "ce"])
@pytest.mark.parametrize("c", [0.003, 0.05])
def test_the_symmetric_reduction_matches_a_bounded_search_over_its_scalars(loss, bias, c):
    from ufm.theory.cross_entropy.symmetric import predict_symmetric

    K, n, l2_b = 4, 5, 0.05
    problem = ufm.Problem.balanced(
        K, n, 6, loss=loss, bias=bias, l2_W=c, l2_H=c, l2_b=l2_b if bias == "ridge" else 0.0
    )

    def loss_of(z):
        if loss == "mse":
            return 0.5 * np.sum((z - np.eye(K)[0]) ** 2)
        if loss == "ce":
            return np.logaddexp.reduce(z) - z[0]
        if loss == "logistic":
            return np.logaddexp(0, -z[0]) + np.sum(np.logaddexp(0, z[1:]))
        return 0.5 * np.sum(np.maximum(0, 1 + z[1:] - z[0]) ** 2)

    def reduced(x):
        a, up, down, beta = x
        e = up - down
        beta = beta if bias != "none" else 0.0
        z = np.where(np.arange(K) == 0, a, 0) - a / K + e / K + beta
        penalty = c * np.sqrt(n) * ((K - 1) * a + up + down)
        return loss_of(z) + penalty + (0.5 * l2_b * K * beta**2 if bias == "ridge" else 0.0)

    bounds = [(0, None), (0, None), (0, None), (None, None)]
    found = min(
        minimize(reduced, start, bounds=bounds, method="L-BFGS-B", options={"ftol": 1e-15, "gtol": 1e-10}).fun
        for start in ([1.0, 0.1, 0.0, 0.0], [0.1, 0.0, 1.0, -1.0])
    )
    prediction = predict_symmetric(problem)
    np.testing.assert_allclose(prediction.value, found, rtol=1e-7)
    assert prediction.value <= found * (1 + 1e-12)
    np.testing.assert_allclose(ufm.objective(problem, prediction.params), prediction.value, rtol=1e-12)


def test_a_thousand_classes_and_ridges_from_tiny_to_huge_give_finite_numbers():
    for K, l2 in ((1000, 1e-12), (1000, 1e-4), (2, 1e-12), (2, 1e3)):
        prediction = ufm.predict(ufm.Problem.balanced(K, 1, K, loss="ce", l2_W=l2, l2_H=l2))
        assert jnp.isfinite(prediction.value) and 0 < prediction.value <= np.log(K) * (1 + 1e-12)
