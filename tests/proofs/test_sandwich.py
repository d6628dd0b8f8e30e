"""Proved minima of one trained layer: against forty digits computed apart, and what a proof may never say."""

import json
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.golden_minima import MINIMA, of_four
from ufm import Params, Problem, losses, objective
from ufm.proofs import conjugates, values
from ufm.proofs.balance import balanced
from ufm.proofs.check_proof import check
from ufm.proofs.exact import ball, precision, rational
from ufm.proofs.global_minimum import point_of, prove
from ufm.proofs.instance import instance_of
from ufm.proofs.sandwich import dual_value, scaled

LARGER = {  # cross-entropy, free bias, sizes round(50 * 0.02^(k/(K-1))), l_W = 2e-3, l_H = 2e-5
    6: "0.0232697277375880607020001180426099228105",
    10: "0.0442703642313835297528870166116253330401",
    14: "0.0634895214201642177643077674584114045677",
}


@pytest.mark.parametrize("loss", MINIMA)
def test_minima_of_four_classes_are_enclosed_to_fifty_digits(loss):
    for bias, digits in MINIMA[loss].items():
        proof = prove(of_four(loss, bias), digits=50)
        assert proof.digits > 50 and proof.kind == "sandwich" and not proof.reason
        assert holds(proof, digits)
        assert check(proof.document)


@pytest.mark.parametrize("K", LARGER)
def test_minima_of_long_tails_are_enclosed_to_fifty_digits(K):
    sizes = [round(50 * 0.02 ** (k / (K - 1))) for k in range(K)]
    problem = Problem.imbalanced(sizes, K, columns="class", loss="ce", bias="free", l2_W=2e-3, l2_H=2e-5)
    proof = prove(problem, digits=50)
    assert holds(proof, LARGER[K]) and proof.digits > 50


def holds(proof, digits):
    """Whether the value of these first decimals is inside."""
    first = Fraction(digits)
    return proof.lower <= first + Fraction(1, 10**40) and first <= proof.upper


@pytest.mark.parametrize("loss", MINIMA)
def test_any_rational_dual_point_and_any_point_are_on_their_side_of_the_minimum(loss):
    rng = np.random.default_rng(3)
    for bias, digits in MINIMA[loss].items():
        problem, minimum = of_four(loss, bias), rational(digits) + rational("1e-40")
        instance = instance_of(problem)
        W, H, b = rng.standard_normal((4, 4)), rng.standard_normal((4, 4)), rng.standard_normal(4)
        params = Params((W,), H, None if bias == "none" else b)
        proof = prove(problem, params)
        assert proof.lower < Fraction(digits) < proof.upper and "bracketed" in proof.statement
        for size in (0.01, 0.3, 3.0):
            atom, Y = instance.parts[0].atom, instance.parts[0].Y
            with precision(120):
                logits = [list(map(ball, map(float, size * rng.standard_normal(4)))) for _ in Y]
                dual = [[atom.repaired(atom.dual(z, y), y, 60) for z, y in zip(logits, Y, strict=True)]]
                dual = balanced(instance, dual) if bias == "free" else dual
                assert all(map(atom.inside, dual[0]))
                dual, norm = scaled(instance, dual, 40)
                assert dual_value(instance, dual, norm) < minimum


def test_a_narrow_model_is_proved_where_its_width_holds_the_optimum_and_bracketed_where_not():
    wide, narrow = (prove(of_four("ce", "none").replace(widths=(d,))) for d in (3, 1))
    assert holds(wide, MINIMA["ce"]["none"]) and wide.digits > 12 and "for every width d >= 3" in wide.statement
    assert narrow.lower < Fraction(MINIMA["ce"]["none"]) < narrow.upper and "below the rank" in narrow.reason


EXTREME = {
    "one column": lambda: Problem.from_targets([[1.0], [0.0]], 2, loss="ce", l2_W=0.1, l2_H=0.1),
    "two classes": lambda: Problem.balanced(2, 3, 2, columns="class", loss="logistic", l2_W=0.01, l2_H=0.02, bias="free"),
    "a tiny weight": lambda: Problem.from_targets(np.eye(3), 3, loss="ce", l2_W=0.1, l2_H=0.1, weight=[1, 1, 1e-200]),
    "saturated targets": lambda: Problem.from_targets(np.eye(3), 3, loss="ce", l2_W=1e-6, l2_H=1e-6),
    "ridges of 1e-300": lambda: Problem.from_targets(np.eye(3), 3, loss="ce", l2_W=1e-300, l2_H=1e-300),
    "large ridges": lambda: Problem.from_targets(np.eye(3), 3, loss="logistic", l2_W=50.0, l2_H=70.0, bias="free"),
    "a million": lambda: Problem.imbalanced((10**6, 9, 1), 3, columns="class", loss="ce", l2_W=1e-3, l2_H=1e-6, bias="free"),
    "samples": lambda: Problem.imbalanced((3, 2), 4, loss="squared_hinge", l2_W=0.05, l2_H=0.01, bias="ridge", l2_b=1e-9),
}


