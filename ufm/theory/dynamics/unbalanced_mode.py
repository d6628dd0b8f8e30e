"""Two factors of unequal singular values w != h: hyperbolic modes (Saxe et al. 2014), and their equation with ridges.

W = diag(w) R^T, H = R diag(h), R^T R = I, factors in the metric scale^(1/2). The two squares a = (w + h)^2 and
m = (w - h)^2 give p = w h = (a - m)/4, and their product D^2, D = w^2 - h^2, is conserved without ridge. With
q = sqrt(4 s^2 + D^2), A = q + 2 s, B = q - 2 s, s = sqrt(n_k) and e = exp(-scale q t/N),

    a(t) = (a0 (A + B e) + D^2 (1 - e)) / (a0 (1 - e) + B + A e)
    m(t) = (m0 (B + A e) + D^2 (1 - e)) / (m0 (1 - e) + A + B e)

in which nothing cancels or overflows: D = 0 gives the logistic mode, and w = -h the start that dies at zero unlearned.
Equal ridges l leave one scalar equation a mode,

    (log a)' = (2 scale/N)(s - p) - 2 l,    p = (a - D0^2 exp(-4 l t)/a)/4
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ufm.problem.params import Params
from ufm.theory import statements
from ufm.theory.dynamics.spectral import EQUAL_RIDGES, ONE_COLUMN, draw_sizes, is_spectral, mode_matrix, ridged, spectral_point
from ufm.theory.kit.integrate import integrate
from ufm.theory.statements.trajectories import Start
from ufm.theory.theorem import Assumption


def _squares(case: Start) -> tuple[jax.Array, jax.Array]:
    """(K,) of a0 = (w + h)^2 and m0 = (w - h)^2, times the scale."""
    (W,), H, _ = case.params
    return case.problem.scale * jnp.sum((W.T + H) ** 2, axis=0), case.problem.scale * jnp.sum((W.T - H) ** 2, axis=0)


def predict(case: Start) -> jax.Array:
    """Without ridge, a mode of unequal factors is a hyperbolic curve: (w + h)^2 and (w - h)^2 are rational in exp(-t sqrt(4 n_k +
    D^2)/N), D = w^2 - h^2; only w = -h is never learned.

    (T, 2, K) of p, the diagonal of the logits times sqrt(m), and of a; p alone may pass through zero.
    """
    a0, m0, s = (x[None, :] for x in (*_squares(case), jnp.sqrt(case.problem.multiplicity)))
    D2 = a0 * m0
    q = jnp.sqrt(4 * s**2 + D2)
    A, B = q + 2 * s, D2 / (q + 2 * s)
    x = case.problem.scale * q * case.ts[:, None] / case.problem.samples
    e, rest = jnp.exp(-x), -jnp.expm1(-x)
    a = (a0 * (A + B * e) + D2 * rest) / (a0 * rest + B + A * e)
    m = (m0 * (B + A * e) + D2 * rest) / (m0 * rest + A + B * e)
    return jnp.stack([(a - m) / 4, a], axis=1)


def predict_with_ridge(case: Start) -> jax.Array:
    """With equal ridges, a mode of unequal factors obeys one scalar equation, its imbalance w^2 - h^2 decaying as exp(-2 l t).

    One scalar equation a mode, integrated together with its clock: (T, 2, K) as without ridge.
    """
    problem = case.problem
    a0, m0 = _squares(case)
    s, l2 = jnp.sqrt(problem.multiplicity), problem.l2_H

    def product(log_a: jax.Array, t: jax.Array) -> jax.Array:
        return (jnp.exp(log_a) - a0 * m0 * jnp.exp(-4 * l2 * t - log_a)) / 4

    def velocity(state: tuple) -> tuple:
        log_a, t = state
        return 2 * problem.scale / problem.samples * (s - product(log_a, t)) - 2 * l2, jnp.ones_like(t)

    log_a, _ = integrate(velocity, (jnp.log(a0), jnp.zeros_like(l2)), case.ts)
    return jnp.stack([jax.vmap(product)(log_a, case.ts), jnp.exp(log_a)], axis=1)


def observe(case: Start, point: Params) -> jax.Array:
    """p from the logits, a from the projection of W onto the start's frame."""
    (W,), H, _ = point
    return jnp.stack([jnp.diagonal(mode_matrix(case.problem, point)), case.problem.scale * jnp.sum((W.T + H) ** 2, axis=0)])


def _case(w: Any, h: Any, rng: np.random.Generator, cutoff=0.0, counts=(25, 9, 4), scale=1.0, last=1.0) -> Start:
    problem = ridged(counts, 5, cutoff, scale)
    params = spectral_point(problem, np.stack([np.asarray(h, float), np.asarray(w, float)]), rng)
    return Start(problem, params, jnp.linspace(0, last * sum(counts) / scale, 5))


def cases() -> dict[str, Start]:
    """Either factor ahead, negative starts, a factor at zero, D near and at zero, starts that never learn."""
    rng = np.random.default_rng(0)
    return {
        "either factor ahead": _case([0.1, 1.0, 3.0], [1.0, 0.1, 2.0], rng),
        "negative start": _case([0.1, -1.0, 0.5], [-1.0, 0.3, -0.6], rng),
        "one factor zero": _case([0.5, 0.0, 2.0], [0.0, 0.5, 0.0], rng),
        "nearly balanced": _case([0.1, 0.2, 0.3], [0.1 + 1e-9, 0.2, 0.3 - 1e-5], rng),
        "balanced and opposed: never learned": _case([0.3, 1.0, 0.2], [-0.3, -1.0, -0.2], rng, last=0.3),
        "scale 3, above the target": _case([5.0, 1.0, 3.0], [4.0, 0.1, 3.0], rng, scale=3.0),
        "exponents beyond 700": _case([0.1, 1.0, 3.0], [1.0, 0.1, 2.0], rng, last=150.0),
    }


def ridge_cases() -> dict[str, Start]:
    """Alive, critical and dead modes from unbalanced starts."""
    rng = np.random.default_rng(1)
    return {
        "one alive, one critical, one dead": _case([0.1, 1.0, 3.0], [1.0, 0.1, 2.0], rng, cutoff=3.0),
        "negative start": _case([0.1, -1.0, 0.5], [-1.0, 0.3, -0.6], rng, cutoff=1.0),
        "no ridge": _case([0.5, 0.1, 2.0], [0.1, 0.5, 0.0], rng),
        "scale 2": _case([0.1, 0.2, 0.3], [0.3, 0.2, -0.1], rng, cutoff=0.5, scale=2.0, last=2.0),
    }


def draw(rng: np.random.Generator, cutoff: float = 0.0) -> Start:
    """Random class sizes, scale and diagonals of either sign."""
    w, h = rng.normal(size=(2, 3))
    return _case(w, h, rng, cutoff, *draw_sizes(rng))


_SOURCE = "[saxe2014], appendix; class sizes"
_ASSUMES = (ONE_COLUMN, Assumption("a spectral start", lambda c: is_spectral(c.params)), EQUAL_RIDGES)
THEOREMS = (
    statements.trajectory(
        "two-factor-unbalanced-mode", _SOURCE + ", signs and the form without cancellation derived",
        predict, observe, cases, draw, (*_ASSUMES, Assumption("no ridge", lambda c: bool(c.problem.l2_H == 0))),
    ),
    statements.trajectory(
        "two-factor-unbalanced-ridge", _SOURCE + " and ridges derived",
        predict_with_ridge, observe, ridge_cases, lambda rng: draw(rng, rng.uniform(0, 5)), _ASSUMES,
    ),
)  # fmt: skip
