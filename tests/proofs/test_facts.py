"""Expressions, facts, and the proofs that lists of facts are: exact numbers, both directions, and what is not proved."""

from fractions import Fraction
from math import inf

import mpmath
import pytest
from flint import arb, fmpq

from ufm.proofs.check_proof import check
from ufm.proofs.exact import ball, precision
from ufm.proofs.expressions import exp, log, name, number, of_tree, power, sqrt, total, x
from ufm.proofs.facts import Above, Equal, Less, PositiveDefinite, Root, established, identity, order, refutation
from ufm.proofs.rays import Ray, ray_of

FUNCTION = log(1 + 9 * exp(-x)) / (2 + x**3) - sqrt(1 + x) * Fraction(1, 3) + x / 7


def value(expression, at):
    with precision(200):
        return expression.evaluate({}, ball(at))


def test_expressions_are_the_functions_that_python_writes():
    with mpmath.workdps(50):
        t = mpmath.mpf("1.5")
        reference = mpmath.log(1 + 9 * mpmath.exp(-t)) / (2 + t**3) - mpmath.sqrt(1 + t) / 3 + t / 7
        assert abs(mpmath.mpf(value(FUNCTION, "1.5").str(45, radius=False)) - reference) < mpmath.mpf(10) ** -40


def test_slopes_are_derivatives():
    with mpmath.workdps(50):

        def of(t):
            return mpmath.log(1 + 9 * mpmath.exp(-t)) / (2 + t**3) - mpmath.sqrt(1 + t) / 3 + t / 7

        for order_, slope in ((1, FUNCTION.slope()), (2, FUNCTION.slope().slope())):
            found = mpmath.mpf(value(slope, "1.5").str(40, radius=False))
            assert abs(found - mpmath.diff(of, mpmath.mpf("1.5"), order_)) < mpmath.mpf(10) ** -20


def test_a_tree_is_the_expression_again():
    again = of_tree(FUNCTION.tree())
    assert again.tree() == FUNCTION.tree()
    assert value(again, 2).str(50) == value(FUNCTION, 2).str(50)


def test_numbers_are_exact():
    assert number(0.1).exact({}) == fmpq(0.1.as_integer_ratio()[0], 0.1.as_integer_ratio()[1])
    assert number("0.1").exact({}) == fmpq(1, 10)
    assert ((1 - number("1/3")) ** 3 * 27 / 8).exact({}) == 1
    assert (name("t") * 2).exact({"t": fmpq(1, 4)}) == fmpq(1, 2)
    assert (name("t") * 2).exact({}) is None and exp(0).exact({}) is None
    assert total([1, x, 2, -3]).tree() == "x"


@pytest.mark.parametrize("label", ["x", "inf", "exp", "2a", "a b", ""])
def test_a_name_that_could_be_something_else_is_refused(label):
    with pytest.raises(ValueError, match="label"):
        name(label)


def test_unknown_names_and_operations_are_refused():
    with pytest.raises(ValueError, match="known names"):
        value(name("s") + x, 1)
    with pytest.raises(ValueError, match="operation"):
        of_tree(["sin", "x"])


def test_rays_hold_every_value_beyond_their_end():
    with precision(100):
        ray, ends = Ray(arb(2), inf), {}
        for of in (exp(-x) + x**2, log(x) * x, 1 / (1 + x), sqrt(x) - 3, exp(-x) * x**3, -(x**3), abs_of(x - 5)):
            image = of.evaluate(ends, ray, lambda q: ray_of(ball(q)))
            for at in (2, 3, 17, 400):
                found = of.evaluate(ends, ball(at))
                assert image.low <= found.upper() and image.high >= found.lower()
        assert (1 / (1 + x)).evaluate(ends, ray, lambda q: ray_of(ball(q))).low == 0


def abs_of(e):
    return of_tree(["abs", e.tree()])


TRUE = [
    Less(number(1), exp(number("0.1"))),
    Equal((number("1/3") + number("1/6")) * 2, number(1)),
    Root(x**2 - 2, (1, 2)),
    Above(x**2 - 2 * x, (0, 3), number("-1.0001")),
    Above(x + exp(-x), (0, inf), number("0.999")),
    Above(log(x) - 1, (3, inf), number(0)),
    PositiveDefinite(((number(2), number(-1)), (number(-1), number("0.51")))),
]
FALSE = [
    Less(exp(number("0.1")), number(1)),
    Less(number("1.5"), number("1.5")),
    Equal(number("0.1"), number(0.1)),
    Root(x**2 - 2, (2, 3)),
    Root(x**2 - 2, (-1, 2)),
    Above(x**2 - 2 * x, (0, 3), number("-0.9999")),
    Above(x + exp(-x), (0, inf), number("1.001")),
    PositiveDefinite(((number(2), number(-1)), (number(-1), number("0.5")))),
    PositiveDefinite(((number(2), number(-1)), (number("-0.9"), number("0.51")))),
]


@pytest.mark.parametrize("fact", TRUE, ids=lambda fact: type(fact).__name__)
def test_a_true_fact_is_proved_and_checked(fact):
    proof = established("root", "a fact", [fact])
    assert proof.proved, proof.reason
    check(proof.document)


@pytest.mark.parametrize("fact", FALSE, ids=lambda fact: type(fact).__name__)
def test_a_false_fact_is_not_proved_and_says_why(fact):
    proof = established("root", "the statement", [TRUE[0], fact])
    assert not proof.proved and proof.reason.startswith("the statement: ") and len(proof.reason) > 25
    if not isinstance(fact, Above | Root):  # those the checker bisects until it gives up
        document = established("root", "a fact", [TRUE[0]]).document
        with pytest.raises(ValueError):
            check(document | {"facts": [fact.tree()]})


def test_what_is_not_decided_says_so():
    third = exp(log(number("1/3")))
    assert "not decided" in established("root", "one third", [Less(third, number("1/3"))]).reason
    assert "not rational" in established("identity", "one third", [Equal(third, number("1/3"))]).reason
    assert order(third, number("1/3")) is None


def test_order_is_exact_where_both_are_rational():
    assert isinstance(order(number("0.1"), number(0.1)), Less)
    assert order(number("0.3"), number("3/10")).tree() == {"equal": ["3/10", "3/10"]}
    assert order(exp(1), number("2.718")).tree()["less"][0] == "1359/500"


def test_names_build_on_earlier_names():
    where = [("a", number("1/2")), ("b", exp(name("a"))), ("c", name("a") ** 2)]
    assert established("root", "names", [Less(name("b"), number("1.65")), Equal(name("c"), number("1/4"))], where).proved
    with pytest.raises(ValueError, match="once"):
        established("root", "names", [TRUE[0]], [("a", number(1)), ("a", number(2))])


def test_a_refutation_of_the_largest_root_in_fractions():
    t, M = name("t"), 2  # t = 49/100 is the largest root for its own beta, and zero is lower
    worth = (1 - t) * (1 + M * t) / 2
    proof = refutation("zero is lower than the largest root", [Less(number("1/2"), worth)], [("t", number("49/100"))])
    assert proof.proved and proof.kind == "refutation"
    assert identity("its value", [(worth, number("5049/10000"))], [("t", number("49/100"))]).proved
    assert not identity("its value", [(worth, number("5050/10000"))], [("t", number("49/100"))]).proved
    check(proof.document)


def test_powers_of_positive_numbers():
    with precision(200):
        assert power(number(2), Fraction(1, 3)).evaluate({}).overlaps(arb(2).root(3))
