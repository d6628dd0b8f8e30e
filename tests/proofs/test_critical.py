"""Critical points proved in balls: values to 30 digits, signs of curvature on both sides of thresholds, and what is not proved."""

import json
import re
from fractions import Fraction

import numpy as np
import pytest
from numpy_problem import numpy_problem
from scipy.optimize import brentq, minimize

from tests.golden_minima import BIASES, MINIMA, of_four
from ufm import Params, Problem
from ufm import losses as losses_of_ufm
from ufm.proofs.critical_points import critical
from ufm.proofs.curvature import objective_of
from ufm.proofs.exact import precision
from ufm.proofs.symmetries import symmetries

flint = pytest.importorskip("flint")


def losses(name, z, y):
    """(losses, gradients) of the columns, in NumPy."""
    top = np.argmax(y, axis=0)[None]
    if name == "mse":
        return 0.5 * np.sum((z - y) ** 2, axis=0), z - y
    if name == "ce":
        u = z - np.max(z, axis=0)
        total = np.sum(np.exp(u), axis=0)
        return np.log(total) - np.sum(u * y, axis=0), np.exp(u) / total - y
    if name == "logistic":
        return np.sum(np.logaddexp(0, z) - y * z, axis=0), 1 / (1 + np.exp(-z)) - y
    v = np.maximum(0, 1 + z - np.take_along_axis(z, top, 0))
    np.put_along_axis(v, top, 0, 0)
    value = 0.5 * np.sum(v**2, axis=0)
    np.put_along_axis(v, top, -np.sum(v, axis=0, keepdims=True), 0)
    return value, v


def descend(problem, starts=1):
    """Params at the lowest end of BFGS in NumPy from random starts."""
    p = numpy_problem(problem)
    C, shapes = len(p.multiplicity), [(p.widths[0], len(p.multiplicity))]
    shapes += list(zip((*p.widths[1:], len(p.targets)), p.widths, strict=True)) + [(len(p.targets), 1)]
    sizes = np.cumsum([np.prod(s) for s in shapes])
    ridges = [p.l2_H, *p.l2_W, p.l2_b]

    def split(x):
        return [part.reshape(s) for part, s in zip(np.split(x, sizes[:-1]), shapes, strict=True)]

    def value_and_gradient(x):
        *factors, b = split(x)
        right = [p.scale * np.eye(C) / np.sqrt(p.multiplicity)]
        for A in factors:
            right.append(A @ right[-1])
        shares = p.weight * p.multiplicity / p.samples
        value, G = losses(p.loss.name, right[-1] + (p.bias != "none") * b * p.intercept, p.targets)
        G = G * shares
        gradients, left = [(p.bias != "none") * G @ p.intercept[:, None] + p.l2_b * b], np.eye(len(p.targets))
        for A, R, l2 in zip(factors[::-1], right[-2::-1], ridges[-2::-1], strict=True):
            gradients.append(left.T @ G @ R.T + l2 * A)
            left = left @ A
        f = value @ shares + sum(0.5 * l2 * np.sum(A**2) for l2, A in zip(ridges, split(x), strict=True))
        return f, np.concatenate([g.ravel() for g in gradients[::-1]])

    randoms = 1.5 * np.random.default_rng(0).standard_normal((starts, sizes[-1]))
    ends = [minimize(value_and_gradient, start, jac=True, method="BFGS", options={"gtol": 1e-8}) for start in randoms]
    H, *weights, b = split(min(ends, key=lambda end: end.fun).x)
    return Params(tuple(weights), H, None if p.bias == "none" else b[:, 0])


def inertia(proof):
    return tuple(int(n) for n in proof.document["inertia"])


def encloses(proof, decimals):
    """Whether the ends agree with a decimal to all of its digits, each to the last of them."""
    unit = Fraction(1, 10 ** len(decimals.partition(".")[2]))
    return all(abs(end - Fraction(decimals)) <= unit for end in (proof.lower, proof.upper))


def simplex(K, M, ratio):
    """The simplex branch at a multiple of its stability threshold: problem, params, margin."""
    p = (M - 1) / (M + 1)
    strength = lambda a: a**p / (np.exp(a) + K - 1)  # noqa: E731
    c, stable = ratio * strength(K * p), K * p
    a = brentq(lambda a: strength(a) - c, stable * (0.8 if ratio > 1 else 1), stable * (1 if ratio > 1 else 1.2), xtol=1e-14)
    factor = a ** (1 / (M + 1)) * (np.eye(K) - 1 / K)
    return Problem.balanced(K, 1, (K,) * M, loss="ce", l2_W=c, l2_H=c), Params((factor,) * M, factor, None), a


