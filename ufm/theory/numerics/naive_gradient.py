"""The gradient of max-subtracted log-softmax does not sum to zero once it has collapsed (Prieto et al. 2025; derived).

In exact arithmetic the logit gradient of cross-entropy, softmax minus one-hot, sums to zero over the classes, so that 1^T W
feels no force from the data. Past the margin of `softmax-collapse` automatic differentiation returns

    (0 on the true class, e^{-a} on each other one) in place of (-(K-1) e^{-a}, e^{-a}, ...)

and descent pushes all rows of W the same way. Margins of all columns are past it here, and differ. A case is W and H, one feature
a class.
"""

import jax
import jax.numpy as jnp
import numpy as np

from ufm.base.checks import AnyNumber
from ufm.problem.params import Params
from ufm.proofs import Proof
from ufm.proofs.refutations import rounded_gradient_has_a_sum
from ufm.theory import statements
from ufm.theory.theorem import Check, agreement, refuting

_CLASSES = 4
_SLACK = 1e-2
_RANGES = {"bfloat16": (8, 12), "float16": (10, 14), "float32": (19, 25), "float64": (39, 45)}


def predict(case: Params) -> dict[str, AnyNumber]:
    """Automatic differentiation of max-subtracted log-softmax gives a logit gradient that sums to zero over the classes, whatever
    the margin, so that the data never move 1^T W.

    Sums over the classes, of the logit gradient and of the gradient in W, relative to their sizes.
    """
    del case
    return {"logits": jnp.zeros(()), "classifier": jnp.zeros(())}


def naive_loss(z: jax.Array) -> jax.Array:
    """Mean of -log_softmax(z_k)_k over the columns of (K, K) logits, by max-subtraction."""
    return -jnp.mean(jnp.diag(jax.nn.log_softmax(z, axis=0)))


def drifts(case: Params) -> tuple[dict[str, AnyNumber], dict[str, AnyNumber]]:
    """Both sums at the point, and at a tenth of its logits, where nothing has collapsed."""
    return _drift(case), _drift(case._replace(H=case.H / 10))


def evidence(case: Params, predicted: dict, measured: tuple[dict, dict]) -> list[Check]:
    """Sums far from the claim past the collapse; below it, sums of the claim up to the rounding of all that is summed."""
    past, before = measured
    pins = agreement(case.H.size * float(jnp.finfo(case.H.dtype).eps), scale=1.0)(case, predicted, before)
    refuted = refuting(agreement(_SLACK, scale=1.0))(case, predicted, past)
    return [*refuted, *(check._replace(name=f"{check.name} before the collapse") for check in pins)]


def prove(case: Params, predicted: dict | None = None) -> Proof:
    """Softmax rounds to one-hot in every column, and its gradient is of one sign."""
    margins, digits = np.diag(np.asarray(case.H, float)), int(jnp.finfo(case.H.dtype).nmant) + 1
    return rounded_gradient_has_a_sum(len(margins), margins.tolist(), digits, claim={"theorem": "naive-ce-zero-sum"})


def _drift(case: Params) -> dict[str, AnyNumber]:
    """Automatic differentiation of the loss in the dtype of the point; sums taken in float64."""
    G, dW = (np.asarray(x, float) for x in _gradients(case))
    logits = np.max(np.abs(G.sum(axis=0)) / np.abs(G).sum(axis=0))
    return {"logits": logits, "classifier": np.linalg.norm(dW.sum(axis=0)) / np.linalg.norm(dW)}


@jax.jit
def _gradients(case: Params) -> tuple[jax.Array, jax.Array]:
    (W,), H, _ = case
    return jax.grad(naive_loss)(W @ H), jax.grad(lambda W: naive_loss(W @ H))(W)


def cases() -> dict[str, Params]:
    """Orthogonal features of different lengths in four dtypes, every margin past the collapse of the loss."""
    lengths = {name: np.diag(np.linspace(*ends, _CLASSES)) for name, ends in _RANGES.items()}
    return {name: Params((jnp.eye(_CLASSES, dtype=name),), jnp.asarray(H, name), None) for name, H in lengths.items()}


THEOREMS = (
    statements.identity(
        "naive-ce-zero-sum", "exact arithmetic taken for floating point; against it [prieto2025]",
        predict, drifts, cases, status="refuted", evidence=evidence, prove=prove,
        notes="The logit gradient is all of one sign. What holds: below the margin of softmax-collapse, and for the margin "
        "form of cross-entropy at every margin (margin-form-ce). At exactly balanced simplex points, features of sum "
        "zero and equal margins, the pushes on W cancel between the classes.",
    ),
)  # fmt: skip
