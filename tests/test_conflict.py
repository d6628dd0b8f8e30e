"""Conflict of gradients, their alignment, and the split into pull and push, against loops and autodiff."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ufm.losses import binary_kl, cross_entropy
from ufm.metrics.conflict import align_gradients, gradient_conflict, pull_push

K, D, N = 3, 4, 6
RNG = np.random.default_rng(0)
LABELS = np.array([0, 0, 1, 1, 2, 2])
W, H, TEACHER = RNG.normal(size=(K, D)), RNG.normal(size=(D, N)), 2 * RNG.normal(size=(K, N))
Y = np.eye(K)[:, LABELS]


def hard(W, H):
    return jnp.sum(jax.vmap(cross_entropy, in_axes=1)(W @ H, jnp.asarray(Y)))


def taught(W, H):
    loss = binary_kl(2.0).value
    return jnp.sum(jax.vmap(lambda z, t: loss(z, (None, t)), in_axes=1)(W @ H, jnp.asarray(TEACHER)))


GRADIENTS = jax.jit(lambda W, H: tuple(jax.grad(loss, argnums=(0, 1))(W, H) for loss in (hard, taught)))


def test_cosines_and_rates_are_those_of_a_loop():
    first, second = (tuple(map(np.asarray, g)) for g in GRADIENTS(W, H))
    found = jax.jit(gradient_conflict)(first, second)
    cosines = [np.sum(a * b) / np.linalg.norm(a) / np.linalg.norm(b) for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose([found.cosine_W, found.cosine_H], cosines, rtol=1e-13)
    assert found.rows == sum(a @ b < 0 for a, b in zip(first[0], second[0], strict=True)) / K
    assert found.columns == sum(a @ b < 0 for a, b in zip(first[1].T, second[1].T, strict=True)) / N
    assert 0 < found.columns < 1  # neither all nor none, or the test could not fail


def test_a_gradient_agrees_with_itself_opposes_its_negative_and_zero_does_neither():
    first, _ = GRADIENTS(W, H)
    for factor, expected in ((1.0, (1, 1, 0, 0)), (-1e-200, (-1, -1, 1, 1)), (0.0, (0, 0, 0, 0))):
        found = gradient_conflict(first, tuple(factor * g for g in first))
        np.testing.assert_allclose(found, expected, atol=1e-15)
    small = gradient_conflict(*((jnp.ones((2, 3), jnp.float32), jnp.ones((3, 4), jnp.float32)),) * 2)
    assert {x.dtype for x in small} == {jnp.dtype("float32")}


def test_alignment_removes_what_opposes_and_nothing_else():
    rng = np.random.default_rng(1)
    ce = {"W": rng.normal(size=(3, 2)), "H": rng.normal(size=4)}
    flat = np.concatenate([ce["H"], ce["W"].ravel()])
    for sign in (1.0, -1.0):
        kd = {"W": 0.3 * rng.normal(size=(3, 2)) + sign * ce["W"], "H": 0.3 * rng.normal(size=4) + sign * ce["H"]}
        other = np.concatenate([kd["H"], kd["W"].ravel()])
        out = jax.jit(align_gradients)(ce, kd)
        got = np.concatenate([out["H"], np.ravel(out["W"])])
        kept = other - min(0, other @ flat) / (flat @ flat) * flat
        np.testing.assert_allclose(got, flat + kept, rtol=1e-13)
        np.testing.assert_allclose(kept @ flat, max(0, other @ flat), atol=1e-13)
    np.testing.assert_array_equal(align_gradients(jnp.zeros(2), jnp.asarray([1.0, -2.0])), [1, -2])


def test_pull_and_push_add_up_to_the_negative_gradients_and_are_sums_over_the_classes():
    softmax = np.exp(W @ H) / np.exp(W @ H).sum(0)
    parts = pull_push(W, H, Y - softmax, LABELS)
    (in_W, in_H), _ = GRADIENTS(W, H)
    np.testing.assert_allclose(parts.pull_W + parts.push_W, -in_W, atol=1e-14)
    np.testing.assert_allclose(parts.pull_H + parts.push_H, -in_H, atol=1e-14)
    own = sum((1 - softmax[1, i]) * H[:, i] for i in (2, 3))
    np.testing.assert_allclose(parts.pull_W[1], own, rtol=1e-13)
    away = sum(-softmax[k, 4] * W[k] for k in (0, 1))
    np.testing.assert_allclose(parts.push_H[:, 4], away, rtol=1e-13)


def test_the_pull_of_a_teacher_pushes_where_the_student_is_more_certain():
    z, t = W @ H, TEACHER
    residuals = 2 * (1 / (1 + np.exp(-t / 2)) - 1 / (1 + np.exp(-z / 2)))
    parts = pull_push(W, H, residuals, LABELS)
    _, (in_W, _) = GRADIENTS(W, H)
    np.testing.assert_allclose(parts.pull_W + parts.push_W, -in_W, atol=1e-14)
    along = np.sum(np.asarray(parts.pull_H) * W[LABELS].T, axis=0)  # of the sign of t - z at the true class
    np.testing.assert_array_equal(np.sign(along), np.sign(t - z)[LABELS, np.arange(N)])
    assert len(set(np.sign(along))) == 2


REFUSALS = [
    (lambda: gradient_conflict((W, H), (W, H[:, :2])), r"the gradient in H must have shape \(4, 6\), got \(4, 2\)"),
    (lambda: align_gradients({"a": 1.0}, {"b": 1.0}), r"g_kd must have the structure of g_ce, .*got"),
    (lambda: align_gradients([jnp.ones(2)], [jnp.ones(3)]), r"leaf 0 of g_kd must have shape \(2,\), got \(3,\)"),
    (lambda: pull_push(W, H[:2], Y, LABELS), r"H must have shape \(4, 6\), got \(2, 6\)"),
    (lambda: pull_push(W, H, Y[:2], LABELS), r"residuals must have shape \(3, 6\), got \(2, 6\)"),
    (lambda: pull_push(W, H, Y, LABELS[:2]), r"labels must have shape \(6,\), got \(2,\)"),
    (lambda: pull_push(W, H, Y, LABELS + 1), r"labels must be from 0 to classes - 1 = 2, got 3"),
]


@pytest.mark.parametrize("number", range(len(REFUSALS)))
def test_what_does_not_fit_is_refused(number):
    call, message = REFUSALS[number]
    with pytest.raises(ValueError, match=message):
        call()
