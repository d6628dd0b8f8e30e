"""Other normalisations as plain problems: f_paper(params) = factor * ufm.objective(problem, params), params identical.

Papers differ from the plain normalisation (mean loss, l2/2 times a squared norm) by factors of N, K and 2. A factor in
front moves no minimiser, so each of them is a plain problem with other ridges, and one factor.
Zhu et al. 2021, Zhou et al. 2022 and Dang et al. 2023 are plain already and need no converter.
"""

from typing import Any, NamedTuple

from ufm.base.checks import check_choice, check_non_negative
from ufm.problem.problem import Problem


class Converted(NamedTuple):
    """A plain problem, and the factor with which its objective is the paper's at the same params."""

    problem: Problem
    factor: float


def tirer_bruna(
    counts: Any, widths: Any, *, l2_W: Any, l2_H: Any, l2_b: Any = 0.0, bias: str = "none", smoothing: Any = 0.0
) -> Converted:
    """Squared error with ridges divided by the sizes of their matrices (Tirer & Bruna, ICML 2022).

        |Z - Y|^2 / (2N) + sum_m l2_W[m]/(2K) |W_m|^2 + l2_H/(2N) |H|^2 + l2_b/2 |b|^2,    N = K n

    so that l2_W/K and l2_H/N are the plain ridges and the factor is 1. Write-ups of the two-layer model differ in the
    normaliser of the middle weight: here it is K for every layer, any other goes into l2_W[0].

    Args:
      counts: (n_1, ..., n_K), the class sizes; the paper's are all n.
      widths, smoothing: as in `Problem.imbalanced`.
      l2_W: the paper's ridge, or one a layer; l2_H, l2_b: the paper's ridges of features and bias.
      bias: "none", "free" or "ridge".

    Raises:
      ValueError: naming the argument, the value given and what is allowed.
    """
    given = Problem.imbalanced(counts, widths, bias=bias, smoothing=smoothing, l2_W=l2_W, l2_H=l2_H, l2_b=l2_b)
    return Converted(given.replace(l2_W=given.l2_W / given.classes, l2_H=given.l2_H / given.columns), 1.0)


def torch_training(
    counts: Any,
    widths: Any,
    *,
    weight_decay: Any,
    loss: str = "mse",
    bias: str = "none",
    smoothing: Any = 0.0,
) -> Converted:
    """What PyTorch minimises with a default loss and `weight_decay` in SGD (not the decoupled one of AdamW).

        MSELoss:            |Z - Y|^2 / (N K)      + wd/2 |theta|^2      plain ridge wd K/2, factor 2/K
        CrossEntropyLoss:   mean cross-entropy     + wd/2 |theta|^2      plain ridge wd,     factor 1
        BCEWithLogitsLoss:  mean over N K entries  + wd/2 |theta|^2      plain ridge wd K,   factor 1/K

    with theta all of weights, features and, for bias="ridge", the bias: torch decays every parameter it is given.
    MSELoss averages over entries, not samples, and has no 1/2: the commonest slip between a theorem and its code
    (defaults of torch.nn with reduction="mean", and the update of torch.optim.SGD).

    Args:
      counts, widths: as in `Problem.imbalanced`.
      weight_decay: wd of every parameter group.
      loss: "mse", "ce" or "logistic".
      bias: "none"; "ridge" for a bias decayed like the rest; "free" for one in a group without decay.
      smoothing: label smoothing, as `CrossEntropyLoss(label_smoothing=...)`.

    Raises:
      ValueError: naming the argument, the value given and what is allowed.
    """
    check_choice("loss", loss, ("mse", "ce", "logistic"))
    check_non_negative("weight_decay", weight_decay)
    l2_b = weight_decay if bias == "ridge" else 0.0
    choices = {"loss": loss, "bias": bias, "smoothing": smoothing}
    given = Problem.imbalanced(counts, widths, l2_W=weight_decay, l2_H=weight_decay, l2_b=l2_b, **choices)
    factor = {"mse": 2 / given.classes, "ce": 1.0, "logistic": 1 / given.classes}[loss]
    return Converted(_ridges_times(1 / factor, given), factor)


