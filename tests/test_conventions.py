"""Each converter against the paper's own objective, written out in NumPy, at the same random params."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ufm
from ufm.problem import is_balanced
from ufm.problem.conventions import mean_feature_penalty, summed_loss, tirer_bruna, torch_training, without_half

BIASES = ["none", "free", "ridge"]
COUNTS = [(2, 2, 2), (3, 1, 2)]
WIDTHS = [(4,), (4, 3)]


def random_point(counts, widths, bias, seed=0):
    rng = np.random.default_rng(seed)
    outputs = (*widths[1:], len(counts))
    weights = tuple(rng.standard_normal((outputs[i], d)) for i, d in enumerate(widths))
    H = rng.standard_normal((widths[0], sum(counts)))
    return ufm.Params(weights, H, None if bias == "none" else rng.standard_normal(len(counts)))


def labels_of(counts):
    return np.repeat(np.arange(len(counts)), counts)


def forward(params):
    Z = params.H
    for W in params.weights:
        Z = W @ Z
    return Z if params.b is None else Z + params.b[:, None]


def sq(x):
    return 0.0 if x is None else float(np.sum(np.square(x)))


def losses(name, Z, labels):
    """The loss of each sample by its textbook formula."""
    Y = np.eye(len(Z))[labels].T
    if name == "mse":
        return 0.5 * ((Z - Y) ** 2).sum(0)
    if name == "ce":
        return np.log(np.exp(Z).sum(0)) - Z[labels, np.arange(len(labels))]
    if name == "logistic":
        probability = 1 / (1 + np.exp(-Z))
        return -(Y * np.log(probability) + (1 - Y) * np.log(1 - probability)).sum(0)
    correct = Z[labels, np.arange(len(labels))]
    return 0.5 * (np.maximum(0, 1 + Z - correct) ** 2 * (1 - Y)).sum(0)


def assert_same(converted, paper, params):
    as_jax = jax.tree.map(jnp.asarray, params)
    np.testing.assert_allclose(converted.factor * ufm.objective(converted.problem, as_jax), paper, rtol=1e-13)


@pytest.mark.parametrize("bias", BIASES)
@pytest.mark.parametrize("counts", COUNTS)
@pytest.mark.parametrize("widths", WIDTHS)
def test_tirer_bruna_divide_ridges_by_the_sizes_of_their_matrices(bias, counts, widths):
    K, N = len(counts), sum(counts)
    l2_W, l2_H, l2_b = [0.3, 0.7][: len(widths)], 0.2, 0.4 if bias == "ridge" else 0.0
    params = random_point(counts, widths, bias)
    Y = np.eye(K)[labels_of(counts)].T
    paper = sq(forward(params) - Y) / (2 * N) + l2_H / (2 * N) * sq(params.H) + l2_b / 2 * sq(params.b)
    paper += sum(l2 / (2 * K) * sq(W) for l2, W in zip(l2_W, params.weights, strict=True))
    assert_same(tirer_bruna(counts, widths, l2_W=l2_W, l2_H=l2_H, l2_b=l2_b, bias=bias), paper, params)


@pytest.mark.parametrize("bias", BIASES)
@pytest.mark.parametrize("loss", ["mse", "ce", "logistic"])
def test_torch_averages_over_entries_and_decays_every_parameter(bias, loss):
    counts, widths, wd = COUNTS[1], WIDTHS[1], 0.05
    params = random_point(counts, widths, bias)
    Z, labels = forward(params), labels_of(counts)
    # reduction="mean" of torch: over all N K entries, but over the N samples for CrossEntropyLoss
    mean = {
        "mse": np.mean((Z - np.eye(3)[labels].T) ** 2),
        "ce": np.mean(losses("ce", Z, labels)),
        "logistic": np.sum(losses("logistic", Z, labels)) / Z.size,
    }[loss]
    decayed = [*params.weights, params.H, params.b if bias == "ridge" else None]
    paper = mean + wd / 2 * sum(map(sq, decayed))
    assert_same(torch_training(counts, widths, weight_decay=wd, loss=loss, bias=bias), paper, params)


def test_torch_label_smoothing_mixes_in_the_uniform_distribution():
    counts, widths, wd, s = COUNTS[1], WIDTHS[0], 0.05, 0.1
    params = random_point(counts, widths, "none")
    Z, labels = forward(params), labels_of(counts)
    log_probability = Z - np.log(np.exp(Z).sum(0))
    per_sample = -(1 - s) * log_probability[labels, np.arange(6)] - s * log_probability.mean(0)
    paper = per_sample.mean() + wd / 2 * (sq(params.weights[0]) + sq(params.H))
    assert_same(torch_training(counts, widths, weight_decay=wd, loss="ce", smoothing=s), paper, params)


@pytest.mark.parametrize("bias", BIASES)
@pytest.mark.parametrize("loss", ["mse", "ce", "logistic", "squared_hinge"])
@pytest.mark.parametrize("widths", WIDTHS)
def test_a_sum_a_missing_half_and_a_mean_feature_penalty_are_plain_problems(bias, loss, widths):
    counts = COUNTS[1]
    N = sum(counts)
    ridges = {"l2_W": (0.3, 0.7)[: len(widths)], "l2_H": 0.2, "l2_b": 0.4 if bias == "ridge" else 0.0}
    params = random_point(counts, widths, bias)
    per_sample = losses(loss, forward(params), labels_of(counts))
    W2 = sum(l2 * sq(W) for l2, W in zip(ridges["l2_W"], params.weights, strict=True))
    H2, b2 = ridges["l2_H"] * sq(params.H), ridges["l2_b"] * sq(params.b)
    choices = {"loss": loss, "bias": bias, **ridges}
    assert_same(summed_loss(counts, widths, **choices), per_sample.sum() + (W2 + H2 + b2) / 2, params)
    assert_same(without_half(counts, widths, **choices), per_sample.mean() + W2 + H2 + b2, params)
    assert_same(mean_feature_penalty(counts, widths, **choices), per_sample.mean() + (W2 + H2 / N + b2) / 2, params)


def test_converted_problems_keep_their_design_and_dtype_and_take_traced_ridges():
    converted = torch_training((2, 2, 2), (4,), weight_decay=jnp.float32(0.1), bias="ridge")
    assert is_balanced(converted.problem.design)
    assert {leaf.dtype for leaf in jax.tree.leaves(converted.problem)} == {jnp.dtype("float32")}
    ridge = jax.grad(lambda wd: torch_training((2, 2, 2), (4,), weight_decay=wd).problem.l2_H)(0.1)
    np.testing.assert_allclose(ridge, 3 / 2, rtol=1e-15)


@pytest.mark.parametrize("convert", [tirer_bruna, summed_loss, without_half, mean_feature_penalty])
@pytest.mark.parametrize("name", ["l2_W", "l2_H", "l2_b"])
def test_refusals_are_in_the_papers_own_numbers(convert, name):
    ridges = {"l2_W": 0.1, "l2_H": 0.1, "l2_b": 0.1} | {name: -0.5}
    with pytest.raises(ValueError, match=rf"{name}.*0.*-0\.5"):
        convert((2, 2), (3,), bias="ridge", **ridges)


def test_torch_training_refuses_losses_it_does_not_know_and_negative_decay():
    with pytest.raises(ValueError, match=r"loss must be one of 'mse', 'ce', 'logistic', got 'squared_hinge'"):
        torch_training((2, 2), (3,), weight_decay=0.1, loss="squared_hinge")
    with pytest.raises(ValueError, match=r"weight_decay must be finite and at least 0, got -0\.1"):
        torch_training((2, 2), (3,), weight_decay=-0.1)
