"""The checker of proofs: files made by hand are verified, those tampered with are refused, intervals hold what they should."""

import ast
import copy
import json
import os
import pathlib
import random
import subprocess
import sys
import threading
from fractions import Fraction
from functools import cache

import mpmath
import numpy as np
import pytest

from tests.proof_documents import exact, facts, part, problem, profile, sandwich, text
from ufm.proofs import check_facts, check_more, check_proof
from ufm.proofs.check_proof import BITS, Refused, check

FILES = [pathlib.Path(module.__file__) for module in (check_proof, check_more, check_facts)]
I3, M3 = np.eye(3), [5, 3, 2]
RNG = np.random.default_rng(0)
A = text(RNG.normal(size=(3, 4)).round(3))
TEACHER, CENTRE = RNG.normal(size=(3, 3)).round(2), text(RNG.normal(size=(3, 3)).round(2))
SOFT = [[Fraction(3, 4) if i == j else Fraction(1, 8) for j in range(3)] for i in range(3)]
KD = [part(I3, weight="1/2"), part(TEACHER, kind="softmax", weight=2, temperature=2, divergence=True)]
BINARY = [part(TEACHER, "logistic", kind="sigmoid", weight=4, temperature=2, divergence=True)]
NORMED = [part(np.full((3, 3), 0.5), "logistic", weight=4, temperature=2, divergence=True, shift=TEACHER)]
HEADS = [part(np.eye(2)), part(TEACHER[:2, :2], "logistic", kind="sigmoid", first=2, divergence=True)]
LDR = [part(I3, weight="1/2", temperature="1/2", shift=I3 - 1, log_classes="1/2")]

SANDWICHES = {
    f"{atom}, {bias}": (problem(3, [part(I3, atom)], M3, bias=bias), 3)
    for atom in ("mse", "ce", "logistic", "squared hinge") for bias in ("none", "ridge", "free")
} | {
    "weights, scale, smoothing": (problem(3, [part(SOFT)], M3, w=["1", "1/3", "2"], scale="3/2"), 3),
    "a column without weight": (problem(3, [part(I3)], M3, w=["1", "0", "2"]), 3),
    "two classes, wide": (problem(2, [part(np.eye(2))], [4, 1], a=["1", "2"], bias="free"), 3),
    "one column": (problem(2, [part([[1], [0]])], [1], bias="ridge"), 2),
    "fixed": (problem(3, [part(I3)], M3, classifier=A, lW=None, scale="3/2", w=["1", "1/3", "2"]), 4),
    "fixed, nonnegative": (problem(3, [part(I3)], M3, classifier=A, lW=None, features="nonnegative"), 4),
    "fixed, sphere": (problem(3, [part(I3)], M3, classifier=A, lW=None, features="sphere"), 4),
    "nonnegative": (problem(3, [part(I3)], M3, features="nonnegative"), 4),
    "nonnegative, free norm": (problem(3, [part(I3, "mse")], M3, features="nonnegative", lW=text(0.05), bias="free"), 4),
    "sphere": (problem(3, [part(I3)], M3, features="sphere"), 3),
    "distillation": (problem(3, KD, M3), 3),
    "binary distillation": (problem(3, BINARY, M3, bias="ridge"), 3),
    "normed binary distillation": (problem(3, NORMED, M3, bias="free"), 3),
    "two heads": (problem(4, HEADS, [2, 1]), 4),
    "ldr-kl": (problem(3, LDR, M3), 3),
    "proximity": (problem(3, [part(I3)], M3, beta="1/100", H0=CENTRE), 3),
}  # fmt: skip


def deep():
    raw = problem(2, [part(np.eye(2))], [5, 2])
    del raw["lW"], raw["lH"]
    return raw | {"l": [text(0.02)] * 3}


@pytest.fixture(autouse=True)
def units():
    """Every test begins with units of 2^-320; a check sets its own."""
    BITS.set(320)


@cache
def made(name):
    if name == "profile":
        return json.dumps(profile(deep(), 2, [0.02 * 2 ** (i / 2) for i in range(-6, 3)]))
    return json.dumps(sandwich(*SANDWICHES[name]))


def valid(name):
    return json.loads(made(name))