def summed_loss(
    counts: Any,
    widths: Any,
    *,
    l2_W: Any,
    l2_H: Any,
    l2_b: Any = 0.0,
    loss: Any = "mse",
    bias: str = "none",
    smoothing: Any = 0.0,
) -> Converted:
    """A loss summed over samples, not averaged (reduction="sum"; codes and papers with a bare sum).

        sum_i loss(z_i, y_i) + sum_m l2_W[m]/2 |W_m|^2 + l2_H/2 |H|^2 + l2_b/2 |b|^2

    so that every plain ridge is the given one over N and the factor is N.

    Args:
      counts, widths, loss, bias, smoothing: as in `Problem.imbalanced`.
      l2_W, l2_H, l2_b: ridges beside the summed loss.

    Raises:
      ValueError: naming the argument, the value given and what is allowed.
    """
    choices = {"loss": loss, "bias": bias, "smoothing": smoothing}
    given = Problem.imbalanced(counts, widths, l2_W=l2_W, l2_H=l2_H, l2_b=l2_b, **choices)
    return Converted(_ridges_times(1 / given.columns, given), float(given.columns))


def without_half(
    counts: Any,
    widths: Any,
    *,
    l2_W: Any,
    l2_H: Any,
    l2_b: Any = 0.0,
    loss: Any = "mse",
    bias: str = "none",
    smoothing: Any = 0.0,
) -> Converted:
    """Ridges without the 1/2, beside the plain mean loss.

        sum_i loss(z_i, y_i) / N + sum_m l2_W[m] |W_m|^2 + l2_H |H|^2 + l2_b |b|^2

    so that every plain ridge is twice the given one and the factor is 1 (Keras' `regularizers.L2`; many appendices).

    Args:
      counts, widths, loss, bias, smoothing: as in `Problem.imbalanced`.
      l2_W, l2_H, l2_b: ridges of whole squared norms.

    Raises:
      ValueError: naming the argument, the value given and what is allowed.
    """
    choices = {"loss": loss, "bias": bias, "smoothing": smoothing}
    given = Problem.imbalanced(counts, widths, l2_W=l2_W, l2_H=l2_H, l2_b=l2_b, **choices)
    return Converted(_ridges_times(2, given), 1.0)


def mean_feature_penalty(
    counts: Any,
    widths: Any,
    *,
    l2_W: Any,
    l2_H: Any,
    l2_b: Any = 0.0,
    loss: Any = "mse",
    bias: str = "none",
    smoothing: Any = 0.0,
) -> Converted:
    """Features penalised by their mean squared norm, as in layer-peeled models (after Fang et al. 2021).

        sum_i loss(z_i, y_i) / N + sum_m l2_W[m]/2 |W_m|^2 + l2_H/(2N) |H|^2 + l2_b/2 |b|^2

    so that the plain ridge of the features is l2_H/N and the factor is 1. Thresholds in it do not move with N.

    Args:
      counts, widths, loss, bias, smoothing: as in `Problem.imbalanced`.
      l2_W, l2_b: plain ridges. l2_H: ridge of the mean squared feature norm.

    Raises:
      ValueError: naming the argument, the value given and what is allowed.
    """
    choices = {"loss": loss, "bias": bias, "smoothing": smoothing}
    given = Problem.imbalanced(counts, widths, l2_W=l2_W, l2_H=l2_H, l2_b=l2_b, **choices)
    return Converted(given.replace(l2_H=given.l2_H / given.columns), 1.0)


def _ridges_times(number: float, problem: Problem) -> Problem:
    """The problem with every ridge multiplied; what is wrong was refused before, in the paper's own numbers."""
    return problem.replace(l2_W=number * problem.l2_W, l2_H=number * problem.l2_H, l2_b=number * problem.l2_b)
