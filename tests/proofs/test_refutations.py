"""Refutations at numbers whose values are known from calculations without ufm, and what they say where a claim is right."""

from fractions import Fraction

import numpy as np
import pytest

from ufm.problem import Params, Problem
from ufm.proofs.check_proof import check
from ufm.proofs.equations import largest_root_is_beaten, simplex_is_beaten
from ufm.proofs.exact import precision
from ufm.proofs.explicit_points import (
    aligned_is_beaten,
    centred_supports_are_beaten,
    crossed_point,
    stationary_point_raises_nc1,
)
from ufm.proofs.expressions import name, number, of_tree
from ufm.proofs.facts import Less, known, refutation
from ufm.proofs.objective import objective_expression
from ufm.proofs.refutations import gradients_contradict, loss_outruns_one_over_t, margins_are_beaten, rounded_gradient_has_a_sum

HALF = Fraction(1, 2)


def worth(proof, label):
    """What a name of a proof is worth."""
    assert proof.proved, proof.reason
    with precision(320):
        return float(known([(key, of_tree(tree)) for key, tree in proof.document["where"]])[0][label])


def near(proof, **expected):
    """The names of a proof to the digits given, and the checker's word for it."""
    check(proof.document)
    for label, digits in expected.items():
        places = len(digits.partition(".")[2])
        assert abs(worth(proof, label) - float(digits)) <= max(0.6 * 10.0**-places, 3e-15 * abs(float(digits))), label


def numbers_of(objective):
    with precision(320):
        return float(known(objective)[0]["found"])


@pytest.mark.parametrize("bias", ["none", "free", "ridge"])
@pytest.mark.parametrize(("loss", "depth"), [("mse", 1), ("ce", 2), ("ce", 3)])
def test_the_objective_as_an_expression(bias, loss, depth):
    import jax

    import ufm

    choices = {"l2_b": 0.3} if bias == "ridge" else {}
    p = Problem.imbalanced((3, 2, 1), (4,) * depth, loss=loss, bias=bias, l2_W=0.02, l2_H=0.03, scale=1.5, **choices).collapsed()
    point = ufm.initialize(p, jax.random.key(0))
    assert abs(numbers_of(objective_expression(p, point)) / float(ufm.objective(p, point)) - 1) < 1e-5
    H = np.asarray(point.H) * np.where(np.arange(3) == 0, 1.001, 1)
    assert abs(numbers_of(objective_expression(p, point._replace(H=H))) / float(ufm.objective(p, point)) - 1) > 1e-5


def test_the_objective_with_proximity_and_a_fixed_classifier():
    import jax

    import ufm

    for choices in ({"H0": np.ones((3, 4)), "beta": 0.7}, {"classifier": np.eye(2, 3), "l2_H": 0.1}):
        p = Problem.balanced(2, 2, 3, **{"l2_W": 0.02, "l2_H": 0.03} | choices)
        point = ufm.initialize(p, jax.random.key(0))
        assert abs(numbers_of(objective_expression(p, point)) / float(ufm.objective(p, point)) - 1) < 1e-5


def test_the_objective_has_no_expression_for_other_losses():
    p = Problem.balanced(2, 1, 2, loss="logistic", l2_W=0.1, l2_H=0.1)
    with pytest.raises(ValueError, match="mse"):
        objective_expression(p, Params((np.eye(2),), np.eye(2), None))
    soft = Problem.balanced(2, 1, 2, loss="ce", smoothing=0.1, l2_W=0.1, l2_H=0.1)
    with pytest.raises(ValueError, match="one-hot"):
        objective_expression(soft, Params((np.eye(2),), np.eye(2), None))


def test_a_value_on_the_simplex_does_not_beat_it():
    assert simplex_is_beaten(4, 1, [0.05] * 3, [("found", number("0.6036"))]).proved
    wrong = simplex_is_beaten(4, 1, [0.05] * 3, [("found", number("0.60366"))])
    assert not wrong.proved and "is false" in wrong.reason


def test_the_largest_root():
    proof = largest_root_is_beaten(4, 100, ["0.027"] * 4, [("found", number(HALF))])
    near(proof, claimed="0.607718652902", above="0.607718652902")
    beta = (1 - Fraction(49, 100)) ** 3 * Fraction(49, 100)  # at t = 49/100, M = 2: beta^3 = N^3 l^3/n^2 with n = 1 and K = 2
    proof = largest_root_is_beaten(2, 1, [beta / 8, 1, 1], [("found", number(HALF))])
    near(proof, claimed="0.5049")
    below_tie = largest_root_is_beaten(2, 1, [Fraction(24, 100) / 8 / 8, 1, 1], [("found", number(HALF))])
    assert not below_tie.proved and "is false" in below_tie.reason
    none = largest_root_is_beaten(2, 1, [1, 1, 1], [("found", number(HALF))])
    assert not none.proved and "no root" in none.reason


def test_published_margins():
    for ridges, claimed in (((1e-3, 1e-3), "0.0711839530"), ((1e-2, 1e-4), "0.0951713315"), ((1e-3, 1e-4), "0.02610")):
        below, above = (number(Fraction(claimed) * Fraction(share, 1000)) for share in (999, 1001))
        near(margins_are_beaten((20, 10, 6, 4), *ridges, [("found", below)]), claimed=claimed)
        wrong = margins_are_beaten((20, 10, 6, 4), *ridges, [("found", above)])
        assert not wrong.proved and "is false" in wrong.reason
    collapsed = margins_are_beaten((20, 10, 6, 4), 1, 1, [("found", number(0))])
    assert not collapsed.proved  # margins below zero are not what was published


