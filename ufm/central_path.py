"""The central path: the features alone decide, because the classifier is always the best one for them.

With h~_c = [h_c / sqrt(m_c); a_c] (the last row only with a bias) and weights v_c = w_c m_c / N, the minimiser over (W, b) at
fixed H is ridge regression, and the objective left is a function of H alone:

    [W*(H), b*(H)] = sum_c v_c y_c h~_c^T ( sum_c v_c h~_c h~_c^T + diag(l2_W, ..., l2_W, l2_b) )^-1,    L(H) = f(W*(H), H, b*(H))

(Han, Papyan, Donoho 2022, Neural collapse under MSE loss, arXiv 2106.02073; Tirer, Huang, Niles-Weed 2023, arXiv 2210.16658.)
"""

import jax
import jax.numpy as jnp
from jax import lax

from ufm.checks import check_choice, refuse
from ufm.objective import Params, column_weights, objective
from ufm.problem import Problem


def least_squares_point(problem: Problem, H: jax.Array) -> Params:
    """The point (W*(H), H, b*(H)) of the central path above the features H.

    Args:
      problem: one trained layer of squared error; l2_W may be zero where H H^T is invertible.
      H: (d, C) columns, as in `Params`.

    Returns:
      Params.

    Raises:
      ValueError: for another loss or depth, a scale other than 1, or a shape of H that does not fit.
    """
    check_choice("loss", problem.loss.name, ("mse",))
    if problem.trainable != 1 or len(problem.widths) != 1:
        refuse("widths", problem.widths, "one number: the central path is known for one trained layer")
    if H.shape != (problem.widths[0], problem.columns):
        raise ValueError(f"H must have shape {(problem.widths[0], problem.columns)}, got {H.shape}")
    rows = problem.scale * H / jnp.sqrt(problem.multiplicity)[None, :]
    ridge = jnp.broadcast_to(problem.l2_W[0], (H.shape[0],))
    if problem.bias != "none":
        rows = jnp.concatenate([rows, problem.intercept[None, :]])
        ridge = jnp.append(ridge, problem.l2_b)
    weighted = column_weights(problem)[None, :] * rows
    gram = weighted @ rows.T + jnp.diag(ridge)
    solution = jnp.linalg.solve(gram, weighted @ problem.targets.T).T
    if problem.bias == "none":
        return Params((solution,), H, None)
    return Params((solution[:, :-1],), H, solution[:, -1])


def reduced_objective(problem: Problem, H: jax.Array) -> jax.Array:
    """L(H) = min over (W, b) of f(W, H, b), a scalar; its gradient is the partial one of f in H (envelope theorem).

    Args, Raises: as for `least_squares_point`.
    """
    point = lax.stop_gradient(least_squares_point(problem, lax.stop_gradient(H)))
    return objective(problem, point._replace(H=H))
