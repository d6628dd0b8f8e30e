"""The objective against a double loop in NumPy, what a column stands for, and every refusal of a problem."""

import dataclasses
import itertools
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ufm
from ufm import Loss, Params, Problem
from ufm.losses import LOSSES
from ufm.problem import ClassSizes, EqualClasses, GeneralColumns, GroupedClasses
from ufm.problem.params import to_domain

KEY = jax.random.key(0)
objective = jax.jit(ufm.objective)


def numpy_loss(name, z, y):
    if name == "mse":
        return 0.5 * sum((z - y) ** 2)
    if name == "ce":
        return sum(y * (np.log(sum(np.exp(z))) - z))
    if name == "logistic":
        return sum(y * np.log(1 + np.exp(-z)) + (1 - y) * np.log(1 + np.exp(z)))
    top = int(np.argmax(y))
    return 0.5 * sum(max(0.0, 1 + z[k] - z[top]) ** 2 for k in range(len(z)) if k != top)


def numpy_objective(fields, params):
    """f by a loop over columns and entries, from the numbers the problem was built with."""
    Y, total = fields["targets"], 0.0
    weights = list(params.weights) + ([fields["classifier"]] if "classifier" in fields else [])
    for c in range(Y.shape[1]):
        z = np.asarray(params.H)[:, c] / np.sqrt(fields["multiplicity"][c])
        for W in weights:
            z = np.array([sum(float(W[i, j]) * z[j] for j in range(W.shape[1])) for i in range(W.shape[0])])
        z = fields["scale"] * z
        if params.b is not None:
            z = z + fields["intercept"][c] * np.asarray(params.b)
        share = fields["weight"][c] * fields["multiplicity"][c] / fields["samples"]
        total += share * numpy_loss(fields["loss"], z, Y[:, c])
    for l2, W in zip(fields["l2_W"], params.weights, strict=True):
        total += l2 / 2 * np.sum(np.asarray(W) ** 2)
    total += fields["l2_H"] / 2 * np.sum(np.asarray(params.H) ** 2)
    if params.b is not None:
        total += fields["l2_b"] / 2 * np.sum(np.asarray(params.b) ** 2)
    if "H0" in fields:
        total += fields["beta"] / 2 * np.sum((np.asarray(params.H) - fields["H0"]) ** 2)
    return total


def random_fields(loss, bias, depth, classifier, proximity, seed):
    rng = np.random.default_rng(seed)
    K, C = 3, 4
    widths = (5, 4, 2)[:depth]
    hard = np.eye(K)[:, [0, 1, 2, 1]]
    targets = {"mse": rng.standard_normal((K, C)), "ce": rng.dirichlet(np.ones(K), C).T, "logistic": rng.random((K, C))}
    fields = {
        "targets": targets.get(loss, hard),
        "widths": widths,
        "loss": loss,
        "bias": bias,
        "multiplicity": rng.uniform(0.5, 3, C),
        "intercept": rng.standard_normal(C),
        "weight": rng.uniform(0.5, 2, C),
        "samples": 7.3,
        "scale": 1.7,
        "l2_W": list(rng.uniform(0.1, 1, depth - classifier)),
        "l2_H": 0.21,
        "l2_b": 0.4 if bias == "ridge" else 0.0,
    }
    if classifier:
        fields["classifier"] = rng.standard_normal((K, widths[-1]))
    if proximity:
        fields |= {"beta": 0.6, "H0": rng.standard_normal((widths[0], C))}
    return fields


@pytest.mark.parametrize("loss", list(LOSSES))
@pytest.mark.parametrize("bias", ["none", "free", "ridge"])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_objective_is_its_double_loop(loss, bias, depth):
    case = ["none", "free", "ridge"].index(bias) + depth + list(LOSSES).index(loss)
    fields = random_fields(loss, bias, depth, classifier=case % 2, proximity=case % 3 == 0, seed=case)
    problem = Problem.from_targets(**fields)
    params = ufm.initialize(problem, jax.random.key(case), 0.7)
    np.testing.assert_allclose(ufm.objective(problem, params), numpy_objective(fields, params), rtol=1e-13)


