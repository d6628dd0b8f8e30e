"""Random problems and their proofs, none of which may be untrue, and false proofs, all of which must be refused.

    python tests/random_proofs.py [--structures 50] [--size 10] [--seed 0]      as many problems of each structure share programs

Not collected by pytest; `tests/proofs/test_random_proofs.py` runs a small part. Every problem is proved from a solved point, from a
random one and from one moved away. Counted are
  bounds       of `ufm.certify`, at the same points, above a proved upper bound
  empty        proofs of one problem that have no number in common, or values at points below a proved lower bound
  refused      proofs that the checker does not accept
  believed     files made false on purpose that it does accept
"""

import argparse
import copy
import sys
import zlib
from fractions import Fraction
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import ufm
from ufm import Params, Problem, losses
from ufm.proofs.check_proof import Refused, check
from ufm.proofs.global_minimum import prove
from ufm.proofs.proof import Proof

BASIC = ("mse", "ce", "logistic", "squared_hinge")
OTHERS = {
    "ldr_kl": lambda: losses.ldr_kl(1.0, 0.5), "kd": lambda: losses.kd(0.7, 0.6, 2.0), "kd teacher": lambda: losses.kd(0, 1, 1.5),
    "kd hard": lambda: losses.kd(0.5, 0, 1.0), "binary_kl": lambda: losses.binary_kl(2.0), "binary_kl_norm": losses.binary_kl_norm,
    "dual_head": losses.dual_head, "dual_head plain": lambda: losses.dual_head(norm=False), "ce_binary_kl": losses.ce_binary_kl,
    "ce_binary_kl plain": lambda: losses.ce_binary_kl(norm=False),
}  # fmt: skip
KINDS = ("plain", "plain", "smoothed", "weighted", "fixed", "fixed orthant", "fixed sphere", "nonnegative", "sphere", "proximity")
FEATURES = {"fixed orthant": "nonnegative", "fixed sphere": "sphere", "nonnegative": "nonnegative", "sphere": "sphere"}


class Structure(NamedTuple):
    """What is static of a problem."""

    loss: str
    kind: str
    K: int
    columns: int
    width: int


class Counted(NamedTuple):
    """Violations of each kind, and how much there was to violate."""

    bounds: int = 0
    empty: int = 0
    refused: int = 0
    believed: int = 0
    problems: int = 0
    proofs: int = 0
    none: int = 0
    false: int = 0


def structure(rng: np.random.Generator) -> Structure:
    """K from 2 to 12, small ones more often, half of the losses basic, widths also below K."""
    kind = str(rng.choice(KINDS))
    loss = str(rng.choice(BASIC if rng.uniform() < 0.6 else tuple(OTHERS)))
    if kind == "smoothed":
        loss = str(rng.choice(BASIC[:3]))
    K = 2 + int(11 * rng.uniform() ** 2)
    return Structure(loss, kind, K, int(K + rng.integers(-1, 4)), int(rng.choice([1, K - 1, K, K])))


def draw(rng: np.random.Generator, s: Structure) -> Problem:
    """Ridges from 1e-14 to 1e2, some about the threshold at which everything is zero; sizes, weights, scales over decades."""
    loss = OTHERS[s.loss]() if s.loss in OTHERS else s.loss
    bias = str(rng.choice(["none", "free", "ridge"]))
    targets = np.eye(s.K)[:, np.arange(s.columns) % s.K]
    if s.kind == "smoothed":
        soft = 10.0 ** rng.uniform(-6, -0.5)
        targets = (1 - soft) * targets + soft * rng.dirichlet(np.ones(s.K), size=s.columns).T
    l2_W, l2_H = 10.0 ** rng.uniform(-14, 2, 2) if rng.uniform() < 0.3 else 10.0 ** rng.uniform(-5, -1, 2)
    choices: dict = {"loss": loss, "bias": bias, "l2_b": 10.0 ** rng.uniform(-10, 2) if bias == "ridge" else 0.0}
    teacher = rng.standard_normal((s.K, s.columns)) * 10.0 ** rng.uniform(-1, 1)
    if getattr(loss, "teacher", False):
        choices["teacher"] = teacher
    if s.loss.startswith("dual_head"):
        targets = np.concatenate([targets, teacher])
    sizes = np.ceil(np.exp(rng.uniform(0, 8 * rng.integers(2), s.columns)))
    if rng.uniform() < 0.3:  # about the ridge at which one column's signal dies
        l2_H = float(np.max(sizes) / np.sum(sizes) ** 2 / l2_W * 10.0 ** rng.uniform(-0.5, 0.5))
    choices |= {"l2_W": l2_W, "l2_H": l2_H, "multiplicity": sizes}
    choices["scale"] = 10.0 ** rng.uniform(-1, 1) if rng.uniform() < 0.3 else 1.0
    if s.kind == "weighted":
        weight, intercept = 10.0 ** rng.uniform(-2, 2, s.columns), rng.uniform(0.2, 2, s.columns)
        choices |= {"weight": weight, "intercept": intercept, "samples": 7.0}
    if s.kind.startswith("fixed"):
        choices |= {"classifier": rng.standard_normal((targets.shape[0], s.width)), "l2_W": ()}
    choices["features"] = FEATURES.get(s.kind, "free")
    if s.kind == "proximity":
        choices |= {"H0": rng.standard_normal((s.width, s.columns)), "beta": 10.0 ** rng.uniform(-8, 0)}
    return Problem.from_targets(targets, s.width, **choices)


