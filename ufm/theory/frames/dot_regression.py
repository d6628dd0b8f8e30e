"""Dot-regression under a fixed simplex: its minimiser, and its gradient as cross-entropy's pull without the push.

With features on the sphere of radius sqrt(E_H), classifiers m_k of length sqrt(E_W), and derivatives along the sphere,

    min = 0 at h_i = sqrt(E_H/E_W) m_{y_i},     N grad_i = -(1 - cos(h_i, m_y)) P_h m_y,     P_h = I - h h^T/|h|^2,

which is (1 - cos)/(1 - p_y) times the pull -(1 - p_y) P_h m_y of cross-entropy: class sizes enter neither. At an angle t the
loss of a sample is sqrt(E_W E_H) t^4/8 to leading order: the minimum is flat, and gradient flow nears it like time^(-1/2).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize

from ufm.base.checks import AnyArray
from ufm.frames import Frame, dot_regression, simplex_etf
from ufm.losses import cross_entropy
from ufm.theory import statements
from ufm.theory.theorem import agreement

_CLASSES, _DIM = 3, 4
_COUNTS = (4, 1, 1)  # not balanced
_ROUNDS = 6


class FixedFrame(NamedTuple):
    """Features (d, N) of length sqrt(E_H), labels (N,), classifier directions (d, K), squared lengths."""

    features: jax.Array
    labels: jax.Array
    frame: jax.Array
    E_W: jax.Array
    E_H: jax.Array


class Regressed(NamedTuple):
    """The minimum and its features, the gradient at the case's features, and its ratio to cross-entropy's pull by sample."""

    value: jax.Array
    features: AnyArray
    gradient: AnyArray
    ratio: AnyArray


def predict(case: FixedFrame) -> Regressed:
    """Dot-regression on a fixed frame has the one minimiser h = sqrt(E_H/E_W) m_y whatever the class sizes, and its gradient is the
    pull of cross-entropy in another weight, without the push.

    The formulas of the module.
    """
    h, own = case.features, case.frame[:, case.labels]
    m = jnp.sqrt(case.E_W) * own
    cosines = jnp.sum(h * own, axis=0) / jnp.sqrt(case.E_H)
    tangent = m - h * (jnp.sum(h * m, axis=0) / case.E_H)[None, :]
    z = jnp.sqrt(case.E_W) * case.frame.T @ h
    p = jax.nn.softmax(z, axis=0)[case.labels, jnp.arange(h.shape[1])]
    return Regressed(
        value=jnp.zeros(()),
        features=jnp.sqrt(case.E_H) * own,
        gradient=-(1 - cosines)[None, :] * tangent / h.shape[1],
        ratio=(1 - cosines) / (1 - p),
    )


def measure(case: FixedFrame, key: jax.Array) -> Regressed:
    """BFGS from random features; derivatives of both losses, in cross-entropy with the other logits held."""
    h = np.asarray(jax.random.normal(key, case.features.shape))
    for _ in range(_ROUNDS):  # lengths grow along the way and slow it down: they are reset
        h = h / np.linalg.norm(h, axis=0) * np.sqrt(case.E_H)
        run = scipy.optimize.minimize(lambda x: _loss(case, x), h.ravel(), jac=True, method="BFGS", options={"gtol": 1e-15})
        h = run.x.reshape(h.shape)
    _, gradient = _loss(case, np.ravel(case.features))
    gradient, pull = gradient.reshape(h.shape), np.asarray(_pull(case))
    ratio = np.sum(gradient * pull, axis=0) / np.sum(pull**2, axis=0)
    return Regressed(run.fun, h / np.linalg.norm(h, axis=0) * np.sqrt(case.E_H), gradient, ratio * h.shape[1])


def _loss(case: FixedFrame, x: np.ndarray) -> tuple[float, np.ndarray]:
    f, g = _value_and_gradient(case, x.reshape(case.features.shape))
    return float(f), np.asarray(g).ravel()


@jax.jit
def _value_and_gradient(case: FixedFrame, features: jax.Array) -> tuple[jax.Array, jax.Array]:
    def loss(features: jax.Array) -> jax.Array:
        return dot_regression(features, case.labels, Frame(case.frame), case.E_W, case.E_H)

    return jax.value_and_grad(loss)(features)


@jax.jit
def _pull(case: FixedFrame) -> jax.Array:
    """The part of the gradient of cross-entropy, as a sum over samples, that passes through the logit of the own class."""
    targets = jax.nn.one_hot(case.labels, case.frame.shape[1], axis=0)

    def loss(features: jax.Array) -> jax.Array:
        h = features * (jnp.sqrt(case.E_H) / jnp.linalg.norm(features, axis=0))[None, :]
        z = jnp.sqrt(case.E_W) * case.frame.T @ h
        z = jnp.where(targets > 0, z, jax.lax.stop_gradient(z))
        return jnp.sum(jax.vmap(cross_entropy, in_axes=1)(z, targets))

    return jax.grad(loss)(case.features)


def cases() -> dict[str, FixedFrame]:
    """Short and long classifiers and features."""
    rng = np.random.default_rng(0)
    return {f"E_W={E_W} E_H={E_H}": _at(rng, E_W, E_H) for E_W, E_H in ((1.0, 1.0), (4.0, 0.25), (0.1, 9.0))}


def draw(rng: np.random.Generator) -> FixedFrame:
    """Random features and lengths."""
    return _at(rng, *np.exp(rng.uniform(-2, 2, size=2)))


def _at(rng: np.random.Generator, E_W: float, E_H: float) -> FixedFrame:
    labels = np.repeat(np.arange(_CLASSES), _COUNTS)
    h = rng.standard_normal((_DIM, labels.size))
    rotation = np.linalg.qr(rng.standard_normal((_DIM, _DIM)))[0]
    frame = rotation @ np.asarray(simplex_etf(_CLASSES, _DIM).vectors)
    h = h * np.sqrt(E_H) / np.linalg.norm(h, axis=0)
    return FixedFrame(*(jnp.asarray(x) for x in (h, labels, frame, E_W, E_H)))


THEOREMS = (
    statements.other(
        "dot-regression", "[yang2022]",
        predict, measure, cases, draw, evidence=agreement(1e-9, value=1e-12, features=7e-4),
    ),
)  # fmt: skip
