"""Random problems of every kind, points of several kinds, and what must never be said of them.

    python tests/random_problems.py [--problems 200] [--seed 0]       counts violations; half of the problems are solved
    python tests/random_problems.py --batch 64                        as many of each structure in one program, none solved

Not collected by pytest; `tests/test_duality.py` runs a small part. Bounds are held against the lowest value known: that of every
point at hand, evaluated in float64 at the very numbers of the problem (a float32 problem is one of float64 with those numbers).
"""

import argparse
import collections
import sys
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import ufm
from ufm import Params, Problem, losses
from ufm.problem.params import along_domain

BIASES = ("none", "free", "ridge")
BASIC = ("mse", "ce", "logistic", "squared_hinge")
OTHERS = {
    "ldr_kl": lambda: losses.ldr_kl(1.0, 0.5), "kd": lambda: losses.kd(0.7, 0.6, 2.0), "kd teacher": lambda: losses.kd(0, 1, 1.5),
    "kd T=1": lambda: losses.kd(0.5, 0.5, 1.0), "binary_kl": lambda: losses.binary_kl(2.0), "binary_kl_norm": losses.binary_kl_norm,
    "dual_head": losses.dual_head, "dual_head plain": lambda: losses.dual_head(norm=False), "ce_binary_kl": losses.ce_binary_kl,
    "comp_sum(0)": lambda: losses.comp_sum(0.0), "comp_sum(0.5)": lambda: losses.comp_sum(0.5), "poly1": lambda: losses.poly1(1.0),
    "poly1 below": lambda: losses.poly1(-0.5), "pld": losses.pld,
}  # fmt: skip
KINDS = ("plain", "plain", "plain", "smoothed", "weighted", "fixed", "nonnegative", "sphere", "deep", "proximity")
K, COLUMNS, WIDE = 3, 5, 4  # few shapes, so that programs are shared


class Drawn(NamedTuple):
    """A problem and what was drawn."""

    problem: Problem
    kind: str
    loss: str


def draw(
    rng: np.random.Generator,
    kinds: tuple[str, ...] = KINDS,
    names: tuple[str, ...] | None = None,
    bias: str | None = None,
    width: int | None = None,
) -> Drawn:
    """A problem in float64: ridges from 1e-14 to 1e3, all bias modes, widths from 1, losses, features, weights, teachers."""
    kind = str(rng.choice(kinds))
    convex = names or (BASIC if kind in ("smoothed", "deep") else (*BASIC, *OTHERS))
    name = str(rng.choice(convex))
    if kind == "smoothed" and name == "squared_hinge":
        name = "ce"
    loss = OTHERS[name]() if name in OTHERS else name
    bias = bias or str(rng.choice(BIASES))
    if name == "pld" and bias == "free":
        bias = "ridge"
    l2_W, l2_H, l2_b = (10.0 ** rng.uniform(-14, 3 if rng.uniform() < 0.3 else -1) for _ in range(3))
    labels = np.arange(COLUMNS) % K
    targets = np.eye(K)[:, labels]
    if kind == "smoothed":
        s = 10.0 ** rng.uniform(-6, -0.5)
        targets = (1 - s) * targets + s * rng.dirichlet(np.ones(K), size=COLUMNS).T
    choices: dict = {"loss": loss, "bias": bias, "l2_b": l2_b if bias == "ridge" else 0.0, "l2_W": l2_W, "l2_H": l2_H}
    teacher = rng.standard_normal((K, COLUMNS)) * 10.0 ** rng.uniform(-1, 1)
    if getattr(loss, "teacher", False):
        choices["teacher"] = teacher
    if name.startswith("dual_head"):
        targets = np.concatenate([targets, teacher])
    rows, width = targets.shape[0], width or int(rng.choice([1, 2, WIDE, WIDE]))
    choices["multiplicity"] = np.exp(rng.uniform(0, 14, COLUMNS) * rng.integers(2))
    choices["scale"] = 10.0 ** rng.uniform(-1, 1.5) if rng.uniform() < 0.3 else 1.0
    if kind == "weighted":
        choices |= {"weight": 10.0 ** rng.uniform(-2, 2, COLUMNS), "intercept": rng.uniform(0.2, 2, COLUMNS), "samples": 7.0}
    if kind == "fixed":
        choices |= {"classifier": rng.standard_normal((rows, width)), "l2_W": ()}
        # the structure follows the loss: programs are shared
        choices["features"] = ("free", "nonnegative", "sphere")[len(name) % 3]
    if kind in ("nonnegative", "sphere"):
        choices["features"] = kind
    if kind == "proximity":
        choices |= {"H0": rng.standard_normal((width, COLUMNS)), "beta": 10.0 ** rng.uniform(-8, 0)}
    widths = (width, WIDE) if kind == "deep" else width
    return Drawn(Problem.from_targets(targets, widths, **choices), kind, name)


