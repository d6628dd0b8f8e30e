"""Minority collapse of long-tailed benchmarks, predicted and measured: `ufm longtail`.

For the class counts of a benchmark and two ridges, class by class (or by deciles of classes): what the closed forms say, and the
minimum of the cross-entropy model that optimisation finds, with a certificate of how far from global it can be.

    nonnegative features   margins and norms of all classes, zero iff n_k <= N^2 l2_W l2_H K/(K-1)          relu-imbalance
    free features          classes of one size n are one point iff n <= N^2 l2_W l2_H                       group-merge
                           everything is zero iff |(I - J/K) diag(n) (I - J/K)|_2 <= N^2 l2_W l2_H          total-collapse
                           all numbers for one or two different sizes                                       two-group-ce
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ufm.base.checks import check_choice, check_positive, check_seed, refuse
from ufm.base.status import Status
from ufm.duality import certify
from ufm.features.long_tail_report import ClassFigures, LongTailReport
from ufm.problem import Problem, is_balanced
from ufm.problem.params import Params, logits
from ufm.search.grouped import class_sizes, solve_grouped
from ufm.search.solution import solve
from ufm.settings.long_tail import check_counts, long_tail_problem
from ufm.theory.imbalance.nonnegative import critical_size
from ufm.theory.imbalance.thresholds import largest_eigenvalue
from ufm.theory.imbalance.two_groups import two_sizes
from ufm.theory.registry import predict
from ufm.theory.theorem import key_of

_SOLVED_UP_TO = 128  # classes: more are searched through the reduction to class sizes
_SIZES_UP_TO = 512
_STEPS = 1500  # of such a search: about a minute for a thousand classes
_DISTURBED = 0.3
_APART = 1e-3  # of the largest feature norm: closer classes are one point; near a threshold they part like its distance to it


def long_tail(
    counts: Any,
    *,
    l2_W: float | None = None,
    l2_H: float | None = None,
    features: str = "free",
    seed: int = 0,
    source: str = "counts",
) -> LongTailReport:
    """Predict and measure the collapse of classes of the given sizes under cross-entropy.

    Args:
      counts: (n_1, ..., n_K), whole numbers of at least 1, K >= 2.
      l2_W, l2_H: plain ridges; None for both puts the threshold at the geometric mean of the largest and smallest class.
      features: "free" or "nonnegative".
      seed: of the random start. source: what the counts are, for the report.

    Returns:
      LongTailReport.

    Raises:
      ValueError: naming the argument, the value and what is allowed.
    """
    counts = check_counts(counts)
    check_choice("features", features, ("free", "nonnegative"))
    check_seed("seed", seed)
    if (l2_W is None) != (l2_H is None):
        refuse("l2_W and l2_H", (l2_W, l2_H), "both given or both left out")
    if l2_W is None or l2_H is None:
        l2_W = l2_H = math.sqrt(math.sqrt(max(counts) * min(counts))) / sum(counts)
    for name, ridge in (("l2_W", l2_W), ("l2_H", l2_H)):
        check_positive(name, ridge)
    problem = long_tail_problem(counts, l2_W=l2_W, l2_H=l2_H, features=features)
    n, shared = np.array(counts), np.ones(len(counts), bool)
    if features == "nonnegative":
        threshold = float(critical_size(problem))
    else:
        threshold = float(problem.samples**2 * problem.l2_W[0] * problem.l2_H)
        sizes = class_sizes(problem)
        shared = (sizes.members > 1)[sizes.group]
    prediction = None
    if features == "nonnegative" or is_balanced(problem.design) or two_sizes(problem):
        prediction = predict(problem)
    params, steps, status, notes = _search(problem, prediction, seed)
    certificates = [certify(problem, p.params) for p in (prediction,) if p is not None]
    certificates += [] if params is None else [certify(problem, params)]
    value = float(certificates[-1].value) if certificates else math.nan
    bound = max((float(c.lower_bound) for c in certificates), default=-math.inf)
    return LongTailReport(
        source=source,
        counts=counts,
        l2_W=float(l2_W),
        l2_H=float(l2_H),
        features=features,
        threshold=threshold,
        eigenvalue=float(largest_eigenvalue(problem.counts, "none")),
        thresholded=tuple(bool(size <= threshold) if known else None for size, known in zip(n, shared, strict=True)),
        theorem="" if prediction is None else prediction.theorem,
        predicted=None if prediction is None else class_figures(problem, prediction.params),
        predicted_value=math.nan if prediction is None else float(prediction.value),
        measured=None if params is None else class_figures(problem, params),
        value=value,
        gap=(value - bound) / value,
        steps=steps,
        status=status,
        notes=notes,
    )


def class_figures(problem: Problem, params: Params) -> ClassFigures:
    """Norms, margins and neighbours of the classes at a point of a problem of one column a class and one layer."""
    z = np.asarray(logits(problem, params))
    W, h = np.asarray(params.weights[0]), np.asarray(params.H / jnp.sqrt(problem.multiplicity)[None, :])
    own, K = np.diag(z), problem.classes
    others = np.where(np.eye(K, dtype=bool), -np.inf, z)
    norms = np.linalg.norm(h, axis=0)
    largest = max(np.max(norms), np.finfo(float).tiny)
    dead = norms <= _APART * max(largest, 1e-3)
    unit = h / np.where(norms > 0, norms, 1)[None, :]
    cosines = np.where(np.eye(K, dtype=bool) | dead[None, :] | dead[:, None], -np.inf, unit.T @ unit)
    squares = norms[:, None] ** 2 + norms[None, :] ** 2 - 2 * h.T @ h
    merged = np.min(np.where(np.eye(K, dtype=bool), np.inf, squares), axis=0) <= (_APART * largest) ** 2
    best = np.max(cosines, axis=0)
    return ClassFigures(
        feature_norm=norms,
        classifier_norm=np.linalg.norm(W - W.mean(axis=0), axis=1),
        margin=own - np.max(others, axis=0),
        probability=np.exp(own - np.logaddexp.reduce(z, axis=0)),
        cosine=np.where(np.isfinite(best), best, np.nan),
        collapsed=dead | merged,
    )


def _search(problem: Problem, prediction: Any, seed: int) -> tuple[Params | None, int, str, tuple[str, ...]]:
    """The minimum that is found, the steps, the status in words, and notes."""
    key, K = key_of(seed, "longtail"), problem.classes
    if problem.features == "nonnegative":
        if K > _SOLVED_UP_TO:
            return None, 0, "", (f"not measured: with non-negative features only up to {_SOLVED_UP_TO} classes are searched",)
        # random starts of many classes stop where some share a direction: this one only disturbs an axis for each
        size = np.asarray(problem.multiplicity, float)[None, :] ** 0.25
        noise = np.asarray(jax.random.normal(key, (2, K, K), problem.dtype)) * _DISTURBED / 3
        H = np.abs((np.eye(K) + noise[0]) * size)
        W = (np.eye(K) + noise[1]) * np.mean(size)
        runs = [solve(problem, key, starts=2, max_steps=1000), solve(problem, Params((jnp.asarray(W),), jnp.asarray(H), None))]
        best = min(runs, key=lambda run: float(run.value))
        note = (f"the best of 2 random starts reached {float(runs[0].value):.12g}",) if best is runs[1] else ()
        return best.params, int(best.steps), Status(int(best.status)).text, note
    if K <= _SOLVED_UP_TO:
        run = solve(problem, key)
        return run.params, int(run.steps), Status(int(run.status)).text, ()
    different = len(set(np.asarray(problem.counts).tolist()))
    if different > _SIZES_UP_TO:
        return None, 0, "", (f"not measured: {different} different class sizes, of which at most {_SIZES_UP_TO} are searched",)
    grouped = solve_grouped(problem, key, max_steps=_STEPS)
    said = f"searched in the exact reduction of {K} classes to their {different} different sizes"
    return grouped.params, int(grouped.steps), Status(int(grouped.status)).text, (said,)