F = ["+", ["log", ["+", "1", ["*", "3", ["exp", ["-", "x"]]]]], ["*", "c", ["sqrt", "x"]]]
SQUARE, KINK = ["+", ["^", ["-", "x", "1/3"], "2"], "1"], ["+", ["abs", ["-", "x", "1"]], "1"]
FACTS = {
    "rational root": facts("root", {}, {"root": {"of": ["-", ["^", "x", "2"], "2"], "between": ["1", "2"]}}),
    "root": facts("root", {"K": "4"}, {"root": {"of": ["-", ["exp", "x"], ["*", "K", "x"]], "between": ["2", "3"]}}),
    "narrow root": facts("root", {}, {"root": {"of": ["-", ["exp", "x"], "2"], "between": ["6931471805/10000000000", "7/10"]}}),
    "half line": facts("refutation", {"c": "1/10"}, {"above": {"of": F, "on": ["1/100", "inf"], "value": "243/1000"}}),
    "minimum": facts("refutation", {}, {"above": {"of": SQUARE, "on": ["-2", "2"], "value": f"{10**9 - 1}/{10**9}"}}),
    "kink": facts("refutation", {}, {"above": {"of": KINK, "on": ["-5", "inf"], "value": "99/100"}}),
    "less": facts("refutation", {"e": ["exp", "1"]}, {"less": ["e", "2718281829/1000000000"]}, {"less": [["-", "e"], "0"]}),
    "equal": facts("identity", {"a": ["/", "1", "3"]}, {"equal": [["+", "a", "a", "a"], ["^", "a", "0"]]}),
    "definite": facts("identity", {"e": ["sqrt", "2"]}, {"positive definite": [["2", "e"], ["e", "3/2"]]}),
}


@pytest.mark.parametrize("name", [*SANDWICHES, "profile"])
def test_files_made_by_hand_are_verified(name):
    said = check(valid(name))
    lower, upper = (float(exact(valid(name)[end])) for end in ("lower", "upper"))
    low, high = float(said.split()[1]), float(said.split()[6].rstrip(","))
    assert low <= lower <= upper <= high and high - low < 1.3 * (upper - lower)
    assert "not read" not in said and f"bias {valid(name)['problem']['bias']}" in said


@pytest.mark.parametrize("name", FACTS)
def test_facts_made_by_hand_are_verified(name):
    said = check(FACTS[name])
    assert said.startswith(FACTS[name]["kind"]) and "not read" not in said


def nudged(by):
    return lambda x: text(exact(x) + Fraction(by))


def times(by):
    return lambda x: text(exact(x) * Fraction(by))


def at(*path, to):
    """A change of one entry, by a value or a function of the old one."""

    def change(document):
        inner = document
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = to(inner[path[-1]]) if callable(to) else to
        return document

    return change


def swapped(document):
    return document | {"lower": document["upper"], "upper": document["lower"]}


def above_upper(document):
    return document | {"lower": nudged("1/1000")(document["upper"]), "upper": nudged("1/100")(document["upper"])}


def below_lower(document):
    return document | {"lower": nudged("-1/100")(document["lower"]), "upper": nudged("-1/1000")(document["lower"])}


@pytest.mark.parametrize("name", SANDWICHES)
def test_both_ends_are_what_floats_say_to_nine_digits(name):
    """Files are made 1e-9 outside of the bound and the value in floats: what is as far inside is refused, and named."""
    for end, by, step in (("lower", 2, "lower is at most"), ("upper", -2, "f at the point")):
        with pytest.raises(Refused, match=step):
            check(at(end, to=nudged(Fraction(by, 10**9)))(valid(name)))


def every(name, to):
    return lambda document: document | {name: [[to(x) for x in row] for row in document[name]]}


