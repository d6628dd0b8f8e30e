"""The profile: exact for two classes at any imbalance, better than one line elsewhere, and never above a value of f."""

import json
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ufm.problem import Problem
from ufm.problem.params import Params, objective
from ufm.proofs.check_proof import check
from ufm.proofs.exact import rational
from ufm.proofs.instance import instance_of
from ufm.proofs.one_layer import OneLayer, Solved
from ufm.proofs.profiles import Line, profile, profile_bound


def factored(problem, Z, b):
    """Params of the least penalty with the product Z (K, C) in column coordinates."""
    U, s, Vt = np.linalg.svd(Z, full_matrices=False)
    s = np.where(s > 1e-9 * s[0], s, 0)
    widths, ridges = problem.widths, np.asarray(problem.ridges)
    c = np.exp(np.mean(np.log(ridges)))
    sizes = [np.diag(np.sqrt(c / ridge) * s ** (1 / len(ridges))) for ridge in ridges]
    shapes = [(widths[0], problem.columns), *zip((*widths[1:], problem.classes), widths, strict=True)]
    factors = [sizes[0] @ Vt, *sizes[1:-1], U @ sizes[-1]]
    padded = [jnp.asarray(np.pad(x, [(0, a - have) for a, have in zip(shape, x.shape, strict=True)])) for x, shape in
              zip(factors, shapes, strict=True)]  # fmt: skip
    return Params(tuple(padded[1:]), padded[0], None if problem.bias == "none" else jnp.asarray(b))


def critical(problem, start):
    """A critical point: one layer at the price that the penalty has at its own nuclear norm, over and over."""
    layer, factors = OneLayer(instance_of(problem)), problem.factors
    solved, c = Solved(0.0, start, np.zeros(problem.classes)), float(problem.c)
    for _ in range(60):
        solved = layer.solve(c * solved.norm ** (2 / factors - 1), solved)
    return factored(problem, solved.Z, solved.b)


def two_classes(counts, depth, l2, **choices):
    problem = Problem.imbalanced(counts, (2,) * depth, columns="class", l2_W=l2, l2_H=l2, **({"loss": "ce"} | choices))
    return problem, critical(problem, 4.0 * np.array([[1.0, -1.0], [-1.0, 1.0]]))


@pytest.mark.parametrize(
    ("counts", "depth", "l2", "choices", "value"),
    [
        ((5, 2), 2, 0.02, {}, 0.13288609316),
        ((50, 1), 3, 0.002, {}, 0.024395446368),
        ((7, 3), 4, 0.003, {}, None),
        ((50, 1), 2, 0.002, {"bias": "free"}, None),
        ((9, 4), 3, 0.003, {"bias": "ridge", "l2_b": 0.01}, None),
        ((5, 2), 2, 0.002, {"loss": "squared_hinge", "bias": "ridge", "l2_b": 0.01}, None),
    ],
)
def test_two_imbalanced_classes_are_proved_exactly(counts, depth, l2, choices, value):
    problem, params = two_classes(counts, depth, l2, **choices)
    proof = profile(problem, params)
    assert proof.kind == "profile" and proof.digits >= 8, proof.reason
    check(proof.document)
    assert float(proof.upper) == pytest.approx(float(objective(problem, params)), rel=1e-12)
    assert value is None or abs(float(proof.upper) / value - 1) < 1e-10


def square():
    """Two antipodal pairs of margin 5.6432 at right angles: four classes, M = 2, ridges 0.05."""
    problem = Problem.balanced(4, 1, (4, 4), loss="ce", l2_W=0.05, l2_H=0.05)
    codes = np.array([[1, 0], [0, 1], [-1, 0], [0, -1]], float)
    return problem, factored(problem, 5.6432 / 2 * codes @ codes.T, None)


def test_four_classes_are_bracketed_as_in_the_dossier():
    problem, params = square()
    proof = profile(problem, params)
    assert "fewer than 12 digits" in proof.reason
    assert 0.444040 < proof.lower < 0.4448 and abs(proof.upper - Fraction("0.5910679882787128")) < Fraction(1, 10**15)
    check(proof.document)