def test_logits_are_the_product_of_the_layers_at_a_sample_of_each_column():
    fields = random_fields("mse", "ridge", 2, classifier=False, proximity=False, seed=1)
    problem = Problem.from_targets(**fields)
    p = ufm.initialize(problem, KEY)
    samples = np.asarray(p.H) / np.sqrt(fields["multiplicity"])
    expected = 1.7 * np.asarray(p.weights[1]) @ np.asarray(p.weights[0]) @ samples + np.outer(p.b, fields["intercept"])
    np.testing.assert_allclose(ufm.logits(problem, p), expected, rtol=1e-13)


@pytest.mark.parametrize("loss", list(LOSSES))
def test_a_column_of_multiplicity_m_is_m_equal_samples(loss):
    counts = (4, 1, 2)
    choices = {"loss": loss, "bias": "ridge", "l2_W": 0.3, "l2_H": 0.2, "l2_b": 0.1}
    samples = Problem.imbalanced(counts, (4,), **choices)
    columns = Problem.from_targets(np.eye(3), (4,), multiplicity=np.array(counts, float), **choices)
    p = ufm.initialize(columns, KEY)
    repeated = p._replace(H=jnp.asarray(np.repeat(np.asarray(p.H) / np.sqrt(counts), counts, axis=1)))
    np.testing.assert_allclose(objective(columns, p), objective(samples, repeated), rtol=1e-14)
    slope = jax.jit(jax.grad(lambda x, q: ufm.objective(q, x)))
    small, large = (np.asarray(slope(x, q).H) for q, x in ((columns, p), (samples, repeated)))
    np.testing.assert_allclose(large, np.repeat(small / np.sqrt(counts), counts, axis=1), atol=1e-15)


def test_collapsed_sums_the_multiplicities_of_equal_columns_and_keeps_the_rest():
    H0 = np.random.default_rng(0).standard_normal((4, 3))
    choices = {"loss": "ce", "l2_W": 0.1, "l2_H": 0.2, "scale": 3.0, "beta": 0.3}
    whole = Problem.imbalanced((4, 1, 2), (4,), H0=np.repeat(H0, (4, 1, 2), 1), **choices)
    small = whole.collapsed()
    np.testing.assert_array_equal(small.targets, np.eye(3))
    np.testing.assert_array_equal(small.multiplicity, [4, 1, 2])
    np.testing.assert_allclose(small.H0, H0 * np.sqrt([4, 1, 2]), rtol=1e-15)
    assert (small.groups, small.samples, small.columns, type(small.design)) == ((1, 1, 1), 7, 3, ClassSizes)
    assert (whole.groups, whole.columns, whole.classes, whole.trainable, whole.factors) == ((4, 1, 2), 7, 3, 1, 2)
    np.testing.assert_array_equal(whole.labels, [0, 0, 0, 0, 1, 2, 2])
    np.testing.assert_array_equal(whole.counts, [4, 1, 2])
    p = ufm.initialize(small, KEY)
    repeated = p._replace(H=jnp.asarray(np.repeat(np.asarray(p.H) / np.sqrt([4, 1, 2]), (4, 1, 2), axis=1)))
    np.testing.assert_allclose(objective(small, p), objective(whole, repeated), rtol=1e-14)


def test_columns_of_different_weight_or_intercept_are_not_equal():
    Y = np.repeat(np.eye(2), 2, axis=1)
    ridges = {"l2_W": 0.1, "l2_H": 0.1}
    assert Problem.from_targets(Y, 3, **ridges).groups == (2, 2)
    assert Problem.from_targets(Y, 3, weight=np.array([1.0, 3.0, 1.0, 1.0]), **ridges).groups == (1, 1, 2)
    assert Problem.from_targets(Y, 3, intercept=np.array([1.0, 1.0, 0.0, 1.0]), **ridges).groups == (2, 1, 1)
    assert Problem.balanced(2, 2, 3, **ridges).replace(weight=np.array([1.0, 3.0, 1.0, 1.0])).groups == (1, 1, 2)
    assert Problem.balanced(2, 2, 3, weight=np.array([1.0, 3.0, 1.0, 1.0]), **ridges).groups == (1, 1, 2)