def test_a_stationary_point_whose_variability_grows():
    D = [[0] * 6, [HALF * (-1) ** c for c in range(6)], [0] * 6]
    numbers = (HALF, Fraction(1, 5), Fraction(3, 10))
    W, H, H0 = crossed_point(*numbers, Fraction(1, 7), D, 3)
    proof = stationary_point_raises_nc1(*numbers, W, H, H0)
    with precision(320):
        exact = known([(key, of_tree(tree)) for key, tree in proof.document["where"]])[1]
    assert str(exact["claimed"]) == "386633569/123125400" and str(exact["found"]) == "147/8"
    check(proof.document)
    W[0][0] *= 2
    wrong = stationary_point_raises_nc1(*numbers, W, H, H0)
    assert not wrong.proved and "is false" in wrong.reason
    above = (HALF, Fraction(1, 5), Fraction(9, 10))  # B + lH >= 1/(2 lW): NC1 falls there
    fallen = stationary_point_raises_nc1(*above, *crossed_point(*above, Fraction(1, 7), D, 3))
    assert not fallen.proved and "is false" in fallen.reason


def aligned_witness(entry=69):
    W = np.array([[Fraction(1, 50), 0, -Fraction(entry, 100)], [0, Fraction(entry, 100), 0]], object)
    H0 = np.array([[Fraction(1, 10) + 3, Fraction(1, 10) - 3, 3, -3], [0, 0, Fraction(1, 10), Fraction(1, 10)], [0] * 4], object)
    pull = W.T @ np.kron(np.eye(2), np.ones(2)) + H0 / 10
    floats = np.linalg.solve((W.T @ W).astype(float) + 0.3 * np.eye(3), pull.astype(float))
    modes = [(Fraction(1, 10), 18), (Fraction(1, 10), 0)]
    return aligned_is_beaten(HALF, Fraction(1, 5), Fraction(1, 10), modes, 0, W, floats, H0)


def test_a_point_below_all_aligned_ones():
    near(aligned_witness(), claimed="0.68263817", found="0.60818696")
    wrong = aligned_witness(200)
    assert not wrong.proved and "is false" in wrong.reason


def test_lowered_supports():
    S = np.array([[int(x) for x in word] for word in ("1000", "0111", "1001", "0011")]).T
    lowered = S.astype(object)
    lowered[2, 0] = Fraction(-6, 100)
    proof = centred_supports_are_beaten(S, lowered, *_norms(S, lowered.astype(float)))
    near(proof, claimed="2.97843715148", found="2.976806423222")
    raised = S.astype(object)
    raised[2, 0] = Fraction(6, 100)
    infeasible = centred_supports_are_beaten(S, raised, *_norms(S, raised.astype(float)))
    assert not infeasible.proved and "is false" in infeasible.reason
    dual, left, right = _norms(S, lowered.astype(float))
    long = centred_supports_are_beaten(S, lowered, 1.001 * dual, left, right)
    assert not long.proved and "pivot" in long.reason
    same = centred_supports_are_beaten(S, S, dual, *_norms(S, S.astype(float))[1:])
    assert not same.proved


def _norms(S, lowered):
    (U, s, Vt), (F, size, G) = (np.linalg.svd(A - A.mean(axis=0)) for A in (S.astype(float), lowered))
    return (U * (s > 1e-9)[None, :]) @ Vt * (1 - 2.0**-40), F * np.sqrt(size)[None, :], np.sqrt(size)[:, None] * G


def test_gradients_at_collapse():
    teacher = [[HALF * (int(i == j) - Fraction(1, 3)) for j in range(3)] for i in range(3)]
    for kind, product in (("plain", "-0.157045950203"), ("norm", "-0.158680903408")):
        proof = gradients_contradict(1, 1, 1, teacher, 2, kind)
        for label in ("classifier", "found"):
            assert abs(9 * worth(proof, label) - float(product)) < 6e-13  # of losses summed over three samples
        check(proof.document)
    surer = [[4 * entry for entry in row] for row in teacher]
    agreeing = gradients_contradict(1, 1, 1, surer, 2, "plain")
    assert not agreeing.proved and "is false" in agreeing.reason


def test_times_without_a_ridge():
    near(loss_outruns_one_over_t(4, 1, 1, 1, (10, 100)), claimed="0.170050", found="0.0151531")
    near(loss_outruns_one_over_t(4, 1, 1, 1, (10, 50)), claimed="0.170050", found="0.0306256")
    short = loss_outruns_one_over_t(4, 1, 1, 1, (50, 100))
    assert not short.proved and "is false" in short.reason
    with pytest.raises(ValueError, match="increasing"):
        loss_outruns_one_over_t(4, 1, 1, 20, (10, 100))


def test_roundings():
    proof = rounded_gradient_has_a_sum(4, [18], 24)
    near(proof, others1="0.00000004569")
    near(rounded_gradient_has_a_sum(4, [39, 45], 53))
    for margins, digits in (([16], 24), ([18, 17], 24), ([18], 53)):
        assert not rounded_gradient_has_a_sum(4, margins, digits).proved
    almost = refutation("as it is", [Less(Fraction(17, 16) * name("others1"), number(2.0**-24))], [("others1", number(2.0**-24))])
    assert not almost.proved