@pytest.mark.parametrize(
    ("counts", "depth", "l2", "loss", "bound"),
    [((1, 1, 1), 2, 0.05, "ce", 0.332479), ((1, 1, 1, 1), 3, 0.01, "ce", 0.092177), ((8, 4, 2, 1), 2, 0.005, "ce", 0.084217),
     ((1, 1, 1, 1), 2, 0.01, "mse", 0.037474)],
)  # fmt: skip
def test_more_slopes_are_no_worse_than_forty(counts, depth, l2, loss, bound):
    K = len(counts)
    problem = Problem.imbalanced(counts, (K,) * depth, columns="class", loss=loss, l2_W=l2, l2_H=l2)
    proof = profile(problem, factored(problem, 4 * np.eye(K) - 4 / K, None), digits=6)
    assert bound < proof.lower < 1.02 * bound
    check(proof.document)


def test_a_bad_point_makes_a_wide_proof_and_no_false_one():
    problem, params = two_classes((5, 2), 2, 0.02)
    good, worse = profile(problem, params), profile(problem, params._replace(H=1.3 * params.H))
    assert worse.lower <= good.upper < worse.upper
    zero = profile(problem, jax.tree.map(jnp.zeros_like, params))
    assert zero.lower <= good.upper < zero.upper


def test_above_the_tie_zero_is_proved():
    problem = Problem.imbalanced((5, 2), (3, 2), columns="class", loss="ce", l2_W=0.3, l2_H=0.3)
    zero = Params((jnp.zeros((2, 3)), jnp.zeros((2, 2))), jnp.zeros((3, 2)), None)
    proof = profile(problem, zero)
    assert proof.lower <= Fraction("0.6931471805599453094172321214581765") <= proof.upper
    assert proof.digits >= 12
    check(proof.document)


def test_soft_targets_weights_and_unequal_ridges():
    targets, weight = np.array([[0.9, 0.2, 0.6], [0.1, 0.8, 0.4]]), np.array([1.0, 3.0, 0.5])
    choices = {"l2_W": [0.003, 0.01], "l2_H": 0.004, "scale": 1.5}
    problem = Problem.from_targets(targets, (2, 2), loss="ce", weight=weight, multiplicity=[2.0, 1.0, 4.0], **choices)
    proof = profile(problem, critical(problem, np.array([[3.0, -3.0, 0.5], [-3.0, 3.0, -0.5]])))
    assert proof.digits >= 8, proof.reason
    check(proof.document)


def test_a_false_file_is_refused():
    problem, params = two_classes((5, 2), 2, 0.02)
    document = profile(problem, params, digits=9).document
    for change in (
        lambda d: d.update(lower=d["upper"], upper=d["upper"] + "1"),
        lambda d: d.update(slopes=d["slopes"][:3]),
        lambda d: d["slopes"][1].update(c=d["slopes"][2]["c"]),
        lambda d: d["problem"]["l"].__setitem__(0, "1*2^-6"),
        lambda d: d.update(c="1*2^-5"),
    ):
        tampered = json.loads(json.dumps(document))
        change(tampered)
        with pytest.raises(ValueError):
            check(tampered)


def test_the_bound_of_lines_is_their_least_value_on_a_grid():
    def line(price, height):
        return Line(rational(price), rational(height), [], None)

    lines = [line(0, "0.1"), line(2, 1), line("0.5", "0.6"), line("0.1", "0.15"), line("0.3", "0.2")]
    x = np.linspace(0, 6, 60_001)
    heights = np.max([float(a.lower.p) / float(a.lower.q) - float(a.price.p) / float(a.price.q) * x for a in lines], axis=0)
    least = np.min(heights + 1.5 * 0.2 * x ** (2 / 3))
    found = min(crossing.value for crossing in profile_bound(rational("0.2"), 3, lines))
    assert float(found.p) / float(found.q) == pytest.approx(least, abs=1e-4)


def test_what_has_no_profile_says_why():
    one = Problem.balanced(3, 1, 3, loss="ce", l2_W=0.1, l2_H=0.1)
    assert "one trained layer" in profile(one).reason
    folded = Problem.balanced(3, 1, (3, 3), loss="ce", l2_W=0.1, l2_H=0.1, features="nonnegative")
    assert "free features" in profile(folded).reason
    unknown = Problem.balanced(3, 1, (3, 3), loss=lambda z, y: jnp.sum(jnp.abs(z - y)), l2_W=0.1, l2_H=0.1)
    assert profile(unknown).reason
    with pytest.raises(ValueError, match="digits"):
        profile(one, digits=0)