@pytest.mark.parametrize("name", EXTREME)
@pytest.mark.parametrize("size", [0.0, 1.0, 300.0, 1e200])
def test_extreme_problems_at_any_point_give_true_enclosures_that_others_accept(name, size):
    problem = EXTREME[name]()
    rng = np.random.default_rng(5)
    W = size * rng.standard_normal((problem.classes, problem.widths[0]))
    H = size * rng.standard_normal((problem.widths[0], problem.columns))
    b = None if problem.bias == "none" else size * rng.standard_normal(problem.classes)
    proof = prove(problem, Params((W,), H, b), digits=8)
    assert proof.lower <= proof.upper and (size > 1e100 or check(proof.document))  # a reader may find logits too large
    origin = prove(problem, Params((0 * W,), 0 * H, None if b is None else 0 * b), digits=8)
    assert max(proof.lower, origin.lower) <= min(proof.upper, origin.upper)


LOSSES = {
    "mse": "mse", "ce": "ce", "logistic": "logistic", "squared_hinge": "squared_hinge", "ldr_kl": losses.ldr_kl(0.7, 0.6),
    "kd": losses.kd(0.7, 0.6, 2.0), "kd teacher": losses.kd(0, 1, 1.5), "binary_kl": losses.binary_kl(2.0),
    "binary_kl_norm": losses.binary_kl_norm(1.5), "ce_binary_kl": losses.ce_binary_kl(0.8, 0.4),
    "ce_binary_kl plain": losses.ce_binary_kl(norm=False), "dual_head": losses.dual_head(0.8, 0.4, 1.5),
    "dual_head plain": losses.dual_head(norm=False),
}  # fmt: skip


@pytest.mark.parametrize("name", LOSSES)
def test_both_ends_of_every_loss_meet_under_a_fixed_classifier(name):
    rng, loss = np.random.default_rng(7), LOSSES[name]
    targets, teacher = np.eye(3)[:, [0, 1, 2, 1]], rng.standard_normal((3, 4))
    targets = np.concatenate([targets, teacher]) if name.startswith("dual") else targets
    rational_targets = not ("plain" in name or name in ("kd", "kd teacher", "binary_kl"))
    choices = {"teacher": teacher} if getattr(loss, "teacher", False) else {}
    for bias in ("none", "ridge", "free"):
        problem = Problem.from_targets(
            targets, 3, loss=loss, l2_W=(), l2_H=0.05, classifier=rng.standard_normal((len(targets), 3)), bias=bias,
            l2_b=0.1 if bias == "ridge" else 0.0, multiplicity=[1.0, 2.0, 1.0, 3.0], **choices,
        )  # fmt: skip
        start = Params((), np.zeros((3, 4)), None if bias == "none" else np.zeros(len(targets)))
        proof = prove(problem, None if name == "ldr_kl" else start, digits=15)
        if bias == "free" and not rational_targets:
            assert not proof.proved and "not rational" in proof.reason
            continue
        assert proof.digits >= 15, proof.reason
        assert check(proof.document)
        at_start = prove(problem, start, digits=1)
        if bias == "none":
            value = float(objective(problem, jax.tree.map(jnp.asarray, start)))
            with precision(80):
                instance = instance_of(problem)
                point = point_of(instance, problem, start)
                exact = float(values.objective(instance, point, values.logits(instance, point)))
            assert abs(exact / value - 1) < 1e-13
        assert at_start.lower <= proof.upper


@pytest.mark.parametrize("features", ["nonnegative", "sphere"])
@pytest.mark.parametrize("fixed", [False, True])
def test_constrained_features_are_enclosed(features, fixed):
    rng = np.random.default_rng(2)
    ridges = {"l2_W": () if fixed else 0.02, "l2_H": 0.01, "classifier": rng.standard_normal((3, 3)) if fixed else None}
    problem = Problem.from_targets(np.eye(3), 3, loss="ce", features=features, scale=3.0 if features == "sphere" else 1.0, **ridges)
    W = () if fixed else (np.eye(3) - 1 / 3,)
    proof = prove(problem, None if features == "nonnegative" else Params(W, np.eye(3), None), digits=10)
    random = prove(problem, Params(tuple(map(rng.standard_normal, (x.shape for x in W))), abs(rng.standard_normal((3, 3))), None))
    assert check(proof.document) and check(random.document)
    assert max(proof.lower, random.lower) <= min(proof.upper, random.upper)
    if features == "nonnegative":
        assert proof.digits >= 10, proof.reason
    else:
        assert "relaxation" in proof.reason or proof.digits >= 10


