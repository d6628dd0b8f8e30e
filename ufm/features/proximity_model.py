"""The proximity model on real features: the minimiser of squared error next to given features (Tirer, Huang, Niles-Weed 2023).

    f(W, H; H0) = |W H - Y|^2/(2N) + l2_W/2 |W|^2 + l2_H/2 |H|^2 + beta/2 |H - H0|^2

For a fixed W the best H is explicit, and what is left depends on the samples through G = H0 H0^T, S = Y H0^T and C = Y Y^T alone
(derived). With a = N (l2_H + beta), B = N beta and R = (a I + W W^T)^-1:

    H = (W^T W + a I)^-1 (W^T Y + B H0)
    min_H f = ( a tr(R C) + (B N l2_H/a) tr G + (B^2/a) tr(R W G W^T) - 2 B tr(R W S^T) ) / (2N) + l2_W/2 |W|^2

so any number of samples costs no more than K d^2 a step. In coordinates W (G + N l2_W I)^(1/2) the problem is well conditioned
however correlated the features are. There may be several minima below beta + l2_H = max n_k/(N^2 l2_W): the one found is reached
from W*(H0).
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from ufm.base.checks import check_non_negative, check_positive, refuse
from ufm.metrics.inputs import floats, samples_as_columns
from ufm.metrics.variability import class_means

_STEPS = 2000
_PATIENCE = 50
_TOLERANCE = 1e-11


class Proximity(NamedTuple):
    """A minimiser of the proximity model.

    W: (K, d), H: (d, N). l2_W, l2_H, beta: of the model. gradient_norm: |grad f| there, over all of W and H. steps: taken.
    unique: whether beta is so large that no other stationary point exists.
    """

    W: jax.Array
    H: jax.Array
    l2_W: float
    l2_H: float
    beta: float
    gradient_norm: float
    steps: int
    unique: bool


class Moments(NamedTuple):
    """All that the model sees of the samples.

    G: H0 H0^T, (d, d). S: Y H0^T, (K, d). counts: class sizes, (K,). start: W*(H0), (K, d).
    half: (d, d), with W = X half for the coordinates X in which W is sought.
    """

    G: jax.Array
    S: jax.Array
    counts: jax.Array
    start: jax.Array
    half: jax.Array


def proximity(
    H0: Any, labels: Any, l2_W: float, l2_H: float, beta: float, *, samples_axis: int | None = None
) -> Proximity:
    """The minimiser of the proximity model that is reached from W*(H0).

    Args:
      H0: (d, N) features.
      labels: (N,) whole numbers 0 to K - 1, every class present.
      l2_W, l2_H, beta: plain ridges and strength of the proximity term, all above zero (l2_H may be zero).
      samples_axis: 1 where H0 is (d, N), 0 where it is (N, d); None is (d, N), and refused at N = d.

    Returns:
      Proximity.

    Raises:
      ValueError: naming the argument, the value and what is allowed.
    """
    check_positive("l2_W", l2_W)
    check_non_negative("l2_H", l2_H)
    check_positive("beta", beta)
    H0, labels = checked(H0, labels, samples_axis)
    numbers = jnp.asarray([l2_W, l2_H, beta], H0.dtype)
    moments = moments_of(H0, labels, numbers[0], classes=int(labels.max()) + 1)
    W, steps = minimise(moments, numbers)
    H, norm = _features(W, H0, labels, numbers)
    N, counts = H0.shape[1], np.asarray(moments.counts)
    unique = bool(beta + l2_H > counts.max() / (N * N * l2_W))
    return Proximity(W, H, float(l2_W), float(l2_H), float(beta), float(norm), int(steps), unique)


def curvature(labels: Any, l2_W: float, l2_H: float) -> float:
    """s = sqrt(N l2_H / (K l2_W)), the curvature within classes that the classifier sees at a collapsed minimum, times N."""
    labels = np.asarray(labels)
    return float(np.sqrt(labels.size * l2_H / ((labels.max() + 1) * l2_W)))


def near_collapse_factor(
    H0: Any, labels: Any, l2_W: float, l2_H: float, beta: float, *, samples_axis: int | None = None
) -> float:
    """What tr S_W / tr S_B is multiplied by, to first order around a collapsed minimum of equal classes.

    q (B/(B+s))^2 + (1-q) (B/(B+lH))^2 with B = N beta, lH = N l2_H, s = sqrt(lH/(K l2_W)) and q the share of the variability within
    classes that lies in the span of the class means (derived from the linear map of Tirer et al. 2023).

    Args:
      H0, labels, l2_W, l2_H, beta, samples_axis: as for `proximity`, l2_H above zero.

    Returns:
      The factor, from 0 to 1.
    """
    H0, labels = checked(H0, labels, samples_axis)
    N, K = H0.shape[1], int(labels.max()) + 1
    means = np.asarray(class_means(H0, labels, K, samples_axis=1))
    D = np.asarray(H0) - means[:, labels]
    U, sigma, _ = np.linalg.svd(means, full_matrices=False)
    whole = np.finfo(means.dtype).eps * np.sqrt(means.size) * np.max(np.abs(H0))  # what rounding can make of means that vanish
    seen = U[:, sigma > max(1e-12 * sigma[0], whole)].T @ D
    total = np.sum(D**2)
    q = np.sum(seen**2) / total if total > 0 else 1.0
    B, lH, s = N * beta, N * l2_H, curvature(labels, l2_W, l2_H)
    return float(q * (B / (B + s)) ** 2 + (1 - q) * (B / (B + lH)) ** 2)


def checked(H0: Any, labels: Any, samples_axis: int | None) -> tuple[jax.Array, np.ndarray]:
    """H0, (d, N) in the default precision, and labels, whose shapes fit and that leave out no class.

    Raises:
      ValueError: naming the argument, the value and what is allowed.
    """
    H0, labels = jnp.asarray(floats("H0", H0, "(d, N)"), jnp.result_type(float)), np.asarray(labels)
    if labels.shape in [(n,) for n in H0.shape]:
        H0 = samples_as_columns("H0", H0, labels.size, samples_axis)
    if labels.shape != H0.shape[1:]:
        raise ValueError(f"H0 must have shape (d, N) and labels (N,), got {H0.shape} and {labels.shape}")
    if not np.issubdtype(labels.dtype, np.integer) or set(np.unique(labels)) != set(range(max(2, int(labels.max()) + 1))):
        refuse("labels", labels, "whole numbers 0 to K - 1 with K at least 2 and every class present")
    return H0, labels


@partial(jax.jit, static_argnames="classes")
def moments_of(H0: jax.Array, labels: jax.Array, l2_W: jax.Array, classes: int) -> Moments:
    """The moments of features H0 (d, N) with labels (N,)."""
    d, N = H0.shape
    Y = jax.nn.one_hot(labels, classes, dtype=H0.dtype, axis=0)
    G, S = H0 @ H0.T, Y @ H0.T
    root = jnp.linalg.cholesky(G + N * l2_W * jnp.eye(d, dtype=H0.dtype))
    half = jax.scipy.linalg.solve_triangular(root, jnp.eye(d, dtype=H0.dtype), lower=True)
    return Moments(G, S, jnp.sum(Y, axis=1), S @ half.T @ half, half)


def _value(W: jax.Array, moments: Moments, numbers: jax.Array) -> jax.Array:
    """min_H f at W, in the form without cancellation."""
    l2_W, l2_H, beta = numbers
    N = jnp.sum(moments.counts)
    a, B = N * (l2_H + beta), N * beta
    R = jnp.linalg.inv(a * jnp.eye(W.shape[0], dtype=W.dtype) + W @ W.T)
    pull = B / a * (B * jnp.sum((R @ W) * (W @ moments.G)) + N * l2_H * jnp.trace(moments.G))
    data = a * jnp.sum(jnp.diag(R) * moments.counts) + pull - 2 * B * jnp.sum((R @ W) * moments.S)
    return data / (2 * N) + l2_W / 2 * jnp.sum(W**2)


@jax.jit
def minimise(moments: Moments, numbers: jax.Array) -> tuple[jax.Array, jax.Array]:
    """W of the smallest gradient seen by L-BFGS from W*(H0), until its gradient is small or rounding; and the number of steps."""
    half = moments.half
    solver = optax.lbfgs(memory_size=20, linesearch=optax.scale_by_zoom_linesearch(max_linesearch_steps=30))

    def value(X: jax.Array) -> jax.Array:
        return _value(X @ half, moments, numbers)

    value_and_gradient = optax.value_and_grad_from_state(value)

    def proceed(loop: tuple) -> jax.Array:
        X, _, steps, (_, norm), idle = loop
        small = norm * jnp.sum(moments.counts) <= _TOLERANCE * jnp.linalg.norm(X)
        return ~small & (steps < _STEPS) & (idle < _PATIENCE)

    def advance(loop: tuple) -> tuple:
        X, state, steps, (best, best_norm), idle = loop
        f, g = value_and_gradient(X, state=state)
        updates, state = solver.update(g, state, X, value=f, grad=g, value_fn=value)
        X = optax.apply_updates(X, updates)
        norm = jnp.linalg.norm(optax.tree.get(state, "grad"))
        better = norm < best_norm
        kept = (jnp.where(better, X, best), jnp.where(better, norm, best_norm))
        return X, state, steps + 1, kept, jnp.where(norm < 0.9 * best_norm, 0, idle + 1)

    X = moments.start @ jnp.linalg.inv(half)
    loop = (X, solver.init(X), jnp.asarray(0), (X, jnp.linalg.norm(jax.grad(value)(X))), jnp.asarray(0))
    _, _, steps, (X, _), _ = lax.while_loop(proceed, advance, loop)
    return X @ half, steps


@jax.jit
def _features(W: jax.Array, H0: jax.Array, labels: jax.Array, numbers: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The best H for W, and the norm of the gradient of f over both."""
    l2_W, l2_H, beta = numbers
    d, N = H0.shape
    Y = jax.nn.one_hot(labels, W.shape[0], dtype=H0.dtype, axis=0)
    A = W.T @ W + N * (l2_H + beta) * jnp.eye(d, dtype=H0.dtype)
    H = jnp.linalg.solve(A, W.T @ Y + N * beta * H0)
    E = (W @ H - Y) / N
    by_W, by_H = E @ H.T + l2_W * W, W.T @ E + l2_H * H + beta * (H - H0)
    return H, jnp.sqrt(jnp.sum(by_W**2) + jnp.sum(by_H**2))