def test_c_is_the_geometric_mean_of_the_ridges_of_all_factors():
    problem = Problem.balanced(3, 2, (4, 5), l2_W=(0.1, 0.4), l2_H=0.2)
    np.testing.assert_allclose(problem.c, (0.1 * 0.4 * 0.2) ** (1 / 3), rtol=1e-15)
    np.testing.assert_array_equal(problem.ridges, [0.2, 0.1, 0.4])


@pytest.mark.parametrize(
    "build, kind",
    [
        (lambda **r: Problem.balanced(3, 2, 4, **r), EqualClasses),
        (lambda **r: Problem.balanced(3, 2, 4, smoothing=0.1, **r), EqualClasses),
        (lambda **r: Problem.imbalanced((3, 1, 2), 4, **r), ClassSizes),
        (lambda **r: Problem.imbalanced((2, 2, 2), 4, **r), EqualClasses),
        (lambda **r: Problem.imbalanced((3, 1, 2), 4, smoothing=0.1, **r), ClassSizes),
        (lambda **r: Problem.grouped((2, 1), (3.0, 1.5), 4, **r), GroupedClasses),
        (lambda **r: Problem.balanced(3, 2, 4, weight=2.0, **r), GeneralColumns),
        (lambda **r: Problem.balanced(3, 2, 4, weight=1.0, intercept=1.0, **r), EqualClasses),
        (lambda **r: Problem.balanced(3, 2, 4, samples=7, **r), GeneralColumns),
        (lambda **r: Problem.from_targets(np.eye(3), 4, **r), EqualClasses),
        (lambda **r: Problem.from_targets(np.eye(3), 4, multiplicity=[2.5, 2.5, 1], **r), ClassSizes),
        (lambda **r: Problem.from_targets(np.eye(3)[:, [0, 1, 1, 2]], 4, multiplicity=[2, 0.5, 1.5, 2], **r), EqualClasses),
        (lambda **r: Problem.from_targets(0.9 * np.eye(3) + 0.1 / 3, 4, **r), EqualClasses),
        (lambda **r: Problem.from_targets(np.eye(3)[:, ::-1], 4, **r), GeneralColumns),
        (lambda **r: Problem.from_targets((1 - np.eye(3)) / 2, 4, **r), GeneralColumns),
        (lambda **r: Problem.from_targets(-np.eye(3), 4, **r), GeneralColumns),
        (lambda **r: Problem.from_targets(np.eye(3)[:, :2], 4, **r), GeneralColumns),
        (lambda **r: Problem.from_targets(np.ones((3, 2)) / 3, 4, **r), GeneralColumns),
    ],
)
def test_the_design_is_the_sharpest_type_that_the_numbers_prove(build, kind):
    problem = build(l2_W=0.1, l2_H=0.1)
    assert type(problem.design) is kind
    # and whatever it is stored as, it has the columns it was given
    again = Problem.from_targets(
        problem.targets, 4, multiplicity=problem.multiplicity, intercept=problem.intercept, weight=problem.weight,
        samples=problem.samples, groups=problem.groups, l2_W=0.1, l2_H=0.1,
    )  # fmt: skip
    for name in ("targets", "multiplicity", "intercept", "weight", "samples", "counts"):
        np.testing.assert_allclose(getattr(again, name), getattr(problem, name), rtol=1e-14, atol=1e-16)


