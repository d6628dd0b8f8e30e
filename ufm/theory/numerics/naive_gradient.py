"""The gradient of max-subtracted log-softmax does not sum to zero once it has collapsed (Prieto et al. 2025; derived).

In exact arithmetic the logit gradient of cross-entropy, softmax minus one-hot, sums to zero over the classes, so that 1^T W
feels no force from the data. Past the margin of `softmax-collapse` automatic differentiation returns

    (0 on the true class, e^{-a} on each other one) in place of (-(K-1) e^{-a}, e^{-a}, ...)

and descent pushes all rows of W the same way. Margins of all columns are past it here, and differ.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ufm.base.checks import AnyArray, AnyNumber
from ufm.theory import statements
from ufm.theory.theorem import Check, agreement, refuting

_CLASSES = 4
_SLACK = 1e-2
_RANGES = {"bfloat16": (8, 12), "float16": (10, 14), "float32": (19, 25), "float64": (39, 45)}


class Point(NamedTuple):
    """W: (K, d) and H: (d, K), one feature a class."""

    W: AnyArray
    H: AnyArray


class Drift(NamedTuple):
    """Sums over the classes, of the logit gradient and of the gradient in W, relative to their sizes."""

    logits: AnyNumber
    classifier: AnyNumber


def predict(case: Point) -> Drift:
    """Automatic differentiation of max-subtracted log-softmax gives a logit gradient that sums to zero over the classes, whatever
    the margin, so that the data never move 1^T W.

    The claim: both sums are zero.
    """
    del case
    return Drift(jnp.zeros(()), jnp.zeros(()))


def naive_loss(z: jax.Array) -> jax.Array:
    """Mean of -log_softmax(z_k)_k over the columns of (K, K) logits, by max-subtraction."""
    return -jnp.mean(jnp.diag(jax.nn.log_softmax(z, axis=0)))


def measure(case: Point, key: jax.Array) -> tuple[Drift, Drift]:
    """Both sums at the point, and at a tenth of its logits, where nothing has collapsed."""
    del key
    return _drift(case), _drift(case._replace(H=case.H / 10))


def evidence(case: Point, predicted: Drift, measured: tuple[Drift, Drift]) -> list[Check]:
    """Sums far from the claim past the collapse; below it, sums of the claim up to the rounding of all that is summed."""
    past, before = measured
    rounding = case.W.size * float(jnp.finfo(case.W.dtype).eps)
    pins = agreement(rounding, scale=1.0)(case, predicted, before)
    refuted = refuting(agreement(_SLACK, scale=1.0))(case, predicted, past)
    return [*refuted, *(check._replace(name=f"{check.name} before the collapse") for check in pins)]


def _drift(case: Point) -> Drift:
    """Automatic differentiation of the loss in the dtype of the point; sums taken in float64."""
    G, dW = (np.asarray(x, float) for x in _gradients(case))
    drift = np.linalg.norm(dW.sum(axis=0)) / np.linalg.norm(dW)
    return Drift(np.max(np.abs(G.sum(axis=0)) / np.abs(G).sum(axis=0)), drift)


@jax.jit
def _gradients(case: Point) -> tuple[jax.Array, jax.Array]:
    G = jax.grad(naive_loss)(case.W @ case.H)
    return G, jax.grad(lambda W: naive_loss(W @ case.H))(case.W)


def cases() -> dict[str, Point]:
    """Orthogonal features of different lengths in four dtypes, every margin past the collapse of the loss."""
    found = {}
    for name, (least, most) in _RANGES.items():
        margins = np.linspace(least, most, _CLASSES)
        found[name] = Point(*(x.astype(jnp.dtype(name)) for x in (np.eye(_CLASSES), np.diag(margins))))
    return found


THEOREMS = (
    statements.other(
        "naive-ce-zero-sum", "exact arithmetic taken for floating point; against it [prieto2025]",
        predict, measure, cases, status="refuted", evidence=evidence,
        notes="The logit gradient is all of one sign. What holds: below the margin of softmax-collapse, and for the margin "
        "form of cross-entropy at every margin (margin-form-ce). At exactly balanced simplex points, features of sum "
        "zero and equal margins, the pushes on W cancel between the classes.",
    ),
)  # fmt: skip
