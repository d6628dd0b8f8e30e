"""Recognition: every geometry under rotation, order and noise; symmetry groups of known order; minima of solve read off."""

import itertools
import math

import jax
import numpy as np
import pytest

import ufm
from ufm.recognition import automorphisms, identify
from ufm.recognition.shapes import recognise
from ufm.recognition.symmetry import symmetry

RNG = np.random.default_rng(0)


def simplex(K):
    return np.eye(K) - 1 / K


def orthoplex(K):
    return np.kron(np.eye(K // 2), [[1.0, -1], [-1, 1]])


def polygon(K):
    return np.cos(2 * np.pi * (np.arange(K)[:, None] - np.arange(K)) / K)


SHAPES = {
    "simplex": simplex(5),
    "orthogonal": np.eye(5),
    "orthoplex": orthoplex(6),
    "polygon": polygon(7),
    "general orthogonal": np.diag([3.0, 2, 1, 0, 5]),
    "simplex plus mean": 2 * simplex(5) + 0.3,
    "projector of rank 2": (lambda Q: Q @ Q.T)(np.linalg.qr(RNG.standard_normal((5, 2)))[0]),
}


def shuffled(G, seed=1):
    order = np.random.default_rng(seed).permutation(len(G))
    return G[np.ix_(order, order)]


@pytest.mark.parametrize("name", list(SHAPES))
@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e9])
def test_a_geometry_is_recognised_in_any_order_and_at_any_scale(name, scale):
    found = identify(scale * shuffled(SHAPES[name])).means
    assert found.name == name and found.distance < 1e-7


@pytest.mark.parametrize("name", ["simplex", "orthogonal", "orthoplex", "polygon"])
def test_noise_is_measured_as_a_distance_and_ends_recognition_at_the_tolerance(name):
    G = shuffled(SHAPES[name])
    noise = np.random.default_rng(2).standard_normal(G.shape)
    noise = (noise + noise.T) / np.linalg.norm(noise + noise.T)
    noise -= G * np.sum(noise * G) / np.sum(G * G)  # across the ray of G
    size = 4e-4 * np.linalg.norm(G) / np.linalg.norm(noise)
    near, far = (recognise(G + factor * size * noise, 1e-3) for factor in (1, 5))
    assert near.name == name
    np.testing.assert_allclose(near.distances[name], 4e-4, rtol=1e-3)
    np.testing.assert_allclose(far.distances[name], 20e-4, rtol=1e-3)
    assert far.name in ("none", "projector of rank 2") and far.distances[name] > 1e-3


def test_all_shapes_of_one_size_are_apart_from_each_other():
    for name, other in itertools.permutations(("simplex", "orthogonal", "orthoplex", "polygon"), 2):
        G = {"simplex": simplex(6), "orthogonal": np.eye(6), "orthoplex": orthoplex(6), "polygon": polygon(6)}
        distances = recognise(G[name], 1e-3).distances
        exact = np.sqrt(2 - 2 * np.sum(G[name] * G[other]) / np.linalg.norm(G[name]) / np.linalg.norm(G[other]))
        assert distances[name] < 1e-7 and distances[other] <= exact + 1e-12
        assert distances[other] > 0.1


def test_distance_to_the_simplex_plus_mean_is_the_least_over_both_amplitudes():
    A = np.random.default_rng(3).standard_normal((5, 5))
    G = A @ A.T
    distance = recognise(G, 1e-3).distances["simplex plus mean"]
    for x, y in itertools.product(np.linspace(0, 2, 201), repeat=2):
        T = x * simplex(5) + y / 5
        if np.any(T):
            assert np.linalg.norm(G / np.linalg.norm(G) - T / np.linalg.norm(T)) >= distance - 1e-12


@pytest.mark.parametrize("role", ["classifier", "means"])
def test_the_simplex_encoded_labels_interpolation_needs_the_class_sizes(role):
    counts = np.array([50, 50, 50, 5, 5])
    P = simplex(5)
    s, U = np.linalg.eigh(P @ np.diag(counts) @ P)
    G = (U[:, 1:] * s[1:] ** (0.5 if role == "classifier" else -0.5)) @ U[:, 1:].T
    if role == "classifier":  # the golden values of Thrampoulidis et al.'s geometry
        np.testing.assert_allclose([G[0, 0], G[0, 3]], [5.353489411019, -0.959166304663], rtol=1e-11)
    pair = (G, None) if role == "means" else (None, G)
    found = identify(pair, counts=counts)
    assert (found.means if role == "means" else found.classifier).name == "SELI"
    assert "SELI" not in recognise(G, 1e-3).distances
    assert recognise(G, 1e-3, counts * 1.01 ** np.arange(5), role).name != "SELI"


