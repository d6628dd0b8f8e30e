"""Losses of one's own: known by their function and not by their name, tried where they are made, served by what they declare."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ufm
from ufm import Loss, Problem, losses
from ufm.equivalent.columns import pooled_problem
from ufm.losses.loss import check_loss, is_loss
from ufm.losses.trial import failures

RIDGES = {"l2_W": 1e-2, "l2_H": 1e-2}
EVERY = {
    loss.name: loss
    for loss in (
        *losses.LOSSES.values(), losses.focal(2.0), losses.focal(0.0), losses.poly1(1.0), losses.poly1(3.0), losses.comp_sum(0.0),
        losses.comp_sum(0.5), losses.comp_sum(1.0), losses.comp_sum(3.0), losses.gce(0.7), losses.mae(), losses.ldr_kl(1.0, 0.5),
        losses.z_loss(2.0, 0.5, 0.05), losses.z_loss(1.0, 0.0, 0.0), losses.log_spherical(0.05), losses.log_taylor(),
        losses.stablemax(), losses.ce_logsumexp(0.3), losses.kd(0.7, 0.3, 3.0), losses.kd(0.7, 0.3, 1.0), losses.binary_kl(),
        losses.binary_kl_norm(), losses.ce_binary_kl(), losses.ce_binary_kl(norm=False), losses.dual_head(),
        losses.dual_head(norm=False), losses.pld(1.5),
    )
}  # fmt: skip


def mean_squared(z, y):
    return jnp.mean((z - y) ** 2)


def doubled(z, y):
    return 2 * losses.cross_entropy(z, y)


def binary(z, y):
    """The formula of `logistic`."""
    return jnp.sum(jnp.logaddexp(0, z) - y * z)


def balanced(loss, **choices):
    return Problem.balanced(4, 5, 6, loss=loss, **RIDGES | choices)


def pair_of_halves(rng):
    return np.concatenate([np.eye(3)[rng.integers(3)], rng.standard_normal(3)])


@pytest.mark.parametrize("name", EVERY)
def test_what_our_losses_declare_survives_the_trial_of_other_losses(name):
    loss = EVERY[name]
    for classes, draw in ((6, pair_of_halves),) if name.startswith("dual") else ((2, None), (4, None)):
        assert [str(failure) for failure in failures(loss, classes, draw)] == []


@pytest.mark.parametrize("name", EVERY)
def test_losses_pickle_compare_and_hash_by_what_they_are(name):
    loss = EVERY[name]
    again = pickle.loads(pickle.dumps(loss))
    assert again == loss and hash(again) == hash(loss) and again.value == loss.value and again.conjugate == loss.conjugate
    assert all(other != loss for key, other in EVERY.items() if key != name)
    assert repr(again) == repr(loss) and " at 0x" not in repr(loss)


def test_a_loss_called_like_one_of_ours_gets_nothing_that_is_ours():
    for name, function, ours in (("mse", mean_squared, losses.MSE), ("ce", doubled, losses.CE), ("kd", mean_squared, losses.kd())):
        assert not is_loss(Loss(name, function), ours) and not is_loss(losses.get_loss(function), ours)
    own = Loss("mse", mean_squared)
    for problem in (balanced(own), balanced(own, bias="free"), balanced(Loss("ce", doubled))):
        with pytest.raises(ValueError, match="no theorem of the catalogue gives the minimum"):
            ufm.predict(problem)
    with pytest.raises(ValueError, match=r"no theorem"):
        ufm.predict(balanced(Loss("gce", lambda z, y: losses.squared_hinge(z, y))))
    with pytest.raises(ValueError, match=r"loss must be ufm's 'mse', got Loss\('mse', .*mean_squared"):
        check_loss(Loss("mse", mean_squared), losses.MSE)
    with pytest.raises(ValueError, match=r"loss must be ufm's 'mse'.*mixes samples orthogonally"):
        pooled_problem(balanced(own), 2)


def test_one_of_our_functions_under_another_name_is_what_it_is():
    mine = Loss("mine", losses.cross_entropy, convex=True, targets="distribution")
    assert is_loss(mine, losses.CE) and ufm.predict(balanced(mine)).theorem == ufm.predict(balanced("ce")).theorem == "ce-one-layer"
    assert is_loss(Loss("mine", losses.focal(2).value, targets="one-hot"), type(losses.focal(3).value))
    # the formula is cross-entropy for distributions only: a loss that takes other targets is another loss
    assert not is_loss(Loss("mine", losses.cross_entropy, convex=True), losses.CE)
    assert is_loss(Loss("mine", losses.squared_error, targets="unit"), losses.MSE)


def test_a_class_made_from_ours_is_not_ours():
    class Doubled(type(losses.focal(2).value)):
        def __call__(self, z, y):
            return 2 * super().__call__(z, y)

    assert not is_loss(Loss("focal(2)", Doubled(2.0), targets="one-hot"), type(losses.focal(2).value))


@pytest.mark.parametrize(
    "own, value",
    [
        (Loss("mse", mean_squared, convex=True, symmetric=True), 0.08144271909999),
        (Loss("ce", doubled, convex=True, symmetric=True, shift_invariant=True, targets="distribution"), 0.36738399143538),
    ],
)
def test_an_own_convex_loss_that_declares_symmetry_gets_the_symmetric_closed_form(own, value):
    problem = balanced(own)
    predicted, found = ufm.predict(problem), ufm.solve(problem, jax.random.key(0))
    assert predicted.theorem == "symmetric-reduction"
    np.testing.assert_allclose([predicted.value, found.value, ufm.objective(problem, predicted.params)], value, rtol=1e-12)


@pytest.mark.parametrize(("bias", "smoothing"), [("none", 0.0), ("free", 0.3), ("ridge", 0.3)])
def test_the_formula_of_a_built_in_loss_gives_what_the_built_in_gives(bias, smoothing):
    own = Loss("own", binary, convex=True, symmetric=True, targets="unit")
    choices = {"bias": bias, "l2_b": 0.02 if bias == "ridge" else 0.0, "smoothing": smoothing}
    ours, theirs = ufm.predict(balanced("logistic", **choices)), ufm.predict(balanced(own, **choices))
    assert theirs.theorem == "symmetric-reduction"
    np.testing.assert_allclose(theirs.value, ours.value, rtol=1e-12)
    np.testing.assert_allclose(theirs.logits, ours.logits, rtol=1e-7, atol=1e-9)


def test_an_own_contrastive_loss_gets_the_simplex():
    def own(z, y):
        p = jax.nn.softmax(z)[jnp.argmax(y)]
        return 1 - p**2

    facts = {"contrastive": True, "symmetric": True, "shift_invariant": True, "targets": "one-hot"}
    problem = balanced(Loss("own", own, **facts))
    predicted = ufm.predict(problem)
    same = ufm.predict(balanced(losses.comp_sum(3.0)))  # (1 - p^2)/2, of twice the ridges
    assert predicted.theorem == "p-loss-1d" and same.theorem == "gce"
    np.testing.assert_allclose(ufm.objective(problem, predicted.params), predicted.value, rtol=1e-12)
    halved = ufm.predict(balanced(Loss("own", lambda z, y: own(z, y) / 2, **facts)))
    np.testing.assert_allclose(halved.value, same.value, rtol=1e-10)


@pytest.mark.parametrize(
    "loss, targets, value",
    [
        ("ce", np.eye(2)[:, ::-1], 0.0560), ("ce", (1 - np.eye(4)) / 3, 1.2004), ("logistic", 1 - np.eye(4), 0.392),
        ("mse", -np.eye(4), 0.0392), ("mse", 1e6 * np.eye(3), 3e4),
    ],
)  # fmt: skip
def test_the_symmetric_minimum_has_a_negative_margin_where_the_own_class_has_the_lower_target(loss, targets, value):
    reduction = jax.jit(ufm.theory.cross_entropy.symmetric.predict_symmetric)
    problem = Problem.from_targets(targets, 4, loss=loss, **RIDGES)
    predicted, found = reduction(problem), ufm.solve(problem, jax.random.key(0))
    np.testing.assert_allclose([predicted.value, ufm.objective(problem, predicted.params)], found.value, rtol=1e-9)
    np.testing.assert_allclose(predicted.value, value, rtol=2e-3)


def test_where_slopes_jump_the_symmetric_form_gives_nothing_at_all():
    own = Loss("absolute", lambda z, y: jnp.sum(jnp.abs(z - y)), convex=True, symmetric=True)
    predicted = jax.jit(ufm.theory.cross_entropy.symmetric.predict_symmetric)(balanced(own))
    assert predicted.rank == -1 and not predicted.unique and not np.any(predicted.alive)
    assert all(np.all(np.isnan(x)) for x in jax.tree.leaves(predicted) if x.dtype.kind == "f")


def conjugate_plus(x):
    return lambda theta, y: losses.MSE.conjugate(theta, y) + x


def entropy_anywhere(theta, y):
    """The conjugate of cross-entropy without its domain."""
    p = jnp.maximum(y + theta, 0)
    return jnp.sum(jax.scipy.special.xlogy(p, jnp.where(p > 0, p, 1)))


TEN = np.arange(1.0, 11)
CONVEX = {"convex": True, "targets": "one-hot"}


def quartic_conjugate(theta, y):
    return jnp.sum(theta * y + 0.75 * jnp.abs(theta) ** (4 / 3))


WRONG = {
    "convex: Cauchy": (lambda z, y: jnp.sum(jnp.log1p((z - y) ** 2)), {"convex": True}),
    "convex: 1 % past the threshold of Poly-1": (lambda z, y: losses.poly1(1.01).value(z, y), CONVEX),
    "convex: 1 % past the threshold of comp-sum": (lambda z, y: losses.comp_sum(1.01).value(z, y), CONVEX),
    "convex: steps": (lambda z, y: jnp.sum(jnp.round(z - y) ** 2), {"convex": True}),
    "convex: concave": (lambda z, y: -1e-8 * jnp.sum(z**2), {"convex": True, "least": -np.inf}),
    "shift_invariant: squared error": (losses.squared_error, {"shift_invariant": True}),
    "shift_invariant: a little": (lambda z, y: losses.cross_entropy(z, y) + 1e-6 * jnp.sum(z), {"shift_invariant": True}),
    "symmetric: weights": (lambda z, y: jnp.sum((z - y) ** 2 * jnp.arange(1, len(z) + 1)), {"symmetric": True}),
    "symmetric: the first class": (lambda z, y: losses.squared_error(z, y) + 1e-6 * z[0], {"symmetric": True}),
    "symmetric: of ten classes": (lambda z, y: jnp.sum((z - y) ** 2 * TEN), {"symmetric": True}),
    "contrastive: the wrong way": (
        lambda z, y: jnp.exp(y @ z - jnp.mean(z)), {"contrastive": True, "targets": "one-hot", "shift_invariant": True},
    ),
    "contrastive: one-vs-all": (lambda z, y: losses.one_vs_all_logistic(z, y), {"contrastive": True, "targets": "one-hot"}),
    "conjugate: too low": (losses.squared_error, {"conjugate": conjugate_plus(-1e-5)}),
    "conjugate: too high": (losses.squared_error, {"conjugate": conjugate_plus(1e-5)}),
    "conjugate: half": (losses.squared_error, {"conjugate": lambda theta, y: losses.MSE.conjugate(theta, y) / 2}),
    "conjugate: no domain": (losses.cross_entropy, {"conjugate": entropy_anywhere, "targets": "distribution"}),
    "conjugate: NaN": (losses.squared_error, {"conjugate": lambda theta, y: jnp.sqrt(-jnp.sum(theta**2))}),
    "conjugate: of another loss": (losses.cross_entropy, {"conjugate": losses.MSE.conjugate, "targets": "distribution"}),
    "least: below zero": (lambda z, y: losses.squared_error(z, y) - 5, {"convex": True}),
    "least: not low enough": (lambda z, y: losses.squared_error(z, y) - 5, {"convex": True, "least": -4.9}),
}  # fmt: skip


@pytest.mark.parametrize("label", WRONG)
def test_a_wrong_declaration_is_refused_with_a_point_where_it_fails(label):
    function, facts = WRONG[label]
    with pytest.raises(ValueError, match=rf"{label.split(':')[0]} of the loss 'mine' .*: at z = \[.*\], y = \[.*\],"):
        Loss("mine", function, **facts)


@pytest.mark.parametrize(
    "function, facts",
    [
        (lambda z, y: losses.poly1(0.99).value(z, y), CONVEX),
        (lambda z, y: losses.comp_sum(0.99).value(z, y), CONVEX),
        (lambda z, y: -jnp.sum(y * jax.nn.log_softmax(z)), {"convex": True, "shift_invariant": True, "targets": "distribution"}),
        (lambda z, y: jnp.sum(jnp.abs(z - y)), {"convex": True, "symmetric": True}),
        (lambda z, y: jnp.sum((z - y) ** 4) / 4, {"convex": True, "conjugate": quartic_conjugate}),
        (lambda z, y: 1e-9 * losses.squared_error(z, y), {"convex": True, "symmetric": True}),
        (lambda z, y: 1e9 * losses.squared_error(z, y), {"convex": True, "symmetric": True}),
        (lambda z, y: jnp.sum(TEN * (z - y) ** 2), {"convex": True}),  # of ten classes only
        (losses.dual_head().value, {"convex": True}),  # of an even number only
        (lambda z, y: losses.squared_error(z, y) - 5, {"convex": True, "least": -5}),
        (lambda z, y: jnp.sum((z - y[1]) ** 2), {"convex": True, "symmetric": True, "teacher": True}),
    ],
)  # fmt: skip
def test_right_declarations_are_taken_at_any_size_and_for_the_classes_that_a_function_takes(function, facts):
    Loss("mine", function, **facts)
    with jax.enable_x64(False):
        assert Loss("again", function, **facts).convex


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Loss("v", lambda z, y: (z - y) ** 2), r"value of the loss 'v' must be a scalar of the dtype .* got float64\[2\]"),
        (lambda: losses.get_loss(lambda z, y: z - y), r"value of the loss '<lambda>' must be a scalar"),
        (lambda: Loss("v", lambda z, y: jnp.sum(z).astype("float32")), r"must be a scalar of the dtype .* got float32\[\]"),
        (lambda: Loss("v", lambda z, y: jnp.sum(z > 0)), r"must be a scalar of the dtype .* got int64\[\]"),
        (lambda: Loss("v", lambda z, y: (jnp.sum(z), z)), r"must be a scalar of the dtype"),
        (lambda: Loss("v", lambda z: jnp.sum(z)), r"must be a function of logits z and y, .* it raised TypeError"),
        (lambda: Loss("v", lambda z, y: y[0][1] * z[0]), r"value of the loss 'v' must be a function of logits z and y"),
        (lambda: Loss("v", 3), r"value must be a function of \(logits, target\), got 3"),
        (lambda: Loss("v", losses.focal(2)), r"value must be a function of \(logits, target\), such as its own `value`, got Loss"),
        (lambda: Loss("v", losses.squared_error, 3), r"conjugate must be a function of \(logits, target\) or None, got 3"),
        (lambda: Loss(3, losses.squared_error), r"name must be a string, got 3"),
        (lambda: Loss("v", losses.squared_error, convex="yes"), r"convex must be one of True, False, got 'yes'"),
        (lambda: Loss("v", losses.squared_error, targets="soft"), r"targets must be one of 'any', .* got 'soft'"),
        (lambda: Loss("v", losses.squared_error, least=float("nan")), r"least must be a number, got nan"),
        (lambda: Loss("v", losses.kd().value, contrastive=True, teacher=True), r"contrastive must be False for a loss with a"),
    ],
)
def test_what_is_no_loss_is_refused_in_words(make, message):
    with pytest.raises(ValueError, match=message):
        make()
