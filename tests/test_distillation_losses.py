"""Losses of distillation against their definitions in 60 digits, their limits, and the teacher as a leaf of problems."""

import itertools

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from scipy.optimize import minimize

import ufm
from ufm import Params, Problem
from ufm.equivalent.columns import split_columns
from ufm.losses import binary_kl, binary_kl_norm, ce_binary_kl, dual_head, kd, pld, sinkhorn_distance
from ufm.problem import GeneralColumns
from ufm.settings.distillation import confident_teacher, distilled_problem, dual_head_problem, heads, symmetric_teacher

K = 4
objective = jax.jit(ufm.objective)
LOSSES = {
    "kd": kd(0.7, 0.3, 3.0),
    "kd, one temperature": kd(0.7, 0.3, 1.0),
    "kd, teacher alone": kd(0.0, 2.0, 3.0),
    "binary_kl": binary_kl(2.0),
    "binary_kl_norm": binary_kl_norm(2.0),
    "ce_binary_kl": ce_binary_kl(0.7, 0.3, 1.5, norm=False),
    "ce_binary_kl_norm": ce_binary_kl(0.7, 0.3, 1.5),
    "dual_head": dual_head(0.7, 0.3, 1.5, norm=False),
    "dual_head_norm": dual_head(0.7, 0.3, 1.5),
    "pld": pld(1.5),
    "pld by index": pld(1.5, ties="index"),
}
DUAL = {name for name in LOSSES if name.startswith("dual")}
BOTH = {name: jax.jit(jax.value_and_grad(loss.value)) for name, loss in LOSSES.items()}
VALUE = {name: lambda z, y, both=both: both(z, y)[0] for name, both in BOTH.items()}
GRADIENT = {name: lambda z, y, both=both: both(z, y)[1] for name, both in BOTH.items()}
CONJUGATE = {name: jax.jit(loss.conjugate) for name, loss in LOSSES.items() if loss.conjugate is not None}


def target_of(name, rng, spread=1.0, dtype=float):
    y, t = np.eye(K, dtype=dtype)[rng.integers(K)], (spread * rng.standard_normal(K)).astype(dtype)
    return jnp.concatenate([y, t]) if name in DUAL else (jnp.asarray(y), jnp.asarray(t))


def logits_of(name, rng, spread, dtype=float):
    return jnp.asarray((spread * rng.standard_normal(2 * K if name in DUAL else K)).astype(dtype))


def exact(name, z, y):
    """The loss by its definition in 60 digits."""
    with mpmath.workdps(60):
        z = [mpmath.mpf(float(x)) for x in z]
        y, t = (y[:K], y[K:]) if name in DUAL else y
        y, t = [mpmath.mpf(float(x)) for x in y], [mpmath.mpf(float(x)) for x in t]

        def softmax(x, T):
            e = [mpmath.exp(a / T) for a in x]
            return [a / sum(e) for a in e]

        def ce(z):
            return -sum(a * mpmath.log(p) for a, p in zip(y, softmax(z, 1), strict=True))

        def bernoulli(z, T, norm):
            total = 0
            for a, b in zip(t, z, strict=True):
                p, q = (mpmath.mpf(1) / 2, (b - a) / T) if norm else (1 / (1 + mpmath.exp(-a / T)), b / T)
                q = 1 / (1 + mpmath.exp(-q))
                total += p * mpmath.log(p / q) + (1 - p) * mpmath.log((1 - p) / (1 - q))
            return T**2 * total

        if name.startswith("kd"):
            loss = LOSSES[name].value
            q, p = softmax(t, loss.temperature), softmax(z, loss.temperature)
            divergence = sum(a * mpmath.log(a / b) for a, b in zip(q, p, strict=True))
            return float(mpmath.mpf(loss.gamma) * ce(z) + mpmath.mpf(loss.kd) * mpmath.mpf(loss.temperature) ** 2 * divergence)
        if name.startswith("binary"):
            return float(bernoulli(z, mpmath.mpf(2), name.endswith("norm")))
        if name.startswith("pld"):
            first, q, totals = max(range(K), key=lambda k: y[k]), softmax(t, mpmath.mpf(1.5)), []
            for rest in itertools.permutations([k for k in range(K) if k != first]):
                if all(t[a] >= t[b] for a, b in itertools.pairwise(rest)):
                    order = [first, *rest]
                    tails = [mpmath.log(sum(mpmath.exp(z[j]) for j in order[i:])) for i in range(K)]
                    totals.append(sum(q[k] * (tail - z[k]) for k, tail in zip(order, tails, strict=True)))
            return float(totals[0] if "index" in name else sum(totals) / len(totals))
        one, two = (z[:K], z[K:]) if name in DUAL else (z, z)
        return float(mpmath.mpf(0.7) * ce(one) + mpmath.mpf(0.3) * bernoulli(two, mpmath.mpf(1.5), name.endswith("norm")))