def test_merged_groups_and_dead_classes_are_named():
    vectors = np.random.default_rng(4).standard_normal((6, 4))[:, [0, 1, 1, 2, 3, 2, 1]]
    found = identify(vectors.T @ vectors).means
    assert found.name == "merged groups" and found.groups == ((1, 2, 6), (3, 5)) and found.rank == 4
    dead = identify(np.diag([1.0, 2.0, 0.0])).means
    assert dead.dead == (2,) and dead.name == "general orthogonal"
    assert identify(np.zeros((3, 3))).means.name == "zero"
    assert identify(np.cov(np.random.default_rng(5).standard_normal((6, 99)))).means.name == "none"


def cubic(K, seed):
    """A random graph in which every vertex has three neighbours."""
    rng = np.random.default_rng(seed)
    while True:
        ends = rng.permutation(np.repeat(np.arange(K), 3)).reshape(-1, 2)
        M = np.zeros((K, K))
        np.add.at(M, (ends[:, 0], ends[:, 1]), 1)
        if np.max(M + M.T) == 1 and not np.trace(M):
            return M + M.T


def petersen():
    pairs = list(itertools.combinations(range(5), 2))
    return np.array([[float(not set(a) & set(b)) for b in pairs] for a in pairs])


def paley(p):
    squares = {x * x % p for x in range(1, p)}
    return np.array([[float((i - j) % p in squares) for j in range(p)] for i in range(p)])


@pytest.mark.parametrize(
    "G, order, name",
    [
        (simplex(4), 24, "S_4"),
        (polygon(5), 10, "dihedral D_5"),
        (polygon(8), 16, "dihedral D_8"),
        (orthoplex(6), 48, "signed permutations of 3 pairs"),
        (np.diag([1.0, 1, 1, 2, 2]), 12, "S_3 x S_2"),
        (np.diag([1.0, 2, 3]), 1, "trivial"),
        (np.kron(np.eye(2), polygon(5) + 3), 200, "order 200"),
        (np.eye(40), math.factorial(40), "S_40"),
        (np.kron(np.eye(2), polygon(5) + 3), 200, "order 200"),
        (np.kron(np.eye(2), np.ones((200, 200))) + np.eye(400), 2 * math.factorial(200) ** 2, "order 1.24e750"),
        (cubic(18, 0), 2, "order 2"),
        (cubic(100, 0), 1, "trivial"),
        (petersen(), 120, "order 120"),
        (paley(101), 5050, "order 5050"),
        (np.kron(np.eye(50), [[1.0, -1], [-1, 1]]), 2**50 * math.factorial(50), "signed permutations of 50 pairs"),
    ],
)
def test_symmetry_groups_have_their_order_in_any_order_of_the_classes(G, order, name):
    found = symmetry([shuffled(G)], 1e-6)
    assert (found.order, found.name) == (order, name)


def test_order_and_orbits_are_those_of_all_permutations_tried_out():
    for seed in range(60):
        rng = np.random.default_rng(seed)
        K = int(rng.integers(2, 7))
        matrices = [rng.integers(0, 2, (K, K)).astype(float) for _ in range(1 + seed % 2)]
        matrices = [M + M.T for M in matrices] if seed % 3 else matrices
        members = [p for p in itertools.permutations(range(K)) if all(np.array_equal(M[np.ix_(p, p)], M) for M in matrices)]
        found = symmetry(matrices, 1e-9)
        assert found.order == len(members)
        assert set(found.orbits) == {tuple(sorted({p[k] for p in members})) for k in range(K)}


def test_an_order_of_thousands_of_digits_prints():
    found = symmetry([np.eye(2000)], 1e-9)
    assert found.order == math.factorial(2000) and "order=3.32e5735" in repr(found)


