"""Ten thousand random problems, and all that ufm says of them: bounds, statuses and predictions, none of which may be untrue.

    python tests/random_claims.py [--size 128] [--seed 0] [--structures 80]      as many problems of each structure in one program

Not collected by pytest; `tests/test_random_claims.py` runs a few structures. Counted are
  bounds       above the lowest value known of the problem, in float64 at the very numbers of the problem
  statuses     CONVERGED where the residual, worked out here, is not within the tolerance that `ufm.solve` promises
  predictions  served that are above the lowest value known, or below a bound (what differs from its objective is not served)
"""

import argparse
import itertools
import sys
import zlib
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import ufm
from ufm import Params, Problem, Status
from ufm.problem.params import along_domain
from ufm.search.judgement import gradient_scale
from ufm.theory.registry import served_accuracy

K, TOLERANCE = 3, {"float64": 1e-10, "float32": 1e-4}
LOSSES = ("mse", "ce", "logistic", "squared_hinge")
DESIGNS = ("balanced", "sizes", "grouped", "smoothed", "soft", "weighted")
FEATURES = ("free", "nonnegative", "sphere")
WIDTHS = ((4,), (2,), (4, 4), (5, 4, 3))


class Structure(NamedTuple):
    """What is static of a problem: one compiled program tries many sets of numbers."""

    loss: str
    bias: str
    design: str
    features: str
    widths: tuple[int, ...]
    dtype: str


class Counted(NamedTuple):
    """Violations of each kind, and how much there was to violate."""

    bounds: int
    statuses: int
    predictions: int
    problems: int
    converged: int
    served: int


def structures(seed: int) -> list[Structure]:
    """All structures that make sense, shuffled."""
    found = []
    for loss, bias, design, features, widths in itertools.product(LOSSES, ("none", "free", "ridge"), DESIGNS, FEATURES, WIDTHS):
        soft = design in ("smoothed", "soft")
        if (loss == "squared_hinge" and soft) or (features == "sphere" and len(widths) > 1):
            continue
        if features != "free" and (len(widths) > 1 or bias == "free"):
            continue
        found += [Structure(loss, bias, design, features, widths, dtype) for dtype in ("float64", "float32")]
    return [found[i] for i in np.random.default_rng(seed).permutation(len(found))]


def draw(rng: np.random.Generator, s: Structure) -> Problem:
    """Ridges from 1e-14 to 1e3, class sizes to 1e6, scales and weights over decades; numbers of one structure."""
    l2_W = 10.0 ** rng.uniform(-14, 3 if rng.uniform() < 0.2 else -1, len(s.widths))
    l2_H, l2_b = (10.0 ** rng.uniform(-14, 3 if rng.uniform() < 0.2 else -1) for _ in range(2))
    numbers = {
        "l2_W": l2_W, "l2_H": l2_H, "l2_b": l2_b if s.bias == "ridge" else 0.0, "bias": s.bias, "loss": s.loss,
        "features": s.features, "scale": 10.0 ** rng.uniform(-1, 1) if rng.uniform() < 0.3 else 1.0,
    }  # fmt: skip
    sizes = np.exp(rng.uniform(0, 14 * rng.integers(2), K))
    if s.design == "balanced":
        problem = Problem.balanced(K, 1, s.widths, columns="class", **numbers)
        return problem.replace(multiplicity=float(sizes[0]))
    if s.design == "smoothed":
        return Problem.balanced(K, 1, s.widths, columns="class", smoothing=10.0 ** rng.uniform(-6, -0.2), **numbers)
    if s.design == "sizes":
        return Problem.imbalanced((2, 1, 3), s.widths, columns="class", **numbers).replace(multiplicity=sizes * [1, 1.5, 2])
    if s.design == "grouped":
        return Problem.grouped((2, 1), sizes[:2], s.widths, **numbers)
    if s.design == "soft":
        return Problem.from_targets(rng.dirichlet(np.ones(K), size=5).T, s.widths, groups=(1,) * 5, **numbers)
    columns = {"weight": 10.0 ** rng.uniform(-2, 2, 5), "intercept": rng.uniform(0.2, 2, 5), "samples": 7.0}
    return Problem.from_targets(np.eye(K)[:, [0, 1, 2, 0, 1]], s.widths, multiplicity=np.ones(5), **columns, **numbers)


def residual(problem: Problem, p: Params) -> jax.Array:
    """|grad f| in the problem's own coordinates, along the sphere, and of min(H, g) where features are non-negative."""
    g = jax.grad(lambda q: ufm.objective(problem, q))(p)
    if problem.features == "sphere":
        H, W = p.H, p.weights[0]
        g = g._replace(H=g.H - H * (jnp.sum(g.H * H, axis=0) / jnp.sum(H * H, axis=0))[None, :])
        g = g._replace(weights=(g.weights[0] - W * (jnp.sum(g.weights[0] * W, axis=1) / jnp.sum(W * W, axis=1))[:, None],))
    if problem.features == "nonnegative":
        g = g._replace(H=jnp.minimum(p.H, g.H))
    return jnp.sqrt(sum(jnp.sum(x * x) for x in jax.tree.leaves(g)))