@pytest.mark.parametrize("name", LOSSES)
def test_values_are_the_definition_in_sixty_digits(name):
    rng = np.random.default_rng(0)
    for spread in (0.1, 3.0, 30.0):
        for _ in range(2):
            z, y = logits_of(name, rng, spread), target_of(name, rng, spread)
            np.testing.assert_allclose(VALUE[name](z, y), exact(name, z, y), rtol=1e-12, atol=1e-15 * spread)
    if name.startswith("pld"):  # two tied classes, three, and all of them with the first
        for t in ([3.0, 1.0, 1.0, -2.0], [0.0, 2.0, 2.0, 2.0], [1.0] * 4):
            z, y = logits_of(name, rng, 2.0), (jnp.eye(K)[1], jnp.asarray(t))
            np.testing.assert_allclose(VALUE[name](z, y), exact(name, z, y), rtol=1e-13)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", LOSSES)
def test_values_and_gradients_are_finite_at_logits_of_ten_thousand_and_keep_the_dtype(name, dtype):
    rng = np.random.default_rng(1)
    for student, teacher in ((1e4, 1.0), (1e4, 1e4), (1.0, 1e4), (0.0, 0.0)):
        z, y = logits_of(name, rng, student, dtype), target_of(name, rng, teacher, dtype)
        value, gradient = BOTH[name](z, y)
        assert jnp.isfinite(value) and jnp.all(jnp.isfinite(gradient)) and value >= -1e-3
        assert value.dtype == gradient.dtype == jnp.dtype(dtype)


def test_binary_gradients_keep_their_digits_in_the_tails_and_next_to_the_teacher():
    z = np.array([1e4, -1e4, 40.0, -700.0, 0.5, 1e4, 3.0])
    t = np.array([1e4 - 3, 30.0, 41.0, -690.0, 0.5 + 1e-9, -1e4, 3.0])
    y = (jnp.zeros(7), jnp.asarray(t))
    distance = 0
    for name, norm in (("binary_kl", False), ("binary_kl_norm", True)):
        for got, b, a in zip(GRADIENT[name](jnp.asarray(z), y), z, t, strict=True):
            with mpmath.workdps(5000):  # sig(1e4/2) differs from 1 by 10^-2171
                a, b = mpmath.mpf(float(a)) / 2, mpmath.mpf(float(b)) / 2
                sig = [1 / (1 + mpmath.exp(-x)) for x in (a, b, b - a)]
                want = 2 * (sig[2] - mpmath.mpf(0.5) if norm else sig[1] - sig[0])
                distance += 2 * mpmath.log(mpmath.cosh((b - a) / 2))
                room = 1e-15 * (0.5 if norm else min(sig[0], 1 - sig[0])) + mpmath.mpf("1e-307")
                assert abs(mpmath.mpf(float(got)) - want) <= 1e-12 * abs(want) + room
    np.testing.assert_allclose(VALUE["binary_kl_norm"](jnp.asarray(z), y), float(distance), rtol=1e-14)


