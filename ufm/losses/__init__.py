"""Losses loss(z, y) of one column of K logits and one column of targets: the basic four by name, further ones by function.

    ufm.losses.cross_entropy(z, y)                     a function of (logits, target)
    Problem.balanced(..., loss="ce")                   by name: "mse", "ce", "logistic", "squared_hinge"
    Problem.balanced(..., loss=ufm.losses.focal(2.0))  by function; equal parameters give equal losses, and so one program
    Problem.balanced(..., loss=Loss("mine", function)) your own

Imports base.
"""

from collections.abc import Callable

from ufm.base.checks import refuse
from ufm.losses.basic import (
    BASIC,
    CE,
    LOGISTIC,
    MSE,
    SQUARED_HINGE,
    cross_entropy,
    one_vs_all_logistic,
    squared_error,
    squared_hinge,
)
from ufm.losses.distillation import binary_kl, binary_kl_norm, ce_binary_kl, dual_head, kd
from ufm.losses.logsumexp import ce_logsumexp
from ufm.losses.loss import Loss, check_loss, is_loss, value_of
from ufm.losses.margin import ldr_kl
from ufm.losses.normalised import z_loss
from ufm.losses.plackett_luce import pld
from ufm.losses.probability import comp_sum, focal, gce, mae, poly1
from ufm.losses.rational import stablemax
from ufm.losses.sinkhorn import sinkhorn_distance
from ufm.losses.spherical import log_spherical, log_taylor

__all__ = [
    "CE",
    "LOGISTIC",
    "LOSSES",
    "MSE",
    "SQUARED_HINGE",
    "Loss",
    "binary_kl",
    "binary_kl_norm",
    "ce_binary_kl",
    "ce_logsumexp",
    "check_loss",
    "comp_sum",
    "cross_entropy",
    "dual_head",
    "focal",
    "gce",
    "get_loss",
    "is_loss",
    "kd",
    "ldr_kl",
    "log_spherical",
    "log_taylor",
    "mae",
    "one_vs_all_logistic",
    "pld",
    "poly1",
    "sinkhorn_distance",
    "squared_error",
    "squared_hinge",
    "stablemax",
    "value_of",
    "z_loss",
]

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


def __dir__() -> list[str]:
    """The public names, for completion."""
    return __all__