def test_columns_of_every_type_are_those_of_a_table_written_out():
    soft = 0.7 * np.eye(3) + 0.1
    ridges = {"l2_W": 0.1, "l2_H": 0.1, "loss": "ce"}
    sizes, labels = np.array([3.0, 3.0, 1.0]), [0, 0, 0, 1, 1, 1, 2]
    made = {
        "sizes": Problem.imbalanced((3, 3, 1), 4, smoothing=0.3, **ridges),
        "class": Problem.imbalanced((3, 3, 1), 4, columns="class", smoothing=0.3, **ridges),
        "grouped": Problem.grouped((2, 1), (3, 1), 4, smoothing=0.3, **ridges),
        "table": Problem.from_targets(soft[:, labels], 4, **ridges),
    }
    for name, problem in made.items():
        columns = labels if name in ("sizes", "table") else [0, 1, 2]
        np.testing.assert_allclose(problem.targets, soft[:, columns], rtol=1e-15)
        np.testing.assert_allclose(problem.counts, sizes)
        np.testing.assert_allclose(problem.multiplicity, np.ones(7) if len(columns) == 7 else sizes)
        assert (problem.columns, problem.classes, float(problem.samples)) == (len(columns), 3, 7)
    p = ufm.initialize(made["class"], KEY)
    wide = p._replace(H=jnp.repeat(p.H / jnp.sqrt(sizes)[None, :], np.array([3, 3, 1]), axis=1))
    values = [objective(q, wide if q.columns == 7 else p) for q in made.values()]
    np.testing.assert_allclose(values, values[0], rtol=1e-14)


def test_a_problem_built_under_jit_or_vmap_has_the_design_it_has_outside():
    seen = []

    def value(l2):
        problem = Problem.imbalanced((2, 2), 3, l2_W=0.1, l2_H=l2)
        seen.append((type(problem.design), problem.groups))
        return ufm.objective(problem, Params((jnp.ones((2, 3)),), jnp.ones((3, 4)), None))

    outside = value(0.1)
    np.testing.assert_allclose(jax.jit(value)(0.1), outside, rtol=1e-15)
    np.testing.assert_allclose(jax.vmap(value)(jnp.asarray([0.1])), [outside], rtol=1e-15)
    assert seen == [(EqualClasses, (2, 2))] * 3


def test_replace_checks_again_and_finds_the_design_again():
    problem = Problem.balanced(3, 2, 4, l2_W=0.1, l2_H=0.1)
    assert problem.replace(l2_H=0.3).l2_H == 0.3 and problem.l2_H == 0.1
    assert problem.replace(l2_H=0.3).design is problem.design
    assert problem.replace(loss="ce", widths=(7, 5)).widths == (7, 5)
    np.testing.assert_array_equal(problem.replace(widths=(7, 5)).l2_W, [0.1, 0.1])
    sized = problem.replace(multiplicity=[1, 1, 2, 2, 1, 1])
    assert (type(sized.design), sized.samples, sized.groups) == (ClassSizes, 8, (2, 2, 2))
    assert type(sized.replace(multiplicity=1.0).design) is EqualClasses
    inside = problem.replace(multiplicity=[1, 3, 2, 2, 3, 1])
    assert type(inside.design) is EqualClasses and inside.samples == 12
    np.testing.assert_allclose(inside.multiplicity, [1, 3, 2, 2, 3, 1], rtol=1e-15)
    assert type(problem.replace(weight=2.0).design) is GeneralColumns
    assert type(problem.replace(weight=2.0).replace(weight=1.0).design) is EqualClasses
    soft = problem.replace(targets=np.full((3, 6), 1 / 3))
    assert (type(soft.design), soft.groups, soft.samples) == (GeneralColumns, (6,), 6)
    assert problem.replace(samples=9).samples == 9
    with pytest.raises(TypeError):  # there is no number that a label could be left behind by
        dataclasses.replace(problem, multiplicity=jnp.ones(6))
    for changes, message in (
        ({"l2_H": -1.0}, "l2_H must be finite and at least 0"),
        ({"l2_h": 0.1}, "the name given to replace must be one of 'targets'.*'l2_H'"),
        ({"design": problem.design, "weight": 2.0}, "design must be given without weight"),
        ({"bias": "ridge"}, "l2_b .*must be finite and above 0, got 0"),
    ):
        with pytest.raises(ValueError, match=message):
            problem.replace(**changes)