def points(problem: Problem, rng: np.random.Generator, solve: bool) -> dict[str, Params]:
    """Random, zero and saturated points, and a solved one."""
    key = jax.random.key(int(rng.integers(2**31)))
    found = {f"random {size}": ufm.initialize(problem, key, size) for size in (0.1, 1.0)}
    best = found["random 1.0"]
    if solve:
        best = ufm.solve(problem, key, starts=1, max_steps=400).params
        found["solved"] = best
    if problem.features != "sphere":
        grown = 10.0 ** rng.uniform(0.2, 1)
        found["saturated"] = jax.tree.map(lambda x: grown * x, best)
        found["zero"] = jax.tree.map(jnp.zeros_like, best)
    return found


def in_float64(tree):
    return jax.tree.map(lambda x: jnp.asarray(np.asarray(x, np.float64)) if jnp.issubdtype(x.dtype, jnp.floating) else x, tree)


def in_float32(tree):
    return jax.tree.map(lambda x: x.astype(jnp.float32), tree)


def excesses(drawn: Drawn, at: dict[str, Params]) -> list[tuple[str, str, float, float]]:
    """(dtype, point, bound, lowest value known) of every bound that is above it, or whose gap is negative or not a number."""
    bad = []
    for dtype, cast in (("float64", lambda tree: tree), ("float32", in_float32)):
        problem = cast(drawn.problem)
        if any(not np.all(np.isfinite(np.asarray(x))) for x in jax.tree.leaves(problem)):
            continue
        cast_points = {name: cast(p) for name, p in at.items()}
        exact = in_float64(problem)
        values = {name: float(VALUE(exact, along_domain(exact, in_float64(p)))) for name, p in cast_points.items()}
        finite = [v for v in values.values() if np.isfinite(v)]
        lowest = min(finite)
        for name, p in cast_points.items():
            certificate = ufm.certify(problem, p)
            bound, gap = float(certificate.lower_bound), float(certificate.gap)
            if bound > lowest or (np.isfinite(values[name]) and not gap >= 0):
                bad.append((dtype, name, bound, lowest))
            COUNTS[dtype, "bounded" if np.isfinite(bound) else int(certificate.status)] += 1
            if name == "solved" and bound > -np.inf and lowest > 0:
                GAPS[dtype, drawn.loss].append((lowest - bound) / lowest)
    return bad


