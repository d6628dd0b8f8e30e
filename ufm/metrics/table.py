"""All metrics of trained features and their classifier at once, in float64, from moments: what `ufm metrics` prints.

Each comes with what it is at full collapse to the self-dual simplex, of equal counts, which is where theory puts cross-entropy
and MSE with a bias; without one MSE goes to the orthogonal frame, which the uncentred rows tell apart.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ufm.base.checks import check_choice, check_count, check_finite, check_positive, check_shape
from ufm.base.printed import Printed
from ufm.base.programs import make_room_for
from ufm.metrics.duality import bias_relation, duality_distance, gnc3, nc3_distance, unc3
from ufm.metrics.geometry import normalised_distance, orthogonal_distance, simplex_distance, unit
from ufm.metrics.ranks import effective_rank, nuclear_rank, stable_rank
from ufm.metrics.samples import Scatter
from ufm.metrics.streaming import Decisions, Moments, centre_of, scatter_of
from ufm.metrics.uniformity import cosines, equiangularity, equinorm, gnc2, log_equinorm
from ufm.metrics.variability import ratio, scatter_cdnv, scatter_nc1, scatter_rank, scatter_traces, scatter_vci


def _apart(K: int) -> float:
    """Between the Gram matrices of the simplex and of the orthogonal frame."""
    return np.sqrt(2 - 2 * np.sqrt(1 - 1 / K))


# name: (value at the collapsed self-dual simplex of K classes, meaning)
MEANINGS: dict[str, tuple[Any, str]] = {
    "nc1": (0, "NC1: variance within classes in units of the class means, tr(S_W S_B^+)/K"),
    "nc1_trace_ratio": (0, "NC1: variance within over between classes, tr S_W / tr S_B"),
    "nc1_weak": (0, "NC1: share of the variance that lies within classes"),
    "vci": (0, "NC1: 1 - tr((S_W + S_B)^+ S_B)/min(d, K - 1)"),
    "cdnv": (0, "NC1: variance of two classes over their distance, mean over pairs"),
    "simplex_distance": (0, "NC2: Gram matrix of the centred means from the simplex"),
    "orthogonal_distance": (_apart, "NC2: Gram matrix of the uncentred means from the identity"),
    "equinorm": (0, "NC2: lengths of the centred means, std/mean"),
    "log_equinorm": (0, "NC2: variance of the logarithms of these lengths"),
    "cosine_mean": (lambda K: -1 / (K - 1), "NC2: cosine of two centred means, mean over pairs"),
    "cosine_std": (0, "NC2: standard deviation of these cosines"),
    "equiangularity": (0, "NC2: mean |cosine + 1/(K-1)|"),
    "minority_cosine": (lambda K: -1 / (K - 1), "cosine of two means of classes smaller than the average; 1: minority collapse"),
    "gnc2_distance": (lambda K: np.sqrt(2 * K / (K - 1)), "GNC2: distance of two directions, mean over pairs"),
    "gnc2_log": (lambda K: -np.log(2 * K / (K - 1)) / 2, "GNC2: log of the inverse distance, mean; lower is more even"),
    "gnc2_log_std": (0, "GNC2: standard deviation of these logarithms"),
    "gnc2_riesz_cov": (0, "GNC2: distances to the power 2 - d, std/mean"),
    "numerical_rank": (lambda K: K - 1, "rank of the centred means"),
    "nuclear_rank": (lambda K: K - 1, "(nuclear/Frobenius norm)^2 of the centred means"),
    "stable_rank": (lambda K: K - 1, "(Frobenius/spectral norm)^2 of the centred means"),
    "effective_rank": (lambda K: K - 1, "exp of the entropy of their singular values"),
    "W_simplex_distance": (0, "NC2: W W^T from the simplex"),
    "W_orthogonal_distance": (_apart, "NC2: W W^T from the identity"),
    "W_equinorm": (0, "NC2: lengths of the rows of W, std/mean"),
    "W_equiangularity": (0, "NC2: mean |cosine + 1/(K-1)| of two rows of W"),
    "nc3": (0, "NC3: W C from the simplex, C the centred means"),
    "nc3_orthogonal": (_apart, "NC3: W M from the identity, M the uncentred means"),
    "nc3_alignment": (0, "NC3: |W/|W| - C^T/|C||"),
    "nc3_alignment_uncentred": (0, "NC3: |W/|W| - M^T/|M||"),
    "nc3_distance": (0, "NC3: distance of the directions of w_k and c_k, mean over classes"),
    "gnc3": (0, "GNC3: 1 - cosine of w_k and c_k, mean over classes"),
    "unc3_variance": (0, "UNC3: variance of these cosines over classes"),
    "unc3_dot_cov": (0, "UNC3: dot products of w_k and c_k, std/mean"),
    "bias_relation": (0, "|W g + b|, g the global mean; 0 where b undoes it"),
    "nc4": (1, "NC4: share of samples on which W and the nearest mean agree"),
    "accuracy": (1, "share of samples that W gives their class"),
    "nearest_mean_accuracy": (1, "share of samples whose nearest mean is that of their class"),
    "cosine_margin": (lambda K: K / (K - 1), "cosine with the own row of W minus the best other, mean"),
}


class Metric(NamedTuple):
    """One line of a summary. ideal: the value at the collapsed, self-dual simplex of as many classes."""

    name: str
    value: float
    ideal: float
    meaning: str


class Summary(Printed, tuple[Metric, ...]):
    """Metrics in the order of `MEANINGS`. Prints as a table."""

    def __rich__(self) -> Any:
        from rich.table import Table
        from rich.text import Text

        table = Table(show_edge=False)
        for name in ("metric", "value", "at collapse", "meaning"):
            numeric = name in ("value", "at collapse")
            table.add_column(name, justify="right" if numeric else "left", no_wrap=name != "meaning")
        for m in self:
            table.add_row(m.name, f"{m.value:.5g}", f"{m.ideal:.5g}", Text(m.meaning))
        return table


def summary(
    state: Moments,
    classifier: Any = None,
    bias: Any = None,
    decisions: Decisions | None = None,
    *,
    global_mean: str = "samples",
    exponent: float = 1.0,
    ddof: int = 0,
) -> Summary:
    """All metrics that moments, a classifier and decisions allow, computed in float64 also where x64 is off.

    Args:
      state: moments of samples of every class.
      classifier: W, shape (K, d), or None. bias: b, shape (K,), or None.
      decisions: sums of the second pass, or None.
      global_mean: "samples" or "classes". exponent: r of `cdnv`.
      ddof: of the variances of `cdnv` (over samples), of lengths and of `unc3` (over classes).

    Returns:
      Metrics in the order of `MEANINGS`, a tuple that prints as a table.

    Raises:
      ValueError: for a class without samples (or with ddof or fewer), a classifier or bias of another shape, or a bad option.
    """
    check_choice("global_mean", global_mean, ("samples", "classes"))
    check_positive("exponent", exponent)
    check_count("ddof", ddof, 0)
    K = state.counts.size
    smallest = float(np.min(state.counts))
    if ddof >= min(smallest, K):
        raise ValueError(f"ddof must be below the number of classes and every class size, got {ddof} for {K} and {smallest:g}")
    if classifier is not None:
        check_shape("classifier", classifier, state.means.T.shape)
        check_finite("classifier", classifier)
        classifier = np.asarray(classifier, float)
    if bias is not None:
        check_shape("bias", bias, (K,))
        check_finite("bias", bias)
    make_room_for(state, classifier, bias)
    minority = state.counts < np.mean(state.counts)
    with jax.enable_x64(True):
        s = scatter_of(state, global_mean)
        found = _of_means(s, state.means, exponent, ddof)
        if np.sum(minority) > 1:
            found["minority_cosine"] = cosines(s.centred, minority).mean
        if classifier is not None:
            found |= _of_classifier(classifier, s.unit * s.centred, state.means, ddof)
        if classifier is not None and bias is not None:
            found["bias_relation"] = bias_relation(classifier, centre_of(state, global_mean), np.asarray(bias, float))
    if decisions is not None:
        said = ("agree", "classifier", "nearest", "margins")
        shares = [getattr(decisions, name) / decisions.samples for name in said]
        found |= dict(zip(("nc4", "accuracy", "nearest_mean_accuracy", "cosine_margin"), shares, strict=True))
    return Summary(
        Metric(name, float(found[name]), float(ideal(K) if callable(ideal) else ideal), meaning)
        for name, (ideal, meaning) in MEANINGS.items()
        if name in found
    )


@partial(jax.jit, static_argnames="ddof")
def _of_means(s: Scatter, means: jax.Array, exponent: jax.Array, ddof: int) -> dict[str, jax.Array]:
    within, between = scatter_traces(s)
    pairs, log = cosines(s.centred), gnc2(s.centred)
    means = unit(means)
    found = {
        "nc1": scatter_nc1(s),
        "nc1_trace_ratio": ratio(within, between),
        "nc1_weak": ratio(within, within + between),
        "vci": scatter_vci(s),
        "cdnv": scatter_cdnv(s, exponent, ddof),
        "simplex_distance": simplex_distance(s.centred.T @ s.centred),
        "orthogonal_distance": orthogonal_distance(means.T @ means),
        "equinorm": equinorm(s.centred, ddof=ddof),
        "log_equinorm": log_equinorm(s.centred, ddof=ddof).variance,
        "cosine_mean": pairs.mean,
        "cosine_std": jnp.sqrt(pairs.variance),
        "equiangularity": equiangularity(s.centred),
        "gnc2_distance": gnc2(s.centred, "distance").mean,
        "gnc2_log": log.mean,
        "gnc2_log_std": jnp.sqrt(log.variance),
        "numerical_rank": scatter_rank(s),
        "nuclear_rank": nuclear_rank(s.centred),
        "stable_rank": stable_rank(s.centred),
        "effective_rank": effective_rank(s.centred),
    }
    if s.centred.shape[0] > 2:
        found["gnc2_riesz_cov"] = gnc2(s.centred, "riesz").cov
    return found


@partial(jax.jit, static_argnames="ddof")
def _of_classifier(W: jax.Array, C: jax.Array, means: jax.Array, ddof: int) -> dict[str, jax.Array]:
    rows, directions = unit(W), unit(means)
    return {
        "W_simplex_distance": simplex_distance(rows @ rows.T),
        "W_orthogonal_distance": orthogonal_distance(rows @ rows.T),
        "W_equinorm": equinorm(W.T, ddof=ddof),
        "W_equiangularity": equiangularity(W.T),
        "nc3": duality_distance(W, C),
        "nc3_orthogonal": orthogonal_distance(rows @ directions),
        "nc3_alignment": normalised_distance(W, C.T),
        "nc3_alignment_uncentred": normalised_distance(W, means.T),
        "nc3_distance": nc3_distance(W, C),
        "gnc3": gnc3(W, C),
        "unc3_variance": unc3(W, C, ddof=ddof).variance,
        "unc3_dot_cov": unc3(W, C, "dot", ddof=ddof).cov,
    }