P = "problem"
EVERYWHERE = {  # tampering that leaves no file true
    "lower above the value": above_upper,
    "upper below the value": below_lower,
    "lower by more than its slack": at("lower", to=nudged("1/100")),
    "upper by more than its slack": at("upper", to=nudged("-1/100")),
    "the ends swapped": swapped,
    "a digit of N": at(P, "N", to=times("11/10")),
    "a smaller N": at(P, "N", to=times("9/10")),
    "an unknown key": lambda d: d | {"note": "1"},
    "an unknown key of the problem": lambda d: d | {P: d[P] | {"note": "1"}},
    "a key of the problem left out": lambda d: d | {P: {k: v for k, v in d[P].items() if k != "scale"}},
    "no h": lambda d: {k: v for k, v in d.items() if k != "h"},
    "a ragged row of h": at("h", 0, to=lambda row: row[:-1]),
    "one row of h less": at("h", to=lambda rows: rows[:-1]),
    "a number that is no string": at(P, "N", to=7),
    "a float": at("h", 0, 0, to=0.5),
    "nan": at("lower", to="nan"),
    "a decimal point": at("lower", to="0.0"),
    "spaces": at("lower", to=lambda x: f" {x}"),
    "an empty number": at(P, "N", to=""),
    "a giant exponent": at("lower", to="-1*2^100000"),
    "a giant number": at("lower", to="-" + "9" * 5000),
    "a zero denominator": at("lower", to="-1/0"),
    "another kind": at("kind", to="critical point"),
    "a list for a kind": at("kind", to=["sandwich"]),
    "another format": at("format", to="ufm-proof/2"),
    "a class of no samples": at(P, "m", 0, to="0"),
    "a negative class": at(P, "m", 0, to="-1"),
    "a negative weight": at(P, "w", 0, to="-1"),
    "a negative N": at(P, "N", to=times(-1)),
    "no scale": at(P, "scale", to="0"),
    "a temperature of 0": at(P, "parts", 0, "temperature", to="0"),
    "a negative temperature": at(P, "parts", 0, "temperature", to="-1"),
    "a negative part": at(P, "parts", 0, "weight", to="-1"),
    "a part outside of the logits": at(P, "parts", 0, "first", to="7"),
    "half a row": at(P, "parts", 0, "first", to="1/2"),
    "no parts": at(P, "parts", to=[]),
    "an unknown atom": at(P, "parts", 0, "atom", to="hinge"),
    "unknown targets": at(P, "parts", 0, "Y", "kind", to="float"),
    "a divergence of words": at(P, "parts", 0, "divergence", to="true"),
    "an unknown bias": at(P, "bias", to="some"),
    "unknown features": at(P, "features", to="any"),
    "another K": at(P, "K", to=nudged(1)),
    "a negative proximity": at(P, "beta", to="-1"),
    "a proximity to nothing": lambda d: d | {P: d[P] | {"beta": "1", "H0": None}},
    "another weight of the loss": at(P, "parts", 0, "weight", to=times("1001/1000")),
}  # fmt: skip


SEVEN = ("ce, free", "mse, ridge", "logistic, none", "squared hinge, free", "nonnegative", "distillation", "profile")


@pytest.mark.parametrize("name", SEVEN)
@pytest.mark.parametrize("how", EVERYWHERE)
def test_no_file_survives(name, how):
    with pytest.raises(Refused):
        check(EVERYWHERE[how](valid(name)))


def longer(q):
    """y + (1 + 1e-5) (q - y)."""
    return [[text(exact(x) + (exact(x) - (i == j)) / 10**5) for j, x in enumerate(row)] for i, row in enumerate(q)]


