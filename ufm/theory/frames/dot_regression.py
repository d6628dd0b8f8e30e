"""Dot-regression under a fixed simplex: its minimiser, and its gradient as cross-entropy's pull without the push.

With features on the sphere of radius sqrt(E_H), classifiers m_k of length sqrt(E_W), and derivatives along the sphere,

    min = 0 at h_i = sqrt(E_H/E_W) m_{y_i},     N grad_i = -(1 - cos(h_i, m_y)) P_h m_y,     P_h = I - h h^T/|h|^2,

which is (1 - cos)/(1 - p_y) times the pull -(1 - p_y) P_h m_y of cross-entropy: class sizes enter neither. At an angle t the
loss of a sample is sqrt(E_W E_H) t^4/8 to leading order: the minimum is flat, and gradient flow nears it like time^(-1/2).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize

from ufm.frames import Frame, dot_regression
from ufm.losses import cross_entropy
from ufm.theory import statements
from ufm.theory.frames.nearest import turned_simplex
from ufm.theory.theorem import agreement

_CLASSES, _DIM = 3, 4
_LABELS = np.repeat(np.arange(_CLASSES), (4, 1, 1))  # not balanced
_ROUNDS = 6


class FixedFrame(NamedTuple):
    """Features (d, N) of length sqrt(E_H), labels (N,), classifier directions (d, K), squared lengths."""

    features: jax.Array
    labels: jax.Array
    frame: jax.Array
    E_W: jax.Array
    E_H: jax.Array


def predict(case: FixedFrame) -> dict[str, Any]:
    """Dot-regression on a fixed frame has the one minimiser h = sqrt(E_H/E_W) m_y whatever the class sizes, and its gradient is the
    pull of cross-entropy in another weight, without the push.

    The minimum and its features, the gradient at the case's features, and its ratio to cross-entropy's pull by sample.
    """
    h, own = case.features, case.frame[:, case.labels]
    m = jnp.sqrt(case.E_W) * own
    cosines = jnp.sum(h * own, axis=0) / jnp.sqrt(case.E_H)
    tangent = m - h * (jnp.sum(h * m, axis=0) / case.E_H)[None, :]
    p = jax.nn.softmax(jnp.sqrt(case.E_W) * case.frame.T @ h, axis=0)[case.labels, jnp.arange(h.shape[1])]
    return {
        "value": jnp.zeros(()),
        "features": jnp.sqrt(case.E_H) * own,
        "gradient": -(1 - cosines)[None, :] * tangent / h.shape[1],
        "ratio": (1 - cosines) / (1 - p),
    }


def measure(case: FixedFrame, key: jax.Array) -> dict[str, Any]:
    """BFGS from random features; derivatives of both losses, in cross-entropy with the other logits held."""
    shape, radius = case.features.shape, np.sqrt(case.E_H)

    def loss(x: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = _value_and_gradient(x.reshape(shape), case)
        return float(value), np.asarray(gradient).ravel()

    h = np.asarray(jax.random.normal(key, shape))
    for _ in range(_ROUNDS):  # lengths grow along the way and slow it down: they are reset
        h = radius * h / np.linalg.norm(h, axis=0)
        run = scipy.optimize.minimize(loss, h.ravel(), jac=True, method="BFGS", options={"gtol": 1e-15})
        h = run.x.reshape(shape)
    gradient, pull = _value_and_gradient(case.features, case)[1], _pull(case.features, case)
    ratio = shape[1] * np.sum(gradient * pull, axis=0) / np.sum(pull**2, axis=0)
    return {"value": run.fun, "features": radius * h / np.linalg.norm(h, axis=0), "gradient": gradient, "ratio": ratio}


@jax.jit
@jax.value_and_grad
def _value_and_gradient(features: jax.Array, case: FixedFrame) -> jax.Array:
    return dot_regression(features, case.labels, Frame(case.frame), case.E_W, case.E_H)


@jax.jit
@jax.grad
def _pull(features: jax.Array, case: FixedFrame) -> jax.Array:
    """Cross-entropy as a sum over samples, whose gradient passes through the logit of the own class alone."""
    targets = jax.nn.one_hot(case.labels, case.frame.shape[1], axis=0)
    z = jnp.sqrt(case.E_W * case.E_H) * case.frame.T @ (features / jnp.linalg.norm(features, axis=0)[None, :])
    return jnp.sum(jax.vmap(cross_entropy, in_axes=1)(jnp.where(targets > 0, z, jax.lax.stop_gradient(z)), targets))


def cases() -> dict[str, FixedFrame]:
    """Short and long classifiers and features."""
    rng = np.random.default_rng(0)
    return {f"E_W={E_W} E_H={E_H}": _at(rng, E_W, E_H) for E_W, E_H in ((1.0, 1.0), (4.0, 0.25), (0.1, 9.0))}


def _at(rng: np.random.Generator, E_W: float, E_H: float) -> FixedFrame:
    h = rng.standard_normal((_DIM, _LABELS.size))
    h = h * np.sqrt(E_H) / np.linalg.norm(h, axis=0)
    return FixedFrame(*(jnp.asarray(x) for x in (h, _LABELS, turned_simplex(_CLASSES, _DIM, rng), E_W, E_H)))


THEOREMS = (
    # other: a search over features under a frame that is held, and derivatives of two losses
    statements.other(
        "dot-regression", "[yang2022]", predict, measure, cases, lambda rng: _at(rng, *np.exp(rng.uniform(-2, 2, size=2))),
        evidence=agreement(1e-9, value=1e-12, features=7e-4),
    ),
)  # fmt: skip