@pytest.mark.parametrize("name", CONJUGATE)
def test_fenchel_young_holds_with_equality_at_the_gradient(name):
    rng = np.random.default_rng(2)
    for spread in (0.3, 3.0, 20.0):
        z, other, y = logits_of(name, rng, spread), logits_of(name, rng, spread), target_of(name, rng, spread)
        theta, moved = GRADIENT[name](z, y), GRADIENT[name](other, y)
        tolerance = 1e-12 * (1 + spread**2)
        assert abs(float(CONJUGATE[name](theta, y) + VALUE[name](z, y) - theta @ z)) <= tolerance
        assert float(CONJUGATE[name](moved, y) + VALUE[name](z, y) - moved @ z) >= -tolerance
        for tau in (0.7, 0.01):
            assert jnp.isfinite(CONJUGATE[name](tau * theta, y))
    y = target_of(name, rng)
    found = minimize(lambda z: tuple(map(np.asarray, BOTH[name](z, y))), 0 * np.asarray(z), jac=True)
    assert -1e-12 <= found.fun + float(CONJUGATE[name](0 * z, y)) <= 1e-5


def test_conjugates_are_given_where_they_are_known_and_infinite_outside_their_domain():
    assert set(LOSSES) - set(CONJUGATE) == {"kd", "ce_binary_kl", "ce_binary_kl_norm", "pld", "pld by index"}
    y = (jnp.eye(K)[0], jnp.zeros(K))
    assert CONJUGATE["binary_kl"](jnp.asarray([1.1, 0, 0, 0]), y) == jnp.inf  # slopes are within T (q - 1, q)
    assert CONJUGATE["binary_kl_norm"](jnp.asarray([0, -1.1, 0, 0]), y) == jnp.inf
    assert CONJUGATE["kd, one temperature"](jnp.asarray([0.1, 0, 0, 0]), y) == jnp.inf  # shifts are free
    assert CONJUGATE["dual_head"](jnp.zeros(8).at[0].set(0.1), jnp.concatenate(y)) == jnp.inf


@pytest.mark.parametrize("name", LOSSES)
def test_flags_say_what_holds(name):
    rng = np.random.default_rng(3)
    loss, y = LOSSES[name], target_of(name, rng)
    z, other = logits_of(name, rng, 2.0), logits_of(name, rng, 2.0)
    invariant = bool(jnp.abs(VALUE[name](z + 0.7, y) - VALUE[name](z, y)) < 1e-13)
    assert invariant == loss.shift_invariant and loss.convex and loss.teacher == (name not in DUAL)
    for _ in range(5):
        z, other = logits_of(name, rng, 4.0), logits_of(name, rng, 4.0)
        assert VALUE[name]((z + other) / 2, y) <= (VALUE[name](z, y) + VALUE[name](other, y)) / 2 + 1e-14
        assert VALUE[name](z, y) >= loss.least


def test_equal_parameters_give_one_loss():
    assert kd(1, 2, 3) == kd(1.0, temperature=3.0, kd=2) != kd(1, 2, 4)
    assert kd(1.0, 0.0, 5.0) == kd(1.0, 0.0, 7.0)  # no teacher, no temperature
    assert dual_head(1, 1, 2) == dual_head() and pld(1) == pld() and ce_binary_kl(norm=True) == ce_binary_kl()


def test_hot_teachers_ask_for_their_centred_logits_and_their_logits_in_squared_error():
    rng = np.random.default_rng(4)
    z, t = rng.standard_normal((2, K))
    y, T = (jnp.eye(K)[0], jnp.asarray(t)), 1e4
    centred = (z - z.mean()) - (t - t.mean())
    hot = jax.jit(kd(0.0, 1.0, T).value)(z, y)
    np.testing.assert_allclose(hot, centred @ centred / (2 * K), rtol=1e-3)
    for loss in (binary_kl(T), binary_kl_norm(T)):
        np.testing.assert_allclose(jax.jit(loss.value)(z, y), (z - t) @ (z - t) / 8, rtol=1e-3)


