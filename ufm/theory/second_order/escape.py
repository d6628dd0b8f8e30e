"""How a tiny start leaves zero in balanced MSE: one rate, one balance of W and H (derived).

Near W = H = 0 the class means M and W grow together like exp(-nu_- t/N) for c < 1, and die for c > 1, along

    W = kappa M^T,   kappa = lH - nu_- > 0,   nu_- = ((lH + n lW) - sqrt((lH - n lW)^2 + 4n))/2 < 0 for c < 1,
    W -> exp(-nu_- t/N) kappa (n M_0^T + kappa W_0)/(n + kappa^2),

while what is within classes decays like exp(-lH t/N). All K directions of W grow alike, so the singular values at the exit are
those of the start in the combination n M_0^T + kappa W_0. (N = K n, numbers as in `table`.)
"""

import jax
import jax.numpy as jnp
import numpy as np

from ufm.problem.params import Params
from ufm.theory import statements
from ufm.theory.second_order.cases import PLAIN, SHAPES, critical_point
from ufm.theory.second_order.table import block, numbers
from ufm.theory.statements.trajectories import Start
from ufm.theory.theorem import Check, agreement

_SIZE = 1e-20  # of a start: products of W and H do not matter before t = 20 N


def predict(case: Start) -> dict[str, jax.Array]:
    """From a tiny generic start balanced MSE leaves zero at rate -nu_-/N along W = kappa M^T, kappa = lH - nu_-, in the direction
    of n M_0^T + kappa W_0, while what is within classes decays at rate lH/N; for c > 1 all of it dies.

    At t = 20 N: rates of |W| and within classes, kappa, |W - kappa M^T|/|W|, W/|W| and log |W|.
    """
    n, w, lW, lH, *_ = numbers(case.problem)
    nu, _ = block(lH, jnp.sqrt(n), n * lW)
    kappa = lH - nu
    M = jnp.mean(case.params.H.reshape(-1, case.problem.classes, n), axis=2)
    W = kappa * (n * M.T + kappa * case.params.weights[0]) / (n + kappa**2)
    length, rate = jnp.linalg.norm(W), -nu * w
    exit = {"rate": rate, "direction": W / length, "size": jnp.log(length) + rate * case.ts[-1]}
    return exit | {"within": lH * w, "balance": kappa, "misaligned": jnp.zeros_like(nu)}


def observe(case: Start, point: Params) -> tuple[jax.Array, ...]:
    """W, the class means in its shape, and what is within classes: rates, balance and direction are read off their path."""
    classes = point.H.reshape(point.H.shape[0], case.problem.classes, -1)
    M = jnp.mean(classes, axis=2)
    return point.weights[0], M.T, jnp.ravel(classes - M[:, :, None])


def evidence(case: Start, predicted: dict[str, jax.Array], measured: tuple[jax.Array, ...]) -> list[Check]:
    """Growth between the two last times, decay up to the early one; balance, direction and size at the end."""
    W, M, D = map(np.asarray, measured)
    _, early, late, end = np.asarray(case.ts)
    sizes, within = np.linalg.norm(W, axis=(1, 2)), np.linalg.norm(D, axis=1)
    balance = np.sum(W[-1] * M[-1]) / np.sum(M[-1] ** 2)
    found = {"rate": np.log(sizes[3] / sizes[2]) / (end - late), "within": np.log(within[0] / within[1]) / early}
    found |= {"balance": balance, "misaligned": np.linalg.norm(W[-1] - balance * M[-1]) / sizes[-1]}
    found |= {"direction": W[-1] / sizes[-1], "size": np.log(sizes[-1])}
    return agreement(1e-6, misaligned=1e-8, direction=1e-8)(case, predicted, found)


def tiny_start(c: float, s: float, rng: np.random.Generator) -> Start:
    """Gaussian W and H of size 1e-20, for more dimensions than classes."""
    point = critical_point(SHAPES["d>K"], 0, c, s, rng)
    W, H = (jnp.asarray(_SIZE * rng.normal(size=x.shape)) for x in (point.params.weights[0], point.params.H))
    times = point.problem.samples * jnp.array([0.0, 4.0, 16.0, 20.0])  # the start, early, late, the end
    return Start(point.problem, Params((W,), H, None), times)


def cases() -> dict[str, Start]:
    """Features or classifier the lighter, close to c = 1 on either side, and far from it."""
    rng = np.random.default_rng(0)
    return {f"c={c} s={s}": tiny_start(c, s, rng) for c in (0.1, 0.6, 0.97, 1.03, 1.5) for s in (0.6, 2.0)}


def draw(rng: np.random.Generator) -> Start:
    """Random ridges and start."""
    return tiny_start(rng.uniform(0.05, 1.6), np.exp(rng.uniform(-0.7, 0.7)), rng)


THEOREMS = (
    statements.trajectory("mse-escape-from-zero", "derived", predict, observe, cases, draw, PLAIN, evidence=evidence),
)  # fmt: skip