def test_a_search_that_was_given_up_says_so(monkeypatch):
    monkeypatch.setattr(automorphisms, "_WORK", 5e3)
    found = symmetry([np.array([[(i ^ j).bit_count() == 1 for j in range(16)] for i in range(16)], float)], 1e-9)
    assert found.name == f"order at least {found.order}" and 384 % found.order == 0 and found.order < 384


def test_a_symmetry_must_leave_every_matrix_unchanged():
    assert symmetry([np.eye(4), np.diag([1.0, 1, 2, 2])], 1e-9).name == "S_2 x S_2"
    assert symmetry([polygon(5), np.diag([1.0, 1, 1, 1, 2])], 1e-9).order == 2


SOLVED = {
    "simplex": ({"loss": "ce"}, "S_4 (order 24)", "ce-one-layer"),
    "orthogonal": ({"loss": "mse"}, "S_4 (order 24)", "mse-balanced-deep"),
}


@pytest.mark.parametrize("name", list(SOLVED))
def test_a_solved_problem_is_read_off_with_the_theorem_that_predicts_it(name):
    choices, group, theorem = SOLVED[name]
    problem = ufm.Problem.balanced(4, 5, 6, l2_W=1e-3, l2_H=1e-3, **choices)
    params = ufm.solve(problem, jax.random.key(0)).params
    found = identify(problem, params)
    assert found.means.name == found.classifier.name == name
    assert found.alignment < 1e-6 and found.nc1 < 1e-12
    assert {match.theorem for match in found.theorems if match.agrees} >= {theorem}
    assert f"symmetry: {group}" in str(found) and theorem in str(found)
    for factor, agrees in ((1.0005, True), (1.002, False), (1.01, False)):  # the tolerance is 1e-3, on both sides
        moved = identify(problem, params._replace(H=factor * params.H))
        assert {match.agrees for match in moved.theorems} == {agrees}
        assert ("at odds with: " in str(moved)) is not agrees


def test_minority_collapse_is_seen_as_merged_classes():
    problem = ufm.Problem.imbalanced((50, 50, 50, 5, 5), 6, loss="ce", l2_W=1.4e-2, l2_H=1.4e-2)
    found = identify(problem, ufm.solve(problem, jax.random.key(0)).params)
    assert found.means.groups == ((3, 4),) and found.symmetry.name == "S_3 x S_2"


GRAM = np.eye(3)
PROBLEM = ufm.Problem.balanced(3, 1, 3)
REFUSALS = [
    ((ufm.Params((), np.eye(3), None),), {}, "problem must be a Problem, with params after it, or Gram matrices, got 'Params'"),
    ((ufm.Params((), GRAM, None), PROBLEM), {}, r"problem and params are swapped: the order is \(problem, params\)"),
    ((PROBLEM,), {}, "params must be Params of the problem, got None"),
    ((PROBLEM, GRAM), {}, "params must be Params of the problem, got 'ndarray'"),
    ((GRAM, GRAM), {}, "params must be None beside Gram matrices"),
    ((np.ones((2, 3)),), {}, r"Gram matrix of class means must have shape \(K, K\)"),
    ((np.triu(np.ones((3, 3))),), {}, "must be symmetric"),
    ((-GRAM,), {}, "must be positive semi-definite, got an eigenvalue of -1"),
    ((GRAM * np.nan,), {}, "must be finite"),
    ((GRAM,), {"tolerance": 0.0}, "tolerance must be finite and above 0"),
    ((GRAM,), {"counts": [1, 2]}, r"counts must have shape \(3,\), got \(2,\)"),
    (((GRAM, np.eye(4)),), {}, "Gram matrices of one number of classes"),
]


@pytest.mark.parametrize("number", range(len(REFUSALS)))
def test_wrong_arguments_are_refused_by_name(number):
    arguments, choices, message = REFUSALS[number]
    with pytest.raises(ValueError, match=message):
        identify(*arguments, **choices)


def test_a_point_that_has_collapsed_to_rounding_is_zero_and_one_above_the_threshold_is_not():
    for l2, name in ((0.5, "zero"), (0.24, "orthogonal")):  # everything vanishes from l2 = 1/4 on
        problem = ufm.Problem.balanced(4, 1, 6, l2_W=l2, l2_H=l2)
        found = ufm.identify(problem, ufm.solve(problem, jax.random.key(0)).params)
        assert found.means.name == found.classifier.name == name