ONE = {
    "a column sum": ("ce, none", at("dual", 0, 0, 0, to=nudged(Fraction(1, 10**30)))),
    "a column sum of the hinge": ("squared hinge, none", at("dual", 0, 0, 0, to=nudged(Fraction(1, 10**30)))),
    "a negative probability": ("ce, none", at("dual", 0, 0, to=lambda row: ["-1/10", *row[1:]])),
    "a probability above one": ("logistic, none", at("dual", 0, 0, 0, to="1000001/1000000")),
    "a logistic one below zero": ("logistic, ridge", at("dual", 0, 0, 1, to="-1/10000000")),
    "a sign of the hinge": ("squared hinge, none", at("dual", 0, to=lambda q: [[times(-1)(x) for x in r] for r in q])),
    "balance": ("mse, free", at("dual", 0, 0, 0, to=nudged(Fraction(1, 10**30)))),
    "balance of a larger class": ("mse, free", at(P, "m", 0, to="6")),
    "balance of another intercept": ("ce, free", at(P, "a", 1, to="1000001/1000000")),
    "balance of teachers": ("distillation", lambda d: d | {"b": ["0"] * 3, P: d[P] | {"bias": "free"}}),
    "the norm, by a dual point too long": ("mse, none", at("dual", 0, to=longer)),
    "the norm, by a smaller ridge": ("ce, none", at(P, "lW", to=times("99999/100000"))),
    "the norm, by a smaller ridge of features": ("nonnegative", at(P, "lH", to=times("99999/100000"))),
    "the norm, features taken for free": ("nonnegative", at(P, "features", to="free")),
    "the norm on the sphere": ("sphere", at("norm", to=times("99999/100000"))),
    "no norm on the sphere": ("sphere", at("norm", to=None)),
    "a negative norm": ("sphere", at("norm", to=times(-1))),
    "a norm where none is used": ("ce, none", at("norm", to="1")),
    "features free of the sphere": ("sphere", lambda d: d | {"norm": None, P: d[P] | {"features": "free"}}),
    "a slope's norm": ("profile", at("slopes", 3, "c", to=times("99999/100000"))),
    "a slope's bound": ("profile", at("slopes", 3, "lower", to=nudged("1/1000000"))),
    "a slope of 0": ("profile", at("slopes", 3, "c", to="0")),
    "the mean of the ridges": ("profile", at("c", to=times("100001/100000"))),
    "two ridges": ("profile", at(P, "l", to=lambda x: x[:2])),
    "one layer fewer": ("profile", at("W", to=lambda x: x[:1])),
    "a fixed classifier of a profile": ("profile", at(P, "classifier", to=[["1", "0"], ["0", "1"]])),
    "features of a profile": ("profile", at(P, "features", to="nonnegative")),
    "a loss": ("ce, none", at(P, "parts", 0, "atom", to="logistic")),
    "a loss of squares": ("ce, ridge", at(P, "parts", 0, "atom", to="mse")),
    "a loss of hinges": ("mse, none", at(P, "parts", 0, "atom", to="squared hinge")),
    "squares of softmax": ("distillation", at(P, "parts", 1, "atom", to="mse")),
    "softmax as sigmoid": ("distillation", at(P, "parts", 1, "Y", "kind", to="sigmoid")),
    "the divergence of squares": ("mse, none", at(P, "parts", 0, "divergence", to=True)),
    "no divergence": ("distillation", at(P, "parts", 1, "divergence", to=False)),
    "a teacher": ("distillation", at(P, "parts", 1, "Y", "rows", 0, 0, to=nudged("1/10"))),
    "a temperature": ("distillation", at(P, "parts", 1, "temperature", to="21/10")),
    "a shift": ("normed binary distillation", at(P, "parts", 0, "shift", 0, 0, to=nudged("1/10"))),
    "log K": ("ldr-kl", at(P, "parts", 0, "log_classes", to="51/100")),
    "a part of other rows": ("two heads", at(P, "parts", 1, "first", to="0")),
    "two dual points for one part": ("ce, none", at("dual", to=lambda x: 2 * x)),
    "one dual point for two parts": ("two heads", at("dual", to=lambda x: x[:1])),
    "targets": ("ce, none", at(P, "parts", 0, "Y", "rows", to=text(I3[::-1]))),
    "targets that do not sum to one": ("ce, none", at(P, "parts", 0, "Y", "rows", 0, 0, to="1000001/1000000")),
    "negative targets": ("ce, none", at(P, "parts", 0, "Y", "rows", to=[["1", "0", "0"], ["1", "1", "0"], ["-1", "0", "1"]])),
    "targets above one": ("logistic, none", at(P, "parts", 0, "Y", "rows", 0, 0, to="2")),
    "targets of no one class": ("squared hinge, none", at(P, "parts", 0, "Y", "rows", to=text(SOFT))),
    "a ragged row of targets": ("ce, none", at(P, "parts", 0, "Y", "rows", 0, to=lambda x: x[:2])),
    "an empty shift": ("ce, none", at(P, "parts", 0, "shift", to=[])),
    "the bias left out": ("ce, free", at(P, "bias", to="none")),
    "the bias taken for free": ("ce, ridge", at(P, "bias", to="free")),
    "no bias point": ("ce, free", at("b", to=None)),
    "an empty bias point": ("ce, free", at("b", to=[])),
    "a sign of the bias": ("ce, ridge", at("b", 0, to=times(-1))),
    "a bias of no ridge": ("ce, ridge", at(P, "lb", to="0")),
    "a smaller ridge of the bias": ("mse, ridge", at(P, "lb", to=times("1/2"))),
    "a ridge of 0": ("ce, none", at(P, "lW", to="0")),
    "negative ridges": ("ce, none", lambda d: d | {P: d[P] | {"lW": "-1/200", "lH": "-1/1000"}}),
    "a ridge of W left out": ("ce, none", at(P, "lW", to=None)),
    "a sign of W": ("ce, none", at("W", 0, 0, to=times(-1))),
    "signs of h": ("ce, none", every("h", times(-1))),
    "negative features": ("nonnegative", lambda d: d | {"h": [["-1/1000000000", *d["h"][0][1:]], *d["h"][1:]]}),
    "a zero feature on the sphere": ("sphere", every("h", lambda x: "0")),
    "W beside a fixed classifier": ("fixed", at("W", to=A)),
    "another classifier": ("fixed", at(P, "classifier", 0, 0, to=nudged("1/10"))),
    "a ragged classifier": ("fixed", at(P, "classifier", 0, to=lambda x: x[:3])),
    "a smaller ridge of free features": ("fixed", at(P, "lH", to=times("9/10"))),
    "features that may be negative": ("fixed, nonnegative", at(P, "features", to="free")),
    "features of a fixed sphere": ("fixed, sphere", at(P, "features", to="free")),
    "a centre": ("proximity", at(P, "H0", 0, 0, to=nudged(10))),
    "a centre of another size": ("proximity", at(P, "H0", to=lambda x: x[:2])),
    "a stronger proximity": ("proximity", at(P, "beta", to="1/10")),
    "a weight": ("weights, scale, smoothing", at(P, "w", 0, to="2")),
    "a scale": ("weights, scale, smoothing", at(P, "scale", to="149/100")),
    "a class size": ("ce, none", at(P, "m", 0, to="6")),
    "one class size more": ("ce, none", at(P, "m", to=lambda x: [*x, "1"])),
}  # fmt: skip


