"""The limit of infinitely many samples: residuals of class features whose covariance is a multiple of the identity.

Gaussian residuals of N samples satisfy R R^T = s^2 I + O(sqrt(d N)) with s^2 = sigma^2 (N - K). Where the identity holds at
the start, the pooled problem (`ufm.equivalent.columns`) closes on the q = min(d, d_2 + K) directions Q of span[W_1^T, X], and with
columns [x, s I_q] at width q it is followed exactly however large d and N are (derived).
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ufm.base.checks import check_positive, check_shape, is_traced, refuse
from ufm.equivalent.columns import Reduced, pooled_problem
from ufm.equivalent.equivariance import check_commutes
from ufm.equivalent.widths import feature_span, in_feature_span
from ufm.problem import Problem
from ufm.problem.params import Params, check_order


def isotropic_limit(
    problem: Problem, params: Params, spread: Any, *, optimizer: optax.GradientTransformation | None = None
) -> Reduced:
    """R1d: the pooled problem of width d and d residual columns s I at the start, as one of width q = min(d, d_2 + K).

    W_1 = w Q^T,    X = Q x,    R = Q rho Q^T + c(t) s (I - Q Q^T),    c = what the ridge leaves, 1 at the start.

    Args:
      problem: one column a class, of multiplicity n_k, squared error, no proximity term.
      params: weights, the X of scaled class means sqrt(n_k) mean_k as H of shape (d, K), and b.
      spread: s, the square root of the eigenvalue of R R^T: sigma sqrt(N - K) for Gaussian residuals.
      optimizer: one to try out.

    Returns:
      Reduced: a problem of width q and K + q columns; lift(params, decay) gives points of `pooled_problem(problem, d)`, with
      decay (L,) as `ridge_decay` gives it, whose first number c is needed where q < d and l2_H > 0.

    Raises:
      ValueError: for another loss or features, a proximity term, a spread not above 0, or an optimiser that does not commute
        or does not let the rest decay on its own (normalised steps and polar factors under a ridge).
    """
    check_order(problem, params)
    if problem.H0 is not None:
        refuse("H0", "an array", "None: the limit is taken without a proximity term")
    check_shape("params.H", params.H, (problem.widths[0], problem.columns))
    check_positive("spread", spread)
    Q = feature_span(problem, params)
    d, q = Q.shape
    means = problem.columns
    narrow = in_feature_span(problem, params, Q)
    rest = spread * (jnp.eye(d, dtype=Q.dtype) - Q @ Q.T)
    needed = q < d and not is_traced(problem.l2_H) and float(problem.l2_H) > 0

    def lift(p: Params, decay: Any = None) -> Params:
        if decay is None and needed:
            refuse("decay", None, f"({problem.factors},) factors, as of ridge_decay: residuals beside the span shrink")
        left = jnp.ones((problem.factors,), Q.dtype) if decay is None else jnp.asarray(decay)
        check_shape("decay", left, (problem.factors,))
        up = narrow.lift(p._replace(H=p.H[:, :means]))
        return up._replace(H=jnp.concatenate([up.H, Q @ p.H[:, means:] @ Q.T + left[0] * rest], axis=1))

    small = narrow.params._replace(H=jnp.concatenate([narrow.params.H, spread * jnp.eye(q, dtype=Q.dtype)], axis=1))
    idle = None
    if q < d:
        weights = tuple(jnp.zeros_like(W) for W in params.weights)
        idle = Params(weights, jnp.pad(rest, ((0, 0), (means, 0))), None if params.b is None else jnp.zeros_like(params.b))
    check_commutes(optimizer, lambda p: lift(p, np.zeros(problem.factors)), small, idle, problem.ridges)
    return Reduced(pooled_problem(narrow.problem, q), small, lift)


def gaussian_spread(problem: Problem, sigma: Any) -> jax.Array:
    """s = sigma sqrt(N - K), the spread that residuals of N Gaussian samples N(mean, sigma^2 I) tend to."""
    return sigma * jnp.sqrt(jnp.sum(problem.multiplicity) - len(problem.groups))