def batch(name: str, bias: str, kind: str, size: int, seed: int, dtype: str = "float64") -> tuple[int, int]:
    """(violations, points) of `size` problems of one structure in one program: random points, saturated ones, and good ones.

    A good point is the lowest of many, not a solved one: bounds must be below it all the same.
    """
    rng = np.random.default_rng(seed)
    problems = [draw(rng, (kind,), (name,), bias, WIDE).problem for _ in range(size)]
    first = problems[0]
    stacked = jax.tree.map(lambda *x: jnp.stack(x).astype(dtype), *problems)
    keys = jax.random.split(jax.random.key(seed), size)

    @jax.jit
    def tried(problem: Problem, key: jax.Array):
        points = [ufm.initialize(problem, k, s) for k, s in zip(jax.random.split(key, 4), (0.01, 0.3, 1.0, 5.0), strict=True)]
        if first.features != "sphere":
            aligned = points[1]._replace(weights=tuple(jnp.eye(*W.shape, dtype=W.dtype) for W in points[1].weights))
            H = first.targets[: first.widths[0]] - 1 / K
            H = jnp.maximum(H, 0) if first.features == "nonnegative" else H
            aligned = aligned._replace(H=jnp.zeros_like(aligned.H).at[: H.shape[0]].set(H.astype(dtype)))
            points += [jax.tree.map(lambda x, s=s: s * x, aligned) for s in (0.0, 0.3, 2.0, 6.0, 30.0)]
        wide = jax.tree.map(lambda x: x.astype(float), problem)

        def one(p: Params):
            certificate = ufm.certify(problem, p)
            value = ufm.objective(wide, along_domain(wide, jax.tree.map(lambda x: x.astype(float), p)))
            return value, certificate.lower_bound.astype(float), certificate.gap

        return jax.vmap(one)(jax.tree.map(lambda *x: jnp.stack(x), *points))

    values, bounds, gaps = (np.asarray(x) for x in jax.vmap(tried)(stacked, keys))
    lowest = np.nanmin(np.where(np.isfinite(values), values, np.inf), axis=1, keepdims=True)
    bad = (bounds > lowest) | (np.isfinite(values) & np.isfinite(gaps) & (gaps < 0)) | np.isnan(bounds)
    for i, j in np.argwhere(bad):
        print(
            f"{name} {bias} {kind} {dtype} problem {i} point {j}: {bounds[i, j]!r} > {lowest[i, 0]!r}, value {values[i, j]!r}",
            flush=True,
        )
    return int(bad.sum()), bad.size


VALUE = jax.jit(ufm.objective)
COUNTS: collections.Counter = collections.Counter()
GAPS: dict = collections.defaultdict(list)


def main(problems: int, seed: int) -> int:
    """Draw, bound, count; the number of violations."""
    rng, violations, tried = np.random.default_rng(seed), 0, collections.Counter()
    for number in range(problems):
        drawn = draw(rng)
        at = points(drawn.problem, rng, solve=number % 2 == 0)
        tried[drawn.kind] += 1
        for dtype, name, bound, lowest in excesses(drawn, at):
            violations += 1
            what = f"{drawn.kind}, {drawn.loss}, {drawn.problem.bias}"
            print(f"problem {number} ({what}) {dtype} {name}: {bound!r} > {lowest!r}", flush=True)
        if number % 20 == 19:
            print(number + 1, "problems", dict(COUNTS), violations, "violations", flush=True)
            jax.clear_caches() if number % 200 == 199 else None
    for key, gaps in sorted(GAPS.items()):
        print(*key, f"median gap {np.median(gaps):.1e} of {len(gaps)} solved points")
    print(dict(tried))
    return violations


def every_batch(size: int, seed: int) -> int:
    """`batch` over all losses, bias modes, kinds and both dtypes; the number of violations."""
    violations, points = 0, 0
    for number, (name, kind) in enumerate((n, k) for n in (*BASIC, *OTHERS) for k in dict.fromkeys(KINDS)):
        for bias in BIASES:
            if (name == "pld" and bias == "free") or (name == "squared_hinge" and kind == "smoothed"):
                continue
            if name in OTHERS and kind in ("smoothed", "deep"):
                continue
            for dtype in ("float64", "float32"):
                bad, tried = batch(name, bias, kind, size, seed + number, dtype)
                violations, points = violations + bad, points + tried
                jax.clear_caches()
        print(f"{name} {kind}: {points} points, {violations} violations", flush=True)
    return violations


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--problems", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch", type=int, default=0, help="problems a structure, many in one program, in place of single ones")
    arguments = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    run = every_batch(arguments.batch, arguments.seed) if arguments.batch else main(arguments.problems, arguments.seed)
    sys.exit(min(run, 1))