@pytest.mark.parametrize("how", ONE)
def test_one_change_is_refused(how):
    name, change = ONE[how]
    with pytest.raises(Refused):
        check(change(valid(name)))


def stretched(document, by):
    """The dual point y + (1 + by)(q - y)."""
    y = exact(document[P]["parts"][0]["Y"]["rows"])
    q = [[text(u + by * (u - v)) for u, v in zip(*rows, strict=True)] for rows in zip(exact(document["dual"][0]), y, strict=True)]
    return document | {"dual": [q]}


@pytest.mark.parametrize("name", ["mse, none", "ce, free", "weights, scale, smoothing", "nonnegative", "nonnegative, free norm"])
def test_the_norm_of_the_dual_point_is_sharp(name):
    """Files are made a part in 10^7 inside of the norm's condition."""
    check(stretched(valid(name), Fraction(1, 10**8)) | {"lower": "-1"})
    with pytest.raises(Refused, match="the norm of the dual point"):
        check(stretched(valid(name), Fraction(1, 10**6)) | {"lower": "-1"})


def test_the_bound_of_a_profile_is_sharp():
    with pytest.raises(Refused, match="lower is at most"):
        check(at("lower", to=times("1001/1000"))(valid("profile")))


@pytest.mark.parametrize("how", [how for how in ONE if how.startswith(("targets ", "negative targets"))])
def test_targets_outside_of_the_domain_are_named(how):
    name, change = ONE[how]
    with pytest.raises(Refused, match="targets of"):
        check(change(valid(name)))


def test_a_proof_may_say_less():
    document = valid("ce, none")
    check(document | {"lower": nudged("-1/7")(document["lower"]), "upper": nudged("1/7")(document["upper"])})
    check(document | {"claim": {"theorem": "any"}, "statement": "1 = 2"})


def fact(name, *path, to):
    return lambda: at("facts", 0, *path, to=to)(copy.deepcopy(FACTS[name]))