@pytest.mark.parametrize("ratio", (0.99, 1.01))
@pytest.mark.parametrize(("K", "M"), ((4, 2), (5, 3), (6, 2), (8, 2)))
def test_the_simplex_is_a_strict_minimum_below_its_threshold_and_a_saddle_of_known_index_above(K, M, ratio):
    problem, params, a = simplex(K, M, ratio)
    proof = critical(problem, params)
    negative = K * (K - 3) // 2 if ratio > 1 else 0
    zero = M * K * (K - 1) // 2
    assert inertia(proof) == ((M + 1) * K**2 - zero - negative, zero, negative)
    assert ("strict local minimum modulo" in proof.statement) == (ratio < 1)
    assert (f"strict saddle with {negative} negative" in proof.statement) == (ratio > 1)
    with precision(200):
        c, a = flint.arb(problem.l2_H.item()), flint.arb(a)
        for _ in range(8):  # Newton's method for p log a = log c + log(e^a + K - 1)
            p = flint.arb(M - 1) / (M + 1)
            g, slope = p * a.log() - c.log() - (a.exp() + K - 1).log(), p / a - a.exp() / (a.exp() + K - 1)
            a = (a - g / slope).mid()
        value = (1 + (K - 1) * (-a).exp()).log() + flint.arb(M + 1) / 2 * c * (K - 1) * (2 * a.log() / (M + 1)).exp()
        assert encloses(proof, value.str(33, radius=False))


CODES = {
    (4, 2, 2, "0.33721", "0.1482756537"): ((18, 2, 0), "0.5910683038273455193940518569921744669898"),
    (5, 2, 3, "0.1", "0.1241465577"): ((33, 6, 0), "0.2399890690169653630710403914285914007962"),
    (6, 2, 3, "0.1", "0.1072072427"): ((39, 6, 0), "0.2503149891016229892387777117611057816952"),
    (7, 3, 3, "0.001", "0.0815236467"): ((51, 9, 0), "0.0028033399421590966686030053935146029"),
}


@pytest.mark.parametrize("code", CODES, ids=lambda code: f"K={code[0]} M={code[1]} rank {code[2]}")
def test_the_best_known_codes_are_strict_local_minima(code):
    K, M, rank, ratio, tie = code
    c = float(ratio) * float(tie)
    problem = Problem.balanced(K, 1, (rank,) * M, loss="ce", l2_W=c, l2_H=c)
    proof = critical(problem, descend(problem, starts=3), digits=40)
    signs, value = CODES[code]
    assert inertia(proof) == signs
    assert encloses(proof, value)
    assert proof.digits >= 40


def test_widths_beyond_the_rank_change_nothing_but_the_rotations_that_move_the_point():
    problem = Problem.balanced(4, 1, (2, 2), loss="ce", l2_W=0.05, l2_H=0.05)
    narrow = descend(problem)
    first, last = narrow.weights
    wide = Params((np.pad(first, (0, 2)), np.pad(last, ((0, 0), (0, 2)))), np.pad(narrow.H, ((0, 2), (0, 0))), None)
    padded = critical(Problem.balanced(4, 1, (4, 4), loss="ce", l2_W=0.05, l2_H=0.05), wide)
    assert inertia(padded) == (38, 10, 0)  # of the 12 rotations two turn zeros alone
    assert "10 of these 12 move it" in padded.statement
    same = critical(problem, narrow)
    assert max(same.lower, padded.lower) <= min(same.upper, padded.upper)


@pytest.mark.parametrize("bias", BIASES)
@pytest.mark.parametrize("loss", MINIMA)
def test_the_critical_value_of_one_layer_is_the_global_minimum(loss, bias):
    problem = of_four(loss, bias)
    proof = critical(problem, descend(problem), digits=40)
    assert encloses(proof, MINIMA[loss][bias]), str(proof)
    assert inertia(proof)[2] == 0
    assert ("shifts of the bias: 1" in proof.statement) == (bias == "free" and loss in ("ce", "squared_hinge"))


def test_critical_points_of_squared_error_have_rotations_of_the_classes_among_their_symmetries():
    problem = Problem.balanced(3, 1, (3, 3), loss="mse", l2_W=0.02, l2_H=0.02)
    sigma = brentq(lambda s: (1 - s) * s ** (1 / 3) - 0.06, 0.5, 1)  # one mode alive: (1 - sigma) sigma^(1/3) = K l
    u = np.array([2.0, -1.0, 2.0]) / 3
    factor = sigma ** (1 / 3) * np.outer(u, u)
    proof = critical(problem, Params((factor,) * 2, factor, None))
    assert inertia(proof) == (27 - 6, 6, 0)  # two rotations of u for the classes and for both pairs of factors
    assert "rotations of the classes: 3; 6 of these 9 move it" in proof.statement


def test_zero_is_a_critical_point_without_symmetries_that_move_it():
    c, zero = 0.1, Params((np.zeros((4, 4)),), np.zeros((4, 4)), None)
    proof = critical(Problem.balanced(4, 1, 4, loss="ce", l2_W=c, l2_H=c), zero)
    assert inertia(proof) == (32 - 12, 0, 12)  # c below 1/K: each of the K - 1 modes grows in four directions
    assert "strict saddle with 12 negative directions" in proof.statement
    proof = critical(Problem.balanced(4, 1, 4, loss="ce", l2_W=3 * c, l2_H=3 * c), zero)
    assert inertia(proof) == (32, 0, 0)
    assert "strict local minimum within" in proof.statement


