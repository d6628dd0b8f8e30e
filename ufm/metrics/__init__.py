"""Metrics of neural collapse: pure functions of (features, labels, classifier), safe to jit and vmap.

Features are (d, N) with samples as columns, W is (K, d), vectors are the columns of (d, K). A float32 array gives what its
float64 copy gives, up to rounding of the answer, with any common offset of the features and at full collapse.

    question                                  metrics                                              module
    class means, their Gram matrix            class_means centred_means overall_mean mean_gram     samples
    NC1  do samples of a class agree?         nc1 nc1_trace_ratio nc1_weak vci cdnv                variability
    NC2  are the means a simplex?             simplex_distance orthogonal_distance                 geometry
                                              general_orthogonal_distance
    NC2  equal lengths, equal angles?         equinorm log_equinorm cosines equiangularity         uniformity
    GNC2 are directions spread evenly?        gnc2                                                 uniformity
         far from the hull of the others?   one_vs_rest_distance                               ufm.frames
    NC3  does W point along the means?        nc3 nc3_alignment nc3_distance gnc3                  duality
    UNC3 equally so in all classes?           unc3                                                 duality
    does the bias undo the global mean?       bias_relation                                        duality
    NC4  is the nearest mean what W says?     nc4                                                  decisions
    by what angle is a sample right?          cosine_margins                                       decisions
    NC5  are others orthogonal to the means?  nc5                                                  geometry
    how many directions are in use?           numerical_rank nuclear_rank stable_rank              ranks
                                              effective_rank class_ranks
    do two losses pull the same way?          gradient_conflict align_gradients pull_push          conflict
    all of them at once, in float64           summary                                              table
    NC1 to NC3 of a point, for `record`       collapse                                             collapse
    features larger than memory               moments merge decide summary                         streaming

Imports base, problem, frames.
"""

from ufm.frames import one_vs_rest_distance
from ufm.metrics import cards, streaming  # noqa: F401  (cards: registers those of its values)
from ufm.metrics.conflict import Conflict, PullPush, align_gradients, gradient_conflict, pull_push
from ufm.metrics.decisions import cosine_margins, nc4
from ufm.metrics.duality import bias_relation, gnc3, nc3, nc3_alignment, nc3_distance, unc3
from ufm.metrics.geometry import general_orthogonal_distance, nc5, orthogonal_distance, simplex_distance
from ufm.metrics.neural_collapse import collapse
from ufm.metrics.ranks import class_ranks, effective_rank, nuclear_rank, numerical_rank, stable_rank
from ufm.metrics.samples import centred_means, class_means, mean_gram, overall_mean
from ufm.metrics.table import summary
from ufm.metrics.uniformity import Statistics, cosines, equiangularity, equinorm, gnc2, log_equinorm
from ufm.metrics.variability import cdnv, nc1, nc1_trace_ratio, nc1_weak, vci

__all__ = [
    "Conflict",
    "PullPush",
    "Statistics",
    "align_gradients",
    "bias_relation",
    "cdnv",
    "centred_means",
    "class_means",
    "class_ranks",
    "collapse",
    "cosine_margins",
    "cosines",
    "effective_rank",
    "equiangularity",
    "equinorm",
    "general_orthogonal_distance",
    "gnc2",
    "gnc3",
    "gradient_conflict",
    "log_equinorm",
    "mean_gram",
    "nc1",
    "nc1_trace_ratio",
    "nc1_weak",
    "nc3",
    "nc3_alignment",
    "nc3_distance",
    "nc4",
    "nc5",
    "nuclear_rank",
    "numerical_rank",
    "one_vs_rest_distance",
    "orthogonal_distance",
    "overall_mean",
    "pull_push",
    "simplex_distance",
    "stable_rank",
    "streaming",
    "summary",
    "unc3",
    "vci",
]


def __dir__() -> list[str]:
    """The public names, for completion."""
    return __all__