def tried(problem: Problem, key: jax.Array, tolerance: float) -> dict[str, Any]:
    """Everything said of one problem, and the values that hold it to account, in float64."""

    def wide(tree: Any) -> Any:
        return jax.tree.map(lambda x: x.astype(float) if jnp.issubdtype(x.dtype, jnp.floating) else x, tree)

    exact = wide(problem)

    def value(p: Params) -> jax.Array:
        return ufm.objective(exact, along_domain(exact, wide(p)))

    found = ufm.solve(problem, key, starts=1, max_steps=300, tolerance=tolerance)
    starts = [ufm.initialize(problem, k, s) for k, s in zip(jax.random.split(key, 3), (0.03, 1.0, 5.0), strict=True)]
    points = [found.params, *starts]
    if problem.features != "sphere":
        points += [jax.tree.map(lambda x, s=s: s * x, found.params) for s in (0.0, 0.9, 4.0)]
    out: dict[str, Any] = {}
    try:
        predicted = ufm.predict(problem)
        points.append(predicted.params)
        out |= {"predicted": predicted.value.astype(float), "accuracy": predicted.accuracy.astype(float)}
    except ValueError:  # undecided, or outside every theorem: nothing is said
        pass
    if problem.loss.convex:
        certificates = jax.lax.map(partial(ufm.certify, problem), jax.tree.map(lambda *x: jnp.stack(x), *points))
        out |= {"bounds": certificates.lower_bound.astype(float), "gaps": certificates.gap.astype(float)}
    small = jnp.minimum(1, jnp.abs(found.value))
    allowed = jnp.maximum(tolerance * small, 64 * jnp.finfo(problem.dtype).eps * gradient_scale(problem))
    excess = residual(problem, found.params) / allowed
    return out | {"values": jnp.stack(list(map(value, points))), "status": found.status, "excess": excess}


def count(s: Structure, size: int, seed: int) -> Counted:
    """Try `size` problems of a structure, print and count what was untrue."""
    rng = np.random.default_rng([seed, zlib.crc32(repr(s).encode())])
    drawn = [draw(rng, s) for _ in range(size)]
    stacked = jax.tree.map(lambda *x: jnp.stack(x).astype(s.dtype), *drawn)
    keys = jax.random.split(jax.random.key(seed), size)
    program = jax.jit(lambda problems, keys: jax.lax.map(lambda x: tried(x[0], x[1], TOLERANCE[s.dtype]), (problems, keys)))
    out = {name: np.asarray(x) for name, x in program(stacked, keys).items()}
    lowest = np.nanmin(np.where(np.isfinite(out["values"]), out["values"], np.inf), axis=1)
    bounds = out.get("bounds", np.full((size, 1), -np.inf))
    above = (bounds > lowest[:, None]) | np.isnan(bounds)
    above |= np.isfinite(bounds) & (out.get("gaps", np.zeros_like(bounds)) < 0)
    # the residual worked out here is of the same arithmetic, not of the same operations
    claimed = (out["status"] == Status.CONVERGED) & ~(out["excess"] <= 1.5)
    served = np.zeros(size, bool)
    untrue = np.zeros(size, bool)
    if "predicted" in out:
        served = out["accuracy"] <= served_accuracy(s.dtype)
        slack = 2 * served_accuracy(s.dtype) * np.abs(lowest) + 1e-300
        best = np.max(np.where(np.isfinite(bounds), bounds, -np.inf), axis=1)
        untrue = served & ((out["predicted"] > lowest + slack) | (out["predicted"] < best - slack))
    for name, bad in (("bound", above.any(axis=1)), ("status", claimed), ("prediction", untrue)):
        for i in np.flatnonzero(bad):
            numbers = ", ".join(f"{k} {np.array2string(np.asarray(v)[i], precision=17)}" for k, v in out.items())
            print(f"untrue {name}: {s}, problem {i}: lowest {lowest[i]!r}; {numbers}", flush=True)
    converged = int(np.sum(out["status"] == Status.CONVERGED))
    return Counted(int(above.any(axis=1).sum()), int(claimed.sum()), int(untrue.sum()), size, converged, int(served.sum()))


def main() -> int:
    """Count over as many structures as asked for; the exit code is 1 where anything was untrue."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--structures", type=int, default=80)
    options = parser.parse_args()
    total = np.zeros(len(Counted._fields), int)
    for i, s in enumerate(structures(options.seed)[: options.structures]):
        total += np.array(count(s, options.size, options.seed))
        print(i + 1, s, dict(zip(Counted._fields, total.tolist(), strict=True)), flush=True)
        jax.clear_caches()
    return int(total[:3].sum() > 0)


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    sys.exit(main())