@pytest.mark.parametrize("bias", ("none", "free", "ridge"))
@pytest.mark.parametrize("loss", ("mse", "ce", "squared_hinge"))
def test_tangents_of_symmetries_are_orthogonal_to_the_gradient_everywhere(loss, bias):
    l2_b = 0.5 if bias == "ridge" else 0.0
    problem = Problem.balanced(3, 2, (4, 3), loss=loss, bias=bias, l2_W=0.1, l2_H=0.2, l2_b=l2_b)
    objective = objective_of(problem)
    with precision(100):
        x = [flint.arb(entry) for entry in np.random.default_rng(0).standard_normal(objective.size).tolist()]
        gradient = objective.gradient(x)
        found = symmetries(objective, x)
        for symmetry in found:
            assert len(symmetry.tangents) == symmetry.dimension
            for tangent in symmetry.tangents:
                assert max(abs(entry) for entry in tangent) > 0.1
                assert abs(sum(a * b for a, b in zip(tangent, gradient, strict=True))) < 1e-25
    classes = {"none": 3, "free": 1, "ridge": 1}[bias] if loss == "mse" else 0
    classes_of = lambda sizes: symmetries(objective_of(Problem.imbalanced(sizes, 3, l2_W=0.1, l2_H=0.2)), x)  # noqa: E731
    assert [s.dimension for s in classes_of((3, 2, 2))] == [3, 1]
    assert [s.dimension for s in classes_of((3, 2, 1))] == [3]
    assert [s.dimension for s in found] == [6, 3, *[1] * (bias == "free" and loss != "mse"), *[classes] * (classes > 0)]


def _number(text):
    mantissa, _, power = text.partition("*2^")
    return Fraction(mantissa) * Fraction(2) ** int(power or 0)


def test_the_document_is_exact_and_of_strings_alone(tmp_path):
    problem, params, _ = simplex(4, 2, 0.99)
    proof = critical(problem, params)
    document = json.loads(proof.save(tmp_path / "proof.json").read_text())

    def strings(value):
        if isinstance(value, list | dict):
            return all(map(strings, value.values() if isinstance(value, dict) else value))
        return value is None or isinstance(value, bool) or re.fullmatch(r"-?\d+(/\d+|\*2\^-\d+)?", value)

    assert strings({key: document[key] for key in ("W", "h", "radius", "alone", "inertia", "lower", "upper")})
    assert Fraction(2) ** -80 > _number(document["radius"]) > 0
    assert document["problem"]["l"] == [document["problem"]["l"][0]] * 3
    assert _number(document["problem"]["l"][0]) == Fraction(problem.l2_H.item())
    assert document["kind"] == proof.kind == "critical point"
    assert "36 positive, 12 zero and 0 negative" in str(proof).replace("\n  ", " ")


def test_what_is_not_proved_says_why():
    problem, params, _ = simplex(4, 2, 0.99)
    moved = params._replace(H=params.H + 1)
    free = problem.replace(l2_W=(0.0, 0.0), l2_H=0.0)
    zero = Params((np.zeros((4, 4)),) * 2, np.zeros((4, 4)), None)
    hinge = Problem.balanced(2, 1, (2,), loss="squared_hinge", l2_W=0.1, l2_H=0.1)
    kink = Params((np.diag([0.5, 1.0]),), np.array([[2.0, 0.0], [0.0, 1.0]]), None)
    reasons = {
        "no critical point is near": (problem, moved),
        "curvature 0 to rounding": (free, zero),
        "kink": (hinge, kink),
        "loss": (problem.replace(loss=losses_of_ufm.focal(2.0)), params),
        "features": (problem.replace(features="nonnegative"), params._replace(H=np.abs(params.H))),
        "proximity": (problem.replace(H0=np.ones((4, 4)), beta=0.1), params),
    }
    for reason, (at, point) in reasons.items():
        proof = critical(at, point)
        assert not proof.proved and reason in proof.reason, (reason, proof)
    with pytest.raises(ValueError, match="params.weights"):
        critical(problem, params._replace(weights=params.weights[:1]))
    with pytest.raises(ValueError, match="digits"):
        critical(problem, params, digits=0)


def test_numbers_that_are_meant_are_those_of_the_proof():
    numbers = {"loss": "ce", "bias": "ridge", "smoothing": "0.1"}
    meant = Problem.balanced(3, 2, 3, l2_W="0.005", l2_H="1/200", l2_b="0.01", columns="class", **numbers)
    floats = Problem.balanced(3, 2, 3, l2_W=0.005, l2_H=0.005, l2_b=0.01, columns="class", **numbers | {"smoothing": 0.1})
    point = descend(floats)
    exactly, nearly = critical(meant, point), critical(floats, point)
    assert exactly.document["problem"]["l"] == ["1/200", "1/200"] and exactly.document["problem"]["lb"] == "1/100"
    assert exactly.document["problem"]["parts"][0]["Y"]["rows"][0] == ["14/15", "1/30", "1/30"]
    assert not max(exactly.lower, nearly.lower) <= min(exactly.upper, nearly.upper)
    assert abs(exactly.lower - nearly.lower) < 1e-15
