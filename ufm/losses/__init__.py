"""Losses loss(z, y) of one column of K logits and one column of targets: the basic four by name, further ones by function.

    ufm.losses.cross_entropy(z, y)                     a function of (logits, target)
    Problem.balanced(..., loss="ce")                   by name: "mse", "ce", "logistic", "squared_hinge"
    Problem.balanced(..., loss=Loss("mine", function)) your own
"""

from collections.abc import Callable

from ufm.checks import refuse
from ufm.losses.basic import BASIC, cross_entropy, one_vs_all_logistic, squared_error, squared_hinge
from ufm.losses.loss import Loss

__all__ = ["LOSSES", "Loss", "cross_entropy", "get_loss", "one_vs_all_logistic", "squared_error", "squared_hinge"]

LOSSES = BASIC


def get_loss(loss: "str | Loss | Callable") -> Loss:
    """The Loss behind a name, a Loss itself, or a plain function of (logits, target) taken as not convex.

    Raises:
      ValueError: for a name that is not in `LOSSES`.
    """
    if isinstance(loss, Loss):
        return loss
    if callable(loss):
        return Loss(getattr(loss, "__name__", "custom"), loss)
    if not isinstance(loss, str) or loss not in LOSSES:
        refuse("loss", loss, "a ufm.Loss, a function of (logits, target), or one of " + ", ".join(map(repr, LOSSES)))
    return LOSSES[loss]
