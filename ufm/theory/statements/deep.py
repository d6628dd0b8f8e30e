"""Instances of several trained layers: modes of squared error, the ray of two classes, else one critical point of that value.

The sum of modes is min f by von Neumann's inequality, and two classes have one logit difference, by theorems proved on paper. The
bound that asks for neither, `ufm.proofs.profile`, takes seconds.
"""

import numpy as np

from ufm.losses import CE, MSE, is_loss
from ufm.problem import Problem, is_one_hot
from ufm.problem.meant import exact, exact_ridges
from ufm.problem.params import Params
from ufm.proofs import Proof, critical, unproved
from ufm.proofs.equations import simplex_ray, squared_error_balanced, squared_error_centred, squared_error_modes
from ufm.theory.proving import counts_of, samples_of


def proved_deep(problem: Problem, params: Params) -> Proof:
    """The minimum where an equation gives it, else that params are next to a critical point of the value enclosed."""
    plain = is_one_hot(problem.design) and problem.features == "free" and problem.classifier is None and problem.H0 is None
    if not plain or np.ptp(np.asarray(problem.weight)) or problem.weight[0] != 1 or problem.scale != 1:
        return unproved("several trained layers are proved for plain one-hot classes alone")
    counts, ridges, N = counts_of(problem), exact_ridges(problem), samples_of(problem)
    balanced, K, bias = len(set(counts)) == 1 and sum(counts) == N, problem.classes, problem.bias
    if is_loss(problem.loss, MSE):
        rank = min(problem.widths)
        if balanced:
            l2_b = exact(problem, "l2_b")[()] if bias == "ridge" else None
            return squared_error_balanced(K, counts[0], ridges, bias=bias, l2_b=l2_b, rank=rank)
        if bias == "none":
            return squared_error_modes(sorted(counts, reverse=True), N, ridges, rank=rank)
        if bias == "free":
            return squared_error_centred(counts, ridges, rank=rank)
    if is_loss(problem.loss, CE) and balanced and K == 2:
        return simplex_ray(2, counts[0], ridges)
    return critical(problem, params, digits=15)
