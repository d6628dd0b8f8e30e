"""NC1, NC2 and NC3 of a point of a problem: what to `record` along a flow or a descent."""

import jax
import jax.numpy as jnp

from ufm.base.checks import refuse
from ufm.metrics.duality import duality_distance
from ufm.metrics.geometry import orthogonal_distance, simplex_distance, unit
from ufm.metrics.samples import HIGHEST, class_means, scatter
from ufm.metrics.variability import ratio, scatter_traces
from ufm.problem import Problem
from ufm.problem.params import Params, check_point, end_to_end


def collapse(problem: Problem, params: Params) -> dict[str, jax.Array]:
    """How far a point of a problem has collapsed, in four numbers that are zero at collapse to a simplex.

        NC1  tr S_W / tr S_B of the features
        NC2  distance of the Gram matrix of the centred class means from the simplex
        NC2' distance of that of the uncentred means from the identity, zero for an orthogonal frame in place of a simplex
        NC3  distance of W_M ... W_1 C, C the centred means, from the simplex

    Args:
      problem: one-hot classes, each one run of columns. params: a point of it.

    Returns:
      {"NC1", "NC2", "NC2'", "NC3"}, scalars.

    Raises:
      ValueError: for a problem whose runs of equal columns are not its classes.

    Source: Papyan, Han and Donoho (2020), with the normalised Gram matrices of Zhu et al. (2021).
    """
    check_point(problem, params)
    K = problem.classes
    if len(problem.groups) != K:
        refuse("problem", problem, f"of one run of columns a class, {K} in all (it has {len(problem.groups)})")
    features = params.H / problem.multiplicity[None, :] ** 0.5
    s = scatter(features, problem.labels, K, problem.multiplicity, "samples", 1)
    means = unit(class_means(features, problem.labels, K, problem.multiplicity, samples_axis=1))
    within, between = scatter_traces(s)
    W = end_to_end(problem, params.weights)
    return {
        "NC1": ratio(within, between),
        "NC2": simplex_distance(jnp.matmul(s.centred.T, s.centred, precision=HIGHEST)),
        "NC2'": orthogonal_distance(jnp.matmul(means.T, means, precision=HIGHEST)),
        "NC3": duality_distance(W, s.centred),
    }