def test_a_student_at_its_teacher_pays_nothing_and_a_certain_teacher_of_ranks_is_cross_entropy():
    t = jnp.asarray([3.0, -1.0, 0.5, 40.0])
    y = (jnp.eye(K)[2], t)
    for name in ("kd, teacher alone", "binary_kl", "binary_kl_norm"):
        np.testing.assert_allclose(VALUE[name](t, y), 0, atol=1e-15)
        np.testing.assert_allclose(GRADIENT[name](t, y), 0, atol=1e-15)
    certain = VALUE["pld"](jnp.asarray([1.0, 0, 2, 0.5]), (jnp.eye(K)[3], 2 * t))
    np.testing.assert_allclose(certain, np.log(1 + np.exp([0.5, -0.5, 1.5]).sum()), rtol=1e-14)


def test_ties_are_averaged_over_their_orders():
    rng = np.random.default_rng(5)
    z, t = jnp.asarray(rng.standard_normal(K)), np.array([2.0, 1.0, 1.0, 1.0])
    y = (jnp.eye(K)[0], jnp.asarray(t))
    orders = [VALUE["pld by index"](z[jnp.asarray([0, *rest])], y) for rest in itertools.permutations((1, 2, 3))]
    np.testing.assert_allclose(VALUE["pld"](z, y), np.mean(orders), rtol=1e-14)
    assert np.ptp(orders) > 0.1
    for distinct in (t + [0, 0.1, 0.2, 0.3], t + [0, 0.3, -0.2, 0.1]):
        y = (jnp.eye(K)[0], jnp.asarray(distinct))
        np.testing.assert_allclose(VALUE["pld"](z, y), VALUE["pld by index"](z, y), rtol=1e-14)


def test_the_order_of_the_teachers_batch_is_free_for_sinkhorn_and_its_plan_blurs():
    rng = np.random.default_rng(6)
    student, teacher = jnp.asarray(rng.standard_normal((2, K, 6)))
    distance = jax.jit(sinkhorn_distance)
    value = distance(student, teacher)
    np.testing.assert_allclose(distance(student, teacher[:, ::-1]), value, rtol=1e-13)
    assert 0 < distance(teacher, teacher) < value
    p, q = (np.exp(x / 2) / np.exp(x / 2).sum(0) for x in np.asarray([student, teacher]))
    cost = np.abs(p[:, :, None] - q[:, None, :]).sum(0)
    plan = np.exp(-cost / 0.1)
    for _ in range(20):
        plan = plan / plan.sum(1, keepdims=True)
        plan = plan / plan.sum(0, keepdims=True)
    np.testing.assert_allclose(value, (plan * cost).sum(), rtol=1e-12)
    small = jax.jit(jax.grad(sinkhorn_distance), static_argnums=(2, 3))(1e4 * student, teacher, 2.0, 1e-3)
    assert jnp.all(jnp.isfinite(small))