SQUARES = [["a0", "e"], *([f"a{i}", ["*", f"a{i - 1}", f"a{i - 1}"]] for i in range(1, 60))]
FALSE_FACTS = {
    "a root elsewhere": fact("root", "root", "between", 0, to="5/2"),
    "no root": fact("root", "root", "of", to=["+", ["exp", "x"], ["*", "K", "x"]]),
    "two roots": fact("root", "root", "between", 0, to="0"),
    "an even number of roots": fact("root", "root", "between", to=["0", "3"]),
    "three roots": fact("root", "root", to={"of": ["-", ["^", "x", "3"], "x"], "between": ["-2", "2"]}),
    "a double root": fact("root", "root", to={"of": ["^", ["-", "x", "1/2"], "2"], "between": ["0", "1"]}),
    "a pole": fact("root", "root", to={"of": ["/", "1", ["-", "x", "1/3"]], "between": ["0", "1"]}),
    "an end turned round": fact("root", "root", "between", to=["3", "2"]),
    "an empty interval": fact("root", "root", "between", to=["2", "2"]),
    "a root without end": fact("root", "root", "between", to=["2", "inf"]),
    "a root of no sign": fact("rational root", "root", to={"of": ["-", "x", "2"], "between": ["1", "2"]}),
    "a root just missed": fact("narrow root", "root", "between", 0, to="6931471806/10000000000"),
    "a sign in the equation": fact("rational root", "root", "of", to=["+", ["^", "x", "2"], "2"]),
    "an odd function of |x|": fact("rational root", "root", to={"of": ["-", ["abs", "x"], "1"], "between": ["-2", "2"]}),
    "a minimum above": fact("half line", "above", "value", to="244/1000"),
    "a minimum that is attained": fact("minimum", "above", "value", to="1"),
    "a larger interval": fact("half line", "above", "on", 0, to="-1"),
    "a limit": fact("half line", "above", to={"of": ["exp", ["-", "x"]], "on": ["0", "inf"], "value": "0"}),
    "down without end": fact("half line", "above", to={"of": ["-", "1", "x"], "on": ["0", "inf"], "value": "0"}),
    "growth and decay": fact("half line", "above", to={"of": ["-", ["sqrt", "x"], "x"], "on": ["1", "inf"], "value": "-1000"}),
    "a kink": fact("kink", "above", "value", to="1"),
    "less, swapped": fact("less", "less", to=["2718281829/1000000000", "e"]),
    "less, a digit": fact("less", "less", 1, to="2718281828/1000000000"),
    "less than itself": fact("less", "less", to=["1/3", "1/3"]),
    "less, three": fact("less", "less", to=["1", "2", "3"]),
    "less in a tie of logarithms": fact("less", "less", to=[["log", "4"], ["*", "2", ["log", "2"]]]),
    "equal by a hair": fact("equal", "equal", 1, to=f"{10**300 + 1}/{10**300}"),
    "equal and irrational": fact("equal", "equal", to=[["sqrt", "2"], ["sqrt", "2"]]),
    "an indefinite matrix": fact("definite", "positive definite", to=[["2", "e"], ["e", "99/100"]]),
    "a singular matrix": fact("definite", "positive definite", to=[["1", "1"], ["1", "1"]]),
    "an asymmetric matrix": fact("definite", "positive definite", to=[["2", "e"], ["0", "3/2"]]),
    "a matrix that is not square": fact("definite", "positive definite", to=[["2", "e"]]),
    "an empty matrix": fact("definite", "positive definite", to=[]),
    "log of 0": fact("less", "less", 0, to=["log", "0"]),
    "log of a negative number": fact("less", "less", 0, to=["log", "-1"]),
    "sqrt of a negative number": fact("less", "less", to=[["sqrt", "-1"], "5"]),
    "division by 0": fact("less", "less", 0, to=["/", "1", ["-", "1", "1"]]),
    "a power of 0": fact("less", "less", 0, to=["^", "0", "-1"]),
    "half a power": fact("less", "less", 0, to=["^", "2", "1/2"]),
    "a giant product": lambda: FACTS["less"] | {"where": [["e", ["exp", "1"]], *SQUARES], "facts": [{"less": ["0", "a59"]}]},
    "a giant power": fact("less", "less", 0, to=["-", ["^", ["^", "10", "1000"], "1000"]]),
    "a giant exp": fact("less", "less", to=["0", ["exp", ["exp", "100"]]]),
    "an unknown operation": fact("less", "less", 0, to=["sin", "1"]),
    "an operation of too many": fact("less", "less", 0, to=["/", "1", "2", "3"]),
    "an operation of none": fact("less", "less", 0, to=["+"]),
    "an empty expression": fact("less", "less", 0, to=[]),
    "x outside of a function": fact("less", "less", 0, to="x"),
    "an unknown name": fact("less", "less", 0, to="f"),
    "a number that is no string": fact("less", "less", 0, to=2),
    "an unknown fact": fact("less", to={"x": ["1", "2"]}),
    "an object for a list": fact("less", "less", to={"0": "1", "1": "2"}),
    "a word for a list": fact("less", "less", to="12"),
    "another kind": lambda: FACTS["less"] | {"kind": "critical point"},
    "no facts": lambda: FACTS["less"] | {"facts": []},
    "a name twice": lambda: FACTS["less"] | {"where": [["e", "1"], ["e", "2"]]},
    "x as a name": lambda: FACTS["less"] | {"where": [["x", "1"], ["e", "1"]]},
    "inf as a name": lambda: FACTS["less"] | {"where": [["inf", "1"], ["e", "1"]]},
    "a number as a name": lambda: FACTS["less"] | {"where": [["2718281829", "1"], ["e", "1"]]},
    "a name before it is given": lambda: FACTS["less"] | {"where": [["e", "g"], ["g", "1"]]},
    "another value in where": lambda: FACTS["less"] | {"where": [["e", ["exp", "2"]]]},
}  # fmt: skip


@pytest.mark.parametrize("how", FALSE_FACTS)
def test_false_facts_are_refused(how):
    with pytest.raises(Refused):
        check(FALSE_FACTS[how]())


@pytest.mark.parametrize("key", ["m", "a", "w"])
def test_true_is_no_number(key):
    document = json.loads(made("ce, free"))
    document["problem"][key][0] = True
    with pytest.raises(Refused, match="numbers as strings"):
        check(document)


def test_enough_is_tampered_with():
    assert len(EVERYWHERE) + len(ONE) + len(FALSE_FACTS) > 150


