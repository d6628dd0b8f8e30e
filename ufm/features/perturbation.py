"""Features of a real network against the proximity model and the unconstrained feature model: `ufm perturb`.

Between layers: next to the features H0 of a layer the minimiser of the proximity model is computed, with

    c = sqrt(K l2_W N l2_H) from the effective ridges of the last layer,
    s = sqrt(N l2_H/(K l2_W)) so that collapsed class means, of squared length (1 - c)/s, are as long as those of the layer,
    beta such that the minimiser is as far from H0 (see `ufm.features.movement`) as the features of the next layer are,

and its NC1 is held against the next layer's, which nothing was fitted to. A pair of ridges, and a beta, that is given is used as
it is; one given ridge of the last layer gives the other by their balance.
Last layer: the trained classifier against the closed-form minimum at its effective ridges (see `ufm.features.last_layer`).
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ufm.base.checks import check_choice, check_positive
from ufm.features.comparison import LayerCollapse, PerturbReport, Step
from ufm.features.given import Features, check_features, collapse, load_features
from ufm.features.last_layer import NoRidge, compare, effective_ridge
from ufm.features.proximity_fit import fit_beta
from ufm.features.proximity_model import curvature, near_collapse_factor, proximity
from ufm.metrics.variability import class_means

_LADDER = (10.0, 1.0, 0.1)


def perturb(
    features: Features | str | Path | None = None,
    *,
    model: str = "mlp",
    loss: str = "mse",
    epochs: int | None = None,
    seed: int = 0,
    l2_W: float | None = None,
    l2_H: float | None = None,
    beta: float | None = None,
    store: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> PerturbReport:
    """Compare real features with the theory.

    Args:
      features: checked features, a .npz file of them, or None to train a network on the digits of scikit-learn.
      model, epochs, seed, store: of the network that is trained (see `ufm.features.networks`); of no effect with features.
      loss: "mse" or "ce", what the network is or was trained with.
      l2_W, l2_H, beta: plain ridges and proximity; None fits them as the module's description says.
      progress: called as progress(epochs done, epochs in all).

    Returns:
      PerturbReport.

    Raises:
      ValueError: naming the argument, the value and what is allowed.
    """
    check_choice("loss", loss, ("mse", "ce"))
    for name, number in (("l2_W", l2_W), ("l2_H", l2_H), ("beta", beta)):
        if number is not None:
            check_positive(name, number)
    if features is None:
        source, layers, chain, last = _train(model, loss, epochs, seed, store, progress)
    else:
        last = check_features(*features, samples_axis=1) if isinstance(features, Features) else load_features(Path(features))
        d, N = last.H.shape
        source = f"{'features' if isinstance(features, Features) else features}: {last.classes} classes, {N} samples, d = {d}"
        chain = ([] if last.H0 is None else [("H0", last.H0)]) + [("H", last.H)]
        layers = [LayerCollapse("H0", None, collapse(last.H0, last.labels, samples_axis=1))] if last.H0 is not None else []
        layers.append(LayerCollapse("H", None, collapse(last.H, last.labels, last.W, last.b, samples_axis=1)))
    notes, ridge, comparison = [], None, None
    if last.W is not None:
        try:
            ridge = effective_ridge(last, loss, l2_W, l2_H)
            comparison = compare(last, ridge, loss)
        except NoRidge as error:
            notes.append(str(error))
    given = None if l2_W is None or l2_H is None else (l2_W, l2_H)
    steps: list[Step] = []
    c = math.nan if ridge is None else ridge.c
    if given is None and ridge is None:
        notes.append("the proximity model needs a classifier W that a ridge fits, or both l2_W and l2_H")
    elif given is None and c >= 1:
        notes.append(f"c = {c:.3g} is not below 1: the minimum of the model is zero, which no scale compares with a layer")
    else:
        for i, (name, H0) in enumerate(chain[:-1] or chain):
            following = chain[i + 1] if len(chain) > 1 else None
            ridges = given or _ridges_of(H0, last.labels, c)
            steps += _steps(name, H0, following, last.labels, *ridges, beta)
    return PerturbReport(source, loss, tuple(layers), tuple(steps), ridge, comparison, tuple(notes))


def _train(model: str, loss: str, epochs: int | None, seed: int, store: Any, progress: Any) -> tuple:
    from ufm.features.networks import Training, train

    changes = {"loss": loss, "seed": seed} | ({} if epochs is None else {"epochs": epochs})
    training = Training.of(model, **changes)
    trained = train(training, store, progress)
    layers = []
    for epoch, features, W in zip(trained.epochs, trained.features, trained.W, strict=True):
        for name, H in zip(trained.layers, features, strict=True):
            own = W if name == trained.layers[-1] else None
            layers.append(LayerCollapse(name, epoch, collapse(H, trained.labels, own, ridge=training.weight_decay, samples_axis=1)))
    solved = np.flatnonzero(trained.error == 0)
    source = (
        f"{model} of {training.depth} hidden layers, {loss}, weight decay {training.weight_decay:g}, {training.samples} digits, "
        f"{training.epochs} epochs in {training.dtype}: "
        + (f"no training error from epoch {solved[0] + 1}" if solved.size else f"training error {trained.error[-1]:.1%}")
        + f", loss {trained.loss[-1]:.4g}, test error {trained.test_error:.1%}"
    )
    chain = list(zip(trained.layers, trained.features[-1], strict=True))
    if model == "cnn":  # pixels are not averaged over the image as the channels of the layers are
        chain = chain[1:]
    return source, layers, chain, check_features(trained.features[-1][-1], trained.labels, trained.W[-1], samples_axis=1)


def _ridges_of(H0: np.ndarray, labels: np.ndarray, c: float) -> tuple[float, float]:
    """l2_W and l2_H of this c whose collapsed class means are as long as those of the layer: s = (1 - c)/mean |m_k|^2."""
    K, N = int(labels.max()) + 1, labels.size
    means = np.asarray(class_means(np.asarray(H0, float), labels, K, samples_axis=1))
    s = (1 - c) / (np.sum(means**2) / K)
    return c / s / K, c * s / N


def _steps(
    name: str, H0: np.ndarray, following: Any, labels: np.ndarray, l2_W: float, l2_H: float, beta: float | None
) -> list[Step]:
    """One step, with beta given or fitted to the next layer; without either, one for each strength of a ladder."""
    s, N = curvature(labels, l2_W, l2_H), labels.size
    matched = None
    if beta is not None or following is None:
        betas = [beta] if beta is not None else [strength * s / N for strength in _LADDER]
    else:
        fitted, matched = fit_beta(H0, following[1], labels, l2_W, l2_H, samples_axis=1)
        betas = [fitted]
    own = collapse(H0, labels, samples_axis=1).nc1_trace_ratio
    real = None if following is None else collapse(following[1], labels, samples_axis=1).nc1_trace_ratio
    steps = []
    for b in betas:
        found = proximity(H0, labels, l2_W, l2_H, b, samples_axis=1)
        near = own * near_collapse_factor(H0, labels, l2_W, l2_H, b, samples_axis=1)
        predicted = collapse(found.H, labels, samples_axis=1).nc1_trace_ratio
        ends = (None if following is None else following[0], own, real, predicted, near)
        steps.append(Step(name, *ends, l2_W, l2_H, b, N * b / s, matched, found.unique, found.gradient_norm))
    return steps