def test_traced_class_sizes_make_equal_classes_ones_of_any_sizes_and_traced_ridges_leave_them():
    problem = Problem.balanced(3, 1, 4, l2_W=0.1, l2_H=0.1)
    designs = {}

    def noted(name, q):
        designs[name] = (type(q.design), q.groups)
        return q

    np.testing.assert_array_equal(
        jax.vmap(lambda m: noted("multiplicity", problem.replace(multiplicity=m)).samples)(jnp.asarray([[1.0, 2, 3], [2, 2, 2]])),
        [6, 6],
    )
    ridged = lambda l2: noted("l2_H", problem.replace(l2_H=l2)).c  # noqa: E731
    np.testing.assert_allclose(jax.jit(ridged)(0.4), 0.2, rtol=1e-15)
    np.testing.assert_allclose(jax.grad(ridged)(0.4), 0.25, rtol=1e-14)
    assert jax.vmap(lambda Y: noted("targets", problem.replace(targets=Y)).samples)(jnp.eye(3)[None]) == 3
    assert jax.jit(lambda N: noted("samples", problem.replace(samples=N)).samples)(5.0) == 5
    wide = Problem.balanced(3, 2, 4, l2_W=0.1, l2_H=0.1)
    sizes = jax.jit(lambda m: noted("within", wide.replace(multiplicity=m)).counts)(jnp.arange(1.0, 7.0))
    np.testing.assert_allclose(sizes, [3, 7, 11])
    assert designs == {
        "multiplicity": (ClassSizes, (1, 1, 1)), "l2_H": (EqualClasses, (1, 1, 1)), "targets": (GeneralColumns, (1, 1, 1)),
        "samples": (GeneralColumns, (1, 1, 1)), "within": (ClassSizes, (2, 2, 2)),
    }  # fmt: skip


def test_problems_are_equal_when_their_types_choices_and_numbers_are():
    made = [Problem.imbalanced((3, 1), 4, loss="ce", l2_W=0.1, l2_H=l2) for l2 in (0.1, 0.1, 0.2)]
    assert made[0] == made[1] and hash(made[0]) == hash(made[1]) and made[0] != made[2]
    assert made[0] != made[0].replace(loss="mse") and made[0] != made[0].collapsed() and made[0] != "ce"
    again = pickle.loads(pickle.dumps(made[0]))
    assert again == made[0] and again.loss == made[0].loss


def test_columns_of_a_million_samples_cost_what_their_classes_do():
    counts = tuple(int(n) for n in np.random.default_rng(0).integers(732, 1301, 1000))
    problem = Problem.imbalanced(counts, 64, loss="ce", l2_W=1e-4, l2_H=1e-7, columns="class")
    assert (problem.columns, float(problem.samples)) == (1000, sum(counts))
    assert sum(x.nbytes for x in jax.tree.leaves(problem)) < 1e5
    whole = Problem.imbalanced(counts, 64, loss="ce", l2_W=1e-4, l2_H=1e-7)
    assert whole.columns == sum(counts) and whole.collapsed() == problem
    with pytest.raises(ValueError, match="1000000000 columns, one a sample, need 1.21e.04 GB"):
        ufm.initialize(Problem.balanced(1000, 10**6, 512, l2_W=1e-4, l2_H=1e-7), KEY)


def test_a_problem_is_a_pytree_whose_numbers_are_leaves():
    problem = Problem.balanced(3, 2, 4, l2_W=0.1, l2_H=0.1)
    p = ufm.initialize(problem, KEY)
    gradient = jax.jit(jax.grad(lambda q: ufm.objective(q, p)))(problem)
    np.testing.assert_allclose(gradient.l2_H, jnp.sum(p.H**2) / 2, rtol=1e-14)
    np.testing.assert_allclose(gradient.l2_W, [jnp.sum(p.weights[0] ** 2) / 2], rtol=1e-14)
    with pytest.raises(dataclasses.FrozenInstanceError):
        problem.l2_H = 1.0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_dtype_in_is_the_dtype_out(dtype):
    l2 = np.asarray(0.01, dtype)[()]
    problem = Problem.balanced(3, 2, 4, loss="mse", bias="ridge", l2_W=l2, l2_H=l2, l2_b=l2)
    key = jax.random.key(1)
    params = ufm.initialize(problem, key, 0.5)
    outputs = [problem, problem.collapsed(), problem.replace(l2_H=0.02), params, ufm.objective(problem, params)]
    outputs += [ufm.logits(problem, params), ufm.certify(problem, params), ufm.predict(problem)]
    floating = [x.dtype for x in jax.tree.leaves(outputs) if jnp.issubdtype(x.dtype, jnp.floating)]
    assert set(floating) == {jnp.dtype(dtype)}
    assert problem.dtype == dtype


