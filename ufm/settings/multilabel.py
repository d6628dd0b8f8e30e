"""Multi-label problems under the pick-all-labels loss (setting of Li, Li, Wang, Qu 2024, arXiv 2310.15903).

A sample has a set S of labels and pays cross-entropy for each of them, which is one cross-entropy of soft targets:

    sum_{k in S} CE(z, e_k) = |S| CE(z, q_S),    q_S uniform on S

so that a set of labels is a column of weight |S| whose multiplicity is the number of its samples.
"""

import math
from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np

from ufm.base.checks import array_module, check_count, refuse
from ufm.problem import Problem

_MOST_SETS = 100_000


def multi_label_problem(classes: int, samples: Mapping[int, Any], dim: int, **choices: Any) -> Problem:
    """Every set of m labels has samples[m] samples, for each of the numbers of labels m given.

    Args:
      classes: K >= 2.
      samples: {m: n_m}, samples of each of the C(K, m) sets of m labels, 1 <= m < K. All K labels at once say nothing of a
        sample: whatever its logits, they are best equal, and its feature is zero.
      dim: d.
      **choices: l2_W, l2_H, bias, ... as in `Problem.from_targets`.

    Returns:
      Problem of one column a label set: those of the first m in lexicographic order, then of the next m.

    Raises:
      ValueError: naming the argument, the value given and what is allowed.

    Source: Li, Li, Wang, Qu (2024).

    >>> multi_label_problem(4, {1: 2, 2: 1}, 4, l2_W=1e-3, l2_H=1e-3)
    Problem(ce, K=4, columns=10, widths=(4,), bias=none, l2_W=0.001, l2_H=0.001)
    """
    check_count("classes", classes, 2)
    if not isinstance(samples, Mapping) or not samples:
        refuse("samples", samples, "{m: samples of each set of m labels} for at least one m")
    for m in samples:
        _check_labels("samples", m, m, classes)
    size = sum(math.comb(classes, m) for m in samples)
    if size > _MOST_SETS:
        refuse("samples", samples, f"for at most {_MOST_SETS} label sets in all, here {size}: give a design of some of them")
    return label_set_problem(classes, {S: n for m, n in samples.items() for S in combinations(range(classes), m)}, dim, **choices)


def label_set_problem(classes: int, samples: Mapping[tuple[int, ...], Any], dim: int, **choices: Any) -> Problem:
    """Given label sets, each with its number of samples.

    Args:
      classes: K >= 2.
      samples: {(k_1, ..., k_m): n_S}, sets of different labels in 0, ..., K - 1, with 1 <= m < K; n_S above zero.
      dim: d.
      **choices: l2_W, l2_H, bias, ... as in `Problem.from_targets`.

    Returns:
      Problem of one column a label set, in the order given.

    Raises:
      ValueError: naming the argument, the value given and what is allowed.
    """
    check_count("classes", classes, 2)
    if not isinstance(samples, Mapping) or not samples:
        refuse("samples", samples, "{label set: its samples} for at least one set")
    targets = np.zeros((classes, len(samples)))
    for column, S in enumerate(samples):
        if not isinstance(S, tuple | frozenset) or len(set(S)) != len(S) or not all(_is_label(k, classes) for k in S):
            refuse("samples", S, f"sets of different labels in 0, ..., {classes - 1}, as tuples")
        _check_labels("samples", S, len(S), classes)
        targets[list(S), column] = 1 / len(S)
    if len({frozenset(S) for S in samples}) < len(samples):
        refuse("samples", tuple(samples), "label sets that differ as sets: add the samples of equal ones")
    counts = list(samples.values())
    multiplicity = array_module(*counts).asarray(counts)
    sizes = np.array([float(len(S)) for S in samples])
    return Problem.from_targets(
        targets, dim, loss="ce", weight=sizes, multiplicity=multiplicity, groups=(1,) * len(samples), **choices
    )


def _is_label(k: Any, classes: int) -> bool:
    return isinstance(k, int | np.integer) and not isinstance(k, bool) and bool(0 <= k < classes)


def _check_labels(name: str, given: Any, m: Any, classes: int) -> None:
    """Refuse numbers of labels outside 1, ..., K - 1."""
    if not isinstance(m, int | np.integer) or isinstance(m, bool) or not 1 <= m < classes:
        refuse(name, given, f"sets of 1 to {classes - 1} labels of {classes}: all labels at once carry no information")
