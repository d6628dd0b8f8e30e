"""The central path: the features alone decide, because the classifier is always the best one for them.

With h~_c = [h_c / sqrt(m_c); a_c] (the last row only with a bias) and weights v_c = w_c m_c / N, the minimiser over (W, b) at
fixed H is ridge regression, and the objective left is a function of H alone:

    [W*(H), b*(H)] = sum_c v_c y_c h~_c^T ( sum_c v_c h~_c h~_c^T + diag(l2_W, ..., l2_W, l2_b) )^-1,    L(H) = f(W*(H), H, b*(H))

With l2_W = l2_b = l2_H = 0 every H -> A H leaves L alone, so that the features may be renormalised to Sigma_W = I at any time;
what is left to move depends on how that is done (`renormalised_velocity`).

(Han, Papyan, Donoho 2022, Neural collapse under MSE loss, arXiv 2106.02073; Tirer, Huang, Niles-Weed 2023, arXiv 2210.16658.)
"""

import jax
import jax.numpy as jnp
from jax import lax

from ufm.base.checks import refuse
from ufm.base.precision import full_precision
from ufm.losses import MSE, check_loss
from ufm.problem import Classes, Problem
from ufm.problem.params import Params, column_weights, objective


@full_precision
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
    check_loss(problem.loss, MSE)
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


@full_precision
def reduced_objective(problem: Problem, H: jax.Array) -> jax.Array:
    """L(H) = min over (W, b) of f(W, H, b), a scalar; its gradient is the partial one of f in H (envelope theorem).

    Args, Raises: as for `least_squares_point`.
    """
    point = lax.stop_gradient(least_squares_point(problem, lax.stop_gradient(H)))
    return objective(problem, point._replace(H=H))


@full_precision
def within_part(problem: Problem, H: jax.Array) -> jax.Array:
    """D: (d, C) features less their class means, in column coordinates; Sigma_W = D D^T / N.

    Args:
      problem: its runs of equal columns are the classes. H: (d, C).

    Returns:
      D, which is orthogonal to every row that is constant on classes.
    """
    return H - problem.run_means(H)[:, problem.labels] * problem.root_shares[None, :]


@full_precision
@jax.jit
def renormalise(problem: Problem, H: jax.Array) -> jax.Array:
    """X = Sigma_W^-1/2 (H - global mean): on the set {Sigma_W(X) = I, global mean 0}.

    Args:
      problem: as for `check_renormalisable`. H: (d, C), with a scatter within classes of full rank.

    Returns:
      X: (d, C); not finite where Sigma_W is singular.
    """
    check_renormalisable(problem)
    D = within_part(problem, H)
    sizes, V = jnp.linalg.eigh(D @ D.T / problem.samples)
    resolved = sizes > H.shape[0] * jnp.finfo(H.dtype).eps * sizes[-1]
    root = jnp.where(resolved, 1 / jnp.sqrt(jnp.where(resolved, sizes, 1)), jnp.nan)
    return (V * root[None, :]) @ V.T @ _centred(problem, H)


@full_precision
def renormalised_velocity(problem: Problem, X: jax.Array, *, rewhitened: bool = False) -> jax.Array:
    """dX/dt of a descent on L that stays on {Sigma_W = I, global mean 0}, projected or re-whitened.

    With G the centred gradient of L, D and G_w the parts within classes of X and G, and S such that Sigma_W stays what it is,
    S Sigma_W + Sigma_W S = (G_w D^T + D G_w^T)/N (solved to first order in Sigma_W - I, which is zero but for rounding),

        projected:    X' = -G + S D     (minus the tangential part of G: |X'|^2 = -dL/dt)
        re-whitened:  X' = -G + S X     (the limit of X <- Sigma_W^-1/2 (X - step G), which pulls the means along)

    Args:
      problem: as for `check_renormalisable`. X: (d, C) on the set. rewhitened: which of the two.

    Returns:
      dX/dt: (d, C), in the time of f.
    """
    G = _centred(problem, jax.grad(lambda x: reduced_objective(problem, x))(X))
    D = within_part(problem, X)
    R = within_part(problem, G) @ D.T / (2 * problem.samples)
    R = R + R.T
    off = D @ D.T / problem.samples - jnp.eye(X.shape[0], dtype=X.dtype)
    # without this term an error of the scale of X would grow like exp(c sqrt(t))
    S = R - (R @ off + off @ R) / 2
    return -G + S @ (X if rewhitened else D)


def check_renormalisable(problem: Problem) -> None:
    """Refuse a problem without classes of whole samples, or with a proximity term, whose centre no rescaling leaves alone."""
    if not isinstance(problem.design, Classes):
        refuse("problem", problem, "of classes of whole samples for features to be renormalised")
    if problem.H0 is not None:
        refuse("H0", "an array", "None for features to be renormalised")


def _centred(problem: Problem, H: jax.Array) -> jax.Array:
    unit = jnp.sqrt(problem.multiplicity / problem.samples)
    return H - (H @ unit)[:, None] * unit[None, :]