@pytest.mark.parametrize("argument", ["l2_H", "beta", "intercept", "samples", "H0"])
def test_any_one_array_sets_the_dtype_of_the_whole_problem(argument):
    numbers = {"l2_W": 0.1, "l2_H": 0.1, "beta": 0.2, "H0": [[0.0] * 3] * 4, "intercept": [1.0] * 3, "samples": 3.0}
    numbers[argument] = jnp.asarray(numbers[argument], jnp.float32)
    problem = Problem.from_targets([[1, 0, 0], [0, 1, 0], [0, 0, 1]], 4, **numbers)
    assert {leaf.dtype for leaf in jax.tree.leaves(problem)} == {jnp.dtype("float32")}


def test_two_floating_dtypes_are_refused():
    with pytest.raises(ValueError, match="share one floating dtype, got float32, float64"):
        Problem.balanced(3, 2, 4, l2_W=jnp.float32(0.1), l2_H=jnp.float64(0.1))


@pytest.mark.parametrize("features", ["free", "nonnegative", "sphere"])
def test_starts_lie_in_the_domain(features):
    problem = Problem.from_targets(np.eye(3), 4, multiplicity=[4.0, 1, 9], features=features, l2_W=0.1, l2_H=0.1)
    p = ufm.initialize(problem, KEY, 0.5)
    if features == "nonnegative":
        assert jnp.all(p.H >= 0) and jnp.any(p.weights[0] < 0)
    if features == "sphere":
        np.testing.assert_allclose(jnp.linalg.norm(p.H, axis=0), [2, 1, 3], rtol=1e-14)
        np.testing.assert_allclose(jnp.linalg.norm(p.weights[0], axis=1), 1, rtol=1e-14)
    np.testing.assert_allclose(to_domain(problem, p).H, p.H, rtol=1e-14)


def test_starts_are_gaussian_of_the_given_scale_and_differ_between_keys():
    problem = Problem.balanced(10, 100, (50, 40), bias="free", l2_W=0.1, l2_H=0.1)
    p = ufm.initialize(problem, KEY, 0.3)
    for x in (*p.weights, p.H):
        assert abs(float(jnp.std(x)) / 0.3 - 1) < 0.06 and abs(float(jnp.mean(x))) < 0.04
    assert [W.shape for W in p.weights] == [(40, 50), (10, 40)] and p.H.shape == (50, 1000) and p.b.shape == (10,)
    again, other = (ufm.initialize(problem, k, 0.3) for k in (KEY, jax.random.key(1)))
    assert jnp.array_equal(again.H, p.H) and not jnp.any(other.H == p.H)
    with pytest.raises(ValueError, match=r"scale must be finite and above 0, got 0"):
        ufm.initialize(problem, KEY, 0.0)


def with_ridges(build):
    return lambda *args, **choices: build(*args, **{"l2_W": 0.1, "l2_H": 0.1, **choices})


