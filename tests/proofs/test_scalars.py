"""Roots and least values, enclosed: the dossier's decimals, ties decided exactly, and roots that do not exist."""

from fractions import Fraction
from math import inf

import mpmath
import pytest

from ufm.proofs import equations
from ufm.proofs.check_proof import check
from ufm.proofs.exact import rational
from ufm.proofs.expressions import exp, log, number, x
from ufm.proofs.scalars import closed, least, root

BRANCH = "0.0089198160609427829943438027783285379402088223126812166533219701"
MODES = {
    (4, 2): "0.0110771011634273444017868154680696975744",
    (4, 3): "0.0082470484280697022026136239203477278472",
}


def holds(proof, decimal, digits):
    """Whether an enclosure is as narrow as `digits` and meets the decimal, whose last digit is rounded down."""
    assert proof.proved, proof.reason
    check(proof.document)
    value, unit = Fraction(decimal), Fraction(1, 10 ** (len(decimal) - 2))
    assert proof.lower <= value + unit and proof.upper >= value - unit
    assert proof.digits >= digits
    return True


def test_the_simplex_branch_to_sixty_digits():
    assert holds(equations.simplex_branch(10, 5, [1e-4] * 4, digits=60), BRANCH, 60)


def test_the_simplex_branch_is_that_of_mpmath():
    with mpmath.workdps(50):
        K, n, L, l2 = 5, 7, 3, mpmath.mpf(0.001)
        s = (n * l2**L) ** (mpmath.mpf(1) / L)
        a = mpmath.findroot(lambda a: a ** (mpmath.mpf(L - 2) / L) - s * (mpmath.exp(a) + K - 1), 6)
        reference = mpmath.log(1 + (K - 1) * mpmath.exp(-a)) + mpmath.mpf(L) / 2 * s * (K - 1) * a ** (mpmath.mpf(2) / L)
        assert holds(equations.simplex_branch(K, n, [0.001] * L, digits=30), mpmath.nstr(reference, 32, min_fixed=-9), 30)


def test_no_root_above_the_peak():
    proof = equations.simplex_branch(10, 5, [0.1] * 4)
    assert not proof.proved and "there is no root" in proof.reason and "below 0" in proof.reason


def test_the_least_value_along_simplices():
    found, branch = equations.simplex_ray(10, 5, [1e-4] * 4, digits=30), equations.simplex_branch(10, 5, [1e-4] * 4, digits=30)
    assert found.proved and found.lower <= branch.upper and branch.lower <= found.upper
    dead = equations.simplex_ray(2, 5, [0.2] * 3, digits=20)
    assert holds(dead, "0.6931471805599453094172", 20)


@pytest.mark.parametrize("depth", [2, 3])
def test_deep_squared_error_is_the_sum_of_its_modes(depth):
    sizes = [round(5000 * 0.01 ** (k / 3)) for k in range(4)]
    proof = equations.squared_error_modes(sizes, sum(sizes), [2e-4] * (depth + 1), digits=38)
    assert holds(proof, MODES[4, depth], 38)


def test_a_thousand_modes():
    sizes = [round(5000 * 0.01 ** (k / 999)) for k in range(1000)]
    alive = sum(equations.mode_is_alive(size, sum(sizes), [1e-5] * 3) for size in sizes)
    proof = equations.squared_error_modes(sizes, sum(sizes), [1e-5] * 3, digits=20)
    assert alive == 774
    assert proof.lower <= Fraction("0.1203722435941852093247332620470166541") <= proof.upper and proof.digits >= 20


def test_modes_that_do_not_fit_are_worth_what_they_are_at_zero():
    ridges, sizes = [1e-4] * 3, (40, 20, 10)
    whole = equations.squared_error_modes(sizes, 70, ridges)
    cut = equations.squared_error_modes(sizes, 70, ridges, rank=2)
    lone = equations.squared_error_modes(sizes[:2], 70, ridges)
    assert whole.upper < cut.lower
    assert abs(cut.lower - lone.lower - Fraction(10, 140)) < Fraction(1, 10**12)