EYE = np.eye(3)
RIDGES = {"l2_W": 0.1, "l2_H": 0.1}
REFUSALS = [
    (lambda: kd(-1.0), r"gamma must be finite and at least 0, got -1\.0"),
    (lambda: kd(0.0, 0.0), r"gamma and kd must be not both 0, got \(0\.0, 0\.0\)"),
    (lambda: kd(temperature=0.0), r"temperature must be finite and above 0, got 0\.0"),
    (lambda: binary_kl(np.nan), r"temperature must be finite and above 0, got nan"),
    (lambda: ce_binary_kl(gamma=0.0), r"gamma must be finite and above 0, got 0\.0"),
    (lambda: dual_head(norm="yes"), r"norm must be one of True, False, got 'yes'"),
    (lambda: dual_head().value(jnp.ones(5), jnp.ones(5)), r"logits of a dual head must be an even number.*got '5 rows'"),
    (lambda: pld(ties="random"), r"ties must be one of 'average', 'index', got 'random'"),
    (lambda: pld(-1.0), r"temperature must be finite and above 0, got -1\.0"),
    (lambda: pld().value(jnp.ones(11), (jnp.eye(11)[0], jnp.ones(11))), r"classes must be at most 10 .*got 11"),
    (lambda: jax.jit(lambda T: binary_kl(T).value(jnp.ones(2), (0, jnp.ones(2))))(1.0), r"temperature must be a known number"),
    (lambda: jax.jit(lambda T: pld(T).value(jnp.ones(2), (jnp.ones(2), jnp.ones(2))))(1.0), r"temperature must be a known"),
    (lambda: sinkhorn_distance(jnp.ones((3, 2)), jnp.ones((3, 4))), r"teacher must have shape \(3, 2\), got \(3, 4\)"),
    (lambda: sinkhorn_distance(jnp.ones(3), jnp.ones(3)), r"student must have shape \(K, B\), got \(3,\)"),
    (lambda: sinkhorn_distance(EYE, EYE, regularisation=0.0), r"regularisation must be finite and above 0, got 0\.0"),
    (lambda: sinkhorn_distance(EYE, EYE, iterations=0), r"iterations must be a whole number of at least 1, got 0"),
    (lambda: Problem.from_targets(EYE, 3, loss=kd(), **RIDGES), r"teacher must be an array of teacher logits for the loss 'kd'"),
    (lambda: Problem.from_targets(EYE, 3, loss="ce", teacher=EYE, **RIDGES), r"teacher must be None for the loss 'ce', got \[\["),
    (lambda: Problem.from_targets(EYE, 3, loss=kd(), teacher=EYE[:2], **RIDGES), r"teacher must have shape \(3, 3\), got \(2, 3\)"),
    (lambda: Problem.from_targets(EYE, 3, loss=kd(), teacher=np.nan * EYE, **RIDGES), r"teacher must be finite, got"),
    (lambda: Problem.from_targets(EYE, 3, loss=kd(), teacher="warm", **RIDGES), r"teacher must be a number: .*, got 'warm'"),
    (lambda: Problem.from_targets(0.5 * EYE, 3, loss=kd(), teacher=EYE, **RIDGES), r"'kd' must be .* sum to 1"),
    (
        lambda: Problem.from_targets(np.ones((2, 2)) / 2, 3, loss=kd(), teacher=np.eye(2), groups=(2,), **RIDGES),
        r"groups must be runs of columns with equal targets, intercept, weight and teacher, got \(2,\)",
    ),
    (lambda: symmetric_teacher(1, 1.0), r"classes must be a whole number of at least 2, got 1"),
    (lambda: symmetric_teacher(3, np.inf), r"a must be finite, got inf"),
    (lambda: confident_teacher(3, 1.0), r"confidence must be in \(0, 1\), got 1\.0"),
    (lambda: distilled_problem(np.ones((2, 3)), 2, 3, **RIDGES), r"teacher must have shape \(K, K\) with K >= 2, .*got \(2, 3\)"),
    (lambda: distilled_problem(EYE, 0, 3, **RIDGES), r"per_class must be a whole number of at least 1, got 0"),
    (lambda: dual_head_problem(EYE, 1, 3, l2_W=(0.1, 0.0), l2_H=0.1), r"l2_W must be finite and above 0, got \(0\.1, 0\.0\)"),
    (lambda: dual_head_problem(EYE, 1, 3, l2_W=(1.0,) * 3, l2_H=0.1), r"l2_W must be one or two known numbers"),
    (
        lambda: jax.jit(lambda l2: dual_head_problem(EYE, 1, 3, l2_W=l2, l2_H=0.1).l2_H)(0.1),
        r"l2_W must be one or two known numbers, the ridges of both heads, got 'traced'",
    ),
]