balanced, imbalanced = with_ridges(Problem.balanced), with_ridges(Problem.imbalanced)
from_targets = with_ridges(Problem.from_targets)
REFUSALS = [
    (lambda: imbalanced((2, 0), 3), r"counts must be a whole number of at least 1, got 0"),
    (lambda: imbalanced((2, -1), 3), r"counts must be a whole number of at least 1, got -1"),
    (lambda: imbalanced((2, 1.5), 3), r"counts must be a whole number of at least 1, got 1\.5"),
    (lambda: imbalanced((2,), 3), r"counts must be a sequence of the sizes of at least 2 classes, got \(2,\)"),
    (lambda: imbalanced(5, 3), r"counts must be .*, got \(?5"),
    (lambda: balanced(1, 2, 3), r"classes must be a whole number of at least 2 and at most 1000000, got 1"),
    (lambda: balanced(3, 0, 3), r"per_class must be a whole number of at least 1, got 0"),
    (lambda: balanced(3, True, 3), r"per_class must be a whole number of at least 1, got True"),
    (lambda: balanced(3, 2, 3, l2_W=-0.1, l2_H=0.1), r"l2_W must be finite and at least 0, got .*-0\.1"),
    (lambda: balanced(3, 2, 3, l2_W=0.1, l2_H=np.nan), r"l2_H must be finite and at least 0, got nan"),
    (lambda: balanced(3, 2, 3, l2_W=0.1, l2_H=np.inf), r"l2_H must be finite and at least 0, got inf"),
    (lambda: balanced(3, 2, 3, l2_W=0.1, l2_H=0.0), r"l2_W and l2_H must be all above 0 or all 0.*l2_H=0"),
    (lambda: balanced(3, 2, (3, 3), l2_W=(0.1, 0), l2_H=0.1), r"all above 0 or all 0.*l2_W=\[0\.1, 0\.0\]"),
    (lambda: balanced(3, 2, (3, 3), l2_W=(0.1,) * 3, l2_H=0.1), r"l2_W .*shape \(2,\), got shape \(3,\)"),
    (lambda: balanced(3, 2, 3, bias="ridge"), r"l2_b .*must be finite and above 0, got 0"),
    (lambda: balanced(3, 2, 3, bias="free", l2_b=0.2), r'l2_b must be 0 where bias="free", got 0\.2'),
    (lambda: balanced(3, 2, 3, bias="yes"), r"bias must be one of 'none', 'free', 'ridge', got 'yes'"),
    (lambda: balanced(3, 2, 3, features="relu"), r"features must be one of 'free', .*, got 'relu'"),
    (lambda: balanced(3, 2, 4.5), r"widths must be .*whole number of at least 1.*, got \(?4\.5"),
    (lambda: balanced(3, 2, (4, 2.0)), r"widths must be a whole number of at least 1, got 2\.0"),
    (lambda: balanced(3, 2, (4, 0)), r"widths must be a whole number of at least 1, got 0"),
    (lambda: balanced(3, 2, ()), r"widths must be \(d_1, \.\.\., d_M\), at least one number, got \(\)"),
    (lambda: balanced(3, 2, (4, 5), classifier=np.ones((3, 4))), r"classifier .*\(3, 5\), got \(3, 4\)"),
    (lambda: balanced(3, 2, (4, 5), features="sphere"), r"widths must be one number where features"),
    (lambda: balanced(3, 2, 4, H0=np.ones((4, 5)), beta=1), r"H0 must have shape \(4, 6\), got \(4, 5\)"),
    (lambda: balanced(3, 2, 4, beta=1.0), r"beta must be 0 where no H0 is given, got .*1"),
    (lambda: balanced(3, 2, 4, loss="hinge"), r"loss must be a ufm.Loss.*'squared_hinge', got 'hinge'"),
    (lambda: balanced(3, 2, 4, smoothing=1.0), r"smoothing must be in \[0, 1\), got 1\.0"),
    (lambda: balanced(3, 2, 4, smoothing=np.nan), r"smoothing must be finite, got nan"),
    (lambda: balanced(3, 2, 4, scale=0.0), r"scale must be finite and above 0, got 0"),
    (lambda: balanced(3, 2, 4, samples=-3), r"samples must be finite and above 0, got -3"),
    (lambda: balanced(3, 2, 4, weight=[1, 1, 2]), r"weight must be one number or have shape \(6,\), got"),
    (lambda: from_targets(np.eye(2), 4, multiplicity=[1, 0]), r"multiplicity must be finite and above 0, got"),
    (lambda: from_targets(np.eye(2), 4, multiplicity="two"), r"multiplicity must be a number: .*'1/20', got 'two'"),
    (lambda: from_targets(np.ones(3), 4), r"targets must have shape \(K, C\) with K >= 2 and C >= 1, got \(3,\)"),
    (lambda: from_targets(np.ones((1, 3)), 4), r"targets must have shape \(K, C\).*got \(1, 3\)"),
    (lambda: from_targets([[1, np.nan], [0, 1]], 4), r"targets must be finite, got"),
    (lambda: from_targets(np.ones((3, 3)) / 2, 4, loss="ce"), r"targets of the loss 'ce' must be .* sum to 1, got"),
    (lambda: from_targets([[1.5, 0], [-0.5, 1]], 4, loss="ce"), r"'ce' must be non-negative columns that sum to 1"),
    (lambda: from_targets([[1.5, 0], [0, 1]], 4, loss="logistic"), r"'logistic' must be in \[0, 1\], got"),
    (lambda: balanced(3, 2, 4, smoothing=0.1, loss="squared_hinge"), r"'squared_hinge' must be one-hot columns, got"),
    (lambda: from_targets(np.eye(3), 4, groups=(1, 1)), r"groups must be run lengths .* 3 columns, got \(1, 1\)"),
    (lambda: from_targets(np.eye(3), 4, groups=(2, 1)), r"groups must be .*equal.*, got \(2, 1\)"),
    (lambda: ufm.solve(balanced(3, 2, 4), KEY, tolerance=1e-17), r"tolerance must be at least .* in float64"),
    (
        lambda: ufm.solve(balanced(3, 2, 4, l2_W=jnp.float32(0.1), l2_H=0.1), KEY, tolerance=1e-10),
        r"tolerance .* in float32 \(use float64 for less\), got 1e-10",
    ),
]