@pytest.mark.parametrize("bits", [64, 320, 1100])
def test_intervals_hold_exp_log_and_sqrt(bits):
    rng = random.Random(bits)
    BITS.set(bits)
    with mpmath.workprec(3 * bits + 300):
        one = mpmath.mpf(2) ** bits
        for case in range(25):
            near = 1 + Fraction(rng.randint(-(10**6), 10**6), 10 ** rng.randint(7, 60))
            wild = Fraction(rng.randint(1, 10**12), rng.randint(1, 10**12)) * Fraction(2) ** rng.randint(-bits // 2, bits // 2)
            small = Fraction(rng.randint(-(10**9), 10**9), 10 ** rng.randint(6, 40))
            for function, x in (("exp", near), ("exp", small), ("exp", -wild), ("log", near), ("log", wild), ("sqrt", wild)):
                if function == "exp" and x > 1000:
                    continue
                found = getattr(check_more, function)(x)
                true = getattr(mpmath, function)(mpmath.mpf(x.numerator) / x.denominator) * one
                assert found.lo <= true <= found.hi, (function, x)
                blur = 1 + abs(true) / one + (1 / x if function != "exp" else 0)
                assert found.hi - found.lo <= 16 * (1 + (1 + abs(x)) * blur), (function, x, case)


TREES = {
    "sums and products": (["*", ["+", "x", "1"], ["-", "x", "3"], ["-", "x"]], lambda x: (x + 1) * (x - 3) * -x),
    "quotients": (["/", ["+", "x", "2"], ["+", ["^", "x", "2"], "1"]], lambda x: (x + 2) / (x**2 + 1)),
    "exp of log": (["exp", ["*", "2", ["log", ["+", "x", "5"]]]], lambda x: mpmath.exp(2 * mpmath.log(x + 5))),
    "roots": (["sqrt", ["+", ["^", "x", "4"], "x", "7"]], lambda x: mpmath.sqrt(x**4 + x + 7)),
    "powers": (["-", ["^", ["+", "x", "9"], "-3"], ["^", "x", "5"]], lambda x: (x + 9) ** -3 - x**5),
    "absolute values": (["abs", ["-", ["^", "x", "3"], "8"]], lambda x: abs(x**3 - 8)),
}


@pytest.mark.parametrize("name", TREES)
def test_derivatives_are_what_differences_say(name):
    tree, function = check_proof.exact(TREES[name][0]), TREES[name][1]
    for x in (Fraction(1, 3), Fraction(-7, 5), Fraction(5, 2)):
        value, slope = (check_more.enclose(y) for y in check_facts.evaluate(tree, {"x": (check_more.enclose(x), Fraction(1))}))
        with mpmath.workprec(600):
            point, one = mpmath.mpf(x.numerator) / x.denominator, mpmath.mpf(2) ** 320
            assert value.lo <= function(point) * one <= value.hi < value.lo + 2**20
            true = mpmath.diff(function, point) * one
            assert slope.lo - 2**160 < true < slope.hi + 2**160 and slope.hi < slope.lo + 2**20


def test_operations_hold_every_product_quotient_and_power():
    rng = random.Random(1)
    for _ in range(300):
        (a, b), (c, d) = (sorted(Fraction(rng.randint(-50, 50), rng.randint(1, 9)) for _ in "ab") for _ in "ab")
        x, y = (check_more.Interval(check_more.enclose(u).lo, check_more.enclose(v).hi) for u, v in ((a, b), (c, d)))
        for u in (a, (a + b) / 2, b):
            for v in (c, (c + 2 * d) / 3, d):
                pairs = [(x + y, u + v), (x - y, u - v), (x * y, u * v), (abs(x), abs(u)), (v - x, v - u), (v * x, v * u), (-x, -u)]
                pairs += [(x / y, u / v), (u / y, u / v)] if c > 0 or d < 0 else []
                pairs += [(check_facts.power(x, n), u**n) for n in (0, 2, 3)]
                for interval, value in pairs:
                    inside = check_more.enclose(interval)
                    assert inside.lo <= value * 2**320 <= inside.hi


def test_matrix_products_are_exact_and_definiteness_is_decided():
    rng = random.Random(2)
    rows = [[Fraction(rng.randint(-99, 99), rng.randint(1, 99)) for _ in range(5)] for _ in range(4)]
    gram = check_proof.products(rows, rows)
    assert gram == [[sum(a * b for a, b in zip(u, v, strict=True)) for v in rows] for u in rows]
    with pytest.raises(ValueError):
        check_proof.products(rows, [row[:4] for row in rows])
    assert check_proof.positive_definite(gram)
    assert not check_proof.positive_definite(check_proof.products([*rows, rows[0]], [*rows, rows[0]]))
    least = min(np.linalg.eigvalsh(np.array(gram, dtype=float)))
    for factor, definite in ((0.999, True), (1.001, False)):
        moved = [[x - Fraction(factor * least) * (i == j) for j, x in enumerate(row)] for i, row in enumerate(gram)]
        assert check_proof.positive_definite(moved) == definite
        wide = [[check_more.enclose(x) + check_more.Interval(-(1 << 280), 1 << 280) for x in row] for row in moved]
        assert check_proof.positive_definite(wide) == definite
    assert not check_proof.positive_definite([[check_more.Interval(-1, 1 << 400)]])
    tie = [[Fraction(1), Fraction(1, 3)], [Fraction(1, 3), Fraction(1, 9)]]
    assert not check_proof.positive_definite(tie)


def test_intervals_that_hold_a_singular_matrix_are_not_definite():
    for blur in (Fraction(1, 50), Fraction(1, 2000)):
        rows = [[Fraction(2), Fraction(1)], [Fraction(1), Fraction(1, 2) + Fraction(1, 1000)]]
        by = check_more.Interval(-int(blur * 2**320), int(blur * 2**320))
        wide = [[check_more.enclose(x) + by for x in row] for row in rows]
        assert not check_proof.positive_definite(wide)  # 2 by 1, 1 by 1/2 is inside


def test_entropies_are_below_what_they_bound():
    assert check_proof.entropy([Fraction(0), Fraction(1)]) == 0
    for q in (Fraction(1, 3), Fraction(1, 2**330), Fraction(1, 2**321), Fraction(3, 2**322), 1 - Fraction(1, 2**330)):
        with mpmath.workprec(2000):
            p, low = mpmath.mpf(q.numerator) / q.denominator, check_proof.entropy([q])
            assert mpmath.mpf(low.numerator) / low.denominator <= -p * mpmath.log(p)
    assert check_proof.entropy([Fraction(1, 2)] * 2) > Fraction("0.693147180559945309417232121458176568075500134360255254")


def test_repeated_keys_and_numbers_of_json_are_refused(tmp_path):
    file, whole = tmp_path / "proof.json", made("ce, none")
    lower = json.dumps(valid("ce, none")["lower"])
    for bad in (
        whole.replace('"kind": "sandwich"', '"kind": "sandwich", "kind": "sandwich"'),
        whole.replace('"K": "3"', '"K": "3", "K": "3"'), whole.replace('"K": "3"', '"K": 3'), whole.replace(lower, "0"),
        whole.replace(lower, "NaN"), whole.replace(lower, "-Infinity"), whole.replace(lower, "1e-3"), whole[:-1], "", "[]",
        "[" * 9000,
    ):  # fmt: skip
        assert bad != whole
        file.write_text(bad)
        with pytest.raises(Refused):
            check(file)
    with pytest.raises(Refused):
        check(tmp_path / "nothing.json")


def command(script, *files):
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    line = [sys.executable, "-S", str(script), *map(str, files)]
    return subprocess.run(line, capture_output=True, text=True, env=environment, cwd=files[0].parent if files else None)


def test_one_file_alone_checks_a_sandwich_and_names_what_it_needs_for_others(tmp_path):
    script = tmp_path / "elsewhere" / "check_proof.py"
    script.parent.mkdir()
    script.write_text(FILES[0].read_text())
    more = "checked by check_more.py"
    for name, words in (("ce, free", ": verified: "), ("sphere", more), ("profile", more)):
        file = tmp_path / "proof.json"
        file.write_text(made(name))
        run = command(script, file)
        assert words in run.stdout + run.stderr and run.returncode == (words != ": verified: "), run.stderr
    file.write_text(json.dumps(FACTS["root"]))
    assert "checked by check_facts.py" in command(script, file).stderr


def test_files_beside_each_other_check_all(tmp_path):
    names = ("ce, free", "sphere", "profile")
    files = [tmp_path / f"{i}.json" for i in range(len(names) + 2)]
    others = (json.dumps(FACTS["half line"]), json.dumps(swapped(valid("sphere"))))
    for file, whole in zip(files, [*map(made, names), *others], strict=True):
        file.write_text(whole)
    run = command(FILES[0], *files)
    assert run.returncode == 1 and run.stdout.count(": verified: ") == 4, run.stderr
    assert run.stderr.startswith(f"{files[-1]}: REFUSED, this fails: ")
    assert command(FILES[0]).returncode == 1 and command(FILES[0], *files[:-1]).returncode == 0


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_files_are_short_and_import_the_standard_library_alone(file):
    lines = file.read_text().splitlines()
    assert len(lines) <= 150 and max(map(len, lines)) <= 132
    beside = {"check_proof": [], "check_more": [None, "check_proof"], "check_facts": [None, "check_proof", "check_more"]}[file.stem]
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom):
            names = [node.module]
        else:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        assert all(name in beside or name.split(".")[0] in sys.stdlib_module_names for name in names), names


def test_threads_do_not_share_their_precision():
    results, document = [], valid("ce, none")
    fine = document | {"lower": text(exact(document["lower"]) - Fraction(1, 2**700))}

    def work(x):
        results.extend(check(x)[:9] for _ in range(5))

    threads = [threading.Thread(target=work, args=(x,)) for x in (document, fine)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == ["sandwich:"] * 10