def test_a_proximity_term_is_left_out_of_the_lower_end_alone():
    numbers = {"loss": "mse", "l2_W": 0.02, "l2_H": 0.01, "H0": np.ones((3, 3)), "beta": 0.1}
    problem = Problem.from_targets(np.eye(3), 3, **numbers)
    params = Params((0.5 * np.eye(3),), np.eye(3), None)
    proof = prove(problem, params)
    value = float(objective(problem, jax.tree.map(jnp.asarray, params)))
    assert abs(float(proof.upper) / value - 1) < 1e-12 and check(proof.document) and "proximity" in proof.reason
    without = prove(Problem.from_targets(np.eye(3), 3, loss="mse", l2_W=0.02, l2_H=0.01), params)
    assert proof.lower <= without.upper


UNPROVED = {
    "not convex": lambda: Problem.balanced(3, 1, 3, loss=losses.gce(1.0), l2_W=0.1, l2_H=0.1),
    "no conjugate": lambda: Problem.from_targets(
        np.eye(3), 3, loss=losses.pld(), teacher=np.eye(3), l2_W=0.1, l2_H=0.1
    ),
    "ridge is zero": lambda: Problem.balanced(3, 1, 3, loss="ce"),
    "class 2": lambda: Problem.from_targets(np.eye(3), 3, loss="ce", bias="free", intercept=[1, 1, 0], l2_W=0.1, l2_H=0.1),
    "negative intercepts": lambda: Problem.from_targets(
        np.eye(3), 3, loss="ce", bias="free", intercept=[1, 1, -1], samples=3, l2_W=0.1, l2_H=0.1
    ),
}


@pytest.mark.parametrize("reason", UNPROVED)
def test_what_cannot_be_proved_is_a_value_with_its_reason(reason):
    proof = prove(UNPROVED[reason]())
    assert not proof.proved and reason in proof.reason


def test_bad_input_is_refused_by_name():
    problem = of_four("ce", "none")
    with pytest.raises(ValueError, match="digits must be"):
        prove(problem, digits=0)
    with pytest.raises(ValueError, match="params must be finite"):
        prove(problem, Params((np.full((4, 4), np.nan),), np.zeros((4, 4)), None))
    with pytest.raises(ValueError, match="problem must be"):
        prove("ce")
    with pytest.raises(ValueError, match="traced"):
        jax.jit(lambda l2: prove(problem.replace(l2_H=l2)).digits)(0.1)


def test_a_proof_is_strings_alone_and_says_which_numbers_it_is_about(tmp_path):
    proof = prove(of_four("mse", "ridge"), Params((np.eye(4),), np.eye(4), np.zeros(4)))

    def leaves(x):
        children = x.values() if isinstance(x, dict) else x if isinstance(x, list) else None
        return [x] if children is None else [leaf for child in children for leaf in leaves(child)]

    written = json.loads(proof.save(tmp_path / "proof.json").read_text())
    assert {type(x) for x in leaves(written)} <= {str, bool, type(None)}
    assert check(str(tmp_path / "proof.json")) == check(proof.document)
    assert "l_W = 0.005 as float64 (5764607523034235*2^-60)" in proof.statement and "N = 11" in proof.statement
    assert "min f" in proof.latex() and "<p" in proof._repr_html_() or "<" in proof._repr_html_()


def test_numbers_of_float32_are_the_floats_that_they_are():
    problem = jax.tree.map(lambda x: x.astype(jnp.float32), of_four("ce", "none"))
    proof = prove(problem, Params((jnp.eye(4, dtype="float32"),), jnp.eye(4, dtype="float32"), None))
    assert "0.005 as float32" in proof.statement and check(proof.document)
    assert Fraction(float(np.float32(0.005))) == instance_fraction(problem)


def instance_fraction(problem):
    """l_W of the exact instance."""
    x = instance_of(problem).ridges[1]
    return Fraction(int(x.p), int(x.q))


@pytest.mark.parametrize("atom", [conjugates.Quadratic(), conjugates.Entropy(), conjugates.Bernoulli(), conjugates.Hinge()])
def test_values_and_conjugates_add_up_at_gradients(atom):
    rng = np.random.default_rng(0)
    x, step = rng.standard_normal((4, 1)), 1e-6
    y = np.array([[0.0], [1.0], [0.0], [0.0]])
    exact = [rational(float(a)) for a in x[:, 0]], [rational(float(a)) for a in y[:, 0]]
    with precision(200):
        balls = list(map(ball, exact[0]))
        q = atom.repaired(atom.dual(balls, exact[1]), exact[1], 160)
        t = atom.moved(q, exact[1])
        gap = atom.value(balls, exact[1]) - atom.minus_conjugate(q, exact[1]) - sum(a * b for a, b in zip(balls, t, strict=True))
        assert abs(gap) < rational(2) ** -150
    assert np.allclose(atom.slope(x, y)[:, 0], [float(ball(a)) for a in t], rtol=1e-13, atol=1e-15)
    for k in range(4):
        e = step * np.eye(4)[:, [k]]
        assert np.allclose((atom.slope(x + e, y) - atom.slope(x - e, y))[:, 0] / (2 * step), atom.curvature(x, y)[0, k], atol=1e-8)
