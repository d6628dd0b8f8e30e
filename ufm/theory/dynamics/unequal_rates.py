"""Two factors trained at rates eta_W and eta_H: the logistic modes of equal rates, run by their geometric mean.

W' = -eta_W df/dW and H' = -eta_H df/dH from a spectral start of w/h = sqrt(eta_W/eta_H), under eta_W l_W = eta_H l_H.
With e = sqrt(eta_W eta_H) and l = eta_W l_W / e, the singular products p_k = scale w_k h_k obey

    p' = (2 e scale/N) p (q - p),    q = sqrt(n_k) - N l / scale
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ufm.problem import Problem
from ufm.problem.params import Params
from ufm.theory import statements
from ufm.theory.dynamics.spectral import is_spectral, mode_matrix, plain_mse, spectral_point
from ufm.theory.dynamics.two_factor import logistic
from ufm.theory.kit.integrate import downhill, integrate
from ufm.theory.theorem import Assumption, agreement


class RatedStart(NamedTuple):
    """A problem of K weighted columns, a spectral start, the rates (eta_H, eta_W), and times (T,)."""

    problem: Problem
    params: Params
    rates: jax.Array
    ts: jax.Array


class Modes(NamedTuple):
    """p: (T, K) diagonal of the logits times sqrt(m). coupling: (T,) largest entry off it."""

    p: jax.Array
    coupling: jax.Array


def predict(case: RatedStart) -> Modes:
    """Two factors trained at rates eta_W and eta_H with eta_W l_W = eta_H l_H, from a spectral start of ratio sqrt(eta_W/eta_H),
    run through logistic modes at the rate sqrt(eta_W eta_H).

    Logistic modes at the geometric mean of the rates.
    """
    problem = case.problem
    e = jnp.sqrt(case.rates[0] * case.rates[1])
    ridge = case.rates[0] * problem.l2_H / e
    h2 = jnp.sum(case.params.H**2, axis=0)
    p0 = problem.scale * h2 * jnp.sqrt(case.rates[1] / case.rates[0])
    target = jnp.sqrt(problem.multiplicity) - problem.samples * ridge / problem.scale
    p = logistic(p0, target, 2 * e * problem.scale / problem.samples, case.ts)
    return Modes(p, jnp.zeros_like(case.ts))


@jax.jit
def measure(case: RatedStart, key: jax.Array) -> Modes:
    """Integrate all entries of W and H, each along its own rate times the gradient."""
    del key  # the start belongs to the case
    descend = downhill(case.problem)

    def velocity(params: Params) -> Params:
        v = descend(params)
        return Params((case.rates[1] * v.weights[0],), case.rates[0] * v.H, None)

    z = jax.vmap(lambda p: mode_matrix(case.problem, p))(integrate(velocity, case.params, case.ts))
    off = jnp.where(jnp.eye(case.problem.classes, dtype=bool)[None], 0, jnp.abs(z))
    return Modes(jnp.diagonal(z, axis1=1, axis2=2), jnp.max(off, axis=(1, 2)))


def _case(ratio: float, cutoff: float, sizes: np.ndarray, rng: np.random.Generator, counts=(25, 9, 4), scale=1.0) -> RatedStart:
    """eta_W/eta_H = ratio at e = 0.7, and ridges that leave classes of more than cutoff^2 samples alive."""
    N, e = sum(counts), 0.7
    rates = np.array([e / np.sqrt(ratio), e * np.sqrt(ratio)])
    ridge = cutoff * scale * e / N / rates
    problem = Problem.imbalanced(counts, 5, l2_H=ridge[0], l2_W=ridge[1], scale=scale).collapsed()
    singular = np.sqrt(sizes)[None, :] * ratio ** np.array([[-0.25], [0.25]])
    ts = jnp.linspace(0, 3 * N / e, 5)
    return RatedStart(problem, spectral_point(problem, singular, rng), jnp.asarray(rates), ts)


def cases() -> dict[str, RatedStart]:
    """Either factor the faster one, equal rates, no ridge, and a critical class between an alive and a dead one."""
    rng = np.random.default_rng(0)
    small = np.full(3, 1e-2)
    return {
        "eta_W = 100 eta_H, one critical, one dead": _case(100.0, 3.0, np.array([0.1, 1.0, 2.0]), rng),
        "eta_W = eta_H / 30, no ridge": _case(1 / 30, 0.0, small, rng),
        "equal rates": _case(1.0, 1.0, small, rng),
        "eta_W = 4 eta_H, scale 2": _case(4.0, 2.5, small, rng, scale=2.0),
    }


def draw(rng: np.random.Generator) -> RatedStart:
    """Random rates, class sizes, ridges, scale and start."""
    counts = tuple(int(n) for n in rng.integers(1, 40, size=3))
    sizes, scale = np.exp(rng.uniform(-4, 1, size=3)), np.exp(rng.uniform(-0.7, 0.7))
    return _case(np.exp(rng.uniform(-4, 4)), rng.uniform(0, 6), sizes, rng, counts, scale)


def _ridges_match(case: RatedStart) -> bool:
    decay = np.asarray(case.rates) * np.array([case.problem.l2_H, case.problem.l2_W[0]])
    return bool(np.isclose(decay[0], decay[1], rtol=1e-12, atol=0))


def _start_matches(case: RatedStart) -> bool:
    ratio = np.sqrt(case.rates[1] / case.rates[0])
    return np.allclose(case.params.weights[0], ratio * case.params.H.T, rtol=1e-12) and is_spectral(case.params)


THEOREMS = (
    statements.other(
        "two-factor-unequal-rates", "[saxe2014]; unequal rates and ridges derived",
        predict, measure, cases, draw,
        (
            Assumption("one-hot MSE without bias, one layer, one column a class", lambda c: plain_mse(c.problem)),
            Assumption("eta_W l_W = eta_H l_H", _ridges_match),
            Assumption("a spectral start of ratio sqrt(eta_W/eta_H)", _start_matches),
        ),
        evidence=agreement(1e-9, coupling=1e-9),
    ),
)  # fmt: skip
