"""Class counts of long-tailed benchmarks and of step imbalance, and the problem of such counts with one column a class.

    exponential_counts(10, 5000, 100)    CIFAR-10-LT of Cao et al. 2019 at imbalance ratio 100
    step_counts(10, 5000, 100)           half of the classes a hundred times rarer
    imagenet_lt_counts()                 a reconstruction of ImageNet-LT
"""

from typing import Any

import numpy as np

from ufm.base.checks import check_count, check_positive, refuse
from ufm.problem import Problem

PROFILES = {"cifar10": (10, 5000), "cifar100": (100, 500), "imagenet": (1000, 1280)}
"""Benchmarks with long tails: classes, and samples of the largest."""

_IMAGENET = {"classes": 1000, "largest": 1280, "smallest": 5, "total": 115_846, "alpha": 6.0}


def exponential_counts(classes: int, largest: int, ratio: float = 100.0) -> tuple[int, ...]:
    """Exponential long tail: n_k = floor(largest ratio^(-k/(K-1))), k = 0..K-1, truncated towards zero as in the public code.

    Args:
      classes: K >= 2.
      largest: samples of the most frequent class: 5000 for CIFAR-10-LT, 500 for CIFAR-100-LT.
      ratio: largest over smallest class, at least 1.

    Returns:
      K whole numbers, descending.

    Raises:
      ValueError: naming the argument; for a ratio that leaves the rarest class empty.

    Source: Cui, Jia, Lin, Song, Belongie 2019, arXiv 1901.05555 (profile); Cao, Wei, Gaidon, Arechiga, Ma 2019, arXiv 1906.07413.

    >>> exponential_counts(10, 5000)
    (5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50)
    """
    _check_profile(classes, largest, ratio)
    # in the order of operations of the published code, which truncation sees: 49.99... or 50
    return tuple(int(largest * (1 / ratio) ** (k / (classes - 1.0))) for k in range(classes))


def step_counts(classes: int, largest: int, ratio: float = 100.0, rare: int | None = None) -> tuple[int, ...]:
    """Step imbalance: K - rare classes of `largest` samples, then `rare` ones of floor(largest/ratio).

    Args:
      classes, largest, ratio: as for `exponential_counts`.
      rare: how many classes are rare, by default K // 2.

    Returns:
      K whole numbers, descending.

    Raises:
      ValueError: naming the argument, the value and what is allowed.

    Source: Buda, Maki, Mazurowski 2018; Cao et al. 2019.
    """
    _check_profile(classes, largest, ratio)
    rare = classes // 2 if rare is None else rare
    check_count("rare", rare, 0)
    if rare > classes:
        refuse("rare", rare, f"at most the {classes} classes")
    return (largest,) * (classes - rare) + (int(largest / ratio),) * rare


def imagenet_lt_counts() -> tuple[int, ...]:
    """ImageNet-LT, reconstructed: 1000 classes of 1280 down to 5 images, 115,846 in all.

    The published list was drawn from a Pareto distribution of power 6. Here n_k = 5 + 1275 (x_k - x_999)/(x_0 - x_999) with
    quantiles x_k = ((k + a)/1000)^(-1/6) of that distribution; a = 0.79 meets the total, and the largest fractions are rounded
    up. Endpoints and total are those of the data set, single counts are not.

    Returns:
      1000 whole numbers, descending.

    Source: Liu, Miao, Zhan, Wang, Gong, Yu 2019, Large-scale long-tailed recognition in an open world, arXiv 1904.05160.
    """
    K, largest, smallest, total, alpha = _IMAGENET.values()
    low, high = 0.01, 10.0
    for _ in range(60):  # the total grows with a
        a = 0.5 * (low + high)
        x = ((np.arange(K) + a) / K) ** (-1 / alpha)
        sizes = smallest + (largest - smallest) * ((x - x[-1]) / (x[0] - x[-1]))
        low, high = (a, high) if sizes.sum() < total else (low, a)
    counts = np.floor(sizes).astype(int)
    counts[np.argsort(counts - sizes, kind="stable")[: total - counts.sum()]] += 1
    return tuple(int(n) for n in np.sort(counts)[::-1])


def long_tail_problem(counts: Any, dim: int | None = None, **choices: Any) -> Problem:
    """Cross-entropy on classes of the given sizes, one column for each class: exact for the minimum, by within-class collapse.

    Args:
      counts: (n_1, ..., n_K), whole numbers of at least 1, K >= 2.
      dim: d, by default K.
      **choices: as in `Problem.from_targets` (l2_W, l2_H, features, bias, ...).

    Returns:
      Problem of K columns of multiplicity n_k.

    Raises:
      ValueError: naming the argument, the value and what is allowed.
    """
    counts = check_counts(counts)
    for name in sorted({"multiplicity", "samples"} & set(choices)):
        refuse(name, choices[name], "left out: it follows from the counts")
    classes = len(counts)
    return Problem.from_targets(
        np.eye(classes), classes if dim is None else dim, multiplicity=np.array(counts, float), **({"loss": "ce"} | choices)
    )


def check_counts(counts: Any) -> tuple[int, ...]:
    """The counts as a tuple of Python numbers.

    Raises:
      ValueError: for anything but whole numbers of at least 1, two or more.
    """
    if not isinstance(counts, tuple | list | np.ndarray) or len(counts) < 2:
        refuse("counts", counts, "the sizes of at least 2 classes")
    for count in counts:
        check_count("counts", count, 1)
    return tuple(int(n) for n in counts)


def _check_profile(classes: int, largest: int, ratio: float) -> None:
    check_count("classes", classes, 2)
    check_count("largest", largest, 1)
    check_positive("ratio", ratio)
    if not 1 <= ratio <= largest:
        refuse("ratio", ratio, f"from 1 to the {largest} samples of the largest class, for no class to be empty")
