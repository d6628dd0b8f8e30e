"""Reductions number for number: what they keep, which optimisers they survive, and which shortcuts are wrong."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import ufm
from ufm import Problem
from ufm.equivalent.bartlett import draw_pooled, lift_samples, wishart_factor
from ufm.equivalent.columns import compress_columns, merge_columns, pool_samples, pooled_problem, project
from ufm.equivalent.equivariance import ridge_decay
from ufm.equivalent.isotropic import gaussian_spread, isotropic_limit
from ufm.equivalent.widths import invariant_subspaces, narrow_features, narrow_hidden
from ufm.motion.descent import descend
from ufm.theory.reductions import limits, samples, widths
from ufm.theory.reductions.runs import LINEAR, METHODS, Run, decays, trajectories
from ufm.theory.reductions.runs import start as start_of
from ufm.theory.theorem import key_of

THEOREMS = {t.id: t for module in (samples, widths, limits) for t in module.THEOREMS}
run_all = jax.jit(trajectories)
run_linear = jax.jit(lambda run: trajectories(run, LINEAR))
COUNTS = (3, 2, 4)
SPECTRAL = optax.chain(
    optax.contrib.scale_by_muon(
        ns_steps=2,
        weight_dimension_numbers=lambda p: jax.tree.map(lambda _: optax.contrib.MuonDimensionNumbers(), p),
    ),
    optax.scale(-0.05),
)
NORMALISED = optax.chain(optax.normalize_by_update_norm(), optax.sgd(0.05))


@pytest.fixture(scope="module")
def measured():
    """A case of each entry with what was measured on it."""
    names = {"sample-reduction": 0, "width-reduction": 1, "hidden-subspace-chain": 0, "isotropic-limit": 1, "bartlett-start": 3}
    found = {}
    for name, number in names.items():
        label, case = list(THEOREMS[name].cases().items())[number]
        found[name] = case, THEOREMS[name].measure(case, key_of(0, name, label))
    return found


def holds(name, case, predicted, measured):
    return all(check.passed for check in THEOREMS[name].evidence(case, predicted, measured))


def lifted(lift, path):
    return jax.vmap(jax.vmap(lift))(path)


def test_every_entry_holds_on_fixed_and_random_cases():
    report = ufm.verify(*THEOREMS, cases=3, seed=1)
    assert report.ok, report
    assert len(report.entries) == 6


COLUMNS = ("multiplicity", "samples", "table", "run_weight")
NUMBERS = (*COLUMNS, "l2_W", "l2_H", "scale")


@pytest.mark.parametrize("field", [*NUMBERS, "start", "rate", None])
def test_a_pooled_problem_off_by_a_thousandth_is_another_problem(measured, field):
    run, found = measured["sample-reduction"]
    reduced = pool_samples(run.problem, run.params)
    problem, start, rate = reduced.problem, reduced.params, run.rate
    if field == "start":
        start = start._replace(H=start.H.at[:, -1].multiply(1.001))
    elif field == "rate":
        rate = rate * 1.001
    elif field in COLUMNS:
        design = problem.design
        moved = dataclasses.replace(design, **{field: 1.001 * getattr(design, field)})
        problem = dataclasses.replace(problem, design=moved)
    elif field is not None:
        problem = dataclasses.replace(problem, **{field: 1.001 * getattr(problem, field)})
    path = lifted(reduced.lift, run_all(Run(problem, start, rate)))
    assert holds("sample-reduction", run, path, found) == (field is None)


def test_the_five_methods_differ_and_move(measured):
    run, found = measured["sample-reduction"]
    early = np.asarray(found.weights[0])[:, 0]
    assert min(np.abs(early[i] - early[j]).max() for i in range(len(METHODS)) for j in range(i)) > 1e-8
    assert np.abs(np.asarray(found.H)[:, -1] - np.asarray(run.params.H)).max(axis=(1, 2)).min() > 0.05


def test_ridges_shrink_what_lies_beside_the_subspaces(measured):
    case, found = measured["hidden-subspace-chain"]
    run = case.run
    reduced = narrow_hidden(run.problem, run.params)
    assert reduced.problem.widths == (6, 6, 6)
    path, left = run_linear(Run(reduced.problem, reduced.params, run.rate)), decays(run, LINEAR)
    assert holds("hidden-subspace-chain", case, jax.vmap(jax.vmap(reduced.lift))(path, left), found)
    for wrong in (1.001 * left, jnp.ones_like(left), left[:, :, ::-1]):
        assert not holds("hidden-subspace-chain", case, jax.vmap(jax.vmap(reduced.lift))(path, wrong), found)


def test_the_decay_of_ridges_is_the_optimisers_own(measured):
    case, _ = measured["hidden-subspace-chain"]
    run, left = case.run, decays(case.run, LINEAR)
    rate = float(run.rate)
    own = {0: optax.sgd(rate), 1: optax.sgd(rate / 10, momentum=0.9), 2: optax.sgd(rate / 10, momentum=0.9, nesterov=True)}
    for lane, optimizer in own.items():
        np.testing.assert_allclose(ridge_decay(run.problem, optimizer, 250), left[lane, 0], rtol=1e-12)
    np.testing.assert_allclose(left[0, 3], (1 - rate * np.asarray(run.problem.ridges)) ** 1000, rtol=1e-12)


def test_the_isotropic_limit_needs_its_spread_and_its_decay(measured):
    case, found = measured["isotropic-limit"]
    run, left = case.run, decays(case.run, LINEAR)
    for spread, c, right in ((1, left, True), (1.001, left, False), (1, 1.001 * left, False), (1, 0 * left, False)):
        reduced = isotropic_limit(run.problem, run.params, spread * case.spread)
        assert reduced.problem.widths == (7, 4) and reduced.problem.columns == 10
        path = run_linear(Run(reduced.problem, reduced.params, run.rate))
        assert holds("isotropic-limit", case, jax.vmap(jax.vmap(reduced.lift))(path, c), found) == right


@pytest.mark.parametrize(
    ("field", "factor"),
    [("mean", 1.001), ("variance", 1.2), ("mean_columns", 1.001), ("variance_columns", 1.2), ("weights", 1.001), ("gram", 1.001)],
)
def test_another_law_than_that_of_wishart_fails(measured, field, factor):
    case, found = measured["bartlett-start"]
    predicted = jax.jit(limits.predict_law)(case)
    assert holds("bartlett-start", case, predicted, found)
    assert not holds("bartlett-start", case, predicted._replace(**{field: factor * getattr(predicted, field)}), found)


def small(loss="mse", bias="none", proximity=False, widths=(4,), counts=COUNTS, **choices):
    rng = np.random.default_rng(0)
    if proximity:
        choices |= {"beta": 0.1, "H0": rng.normal(size=(widths[0], sum(counts)))}
    problem = Problem.imbalanced(counts, widths, loss=loss, bias=bias, **({"l2_W": 0.02, "l2_H": 0.02} | choices))
    return problem, start_of(problem, 0.7, rng)


def assert_same_steps(problem, params, reduced, optimizer, states=(None, None), steps=60, same=True):
    large = descend(problem, params, steps, optimizer, state=states[0]).params
    path = descend(reduced.problem, reduced.params, steps, optimizer, state=states[1]).params
    worst = max(
        np.abs(a - b).max() for a, b in zip(jax.tree.leaves(reduced.lift(path)), jax.tree.leaves(large), strict=True)
    )
    assert worst < 1e-11 if same else worst > 1e-3, worst


@jax.jit
def gradients(problem, reduced_problem, point, lift):
    """The gradient at a lifted point, and the lifted gradient."""
    up, back = jax.jvp(lift, (point,), (jax.grad(partial(ufm.objective, reduced_problem))(point),))
    return jax.grad(partial(ufm.objective, problem))(up), back


def assert_same_gradients(problem, reduced, same=True):
    """Away from the start too: at a random point of the reduced problem."""
    point = jax.tree.map(lambda x: x + 0.3 * jnp.sin(9 * x), reduced.params)
    large, small = gradients(problem, reduced.problem, point, jax.tree_util.Partial(reduced.lift))
    worst = max(np.abs(a - b).max() for a, b in zip(jax.tree.leaves(large), jax.tree.leaves(small), strict=True))
    assert worst < 1e-14 if same else worst > 1e-3, worst


def test_a_start_in_motion_is_compressed_with_its_velocity():
    problem, params = small(proximity=True, counts=(6, 5, 6))
    velocity = jax.tree.map(lambda x: 0.3 * jnp.cos(7 * x), params)
    optimizer = optax.sgd(0.2, momentum=0.9)

    def moving(p, v):
        return jax.tree.map(lambda x: x, optimizer.init(p)[0]._replace(trace=v)), *optimizer.init(p)[1:]

    reduced = pool_samples(problem, params, velocity=velocity)
    assert reduced.problem.columns == 3 + 3 * 4 and pool_samples(problem, params).problem.columns == 3 + 2 * 4
    assert_same_steps(
        problem, params, reduced, optimizer, (moving(params, velocity), moving(reduced.params, project(reduced, velocity)))
    )


@pytest.mark.parametrize("reduce", [pool_samples, compress_columns, narrow_features])
def test_a_velocity_stays_in_the_span_that_knows_it(reduce):
    problem, params = small(proximity=True, widths=(40,) if reduce is narrow_features else (4,), counts=(6, 1, 7))
    velocity = jax.tree.map(lambda x: 0.3 * jnp.cos(7 * x), params)
    knows, does_not = reduce(problem, params, velocity=velocity), reduce(problem, params)
    for reduced, kept in ((knows, True), (does_not, False)):
        gap = np.abs(reduced.lift(project(reduced, velocity)).H - velocity.H).max()
        assert gap < 1e-13 if kept else gap > 1e-3


def test_residuals_are_pooled_among_classes_of_one_weight():
    weight = np.repeat([2.0, 1.0, 2.0], (6, 5, 4))
    problem, params = small(counts=(6, 5, 4), bias="free", weight=weight, widths=(3,))
    reduced = pool_samples(problem, params)
    assert reduced.problem.groups == (1, 1, 1, 3, 3)
    np.testing.assert_array_equal(reduced.problem.weight, [2, 1, 2, 1, 1, 1, 2, 2, 2])
    assert_same_gradients(problem, reduced)
    # all weights unknown: each class keeps residuals of its own, never fewer than are needed
    value = jax.jit(lambda q, p: ufm.objective(*pool_samples(q, p)[:2]))(problem, params)
    np.testing.assert_allclose(value, jax.jit(ufm.objective)(problem, params), rtol=1e-13)
    design = dataclasses.replace(reduced.problem.design, run_weight=jnp.asarray([2, 1, 2, 2.0, 2]))
    equal = dataclasses.replace(reduced.problem, design=design)
    assert_same_gradients(problem, reduced._replace(problem=equal), same=False)


def test_residuals_and_their_centres_are_not_to_be_compressed_apart():
    problem, params = small(proximity=True, counts=(6, 5, 6))
    joint = pool_samples(problem, params)
    R, R0 = (np.asarray(x)[:, 3:] for x in (joint.params.H, joint.problem.H0))
    apart = [np.linalg.svd(x)[2].T for x in (R, R0)]
    both = zip((joint.params.H, joint.problem.H0), apart, strict=True)
    H, H0 = (jnp.asarray(np.concatenate([x[:, :3], x[:, 3:] @ V], 1)) for x, V in both)
    wrong = dataclasses.replace(joint.problem, H0=H0), joint.params._replace(H=H)
    ends = [descend(*start, 60, optax.sgd(0.3)).params.weights[0] for start in ((joint.problem, joint.params), wrong)]
    assert np.abs(ends[0] - ends[1]).max() > 0.01


def test_adam_breaks_the_pool():
    problem, params = small()
    assert_same_steps(problem, params, pool_samples(problem, params), optax.adam(0.05), steps=20, same=False)


COMMUTING = {
    "gd": optax.sgd(0.1),
    "nesterov": optax.sgd(0.1, momentum=0.9, nesterov=True),
    "normalised": NORMALISED,
    "clipped by norm": optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(0.1)),
    "weight decay": optax.chain(optax.add_decayed_weights(0.1), optax.sgd(0.1)),
    "polar": SPECTRAL,
}
ENTRYWISE = {
    "adam": optax.adam(0.1),
    "lion": optax.lion(0.1),
    "sign": optax.sign_sgd(0.1),
    "clipped by entry": optax.chain(optax.clip(1.0), optax.sgd(0.1)),
    "muon, whose factor depends on shapes": optax.contrib.muon(0.1, ns_steps=1),
}


@pytest.mark.parametrize("name", [*COMMUTING, *ENTRYWISE])
def test_optimisers_are_tried_out(name):
    problem, params = small()
    if name in COMMUTING:
        assert pool_samples(problem, params, optimizer=COMMUTING[name]).problem.columns == 7
        return
    with pytest.raises(ValueError, match="optimizer must be one whose updates commute with the reduction"):
        pool_samples(problem, params, optimizer=ENTRYWISE[name])


def test_every_reduction_tries_optimisers_out():
    problem, params = small(widths=(9,), counts=(1, 1, 1))
    equal, start = small()
    start = start._replace(H=start.H[:, np.repeat([0, 3, 5], COUNTS)])
    for reduce, point in (
        (compress_columns, (problem, params)),
        (narrow_features, (problem, params)),
        (narrow_hidden, (problem, params)),
        (merge_columns, (equal, start)),
        (partial(isotropic_limit, spread=2.0), (problem.collapsed(), params)),
    ):
        with pytest.raises(ValueError, match="optimizer must be one whose"):
            reduce(*point, optimizer=optax.sign_sgd(0.1))
    isotropic_limit(problem.collapsed(), params, 2.0, optimizer=optax.sgd(0.1, momentum=0.9))
    merge_columns(equal, start, optimizer=optax.sgd(0.1))
    with pytest.raises(ValueError, match="optimizer must be None where numbers are traced"):
        jax.jit(lambda p: pool_samples(equal, p, optimizer=optax.sgd(0.1)).params)(start)


def isometric(**choices):
    problem, params = small("ce", widths=(12, 12), counts=(1, 1, 1), **choices)
    turn = jnp.asarray(np.linalg.qr(np.random.default_rng(0).normal(size=(12, 12)))[0])
    return problem, params._replace(weights=(turn, params.weights[1]))


def test_normalised_steps_let_the_rest_decay_on_its_own_only_without_ridges():
    ridged, free = isometric(), isometric(l2_W=0.0, l2_H=0.0)
    with pytest.raises(ValueError, match="optimizer must be one whose"):
        narrow_hidden(*ridged, optimizer=NORMALISED)
    reduced = narrow_hidden(*free, optimizer=NORMALISED)
    assert reduced.problem.widths == (6, 6)
    assert_same_gradients(free[0], reduced)
    reduced = narrow_hidden(*ridged, optimizer=optax.sgd(0.2, momentum=0.9))
    with pytest.raises(ValueError, match=r"decay must be \(3,\) factors, as of ridge_decay: .*got None"):
        reduced.lift(reduced.params)


def test_widths_of_invariant_chains():
    rng = np.random.default_rng(0)

    def ranks(widths, *hidden):
        problem = Problem.balanced(3, 1, widths, l2_W=0.1, l2_H=0.1)
        params = start_of(problem, 1.0, rng)
        weights = (*map(jnp.asarray, hidden), *params.weights[len(hidden) :])
        return tuple(Q.shape[1] for Q in invariant_subspaces(problem, params._replace(weights=weights)))

    turns = [np.linalg.qr(rng.normal(size=(24, 24)))[0] for _ in range(2)]
    low = [rng.normal(size=(24, 2)) @ rng.normal(size=(2, 24)) for _ in range(2)]
    assert ranks((4, 25, 5)) == (4, 9, 5)
    assert ranks((24, 24, 24), *turns) == ranks((24, 24, 24), np.eye(24), 3 * np.eye(24)) == (6, 6, 6)
    assert ranks((24, 24, 24), *low) == (5, 4, 5)


def test_a_fixed_classifier_belongs_to_the_chain():
    A = np.random.default_rng(0).normal(size=(3, 12))
    problem = Problem.balanced(3, 1, (12, 12), loss="ce", classifier=A, l2_W=0.0, l2_H=0.0)
    params = start_of(problem, 0.5, np.random.default_rng(1))._replace(weights=(0.5 * jnp.eye(12),))
    reduced = narrow_hidden(problem, params)
    assert reduced.problem.widths == (6, 6) and reduced.problem.classifier.shape == (3, 6)
    assert_same_gradients(problem, reduced)


def test_cross_entropy_merges_equal_columns_alone():
    problem, params = small("ce", proximity=True)
    with pytest.raises(ValueError, match=r"params.H must be equal for the samples of a run to be merged exactly \(they differ by"):
        merge_columns(problem, params, exact=True)
    pairs = np.repeat([0, 1, 3, 5, 7], (2, 1, 2, 2, 2))
    finer = problem.replace(groups=(2, 1, 2, 2, 2), H0=problem.H0[:, pairs])
    start = params._replace(H=params.H[:, pairs])
    reduced = merge_columns(finer, start, exact=True)
    assert reduced.problem.columns == 5
    assert_same_gradients(finer, reduced)
    assert_same_gradients(problem.replace(H0=finer.H0), merge_columns(problem.replace(H0=None, beta=0.0), start), same=False)
    with pytest.raises(ValueError, match="H0 must be equal for the samples of a run"):
        merge_columns(problem, params._replace(H=params.H[:, np.repeat([0, 3, 5], COUNTS)]), exact=True)


def test_fewer_samples_than_dimensions_have_singular_residuals():
    draws, nu, d = 4096, 2, 4
    L = np.asarray(jax.jit(jax.vmap(lambda k: wishart_factor(k, nu, d)))(jax.random.split(jax.random.key(0), draws)))
    assert L.shape == (draws, d, nu) and np.all(np.triu(L, 1) == 0) and np.all(L[:, [0, 1], [0, 1]] > 0)
    gram = L @ L.transpose(0, 2, 1)
    spread = np.sqrt(nu * (1 + np.eye(d)) / draws)
    assert np.max(np.abs(gram.mean(0) - nu * np.eye(d)) / spread) < 5


def huge(counts, d, **choices):
    return Problem.from_targets(jnp.eye(len(counts)), d, multiplicity=np.array(counts, float), l2_W=0.1, l2_H=0.1, **choices)


def test_lifted_samples_are_independent_gaussians_again():
    """All of a class, and more: covariance I of 6 samples of (3, 2, 4), which needs the Haar rows and their means."""
    problem, labels, d, draws = huge(COUNTS, 2), [0, 1, 1, 2, 2, 2], 2, 8192
    means = np.arange(6.0).reshape(2, 3)

    def features(key, other):
        pooled, H = draw_pooled(problem, key, means, 1.0)
        assert pooled.columns == 3 + 2
        return lift_samples(problem, other, H, labels)

    keys = jax.random.split(jax.random.key(0), (2, draws))
    flat = np.asarray(jax.jit(jax.vmap(features))(*keys) - means[None][:, :, labels]).reshape(draws, -1)
    assert np.abs(flat.mean(0)).max() < 5 / np.sqrt(draws)
    assert np.abs(flat.T @ flat / draws - np.eye(d * 6)).max() < 5 * np.sqrt(2 / draws)


def test_ten_to_the_twelve_samples_are_few_columns():
    sigma = np.array([[1.0, 0.0], [1.0, 2.0]])
    problem = huge((5e11, 4e11, 1e11), 2, beta=0.1, H0=np.zeros((2, 3)))
    prior = (np.zeros((2, 3)), 3.0)
    pooled, H = jax.jit(lambda key: draw_pooled(problem, key, np.ones((2, 3)), sigma, prior=prior))(jax.random.key(0))
    assert pooled.columns == 3 + 4 and pooled.samples == 1e12 and pooled.H0.shape == (2, 7)
    R, R0 = np.asarray(H)[:, 3:], np.asarray(pooled.H0)[:, 3:]
    np.testing.assert_allclose(R @ R.T / 1e12, sigma @ sigma.T, rtol=2e-5)
    np.testing.assert_allclose(R0 @ R0.T / 1e12, 9 * np.eye(2), atol=1e-4)
    np.testing.assert_allclose(R @ R0.T / 1e12, 0, atol=1e-4)
    assert np.abs(R @ R0.T).max() > 1e3  # independent, not orthogonal
    np.testing.assert_allclose(np.asarray(H)[:, :3] / np.sqrt(problem.multiplicity), 1, atol=1e-4)
    later_of = jax.jit(lambda x: lift_samples(problem, jax.random.key(1), x, [0, 2]))
    again, later = later_of(H), later_of(2 * H)
    np.testing.assert_array_equal(2 * again, later)
    np.testing.assert_allclose(gaussian_spread(problem, 2.0), 2e6, rtol=1e-10)


plain = small(counts=(2, 2, 1))
REFUSALS = [
    (lambda: pooled_problem(plain[0].collapsed(), -1), "residuals must be a whole number of at least 0, got -1"),
    (lambda: pooled_problem(huge(COUNTS, 2, weight=np.arange(1.0, 4)), 2), "weight must be equal for all columns"),
    (lambda: pooled_problem(huge(COUNTS, 2, beta=1.0, H0=np.ones((2, 3))), 2), "H0 must be given in pooled coordinates"),
    (lambda: pool_samples(*plain, velocity=plain[1]._replace(H=jnp.ones((4, 4)))), r"velocity.H must have shape \(4, 5\)"),
    (lambda: ridge_decay(plain[0], optax.sgd(0.1), 0), "steps must be a whole number of at least 1, got 0"),
    (lambda: isotropic_limit(*merge_columns(*plain)[:2], 0.0), "spread must be finite and above 0"),
    (lambda: isotropic_limit(*small(proximity=True), 1.0), "H0 must be None: the limit is taken without"),
    (lambda: narrow_hidden(plain[0], jax.tree.map(jnp.zeros_like, plain[1])), "params must be a start that moves"),
    (lambda: narrow_hidden(*plain, tolerance=0.0), "tolerance must be finite and above 0"),
    (lambda: narrow_hidden(*small(features="nonnegative")), "features must be 'free' to be rotated, got 'nonnegative'"),
    (lambda: jax.jit(lambda p: narrow_hidden(plain[0], p).params)(plain[1]), "params must be known numbers"),
    (lambda: wishart_factor(jax.random.key(0), 2.5, 3), "degrees must be a whole number of at least 0, got 2.5"),
    (lambda: wishart_factor(jax.random.key(0), 2, 3, 3), r"columns must be min\(dim, degrees\), 2, got 3"),
    (lambda: jax.jit(lambda n: wishart_factor(jax.random.key(0), n, 3))(5.0), "columns must be given where degrees is traced"),
    (lambda: draw_pooled(plain[0], jax.random.key(0), jnp.zeros((4, 5)), 1.0), "groups must be one column a class"),
    (lambda: draw_pooled(huge((1.5, 2), 2), jax.random.key(0), jnp.zeros((2, 2)), 1.0), "multiplicity must be whole class sizes"),
    (lambda: draw_pooled(huge(COUNTS, 2), jax.random.key(0), jnp.zeros((2, 2)), 1.0), r"means must have shape \(2, 3\)"),
    (lambda: lift_samples(huge(COUNTS, 2), jax.random.key(0), jnp.ones((2, 5)), [1, 1, 1]), "labels must be at most N - K = 6"),
    (lambda: lift_samples(huge(COUNTS, 2), jax.random.key(0), jnp.ones((2, 5)), [3]), "labels must be a list of classes"),
    (lambda: lift_samples(huge(COUNTS, 2), jax.random.key(0), jnp.ones((2, 3)), [0]), r"H must have shape \(2, 3 \+ residuals\)"),
]


@pytest.mark.parametrize("number", range(len(REFUSALS)))
def test_refusals_name_what_is_wrong(number):
    call, message = REFUSALS[number]
    with pytest.raises(ValueError, match=message):
        call()