@pytest.mark.parametrize("number", range(len(REFUSALS)))
def test_what_makes_no_sense_is_refused_by_argument_rule_and_value(number):
    build, message = REFUSALS[number]
    with pytest.raises(ValueError, match=message):
        build()


def teacher_problem(**choices):
    rng = np.random.default_rng(7)
    teacher = np.repeat(2 * rng.standard_normal((3, 3)), (2, 1, 3), axis=1)
    Y = np.repeat(EYE, (2, 1, 3), axis=1)
    return Problem.from_targets(Y, 4, teacher=teacher, **{"loss": kd(0.7, 0.3, 2.0), "l2_W": 0.1, "l2_H": 0.2, **choices})


def point(problem):
    rng = np.random.default_rng(8)
    d = problem.widths[0]
    W, H = rng.standard_normal((problem.classes, d)), rng.standard_normal((d, problem.columns))
    return Params((jnp.asarray(W),), jnp.asarray(H), None)


def test_the_objective_compares_every_column_with_its_own_teacher():
    problem = teacher_problem(multiplicity=np.array([1.0, 2, 1, 3, 1, 1]))
    p = point(problem)
    W, H, m = (np.asarray(x) for x in (p.weights[0], p.H, problem.multiplicity))
    Y, t = np.asarray(problem.targets), np.asarray(problem.teacher)
    value = 0.05 * np.sum(W**2) + 0.1 * np.sum(H**2)
    for c in range(6):
        z = W @ H[:, c] / np.sqrt(m[c])
        hard = -np.log(np.exp(z)[Y[:, c] == 1][0] / np.exp(z).sum())
        q, s = (np.exp(x / 2) / np.exp(x / 2).sum() for x in (t[:, c], z))
        value += m[c] / m.sum() * (0.7 * hard + 0.3 * 4 * np.sum(q * np.log(q / s)))
    np.testing.assert_allclose(objective(problem, p), value, rtol=1e-13)
    slope = jax.jit(jax.grad(lambda teacher: ufm.objective(problem.replace(teacher=teacher), p)))(problem.teacher)
    assert slope.shape == (3, 6) and jnp.all(jnp.isfinite(slope)) and jnp.any(slope != 0)


def test_the_teacher_stays_with_its_columns_through_replace_collapsed_and_split_columns():
    problem = teacher_problem()
    t = np.asarray(problem.teacher)
    assert (problem.groups, type(problem.design)) == ((2, 1, 3), GeneralColumns)
    for same in (problem.replace(l2_H=0.3), problem.replace(widths=7), problem.replace(multiplicity=2.0)):
        np.testing.assert_array_equal(same.teacher, t)
        assert same.groups == (2, 1, 3)
    small, split = problem.collapsed(), split_columns(problem, 2)
    np.testing.assert_array_equal(small.teacher, t[:, [0, 2, 3]])
    np.testing.assert_array_equal(split.teacher, np.repeat(t[:, [0, 2, 3]], 2, axis=1))
    assert split.groups == (2, 2, 2)
    p = point(small)
    share = np.sqrt(np.asarray(problem.multiplicity) / np.asarray(problem.counts)[problem.labels])
    whole = p._replace(H=p.H[:, problem.labels] * share[None, :])
    halves = p._replace(H=jnp.repeat(p.H, 2, axis=1) / np.sqrt(2))
    expected = objective(small, p)
    np.testing.assert_allclose([objective(problem, whole), objective(split, halves)], [expected] * 2, rtol=1e-14)


