"""The central path followed in time: what grows, what shrinks, and what an integrator must conserve.

dH/dt = -N grad L(H) from features of invertible D D^T (d <= K (n - 1)). With lW = K l2_W and lH = N l2_H,

    NC1 = tr S_W/tr S_B and e^(2 lH t) tr S_W decrease, e^(2 lH t) tr S_B increases    (Tirer, Huang, Niles-Weed 2023)
    Q(t) = |H|^2 + n lW log det D D^T + 2 lH int_0^t (|H|^2 + n lW d)    is constant    (derived)

so that without a ridge on the features Q needs no integral, D D^T never becomes singular, and NC1 is zero at no finite time.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ufm.problem import Problem
from ufm.theory import statements
from ufm.theory.kit.integrate import integrate
from ufm.theory.perturbation.model import parts, proximity, random_features, units
from ufm.theory.perturbation.newton import reduced
from ufm.theory.theorem import Assumption, Check, below, relative_error

_RECORDS = 8


class Start(NamedTuple):
    """A problem, features (d, N) at time 0, and the time up to which they are followed."""

    problem: Problem
    H: jax.Array
    last: jax.Array


class Path(NamedTuple):
    """At T times: Q, NC1, and the two traces times e^(2 lH t), all (T,)."""

    Q: jax.Array
    nc1: jax.Array
    within: jax.Array
    between: jax.Array


def predict(case: Start) -> jax.Array:
    """Along the central path NC1 and e^(2 lH t) tr S_W decrease and e^(2 lH t) tr S_B increases; without a ridge on the features
    |H|^2 + n lW log det D D^T is conserved.

    Q(0) = |H|^2 + n lW log det D D^T, a scalar.
    """
    lW, _, _, n = units(case.problem)
    _, D = parts(case.problem, case.H)
    return jnp.sum(case.H**2) + n * lW * jnp.linalg.slogdet(D @ D.T)[1]


@jax.jit
def measure(case: Start, key: jax.Array) -> Path:
    """Integrate the automatic gradient of min over W of f, and |H|^2 in time, at order 8."""
    del key  # the start belongs to the case
    problem, K = case.problem, case.problem.classes
    N, d = problem.samples, case.H.shape[0]
    lW, lH = K * problem.l2_W[0], N * problem.l2_H

    def velocity(state: jax.Array) -> jax.Array:
        H = state[:-1].reshape(d, -1)
        return jnp.append(-N * jax.grad(lambda X: reduced(problem, X))(H), jnp.sum(H**2))

    def look(state: jax.Array, t: jax.Array) -> Path:
        H, integral = state[:-1], state[-1]
        by_class = H.reshape(d, K, -1)
        means = by_class.mean(axis=2)
        D = (by_class - means[:, :, None]).reshape(d, -1)
        Q = jnp.sum(H**2) + N / K * lW * (jnp.linalg.slogdet(D @ D.T)[1] + 2 * lH * d * t) + 2 * lH * integral
        within, between = jnp.sum(D**2) / N, jnp.sum((means - means.mean(axis=1)[:, None]) ** 2) / K
        return Path(Q, within / between, within * jnp.exp(2 * lH * t), between * jnp.exp(2 * lH * t))

    ts = case.last * jnp.arange(_RECORDS + 1) / _RECORDS
    states = integrate(velocity, jnp.append(case.H, 0), ts)
    return jax.vmap(look)(states, ts)


def evidence(case: Start, predicted: jax.Array, measured: Path) -> list[Check]:
    """Q at all times, and the largest step that NC1 and the traces take the wrong way, relative to where they are."""
    del case
    Q = np.asarray(measured.Q)

    def wrong_way(name: str, values: jax.Array, sign: int) -> Check:
        steps = np.diff(np.log(np.asarray(values)))
        return below("certificate", name, np.max(sign * steps))

    return [
        Check("agreement", "Q", relative_error(np.full_like(Q, predicted), Q, max(1.0, abs(float(predicted)))), 1e-8),
        wrong_way("NC1 increases", measured.nc1, 1),
        wrong_way("tr S_W increases", measured.within, 1),
        wrong_way("tr S_B decreases", measured.between, -1),
    ]


def _start(lW: float, lH: float, rng: np.random.Generator, last: float = 3.0, means: float = 1.0) -> Start:
    H = random_features(rng, means, 1.0, n=3, d=4)
    return Start(proximity(lW, lH, 1.0, H, 3), jnp.asarray(H), jnp.asarray(last))


def cases() -> dict[str, Start]:
    """Without and with a ridge on the features, sqrt(lH lW) either side of one, means that are almost equal."""
    rng = np.random.default_rng(0)
    return {
        "lH=0": _start(0.5, 0.0, rng),
        "c=0.3": _start(0.5, 0.18, rng),
        "c=1.5": _start(1.5, 1.5, rng, last=1.5),
        "lH=0, almost equal means": _start(0.8, 0.0, rng, means=1e-3),
    }


def draw(rng: np.random.Generator) -> Start:
    """Random ridges and features."""
    return _start(rng.uniform(0.4, 1.5), rng.uniform(0, 1), rng)


def _is_invertible(case: Start) -> bool:
    D = np.asarray(parts(case.problem, case.H)[1])
    return bool(np.linalg.matrix_rank(D) == D.shape[0])


THEOREMS = (
    statements.other(
        "central-path-collapse", "[tirer2023]; the conserved quantity derived",
        predict, measure, cases, draw, (Assumption("D D^T invertible, which needs d <= K (n - 1)", _is_invertible),),
        evidence=evidence,
    ),
)  # fmt: skip
