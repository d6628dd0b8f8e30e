"""Instances of identities, bounds, runs and paths are proved: accepted by the checker, and not for numbers that are 0.1 % off."""

import jax
import numpy as np
import pytest

from ufm.proofs.check_proof import check
from ufm.theory.registry import catalogue

PROVED = {
    "welch-bound": "K=6 d=3", "orthoplex-bound": "K=7 d=3", "rankin-bound": "K=4 d=3",
    "equiangular-lines": "K=16 d=6", "one-vs-rest-duality": "random lengths", "supcon": "K=3 n=2 d=2 T=1.0",
    "ntp-max-margin": "centred supports fail", "reduced-objective": "c=0.3",
    "proximity-uniqueness": "(B+lH) lW=1.5 lW=0.5 lH=0.2",
    "proximity-nc1-threshold": "at 1/(2 lW), crossed, sharp", "proximity-aligned": "B+lH=10/lW",
    "mse-loss-decomposition": "ridge=0.1 noise=1.0", "loss-sees-signal-to-noise": "d=5 mixed",
    "renormalised-neural-collapse": "mixed",
    "deep-mode-equation": "M=2 N l=1.5", "imbalance-rate": "ce, unequal ridges, beta=0.3",
    "imbalance-descent": "ce, unequal ridges, step 1.0",
    "within-class-velocity": "M=2, bias", "two-factor-logistic": "two alive, one critical, one dead",
    "two-factor-unequal-rates": "eta_W = 100 eta_H, one critical, one dead", "two-factor-learning-times": "ridge",
    "ce-circulant-flow": "Z_5 l2=0.05", "box-ce-bound": "K=4 d=3 B=0.6", "lion-box": "outside", "lion-frank-wolfe": "inside",
    "lion-k-lyapunov": "epsilon=0.6", "perceptron-large-step": "narrow", "perceptron-mistakes": "narrow",
    "perceptron-fixed-features": "separable", "perceptron-two-layers": "size 0.5", "margin-form-ce": "float32, after: margin 18.6",
    "perp-grad": "eta=1.0 l2=0.0", "softmax-collapse": "float32 K=4", "stablemax-identity": "both signs",
}  # fmt: skip
SLOW_FILES = ("proximity-aligned", "perceptron-fixed-features", "two-factor-logistic")  # seconds each in the standard library


@pytest.fixture(scope="module")
def instances():
    """Theorem, case and what is served for it, by id."""
    found = {}
    for theorem_id, label in PROVED.items():
        theorem = catalogue()[theorem_id]
        case = theorem.cases()[label]
        found[theorem_id] = (
            theorem,
            case,
            theorem.predict(theorem.view(case)) if isinstance(case, np.ndarray) else theorem.closed_form()(case),
        )
    return found


@pytest.mark.parametrize("theorem_id", PROVED)
def test_an_instance_is_proved_and_the_checker_agrees(instances, theorem_id):
    theorem, case, served = instances[theorem_id]
    proof = theorem.proof_of(case, served)
    assert proof.proved, proof.reason
    if proof.lower is not None:
        values = served["value"] if isinstance(served, dict) else getattr(served, "value", served)
        assert proof.lower <= float(values) <= proof.upper
    if theorem_id not in SLOW_FILES:
        check(proof.document)


@pytest.mark.parametrize("theorem_id", PROVED)
def test_numbers_that_are_off_are_not_proved(instances, theorem_id):
    theorem, case, served = instances[theorem_id]
    wrong = jax.tree.map(lambda x: np.asarray(x) * 1.001, served)
    assert not theorem.proof_of(case, wrong).proved


@pytest.mark.parametrize(
    ("theorem_id", "label", "reason"),
    [
        ("welch-bound", "K=3 d=4", "orthogonal"),
        ("rankin-bound", "K=7 d=3", "strict"),
        ("equiangular-lines", "K=120 d=35", "not written down"),
    ],
)
def test_what_is_not_proved_says_why(theorem_id, label, reason):
    theorem = catalogue()[theorem_id]
    case = theorem.cases()[label]
    proof = theorem.proof_of(case, theorem.predict(case))
    assert not proof.proved and reason in proof.reason
