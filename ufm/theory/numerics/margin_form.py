"""Cross-entropy in margin form: the right loss and gradient in every dtype, down to the underflow of e^{-a}.

With u_j = z_j - z_y the loss of ufm is softplus(logsumexp_{j != y} u_j), against

    loss = log1p(sum_{j != y} e^{u_j}),    dloss/dz_j = p_j = e^{u_j}/(1 + sum e^{u}) for j != y,    dloss/dz_y = -sum_{j != y} p_j

Max-subtracted log-softmax has lost both at a margin of 17 in float32 and of 37 in float64 (`softmax-collapse`).
"""

import jax
import jax.numpy as jnp
import numpy as np

from ufm.losses import cross_entropy
from ufm.proofs import Book, Proof, exp, log, number
from ufm.theory import statements
from ufm.theory.theorem import Check

_CLASSES = 5
_REACH = {"float16": 9.0, "bfloat16": 80.0, "float32": 80.0, "float64": 690.0}  # margins whose exponential is a normal number


def predict(logits: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The margin form of cross-entropy has loss and gradient right to (2 + a) machine epsilons, a the largest difference of logits,
    in float16, bfloat16, float32 and float64 until e^{-a} underflows, and its gradient sums to zero.

    (loss, gradient (K,)) in float64, from logits that are numbers of a shorter dtype; the label is 0.
    """
    z = logits.astype(jnp.result_type(float))
    # where a wrong class leads by far, e^u overflows: the same with the largest one taken out
    top = jnp.max(z)
    scaled = jnp.exp(z - top)
    p = scaled[1:] / jnp.sum(scaled)
    loss = jnp.where(top > z[0], top - z[0] + jnp.log(jnp.sum(scaled)), jnp.log1p(jnp.sum(jnp.exp(z[1:] - z[0]))))
    return loss, jnp.concatenate([-jnp.sum(p, keepdims=True), p])


def prove(logits: jax.Array, predicted: tuple[jax.Array, jax.Array]) -> Proof:
    """-log softmax of the true class and softmax less one-hot, of the logits as they are, within 1e-13 of each number served."""
    book = Book("cross-entropy and its gradient at these logits by their definition are what is served in float64")
    z = [number(float(entry)) for entry in np.asarray(logits, float)]
    top = z[int(np.argmax(np.asarray(logits, float)))]
    odds = book.kept("odds", [exp(entry - top) for entry in z])
    total = book.kept("total", odds.sum())
    book.near(log(total) + (top - z[0]), predicted[0], 1e-13)
    for served, p in zip(predicted[1], (-odds[1:].sum() / total, *(odds[1:] / total)), strict=True):
        book.near(p, served, 1e-13, unit=max(abs(float(served)), 1e-290))
    return book.proof(bits=1600)


@jax.jit
def in_dtype(logits: jax.Array) -> tuple[jax.Array, jax.Array]:
    """ufm's cross-entropy and its derivative by automatic differentiation, in the dtype of the logits."""
    return jax.value_and_grad(cross_entropy)(logits, jnp.eye(_CLASSES, dtype=logits.dtype)[0])


def evidence(logits: jax.Array, predicted: tuple, measured: tuple) -> list[Check]:
    """Relative errors of the loss and of every entry of its gradient, and the sum of the gradient."""
    z, dtype = np.asarray(logits, float), jnp.finfo(logits.dtype)
    eps = float(dtype.eps)
    conditioning = eps * (2 + np.max(np.abs(z - z[0])))
    (value, gradient), (expected_value, expected) = ([np.asarray(x, float) for x in y] for y in (measured, predicted))
    seen = np.abs(expected) > float(dtype.tiny)  # softmax of a hopeless class may underflow
    return [
        Check("agreement", "loss", float(abs(value / expected_value - 1)), conditioning),
        Check("agreement", "gradient", float(np.max(np.abs(gradient[seen] / expected[seen] - 1))), conditioning),
        Check("agreement", "gradient sums to zero", float(abs(gradient.sum()) / np.abs(gradient).sum()), 2 * eps),
    ]


def cases() -> dict[str, np.ndarray]:
    """In four dtypes: equal logits, margins before and after softmax collapse up to underflow, and a wrong class far ahead."""
    found = {}
    for name, reach in _REACH.items():
        collapse = float(np.log(2 / jnp.finfo(name).eps))
        for label, margin in (("zero", 0.0), ("before", collapse - 1), ("after", min(collapse + 2, reach)), ("last", reach)):
            found[f"{name}, {label}: margin {margin:.3g}"] = _logits(margin, np.zeros(_CLASSES - 1), name)
        found[f"{name}, wrong by 1000"] = _logits(-1000.0, 100.0 * np.arange(_CLASSES - 1), name)
    return found


def draw(rng: np.random.Generator) -> np.ndarray:
    """Random logits in a random dtype, the true class ahead by anything short of underflow or behind."""
    name = str(rng.choice(list(_REACH)))
    return _logits(rng.uniform(-1, 1) * _REACH[name] / 2, rng.uniform(0, 1, _CLASSES - 1) * _REACH[name] / 4, name)


def _logits(margin: float, behind: np.ndarray, name: str) -> np.ndarray:
    """Logits 0 and -margin - behind, as numbers of the dtype."""
    return np.append(0.0, -margin - behind).astype(jnp.dtype(name))


THEOREMS = (
    statements.identity(
        "margin-form-ce", "remedy for softmax collapse ([prieto2025]); derived",
        predict, in_dtype, cases, draw, evidence=evidence, prove=prove,
        notes="The error is that of a rounded logarithm of the loss: 4e-6 at a = 80 in float32, but a quarter in bfloat16.",
    ),
)  # fmt: skip
