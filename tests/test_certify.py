"""No point of any problem lies below any bound, and bounds of one layer meet the minimum that SciPy finds."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize

import ufm
from tests.numpy_problem import numpy_problem
from ufm import Loss, Params, Problem, certify
from ufm.duality import KINDS, certificate_kind, escape_direction
from ufm.losses import LOSSES
from ufm.losses.loss import proved

K, D = 3, 4
COUNTS = (3, 1, 2)
huber = Loss("huber-like", lambda z, y: jnp.sum(jnp.sqrt(1 + (z - y) ** 2) - 1), convex=True)
below_zero = proved("below-zero", lambda z, y: 0.5 * jnp.sum((z - y) ** 2) - 5, convex=True)  # `Loss` would refuse least=0


def numpy_losses(name, Z, Y):
    """(values, gradients) of the loss at the logits of every column, by hand."""
    if name in ("mse", "below-zero"):
        return 0.5 * ((Z - Y) ** 2).sum(0) - (5 if name == "below-zero" else 0), Z - Y
    if name == "ce":
        shift = Z.max(0)
        total = np.exp(Z - shift).sum(0)
        return shift + np.log(total) - (Y * Z).sum(0), np.exp(Z - shift) / total - Y
    if name == "logistic":
        p = 1 / (1 + np.exp(-Z))
        return (np.logaddexp(0, Z) - Y * Z).sum(0), p - Y
    if name == "huber-like":
        root = np.sqrt(1 + (Z - Y) ** 2)
        return (root - 1).sum(0), (Z - Y) / root
    violation = np.maximum(0, 1 + Z - (Y * Z).sum(0)) * (1 - Y)
    return 0.5 * (violation**2).sum(0), violation - Y * violation.sum(0)


def unpack(q, x):
    shapes = [(o, i) for i, o in zip(q.widths, (*q.widths[1:], K), strict=True)][: len(q.l2_W)]
    shapes += [(q.widths[0], q.targets.shape[1])] + ([] if q.bias == "none" else [(K,)])
    parts = np.split(x, np.cumsum([int(np.prod(s)) for s in shapes])[:-1])
    *weights, H = (p.reshape(s) for p, s in zip(parts, shapes, strict=True) if len(s) == 2)
    return weights, H, None if q.bias == "none" else parts[-1]


def value_and_gradient(x, q):
    """The objective and its gradient in NumPy, through normalised coordinates on the sphere."""
    weights, H, b = unpack(q, x)
    if q.features == "sphere":
        norms = [np.linalg.norm(W, axis=1, keepdims=True) for W in weights], np.linalg.norm(H, axis=0)
        weights, H = [W / n for W, n in zip(weights, norms[0], strict=True)], H / norms[1] * np.sqrt(q.multiplicity)
    layers = weights + ([] if q.classifier is None else [q.classifier])
    forward = [H / np.sqrt(q.multiplicity)]
    for W in layers:
        forward.append(W @ forward[-1])
    Z = q.scale * forward[-1] + (0 if b is None else np.outer(b, q.intercept))
    values, G = numpy_losses(q.loss.name, Z, q.targets)
    share = q.weight * q.multiplicity / q.samples
    value = share @ values + q.l2_H / 2 * (H**2).sum()
    value += sum(l2 / 2 * (W**2).sum() for l2, W in zip(q.l2_W, weights, strict=True))
    back = share * G
    db = [] if b is None else [back @ q.intercept + q.l2_b * b]
    value += 0 if b is None else q.l2_b / 2 * b @ b
    back = q.scale * back
    dW = [None] * len(layers)
    for i in reversed(range(len(layers))):
        dW[i], back = back @ forward[i].T, layers[i].T @ back
    dW = [g + l2 * W for g, l2, W in zip(dW, q.l2_W, weights, strict=False)]
    dH = back / np.sqrt(q.multiplicity) + q.l2_H * H
    if q.H0 is not None:
        value, dH = value + q.beta / 2 * ((H - q.H0) ** 2).sum(), dH + q.beta * (H - q.H0)
    if q.features == "sphere":
        dW = [(g - W * (W * g).sum(1, keepdims=True)) / n for g, W, n in zip(dW, weights, norms[0], strict=True)]
        unit = H / np.sqrt(q.multiplicity)
        dH = (dH - unit * (unit * dH).sum(0)) * np.sqrt(q.multiplicity) / norms[1]
    return value, np.concatenate([g.ravel() for g in [*dW, dH, *db]])


def scipy_minimum(problem, starts=3):
    """(lowest value found, its params) by L-BFGS-B from several starts, polished by a second run."""
    q = numpy_problem(problem)
    size = sum(x.size for x in jax.tree.leaves(ufm.initialize(problem, jax.random.key(0))))
    H_at = sum(o * i for i, o in zip(q.widths, (*q.widths[1:], K), strict=True)) if q.classifier is None else 0
    bounds = [(None, None)] * size
    if problem.features == "nonnegative":
        bounds = [(0 if H_at <= i < H_at + q.widths[0] * q.targets.shape[1] else None, None) for i in range(size)]
    options = {"maxiter": 20000, "maxfun": 50000, "ftol": 0, "gtol": 1e-12, "maxcor": 50}
    best = None
    for seed in range(starts):
        found = np.random.default_rng(seed).standard_normal(size)
        for _ in range(2):
            run = minimize(value_and_gradient, found, (q,), "L-BFGS-B", jac=True, bounds=bounds, options=options)
            value, found = run.fun, run.x
        best = (value, found) if best is None or value < best[0] else best
    weights, H, b = unpack(q, best[1])
    if problem.features == "sphere":
        weights = [W / np.linalg.norm(W, axis=1, keepdims=True) for W in weights]
        H = H / np.linalg.norm(H, axis=0) * np.sqrt(q.multiplicity)
    return best[0], jax.tree.map(jnp.asarray, Params(tuple(weights), H, b))


RIDGES = {"l2_W": 0.03, "l2_H": 0.01}
CLASSIFIER = np.array([[1.0, 0, 0.5], [0, 2, 0], [0.3, 0, 1]])
SOFT = np.array([[0.7, 0.1, 0.3, 0.3], [0.2, 0.9, 0.3, 0.3], [0.1, 0.0, 0.4, 0.4]])


def layer(loss="mse", widths=D, **choices):
    sizes = np.array(COUNTS, float)
    return Problem.from_targets(np.eye(3), widths, loss=loss, multiplicity=sizes, **{**RIDGES, **choices})


TIGHT = {
    f"{loss}-{bias}": layer(loss, bias=bias, l2_b=0.05 if bias == "ridge" else 0.0)
    for loss in LOSSES
    for bias in ("none", "free", "ridge")
} | {
    "scaled": layer("ce", scale=2.5, bias="ridge", l2_b=0.02),
    "weighted": layer("mse", weight=[1.0, 3.0, 0.5], samples=8.0, bias="free"),
    "soft": Problem.from_targets(SOFT, D, loss="ce", multiplicity=[1, 2, 1, 3], bias="free", **RIDGES),
    "vanishing": layer("ce", l2_W=1.0, l2_H=1.0),
    "fixed classifier": layer("ce", 3, classifier=CLASSIFIER, l2_W=(), bias="ridge", l2_b=0.1),
    "layer under a fixed classifier": layer("mse", (5, 3), classifier=CLASSIFIER),
    "huber": layer(huber, bias="ridge", l2_b=0.05, scale=1.5),
    "non-negative ce": layer("ce", 5, features="nonnegative", l2_W=0.003),
    "non-negative ce, one class collapsed": layer("ce", 5, features="nonnegative", l2_W=0.1, l2_H=0.1),
    "non-negative, fixed classifier": layer("ce", 3, features="nonnegative", classifier=CLASSIFIER, l2_W=()),
}  # fmt: skip
LOOSE = {
    "narrow": layer("ce", 1),
    "deep mse": layer("mse", (4, 3)),
    "deep ce": layer("ce", (4, 3), bias="free", scale=1.5),
    "deep logistic": layer("logistic", (4, 3), bias="ridge", l2_b=0.05),
    "deep hinge": layer("squared_hinge", (3, 4)),
    "sphere": layer("ce", features="sphere", scale=3.0, bias="ridge", l2_b=0.1),
    "sphere, fixed": layer("logistic", features="sphere", classifier=np.eye(3, D), l2_W=(), l2_H=0.0, bias="free"),
    "non-negative": layer("mse", features="nonnegative", bias="free"),
    "proximity": layer("ce", beta=0.2, H0=np.random.default_rng(0).standard_normal((D, 3))),
    "no ridge": layer("logistic", l2_W=0.0, l2_H=0.0, bias="free"),
    "below zero": layer(below_zero),
}  # fmt: skip
EVERY = TIGHT | LOOSE


@cache
def minimum(name):
    return scipy_minimum(EVERY[name])


def points(name):
    """Random params of several sizes, the best point known, and points around it."""
    problem = EVERY[name]
    best = minimum(name)[1]
    drawn = [ufm.initialize(problem, jax.random.key(i), scale) for i, scale in enumerate((0.01, 0.3, 0.7, 1.0, 3.0))]
    for i, size in enumerate((1e-6, 1e-3, 0.03, 0.1, 0.3)):
        noise = ufm.initialize(problem, jax.random.key(10 + i), size)
        near = jax.tree.map(jnp.add, best, noise)
        if problem.features == "sphere":
            rows = tuple(W / jnp.linalg.norm(W, axis=1, keepdims=True) for W in near.weights)
            near = Params(rows, near.H * jnp.sqrt(problem.multiplicity / jnp.sum(near.H**2, axis=0))[None, :], near.b)
        drawn.append(near)
        if problem.features == "free":
            drawn.append(jax.tree.map(lambda x, size=size: (1 - size) * x, best))
    return [*drawn, best]


@pytest.mark.parametrize("name", list(EVERY))
def test_no_bound_from_any_point_exceeds_the_best_value_known(name):
    best, _ = minimum(name)
    problem, slack = EVERY[name], 1e-12 * (1 + abs(best))
    for params in points(name):
        certificate = certify(problem, params)
        assert certificate.lower_bound <= best
        assert certificate.value >= best - slack, "a sharper minimum than SciPy's would make the test vacuous"
        assert certificate.gap == certificate.value - certificate.lower_bound >= 0


@pytest.mark.parametrize("name", list(TIGHT))
def test_the_bound_of_one_layer_meets_the_minimum(name):
    best, params = minimum(name)
    certificate = certify(TIGHT[name], params)
    np.testing.assert_allclose(certificate.value, best, rtol=1e-12)
    assert 0 <= certificate.relative_gap < 1e-7
    if TIGHT[name].trainable:
        assert certificate.spectral_ratio <= 1 + 1e-6


@pytest.mark.parametrize("name", ["mse-none", "ce-ridge", "scaled", "layer under a fixed classifier"])
def test_the_spectral_ratio_is_that_of_the_logit_gradient_and_one_at_a_minimum_that_does_not_vanish(name):
    problem = TIGHT[name]
    np.testing.assert_allclose(certify(problem, minimum(name)[1]).spectral_ratio, 1, atol=1e-6)
    q, p = numpy_problem(problem), jax.tree.map(np.asarray, ufm.initialize(problem, jax.random.key(3)))
    A = np.eye(K) if q.classifier is None else q.classifier
    samples = p.H / np.sqrt(q.multiplicity)
    Z = q.scale * A @ p.weights[0] @ samples + (0 if p.b is None else np.outer(p.b, q.intercept))
    G = q.scale * A.T @ numpy_losses(q.loss.name, Z, q.targets)[1] * np.sqrt(q.multiplicity) / q.samples
    expected = np.linalg.svd(G)[1][0] / np.sqrt(q.l2_W[0] * q.l2_H)
    np.testing.assert_allclose(certify(problem, jax.tree.map(jnp.asarray, p)).spectral_ratio, expected, rtol=1e-12)


def test_where_everything_vanishes_the_ratio_is_below_one_and_the_gap_is_zero():
    problem = TIGHT["vanishing"]
    zero = jax.tree.map(jnp.zeros_like, ufm.initialize(problem, jax.random.key(0)))
    certificate = certify(problem, zero)
    assert certificate.spectral_ratio < 1 and 0 <= certificate.gap < 1e-14
    np.testing.assert_allclose(certificate.value, np.log(3), rtol=1e-15)


def test_the_gap_is_of_first_order_in_the_error_and_the_value_of_second():
    problem, (best, params) = TIGHT["ce-none"], minimum("ce-none")
    noise = ufm.initialize(problem, jax.random.key(5), 1.0)
    errors = []
    for size in (1e-3, 1e-4):
        certificate = certify(problem, jax.tree.map(lambda x, e, size=size: x + size * e, params, noise))
        errors.append((certificate.value - best, certificate.gap))
    (f1, g1), (f2, g2) = errors
    assert 1.8 < np.log10(f1 / f2) < 2.2 and 0.8 < np.log10(g1 / g2) < 1.2


KIND = {
    "mse-free": "duality", "fixed classifier": "duality", "sphere": "duality", "huber": "subgradient",
    "deep ce": "chord", "non-negative": "orthant", "non-negative ce": "orthant", "proximity": "relaxation",
    "non-negative, fixed classifier": "duality",
}  # fmt: skip


@pytest.mark.parametrize("name", list(KIND))
def test_each_problem_says_which_proof_it_gets(name):
    assert certificate_kind(EVERY[name]) == KIND[name] in KINDS


def test_the_bound_for_free_features_misses_the_minimum_over_non_negative_ones():
    problem = TIGHT["non-negative ce"]
    best, params = minimum("non-negative ce")
    free = certify(problem.replace(features="free"), params)
    assert certify(problem, params).lower_bound - free.lower_bound > 0.01 * best


def padded_narrow_minimum(problem):
    """The minimum over one-dimensional features, padded with zeros: critical, and a saddle in D dimensions."""
    narrow = problem.replace(widths=1)
    _, p = scipy_minimum(narrow)
    wide = Params((jnp.pad(p.weights[0], [(0, 0), (0, D - 1)]),), jnp.pad(p.H, [(0, D - 1), (0, 0)]), p.b)
    return jax.tree.map(jnp.asarray, wide)


escape = jax.jit(escape_direction)


@jax.jit
def slope_and_curvature(problem, params, direction):
    """The gradient, and the Hessian times a direction."""
    return jax.jvp(jax.grad(lambda p: ufm.objective(problem, p)), (params,), (direction,))


@pytest.mark.parametrize(
    "name, at",
    [("mse-none", "zero"), ("ce-none", "zero"), ("mse-none", "rank one"), ("mse-free", "rank one")]
    + [("ce-none", "rank one"), ("ce-ridge", "rank one"), ("scaled", "rank one")],
)
def test_the_escape_direction_has_the_negative_curvature_it_predicts(name, at):
    problem = TIGHT[name]
    saddle = padded_narrow_minimum(problem)
    if at == "zero":
        saddle = jax.tree.map(jnp.zeros_like, saddle)
    direction, predicted = escape(problem, saddle)
    slope, curved = slope_and_curvature(problem, saddle, direction)
    assert max(float(jnp.abs(g).max()) for g in jax.tree.leaves(slope)) < 1e-8, "a critical point"
    measured = sum(jnp.vdot(v, g) for v, g in zip(jax.tree.leaves(direction), jax.tree.leaves(curved), strict=True))
    np.testing.assert_allclose(sum(jnp.sum(v**2) for v in jax.tree.leaves(direction)), 1, rtol=1e-14)
    np.testing.assert_allclose(measured, predicted, rtol=1e-6)
    assert predicted < -1e-3
    moved = jax.tree.map(lambda x, v: x + 0.05 * v, saddle, direction)
    assert ufm.objective(problem, moved) < ufm.objective(problem, saddle) + 0.4 * 0.05**2 * predicted


def test_a_global_minimum_has_no_escape():
    for name in ("mse-none", "ce-ridge"):
        assert escape(TIGHT[name], minimum(name)[1])[1] > -1e-6


@pytest.mark.parametrize(
    "problem, message",
    [
        (LOOSE["deep mse"], "one trained layer with free features"),
        (LOOSE["sphere"], "one trained layer with free features"),
        (LOOSE["non-negative"], "one trained layer with free features"),
        (TIGHT["fixed classifier"], "one trained layer with free features"),
        (LOOSE["proximity"], "proximity"),
    ],
)
def test_escape_directions_are_refused_where_they_are_not_known(problem, message):
    with pytest.raises(ValueError, match=message):
        escape_direction(problem, ufm.initialize(problem, jax.random.key(0)))


def test_losses_that_are_not_convex_and_free_biases_without_a_conjugate_are_refused():
    bent = layer(lambda z, y: jnp.sum(jnp.tanh(z - y) ** 2))
    with pytest.raises(ValueError, match=r"loss must be convex to be certified \(declare it with ufm.Loss.*<lambda>"):
        certify(bent, ufm.initialize(bent, jax.random.key(0)))
    free = layer(huber, bias="free")
    with pytest.raises(ValueError, match=r"bias must be 'none' or 'ridge' to certify a loss .*, got 'free'"):
        certify(free, ufm.initialize(free, jax.random.key(0)))


def test_certificates_pass_through_jit_vmap_and_grad_and_keep_float32():
    problem, params = TIGHT["mse-none"], ufm.initialize(TIGHT["mse-none"], jax.random.key(1), 0.5)
    plain = certify(problem, params)
    batch = jax.vmap(lambda l2: certify(problem.replace(l2_H=l2), params).lower_bound)(jnp.asarray([0.01, 0.02]))
    np.testing.assert_allclose(jax.jit(certify)(problem, params).lower_bound, plain.lower_bound, rtol=1e-12)
    np.testing.assert_allclose(batch[0], plain.lower_bound, rtol=1e-12)
    single = jax.tree.map(lambda x: x.astype(jnp.float32), (problem, params))
    certificate = certify(*single)
    floats = {x.dtype for x in jax.tree.leaves(certificate) if jnp.issubdtype(x.dtype, jnp.floating)}
    assert floats == {jnp.dtype("float32")} and jnp.issubdtype(certificate.status.dtype, jnp.integer)
    np.testing.assert_allclose(certificate.lower_bound, plain.lower_bound, rtol=1e-4)