def points(problem: Problem, seed: int, steps: int) -> list[Params]:
    """A solved point (where there are steps for one), a random one, and one away from the first."""
    key = jax.random.key(seed)
    random = ufm.initialize(problem, key, 0.5)
    best = ufm.solve(problem, key, starts=1, max_steps=steps).params if steps else random
    away = jax.tree.map(lambda x, y: x + 10.0 ** -(1 + seed % 4) * y, best, random)
    return [best, random, away._replace(H=jnp.abs(away.H)) if problem.features == "nonnegative" else away]


def falsified(rng: np.random.Generator, proof: Proof, upper: Fraction) -> tuple[str, dict]:
    """The file of a proof with a claim that is not true, or with a step that no longer proves it."""
    file, way = copy.deepcopy(proof.document), int(rng.integers(7))
    above = upper + abs(upper) / 10**9 + Fraction(1, 10**30)
    if way == 0:
        file["lower"] = file["upper"] = f"{above.numerator}/{above.denominator}"
        return "lower above the minimum", file
    if way == 1:
        below = proof.lower - abs(proof.lower) / 10**9 - Fraction(1, 10**30)
        file["upper"] = file["lower"] = f"{below.numerator}/{below.denominator}"
        return "upper below the minimum", file
    if way == 2:
        file["lower"] = f"{above.numerator}/{above.denominator}"
        file["upper"] = f"{2 * abs(above.numerator) + 1}/{above.denominator}"
        return "lower raised, upper too", file
    if way == 3:
        part = int(rng.integers(len(file["dual"])))
        file["dual"][part][0][0] = "-3"
        atom = file["problem"]["parts"][part]["atom"]
        if atom in ("mse", "squared hinge"):  # any theta is a dual point of squared error: then far outside what ridges pay for
            file["dual"][part][0][0] = f"{10**40}"
        return "a dual point outside its domain", file
    if way == 4:
        file["problem"]["N"] = f"{-1}"
        return "a negative N", file
    if way == 5:
        file["h"][0] = file["h"][0][1:]
        return "a ragged point", file
    file["lower"] = f"{above.numerator}/{above.denominator}"
    file["problem"]["bias"] = "none" if file["problem"]["bias"] != "none" else "free"
    return "another bias", file


def accepted(file: dict) -> bool:
    """Whether the checker accepts a file."""
    try:
        check(file)
    except Refused:
        return False
    return True


def tried(rng: np.random.Generator, s: Structure, seed: int, steps: int) -> Counted:
    """Draw a problem, prove it, check the proofs, and a false one; print and count what is untrue."""
    problem = draw(rng, s)
    at = points(problem, seed, steps)
    proofs = [prove(problem, p, digits=int(rng.integers(6, 25))) for p in at]
    if not all(p.proved for p in proofs):
        assert not any(p.proved for p in proofs)
        return Counted(problems=1, none=len(proofs))
    bounds = [float(ufm.certify(problem, p).lower_bound) for p in at]
    highest = max((Fraction(x) for x in bounds if np.isfinite(x)), default=proofs[0].lower)
    lower, upper = max(p.lower for p in proofs), min(p.upper for p in proofs)
    unsound = [accepted(p.document) for p in proofs].count(False)
    way, file = falsified(rng, proofs[int(rng.integers(len(proofs)))], upper)
    believed = accepted(file)
    found = Counted(int(highest > upper), int(lower > upper), unsound, int(believed), 1, len(proofs), 0, 1)
    if any(found[:4]):
        print(f"untrue: {s}, {problem}: {found}, {way}, bounds {bounds}, proofs {proofs}", flush=True)
    return found


def count(s: Structure, size: int, seed: int, steps: int = 400) -> Counted:
    """`tried` of `size` problems of one structure."""
    rng = np.random.default_rng([seed, zlib.crc32(repr(s).encode())])
    return Counted(*np.sum([tried(rng, s, seed + i, steps) for i in range(size)], axis=0).tolist())


def main() -> int:
    """Count over as many structures as asked for; the exit code is 1 where anything was untrue."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--structures", type=int, default=50)
    parser.add_argument("--size", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng, total = np.random.default_rng(options.seed), np.zeros(len(Counted._fields), int)
    for i in range(options.structures):
        s = structure(rng)
        total += np.array(count(s, options.size, options.seed + 1000 * i))
        print(i + 1, s, dict(zip(Counted._fields, total.tolist(), strict=True)), flush=True)
        jax.clear_caches()
    return int(total[:4].sum() > 0)


if __name__ == "__main__":
    from ufm.base.environment import prefer_quick_compilation

    prefer_quick_compilation(short_runs=True)
    jax.config.update("jax_enable_x64", True)
    sys.exit(main())