@pytest.mark.parametrize("number", range(len(REFUSALS)))
def test_what_is_not_a_problem_is_refused_by_argument_rule_and_value(number):
    build, message = REFUSALS[number]
    with pytest.raises(ValueError, match=message):
        build()


def test_any_callable_and_any_loss_is_a_loss_and_all_zero_ridges_are_a_problem():
    huber = Loss("huber", lambda z, y: jnp.sum(jnp.sqrt(1 + (z - y) ** 2) - 1), convex=True)
    for loss, ridge in itertools.product((huber, huber.value), (0.0, 0.1)):
        problem = Problem.balanced(3, 2, 4, loss=loss, l2_W=ridge, l2_H=ridge)
        assert jnp.isfinite(ufm.objective(problem, ufm.initialize(problem, KEY)))


def test_the_repr_names_what_was_chosen():
    shown = repr(Problem.imbalanced((3, 1), (4, 2), loss="ce", bias="ridge", l2_W=(0.1, 0.2), l2_H=0.3, l2_b=0.4))
    assert shown == "Problem(ce, K=2, columns=4, widths=(4, 2), bias=ridge, l2_W=(0.1, 0.2), l2_H=0.3, l2_b=0.4)"
    traced = []
    jax.jit(lambda l2: traced.append(repr(Problem.balanced(3, 2, 4, l2_W=l2, l2_H=0.1))))(0.1)
    assert "l2_W=traced" in traced[0]


def test_numbers_of_numpy_are_numbers_with_x64_off_and_jax_arrays_of_two_dtypes_are_refused():
    ridge = np.geomspace(1e-3, 1e-1, 3)[1]
    with jax.enable_x64(False):
        for beside in (jnp.asarray(1e-2), np.float32(1e-2), np.float64(1e-2), 1e-2):
            assert Problem.balanced(3, 4, 5, l2_W=ridge, l2_H=beside).dtype == jnp.float32
    with pytest.raises(ValueError, match="share one floating dtype, got float32, float64"):
        Problem.balanced(3, 4, 5, l2_W=jnp.asarray(1e-2, jnp.float32), l2_H=jnp.asarray(1e-2, jnp.float64))
