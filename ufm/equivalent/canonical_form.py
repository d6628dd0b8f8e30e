"""The smallest problem of the same minimum: one column a class, and no width above what classes and columns span."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

from ufm.equivalent.columns import spread_columns
from ufm.equivalent.standard import resize
from ufm.equivalent.widths import spanned_width
from ufm.problem import Problem, recognised
from ufm.problem.params import Params


class Canonical(NamedTuple):
    """A problem of the same minimum, and the map from its points to points of the problem it came from, of the same value."""

    problem: Problem
    lift: Callable[[Params], Params]


def canonical(problem: Problem) -> Canonical:
    """The smallest equivalent problem: what there is to find costs what its classes cost, however many samples there are.

    Equal columns become one where that is exact for the minimum (`merges`), widths are cut to K + C where features and classifier
    are trained and free, and the design is the sharpest that known numbers prove.

    Args:
      problem: any problem; jit, vmap and grad go through its numbers.

    Returns:
      Canonical. A minimum of its problem can be looked at as it is (`ufm.identify`, `ufm.metrics`, ...), and lifted where single
      samples matter.

    Example:
      >>> canonical(Problem.balanced(classes=3, per_class=1000, widths=512, loss="ce", l2_W=1e-3, l2_H=1e-3)).problem
      Problem(ce, K=3, n=1000, widths=(6,), bias=none, l2_W=0.001, l2_H=0.001)
    """
    own = problem.collapsed() if merges(problem) else problem
    small = dataclasses.replace(own, design=recognised(own.design))
    if problem.features == "free" and problem.classifier is None and problem.H0 is None:
        size = spanned_width(small.classes, small.columns)
        small = dataclasses.replace(small, widths=tuple(min(d, size) for d in small.widths))

    def lift(params: Params) -> Params:
        params = resize(own, params)
        return params if own is problem else spread_columns(problem, params)

    return Canonical(small, lift)


def merges(problem: Problem) -> bool:
    """Whether equal columns have equal features at the minimum, so that one column stands for them.

    For fixed weights a convex loss with its ridge is convex in each feature, and the mean of the features of equal columns is no
    worse than they are. A proximity term tells columns apart, and no mean of unit vectors is one.
    """
    return problem.loss.convex and problem.features != "sphere" and problem.H0 is None