def test_teachers_tell_columns_of_one_target_apart():
    own = np.repeat(EYE, 2, axis=1)
    teacher = own + np.arange(6) * 0.1
    assert Problem.from_targets(own, 3, loss=kd(), teacher=teacher, **RIDGES).groups == (1,) * 6
    assert teacher_problem().replace(teacher=np.zeros((3, 6))).groups == (2, 1, 3)
    assert teacher_problem().replace(teacher=np.arange(18.0).reshape(3, 6)).groups == (1,) * 6
    with pytest.raises(ValueError, match=r"teacher must be None for the loss 'ce'"):
        teacher_problem().replace(loss="ce")
    assert teacher_problem().replace(loss="ce", teacher=None).teacher is None


def test_a_student_of_a_teacher_is_solved_and_certified_by_either_certificate():
    """At T = 1 the mixture is cross-entropy against mixed labels, whose certificate is the tight one."""
    single = teacher_problem(loss=kd(0.7, 0.3, 1.0), l2_W=0.02, l2_H=0.02)
    q = np.exp(np.asarray(single.teacher))
    mixed = 0.7 * np.asarray(single.targets) + 0.3 * q / q.sum(0)
    entropy = -0.3 * np.mean(np.sum(q / q.sum(0) * np.log(q / q.sum(0)), axis=0))
    soft = single.replace(targets=mixed, loss="ce", teacher=None)
    found = ufm.solve(single, jax.random.key(0))
    np.testing.assert_allclose(found.value, objective(soft, found.params) - entropy, rtol=1e-13)
    assert 0 <= ufm.certify(single, found.params).relative_gap < 1e-8
    plane = ufm.certify(single.replace(loss=kd(0.7, 0.3, 1.0 + 1e-9)), found.params)
    assert 0 <= plane.relative_gap < 1e-6


def test_heads_of_unequal_ridges_are_one_problem_of_one_ridge():
    l2_W, l2_H, teacher = (0.3, 0.7), 0.2, np.asarray(symmetric_teacher(3, 2.0, 1.0)) + 0.1 * np.arange(9.0).reshape(3, 3)
    for norm in (True, False):
        problem = dual_head_problem(teacher, 2, 5, gamma=0.8, kd=0.6, temperature=1.5, norm=norm, l2_W=l2_W, l2_H=l2_H)
        p = point(problem)
        (W1, W2), H = (np.asarray(W) for W in heads(p, l2_W)), np.asarray(p.H)
        value = l2_W[0] / 2 * np.sum(W1**2) + l2_W[1] / 2 * np.sum(W2**2) + l2_H / 2 * np.sum(H**2)
        for i in range(6):
            z, b, a = W1 @ H[:, i], W2 @ H[:, i] / 1.5, teacher[:, i // 2] / 1.5
            q, p_a, p_b = np.exp(z) / np.exp(z).sum(), 1 / (1 + np.exp(-a)), 1 / (1 + np.exp(-b))
            plain = p_a * np.log(p_a / p_b) + (1 - p_a) * np.log((1 - p_a) / (1 - p_b))
            value += (-0.8 * np.log(q[i // 2]) + 0.6 * 2.25 * np.sum(np.log(np.cosh((b - a) / 2)) if norm else plain)) / 6
        np.testing.assert_allclose(objective(problem, p), value, rtol=1e-13)


def test_symmetric_teachers_have_the_margin_mean_and_confidence_asked_for():
    t = np.asarray(symmetric_teacher(4, 3.0, 2.0))
    np.testing.assert_allclose([t[0, 0] - t[1, 0], t[:, 0].sum()], [3, 2], rtol=1e-15)
    for q, T in ((0.7, 2.0), (0.05, 0.5)):
        t = np.asarray(confident_teacher(4, q, T))
        p = np.exp(t / T) / np.exp(t / T).sum(0)
        np.testing.assert_allclose(np.diag(p), q, rtol=1e-14)
    assert jax.jit(lambda a: symmetric_teacher(3, a))(2.0).shape == (3, 3)
    problem = distilled_problem(t, 2, 5, **RIDGES)
    assert (problem.loss, problem.groups) == (kd(), (2,) * 4)
    np.testing.assert_array_equal(problem.teacher, np.repeat(t, 2, axis=1))