@pytest.mark.parametrize(("K", "M", "n"), [(4, 2, 100), (10, 3, 7), (3, 5, 11)])
def test_floats_round_a_tie_are_decided_exactly(K, M, n):
    tie = (equations.mode_tie(M) / (rational(K) ** (M + 1) * n)).p, (equations.mode_tie(M) / (rational(K) ** (M + 1) * n)).q
    with mpmath.workdps(60):
        exact = (mpmath.mpf(int(tie[0])) / int(tie[1])) ** (mpmath.mpf(1) / (M + 1))
        near = float(exact)
        for l2 in (near, mpmath.mpf(near) * (1 - 2**-52), mpmath.mpf(near) * (1 + 2**-52)):
            l2 = float(l2)
            alive = equations.mode_is_alive(n, K * n, [l2] * (M + 1))
            assert alive == (mpmath.mpf(l2) < exact)
            proof = equations.squared_error_balanced(K, n, [l2] * (M + 1), digits=12)
            assert proof.proved, proof.reason
            assert (proof.lower == Fraction(1, 2)) == (not alive)


def test_the_nearest_tie_is_dead():
    l2, sizes = 0.021374699333458713, {(2, 4, 100), (3, 10, 7), (5, 3, 11)}
    above = {(M, K, n): equations.mode_power(n, K * n, [l2] * (M + 1)) / equations.mode_tie(M) - 1 for M, K, n in sizes}
    M, K, n = min(above, key=lambda case: abs(above[case]))
    assert 0 < above[M, K, n] < rational(1) / 10**15
    assert not equations.mode_is_alive(n, K * n, [l2] * (M + 1))
    assert equations.squared_error_balanced(K, n, [l2] * (M + 1)).lower == Fraction(1, 2)


def test_between_tie_and_spinodal_the_root_is_there_and_zero_is_lower():
    power = equations.mode_power(100, 400, [0.027] * 4)
    assert equations.mode_tie(3) < power < equations.mode_spinodal(3)
    t = root(log(1 - x) + log(x) / 2 - log(number(power)) / 4, "0.34", "0.99", digits=12)  # beyond the spinodal's t = 1/3
    assert holds(t, "0.531572269577", 12)
    worth = (1 - x) * (1 + 3 * x) / 2
    value = root(log(1 - x) + log(x) / 2 - log(number(power)) / 4, "0.34", "0.99", digits=16, value=worth)
    assert holds(value, "0.6077186529020661", 15)
    assert equations.squared_error_balanced(4, 100, [0.027] * 4).upper == Fraction(1, 2)


def test_a_ridge_on_the_bias_lies_between_none_and_a_free_bias():
    ends = [equations.squared_error_balanced(4, 100, [0.001] * 2, bias=bias, l2_b=b) for bias, b in
            (("free", None), ("ridge", "0.1"), ("ridge", 100), ("none", None))]  # fmt: skip
    assert all(a.upper < b.lower for a, b in zip(ends[:-1], ends[1:], strict=True))


def test_one_layer_of_cross_entropy():
    K, n, l2 = 10, 1, 1e-12
    with mpmath.workdps(60):
        k = mpmath.sqrt(n) * mpmath.mpf(l2)
        reference = -(1 - (K - 1) * k) * mpmath.log1p(-(K - 1) * k) - (K - 1) * k * mpmath.log(k)
        assert holds(equations.one_layer_cross_entropy(K, n, l2, l2, digits=30), mpmath.nstr(reference, 34, min_fixed=-20), 30)
    assert holds(equations.one_layer_cross_entropy(4, 1, Fraction(1, 4), Fraction(1, 4), digits=20), "1.3862943611198906188344", 20)


def test_the_tie_of_simplex_and_zero():
    tie = equations.simplex_tie(4, 2, digits=12)
    assert holds(tie, "0.148275653671", 12)
    for ratio, dead in ((Fraction(999, 1000), False), (Fraction(1001, 1000), True)):
        value = equations.simplex_ray(4, 1, [tie.lower * ratio] * 3, digits=15)
        assert (value.upper >= Fraction("1.38629436111989061")) == dead


def test_a_root_is_unique_on_a_half_line():
    assert holds(root(log(x) - 2, 1, inf, digits=30), "7.3890560989306502272304274605750", 30)
    several = root((x - 1) * (x - 2) * (x - 3), 0, 4, digits=10)
    assert not several.proved and "only one" in several.reason
    assert "no root" in root(x**2 + 1, -3, 3).reason
    assert "not decided" in root(x - 1, 1, 3).reason


def test_a_least_value_at_an_end_and_inside():
    assert holds(least(x**2 - 2 * x + 3, 0, 5, digits=20), "2.0000000000000000000", 20)
    assert holds(least(x + exp(-x), 1, inf, digits=20), "1.3678794411714423215955", 20)
    assert not least(-x, 0, inf).proved
    assert not least(log(x), 0, 1).proved


def test_a_closed_form_is_enclosed():
    assert holds(closed(exp(1), digits=25), "2.71828182845904523536028747", 25)
    assert not closed(log(number(-1))).proved
