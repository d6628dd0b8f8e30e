"""Entries prove instances: first cases quickly, the value inside, in files that the checker takes; wrong numbers are not."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ufm.proofs import unproved
from ufm.proofs.check_proof import check
from ufm.proofs.equations import squared_error_centred, squared_error_modes
from ufm.proofs.exact import raised
from ufm.proofs.interlaced import interlaced, root_trace
from ufm.search.symmetric import reduced
from ufm.theory.proving import counts_of, held, price_square
from ufm.theory.registry import catalogue

flint = pytest.importorskip("flint")
# entries whose proof looks at predicted numbers, with which; the others are of the case alone
LEAVES = {"mae-transition": "lowest", "mse-tie-and-spinodal": "value", "ce-deep-etf-critical": "value", "seli": "value"}
ALONE = (
    "gce", "comp-sum-exp", "z-score-loss", "p-loss-1d", "log-spherical", "log-taylor", "ce-logsumexp", "stablemax", "pld",
    "mixup-beta-quadrature", "dhkd-gradient-identity",
)  # fmt: skip


def first(name: str):
    return next(iter(catalogue()[name].cases().values()))


@pytest.mark.parametrize("name", ALONE)
def test_a_first_case_is_proved_from_the_case_alone(name):
    proof = catalogue()[name].proof_of(first(name), None)
    assert proof.proved, proof.reason
    assert proof.kind == "identity" or proof.digits > 12
    assert check(proof.document)


@pytest.mark.parametrize(("name", "mean"), [("gce", 0), ("p-loss-1d", 0), ("z-score-loss", 0), ("log-spherical", 1)])
def test_a_least_value_is_that_of_the_loss_on_a_grid(name, mean):
    problem = first(name)
    proof, c = catalogue()[name].proof_of(problem, None), float(price_square(problem)) ** 0.5
    margins = np.linspace(0, 25, 5001)
    on_grid = jax.vmap(lambda a: reduced(problem.loss, problem.classes, jnp.stack([a, mean * a]), c))(jnp.asarray(margins))
    assert float(proof.lower) <= np.min(on_grid) <= float(proof.upper) * (1 + 1e-4)


@pytest.mark.parametrize("name", LEAVES)
def test_a_predicted_number_is_inside_and_a_wrong_one_is_not_proved(name):
    theorem, case = catalogue()[name], first(name)
    predicted = theorem.closed_form()(case)
    proof = theorem.proof_of(case, predicted)
    assert proof.proved, proof.reason
    assert check(proof.document)
    wrong = theorem.proof_of(case, predicted | {LEAVES[name]: 1.001 * predicted[LEAVES[name]]})
    assert not wrong.proved
    assert "does not lie in" in wrong.reason


@pytest.mark.parametrize("label", ["M=2 bottleneck d=2", "M=3 n_crit=2.0"])
@pytest.mark.parametrize("name", ["mse-imbalanced-deep", "mse-imbalanced-freebias-deep"])
def test_deep_squared_error_of_any_sizes(name, label):
    theorem = catalogue()[name]
    case = theorem.cases()[label]
    predicted = theorem.closed_form()(case)
    proof = theorem.proof_of(case, predicted)
    assert proof.kind == "root"
    assert held(proof, predicted.value) is proof
    assert not held(proof, 1.001 * predicted.value).proved
    assert check(proof.document)


def test_signs_at_critical_points():
    theorem, case = catalogue()["mse-zero-modes"], first("mse-zero-modes")
    predicted = {name: int(x) for name, x in jax.tree.map(np.asarray, theorem.predict(case)).items()}
    assert theorem.proof_of(case, predicted).kind == "critical point"
    assert not theorem.proof_of(case, predicted | {"negative": predicted["negative"] + 1}).proved


@pytest.mark.parametrize("ratio", [0.99, 1.01])
def test_total_collapse_on_both_sides(ratio):
    theorem = catalogue()["total-collapse"]
    for case in list(theorem.cases().values())[:2]:
        exact = theorem.predict(case)
        proof = theorem.proof_of(case, exact)
        assert check(proof.document)
        assert not theorem.proof_of(case, 1 / exact).proved  # the other side


def test_classes_that_merge():
    theorem, case = catalogue()["group-merge"], first("group-merge")
    gaps = np.asarray(theorem.predict(case))
    assert check(theorem.proof_of(case, gaps).document)
    assert not theorem.proof_of(case, 0 * gaps).proved


def test_eigenvalues_between_sizes():
    sizes = (9, 5, 5, 3, 1)
    n = np.array(sizes, float)
    for weights, matrix in ((sizes, np.diag(n) - np.outer(n, n) / n.sum()), ((1,) * 5, None)):
        P = np.eye(5) - 1 / 5
        expected = np.linalg.eigvalsh(P @ np.diag(n) @ P if matrix is None else matrix)[::-1][:4]
        found = interlaced(sizes, weights)
        assert not isinstance(found, str)
        for (low, high), value in zip(found.ends, expected, strict=True):
            assert float(Fraction(int(low.p), int(low.q))) == pytest.approx(value, rel=1e-12)
            assert low <= high
    assert float(root_trace(sizes).lower) == pytest.approx(np.sqrt(expected).sum(), rel=1e-11)


def test_centred_modes_are_those_of_equal_classes_too():
    """diag(n) - n n'/N has the eigenvalue n, K - 1 times, where all sizes are n."""
    ridges = (0.001, 0.002, 0.003)
    one, other = squared_error_centred([4, 4, 4], ridges), squared_error_modes([4, 4], 12, ridges)
    assert (one.lower, one.upper) == (other.lower, other.upper)


def test_exact_numbers_of_a_problem():
    case = catalogue()["mse-imbalanced-deep"].cases()["M=2 n_crit=2.0"]
    assert counts_of(case) == [9, 5, 3, 1]
    problem = first("gce")
    square = float(problem.l2_W[0]) * float(problem.l2_H) * float(problem.samples) / problem.classes
    assert float(price_square(problem)) == pytest.approx(square)


def test_balls_round_zero_have_powers():
    zero = flint.arb(0, 2.0**-40)
    assert raised(zero, 2).is_finite()
    assert not held(unproved("why"), 1.0).proved
